//! The dispatcher's desk: which frame is shown to which engine next, told by policy, deadlines and who is free.
//!
//! Pure: the time is handed in, the hands that act are a trait. What waits here is bounded by the jobs of the cameras: a live
//! camera has at most one frame waiting for its first engine (a newer one takes its place *and its rank*, see [`Rank`]), a camera
//! that must not lose frames has one frame at the engines at a time and the rest in line.

mod camera;
mod hands;
mod minutes;
mod owed;
mod purse;
mod seat;
mod shift;
mod steer;

use std::time::{Duration, Instant};

use crate::engine::{Answer, EngineError, EngineIdx};
use crate::observe::Mode;
use crate::policy::{self, Choice, Code, Reason, Situation, Verdict};
use crate::report::{DropReason, Outcome};
use crate::trace::Tape;

use super::job::{Job, Rank, Task};
use camera::Camera;
pub(crate) use camera::Terminal;
pub use hands::EngineState;
pub(crate) use hands::{Hands, News};
pub(crate) use purse::Purse;
pub use purse::{Budget, Member, Stepped};
use seat::Seat;
pub(crate) use shift::{Shift, ShiftId};

const ON_DUTY: &str = "a shift is on duty from the start, and the last one never leaves";

/// True for a frame whose time has not begun to run: that of a camera that must not lose frames runs from the first look.
fn is_idle(job: &Job) -> bool {
    job.lossless && job.report.journey.steps.is_empty()
}

/// State of the dispatcher.
#[expect(clippy::vec_box, reason = "jobs go on in their boxes, and a box is what can be moved cheaply")]
pub(crate) struct Desk {
    start: Instant,
    cameras: Vec<Camera>,
    /// The last one is on duty; those before finish what they have begun.
    shifts: Vec<Shift>,
    mode: Mode,
    /// Jobs that have an answer and wait for a further engine.
    escalated: Vec<Box<Job>>,
    /// Room for going through what waits, kept.
    round: Vec<Box<Job>>,
    /// Where everything that decides is written down, if somebody wants it.
    tape: Option<Tape>,
}

impl Desk {
    /// `shift` is on duty.
    pub(crate) fn new(shift: Shift, terminals: Vec<Terminal>, start: Instant) -> Self {
        let jobs = terminals.iter().map(|terminal| terminal.jobs).sum();
        let classes = shift.labels.classes.len();
        Self {
            start,
            cameras: terminals.into_iter().map(|terminal| Camera::new(terminal, classes)).collect(),
            shifts: vec![shift],
            mode: Mode::default(),
            escalated: Vec::with_capacity(jobs),
            round: Vec::with_capacity(jobs),
            tape: None,
        }
    }

    fn on_duty(&self) -> &Shift {
        self.shifts.last().expect(ON_DUTY)
    }

    /// The shift that a frame is with.
    fn shift(&mut self, id: ShiftId) -> &mut Shift {
        let at = self.shifts.iter().position(|shift| shift.id == id).unwrap_or(self.shifts.len() - 1);
        &mut self.shifts[at]
    }

    /// A frame has been measured.
    pub(crate) fn sighting(&mut self, mut job: Box<Job>, now: Instant, hands: &mut impl Hands) {
        self.shifts.last_mut().expect(ON_DUTY).purse.frame();
        let camera = &mut self.cameras[job.camera];
        let Terminal { deadline, lossless, .. } = camera.terminal;
        job.rank = Rank { patient: true, due: if lossless { now } else { job.captured } + deadline, since: now };
        camera.owed.sighted(now);
        if !lossless {
            job.due = Some(job.captured + deadline);
            if let Some(older) = camera.fresh.pop_front() {
                job.rank = older.rank;
                camera.owed.turned_down(now);
                minutes::lost(self.tape.as_ref(), &older, DropReason::Busy);
                hands.give_up(older, DropReason::Busy);
            }
        }
        camera.fresh.push_back(job);
        self.pump(now, hands);
    }

    /// An engine is through with a look, or failed at it.
    pub(crate) fn looked(&mut self, task: Task, now: Instant, hands: &mut impl Hands) {
        let Task { shift, engine, ticket, frame, own, begun_at, result, .. } = task;
        drop(frame); // before the job is closed, so that the picture goes back to its camera
        let Some(at) = self.shifts.iter().position(|on| on.id == shift) else { return };
        let Shift { seats, purse, .. } = &mut self.shifts[at];
        let others = seats.iter().any(|seat| seat.index != engine && seat.held().is_some());
        let seat = &mut seats[usize::from(engine.0)];
        match seat.give_back(ticket) {
            Some(mut job) => {
                (job.own, job.begun_at) = (own, begun_at);
                match &result {
                    Ok(times) => {
                        let cost = times.preprocess + times.run + times.rank;
                        let crowded = others || job.crowded;
                        purse.looked(engine, cost, crowded);
                        minutes::look(self.tape.as_ref(), shift, engine, cost, crowded);
                        let failures = seat.answered(cost, now);
                        if failures > 0 {
                            hands.tell(engine, &seat.id, News::Recovered { failures });
                        }
                    }
                    Err(error) => {
                        let (failures, pause) = seat.failed(now);
                        hands.tell(engine, &seat.id, News::Failed { error, failures, pause });
                    }
                }
                self.shifts[at].note(&mut job, result.ok());
                self.escalated.push(job);
            }
            None => {
                if let Some((away, pause)) = seat.returned(ticket, now) {
                    hands.tell(engine, &seat.id, News::Returned { away, pause });
                }
            }
        }
        self.pump(now, hands);
    }

    /// Engines that have not come back in time are stuck: their frames go on without them.
    fn unstick(&mut self, now: Instant, hands: &mut impl Hands) {
        for shift in &mut self.shifts {
            for at in 0..shift.seats.len() {
                let seat = &mut shift.seats[at];
                let Some((mut job, waited)) = seat.stick(now) else { continue };
                let error = EngineError::Stuck { id: seat.id.to_string(), waited };
                hands.tell(seat.index, &seat.id, News::Stuck { error: &error });
                // What it was to write to is still in its hands.
                job.own = Answer::with_classes(shift.labels.classes.len());
                job.begun_at = job.asked_at;
                if job.lossless {
                    job.due = Some(now + self.cameras[job.camera].terminal.deadline); // worth waiting for: its time begins again
                }
                shift.note(&mut job, None);
                self.escalated.push(job);
            }
        }
    }

    /// When [`Desk::pump`] must be called though nothing happened: what waits would be decided otherwise then, or an engine returns.
    /// Later than the latest pump, and never later than a deadline.
    pub(crate) fn next_wake(&self) -> Option<Instant> {
        let fresh = self.cameras.iter().filter(|camera| camera.is_at_turn()).filter_map(|camera| camera.fresh.front());
        let waiting = fresh.chain(&self.escalated).map(|job| job.review).min()?;
        self.seats().filter_map(|seat| seat.aside_until).chain([waiting]).min()
    }

    /// When [`Desk::pump`] must be called though nothing happened, for what waits or for an engine that does not come back.
    pub(crate) fn next_alarm(&self) -> Option<Instant> {
        self.seats().filter_map(Seat::stuck_at).chain(self.next_wake()).min()
    }

    fn seats(&self) -> impl Iterator<Item = &Seat> {
        self.shifts.iter().flat_map(|shift| &shift.seats)
    }

    /// Goes through everything that waits, those first whose camera has waited longest for a look, then by rank, and acts on what can be acted
    /// on.
    pub(crate) fn pump(&mut self, now: Instant, hands: &mut impl Hands) {
        self.unstick(now, hands);
        for seat in self.shifts.iter_mut().flat_map(|shift| &mut shift.seats) {
            seat.aside_until = seat.aside_until.filter(|until| *until > now);
        }
        let mut round = std::mem::take(&mut self.round);
        loop {
            round.append(&mut self.escalated);
            for camera in &mut self.cameras {
                if camera.is_at_turn() {
                    round.extend(camera.fresh.pop_front());
                }
            }
            let cameras = &self.cameras;
            round.sort_unstable_by_key(|job| {
                let since = cameras[job.camera].waits_since(job);
                (since.is_none(), since, job.rank)
            });
            for seat in self.shifts.iter_mut().flat_map(|shift| &mut shift.seats) {
                (seat.line, seat.latest) = (Duration::ZERO, None);
            }
            let mut moved = false;
            for job in round.drain(..) {
                match self.consider(job, now, hands) {
                    None => moved = true,
                    Some(waiting) if waiting.report.journey.steps.is_empty() => {
                        self.cameras[waiting.camera].fresh.push_front(waiting)
                    }
                    Some(waiting) => self.escalated.push(waiting),
                }
            }
            // A frame that left may have made room for the next of its camera.
            let more = self.cameras.iter().any(|camera| camera.terminal.lossless && camera.active == 0 && !camera.fresh.is_empty());
            if !(moved && more) {
                break;
            }
        }
        self.round = round;
        self.see_off(hands);
    }

    /// Shifts that were relieved and have finished leave.
    fn see_off(&mut self, hands: &mut impl Hands) {
        while let [first, _, ..] = &*self.shifts
            && first.is_through()
            && self.escalated.iter().all(|job| job.shift != first.id)
        {
            hands.retire(first.id);
            self.shifts.remove(0);
        }
    }

    /// Decides about one job; gives it back if it has to wait for a busy engine.
    fn consider(&mut self, mut job: Box<Job>, now: Instant, hands: &mut impl Hands) -> Option<Box<Job>> {
        let terminal = &self.cameras[job.camera].terminal;
        let fresh = job.report.journey.steps.is_empty();
        if is_idle(&job) {
            job.due = Some(now + terminal.deadline);
        }
        let left = job.due.map(|due| due.saturating_duration_since(now));
        let reuse = terminal.reuse.or(self.on_duty().policy.reuse());
        if fresh {
            self.on_duty().take_over(&mut job);
        }
        let turn = self.cameras[job.camera].next_look.filter(|_| !job.lossless);
        let (mode, id) = (self.mode, job.shift);
        let shift = self.shift(id);
        let grant = shift.purse.grant(job.report.sequence, turn, job.captured);
        let allowance = shift.allowance(mode, grant, reuse, left, is_idle(&job), now);
        job.report.grant = grant;
        if !fresh {
            let bound = policy::after_within(&shift.policy, &job.report.journey, &allowance);
            if !matches!(bound.decision, Verdict::Escalate(engine, _) if shift.is_busy(engine)) {
                minutes::after(self.tape.as_ref(), &job, &allowance, bound);
            }
            job.report.withheld = bound.withheld.or(job.report.withheld);
            return match bound.decision {
                Verdict::Escalate(engine, why) => self.ask(engine, why, job, now, hands),
                verdict @ Verdict::Accept(why) => {
                    self.accept(&job, verdict.is_sure());
                    self.close(job, Outcome::Answered, why, now, hands)
                }
                Verdict::Abstain(why) => {
                    let outcome = if job.report.journey.answers() == 0 { Outcome::Failed } else { Outcome::Abstained };
                    self.close(job, outcome, why, now, hands)
                }
            };
        }
        if left.is_some_and(|left| left.is_zero()) && !job.lossless {
            self.cameras[job.camera].owed.turned_down(now);
            self.shift(id).purse.settled(now.saturating_duration_since(job.captured), true);
            minutes::lost(self.tape.as_ref(), &job, DropReason::Late);
            hands.give_up(job, DropReason::Late);
            return None;
        }
        if mode == Mode::Paused {
            return self.close(job, Outcome::Abstained, Reason::bare(Code::Paused), now, hands);
        }
        let camera = &self.cameras[job.camera];
        let situation = Situation {
            sequence: job.report.sequence,
            camera: job.report.camera_index,
            captured: job.captured.saturating_duration_since(self.start),
            features: &job.report.features,
            glimpse: &job.glimpse,
            past: &camera.past,
        };
        let bound = policy::first_within(&self.on_duty().policy, &situation, &allowance);
        if let Choice::Ask(engine, _) = bound.decision
            && let Some(until) = self.kept_for_another(&job, engine, now)
        {
            let due = job.due.filter(|due| *due > now);
            job.review = due.map_or(until, |due| due.min(until));
            return Some(job);
        }
        if !matches!(bound.decision, Choice::Ask(engine, _) if self.on_duty().is_busy(engine)) {
            minutes::first(self.tape.as_ref(), &job, &situation, &allowance, bound);
        }
        job.report.withheld = bound.withheld;
        match bound.decision {
            Choice::Ask(engine, why) => self.ask(engine, why, job, now, hands),
            Choice::Reuse(why) => {
                job.report.journey.answer.clone_from(&camera.last);
                self.close(job, Outcome::Reused, why, now, hands)
            }
            Choice::Abstain(why) => self.close(job, Outcome::Abstained, why, now, hands),
        }
    }

    /// Until when `engine`, which is free, is kept for a camera that has waited much longer than that of `job`; `None`: it is not.
    fn kept_for_another(&self, job: &Job, engine: EngineIdx, now: Instant) -> Option<Instant> {
        let seat = self.on_duty().seats.get(usize::from(engine.0)).filter(|seat| seat.is_free() && !job.lossless)?;
        let (own, cost) = (&self.cameras[job.camera].owed, seat.window.p50());
        // A camera with a frame here has had its turn before this one.
        let others = self.cameras.iter().filter(|other| !other.done && !other.terminal.lossless && other.fresh.is_empty());
        others.filter_map(|other| other.owed.keeps(own, other.terminal.deadline, cost, now)).max()
    }

    /// Shows the frame to `engine`, or gives the job back if that is busy.
    fn ask(&mut self, engine: EngineIdx, why: Reason, mut job: Box<Job>, now: Instant, hands: &mut impl Hands) -> Option<Box<Job>> {
        let id = job.shift;
        let seat = &mut self.shift(id).seats[usize::from(engine.0)];
        if seat.busy_until.is_some() {
            job.rank.patient &= seat.latest.is_none_or(|latest| latest <= job.rank.since);
            job.review = seat.review(&job, is_idle(&job), now);
            seat.line += seat.window.p50();
            return Some(job);
        }
        seat.latest = Some(job.rank.since);
        if job.report.journey.steps.is_empty() {
            let turn = self.cameras[job.camera].next_look;
            let turn = self.shift(id).purse.next_turn(turn, job.captured);
            let camera = &mut self.cameras[job.camera];
            camera.active += 1;
            camera.next_look = Some(turn);
            camera.owed.settled();
            job.report.times.dispatch = now.saturating_duration_since(job.sighted);
        }
        self.forgive(&job, why, now);
        job.asked = (engine, why);
        job.asked_at = now;
        let mut task = job.task(engine, now);
        let shift = self.shift(id);
        let limit = shift.limit;
        job.crowded = shift.seats.iter().any(|seat| seat.held().is_some());
        let seat = &mut shift.seats[usize::from(engine.0)];
        task.ticket = seat.hold(job, limit, now);
        if let Some(job) = seat.held() {
            hands.ask(task, job);
        }
        None
    }

    fn close(
        &mut self,
        mut job: Box<Job>,
        outcome: Outcome,
        why: Reason,
        now: Instant,
        hands: &mut impl Hands,
    ) -> Option<Box<Job>> {
        if job.report.journey.steps.is_empty() {
            job.report.times.dispatch = now.saturating_duration_since(job.sighted);
            // With every engine idle it is not the others who are in the way.
            let crowded = self.seats().any(|seat| seat.held().is_some());
            let owed = &mut self.cameras[job.camera].owed;
            if why.code == Code::OutOfTime && crowded { owed.turned_down(now) } else { owed.settled() }
        } else {
            self.cameras[job.camera].active -= 1;
        }
        self.forgive(&job, why, now);
        job.settle(outcome, why, now);
        let late = job.report.late || (outcome == Outcome::Abstained && why.code == Code::OutOfTime);
        let age = job.report.times.age;
        self.shift(job.shift).purse.settled(age, late);
        minutes::done(self.tape.as_ref(), &job);
        hands.publish(job);
        None
    }

    /// An engine that was turned down for being too slow is not asked, so nothing would show that it has become faster: it is let
    /// forget a little.
    fn forgive(&mut self, job: &Job, why: Reason, now: Instant) {
        let (Code::OutOfTime | Code::Cheaper, Some(due)) = (why.code, job.due) else { return };
        let left = due.saturating_duration_since(now);
        for seat in &mut self.shift(job.shift).seats {
            if seat.is_free() && seat.window.p95() > left && !job.report.journey.asked(seat.index) {
                seat.window.ease();
            }
        }
    }

    /// Remembers an accepted answer, unless a newer frame's is already remembered.
    fn accept(&mut self, job: &Job, sure: bool) {
        if job.shift != self.on_duty().id {
            return; // classes and engines may have other numbers by now
        }
        let reuse = self.on_duty().policy.reuse();
        let captured = job.captured.saturating_duration_since(self.start);
        self.cameras[job.camera].remember(job, captured, sure, reuse);
    }
}

#[cfg(test)]
mod tests;
