//! From what policies did to the figures that are reported: every engine alone, the no-skill line,
//! the oracle, every policy beside them.
//!
//! Pure. The rules: plain top-1 first and no answer is a wrong one; all overhead counted; intervals
//! for every difference, paired by frame.

mod noskill;
mod score;
mod share;

pub use noskill::Line;

use super::evaluation::{EngineScore, Evaluation, Interval, Oracle};
use super::profile::Profile;
use super::replay::Walk;
use crate::stats::{mean, quantile};

/// What one policy did with every case.
pub struct Entry {
    /// For the report.
    pub name: String,
    /// Kind of the policy.
    pub kind: String,
    /// `cross-validated` or `as given`.
    pub judged: String,
    /// True if the policy was made from this very profile.
    pub trained_on_this: bool,
    /// By case.
    pub walks: Vec<Walk>,
    /// Mean time of the decisions, ms.
    pub policy_ms: f64,
}

/// The whole report. `folds` is 0 where nothing was learned here.
pub fn evaluate(profile: &Profile, entries: &[Entry], folds: usize, seed: u64) -> Evaluation {
    let reference = profile.most_capable();
    let line = Line::of(profile);
    let oracle = oracle(profile);
    let mut engines: Vec<EngineScore> =
        (0..profile.engines.len()).map(|engine| engine_score(profile, engine)).collect();
    engines.sort_by(|a, b| a.mean_ms.total_cmp(&b.mean_ms).then_with(|| a.id.cmp(&b.id)));
    let policies = entries
        .iter()
        .map(|entry| score::score(profile, entry, reference, &line, &oracle, seed))
        .collect();
    Evaluation {
        n: profile.cases.len(),
        data: profile.origin.data.clone(),
        stream: profile.is_stream(),
        machine: profile.origin.machine.clone(),
        tool: profile.origin.tool.clone(),
        profile_sha256: profile.origin.sha256.clone(),
        unreadable: profile.origin.unreadable,
        folds,
        seed,
        engines,
        most_capable: profile
            .engines
            .get(reference)
            .map_or_else(String::new, |column| column.id.clone()),
        noskill: line.corners(profile),
        oracle,
        policies,
        features: Vec::new(),
        curves: Vec::new(),
        classifiers: Vec::new(),
        pools: Vec::new(),
    }
}

/// True, by case, where some engine is right.
fn somebody_right(profile: &Profile) -> Vec<bool> {
    let right = |(place, case): (usize, &super::profile::Case)| {
        profile.engines.iter().any(|column| column.is_right(place, case.label))
    };
    profile.cases.iter().enumerate().map(right).collect()
}

/// The place of the cheapest engine that is right on `case`.
fn cheapest_right(profile: &Profile, case: usize) -> Option<usize> {
    let label = profile.cases.get(case)?.label;
    let right =
        (0..profile.engines.len()).filter(|engine| profile.engines[*engine].is_right(case, label));
    right.min_by(|a, b| profile.engines[*a].mean_ms.total_cmp(&profile.engines[*b].mean_ms))
}

fn oracle(profile: &Profile) -> Oracle {
    let cheapest = profile.engines.iter().map(|column| column.mean_ms).fold(f64::MAX, f64::min);
    let chosen: Vec<Option<usize>> =
        (0..profile.cases.len()).map(|case| cheapest_right(profile, case)).collect();
    let times: Vec<f64> = chosen
        .iter()
        .map(|engine| engine.map_or(cheapest, |engine| profile.engines[engine].mean_ms))
        .collect();
    Oracle {
        top1: chosen.iter().flatten().count() as f64 / chosen.len().max(1) as f64,
        mean_ms: mean(&times).unwrap_or(0.0),
    }
}

fn engine_score(profile: &Profile, engine: usize) -> EngineScore {
    let column = &profile.engines[engine];
    let n = profile.cases.len();
    let count = |right: &dyn Fn(usize, u32) -> bool| {
        profile.cases.iter().enumerate().filter(|(place, case)| right(*place, case.label)).count()
    };
    let right: Vec<bool> = profile
        .cases
        .iter()
        .enumerate()
        .map(|(place, case)| column.is_right(place, case.label))
        .collect();
    let right5 = count(&|place, label| column.is_right5(place, label));
    let mut times: Vec<f64> = (0..n).map(|case| column.ms(case)).collect();
    times.sort_by(f64::total_cmp);
    EngineScore {
        id: column.id.clone(),
        networks: column.networks,
        top1: right.iter().filter(|right| **right).count() as f64 / n.max(1) as f64,
        top1_ci95: share::share95(profile, &right),
        top5: right5 as f64 / n.max(1) as f64,
        mean_ms: column.mean_ms,
        p95_ms: quantile(&times, 0.95).unwrap_or(column.mean_ms),
        energy_mj: column.energy_mj,
        cheapest_right: (0..n).filter(|case| cheapest_right(profile, *case) == Some(engine)).count()
            as f64
            / n.max(1) as f64,
        failed: column.looks.iter().filter(|look| look.is_none()).count() as u64,
    }
}

fn interval((low, high): (f64, f64)) -> Interval {
    Interval { low, high }
}

#[cfg(test)]
mod tests;
