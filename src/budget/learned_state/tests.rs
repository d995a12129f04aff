//! A state that goes to text and back, and one that belongs to somebody else.

use std::time::Duration;

use super::*;
use crate::budget::costs::Prior;
use crate::budget::grants::{Limits, Look, Usage};
use crate::budget::ladder::Ability;
use crate::engine::EngineIdx;
use crate::telemetry::{Inventory, Rail, Sample, Zone};
use crate::units::{Celsius, Megahertz, Milliwatts};

const ENGINES: [Engine; 2] = [engine("small", "aa", CPU), engine("large", "bb", CPU)];
const fn engine<'a>(id: &'a str, sha256: &'a str, runtime: &'a str) -> Engine<'a> {
    Engine { id, sha256, runtime }
}

const OWNER: Owner = Owner { board: Some("quill"), engines: &ENGINES };

fn inventory() -> Inventory {
    Inventory {
        rails: vec![Rail { name: "VDD_IN".into(), origin: "test".into(), sum: false }],
        total: Some(0),
        zones: vec![Zone {
            name: "GPU-therm".into(),
            origin: "test".into(),
            trips: vec![],
            throttle_at: Some(Celsius(95.5)),
            governs: true,
        }],
        ..Inventory::default()
    }
}

fn fresh() -> Costs {
    Costs::new(&[10, 40].map(|ms| {
        Some(Prior { p50: Duration::from_millis(ms), p95: Duration::from_millis(ms), energy: None })
    }))
}

fn governor(costs: &Costs) -> Governor {
    Governor::new(
        Limits::default(),
        &inventory(),
        &[0, 1].map(|at| Ability { engine: EngineIdx(at), accuracy: None }),
        1,
        costs,
    )
}

/// Ten minutes in which everything takes twice as long and draws 8 W.
fn learned() -> (Costs, Governor) {
    let mut costs = fresh();
    let mut governor = governor(&costs);
    for at in 0..1200u64 {
        let (engine, time) = if at % 2 == 0 {
            (0, Duration::from_millis(20))
        } else {
            (1, Duration::from_millis(80))
        };
        costs.look(&Look { engine: EngineIdx(engine), time, crowded: false });
        let mut usage = Usage { frames: 1, ..Usage::default() };
        usage.busy[usize::from(engine)] = time;
        let mut sample = Sample { gpu_clock_cap: Some(Megahertz(1300.0)), ..Sample::default() };
        sample.rails.push(Some(Milliwatts((4.0 + 8.0 * time.as_secs_f32() / 0.5) * 1000.0)));
        sample.temperatures.push(Some(Celsius(50.0)));
        let now = Duration::from_millis(500 * (at + 1));
        costs.step(now, &sample, Some(0), &usage);
        governor.step(now, &sample, &usage, &costs);
    }
    (costs, governor)
}

#[test]
fn what_was_learned_survives_the_text() {
    let (costs, governor) = learned();
    let learned = LearnedState::of(&OWNER, &costs, &governor);
    let read = LearnedState::from_json(&learned.to_json(), "kept.json").unwrap();
    assert_eq!(read, learned);
    let mut again = fresh();
    read.resume(&OWNER, &mut again).unwrap();
    let mut governor = self::governor(&again);
    read.resume_governor(&mut governor);
    let sample = Sample { gpu_clock_cap: Some(Megahertz(1300.0)), ..Sample::default() };
    again.step(Duration::from_secs(1), &sample, None, &Usage::default());
    for at in [EngineIdx(0), EngineIdx(1)] {
        assert!(
            (again.p50(at).unwrap().as_secs_f64() / costs.p50(at).unwrap().as_secs_f64() - 1.0)
                .abs()
                < 1e-3,
            "{at:?}"
        );
        assert_eq!(again.energy(at).is_some(), costs.energy(at).is_some());
    }
    assert!(again.p50(EngineIdx(0)).unwrap() > Duration::from_millis(18));
    assert!(
        (again.watts(EngineIdx(1)).unwrap().0 / 8000.0 - 1.0).abs() < 0.15,
        "{:?}",
        again.watts(EngineIdx(1))
    );
}

#[test]
fn what_others_learned_is_refused_with_the_reason() {
    let (costs, governor) = learned();
    let learned = LearnedState::of(&OWNER, &costs, &governor);
    let others = [
        (Owner { board: Some("nano"), ..OWNER }, "the board quill, here it is nano"),
        (Owner { engines: &ENGINES[..1], ..OWNER }, "a number of engines of 2, here it is 1"),
        (Owner { engines: &[ENGINES[1], ENGINES[0]], ..OWNER }, "engine small, here it is large"),
        (
            Owner { engines: &[ENGINES[0], engine("large", "cc", CPU)], ..OWNER },
            "sha256 is bb, here it is cc",
        ),
        (
            Owner { engines: &[ENGINES[0], engine("large", "bb", "tensorrt")], ..OWNER },
            "an engine that is run by onnxruntime, here it is tensorrt",
        ),
    ];
    for (owner, reason) in others {
        let mut costs = fresh();
        let error = learned.resume(&owner, &mut costs).unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
        assert_eq!(costs.p50(EngineIdx(0)), fresh().p50(EngineIdx(0)));
    }
}

#[test]
fn wrong_texts_are_refused_with_file_key_value_and_range() {
    let (costs, governor) = learned();
    let good = LearnedState::of(&OWNER, &costs, &governor).to_json();
    let spoiled = |from: &str, to: &str| {
        assert!(good.contains(from), "{from} not in {good}");
        good.replacen(from, to, 1)
    };
    let correction = good.split("\"correction\":").nth(1).unwrap().split(',').next().unwrap();
    let cases = [
        (spoiled("\"v\":1", "\"v\":2"), "kept.json: v = 2, only 1"),
        (spoiled("\"v\":1", "\"w\":1"), "kept.json: missing field `v`"),
        (
            spoiled(correction, "1e9"),
            "kept.json: engines[0].correction = 1000000000, allowed is 0.01 to 100",
        ),
        (spoiled("\"index\":0", "\"index\":0,\"x\":1"), "kept.json: unknown field `x`"),
        (
            spoiled("\"quill\"", &format!("\"{}\"", "q".repeat(300))),
            "kept.json: length of board = 300, allowed is 0 to 256",
        ),
        (" ".repeat(MAX_TEXT + 1), "kept.json: 65537 bytes"),
        (String::new(), "kept.json: EOF"),
    ];
    for (text, reason) in cases {
        let error = LearnedState::from_json(&text, "kept.json").unwrap_err().to_string();
        assert!(error.starts_with(reason), "{error}");
    }
}

#[test]
fn a_text_from_before_engines_had_a_choice_of_runtimes_is_of_the_cpu() {
    let (costs, governor) = learned();
    let learned = LearnedState::of(&OWNER, &costs, &governor);
    let text = learned.to_json();
    let before = text.replace("\"runtime\":\"onnxruntime\",", "");
    assert_ne!(before, text);
    assert_eq!(LearnedState::from_json(&before, "kept.json").unwrap(), learned);
    assert!(learned.is_of_the_cpu());
    let on_gpu = Owner { engines: &[ENGINES[0], engine("large", "bb", "tensorrt")], ..OWNER };
    assert!(!LearnedState::of(&on_gpu, &costs, &governor).is_of_the_cpu());
}
