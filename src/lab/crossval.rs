//! Splits by photo, and learners judged on photos that they never saw.
//!
//! Pure. The split follows from the groups and a seed, so every learner of one report is judged on the same folds.

use std::collections::HashMap;

use super::LabError;
use super::profile::Profile;
use super::replay::{Walk, replay};
use crate::policy::{Policy, Reuse};
use crate::stats::splitmix64;

/// A way of making a policy from labelled frames.
pub trait Learner: Sync {
    /// A short name for reports: `paper-knn-chain`, `confidence`, `hybrid`, ...
    fn name(&self) -> String;
    /// The policy, engines counted as in `profile`. Looks at the cases `training` and at no others.
    fn learn(&self, profile: &Profile, training: &[usize]) -> Result<Policy, LabError>;
}

/// A learner's work on every fold.
#[derive(Clone, Debug)]
pub struct Judged {
    /// By case, what the policy of its fold did, which was made without it (and without any other case of its group).
    pub walks: Vec<Walk>,
    /// By fold.
    pub policies: Vec<Policy>,
}

/// By case, the fold it is judged in, `0..folds`. Groups stay together; folds are as even as groups allow. Refuses fewer groups than
/// folds.
pub fn folds(profile: &Profile, folds: usize, seed: u64) -> Result<Vec<usize>, LabError> {
    folds_of(profile, &(0..profile.cases.len()).collect::<Vec<_>>(), folds, seed)
}

/// As [`folds`], for some of the cases: by place in `cases`.
pub fn folds_of(profile: &Profile, cases: &[usize], folds: usize, seed: u64) -> Result<Vec<usize>, LabError> {
    let group = |case: &usize| profile.cases.get(*case).map_or(0, |shown| shown.group);
    let mut groups: Vec<u32> = cases.iter().map(group).collect();
    groups.sort_unstable();
    groups.dedup();
    if folds < 2 || folds > groups.len() {
        return Err(LabError::Table {
            what: "folds".into(),
            got: folds.to_string(),
            needed: format!("2 to the number of photos, {}", groups.len()),
        });
    }
    groups.sort_by_key(|group| (splitmix64(seed ^ splitmix64(u64::from(*group))), *group));
    let fold_of: HashMap<u32, usize> = groups.into_iter().enumerate().map(|(place, group)| (group, place % folds)).collect();
    Ok(cases.iter().map(|case| fold_of.get(&group(case)).copied().unwrap_or(0)).collect())
}

/// The cases of `fold_of` outside `fold` (training) and in it (to be judged), in order.
pub fn split(fold_of: &[usize], fold: usize) -> (Vec<usize>, Vec<usize>) {
    (0..fold_of.len()).partition(|case| fold_of[*case] != fold)
}

/// Learns and judges on every fold of `fold_of`.
pub fn judge(profile: &Profile, learner: &dyn Learner, fold_of: &[usize], reuse: Option<Reuse>) -> Result<Judged, LabError> {
    let count = fold_of.iter().max().map_or(0, |last| last + 1);
    let learned = (0..count).map(|fold| learner.learn(profile, &split(fold_of, fold).0));
    let policies = learned.collect::<Result<Vec<_>, _>>()?;
    Ok(Judged { walks: rejudge(profile, &policies, fold_of, reuse), policies })
}

/// By case, what the policy of its fold does; the policies were made by [`judge`] with the same folds.
pub fn rejudge(profile: &Profile, policies: &[Policy], fold_of: &[usize], reuse: Option<Reuse>) -> Vec<Walk> {
    let mut walks = vec![Walk::default(); profile.cases.len()];
    for (fold, policy) in policies.iter().enumerate() {
        let (_, judged) = split(fold_of, fold);
        for (case, walk) in judged.iter().zip(replay(profile, policy, reuse, &judged)) {
            walks[*case] = walk;
        }
    }
    walks
}
