//! What is said to the desk beside the frames: another shift, another mode, other limits, the end. Pure.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::budget::Kept;
use crate::observe::Mode;
use crate::policy::{Past, Reuse};
use crate::report::DropReason;
use crate::telemetry::Sample;
use crate::trace::Tape;

use super::{Desk, EngineState, Hands, ON_DUTY, Shift, Stepped, minutes};

impl Desk {
    /// From now on `shift` is asked, in mode [`Mode::Auto`]. Frames that have been shown to an engine stay with the shift that they are
    /// with; what cameras remember of earlier answers is forgotten, since it may mean something else now.
    pub(crate) fn relieve(&mut self, mut shift: Shift, now: Instant, hands: &mut impl Hands) {
        // The same names need not be kept twice: hundreds of jobs remember those of the frame that they had last.
        if shift.labels.sha256 == self.on_duty().labels.sha256 {
            shift.labels = Arc::clone(&self.on_duty().labels);
        }
        self.shifts.push(shift);
        self.mode = Mode::default();
        for camera in &mut self.cameras {
            camera.past = Past::default();
        }
        minutes::on_duty(self.tape.as_ref(), self.on_duty());
        self.pump(now, hands);
    }

    /// How hard to look from now on.
    pub(crate) fn set_mode(&mut self, mode: Mode, now: Instant, hands: &mut impl Hands) {
        self.mode = mode;
        self.pump(now, hands);
    }

    /// How hard it looks.
    pub(crate) fn mode(&self) -> Mode {
        self.mode
    }

    /// A step of the budget, with the readings of the board; `at` is time since start, `minute` the local one of the day.
    pub(crate) fn budget(&mut self, at: Duration, sample: &Sample, minute: Option<u16>) -> Stepped {
        let command = self.mode.budget();
        let Shift { purse, engines, .. } = self.shifts.last_mut().expect(ON_DUTY);
        let stepped = purse.step(at, sample, command, minute, engines);
        minutes::step(self.tape.as_ref(), at, sample, command, minute, &stepped);
        stepped
    }

    /// Everything that decides is handed to `tape` from now on; to be called before the first frame comes.
    pub(crate) fn record(&mut self, tape: Option<Tape>) {
        self.tape = tape;
        minutes::on_duty(self.tape.as_ref(), self.on_duty());
    }

    /// What the budget has learned.
    pub(crate) fn kept(&self) -> Option<Kept> {
        self.on_duty().purse.kept()
    }

    /// How a camera wants its frames treated from now on: deadline and reuse.
    pub(crate) fn tune(&mut self, camera: usize, deadline: Duration, reuse: Option<Reuse>) {
        if let Some(camera) = self.cameras.get_mut(camera) {
            (camera.terminal.deadline, camera.terminal.reuse) = (deadline, reuse);
        }
    }

    /// The engines on duty.
    pub(crate) fn engines(&self, now: Instant) -> Vec<EngineState> {
        let Shift { seats, purse, begun, .. } = self.on_duty();
        seats.iter().map(|seat| EngineState { cost: purse.cost(seat.index), ..seat.state(*begun, now) }).collect()
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
    pub(crate) fn stop(&mut self, hands: &mut impl Hands) {
        for camera in &mut self.cameras {
            for job in camera.fresh.drain(..) {
                minutes::lost(self.tape.as_ref(), &job, DropReason::Stopped);
                hands.give_up(job, DropReason::Stopped);
            }
        }
    }

    /// True once every camera has ended and nothing is on its way.
    pub(crate) fn is_done(&self) -> bool {
        self.escalated.is_empty() && self.cameras.iter().all(|camera| camera.done && camera.active == 0 && camera.fresh.is_empty())
    }
}
