//! The budget as a user meets it: the built program on a board whose readings were recorded, with a
//! limit that binds, cannot be kept, or does not matter; and what is left of the frames then.

use std::fs::{self, File};
use std::path::Path;

use crate::common::program::*;
use serde_json::{Value, json};
use squint::telemetry::recorded::RecordedWriter;
use squint::telemetry::{Inventory, Rail, Sample, Zone};
use squint::units::{Celsius, Milliwatts};

/// Two engines of which nobody doubts which is the cheaper one, however busy the machine.
const ENGINE_SET: [&str; 2] = ["lite0-128-int8", "lite2-260-f32"];

/// A board with one rail and one zone that read the same for a minute.
fn board(folder: &Path, mw: Option<f32>, celsius: Option<f32>) {
    let zone = Zone {
        name: "GPU-therm".into(),
        origin: "made up".into(),
        trips: Vec::new(),
        throttle_at: Some(Celsius(95.5)),
        governs: true,
    };
    let inventory = Inventory {
        board: Some("cardboard".into()),
        rails: vec![Rail { name: "VDD_IN".into(), origin: "made up".into(), sum: false }],
        total: Some(0),
        zones: vec![zone],
        ..Inventory::default()
    };
    let mut writer =
        RecordedWriter::new(File::create(folder.join("samples.jsonl")).unwrap(), &inventory)
            .unwrap();
    for half_seconds in 0..120 {
        let sample = Sample {
            at: std::time::Duration::from_millis(500 * half_seconds),
            rails: [mw.map(Milliwatts)].into_iter().collect(),
            temperatures: [celsius.map(Celsius)].into_iter().collect(),
            ..Sample::default()
        };
        writer.write(&sample).unwrap();
    }
    writer.finish().unwrap();
}

/// Twelve seconds of a camera under this `[budget]`; what was said, and the records.
fn run(folder: &Path, budget: &str) -> (Told, Vec<Value>) {
    let policy = folder.join("tested.policy.toml");
    let [small, large] = ENGINE_SET;
    let text = format!(
        "format = 1\nname = \"tested\"\nkind = \"confidence\"\n[engines]\n{small} = \"any\"\n{large} = \"any\"\n[confidence]\n\
         score = \"max-softmax\"\n[[confidence.stages]]\nengine = \"{small}\"\naccept-above = 0.99\n[[confidence.stages]]\n\
         engine = \"{large}\"\n"
    );
    fs::write(&policy, text).unwrap();
    let (samples, out) = (folder.join("samples.jsonl"), folder.join("out.jsonl"));
    let config = format!(
        "policy = {policy:?}\n[[camera]]\nname = \"door\"\nsource = \"test\"\nrate-hz = 20\nwidth = 320\nheight = 240\ndeadline-ms = 5000\n\
         [budget]\n{budget}\n[telemetry]\nnvml = false\nrecorded = {samples:?}\n[output]\nstdout = \"none\"\nsummary = false\n\
         [output.file]\npath = {out:?}\n"
    );
    let file = folder.join("squint.toml");
    fs::write(&file, config).unwrap();
    let told = tell(squint([
        "run",
        "--frames",
        "240",
        "--log",
        "info",
        "--config",
        file.to_str().unwrap(),
    ]));
    let text = fs::read_to_string(&out).unwrap_or_default();
    (told, records(&text))
}

fn decided_by_budget(record: &Value) -> bool {
    record["verdict"]["code"] == "budget"
        || record["engines"].as_array().unwrap().iter().any(|step| step["why"]["code"] == "budget")
}

#[test]
fn a_cap_that_the_board_exceeds_leaves_the_cheapest_engine_and_fewer_frames_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    board(folder.path(), Some(9000.0), Some(50.0));
    let (told, records) = run(folder.path(), "power-mw = 6000\npower-window-s = 5\nmin-fps = 2");
    let told = told.ends(0);
    assert!(
        told.err
            .contains("budget: on average 9000 mW, the cap is 6000 mW; allowed: lite0-128-int8;"),
        "{}",
        told.err
    );
    assert!(told.err.contains("budget.power-mw: 6000.0 mW cannot be kept"), "{}", told.err);
    let held: Vec<_> = records.iter().filter(|record| decided_by_budget(record)).collect();
    assert!(held.len() > records.len() / 4, "{} of {} frames", held.len(), records.len());
    for record in &held {
        let why = match &record["verdict"]["code"] {
            code if code == "budget" => &record["verdict"],
            _ => record["engines"]
                .as_array()
                .unwrap()
                .iter()
                .map(|step| &step["why"])
                .find(|why| why["code"] == "budget")
                .unwrap(),
        };
        assert_eq!((&why["value"], &why["limit"]), (&json!(9000.0), &json!(6000.0)), "{record}");
    }
    let last = &records[records.len() * 3 / 4..];
    let looked = |engine: &str| {
        let asked = |record: &&Value| {
            record["engines"].as_array().unwrap().iter().any(|step| step["id"] == engine)
        };
        last.iter().filter(asked).count()
    };
    assert_eq!(
        looked(ENGINE_SET[1]),
        0,
        "the larger engine rests\n{}\n{:?}",
        told.err,
        last.first()
    );
    let small = looked(ENGINE_SET[0]);
    assert!(
        small > 0 && small < last.len(),
        "the least rate is kept, and no more: {small} of {} frames\n{}",
        last.len(),
        told.err
    );
}

#[test]
fn limits_that_do_not_bind_change_no_decision() {
    let folder = tempfile::tempdir().unwrap();
    board(folder.path(), Some(4000.0), Some(50.0));
    let (told, records) =
        run(folder.path(), "power-mw = 60000\ntemperature-c = 90\nlatency-ms = 60000");
    let told = told.ends(0);
    assert!(!told.err.contains("budget:"), "{}", told.err);
    assert!(records.len() > 30, "{} records\n{}", records.len(), told.err);
    let held = records.iter().find(|record| decided_by_budget(record));
    assert!(held.is_none(), "{held:?}");
}

#[test]
fn a_cap_on_a_board_without_a_reading_asks_for_no_more_than_the_cheapest_engine() {
    let folder = tempfile::tempdir().unwrap();
    board(folder.path(), None, Some(50.0));
    let (told, records) = run(folder.path(), "power-mw = 6000");
    let told = told.ends(0);
    assert!(told.err.contains("a reading that a limit needs is gone"), "{}", told.err);
    let last = &records[records.len() / 2..];
    assert!(last.iter().all(|record| {
        record["engines"].as_array().unwrap().iter().all(|step| step["id"] == ENGINE_SET[0])
    }));
}

#[test]
fn a_rail_that_the_board_does_not_have_is_refused_with_those_that_it_has() {
    let folder = tempfile::tempdir().unwrap();
    board(folder.path(), Some(4000.0), None);
    let (told, _) = run(folder.path(), "power-mw = 6000\npower-rail = \"VDD_CPU\"");
    let told = told.ends(64);
    assert!(
        told.err.contains(
            "budget.power-rail: there is no rail `VDD_CPU` on this board; there are: VDD_IN"
        ),
        "{}",
        told.err
    );
}

#[test]
fn recorded_readings_that_cannot_be_read_are_refused_with_file_and_line() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(
        folder.path().join("samples.jsonl"),
        "{\"v\":1,\"inventory\":{}}\n{\"at\":{\"secs\":0,\"nanos\":0},\"rails\":[\"hot\"]}\n",
    )
    .unwrap();
    let (told, _) = run(folder.path(), "power-mw = 6000");
    let told = told.ends(64);
    assert!(told.err.contains("samples.jsonl") && told.err.contains('2'), "{}", told.err);
}
