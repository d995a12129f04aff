//! Reports made by hand, for the tests of whatever prints, stores or counts them.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use squint::budget::{Because, Grant, Why};
use squint::engine::{Answer, EngineIdx, Label, Labels, LookTimes, Top};
use squint::features::{COUNT, Features};
use squint::policy::{Attempts, Code, Reason, Step};
use squint::report::{DropReason, Drops, Outcome, Report, Times};

pub fn micros(count: u64) -> Duration {
    Duration::from_micros(count)
}

pub fn why(code: Code, value: Option<f32>, limit: Option<f32>) -> Reason {
    Reason { code, value, limit }
}

/// An engine that answered class 1 (`mountain bike`) with probability `p`.
pub fn step(engine: u8, why: Reason, run_us: u64, p: f32) -> Step {
    let times =
        LookTimes { preprocess: micros(850), run: micros(run_us), rank: micros(12), device: None };
    let (top, queued) = (Top { class: 1, probability: p }, micros(31));
    Step {
        engine: EngineIdx(engine),
        why,
        answered: true,
        queued,
        times,
        top,
        margin: 0.125,
        entropy: 0.25,
    }
}

/// An engine that was asked and failed.
pub fn failed_step(engine: u8, why: Reason) -> Step {
    let (times, top) = (LookTimes::default(), Top::default());
    Step {
        engine: EngineIdx(engine),
        why,
        answered: false,
        queued: Duration::ZERO,
        times,
        top,
        margin: 0.0,
        entropy: 0.0,
    }
}

pub fn labels(names: &[&str]) -> Arc<Labels> {
    let label =
        |(at, name): (usize, &&str)| Label { key: format!("n{at:08}"), name: (*name).into() };
    Arc::new(Labels {
        classes: names.iter().enumerate().map(label).collect(),
        sha256: String::new(),
    })
}

pub fn engines() -> Arc<[Arc<str>]> {
    ["lite0-160", "lite2-260", "lite4-300"].map(Arc::from).into()
}

/// Two engines asked, the second one sure.
pub fn answered() -> Report {
    let mut values = [0.0; COUNT];
    values.iter_mut().zip(1u8..).for_each(|(value, number)| *value = f32::from(number) / 8.0);
    let mut answer = Answer { ranked: 5, margin: 0.75, entropy: 0.125, ..Answer::default() };
    let best = [(1, 0.83), (0, 0.08), (3, 0.04), (4, 0.02), (2, 0.01)];
    answer
        .top
        .iter_mut()
        .zip(best)
        .for_each(|(top, (class, probability))| *top = Top { class, probability });
    let mut attempts = Attempts { answer, ..Attempts::default() };
    attempts.steps.push(step(0, why(Code::Entry, None, None), 2300, 0.41));
    attempts.steps.push(step(1, why(Code::Unsure, Some(0.41), Some(0.62)), 7100, 0.83));
    let mut drops = Drops::default();
    drops.add(DropReason::Superseded, 2);
    Report {
        camera: "bikes".into(),
        camera_index: 0,
        source: "csi:0".into(),
        file: None,
        sequence: 42,
        captured_at: SystemTime::UNIX_EPOCH + Duration::from_millis(1_772_366_400_250),
        features: Features { values },
        attempts,
        outcome: Outcome::Answered,
        verdict: why(Code::Sure, Some(0.83), Some(0.62)),
        grant: Grant::FREE,
        withheld: None,
        labels: labels(&["tandem", "mountain bike", "unicycle", "moped", "crash helmet"]),
        engines: engines(),
        times: Times {
            wait: micros(410),
            features: micros(620),
            dispatch: micros(25),
            age: micros(12_400),
            overhead: micros(680),
        },
        late: false,
        drops,
    }
}

/// The last answer given again.
pub fn reused() -> Report {
    let mut report = answered();
    report.attempts.steps.clear();
    report.attempts.answer.ranked = 1;
    report.outcome = Outcome::Reused;
    report.verdict = why(Code::Unchanged, Some(0.01), Some(0.05));
    report.drops = Drops::default();
    report.times.age = micros(1100);
    report
}

/// A photo, one engine unsure, no time for another.
pub fn abstained() -> Report {
    let mut report = answered();
    report.attempts.steps.truncate(1);
    report.outcome = Outcome::Abstained;
    report.file = Some("img_0042.jpg".into());
    report.verdict = why(Code::OutOfTime, Some(12.0), Some(31.0));
    report.late = true;
    report.drops = Drops::default();
    report
}

/// Both engines asked failed.
pub fn failed() -> Report {
    let mut report = answered();
    report.attempts = Attempts::default();
    report.attempts.steps.push(failed_step(0, why(Code::Entry, None, None)));
    report.attempts.steps.push(failed_step(1, why(Code::EngineFailed, None, None)));
    report.outcome = Outcome::Failed;
    report.verdict = why(Code::EngineFailed, None, None);
    report.drops = Drops::default();
    report
}

/// As [`answered`], by an engine on a device with a clock of its own.
pub fn on_a_device() -> Report {
    let mut report = answered();
    report.attempts.steps[0].times.device = Some(micros(1700));
    report
}

/// The engine wanted drew too much power: a cheaper one answered, and no second one was asked.
pub fn held() -> Report {
    let mut report = answered();
    report.attempts.steps.truncate(1);
    let because = Because { why: Why::Power, value: Some(6480.0), limit: Some(6000.0), zone: None };
    report.attempts.steps[0].why = why(Code::Budget, because.value, because.limit);
    report.verdict = why(Code::Sure, Some(0.83), Some(0.62));
    report.grant = Grant { engines: 1, escalation: false, because, ..Grant::FREE };
    report.withheld = Some(EngineIdx(1));
    report.drops = Drops::default();
    report
}

/// One report of every kind.
pub fn every_kind() -> Vec<Report> {
    vec![answered(), reused(), abstained(), failed()]
}
