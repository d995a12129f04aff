//! Learns which engines to ask in which order, and from which score on an answer stands, from answers to labelled photos.
//!
//! Cross-validated: in each fold, chain and thresholds are chosen on the training photos alone and judged on the others, by the real
//! policy. The chain that is shipped is then chosen on all photos; its own figures on them are called in-sample and flatter it.

mod bits;
mod replay;
mod search;
mod views;
mod write;

pub use replay::{Walk, everything, walk};
pub use search::Structure;
pub use write::{Provenance, to_policy_toml};

use bits::Bits;
use search::{Aim, Found, Space, search};
use views::Views;

use super::{LabError, Observations};
use crate::policy::MAX_STEPS;
use crate::policy::confidence::Score;
use crate::stats::{paired_bootstrap95, splitmix64, wilson95};

/// What is wanted of the policy.
#[derive(Clone, Debug, PartialEq)]
pub enum Goal {
    /// Least mean time with a top-1 not below that of `engine` plus `margin` (share of photos, may be negative). `None`: the most
    /// accurate single engine. Choosing flatters; a margin of half a point makes up for some of it, but not every pool reaches it.
    Fastest {
        /// Its id.
        engine: Option<String>,
        /// -1..=1.
        margin: f64,
    },
    /// Highest top-1 within a mean time, ms; then the least time.
    MostAccurate {
        /// Above 0.
        mean_ms: f64,
    },
}

/// The goal and how to search for it.
#[derive(Clone, Debug, PartialEq)]
pub struct Objective {
    /// What is wanted.
    pub goal: Goal,
    /// Longest chain, 1..=[`MAX_STEPS`]. The search grows with engines to this power.
    pub stages: usize,
    /// Ways of combining answers to try.
    pub averages: Vec<bool>,
    /// Scores to try.
    pub scores: Vec<Score>,
    /// Thresholds a stage.
    pub steps: usize,
    /// Only chains in which each engine is alone right at least as often as the one before. Other chains seldom help on new photos, and
    /// the fewer there are to choose from, the less choosing flatters.
    pub rising: bool,
    /// Folds of the cross-validation, at least 2.
    pub folds: usize,
    /// Of the split into folds.
    pub seed: u64,
}

/// A small space on purpose: the more chains there are to choose from, the more of the in-sample top-1 is lost on new photos. These
/// defaults were settled by comparing cross-validated figures of many settings on one set of photos, so a fit's figures on that same set
/// are still somewhat kind: prove a policy on photos of its own.
impl Default for Objective {
    fn default() -> Self {
        Self {
            goal: Goal::Fastest { engine: None, margin: 0.0 },
            stages: 3,
            averages: vec![true],
            scores: vec![Score::MaxSoftmax],
            steps: 24,
            rising: true,
            folds: 10,
            seed: 1,
        }
    }
}

/// How a policy fares on a number of photos.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figures {
    /// Photos shown.
    pub photos: u64,
    /// Right answers.
    pub right: u64,
    /// Their share; no answer counts as wrong.
    pub top1: f64,
    /// Wilson's 95 % interval of `top1`.
    pub top1_ci95: (f64, f64),
    /// Mean time of all looks at a photo, ms.
    pub mean_ms: f64,
    /// By engine of the table, the share of photos shown to it.
    pub asked: Vec<f64>,
}

/// What was learned.
#[derive(Clone, Debug, PartialEq)]
pub struct Fit {
    /// The chain, chosen on all photos.
    pub structure: Structure,
    /// Id and sha256 of every engine of the table.
    pub engines: Vec<(String, String)>,
    /// The chain on the photos it was chosen on.
    pub in_sample: Figures,
    /// The way of choosing, judged on photos not chosen on. To be reported first.
    pub cross_validated: Figures,
    /// By fold, the chain chosen there.
    pub fold_structures: Vec<Structure>,
    /// The engine compared with, by index: the one named, or the most accurate single one.
    pub reference: usize,
    /// That engine alone on the same photos.
    pub reference_alone: Figures,
    /// Paired 95 % interval of the cross-validated top-1 less the reference's.
    pub difference_ci95: (f64, f64),
    /// Folds used.
    pub folds: usize,
    /// Of the split.
    pub seed: u64,
}

/// Learns from `observations` what `objective` asks for.
pub fn fit(observations: &Observations, objective: &Objective) -> Result<Fit, LabError> {
    observations.check()?;
    check(observations, objective)?;
    let photos = observations.photos();
    let all = Bits::collect(photos, |_| true);
    let views = Views::new(observations, objective.averages.contains(&true), objective.stages);
    let space = Space {
        observations,
        views: &views,
        averages: &objective.averages,
        scores: &objective.scores,
        stages: objective.stages,
        steps: objective.steps,
        rising: objective.rising,
    };
    let alone = |engine: usize| views.get(1 << engine);
    let right_alone = |engine: usize, among: &Bits| alone(engine).map_or(0, |view| view.right.count_and(among));
    let reference = match &objective.goal {
        Goal::Fastest { engine: Some(id), .. } => named(observations, id)?,
        _ => (0..observations.engines.len()).rev().max_by_key(|engine| right_alone(*engine, &all)).unwrap_or(0),
    };
    let choose = |training: &Bits| -> Result<Structure, LabError> {
        let n = f64::from(training.count());
        let found = match objective.goal {
            Goal::Fastest { margin, .. } => {
                let needed = f64::from(right_alone(reference, training)) + margin * n;
                search(&space, training, Aim::Fastest { right: needed.ceil().max(0.0) as u32 })
            }
            Goal::MostAccurate { mean_ms } => search(&space, training, Aim::MostRight { time: mean_ms * n })
                .and_then(|best| search(&space, training, Aim::Fastest { right: best.right })),
        };
        let unreachable =
            || LabError::Unreachable { stages: objective.stages, goal: goal_in_words(observations, objective, reference) };
        found.map(|Found { structure, .. }| structure).ok_or_else(unreachable)
    };

    let fold_of = folds(photos, objective.folds, objective.seed);
    let mut walks = vec![Walk::default(); photos];
    let mut fold_structures = Vec::with_capacity(objective.folds);
    for fold in 0..objective.folds {
        let structure = choose(&Bits::collect(photos, |photo| fold_of[photo] != fold))?;
        let judged = (0..photos).filter(|photo| fold_of[*photo] == fold);
        for (photo, walk) in walk_all(observations, &structure, judged) {
            walks[photo] = walk;
        }
        fold_structures.push(structure);
    }
    let structure = choose(&all)?;
    let in_sample: Vec<Walk> = walk_all(observations, &structure, 0..photos).map(|(_, walk)| walk).collect();
    let reference_only = Structure { stages: vec![(reference, None)], average: false, score: structure.score };
    let reference_walks: Vec<Walk> = walk_all(observations, &reference_only, 0..photos).map(|(_, walk)| walk).collect();

    let hit = |walk: &Walk, photo: usize| f64::from(u8::from(walk.class == Some(observations.labels[photo])));
    let differences: Vec<f64> = (0..photos).map(|photo| hit(&walks[photo], photo) - hit(&reference_walks[photo], photo)).collect();
    Ok(Fit {
        in_sample: figures(observations, &in_sample),
        cross_validated: figures(observations, &walks),
        reference_alone: figures(observations, &reference_walks),
        difference_ci95: paired_bootstrap95(&differences, 2000, objective.seed).unwrap_or((0.0, 0.0)),
        structure,
        engines: observations.engines.iter().map(|engine| (engine.id.clone(), engine.sha256.clone())).collect(),
        fold_structures,
        reference,
        folds: objective.folds,
        seed: objective.seed,
    })
}

/// Refuses what cannot be searched.
fn check(observations: &Observations, objective: &Objective) -> Result<(), LabError> {
    let wrong = |what: &str, got: String, needed: String| Err(LabError::Table { what: what.to_owned(), got, needed });
    let photos = observations.photos();
    if objective.folds < 2 || objective.folds > photos {
        return wrong("folds", objective.folds.to_string(), format!("2 to the number of photos, {photos}"));
    }
    if !(1..=MAX_STEPS).contains(&objective.stages) {
        return wrong("stages", objective.stages.to_string(), format!("1 to {MAX_STEPS}"));
    }
    if objective.averages.is_empty() || objective.scores.is_empty() || objective.steps == 0 {
        return wrong("the search", "nothing to try".to_owned(), "a way of averaging, a score, a threshold".to_owned());
    }
    match objective.goal {
        Goal::Fastest { margin, .. } if !(-1.0..=1.0).contains(&margin) => {
            wrong("margin", margin.to_string(), "-1 to 1".to_owned())
        }
        Goal::MostAccurate { mean_ms } if !(mean_ms.is_finite() && mean_ms > 0.0) => {
            wrong("mean time", mean_ms.to_string(), "ms, above 0".to_owned())
        }
        _ => Ok(()),
    }
}

fn named(observations: &Observations, id: &str) -> Result<usize, LabError> {
    observations.engines.iter().position(|engine| engine.id == id).ok_or_else(|| LabError::UnknownEngine {
        id: id.to_owned(),
        known: observations.engines.iter().map(|engine| engine.id.as_str()).collect::<Vec<_>>().join(", "),
    })
}

fn goal_in_words(observations: &Observations, objective: &Objective, reference: usize) -> String {
    match objective.goal {
        Goal::Fastest { margin, .. } => {
            format!("the top-1 of `{}` {:+.1} points", observations.engines[reference].id, margin * 100.0)
        }
        Goal::MostAccurate { mean_ms } => format!("a mean time of {mean_ms} ms"),
    }
}

/// The fold of each photo: photos in the order of a seeded draw, dealt out in turn.
fn folds(photos: usize, folds: usize, seed: u64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..photos).collect();
    order.sort_by_key(|photo| (splitmix64(splitmix64(seed) ^ *photo as u64), *photo));
    let mut fold_of = vec![0; photos];
    for (place, photo) in order.into_iter().enumerate() {
        fold_of[photo] = place % folds;
    }
    fold_of
}

fn walk_all<'o>(
    observations: &'o Observations,
    structure: &Structure,
    photos: impl Iterator<Item = usize> + 'o,
) -> impl Iterator<Item = (usize, Walk)> + 'o {
    let (policy, allowance, mut room) = (replay::policy_of(structure), everything(observations), Vec::new());
    photos.map(move |photo| (photo, walk(observations, &policy, &allowance, photo, &mut room)))
}

/// Sums up the walks of all photos.
fn figures(observations: &Observations, walks: &[Walk]) -> Figures {
    let photos = walks.len() as u64;
    let per_photo = 1.0 / walks.len().max(1) as f64;
    let right = walks.iter().zip(&observations.labels).filter(|(walk, label)| walk.class == Some(**label)).count() as u64;
    let asked = |engine: usize| walks.iter().filter(|walk| walk.asked.contains(&engine)).count() as f64 * per_photo;
    Figures {
        photos,
        right,
        top1: right as f64 * per_photo,
        top1_ci95: wilson95(right, photos),
        mean_ms: walks.iter().map(|walk| walk.ms).sum::<f64>() * per_photo,
        asked: (0..observations.engines.len()).map(asked).collect(),
    }
}

#[cfg(test)]
mod tests;
