//! The minutes of the desk: hands everything that decides to a recording, if there is one. Decides nothing, waits for nothing.
//! Pure.
//!
//! A decision that has to wait for a busy engine is made again when that is free; only the one that is acted on is written down.

use std::time::Duration;

use crate::budget::{Look, Mode};
use crate::engine::EngineIdx;
use crate::policy::{Allowance, Bound, Choice, Situation, Verdict};
use crate::report::DropReason;
use crate::telemetry::Sample;
use crate::trace::Tape;
use crate::trace::event::{After, Done, Event, First, FrameNumber, Looked, Lost, Remembered, Step, nanos};

use super::{Job, Shift, ShiftId, Stepped};

fn number(job: &Job) -> FrameNumber {
    FrameNumber(job.report.camera_index, job.report.sequence)
}

/// A shift came on duty and has not worked yet.
pub(super) fn on_duty(tape: Option<&Tape>, shift: &Shift) {
    let Some(tape) = tape else { return };
    let priors = shift.purse.priors().iter().map(|prior| prior.as_ref().map(|prior| [nanos(prior.p50), nanos(prior.p95)]));
    tape.on_duty(shift.id, priors.collect());
}

/// The budget took a step.
pub(super) fn step(
    tape: Option<&Tape>,
    at: Duration,
    sample: &Sample,
    command: Option<Mode>,
    minute: Option<u16>,
    stepped: &Stepped,
) {
    let Some(tape) = tape else { return };
    let Stepped { is: standing, mode, tally, .. } = *stepped;
    tape.put(Event::Step(Step { at: nanos(at), command, minute, sample: sample.clone(), tally, standing, mode }));
}

/// The first decision about a frame.
pub(super) fn first(tape: Option<&Tape>, job: &Job, situation: &Situation, allowance: &Allowance, bound: Bound<Choice>) {
    let Some(tape) = tape else { return };
    tape.put(Event::First(First {
        shift: job.shift,
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
pub(super) fn after(tape: Option<&Tape>, job: &Job, allowance: &Allowance, bound: Bound<Verdict>) {
    let Some(tape) = tape else { return };
    let journey = &job.report.journey;
    tape.put(Event::After(After {
        shift: job.shift,
        frame: number(job),
        steps: journey.steps.iter().map(Into::into).collect(),
        answer: (&journey.answer).into(),
        allowance: allowance.into(),
        decision: bound.into(),
    }));
}

/// An engine is through with a look.
pub(super) fn look(tape: Option<&Tape>, shift: ShiftId, engine: EngineIdx, time: Duration, crowded: bool) {
    let Some(tape) = tape else { return };
    tape.put(Event::Look(Looked { shift, look: Look { engine, time, crowded } }));
}

/// A frame is settled.
pub(super) fn done(tape: Option<&Tape>, job: &Job) {
    let Some(tape) = tape else { return };
    let report = &job.report;
    tape.put(Event::Done(Done {
        frame: number(job),
        outcome: report.outcome,
        code: report.verdict.code,
        age: nanos(report.times.age),
        late: report.late,
    }));
}

/// A frame was given up.
pub(super) fn lost(tape: Option<&Tape>, job: &Job, why: DropReason) {
    let Some(tape) = tape else { return };
    tape.put(Event::Lost(Lost { frame: number(job), why }));
}
