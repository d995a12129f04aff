//! The no-skill line: what drawing lots between two engines reaches at every mean time. A policy on
//! or below it has no skill.
//!
//! Pure. The line is the upper convex hull of the single engines in (mean time, top-1), from the
//! cheapest to the most accurate.

use crate::lab::evaluation::Corner;
use crate::lab::profile::Profile;

/// Corners by rising time; accuracy rises with them.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// Place in the profile, mean time in ms, top-1 of 0..=1.
    corners: Vec<(usize, f64, f64)>,
}

impl Line {
    /// Of the single engines of `profile` (of all, if there are only ensembles).
    pub fn of(profile: &Profile) -> Self {
        let all: Vec<usize> = (0..profile.cases.len()).collect();
        let single = profile.engines.iter().any(|column| column.networks == 1);
        let mut points: Vec<(usize, f64, f64)> = (0..profile.engines.len())
            .filter(|engine| !single || profile.engines[*engine].networks == 1)
            .map(|engine| {
                (
                    engine,
                    profile.engines[engine].mean_ms,
                    profile.right_alone(engine, &all) as f64 / all.len().max(1) as f64,
                )
            })
            .collect();
        points.sort_by(|a, b| a.1.total_cmp(&b.1).then(b.2.total_cmp(&a.2)));
        let mut corners: Vec<(usize, f64, f64)> = Vec::new();
        for point in points {
            if corners.last().is_some_and(|last| point.2 <= last.2) {
                continue; // dearer and no better
            }
            // A corner below the straight line between its neighbours is none.
            while let [.., a, b] = corners.as_slice()
                && (b.2 - a.2) * (point.1 - a.1) <= (point.2 - a.2) * (b.1 - a.1)
            {
                corners.pop();
            }
            corners.push(point);
        }
        Self { corners }
    }

    /// Two corners and the share of the second one in the mix that takes `ms` on average. Cheaper
    /// than the cheapest is that one, dearer than the last corner is that one.
    pub fn mix(&self, ms: f64) -> Option<(usize, usize, f64)> {
        let (first, last) = (self.corners.first()?, self.corners.last()?);
        if ms <= first.1 {
            return Some((first.0, first.0, 0.0));
        }
        let between = self.corners.windows(2).find(|pair| ms <= pair[1].1);
        Some(between.map_or((last.0, last.0, 0.0), |pair| {
            (pair[0].0, pair[1].0, (ms - pair[0].1) / (pair[1].1 - pair[0].1))
        }))
    }

    /// Top-1 of the line at a mean time.
    pub fn top1_at(&self, ms: f64) -> f64 {
        let top1 = |engine: usize| {
            self.corners.iter().find(|corner| corner.0 == engine).map_or(0.0, |corner| corner.2)
        };
        self.mix(ms).map_or(0.0, |(a, b, share)| top1(a) + (top1(b) - top1(a)) * share)
    }

    /// Least mean time at which the line has this top-1; `None` above its best.
    pub fn ms_at(&self, top1: f64) -> Option<f64> {
        let first = self.corners.first()?;
        if top1 <= first.2 {
            return Some(first.1);
        }
        let pair = self.corners.windows(2).find(|pair| top1 <= pair[1].2)?;
        Some(pair[0].1 + (pair[1].1 - pair[0].1) * (top1 - pair[0].2) / (pair[1].2 - pair[0].2))
    }

    /// For the report.
    pub fn corners(&self, profile: &Profile) -> Vec<Corner> {
        let id = |engine: usize| {
            profile.engines.get(engine).map_or_else(String::new, |column| column.id.clone())
        };
        self.corners
            .iter()
            .map(|&(engine, mean_ms, top1)| Corner { id: id(engine), mean_ms, top1 })
            .collect()
    }
}
