//! Changes to the scheduler beside frames: another generation, another mode, other limits, the end.
//! Pure.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::budget::LearnedState;
use crate::policy::{Past, Reuse};
use crate::report::DropReason;
use crate::telemetry::Sample;
use crate::trace::TraceQueue;
use crate::vocabulary::Mode;

use super::{Actions, CURRENT, EngineState, Generation, Scheduler, trace_hooks};
use crate::budget::Stepped;

impl Scheduler {
    /// From now on `generation` is asked, in mode [`Mode::Auto`]. Frames that have been shown to an
    /// engine stay with the generation that they are with; what cameras remember of earlier answers
    /// is forgotten, since it may mean something else now.
    pub(crate) fn swap_engines(
        &mut self,
        mut generation: Generation,
        now: Instant,
        actions: &mut impl Actions,
    ) {
        // The same names need not be kept twice: hundreds of jobs remember those of the frame that
        // they had last.
        if generation.labels.sha256 == self.current().labels.sha256 {
            generation.labels = Arc::clone(&self.current().labels);
        }
        self.generations.push(generation);
        self.mode = Mode::default();
        for camera in &mut self.cameras {
            camera.past = Past::default();
        }
        trace_hooks::current(self.trace.as_ref(), self.current());
        self.pump(now, actions);
    }

    /// How hard to look from now on.
    pub(crate) fn set_mode(&mut self, mode: Mode, now: Instant, actions: &mut impl Actions) {
        self.mode = mode;
        self.pump(now, actions);
    }

    /// How hard it looks.
    pub(crate) fn mode(&self) -> Mode {
        self.mode
    }

    /// A step of the budget, with the readings of the board; `at` is time since start, `minute` the
    /// local one of the day.
    pub(crate) fn budget(&mut self, at: Duration, sample: &Sample, minute: Option<u16>) -> Stepped {
        let command = self.mode.budget();
        let Generation { account, engines, .. } = self.generations.last_mut().expect(CURRENT);
        let stepped = account.step(at, sample, command, minute, engines);
        trace_hooks::step(self.trace.as_ref(), at, sample, command, minute, &stepped);
        stepped
    }

    /// Everything that decides is handed to `trace` from now on; to be called before the first
    /// frame comes.
    pub(crate) fn record(&mut self, trace: Option<TraceQueue>) {
        self.trace = trace;
        trace_hooks::current(self.trace.as_ref(), self.current());
    }

    /// What the budget has learned.
    pub(crate) fn learned(&self) -> Option<LearnedState> {
        self.current().account.learned()
    }

    /// How a camera wants its frames treated from now on: deadline and reuse.
    pub(crate) fn tune(&mut self, camera: usize, deadline: Duration, reuse: Option<Reuse>) {
        if let Some(camera) = self.cameras.get_mut(camera) {
            (camera.terms.deadline, camera.terms.reuse) = (deadline, reuse);
        }
    }

    /// The engines in force.
    pub(crate) fn engines(&self, now: Instant) -> Vec<EngineState> {
        let Generation { slots, account, begun, .. } = self.current();
        slots
            .iter()
            .map(|slot| EngineState { cost: account.cost(slot.index), ..slot.state(*begun, now) })
            .collect()
    }

    /// A camera will send no more frames.
    pub(crate) fn ended(&mut self, camera: usize) {
        self.cameras[camera].done = true;
    }

    /// True once every camera has ended.
    pub(crate) fn has_ended(&self) -> bool {
        self.cameras.iter().all(|camera| camera.done)
    }

    /// Squint stops: frames that no engine has seen are given up, the others go their way.
    pub(crate) fn stop(&mut self, actions: &mut impl Actions) {
        for camera in &mut self.cameras {
            for job in camera.fresh.drain(..) {
                trace_hooks::lost(self.trace.as_ref(), &job, DropReason::Stopped);
                actions.give_up(job, DropReason::Stopped);
            }
        }
    }

    /// True once every camera has ended and nothing is on its way.
    pub(crate) fn is_done(&self) -> bool {
        self.escalated.is_empty()
            && self
                .cameras
                .iter()
                .all(|camera| camera.done && camera.active == 0 && camera.fresh.is_empty())
    }
}
