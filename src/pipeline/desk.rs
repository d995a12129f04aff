//! The dispatcher's desk: which frame is shown to which engine next, told by policy, deadlines and who is free.
//!
//! Pure: the time is handed in, the hands that act are a trait. What waits here is bounded by the jobs of the cameras: a live
//! camera has at most one frame waiting for its first engine (a newer one takes its place *and its rank*, see [`Rank`]), a camera
//! that must not lose frames has one frame at the engines at a time and the rest in line.

mod seat;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::engine::{Answer, EngineIdx, MAX_ENGINES, score};
use crate::policy::{self, Allowance, Choice, Code, LastAnswer, Past, Policy, Reason, Reuse, Situation, Step, Verdict};
use crate::report::{DropReason, Outcome};
use crate::stats::LatencyWindow;

use super::job::{Job, Rank};
use seat::Seat;

/// What the desk asks the outside to do. Nothing here may block.
pub(crate) trait Hands {
    /// Give the job to the worker of `engine`, which is free.
    fn ask(&mut self, engine: EngineIdx, job: Box<Job>);
    /// The report is complete.
    fn publish(&mut self, job: Box<Job>);
    /// The frame is given up before any report.
    fn give_up(&mut self, job: Box<Job>, why: DropReason);
    /// `engine` failed; it is set aside for `pause`. `failures` in a row, 1 or more.
    fn set_aside(&mut self, engine: EngineIdx, job: &Job, failures: u32, pause: Duration);
    /// `engine` answered again after `failures` in a row.
    fn recovered(&mut self, engine: EngineIdx, failures: u32);
}

/// How one camera wants its frames treated.
pub(crate) struct Terminal {
    /// Latest moment for an answer: after capture, or, for a camera that must not lose frames, after the frame's turn came.
    pub(crate) deadline: Duration,
    /// True if every frame is worth waiting for.
    pub(crate) lossless: bool,
    /// Whether the last answer may be given again.
    pub(crate) reuse: Option<Reuse>,
    /// Most jobs the camera has.
    pub(crate) jobs: usize,
}

struct Camera {
    terminal: Terminal,
    past: Past,
    last: Answer,
    /// Jobs at an engine, or waiting for a second one.
    active: usize,
    /// Frames that no engine has seen yet.
    fresh: VecDeque<Box<Job>>,
    done: bool,
}

impl Camera {
    /// False while a camera that must not lose frames has one at the engines.
    fn is_at_turn(&self) -> bool {
        !self.terminal.lossless || self.active == 0
    }
}

/// True for a frame whose time has not begun to run: that of a camera that must not lose frames runs from the first look.
fn is_idle(job: &Job) -> bool {
    job.lossless && job.report.journey.steps.is_empty()
}

/// State of the dispatcher.
#[expect(clippy::vec_box, reason = "jobs go on in their boxes, and a box is what can be moved cheaply")]
pub(crate) struct Desk {
    policy: Policy,
    start: Instant,
    cameras: Vec<Camera>,
    seats: Vec<Seat>,
    /// Jobs that have an answer and wait for a further engine.
    escalated: Vec<Box<Job>>,
    /// Room for going through what waits, kept.
    round: Vec<Box<Job>>,
}

impl Desk {
    /// `windows`: what each engine of the policy is expected to cost, by index.
    pub(crate) fn new(
        policy: Policy,
        windows: Vec<LatencyWindow>,
        terminals: Vec<Terminal>,
        classes: usize,
        start: Instant,
    ) -> Self {
        let jobs = terminals.iter().map(|terminal| terminal.jobs).sum();
        let camera = |terminal: Terminal| Camera {
            past: Past::default(),
            last: Answer::with_classes(classes),
            active: 0,
            fresh: VecDeque::with_capacity(terminal.jobs + 1),
            done: false,
            terminal,
        };
        Self {
            policy,
            start,
            cameras: terminals.into_iter().map(camera).collect(),
            seats: windows.into_iter().map(Seat::new).collect(),
            escalated: Vec::with_capacity(jobs),
            round: Vec::with_capacity(jobs),
        }
    }

    /// A frame has been measured.
    pub(crate) fn sighting(&mut self, mut job: Box<Job>, now: Instant, hands: &mut impl Hands) {
        let camera = &mut self.cameras[job.camera];
        let Terminal { deadline, lossless, .. } = camera.terminal;
        job.rank = Rank { patient: true, due: if lossless { now } else { job.captured } + deadline, since: now };
        if !lossless {
            job.due = Some(job.captured + deadline);
            if let Some(older) = camera.fresh.pop_front() {
                job.rank = older.rank;
                hands.give_up(older, DropReason::Busy);
            }
        }
        camera.fresh.push_back(job);
        self.pump(now, hands);
    }

    /// An engine has looked, or failed.
    pub(crate) fn looked(&mut self, mut job: Box<Job>, now: Instant, hands: &mut impl Hands) {
        let (engine, why) = job.asked;
        let seat = &mut self.seats[usize::from(engine.0)];
        seat.busy_until = None;
        let queued = job.begun_at.saturating_duration_since(job.asked_at);
        let mut step = Step {
            engine,
            why,
            answered: false,
            queued,
            times: Default::default(),
            top: Default::default(),
            margin: 0.0,
            entropy: 0.0,
        };
        match &job.result {
            Ok(times) => {
                let failures = seat.answered(times.preprocess + times.run + times.rank);
                if failures > 0 {
                    hands.recovered(engine, failures);
                }
                let own = &job.own;
                step = Step { answered: true, times: *times, top: own.top[0], margin: own.margin, entropy: own.entropy, ..step };
            }
            Err(_) => {
                let (failures, pause) = seat.failed(now);
                hands.set_aside(engine, &job, failures, pause);
            }
        }
        let journey = &mut job.report.journey;
        let earlier = if self.policy.averages() { journey.answers() as u32 } else { 0 };
        if step.answered && earlier > 0 {
            score::absorb(&mut journey.answer, &job.own, earlier + 1);
        } else if step.answered {
            std::mem::swap(&mut journey.answer, &mut job.own);
        }
        journey.steps.push(step);
        self.escalated.push(job);
        self.pump(now, hands);
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
                hands.give_up(job, DropReason::Stopped);
            }
        }
    }

    /// True once every camera has ended and nothing is on its way.
    pub(crate) fn is_done(&self) -> bool {
        self.escalated.is_empty() && self.cameras.iter().all(|camera| camera.done && camera.active == 0 && camera.fresh.is_empty())
    }

    /// When [`Desk::pump`] must be called though nothing happened: what waits would be decided otherwise then, or an engine returns.
    /// Later than the latest pump, and never later than a deadline.
    pub(crate) fn next_wake(&self) -> Option<Instant> {
        let fresh = self.cameras.iter().filter(|camera| camera.is_at_turn()).filter_map(|camera| camera.fresh.front());
        let waiting = fresh.chain(&self.escalated).map(|job| job.review).min()?;
        self.seats.iter().filter_map(|seat| seat.aside_until).chain([waiting]).min()
    }

    /// Goes through everything that waits, lowest rank first, and acts on what can be acted on.
    pub(crate) fn pump(&mut self, now: Instant, hands: &mut impl Hands) {
        for seat in &mut self.seats {
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
            round.sort_unstable_by_key(|job| job.rank);
            for seat in &mut self.seats {
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
    }

    /// Decides about one job; gives it back if it has to wait for a busy engine.
    fn consider(&mut self, mut job: Box<Job>, now: Instant, hands: &mut impl Hands) -> Option<Box<Job>> {
        let terminal = &self.cameras[job.camera].terminal;
        let fresh = job.report.journey.steps.is_empty();
        if is_idle(&job) {
            job.due = Some(now + terminal.deadline);
        }
        let left = job.due.map(|due| due.saturating_duration_since(now));
        let allowance = self.allowance(terminal.reuse, left, is_idle(&job), now);
        if !fresh {
            return match policy::after(&self.policy, &job.report.journey, &allowance) {
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
            hands.give_up(job, DropReason::Late);
            return None;
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
        match policy::first(&self.policy, &situation, &allowance) {
            Choice::Ask(engine, why) => self.ask(engine, why, job, now, hands),
            Choice::Reuse(why) => {
                job.report.journey.answer.clone_from(&camera.last);
                self.close(job, Outcome::Reused, why, now, hands)
            }
            Choice::Abstain(why) => self.close(job, Outcome::Abstained, why, now, hands),
        }
    }

    /// Gives the job to `engine`, or back if that is busy.
    fn ask(&mut self, engine: EngineIdx, why: Reason, mut job: Box<Job>, now: Instant, hands: &mut impl Hands) -> Option<Box<Job>> {
        let seat = &mut self.seats[usize::from(engine.0)];
        if seat.busy_until.is_some() {
            job.rank.patient &= seat.latest.is_none_or(|latest| latest <= job.rank.since);
            job.review = seat.review(&job, is_idle(&job), now);
            seat.line += seat.window.p50();
            return Some(job);
        }
        seat.busy_until = Some(now + seat.window.p95());
        seat.latest = Some(job.rank.since);
        if job.report.journey.steps.is_empty() {
            self.cameras[job.camera].active += 1;
            job.report.times.dispatch = now.saturating_duration_since(job.sighted);
        }
        self.forgive(&job, why, now);
        job.asked = (engine, why);
        job.asked_at = now;
        hands.ask(engine, job);
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
        } else {
            self.cameras[job.camera].active -= 1;
        }
        self.forgive(&job, why, now);
        job.settle(outcome, why, now);
        hands.publish(job);
        None
    }

    /// An engine that was turned down for being too slow is not asked, so nothing would show that it has become faster: it is let
    /// forget a little.
    fn forgive(&mut self, job: &Job, why: Reason, now: Instant) {
        let (Code::OutOfTime | Code::Cheaper, Some(due)) = (why.code, job.due) else { return };
        let left = due.saturating_duration_since(now);
        for (seat, index) in self.seats.iter_mut().zip(0..) {
            let idle = seat.busy_until.is_none() && seat.aside_until.is_none();
            if idle && seat.window.p95() > left && !job.report.journey.asked(EngineIdx(index)) {
                seat.window.ease();
            }
        }
    }

    /// Remembers an accepted answer, unless a newer frame's is already remembered.
    fn accept(&mut self, job: &Job, sure: bool) {
        let camera = &mut self.cameras[job.camera];
        let report = &job.report;
        if camera.past.last.is_some_and(|last| last.sequence >= report.sequence) {
            return;
        }
        let answer = &report.journey.answer;
        camera.past.last = Some(LastAnswer {
            top: answer.top[0],
            margin: answer.margin,
            entropy: answer.entropy,
            engine: job.asked.0,
            sure,
            glimpse: job.glimpse,
            sequence: report.sequence,
            captured: job.captured.saturating_duration_since(self.start),
        });
        if camera.terminal.reuse.is_some() {
            camera.last.clone_from(answer);
        }
    }

    fn allowance(&self, reuse: Option<Reuse>, remaining: Option<Duration>, idle: bool, now: Instant) -> Allowance {
        let mut engines = [None; MAX_ENGINES];
        for (slot, seat) in engines.iter_mut().zip(&self.seats) {
            *slot = seat.terms(idle, now);
        }
        Allowance { remaining, engines, reuse }
    }
}

#[cfg(test)]
mod tests;
