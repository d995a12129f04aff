//! Chooses among ways of making a policy, by cross-validation inside the training frames: itself a
//! [`Learner`], so that judging it on other frames is a nested cross-validation, and the figures
//! reported are of frames that had no part in any choice.
//!
//! Pure.

use super::LabError;
use super::crossval::{Learner, folds_of, split};
use super::profile::Profile;
use super::replay::{Walk, replay};
use crate::policy::{Policy, Reuse};
use crate::stats::{mean, quantile};

/// What is wanted of a policy.
#[derive(Clone, Debug, PartialEq)]
pub enum Objective {
    /// Least mean time with a top-1 not below that of the engine `reference` plus `margin` (share
    /// of frames, may be negative).
    LeastTime {
        /// Place of the engine in the profile.
        reference: usize,
        /// -1..=1.
        margin: f64,
    },
    /// Most top-1 within a mean time, ms, features included.
    MostAccurate {
        /// Above 0.
        mean_ms: f64,
    },
    /// Least mean energy with a top-1 not below the reference's plus the margin and a 95th
    /// percentile of the time of at most `p95_ms`.
    LeastEnergy {
        /// Place of the engine in the profile.
        reference: usize,
        /// -1..=1.
        margin: f64,
        /// Above 0.
        p95_ms: f64,
    },
}

/// What a candidate does on frames it did not learn from.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Fared {
    /// Share of right answers.
    pub top1: f64,
    /// Mean [`super::duel::duel`] of the answers: what candidates are compared by.
    pub near: f64,
    /// Mean time, ms.
    pub mean_ms: f64,
    /// 95th percentile, ms.
    pub p95_ms: f64,
    /// Mean energy, mJ; `None` if it is unknown for a frame.
    pub energy_mj: Option<f64>,
}

impl Fared {
    /// Of `walks`, those of `cases`.
    pub fn of(profile: &Profile, cases: &[usize], walks: &[Walk]) -> Self {
        let right = cases.iter().zip(walks).filter(|(case, walk)| {
            profile.cases.get(**case).is_some_and(|shown| walk.is_right(shown.label))
        });
        let mut times: Vec<f64> = walks.iter().map(|walk| walk.ms).collect();
        times.sort_by(f64::total_cmp);
        let energies: Option<Vec<f64>> = walks.iter().map(|walk| walk.energy_mj).collect();
        Self {
            top1: right.count() as f64 / cases.len().max(1) as f64,
            near: walks.iter().map(|walk| walk.near).sum::<f64>() / cases.len().max(1) as f64,
            mean_ms: mean(&times).unwrap_or(0.0),
            p95_ms: quantile(&times, 0.95).unwrap_or(0.0),
            energy_mj: energies.and_then(|energies| mean(&energies)),
        }
    }
}

impl Objective {
    /// How much a candidate that fared so is worth: the higher the better. What misses the
    /// condition is worth less than anything that meets it, and the less the further it misses it.
    /// `reference`: top-1 of the reference on the same frames; `shift`: how far top-1 is above
    /// nearness, over all candidates.
    fn worth(&self, fared: &Fared, reference: f64, shift: f64) -> (bool, f64) {
        match *self {
            Self::LeastTime { margin, .. } => {
                let short = reference + margin - (fared.near + shift);
                if short <= 1e-12 { (true, -fared.mean_ms) } else { (false, -short) }
            }
            Self::MostAccurate { mean_ms } => {
                if fared.mean_ms <= mean_ms {
                    (true, fared.near - 1e-6 * fared.mean_ms)
                } else {
                    (false, -fared.mean_ms)
                }
            }
            Self::LeastEnergy { margin, p95_ms, .. } => {
                let short = (reference + margin - (fared.near + shift))
                    .max((fared.p95_ms - p95_ms) / p95_ms);
                match fared.energy_mj {
                    Some(energy) if short <= 1e-12 => (true, -energy),
                    _ => (false, -short),
                }
            }
        }
    }

    fn reference(&self) -> Option<usize> {
        match *self {
            Self::LeastTime { reference, .. } | Self::LeastEnergy { reference, .. } => {
                Some(reference)
            }
            Self::MostAccurate { .. } => None,
        }
    }
}

/// A choice among learners.
pub struct Chooser {
    /// Those to choose from; the first of equals wins, so the simplest comes first.
    pub candidates: Vec<Box<dyn Learner>>,
    /// What counts.
    pub objective: Objective,
    /// Folds inside the training frames.
    pub folds: usize,
    /// Of the split.
    pub seed: u64,
    /// Whether and when last answers may be given again (streams).
    pub reuse: Option<Reuse>,
}

/// Another learner's policy, with last answers given again under these terms (streams).
pub struct Reusing {
    /// Makes the policy.
    pub inner: std::sync::Arc<dyn Learner>,
    /// `None`: never.
    pub reuse: Option<Reuse>,
}

impl Learner for Reusing {
    fn name(&self) -> String {
        match self.reuse {
            Some(reuse) => format!("{}, again below {:.2}", self.inner.name(), reuse.max_change),
            None => self.inner.name(),
        }
    }

    fn learn(&self, profile: &Profile, training: &[usize]) -> Result<Policy, LabError> {
        Ok(self.inner.learn(profile, training)?.with_reuse(self.reuse))
    }
}

/// How one candidate fared inside the training frames; `Err` says why it could not be made.
pub type Trial = (String, Result<Fared, LabError>);

impl Chooser {
    /// Every candidate's trial on `training`, and the place of the best. Of very many photos a draw
    /// is enough to compare on.
    pub fn trials(
        &self,
        profile: &Profile,
        training: &[usize],
    ) -> Result<(Vec<Trial>, usize), LabError> {
        let training =
            &super::crossval::draw(profile, training, super::crossval::ENOUGH, self.seed);
        let fold_of = folds_of(profile, training, self.folds, self.seed)?;
        let right =
            |engine| profile.right_alone(engine, training) as f64 / training.len().max(1) as f64;
        let reference = self.objective.reference().map_or(0.0, right);
        let trials: Vec<Trial> = self
            .candidates
            .iter()
            .map(|candidate| {
                (candidate.name(), self.trial(profile, candidate.as_ref(), training, &fold_of))
            })
            .collect();
        let shifts: Vec<f64> = trials
            .iter()
            .filter_map(|trial| trial.1.as_ref().ok())
            .map(|fared| fared.top1 - fared.near)
            .collect();
        let shift = mean(&shifts).unwrap_or(0.0);
        let mut best: Option<((bool, f64), usize)> = None;
        for (place, fared) in trials
            .iter()
            .enumerate()
            .filter_map(|(place, trial)| Some((place, trial.1.as_ref().ok()?)))
        {
            let worth = self.objective.worth(fared, reference, shift);
            if best.is_none_or(|(held, _)| worth > held) {
                best = Some((worth, place));
            }
        }
        match best {
            Some((_, place)) => Ok((trials, place)),
            None => Err(trials.into_iter().find_map(|(_, fared)| fared.err()).unwrap_or(
                LabError::Table {
                    what: "candidates".into(),
                    got: "none".into(),
                    needed: "at least one".into(),
                },
            )),
        }
    }

    fn trial(
        &self,
        profile: &Profile,
        candidate: &dyn Learner,
        training: &[usize],
        fold_of: &[usize],
    ) -> Result<Fared, LabError> {
        let mut walks = vec![Walk::default(); training.len()];
        for fold in 0..self.folds {
            let (learned_from, judged) = split(fold_of, fold);
            let cases = |places: &[usize]| -> Vec<usize> {
                places.iter().map(|place| training[*place]).collect()
            };
            let policy = candidate.learn(profile, &cases(&learned_from))?;
            for (place, walk) in
                judged.iter().zip(replay(profile, &policy, self.reuse, &cases(&judged)))
            {
                walks[*place] = walk;
            }
        }
        Ok(Fared::of(profile, training, &walks))
    }
}

impl Learner for Chooser {
    fn name(&self) -> String {
        "best by cross-validation".into()
    }

    fn learn(&self, profile: &Profile, training: &[usize]) -> Result<Policy, LabError> {
        match self.candidates.as_slice() {
            [only] => only.learn(profile, training),
            several => several[self.trials(profile, training)?.1].learn(profile, training),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::crossval::{folds, judge};
    use super::super::profile::samples;
    use super::*;
    use crate::engine::EngineIdx;
    use crate::policy::Plan;
    use std::sync::Mutex;

    /// Always the same engine; remembers what it was shown.
    struct Always(u8, Mutex<Vec<Vec<usize>>>);

    impl Learner for Always {
        fn name(&self) -> String {
            format!("always {}", self.0)
        }

        fn learn(&self, _: &Profile, training: &[usize]) -> Result<Policy, LabError> {
            self.1.lock().unwrap().push(training.to_vec());
            Ok(Policy::new("always", Plan::Fixed { engine: EngineIdx(self.0), fallback: None }))
        }
    }

    fn chooser(objective: Objective) -> Chooser {
        let candidates = (0..3)
            .map(|engine| Box::new(Always(engine, Mutex::default())) as Box<dyn Learner>)
            .collect();
        Chooser { candidates, objective, folds: 5, seed: 3, reuse: None }
    }

    fn chosen(objective: Objective) -> usize {
        let profile = samples::profile(300, &[(1.0, 0.5), (2.0, 0.8), (8.0, 0.8)]);
        let all: Vec<usize> = (0..300).collect();
        chooser(objective).trials(&profile, &all).unwrap().1
    }

    #[test]
    fn least_time_takes_the_cheapest_that_is_right_often_enough() {
        assert_eq!(chosen(Objective::LeastTime { reference: 0, margin: 0.0 }), 0);
        assert_eq!(chosen(Objective::LeastTime { reference: 0, margin: 0.1 }), 1);
    }

    #[test]
    fn what_cannot_be_had_ends_with_what_comes_nearest() {
        let nearest = chosen(Objective::LeastTime { reference: 2, margin: 0.5 });
        assert!(nearest == 1 || nearest == 2, "{nearest}");
        assert_eq!(chosen(Objective::MostAccurate { mean_ms: 0.5 }), 0);
    }

    #[test]
    fn most_accurate_stays_within_its_time() {
        assert_eq!(chosen(Objective::MostAccurate { mean_ms: 1.5 }), 0);
        assert_eq!(chosen(Objective::MostAccurate { mean_ms: 3.0 }), 1);
    }

    #[test]
    fn no_candidate_ever_sees_the_frames_it_is_judged_on() {
        let profile = samples::profile(60, &[(1.0, 0.5), (2.0, 0.8)]);
        let spy = Always(0, Mutex::default());
        let fold_of = folds(&profile, 6, 1).unwrap();
        judge(&profile, &spy, &fold_of, None).unwrap();
        for seen in spy.1.lock().unwrap().iter() {
            assert!(
                seen.len() == 50
                    && (0..6).any(|fold| seen.iter().all(|case| fold_of[*case] != fold))
            );
        }
    }

    #[test]
    fn frames_of_one_photo_stay_on_one_side() {
        let mut profile = samples::profile(60, &[(1.0, 0.5)]);
        profile
            .cases
            .iter_mut()
            .enumerate()
            .for_each(|(place, case)| case.group = place as u32 / 4);
        let fold_of = folds(&profile, 5, 1).unwrap();
        assert!(fold_of.chunks(4).all(|photo| photo.iter().all(|fold| *fold == photo[0])));
        let error = folds(&profile, 16, 1).unwrap_err().to_string();
        assert!(error.contains("16") && error.contains("15"), "{error}");
    }
}
