//! A board as its tegrastats tells of it: the first lines say what there is, each later one what it
//! reads.
//!
//! Pure: lines in, readings out. The rails and zones that the first lines name keep their places
//! for good; a name that comes later is not read, and [`Board::doubts`] says so. Used by the live
//! source, the simulator and the tests alike.

use super::scan::{Token, scan};
use crate::telemetry::{
    Doubt, Inventory, MAX_RAILS, MAX_ZONES, Rail, Sample, Zone, missing, names,
};
use crate::units::Milliwatts;

/// Where readings come from, in the inventory.
pub const ORIGIN: &str = "tegrastats";
/// Name of the rail that is summed up where none stands for the whole board.
const SUM: &str = "sum";
/// Most late names that are kept.
const MOST_LATE: usize = 16;

/// What is known of the board, and its newest readings.
#[derive(Debug, Default)]
pub struct Board {
    inventory: Inventory,
    /// Names as printed, in the order of the inventory; a name may come more than once.
    rails: Vec<String>,
    zones: Vec<String>,
    fixed: bool,
    latest: Sample,
    /// Zones of the newest line that are switched off, a bit each.
    off: u32,
    late: Vec<String>,
    /// Names for which there was no room while learning, and for how many there is.
    surplus: Vec<(String, usize)>,
    seen: Seen,
}

/// Values beside rails and zones that some line had.
#[derive(Debug, Default)]
struct Seen {
    gpu_load: bool,
    gpu_clock: bool,
    cpu_load: bool,
    cpu_clock: bool,
    memory: bool,
}

impl Board {
    /// Takes a line. False if there is nothing in it to read; then the readings stay as they were.
    /// Allocates only for new names.
    pub fn take(&mut self, line: &[u8]) -> bool {
        let mut taken = false;
        scan(line, |token| taken |= !matches!(token, Token::Skipped { .. }));
        if !taken {
            return false;
        }
        self.latest = Sample::default();
        self.off = 0;
        let (mut rails, mut zones) = (0u32, 0u32);
        self.clear();
        scan(line, |token| match token {
            Token::Rail { name, power } => {
                if let Some(at) = self.place(name, &mut rails, Kind::Rail) {
                    self.latest.rails[at] = Some(power);
                }
            }
            Token::Zone { name, temperature } => {
                if let Some(at) = self.place(name, &mut zones, Kind::Zone) {
                    self.latest.temperatures[at] = temperature;
                    self.off |= u32::from(temperature.is_none()) << at;
                }
            }
            Token::Gpu { load, clock } => {
                (self.latest.gpu_load, self.latest.gpu_clock) = (load, clock);
                self.seen.gpu_load |= load.is_some();
                self.seen.gpu_clock |= clock.is_some();
            }
            Token::Cpu { load, clock } => {
                (self.latest.cpu_load, self.latest.cpu_clock) = (load, clock);
                self.seen.cpu_load |= load.is_some();
                self.seen.cpu_clock |= clock.is_some();
            }
            Token::Memory { available_mib } => {
                self.latest.memory_available_mib = Some(available_mib);
                self.seen.memory = true;
            }
            Token::Skipped { .. } => (),
        });
        self.add_up();
        true
    }

    /// Ends learning: from now on the inventory stays as it is. Says what stands for the whole
    /// board and what is missing.
    pub fn fix(&mut self) {
        if std::mem::replace(&mut self.fixed, true) {
            return;
        }
        let total = names::total(self.rails.iter().map(String::as_str));
        let inventory = &mut self.inventory;
        inventory.total = total;
        if total.is_none() && !inventory.rails.is_empty() {
            if inventory.rails.len() < MAX_RAILS {
                let parts: Vec<&str> =
                    inventory.rails.iter().map(|rail| rail.name.as_str()).collect();
                let origin = parts.join(" + ");
                inventory.total = Some(inventory.rails.len());
                inventory.rails.push(Rail { name: SUM.into(), origin, sum: true });
                self.latest.rails.push(None);
            } else {
                inventory.missing.push(missing::missing(
                    "power of the board",
                    "no room for the sum of all rails",
                    missing::POWER_LIMITS,
                ));
            }
        }
        if inventory.rails.is_empty() {
            inventory.missing.push(missing::power_rails("tegrastats prints none"));
        }
        if !inventory.zones.iter().any(|zone| zone.governs) {
            inventory.missing.push(missing::missing(
                missing::ZONES,
                "tegrastats prints none",
                missing::HEAT_LIMIT,
            ));
        }
        for (name, most) in self.surplus.drain(..) {
            inventory.missing.push(missing::too_many(&name, most));
        }
        for (seen, key, what, origin) in [
            (self.seen.gpu_load, "gpu-load", missing::GPU_LOAD, "GR3D_FREQ"),
            (self.seen.gpu_clock, "gpu-clock", missing::GPU_CLOCK, "GR3D_FREQ"),
            (self.seen.cpu_load, "cpu-load", missing::CPU_LOAD, "CPU"),
            (self.seen.cpu_clock, "cpu-clock", missing::CPU_CLOCK, "CPU"),
            (self.seen.memory, "memory-available", missing::MEMORY, "RAM, total less used"),
        ] {
            match seen {
                true => inventory.others.push((key.into(), format!("{ORIGIN} {origin}"))),
                false => inventory.missing.push(missing::missing(
                    what,
                    "tegrastats does not print it; some fields need root",
                    "nothing else",
                )),
            }
        }
        self.add_up();
    }

    /// What there is; empty before the first line, final after [`Board::fix`].
    pub fn inventory(&self) -> &Inventory {
        &self.inventory
    }

    /// The newest readings, in the order of the inventory; `at` and `cost` are 0. All are `None`
    /// before the first line.
    pub fn latest(&self) -> &Sample {
        &self.latest
    }

    /// Puts `None` in place of every reading of `sample`.
    pub fn blank(&self, sample: &mut Sample) {
        *sample = Sample::default();
        sample.rails.extend(self.inventory.rails.iter().map(|_| None));
        sample.temperatures.extend(self.inventory.zones.iter().map(|_| None));
    }

    /// What the newest line left out of what the first ones had, what is switched off, and what
    /// came too late.
    pub fn doubts(&self) -> Vec<Doubt> {
        let doubt = |sensor: &str, why: &str| Doubt { sensor: sensor.into(), why: why.into() };
        let rails = self
            .inventory
            .rails
            .iter()
            .zip(&self.latest.rails)
            .filter(|(_, reading)| reading.is_none());
        let mut doubts: Vec<Doubt> = rails
            .map(|(rail, _)| {
                doubt(
                    &rail.name,
                    if rail.sum {
                        "some of its parts are unknown"
                    } else {
                        "missing from the newest line"
                    },
                )
            })
            .collect();
        for (at, (zone, reading)) in
            self.inventory.zones.iter().zip(&self.latest.temperatures).enumerate()
        {
            match reading {
                Some(_) => (),
                None if self.off >> at & 1 == 1 => {
                    doubts.push(doubt(&zone.name, "is switched off: it reads -256 °C"))
                }
                None => doubts.push(doubt(&zone.name, "missing from the newest line")),
            }
        }
        let late = self.late.iter().map(|name| {
            doubt(name, "first seen after start, so it is not read before the next start")
        });
        doubts.extend(late);
        doubts
    }

    fn clear(&mut self) {
        self.latest.rails.extend(self.inventory.rails.iter().map(|_| None));
        self.latest.temperatures.extend(self.inventory.zones.iter().map(|_| None));
    }

    /// The place of a name's next occurrence in this line; `taken` marks places by bits. A new name
    /// gets one while learning.
    fn place(&mut self, name: &str, taken: &mut u32, kind: Kind) -> Option<usize> {
        let names = if kind == Kind::Rail { &mut self.rails } else { &mut self.zones };
        let mut places = names.iter().enumerate();
        if let Some((at, _)) = places.find(|(at, known)| *known == name && *taken >> at & 1 == 0) {
            *taken |= 1 << at;
            return Some(at);
        }
        let most = if kind == Kind::Rail { MAX_RAILS } else { MAX_ZONES };
        if self.fixed || names.len() == most {
            let known = self.late.iter().chain(self.surplus.iter().map(|(known, _)| known));
            if known.clone().count() < MOST_LATE && !known.into_iter().any(|known| known == name) {
                match self.fixed {
                    true => self.late.push(name.to_owned()),
                    false => self.surplus.push((name.to_owned(), most)),
                }
            }
            return None;
        }
        let (at, same) = (names.len(), names.iter().filter(|known| *known == name).count());
        names.push(name.to_owned());
        *taken |= 1 << at;
        // Twins are told apart, for others find a sensor by its name.
        let name = if same == 0 { name.to_owned() } else { format!("{name} ({})", same + 1) };
        match kind {
            Kind::Rail => {
                self.inventory.rails.push(Rail { name, origin: ORIGIN.into(), sum: false });
                self.latest.rails.push(None);
            }
            Kind::Zone => {
                let governs = names::zone_governs(&name);
                self.inventory.zones.push(Zone {
                    name,
                    origin: ORIGIN.into(),
                    trips: vec![],
                    throttle_at: None,
                    governs,
                });
                self.latest.temperatures.push(None);
            }
        }
        Some(at)
    }

    /// The rail that is a sum of all others: unknown if one of them is.
    fn add_up(&mut self) {
        if self.inventory.rails.last().is_some_and(|rail| rail.sum)
            && let Some((sum, parts)) = self.latest.rails.split_last_mut()
        {
            *sum = parts
                .iter()
                .try_fold(0.0, |sum, part| part.map(|part| sum + part.0))
                .map(Milliwatts);
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Rail,
    Zone,
}

const _: () = assert!(MAX_RAILS <= 32 && MAX_ZONES <= 32, "places are marked in 32 bits");

#[cfg(test)]
mod tests;
