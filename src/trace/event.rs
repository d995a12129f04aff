//! The lines of a trace. Pure data; [`convert`] turns the scheduler's values into lines and back.
//!
//! Lines of frames have a fixed size and are made without allocating. Times are whole nanoseconds;
//! numbers are written in the shortest form that reads back to the same bits. Words in the file
//! that differ from those of the code (`crew`, `shift`, `papers`, `kept`, `standing`, `tally`) are
//! those of the first version.

mod convert;

use std::time::Duration;

use arrayvec::ArrayVec;
use serde::{Deserialize, Serialize};

use super::form;
use crate::budget::{Because, CPU, ChosenBy, Grant, Grants, Look, Mode, Usage};
use crate::engine::{Answer, EngineIdx, KEPT, LookTimes, MAX_ENGINES, Top};
use crate::features::{COUNT, Features, Glimpse};
use crate::policy::{
    Allowance, Attempts, Bound, Choice, Code, LastAnswer, MAX_STEPS, Past, Reason, Reuse,
    Step as Look1, Terms, Verdict,
};
use crate::report::{DropReason, Outcome};
use crate::telemetry::{Inventory, Sample};

/// The first line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// [`super::VERSION`].
    pub v: u32,
    /// Version of the Squint that wrote it.
    pub squint: String,
    /// Schema of the features.
    pub schema: String,
    /// What the board has.
    pub inventory: Inventory,
    /// Names of the cameras, in the order of their numbers.
    pub cameras: Vec<String>,
}

/// An engine, as an engine set has it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TraceEngine {
    /// Its id.
    pub id: String,
    /// Of its model, hex.
    pub sha256: String,
    /// Of its labels, hex.
    pub labels_sha256: String,
    /// Share of right answers, 0..=1, as far as it is known.
    pub accuracy: Option<f32>,
    /// Who runs it; not written for [`CPU`].
    #[serde(default = "cpu", skip_serializing_if = "is_cpu")]
    pub runtime: String,
}

fn cpu() -> String {
    CPU.to_owned()
}

fn is_cpu(runtime: &String) -> bool {
    runtime == CPU
}

/// What an engine set works by, as read from files.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Session {
    /// The policy file.
    pub policy: String,
    /// The engines, in the order of their numbers.
    pub engines: Vec<TraceEngine>,
    /// The section `[budget]` of the configuration, TOML.
    pub budget: String,
    /// What was learned before, as the state file has it; absent if nothing was.
    #[serde(rename = "kept")]
    pub learned: Option<String>,
}

/// A line after the first. Of a fixed size, up to three kilobytes, so that it stands in a slot that
/// was made before.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Event {
    /// An engine set is in force from now on.
    #[serde(rename = "crew")]
    Generation(Box<GenerationStart>),
    /// The budget took a step.
    Step(Step),
    /// The first decision about a frame.
    First(First),
    /// The decision after a look.
    After(After),
    /// An engine is through with a look: what the budget learns from.
    Look(Looked),
    /// A frame is settled.
    Done(Done),
    /// A frame was given up.
    Lost(Lost),
    /// Events are missing here: the disk was too slow.
    Gap(Gap),
    /// The last line.
    End(End),
}

/// See [`Event::Generation`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GenerationStart {
    /// Its number.
    #[serde(rename = "shift")]
    pub generation: u32,
    /// By engine: median and 95th percentile of a look when it came, ns; `null` for one that could
    /// not be loaded.
    pub priors: Vec<Option<[u64; 2]>>,
    /// What it works by.
    #[serde(rename = "papers")]
    pub session: Session,
}

/// See [`Event::Step`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Time since start, ns.
    pub at: u64,
    /// The mode that somebody ordered.
    pub command: Option<Mode>,
    /// The local minute of the day.
    pub minute: Option<u16>,
    /// The readings.
    pub sample: Sample,
    /// What was done since the step before.
    #[serde(rename = "tally")]
    pub usage: Usage,
    /// What is allowed from now on.
    #[serde(rename = "standing")]
    pub grants: Grants,
    /// The mode that holds, and who chose it.
    pub mode: Option<(Mode, ChosenBy)>,
}

/// See [`Event::First`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct First {
    /// The engine set.
    #[serde(rename = "shift")]
    pub generation: u32,
    /// The frame.
    pub frame: FrameNumber,
    /// When it was captured, ns since start.
    pub captured: u64,
    /// True for a camera that must not lose frames.
    pub lossless: bool,
    /// Measured on it.
    pub features: ArrayVec<f32, COUNT>,
    /// Measured on it.
    #[serde(with = "form::glimpse")]
    pub glimpse: Glimpse,
    /// What the camera remembers.
    pub past: Option<Remembered>,
    /// What the moment allowed.
    pub allowance: Allowed,
    /// What was decided.
    pub decision: Decision,
}

/// See [`Event::After`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct After {
    /// The engine set.
    #[serde(rename = "shift")]
    pub generation: u32,
    /// The frame.
    pub frame: FrameNumber,
    /// Who was asked, in order, and what each answered.
    pub steps: ArrayVec<Asked, MAX_STEPS>,
    /// The answer so far.
    pub answer: Told,
    /// What the moment allowed.
    pub allowance: Allowed,
    /// What was decided.
    pub decision: Decision,
}

/// See [`Event::Look`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Looked {
    /// The engine set.
    #[serde(rename = "shift")]
    pub generation: u32,
    /// Who, for how long.
    pub look: Look,
}

/// See [`Event::Done`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Done {
    /// The frame.
    pub frame: FrameNumber,
    /// How it ended.
    #[serde(with = "form::word")]
    pub outcome: Outcome,
    /// Why.
    #[serde(with = "form::word")]
    pub code: Code,
    /// From capture to the end, ns.
    pub age: u64,
    /// True if that was past the deadline.
    pub late: bool,
}

/// See [`Event::Lost`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lost {
    /// The frame.
    pub frame: FrameNumber,
    /// Why.
    #[serde(with = "form::word")]
    pub why: DropReason,
}

/// See [`Event::Gap`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gap {
    /// How many.
    pub missing: u64,
}

/// See [`Event::End`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct End {
    /// Events missing in all.
    pub missing: u64,
}

/// Which frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FrameNumber(
    /// Number of the camera.
    pub u16,
    /// Number of the frame within it.
    pub u64,
);

/// A [`LastAnswer`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "as in LastAnswer")]
pub struct Remembered {
    pub top: Likely,
    #[serde(with = "form::figure")]
    pub margin: f32,
    #[serde(with = "form::figure")]
    pub entropy: f32,
    pub engine: EngineIdx,
    pub sure: bool,
    #[serde(with = "form::glimpse")]
    pub glimpse: Glimpse,
    pub sequence: u64,
    pub captured: u64,
}

/// A [`Top`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Likely(
    /// Class.
    pub u32,
    /// Probability.
    #[serde(with = "form::figure")]
    pub f32,
);

/// One engine that was asked.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(
    missing_docs,
    reason = "as in policy::Step; `took` is the time of the look without waiting, ns"
)]
pub struct Asked {
    pub engine: EngineIdx,
    pub answered: bool,
    pub took: u64,
    pub top: Likely,
    #[serde(with = "form::figure")]
    pub margin: f32,
    #[serde(with = "form::figure")]
    pub entropy: f32,
}

/// An [`Answer`], without the probabilities that no decision looks at.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "as in Answer")]
pub struct Told {
    pub top: ArrayVec<Likely, KEPT>,
    #[serde(with = "form::figure")]
    pub margin: f32,
    #[serde(with = "form::figure")]
    pub entropy: f32,
}

/// An [`Allowance`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Allowed {
    /// Time left, ns.
    pub left: Option<u64>,
    /// By engine: wait, median, 95th percentile, ns; `null` for one that must not be asked. Further
    /// ones must not either.
    pub engines: ArrayVec<Option<[u64; 3]>, MAX_ENGINES>,
    /// Largest change, and longest age in ns.
    pub reuse: Option<(f32, u64)>,
    /// Engines that the budget grants, a bit each.
    pub grant: u32,
    /// False if no second engine may look.
    pub escalation: bool,
    /// True if it is not the camera's turn.
    pub rests: bool,
    /// What holds the budget down.
    pub because: Because,
}

/// What a decision comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Act {
    /// Show the frame to an engine, first or further.
    Ask,
    /// Give the last answer again.
    Reuse,
    /// The answer stands.
    Accept,
    /// No answer.
    Abstain,
}

/// A [`Bound`] decision.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decision {
    /// What is done.
    pub act: Act,
    /// Whom to ask.
    pub engine: Option<EngineIdx>,
    /// Why.
    #[serde(with = "form::word")]
    pub code: Code,
    /// The figure that decided.
    pub value: Option<f32>,
    /// What it was held against.
    pub limit: Option<f32>,
    /// Who would have looked had the budget granted everything.
    pub withheld: Option<EngineIdx>,
}

impl PartialEq for Decision {
    /// To the last bit.
    fn eq(&self, other: &Self) -> bool {
        let bits = |it: &Self| (it.value.map(f32::to_bits), it.limit.map(f32::to_bits));
        (self.act, self.engine, self.code, self.withheld)
            == (other.act, other.engine, other.code, other.withheld)
            && bits(self) == bits(other)
    }
}

/// Nanoseconds; what is longer than 584 years is that long.
pub(crate) fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
