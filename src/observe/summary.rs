//! The summary of a run as JSON and as values: the schema is in docs/reference/records.md. Pure. A
//! share of nothing and a quantile of nothing are missing, never zero, and no number is NaN or
//! infinite.

use std::sync::Arc;
use std::time::Duration;

use serde::ser::{SerializeMap, Serializer};
use serde::{Deserialize, Serialize};

use super::{Counters, Stage, Tally};
use crate::report::{DropReason, Drops, Outcome};
use crate::stats::Histogram;

/// Version of the summary schema, see docs/reference/records.md.
pub const SUMMARY_VERSION: u32 = 1;

/// What the counters cannot know, handed in by whoever ran the cameras.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Squint's version.
    pub version: String,
    /// Name of the policy.
    pub policy: String,
    /// From the first camera opened to the last report.
    pub duration: Duration,
    /// From the start of the process until every camera had its first report.
    pub ready: Option<Duration>,
    /// Heap allocations of Squint's own for each frame once warm, if they were counted.
    pub allocations_per_frame: Option<f64>,
    /// Resident memory, MB (10^6 bytes), if it could be read.
    pub rss_mb: Option<f64>,
    /// Against labels, if there were any.
    pub accuracy: Option<Accuracy>,
    /// What became of the records, by sink.
    pub sinks: Vec<(Arc<str>, SinkSummary)>,
}

/// What became of the records given to one sink.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SinkSummary {
    /// Delivered.
    pub sent: u64,
    /// Lost.
    pub lost: u64,
}

/// How often the answers were right, where labels say so.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Accuracy {
    /// Labelled frames.
    pub n: u64,
    /// Of these, frames without an answer; each counts as wrong.
    pub unanswered: u64,
    /// Share whose first class is right, 0..=1.
    pub top1: f64,
    /// 95 % confidence interval of `top1`, 0..=1 each.
    pub top1_ci95: [f64; 2],
    /// Share with the right class among the first five, 0..=1.
    pub top5: f64,
}

/// A whole run.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// [`SUMMARY_VERSION`].
    pub v: u32,
    /// Squint's version.
    pub version: String,
    /// Name of the policy.
    pub policy: String,
    /// Length of the run, seconds.
    pub duration_s: f64,
    /// From the start of the process until every camera had its first report, ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ready_ms: Option<f64>,
    /// Heap allocations of Squint's own for each frame once warm; only if asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allocations_per_frame: Option<f64>,
    /// Memory, MB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rss_mb: Option<f64>,
    /// Against labels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accuracy: Option<Accuracy>,
    /// What became of the records, by sink; no sink is missing that is configured.
    pub sinks: Named<SinkSummary>,
    /// All cameras together.
    #[serde(flatten)]
    pub all: Part,
    /// Each camera.
    pub cameras: Named<Part>,
}

/// One camera, or all together. `frames` is the sum of the four outcomes and of the dropped.
#[derive(Clone, Debug, Serialize)]
pub struct Part {
    /// Frames the sources offered.
    pub frames: u64,
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
    /// Answered or reused before the deadline.
    pub in_time: u64,
    /// Given no answer because the policy prefers none, or because the engines rest: of the
    /// abstained those that nobody misses.
    pub declined: u64,
    /// Given up before there was an outcome, by reason.
    #[serde(serialize_with = "dropped")]
    pub dropped: Drops,
    /// Frames with an outcome, per second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fps: Option<f64>,
    /// Times by stage; a stage no frame went through is missing.
    pub latency_us: Named<Quantiles>,
    /// By engine.
    pub engines: Named<EngineSummary>,
    /// Share of the frames with an outcome that each engine was shown first, 0..=1.
    pub first_engine: Named<f64>,
    /// Frames shown to a further engine because an answer was unsure.
    pub escalated: u64,
    /// Their share of the frames with an outcome, 0..=1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub escalated_share: Option<f64>,
}

/// One engine's work.
#[derive(Clone, Debug, Serialize)]
pub struct EngineSummary {
    /// Frames it was shown.
    pub runs: u64,
    /// Their share of the frames with an outcome, 0..=1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub share: Option<f64>,
    /// Looks that failed.
    pub failed: u64,
    /// Its network's time, where it answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_us: Option<Quantiles>,
}

/// Quantiles of a time, microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quantiles {
    /// Median.
    pub p50: u64,
    /// 95th percentile.
    pub p95: u64,
    /// 99th percentile.
    pub p99: u64,
    /// Longest.
    pub max: u64,
}

/// Values by name, in a given order; an object in JSON.
#[derive(Clone, Debug)]
pub struct Named<T>(pub Vec<(Arc<str>, T)>);

impl<T> Named<T> {
    /// The value called `name`.
    pub fn get(&self, name: &str) -> Option<&T> {
        self.0.iter().find(|(known, _)| **known == *name).map(|(_, value)| value)
    }
}

impl<T: Serialize> Serialize for Named<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (&**name, value)))
    }
}

impl Summary {
    pub(super) fn of(counters: &Counters, facts: &Facts) -> Self {
        let part = |tally| Part::of(tally, &counters.engines, facts.duration);
        Self {
            v: SUMMARY_VERSION,
            version: facts.version.clone(),
            policy: facts.policy.clone(),
            duration_s: rounded(facts.duration.as_secs_f64(), 1e3),
            ready_ms: facts.ready.map(|ready| rounded(ready.as_secs_f64() * 1e3, 10.0)),
            allocations_per_frame: facts
                .allocations_per_frame
                .filter(|count| count.is_finite())
                .map(|count| rounded(count, 1000.0)),
            rss_mb: facts.rss_mb.filter(|mb| mb.is_finite()).map(|mb| rounded(mb, 10.0)),
            accuracy: facts
                .accuracy
                .filter(|a| [a.top1, a.top5].iter().chain(&a.top1_ci95).all(|x| x.is_finite())),
            sinks: Named(facts.sinks.clone()),
            all: part(&counters.all),
            cameras: Named(
                counters.cameras.iter().map(|(name, tally)| (name.clone(), part(tally))).collect(),
            ),
        }
    }

    /// As JSON, indented, with a line feed at the end.
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self)
            .expect("every key is a string and every number finite");
        text.push('\n');
        text
    }
}

impl Part {
    fn of(tally: &Tally, ids: &[Arc<str>], duration: Duration) -> Self {
        let outcome = |outcome| tally.outcomes[outcome as usize];
        let settled = tally.outcomes.iter().sum::<u64>();
        let seconds = duration.as_secs_f64();
        let stages = Stage::ALL.into_iter().filter_map(|stage| {
            Some((Arc::from(stage.name()), Quantiles::of(&tally.stages[stage as usize])?))
        });
        let engines = || ids.iter().cloned().zip(&tally.engines);
        let engine = |(id, engine): (_, &super::EngineTally)| {
            let run_us = Quantiles::of(&engine.run);
            (
                id,
                EngineSummary {
                    runs: engine.runs,
                    share: share(engine.runs, settled),
                    failed: engine.failed,
                    run_us,
                },
            )
        };
        Self {
            frames: settled + tally.drops.total(),
            answered: outcome(Outcome::Answered),
            reused: outcome(Outcome::Reused),
            abstained: outcome(Outcome::Abstained),
            failed: outcome(Outcome::Failed),
            late: tally.late,
            in_time: tally.in_time,
            declined: tally.declined,
            dropped: tally.drops,
            fps: (seconds > 0.0).then(|| rounded(settled as f64 / seconds, 100.0)),
            latency_us: Named(stages.collect()),
            engines: Named(engines().map(engine).collect()),
            first_engine: Named(
                engines()
                    .filter_map(|(id, engine)| Some((id, share(engine.first, settled)?)))
                    .collect(),
            ),
            escalated: tally.escalated,
            escalated_share: share(tally.escalated, settled),
        }
    }

    /// Frames with an outcome.
    pub fn settled(&self) -> u64 {
        self.answered + self.reused + self.abstained + self.failed
    }

    /// Frames that should have had an answer in time: those with an outcome, but for the declined,
    /// and those that could not be read. Frames that gave way to newer ones are not among them.
    pub fn expected(&self) -> u64 {
        self.settled() - self.declined
            + self.dropped.get(DropReason::Unreadable)
            + self.dropped.get(DropReason::Late)
    }

    /// True if fewer than half of the frames that should have had an answer in time had one.
    pub fn is_mostly_missing(&self) -> bool {
        2 * self.in_time < self.expected()
    }
}

impl Quantiles {
    pub(super) fn of(times: &Histogram) -> Option<Self> {
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let all = times.summary();
        (all.count > 0).then(|| Self {
            p50: micros(all.p50),
            p95: micros(all.p95),
            p99: micros(all.p99),
            max: micros(all.max),
        })
    }
}

pub(super) fn dropped<S: Serializer>(drops: &Drops, serializer: S) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(DropReason::ALL.len()))?;
    for why in DropReason::ALL {
        map.serialize_entry(why.name(), &drops.get(why))?;
    }
    map.end()
}

pub(super) fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| rounded(part as f64 / whole as f64, 1e4))
}

fn rounded(value: f64, steps: f64) -> f64 {
    (value * steps).round() / steps
}
