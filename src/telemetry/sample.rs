//! What was found on a board and what it reads at one moment. Pure data, shared by every source,
//! the governor, traces and the simulator.

use std::time::Duration;

use arrayvec::ArrayVec;
use serde::{Deserialize, Serialize};

use crate::units::{Celsius, Megahertz, Milliwatts};

/// Most power rails of a board that are read; further ones are listed as missing.
pub const MAX_RAILS: usize = 24;
/// Most thermal zones of a board that are read; further ones are listed as missing.
pub const MAX_ZONES: usize = 24;

/// What a board has. Found out once, when telemetry is opened.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Inventory {
    /// The board, as it calls itself (device tree model, DMI product name).
    pub board: Option<String>,
    /// Release of its system software: `R32.7.1` of L4T, absent elsewhere.
    pub release: Option<String>,
    /// Power rails, in the order of [`Sample::rails`].
    pub rails: Vec<Rail>,
    /// Index into `rails` of the one that stands for the whole board, as far as the board can tell.
    pub total: Option<usize>,
    /// Thermal zones, in the order of [`Sample::temperatures`].
    pub zones: Vec<Zone>,
    /// Names of the power modes, by number; empty where there are none.
    pub power_modes: Vec<(u32, String)>,
    /// Where each of the other values comes from: (`gpu-clock`,
    /// `/sys/class/devfreq/17000000.gp10b/cur_freq`). Only those that are there.
    pub others: Vec<(String, String)>,
    /// What was looked for and is not there.
    pub missing: Vec<Missing>,
}

/// A power rail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rail {
    /// As the board calls it: `VDD_IN`.
    pub name: String,
    /// Where it is read: a path, `tegrastats`, `nvml`.
    pub origin: String,
    /// True if it is not measured but summed up from others.
    pub sum: bool,
}

/// A thermal zone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Zone {
    /// As the board calls it: `GPU-therm`.
    pub name: String,
    /// Where it is read.
    pub origin: String,
    /// Its trip points, coolest first.
    pub trips: Vec<Trip>,
    /// From here on the board slows itself down: the lowest passive trip that binds a clock or a
    /// throttle, or the critical one less 5.5 °C.
    pub throttle_at: Option<Celsius>,
    /// False for placeholders and for zones of parts that Squint cannot cool (`PMIC`, wireless
    /// cards).
    pub governs: bool,
}

/// What a trip point is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TripKind {
    /// A fan.
    Active,
    /// Slower clocks, or whatever `binds` says.
    Passive,
    /// Notice only.
    Hot,
    /// The board switches itself off.
    Critical,
}

/// A trip point of a zone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trip {
    /// What for.
    pub kind: TripKind,
    /// From this temperature on.
    pub at: Celsius,
    /// Types of the cooling devices that it drives: `pwm-fan`, `cpu-throttle`.
    pub binds: Vec<String>,
}

/// Something that is not there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    /// What: `power rails`, `GPU clock`.
    pub what: String,
    /// Why, as far as is known.
    pub why: String,
    /// What does not work without it: `power-mw`.
    pub disables: String,
}

/// A sensor that is left out at the moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Doubt {
    /// Its name.
    pub sensor: String,
    /// What is wrong with it, as a sentence: `has read 45.0 °C for 600 s while others moved`.
    pub why: String,
}

/// What the board reads at one moment. `None` is unknown.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Sample {
    /// Time since start.
    pub at: Duration,
    /// In the order of [`Inventory::rails`].
    pub rails: ArrayVec<Option<Milliwatts>, MAX_RAILS>,
    /// In the order of [`Inventory::zones`].
    pub temperatures: ArrayVec<Option<Celsius>, MAX_ZONES>,
    /// Clock of the GPU now.
    pub gpu_clock: Option<Megahertz>,
    /// Highest clock that the GPU may take now (power mode, user).
    pub gpu_clock_cap: Option<Megahertz>,
    /// Share of the GPU's time that is used, 0..=1, by everybody.
    pub gpu_load: Option<f32>,
    /// Highest clock of all processors that are on.
    pub cpu_clock: Option<Megahertz>,
    /// Share of the processors' time that is used, 0..=1, by everybody.
    pub cpu_load: Option<f32>,
    /// Share of the last ten seconds in which something waited for a processor, 0..=1
    /// (`/proc/pressure/cpu`).
    pub cpu_pressure: Option<f32>,
    /// Memory that can be had without swapping, MiB.
    pub memory_available_mib: Option<f32>,
    /// True while the board slows itself down for heat or current.
    pub throttling: Option<bool>,
    /// Over-current events, counted from an arbitrary beginning.
    pub over_current: Option<u64>,
    /// Number of the power mode.
    pub power_mode: Option<u32>,
    /// Processor time that taking this sample cost.
    pub cost: Duration,
}

impl Sample {
    /// One bit for each reading, set where there is one: rails, zones, then the other quantities. A
    /// sensor that is left out, or comes back, changes it.
    pub fn present(&self) -> u64 {
        const { assert!(MAX_RAILS + MAX_ZONES + 10 <= u64::BITS as usize) };
        let others = [
            self.gpu_clock.is_some(),
            self.gpu_clock_cap.is_some(),
            self.gpu_load.is_some(),
            self.cpu_clock.is_some(),
            self.cpu_load.is_some(),
            self.cpu_pressure.is_some(),
            self.memory_available_mib.is_some(),
            self.throttling.is_some(),
            self.over_current.is_some(),
            self.power_mode.is_some(),
        ];
        let bits = |present: &mut dyn Iterator<Item = bool>| {
            present.fold(0, |bits, one| bits << 1 | u64::from(one))
        };
        let rails = bits(&mut self.rails.iter().map(Option::is_some));
        let zones = bits(&mut self.temperatures.iter().map(Option::is_some));
        rails << (MAX_ZONES + others.len()) | zones << others.len() | bits(&mut others.into_iter())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reading_has_a_bit_of_its_own() {
        let mut sample = Sample::default();
        sample.rails.extend([None; MAX_RAILS]);
        sample.temperatures.extend([None; MAX_ZONES]);
        assert_eq!(sample.present(), 0);
        let mut seen = 0;
        for index in 0..MAX_RAILS {
            sample.rails[index] = Some(Milliwatts(1.0));
        }
        seen += sample.present().count_ones();
        sample.temperatures[0] = Some(Celsius(40.0));
        sample.gpu_clock = Some(Megahertz(1.0));
        sample.power_mode = Some(0);
        seen += sample.present().count_ones();
        assert_eq!(seen as usize, MAX_RAILS + MAX_RAILS + 3);
    }
}
