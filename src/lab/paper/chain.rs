//! The published premodel as a policy: pool, labels, features and rows, all learned on the cases
//! handed in.
//!
//! Pure. The votes are those of [`crate::premodel`], the same code as in the daemon; nothing of the
//! search is done here.

use super::labels::{Criterion, ideal_shares, labels};
use super::pool::{Method, Selection, select};
use super::sample;
use super::selection::{FeatureSelection, select_features};
use crate::engine::EngineIdx;
use crate::lab::LabError;
use crate::lab::crossval::Learner;
use crate::lab::profile::Profile;
use crate::policy::chain::Chain;
use crate::policy::file::MAX_BYTES;
use crate::policy::{Plan, Policy};
use crate::premodel::{MAX_K, MAX_ROWS, Premodel};

/// Longest feature value in a file, with comma and space, bytes.
const VALUE_BYTES: usize = 18;
/// What a row needs besides its values: brackets, indent, its label.
const ROW_BYTES: usize = 16;
/// Left for everything that is not a row.
const HEAD_BYTES: usize = 256 * 1024;

/// What to do where no level says yes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnNone {
    /// Give no answer: the published setting.
    #[default]
    Abstain,
    /// Ask the engine of the pool that is right most often in training; ties to the cheaper one.
    MostCapable,
}

/// The learner. The default is the published setting for images.
#[derive(Clone, Debug, PartialEq)]
pub struct PaperChain {
    /// How the pool is chosen.
    pub method: Method,
    /// Gain below which no engine is added, percentage points, 0 to 100.
    pub theta: f64,
    /// When an answer counts as right in training.
    pub criterion: Criterion,
    /// Neighbours, 1..=64; fewer where there are fewer rows.
    pub k: usize,
    /// What to do where no level says yes.
    pub on_none: OnNone,
    /// False keeps every feature that varies.
    pub prune: bool,
    /// Of the inner folds and of the draw where there are too many rows.
    pub seed: u64,
    /// Engines that may be in the pool, by place in the profile; empty for all of them.
    pub candidates: Vec<usize>,
}

impl Default for PaperChain {
    fn default() -> Self {
        Self {
            method: Method::Accuracy,
            theta: 0.5,
            criterion: Criterion::Top1,
            k: 5,
            on_none: OnNone::Abstain,
            prune: true,
            seed: 1,
            candidates: Vec::new(),
        }
    }
}

/// All that was learned, step by step.
#[derive(Clone, Debug, PartialEq)]
pub struct Fitted {
    /// The pool.
    pub pool: Selection,
    /// Shares a premodel without mistakes would give: by level, and last that of cases nobody gets
    /// right.
    pub ideal_shares: Vec<f64>,
    /// The features.
    pub features: FeatureSelection,
    /// Neighbours.
    pub k: usize,
    /// Training cases that became rows, in order.
    pub rows: Vec<usize>,
    /// By row, its level.
    pub best: Vec<Option<u8>>,
    /// Training cases in all: more than the rows if they would not fit a policy file; then the rows
    /// are a draw.
    pub training: usize,
    /// Who answers where no level says yes.
    pub on_none: Option<usize>,
}

/// Most rows of so many values that fit a policy file.
pub fn row_limit(width: usize) -> usize {
    ((MAX_BYTES - HEAD_BYTES) / (width * VALUE_BYTES + ROW_BYTES)).min(MAX_ROWS)
}

impl PaperChain {
    /// Learns from the cases `training`.
    pub fn fit(&self, profile: &Profile, training: &[usize]) -> Result<Fitted, LabError> {
        if !(1..=MAX_K).contains(&self.k) {
            return Err(LabError::Table {
                what: "k".into(),
                got: self.k.to_string(),
                needed: format!("1 to {MAX_K}"),
            });
        }
        if let Some(case) = training.iter().find(|case| **case >= profile.cases.len()) {
            let needed = format!("0 to {}", profile.cases.len().saturating_sub(1));
            return Err(LabError::Table {
                what: "training frame".into(),
                got: case.to_string(),
                needed,
            });
        }
        let all: Vec<usize> = (0..profile.engines.len()).collect();
        let candidates = if self.candidates.is_empty() { &all } else { &self.candidates };
        let pool = select(profile, training, candidates, self.criterion, self.method, self.theta)?;
        let best = labels(profile, training, &pool.engines, self.criterion);
        let features = select_features(profile, training, &best, self.k, self.prune, self.seed)?;
        let rows = sample(profile, training, row_limit(features.kept.len()), self.seed);
        let right = |engine: usize| {
            training.iter().filter(|case| self.criterion.is_right(profile, engine, **case)).count()
        };
        let strongest = || pool.engines.iter().rev().copied().max_by_key(|engine| right(*engine));
        Ok(Fitted {
            ideal_shares: ideal_shares(&best, pool.engines.len()),
            best: labels(profile, &rows, &pool.engines, self.criterion),
            k: self.k.min(rows.len()),
            training: training.len(),
            on_none: if self.on_none == OnNone::MostCapable { strongest() } else { None },
            rows,
            features,
            pool,
        })
    }
}

impl Fitted {
    /// The policy, engines counted as in `profile`, which must be the one it was fitted on.
    pub fn policy(&self, name: &str, profile: &Profile) -> Result<Policy, LabError> {
        let index = |engine: usize| EngineIdx(u8::try_from(engine).unwrap_or(u8::MAX));
        let rows = self.values(profile).flatten().collect();
        let premodel = Premodel::new(
            self.features.kept.clone(),
            self.pool.engines.len(),
            self.k,
            rows,
            self.best.clone(),
        );
        let premodel = premodel.map_err(|error| LabError::Table {
            what: "training rows".into(),
            got: error.to_string(),
            needed: "finite features and at least one frame".into(),
        })?;
        let chain = Chain {
            engines: self.pool.engines.iter().copied().map(index).collect(),
            premodel,
            on_none: self.on_none.map(index),
            guard: None,
        };
        Ok(Policy::new(name, Plan::Chain(Box::new(chain))))
    }

    /// By row, the values of the features kept, unscaled.
    pub fn values<'f>(&'f self, profile: &'f Profile) -> impl Iterator<Item = Vec<f32>> + 'f {
        let value = |case: usize, feature: usize| {
            profile.cases.get(case).map_or(0.0, |shown| shown.features.values[feature])
        };
        self.rows.iter().map(move |case| {
            self.features.kept.iter().map(|scale| value(*case, scale.feature)).collect()
        })
    }
}

impl Learner for PaperChain {
    fn name(&self) -> String {
        match self.on_none {
            OnNone::Abstain => "paper-knn-chain".to_owned(),
            OnNone::MostCapable => "paper-knn-chain-fallback".to_owned(),
        }
    }

    fn learn(&self, profile: &Profile, training: &[usize]) -> Result<Policy, LabError> {
        self.fit(profile, training)?.policy(&self.name(), profile)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::crossval::{folds, judge};
    use crate::lab::paper::samples;

    #[test]
    fn the_chain_learns_who_is_right_where_and_abstains_where_nobody_is() {
        let profile = samples::learnable(240, 5);
        let fold_of = folds(&profile, 4, 1).unwrap();
        let judged = judge(&profile, &PaperChain::default(), &fold_of, None).unwrap();
        let right = judged
            .walks
            .iter()
            .zip(&profile.cases)
            .filter(|(walk, case)| walk.is_right(case.label))
            .count();
        let silent = judged.walks.iter().filter(|walk| walk.asked.is_empty()).count();
        assert!(right > 110, "{right} of about 160 that can be right");
        assert!((40..120).contains(&silent), "{silent} of about 80 that nobody gets right");
        assert!(judged.walks.iter().all(|walk| walk.asked.len() <= 1), "one look a frame");
    }

    #[test]
    fn the_fallback_answers_every_frame_and_is_the_strongest_of_the_pool() {
        let profile = samples::learnable(200, 6);
        let learner = PaperChain { on_none: OnNone::MostCapable, ..PaperChain::default() };
        let cases: Vec<usize> = (0..200).collect();
        assert_eq!(learner.fit(&profile, &cases).unwrap().on_none, Some(1));
        let judged = judge(&profile, &learner, &folds(&profile, 5, 1).unwrap(), None).unwrap();
        assert!(judged.walks.iter().all(|walk| walk.asked.len() == 1));
    }

    #[test]
    fn what_is_learned_does_not_depend_on_frames_outside_the_training() {
        let profile = samples::learnable(150, 7);
        let mut other = profile.clone();
        for case in 100..150 {
            other.cases[case].features.values = [9e4; crate::features::COUNT];
            other.engines.iter_mut().for_each(|engine| engine.looks[case] = None);
        }
        let training: Vec<usize> = (0..100).collect();
        for on_none in [OnNone::Abstain, OnNone::MostCapable] {
            let learner = PaperChain { on_none, ..PaperChain::default() };
            assert_eq!(
                learner.fit(&profile, &training).unwrap(),
                learner.fit(&other, &training).unwrap()
            );
        }
    }

    #[test]
    fn one_engine_one_class_and_few_frames_still_make_a_policy() {
        let profile = samples::of_hits(&[1.0], &[&[true], &[true], &[true]]);
        let fitted = PaperChain::default().fit(&profile, &[0, 1, 2]).unwrap();
        assert_eq!((fitted.k, &fitted.ideal_shares[..]), (3, &[1.0, 0.0][..]));
        let policy = PaperChain::default().learn(&profile, &[0, 1, 2]).unwrap();
        assert_eq!(crate::lab::replay::replay(&profile, &policy, None, &[0])[0].asked.len(), 1);
        assert!(PaperChain::default().fit(&profile, &[]).is_err());
        assert!(PaperChain { k: 0, ..PaperChain::default() }.fit(&profile, &[0, 1]).is_err());
        assert!(PaperChain::default().fit(&profile, &[0, 99]).is_err());
    }
}
