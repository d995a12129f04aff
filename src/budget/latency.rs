//! What a look takes now: one slow-down shared by all engines, a correction for each, and the
//! clocks. Pure.
//!
//! The idea is ALERT's (Wan et al., USENIX ATC 2020): the time of every look, divided by what the
//! profile says, is a measurement of one factor that a Kalman filter follows, so that one engine's
//! slow look tells about all the others; the process noise grows with the surprises. Added here:
//! the factor is a line in the inverse clock (t = a + b/f, which fits the published tables of the
//! TX2 within 5 %), each engine has a slow correction of its own profile, a single outlier is
//! clipped, and each engine learns how far the shared factor holds for it: where the clock follows
//! the load, short looks are many times slower on an idle board while long ones bring the clock up,
//! so that its own looks of late may be worth more than what the others say.

use std::time::Duration;

use arrayvec::ArrayVec;

use super::costs::Prior;
use crate::engine::MAX_ENGINES;
use crate::stats::{Z95_ONE_SIDED, exp, normal_cdf};

/// State of the shared filter: the slow-down at the reference clock, and how it grows with the
/// inverse of the GPU's clock.
const STATES: usize = 2;
/// Where they start: half of a look's time goes with the GPU's clock, give or take a quarter.
const START: [f64; STATES] = [1.0, 0.5];
/// Variances to start from.
const START_VARIANCE: [f64; STATES] = [0.01, 0.0625];
/// Least process noise of the slow-down, a look.
const LEAST_NOISE: f64 = 1e-5;
/// How much of the process noise stays from look to look (ALERT's alpha).
const NOISE_KEPT: f64 = 0.3;
/// A look further off than this many standard deviations is clipped to it.
const CLIP: f64 = 3.0;
/// So many clipped looks of one engine in a row, all to the same side, are no accident.
const LASTING: u32 = 3;
/// Variance of an engine's correction at the start and at most.
const CORRECTION_VARIANCE: f64 = 0.0025;
/// Least and greatest relative spread of the looks of an engine, one standard deviation.
const SPREAD: (f64, f64) = (0.02, 0.5);
/// While an engine is not asked, its correction and what the others say of it return to the profile
/// with this time constant: on a clock that follows the load short looks say little of long ones,
/// and nothing else would ever show that it has become quick again.
const EASE_S: f64 = 60.0;
/// The shared slow-down returns to 1 with this one while no engine at all is asked.
const EASE_ALL_S: f64 = 600.0;
/// How much the spread of an engine's looks follows one of them.
const SPREAD_GAIN: f64 = 0.05;
/// What an engine showed of itself counts less and less with this time constant while it is not
/// asked.
const OWN_EASE_S: f64 = 20.0;
/// How much an engine's own level follows one look, of which no more than so much beyond it counts.
const OWN_GAIN: f64 = 0.3;
const MOST_OFF: f64 = 0.7;
/// Weight of one look as evidence that the shared slow-down holds for an engine, and the square of
/// the relative distance between the two expectations below which a look is little evidence.
const SHARES_GAIN: f64 = 0.05;
const APART2: f64 = 0.04;
/// An engine counts as not asked after this long.
const UNASKED_S: f64 = 5.0;

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Latencies {
    state: [f64; STATES],
    covariance: [[f64; STATES]; STATES],
    noise: f64,
    /// Inverse clock against the reference, less one: 0 at the reference, 1 at half of it.
    slower: f64,
    reference: Option<f64>,
    unasked_s: f64,
    normal_looks: u64,
    engines: ArrayVec<Option<Engine>, MAX_ENGINES>,
}

#[derive(Clone, Copy, Debug)]
struct Engine {
    prior_s: f64,
    prior_spread: f64,
    correction: f64,
    variance: f64,
    /// Square of the relative spread.
    spread2: f64,
    unasked_s: f64,
    /// Its own looks of late against the profile, and the square of their relative spread.
    own: Option<f64>,
    own_spread2: f64,
    /// How far the shared slow-down holds for it, 0..=1; its own looks hold for the rest.
    shares: f64,
    /// Clipped looks in a row, negative for too quick ones.
    streak: i32,
    /// `normal_looks` when the streak began.
    streak_began: u64,
}

/// What outlives a restart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Learned {
    pub correction: f64,
    pub spread: f64,
}

impl Latencies {
    pub fn new(priors: &[Option<Prior>]) -> Self {
        let mut covariance = [[0.0; STATES]; STATES];
        for (at, row) in covariance.iter_mut().enumerate() {
            row[at] = START_VARIANCE[at];
        }
        let engines =
            priors.iter().take(MAX_ENGINES).map(|prior| prior.as_ref().map(Engine::new)).collect();
        Self {
            state: START,
            covariance,
            noise: LEAST_NOISE,
            slower: 0.0,
            reference: None,
            unasked_s: 0.0,
            normal_looks: 0,
            engines,
        }
    }

    /// The highest clock that the GPU may take now, MHz; the first known one is the reference. The
    /// clock of the moment says nothing: one that follows the load is low between looks and rises
    /// for them.
    pub fn clock_cap(&mut self, mhz: Option<f64>) {
        let Some(mhz) = mhz.filter(|mhz| mhz.is_finite() && *mhz >= 1.0) else {
            self.slower = 0.0;
            return;
        };
        let reference = *self.reference.get_or_insert(mhz);
        self.slower = (reference / mhz - 1.0).clamp(-0.9, 20.0);
    }

    /// Time passes: what is not asked returns to what the profile says.
    pub fn pass(&mut self, dt_s: f64) {
        self.unasked_s += dt_s;
        if self.unasked_s > UNASKED_S {
            let back = (dt_s / EASE_ALL_S).min(1.0);
            self.state[0] += (START[0] - self.state[0]) * back;
            self.covariance[0][0] += (START_VARIANCE[0] - self.covariance[0][0]).max(0.0) * back;
        }
        for engine in self.engines.iter_mut().flatten() {
            engine.unasked_s += dt_s;
            if engine.unasked_s > UNASKED_S {
                let back = (dt_s / EASE_S).min(1.0);
                engine.correction += (1.0 - engine.correction) * back;
                engine.variance += (CORRECTION_VARIANCE - engine.variance).max(0.0) * back;
                engine.spread2 +=
                    (engine.prior_spread * engine.prior_spread - engine.spread2) * back;
            }
        }
    }

    /// Learns from a look of engine number `at`.
    pub fn look(&mut self, at: usize, time: Duration, crowded: bool) {
        let h = self.regressors();
        let shared = dot(&h, &self.state).max(0.05);
        let Some(engine) = self.engines.get_mut(at).and_then(Option::as_mut) else { return };
        (self.unasked_s, engine.unasked_s) = (0.0, 0.0);
        let measured = (time.as_secs_f64() / engine.prior_s).clamp(0.0, 1000.0);
        let expected = engine.correction * shared;
        if !crowded {
            engine.learn_own(measured, expected);
        }
        self.covariance[0][0] += self.noise;
        engine.variance = (engine.variance + 1e-7).min(1.0);
        // A crowded look is longer than its own work for a reason that the filter does not know: it
        // says a ninth as much.
        let scatter = engine.spread2 * expected * expected * if crowded { 9.0 } else { 1.0 };
        let off = measured - expected;

        let variance_of = |covariance: &[[f64; STATES]; STATES], engine: &Engine| {
            let row = times(covariance, &h);
            engine.correction * engine.correction * dot(&h, &row)
                + shared * shared * engine.variance
                + scatter
        };
        let deviation = variance_of(&self.covariance, engine).sqrt();
        let outlying = off.abs() > CLIP * deviation;
        let mut used = off.clamp(-CLIP * deviation, CLIP * deviation);
        let clipped = used / expected;
        if outlying {
            let side = if off > 0.0 { 1 } else { -1 };
            if engine.streak.signum() != side {
                (engine.streak, engine.streak_began) = (0, self.normal_looks);
            }
            engine.streak += side;
            if engine.streak.unsigned_abs() >= LASTING {
                // If others looked as usual meanwhile it is this engine that has changed; else it
                // is the board.
                if self.normal_looks > engine.streak_began {
                    engine.variance += off * off
                } else {
                    self.covariance[0][0] += off * off
                }
                (used, engine.streak) = (off, 0);
            }
        } else {
            (engine.streak, self.normal_looks) = (0, self.normal_looks + 1);
        }

        let row = times(&self.covariance, &h);
        let variance = variance_of(&self.covariance, engine);
        let gain = row.map(|value| engine.correction * value / variance);
        let own_gain = shared * engine.variance / variance;
        for (i, state) in self.state.iter_mut().enumerate() {
            *state += gain[i] * used;
            for (j, value) in self.covariance[i].iter_mut().enumerate() {
                *value -= gain[i] * engine.correction * row[j];
            }
        }
        engine.correction = (engine.correction + own_gain * used).clamp(0.05, 20.0);
        engine.variance = (engine.variance * (1.0 - shared * own_gain)).max(1e-8);
        self.noise = LEAST_NOISE
            .max(NOISE_KEPT * self.noise + (1.0 - NOISE_KEPT) * (gain[0] * used) * (gain[0] * used))
            .min(0.25);
        if !crowded {
            engine.spread2 += SPREAD_GAIN * (clipped * clipped - engine.spread2);
            engine.spread2 = engine.spread2.clamp(SPREAD.0 * SPREAD.0, SPREAD.1 * SPREAD.1);
        }
        self.bound();
    }

    /// Keeps the filter within what a board can do, and its covariance symmetric and positive.
    fn bound(&mut self) {
        self.state[0] = self.state[0].clamp(0.02, 100.0);
        for share in &mut self.state[1..] {
            *share = share.clamp(0.0, 100.0);
        }
        for i in 0..STATES {
            self.covariance[i][i] = self.covariance[i][i].clamp(1e-8, 1e4);
            for j in 0..i {
                let mean = 0.5 * (self.covariance[i][j] + self.covariance[j][i]);
                (self.covariance[i][j], self.covariance[j][i]) = (mean, mean);
            }
        }
    }

    fn regressors(&self) -> [f64; STATES] {
        [1.0, self.slower]
    }

    /// Expected time of a look in seconds and its relative spread.
    fn expected(&self, at: usize) -> Option<(f64, f64)> {
        let engine = self.engines.get(at)?.as_ref()?;
        let h = self.regressors();
        let shared = engine.believed(dot(&h, &self.state).max(0.05));
        let unknown = dot(&h, &times(&self.covariance, &h)).max(0.0) / (shared * shared);
        let own = engine.variance / (engine.correction * engine.correction);
        let (mean, spread2) =
            engine.mixed(engine.correction * shared, engine.spread2 + unknown + own);
        Some((engine.prior_s * mean, spread2.sqrt().min(SPREAD.1)))
    }

    /// Median, seconds.
    pub fn p50(&self, at: usize) -> Option<f64> {
        self.expected(at).map(|(mean, _)| mean)
    }

    /// 95th percentile, seconds.
    pub fn p95(&self, at: usize) -> Option<f64> {
        self.expected(at).map(|(mean, spread)| mean * (1.0 + Z95_ONE_SIDED * spread))
    }

    /// Chance of ending within so many seconds.
    pub fn chance(&self, at: usize, within_s: f64) -> Option<f64> {
        self.expected(at).map(|(mean, spread)| normal_cdf((within_s / mean - 1.0) / spread))
    }

    /// The factor shared by all engines, at the clocks of now.
    pub fn slow_down(&self) -> f64 {
        dot(&self.regressors(), &self.state).max(0.05)
    }

    /// The shared state, for keeping.
    pub fn shared(&self) -> ([f64; STATES], Option<f64>) {
        (self.state, self.reference)
    }

    /// Goes on from a kept state.
    pub fn resume(&mut self, state: [f64; STATES], reference: Option<f64>) {
        (self.state, self.reference) = (state, reference);
        self.bound();
    }

    /// What engine number `at` has learned.
    pub fn learned(&self, at: usize) -> Option<Learned> {
        let engine = self.engines.get(at)?.as_ref()?;
        Some(Learned { correction: engine.correction, spread: engine.spread2.sqrt() })
    }

    /// Goes on from what it had learned.
    pub fn relearn(&mut self, at: usize, learned: Learned) {
        if let Some(engine) = self.engines.get_mut(at).and_then(Option::as_mut) {
            engine.correction = learned.correction.clamp(0.05, 20.0);
            let spread = learned.spread.clamp(SPREAD.0, SPREAD.1);
            engine.spread2 = spread * spread;
        }
    }
}

impl Engine {
    /// Learns from a look, `measured` against `expected` by what all share.
    fn learn_own(&mut self, measured: f64, expected: f64) {
        let Some(own) = self.own.filter(|own| *own > 0.0) else {
            self.own = Some(measured);
            return;
        };
        let (off, apart) = ((measured / own - 1.0).min(MOST_OFF), expected / own - 1.0);
        self.shares = (self.shares
            + SHARES_GAIN * (off - self.shares * apart) * apart / (apart * apart + APART2))
            .clamp(0.0, 1.0);
        self.own = Some(own * (1.0 + OWN_GAIN * off));
        self.own_spread2 = (self.own_spread2 + SPREAD_GAIN * (off * off - self.own_spread2))
            .clamp(SPREAD.0 * SPREAD.0, SPREAD.1 * SPREAD.1);
    }

    /// Mean and square of the relative spread: as all share it, as far as that holds for this
    /// engine, and else as it looked of late.
    fn mixed(&self, shared: f64, spread2: f64) -> (f64, f64) {
        let Some(own) = self.own else { return (shared, spread2) };
        let away_s = (self.unasked_s - UNASKED_S).max(0.0);
        let alone = (1.0 - self.shares) * exp(-away_s / OWN_EASE_S);
        ((1.0 - alone) * shared + alone * own, (1.0 - alone) * spread2 + alone * self.own_spread2)
    }

    /// What is believed of the slow-down that the others see.
    fn believed(&self, shared: f64) -> f64 {
        let away_s = (self.unasked_s - UNASKED_S).max(0.0);
        1.0 + (shared - 1.0) * exp(-away_s / EASE_S)
    }

    fn new(prior: &Prior) -> Self {
        let prior_s = prior.p50.as_secs_f64().max(1e-6);
        let spread =
            ((prior.p95.as_secs_f64() / prior_s - 1.0) / Z95_ONE_SIDED).clamp(SPREAD.0, SPREAD.1);
        Self {
            prior_s,
            prior_spread: spread,
            correction: 1.0,
            variance: CORRECTION_VARIANCE,
            spread2: spread * spread,
            unasked_s: 0.0,
            own: None,
            own_spread2: spread * spread,
            shares: 1.0,
            streak: 0,
            streak_began: 0,
        }
    }
}

fn dot(a: &[f64; STATES], b: &[f64; STATES]) -> f64 {
    a[0] * b[0] + a[1] * b[1]
}

fn times(matrix: &[[f64; STATES]; STATES], vector: &[f64; STATES]) -> [f64; STATES] {
    [dot(&matrix[0], vector), dot(&matrix[1], vector)]
}
