//! The kind `chain`: the published method. Features, a vote per level, the first yes wins; one
//! engine, one look. Pure.

use arrayvec::ArrayVec;

use super::{Code, Reason};
use crate::engine::{EngineIdx, MAX_ENGINES};
use crate::features::Features;
use crate::premodel::Premodel;

/// The premodel and what follows from its votes.
#[derive(Clone, Debug)]
pub struct Chain {
    /// By level, cheapest first; as many as the premodel has levels, none twice.
    pub engines: ArrayVec<EngineIdx, MAX_ENGINES>,
    /// The votes.
    pub premodel: Premodel,
    /// The engine for frames where no level says yes; `None` gives no answer.
    pub on_none: Option<EngineIdx>,
    /// The engine for frames unlike any in training.
    pub guard: Option<Guard>,
}

/// Keeps the premodel from guessing where it has seen nothing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Guard {
    /// Largest distance to the nearest training frame, in scaled features.
    pub max_distance: f32,
    /// Who looks at frames beyond it.
    pub safe: EngineIdx,
}

impl Chain {
    /// The engine wanted for these features, or why there is none.
    pub fn wanted(&self, features: &Features) -> Result<(EngineIdx, Reason), Reason> {
        let prediction = self.premodel.predict(features);
        if let Some(guard) = self.guard.filter(|guard| prediction.nearest > guard.max_distance) {
            return Ok((
                guard.safe,
                Reason::with(Code::Unfamiliar, prediction.nearest, guard.max_distance),
            ));
        }
        if let Some((level, engine)) =
            prediction.chosen().and_then(|level| Some((level, *self.engines.get(level)?)))
        {
            return Ok((
                engine,
                Reason::with(Code::Premodel, prediction.shares[level], prediction.needed),
            ));
        }
        match self.on_none {
            Some(engine) => {
                Ok((engine, Reason::with(Code::Fallback, prediction.highest(), prediction.needed)))
            }
            None => Err(Reason::with(Code::Abstained, prediction.highest(), prediction.needed)),
        }
    }
}
