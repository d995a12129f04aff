//! The actions that the scheduler asks for, and its news of engines.

use std::sync::Arc;
use std::time::Duration;

use crate::engine::{EngineError, EngineIdx};
use crate::pipeline::job::{Job, Task};
use crate::report::DropReason;
use crate::units::Millijoules;
use crate::vocabulary::EngineHealth;

use super::GenerationId;

/// What the scheduler asks the outside to do. Nothing here may block.
pub(crate) trait Actions {
    /// Let the engine of `task` look, which is free. The frame is `job`'s, which stays here.
    fn ask(&mut self, task: Task, job: &Job);
    /// The report is complete.
    fn publish(&mut self, job: Box<Job>);
    /// The frame is given up before any report.
    fn give_up(&mut self, job: Box<Job>, why: DropReason);
    /// An engine has news that people should hear of.
    fn tell(&mut self, engine: EngineIdx, id: &str, news: EngineNews<'_>);
    /// No frame is left with this generation's engines, and none will come.
    fn drop_generation(&mut self, generation: GenerationId);
}

/// What becomes of an engine.
pub(crate) enum EngineNews<'a> {
    /// It failed and is set aside for `pause`; `failures` in a row, 1 or more.
    Failed { error: &'a EngineError, failures: u32, pause: Duration },
    /// It has not come back in time; its frame goes elsewhere.
    Stuck { error: &'a EngineError },
    /// It has come back after all, and is set aside for `pause`.
    Returned { away: Duration, pause: Duration },
    /// It answered again after `failures` in a row.
    Recovered { failures: u32 },
}

/// An engine of the policy in force, as it is now.
#[derive(Clone, Debug, PartialEq)]
pub struct EngineState {
    /// Id.
    pub id: Arc<str>,
    /// How fit it is.
    pub health: EngineHealth,
    /// For how long; an engine whose pause is over counts as ready, but from when it was set aside
    /// until it answers.
    pub since: Duration,
    /// Failures in a row.
    pub failures: u32,
    /// What a look costs now: median, 95th percentile, and energy beyond idle where it is known;
    /// `None` if it could not be loaded.
    pub cost: Option<(Duration, Duration, Option<Millijoules>)>,
}
