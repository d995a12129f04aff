//! Several sources of readings as one. It reads nothing itself and knows no clock but that of its
//! own cost.
//!
//! Sources are merged capability by capability: a rail or zone is the one of the first source that
//! has it, and while that one does not answer the next source that knows it by the same name fills
//! in; other values come from the first source that knows them. Names are compared as boards write
//! them (`GPU-therm` of sysfs is `GPU` of tegrastats). The readings of all are then judged
//! together, so that what one source says can be held against another.

use std::time::Duration;

use super::missing::made_up_for;
use super::trust::Trust;
use super::{Cost, Doubt, Inventory, MAX_RAILS, MAX_ZONES, Sample, Telemetry};

/// A source and where its readings go.
struct Source {
    telemetry: Box<dyn Telemetry>,
    sample: Sample,
    /// For each of its rails and zones, the index in the merged inventory, if it is there.
    rails: Vec<Option<usize>>,
    zones: Vec<Option<usize>>,
}

/// Several sources as one.
pub struct Merged {
    sources: Vec<Source>,
    inventory: Inventory,
    trust: Trust,
    /// The source that counts over-current events: counts of two sources must not be mixed.
    counts: Option<usize>,
}

impl Merged {
    /// The more trusted sources first.
    pub fn new(sources: Vec<Box<dyn Telemetry>>) -> Self {
        let mut inventory = Inventory::default();
        let sources: Vec<Source> =
            sources.into_iter().map(|telemetry| Source::join(telemetry, &mut inventory)).collect();
        let missing = std::mem::take(&mut inventory.missing);
        for lacking in missing {
            if !made_up_for(&lacking, &inventory)
                && !inventory.missing.iter().any(|other| other.what == lacking.what)
            {
                inventory.missing.push(lacking);
            }
        }
        let counting = |source: &Source| {
            source.telemetry.inventory().others.iter().any(|(key, _)| key == "over-current")
        };
        let trust = Trust::new(&inventory);
        Self { counts: sources.iter().position(counting), sources, inventory, trust }
    }
}

impl Source {
    /// Adds what `telemetry` has and the sources before it have not.
    fn join(telemetry: Box<dyn Telemetry>, all: &mut Inventory) -> Self {
        let own = telemetry.inventory();
        let mut rails = Vec::with_capacity(own.rails.len());
        for rail in &own.rails {
            // Of two sums for the board the first is enough, and names of one source may repeat.
            let known = (0..all.rails.len()).find(|index| {
                !rails.contains(&Some(*index)) && same(&all.rails[*index].name, &rail.name)
            });
            let redundant = rail.sum && all.total.is_some();
            let place = known
                .or_else(|| (!redundant && all.rails.len() < MAX_RAILS).then_some(all.rails.len()));
            if place == Some(all.rails.len()) {
                all.rails.push(rail.clone());
            }
            rails.push(place);
        }
        let mut zones = Vec::with_capacity(own.zones.len());
        for zone in &own.zones {
            let known = (0..all.zones.len()).find(|index| {
                !zones.contains(&Some(*index)) && same(&all.zones[*index].name, &zone.name)
            });
            let place = known.or_else(|| (all.zones.len() < MAX_ZONES).then_some(all.zones.len()));
            if place == Some(all.zones.len()) {
                all.zones.push(zone.clone());
            }
            zones.push(place);
        }
        all.total =
            all.total.or_else(|| own.total.and_then(|total| rails.get(total).copied().flatten()));
        all.board = all.board.take().or_else(|| own.board.clone());
        all.release = all.release.take().or_else(|| own.release.clone());
        if all.power_modes.is_empty() {
            all.power_modes.clone_from(&own.power_modes);
        }
        for (key, origin) in &own.others {
            if !all.others.iter().any(|(known, _)| known == key) {
                all.others.push((key.clone(), origin.clone()));
            }
        }
        all.missing.extend(own.missing.iter().cloned());
        Self { telemetry, sample: Sample::default(), rails, zones }
    }

    /// Puts its readings where nothing is known yet.
    fn fill(&self, counts: bool, into: &mut Sample) {
        let own = &self.sample;
        for (reading, place) in own.rails.iter().zip(&self.rails) {
            if let Some(held) = place.and_then(|place| into.rails.get_mut(place)) {
                *held = held.or(*reading);
            }
        }
        for (reading, place) in own.temperatures.iter().zip(&self.zones) {
            if let Some(held) = place.and_then(|place| into.temperatures.get_mut(place)) {
                *held = held.or(*reading);
            }
        }
        into.gpu_clock = into.gpu_clock.or(own.gpu_clock);
        into.gpu_clock_cap = into.gpu_clock_cap.or(own.gpu_clock_cap);
        into.gpu_load = into.gpu_load.or(own.gpu_load);
        into.cpu_clock = into.cpu_clock.or(own.cpu_clock);
        into.cpu_load = into.cpu_load.or(own.cpu_load);
        into.cpu_pressure = into.cpu_pressure.or(own.cpu_pressure);
        into.memory_available_mib = into.memory_available_mib.or(own.memory_available_mib);
        into.power_mode = into.power_mode.or(own.power_mode);
        // One that sees the board slowed down is enough.
        into.throttling = match (into.throttling, own.throttling) {
            (Some(held), Some(own)) => Some(held || own),
            (held, own) => held.or(own),
        };
        if counts {
            into.over_current = own.over_current;
        }
    }
}

impl Telemetry for Merged {
    fn inventory(&self) -> &Inventory {
        &self.inventory
    }

    fn sample(&mut self, at: Duration, sample: &mut Sample) {
        let begun = Cost::begin();
        *sample = Sample { at, ..Sample::default() };
        sample.rails.extend(self.inventory.rails.iter().map(|_| None).take(MAX_RAILS));
        sample.temperatures.extend(self.inventory.zones.iter().map(|_| None).take(MAX_ZONES));
        let mut elsewhere = Duration::ZERO;
        for (index, source) in self.sources.iter_mut().enumerate() {
            source.telemetry.sample(at, &mut source.sample);
            if source.telemetry.is_elsewhere() {
                elsewhere += source.sample.cost;
            }
            source.fill(self.counts == Some(index), sample);
        }
        self.trust.judge(sample);
        sample.cost = begun.spent() + elsewhere;
    }

    /// Those of the sources, unless another one made up for them, and what only all readings
    /// together show.
    fn doubts(&self) -> Vec<Doubt> {
        let mut all = self.trust.doubts();
        for doubt in self.sources.iter().flat_map(|source| source.telemetry.doubts()) {
            match all.iter_mut().find(|known| same(&known.sensor, &doubt.sensor)) {
                // The source knows better why it says nothing.
                Some(known) => known.why = doubt.why,
                None if !self.has(&doubt.sensor) => all.push(doubt),
                None => {}
            }
        }
        all
    }
}

impl Merged {
    /// True if the inventory has a rail or zone of this name, which is thus judged here.
    fn has(&self, sensor: &str) -> bool {
        let mut names = self
            .inventory
            .rails
            .iter()
            .map(|rail| &rail.name)
            .chain(self.inventory.zones.iter().map(|zone| &zone.name));
        names.any(|name| same(name, sensor))
    }
}

/// True if two sources mean the same rail or zone.
fn same(one: &str, other: &str) -> bool {
    plain(one) == plain(other)
}

/// A name without what only some sources add to it.
fn plain(name: &str) -> String {
    let mut name = name.to_ascii_lowercase();
    if name == "thermal-fan-est" || name == "pmic-die" {
        // As tegrastats shortens them.
        name.truncate(name.find("-fan-est").or(name.find("-die")).unwrap_or(name.len()));
        return name;
    }
    for end in ["-therm", "_therm", "-thermal", "_thermal", "_tegra", "-tegra"] {
        if let Some(stem) = name.strip_suffix(end) {
            name.truncate(stem.len());
            break;
        }
    }
    // Rails of the TX2: `VDD_SYS_GPU` and `VDD_4V0_WIFI` of L4T 32 are `VDD_GPU` and `VDD_WIFI` of
    // L4T 28.
    name.replacen("vdd_sys_", "vdd_", 1).replacen("vdd_4v0_", "vdd_", 1)
}

#[cfg(test)]
mod tests;
