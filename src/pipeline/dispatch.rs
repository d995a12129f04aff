//! The dispatcher's thread: hands events to the desk, and acts out what the desk decides.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, never, select};
use log::{error, info, warn};

use crate::engine::EngineIdx;
use crate::report::Drop;

use super::DRAIN_LIMIT;
use super::clock::{Clock, Stop};
use super::desk::{Desk, Hands};
use super::job::{Job, Ledger};
use super::outbox::Outbox;

/// What the dispatcher hears.
pub(super) enum Event {
    /// A frame has been measured.
    Sighting(Box<Job>),
    /// An engine is through with a frame.
    Looked(Box<Job>),
    /// A camera will send no more.
    Ended(usize),
}

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
    pub(super) fn give_up(&self, job: Box<Job>, why: Drop) {
        self.ledger.lose(why, 1);
        self.take_back(job);
    }
}

/// What the desk's decisions do to the world.
pub(super) struct Doer {
    pub(super) workers: Vec<Sender<Box<Job>>>,
    pub(super) engines: Arc<[Arc<str>]>,
    pub(super) outbox: Arc<Outbox>,
    pub(super) pools: Arc<[Pool]>,
}

impl std::ops::Drop for Doer {
    /// However the dispatcher ends, the sink thread hears of it.
    fn drop(&mut self) {
        self.outbox.close();
    }
}

impl Hands for Doer {
    fn ask(&mut self, engine: EngineIdx, job: Box<Job>) {
        if let Err(refused) = self.workers[usize::from(engine.0)].try_send(job) {
            error!(engine = *self.engines[usize::from(engine.0)]; "the worker of a free engine took no job, which is a bug in Squint");
            self.give_up(refused.into_inner(), Drop::Busy);
        }
    }

    fn publish(&mut self, job: Box<Job>) {
        if let Some((displaced, why)) = self.outbox.put(job) {
            self.give_up(displaced, why);
        }
    }

    fn give_up(&mut self, job: Box<Job>, why: Drop) {
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

/// Until all frames have gone their way: hands every event to the desk, and wakes it when a deadline passes. When nothing more comes
/// it waits [`DRAIN_LIMIT`] for a sign of life, then leaves whatever an engine has not given back.
pub(super) fn dispatch(mut desk: Desk, mut hands: Doer, inbox: &Receiver<Event>, clock: &dyn Clock, stop: &Stop) {
    let mut signal = stop.signal().clone();
    let mut now = clock.now();
    let mut heard = now;
    while !desk.is_done() {
        let silent_at = (stop.is_stopped() || desk.has_ended()).then(|| heard + DRAIN_LIMIT);
        if silent_at.is_some_and(|at| at <= now) {
            error!("an engine or a camera has not come to its end within {} s and is left behind", DRAIN_LIMIT.as_secs());
            return;
        }
        let wake = desk.next_wake().into_iter().chain(silent_at).min();
        let patience = wake.map_or(LONG, |at: Instant| at.saturating_duration_since(now));
        let event = select! {
            recv(inbox) -> event => match event {
                Ok(event) => Some(event),
                Err(_) => return,
            },
            recv(signal) -> _ => {
                signal = never();
                desk.stop(&mut hands);
                heard = clock.now();
                None
            }
            default(patience) => None,
        };
        now = clock.now();
        if event.is_some() {
            heard = now;
        }
        match event {
            Some(Event::Sighting(job)) if stop.is_stopped() => hands.give_up(job, Drop::Stopped),
            Some(Event::Sighting(job)) => desk.sighting(job, now, &mut hands),
            Some(Event::Looked(job)) => desk.looked(job, now, &mut hands),
            Some(Event::Ended(camera)) => desk.ended(camera),
            None => desk.pump(now, &mut hands),
        }
    }
}

/// While nothing waits.
const LONG: Duration = Duration::from_secs(3600);
