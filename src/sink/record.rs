//! One [`Report`] as one line of JSON, the schema of docs/reference/records.md.
//!
//! Pure, and without allocation once the buffer is warm: everything is borrowed from the report and
//! written straight into the buffer. A number that is not finite is left out, so that every line
//! parses everywhere.

use std::time::Duration;

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use super::stamp::Stamp;
use crate::engine::{EngineIdx, Labels, TOP};
use crate::features;
use crate::policy::{Reason, Step};
use crate::report::{DropReason, Drops, Outcome, RECORD_VERSION, Report};

/// Appends `report` and a line feed to `buffer`.
pub fn write_record(report: &Report, buffer: &mut Vec<u8>) {
    write(report, false, buffer);
}

/// As [`write_record`], with the feature values, so that the decision can be made again from the
/// record.
pub fn write_record_with_features(report: &Report, buffer: &mut Vec<u8>) {
    write(report, true, buffer);
}

fn write(report: &Report, with_features: bool, buffer: &mut Vec<u8>) {
    let values = &report.features.values;
    let record = Record {
        v: RECORD_VERSION,
        camera: &report.camera,
        frame: report.sequence,
        source: &report.source,
        file: report.file.as_deref(),
        captured_at: Stamp::of(report.captured_at),
        age_us: micros(report.times.age),
        features: features::schema(),
        features_values: (with_features && values.iter().all(|value| value.is_finite()))
            .then_some(values),
        outcome: report.outcome.name(),
        late: report.late,
        top: Tops(report),
        engines: Steps(report),
        verdict: report.verdict.into(),
        budget: Held::of(report),
        times: Times {
            wait_us: micros(report.times.wait),
            features_us: micros(report.times.features),
            dispatch_us: micros(report.times.dispatch),
            overhead_us: micros(report.times.overhead),
        },
        drops: Dropped(&report.drops),
    };
    serde_json::to_writer(&mut *buffer, &record)
        .expect("a Vec takes every byte and every key is a string");
    buffer.push(b'\n');
}

#[derive(Serialize)]
struct Record<'a> {
    v: u32,
    camera: &'a str,
    frame: u64,
    source: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<&'a str>,
    captured_at: Stamp,
    age_us: u64,
    features: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    features_values: Option<&'a [f32]>,
    outcome: &'static str,
    late: bool,
    top: Tops<'a>,
    engines: Steps<'a>,
    verdict: Why,
    budget: Held<'a>,
    times: Times,
    drops: Dropped<'a>,
}

#[derive(Serialize)]
struct Times {
    wait_us: u64,
    features_us: u64,
    dispatch_us: u64,
    overhead_us: u64,
}

#[derive(Serialize)]
struct Why {
    code: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<f32>,
}

impl From<Reason> for Why {
    fn from(reason: Reason) -> Self {
        Self {
            code: reason.code.name(),
            value: reason.value.and_then(finite),
            limit: reason.limit.and_then(finite),
        }
    }
}

/// What holds the budget down, and whom it withheld.
#[derive(Serialize)]
struct Held<'a> {
    because: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    withheld: Option<&'a str>,
}

impl<'a> Held<'a> {
    fn of(report: &'a Report) -> Self {
        let because = report.grant.because;
        Self {
            because: because.why.name(),
            value: because.value.and_then(finite),
            limit: because.limit.and_then(finite),
            withheld: report.withheld.map(|engine| id(report, engine)),
        }
    }
}

/// An engine's id.
fn id(report: &Report, engine: EngineIdx) -> &str {
    report.engines.get(usize::from(engine.0)).map_or("?", |id| id)
}

/// The final answer's classes; none unless there is an answer.
struct Tops<'a>(&'a Report);

#[derive(Serialize)]
struct Class<'a> {
    class: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    p: f32,
}

impl Serialize for Tops<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let answer = &self.0.attempts.answer;
        let ranked = match self.0.outcome {
            Outcome::Answered | Outcome::Reused => answer.ranked.min(TOP),
            Outcome::Abstained | Outcome::Failed => 0,
        };
        let finite = answer.top[..ranked].iter().filter(|top| top.probability.is_finite());
        serializer.collect_seq(finite.map(|top| {
            let (key, name) = named(&self.0.labels, top.class);
            Class { class: top.class, key, name, p: top.probability }
        }))
    }
}

/// Key and name of a class, each `None` if the labels have none.
fn named(labels: &Labels, class: u32) -> (Option<&str>, Option<&str>) {
    let Some(label) = labels.classes.get(class as usize) else { return (None, None) };
    let some = |text| Some(text).filter(|text: &&str| !text.is_empty());
    (some(&label.key), some(&label.name))
}

/// The engines asked, in order.
struct Steps<'a>(&'a Report);

#[derive(Serialize)]
struct Asked<'a> {
    id: &'a str,
    why: Why,
    answered: bool,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    look: Option<Looked>,
}

#[derive(Serialize)]
struct Looked {
    queued_us: u64,
    preprocess_us: u64,
    run_us: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    device_us: Option<u64>,
    rank_us: u64,
    class: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    p: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    margin: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    entropy: Option<f32>,
}

impl Looked {
    /// `None` if the engine failed: its figures are missing, not zero.
    fn of(step: &Step) -> Option<Self> {
        step.answered.then(|| Self {
            queued_us: micros(step.queued),
            preprocess_us: micros(step.times.preprocess),
            run_us: micros(step.times.run),
            device_us: step.times.device.map(micros),
            rank_us: micros(step.times.rank),
            class: step.top.class,
            p: finite(step.top.probability),
            margin: finite(step.margin),
            entropy: finite(step.entropy),
        })
    }
}

impl Serialize for Steps<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.attempts.steps.iter().map(|step| Asked {
            id: id(self.0, step.engine),
            why: step.why.into(),
            answered: step.answered,
            look: Looked::of(step),
        }))
    }
}

/// Only the reasons that happened.
struct Dropped<'a>(&'a Drops);

impl Serialize for Dropped<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for why in DropReason::ALL {
            if self.0.get(why) > 0 {
                map.serialize_entry(why.name(), &self.0.get(why))?;
            }
        }
        map.end()
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

fn finite(value: f32) -> Option<f32> {
    Some(value).filter(|value| value.is_finite())
}
