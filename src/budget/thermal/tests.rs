//! A zone that heats as the model says, and one that does not.

use super::*;
use crate::stats::{splitmix64, unit};
use crate::telemetry::Zone;
use crate::units::Celsius;

struct Body {
    room: f64,
    r: f64,
    tau_s: f64,
    t: f64,
}

impl Body {
    fn step(&mut self, dt_s: f64, power: f64) -> f64 {
        self.t += (self.room + self.r * power - self.t) * dt_s / self.tau_s;
        self.t
    }
}

fn models() -> Thermal {
    let zone = Zone {
        name: "GPU-therm".into(),
        origin: "test".into(),
        trips: vec![],
        throttle_at: Some(Celsius(95.0)),
        governs: true,
    };
    let board = Zone { governs: false, ..zone.clone() };
    let inventory = Inventory { zones: vec![board, zone], ..Inventory::default() };
    Thermal::new(&inventory, |zone| zone.throttle_at.map(|at| f64::from(at.0)))
}

fn sample(t: Option<f64>) -> Sample {
    let mut sample = Sample::default();
    sample.temperatures.push(Some(Celsius(500.0)));
    sample.temperatures.push(t.map(|t| Celsius(((t * 2.0).round() / 2.0) as f32)));
    sample
}

/// Power that changes once in `tau_s`, 4 to 12 W.
fn power(step: u64, tau_s: f64) -> f64 {
    4.0 + 8.0 * unit(splitmix64(step / (2.0 * tau_s) as u64))
}

#[test]
fn resistance_and_time_constant_are_found_through_half_degree_steps() {
    for (r, tau_s, steps) in [(1.5, 90.0, 2400), (4.0, 90.0, 3600), (0.8, 40.0, 3600)] {
        let (mut models, mut body) =
            (models(), Body { room: 30.0, r, tau_s, t: 30.0 + r * power(0, tau_s) });
        for step in 0..steps {
            let t = body.step(0.5, power(step, tau_s));
            models.step(0.5, &sample(Some(t)), power(step, tau_s));
        }
        let (fitted, tau) = models.zones()[0].fitted();
        assert!((fitted / r - 1.0).abs() < 0.25, "R {fitted}, truly {r}, tau {tau}");
        assert!(tau / tau_s < 2.1 && tau_s / tau < 2.1, "tau {tau}, truly {tau_s}");
    }
}

#[test]
fn the_temperature_half_a_minute_ahead_is_told_within_a_degree() {
    let (mut models, mut body) = (models(), Body { room: 30.0, r: 2.0, tau_s: 80.0, t: 40.0 });
    let (mut worst, mut told): (f64, Vec<f64>) = (0.0, Vec::new());
    for step in 0..4800u64 {
        let p = 6.0 + 5.0 * (step / 400 % 2) as f64;
        let t = body.step(0.5, p);
        models.step(0.5, &sample(Some(t)), p);
        told.push(models.zones()[0].expected(30.0, p).unwrap());
        // Constant power over the minute before and the half minute after.
        if step > 2400 && step % 400 >= 120 {
            worst = worst.max((told[step as usize - 60] - t).abs());
        }
    }
    assert!(worst < 1.0, "{worst}");
}

#[test]
fn the_affordable_power_brings_the_zone_to_the_target_and_not_beyond() {
    let (mut models, mut body, mut p) =
        (models(), Body { room: 30.0, r: 2.0, tau_s: 60.0, t: 40.0 }, 5.0);
    let mut hottest: f64 = 0.0;
    for _ in 0..4800 {
        let t = body.step(0.5, p);
        hottest = hottest.max(t);
        models.step(0.5, &sample(Some(t)), p);
        p = models.zones()[0].affordable(30.0, 60.0, p).unwrap().clamp(0.0, 20.0);
    }
    assert!(
        hottest < 60.8 && (body.t - 60.0).abs() < 0.6 && (p - 15.0).abs() < 0.7,
        "{hottest} {} {p}",
        body.t
    );
}

#[test]
fn zones_that_do_not_govern_and_readings_that_are_missing_say_nothing() {
    let mut models = models();
    assert_eq!(models.zones().len(), 1);
    for _ in 0..20 {
        models.step(0.5, &sample(None), 5.0);
    }
    let zone = &models.zones()[0];
    assert_eq!(
        (zone.now(), zone.expected(30.0, 5.0), zone.affordable(30.0, 60.0, 5.0)),
        (None, None, None)
    );
    assert_eq!(zone.unread_s(), 10.0);
}
