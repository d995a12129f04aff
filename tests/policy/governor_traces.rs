//! Readings of a board as tables, and what the governor makes of them: `tests/traces/*.csv`, a test
//! each.
//!
//! A row holds until `until_s`; power and temperature go there in a straight line, empty is
//! unknown. `rung` is the whole part of the level at the end of the row, -1 is reuse only. The
//! board does not answer to what the governor does: a trace was recorded, or might have been.
//! `# key = value` lines give the limits.

use std::path::Path;
use std::time::Duration;

use squint::budget::{Ability, Costs, Governor, Grants, Limits, Look, PowerCap, Prior, Usage};
use squint::engine::EngineIdx;
use squint::telemetry::{Inventory, Rail, Sample, Zone};
use squint::units::{Celsius, Millijoules, Milliwatts};

/// Median times of the engines, ms; each draws 8 W while it looks.
const TIMES_MS: [u64; 3] = [10, 20, 50];
const STEP_S: f64 = 0.5;

fn ms(time: u64) -> Duration {
    Duration::from_millis(time)
}

fn limits(text: &str) -> Limits {
    let mut limits = Limits { min_fps: 1.0, ..Limits::default() };
    let pairs = text.lines().filter_map(|line| line.strip_prefix('#')?.split_once('='));
    let (mut cap, mut window) = (None, Duration::from_secs(60));
    for (key, value) in pairs {
        let value: f32 = value.trim().parse().expect("a limit is a number");
        match key.trim() {
            "ceiling-c" => limits.ceiling = Some(Celsius(value)),
            "power-mw" => cap = Some(Milliwatts(value)),
            "window-s" => window = Duration::from_secs_f32(value),
            "latency-ms" => limits.latency = Some(Duration::from_secs_f32(value / 1000.0)),
            key => panic!("{key} is no limit"),
        }
    }
    limits.power = cap.map(|cap| PowerCap { rail: None, cap, window });
    limits
}

/// The board's engines at work: the dearest one allowed looks at every frame.
struct Desk {
    costs: Costs,
    frame: u64,
    owed: f64,
}

impl Desk {
    fn work(&mut self, grants: &Grants, fps: f64) -> Usage {
        let mut usage = Usage::default();
        self.owed += STEP_S / grants.interval.as_secs_f64().max(1.0 / fps);
        while self.owed >= 1.0 {
            (self.owed, self.frame) = (self.owed - 1.0, self.frame + 1);
            usage.frames += 1;
            let Some(at) = (0..TIMES_MS.len())
                .rev()
                .find(|at| grants.admits(EngineIdx(*at as u8), self.frame))
            else {
                continue;
            };
            self.costs.look(&Look {
                engine: EngineIdx(at as u8),
                time: ms(TIMES_MS[at]),
                crowded: false,
            });
            usage.looks[at] += 1;
            usage.busy[at] += ms(TIMES_MS[at]);
        }
        usage
    }
}

fn follow(path: &Path) {
    let text = std::fs::read_to_string(path).expect("a trace that was listed");
    let inventory = Inventory {
        rails: vec![Rail { name: "VDD_IN".into(), origin: "trace".into(), sum: false }],
        total: Some(0),
        zones: vec![Zone {
            name: "GPU-therm".into(),
            origin: "trace".into(),
            trips: vec![],
            throttle_at: Some(Celsius(95.5)),
            governs: true,
        }],
        ..Inventory::default()
    };
    let priors = TIMES_MS.map(|time| {
        Some(Prior {
            p50: ms(time),
            p95: ms(time + 1),
            energy: Some(Millijoules(8.0 * time as f64)),
        })
    });
    let engine_set = [(0, 0.5), (1, 0.7), (2, 0.8)]
        .map(|(engine, accuracy)| Ability { engine: EngineIdx(engine), accuracy: Some(accuracy) });
    let mut desk = Desk { costs: Costs::new(&priors), frame: 0, owed: 0.0 };
    let mut governor = Governor::new(limits(&text), &inventory, &engine_set, 1, &desk.costs);

    let (mut at_s, mut was) = (0.0, [None, None]);
    let mut rows = csv::ReaderBuilder::new().comment(Some(b'#')).from_reader(text.as_bytes());
    for (row, line) in rows.records().enumerate() {
        let line = line.expect("as many columns as the head");
        let number = |column: usize| line[column].parse::<f64>().ok();
        let (until_s, fps, goal) =
            (number(0).expect("until_s"), number(5).expect("fps"), [number(1), number(2)]);
        let throttling = match &line[3] {
            "" => None,
            word => Some(word == "yes"),
        };
        let over_current = line[4].parse().ok();
        let from_s = at_s;
        while at_s < until_s {
            at_s += STEP_S;
            let share = (at_s - from_s) / (until_s - from_s);
            let [power, zone] = [0, 1].map(|which| {
                goal[which]
                    .map(|goal| was[which].map_or(goal, |was: f64| was + (goal - was) * share))
            });
            let usage = desk.work(&governor.grants(), fps);
            let mut sample = Sample { throttling, over_current, ..Sample::default() };
            sample.rails.push(power.map(|power| Milliwatts(power as f32)));
            sample.temperatures.push(zone.map(|zone| Celsius((zone * 2.0).round() as f32 / 2.0)));
            let now = Duration::from_secs_f64(at_s);
            desk.costs.step(now, &sample, governor.rail(), &usage);
            governor.step(now, &sample, &usage, &desk.costs);
        }
        was = [goal[0].or(was[0]), goal[1].or(was[1])];
        let grants = governor.grants();
        let got = (governor.level().floor(), grants.because.why.name());
        let wanted = (line[6].parse::<f64>().expect("rung"), &line[7]);
        assert_eq!(
            got,
            wanted,
            "{}, row {}, after {at_s} s at level {}: {grants:?}",
            path.display(),
            row + 1,
            governor.level()
        );
    }
}

#[test]
fn every_trace_ends_each_row_on_its_rung_for_its_reason() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/traces");
    let mut paths: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "csv"));
    paths.sort();
    assert!(paths.len() >= 5, "{paths:?}");
    let failed: Vec<_> =
        paths.iter().filter(|path| std::panic::catch_unwind(|| follow(path)).is_err()).collect();
    assert!(failed.is_empty(), "{failed:?}");
}
