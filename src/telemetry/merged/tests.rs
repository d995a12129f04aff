//! What becomes of several sources.

use super::*;
use crate::telemetry::{Rail, Zone, missing};
use crate::units::{Celsius, Megahertz, Milliwatts};

/// A source that says what it was told to.
struct Told {
    inventory: Inventory,
    says: Sample,
    doubts: Vec<Doubt>,
}

impl Telemetry for Told {
    fn inventory(&self) -> &Inventory {
        &self.inventory
    }

    fn sample(&mut self, at: Duration, sample: &mut Sample) {
        *sample = Sample { at, ..self.says.clone() };
    }

    fn doubts(&self) -> Vec<Doubt> {
        self.doubts.clone()
    }
}

fn told(rails: &[(&str, Option<f32>)], zones: &[(&str, Option<f32>)]) -> Told {
    let rail =
        |(name, _): &(&str, _)| Rail { name: (*name).into(), origin: "told".into(), sum: false };
    let zone = |(name, _): &(&str, _)| Zone {
        name: (*name).into(),
        origin: "told".into(),
        trips: vec![],
        throttle_at: None,
        governs: true,
    };
    Told {
        inventory: Inventory {
            rails: rails.iter().map(rail).collect(),
            zones: zones.iter().map(zone).collect(),
            ..Inventory::default()
        },
        says: Sample {
            rails: rails.iter().map(|(_, power)| power.map(Milliwatts)).collect(),
            temperatures: zones.iter().map(|(_, heat)| heat.map(Celsius)).collect(),
            ..Sample::default()
        },
        doubts: vec![],
    }
}

fn read(merged: &mut Merged) -> Sample {
    let mut sample = Sample::default();
    merged.sample(Duration::from_secs(1), &mut sample);
    sample
}

#[test]
fn the_first_source_counts_and_the_next_fills_what_is_unknown_by_the_name_of_the_board() {
    let first =
        told(&[("VDD_SYS_GPU", None)], &[("GPU-therm", Some(45.0)), ("thermal-fan-est", None)]);
    let mut next = told(
        &[("VDD_IN", Some(3000.0)), ("VDD_GPU", Some(153.0))],
        &[("thermal", Some(42.0)), ("GPU", Some(44.0)), ("AO", Some(41.0))],
    );
    next.inventory.total = Some(0);
    next.says.gpu_clock = Some(Megahertz(114.75));
    let mut merged = Merged::new(vec![Box::new(first), Box::new(next)]);
    let names: Vec<_> = merged.inventory().rails.iter().map(|rail| rail.name.as_str()).collect();
    assert_eq!(
        (names.as_slice(), merged.inventory().total),
        (["VDD_SYS_GPU", "VDD_IN"].as_slice(), Some(1))
    );
    let names: Vec<_> = merged.inventory().zones.iter().map(|zone| zone.name.as_str()).collect();
    assert_eq!(names, ["GPU-therm", "thermal-fan-est", "AO"]);
    let sample = read(&mut merged);
    assert_eq!(sample.rails.as_slice(), [Some(Milliwatts(153.0)), Some(Milliwatts(3000.0))]);
    assert_eq!(
        sample.temperatures.as_slice(),
        [Some(Celsius(45.0)), Some(Celsius(42.0)), Some(Celsius(41.0))]
    );
    assert_eq!(sample.gpu_clock, Some(Megahertz(114.75)));
}

#[test]
fn what_one_source_lacks_is_not_missing_if_another_has_it() {
    let (mut first, mut next) = (told(&[], &[]), told(&[("VDD_IN", Some(3000.0))], &[]));
    first.inventory.missing =
        vec![missing::power_rails("none"), missing::missing(missing::GPU_CLOCK, "none", "x")];
    next.inventory.missing = vec![missing::missing(missing::GPU_CLOCK, "none here", "x")];
    let merged = Merged::new(vec![Box::new(first), Box::new(next)]);
    let lacking: Vec<_> =
        merged.inventory().missing.iter().map(|missing| missing.why.as_str()).collect();
    assert_eq!(lacking, ["none"], "the clock, once");
}

#[test]
fn over_current_is_counted_by_one_source_and_throttling_seen_by_any() {
    let mut sources = [told(&[], &[]), told(&[], &[]), told(&[], &[])];
    sources[0].says.over_current = Some(7);
    sources[1].says.over_current = Some(3);
    sources[1].inventory.others.push(("over-current".into(), "counter".into()));
    sources[1].says.throttling = Some(false);
    sources[2].says.throttling = Some(true);
    let mut merged =
        Merged::new(sources.into_iter().map(|told| Box::new(told) as Box<dyn Telemetry>).collect());
    let sample = read(&mut merged);
    assert_eq!((sample.over_current, sample.throttling), (Some(3), Some(true)));
}

#[test]
fn a_doubt_is_told_once_with_the_sources_reason_and_not_at_all_if_another_made_up_for_it() {
    let mut first = told(&[], &[("GPU-therm", None), ("AO-therm", None)]);
    let doubt = |sensor: &str| Doubt { sensor: sensor.into(), why: "is switched off".into() };
    first.doubts = vec![doubt("GPU-therm"), doubt("AO-therm"), doubt("whatever")];
    let next = told(&[], &[("GPU", Some(44.0))]);
    let mut merged = Merged::new(vec![Box::new(first), Box::new(next)]);
    read(&mut merged);
    read(&mut merged);
    assert_eq!(merged.doubts(), [doubt("AO-therm"), doubt("whatever")]);
}

#[test]
fn no_source_at_all_knows_nothing() {
    let mut merged = Merged::new(vec![]);
    let sample = read(&mut merged);
    assert_eq!(sample, Sample { at: sample.at, cost: sample.cost, ..Sample::default() });
}
