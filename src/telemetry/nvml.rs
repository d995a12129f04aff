//! Readings of NVIDIA GPUs through NVML, NVIDIA's management library, as found on x86 with a
//! discrete GPU and in part on newer Jetsons.
//!
//! An edge module. The library is loaded while Squint runs, so its absence is a normal state, and
//! it is never unloaded. Every call is tried once when it is opened; what a GPU does not support is
//! listed in [`Inventory::missing`] and not asked for again (an Orin of JetPack 6 supports its name
//! and nothing else). What it says then and there is decided behind a private trait, `Driver`, with
//! a made-up GPU in the tests; the adapter to the real library (`Library`) needs a GPU and is tried
//! by `tests/telemetry/nvml.rs` where there is one.

use std::time::Duration;

use super::{
    Cost, Doubt, Inventory, MAX_RAILS, MAX_ZONES, Missing, Rail, Sample, Telemetry, Trip, TripKind,
    Zone, missing,
};
use crate::units::{Celsius, Megahertz, Milliwatts};

mod driver;
mod library;

use driver::{Driver, Quantity};
use library::Library;

/// Where readings come from, in the inventory.
pub const ORIGIN: &str = "nvml";
/// Most GPUs that are read.
const MOST_GPUS: usize = if MAX_RAILS < MAX_ZONES { MAX_RAILS } else { MAX_ZONES };

/// Telemetry of all GPUs that NVML sees. Rails and zones are called `GPU0`, `GPU1` and so on.
pub struct Nvml<D: Driver = Library> {
    driver: D,
    inventory: Inventory,
    /// GPUs behind the rails and behind the zones, in their order.
    rails: Vec<u32>,
    zones: Vec<u32>,
    /// Quantities of the GPU that works for Squint.
    others: Vec<Quantity>,
    worker: u32,
    /// What was refused in the newest sample: rails and zones by GPU, a bit each.
    refused: [u32; 2],
}

/// As it is called where it is missing.
pub const NAME: &str = "NVML";

/// Loads the library and finds out what the GPUs can tell. `worker` is the number of the GPU that
/// engines run on, whose load and clock are read.
pub fn open(worker: u32) -> Result<Nvml, Missing> {
    Nvml::probe(Library::load().map_err(|why| nothing(&why))?, worker)
}

fn nothing(why: &str) -> Missing {
    missing::missing(NAME, why, "nothing that sysfs has")
}

impl<D: Driver> Nvml<D> {
    /// Tries every call once.
    fn probe(driver: D, worker: u32) -> Result<Self, Missing> {
        let count = driver.count().map_err(|refusal| nothing(&refusal.to_string()))?;
        if worker >= count {
            return Err(nothing(&format!(
                "there are {count} GPUs, numbered from 0, and GPU {worker} is asked for"
            )));
        }
        let mut found = Self {
            driver,
            inventory: Inventory::default(),
            rails: vec![],
            zones: vec![],
            others: vec![],
            worker,
            refused: [0; 2],
        };
        for gpu in 0..count.min(MOST_GPUS as u32) {
            found.add(gpu);
        }
        if count as usize > MOST_GPUS {
            found.inventory.missing.push(missing::too_many("further GPUs", MOST_GPUS));
        }
        for (quantity, key, what) in [
            (Quantity::Load, "gpu-load", missing::GPU_LOAD),
            (Quantity::Clock, "gpu-clock", missing::GPU_CLOCK),
            (Quantity::ClockCap, "gpu-clock-cap", "highest GPU clock"),
            (Quantity::Throttling, "throttling", missing::THROTTLING),
        ] {
            if found.has(worker, quantity, what, "nothing else") {
                found.others.push(quantity);
                found.inventory.others.push((key.into(), format!("{ORIGIN} GPU{worker}")));
            }
        }
        Ok(found)
    }

    /// Takes a GPU into the inventory.
    fn add(&mut self, gpu: u32) {
        let origin = match self.driver.name(gpu) {
            Ok(name) => format!("{ORIGIN}, {name}"),
            Err(_) => ORIGIN.into(),
        };
        if self.has(gpu, Quantity::Power, &format!("power of GPU{gpu}"), missing::POWER_LIMITS) {
            self.rails.push(gpu);
            self.inventory.rails.push(Rail {
                name: format!("GPU{gpu}"),
                origin: origin.clone(),
                sum: false,
            });
        }
        if self.has(
            gpu,
            Quantity::Temperature,
            &format!("temperature of GPU{gpu}"),
            missing::HEAT_LIMIT,
        ) {
            self.zones.push(gpu);
            let trips = self.trips(gpu);
            let throttle_at =
                trips.iter().find(|trip| trip.kind == TripKind::Passive).map(|trip| trip.at);
            self.inventory.zones.push(Zone {
                name: format!("GPU{gpu}"),
                origin,
                trips,
                throttle_at,
                governs: true,
            });
        }
    }

    /// The thresholds that it tells, coolest first.
    fn trips(&self, gpu: u32) -> Vec<Trip> {
        let all = [
            (Quantity::SoftSlowdown, TripKind::Passive),
            (Quantity::HardSlowdown, TripKind::Passive),
            (Quantity::Shutdown, TripKind::Critical),
        ];
        let binds =
            |kind| if kind == TripKind::Passive { vec!["GPU clock".to_owned()] } else { vec![] };
        let told = all.into_iter().filter_map(|(quantity, kind)| {
            let degrees = self
                .driver
                .read(gpu, quantity)
                .ok()
                .filter(|degrees| (1..1000).contains(degrees))?;
            Some(Trip { kind, at: Celsius(degrees as f32), binds: binds(kind) })
        });
        let mut trips: Vec<Trip> = told.collect();
        trips.sort_by(|a, b| a.at.0.total_cmp(&b.at.0));
        trips
    }

    /// Tries a call. One that may work later is kept.
    fn has(&mut self, gpu: u32, quantity: Quantity, what: &str, disables: &str) -> bool {
        match self.driver.read(gpu, quantity) {
            Err(refusal) if D::is_final(&refusal) => {
                self.inventory.missing.push(missing::missing(
                    what,
                    format!("NVML says of GPU{gpu}: {refusal}"),
                    disables,
                ));
                false
            }
            _ => true,
        }
    }

    fn read(&self, gpu: u32, quantity: Quantity) -> Option<f32> {
        self.driver.read(gpu, quantity).ok().map(|value| value as f32)
    }
}

impl<D: Driver> Telemetry for Nvml<D> {
    fn inventory(&self) -> &Inventory {
        &self.inventory
    }

    fn sample(&mut self, at: Duration, sample: &mut Sample) {
        let begun = Cost::begin();
        *sample = Sample { at, ..Sample::default() };
        self.refused = [0; 2];
        for gpu in &self.rails {
            let power = self.read(*gpu, Quantity::Power);
            self.refused[0] |= u32::from(power.is_none()) << gpu;
            sample.rails.push(power.map(Milliwatts));
        }
        for gpu in &self.zones {
            let temperature = self.read(*gpu, Quantity::Temperature);
            self.refused[1] |= u32::from(temperature.is_none()) << gpu;
            sample.temperatures.push(temperature.map(Celsius));
        }
        for quantity in &self.others {
            let value = self.read(self.worker, *quantity);
            match quantity {
                Quantity::Load => {
                    sample.gpu_load =
                        value.map(|per_cent| per_cent / 100.0).filter(|share| *share <= 1.0)
                }
                Quantity::Clock => sample.gpu_clock = value.map(Megahertz),
                Quantity::ClockCap => sample.gpu_clock_cap = value.map(Megahertz),
                Quantity::Throttling => sample.throttling = value.map(|bit| bit > 0.0),
                _ => (),
            }
        }
        sample.cost = begun.spent();
    }

    fn doubts(&self) -> Vec<Doubt> {
        let [power, temperature] = self.refused;
        let silent = |what: &str, bits: u32, gpus: &[u32]| {
            let gpus = gpus.iter().filter(move |gpu| bits >> **gpu & 1 == 1);
            gpus.map(|gpu| Doubt {
                sensor: format!("GPU{gpu}"),
                why: format!("NVML did not give its {what}"),
            })
            .collect::<Vec<_>>()
        };
        [silent("power", power, &self.rails), silent("temperature", temperature, &self.zones)]
            .concat()
    }
}

#[cfg(test)]
mod tests;
