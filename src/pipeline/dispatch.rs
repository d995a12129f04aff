//! The dispatcher: brings news to the desk, and acts out what the desk decides.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded, never, select};
use log::{error, info, warn};

use crate::engine::EngineIdx;
use crate::report::DropReason;

use super::DRAIN_LIMIT;
use super::clock::{Clock, Stop};
use super::desk::{Desk, Hands};
use super::job::{Job, Ledger};
use super::outbox::Outbox;
use super::worker::Task;

/// Where a camera's jobs go back to, and its counts.
pub(super) struct Pool {
    pub(super) name: Arc<str>,
    pub(super) recycle: Sender<Box<Job>>,
    pub(super) ledger: Arc<Ledger>,
}

impl Pool {
    /// Takes a job back; there is always room, since it came from here.
    pub(super) fn take_back(&self, mut job: Box<Job>) {
        job.frame = None;
        let _ = self.recycle.try_send(job);
    }

    /// Takes back the job of a frame of which there will be no report.
    pub(super) fn give_up(&self, job: Box<Job>, why: DropReason) {
        self.ledger.lose(why, 1);
        self.take_back(job);
    }
}

/// A worker that has news and no task.
pub(super) enum Taker {
    /// The news come from somebody else.
    Nobody,
    /// It can take a task along.
    Free,
    /// It does.
    Takes(Task),
}

/// What the desk's decisions do to the world.
pub(super) struct Doer {
    pub(super) tasks: Sender<Task>,
    /// Whether the thread that brings the news is a worker, who can take the next task along.
    pub(super) taker: Taker,
    pub(super) engines: Arc<[Arc<str>]>,
    pub(super) outbox: Arc<Outbox>,
    pub(super) pools: Arc<[Pool]>,
}

impl Drop for Doer {
    /// However the dispatcher ends, the sink thread hears of it.
    fn drop(&mut self) {
        self.outbox.close();
    }
}

impl Hands for Doer {
    fn ask(&mut self, engine: EngineIdx, job: Box<Job>) {
        let task = (engine, job);
        if let Taker::Free = self.taker {
            self.taker = Taker::Takes(task);
        } else if let Err(refused) = self.tasks.try_send(task) {
            error!(engine = *self.engines[usize::from(engine.0)]; "no worker for a free engine, which is a bug in Squint");
            self.give_up(refused.into_inner().1, DropReason::Busy);
        }
    }

    fn publish(&mut self, job: Box<Job>) {
        if let Some((displaced, why)) = self.outbox.put(job) {
            self.give_up(displaced, why);
        }
    }

    fn give_up(&mut self, job: Box<Job>, why: DropReason) {
        self.pools[job.camera].give_up(job, why);
    }

    fn set_aside(&mut self, engine: EngineIdx, job: &Job, failures: u32, pause: Duration) {
        if let Err(error) = &job.result {
            let id = &self.engines[usize::from(engine.0)];
            warn!(engine = **id; "{error}; failure {failures} in a row, set aside for {} ms", pause.as_millis());
        }
    }

    fn recovered(&mut self, engine: EngineIdx, failures: u32) {
        let id = &self.engines[usize::from(engine.0)];
        info!(engine = **id; "engine `{id}` answers again after {failures} failures");
    }
}

/// The desk, open to all threads: whoever has news brings it here and, under the lock, acts out what is decided. So a frame is handed on by
/// the thread that is awake anyway; a dispatcher that had to be woken first would cost it a tenth of a millisecond at each step.
/// Nothing done under the lock waits for anybody.
pub(super) struct Dispatcher {
    open: Mutex<Option<Open>>,
    /// Wakes the minder, see [`Dispatcher::mind`]. One ring waits, more say nothing new.
    bell: (Sender<()>, Receiver<()>),
    clock: Arc<dyn Clock>,
    stop: Stop,
}

/// What there is while the dispatcher works.
struct Open {
    desk: Desk,
    hands: Doer,
    /// When the minder looks again by itself.
    alarm: Option<Instant>,
    /// When somebody last had news.
    heard: Instant,
}

impl Dispatcher {
    /// Not open yet: workers are hired before the desk is there.
    pub(super) fn new(clock: &Arc<dyn Clock>, stop: &Stop) -> Arc<Self> {
        Arc::new(Self { open: Mutex::new(None), bell: bounded(1), clock: Arc::clone(clock), stop: stop.clone() })
    }

    /// Takes up work.
    pub(super) fn open(&self, desk: Desk, hands: Doer) {
        let heard = self.clock.now();
        *self.open.lock().unwrap_or_else(PoisonError::into_inner) = Some(Open { desk, hands, alarm: None, heard });
    }

    /// A frame has been measured. Gives the job back if the dispatcher is gone.
    pub(super) fn sighting(&self, job: Box<Job>) -> Result<(), Box<Job>> {
        let stopped = self.stop.is_stopped();
        self.news(job, |open, job, now| match stopped {
            true => open.hands.give_up(job, DropReason::Stopped),
            false => open.desk.sighting(job, now, &mut open.hands),
        })
    }

    /// An engine is through with a frame: what the worker that brings it is to do next, if anything. Gives the job back if the dispatcher
    /// is gone.
    pub(super) fn looked(&self, job: Box<Job>) -> Result<Option<Task>, Box<Job>> {
        self.news(job, |open, job, now| {
            open.hands.taker = Taker::Free;
            open.desk.looked(job, now, &mut open.hands);
            match std::mem::replace(&mut open.hands.taker, Taker::Nobody) {
                Taker::Takes(task) => Some(task),
                Taker::Free | Taker::Nobody => None,
            }
        })
    }

    /// A camera will send no more.
    pub(super) fn ended(&self, camera: usize) {
        // If the dispatcher is gone, nobody needs to know.
        let _ = self.news(camera, |open, camera, _| open.desk.ended(camera));
        self.ring();
    }

    fn news<T, N>(&self, what: T, act: impl FnOnce(&mut Open, T, Instant) -> N) -> Result<N, T> {
        // A poisoned lock is a desk that panicked: gone.
        let Ok(mut guard) = self.open.lock() else { return Err(what) };
        let Some(open) = guard.as_mut() else { return Err(what) };
        open.heard = self.clock.now();
        let next = act(open, what, open.heard);
        let sooner = open.desk.next_wake().is_some_and(|wake| open.alarm.is_none_or(|alarm| wake < alarm));
        let ring = sooner || open.desk.is_done();
        drop(guard);
        if ring {
            self.ring();
        }
        Ok(next)
    }

    fn ring(&self) {
        let _ = self.bell.0.try_send(());
    }

    /// The dispatcher's own thread, until all frames have gone their way: wakes the desk when a deadline passes, and tells it to stop. When
    /// nothing more comes it waits [`DRAIN_LIMIT`] for a sign of life, then leaves whatever an engine has not given back.
    pub(super) fn mind(&self) {
        let _closing = Closing(self);
        let mut signal = self.stop.signal().clone();
        let mut stopping = false;
        while let Some(patience) = self.look(&mut stopping) {
            select! {
                recv(self.bell.1) -> _ => (),
                recv(signal) -> _ => {
                    signal = never();
                    stopping = true;
                }
                default(patience) => (),
            }
        }
    }

    /// Brings the desk up to date; `stopping` tells it once to give up what no engine has seen. How long until the next look, `None` if
    /// all is over.
    fn look(&self, stopping: &mut bool) -> Option<Duration> {
        let mut guard = self.open.lock().ok()?;
        let open = guard.as_mut()?;
        let now = self.clock.now();
        if std::mem::take(stopping) {
            open.heard = now;
            open.desk.stop(&mut open.hands);
        }
        open.desk.pump(now, &mut open.hands);
        if open.desk.is_done() {
            return None;
        }
        let silent_at = (self.stop.is_stopped() || open.desk.has_ended()).then(|| open.heard + DRAIN_LIMIT);
        if silent_at.is_some_and(|at| at <= now) {
            error!("an engine or a camera has not come to its end within {} s and is left behind", DRAIN_LIMIT.as_secs());
            return None;
        }
        open.alarm = open.desk.next_wake().into_iter().chain(silent_at).min();
        Some(open.alarm.map_or(LONG, |at| at.saturating_duration_since(now)))
    }
}

/// Closes the dispatcher, however its thread ends: the workers go home then, and the sink thread hears of it.
struct Closing<'a>(&'a Dispatcher);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        let open = self.0.open.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop(open);
    }
}

/// While nothing waits.
const LONG: Duration = Duration::from_secs(3600);
