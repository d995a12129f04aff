//! The dispatcher: passes events to the scheduler under a lock, and carries out what the scheduler
//! decides.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded, never, select};
use log::{error, info, warn};

use crate::budget::LearnedState;
use crate::engine::EngineIdx;
use crate::events;
use crate::policy::Reuse;
use crate::report::DropReason;
use crate::telemetry::Sample;
use crate::vocabulary::Mode;

use super::clock::{Clock, Stop};
use super::heartbeat::{Activity, Heartbeat};
use super::job::{Job, Task};
use super::pool::Pool;
use super::report_queue::ReportQueue;
use super::scheduler::{Actions, EngineNews, EngineState, Generation, GenerationId, Scheduler};
use super::{DRAIN_LIMIT, Liveness, STOP_LIMIT};
use crate::budget::Stepped;

/// A worker that has news and no task.
#[expect(
    clippy::large_enum_variant,
    reason = "there is one at a time, and a box would be made for every look"
)]
pub(super) enum Taker {
    /// The news come from somebody else.
    Nobody,
    /// It can take a task of its own generation along.
    Free(GenerationId),
    /// It does.
    Takes(Task),
}

/// What the scheduler's decisions do to the world.
pub(super) struct Doer {
    /// Where each generation's workers take their tasks from.
    pub(super) tasks: Vec<(GenerationId, Sender<Task>)>,
    /// Whether the thread that brings the news is a worker, who can take the next task along.
    pub(super) taker: Taker,
    pub(super) report_queue: Arc<ReportQueue>,
    pub(super) pools: Arc<[Pool]>,
}

impl Drop for Doer {
    /// However the dispatcher ends, the sink thread hears of it.
    fn drop(&mut self) {
        self.report_queue.close();
    }
}

impl Actions for Doer {
    fn ask(&mut self, task: Task, _: &Job) {
        if matches!(self.taker, Taker::Free(generation) if generation == task.generation) {
            self.taker = Taker::Takes(task);
            return;
        }
        let inbox = self.tasks.iter().find(|(generation, _)| *generation == task.generation);
        if inbox.is_none_or(|(_, inbox)| inbox.try_send(task).is_err()) {
            // The frame is not lost: the engine will be found stuck, and the frame goes on.
            error!(event = events::BUG; "no worker for a free engine");
        }
    }

    fn publish(&mut self, job: Box<Job>) {
        if let Some((displaced, why)) = self.report_queue.put(job) {
            self.give_up(displaced, why);
        }
    }

    fn give_up(&mut self, job: Box<Job>, why: DropReason) {
        self.pools[job.camera].give_up(job, why);
    }

    fn tell(&mut self, _: EngineIdx, id: &str, news: EngineNews<'_>) {
        match news {
            EngineNews::Failed { error, failures, pause } => warn!(
                event = events::ENGINE_FAILED, engine = id;
                "{error}; failure {failures} in a row, set aside for {} ms", pause.as_millis()
            ),
            EngineNews::Stuck { error } => {
                warn!(event = events::ENGINE_STUCK, engine = id; "{error}; frames go to the other engines")
            }
            EngineNews::Returned { away, pause } => warn!(
                event = events::ENGINE_RETURNED, engine = id;
                "engine `{id}` has come back after {} ms, set aside for {} ms", away.as_millis(), pause.as_millis()
            ),
            EngineNews::Recovered { failures } => {
                info!(event = events::ENGINE_RECOVERED, engine = id; "engine `{id}` answers again after {failures} failures");
            }
        }
    }

    fn drop_generation(&mut self, generation: GenerationId) {
        self.tasks.retain(|(id, _)| *id != generation);
    }
}

/// The scheduler, open to all threads: whoever has news brings it here and, under the lock, acts
/// out what is decided. So a frame is handed on by the thread that is awake anyway; a dispatcher
/// that had to be woken first would cost it a tenth of a millisecond at each step. Nothing done
/// under the lock waits for anybody.
pub(super) struct Dispatcher {
    open: Mutex<Option<Open>>,
    /// What the budget had learned when it closed.
    learned: Mutex<Option<LearnedState>>,
    /// Wakes the minder, see [`Dispatcher::mind`]. One ring waits, more say nothing new.
    bell: (Sender<()>, Receiver<()>),
    clock: Arc<dyn Clock>,
    stop: Stop,
    heartbeat: Arc<Heartbeat>,
    hang_after: Duration,
}

/// What there is while the dispatcher works.
struct Open {
    scheduler: Scheduler,
    actions: Doer,
    /// When the minder looks again by itself.
    alarm: Option<Instant>,
    /// When somebody last had news.
    heard: Instant,
}

impl Dispatcher {
    /// Not open yet: workers are hired before the scheduler is there.
    pub(super) fn new(clock: &Arc<dyn Clock>, stop: &Stop, liveness: &Liveness) -> Arc<Self> {
        Arc::new(Self {
            open: Mutex::new(None),
            learned: Mutex::new(None),
            bell: bounded(1),
            clock: Arc::clone(clock),
            stop: stop.clone(),
            heartbeat: liveness.board.heartbeat("dispatcher"),
            hang_after: liveness.hang_after,
        })
    }

    /// Takes up work.
    pub(super) fn open(&self, scheduler: Scheduler, actions: Doer) {
        let heard = self.clock.now();
        *self.open.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(Open { scheduler, actions, alarm: None, heard });
    }

    /// A step of the budget: readings of the board, the local minute of the day. `None` once the
    /// dispatcher is gone.
    pub(super) fn budget(
        &self,
        at: Duration,
        sample: &Sample,
        minute: Option<u16>,
    ) -> Option<Stepped> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.as_mut().map(|open| open.scheduler.budget(at, sample, minute))
    }

    /// What the budget has learned; after the end, what it had learned by then.
    pub(super) fn learned(&self) -> Option<LearnedState> {
        match self.open.lock().unwrap_or_else(PoisonError::into_inner).as_ref() {
            Some(open) => open.scheduler.learned(),
            None => self.learned.lock().unwrap_or_else(PoisonError::into_inner).take(),
        }
    }

    /// A frame is there. Gives the job back if the dispatcher is gone (an error), or if the policy
    /// in force reads features and this frame has none: it came while the policy changed.
    pub(super) fn new_frame(&self, job: Box<Job>) -> Result<Option<Box<Job>>, Box<Job>> {
        let stopped = self.stop.is_stopped();
        self.news(job, |open, job, now| {
            if stopped {
                open.actions.give_up(job, DropReason::Stopped);
            } else if open.scheduler.accepts(&job) {
                open.scheduler.new_frame(job, now, &mut open.actions);
            } else {
                return Some(job);
            }
            None
        })
    }

    /// An engine is through with a look: what the worker that brings it is to do next, if anything.
    /// Gives the task back if the dispatcher is gone.
    #[expect(clippy::result_large_err, reason = "it goes back to who brought it, and nowhere else")]
    pub(super) fn look_finished(&self, task: Task) -> Result<Option<Task>, Task> {
        self.news(task, |open, task, now| {
            open.actions.taker = Taker::Free(task.generation);
            open.scheduler.look_finished(task, now, &mut open.actions);
            match std::mem::replace(&mut open.actions.taker, Taker::Nobody) {
                Taker::Takes(task) => Some(task),
                Taker::Free(_) | Taker::Nobody => None,
            }
        })
    }

    /// New engines are in force, whose tasks go to `tasks`. False if the dispatcher is gone.
    pub(super) fn swap_engines(&self, generation: Generation, tasks: Sender<Task>) -> bool {
        self.act(|open, now| {
            open.actions.tasks.push((generation.id, tasks));
            open.scheduler.swap_engines(generation, now, &mut open.actions);
        })
        .is_some()
    }

    /// How hard to look from now on.
    pub(super) fn set_mode(&self, mode: Mode) {
        self.act(|open, now| open.scheduler.set_mode(mode, now, &mut open.actions));
    }

    /// How a camera wants its frames treated from now on.
    pub(super) fn tune(&self, camera: usize, deadline: Duration, reuse: Option<Reuse>) {
        self.act(|open, _| open.scheduler.tune(camera, deadline, reuse));
    }

    /// The mode and the engines in force; nothing if the dispatcher is gone.
    pub(super) fn state(&self) -> Option<(Mode, Vec<EngineState>)> {
        self.act(|open, now| (open.scheduler.mode(), open.scheduler.engines(now)))
    }

    /// True once the tasks of `generation` are at an end.
    pub(super) fn has_dropped(&self, generation: GenerationId) -> bool {
        self.act(|open, _| open.actions.tasks.iter().all(|(id, _)| *id != generation))
            .unwrap_or(true)
    }

    fn act<N>(&self, act: impl FnOnce(&mut Open, Instant) -> N) -> Option<N> {
        let mut guard = self.open.lock().ok()?;
        let open = guard.as_mut()?;
        let now = self.clock.now();
        let outcome = act(open, now);
        drop(guard);
        self.ring();
        Some(outcome)
    }

    /// A camera will send no more.
    pub(super) fn ended(&self, camera: usize) {
        // If the dispatcher is gone, nobody needs to know.
        let _ = self.news(camera, |open, camera, _| open.scheduler.ended(camera));
        self.ring();
    }

    fn news<T, N>(&self, what: T, act: impl FnOnce(&mut Open, T, Instant) -> N) -> Result<N, T> {
        // A poisoned lock is a scheduler that panicked: gone.
        let Ok(mut guard) = self.open.lock() else { return Err(what) };
        let Some(open) = guard.as_mut() else { return Err(what) };
        open.heard = self.clock.now();
        let next = act(open, what, open.heard);
        let sooner = open
            .scheduler
            .next_alarm()
            .is_some_and(|wake| open.alarm.is_none_or(|alarm| wake < alarm));
        let ring = sooner || open.scheduler.is_done();
        drop(guard);
        if ring {
            self.ring();
        }
        Ok(next)
    }

    fn ring(&self) {
        let _ = self.bell.0.try_send(());
    }

    /// The dispatcher's own thread, until all frames have gone their way: wakes the scheduler when
    /// a deadline passes, and tells it to stop. When nothing more comes it waits [`DRAIN_LIMIT`]
    /// for a sign of life, then leaves whatever an engine has not given back.
    pub(super) fn mind(&self) {
        let _closing = Closing(self);
        let mut signal = self.stop.signal().clone();
        let mut stopping = false;
        loop {
            self.heartbeat.begin(Activity::Deciding, self.hang_after);
            let Some(patience) = self.look(&mut stopping) else { break };
            // Frames flow without it for as long as no deadline passes: it shows itself though
            // there is nothing to do.
            let patience = patience.min(self.hang_after / 2);
            self.heartbeat.begin(Activity::Idle, self.hang_after);
            select! {
                recv(self.bell.1) -> _ => (),
                recv(signal) -> _ => {
                    signal = never();
                    stopping = true;
                }
                default(patience) => (),
            }
        }
        self.heartbeat.end();
    }

    /// Brings the scheduler up to date; `stopping` tells it once to give up what no engine has
    /// seen. How long until the next look, `None` if all is over.
    fn look(&self, stopping: &mut bool) -> Option<Duration> {
        let mut guard = self.open.lock().ok()?;
        let open = guard.as_mut()?;
        let now = self.clock.now();
        if std::mem::take(stopping) {
            open.heard = now;
            open.scheduler.stop(&mut open.actions);
        }
        open.scheduler.pump(now, &mut open.actions);
        if open.scheduler.is_done() {
            return None;
        }
        let limit = match (self.stop.is_stopped(), open.scheduler.has_ended()) {
            (true, _) => Some(STOP_LIMIT),
            // An engine that does not come back is found stuck before.
            (false, true) => Some(DRAIN_LIMIT),
            (false, false) => None,
        };
        let silent_at = limit.map(|limit| open.heard + limit);
        if let (Some(at), Some(limit)) = (silent_at, limit)
            && at <= now
        {
            error!(event = events::LEFT_BEHIND; "an engine or a camera has not come to its end within {limit:?} and is left behind");
            return None;
        }
        open.alarm = open.scheduler.next_alarm().into_iter().chain(silent_at).min();
        Some(open.alarm.map_or(LONG, |at| at.saturating_duration_since(now)))
    }
}

/// Closes the dispatcher, however its thread ends: the workers go home then, and the sink thread
/// hears of it.
struct Closing<'a>(&'a Dispatcher);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        let open = self.0.open.lock().unwrap_or_else(PoisonError::into_inner).take();
        if !std::thread::panicking() {
            *self.0.learned.lock().unwrap_or_else(PoisonError::into_inner) =
                open.as_ref().and_then(|open| open.scheduler.learned());
        }
        drop(open);
    }
}

/// While nothing waits.
const LONG: Duration = Duration::from_secs(3600);
