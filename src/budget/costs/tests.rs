//! What is learned from looks and readings.

use super::*;
use crate::budget::grants::{Look, Usage};
use crate::stats::{splitmix64, unit};
use crate::units::Megahertz;
use arrayvec::ArrayVec;

const CHEAP: EngineIdx = EngineIdx(0);
const DEAR: EngineIdx = EngineIdx(1);

fn ms(value: f64) -> Duration {
    Duration::from_secs_f64(value / 1000.0)
}

fn prior(p50: f64, energy: Option<f64>) -> Option<Prior> {
    Some(Prior { p50: ms(p50), p95: ms(p50 * 1.1), energy: energy.map(Millijoules) })
}

fn costs() -> Costs {
    Costs::new(&[prior(10.0, Some(30.0)), prior(50.0, None)])
}

/// Looks of `engine` around `p50`, five percent to either side.
fn look(costs: &mut Costs, engine: EngineIdx, p50: f64, looks: usize) {
    for at in 0..looks {
        let time = ms(p50 * (0.95 + 0.1 * unit(splitmix64(at as u64))));
        costs.look(&Look { engine, time, crowded: false });
    }
}

fn near(got: Option<Duration>, wanted_ms: f64, share: f64) {
    let got = got.unwrap().as_secs_f64() * 1000.0;
    assert!((got / wanted_ms - 1.0).abs() < share, "{got} ms, wanted {wanted_ms} ms");
}

#[test]
fn the_prior_answers_before_the_first_look() {
    let costs = costs();
    near(costs.p50(CHEAP), 10.0, 1e-9);
    near(costs.p95(CHEAP), 11.0, 0.2);
    assert_eq!((costs.p50(EngineIdx(2)), costs.chance(EngineIdx(2), ms(1e9))), (None, 0.0));
    assert_eq!(costs.energy(CHEAP).map(|energy| energy.0.round()), Some(30.0));
    assert_eq!((costs.energy(DEAR), costs.idle()), (None, None));
}

#[test]
fn a_slow_down_seen_with_one_engine_is_expected_of_the_other() {
    let mut costs = costs();
    look(&mut costs, CHEAP, 10.0, 30);
    look(&mut costs, CHEAP, 20.0, 10);
    near(costs.p50(CHEAP), 20.0, 0.1);
    near(costs.p50(DEAR), 100.0, 0.15);
}

#[test]
fn an_engine_that_is_not_slow_when_others_are_is_expected_to_look_as_it_did() {
    // A clock that follows the load: short looks are slow on an idle board, a long one brings the
    // clock up on its way.
    let mut costs = costs();
    for round in 0..60 {
        look(&mut costs, CHEAP, if round % 3 == 0 { 10.0 } else { 60.0 }, 3);
        look(&mut costs, DEAR, 50.0, 1);
    }
    for cheap_ms in [60.0, 10.0] {
        look(&mut costs, CHEAP, cheap_ms, 5);
        near(costs.p50(DEAR), 50.0, 0.2);
        assert!(costs.chance(DEAR, ms(100.0)) > 0.97, "{:?}", costs.p95(DEAR));
    }
}

#[test]
fn one_look_ten_times_as_long_shuts_nobody_out() {
    let mut costs = costs();
    look(&mut costs, CHEAP, 10.0, 30);
    look(&mut costs, DEAR, 50.0, 30);
    costs.look(&Look { engine: CHEAP, time: ms(100.0), crowded: false });
    near(costs.p50(CHEAP), 10.0, 0.1);
    assert!(
        costs.chance(CHEAP, ms(13.0)) > 0.95 && costs.chance(DEAR, ms(65.0)) > 0.95,
        "{:?} {:?}",
        costs.p95(CHEAP),
        costs.p95(DEAR)
    );
}

#[test]
fn an_engine_slow_on_its_own_does_not_slow_the_others() {
    let mut costs = costs();
    for _ in 0..40 {
        look(&mut costs, CHEAP, 10.0, 1);
        look(&mut costs, DEAR, 50.0, 1);
    }
    for _ in 0..40 {
        look(&mut costs, CHEAP, 10.0, 1);
        look(&mut costs, DEAR, 100.0, 1);
    }
    near(costs.p50(CHEAP), 10.0, 0.1);
    near(costs.p50(DEAR), 100.0, 0.1);
}

#[test]
fn the_95th_percentile_holds_what_it_says() {
    let mut costs = costs();
    look(&mut costs, CHEAP, 10.0, 400);
    let (mut beyond, looks) = (0, 2000);
    for at in 0..looks {
        let time = ms(10.0 * (0.95 + 0.1 * unit(splitmix64(9_000 + at))));
        beyond += usize::from(time > costs.p95(CHEAP).unwrap());
        costs.look(&Look { engine: CHEAP, time, crowded: false });
    }
    assert!(beyond < looks as usize / 12, "{beyond} of {looks} beyond the 95th percentile");
    let p95 = costs.p95(CHEAP).unwrap();
    assert!((costs.chance(CHEAP, p95) - 0.95).abs() < 1e-3);
}

#[test]
fn crowded_looks_count_less() {
    let learned = |crowded| {
        let mut costs = costs();
        for _ in 0..2 {
            costs.look(&Look { engine: CHEAP, time: ms(12.0), crowded });
        }
        costs.p50(CHEAP).unwrap()
    };
    assert!(learned(true) < learned(false), "{:?} {:?}", learned(true), learned(false));
}

#[test]
fn an_engine_that_is_not_asked_returns_to_its_profile() {
    let mut costs = costs();
    for _ in 0..40 {
        look(&mut costs, CHEAP, 10.0, 1);
        look(&mut costs, DEAR, 200.0, 1);
    }
    let slow = costs.p50(DEAR).unwrap();
    let mut now = Duration::ZERO;
    for _ in 0..1200 {
        now += ms(500.0);
        look(&mut costs, CHEAP, 10.0, 1);
        costs.step(now, &Sample::default(), None, &Usage::default());
    }
    assert!(slow > ms(150.0));
    near(costs.p50(DEAR), 50.0, 0.15);
}

fn sampled(gpu_mhz: f32, power_mw: Option<f32>) -> Sample {
    let mut rails = ArrayVec::new();
    rails.push(power_mw.map(Milliwatts));
    Sample {
        rails,
        gpu_clock: Some(Megahertz(gpu_mhz)),
        gpu_clock_cap: Some(Megahertz(gpu_mhz)),
        ..Sample::default()
    }
}

#[test]
fn the_clock_tells_the_time_before_a_look_does() {
    let mut costs = costs();
    // 2.45 + 20.67 / f of the published ResNet-50, scaled to 10 ms at 1300 MHz.
    let time = |mhz: f64| 10.0 * (2.45 + 20.67e3 / mhz) / (2.45 + 20.67 / 1.3);
    let clocks = [1300.0, 854.0, 522.0, 1122.0, 420.0, 1300.0, 624.0];
    for at in 0..1400 {
        let mhz = clocks[at / 100 % clocks.len()];
        costs.step(
            Duration::from_millis(500 * at as u64),
            &sampled(mhz, None),
            None,
            &Usage::default(),
        );
        look(&mut costs, CHEAP, time(f64::from(mhz)), 1);
    }
    costs.step(Duration::from_secs(701), &sampled(522.0, None), None, &Usage::default());
    near(costs.p50(CHEAP), time(522.0), 0.15);
    costs.look(&Look { engine: DEAR, time: ms(5.0 * time(522.0)), crowded: false });
    near(costs.p50(DEAR), 5.0 * time(522.0), 0.15);
}

#[test]
fn the_readings_tell_idle_from_the_engines() {
    let mut costs = costs();
    let (idle, watts) = (4.0, [3.0, 9.0]);
    let mut now = Duration::ZERO;
    for at in 0..1200u64 {
        now += ms(500.0);
        let shares = [unit(splitmix64(at)) * 0.6, unit(splitmix64(at + 50_000)) * 0.4];
        let noise = 1.0 + 0.05 * (unit(splitmix64(at + 90_000)) - 0.5);
        let power = (idle + shares[0] * watts[0] + shares[1] * watts[1]) * noise;
        let mut usage = Usage::default();
        for (engine, share) in shares.iter().enumerate() {
            usage.busy[engine] = ms(500.0 * share);
        }
        costs.step(now, &sampled(1300.0, Some((power * 1000.0) as f32)), Some(0), &usage);
    }
    let close = |got: f32, wanted: f64| {
        assert!(
            (f64::from(got) / 1000.0 / wanted - 1.0).abs() < 0.15,
            "{got} mW, wanted {wanted} W"
        )
    };
    close(costs.idle().unwrap().0, idle);
    close(costs.watts(CHEAP).unwrap().0, watts[0]);
    close(costs.watts(DEAR).unwrap().0, watts[1]);
}

#[test]
fn silent_and_mad_rails_teach_nothing() {
    let mut costs = costs();
    for (at, power) in
        [None, Some(f32::NAN), Some(f32::INFINITY), Some(-5.0)].into_iter().enumerate()
    {
        costs.step(
            Duration::from_secs(at as u64 + 1),
            &sampled(f32::NAN, power),
            Some(0),
            &Usage::default(),
        );
    }
    assert_eq!(costs.idle(), None);
    near(costs.p50(CHEAP), 10.0, 1e-3);
}
