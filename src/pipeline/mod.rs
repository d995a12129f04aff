//! Threads and channels: the only room that knows the order in which a frame meets the others.
//!
//! ```text
//! camera (GStreamer) -> newest-wins mailbox -> feature thread, one a camera -> dispatcher -> worker, one an engine
//!                                                                              ^   |  ^___________________|
//!                                                             jobs come back __|   v
//!                                                                   sink thread (bounded queue, the oldest goes)
//! ```
//! Every queue is bounded by the number of jobs; every frame that comes from a source ends as a report or is counted with its
//! reason in its camera's ledger. Nothing is decided here: [`desk`] and [`crate::policy`] do that, and no arithmetic is done.

mod camera;
pub mod clock;
mod desk;
mod job;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TrySendError, bounded, never, select};
use log::{debug, error, info, warn};

use crate::engine::{EngineError, EngineIdx, Labels, Look};
use crate::frame::{Frame, Framing};
use crate::policy::{Policy, Reuse};
use crate::report::{Drop, Drops, Report};
use crate::source::{Backoff, FrameSource, SourceError};
use crate::stats::LatencyWindow;

use camera::CameraThread;
use clock::{Clock, Stop};
use desk::{Desk, Hands, Terminal};
use job::{Job, Ledger, Origin};

/// Jobs of a camera that must not lose frames: one at the engines, one in line, two on their way to or from the sink.
const LOSSLESS_JOBS: usize = 4;
/// How long threads may take to finish after the last camera has ended; an engine that hangs is left behind then.
const DRAIN_LIMIT: Duration = Duration::from_secs(5);
/// Looks at a grey frame that each engine takes before it is called warm; the last ones tell what it costs here.
const WARM_UP_LOOKS: usize = 4;

/// Opens a camera's source; called again after each loss.
pub type Opener = Box<dyn FnMut() -> Result<Box<dyn FrameSource>, SourceError> + Send>;

/// One camera, ready to run.
pub struct CameraSetup {
    /// Unique name.
    pub name: Arc<str>,
    /// The source as records show it, without secrets.
    pub source: Arc<str>,
    /// Opens the source.
    pub opener: Opener,
    /// True if the end of the source is a failure and losing it means trying again.
    pub live: bool,
    /// True if no frame may be left out; the source waits for the engines then.
    pub lossless: bool,
    /// Which part of the picture counts.
    pub framing: Framing,
    /// Latest moment for an answer: after capture; for lossless cameras after the frame's turn came.
    pub deadline: Duration,
    /// Frames older than this on arrival are dropped; not for lossless cameras.
    pub stale_after: Duration,
    /// Silence after which the source counts as lost.
    pub stall_after: Duration,
    /// Longest pause between two tries.
    pub retry_cap: Duration,
    /// Whether the last answer may be given again.
    pub reuse: Option<Reuse>,
    /// Stop after so many frames.
    pub frame_limit: Option<u64>,
}

/// Loads an engine, on the thread that will own it.
pub type Loader = Box<dyn FnOnce() -> Result<Box<dyn Look>, EngineError> + Send>;

/// The engines of a policy, and the policy.
pub struct Crew {
    /// Decides; its engine indices are positions in `engines`.
    pub policy: Policy,
    /// Id and loader of each engine.
    pub engines: Vec<(Arc<str>, Loader)>,
    /// The classes that all of them tell apart.
    pub labels: Arc<Labels>,
}

/// Hears of every report, on the sink thread.
pub trait Listener: Send {
    /// One frame's report. May take its time; the queue in front drops the oldest.
    fn hear(&mut self, report: &Report);
}

/// What came of a run.
pub struct Tally<L> {
    /// The listener, with all that it has heard.
    pub listener: L,
    /// Of each camera: name, frames offered by the source, frames given up.
    pub cameras: Vec<(Arc<str>, u64, Drops)>,
    /// From `started` until every camera had its first report; absent if it never came to that.
    pub ready: Option<Duration>,
    /// The first finite source that failed.
    pub failure: Option<SourceError>,
}

/// Why nothing was run, or why it ended badly.
#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    /// An engine could not be loaded.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The operating system refused a thread.
    #[error("cannot start thread `{name}`: {reason}")]
    Thread {
        /// Its name.
        name: String,
        /// What the system said.
        reason: std::io::Error,
    },
    /// A thread did not come to its end.
    #[error("thread `{name}` did not finish within {} s and was left behind", DRAIN_LIMIT.as_secs())]
    Hung {
        /// Its name.
        name: &'static str,
    },
    /// A thread of ours panicked.
    #[error("thread `{name}` panicked; this is a bug in Squint, please report it with the lines above")]
    Panicked {
        /// Its name.
        name: &'static str,
    },
}

/// What the dispatcher hears.
enum Event {
    /// A frame has been measured.
    Sighting(Box<Job>),
    /// An engine is through with a frame.
    Looked(Box<Job>),
    /// A camera will send no more.
    Ended(usize),
}

/// Runs until every source has ended or `stop` says so; then drains in frame order. `queue`: reports that may wait for the listener.
/// `started`: when the process began, for the ready time.
pub fn run<L: Listener + 'static>(
    crew: Crew,
    cameras: Vec<CameraSetup>,
    listener: L,
    queue: usize,
    clock: Arc<dyn Clock>,
    stop: &Stop,
    started: Instant,
) -> Result<Tally<L>, PipelineError> {
    let seats = crew.engines.len();
    let jobs: usize = cameras.iter().map(|setup| jobs_of(setup, queue, seats)).sum();
    let engines: Arc<[Arc<str>]> = crew.engines.iter().map(|(id, _)| Arc::clone(id)).collect();
    // Each job and each camera's end is in at most one queue, so no send to the dispatcher ever waits.
    let (events, inbox) = bounded(jobs + cameras.len());
    let (workers, windows) = hire(crew.engines, &events, &clock)?;

    let lossless_jobs = cameras.iter().filter(|setup| setup.lossless).count() * LOSSLESS_JOBS;
    let (to_sink, from_dispatcher) = bounded::<Box<Job>>(queue.max(lossless_jobs).max(1));
    let now = clock.now();
    let mut pools = Vec::new();
    let mut terminals = Vec::new();
    let mut threads = Vec::new();
    for (index, setup) in cameras.into_iter().enumerate() {
        let count = jobs_of(&setup, queue, seats);
        let (recycle, free) = bounded(count);
        let origin = Origin {
            camera: index,
            name: Arc::clone(&setup.name),
            source: Arc::clone(&setup.source),
            framing: setup.framing,
            labels: Arc::clone(&crew.labels),
            engines: Arc::clone(&engines),
        };
        for _ in 0..count {
            let _ = recycle.try_send(Job::new(&origin, now));
        }
        let ledger = Arc::new(Ledger::default());
        terminals.push(Terminal { deadline: setup.deadline, lossless: setup.lossless, reuse: setup.reuse, jobs: count });
        pools.push(Pool { name: Arc::clone(&setup.name), recycle: recycle.clone(), ledger: Arc::clone(&ledger) });
        threads.push(CameraThread {
            index,
            name: setup.name,
            opener: setup.opener,
            live: setup.live,
            lossless: setup.lossless,
            framing: setup.framing,
            stall_after: setup.stall_after,
            stale_after: setup.stale_after,
            frame_limit: setup.frame_limit,
            backoff: Backoff::new(setup.retry_cap),
            free,
            recycle,
            events: events.clone(),
            ledger,
            clock: Arc::clone(&clock),
            stop: stop.clone(),
        });
    }
    drop(events);
    let pools: Arc<[Pool]> = pools.into();
    let desk = Desk::new(crew.policy, windows, terminals, crew.labels.classes.len(), now);
    let hands = Doer {
        workers: workers.iter().map(|worker| worker.tx.clone()).collect(),
        engines,
        to_sink,
        displaced: from_dispatcher.clone(),
        pools: Arc::clone(&pools),
    };
    let dispatcher = {
        let (clock, stop) = (Arc::clone(&clock), stop.clone());
        spawn("dispatcher", move || dispatch(desk, hands, &inbox, clock.as_ref(), &stop))?
    };
    let (ready_tx, ready_rx) = bounded(1);
    let sink = {
        let pools = Arc::clone(&pools);
        spawn("sink", move || tell(listener, &from_dispatcher, &pools, started, &ready_tx))?
    };
    let features: Vec<_> = threads
        .into_iter()
        .map(|thread| spawn(&format!("squint-{}", thread.name), move || thread.run()))
        .collect::<Result<_, _>>()?;

    let mut failure = None;
    for thread in features {
        if let Err(error) = thread.join("features")? {
            error!("{error}");
            failure.get_or_insert(error);
        }
    }
    dispatcher.join_soon("dispatcher")?;
    for worker in workers {
        drop(worker.tx);
        worker.thread.join_soon("engine")?;
    }
    let listener = sink.join_soon("sink")?;
    let cameras = pools.iter().map(|pool| (Arc::clone(&pool.name), pool.ledger.offered(), pool.ledger.drops())).collect();
    Ok(Tally { listener, cameras, ready: ready_rx.try_recv().ok(), failure })
}

/// Jobs of one camera: enough that a full sink queue and busy engines leave one for the next frame.
fn jobs_of(setup: &CameraSetup, queue: usize, engines: usize) -> usize {
    if setup.lossless { LOSSLESS_JOBS } else { queue + engines + 3 }
}

/// A thread of ours that can be joined with a limit.
struct Thread<T> {
    handle: JoinHandle<T>,
    /// Disconnects when the thread is through.
    gone: Receiver<std::convert::Infallible>,
}

fn spawn<T: Send + 'static>(name: &str, body: impl FnOnce() -> T + Send + 'static) -> Result<Thread<T>, PipelineError> {
    let (alive, gone) = bounded(0);
    let work = move || {
        let _alive = alive;
        body()
    };
    let handle =
        Builder::new().name(name.into()).spawn(work).map_err(|reason| PipelineError::Thread { name: name.into(), reason })?;
    Ok(Thread { handle, gone })
}

impl<T> Thread<T> {
    /// Waits as long as it takes.
    fn join(self, name: &'static str) -> Result<T, PipelineError> {
        self.handle.join().map_err(|_| PipelineError::Panicked { name })
    }

    /// Waits for [`DRAIN_LIMIT`].
    fn join_soon(self, name: &'static str) -> Result<T, PipelineError> {
        match self.gone.recv_timeout(DRAIN_LIMIT) {
            Err(RecvTimeoutError::Timeout) => Err(PipelineError::Hung { name }),
            _ => self.join(name),
        }
    }
}

/// One engine's thread.
struct Worker {
    tx: Sender<Box<Job>>,
    thread: Thread<()>,
}

/// Starts a worker for each engine; all load at the same time. Returns them with what each engine costs here.
fn hire(
    engines: Vec<(Arc<str>, Loader)>,
    events: &Sender<Event>,
    clock: &Arc<dyn Clock>,
) -> Result<(Vec<Worker>, Vec<LatencyWindow>), PipelineError> {
    let mut workers = Vec::new();
    let mut pending = Vec::new();
    for (id, loader) in engines {
        let (tx, rx) = bounded(1);
        let (say, warm) = bounded(1);
        let (events, clock, name) = (events.clone(), Arc::clone(clock), Arc::clone(&id));
        let body = move || {
            let loaded = loader().and_then(|mut look| warm_up(look.as_mut(), clock.as_ref()).map(|costs| (look, costs)));
            match loaded {
                Ok((look, costs)) => {
                    let _ = say.send(Ok(costs));
                    work(&name, look, &rx, &events, clock.as_ref());
                }
                Err(error) => drop(say.send(Err(error))),
            }
        };
        workers.push(Worker { tx, thread: spawn(&format!("engine-{id}"), body)? });
        pending.push((id, warm));
    }
    let mut windows = Vec::new();
    for (id, warm) in pending {
        let (usual, worst) = warm.recv().map_err(|_| PipelineError::Panicked { name: "engine" })??;
        debug!(engine = *id; "engine {id} is warm: {} us a look", usual.as_micros());
        windows.push(LatencyWindow::new(usual, worst));
    }
    Ok((workers, windows))
}

/// Looks at a grey frame until the engine runs at its usual speed; returns what the later looks took: the least and the most.
fn warm_up(look: &mut dyn Look, clock: &dyn Clock) -> Result<(Duration, Duration), EngineError> {
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
fn work(id: &str, mut look: Box<dyn Look>, inbox: &Receiver<Box<Job>>, events: &Sender<Event>, clock: &dyn Clock) {
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
        if events.send(Event::Looked(job)).is_err() {
            return;
        }
    }
}

/// What the desk's decisions do to the world.
struct Doer {
    workers: Vec<Sender<Box<Job>>>,
    engines: Arc<[Arc<str>]>,
    to_sink: Sender<Box<Job>>,
    /// The sink queue's other end, for taking out the oldest when it is full.
    displaced: Receiver<Box<Job>>,
    pools: Arc<[Pool]>,
}

/// Where a camera's jobs go back to, and its counts.
struct Pool {
    name: Arc<str>,
    recycle: Sender<Box<Job>>,
    ledger: Arc<Ledger>,
}

impl Pool {
    /// Takes a job back; there is always room, since it came from here.
    fn take_back(&self, mut job: Box<Job>) {
        job.frame = None;
        let _ = self.recycle.try_send(job);
    }
}

impl Hands for Doer {
    fn ask(&mut self, engine: EngineIdx, job: Box<Job>) {
        if let Err(refused) = self.workers[usize::from(engine.0)].try_send(job) {
            let job = refused.into_inner();
            error!(engine = *self.engines[usize::from(engine.0)]; "the worker of a free engine took no job, which is a bug in Squint");
            self.give_up(job, Drop::Busy);
        }
    }

    fn publish(&mut self, mut job: Box<Job>) {
        loop {
            match self.to_sink.try_send(job) {
                Ok(()) => return,
                Err(TrySendError::Full(refused)) => {
                    job = refused;
                    if let Ok(oldest) = self.displaced.try_recv() {
                        self.give_up(oldest, Drop::SinkFull);
                    }
                }
                Err(TrySendError::Disconnected(refused)) => return self.give_up(refused, Drop::Stopped),
            }
        }
    }

    fn give_up(&mut self, job: Box<Job>, why: Drop) {
        let pool = &self.pools[job.camera];
        pool.ledger.lose(why, 1);
        pool.take_back(job);
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

/// The dispatcher: hands every event to the desk, and wakes it when a deadline passes.
fn dispatch(mut desk: Desk, mut hands: Doer, inbox: &Receiver<Event>, clock: &dyn Clock, stop: &Stop) {
    let mut signal = stop.signal().clone();
    while !desk.is_done() {
        let patience = desk.next_wake().map_or(Duration::from_secs(3600), |at| at.saturating_duration_since(clock.now()));
        select! {
            recv(inbox) -> event => match event {
                Ok(Event::Sighting(job)) if stop.is_stopped() => hands.give_up(job, Drop::Stopped),
                Ok(Event::Sighting(job)) => desk.sighting(job, clock.now(), &mut hands),
                Ok(Event::Looked(job)) => desk.looked(job, clock.now(), &mut hands),
                Ok(Event::Ended(camera)) => desk.ended(camera),
                Err(_) => return,
            },
            recv(signal) -> _ => {
                signal = never();
                desk.stop(&mut hands);
            }
            default(patience) => desk.pump(clock.now(), &mut hands),
        }
    }
}

/// The sink thread: tells the listener of every report, then gives the job back to its camera.
fn tell<L: Listener>(mut listener: L, inbox: &Receiver<Box<Job>>, pools: &[Pool], started: Instant, ready: &Sender<Duration>) -> L {
    let mut told: Vec<Drops> = vec![Drops::default(); pools.len()];
    let mut heard = vec![false; pools.len()];
    while let Ok(mut job) = inbox.recv() {
        let pool = &pools[job.camera];
        let drops = pool.ledger.drops();
        job.report.drops = drops.since(&told[job.camera]);
        told[job.camera] = drops;
        if !std::mem::replace(&mut heard[job.camera], true) && heard.iter().all(|heard| *heard) {
            let _ = ready.try_send(started.elapsed());
        }
        listener.hear(&job.report);
        pool.take_back(job);
    }
    listener
}
