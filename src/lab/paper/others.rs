//! The classifiers that the papers hold against the KNN chain: single ones, and every mixed chain
//! of three.
//!
//! Pure. They are judged, not shipped: no policy file is made of them. Pool and features are those
//! that [`PaperChain`] finds in the training part of each fold. A chain's fourth and later levels
//! use its third classifier; its levels beyond the pool do nothing.

use super::chain::{Fitted, PaperChain};
use super::labels::labels;
use super::learners::{Kind, Lesson};
use super::sample;
use crate::engine::TOP;
use crate::lab::LabError;
use crate::lab::crossval::{each_fold, split};
use crate::lab::profile::{Case, Profile};
use crate::lab::replay::Walk;
use crate::premodel::{CLAMP, Scale};

/// Support vectors are learned from at most so many cases of each fold, drawn with the seed.
pub const SVM_MOST: usize = 1000;

/// One way of choosing, cross-validated.
#[derive(Clone, Debug, PartialEq)]
pub struct OtherScore {
    /// `single-<kind>` or `chain-<kind>-<kind>-<kind>`; kinds are knn, tree, svm, bayes, logistic.
    pub name: String,
    /// Right answers; no answer is wrong.
    pub top1_hits: u64,
    /// Share of cases answered, 0..=1.
    pub coverage: f64,
    /// Mean time of features and look, ms; the classifier's own is not known.
    pub mean_ms: f64,
    /// Share of cases for which the cheapest right engine was chosen, or rightly none, 0..=1.
    pub premodel_accuracy: f64,
    /// (Right answers + silence on cases that no engine of the profile gets right) / all cases: the
    /// score of the published figures, not top-1.
    pub paper_score: f64,
    /// By case, the engine asked, by place in the profile.
    pub choices: Vec<Option<usize>>,
}

impl OtherScore {
    /// By case, what a policy with these choices does: one look or none.
    pub fn walks(&self, profile: &Profile) -> Vec<Walk> {
        let walk = |(case, (choice, shown)): (usize, (&Option<usize>, &Case))| {
            let mut walk =
                Walk { ms: f64::from(shown.features_ms), energy_mj: Some(0.0), ..Walk::default() };
            let Some((engine, column)) =
                choice.and_then(|engine| Some((engine, profile.engines.get(engine)?)))
            else {
                return walk;
            };
            walk.asked = u8::try_from(engine).into_iter().collect();
            walk.ms += column.ms(case);
            let seen = column.looks.get(case).copied().flatten();
            walk.energy_mj = seen.and_then(|seen| seen.energy_mj).map(f64::from);
            if let Some(seen) = seen {
                walk.top = seen
                    .top
                    .iter()
                    .take(usize::from(seen.ranked).min(TOP))
                    .map(|top| top.class)
                    .collect();
                walk.confidence = seen.top[0].probability;
            }
            walk
        };
        self.choices.iter().zip(&profile.cases).enumerate().map(walk).collect()
    }
}

/// Judges all of them on the folds of `fold_of` (by case, from [`crate::lab::crossval::folds`]).
/// `settings` says how pool, labels and features are found, and who answers where no level says
/// yes.
pub fn judge_others(
    profile: &Profile,
    fold_of: &[usize],
    settings: &PaperChain,
) -> Result<Vec<OtherScore>, LabError> {
    if fold_of.len() != profile.cases.len() {
        let (got, needed) =
            (fold_of.len().to_string(), format!("{}, one a frame", profile.cases.len()));
        return Err(LabError::Table { what: "places in folds".into(), got, needed });
    }
    let names = names();
    let worked = each_fold(fold_of.iter().max().map_or(0, |last| last + 1), |fold| {
        let (training, judged) = split(fold_of, fold);
        let fitted = settings.fit(profile, &training)?;
        let truth = labels(profile, &judged, &fitted.pool.engines, settings.criterion);
        Ok((ways(profile, &fitted, &judged, settings)?, fitted, judged, truth))
    })?;
    let mut choices = vec![vec![None; profile.cases.len()]; names.len()];
    let mut agreed = vec![0u64; names.len()];
    for (ways, fitted, judged, truth) in worked {
        for (way, levels) in ways.iter().enumerate() {
            for ((case, level), truth) in judged.iter().zip(levels).zip(&truth) {
                agreed[way] += u64::from(level == truth);
                let engine =
                    level.and_then(|level| fitted.pool.engines.get(usize::from(level)).copied());
                choices[way][*case] = engine.or(fitted.on_none);
            }
        }
    }
    Ok(names
        .into_iter()
        .zip(choices)
        .zip(agreed)
        .map(|((name, choices), agreed)| score(profile, name, choices, agreed))
        .collect())
}

/// By way of choosing, in the order of [`names`], the level for each case of `judged`.
fn ways(
    profile: &Profile,
    fitted: &Fitted,
    judged: &[usize],
    settings: &PaperChain,
) -> Result<Vec<Vec<Option<u8>>>, LabError> {
    let pool = &fitted.pool.engines;
    let asked = scaled(profile, judged, &fitted.features.kept);
    let few = sample(profile, &fitted.rows, SVM_MOST, settings.seed);
    let all = (scaled(profile, &fitted.rows, &fitted.features.kept), fitted.best.clone());
    let few = (
        scaled(profile, &few, &fitted.features.kept),
        labels(profile, &few, pool, settings.criterion),
    );
    let predict = |kind: Kind, class: &dyn Fn(Option<u8>) -> u32| {
        let (rows, best) = if kind == Kind::Svm { &few } else { &all };
        let classes: Vec<u32> = best.iter().map(|best| class(*best)).collect();
        Lesson { rows, classes: &classes, k: fitted.k, seed: settings.seed }.predict(kind, &asked)
    };

    let none = pool.len() as u32;
    let mut levels: Vec<Vec<Option<u8>>> = Vec::with_capacity(names().len());
    for kind in Kind::ALL {
        let classes = predict(kind, &|best| best.map_or(none, u32::from))?;
        levels.push(
            classes
                .into_iter()
                .map(|class| u8::try_from(class).ok().filter(|_| class < none))
                .collect(),
        );
    }
    let mut votes: Vec<Vec<Vec<u32>>> = Vec::with_capacity(pool.len()); // by level, by kind
    for level in 0..pool.len() {
        let yes = |best: Option<u8>| u32::from(best.is_some_and(|best| usize::from(best) == level));
        votes
            .push(Kind::ALL.into_iter().map(|kind| predict(kind, &yes)).collect::<Result<_, _>>()?);
    }
    for pattern in patterns() {
        let says =
            |case: usize, level: usize| votes[level][pattern[level.min(2)] as usize][case] == 1;
        let first =
            |case: usize| (0..pool.len()).find(|level| says(case, *level)).map(|level| level as u8);
        levels.push((0..judged.len()).map(first).collect());
    }
    Ok(levels)
}

/// 27 of three kinds, then naive Bayes and logistic regression on every level.
fn patterns() -> Vec<[Kind; 3]> {
    let mixed = [Kind::Knn, Kind::Tree, Kind::Svm];
    let mut all = Vec::with_capacity(29);
    for a in mixed {
        for b in mixed {
            all.extend(mixed.map(|c| [a, b, c]));
        }
    }
    all.extend([[Kind::Bayes; 3], [Kind::Logistic; 3]]);
    all
}

fn names() -> Vec<String> {
    let singles = Kind::ALL.into_iter().map(|kind| format!("single-{}", kind.name()));
    singles
        .chain(
            patterns()
                .into_iter()
                .map(|[a, b, c]| format!("chain-{}-{}-{}", a.name(), b.name(), c.name())),
        )
        .collect()
}

fn scaled(profile: &Profile, cases: &[usize], scales: &[Scale]) -> Vec<Vec<f32>> {
    let value = |case: usize, scale: &Scale| {
        let value =
            profile.cases.get(case).map_or(0.0, |shown| shown.features.values[scale.feature]);
        ((value - scale.min) / (scale.max - scale.min)).clamp(CLAMP.0, CLAMP.1)
    };
    cases.iter().map(|case| scales.iter().map(|scale| value(*case, scale)).collect()).collect()
}

fn score(profile: &Profile, name: String, choices: Vec<Option<usize>>, agreed: u64) -> OtherScore {
    let n = profile.cases.len().max(1) as f64;
    let (mut hits, mut answered, mut silent, mut ms) = (0u64, 0u64, 0u64, 0.0);
    for (case, (choice, shown)) in choices.iter().zip(&profile.cases).enumerate() {
        ms += f64::from(shown.features_ms);
        match choice.and_then(|engine| profile.engines.get(engine)) {
            Some(column) => {
                ms += column.ms(case);
                answered += u64::from(column.looks.get(case).is_some_and(Option::is_some));
                hits += u64::from(column.is_right(case, shown.label));
            }
            None => {
                silent += u64::from(
                    !profile.engines.iter().any(|column| column.is_right(case, shown.label)),
                )
            }
        }
    }
    OtherScore {
        name,
        top1_hits: hits,
        coverage: answered as f64 / n,
        mean_ms: ms / n,
        premodel_accuracy: agreed as f64 / n,
        paper_score: (hits + silent) as f64 / n,
        choices,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::crossval::{folds, judge};
    use crate::lab::paper::samples;

    #[test]
    fn a_chain_of_neighbours_only_chooses_as_the_daemons_premodel() {
        let profile = samples::learnable(120, 11);
        let fold_of = folds(&profile, 3, 1).unwrap();
        let settings = PaperChain::default();
        let scores = judge_others(&profile, &fold_of, &settings).unwrap();
        assert_eq!(scores.len(), 5 + 27 + 2);
        let chain = scores.iter().find(|score| score.name == "chain-knn-knn-knn").unwrap();
        let real = judge(&profile, &settings, &fold_of, None).unwrap();
        let asked: Vec<Option<usize>> = real.walks.iter().map(|walk| walk.settled_by()).collect();
        assert_eq!(chain.choices, asked);
        let (ours, theirs) = (chain.walks(&profile), &real.walks);
        for (ours, real) in ours.iter().zip(theirs) {
            assert_eq!(
                (&ours.top, &ours.asked, ours.ms, ours.confidence),
                (&real.top, &real.asked, real.ms, real.confidence)
            );
        }
        let hits = real
            .walks
            .iter()
            .zip(&profile.cases)
            .filter(|(walk, case)| walk.is_right(case.label))
            .count() as u64;
        assert_eq!(chain.top1_hits, hits);
        assert!(
            scores.iter().all(|score| score.paper_score * 120.0 + 1e-9 >= score.top1_hits as f64)
        );
        assert!(judge_others(&profile, &[0], &settings).is_err());
    }
}
