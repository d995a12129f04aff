//! The published method: a pool by Algorithm 1, the cheapest right engine as label, few features, a
//! KNN chain that picks one engine.
//!
//! Taylor et al., LCTES 2018, and Sanz Marco et al., ACM TECS 2020. Pure; everything is fitted on
//! the cases handed in and on no others, but for the engines' mean times, which are those of the
//! profile. In order: [`pool`], [`labels`], [`selection`], [`chain`], [`write`]. [`nested`] judges
//! all of it on other photos, [`others`] the classifiers that the papers compare with,
//! [`sensitivity`] the pool.

pub mod chain;
pub mod labels;
mod learners;
pub mod nested;
pub mod others;
pub mod pool;
pub mod selection;
pub mod sensitivity;
pub mod write;

#[cfg(test)]
mod samples;

pub use chain::{Fitted, OnNone, PaperChain};
pub use labels::Criterion;
pub use nested::{Nested, judge_chain};
pub use others::{OtherScore, judge_others};
pub use pool::{Method, Selection, select};
pub use sensitivity::{Perfect, THETAS, perfect_pools};
pub use write::to_policy_toml;

use super::profile::Profile;
use crate::stats::splitmix64;

/// Of the 34 features, the published ones come first.
pub const PUBLISHED_FEATURES: usize = 29;

/// At most `most` of `cases`, in order, whole groups where possible; which ones follows from
/// `seed`.
pub(crate) fn sample(profile: &Profile, cases: &[usize], most: usize, seed: u64) -> Vec<usize> {
    if cases.len() <= most {
        return cases.to_vec();
    }
    let group = |case: usize| profile.cases.get(case).map_or(0, |shown| u64::from(shown.group));
    let mut drawn = cases.to_vec();
    drawn.sort_by_key(|case| (splitmix64(splitmix64(seed) ^ group(*case)), *case));
    drawn.truncate(most);
    drawn.sort_unstable();
    drawn
}
