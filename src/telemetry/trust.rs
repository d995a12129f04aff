//! Which readings can be believed. Pure: samples in, samples without doubtful readings and the
//! reasons out.
//!
//! A sensor is left out while it is silent, switched off, not a number, outside of what such a
//! sensor can read, far colder than its kin, or frozen, and is trusted again with its first good
//! reading. Standing still is not yet being frozen: the temperature of a box in a steady state
//! reads the same for hours in steps of half a degree. Frozen is a sensor whose reading is the same
//! to the last bit for a minute while what it must follow moved clearly: a zone, the median of the
//! other zones; the board's power, the load; a rail that is named after the GPU or the CPU, the
//! load of that.

mod watched;

use std::time::Duration;

use arrayvec::ArrayVec;

use super::{Doubt, Inventory, MAX_ZONES, Rail, Sample, Zone};
use crate::stats::quantile;
use watched::{Fault, Follows, Watched};

/// At or below this a temperature sensor says that it is switched off (-256).
const OFF: f32 = -200.0;
/// What a zone of a running board can read, °C.
const TEMPERATURES: (f32, f32) = (-40.0, 130.0);
/// What a rail can read, mW; the little below zero is the offset of an amplifier and reads 0.
const POWERS: (f32, f32) = (-250.0, 1e6);
/// A board that runs draws more than this, mW.
const LEAST_TOTAL: f32 = 50.0;
/// A zone this much colder than the median of its kin is lying, °C. Hotter kin are believed: heat
/// errs on the safe side.
const COLDER: f32 = 60.0;
/// A zone that reads exactly 0 is lying if its kin are above this, °C.
const WARM: f32 = 15.0;
/// A zone does not move further than this from one sample to the next, °C; if it stays there for
/// [`SETTLED`] it is believed.
const JUMP: f32 = 40.0;
/// See [`JUMP`].
const SETTLED: Duration = Duration::from_secs(3);

/// Watches the sensors of an inventory.
#[derive(Debug)]
pub struct Trust {
    rails: Vec<Watched>,
    zones: Vec<Watched>,
    governs: ArrayVec<bool, MAX_ZONES>,
    /// For each rail that is a sum, its parts.
    sums: Vec<(usize, Vec<usize>)>,
    others: [Watched; 6],
    at: Duration,
}

impl Trust {
    /// Trusts everything so far.
    pub fn new(inventory: &Inventory) -> Self {
        let rails = inventory
            .rails
            .iter()
            .enumerate()
            .map(|(index, rail)| watched_rail(rail, inventory.total == Some(index)))
            .collect();
        let governs = inventory.zones.iter().map(|zone| zone.governs).take(MAX_ZONES).collect();
        let sum = |(index, rail): (usize, &Rail)| {
            let named =
                |part: &str| inventory.rails.iter().position(|rail| !rail.sum && rail.name == part);
            rail.sum.then(|| (index, rail.origin.split(" + ").filter_map(named).collect()))
        };
        let other =
            |name: &str, unit, range| Watched::new(name.into(), unit, range, Follows::Nothing);
        let share = (0.0, 1.0);
        Self {
            rails,
            zones: inventory.zones.iter().map(watched_zone).collect(),
            governs,
            sums: inventory.rails.iter().enumerate().filter_map(sum).collect(),
            others: [
                other("gpu-clock", " MHz", (0.0, 10_000.0)),
                other("cpu-clock", " MHz", (0.0, 10_000.0)),
                other("gpu-load", "", share),
                other("cpu-load", "", share),
                other("cpu-pressure", "", share),
                other("memory-available", " MiB", (0.0, 1e9)),
            ],
            at: Duration::ZERO,
        }
    }

    /// Takes out of `sample` what cannot be believed. Allocates nothing.
    pub fn judge(&mut self, sample: &mut Sample) {
        let at = sample.at;
        self.at = at;
        let shares = [
            &mut sample.gpu_load,
            &mut sample.cpu_load,
            &mut sample.cpu_pressure,
            &mut sample.memory_available_mib,
        ];
        let [gpu_clock, cpu_clock, rest @ ..] = &mut self.others;
        for (watched, clock) in
            [(gpu_clock, &mut sample.gpu_clock), (cpu_clock, &mut sample.cpu_clock)]
        {
            if !watched.plain(at, clock.map(|clock| clock.0)) {
                *clock = None;
            }
        }
        for (watched, value) in rest.iter_mut().zip(shares) {
            if !watched.plain(at, *value) {
                *value = None;
            }
        }
        self.judge_zones(sample);
        self.judge_rails(sample);
    }

    fn judge_zones(&mut self, sample: &mut Sample) {
        let at = sample.at;
        let load = [sample.gpu_load, sample.cpu_load].into_iter().flatten().reduce(f32::max);
        // Kin are those that were believed the last time and read something sensible now.
        let trusted: ArrayVec<Option<f32>, MAX_ZONES> =
            (self.zones.iter().zip(&self.governs).zip(&sample.temperatures))
                .map(|((zone, governs), reading)| {
                    reading.map(|reading| reading.0).filter(|value| *governs && zone.is_kin(*value))
                })
                .collect();
        for (index, (zone, reading)) in
            self.zones.iter_mut().zip(&mut sample.temperatures).enumerate()
        {
            let others = trusted
                .iter()
                .enumerate()
                .filter(|(other, _)| *other != index)
                .filter_map(|(_, value)| *value);
            let mut kin: ArrayVec<f64, MAX_ZONES> = others.map(f64::from).collect();
            kin.sort_unstable_by(f64::total_cmp);
            let median = quantile(&kin, 0.5);
            zone.surround(median, kin.len(), load);
            let value = reading.map(|reading| reading.0);
            let settled = |(good, when): (f32, Duration), value: f32| {
                (value - good).abs() <= JUMP || at.saturating_sub(when) >= SETTLED
            };
            let fault = match value {
                None => zone.silence(),
                Some(value) if value.is_nan() => Some(Fault::NotANumber),
                Some(value) if value <= OFF => Some(Fault::Off),
                Some(value) if !zone.believable(value) => Some(Fault::Beyond { value }),
                Some(value) if let Some(kin) = too_cold(value, median) => {
                    Some(Fault::Colder { value, kin })
                }
                Some(value) => match zone.good {
                    Some(good) if !settled(good, value) => {
                        Some(Fault::Jumped { value, from: good.0 })
                    }
                    _ => zone.frozen(at, value),
                },
            };
            if !zone.note(at, value, fault) {
                *reading = None;
            }
        }
    }

    fn judge_rails(&mut self, sample: &mut Sample) {
        let at = sample.at;
        let loads = [sample.gpu_load, sample.cpu_load];
        for (rail, reading) in self.rails.iter_mut().zip(&mut sample.rails) {
            let load = match rail.follows {
                Follows::Gpu => loads[0],
                Follows::Cpu => loads[1],
                _ => loads.into_iter().flatten().reduce(f32::max),
            };
            rail.surround(None, 0, load);
            let value = reading.map(|reading| reading.0);
            let fault = match value {
                None if rail.follows == Follows::Parts => None,
                None => rail.silence(),
                Some(value) if value.is_nan() => Some(Fault::NotANumber),
                Some(value) if !rail.believable(value) => Some(Fault::Beyond { value }),
                Some(value) => rail.frozen(at, value),
            };
            if !rail.note(at, value, fault) {
                *reading = None;
            } else if let Some(power) = reading {
                power.0 = power.0.max(0.0);
            }
        }
        for (sum, parts) in &self.sums {
            let doubtful = parts
                .iter()
                .any(|part| self.rails.get(*part).is_some_and(|rail| rail.fault.is_some()));
            if let Some(reading) = sample.rails.get_mut(*sum).filter(|_| doubtful) {
                *reading = None;
            }
        }
    }

    /// What is left out now, and why.
    pub fn doubts(&self) -> Vec<Doubt> {
        let all = self.rails.iter().chain(&self.zones).chain(&self.others);
        all.filter_map(|watched| {
            Some(Doubt { sensor: watched.name.clone(), why: watched.why(watched.fault?, self.at) })
        })
        .collect()
    }
}

/// The median of the kin, if a zone that reads `value` is far below it.
fn too_cold(value: f32, median: Option<f64>) -> Option<f32> {
    let kin = median? as f32;
    (kin - value >= COLDER || (value == 0.0 && kin > WARM)).then_some(kin)
}

fn watched_rail(rail: &Rail, total: bool) -> Watched {
    let name = rail.name.to_ascii_uppercase();
    let follows = match (rail.sum, total, name.contains("GPU"), name.contains("CPU")) {
        (true, ..) => Follows::Parts,
        (_, true, ..) => Follows::Load,
        (_, _, true, false) => Follows::Gpu,
        (_, _, false, true) => Follows::Cpu,
        _ => Follows::Nothing,
    };
    let range = if total { (LEAST_TOTAL, POWERS.1) } else { POWERS };
    Watched::new(rail.name.clone(), " mW", range, follows)
}

fn watched_zone(zone: &Zone) -> Watched {
    // Nothing depends on the others, and placeholders stand still for good.
    let follows = if zone.governs { Follows::Kin } else { Follows::Nothing };
    Watched::new(zone.name.clone(), " °C", TEMPERATURES, follows)
}

#[cfg(test)]
mod tests;
