//! The published chain judged on photos that had no part in it: pool, labels, features and rows are
//! found anew for every fold.
//!
//! Pure. Besides what the policy did it says how often each level of the premodel was right, and
//! what the same answer to every frame would have given: a level that says no to all frames may
//! look good.

use super::chain::{Fitted, PaperChain};
use super::labels::labels;
use crate::lab::LabError;
use crate::lab::crossval::{each_fold, split};
use crate::lab::profile::Profile;
use crate::lab::replay::{Walk, replay};
use crate::policy::{Plan, Policy};

/// One level over all folds whose pool has it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Level {
    /// Frames it was judged on.
    pub n: u64,
    /// Yes where its engine is the cheapest right one and no elsewhere.
    pub right: u64,
    /// Frames for which its engine is the cheapest right one.
    pub yes: u64,
}

impl Level {
    /// Share of right votes, 0..=1.
    pub fn accuracy(&self) -> f64 {
        self.right as f64 / self.n.max(1) as f64
    }

    /// What the better of always yes and always no would have, 0..=1.
    pub fn without_looking(&self) -> f64 {
        self.yes.max(self.n - self.yes) as f64 / self.n.max(1) as f64
    }
}

/// The chain's work on every fold.
#[derive(Clone, Debug)]
pub struct Nested {
    /// By case.
    pub walks: Vec<Walk>,
    /// By place in the pool, cheapest first; later levels may be those of some folds only.
    pub levels: Vec<Level>,
    /// Cases for which the labelled engine was chosen, or rightly none.
    pub agreed: u64,
    /// Cases for which that is so if every frame gets the label that is most frequent in its
    /// training part.
    pub agreed_without_looking: u64,
    /// By fold.
    pub fits: Vec<Fitted>,
}

/// Learns and judges on every fold of `fold_of` (by case, from [`crate::lab::crossval::folds`]).
pub fn judge_chain(
    profile: &Profile,
    settings: &PaperChain,
    fold_of: &[usize],
) -> Result<Nested, LabError> {
    if fold_of.len() != profile.cases.len() {
        let (got, needed) =
            (fold_of.len().to_string(), format!("{}, one a frame", profile.cases.len()));
        return Err(LabError::Table { what: "places in folds".into(), got, needed });
    }
    let mut nested = Nested {
        walks: vec![Walk::default(); profile.cases.len()],
        levels: Vec::new(),
        agreed: 0,
        agreed_without_looking: 0,
        fits: Vec::new(),
    };
    let worked = each_fold(fold_of.iter().max().map_or(0, |last| last + 1), |fold| {
        let (training, judged) = split(fold_of, fold);
        let fitted = settings.fit(profile, &training)?;
        let policy = fitted.policy("paper-knn-chain", profile)?;
        let walks = replay(profile, &policy, None, &judged);
        let votes = votes(profile, settings, &policy, &fitted, &judged);
        Ok((judged, walks, votes, fitted))
    })?;
    for (judged, walks, votes, fitted) in worked {
        for (case, walk) in judged.iter().zip(walks) {
            nested.walks[*case] = walk;
        }
        nested.agreed += votes.agreed;
        nested.agreed_without_looking += votes.agreed_without_looking;
        nested.levels.resize(nested.levels.len().max(votes.levels.len()), Level::default());
        for (sum, level) in nested.levels.iter_mut().zip(votes.levels) {
            (sum.n, sum.right, sum.yes) =
                (sum.n + level.n, sum.right + level.right, sum.yes + level.yes);
        }
        nested.fits.push(fitted);
    }
    Ok(nested)
}

/// The counts of [`Nested`] for one fold.
struct Votes {
    levels: Vec<Level>,
    agreed: u64,
    agreed_without_looking: u64,
}

fn votes(
    profile: &Profile,
    settings: &PaperChain,
    policy: &Policy,
    fitted: &Fitted,
    judged: &[usize],
) -> Votes {
    let truth = labels(profile, judged, &fitted.pool.engines, settings.criterion);
    let mut votes = Votes {
        levels: vec![Level::default(); fitted.pool.engines.len()],
        agreed: 0,
        agreed_without_looking: 0,
    };
    let (Plan::Chain(chain), usual) = (policy.plan(), usual(fitted)) else { return votes };
    for (case, truth) in judged.iter().zip(truth) {
        let truth = truth.map(usize::from);
        let Some(shown) = profile.cases.get(*case) else { continue };
        let prediction = chain.premodel.predict(&shown.features);
        votes.agreed += u64::from(prediction.chosen() == truth);
        votes.agreed_without_looking += u64::from(usual == truth);
        for (place, (level, share)) in votes.levels.iter_mut().zip(prediction.shares).enumerate() {
            let (says, is) = (share >= prediction.needed, truth == Some(place));
            level.n += 1;
            level.yes += u64::from(is);
            level.right += u64::from(says == is);
        }
    }
    votes
}

/// The most frequent label of the training part: a level, or that nobody is right. Of equals the
/// cheaper one.
fn usual(fitted: &Fitted) -> Option<usize> {
    let shares = &fitted.ideal_shares;
    let best = (0..shares.len()).rev().max_by(|a, b| shares[*a].total_cmp(&shares[*b]));
    best.filter(|place| *place + 1 < shares.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::crossval::{folds, judge};
    use crate::lab::paper::samples;
    use crate::stats::{splitmix64, unit};

    #[test]
    fn it_walks_as_the_learner_does_and_its_levels_are_better_than_not_looking() {
        // By feature 0 both are right, then only the dear one, then nobody; the other features are
        // noise.
        let draw =
            |case: usize, feature: usize| unit(splitmix64(case as u64 * 64 + feature as u64));
        let rows: Vec<[bool; 2]> =
            (0..240).map(|case| [draw(case, 0) < 0.5, draw(case, 0) < 0.8]).collect();
        let rows: Vec<&[bool]> = rows.iter().map(|row| row.as_slice()).collect();
        let profile = samples::of(&[1.0, 4.0], &rows, |case, feature| draw(case, feature) as f32);
        let fold_of = folds(&profile, 4, 1).unwrap();
        let nested = judge_chain(&profile, &PaperChain::default(), &fold_of).unwrap();
        assert_eq!(
            nested.walks,
            judge(&profile, &PaperChain::default(), &fold_of, None).unwrap().walks
        );
        assert_eq!((nested.levels.len(), nested.fits.len()), (2, 4));
        for level in &nested.levels {
            assert_eq!(level.n, 240);
            assert!(level.accuracy() > level.without_looking(), "{level:?}");
        }
        assert!(
            nested.agreed > nested.agreed_without_looking,
            "{} {}",
            nested.agreed,
            nested.agreed_without_looking
        );
        assert!(judge_chain(&profile, &PaperChain::default(), &[0]).is_err());
    }

    #[test]
    fn one_look_at_noise_agrees_less_often_than_not_looking() {
        let rows: Vec<[bool; 2]> = (0..200).map(|case| [case % 5 != 0, true]).collect();
        let rows: Vec<&[bool]> = rows.iter().map(|row| row.as_slice()).collect();
        let profile = samples::of_hits(&[1.0, 2.0], &rows);
        let nested =
            judge_chain(&profile, &PaperChain::default(), &folds(&profile, 5, 1).unwrap()).unwrap();
        assert_eq!(nested.agreed_without_looking, 160);
        assert!(nested.agreed < 160, "{}", nested.agreed);
        assert!((nested.levels[0].without_looking() - 0.8).abs() < 1e-9);
    }
}
