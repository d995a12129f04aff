//! Learns policies of kind `hybrid`: chances of being right for every set of engines that has
//! answered, where to enter, and the price of time that reaches the goal.
//!
//! Pure. Engines are those of the best confidence chain on the same training frames (or those
//! named, if they are few). Learned on the frames handed in and on no others; with more than
//! [`LARGE`] on as many of them, drawn with the seed.

mod simulate;

use arrayvec::ArrayVec;

use super::choose::Fared;
use super::crossval::Learner;
use super::paper::sample;
use super::profile::Profile;
use super::replay::Replay;
use super::thresholds::{Goal, LARGE, Thresholds, least};
use super::{LabError, logit};
use crate::engine::EngineIdx;
use crate::features::{COUNT, NAMES};
use crate::policy::clues::CLUES;
use crate::policy::hybrid::{Hybrid, MAX_POOL, Member, State, entry_width};
use crate::policy::{Past, Plan, Policy};
use crate::premodel::Scale;
use simulate::{Known, Pool};

/// Prices tried, chance of a right answer a ms of the cheapest engine: from one that never pays for
/// a second look to next to nothing.
const PRICES: [f64; 24] = [
    0.5, 0.3, 0.2, 0.15, 0.12, 0.1, 0.085, 0.07, 0.06, 0.05, 0.042, 0.035, 0.03, 0.025, 0.02,
    0.017, 0.014, 0.011, 0.008, 0.006, 0.004, 0.0025, 0.001, 0.0003,
];
/// Rounds in which the entry is learned anew from the past that the policy itself made (streams).
const ROUNDS: usize = 2;

/// The learner.
#[derive(Clone, Debug, PartialEq)]
pub struct Hybrids {
    /// For reports.
    pub name: String,
    /// What is wanted, and which engines there are.
    pub base: Thresholds,
    /// Features that the first decision looks at, by name; those that are constant in training are
    /// left out.
    pub features: Vec<String>,
}

impl Hybrids {
    /// Over the engines of the best chain; the first decision looks at these features.
    pub fn new(base: Thresholds, features: &[&str]) -> Self {
        let features: Vec<String> = features.iter().map(|name| (*name).to_owned()).collect();
        let name = if features.is_empty() {
            "hybrid".to_owned()
        } else {
            "hybrid, with features".to_owned()
        };
        Self { name, base, features }
    }

    fn scales(&self, profile: &Profile, training: &[usize]) -> Result<Vec<Scale>, LabError> {
        let mut scales = Vec::new();
        for name in self.features.iter().take(COUNT) {
            let feature =
                NAMES.iter().position(|known| known == name).ok_or_else(|| LabError::Table {
                    what: "feature".into(),
                    got: name.clone(),
                    needed: format!("one of {}", NAMES.join(", ")),
                })?;
            let values = || {
                training.iter().filter_map(|case| {
                    profile.cases.get(*case)?.features.values.get(feature).copied()
                })
            };
            let (min, max) = (
                values().fold(f32::INFINITY, f32::min),
                values().fold(f32::NEG_INFINITY, f32::max),
            );
            if (max - min).is_normal() && min < max {
                scales.push(Scale { feature, min, max });
            }
        }
        Ok(scales)
    }

    /// The pool, cheapest first, by place in the profile.
    fn pool(&self, profile: &Profile, training: &[usize]) -> Result<Vec<usize>, LabError> {
        let mut pool: Vec<usize> = match self.base.engines.len() {
            0..=3 => self.base.engines.clone(),
            _ => self
                .base
                .learn(profile, training)?
                .engines()
                .iter()
                .map(|engine| usize::from(engine.0))
                .collect(),
        };
        pool.sort_by(|a, b| {
            profile.engines[*a].mean_ms.total_cmp(&profile.engines[*b].mean_ms).then(a.cmp(b))
        });
        pool.dedup();
        pool.truncate(MAX_POOL);
        Ok(pool)
    }
}

impl Learner for Hybrids {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn learn(&self, profile: &Profile, training: &[usize]) -> Result<Policy, LabError> {
        let pool = self.pool(profile, training)?;
        let training = sample(profile, training, LARGE, self.base.seed);
        let scales = self.scales(profile, &training)?;
        let engines = Pool::of(profile, &pool, &training);
        let states = states(&engines);
        let cheapest = pool.first().map_or(1.0, |engine| profile.engines[*engine].mean_ms);
        let mut tried: Vec<(Fared, Policy)> = Vec::new();
        for price in PRICES {
            let price = (price / cheapest) as f32;
            tried.push(self.try_price(profile, &training, &engines, &states, &scales, price));
        }
        let fared: Vec<Fared> = tried.iter().map(|tried| tried.0).collect();
        let best = match self.base.goal {
            Goal::LeastTime { reference, margin } => {
                let n = training.len().max(1) as f64;
                least(&fared, profile.right_alone(reference, &training) as f64 / n + margin)
            }
            Goal::MostAccurate { mean_ms } => {
                let within = (0..fared.len()).filter(|place| fared[*place].mean_ms <= mean_ms);
                let nearest = within.max_by(|a, b| fared[*a].near.total_cmp(&fared[*b].near));
                nearest.or_else(|| {
                    (0..fared.len()).min_by(|a, b| fared[*a].mean_ms.total_cmp(&fared[*b].mean_ms))
                })
            }
        };
        best.and_then(|place| tried.into_iter().nth(place)).map(|tried| tried.1).ok_or_else(|| {
            LabError::Table {
                what: "prices".into(),
                got: "none".into(),
                needed: "one at least".into(),
            }
        })
    }
}

impl Hybrids {
    /// The policy of one price, its entries learned by going through the training frames with it.
    fn try_price(
        &self,
        profile: &Profile,
        training: &[usize],
        engines: &Pool,
        states: &[State],
        scales: &[Scale],
        price: f32,
    ) -> (Fared, Policy) {
        let width = entry_width(scales.len());
        // Where each frame ends, and how long that takes, if one engine is asked first.
        let ends: Vec<Vec<(bool, f64)>> =
            (0..engines.len()).map(|place| engines.ends(states, place, price)).collect();
        let member = |place: usize, right: Vec<f32>, time_ms: Vec<f32>| Member {
            engine: EngineIdx(engines.index(place) as u8),
            ms: engines.ms(place) as f32,
            right,
            time_ms,
        };
        let mean = |place: usize| {
            let n = ends[place].len().max(1) as f64;
            let right = ends[place].iter().filter(|end| end.0).count() as f64 / n;
            (right, ends[place].iter().map(|end| end.1).sum::<f64>() / n)
        };
        // To begin with, everywhere the same entry: the one that promises most on average.
        let mut members: ArrayVec<Member, MAX_POOL> = (0..engines.len())
            .map(|place| {
                let (right, ms) = mean(place);
                let odds = (right.clamp(1e-3, 1.0 - 1e-3) / (1.0 - right.clamp(1e-3, 1.0 - 1e-3)))
                    .ln() as f32;
                let constant = |value: f32| {
                    std::iter::once(value).chain(std::iter::repeat(0.0)).take(width).collect()
                };
                member(place, constant(odds), constant(ms as f32))
            })
            .collect();
        let plan = |members: ArrayVec<Member, MAX_POOL>| {
            let hybrid =
                Hybrid { members, price, scales: scales.to_vec(), states: states.to_vec() };
            Policy::new(self.name.clone(), Plan::Hybrid(Box::new(hybrid)))
        };
        let rounds = if profile.is_stream() { ROUNDS } else { usize::from(!scales.is_empty()) };
        for _ in 0..rounds {
            let rows = entry_rows(profile, training, &plan(members.clone()));
            members = (0..engines.len())
                .map(|place| {
                    let right: Vec<f64> =
                        ends[place].iter().map(|end| f64::from(u8::from(end.0))).collect();
                    let times: Vec<f64> = ends[place].iter().map(|end| end.1).collect();
                    member(
                        place,
                        logit::logistic(&rows, width, &right),
                        logit::linear(&rows, width, &times),
                    )
                })
                .collect();
        }
        let policy = plan(members);
        let walks = super::replay::replay(profile, &policy, None, training);
        (Fared::of(profile, training, &walks), policy)
    }
}

/// What the first decision of `policy` looks at, frame by frame, one after the other.
fn entry_rows(profile: &Profile, training: &[usize], policy: &Policy) -> Vec<f32> {
    let Plan::Hybrid(hybrid) = policy.plan() else { return Vec::new() };
    let (mut past, mut last) = (Past::default(), Default::default());
    let mut replay = Replay::new(profile, policy, None);
    let mut rows = Vec::new();
    for case in training {
        let Some(shown) = profile.cases.get(*case) else { continue };
        if shown.at_ms.is_none() {
            past = Past::default();
        }
        rows.extend(hybrid.entry_clues(
            &shown.features,
            past.last.as_ref().map(|last| (last, last.change(&shown.glimpse))),
        ));
        if shown.at_ms.is_some() {
            replay.frame(*case, &mut past, &mut last);
        }
    }
    rows
}

/// Chances for every set of engines that has answered.
fn states(engines: &Pool) -> Vec<State> {
    let everybody = (1u8 << engines.len()) - 1;
    let model = |rows: &[f32], right: &[f64]| {
        let mut weights = [0.0; CLUES];
        weights.copy_from_slice(&logit::logistic(rows, CLUES, right));
        crate::policy::clues::Logistic(weights)
    };
    let right_of = |known: &Known| -> Vec<f64> {
        known.right.iter().map(|right| f64::from(u8::from(*right))).collect()
    };
    (1..=everybody)
        .map(|asked| {
            let known = engines.known(asked);
            let rows: Vec<f32> = known.clues.iter().flat_map(|clues| clues.0).collect();
            let then = (0..engines.len()).map(|place| {
                let more = asked | 1 << place;
                (more != asked).then(|| model(&rows, &right_of(engines.known(more))))
            });
            State { asked, right: model(&rows, &right_of(known)), then: then.collect() }
        })
        .collect()
}

#[cfg(test)]
mod tests;
