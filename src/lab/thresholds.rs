//! Learns which engines to ask in which order, and from which score on an answer stands.
//!
//! Pure. Chain and thresholds are chosen on the frames handed in and on no others; judging them on new ones is [`super::crossval`]'s.

mod search;
mod views;

use search::{Aim, Found, Space, search};
use views::Views;

use super::LabError;
use super::crossval::Learner;
use super::duel;
use super::paper::sample;
use super::profile::Profile;
use crate::engine::EngineIdx;
use crate::policy::confidence::{Confidence, Score, Stage};
use crate::policy::{MAX_STEPS, Plan, Policy};

/// With more training frames than this, chain and thresholds are chosen on as many of them, drawn with the seed.
pub const LARGE: usize = 10_000;
/// Most engines to choose from.
pub const MOST_ENGINES: usize = 20;

/// What the search aims at. Times are those of the looks and the mean time of the features. Right is measured by [`duel`], which is less
/// noisy than counting.
#[derive(Clone, Debug, PartialEq)]
pub enum Goal {
    /// Least mean time with answers as near to right as those of the engine `reference` (place in the profile) plus `margin` (share of
    /// frames, may be negative). Choosing flatters; a margin of half a point makes up for some of it. What no chain reaches, the most
    /// accurate one comes nearest to.
    LeastTime {
        /// Place in the profile.
        reference: usize,
        /// -1..=1.
        margin: f64,
    },
    /// Nearest to right within a mean time, ms; then the least time. If even the cheapest engine takes longer, that engine alone.
    MostAccurate {
        /// Above 0.
        mean_ms: f64,
    },
}

/// Learns a policy of kind `confidence` (or `fixed`, where one engine alone does best).
///
/// A small space on purpose: the more chains there are to choose from, the more of the top-1 on the training frames is lost on new ones.
#[derive(Clone, Debug, PartialEq)]
pub struct Thresholds {
    /// For reports.
    pub name: String,
    /// What is wanted.
    pub goal: Goal,
    /// Engines to choose from, places in the profile; at most [`MOST_ENGINES`].
    pub engines: Vec<usize>,
    /// Longest chain, 1..=[`MAX_STEPS`]. The search grows with engines to this power.
    pub stages: usize,
    /// Ways of combining answers to try.
    pub averages: Vec<bool>,
    /// Scores to try.
    pub scores: Vec<Score>,
    /// Thresholds a stage.
    pub steps: usize,
    /// Only chains in which each engine is alone at least as near to right as the one before. Other chains seldom help on new frames.
    pub rising: bool,
    /// True to spare energy in place of time; every engine's must be known then.
    pub by_energy: bool,
    /// Of the draw where there are more frames than [`LARGE`].
    pub seed: u64,
}

impl Thresholds {
    /// The settings that lost least on new photos among those compared: averages, best probability, up to three stages.
    pub fn new(goal: Goal, engines: Vec<usize>) -> Self {
        Self {
            name: "confidence".into(),
            goal,
            engines,
            stages: 3,
            averages: vec![true],
            scores: vec![Score::MaxSoftmax],
            steps: 24,
            rising: true,
            by_energy: false,
            seed: 1,
        }
    }

    fn check(&self, profile: &Profile, training: &[usize]) -> Result<(), LabError> {
        let wrong = |what: &str, got: String, needed: String| Err(LabError::Table { what: what.to_owned(), got, needed });
        if training.is_empty() {
            return wrong("training frames", "0".into(), "at least 1".into());
        }
        let unknown = self.engines.iter().any(|engine| *engine >= profile.engines.len());
        if self.engines.is_empty() || self.engines.len() > MOST_ENGINES || unknown {
            let needed = format!("1 to {MOST_ENGINES} of the profile; name fewer with --pool");
            return wrong("engines to choose from", self.engines.len().to_string(), needed);
        }
        if !(1..=MAX_STEPS).contains(&self.stages) {
            return wrong("stages", self.stages.to_string(), format!("1 to {MAX_STEPS}"));
        }
        if self.averages.is_empty() || self.scores.is_empty() || self.steps == 0 {
            return wrong("the search", "nothing to try".into(), "a way of averaging, a score, a threshold".into());
        }
        match self.goal {
            Goal::LeastTime { margin, .. } if !(-1.0..=1.0).contains(&margin) => {
                wrong("margin", margin.to_string(), "-1 to 1".into())
            }
            Goal::LeastTime { reference, .. } if reference >= profile.engines.len() => {
                wrong("reference engine", reference.to_string(), format!("below {}", profile.engines.len()))
            }
            Goal::MostAccurate { mean_ms } if !(mean_ms.is_finite() && mean_ms > 0.0) => {
                wrong("mean time", mean_ms.to_string(), "ms, above 0".into())
            }
            _ => Ok(()),
        }
    }
}

impl Learner for Thresholds {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn learn(&self, profile: &Profile, training: &[usize]) -> Result<Policy, LabError> {
        self.check(profile, training)?;
        // The cheapest first, whatever order they were named in: averages are then made in one order.
        let mut engines = self.engines.clone();
        let cost = |engine: &usize| {
            let column = &profile.engines[*engine];
            column.energy_mj.filter(|_| self.by_energy).unwrap_or(column.mean_ms)
        };
        engines.sort_by(|a, b| cost(a).total_cmp(&cost(b)).then(a.cmp(b)));
        engines.dedup();
        let times: Vec<f64> = engines.iter().map(cost).collect();
        let training = sample(profile, training, LARGE, self.seed);
        let n = training.len() as f64;
        let features_ms = training.iter().map(|case| f64::from(profile.cases[*case].features_ms)).sum::<f64>() / n;
        let largest = if self.averages.contains(&true) { self.stages } else { 1 };
        let space = Space {
            times: &times,
            views: &Views::new(profile, &engines, &training, largest, (&self.scores, self.steps)),
            averages: &self.averages,
            scores: self.scores.len(),
            stages: self.stages,
            rising: self.rising,
            frames: training.len(),
        };
        let most = |time: f64| {
            let best = search(&space, Aim::Nearest { time })?;
            search(&space, Aim::Fastest { near: best.near - 1e-6 })
        };
        let found = match self.goal {
            Goal::LeastTime { reference, margin } => {
                let near = (duel::alone(profile, reference, &training) + margin) * n - 1e-6;
                search(&space, Aim::Fastest { near }).or_else(|| most(f64::MAX))
            }
            Goal::MostAccurate { mean_ms } => most((mean_ms - features_ms) * n),
        };
        Ok(self.policy_of(found.as_ref(), &engines))
    }
}

impl Thresholds {
    /// What was found as a policy; its engines are places in `engines`, those are places in the profile. Without a find the cheapest.
    fn policy_of(&self, found: Option<&Found>, engines: &[usize]) -> Policy {
        let index = |place: usize| EngineIdx(engines.get(place).map_or(0, |engine| *engine as u8));
        let plan = match found.filter(|found| found.stages.len() > 1) {
            None => {
                let only = found.and_then(|found| found.stages.first()).map_or(0, |stage| stage.engine);
                Plan::Fixed { engine: index(only), fallback: None }
            }
            Some(found) => Plan::Confidence(Confidence {
                stages: found
                    .stages
                    .iter()
                    .map(|stage| Stage { engine: index(stage.engine), accept_above: stage.accept_above, chance: stage.chance })
                    .collect(),
                average: found.average,
                score: self.scores.get(found.score).copied().unwrap_or(Score::MaxSoftmax),
            }),
        };
        Policy::new(self.name.clone(), plan)
    }
}

#[cfg(test)]
mod tests;
