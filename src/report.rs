//! The outcome of one frame: collected on its way, counted, printed and stored as one type.
//!
//! Pure data. [`crate::sink`] renders it, [`crate::observe`] counts it. Reports are recycled, so
//! that a frame allocates nothing.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::budget::Grant;
use crate::engine::{EngineIdx, Labels};
use crate::features::Features;
use crate::policy::{Attempts, Reason};

/// Version of the record schema, see docs/reference/records.md.
pub const RECORD_VERSION: u32 = 1;

/// How a frame ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Outcome {
    /// An engine's answer, accepted.
    Answered,
    /// The last answer given again.
    Reused,
    /// No answer, by decision.
    Abstained,
    /// Every engine asked failed.
    Failed,
}

impl Outcome {
    /// All outcomes.
    pub const ALL: [Self; 4] = [Self::Answered, Self::Reused, Self::Abstained, Self::Failed];

    /// The word used in records, summaries and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Reused => "reused",
            Self::Abstained => "abstained",
            Self::Failed => "failed",
        }
    }
}

/// Why a frame was given up before a report could be made of it. A frame is answered, reused,
/// abstained, failed, or dropped for one of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DropReason {
    /// A newer frame came before the feature thread took it.
    Superseded,
    /// Too old on arrival.
    Stale,
    /// Every allowed engine stayed occupied until a newer frame of the camera came.
    Busy,
    /// The deadline passed before any answer was there.
    Late,
    /// The report was made but the sinks could not keep up.
    SinkFull,
    /// It is no frame: a broken picture, an unusable layout, or a picture that the camera did not
    /// send, as data it needs were lost.
    Unreadable,
    /// Squint was told to stop while the frame was on its way.
    Stopped,
}

impl DropReason {
    /// All reasons, in the order of [`Drops`].
    pub const ALL: [Self; 7] = [
        Self::Superseded,
        Self::Stale,
        Self::Busy,
        Self::Late,
        Self::SinkFull,
        Self::Unreadable,
        Self::Stopped,
    ];

    /// The word used in records, summaries and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Superseded => "superseded",
            Self::Stale => "stale",
            Self::Busy => "busy",
            Self::Late => "late",
            Self::SinkFull => "sink-full",
            Self::Unreadable => "unreadable",
            Self::Stopped => "stopped",
        }
    }
}

/// Dropped frames by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drops(pub [u64; DropReason::ALL.len()]);

impl Drops {
    /// Adds `count` frames.
    pub fn add(&mut self, why: DropReason, count: u64) {
        self.0[why as usize] += count;
    }

    /// Frames dropped for `why`.
    pub fn get(&self, why: DropReason) -> u64 {
        self.0[why as usize]
    }

    /// All dropped frames.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }
}

impl Drops {
    /// What has come since `before`.
    pub fn since(&self, before: &Self) -> Self {
        Self(std::array::from_fn(|index| self.0[index].saturating_sub(before.0[index])))
    }
}

/// Stage times of one frame. Their sum and the steps' own times make up `age`, but for the
/// hand-over between threads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// From capture until the feature thread took the frame.
    pub wait: Duration,
    /// Feature extraction.
    pub features: Duration,
    /// From the end of the features until the first decision was acted on.
    pub dispatch: Duration,
    /// From capture until the outcome was settled.
    pub age: Duration,
    /// What Squint adds: from the frame's arrival until the outcome, less `features` and the steps'
    /// preprocessing and network time.
    pub overhead: Duration,
}

/// What became of one frame.
#[derive(Clone, Debug)]
pub struct Report {
    /// Name of the camera.
    pub camera: Arc<str>,
    /// Index of the camera.
    pub camera_index: u16,
    /// The source, without secrets.
    pub source: Arc<str>,
    /// File name, for image sources.
    pub file: Option<Arc<str>>,
    /// Number of the frame within its camera.
    pub sequence: u64,
    /// When it was captured.
    pub captured_at: SystemTime,
    /// What was measured on it.
    pub features: Features,
    /// Whom it was shown to; its `answer` is the final one.
    pub attempts: Attempts,
    /// How it ended.
    pub outcome: Outcome,
    /// Why it ended so.
    pub verdict: Reason,
    /// What the budget granted the frame at the last decision.
    pub grant: Grant,
    /// The engine that would have looked, had the budget not withheld it; the last one if there
    /// were several.
    pub withheld: Option<EngineIdx>,
    /// Names of the classes.
    pub labels: Arc<Labels>,
    /// Ids of the engines, by index.
    pub engines: Arc<[Arc<str>]>,
    /// Where the time went.
    pub times: Times,
    /// True if the outcome was settled after the frame's deadline.
    pub late: bool,
    /// Frames of this camera dropped since its last record.
    pub drops: Drops,
}
