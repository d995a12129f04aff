//! The workers: as many threads as engines. Each loads one engine and warms it up; from then on whoever is free looks with whichever
//! engine is asked, and goes on with the next one of the same frame without waking anybody.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded, select};
use log::debug;

use crate::engine::{EngineError, EngineIdx, Look};
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

/// A frame for an engine.
pub(super) type Task = (EngineIdx, Box<Job>);

/// The loaded engines, by index. Nobody ever waits for a lock: the desk gives an engine one frame at a time.
type Looks = Arc<[OnceLock<Mutex<Box<dyn Look>>>]>;

/// The workers, and where they take their tasks from. As many threads as engines and at most one task an engine: a task that waits is
/// one that a free worker is about to take.
pub(super) struct Workers {
    pub(super) tasks: Sender<Task>,
    pub(super) threads: Vec<Thread<()>>,
}

/// Starts a worker for each engine; all load at the same time. Returns them with what each engine costs here.
pub(super) fn hire(
    engines: Vec<(Arc<str>, Loader)>,
    dispatcher: &Arc<Dispatcher>,
    clock: &Arc<dyn Clock>,
    stop: &Stop,
) -> Result<(Workers, Vec<LatencyWindow>), PipelineError> {
    let (tasks, inbox) = bounded(engines.len().max(1));
    let looks: Looks = engines.iter().map(|_| OnceLock::new()).collect();
    let mut threads = Vec::new();
    let mut pending = Vec::new();
    for (place, (id, loader)) in engines.into_iter().enumerate() {
        let (say, warm) = bounded::<Warm>(1);
        let (dispatcher, clock) = (Arc::clone(dispatcher), Arc::clone(clock));
        let (looks, inbox): (Looks, Receiver<Task>) = (Arc::clone(&looks), inbox.clone());
        let body = move || {
            let loaded = loader().and_then(|mut look| warm_up(look.as_mut(), clock.as_ref()).map(|costs| (look, costs)));
            match loaded {
                Ok((look, costs)) => {
                    let _ = looks[place].set(Mutex::new(look));
                    let _ = say.send(Ok(costs));
                    work(&looks, &inbox, &dispatcher, clock.as_ref());
                }
                Err(error) => drop(say.send(Err(error))),
            }
        };
        threads.push(Thread::spawn(&format!("engine-{id}"), stop, body)?);
        pending.push((id, warm));
    }
    let windows = pending.into_iter().map(|(id, warm)| {
        let (usual, worst) = hear(&warm, stop, &id)??;
        debug!(engine = *id; "engine {id} is warm: {} us a look", usual.as_micros());
        Ok(LatencyWindow::new(usual, worst))
    });
    match windows.collect() {
        Ok(windows) => Ok((Workers { tasks, threads }, windows)),
        Err(error) => {
            // The others may still be loading, and a process should not end under them.
            drop(tasks);
            dismiss(threads);
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

/// Sees the workers go home once nobody can give them tasks any more; the first that does not is the error.
pub(super) fn dismiss(threads: Vec<Thread<()>>) -> Option<PipelineError> {
    let (mut first, mut limit) = (None, DRAIN_LIMIT);
    for thread in threads {
        if let Err(error) = thread.join_within(limit) {
            limit = error.patience_left(limit);
            first.get_or_insert(error);
        }
    }
    first
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
fn work(looks: &Looks, inbox: &Receiver<Task>, dispatcher: &Dispatcher, clock: &dyn Clock) {
    while let Ok(task) = inbox.recv() {
        let mut at_hand = Some(task);
        while let Some((engine, mut job)) = at_hand {
            look(looks, engine, &mut job, clock);
            at_hand = match dispatcher.looked(job) {
                Ok(next) => next,
                Err(_) => return,
            };
        }
    }
}

/// One look. A panic in an engine is a failed engine, not a dead worker.
fn look(looks: &Looks, engine: EngineIdx, job: &mut Job, clock: &dyn Clock) {
    job.begun_at = clock.now();
    let failed =
        |reason: &str| EngineError::Run { id: job.report.engines[usize::from(engine.0)].to_string(), reason: reason.into() };
    let look = looks.get(usize::from(engine.0)).and_then(OnceLock::get);
    job.result = match (&job.frame, look) {
        (Some(frame), Some(look)) => {
            let mut look = look.lock().unwrap_or_else(PoisonError::into_inner);
            let (framing, own) = (&job.framing, &mut job.own);
            let looked = catch_unwind(AssertUnwindSafe(|| look.look(frame, framing, own)));
            looked.unwrap_or_else(|_| Err(failed("it panicked")))
        }
        _ => Err(failed("the frame or the engine is gone, which is a bug in Squint")),
    };
}
