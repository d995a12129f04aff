//! A step of the governor, and the learning before it, allocate nothing; an allocator that counts
//! holds us to it.

use std::time::Duration;

use crate::allocations::allocations;
use squint::budget::{Ability, Costs, Governor, Limits, Look, PowerCap, Prior, Usage};
use squint::engine::{EngineIdx, MAX_ENGINES};
use squint::telemetry::{Inventory, Rail, Sample, Zone};
use squint::units::{Celsius, Megahertz, Millijoules, Milliwatts};

#[test]
fn a_step_allocates_nothing() {
    let zone = |at| Zone {
        name: format!("zone-{at}"),
        origin: "test".into(),
        trips: vec![],
        throttle_at: Some(Celsius(95.5)),
        governs: true,
    };
    let inventory = Inventory {
        rails: vec![Rail { name: "VDD_IN".into(), origin: "test".into(), sum: false }],
        total: Some(0),
        zones: (0..9).map(zone).collect(),
        ..Inventory::default()
    };
    let limits = Limits {
        latency: Some(Duration::from_millis(80)),
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
    let ms = |time: usize| Duration::from_millis(time as u64);
    let prior = |at: usize| {
        Some(Prior {
            p50: ms(5 + 3 * at),
            p95: ms(6 + 3 * at),
            energy: Some(Millijoules(30.0 * (at + 1) as f64)),
        })
    };
    let engine_set: Vec<_> = (0..MAX_ENGINES)
        .map(|at| Ability { engine: EngineIdx(at as u8), accuracy: Some(0.5 + 0.01 * at as f32) })
        .collect();
    let mut costs = Costs::new(&(0..MAX_ENGINES).map(prior).collect::<Vec<_>>());
    let mut governor = Governor::new(limits, &inventory, &engine_set, 4, &costs);

    let count = allocations(|| {
        for at in 0..2000u32 {
            let now = ms(500 * (at as usize + 1));
            let engine = at as usize % MAX_ENGINES;
            let mut usage = Usage { frames: 7, in_time: 6, late: 1, ..Usage::default() };
            (usage.looks[engine], usage.busy[engine]) = (7, ms(150));
            costs.look(&Look {
                engine: EngineIdx(engine as u8),
                time: ms(10 + engine),
                crowded: at % 3 == 0,
            });
            let mut sample = Sample {
                gpu_clock: Some(Megahertz(800.0 + (at % 5) as f32)),
                over_current: Some(u64::from(at / 700)),
                ..Sample::default()
            };
            sample
                .rails
                .push(Some(Milliwatts(6000.0 + (at % 30) as f32 * 100.0)).filter(|_| at % 11 != 0));
            sample.temperatures.extend((0..9).map(|zone| {
                Some(Celsius(50.0 + (at / 100) as f32 + zone as f32 / 2.0)).filter(|_| at % 13 != 0)
            }));
            costs.step(now, &sample, governor.rail(), &usage);
            governor.step(now, &sample, &usage, &costs);
        }
    });
    assert_eq!(count, 0, "2000 steps");
    assert!(governor.changes() > 0, "nothing was decided: {:?}", governor.grants());
}
