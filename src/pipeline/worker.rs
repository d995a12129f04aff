//! One thread an engine: loads it, warms it up, then looks at whatever it is given.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded, select};
use log::debug;

use crate::engine::{EngineError, Look};
use crate::frame::{Frame, Framing};
use crate::stats::LatencyWindow;

use super::clock::{Clock, Stop};
use super::dispatch::Dispatcher;
use super::job::Job;
use super::thread::Thread;
use super::{DRAIN_LIMIT, Loader, PipelineError};

/// Looks at a grey frame that each engine takes before it is called warm; the last ones tell what it costs here.
const WARM_UP_LOOKS: usize = 4;

/// What an engine's later warm-up looks took, the least and the most; or why it cannot be used.
type Warm = Result<(Duration, Duration), EngineError>;

/// One engine's thread.
pub(super) struct Worker {
    /// Takes one job while the worker is free.
    pub(super) tx: Sender<Box<Job>>,
    pub(super) thread: Thread<()>,
}

/// Starts a worker for each engine; all load at the same time. Returns them with what each engine costs here.
pub(super) fn hire(
    engines: Vec<(Arc<str>, Loader)>,
    dispatcher: &Arc<Dispatcher>,
    clock: &Arc<dyn Clock>,
    stop: &Stop,
) -> Result<(Vec<Worker>, Vec<LatencyWindow>), PipelineError> {
    let mut workers = Vec::new();
    let mut pending = Vec::new();
    for (id, loader) in engines {
        let (tx, rx) = bounded(1);
        let (say, warm) = bounded::<Warm>(1);
        let (dispatcher, clock, name) = (Arc::clone(dispatcher), Arc::clone(clock), Arc::clone(&id));
        let body = move || {
            let loaded = loader().and_then(|mut look| warm_up(look.as_mut(), clock.as_ref()).map(|costs| (look, costs)));
            match loaded {
                Ok((look, costs)) => {
                    let _ = say.send(Ok(costs));
                    work(&name, look, &rx, &dispatcher, clock.as_ref());
                }
                Err(error) => drop(say.send(Err(error))),
            }
        };
        workers.push(Worker { tx, thread: Thread::spawn(&format!("engine-{id}"), stop, body)? });
        pending.push((id, warm));
    }
    let windows = pending.into_iter().map(|(id, warm)| {
        let (usual, worst) = hear(&warm, stop, &id)??;
        debug!(engine = *id; "engine {id} is warm: {} us a look", usual.as_micros());
        Ok(LatencyWindow::new(usual, worst))
    });
    match windows.collect() {
        Ok(windows) => Ok((workers, windows)),
        Err(error) => {
            // The others may still be loading, and a process should not end under them.
            dismiss(workers);
            Err(error)
        }
    }
}

/// Waits until an engine is warm, but once told to stop not for ever.
fn hear(warm: &Receiver<Warm>, stop: &Stop, id: &str) -> Result<Warm, PipelineError> {
    let name = || format!("engine-{id}");
    let heard = select! {
        recv(warm) -> heard => heard.map_err(|_| RecvTimeoutError::Disconnected),
        recv(stop.signal()) -> _ => warm.recv_timeout(DRAIN_LIMIT),
    };
    heard.map_err(|error| match error {
        RecvTimeoutError::Timeout => PipelineError::Hung { name: name(), limit: DRAIN_LIMIT },
        RecvTimeoutError::Disconnected => PipelineError::Panicked { name: name() },
    })
}

/// Lets the workers go home; the first that does not is the error.
pub(super) fn dismiss(workers: Vec<Worker>) -> Option<PipelineError> {
    let threads: Vec<_> = workers.into_iter().map(|worker| worker.thread).collect(); // the senders go first, all of them
    let mut error = None;
    for thread in threads {
        // The first to hang has used up the patience with all of them.
        let limit = if error.is_none() { DRAIN_LIMIT } else { Duration::ZERO };
        error = error.or(thread.join_within(limit).err());
    }
    error
}

/// Looks at a grey frame until the engine runs at its usual speed; returns what the later looks took: the least and the most.
fn warm_up(look: &mut dyn Look, clock: &dyn Clock) -> Warm {
    let grey: Arc<[u8]> = vec![128; 640 * 480 * 3].into();
    let frame = Frame::from_rgb(grey, 640, 480, None)
        .map_err(|error| EngineError::Run { id: "warm-up".into(), reason: error.to_string() })?;
    let mut answer = Default::default();
    let (mut usual, mut worst) = (Duration::MAX, Duration::ZERO);
    for number in 0..WARM_UP_LOOKS {
        let begun = clock.now();
        look.look(&frame, &Framing::default(), &mut answer)?;
        let cost = clock.now().saturating_duration_since(begun);
        if number >= WARM_UP_LOOKS / 2 {
            (usual, worst) = (usual.min(cost), worst.max(cost));
        }
    }
    Ok((usual, worst))
}

/// The worker: looks at whatever it is given, until nobody can give it anything more.
fn work(id: &str, mut look: Box<dyn Look>, inbox: &Receiver<Box<Job>>, dispatcher: &Dispatcher, clock: &dyn Clock) {
    while let Ok(mut job) = inbox.recv() {
        job.begun_at = clock.now();
        job.result = match &job.frame {
            Some(frame) => {
                let framing = job.framing;
                let own = &mut job.own;
                catch_unwind(AssertUnwindSafe(|| look.look(frame, &framing, own)))
                    .unwrap_or_else(|_| Err(EngineError::Run { id: id.into(), reason: "it panicked".into() }))
            }
            None => Err(EngineError::Run { id: id.into(), reason: "the frame is gone, which is a bug in Squint".into() }),
        };
        if dispatcher.looked(job).is_err() {
            return;
        }
    }
}
