//! The figures of one policy. Pure.

use std::collections::HashMap;

use super::{Entry, Line, interval, somebody_right};
use crate::lab::evaluation::{
    Against, EngineShare, ErrorExample, Errors, Interval, Oracle, PolicyScore, ReliabilityBin,
};
use crate::lab::profile::{Column, Profile};
use crate::lab::replay::Walk;
use crate::stats::{mean, paired_bootstraps95, quantile};

/// Rounds of the bootstrap.
const ROUNDS: usize = 2000;
/// Errors shown of each cause.
const EXAMPLES: usize = 12;

pub(super) fn score(
    profile: &Profile,
    entry: &Entry,
    reference: usize,
    line: &Line,
    oracle: &Oracle,
    seed: u64,
) -> PolicyScore {
    let walks = &entry.walks;
    let n = profile.cases.len().max(1) as f64;
    let right: Vec<f64> = profile
        .cases
        .iter()
        .zip(walks)
        .map(|(case, walk)| one(walk.is_right(case.label)))
        .collect();
    let hits = right.iter().sum::<f64>();
    let right5 =
        profile.cases.iter().zip(walks).filter(|(case, walk)| walk.is_right5(case.label)).count();
    let answered = walks.iter().filter(|walk| !walk.top.is_empty()).count() as f64;
    let mut times: Vec<f64> = walks.iter().map(|walk| walk.ms + entry.policy_ms).collect();
    times.sort_by(f64::total_cmp);
    let mean_ms = mean(&times).unwrap_or(0.0);
    let top1 = hits / n;
    let (against, (gain, gain_ci)) = compare(profile, &right, line, mean_ms, seed);
    let main = against.get(reference).cloned().unwrap_or_default();
    let (precision, recall, f1) = macro_figures(profile, walks);
    let nobody: Vec<bool> = somebody_right(profile).into_iter().map(|somebody| !somebody).collect();
    let excused =
        walks.iter().zip(&nobody).filter(|(walk, nobody)| walk.top.is_empty() && **nobody).count()
            as f64;
    let energies: Option<Vec<f64>> = walks.iter().map(|walk| walk.energy_mj).collect();
    // A frame without a look (an answer given again, none at all) is no change of engine.
    let settled: Vec<usize> = walks.iter().filter_map(Walk::settled_by).collect();
    let changes = settled.windows(2).filter(|pair| pair[0] != pair[1]).count();
    PolicyScore {
        name: entry.name.clone(),
        kind: entry.kind.clone(),
        judged: entry.judged.clone(),
        trained_on_this: entry.trained_on_this,
        top1,
        top1_ci95: super::share::share95(
            profile,
            &right.iter().map(|right| *right > 0.5).collect::<Vec<_>>(),
        ),
        top5: right5 as f64 / n,
        coverage: answered / n,
        selective_top1: if answered > 0.0 { hits / answered } else { 0.0 },
        precision,
        recall,
        f1,
        mean_ms,
        p50_ms: quantile(&times, 0.5).unwrap_or(0.0),
        p95_ms: quantile(&times, 0.95).unwrap_or(0.0),
        features_ms: walks.iter().map(|walk| walk.measuring_ms).sum::<f64>() / n,
        policy_ms: entry.policy_ms,
        energy_mj: energies.and_then(|energies| mean(&energies)),
        shares: shares(profile, walks),
        reused: walks.iter().filter(|walk| walk.reused).count() as f64 / n,
        changes: if profile.is_stream() { changes as f64 / n } else { 0.0 },
        speedup: main.speedup,
        top1_diff: main.top1_diff,
        top1_diff_ci95: main.top1_diff_ci95,
        against,
        noskill_gain: gain,
        noskill_gain_ci95: gain_ci,
        noskill_speedup: line.ms_at(top1).map(|ms| ms / mean_ms).filter(|ratio| ratio.is_finite()),
        regret_top1: 100.0 * (oracle.top1 - top1),
        regret_ms: mean_ms - oracle.mean_ms,
        paper_score: (hits + excused) / n,
        reliability: reliability(profile, walks),
        errors: errors(profile, walks, &nobody),
    }
}

fn one(yes: bool) -> f64 {
    f64::from(u8::from(yes))
}

/// Against every engine, and the gain over the no-skill line. All are resampled together, by the
/// same draws as each would be alone.
fn compare(
    profile: &Profile,
    right: &[f64],
    line: &Line,
    mean_ms: f64,
    seed: u64,
) -> (Vec<Against>, (f64, Interval)) {
    let mut all: Vec<Vec<f64>> = (0..profile.engines.len())
        .map(|engine| by_photo(profile, right, engine_alone(profile, engine)))
        .collect();
    all.push(by_photo(profile, right, mixed(profile, line, mean_ms)));
    let intervals =
        paired_bootstraps95(&all, ROUNDS, seed).unwrap_or_else(|| vec![(0.0, 0.0); all.len()]);
    let mut found =
        all.iter().zip(intervals).map(|(grouped, ci)| (mean(grouped).unwrap_or(0.0), interval(ci)));
    let one = |(column, (top1_diff, top1_diff_ci95)): (&Column, (f64, Interval))| Against {
        id: column.id.clone(),
        speedup: column.mean_ms / mean_ms.max(1e-9),
        top1_diff,
        top1_diff_ci95,
    };
    let against = profile.engines.iter().zip(found.by_ref()).map(one).collect();
    (against, found.next().unwrap_or_default())
}

/// Paired differences in points, summed by photo, as frames of one photo are not independent;
/// scaled so that their mean is the mean of all frames.
fn by_photo(profile: &Profile, right: &[f64], other: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut sums: Vec<f64> = Vec::new();
    let mut place: HashMap<u32, usize> = HashMap::new();
    for ((case, ours), theirs) in profile.cases.iter().zip(right).zip(other) {
        let at = *place.entry(case.group).or_insert(sums.len());
        if at == sums.len() {
            sums.push(0.0);
        }
        sums[at] += ours - theirs;
    }
    let scale = 100.0 * sums.len() as f64 / right.len().max(1) as f64;
    sums.iter_mut().for_each(|sum| *sum *= scale);
    sums
}

fn engine_alone(profile: &Profile, engine: usize) -> impl Iterator<Item = f64> {
    let column = profile.engines.get(engine);
    let right =
        move |place: usize, label: u32| column.is_some_and(|column| column.is_right(place, label));
    profile.cases.iter().enumerate().map(move |(place, case)| one(right(place, case.label)))
}

/// What the random mix of the line's two engines that takes as long would get right, by frame.
fn mixed(profile: &Profile, line: &Line, mean_ms: f64) -> impl Iterator<Item = f64> {
    let (a, b, share) = line.mix(mean_ms).unwrap_or((0, 0, 0.0));
    engine_alone(profile, a)
        .zip(engine_alone(profile, b))
        .map(move |(a, b)| a * (1.0 - share) + b * share)
}

/// Macro precision (classes answered at all), recall and F1 (classes shown).
fn macro_figures(profile: &Profile, walks: &[Walk]) -> (f64, f64, f64) {
    let (mut shown, mut given, mut hit): (HashMap<u32, f64>, HashMap<u32, f64>, HashMap<u32, f64>) =
        Default::default();
    for (case, walk) in profile.cases.iter().zip(walks) {
        *shown.entry(case.label).or_default() += 1.0;
        if let Some(class) = walk.top.first() {
            *given.entry(*class).or_default() += 1.0;
            *hit.entry(*class).or_default() += one(*class == case.label);
        }
    }
    let of = |table: &HashMap<u32, f64>, class: &u32| table.get(class).copied().unwrap_or(0.0);
    let average = |sum: f64, classes: usize| if classes > 0 { sum / classes as f64 } else { 0.0 };
    let mut classes: Vec<(&u32, &f64)> = shown.iter().collect();
    classes.sort_by_key(|(class, _)| **class); // sums of floats depend on their order
    let mut answered: Vec<(&u32, &f64)> = given.iter().collect();
    answered.sort_by_key(|(class, _)| **class);
    let precision =
        average(answered.iter().map(|(class, n)| of(&hit, class) / **n).sum(), given.len());
    let recall = average(classes.iter().map(|(class, n)| of(&hit, class) / **n).sum(), shown.len());
    let f1 = average(
        classes.iter().map(|(class, n)| 2.0 * of(&hit, class) / (**n + of(&given, class))).sum(),
        shown.len(),
    );
    (precision, recall, f1)
}

fn shares(profile: &Profile, walks: &[Walk]) -> Vec<EngineShare> {
    let n = walks.len().max(1) as f64;
    let share =
        |holds: &dyn Fn(&Walk) -> bool| walks.iter().filter(|walk| holds(walk)).count() as f64 / n;
    let all = profile.engines.iter().enumerate().map(|(engine, column)| EngineShare {
        id: column.id.clone(),
        answered: share(&|walk| walk.settled_by() == Some(engine) && !walk.top.is_empty()),
        asked: share(&|walk| walk.asked.iter().any(|asked| usize::from(*asked) == engine)),
    });
    all.filter(|share| share.asked > 0.0).collect()
}

fn reliability(profile: &Profile, walks: &[Walk]) -> Vec<ReliabilityBin> {
    let mut bins: Vec<ReliabilityBin> = (0..10)
        .map(|bin| ReliabilityBin { from: f64::from(bin) / 10.0, ..Default::default() })
        .collect();
    for (case, walk) in profile.cases.iter().zip(walks).filter(|(_, walk)| !walk.top.is_empty()) {
        let confidence = f64::from(walk.confidence).clamp(0.0, 1.0);
        let bin = &mut bins[((confidence * 10.0) as usize).min(9)];
        bin.n += 1;
        bin.confidence += confidence;
        bin.right += one(walk.is_right(case.label));
    }
    for bin in bins.iter_mut().filter(|bin| bin.n > 0) {
        bin.confidence /= bin.n as f64;
        bin.right /= bin.n as f64;
    }
    bins
}

fn errors(profile: &Profile, walks: &[Walk], nobody: &[bool]) -> Errors {
    let class = |class: u32| {
        profile.class_names.get(class as usize).cloned().unwrap_or_else(|| class.to_string())
    };
    let mut errors = Errors::default();
    let each = 1.0 / walks.len().max(1) as f64;
    for (place, (case, walk)) in profile
        .cases
        .iter()
        .zip(walks)
        .enumerate()
        .filter(|(_, (case, walk))| !walk.is_right(case.label))
    {
        let asked_right = walk
            .asked
            .iter()
            .any(|engine| profile.engines[usize::from(*engine)].is_right(place, case.label));
        let (cause, share) = match () {
            () if nobody[place] => ("nobody_right", &mut errors.nobody_right),
            () if walk.top.is_empty() => ("abstained", &mut errors.abstained),
            () if asked_right => ("overruled", &mut errors.overruled),
            () => ("not_asked", &mut errors.not_asked),
        };
        *share += each;
        if errors.examples.iter().filter(|example| example.cause == cause).count() < EXAMPLES {
            errors.examples.push(ErrorExample {
                cause: cause.to_owned(),
                file: case.name.to_string(),
                label: class(case.label),
                answered: walk.top.first().map_or_else(String::new, |best| class(*best)),
                confidence: f64::from(walk.confidence),
            });
        }
    }
    errors
}
