//! The kind `confidence`: ask, look at how sure the answer is, stop or ask the next one. Pure.

use arrayvec::ArrayVec;

use super::clues::{Clues, Logistic};
use super::{Attempts, MAX_STEPS};
use crate::engine::{Answer, EngineIdx};

/// How sure an answer is, as one number 0..=1. Closed: a name in policy files stands for one
/// formula for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Score {
    /// The highest probability.
    MaxSoftmax,
    /// The highest less the second highest probability.
    Margin,
    /// The chance of being right that a stage's [`Logistic`] reads from the answer's [`Clues`].
    Learned,
}

impl Score {
    /// All scores.
    pub const ALL: [Self; 3] = [Self::MaxSoftmax, Self::Margin, Self::Learned];

    /// The word used in policy files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::MaxSoftmax => "max-softmax",
            Self::Margin => "margin",
            Self::Learned => "learned",
        }
    }

    /// The score of `answer`, 0..=1; an answer that names no class, or is not a number, is not sure
    /// at all. `Learned` needs the weights of a stage ([`Confidence::score_of`]); without them it
    /// is the highest probability.
    pub fn of(self, answer: &Answer) -> f32 {
        let score = match self {
            Self::MaxSoftmax | Self::Learned if answer.ranked > 0 => answer.top[0].probability,
            Self::Margin if answer.ranked > 0 => answer.margin,
            _ => 0.0,
        };
        if score.is_finite() { score.clamp(0.0, 1.0) } else { 0.0 }
    }
}

/// One stage of the chain.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stage {
    /// Whom to ask.
    pub engine: EngineIdx,
    /// From this score on the answer stands, 0..=1. The last stage has none: its answer always
    /// stands.
    pub accept_above: Option<f32>,
    /// For the score `learned`: the chance that the answer is right.
    pub chance: Option<Logistic>,
}

/// Engines in the order in which they are asked, until the answer is sure.
#[derive(Clone, Debug, PartialEq)]
pub struct Confidence {
    /// No engine twice.
    pub stages: ArrayVec<Stage, MAX_STEPS>,
    /// True if the answers so far are averaged, false if the last one counts.
    pub average: bool,
    /// What is held against `accept_above`.
    pub score: Score,
}

impl Confidence {
    /// The stage of `engine`.
    pub fn stage_of(&self, engine: EngineIdx) -> Option<usize> {
        self.stages.iter().position(|stage| stage.engine == engine)
    }

    /// What the attempts's answer is held against once `stage` has answered, 0..=1.
    pub fn score_of(&self, stage: usize, attempts: &Attempts) -> f32 {
        let chance = self
            .stages
            .get(stage)
            .and_then(|stage| stage.chance)
            .filter(|_| self.score == Score::Learned);
        chance.map_or_else(
            || self.score.of(&attempts.answer),
            |chance| chance.chance(&Clues::so_far(attempts)),
        )
    }

    /// The engines after `stage`, in order.
    pub fn after(&self, stage: usize) -> impl Iterator<Item = EngineIdx> + '_ {
        self.stages.iter().skip(stage + 1).map(|stage| stage.engine)
    }
}
