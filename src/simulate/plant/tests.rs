//! The plant against the published tables.

use super::super::engines::{ALL, Spec};
use super::clock::STEPS_MHZ;
use super::heat::FAN_C_PER_W;
use super::*;

fn around() -> Surroundings {
    Surroundings {
        ambient_c: 25.0,
        sink_c_per_w: FAN_C_PER_W,
        background: 0.0,
        mode: 0,
        dwell_s: 1.0,
        motion: 0.1,
    }
}

fn named(name: &str) -> &'static Spec {
    ALL.iter().find(|spec| spec.name == name).unwrap()
}

#[test]
fn times_over_the_clock_have_the_shape_of_the_published_tables() {
    // Published ms of inception_v4 and resnet-50 at 114, 522, 854, 1122 and 1300 MHz, as shares of
    // the last.
    let tables = [
        ("inception_v4", [680.0, 151.7, 95.2, 74.7, 66.5]),
        ("resnet_v1_50", [185.0, 41.6, 26.2, 20.8, 18.7]),
    ];
    for (name, table) in tables {
        let spec = named(name);
        for (step, ms) in [0, 4, 7, 10, 12].into_iter().zip(table) {
            let (got, published) =
                (look_s(spec, STEPS_MHZ[step] / 1000.0, 0) * 1000.0 / spec.ms, ms / table[4]);
            assert!(
                (got / published - 1.0).abs() < 0.04,
                "{name} at {}: {got} {published}",
                STEPS_MHZ[step]
            );
        }
    }
}

#[test]
fn power_of_a_busy_board_is_that_of_the_published_table() {
    let table = [
        (114.75, 5250.0),
        (420.75, 7653.0),
        (854.25, 10702.0),
        (1122.0, 13506.0),
        (1300.5, 15911.0),
    ];
    for (mhz, published) in table {
        let got = busy_mw(mhz / 1000.0);
        assert!((got / published - 1.0).abs() < 0.033, "{mhz}: {got} {published}");
    }
}

#[test]
fn a_look_on_an_idle_board_draws_and_takes_what_the_tables_say() {
    let (mut plant, spec) =
        (Plant::new(1, around()), Spec { intensity: 1.0, ..*named("inception_v4") });
    for _ in 0..10 {
        plant.look(&spec); // the clock follows
    }
    let before = plant.total();
    let looks = 200;
    let took: f64 = (0..looks).map(|_| plant.look(&spec)).sum();
    let mean_ms = took / f64::from(looks) * 1000.0;
    assert!((mean_ms - 52.1 - PREPROCESS_MS).abs() < 1.0, "{mean_ms}");
    let totals = plant.total();
    let power = (totals.board_mj - before.board_mj) / (totals.seconds - before.seconds);
    assert!((power / busy_mw(1.3005) - 1.0).abs() < 0.04, "{power}");
}

#[test]
fn heat_settles_at_one_and_a_half_degrees_a_watt() {
    let mut cool = Heat::settled(25.0, FAN_C_PER_W, IDLE_MW);
    let mut warm = cool;
    for _ in 0..20_000 {
        cool.pass(0.05, 5250.0, 542.0, 25.0, FAN_C_PER_W);
        warm.pass(0.05, 15911.0, 7932.0, 25.0, FAN_C_PER_W);
    }
    let per_watt = (warm.gpu() - cool.gpu()) / (15.911 - 5.250);
    assert!((per_watt - 1.473).abs() < 0.05, "{per_watt}"); // (60.7 - 45.0) / 10.661
    let affordable = warm.affordable_mw(warm.gpu(), 20.0, 25.0, FAN_C_PER_W);
    assert!((affordable - 15911.0).abs() < 50.0, "{affordable}");
}

#[test]
fn a_board_in_an_oven_throttles_and_then_switches_itself_off() {
    let oven = Surroundings { ambient_c: 90.0, sink_c_per_w: 3.0, ..around() };
    let (mut plant, spec) = (Plant::new(1, oven), named("inception_v4"));
    let mut throttled_first = false;
    for _ in 0..20_000 {
        plant.look(spec);
        throttled_first |= plant.clock.is_throttled() && !plant.is_off();
        if plant.is_off() {
            break;
        }
    }
    assert!(throttled_first && plant.is_off() && plant.throttled_s() > 1.0);
    let spent = plant.total().board_mj;
    plant.idle_until(plant.now() + 10.0);
    assert_eq!(plant.total().board_mj, spent);
}

#[test]
fn the_clock_follows_the_load_and_the_mode_caps_it() {
    let mut plant = Plant::new(1, around());
    plant.idle_until(5.0);
    assert!(plant.clock.ghz() < 0.12);
    for _ in 0..20 {
        plant.look(named("inception_v4"));
    }
    assert!(plant.clock.ghz() > 1.29);
    plant.surround(Surroundings { mode: 1, ..around() });
    for _ in 0..20 {
        plant.look(named("inception_v4"));
    }
    assert!((plant.clock.ghz() - 0.85425).abs() < 1e-9);
    plant.clock.starve(2.0);
    assert!(plant.clock.ghz() < 0.63 && plant.clock.events() == 1);
}

#[test]
fn another_process_on_the_gpu_slows_looks_by_its_share() {
    let times = |background| {
        let mut plant = Plant::new(1, Surroundings { background, ..around() });
        (0..100).map(|_| plant.look(named("inception_v4"))).skip(10).sum::<f64>()
    };
    let ratio = times(0.5) / times(0.0);
    assert!((ratio - 2.0).abs() < 0.1, "{ratio}");
}
