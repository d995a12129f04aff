//! The counters as a status and the metrics tell them: counts, shares, rates, quantiles, and times
//! in the fixed buckets of a Prometheus histogram. Pure; made from a [`Reading`].
//!
//! Frames that were dropped are not here: each camera's ledger has them while it runs, see
//! [`super::CameraState`].

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::summary::share;
use super::{Counters, EngineTally, Quantiles, Reading, Stage, Tally};
use crate::report::Outcome;
use crate::stats::Histogram;

/// Upper limits of the buckets of every time, in ascending order; what is longer is in the sum
/// alone.
pub const LIMITS: [Duration; 15] = [
    Duration::from_micros(100),
    Duration::from_micros(250),
    Duration::from_micros(500),
    Duration::from_millis(1),
    Duration::from_micros(2500),
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(25),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_millis(2500),
    Duration::from_secs(5),
];

/// All that was counted since Squint started.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counted {
    /// All cameras together.
    pub all: Count,
    /// Each camera.
    pub cameras: Vec<Count>,
    /// Each engine, all cameras together.
    pub engines: Vec<EngineCount>,
    /// Times by stage, all cameras together; for the metrics.
    #[serde(skip)]
    pub stages: Vec<(&'static str, Buckets)>,
}

/// Frames with an outcome, of one camera or of all.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Count {
    /// The camera; empty for all together.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Answered by an engine.
    pub answered: u64,
    /// Answered with an earlier answer.
    pub reused: u64,
    /// Given no answer, by decision.
    pub abstained: u64,
    /// Given no answer, every engine asked failed.
    pub failed: u64,
    /// Of these four, settled after the deadline.
    pub late: u64,
    /// Shown to a further engine because an answer was unsure.
    pub escalated: u64,
    /// Frames with an outcome a second, over the last ten seconds.
    pub fps_10s: Option<f64>,
    /// The same over the last minute.
    pub fps_60s: Option<f64>,
    /// From capture to outcome, microseconds; missing without frames.
    pub age_us: Option<Quantiles>,
    /// The same in buckets, for the metrics.
    #[serde(skip)]
    pub age: Buckets,
    /// By engine, for the metrics.
    #[serde(skip)]
    pub engines: Vec<Looks>,
}

/// What one engine had to do for one camera. `id` says which.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Looks {
    /// The engine.
    pub id: String,
    /// Frames it was shown.
    pub runs: u64,
    /// Of these, those that failed.
    pub failed: u64,
    /// Of these, those it was shown before any other.
    pub first: u64,
}

/// One engine's work.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct EngineCount {
    /// Which engine.
    pub id: String,
    /// Frames it was shown.
    pub runs: u64,
    /// Of these, those that failed.
    pub failed: u64,
    /// Frames it was shown before any other.
    pub first: u64,
    /// Share of the frames with an outcome that it was shown first, 0..=1.
    pub first_share: Option<f64>,
    /// Its share of all looks of all engines, 0..=1.
    pub run_share: Option<f64>,
    /// Its network's time where it answered, microseconds.
    pub run_us: Option<Quantiles>,
    /// The same in buckets, for the metrics.
    #[serde(skip)]
    pub run: Buckets,
}

/// Times as a Prometheus histogram has them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Buckets {
    /// How many did not exceed each of [`LIMITS`].
    pub at_most: [u64; LIMITS.len()],
    /// How many there are.
    pub count: u64,
    /// Their sum.
    pub sum: Duration,
}

impl Buckets {
    /// As `times` were recorded; the limits hold to 1.6 %, see [`Histogram::at_most`].
    pub fn of(times: &Histogram) -> Self {
        Self { at_most: times.at_most(&LIMITS), count: times.count(), sum: times.sum() }
    }
}

impl Count {
    /// Frames with an outcome.
    pub fn settled(&self) -> u64 {
        self.answered + self.reused + self.abstained + self.failed
    }

    /// Frames with this outcome.
    pub fn of(&self, outcome: Outcome) -> u64 {
        match outcome {
            Outcome::Answered => self.answered,
            Outcome::Reused => self.reused,
            Outcome::Abstained => self.abstained,
            Outcome::Failed => self.failed,
        }
    }

    fn from_tally(name: &str, tally: &Tally, counters: &Counters, fps: [Option<f64>; 2]) -> Self {
        let outcome = |outcome| tally.outcomes[outcome as usize];
        let age = &tally.stages[Stage::Age as usize];
        let looks = |(id, engine): (&Arc<str>, &EngineTally)| {
            let EngineTally { runs, failed, first, .. } = *engine;
            Looks { id: id.to_string(), runs, failed, first }
        };
        Self {
            name: name.to_owned(),
            answered: outcome(Outcome::Answered),
            reused: outcome(Outcome::Reused),
            abstained: outcome(Outcome::Abstained),
            failed: outcome(Outcome::Failed),
            late: tally.late,
            escalated: tally.escalated,
            fps_10s: fps[0],
            fps_60s: fps[1],
            age_us: Quantiles::of(age),
            age: Buckets::of(age),
            engines: counters.engines.iter().zip(&tally.engines).map(looks).collect(),
        }
    }
}

impl Reading {
    /// The counts, shares and quantiles of this reading.
    pub fn counted(&self) -> Counted {
        let counters = &self.counters;
        let fps = |index: usize| self.fps.get(index).copied().unwrap_or_default();
        let all = Count::from_tally("", &counters.all, counters, fps(0));
        let settled = all.settled();
        let runs = counters.all.engines.iter().map(|engine| engine.runs).sum();
        let engine = |(id, engine): (&Arc<str>, &EngineTally)| EngineCount {
            id: id.to_string(),
            runs: engine.runs,
            failed: engine.failed,
            first: engine.first,
            first_share: share(engine.first, settled),
            run_share: share(engine.runs, runs),
            run_us: Quantiles::of(&engine.run),
            run: Buckets::of(&engine.run),
        };
        let cameras = counters.cameras.iter().enumerate();
        Counted {
            cameras: cameras
                .map(|(at, (name, tally))| Count::from_tally(name, tally, counters, fps(at + 1)))
                .collect(),
            engines: counters.engines.iter().zip(&counters.all.engines).map(engine).collect(),
            stages: Stage::ALL
                .map(|stage| (stage.name(), Buckets::of(&counters.all.stages[stage as usize])))
                .to_vec(),
            all,
        }
    }
}
