//! What is believed, and what is not.

use super::*;
use crate::telemetry::Zone;
use crate::units::{Celsius, Milliwatts};

/// Three zones, a placeholder, and a board's rail with two parts.
fn inventory() -> Inventory {
    let zone = |name: &str, governs| Zone {
        name: name.into(),
        origin: String::new(),
        trips: vec![],
        throttle_at: None,
        governs,
    };
    let rail = |name: &str| Rail { name: name.into(), origin: String::new(), sum: false };
    Inventory {
        rails: vec![rail("VDD_SYS_GPU"), rail("VDD_4V0_WIFI"), rail("VDD_IN")],
        total: Some(2),
        zones: vec![
            zone("GPU-therm", true),
            zone("MCPU-therm", true),
            zone("Tboard_tegra", true),
            zone("PMIC-Die", false),
        ],
        ..Inventory::default()
    }
}

/// Drives a [`Trust`] two times a second.
struct Bench {
    trust: Trust,
    sample: Sample,
    half_seconds: u32,
}

impl Bench {
    fn new() -> Self {
        Self { trust: Trust::new(&inventory()), sample: Sample::default(), half_seconds: 0 }
    }

    /// Zones, rails, and the load of both GPU and processors.
    fn read(&mut self, zones: [Option<f32>; 4], rails: [Option<f32>; 3], load: f32) -> &Sample {
        self.half_seconds += 1;
        self.sample = Sample {
            at: Duration::from_millis(500) * self.half_seconds,
            rails: rails.map(|power| power.map(Milliwatts)).into_iter().collect(),
            temperatures: zones.map(|heat| heat.map(Celsius)).into_iter().collect(),
            gpu_load: Some(load),
            cpu_load: Some(load),
            ..Sample::default()
        };
        self.trust.judge(&mut self.sample);
        &self.sample
    }

    /// For this long; `wobble` moves by a unit with every reading.
    fn run(&mut self, seconds: u32, mut values: impl FnMut(f32) -> ([f32; 4], [f32; 3], f32)) {
        for step in 0..seconds * 2 {
            let (zones, rails, load) = values((step % 2) as f32);
            self.read(zones.map(Some), rails.map(Some), load);
        }
    }

    fn doubts(&self) -> Vec<String> {
        self.trust
            .doubts()
            .into_iter()
            .map(|doubt| format!("{}: {}", doubt.sensor, doubt.why))
            .collect()
    }
}

const RAILS: [f32; 3] = [153.0, 0.0, 3000.0];

#[test]
fn a_box_in_a_steady_state_is_not_frozen() {
    let mut bench = Bench::new();
    bench.run(3600, |wobble| ([45.0, 46.0, 40.0, 50.0], RAILS, 0.4 + 0.1 * wobble));
    assert_eq!(bench.doubts(), [""; 0]);
    assert_eq!(bench.sample.temperatures[0], Some(Celsius(45.0)));
}

#[test]
fn a_zone_that_stands_still_while_the_others_heat_up_is_frozen_until_it_moves() {
    let mut bench = Bench::new();
    bench.run(20, |_| ([45.0, 46.0, 40.0, 50.0], [400.0, 0.0, 3000.0], 0.5));
    bench.run(30, |wobble| ([45.0, 52.0 + wobble, 47.0, 50.0], [400.0, 0.0, 3000.0 + wobble], 0.5));
    assert_eq!(bench.doubts(), [""; 0], "not for long enough");
    bench.run(20, |wobble| ([45.0, 60.0 + wobble, 55.0, 50.0], [400.0, 0.0, 3000.0 + wobble], 0.5));
    assert_eq!(bench.doubts(), ["GPU-therm: has read 45 °C for 69 s while the others moved"]);
    assert_eq!(bench.sample.temperatures[0], None);
    assert_eq!(
        bench.sample.temperatures[3],
        Some(Celsius(50.0)),
        "a placeholder always stands still"
    );
    bench.run(60, |wobble| ([45.0, 46.0, 40.0, 50.0], [400.0, 0.0, 3000.0 + wobble], 0.5));
    assert_eq!(bench.doubts().len(), 1, "the others came back, it did not move");
    bench.run(1, |_| ([45.5, 46.0, 40.0, 50.0], [400.0, 0.0, 3000.0], 0.5));
    assert_eq!(
        (bench.doubts().len(), bench.sample.temperatures[0]),
        (0, Some(Celsius(45.5))),
        "trusted again"
    );
}

#[test]
fn a_short_heat_does_not_make_a_slow_zone_frozen() {
    let mut bench = Bench::new();
    bench.run(100, |_| ([45.0, 46.0, 40.0, 50.0], RAILS, 0.5));
    bench.run(2, |wobble| ([60.0, 63.0 + wobble, 40.0, 50.0], RAILS, 0.5));
    assert_eq!(bench.doubts(), [""; 0]);
}

#[test]
fn a_lone_zone_is_held_against_the_load() {
    let mut all = inventory();
    all.zones.truncate(1);
    let mut bench = Bench { trust: Trust::new(&all), ..Bench::new() };
    let still = [45.0, 0.0, 0.0, 0.0];
    bench.run(110, |_| (still, RAILS, 0.1));
    bench.run(40, |wobble| (still, [153.0 + wobble, 0.0, 3000.0 + wobble], 0.9));
    assert_eq!(bench.doubts(), ["GPU-therm: has read 45 °C for 149 s while the load moved"]);
}

#[test]
fn the_power_of_a_board_moves_with_its_load_and_a_rail_without_a_user_need_not() {
    let zones = [45.0, 46.0, 40.0, 50.0];
    let mut bench = Bench::new();
    bench.run(100, |_| (zones, RAILS, 0.1));
    assert_eq!(bench.doubts(), [""; 0], "idle boards draw the same for long");
    bench.run(20, |wobble| (zones, [153.0 + wobble, 0.0, 3000.0], 0.9));
    assert_eq!(
        bench.doubts(),
        ["VDD_IN: has read 3000 mW for 119 s while the load moved"],
        "the radio's rail still reads 0"
    );
    assert_eq!(
        bench.sample.rails.as_slice(),
        [Some(Milliwatts(154.0)), Some(Milliwatts(0.0)), None]
    );
}

#[test]
fn readings_beyond_belief_are_left_out_and_named() {
    let mut bench = Bench::new();
    let good = [Some(45.0), Some(46.0), Some(40.0), Some(50.0)];
    let rails = RAILS.map(Some);
    for (zone, why) in [
        (f32::NAN, "reads what is not a number"),
        (f32::INFINITY, "reads inf °C, outside of -40 to 130 °C"),
        (-256.0, "is switched off"),
        (131.0, "reads 131 °C, outside of -40 to 130 °C"),
        (0.0, "reads 0 °C while the others read 43 °C"),
        (-20.0, "reads -20 °C while the others read 43 °C"),
        (90.0, "jumped from 45 °C to 90 °C"),
    ] {
        bench.read(good, rails, 0.5);
        bench.read([Some(zone), good[1], good[2], good[3]], rails, 0.5);
        assert_eq!(bench.doubts(), [format!("GPU-therm: {why}")]);
        assert_eq!(bench.sample.temperatures[0], None, "{why}");
    }
    for power in [f32::NAN, 0.0, -1.0, 2e6] {
        bench.read(good, [rails[0], rails[1], Some(power)], 0.5);
        assert_eq!(bench.sample.rails[2], None, "{power} of the board");
    }
    bench.read(good, [Some(-8.0), rails[1], rails[2]], 0.5);
    assert_eq!(bench.sample.rails[0], Some(Milliwatts(0.0)), "the offset of an amplifier");
    bench.read(good, rails, f32::NAN);
    assert_eq!((bench.sample.gpu_load, bench.sample.cpu_load), (None, None));
    assert_eq!(bench.doubts().len(), 2);
    bench.read(good, rails, 0.5);
    assert_eq!(bench.doubts(), [""; 0], "good readings are trusted at once");
}

#[test]
fn a_leap_that_stays_is_believed_within_seconds() {
    let mut bench = Bench::new();
    bench.run(10, |_| ([45.0, 46.0, 40.0, 50.0], RAILS, 0.5));
    let mut out = 0;
    for _ in 0..8 {
        out += u32::from(
            bench
                .read([Some(90.0), Some(46.0), Some(40.0), Some(50.0)], RAILS.map(Some), 0.5)
                .temperatures[0]
                .is_none(),
        );
    }
    assert_eq!((out, bench.doubts()), (5, vec![]), "heat that is real must not be hidden");
}

#[test]
fn a_sensor_that_vanishes_is_named_with_the_time_and_trusted_when_it_is_back() {
    let mut bench = Bench::new();
    let (good, rails) = ([45.0, 46.0, 40.0, 50.0].map(Some), RAILS.map(Some));
    bench.read(good, rails, 0.5);
    bench.read([None, good[1], good[2], good[3]], rails, 0.5);
    assert_eq!(bench.doubts(), [""; 0], "one failure is no silence");
    for _ in 0..9 {
        bench.read([None, good[1], good[2], good[3]], [rails[0], rails[1], None], 0.5);
    }
    assert_eq!(
        bench.doubts(),
        ["VDD_IN: has not answered for 4 s", "GPU-therm: has not answered for 5 s"]
    );
    bench.read(good, rails, 0.5);
    assert_eq!(bench.doubts(), [""; 0]);
}

#[test]
fn a_zone_is_not_frozen_because_its_kin_became_fewer() {
    let mut bench = Bench::new();
    let rails = RAILS.map(Some);
    for _ in 0..200 {
        bench.read([Some(70.0), Some(45.0), Some(40.0), None], rails, 0.5);
    }
    for _ in 0..200 {
        bench.read([None, Some(45.0), Some(40.0), None], rails, 0.5);
    }
    assert_eq!(bench.doubts().len(), 2, "{:?}", bench.doubts());
    assert_eq!(bench.sample.temperatures[1], Some(Celsius(45.0)));
}

#[test]
fn a_sum_is_unknown_while_a_part_is_in_doubt() {
    let mut all = inventory();
    all.rails.push(Rail {
        name: "sum".into(),
        origin: "VDD_SYS_GPU + VDD_4V0_WIFI".into(),
        sum: true,
    });
    all.total = Some(3);
    let mut trust = Trust::new(&all);
    let mut sample = Sample {
        rails: [Some(f32::NAN), Some(5.0), Some(900.0), Some(700.0)]
            .map(|p| p.map(Milliwatts))
            .into_iter()
            .collect(),
        ..Sample::default()
    };
    trust.judge(&mut sample);
    assert_eq!((sample.rails[0], sample.rails[3]), (None, None));
    assert_eq!(trust.doubts().len(), 1);
}
