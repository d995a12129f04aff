//! Which features the premodel sees: constant ones go, of correlated pairs one goes, then the least
//! useful one by one down to seven.
//!
//! Pure; fitted on the cases handed in. Only the published features are candidates. The
//! cross-validation inside those cases judges the premodel by the share of cases for which it picks
//! the labelled engine, or rightly none. Scaling is fitted once on all of them.

use super::{PUBLISHED_FEATURES, sample};
use crate::features::NAMES;
use crate::lab::LabError;
use crate::lab::profile::Profile;
use crate::premodel::Scale;
use crate::stats::{pearson, splitmix64};

/// Of a pair of features with a larger |r|, one goes.
pub const MAX_CORRELATION: f64 = 0.75;
/// How many features stay.
pub const KEEP: usize = 7;
/// With more cases than this, the removal one by one is judged on as many of them, drawn with the
/// seed.
pub const LARGE: usize = 4000;
/// Folds of the inner cross-validation.
const FOLDS: usize = 5;

/// Features in use, and how they were found.
#[derive(Clone, Debug, PartialEq)]
pub struct FeatureSelection {
    /// In the order of [`NAMES`], with their training ranges.
    pub kept: Vec<Scale>,
    /// Had one value in all training cases.
    pub constant: Vec<usize>,
    /// Went for a correlated one: `(gone, stayed, r)`, in order.
    pub correlated: Vec<(usize, usize, f64)>,
    /// Went one by one: `(gone, cross-validated premodel accuracy without it, 0..=1)`, in order.
    pub removed: Vec<(usize, f64)>,
    /// Cross-validated premodel accuracy with the features kept, 0..=1; `None` if there were too
    /// few photos to split.
    pub accuracy: Option<f64>,
    /// By kept feature, points of that accuracy lost without it, most first; may be negative. Empty
    /// if it is the only one.
    pub importances: Vec<(usize, f64)>,
    /// Cases that the accuracies come from: fewer than handed in beyond [`LARGE`].
    pub judged_on: usize,
}

impl FeatureSelection {
    /// Names of the features kept.
    pub fn names(&self) -> Vec<&'static str> {
        self.kept.iter().filter_map(|scale| NAMES.get(scale.feature).copied()).collect()
    }
}

/// Selects for `cases`, whose labels (levels of a chain) are `best`. With `prune` off only the
/// constant features go. Refuses cases that all look the same, and fewer than one.
pub fn select_features(
    profile: &Profile,
    cases: &[usize],
    best: &[Option<u8>],
    k: usize,
    prune: bool,
    seed: u64,
) -> Result<FeatureSelection, LabError> {
    let scales: Vec<Scale> =
        (0..PUBLISHED_FEATURES).filter_map(|feature| range(profile, cases, feature)).collect();
    if scales.is_empty() {
        return Err(LabError::Table {
            what: "features of the training frames".into(),
            got: format!("all {PUBLISHED_FEATURES} constant over {} frames", cases.len()),
            needed: "at least one that differs; train on more or other photos".into(),
        });
    }
    let constant = (0..PUBLISHED_FEATURES)
        .filter(|feature| scales.iter().all(|scale| scale.feature != *feature))
        .collect();
    let mut found = FeatureSelection {
        kept: scales,
        constant,
        correlated: Vec::new(),
        removed: Vec::new(),
        accuracy: None,
        importances: Vec::new(),
        judged_on: 0,
    };
    if prune {
        drop_correlated(profile, cases, &mut found);
    }

    let judged = sample(profile, cases, LARGE, seed);
    found.judged_on = judged.len();
    let label_of: std::collections::HashMap<usize, Option<u8>> =
        cases.iter().copied().zip(best.iter().copied()).collect();
    let labels: Vec<Option<u8>> =
        judged.iter().map(|case| label_of.get(case).copied().flatten()).collect();
    let Some(fold_of) = inner_folds(profile, &judged, seed) else {
        found.kept.truncate(if prune { KEEP } else { PUBLISHED_FEATURES });
        return Ok(found); // one photo cannot be split: nothing to judge by, the first seven stay
    };
    let mut bench = Bench::new(profile, &judged, labels, fold_of, k, &found.kept);
    while prune && found.kept.len() > KEEP {
        let without: Vec<f64> =
            (0..found.kept.len()).map(|place| bench.accuracy(Some(place))).collect();
        // Ties go to the later feature, which is the costlier one.
        let Some((place, accuracy)) =
            without.into_iter().enumerate().max_by(|a, b| a.1.total_cmp(&b.1).then(a.0.cmp(&b.0)))
        else {
            break;
        };
        found.removed.push((found.kept.remove(place).feature, accuracy));
        bench.remove(place);
    }
    let accuracy = bench.accuracy(None);
    found.accuracy = Some(accuracy);
    if found.kept.len() > 1 {
        let lost = |place: usize| (accuracy - bench.accuracy(Some(place))) * 100.0;
        found.importances = found
            .kept
            .iter()
            .enumerate()
            .map(|(place, scale)| (scale.feature, lost(place)))
            .collect();
        found.importances.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    }
    Ok(found)
}

/// The training range of a feature; `None` if it is constant, or too nearly so to be scaled.
fn range(profile: &Profile, cases: &[usize], feature: usize) -> Option<Scale> {
    let values = || {
        cases
            .iter()
            .filter_map(|case| profile.cases.get(*case)?.features.values.get(feature).copied())
    };
    let (min, max) = values().fold((f32::INFINITY, f32::NEG_INFINITY), |(min, max), value| {
        (min.min(value), max.max(value))
    });
    ((max - min).is_normal() && min < max).then_some(Scale { feature, min, max })
}

/// The most correlated pair loses a member, again and again.
fn drop_correlated(profile: &Profile, cases: &[usize], found: &mut FeatureSelection) {
    let column = |scale: &Scale| -> Vec<f64> {
        cases
            .iter()
            .map(|case| {
                profile
                    .cases
                    .get(*case)
                    .map_or(0.0, |shown| f64::from(shown.features.values[scale.feature]))
            })
            .collect()
    };
    let columns: Vec<Vec<f64>> = found.kept.iter().map(column).collect();
    let table: Vec<Vec<f64>> = columns
        .iter()
        .map(|a| columns.iter().map(|b| pearson(a, b).unwrap_or(0.0)).collect())
        .collect();
    let mut alive: Vec<usize> = (0..columns.len()).collect();
    loop {
        let pairs =
            alive.iter().flat_map(|a| alive.iter().filter(move |b| a < *b).map(move |b| (*a, *b)));
        let worst = pairs
            .max_by(|x, y| table[x.0][x.1].abs().total_cmp(&table[y.0][y.1].abs()).then(y.cmp(x)));
        let Some((a, b)) = worst.filter(|(a, b)| table[*a][*b].abs() > MAX_CORRELATION) else {
            break;
        };
        let mean = |one: usize| {
            let others = alive.iter().filter(|other| **other != one);
            others.map(|other| table[one][*other].abs()).sum::<f64>() / (alive.len() - 1) as f64
        };
        let (gone, stays) = if mean(a) > mean(b) + 1e-9 { (a, b) } else { (b, a) };
        found.correlated.push((found.kept[gone].feature, found.kept[stays].feature, table[a][b]));
        alive.retain(|place| *place != gone);
    }
    found.kept = alive.iter().map(|place| found.kept[*place]).collect();
}

/// By place in `cases`, its inner fold; groups stay together. As many folds as there are groups if
/// these are few; `None` for one group.
fn inner_folds(profile: &Profile, cases: &[usize], seed: u64) -> Option<Vec<usize>> {
    let group = |case: &usize| profile.cases.get(*case).map_or(0, |shown| shown.group);
    let mut groups: Vec<u32> = cases.iter().map(group).collect();
    groups.sort_unstable();
    groups.dedup();
    if groups.len() < 2 {
        return None;
    }
    groups.sort_by_key(|group| (splitmix64(splitmix64(seed ^ 0x1eaf) ^ u64::from(*group)), *group));
    let folds = FOLDS.min(groups.len());
    let place: std::collections::HashMap<u32, usize> =
        groups.into_iter().enumerate().map(|(place, group)| (group, place % folds)).collect();
    Some(cases.iter().map(|case| place.get(&group(case)).copied().unwrap_or(0)).collect())
}

/// All distances between the cases, so that leaving a feature out is one subtraction a pair.
struct Bench {
    columns: Vec<Vec<f32>>,
    distances: Vec<f32>,
    labels: Vec<Option<u8>>,
    fold_of: Vec<usize>,
    k: usize,
}

impl Bench {
    fn new(
        profile: &Profile,
        cases: &[usize],
        labels: Vec<Option<u8>>,
        fold_of: Vec<usize>,
        k: usize,
        scales: &[Scale],
    ) -> Self {
        let scaled = |scale: &Scale, case: &usize| {
            let value =
                profile.cases.get(*case).map_or(0.0, |shown| shown.features.values[scale.feature]);
            (value - scale.min) / (scale.max - scale.min)
        };
        let columns: Vec<Vec<f32>> = scales
            .iter()
            .map(|scale| cases.iter().map(|case| scaled(scale, case)).collect())
            .collect();
        let mut bench = Self { columns, distances: Vec::new(), labels, fold_of, k };
        bench.measure();
        bench
    }

    fn measure(&mut self) {
        let n = self.labels.len();
        self.distances.clear();
        self.distances.resize(n * n, 0.0);
        for column in &self.columns {
            for (row, a) in self.distances.chunks_exact_mut(n).zip(column) {
                row.iter_mut().zip(column).for_each(|(distance, b)| *distance += (a - b) * (a - b));
            }
        }
    }

    fn remove(&mut self, place: usize) {
        self.columns.remove(place);
        self.measure(); // anew, so that rounding does not add up
    }

    /// Share of cases for which the k nearest of other folds elect the label, without the feature
    /// at `place` if one is named.
    fn accuracy(&self, without: Option<usize>) -> f64 {
        let n = self.labels.len();
        let left_out = without.and_then(|place| self.columns.get(place));
        let mut right = 0usize;
        let mut row = vec![0.0f32; n];
        let mut nearest: Vec<(f32, usize)> = Vec::with_capacity(self.k + 1);
        for (case, distances) in self.distances.chunks_exact(n.max(1)).enumerate() {
            row.copy_from_slice(distances);
            if let Some(column) = left_out {
                let own = column[case];
                row.iter_mut()
                    .zip(column)
                    .for_each(|(distance, other)| *distance -= (own - other) * (own - other));
            }
            nearest.clear();
            for (other, distance) in row.iter().enumerate() {
                if nearest.len() == self.k
                    && nearest.last().is_some_and(|worst| worst.0 <= *distance)
                {
                    continue;
                }
                if self.fold_of[other] != self.fold_of[case] {
                    nearest.truncate(self.k.saturating_sub(1));
                    let place = nearest.partition_point(|held| held.0 <= *distance);
                    nearest.insert(place, (*distance, other));
                }
            }
            right += usize::from(
                elected(nearest.iter().map(|held| self.labels[held.1]), self.k)
                    == self.labels[case],
            );
        }
        right as f64 / n.max(1) as f64
    }
}

/// The first level with more than half of `k` votes.
fn elected(votes: impl Iterator<Item = Option<u8>>, k: usize) -> Option<u8> {
    let mut counts = [0usize; crate::engine::MAX_ENGINES];
    for slot in votes.flatten() {
        if let Some(count) = counts.get_mut(usize::from(slot)) {
            *count += 1;
        }
    }
    counts.iter().position(|count| *count > k / 2).map(|level| level as u8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::paper::labels::{Criterion, labels};
    use crate::lab::paper::samples;
    use crate::premodel::Premodel;

    fn learned(n: usize, seed: u64) -> (Profile, Vec<usize>, Vec<Option<u8>>, FeatureSelection) {
        let profile = samples::learnable(n, seed);
        let cases: Vec<usize> = (0..n).collect();
        let best = labels(&profile, &cases, &[0, 1], Criterion::Top1);
        let found = select_features(&profile, &cases, &best, 5, true, 1).unwrap();
        (profile, cases, best, found)
    }

    #[test]
    fn the_feature_that_matters_stays_and_its_copies_and_constants_go() {
        let (_, _, _, found) = learned(160, 3);
        assert_eq!(found.constant, [3]);
        let twins: Vec<usize> =
            found.correlated.iter().map(|pair| pair.0).filter(|gone| *gone < 3).collect();
        assert_eq!(twins.len(), 2, "two of the three that say the same go: {:?}", found.correlated);
        assert_eq!(found.kept.len(), KEEP);
        let stays =
            found.kept.iter().find(|scale| scale.feature < 3).expect("one of the three stays");
        assert_eq!(found.importances[0].0, stays.feature, "{:?}", found.importances);
        assert!(found.importances[0].1 > 5.0, "{:?}", found.importances);
    }

    #[test]
    fn accuracy_is_that_of_the_real_premodel_on_the_same_folds() {
        let (profile, cases, best, found) = learned(90, 9);
        let fold_of = inner_folds(&profile, &cases, 1).unwrap();
        let mut right = 0;
        for fold in 0..FOLDS {
            let inside: Vec<usize> =
                cases.iter().copied().filter(|case| fold_of[*case] != fold).collect();
            let value = |case: &usize| profile.cases[*case].features.values;
            let rows = inside
                .iter()
                .flat_map(|case| found.kept.iter().map(move |scale| value(case)[scale.feature]))
                .collect();
            let votes = inside.iter().map(|case| best[*case]).collect();
            let premodel = Premodel::new(found.kept.clone(), 2, 5, rows, votes).unwrap();
            for case in cases.iter().filter(|case| fold_of[**case] == fold) {
                let chosen = premodel.predict(&profile.cases[*case].features).chosen();
                right += usize::from(chosen == best[*case].map(usize::from));
            }
        }
        assert_eq!(found.accuracy, Some(right as f64 / 90.0));
    }

    #[test]
    fn without_pruning_only_constants_go_and_constant_photos_are_refused() {
        let profile = samples::learnable(30, 1);
        let cases: Vec<usize> = (0..30).collect();
        let best = labels(&profile, &cases, &[0, 1], Criterion::Top1);
        assert_eq!(
            select_features(&profile, &cases, &best, 5, false, 1).unwrap().kept.len(),
            PUBLISHED_FEATURES - 1
        );
        let flat = samples::of(&[1.0], &[&[true], &[true]], |_, _| 4.0);
        let error = select_features(&flat, &[0, 1], &[Some(0), Some(0)], 5, true, 1).unwrap_err();
        assert!(error.to_string().contains("constant"), "{error}");
    }

    #[test]
    fn selection_does_not_depend_on_cases_outside() {
        let (profile, ..) = learned(120, 4);
        let mut other = profile.clone();
        for case in &mut other.cases[80..] {
            case.features.values = [1e3; crate::features::COUNT];
        }
        let cases: Vec<usize> = (0..80).collect();
        let best = labels(&profile, &cases, &[0, 1], Criterion::Top1);
        assert_eq!(
            select_features(&profile, &cases, &best, 5, true, 1).unwrap(),
            select_features(&other, &cases, &best, 5, true, 1).unwrap()
        );
    }

    #[test]
    fn fewer_photos_than_inner_folds_still_split_and_one_photo_keeps_what_varies() {
        let profile = samples::learnable(3, 2);
        let found =
            select_features(&profile, &[0, 1, 2], &[Some(0), None, Some(1)], 5, true, 1).unwrap();
        assert!(found.accuracy.is_some() && found.kept.len() <= KEEP);
        let mut stream = samples::learnable(4, 2);
        stream.cases.iter_mut().for_each(|case| case.group = 0);
        let found = select_features(&stream, &[0, 1, 2, 3], &[Some(0); 4], 5, true, 1).unwrap();
        assert!(found.accuracy.is_none() && !found.kept.is_empty() && found.kept.len() <= KEEP);
    }
}
