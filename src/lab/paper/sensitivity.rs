//! What pools Algorithm 1 finds for other settings, and what a premodel without mistakes would make
//! of them.
//!
//! Pure, and of the very cases that the pools were chosen on, as published: a ceiling, not a
//! result.

use super::labels::{Criterion, labels};
use super::pool::{Method, select};
use crate::lab::LabError;
use crate::lab::profile::Profile;

/// The published settings, percentage points.
pub const THETAS: [f64; 4] = [5.0, 2.0, 1.0, 0.5];

/// One setting.
#[derive(Clone, Debug, PartialEq)]
pub struct Perfect {
    /// How the pool was chosen.
    pub method: Method,
    /// Percentage points.
    pub theta: f64,
    /// By place in the profile, cheapest first.
    pub engines: Vec<usize>,
    /// Share of cases that some engine of the pool gets right, 0..=1.
    pub union: f64,
    /// Mean time of the cheapest right engine, ms; where none is right, of the cheapest engine of
    /// the pool.
    pub mean_ms: f64,
    /// As `mean_ms`, but running nothing where no engine is right, as published.
    pub mean_ms_abstaining: f64,
}

/// Every method with every theta of [`THETAS`], on all cases, out of `candidates` (places in the
/// profile).
pub fn perfect_pools(
    profile: &Profile,
    candidates: &[usize],
    criterion: Criterion,
) -> Result<Vec<Perfect>, LabError> {
    let cases: Vec<usize> = (0..profile.cases.len()).collect();
    let mut all = Vec::with_capacity(3 * THETAS.len());
    for method in [Method::Accuracy, Method::Optimal, Method::Alternate] {
        for theta in THETAS {
            let pool = select(profile, &cases, candidates, criterion, method, theta)?;
            let time = |level: usize| {
                pool.engines
                    .get(level)
                    .and_then(|engine| profile.engines.get(*engine))
                    .map_or(0.0, |column| column.mean_ms)
            };
            let (mut right, mut none) = (0.0, 0.0);
            for level in labels(profile, &cases, &pool.engines, criterion) {
                match level {
                    Some(level) => right += time(usize::from(level)),
                    None => none += time(0),
                }
            }
            let n = cases.len().max(1) as f64;
            all.push(Perfect {
                method,
                theta,
                union: pool.union,
                mean_ms: (right + none) / n,
                mean_ms_abstaining: right / n,
                engines: pool.engines,
            });
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::paper::samples;

    #[test]
    fn a_smaller_theta_never_shrinks_union_or_pool_and_times_are_by_hand() {
        // Of 100: engine 0 gets 80, engine 1 another 10, engine 2 another 3, nobody 7.
        let rows: Vec<[bool; 3]> = (0..100)
            .map(|case| [case < 80, (80..90).contains(&case), (90..93).contains(&case)])
            .collect();
        let rows: Vec<&[bool]> = rows.iter().map(|row| row.as_slice()).collect();
        let profile = samples::of_hits(&[1.0, 2.0, 4.0], &rows);
        let all = perfect_pools(&profile, &[0, 1, 2], Criterion::Top1).unwrap();
        assert_eq!(all.len(), 12);
        for pools in all.chunks(THETAS.len()) {
            assert!(pools.windows(2).all(|pair| pair[0].union <= pair[1].union
                && pair[0].engines.len() <= pair[1].engines.len()));
            assert_eq!((pools[0].engines.len(), pools[1].engines.len()), (2, 3), "5 and 2 points");
            assert!((pools[3].union - 0.93).abs() < 1e-12);
            assert!(
                (pools[3].mean_ms - 1.19).abs() < 1e-12
                    && (pools[3].mean_ms_abstaining - 1.12).abs() < 1e-12,
                "{pools:?}"
            );
        }
    }
}
