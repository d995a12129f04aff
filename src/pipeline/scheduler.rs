//! The scheduler: which frame goes to which engine next, by policy, deadlines and free engines.
//!
//! Pure: the time is an argument, and [`Actions`] is the trait of what it makes others do. The jobs
//! of the cameras bound what waits here: a live camera has at most one frame waiting for its first
//! engine (a newer one takes its place *and its rank*, see [`Rank`]); a camera that must not lose
//! frames has one frame at the engines at a time and the rest in a queue.

mod actions;
mod camera;
mod fairness;
mod trace_hooks;

mod generation;
mod slot;
mod steer;

use std::time::{Duration, Instant};

use crate::engine::{Answer, EngineError, EngineIdx};
use crate::policy::{self, Choice, Code, Reason, Situation, Verdict};
use crate::report::{DropReason, Outcome};
use crate::trace::TraceQueue;
use crate::vocabulary::Mode;

use super::job::{Job, Rank, Task};
pub use actions::EngineState;
pub(crate) use actions::{Actions, EngineNews};
use camera::Camera;
pub(crate) use camera::CameraTerms;
pub(crate) use generation::{Generation, GenerationId};
use slot::EngineSlot;

const CURRENT: &str = "a generation is there from the start, and the last one is never dropped";

/// True for a frame whose time has not begun to run: that of a camera that must not lose frames
/// runs from the first look.
fn is_idle(job: &Job) -> bool {
    job.lossless && job.report.attempts.steps.is_empty()
}

/// State of the dispatcher.
#[expect(
    clippy::vec_box,
    reason = "jobs go on in their boxes, and a box is what can be moved cheaply"
)]
pub(crate) struct Scheduler {
    start: Instant,
    cameras: Vec<Camera>,
    /// The last one is in force; those before finish what they have begun.
    generations: Vec<Generation>,
    mode: Mode,
    /// Jobs that have an answer and wait for a further engine.
    escalated: Vec<Box<Job>>,
    /// Room for going through what waits, kept.
    round: Vec<Box<Job>>,
    /// Where everything that decides is written down, if somebody wants it.
    trace: Option<TraceQueue>,
}

impl Scheduler {
    /// `generation` is in force.
    pub(crate) fn new(
        generation: Generation,
        cameras_terms: Vec<CameraTerms>,
        start: Instant,
    ) -> Self {
        let jobs = cameras_terms.iter().map(|terms| terms.jobs).sum();
        let classes = generation.labels.classes.len();
        Self {
            start,
            cameras: cameras_terms.into_iter().map(|terms| Camera::new(terms, classes)).collect(),
            generations: vec![generation],
            mode: Mode::default(),
            escalated: Vec::with_capacity(jobs),
            round: Vec::with_capacity(jobs),
            trace: None,
        }
    }

    fn current(&self) -> &Generation {
        self.generations.last().expect(CURRENT)
    }

    /// The generation that a frame is with.
    fn of(&self, job: &Job) -> &Generation {
        self.generations
            .iter()
            .find(|generation| generation.id == job.generation)
            .unwrap_or_else(|| self.current())
    }

    /// The generation that a frame is with.
    fn generation(&mut self, id: GenerationId) -> &mut Generation {
        let at = self
            .generations
            .iter()
            .position(|generation| generation.id == id)
            .unwrap_or(self.generations.len() - 1);
        &mut self.generations[at]
    }

    /// True if the policy in force can decide about this frame: it reads no features, or they were
    /// measured.
    pub(crate) fn accepts(&self, job: &Job) -> bool {
        job.measured || !self.current().policy.reads_features()
    }

    /// A frame is there that [`Scheduler::accepts`].
    pub(crate) fn new_frame(
        &mut self,
        mut job: Box<Job>,
        now: Instant,
        actions: &mut impl Actions,
    ) {
        self.generations.last_mut().expect(CURRENT).account.frame();
        self.current().take_over(&mut job);
        let camera = &mut self.cameras[job.camera];
        let CameraTerms { deadline, lossless, .. } = camera.terms;
        job.rank = Rank {
            patient: true,
            due: if lossless { now } else { job.captured } + deadline,
            since: now,
        };
        camera.fairness.sighted(now);
        if !lossless {
            job.due = Some(job.captured + deadline);
            if let Some(older) = camera.fresh.pop_front() {
                job.rank = older.rank;
                camera.fairness.turned_down(now);
                trace_hooks::lost(self.trace.as_ref(), &older, DropReason::Busy);
                actions.give_up(older, DropReason::Busy);
            }
        }
        camera.fresh.push_back(job);
        self.pump(now, actions);
    }

    /// An engine is through with a look, or failed at it.
    pub(crate) fn look_finished(&mut self, task: Task, now: Instant, actions: &mut impl Actions) {
        let Task { generation, engine, ticket, frame, own, begun_at, result, .. } = task;
        drop(frame); // before the job is closed, so that the picture goes back to its camera
        let Some(at) = self.generations.iter().position(|on| on.id == generation) else { return };
        let Generation { slots, account, .. } = &mut self.generations[at];
        let others = slots.iter().any(|slot| slot.index != engine && slot.held().is_some());
        let slot = &mut slots[usize::from(engine.0)];
        match slot.give_back(ticket) {
            Some(mut job) => {
                (job.own, job.begun_at) = (own, begun_at);
                match &result {
                    Ok(times) => {
                        let cost = times.preprocess + times.run + times.rank;
                        let crowded = others || job.crowded;
                        account.looked(engine, cost, crowded);
                        trace_hooks::look(self.trace.as_ref(), generation, engine, cost, crowded);
                        let failures = slot.answered(cost, now);
                        if failures > 0 {
                            actions.tell(engine, &slot.id, EngineNews::Recovered { failures });
                        }
                    }
                    Err(error) => {
                        let (failures, pause) = slot.failed(now);
                        actions.tell(
                            engine,
                            &slot.id,
                            EngineNews::Failed { error, failures, pause },
                        );
                    }
                }
                self.generations[at].note(&mut job, result.ok());
                self.escalated.push(job);
            }
            None => {
                if let Some((away, pause)) = slot.returned(ticket, now) {
                    actions.tell(engine, &slot.id, EngineNews::Returned { away, pause });
                }
            }
        }
        self.pump(now, actions);
    }

    /// Engines that have not come back in time are stuck: their frames go on without them.
    fn unstick(&mut self, now: Instant, actions: &mut impl Actions) {
        for generation in &mut self.generations {
            for at in 0..generation.slots.len() {
                let slot = &mut generation.slots[at];
                let Some((mut job, waited)) = slot.stick(now) else { continue };
                let error = EngineError::Stuck { id: slot.id.to_string(), waited };
                actions.tell(slot.index, &slot.id, EngineNews::Stuck { error: &error });
                // What it was to write to is still in its hands.
                job.own = Answer::with_classes(generation.labels.classes.len());
                job.begun_at = job.asked_at;
                if job.lossless {
                    job.due = Some(now + self.cameras[job.camera].terms.deadline); // worth waiting for: its time begins again
                }
                generation.note(&mut job, None);
                self.escalated.push(job);
            }
        }
    }

    /// When [`Scheduler::pump`] must be called though nothing happened: what waits would be decided
    /// otherwise then, or an engine returns. Later than the latest pump, and never later than a
    /// deadline.
    pub(crate) fn next_wake(&self) -> Option<Instant> {
        let fresh = self
            .cameras
            .iter()
            .filter(|camera| camera.is_at_turn())
            .filter_map(|camera| camera.fresh.front());
        let waiting = fresh.chain(&self.escalated).map(|job| job.review).min()?;
        self.slots().filter_map(|slot| slot.aside_until).chain([waiting]).min()
    }

    /// When [`Scheduler::pump`] must be called though nothing happened, for what waits or for an
    /// engine that does not come back.
    pub(crate) fn next_alarm(&self) -> Option<Instant> {
        self.slots().filter_map(EngineSlot::stuck_at).chain(self.next_wake()).min()
    }

    fn slots(&self) -> impl Iterator<Item = &EngineSlot> {
        self.generations.iter().flat_map(|generation| &generation.slots)
    }

    /// Goes through everything that waits, those first whose camera has waited longest for a look,
    /// then by rank, and acts on what can be acted on.
    pub(crate) fn pump(&mut self, now: Instant, actions: &mut impl Actions) {
        self.unstick(now, actions);
        for slot in self.generations.iter_mut().flat_map(|generation| &mut generation.slots) {
            slot.aside_until = slot.aside_until.filter(|until| *until > now);
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
            for slot in self.generations.iter_mut().flat_map(|generation| &mut generation.slots) {
                (slot.line, slot.latest) = (Duration::ZERO, None);
            }
            let mut moved = false;
            for job in round.drain(..) {
                match self.consider(job, now, actions) {
                    None => moved = true,
                    Some(waiting) if waiting.report.attempts.steps.is_empty() => {
                        self.cameras[waiting.camera].fresh.push_front(waiting)
                    }
                    Some(waiting) => self.escalated.push(waiting),
                }
            }
            // A frame that left may have made room for the next of its camera.
            let more = self.cameras.iter().any(|camera| {
                camera.terms.lossless && camera.active == 0 && !camera.fresh.is_empty()
            });
            if !(moved && more) {
                break;
            }
        }
        self.round = round;
        self.drain(actions);
    }

    /// Generations that were relieved and have finished leave.
    fn drain(&mut self, actions: &mut impl Actions) {
        while let [first, _, ..] = &*self.generations
            && first.is_through()
            && self.escalated.iter().all(|job| job.generation != first.id)
            && self
                .cameras
                .iter()
                .flat_map(|camera| &camera.fresh)
                .all(|job| job.generation != first.id || self.accepts(job))
        {
            actions.drop_generation(first.id);
            self.generations.remove(0);
        }
    }

    /// Decides about one job; gives it back if it has to wait for a busy engine.
    fn consider(
        &mut self,
        mut job: Box<Job>,
        now: Instant,
        actions: &mut impl Actions,
    ) -> Option<Box<Job>> {
        let terms = &self.cameras[job.camera].terms;
        let fresh = job.report.attempts.steps.is_empty();
        if is_idle(&job) {
            job.due = Some(now + terms.deadline);
        }
        let left = job.due.map(|due| due.saturating_duration_since(now));
        // A frame that waits since before the policy came that reads features is decided by the one
        // before.
        if fresh && self.accepts(&job) {
            self.current().take_over(&mut job);
        }
        let reuse = self.cameras[job.camera].terms.reuse.or(self.of(&job).policy.reuse());
        let turn = self.cameras[job.camera].next_look.filter(|_| !job.lossless);
        let (mode, id) = (self.mode, job.generation);
        let generation = self.generation(id);
        let grant = generation.account.grant(job.report.sequence, turn, job.captured);
        let allowance = generation.allowance(mode, grant, reuse, left, is_idle(&job), now);
        job.report.grant = grant;
        if !fresh {
            let bound = policy::after_within(&generation.policy, &job.report.attempts, &allowance);
            if !matches!(bound.decision, Verdict::Escalate(engine, _) if generation.is_busy(engine))
            {
                trace_hooks::after(self.trace.as_ref(), &job, &allowance, bound);
            }
            job.report.withheld = bound.withheld.or(job.report.withheld);
            return match bound.decision {
                Verdict::Escalate(engine, why) => self.ask(engine, why, job, now, actions),
                verdict @ Verdict::Accept(why) => {
                    self.accept(&job, verdict.is_sure());
                    self.close(job, Outcome::Answered, why, now, actions)
                }
                Verdict::Abstain(why) => {
                    let outcome = if job.report.attempts.answers() == 0 {
                        Outcome::Failed
                    } else {
                        Outcome::Abstained
                    };
                    self.close(job, outcome, why, now, actions)
                }
            };
        }
        if left.is_some_and(|left| left.is_zero()) && !job.lossless {
            self.cameras[job.camera].fairness.turned_down(now);
            self.generation(id).account.settled(now.saturating_duration_since(job.captured), true);
            trace_hooks::lost(self.trace.as_ref(), &job, DropReason::Late);
            actions.give_up(job, DropReason::Late);
            return None;
        }
        if mode == Mode::Paused {
            return self.close(job, Outcome::Abstained, Reason::bare(Code::Paused), now, actions);
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
        let bound = policy::first_within(&self.of(&job).policy, &situation, &allowance);
        if let Choice::Ask(engine, _) = bound.decision
            && let Some(until) = self.kept_for_another(&job, engine, now)
        {
            let due = job.due.filter(|due| *due > now);
            job.review = due.map_or(until, |due| due.min(until));
            return Some(job);
        }
        if !matches!(bound.decision, Choice::Ask(engine, _) if self.of(&job).is_busy(engine)) {
            trace_hooks::first(self.trace.as_ref(), &job, &situation, &allowance, bound);
        }
        job.report.withheld = bound.withheld;
        match bound.decision {
            Choice::Ask(engine, why) => self.ask(engine, why, job, now, actions),
            Choice::Reuse(why) => {
                job.report.attempts.answer.clone_from(&camera.last);
                self.close(job, Outcome::Reused, why, now, actions)
            }
            Choice::Abstain(why) => self.close(job, Outcome::Abstained, why, now, actions),
        }
    }

    /// Until when `engine`, which is free, is kept for a camera that has waited much longer than
    /// that of `job`; `None`: it is not.
    fn kept_for_another(&self, job: &Job, engine: EngineIdx, now: Instant) -> Option<Instant> {
        let slot = self
            .of(job)
            .slots
            .get(usize::from(engine.0))
            .filter(|slot| slot.is_free() && !job.lossless)?;
        let (own, cost) = (&self.cameras[job.camera].fairness, slot.window.p50());
        // A camera with a frame here has had its turn before this one.
        let others = self
            .cameras
            .iter()
            .filter(|other| !other.done && !other.terms.lossless && other.fresh.is_empty());
        others.filter_map(|other| other.fairness.keeps(own, other.terms.deadline, cost, now)).max()
    }

    /// Shows the frame to `engine`, or gives the job back if that is busy.
    fn ask(
        &mut self,
        engine: EngineIdx,
        why: Reason,
        mut job: Box<Job>,
        now: Instant,
        actions: &mut impl Actions,
    ) -> Option<Box<Job>> {
        let id = job.generation;
        let slot = &mut self.generation(id).slots[usize::from(engine.0)];
        if slot.busy_until.is_some() {
            job.rank.patient &= slot.latest.is_none_or(|latest| latest <= job.rank.since);
            job.review = slot.review(&job, is_idle(&job), now);
            slot.line += slot.window.p50();
            return Some(job);
        }
        slot.latest = Some(job.rank.since);
        if job.report.attempts.steps.is_empty() {
            let turn = self.cameras[job.camera].next_look;
            let turn = self.generation(id).account.next_turn(turn, job.captured);
            let camera = &mut self.cameras[job.camera];
            camera.active += 1;
            camera.next_look = Some(turn);
            camera.fairness.settled();
            job.report.times.dispatch = now.saturating_duration_since(job.sighted);
        }
        self.ease_slow_engines(&job, why, now);
        job.asked = (engine, why);
        job.asked_at = now;
        let mut task = job.task(engine, now);
        let generation = self.generation(id);
        let limit = generation.limit;
        job.crowded = generation.slots.iter().any(|slot| slot.held().is_some());
        let slot = &mut generation.slots[usize::from(engine.0)];
        task.ticket = slot.hold(job, limit, now);
        if let Some(job) = slot.held() {
            actions.ask(task, job);
        }
        None
    }

    fn close(
        &mut self,
        mut job: Box<Job>,
        outcome: Outcome,
        why: Reason,
        now: Instant,
        actions: &mut impl Actions,
    ) -> Option<Box<Job>> {
        if job.report.attempts.steps.is_empty() {
            job.report.times.dispatch = now.saturating_duration_since(job.sighted);
            // With every engine idle it is not the others who are in the way.
            let crowded = self.slots().any(|slot| slot.held().is_some());
            let fairness = &mut self.cameras[job.camera].fairness;
            if why.code == Code::OutOfTime && crowded {
                fairness.turned_down(now)
            } else {
                fairness.settled()
            }
        } else {
            self.cameras[job.camera].active -= 1;
        }
        self.ease_slow_engines(&job, why, now);
        job.settle(outcome, why, now);
        let late =
            job.report.late || (outcome == Outcome::Abstained && why.code == Code::OutOfTime);
        let age = job.report.times.age;
        self.generation(job.generation).account.settled(age, late);
        trace_hooks::done(self.trace.as_ref(), &job);
        actions.publish(job);
        None
    }

    /// An engine that was turned down for being too slow is not asked, so nothing would show that
    /// it has become faster: its expected time is lowered a little.
    fn ease_slow_engines(&mut self, job: &Job, why: Reason, now: Instant) {
        let (Code::OutOfTime | Code::Cheaper, Some(due)) = (why.code, job.due) else { return };
        let left = due.saturating_duration_since(now);
        for slot in &mut self.generation(job.generation).slots {
            if slot.is_free() && slot.window.p95() > left && !job.report.attempts.asked(slot.index)
            {
                slot.window.ease();
            }
        }
    }

    /// Remembers an accepted answer, unless a newer frame's is already remembered.
    fn accept(&mut self, job: &Job, sure: bool) {
        if job.generation != self.current().id {
            return; // classes and engines may have other numbers by now
        }
        let reuse = self.current().policy.reuse();
        let captured = job.captured.saturating_duration_since(self.start);
        self.cameras[job.camera].remember(job, captured, sure, reuse);
    }
}

#[cfg(test)]
mod tests;
