//! The present cost of each engine in time and energy: a prior from the profile, corrected by every
//! look and every reading. Pure.
//!
//! [`super::latency`] holds the times, [`super::energy`] the watts; governor and scheduler ask
//! here. Nothing allocates after [`Costs::new`], and the same looks and samples give the same bits
//! everywhere.

use std::time::Duration;

use super::energy::Energies;
use super::grants::{Look, Usage};
use super::latency::Latencies;
use crate::engine::{EngineIdx, MAX_ENGINES};
use crate::telemetry::Sample;
use crate::units::{Millijoules, Milliwatts};

/// What is usual is the mean of so many looks; an engine that is not asked goes with the others
/// over this long, s.
const USUAL_LOOKS: f64 = 100.0;
const USUAL_S: f64 = 300.0;
/// Longest step that is believed; a longer gap counts as this much.
const LONGEST_STEP_S: f64 = 10.0;

/// What is known of an engine before its first look: from the calibration profile, or measured when
/// it was loaded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Prior {
    /// Median of a look, preprocessing included.
    pub p50: Duration,
    /// 95th percentile of a look.
    pub p95: Duration,
    /// Energy of a look above idle, if measured.
    pub energy: Option<Millijoules>,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Costs {
    pub(super) latencies: Latencies,
    pub(super) energies: Energies,
    last: Option<Duration>,
    usual: Usual,
}

/// How long looks usually take against their profile, whatever the clock is at this moment: what
/// energies are reckoned with. A clock that follows the load changes by the second.
#[derive(Clone, Debug)]
struct Usual {
    prior_s: [f64; MAX_ENGINES],
    ratios: [f64; MAX_ENGINES],
    shared: f64,
}

impl Usual {
    fn new(priors: &[Option<Prior>]) -> Self {
        let mut prior_s = [0.0; MAX_ENGINES];
        for (seconds, prior) in prior_s.iter_mut().zip(priors) {
            *seconds = prior.map_or(0.0, |prior| prior.p50.as_secs_f64().max(1e-6));
        }
        Self { prior_s, ratios: [1.0; MAX_ENGINES], shared: 1.0 }
    }

    fn pass(&mut self, dt_s: f64, usage: &Usage) {
        for at in 0..MAX_ENGINES {
            let looks = f64::from(usage.looks[at]);
            if looks > 0.0 && self.prior_s[at] > 0.0 {
                let ratio =
                    (usage.busy[at].as_secs_f64() / looks / self.prior_s[at]).clamp(0.02, 100.0);
                self.ratios[at] += (ratio - self.ratios[at]) * looks / (looks + USUAL_LOOKS);
                self.shared += (ratio - self.shared) * looks / (looks + 2.0 * USUAL_LOOKS);
            } else {
                self.ratios[at] += (self.shared - self.ratios[at]) * (dt_s / USUAL_S).min(1.0);
            }
        }
    }

    fn seconds(&self, at: usize) -> Option<f64> {
        Some(self.prior_s.get(at)? * self.ratios.get(at)?).filter(|seconds| *seconds > 0.0)
    }
}

impl Costs {
    /// By [`EngineIdx`]; `None` is an engine that is not there. Those beyond [`MAX_ENGINES`] are
    /// left out.
    pub fn new(priors: &[Option<Prior>]) -> Self {
        Self {
            latencies: Latencies::new(priors),
            energies: Energies::new(priors),
            last: None,
            usual: Usual::new(priors),
        }
    }

    /// Learns from a look. Looks of engines that are not there are left out.
    pub fn look(&mut self, look: &Look) {
        self.latencies.look(usize::from(look.engine.0), look.time, look.crowded);
    }

    /// Learns from a sample of the board and what was done since the one before; to be called at
    /// each step, before the governor's. `rail` is the index of the rail that stands for the board,
    /// [`crate::telemetry::Inventory::total`].
    pub fn step(&mut self, now: Duration, sample: &Sample, rail: Option<usize>, usage: &Usage) {
        let was = self.last.replace(now);
        let dt_s = was.map_or(0.5, |was| now.saturating_sub(was).as_secs_f64());
        self.latencies.clock_cap(sample.gpu_clock_cap.map(|clock| f64::from(clock.0)));
        if was.is_none() || dt_s <= 0.0 {
            return;
        }
        let power = rail
            .and_then(|rail| sample.rails.get(rail).copied().flatten())
            .map(|power| f64::from(power.0) / 1000.0);
        let mut busy = [0.0; MAX_ENGINES];
        for (share, time) in busy.iter_mut().zip(&usage.busy) {
            *share = time.as_secs_f64() / dt_s;
        }
        self.usual.pass(dt_s.min(LONGEST_STEP_S), usage);
        self.latencies.pass(dt_s.min(LONGEST_STEP_S));
        self.energies.pass(dt_s.min(LONGEST_STEP_S), power, &busy);
    }

    /// Median time of a look now; `None` if the engine is not there.
    pub fn p50(&self, engine: EngineIdx) -> Option<Duration> {
        self.latencies.p50(usize::from(engine.0)).map(seconds)
    }

    /// 95th percentile of a look now; `None` if the engine is not there.
    pub fn p95(&self, engine: EngineIdx) -> Option<Duration> {
        self.latencies.p95(usize::from(engine.0)).map(seconds)
    }

    /// Chance that a look ends `within` this time, 0..=1; 0 if the engine is not there. At least
    /// 0.95 exactly where the 95th percentile is within it, rounding aside.
    pub fn chance(&self, engine: EngineIdx, within: Duration) -> f32 {
        self.latencies.chance(usize::from(engine.0), within.as_secs_f64()).unwrap_or(0.0) as f32
    }

    /// Energy of a look above idle; `None` if the engine is not there or neither a profile nor the
    /// readings say.
    pub fn energy(&self, engine: EngineIdx) -> Option<Millijoules> {
        let (_, known) = self.energies.watts(usize::from(engine.0));
        self.energy_or_guess(engine).filter(|_| known)
    }

    /// Energy of a look above idle, with five watts assumed where nothing is known; `None` if the
    /// engine is not there.
    pub fn energy_or_guess(&self, engine: EngineIdx) -> Option<Millijoules> {
        let at = usize::from(engine.0);
        Some(Millijoules(self.energies.watts(at).0 * self.usual.seconds(at)? * 1000.0))
    }

    /// Power above idle while the engine looks; `None` if nothing is known.
    pub fn watts(&self, engine: EngineIdx) -> Option<Milliwatts> {
        let (watts, known) = self.energies.watts(usize::from(engine.0));
        Some(Milliwatts((watts * 1000.0) as f32)).filter(|_| known && self.p50(engine).is_some())
    }

    /// What the board draws without any look, everything else that runs on it included; `None`
    /// before the first reading.
    pub fn idle(&self) -> Option<Milliwatts> {
        self.energies.idle_w().map(|watts| Milliwatts((watts * 1000.0) as f32))
    }

    /// How much slower every engine is now than its profile says: 1 is as fast, 2 takes twice as
    /// long.
    pub fn slow_down(&self) -> f32 {
        self.latencies.slow_down() as f32
    }
}

fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
}

#[cfg(test)]
mod tests;
