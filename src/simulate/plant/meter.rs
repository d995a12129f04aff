//! What the sensors make of the board: rails and zones under their names on a TX2, with noise, in
//! steps, and with faults. Pure.

use std::time::Duration;

use crate::budget::Limits;
use crate::stats::{normal_draw, splitmix64};
use crate::telemetry::{Inventory, Rail, Sample, Trip, TripKind, Zone};
use crate::units::{Celsius, Megahertz, Milliwatts};

use super::clock::{MODES, THROTTLE_C};
use super::{EnergyTotals, Plant};

/// Rails of a TX2 on L4T R32, in the order in which they are found.
pub const RAILS: [&str; 6] =
    ["VDD_SYS_GPU", "VDD_SYS_SOC", "VDD_4V0_WIFI", "VDD_IN", "VDD_SYS_CPU", "VDD_SYS_DDR"];
/// Place of `VDD_IN`.
pub const TOTAL: usize = 3;
/// Zones of a TX2 on L4T R32.
pub const ZONES: [&str; 8] = [
    "BCPU-therm",
    "MCPU-therm",
    "GPU-therm",
    "PLL-therm",
    "Tboard_tegra",
    "Tdiode_tegra",
    "PMIC-Die",
    "thermal-fan-est",
];
/// One step of a power reading, mW: 4 mA at 19 V.
const POWER_STEP: f64 = 76.0;
/// Standard deviation of a power reading, share of its value.
const POWER_NOISE: f64 = 0.01;
/// One step of a temperature, °C.
const HEAT_STEP: f64 = 0.5;
/// Standard deviation of a temperature before it is rounded, °C.
const HEAT_NOISE: f64 = 0.15;

/// What is wrong with a sensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Reads -256 °C, or 0 mW: switched off.
    Off,
    /// Is not there any more.
    Gone,
    /// Reads what it read when the fault began.
    Frozen,
}

impl Fault {
    /// The words of scenario files.
    pub const ALL: [(&str, Self); 3] =
        [("off", Self::Off), ("gone", Self::Gone), ("frozen", Self::Frozen)];
}

/// One reading as the hardware gives it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Raw {
    /// A value, mW or °C.
    Value(f64),
    /// The value for "off": -256 °C, 0 mW.
    Off,
    /// No file.
    Gone,
}

impl Raw {
    fn value(self) -> Option<f64> {
        if let Self::Value(value) = self { Some(value) } else { None }
    }
}

/// All readings of one moment, as the hardware gives them.
#[derive(Clone, Debug, PartialEq)]
pub struct Readings {
    /// In the order of [`RAILS`], mW.
    pub rails: [Raw; RAILS.len()],
    /// In the order of [`ZONES`], °C.
    pub zones: [Raw; ZONES.len()],
    /// MHz.
    pub gpu_clock: f64,
    /// MHz.
    pub gpu_clock_cap: f64,
    /// 0..=1.
    pub gpu_load: f64,
    /// MHz.
    pub cpu_clock: f64,
    /// Heat or over-current hold the clock down.
    pub throttling: bool,
    /// Events so far.
    pub over_current: u64,
    /// Number of the power mode.
    pub mode: usize,
}

/// The sensors.
#[derive(Clone, Debug)]
pub struct Meter {
    seed: u64,
    taken: u64,
    faults: Vec<(usize, Fault)>,
    held: [Option<Raw>; RAILS.len() + ZONES.len()],
}

impl Meter {
    /// Sound sensors. `seed`: of their noise.
    pub fn new(seed: u64) -> Self {
        Self {
            seed: splitmix64(seed ^ 0x3E7E5),
            taken: 0,
            faults: Vec::new(),
            held: [None; RAILS.len() + ZONES.len()],
        }
    }

    /// The place of a sensor, rails first.
    pub fn place(name: &str) -> Option<usize> {
        RAILS.iter().chain(&ZONES).position(|known| *known == name)
    }

    /// From now on the sensor at `place` has this fault.
    pub fn fail(&mut self, place: usize, fault: Fault) {
        self.faults.push((place, fault));
    }

    /// Reads everything; power is the mean since the last time.
    pub fn read(&mut self, plant: &mut Plant) -> Readings {
        self.taken += 1;
        let totals = plant.read_out();
        let seconds = totals.seconds.max(1e-9);
        let EnergyTotals { board_mj, gpu_mj, cpu_mj, busy_s, .. } = totals;
        let (board, gpu, cpu) = (board_mj / seconds, gpu_mj / seconds, cpu_mj / seconds);
        let rest = (board - gpu - cpu).max(0.0);
        let true_rails = [gpu, 300.0 + 0.2 * rest, 0.0, board, cpu, 150.0 + 0.35 * rest];
        let heat = plant.heat;
        let true_zones = [
            heat.cpu(),
            heat.cpu(),
            heat.gpu(),
            heat.lump,
            heat.board,
            heat.lump - 1.5,
            50.0,
            (heat.cpu() + heat.gpu()) / 2.0,
        ];
        let mut readings = Readings {
            rails: [Raw::Gone; RAILS.len()],
            zones: [Raw::Gone; ZONES.len()],
            gpu_clock: plant.clock.ghz() * 1000.0,
            gpu_clock_cap: plant.clock.cap_ghz() * 1000.0,
            gpu_load: (busy_s / seconds).clamp(0.0, 1.0),
            cpu_clock: MODES[plant.clock.mode_number()].cpu_mhz,
            throttling: plant.clock.is_throttled() || plant.clock.is_starved(),
            over_current: plant.clock.events(),
            mode: plant.clock.mode_number(),
        };
        for (place, value) in true_rails.into_iter().enumerate() {
            let noisy = value * (1.0 + POWER_NOISE * self.noise(place));
            readings.rails[place] =
                self.faulty(place, Raw::Value((noisy / POWER_STEP).round() * POWER_STEP));
        }
        for (zone, value) in true_zones.into_iter().enumerate() {
            let place = RAILS.len() + zone;
            let noisy = if ZONES[zone] == "PMIC-Die" {
                value
            } else {
                value + HEAT_NOISE * self.noise(place)
            };
            readings.zones[zone] =
                self.faulty(place, Raw::Value((noisy / HEAT_STEP).round() * HEAT_STEP));
        }
        readings
    }

    fn noise(&self, place: usize) -> f64 {
        normal_draw(self.seed ^ splitmix64(self.taken << 8 | place as u64))
    }

    fn faulty(&mut self, place: usize, raw: Raw) -> Raw {
        match self.faults.iter().rev().find(|fault| fault.0 == place) {
            None => {
                self.held[place] = Some(raw);
                raw
            }
            Some((_, Fault::Off)) => Raw::Off,
            Some((_, Fault::Gone)) => Raw::Gone,
            Some((_, Fault::Frozen)) => self.held[place].unwrap_or(raw),
        }
    }
}

impl Readings {
    /// As telemetry would hand them on, without reading any file: what is off or gone is unknown.
    pub fn sample(&self, at: Duration, sample: &mut Sample) {
        sample.at = at;
        sample.rails =
            self.rails.iter().map(|raw| raw.value().map(|mw| Milliwatts(mw as f32))).collect();
        sample.temperatures =
            self.zones.iter().map(|raw| raw.value().map(|c| Celsius(c as f32))).collect();
        sample.gpu_clock = Some(Megahertz(self.gpu_clock as f32));
        sample.gpu_clock_cap = Some(Megahertz(self.gpu_clock_cap as f32));
        sample.gpu_load = Some(self.gpu_load as f32);
        sample.cpu_clock = Some(Megahertz(self.cpu_clock as f32));
        sample.throttling = Some(self.throttling);
        sample.over_current = Some(self.over_current);
        sample.power_mode = Some(self.mode as u32);
    }
}

/// What telemetry would find on this board.
pub fn inventory() -> Inventory {
    let rail =
        |name: &&str| Rail { name: (*name).to_owned(), origin: "simulated".into(), sum: false };
    let zone = |name: &&str| Zone {
        name: (*name).to_owned(),
        origin: "simulated".into(),
        trips: vec![Trip { kind: TripKind::Critical, at: Celsius(101.0), binds: Vec::new() }],
        throttle_at: Some(Celsius(THROTTLE_C as f32)),
        governs: matches!(*name, "BCPU-therm" | "MCPU-therm" | "GPU-therm" | "PLL-therm"),
    };
    Inventory {
        board: Some("simulated TX2".into()),
        release: None,
        rails: RAILS.iter().map(rail).collect(),
        total: Some(TOTAL),
        zones: ZONES.iter().map(zone).collect(),
        power_modes: (0..)
            .zip(MODES)
            .map(|(number, mode)| (number, mode.name.to_owned()))
            .collect(),
        ..Inventory::default()
    }
}

/// The ceiling that a scenario holds a controller to: the user's, or the board's throttling less
/// 5 °C.
pub fn ceiling_c(limits: &Limits) -> f64 {
    limits.ceiling.map_or(THROTTLE_C - 5.0, |ceiling| f64::from(ceiling.0))
}
