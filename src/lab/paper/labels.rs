//! What the premodel is to learn: per case, the cheapest engine of the pool that is right.
//!
//! Pure. Time is the engine's mean in the profile, not that of the single look, so that a label
//! does not follow from noise.

use crate::lab::profile::Profile;

/// When an answer counts as right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Criterion {
    /// The best class is the label.
    #[default]
    Top1,
    /// The label is among the best five.
    Top5,
}

impl Criterion {
    /// True if engine `engine` is right on `case`. Failures and engines or cases that do not exist
    /// are not.
    pub fn is_right(self, profile: &Profile, engine: usize, case: usize) -> bool {
        let (Some(column), Some(shown)) = (profile.engines.get(engine), profile.cases.get(case))
        else {
            return false;
        };
        match self {
            Self::Top1 => column.is_right(case, shown.label),
            Self::Top5 => column.is_right5(case, shown.label),
        }
    }
}

/// `engines` from the cheapest to the dearest; equal times in the order of the profile.
pub fn by_time(profile: &Profile, engines: &[usize]) -> Vec<usize> {
    let time = |engine: &usize| {
        profile.engines.get(*engine).map_or(f64::INFINITY, |column| column.mean_ms)
    };
    let mut sorted = engines.to_vec();
    sorted.sort_by(|a, b| time(a).total_cmp(&time(b)).then(a.cmp(b)));
    sorted
}

/// By case of `cases`, the place in `pool` of the first engine that is right; `None` where none is.
/// With a pool in order of time that is the cheapest right one.
pub fn labels(
    profile: &Profile,
    cases: &[usize],
    pool: &[usize],
    criterion: Criterion,
) -> Vec<Option<u8>> {
    let first =
        |case: &usize| pool.iter().position(|engine| criterion.is_right(profile, *engine, *case));
    cases.iter().map(|case| first(case).and_then(|level| u8::try_from(level).ok())).collect()
}

/// Shares that a premodel without mistakes would give: by level, and last that of cases nobody gets
/// right. In sum 1; all 0 without labels.
pub fn ideal_shares(labels: &[Option<u8>], levels: usize) -> Vec<f64> {
    let mut counts = vec![0u64; levels + 1];
    for label in labels {
        let slot = label.map_or(levels, usize::from).min(levels);
        counts[slot] += 1;
    }
    counts.into_iter().map(|count| count as f64 / labels.len().max(1) as f64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::paper::samples;

    #[test]
    fn the_cheapest_right_engine_is_the_label_and_nobody_right_is_none() {
        let profile = samples::of_hits(
            &[2.0, 1.0],
            &[&[true, true], &[true, false], &[false, true], &[false, false]],
        );
        let pool = by_time(&profile, &[0, 1]);
        assert_eq!(pool, [1, 0]);
        let found = labels(&profile, &[0, 1, 2, 3], &pool, Criterion::Top1);
        assert_eq!(found, [Some(0), Some(1), Some(0), None]);
        assert_eq!(ideal_shares(&found, 2), [0.5, 0.25, 0.25]);
    }

    #[test]
    fn top5_counts_a_label_in_second_place() {
        let profile = samples::of_hits(&[1.0], &[&[false]]);
        assert_eq!(labels(&profile, &[0], &[0], Criterion::Top1), [None]);
        assert_eq!(
            labels(&profile, &[0], &[0], Criterion::Top5),
            [Some(0)],
            "the samples put the label second where they miss"
        );
    }
}
