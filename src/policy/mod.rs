//! The two decisions: whom to ask first, and, once an answer is there, accept it, ask a stronger
//! engine, or give up.
//!
//! Pure and total: always an outcome, always a [`Reason`]; never an engine outside the
//! [`Allowance`], never an engine twice for one frame. Clocks, queues and files are elsewhere;
//! [`file`] parses policy files that others have read. This file holds the words of the decisions,
//! [`decide`] makes them, and each kind of policy has a file of its own.

mod bound;
pub mod chain;
pub mod clues;
pub mod confidence;
pub mod decide;
pub mod file;
pub mod hybrid;
pub mod random;

pub use bound::{Bound, after_within, first_within};
pub use decide::{Plan, Policy, after, first};

mod code;

use std::time::Duration;

use crate::budget::Grant;
use crate::engine::{Answer, EngineIdx, LookTimes, MAX_ENGINES, Top};
use crate::features::{Features, Glimpse};
use arrayvec::ArrayVec;

/// Most engines that one frame may be shown to.
pub const MAX_STEPS: usize = 8;

/// What an engine is expected to cost right now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Expected time until it is free.
    pub wait: Duration,
    /// Median time of a look, preprocessing included.
    pub p50: Duration,
    /// 95th percentile of a look, preprocessing included.
    pub p95: Duration,
}

/// What the moment allows: time left, which engines may be asked and what they cost, and what the
/// budget grants. Filled by the dispatcher.
#[derive(Clone, Debug, Default)]
pub struct Allowance {
    /// Time left before the frame's deadline; `None` without a deadline.
    pub remaining: Option<Duration>,
    /// By [`EngineIdx`]; `None` is an engine that must not be asked now.
    pub engines: [Option<Terms>; MAX_ENGINES],
    /// Whether and when the last answer may be given again.
    pub reuse: Option<Reuse>,
    /// What the power and thermal budget grants this frame.
    pub grant: Grant,
}

impl Allowance {
    /// What `engine` costs; `None` if it must not be asked now.
    pub fn terms(&self, engine: EngineIdx) -> Option<Terms> {
        let granted =
            self.grant.engines.checked_shr(u32::from(engine.0)).is_some_and(|bits| bits & 1 == 1);
        self.engines.get(usize::from(engine.0)).copied().flatten().filter(|_| granted)
    }

    /// True if `engine` may be asked and the time left covers its wait and its 95th percentile.
    pub fn covers(&self, engine: EngineIdx) -> bool {
        match (self.terms(engine), self.remaining) {
            (Some(_), None) => true,
            (Some(terms), Some(left)) => terms.wait.saturating_add(terms.p95) <= left,
            (None, _) => false,
        }
    }
}

/// When the last answer may be given again without looking.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reuse {
    /// Largest change of any block of the [`Glimpse`] against the last frame that was looked at,
    /// share of full scale, 0..=1.
    pub max_change: f32,
    /// Longest time since that frame was captured.
    pub max_age: Duration,
}

/// The last frame of a camera that an engine looked at.
#[derive(Clone, Copy, Debug)]
pub struct LastAnswer {
    /// Its best class.
    pub top: Top,
    /// Margin of the answer, 0..=1.
    pub margin: f32,
    /// Normalised entropy of the answer, 0..=1.
    pub entropy: f32,
    /// The engine that was asked last for it.
    pub engine: EngineIdx,
    /// True if the policy accepted the answer as sure.
    pub sure: bool,
    /// Its glimpse.
    pub glimpse: Glimpse,
    /// Its number.
    pub sequence: u64,
    /// When it was captured, time since start.
    pub captured: Duration,
}

impl LastAnswer {
    /// Largest change of any block between its glimpse and `glimpse`, share of full scale, 0..=1.
    pub fn change(&self, glimpse: &Glimpse) -> f32 {
        let change =
            self.glimpse.iter().zip(glimpse).map(|(was, is)| was.abs_diff(*is)).max().unwrap_or(0);
        f32::from(change) / 255.0
    }
}

/// What a camera remembers. One per camera, kept by the dispatcher.
#[derive(Clone, Debug, Default)]
pub struct Past {
    /// The newest frame that was looked at.
    pub last: Option<LastAnswer>,
}

/// All that the first decision may know.
#[derive(Clone, Copy, Debug)]
pub struct Situation<'a> {
    /// Number of the frame within its camera.
    pub sequence: u64,
    /// Index of the camera.
    pub camera: u16,
    /// When the frame was captured, time since start.
    pub captured: Duration,
    /// Measured on this frame.
    pub features: &'a Features,
    /// Measured on this frame.
    pub glimpse: &'a Glimpse,
    /// What was answered before.
    pub past: &'a Past,
}

/// Why a decision fell as it did. The closed set of codes is the vocabulary of records, metrics and
/// docs/reference/records.md.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Code {
    /// `fixed`: the policy names this engine.
    Fixed,
    /// `entry`: the chain's first stage; of a hybrid policy the engine that promises most (value:
    /// chance of a right answer, limit: what its time costs, in the same measure).
    Entry,
    /// `premodel`: the premodel chose this engine (value: share of yes votes, limit: votes needed).
    Premodel,
    /// `fallback`: no level of the premodel said yes; the engine named for that case (value:
    /// largest share of yes votes, limit: votes needed).
    Fallback,
    /// `unfamiliar`: the frame is unlike any the premodel was trained on; the safe engine (value:
    /// distance, limit: allowed distance).
    Unfamiliar,
    /// `drawn`: the random mix drew this engine (value: the draw, limit: its upper bound).
    Drawn,
    /// `cheaper`: the engine wanted was not allowed or not fast enough; the next one that is
    /// (value: ms left, limit: ms that the one wanted would have needed).
    Cheaper,
    /// `unchanged`: the scene has not changed, the last answer holds (value: change, limit: allowed
    /// change).
    Unchanged,
    /// `sure`: the answer is sure enough (value: score, limit: threshold).
    Sure,
    /// `worthwhile`: another look is worth its time (value: chance of a right answer that it adds,
    /// limit: what its time costs).
    Worthwhile,
    /// `not-worthwhile`: no further look is worth its time; the answer stands (value: chance of a
    /// right answer that the best one would add, limit: what its time costs).
    NotWorthwhile,
    /// `unsure`: the score is below the threshold (value: score, limit: threshold).
    Unsure,
    /// `last`: there is no further stage; the answer stands (value: score).
    Last,
    /// `out-of-time`: a stronger engine would not finish before the deadline (value: ms left,
    /// limit: ms needed).
    OutOfTime,
    /// `not-allowed`: every engine wanted is outside the allowance (value: score, if there is an
    /// answer).
    NotAllowed,
    /// `abstained`: the policy prefers no answer here (value: largest share of yes votes, limit:
    /// votes needed).
    Abstained,
    /// `engine-failed`: the engine asked before failed; the next one, or, without a next one, what
    /// was answered before (value: score).
    EngineFailed,
    /// `paused`: the engines rest because somebody said so; no answer.
    Paused,
    /// `budget`: power, heat or another limit of the budget let it be otherwise than it would have
    /// been (value and limit: those of the limit that holds the budget down, in its unit).
    Budget,
}

/// A code with the figures behind it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reason {
    /// What kind of reason.
    pub code: Code,
    /// The figure that decided, if there is one.
    pub value: Option<f32>,
    /// What it was held against.
    pub limit: Option<f32>,
}

impl Reason {
    /// A code without figures.
    pub fn bare(code: Code) -> Self {
        Self { code, value: None, limit: None }
    }

    /// A code with its figures; one that is not finite is left out.
    pub fn with(code: Code, value: f32, limit: f32) -> Self {
        let finite = |figure: f32| Some(figure).filter(|figure| figure.is_finite());
        Self { code, value: finite(value), limit: finite(limit) }
    }
}

/// The first decision.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Choice {
    /// Show the frame to this engine.
    Ask(EngineIdx, Reason),
    /// Give the last answer again.
    Reuse(Reason),
    /// Give no answer.
    Abstain(Reason),
}

/// The decision after an answer (or a failure).
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Verdict {
    /// The combined answer stands.
    Accept(Reason),
    /// Show the frame to this engine too.
    Escalate(EngineIdx, Reason),
    /// Give no answer.
    Abstain(Reason),
}

impl Verdict {
    /// True if looking again at the same scene would not be worth it: the answer was sure, or the
    /// policy's last word. False for answers accepted for want of time, allowance or a working
    /// engine. For [`LastAnswer::sure`].
    pub fn is_sure(&self) -> bool {
        matches!(
            self,
            Self::Accept(Reason { code: Code::Sure | Code::NotWorthwhile | Code::Last, .. })
        )
    }
}

/// One engine that was asked, and what came of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// Who was asked.
    pub engine: EngineIdx,
    /// Why.
    pub why: Reason,
    /// False if the engine failed; then the figures below are zero.
    pub answered: bool,
    /// Time between the decision and the start of the look.
    pub queued: Duration,
    /// Where the look's time went.
    pub times: LookTimes,
    /// The engine's own best class (not the average's).
    pub top: Top,
    /// The engine's own margin, 0..=1.
    pub margin: f32,
    /// The engine's own normalised entropy, 0..=1.
    pub entropy: f32,
}

/// Whom a frame has been shown to and what is known now.
#[derive(Clone, Debug, Default)]
pub struct Attempts {
    /// In order.
    pub steps: ArrayVec<Step, MAX_STEPS>,
    /// The answer so far: the last one, or the average of all, as the policy wants.
    pub answer: Answer,
}

impl Attempts {
    /// True if `engine` has been asked.
    pub fn asked(&self, engine: EngineIdx) -> bool {
        self.steps.iter().any(|step| step.engine == engine)
    }

    /// Number of engines that answered.
    pub fn answers(&self) -> usize {
        self.steps.iter().filter(|step| step.answered).count()
    }
}
