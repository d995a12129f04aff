//! Learns which engines to ask in which order, and from which score on an answer stands.
//!
//! Pure. Chain and thresholds are chosen on the frames handed in and on no others; judging them on
//! new ones is [`super::crossval`]'s.

mod search;
mod views;

use search::{Found, Space, search};
use views::{Memory, Views};

use super::LabError;
use super::choose::Fared;
use super::crossval::Learner;
use super::paper::sample;
use super::profile::Profile;
use super::replay::replay;
use crate::engine::EngineIdx;
use crate::policy::confidence::{Confidence, Score, Stage};
use crate::policy::{MAX_STEPS, Plan, Policy};
use crate::stats::mean;

/// With more training frames than this, chain and thresholds are chosen on as many of them, drawn
/// with the seed.
pub const LARGE: usize = 5_000;
/// Mean times for which a chain is sought on the way to the least one.
const BUDGETS: usize = 40;
/// Chains this much less near to right than the best say nothing of those that matter.
const BESIDE_THE_BEST: f64 = 0.06;
/// Most engines to choose from.
pub const MOST_ENGINES: usize = 20;

/// What the search aims at. Times are those of the looks and the mean time of the features. Chains
/// are compared by [`super::duel`], which is less noisy than counting right answers.
#[derive(Clone, Debug, PartialEq)]
pub enum Goal {
    /// Least mean time with a top-1 not below that of the engine `reference` (place in the profile)
    /// plus `margin` (share of frames, may be negative). Choosing flatters; a margin of half a
    /// point makes up for some of it. What no chain reaches, the most accurate one comes nearest
    /// to. Of each time the chain nearest to right is taken, and of these the quickest that is
    /// right often enough.
    LeastTime {
        /// Place in the profile.
        reference: usize,
        /// -1..=1.
        margin: f64,
    },
    /// Nearest to right within a mean time, ms; then the least time. If even the cheapest engine
    /// takes longer, that engine alone.
    MostAccurate {
        /// Above 0.
        mean_ms: f64,
    },
}

/// Learns a policy of kind `confidence` (or `fixed`, where one engine alone does best).
///
/// A small space on purpose: the more chains there are to choose from, the more of the top-1 on the
/// training frames is lost on new ones.
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
    /// Only chains in which each engine is alone at least as near to right as the one before. Other
    /// chains seldom help on new frames.
    pub rising: bool,
    /// True to spare energy in place of time; every engine's must be known then.
    pub by_energy: bool,
    /// Of the draw where there are more frames than [`LARGE`].
    pub seed: u64,
    pub(in crate::lab) memory: Memory,
}

impl Thresholds {
    /// The settings that lost least on new photos among those compared: averages, best probability,
    /// up to three stages.
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
            memory: Memory::default(),
        }
    }

    fn check(&self, profile: &Profile, training: &[usize]) -> Result<(), LabError> {
        let wrong = |what: &str, got: String, needed: String| {
            Err(LabError::Table { what: what.to_owned(), got, needed })
        };
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
            return wrong(
                "the search",
                "nothing to try".into(),
                "a way of averaging, a score, a threshold".into(),
            );
        }
        match self.goal {
            Goal::LeastTime { margin, .. } if !(-1.0..=1.0).contains(&margin) => {
                wrong("margin", margin.to_string(), "-1 to 1".into())
            }
            Goal::LeastTime { reference, .. } if reference >= profile.engines.len() => wrong(
                "reference engine",
                reference.to_string(),
                format!("below {}", profile.engines.len()),
            ),
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
        // The cheapest first, whatever order they were named in: averages are then made in one
        // order.
        let mut engines = self.engines.clone();
        let cost = |engine: &usize| {
            let column = &profile.engines[*engine];
            column.energy_mj.filter(|_| self.by_energy).unwrap_or(column.mean_ms)
        };
        engines.sort_by(|a, b| cost(a).total_cmp(&cost(b)).then(a.cmp(b)));
        engines.dedup();
        let times: Vec<f64> = engines.iter().map(cost).collect();
        if self.scores.contains(&Score::Learned) && engines.len() > self.stages {
            // Learning the score of every set would take long and find the same engines: those that
            // are best by the plain one do.
            let plain = Self { scores: vec![Score::MaxSoftmax], ..self.clone() };
            let chosen: Vec<usize> = plain
                .learn(profile, training)?
                .engines()
                .iter()
                .map(|engine| usize::from(engine.0))
                .collect();
            return Self { engines: chosen, memory: Memory::default(), ..self.clone() }
                .learn(profile, training);
        }
        let training = sample(profile, training, LARGE, self.seed);
        let n = training.len() as f64;
        let features_ms =
            training.iter().map(|case| profile.measuring_ms(*case, false)).sum::<f64>() / n;
        let largest = if self.averages.contains(&true) { self.stages } else { 1 };
        let space = Space {
            times: &times,
            views: &Views::new(
                profile,
                &engines,
                &training,
                largest,
                (&self.scores, self.steps),
                &self.memory,
            ),
            averages: &self.averages,
            scores: self.scores.len(),
            stages: self.stages,
            rising: self.rising,
            frames: training.len(),
        };
        let found = match self.goal {
            Goal::MostAccurate { mean_ms } => search(&space, &[(mean_ms - features_ms) * n])
                .pop()
                .flatten()
                .map(|found| self.policy_of(&found, &engines)),
            Goal::LeastTime { reference, margin } => {
                let needed = profile.right_alone(reference, &training) as f64 / n + margin;
                let dearest = times.iter().sum::<f64>() * n;
                let mut chains = search(&space, &budgets(times[0] * n, dearest));
                chains.dedup();
                let policies: Vec<Policy> =
                    chains.iter().flatten().map(|found| self.policy_of(found, &engines)).collect();
                // What is to be spared, in place of the time.
                let spared = |fared: Fared| match fared.energy_mj.filter(|_| self.by_energy) {
                    Some(energy) => Fared { mean_ms: energy, ..fared },
                    None => fared,
                };
                let fared: Vec<Fared> = policies
                    .iter()
                    .map(|policy| {
                        spared(Fared::of(
                            profile,
                            &training,
                            &replay(profile, policy, None, &training),
                        ))
                    })
                    .collect();
                least(&fared, needed).and_then(|place| policies.into_iter().nth(place))
            }
        };
        let cheapest = || {
            Policy::new(
                self.name.clone(),
                Plan::Fixed { engine: EngineIdx(engines[0] as u8), fallback: None },
            )
        };
        Ok(found.unwrap_or_else(cheapest))
    }
}

/// Mean times from the cheapest chain's to the dearest, each a little above the one before, in the
/// unit of the two.
fn budgets(cheapest: f64, dearest: f64) -> Vec<f64> {
    let step = (dearest / cheapest).max(1.0).powf(1.0 / BUDGETS as f64);
    (0..=BUDGETS).map(|place| cheapest * step.powi(place as i32) * (1.0 + 1e-9)).collect()
}

/// The place of the quickest whose top-1 is at least `needed`, or of the one nearest to right.
///
/// Top-1 is read off a straight line through all of them in (nearness, top-1), least squares over
/// those that come near the best: less noisy than each one's own count.
pub(super) fn least(fared: &[Fared], needed: f64) -> Option<usize> {
    let nearest = fared.iter().map(|fared| fared.near).fold(0.0, f64::max);
    let beside = |fared: &&Fared| fared.near >= nearest - BESIDE_THE_BEST;
    let (near, top1): (Vec<f64>, Vec<f64>) =
        fared.iter().filter(beside).map(|fared| (fared.near, fared.top1)).unzip();
    let (middle, height) = (mean(&near)?, mean(&top1)?);
    let spread: f64 = near.iter().map(|near| (near - middle).powi(2)).sum();
    let together: f64 =
        near.iter().zip(&top1).map(|(near, top1)| (near - middle) * (top1 - height)).sum();
    let slope = if spread > 1e-9 { together / spread } else { 1.0 };
    // Of the others the line says nothing.
    let enough = |place: &usize| {
        beside(&&fared[*place]) && height + slope * (fared[*place].near - middle) >= needed - 1e-9
    };
    let quickest = (0..fared.len())
        .filter(enough)
        .min_by(|a, b| fared[*a].mean_ms.total_cmp(&fared[*b].mean_ms));
    quickest.or_else(|| (0..fared.len()).max_by(|a, b| fared[*a].near.total_cmp(&fared[*b].near)))
}

impl Thresholds {
    /// What was found as a policy; its engines are places in `engines`, those are places in the
    /// profile.
    fn policy_of(&self, found: &Found, engines: &[usize]) -> Policy {
        let index = |place: usize| EngineIdx(engines.get(place).map_or(0, |engine| *engine as u8));
        let plan = match found.stages.as_slice() {
            [only] => Plan::Fixed { engine: index(only.engine), fallback: None },
            stages => Plan::Confidence(Confidence {
                stages: stages
                    .iter()
                    .map(|stage| Stage {
                        engine: index(stage.engine),
                        accept_above: stage.accept_above,
                        chance: stage.chance,
                    })
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
