//! What `squint evaluate` learns and judges itself: the published method, cascades, hybrids, and
//! how each family does for every mean time.

use crate::error::Error;
use crate::lab::crossval::{Learner, judge};
use crate::lab::evaluate::{Entry, evaluate};
use crate::lab::evaluation::{Curve, CurvePoint};
use crate::lab::hybrid::Hybrids;
use crate::lab::paper::{OnNone, PaperChain};
use crate::lab::profile::Profile;
use crate::lab::thresholds::{Goal, MOST_ENGINES, Thresholds};
use crate::policy::confidence::Score;

use super::{decision_ms, entry};
use crate::command::train::candidates::FEATURES;

/// Points above the most capable engine that policies aim at: choosing thresholds flatters.
const AIM_ABOVE: f64 = 0.5;
/// Points of a curve.
const POINTS: usize = 14;

/// A learner for each place on a curve.
type Family<'f> = &'f dyn Fn(usize) -> Box<dyn Learner>;

/// One way of making a policy.
pub(super) struct Way {
    /// Kind of its policies.
    pub(super) kind: &'static str,
    pub(super) learner: Box<dyn Learner>,
    /// True if it learns from the frames as they follow each other; false if one frame of each
    /// photo is enough.
    pub(super) in_order: bool,
}

/// Single networks (all engines, if there are only ensembles), the cheapest [`MOST_ENGINES`].
fn pool(profile: &Profile) -> Vec<usize> {
    let single: Vec<usize> = (0..profile.engines.len())
        .filter(|engine| profile.engines[*engine].networks == 1)
        .collect();
    let mut pool: Vec<usize> =
        if single.is_empty() { (0..profile.engines.len()).collect() } else { single };
    pool.sort_by(|a, b| profile.engines[*a].mean_ms.total_cmp(&profile.engines[*b].mean_ms));
    pool.truncate(MOST_ENGINES);
    pool
}

/// The published chain, silent and with a fallback; the plain cascade of two; confidence and hybrid
/// policies.
pub(super) fn ways(profile: &Profile) -> Vec<Way> {
    let pool = pool(profile);
    let goal = Goal::LeastTime { reference: profile.most_capable(), margin: AIM_ABOVE / 100.0 };
    let root = Thresholds::new(goal, pool.clone());
    let named = |name: &str| {
        let mut one = root.clone();
        one.name = name.to_owned();
        one
    };
    let mut two = named("two-engine cascade");
    (two.stages, two.averages) = (2, vec![false]);
    let mut learned = named("confidence, learned score");
    learned.scores = vec![Score::Learned];
    let chain = PaperChain { candidates: pool, ..PaperChain::default() };
    let silent = Box::new(chain.clone());
    let fallback = Box::new(PaperChain { on_none: OnNone::MostCapable, ..chain });
    vec![
        Way { kind: "chain", learner: silent, in_order: false },
        Way { kind: "chain", learner: fallback, in_order: false },
        Way { kind: "confidence", learner: Box::new(two), in_order: false },
        Way { kind: "confidence", learner: Box::new(named("confidence")), in_order: false },
        Way { kind: "confidence", learner: Box::new(learned), in_order: false },
        Way {
            kind: "hybrid",
            learner: Box::new(Hybrids::new(named("hybrid"), &[])),
            in_order: true,
        },
        Way {
            kind: "hybrid",
            learner: Box::new(Hybrids::new(named("hybrid"), &FEATURES)),
            in_order: true,
        },
    ]
}

/// The most accurate policy for mean times from the cheapest engine's to the dearest one's, by
/// family, cross-validated.
pub(super) fn curves(
    profile: &Profile,
    fold_of: &[usize],
    folds: usize,
    seed: u64,
) -> Result<Vec<Curve>, Error> {
    let pool = pool(profile);
    let everything: Vec<usize> = (0..profile.cases.len()).collect();
    let time = |place: Option<&usize>| place.map_or(1.0, |engine| profile.engines[*engine].mean_ms);
    let (least, most) = (1.15 * time(pool.first()), time(pool.last()));
    let root = Thresholds::new(Goal::MostAccurate { mean_ms: most }, pool);
    let within = |place: usize| {
        let mean_ms = least * (most / least).max(1.0).powf(place as f64 / (POINTS - 1) as f64);
        let mut one = root.clone();
        one.goal = Goal::MostAccurate { mean_ms };
        one
    };
    let hybrid = |place: usize| Box::new(Hybrids::new(within(place), &[])) as Box<dyn Learner>;
    let confidence = |place: usize| Box::new(within(place)) as Box<dyn Learner>;
    let families: [(&str, Family); 2] = [("confidence", &confidence), ("hybrid", &hybrid)];
    families
        .iter()
        .map(|(name, learner)| {
            let entries = (0..POINTS).map(|place| {
                let judged = judge(profile, learner(place).as_ref(), fold_of, None)?;
                let policy_ms = judged
                    .policies
                    .first()
                    .map_or(0.0, |policy| decision_ms(profile, policy, &everything));
                Ok(entry(
                    (*name).to_owned(),
                    name,
                    "cross-validated",
                    false,
                    judged.walks,
                    policy_ms,
                ))
            });
            let entries: Vec<Entry> = entries.collect::<Result<_, Error>>()?;
            let mut points: Vec<CurvePoint> = evaluate(profile, &entries, folds, seed)
                .policies
                .into_iter()
                .map(|policy| CurvePoint {
                    mean_ms: policy.mean_ms,
                    top1: policy.top1,
                    noskill_gain: policy.noskill_gain,
                    noskill_gain_ci95: policy.noskill_gain_ci95,
                })
                .collect();
            points.sort_by(|a, b| a.mean_ms.total_cmp(&b.mean_ms));
            points.dedup_by(|a, b| (a.mean_ms - b.mean_ms).abs() < 1e-9);
            Ok(Curve { name: (*name).to_owned(), points })
        })
        .collect()
}
