//! The power of a look: the power of the board, split into an idle part and a part for each engine
//! while it runs. Pure.
//!
//! `power = idle + sum of (share of the time that engine e ran) x (watts of e)`: a Kalman filter
//! over idle and the watts. A value that is not observed keeps its prior, and old observations
//! decay towards it.

use arrayvec::ArrayVec;

use super::costs::Prior;
use crate::engine::MAX_ENGINES;

/// Idle and one for each engine.
const STATES: usize = MAX_ENGINES + 1;
/// Watts of an engine of which nothing is known: what a TX2 draws above idle with a network without
/// pause at half its clock.
const UNKNOWN_W: f64 = 5.0;
/// Watts return to the prior with this time constant.
const FORGET_S: f64 = 1800.0;
/// Variance that idle gains a second: it follows whatever else runs on the board.
const IDLE_DRIFT: f64 = 0.004;
/// Most variance of idle, W².
const IDLE_VARIANCE: f64 = 25.0;
/// Highest watts of an engine.
const MOST_W: f64 = 500.0;

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Energies {
    state: ArrayVec<f64, STATES>,
    prior: ArrayVec<f64, STATES>,
    prior_variance: ArrayVec<f64, STATES>,
    covariance: Box<[[f64; STATES]; STATES]>,
    known: ArrayVec<bool, STATES>,
    seen: bool,
    /// Mean square of the misses, W².
    scatter2: f64,
}

impl Energies {
    pub fn new(priors: &[Option<Prior>]) -> Self {
        let (mut prior, mut prior_variance, mut known) =
            (ArrayVec::new(), ArrayVec::new(), ArrayVec::new());
        prior.push(0.0);
        prior_variance.push(IDLE_VARIANCE);
        known.push(false);
        for one in priors.iter().take(MAX_ENGINES) {
            let watts =
                one.and_then(|one| Some(one.energy?.0 / 1000.0 / one.p50.as_secs_f64().max(1e-6)));
            let watts = watts
                .filter(|watts| watts.is_finite() && *watts > 0.0)
                .map(|watts| watts.min(MOST_W));
            let centre = watts.unwrap_or(UNKNOWN_W);
            prior.push(centre);
            prior_variance.push(if watts.is_some() {
                0.09 * centre * centre
            } else {
                centre * centre
            });
            known.push(watts.is_some());
        }
        let mut covariance = Box::new([[0.0; STATES]; STATES]);
        for (at, variance) in prior_variance.iter().enumerate() {
            covariance[at][at] = *variance;
        }
        Self {
            state: prior.clone(),
            prior,
            prior_variance,
            covariance,
            known,
            seen: false,
            scatter2: 1.0,
        }
    }

    /// Time passes without or with a reading: `power_w` of the board, `busy` the share of `dt_s`
    /// that each engine was looking.
    pub fn pass(&mut self, dt_s: f64, power_w: Option<f64>, busy: &[f64]) {
        let n = self.state.len();
        let kept = 1.0 - (dt_s / FORGET_S).min(1.0);
        for i in 1..n {
            self.state[i] = self.prior[i] + (self.state[i] - self.prior[i]) * kept;
            for j in 0..n {
                let factor = if j == 0 { kept } else { kept * kept };
                self.covariance[i][j] *= factor;
                self.covariance[j][i] = self.covariance[i][j];
            }
            self.covariance[i][i] += (1.0 - kept * kept) * self.prior_variance[i];
        }
        self.covariance[0][0] = (self.covariance[0][0] + IDLE_DRIFT * dt_s).min(IDLE_VARIANCE);
        if let Some(power) = power_w.filter(|power| power.is_finite() && *power >= 0.0) {
            self.learn(power, busy);
        }
    }

    fn learn(&mut self, power: f64, busy: &[f64]) {
        let n = self.state.len();
        let share = |at: usize| {
            if at == 0 { 1.0 } else { busy.get(at - 1).copied().unwrap_or(0.0).clamp(0.0, 4.0) }
        };
        let working: f64 = (1..n).map(|at| share(at) * self.state[at]).sum();
        if !self.seen {
            (self.seen, self.state[0]) = (true, (power - working).max(0.0));
        }
        let mut row: ArrayVec<f64, STATES> = ArrayVec::new();
        for i in 0..n {
            row.push((0..n).map(|j| self.covariance[i][j] * share(j)).sum());
        }
        // A reading is a moment, the shares are a mean; how far they differ is seen from the
        // misses.
        let (least, most) = (0.02 * power + 0.05, 0.2 * power + 0.2);
        let scatter2 = self.scatter2.clamp(least * least, most * most);
        let variance = (0..n).map(|at| share(at) * row[at]).sum::<f64>() + scatter2;
        let deviation = variance.sqrt();
        let off = (power - self.state[0] - working).clamp(-3.0 * deviation, 3.0 * deviation);
        self.scatter2 += 0.02 * (off * off - self.scatter2);
        for i in 0..n {
            let gain = row[i] / variance;
            self.state[i] = (self.state[i] + gain * off).clamp(0.0, MOST_W);
            for j in 0..n {
                self.covariance[i][j] -= gain * row[j];
            }
            if i > 0 && share(i) > 0.0 && self.covariance[i][i] < 0.5 * self.prior_variance[i] {
                self.known[i] = true;
            }
        }
        for i in 0..n {
            self.covariance[i][i] = self.covariance[i][i].max(1e-6);
            for j in 0..i {
                self.covariance[i][j] = self.covariance[j][i];
            }
        }
    }

    /// Watts that the board draws without any look; `None` before the first reading.
    pub fn idle_w(&self) -> Option<f64> {
        self.seen.then(|| self.state[0])
    }

    /// Watts that engine number `at` adds while it looks, guessed if nothing is known, and whether
    /// they are known.
    pub fn watts(&self, at: usize) -> (f64, bool) {
        let (watts, known) = (self.state.get(at + 1), self.known.get(at + 1));
        (watts.copied().unwrap_or(UNKNOWN_W).max(0.01), known.copied().unwrap_or(false))
    }

    /// Goes on from kept watts.
    pub fn resume(&mut self, at: usize, watts: f64) {
        if let (Some(state), Some(known)) = (self.state.get_mut(at + 1), self.known.get_mut(at + 1))
        {
            (*state, *known) = (watts.clamp(0.0, MOST_W), true);
            let variance = 0.09 * *state * *state;
            self.covariance[at + 1][at + 1] = variance.max(1e-6);
        }
    }
}
