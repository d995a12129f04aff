//! The kind `hybrid`: enter where it promises most, then look again as long as a further look is
//! worth its time. Pure.
//!
//! Each step weighs chances of a right answer against time at one price, the chance that a
//! millisecond must buy. Before the first look the chances follow from the features and from what
//! the camera answered last; afterwards from the answers so far. Times are those of training, not
//! of the moment, so that a decision can be made again from its record; the moment's are in the
//! allowance.

use arrayvec::ArrayVec;

use super::clues::{Clues, Logistic, chance};
use super::{Allowance, Attempts, LastAnswer, Situation};
use crate::engine::EngineIdx;
use crate::features::Features;
use crate::premodel::Scale;

/// Most engines of such a policy.
pub const MAX_POOL: usize = 6;
/// What is known of the past, beside the features and the constant.
pub const PAST_CLUES: usize = 3;
/// Names of the past's clues, in order, as docs/reference/policy-files.md has them.
pub const PAST_NAMES: [&str; PAST_CLUES] = ["still", "still-score", "still-place"];
/// Change of the glimpse, share of full scale, from which the scene is another one.
const ANOTHER_SCENE: f32 = 0.25;
/// Most values that a first decision may look at: the constant, features, the past.
const MAX_ENTRY: usize = 1 + crate::features::COUNT + PAST_CLUES;

/// Values that the first decision looks at: 1, the scaled features, the past.
pub type EntryClues = ArrayVec<f32, MAX_ENTRY>;

/// One engine of the pool.
#[derive(Clone, Debug, PartialEq)]
pub struct Member {
    /// Whom to ask.
    pub engine: EngineIdx,
    /// Mean time of a look in training, ms.
    pub ms: f32,
    /// Weights of the chance that the frame's final answer is right if this engine is asked first.
    pub right: Vec<f32>,
    /// Weights of the time that all looks take then, ms.
    pub time_ms: Vec<f32>,
}

/// Chances once certain engines have answered.
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    /// Who has answered: one bit a member, by place in the pool.
    pub asked: u8,
    /// Chance that the answer is right as it stands.
    pub right: Logistic,
    /// By member, the chance that it is right once that member has answered too; `None` is never
    /// asked then.
    pub then: ArrayVec<Option<Logistic>, MAX_POOL>,
}

/// The policy.
#[derive(Clone, Debug, PartialEq)]
pub struct Hybrid {
    /// Cheapest first, none twice.
    pub members: ArrayVec<Member, MAX_POOL>,
    /// Chance of a right answer that one ms of looking must be worth, above 0.
    pub price: f32,
    /// Features that the first decision looks at, with their training ranges.
    pub scales: Vec<Scale>,
    /// Each set of engines once.
    pub states: Vec<State>,
}

/// What a step promises.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Promise {
    /// Whom to ask.
    pub engine: EngineIdx,
    /// Before the first look the chance of a right answer, afterwards what is added to it.
    pub gain: f32,
    /// What its time costs at the price, in the same measure.
    pub cost: f32,
}

impl Promise {
    /// What is left of the gain.
    pub fn net(&self) -> f32 {
        self.gain - self.cost
    }
}

impl Hybrid {
    /// The place of `engine` in the pool.
    fn place_of(&self, engine: EngineIdx) -> Option<usize> {
        self.members.iter().position(|member| member.engine == engine)
    }

    /// What the first decision looks at.
    pub fn entry_clues(&self, features: &Features, past: Option<(&LastAnswer, f32)>) -> EntryClues {
        let place = |last: &LastAnswer| {
            let place = self.place_of(last.engine).unwrap_or(0) as f32;
            place / (self.members.len().max(2) - 1) as f32
        };
        entry_clues(
            &self.scales,
            features,
            past.map(|(last, change)| (last.top.probability, place(last), change)),
        )
    }

    /// The engine to enter with, of those that may be asked; `None` if there is none.
    pub fn entry(&self, situation: &Situation, allowance: &Allowance) -> Option<Promise> {
        let last = situation.past.last.as_ref();
        let clues = self.entry_clues(
            situation.features,
            last.map(|last| (last, last.change(situation.glimpse))),
        );
        let promises = self.members.iter().map(|member| Promise {
            engine: member.engine,
            gain: chance(&member.right, &clues),
            cost: self.price * dot(&member.time_ms, &clues).max(member.ms),
        });
        best(promises.filter(|promise| allowance.terms(promise.engine).is_some()))
    }

    /// The look that promises most beyond its cost, of the engines not asked yet that `open` lets
    /// through, and what is known of the answer as it stands. `None` if nothing was learned for who
    /// has answered so far.
    pub fn next(
        &self,
        attempts: &Attempts,
        open: impl Fn(EngineIdx) -> bool,
    ) -> Option<(f32, Option<Promise>)> {
        let answered = attempts.steps.iter().filter(|step| step.answered);
        let asked = answered
            .filter_map(|step| self.place_of(step.engine))
            .fold(0u8, |set, place| set | 1 << place);
        let state = self.states.iter().find(|state| state.asked == asked)?;
        let clues = Clues::so_far(attempts);
        let right = state.right.chance(&clues);
        let promises = self.members.iter().zip(&state.then).filter_map(|(member, then)| {
            let gain = then.as_ref()?.chance(&clues) - right;
            Some(Promise { engine: member.engine, gain, cost: self.price * member.ms })
        });
        Some((
            right,
            best(
                promises.filter(|promise| !attempts.asked(promise.engine) && open(promise.engine)),
            ),
        ))
    }
}

/// The one with the most left of its gain; of equals the first.
fn best(promises: impl Iterator<Item = Promise>) -> Option<Promise> {
    promises.reduce(|held, next| if next.net() > held.net() { next } else { held })
}

fn dot(weights: &[f32], values: &[f32]) -> f32 {
    let sum: f32 = weights.iter().zip(values).map(|(weight, value)| weight * value).sum();
    if sum.is_finite() { sum } else { f32::MAX }
}

/// 1, the features scaled as in training, and of the past (score and place of the last answer
/// 0..=1, change of the glimpse since then 0..=1): stillness, stillness times score, stillness
/// times place. Without a past these are 0.
pub fn entry_clues(
    scales: &[Scale],
    features: &Features,
    past: Option<(f32, f32, f32)>,
) -> EntryClues {
    let mut clues = EntryClues::new();
    clues.push(1.0);
    for scale in scales.iter().take(crate::features::COUNT) {
        clues.push(scale.apply(features.values.get(scale.feature).copied().unwrap_or(0.0)).0);
    }
    let (score, place, change) = past.unwrap_or((0.0, 0.0, 1.0));
    let still = (1.0 - change / ANOTHER_SCENE).clamp(0.0, 1.0);
    let sound = |value: f32| if value.is_finite() { value.clamp(0.0, 1.0) } else { 0.0 };
    clues.extend([still, still * sound(score), still * sound(place)]);
    clues
}

/// Values that a first decision with so many features looks at.
pub const fn entry_width(features: usize) -> usize {
    1 + features + PAST_CLUES
}
