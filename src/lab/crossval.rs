//! Splits by photo, and learners judged on photos that they never saw.
//!
//! Pure. The split follows from the groups and a seed, so every learner of one report is judged on
//! the same folds.

use std::collections::{HashMap, HashSet};
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::LabError;
use super::profile::Profile;
use super::replay::{Walk, replay};
use crate::policy::{Policy, Reuse};
use crate::stats::splitmix64;

/// A way of making a policy from labelled frames.
pub trait Learner: Send + Sync {
    /// A short name for reports: `paper-knn-chain`, `confidence`, `hybrid`, ...
    fn name(&self) -> String;
    /// The policy, engines counted as in `profile`. Looks at the cases `training` and at no others.
    fn learn(&self, profile: &Profile, training: &[usize]) -> Result<Policy, LabError>;
}

/// Learns from one frame of each photo, the middle one. On a stream the frames of one photo are
/// near copies: the nearest neighbours of a frame would all show its own photo, and what takes the
/// square of the frames would take hours. On photos it changes nothing.
pub struct PerPhoto<'l>(pub &'l dyn Learner);

impl Learner for PerPhoto<'_> {
    fn name(&self) -> String {
        self.0.name()
    }

    fn learn(&self, profile: &Profile, training: &[usize]) -> Result<Policy, LabError> {
        self.0.learn(profile, &one_a_photo(profile, training))
    }
}

/// The middle one of the cases of each photo, in order.
pub fn one_a_photo(profile: &Profile, cases: &[usize]) -> Vec<usize> {
    let mut frames: HashMap<u32, Vec<usize>> = HashMap::new();
    for case in cases {
        if let Some(shown) = profile.cases.get(*case) {
            frames.entry(shown.group).or_default().push(*case);
        }
    }
    let mut chosen: Vec<usize> =
        frames.values().filter_map(|frames| frames.get(frames.len() / 2).copied()).collect();
    chosen.sort_unstable();
    chosen
}

/// A learner's work on every fold.
#[derive(Clone, Debug)]
pub struct Judged {
    /// By case, what the policy of its fold did, which was made without it (and without any other
    /// case of its group).
    pub walks: Vec<Walk>,
    /// By fold.
    pub policies: Vec<Policy>,
}

/// By case, the fold it is judged in, `0..folds`. Groups stay together; folds are as even as groups
/// allow. Refuses fewer groups than folds.
pub fn folds(profile: &Profile, folds: usize, seed: u64) -> Result<Vec<usize>, LabError> {
    folds_of(profile, &(0..profile.cases.len()).collect::<Vec<_>>(), folds, seed)
}

/// As [`folds`], for some of the cases: by place in `cases`.
pub fn folds_of(
    profile: &Profile,
    cases: &[usize],
    folds: usize,
    seed: u64,
) -> Result<Vec<usize>, LabError> {
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
    let fold_of: HashMap<u32, usize> =
        groups.into_iter().enumerate().map(|(place, group)| (group, place % folds)).collect();
    Ok(cases.iter().map(|case| fold_of.get(&group(case)).copied().unwrap_or(0)).collect())
}

/// The cases of `fold_of` outside `fold` (training) and in it (to be judged), in order.
pub fn split(fold_of: &[usize], fold: usize) -> (Vec<usize>, Vec<usize>) {
    (0..fold_of.len()).partition(|case| fold_of[*case] != fold)
}

/// Photos that ways of making a policy are compared on, where there are more.
pub const ENOUGH: usize = 4000;

/// All frames of at most `most` photos of `cases`, in order; which photos follows from `seed`.
pub fn draw(profile: &Profile, cases: &[usize], most: usize, seed: u64) -> Vec<usize> {
    let group = |case: &usize| profile.cases.get(*case).map_or(0, |shown| shown.group);
    let mut groups: Vec<u32> = cases.iter().map(group).collect();
    groups.sort_unstable();
    groups.dedup();
    groups.sort_by_key(|group| (splitmix64(splitmix64(seed ^ 0xd4a3) ^ u64::from(*group)), *group));
    groups.truncate(most);
    let drawn: HashSet<u32> = groups.into_iter().collect();
    cases.iter().copied().filter(|case| drawn.contains(&group(case))).collect()
}

/// What `work` makes of each fold, in order. As many threads as there are cores share the folds;
/// who does which changes nothing.
pub fn each_fold<T: Send>(
    count: usize,
    work: impl Fn(usize) -> Result<T, LabError> + Sync,
) -> Result<Vec<T>, LabError> {
    let next = AtomicUsize::new(0);
    let some = || {
        let mut done = Vec::new();
        loop {
            let fold = next.fetch_add(1, Ordering::Relaxed);
            if fold >= count {
                return done;
            }
            done.push((fold, work(fold)));
        }
    };
    let mut done = thread::scope(|scope| {
        let others: Vec<_> = (1..thread::available_parallelism().map_or(1, usize::from).min(count))
            .map(|_| scope.spawn(some))
            .collect();
        let mut done = some();
        others.into_iter().for_each(|other| {
            done.extend(other.join().unwrap_or_else(|panic| resume_unwind(panic)))
        });
        done
    });
    done.sort_by_key(|one| one.0);
    done.into_iter().map(|one| one.1).collect()
}

/// Learns and judges on every fold of `fold_of`.
pub fn judge(
    profile: &Profile,
    learner: &dyn Learner,
    fold_of: &[usize],
    reuse: Option<Reuse>,
) -> Result<Judged, LabError> {
    let count = fold_of.iter().max().map_or(0, |last| last + 1);
    let policies = each_fold(count, |fold| learner.learn(profile, &split(fold_of, fold).0))?;
    Ok(Judged { walks: rejudge(profile, &policies, fold_of, reuse), policies })
}

/// By case, what the policy of its fold does; the policies were made by [`judge`] with the same
/// folds.
pub fn rejudge(
    profile: &Profile,
    policies: &[Policy],
    fold_of: &[usize],
    reuse: Option<Reuse>,
) -> Vec<Walk> {
    let mut walks = vec![Walk::default(); profile.cases.len()];
    for (fold, policy) in policies.iter().enumerate() {
        let (_, judged) = split(fold_of, fold);
        for (case, walk) in judged.iter().zip(replay(profile, policy, reuse, &judged)) {
            walks[*case] = walk;
        }
    }
    walks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::profile::samples;

    #[test]
    fn of_each_photo_the_middle_frame_is_learned_from_and_photos_are_left_as_they_are() {
        let mut profile = samples::profile(20, &[(1.0, 0.5)]);
        let all: Vec<usize> = (0..20).collect();
        assert_eq!(one_a_photo(&profile, &all), all);
        profile.cases.iter_mut().for_each(|case| case.group /= 5);
        assert_eq!(one_a_photo(&profile, &all), [2, 7, 12, 17]);
        assert_eq!(one_a_photo(&profile, &[3, 4, 11]), [4, 11], "only of the cases handed in");
    }

    #[test]
    fn a_draw_takes_whole_photos_and_all_where_they_are_few() {
        let mut profile = crate::lab::profile::samples::profile(60, &[(1.0, 0.5)]);
        profile
            .cases
            .iter_mut()
            .enumerate()
            .for_each(|(place, case)| case.group = place as u32 / 3);
        let all: Vec<usize> = (0..60).collect();
        assert_eq!(draw(&profile, &all, 20, 1), all);
        let some = draw(&profile, &all[6..], 7, 1);
        assert_eq!(some.len(), 21);
        assert!(some.is_sorted() && some.chunks(3).all(|photo| photo[0] >= 6 && photo.iter().all(|case| case / 3 == photo[0] / 3)));
        assert_eq!(some, draw(&profile, &all[6..], 7, 1));
        assert_ne!(some, draw(&profile, &all[6..], 7, 2));
    }

    #[test]
    fn folds_come_back_in_order_whoever_did_them_and_the_first_error_counts() {
        assert_eq!(
            each_fold(17, |fold| Ok(fold * fold)).unwrap(),
            (0..17).map(|fold| fold * fold).collect::<Vec<_>>()
        );
        assert_eq!(each_fold(0, Ok).unwrap(), Vec::<usize>::new());
        let error =
            |fold: usize| LabError::UnknownEngine { id: fold.to_string(), known: String::new() };
        let failed = each_fold(9, |fold| if fold < 4 { Ok(()) } else { Err(error(fold)) });
        assert_eq!(failed, Err(error(4)));
    }
}
