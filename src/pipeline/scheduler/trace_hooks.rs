//! Passes every input of a decision to the trace, if there is one. Decides nothing, waits for
//! nothing. Pure.
//!
//! A decision that waits for a busy engine is made again when the engine is free; only the one that
//! is acted on is recorded.

use std::time::Duration;

use crate::budget::{Look, Mode};
use crate::engine::EngineIdx;
use crate::policy::{Allowance, Bound, Choice, Situation, Verdict};
use crate::report::DropReason;
use crate::telemetry::Sample;
use crate::trace::TraceQueue;
use crate::trace::event::{
    After, Done, Event, First, FrameNumber, Looked, Lost, Remembered, Step, nanos,
};

use super::{Generation, GenerationId, Job};
use crate::budget::Stepped;

fn number(job: &Job) -> FrameNumber {
    FrameNumber(job.report.camera_index, job.report.sequence)
}

/// A generation came in force and has not worked yet.
pub(super) fn current(trace: Option<&TraceQueue>, generation: &Generation) {
    let Some(trace) = trace else { return };
    let priors = generation
        .account
        .priors()
        .iter()
        .map(|prior| prior.as_ref().map(|prior| [nanos(prior.p50), nanos(prior.p95)]));
    trace.generation_starts(generation.id, priors.collect());
}

/// The budget took a step.
pub(super) fn step(
    trace: Option<&TraceQueue>,
    at: Duration,
    sample: &Sample,
    command: Option<Mode>,
    minute: Option<u16>,
    stepped: &Stepped,
) {
    let Some(trace) = trace else { return };
    let Stepped { is: grants, mode, usage, .. } = *stepped;
    trace.put(Event::Step(Step {
        at: nanos(at),
        command,
        minute,
        sample: sample.clone(),
        usage,
        grants,
        mode,
    }));
}

/// The first decision about a frame.
pub(super) fn first(
    trace: Option<&TraceQueue>,
    job: &Job,
    situation: &Situation,
    allowance: &Allowance,
    bound: Bound<Choice>,
) {
    let Some(trace) = trace else { return };
    trace.put(Event::First(First {
        generation: job.generation,
        frame: number(job),
        captured: nanos(situation.captured),
        lossless: job.lossless,
        features: situation.features.values.into(),
        glimpse: *situation.glimpse,
        past: situation.past.last.as_ref().map(Remembered::from),
        allowance: allowance.into(),
        decision: bound.into(),
    }));
}

/// The decision after a look.
pub(super) fn after(
    trace: Option<&TraceQueue>,
    job: &Job,
    allowance: &Allowance,
    bound: Bound<Verdict>,
) {
    let Some(trace) = trace else { return };
    let attempts = &job.report.attempts;
    trace.put(Event::After(After {
        generation: job.generation,
        frame: number(job),
        steps: attempts.steps.iter().map(Into::into).collect(),
        answer: (&attempts.answer).into(),
        allowance: allowance.into(),
        decision: bound.into(),
    }));
}

/// An engine is through with a look.
pub(super) fn look(
    trace: Option<&TraceQueue>,
    generation: GenerationId,
    engine: EngineIdx,
    time: Duration,
    crowded: bool,
) {
    let Some(trace) = trace else { return };
    trace.put(Event::Look(Looked { generation, look: Look { engine, time, crowded } }));
}

/// A frame is settled.
pub(super) fn done(trace: Option<&TraceQueue>, job: &Job) {
    let Some(trace) = trace else { return };
    let report = &job.report;
    trace.put(Event::Done(Done {
        frame: number(job),
        outcome: report.outcome,
        code: report.verdict.code,
        age: nanos(report.times.age),
        late: report.late,
    }));
}

/// A frame was given up.
pub(super) fn lost(trace: Option<&TraceQueue>, job: &Job, why: DropReason) {
    let Some(trace) = trace else { return };
    trace.put(Event::Lost(Lost { frame: number(job), why }));
}
