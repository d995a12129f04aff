//! The interval of a share of right answers. Pure.

use std::collections::HashMap;

use crate::lab::evaluation::Interval;
use crate::lab::profile::Profile;
use crate::stats::wilson95;

/// 95 % interval of the share of cases that are `right`, by Wilson. Frames of one photo are counted
/// as one case that is right in part: they are as good as never independent, so the interval is
/// rather too wide than too narrow.
pub(super) fn share95(profile: &Profile, right: &[bool]) -> Interval {
    let mut groups: HashMap<u32, (u64, u64)> = HashMap::new();
    for (case, right) in profile.cases.iter().zip(right) {
        let (hits, all) = groups.entry(case.group).or_default();
        *hits += u64::from(*right);
        *all += 1;
    }
    let (hits, all) =
        groups.values().fold((0, 0), |(hits, all), group| (hits + group.0, all + group.1));
    let photos = groups.len() as u64;
    let share = hits as f64 / all.max(1) as f64;
    let (low, high) = wilson95((share * photos as f64).round() as u64, photos);
    // Rounding to whole photos must not leave the share itself outside.
    Interval { low: low.min(share), high: high.max(share) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::profile::samples;

    #[test]
    fn frames_of_one_photo_count_once() {
        let mut profile = samples::profile(200, &[(1.0, 0.5)]);
        let right: Vec<bool> = (0..200).map(|case| case % 20 < 10).collect();
        let photos = share95(&profile, &right);
        assert_eq!((photos.low, photos.high), wilson95(100, 200));
        profile.cases.iter_mut().for_each(|case| case.group /= 10);
        let frames = share95(&profile, &right);
        assert_eq!((frames.low, frames.high), wilson95(10, 20));
        let few = share95(&profile, &(0..200).map(|case| case < 2).collect::<Vec<_>>());
        assert!(few.low <= 0.01 && few.high >= 0.01);
    }
}
