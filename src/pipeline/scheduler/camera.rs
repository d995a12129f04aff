//! One camera in the scheduler: its terms, its waiting frames, and its memory of earlier answers.
//! Pure.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::engine::Answer;
use crate::policy::{LastAnswer, Past, Reuse};

use super::Job;
use super::fairness::Fairness;

/// How one camera wants its frames treated.
pub(crate) struct CameraTerms {
    /// Latest moment for an answer: after capture, or, for a camera that must not lose frames,
    /// after the frame's turn came.
    pub(crate) deadline: Duration,
    /// True if every frame is worth waiting for.
    pub(crate) lossless: bool,
    /// Whether the last answer may be given again.
    pub(crate) reuse: Option<Reuse>,
    /// Most jobs the camera has.
    pub(crate) jobs: usize,
}

/// One camera, as the scheduler knows it.
pub(super) struct Camera {
    pub(super) terms: CameraTerms,
    pub(super) past: Past,
    /// The answer that may be given again.
    pub(super) last: Answer,
    /// Jobs at an engine, or waiting for a second one.
    pub(super) active: usize,
    /// Frames that no engine has seen yet.
    pub(super) fresh: VecDeque<Box<Job>>,
    /// It will send no more frames.
    pub(super) done: bool,
    /// When the budget lets an engine look at it again.
    pub(super) next_look: Option<Instant>,
    /// Looks that it did not get.
    pub(super) fairness: Fairness,
}

impl Camera {
    /// One that has sent nothing yet; engines tell `classes` classes apart.
    pub(super) fn new(terms: CameraTerms, classes: usize) -> Self {
        Self {
            past: Past::default(),
            last: Answer::with_classes(classes),
            active: 0,
            fresh: VecDeque::with_capacity(terms.jobs + 1),
            done: false,
            next_look: None,
            fairness: Fairness::default(),
            terms,
        }
    }

    /// False while a camera that must not lose frames has one at the engines.
    pub(super) fn is_at_turn(&self) -> bool {
        !self.terms.lossless || self.active == 0
    }

    /// Since when it is fairness a look, for a frame of it that waits: those who have waited
    /// longest come first.
    pub(super) fn waits_since(&self, job: &Job) -> Option<Instant> {
        if !job.report.attempts.steps.is_empty() {
            return None;
        }
        // One that must not lose frames is fairness a look as soon as a later frame of another
        // camera was preferred to it.
        if job.lossless {
            (!job.rank.patient).then_some(job.rank.since)
        } else {
            self.fairness.since()
        }
    }

    /// Remembers the answer of a frame that was `captured` after the start, unless a newer frame's
    /// is already remembered. `sure`: as the verdict says. `reuse`: what the policy allows a camera
    /// that does not say itself.
    pub(super) fn remember(
        &mut self,
        job: &Job,
        captured: Duration,
        sure: bool,
        reuse: Option<Reuse>,
    ) {
        let report = &job.report;
        if self.past.last.is_some_and(|last| last.sequence >= report.sequence) {
            return;
        }
        let answer = &report.attempts.answer;
        self.past.last = Some(LastAnswer {
            top: answer.top[0],
            margin: answer.margin,
            entropy: answer.entropy,
            engine: job.asked.0,
            sure,
            glimpse: job.glimpse,
            sequence: report.sequence,
            captured,
        });
        if self.terms.reuse.or(reuse).is_some() {
            self.last.clone_from(answer);
        }
    }
}
