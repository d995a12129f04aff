//! What a step of the governor costs, learning included:
//! `cargo test --release --bench governor -- --ignored --nocapture`.
//!
//! A figure and no check: the wall clock of a busy machine proves nothing. A board with nine
//! governing zones, all limits, three sizes of engine set.

use std::time::{Duration, Instant};

use squint::budget::{Ability, Costs, Governor, Limits, Look, PowerCap, Prior, Usage};
use squint::engine::EngineIdx;
use squint::telemetry::{Inventory, Rail, Sample, Zone};
use squint::units::{Celsius, Megahertz, Millijoules, Milliwatts};

fn ms(time: usize) -> Duration {
    Duration::from_millis(time as u64)
}

/// Median and 99th percentile of the costs' step with eight looks, and of the governor's.
fn figures(engines: usize, steps: usize) -> [(Duration, Duration); 2] {
    let zone = |at| Zone {
        name: format!("zone-{at}"),
        origin: "bench".into(),
        trips: vec![],
        throttle_at: Some(Celsius(95.5)),
        governs: true,
    };
    let inventory = Inventory {
        rails: vec![Rail { name: "VDD_IN".into(), origin: "bench".into(), sum: false }],
        total: Some(0),
        zones: (0..9).map(zone).collect(),
        ..Inventory::default()
    };
    let limits = Limits {
        latency: Some(ms(80)),
        power: Some(PowerCap {
            rail: None,
            cap: Milliwatts(7500.0),
            window: Duration::from_secs(60),
        }),
        ceiling: Some(Celsius(60.0)),
        energy_per_frame: Some(Millijoules(300.0)),
        energy_per_day_wh: Some(180.0),
        min_fps: 1.0,
    };
    let prior = |at: usize| {
        Some(Prior {
            p50: ms(5 + 3 * at),
            p95: ms(6 + 3 * at),
            energy: Some(Millijoules(30.0 * (at + 1) as f64)),
        })
    };
    let engine_set: Vec<_> = (0..engines)
        .map(|at| Ability { engine: EngineIdx(at as u8), accuracy: Some(0.5 + 0.01 * at as f32) })
        .collect();
    let mut costs = Costs::new(&(0..engines).map(prior).collect::<Vec<_>>());
    let mut governor = Governor::new(limits, &inventory, &engine_set, 4, &costs);
    let mut times = [Vec::with_capacity(steps), Vec::with_capacity(steps)];
    for at in 0..steps {
        let (now, engine) = (ms(500 * (at + 1)), at % engines);
        let mut usage = Usage { frames: 8, in_time: 8, ..Usage::default() };
        (usage.looks[engine], usage.busy[engine]) = (8, ms(8 * (5 + 3 * engine)));
        let mut sample =
            Sample { gpu_clock: Some(Megahertz(800.0 + (at % 5) as f32)), ..Sample::default() };
        sample.rails.push(Some(Milliwatts(6000.0 + (at % 30) as f32 * 100.0)));
        sample.temperatures.extend(
            (0..9).map(|zone| Some(Celsius(55.0 + (at / 100 % 10) as f32 + zone as f32 / 2.0))),
        );
        let began = Instant::now();
        for _ in 0..8 {
            costs.look(&Look {
                engine: EngineIdx(engine as u8),
                time: ms(5 + 3 * engine),
                crowded: false,
            });
        }
        costs.step(now, &sample, governor.rail(), &usage);
        let between = Instant::now();
        std::hint::black_box(governor.step(now, &sample, &usage, &costs));
        times[0].push(between - began);
        times[1].push(between.elapsed());
    }
    times.map(|mut times| {
        times.sort();
        (times[steps / 2], times[steps * 99 / 100])
    })
}

#[test]
#[ignore = "a figure, not a check"]
fn what_a_step_costs() {
    for engines in [3, 8, 32] {
        let [costs, governor] = figures(engines, 20_000);
        println!(
            "{engines} engines: costs {:?} (p99 {:?}), governor {:?} (p99 {:?})",
            costs.0, costs.1, governor.0, governor.1
        );
    }
}
