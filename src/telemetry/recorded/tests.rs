//! Recorded samples come back as they were, and damaged files are told where and why.

use super::*;
use crate::telemetry::{Rail, Trip, TripKind, Zone};
use crate::units::{Celsius, Megahertz, Milliwatts};
use proptest::prelude::*;

fn inventory() -> Inventory {
    let trips = vec![Trip {
        kind: TripKind::Passive,
        at: Celsius(95.5),
        binds: vec!["gpu-throttle".into()],
    }];
    Inventory {
        board: Some("a board".into()),
        rails: vec![Rail { name: "VDD_IN".into(), origin: "here".into(), sum: false }],
        total: Some(0),
        zones: vec![Zone {
            name: "GPU".into(),
            origin: "here".into(),
            trips,
            throttle_at: Some(Celsius(95.5)),
            governs: true,
        }],
        ..Inventory::default()
    }
}

fn sample(at_ms: u64, milliwatts: f32) -> Sample {
    let mut sample = Sample {
        at: Duration::from_millis(at_ms),
        gpu_clock: Some(Megahertz(114.75)),
        ..Sample::default()
    };
    sample.rails.push(Some(Milliwatts(milliwatts)));
    sample.temperatures.push(None);
    sample
}

fn written(samples: &[Sample]) -> Vec<u8> {
    let mut writer = RecordedWriter::new(Vec::new(), &inventory()).unwrap();
    samples.iter().for_each(|sample| writer.write(sample).unwrap());
    writer.finish().unwrap()
}

fn refused(bytes: &[u8]) -> String {
    Recorded::read("a.jsonl", bytes).unwrap_err().to_string()
}

#[test]
fn what_was_written_is_read_again_and_given_at_its_time() {
    let samples = [sample(100, 5000.25), sample(600, 0.1), sample(600, 7.0)];
    let mut recorded = Recorded::read("a.jsonl", &written(&samples)[..]).unwrap();
    assert_eq!((recorded.inventory(), recorded.samples()), (&inventory(), &samples[..]));
    let mut got = Sample::default();
    for (at, expected) in [
        (100, &samples[0]),
        (599, &samples[0]),
        (600, &samples[2]),
        (9_000, &samples[2]),
        (100, &samples[0]),
    ] {
        recorded.sample(Duration::from_millis(at), &mut got);
        assert_eq!(&got, expected, "at {at} ms");
    }
    recorded.sample(Duration::from_millis(99), &mut got);
    assert_eq!(
        (got.rails[..].to_vec(), got.temperatures[..].to_vec(), got.gpu_clock),
        (vec![None], vec![None], None)
    );
}

#[test]
fn a_damaged_line_is_told_by_file_line_and_expectation() {
    let good = String::from_utf8(written(&[sample(5, 1.0), sample(6, 2.0)])).unwrap();
    let damaged = |from: &str, to: &str| {
        assert!(good.contains(from), "{from} in {good}");
        refused(good.replacen(from, to, 1).as_bytes())
    };
    for (from, to, expected) in [
        (
            "\"v\":1",
            "\"v\":2",
            "a.jsonl, line 1: version 2, and this Squint reads 1; expected the head",
        ),
        ("\"total\":0", "\"total\":1", "line 1: `total` is not the place of a rail"),
        (
            "\"temperatures\":[null]",
            "\"temperatures\":[]",
            "line 2: 0 temperatures where the inventory has 1",
        ),
        ("\"gpu_clock\":114.75", "\"gpu_clock\":1e39", "line 2: inf is not a finite number"),
        ("\"gpu_load\":null", "\"gpu_load\":1.5", "line 2: `gpu_load` is 1.5, outside 0..=1"),
        (
            "\"nanos\":5000000",
            "\"nanos\":7000000",
            "line 3: `at` is 6ms, earlier than the line before",
        ),
        (
            "\"rails\":[1.0]",
            "\"rails\":[1.0",
            "a.jsonl, line 2: invalid type: string \"temperatures\", expected f32, at column 60; expected a sample",
        ),
        ("95.5,", "1e39,", "line 1: a trip point is not a finite number"),
    ] {
        let error = damaged(from, to);
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn nothing_a_head_alone_and_endless_lines_are_refused() {
    assert!(refused(b"").contains("line 1: ends here"));
    assert!(refused(&written(&[])).contains("line 2: ends here"));
    let mut long = written(&[]);
    long.resize(long.len() + LINE_LIMIT + 1, b' ');
    assert!(refused(&long).contains("line 2: longer than 262144 bytes"));
    let deep = format!("{{\"v\":1,\"inventory\":{}", "[".repeat(100_000));
    assert!(refused(deep.as_bytes()).contains("line 1"));
    let rails = r#"{"name":"R","origin":"","sum":false},"#.repeat(MAX_RAILS + 1);
    let many = format!("{{\"v\":1,\"inventory\":{{\"rails\":[{}]}}}}", rails.trim_end_matches(','));
    assert!(refused(many.as_bytes()).contains("more than 24 rails"));
    assert!(
        refused(&written(&vec![sample(0, 1.0); MOST_SAMPLES + 1]))
            .contains("more than 262144 samples")
    );
    let missing = Recorded::open(Path::new("/nowhere/a.jsonl")).unwrap_err().to_string();
    assert!(missing.starts_with("/nowhere/a.jsonl: "), "{missing}");
}

#[test]
fn what_is_not_a_number_is_written_as_unknown() {
    let recorded = Recorded::read("a.jsonl", &written(&[sample(0, f32::NAN)])[..]).unwrap();
    assert_eq!(recorded.samples()[0].rails[0], None);
}

proptest! {
    #[test]
    fn every_finite_reading_comes_back_to_the_last_bit(bits in prop::collection::vec(any::<u32>(), 1..40)) {
        let readings = bits.iter().map(|bits| f32::from_bits(*bits)).filter(|value| value.is_finite());
        let samples: Vec<Sample> = readings.zip(0..).map(|(value, at)| sample(at, value)).collect();
        prop_assume!(!samples.is_empty());
        let recorded = Recorded::read("a.jsonl", &written(&samples)[..]).unwrap();
        for (was, is) in samples.iter().zip(recorded.samples()) {
            prop_assert_eq!(was.rails[0].unwrap().0.to_bits(), is.rails[0].unwrap().0.to_bits());
        }
    }
}
