//! The future temperature of a zone: a first-order model of its temperature against the power of
//! the board, fitted while it runs. Pure.
//!
//! `tau T' = ambient + R P - T`. For each of a few time constants the power goes through a
//! first-order filter. Temperature is then a line in the filtered power; a Kalman filter follows
//! its offset (the room and other heat) and slope (R). The time constant with the best predictions
//! is used. Fitting the output and not its differences keeps the sensor's half-degree steps out of
//! R.

use arrayvec::ArrayVec;

use crate::stats::exp;
use crate::telemetry::{Inventory, MAX_ZONES, Sample};

/// Time constants that are tried, seconds; the prior is 90.
const TAUS: [f64; 8] = [5.0, 15.0, 40.0, 90.0, 180.0, 350.0, 650.0, 1200.0];
/// Index of the prior.
const PRIOR_TAU: usize = 3;
/// °C per watt to start from, with that TX2 developer context's fan (45.0 °C at 5.25 W, 60.7 °C at
/// 15.9 W), and its bounds.
const PRIOR_R: f64 = 1.5;
const BOUNDS_R: (f64, f64) = (0.1, 20.0);
/// Variance of R to start from and at most.
const R_VARIANCE: f64 = 1.0;
/// Variance that the offset and R gain a second: rooms warm up, fans stop.
const OFFSET_DRIFT: f64 = 1e-4;
const R_DRIFT: f64 = 1e-5;
/// Variance of a reading, °C²: steps of half a degree, and some noise.
const READING: f64 = 0.06;
/// Squared misses are remembered this long.
const MISSES_S: f64 = 300.0;
/// Time constants of the two means whose difference is the trend.
const QUICK_S: f64 = 3.0;
const SLOW_S: f64 = 12.0;
/// The trend is believed this far ahead.
const TREND_S: f64 = 15.0;

/// The models of all governing zones of a board.
#[derive(Clone, Debug)]
pub struct Thermal {
    zones: ArrayVec<ZoneModel, MAX_ZONES>,
}

/// One governing zone.
#[derive(Clone, Debug)]
pub struct ZoneModel {
    /// Index into [`Inventory::zones`].
    pub zone: usize,
    /// It should not become hotter, °C.
    pub ceiling: f64,
    quick: f64,
    slow: f64,
    fits: [Fit; TAUS.len()],
    best: usize,
    seen: bool,
    unread_s: f64,
}

/// One time constant's line.
#[derive(Clone, Copy, Debug)]
struct Fit {
    /// Filtered power, W.
    power: f64,
    /// °C at no power, and °C per watt.
    offset: f64,
    resistance: f64,
    /// Covariance: offset, both, slope.
    p: [f64; 3],
    misses: f64,
}

impl Thermal {
    /// A model for each governing zone that has a ceiling. `ceiling_of` says which, °C, by index
    /// and zone.
    pub fn new(
        inventory: &Inventory,
        ceiling_of: impl Fn(&crate::telemetry::Zone) -> Option<f64>,
    ) -> Self {
        let governing =
            inventory.zones.iter().enumerate().take(MAX_ZONES).filter(|(_, zone)| zone.governs);
        let zones = governing
            .filter_map(|(at, zone)| Some(ZoneModel::new(at, ceiling_of(zone)?)))
            .collect();
        Self { zones }
    }

    /// Learns from the readings; `power_w` is what the board draws, measured or reckoned.
    pub fn step(&mut self, dt_s: f64, sample: &Sample, power_w: f64) {
        for zone in &mut self.zones {
            let reading = sample
                .temperatures
                .get(zone.zone)
                .copied()
                .flatten()
                .map(|celsius| f64::from(celsius.0));
            zone.step(dt_s, reading.filter(|reading| reading.is_finite()), power_w);
        }
    }

    /// The zones that govern.
    pub fn zones(&self) -> &[ZoneModel] {
        &self.zones
    }

    /// Goes on from kept R (°C/W) and time constant (s) of the zone with this index.
    pub fn resume(&mut self, zone: usize, resistance: f64, tau_s: f64) {
        let Some(model) = self.zones.iter_mut().find(|model| model.zone == zone) else { return };
        let nearest =
            |a: &usize, b: &usize| (TAUS[*a] - tau_s).abs().total_cmp(&(TAUS[*b] - tau_s).abs());
        model.best = (0..TAUS.len()).min_by(nearest).unwrap_or(PRIOR_TAU);
        for (at, fit) in model.fits.iter_mut().enumerate() {
            fit.resistance = resistance.clamp(BOUNDS_R.0, BOUNDS_R.1);
            fit.misses = if at == model.best { 0.0 } else { 2.0 * READING };
        }
    }
}

impl ZoneModel {
    fn new(zone: usize, ceiling: f64) -> Self {
        let fit = Fit {
            power: 0.0,
            offset: 0.0,
            resistance: PRIOR_R,
            p: [25.0, 0.0, R_VARIANCE],
            misses: 0.0,
        };
        let mut fits = [fit; TAUS.len()];
        for (at, fit) in fits.iter_mut().enumerate() {
            // The prior is believed until another one is clearly better.
            fit.misses = if at == PRIOR_TAU { 0.0 } else { READING };
        }
        Self {
            zone,
            ceiling,
            quick: 0.0,
            slow: 0.0,
            fits,
            best: PRIOR_TAU,
            seen: false,
            unread_s: 0.0,
        }
    }

    fn step(&mut self, dt_s: f64, reading: Option<f64>, power_w: f64) {
        if !self.seen {
            let Some(reading) = reading else {
                self.unread_s += dt_s;
                return;
            };
            (self.seen, self.quick, self.slow) = (true, reading, reading);
            for fit in &mut self.fits {
                (fit.power, fit.offset) = (power_w, reading - fit.resistance * power_w);
            }
        }
        for (fit, tau) in self.fits.iter_mut().zip(TAUS) {
            fit.power += (power_w - fit.power) * (1.0 - exp(-dt_s / tau));
        }
        let Some(reading) = reading else {
            self.unread_s += dt_s;
            return;
        };
        self.unread_s = 0.0;
        self.quick += (reading - self.quick) * (1.0 - exp(-dt_s / QUICK_S));
        self.slow += (reading - self.slow) * (1.0 - exp(-dt_s / SLOW_S));
        for fit in &mut self.fits {
            fit.learn(dt_s, reading);
        }
        let least = (0..TAUS.len())
            .min_by(|a, b| self.fits[*a].misses.total_cmp(&self.fits[*b].misses))
            .unwrap_or(self.best);
        // A change of mind costs a jump of the prediction: only for a tenth.
        if self.fits[least].misses < 0.9 * self.fits[self.best].misses {
            self.best = least;
        }
    }

    /// Temperature now, °C, smoothed over a few seconds; `None` before the first reading.
    pub fn now(&self) -> Option<f64> {
        self.seen.then_some(self.quick)
    }

    /// For how long there has been no reading, s.
    pub fn unread_s(&self) -> f64 {
        self.unread_s
    }

    /// R in °C/W and the time constant in s.
    pub fn fitted(&self) -> (f64, f64) {
        (self.fits[self.best].resistance, TAUS[self.best])
    }

    /// °C a second.
    pub fn trend(&self) -> f64 {
        (self.quick - self.slow) / (SLOW_S - QUICK_S)
    }

    /// Temperature expected after `ahead_s` at a constant power, °C; a rising trend of the last
    /// seconds is heeded if it says more.
    pub fn expected(&self, ahead_s: f64, power_w: f64) -> Option<f64> {
        let (fit, tau) = (&self.fits[self.best], TAUS[self.best]);
        let now = self.now()?;
        let modelled = now + fit.resistance * (power_w - fit.power) * (1.0 - exp(-ahead_s / tau));
        let by_trend =
            if self.trend() > 0.0 { now + self.trend() * TREND_S.min(ahead_s) } else { modelled };
        Some(modelled.max(by_trend))
    }

    /// Temperature where it would settle at a constant power, °C.
    pub fn settles(&self, power_w: f64) -> Option<f64> {
        let fit = &self.fits[self.best];
        Some(self.now()? + fit.resistance * (power_w - fit.power))
    }

    /// Power with which the zone is at `target` after `ahead_s`, W; below zero if it cannot cool
    /// down that far. `drawn_w` is the power of now, from which the trend is taken. `None` before
    /// the first reading.
    pub fn affordable(&self, ahead_s: f64, target: f64, drawn_w: f64) -> Option<f64> {
        let (fit, tau) = (&self.fits[self.best], TAUS[self.best]);
        let now = self.now()?;
        let by_model = fit.power + (target - now) / (fit.resistance * (1.0 - exp(-ahead_s / tau)));
        let beyond = now + self.trend() * TREND_S - target;
        if beyond <= 0.0 {
            return Some(by_model);
        }
        Some(by_model.min(drawn_w - beyond * tau / (fit.resistance * TREND_S.max(tau))))
    }
}

impl Fit {
    fn learn(&mut self, dt_s: f64, reading: f64) {
        self.p[0] = (self.p[0] + OFFSET_DRIFT * dt_s).min(100.0);
        self.p[2] = (self.p[2] + R_DRIFT * dt_s).min(R_VARIANCE);
        let x = self.power;
        let row = [self.p[0] + self.p[1] * x, self.p[1] + self.p[2] * x];
        let variance = row[0] + row[1] * x + READING;
        let off = reading - self.offset - self.resistance * x;
        let gain = [row[0] / variance, row[1] / variance];
        self.offset = (self.offset + gain[0] * off).clamp(-300.0, 300.0);
        self.resistance = (self.resistance + gain[1] * off).clamp(BOUNDS_R.0, BOUNDS_R.1);
        self.p = [
            self.p[0] - gain[0] * row[0],
            self.p[1] - gain[0] * row[1],
            self.p[2] - gain[1] * row[1],
        ];
        self.p[0] = self.p[0].max(1e-6);
        self.p[2] = self.p[2].max(1e-6);
        let most = 0.99 * (self.p[0] * self.p[2]).sqrt();
        self.p[1] = self.p[1].clamp(-most, most);
        self.misses += (off * off - self.misses) * (dt_s / MISSES_S).min(1.0);
    }
}

#[cfg(test)]
mod tests;
