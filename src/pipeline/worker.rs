//! The workers: as many threads as engines. Each loads one engine and warms it up. From then on a
//! free worker runs whichever engine is asked, and goes on with the next engine of the same frame
//! without waking another thread.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, at, bounded, never, select};
use log::{debug, error};

use crate::engine::{EngineError, Look};
use crate::events;
use crate::frame::{Frame, Framing};
use crate::stats::LatencyWindow;

use super::clock::{Clock, Stop};
use super::dispatch::Dispatcher;
use super::heartbeat::{Activity, Heartbeat};
use super::job::Task;
use super::thread::Thread;
use super::{DRAIN_LIMIT, Liveness, Loader, PipelineError};

/// Looks at a grey frame that each engine takes before it is called warm; the last ones tell what
/// it costs here.
const WARM_UP_LOOKS: usize = 4;

/// How long loading and warming up one engine may take. TensorRT builds its engines before, not
/// while they are loaded.
const LOADING: Duration = Duration::from_secs(300);

/// How long loading the engines of a reload may take, after which it is given up and the old ones
/// go on.
pub const RELOAD_LOADING: Patience = Patience { times: 4, least: Duration::from_secs(10) };

/// So many times what any thread may take, and no less than a busy board needs.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    times: u32,
    least: Duration,
}

impl Patience {
    /// For threads that may be at one thing for `hang_after`.
    pub fn limit(self, hang_after: Duration) -> Duration {
        (hang_after * self.times).max(self.least)
    }
}

/// What an engine's later warm-up looks took, the least and the most; or why it cannot be used.
type Warm = Result<(Duration, Duration), EngineError>;

/// The loaded engines, by index. Nobody ever waits for a lock: the scheduler gives an engine one
/// frame at a time.
type Looks = Arc<[OnceLock<Mutex<Box<dyn Look>>>]>;

/// The workers, and where they take their tasks from. As many threads as engines and at most one
/// task an engine: a task that waits is one that a free worker is about to take.
pub(super) struct Workers {
    pub(super) tasks: Sender<Task>,
    pub(super) threads: Vec<Thread<()>>,
}

/// What starting workers needs.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) dispatcher: Arc<Dispatcher>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) stop: Stop,
    pub(super) liveness: Arc<Liveness>,
    /// Features are measured on every frame, whether the policy reads them or not.
    pub(super) features: bool,
}

/// Starts a worker for each engine; all load at the same time. Returns them with what each engine
/// costs here: `None` for one that cannot be loaded, unless `all` are wanted or none can.
pub(super) fn start_workers(
    engines: Vec<(Arc<str>, Loader)>,
    shared: &Shared,
    all: bool,
) -> Result<(Workers, Vec<Option<LatencyWindow>>), PipelineError> {
    let (tasks, inbox) = bounded(engines.len().max(1));
    let looks: Looks = engines.iter().map(|_| OnceLock::new()).collect();
    let ids: Arc<[Arc<str>]> = engines.iter().map(|(id, _)| Arc::clone(id)).collect();
    let patience = all.then(|| RELOAD_LOADING.limit(shared.liveness.hang_after));
    let patience = patience.map(|limit| (Instant::now() + limit, limit));
    let mut threads = Vec::new();
    let mut heartbeats = Vec::new();
    let mut pending = Vec::new();
    for (place, (id, loader)) in engines.into_iter().enumerate() {
        let (say, warm) = bounded::<Warm>(1);
        let (house_of, looks, inbox, ids) =
            (shared.clone(), Arc::clone(&looks), inbox.clone(), Arc::clone(&ids));
        let name = format!("worker-{place}");
        let heartbeat = shared.liveness.board.heartbeat(&name);
        heartbeats.push(Arc::clone(&heartbeat));
        let body = move || {
            let Shared { dispatcher, clock, liveness, .. } = house_of;
            let limit = liveness.hang_after;
            heartbeat.begin_with(Activity::Loading, &ids[place], LOADING);
            // A panic here is an engine that cannot be loaded; while others work it must not end
            // them.
            let load = || {
                loader().and_then(|mut look| {
                    warm_up(look.as_mut(), clock.as_ref()).map(|costs| (look, costs))
                })
            };
            let loaded = catch_unwind(AssertUnwindSafe(load)).unwrap_or_else(|_| {
                Err(EngineError::Run {
                    id: ids[place].to_string(),
                    reason: "it panicked while it was loaded".into(),
                })
            });
            heartbeat.idle();
            let heard = match loaded {
                Ok((look, costs)) => {
                    let _ = looks[place].set(Mutex::new(look));
                    say.send(Ok(costs))
                }
                Err(error) => say.send(Err(error)),
            };
            // However loading went: as many hands as engines, in case one of them gets stuck.
            if heard.is_ok() {
                let worker = Worker { looks, ids, clock, heartbeat: &heartbeat, limit };
                worker.work(&inbox, &dispatcher);
            }
            heartbeat.end();
        };
        threads.push(Thread::spawn(&name, &shared.stop, body)?);
        pending.push((id, warm));
    }
    let mut windows = Vec::new();
    let (mut refused, mut failed) = (None, None);
    for (id, warm) in pending {
        match on_report(&warm, &shared.stop, &id, patience) {
            Ok(Ok((usual, worst))) => {
                debug!(event = events::ENGINE_WARM, engine = *id; "engine {id} is warm: {} us a look", usual.as_micros());
                windows.push(Some(LatencyWindow::new(usual, worst)));
            }
            Ok(Err(error)) => {
                if !all {
                    error!(event = events::ENGINE_UNUSABLE, engine = *id; "{error}");
                }
                refused.get_or_insert(error);
                windows.push(None);
            }
            Err(error) => drop(failed.get_or_insert(error)),
        }
    }
    let refused =
        refused.filter(|_| all || windows.iter().all(Option::is_none)).map(PipelineError::from);
    match failed.or(refused) {
        None => Ok((Workers { tasks, threads }, windows)),
        Some(error) => {
            // The others may still be loading, and a process should not end under them.
            drop(tasks);
            join_workers(threads, DRAIN_LIMIT);
            // Those that are left behind load for nobody: how long they take no longer matters.
            heartbeats.iter().for_each(|heartbeat| heartbeat.end());
            Err(error)
        }
    }
}

/// Waits until an engine is warm, but not beyond the moment of `patience`, and once told to stop
/// not for ever.
fn on_report(
    warm: &Receiver<Warm>,
    stop: &Stop,
    id: &str,
    patience: Option<(Instant, Duration)>,
) -> Result<Warm, PipelineError> {
    let name = || format!("worker, loading {id}");
    let over = patience.map_or_else(never, |(until, _)| at(until));
    let heard = select! {
        recv(warm) -> heard => heard.map_err(|_| RecvTimeoutError::Disconnected),
        recv(stop.signal()) -> _ => warm.recv_timeout(DRAIN_LIMIT),
        recv(over) -> _ => {
            let limit = patience.map_or(Duration::ZERO, |(_, limit)| limit);
            return Err(PipelineError::Hung { name: name(), limit });
        }
    };
    heard.map_err(|error| match error {
        RecvTimeoutError::Timeout => PipelineError::Hung { name: name(), limit: DRAIN_LIMIT },
        RecvTimeoutError::Disconnected => PipelineError::Panicked { name: name() },
    })
}

/// Sees the workers go home, within `limit`, once nobody can give them tasks any more; the first
/// that does not is the error.
pub(super) fn join_workers(threads: Vec<Thread<()>>, limit: Duration) -> Option<PipelineError> {
    let (mut first, mut limit) = (None, limit);
    for thread in threads {
        if let Err(error) = thread.join_within(limit) {
            limit = error.patience_left(limit);
            first.get_or_insert(error);
        }
    }
    first
}

/// Looks at a grey frame until the engine runs at its usual speed; returns what the later looks
/// took: the least and the most.
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

/// A worker at work.
struct Worker<'a> {
    looks: Looks,
    ids: Arc<[Arc<str>]>,
    clock: Arc<dyn Clock>,
    heartbeat: &'a Heartbeat,
    limit: Duration,
}

impl Worker<'_> {
    /// Looks at whatever it is given, until nobody can give it anything more.
    fn work(&self, inbox: &Receiver<Task>, dispatcher: &Dispatcher) {
        while let Ok(task) = inbox.recv() {
            let mut at_hand = Some(task);
            while let Some(mut task) = at_hand {
                self.look(&mut task);
                self.heartbeat.begin(Activity::Deciding, self.limit);
                at_hand = match dispatcher.look_finished(task) {
                    Ok(next) => next,
                    Err(_) => return,
                };
            }
            self.heartbeat.idle();
        }
    }

    /// One look. A panic in an engine is a failed engine, not a dead worker.
    fn look(&self, task: &mut Task) {
        let place = usize::from(task.engine.0);
        if let Some(id) = self.ids.get(place) {
            self.heartbeat.begin_with(Activity::Looking, id, self.limit);
        }
        task.begun_at = self.clock.now();
        let failed = |reason: &str| EngineError::Run {
            id: self.ids.get(place).map(|id| id.to_string()).unwrap_or_default(),
            reason: reason.into(),
        };
        task.result = match (&*task.frame, self.looks.get(place).and_then(OnceLock::get)) {
            (Some(frame), Some(look)) => {
                let mut look = look.lock().unwrap_or_else(PoisonError::into_inner);
                let (framing, own) = (&task.framing, &mut task.own);
                let looked = catch_unwind(AssertUnwindSafe(|| look.look(frame, framing, own)));
                looked.unwrap_or_else(|_| Err(failed("it panicked")))
            }
            _ => Err(failed("the frame or the engine is gone, which is a bug in Squint")),
        };
    }
}
