//! Networks that look at frames: what is installed ([`catalog`]), how a frame becomes a tensor
//! ([`preprocess`]), who computes, and whether the answers are those that they should be
//! ([`selftest`]).
//!
//! Two seams. [`Backend`] and [`Engine`] turn a tensor into class scores and are what a new runtime
//! implements. [`Looker`] is what the pipeline owns: one engine of the catalogue, single network or
//! ensemble, from [`Frame`] to [`Answer`].

pub mod catalog;
mod fields;
mod fit;
pub(crate) mod hash;
mod labels;
pub mod looker;
pub mod manifest;
pub mod onnx;
mod places;
pub mod preprocess;
mod proof;
pub mod score;
pub mod selftest;
pub mod tensorrt;

use std::time::Duration;

use crate::frame::{Frame, Framing};
use manifest::Manifest;

/// Most engines in use at once: in a policy, a profile, a trace. A catalogue may hold more
/// ([`catalog::MAX_INSTALLED`]).
pub const MAX_ENGINES: usize = 32;
/// Most classes of one engine.
pub const MAX_CLASSES: usize = 100_000;
/// How many classes a report names, and how deep top-5 accuracy looks.
pub const TOP: usize = 5;
/// How many of its most likely classes an answer keeps: what averages are made of and what a
/// profile stores, so that the lab can average exactly as the daemon does.
pub const KEPT: usize = 16;

/// Index of an engine among those in use, 0-based, below [`MAX_ENGINES`].
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(transparent)]
pub struct EngineIdx(pub u8);

/// One class and how likely the engine finds it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Top {
    /// Class index, line number in the labels file, 0-based.
    pub class: u32,
    /// Probability, 0..=1.
    pub probability: f32,
}

/// What an engine (or several, averaged) thinks of a frame. Buffers are kept and filled again.
#[derive(Debug, Default, PartialEq)]
pub struct Answer {
    /// Probability of each class, `[classes]`, each 0..=1, sum 1 within rounding. Empty in an
    /// average of several answers.
    pub probabilities: Vec<f32>,
    /// The most likely classes, most likely first; only the first `ranked` count.
    pub top: [Top; KEPT],
    /// How many of `top` are filled: min([`KEPT`], classes).
    pub ranked: usize,
    /// Difference of the two highest probabilities, 0..=1; with a single class its probability.
    pub margin: f32,
    /// Entropy of the probabilities divided by ln(classes), 0..=1; of an average, the mean of the
    /// answers' entropies.
    pub entropy: f32,
}

impl Clone for Answer {
    fn clone(&self) -> Self {
        let mut copy = Self::with_classes(self.probabilities.len());
        copy.clone_from(self);
        copy
    }

    /// Keeps the buffer, which the derived one would not.
    fn clone_from(&mut self, other: &Self) {
        let Self { probabilities, top, ranked, margin, entropy } = other;
        self.probabilities.clone_from(probabilities);
        (self.top, self.ranked, self.margin, self.entropy) = (*top, *ranked, *margin, *entropy);
    }
}

impl Answer {
    /// Room for `classes` probabilities; nothing allocates later.
    pub fn with_classes(classes: usize) -> Self {
        Self { probabilities: Vec::with_capacity(classes), ..Self::default() }
    }

    /// Empties it, keeping the buffers.
    pub fn clear(&mut self) {
        self.probabilities.clear();
        (self.ranked, self.margin, self.entropy) = (0, 0.0, 0.0);
    }
}

/// Where the time of one look went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LookTimes {
    /// Crop, resize, normalise; summed over the members of an ensemble.
    pub preprocess: Duration,
    /// The network; summed over the members of an ensemble.
    pub run: Duration,
    /// Softmax, ranking, averaging.
    pub rank: Duration,
    /// Of `run`, what devices with a clock of their own say they took, copies included; `None`
    /// without such a device.
    pub device: Option<Duration>,
}

/// The classes an engine tells apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labels {
    /// By class index.
    pub classes: Vec<Label>,
    /// sha256 of the file, hex; engines with the same labels can be averaged.
    pub sha256: String,
}

/// One class.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Label {
    /// WordNet id or another key; empty if the file has none.
    pub key: String,
    /// What a person calls it.
    pub name: String,
}

/// A way to run networks.
pub trait Backend: Send + Sync {
    /// `onnxruntime`, `tensorrt`.
    fn name(&self) -> &'static str;
    /// Cheap and harmless: says which version is there, or why it cannot be used.
    fn probe(&self) -> Result<String, EngineError>;
    /// Slow: reads the model, checks it against the manifest, warms up. Never substitutes another
    /// backend.
    fn load(&self, manifest: &Manifest) -> Result<Box<dyn Engine>, EngineError>;
}

/// One loaded network. Used by one thread at a time, not always the same.
pub trait Engine: Send {
    /// The engine's own input memory, to be written to: the tensor as the manifest says (NCHW or
    /// NHWC float32, one picture). A run leaves it as it is.
    fn input(&mut self) -> &mut [f32];
    /// Runs on what stands in [`Engine::input`]; `output`: raw scores, one a class. Returns how
    /// long the device took, by its own clock, if it has one. Errors with [`EngineError::Shape`] on
    /// another length and [`EngineError::NotFinite`] on NaN or infinite scores; after an error the
    /// engine can be run again. No allocation of Squint's own once warm.
    fn run(&mut self, output: &mut [f32]) -> Result<Option<Duration>, EngineError>;
}

/// One engine of the catalogue as the pipeline uses it: preprocessing, network(s), softmax,
/// ranking.
pub trait Look: Send {
    /// Looks at what `framing` leaves of `frame` and fills `answer`. Errors leave the looker
    /// usable.
    fn look(
        &mut self,
        frame: &Frame,
        framing: &Framing,
        answer: &mut Answer,
    ) -> Result<LookTimes, EngineError>;
}

/// Why an engine cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The runtime library is not there or does not load.
    #[error("engine `{id}` needs {library}: {reason}; `squint doctor` lists what is installed")]
    RuntimeMissing {
        /// Engine id, or `*` while probing.
        id: String,
        /// Library.
        library: &'static str,
        /// What the loader said.
        reason: String,
    },
    /// The model cannot be loaded.
    #[error("engine `{id}`: {path}: {reason}")]
    Model {
        /// Engine id.
        id: String,
        /// The file.
        path: String,
        /// Why.
        reason: String,
    },
    /// Tensor lengths do not fit.
    #[error("engine `{id}` takes {want} values and was handed {got}")]
    Shape {
        /// Engine id.
        id: String,
        /// Values expected.
        want: usize,
        /// Values handed over.
        got: usize,
    },
    /// The network answered NaN or infinity.
    #[error("engine `{id}` answered with a score that is not finite (class {class})")]
    NotFinite {
        /// Engine id.
        id: String,
        /// The first such class.
        class: usize,
    },
    /// It did not come back in time.
    #[error("engine `{id}` has not come back within {} ms (`engines.deadline-ms`)", waited.as_millis())]
    Stuck {
        /// Engine id.
        id: String,
        /// How long it was waited for.
        waited: Duration,
    },
    /// The runtime failed while running.
    #[error("engine `{id}` failed: {reason}")]
    Run {
        /// Engine id.
        id: String,
        /// What the runtime said.
        reason: String,
    },
}

impl EngineError {
    /// The engine that it is about; for an ensemble the member. `*` while a runtime is probed.
    pub fn id(&self) -> &str {
        match self {
            Self::RuntimeMissing { id, .. }
            | Self::Model { id, .. }
            | Self::Shape { id, .. }
            | Self::NotFinite { id, .. }
            | Self::Stuck { id, .. }
            | Self::Run { id, .. } => id,
        }
    }
}
