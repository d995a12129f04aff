//! Threads and channels: the only module that knows the order in which a frame meets the others.
//!
//! ```text
//! camera (GStreamer) -> newest-wins mailbox -> feature thread, one a camera -> scheduler -> workers, as many as engines
//!                                                                              ^  | ^___________________|
//!                                                            jobs come back ___|  v
//!                                                                   sink thread (bounded queue, the oldest goes)
//! ```
//! The scheduler decides under a lock, on the thread that has the news, and a worker that is
//! through takes the frame's next engine along: no thread has to be woken to decide. The
//! dispatcher's own thread only minds the clock.
//!
//! Every queue is bounded by the number of jobs; every frame that comes from a source ends as a
//! report or is counted with its reason in its camera's ledger. Nothing is decided here:
//! [`scheduler`] and [`crate::policy`] do that, and no arithmetic is done.
//!
//! A thread that panics tells all others to stop; they end in good order, and the run with an
//! error. Once told to stop, nobody is waited for without a limit. A clip or a folder that ends by
//! itself is told to its last frame, however slow the reader is.

mod camera;
pub mod clock;
mod dispatch;
pub mod heartbeat;
mod job;
mod pool;
mod remote;
mod report_queue;
mod sampler;
mod scheduler;
mod sink_thread;
mod thread;
mod worker;

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, bounded};
use log::error;

use crate::budget::Budget;
use crate::engine::{EngineError, Labels, Look};
use crate::events;
use crate::frame::Framing;
use crate::policy::Policy;
use crate::report::{DropReason, Drops, Report};
use crate::source::{Backoff, FrameSource, SourceError};

use camera::{CameraThread, Knobs};
use clock::{Clock, Stop};
use dispatch::{Dispatcher, Doer, Taker};
use pool::{LOSSLESS_JOBS, Owner, Pool};
use report_queue::ReportQueue;
use sampler::SamplerThread;
use scheduler::{CameraTerms, Generation, Scheduler};
use thread::Thread;
use worker::{Shared, join_workers, start_workers};

pub use worker::RELOAD_LOADING;

pub use remote::{CameraState, Remote, Tuning};
pub use sampler::{Hear, Keep, Sampler};
pub use scheduler::EngineState;

/// How long an engine may keep silent after the last camera has ended. What hangs longer is left
/// behind.
const DRAIN_LIMIT: Duration = Duration::from_secs(5);
/// How long an engine may keep silent after a stop, and the listener may take over a report then.
/// All limits of a stop together stay below the ten seconds that the unit allows.
const STOP_LIMIT: Duration = Duration::from_secs(1);
/// How long a camera may take to open: a driver has ten seconds to open and three to close.
const CAMERA_LIMIT: Duration = Duration::from_secs(15);
/// How long a camera may take to end after a stop: a driver has three seconds to close; one that
/// hangs while it opens is left behind.
const CAMERA_STOP_LIMIT: Duration = Duration::from_secs(5);
/// How long a thread may be at one thing before it counts as hung, if nobody says otherwise.
const HANG_AFTER: Duration = Duration::from_secs(15);
/// Long enough that no decision is ever made for want of time.
pub const NO_HURRY: Duration = Duration::from_secs(3600);
/// How long a look may take before the engine counts as stuck, if nobody says otherwise;
/// `engines.deadline-ms`.
pub const ENGINE_DEADLINE: Duration = Duration::from_secs(2);
/// The same where no camera is live or paced: nobody waits for an answer, and on a busy machine an
/// engine that is merely slow would cost frames. Less than [`HANG_AFTER`].
pub const PATIENT_DEADLINE: Duration = Duration::from_secs(10);

/// How the threads are, and how patient those are who watch them.
pub struct Liveness {
    /// What every thread does.
    pub board: heartbeat::Board,
    /// How long a thread may be at one thing before it counts as hung.
    pub hang_after: Duration,
}

impl Default for Liveness {
    fn default() -> Self {
        Self { board: heartbeat::Board::default(), hang_after: HANG_AFTER }
    }
}

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
    /// How its frames are treated; what can change while it runs.
    pub tuning: Tuning,
    /// Stop after so many frames.
    pub frame_limit: Option<u64>,
}

/// Loads an engine, on the thread that will own it.
pub type Loader = Box<dyn FnOnce() -> Result<Box<dyn Look>, EngineError> + Send>;

/// The engines of a policy, and the policy.
pub struct EngineSet {
    /// Decides; its engine indices are positions in `engines`.
    pub policy: Policy,
    /// Id and loader of each engine.
    pub engines: Vec<(Arc<str>, Loader)>,
    /// The classes that all of them tell apart.
    pub labels: Arc<Labels>,
    /// How long a look may take before the engine counts as stuck and its frame goes to another;
    /// never less than four times what the engine usually takes.
    pub deadline: Duration,
    /// What the engines may spend; `None`: whatever they like.
    pub budget: Option<Budget>,
}

/// Hears of every report, on the sink thread.
pub trait ReportHandler: Send {
    /// One frame's report. May take its time; the queue in front drops the oldest.
    fn on_report(&mut self, report: &Report);

    /// Nothing has come for a second. For whatever has to be looked after all the same.
    fn idle(&mut self) {}
}

/// What came of a run.
pub struct RunResult<L> {
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
    #[error("thread `{name}` did not finish within {} s and was left behind", limit.as_secs())]
    Hung {
        /// Its name.
        name: String,
        /// How long it was waited for.
        limit: Duration,
    },
    /// There is nothing any more that could be changed.
    #[error("the pipeline has come to its end")]
    Over,
    /// A thread of ours panicked.
    #[error(
        "thread `{name}` panicked; this is a bug in Squint, please report it with the lines above"
    )]
    Panicked {
        /// Its name.
        name: String,
    },
}

impl PipelineError {
    /// How long to wait for the next thread of the same kind: one that hung has used up the
    /// patience with all of them.
    fn patience_left(&self, limit: Duration) -> Duration {
        if matches!(self, Self::Hung { .. }) { Duration::ZERO } else { limit }
    }
}

/// Runs until every source has ended or `stop` says so; then drains in frame order. `queue`:
/// reports of live cameras that may wait for the listener. `started`: when the process began, for
/// the ready time. A thread that died or was left behind does not take the tally with it: its
/// frames count as stopped, and it is named beside the tally.
pub fn run_out<L: ReportHandler + 'static>(
    engine_set: EngineSet,
    cameras: Vec<CameraSetup>,
    listener: L,
    queue: usize,
    clock: Arc<dyn Clock>,
    stop: &Stop,
    started: Instant,
) -> Result<(RunResult<L>, Option<PipelineError>), PipelineError> {
    let surroundings = Surroundings {
        clock,
        stop: stop.clone(),
        started,
        liveness: Arc::default(),
        sampler: None,
        features: false,
    };
    start(engine_set, cameras, listener, queue, surroundings)?.0.run_to_end()
}

/// What a pipeline runs in.
pub struct Surroundings {
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Ends it.
    pub stop: Stop,
    /// When the process began.
    pub started: Instant,
    /// Where its threads show what they do.
    pub liveness: Arc<Liveness>,
    /// What reads the board, if anything does.
    pub sampler: Option<Sampler>,
    /// Measure the features of every frame, also where the policy reads none: reports carry them.
    pub features: bool,
}

/// Loads the engines, then starts the cameras. Returns as soon as all run: what has to be seen out,
/// and what steers it meanwhile. An error leaves nobody running. Engines that cannot be loaded are
/// left out and named in the log, as long as one can.
pub fn start<L: ReportHandler + 'static>(
    engine_set: EngineSet,
    cameras: Vec<CameraSetup>,
    listener: L,
    queue: usize,
    surroundings: Surroundings,
) -> Result<(Running<L>, Remote), PipelineError> {
    let stop = surroundings.stop.clone();
    set_up(engine_set, cameras, listener, queue, surroundings).inspect_err(|_| stop.stop())
}

/// All threads but the main one.
pub struct Running<L> {
    cameras: Vec<Thread<Result<(), SourceError>>>,
    dispatcher: Thread<()>,
    sink: Thread<L>,
    sampler: Option<SamplerThread>,
    report_queue: Arc<ReportQueue>,
    pools: Arc<[Pool]>,
    ready: Receiver<Duration>,
    remote: Remote,
    stop: Stop,
}

fn set_up<L: ReportHandler + 'static>(
    engine_set: EngineSet,
    cameras: Vec<CameraSetup>,
    listener: L,
    queue: usize,
    surroundings: Surroundings,
) -> Result<(Running<L>, Remote), PipelineError> {
    let Surroundings { clock, stop, started, liveness, sampler, features } = surroundings;
    let features =
        features || sampler.as_ref().is_some_and(|sampler| sampler.trace_queue.is_some());
    let engines: Arc<[Arc<str>]> =
        engine_set.engines.iter().map(|(id, _)| Arc::clone(id)).collect();
    let dispatcher = Dispatcher::new(&clock, &stop, &liveness);
    let shared = Shared {
        dispatcher: Arc::clone(&dispatcher),
        clock: Arc::clone(&clock),
        stop: stop.clone(),
        liveness: Arc::clone(&liveness),
        features,
    };
    let (workers, windows) = start_workers(engine_set.engines, &shared, false)?;

    let lossless_jobs = cameras.iter().filter(|setup| setup.lossless).count() * LOSSLESS_JOBS;
    let queue = queue.max(1);
    let report_queue = Arc::new(ReportQueue::new(queue, lossless_jobs));
    let now = clock.now();
    let mut pools = Vec::new();
    let mut cameras_terms = Vec::new();
    let mut threads = Vec::new();
    for (index, setup) in cameras.into_iter().enumerate() {
        let knobs = Arc::new(Knobs::new(&setup.tuning));
        knobs.measure(features || engine_set.policy.reads_features());
        let owner = Owner {
            camera: index,
            name: Arc::clone(&setup.name),
            source: setup.source,
            lossless: setup.lossless,
            framing: setup.framing,
            queue,
        };
        let (pool, free) = Pool::new(owner, Arc::clone(&knobs));
        pool.fill(&engines, &engine_set.labels, now);
        let (recycle, ledger) = (pool.recycle.clone(), Arc::clone(&pool.ledger));
        cameras_terms.push(CameraTerms {
            deadline: setup.tuning.deadline,
            lossless: setup.lossless,
            reuse: setup.tuning.reuse,
            jobs: pool.most(),
        });
        pools.push(pool);
        let heartbeat = liveness.board.heartbeat(&thread_of(&setup.name));
        threads.push(CameraThread {
            index,
            name: setup.name,
            opener: setup.opener,
            live: setup.live,
            lossless: setup.lossless,
            framing: setup.framing,
            knobs,
            heartbeat,
            hang_after: liveness.hang_after,
            frame_limit: setup.frame_limit,
            backoff: Backoff::default(),
            free,
            recycle,
            dispatcher: Arc::clone(&dispatcher),
            ledger,
            clock: Arc::clone(&clock),
            stop: stop.clone(),
        });
    }
    let pools: Arc<[Pool]> = pools.into();
    let generation = Generation::new(
        0,
        engine_set.policy,
        engines,
        windows,
        engine_set.labels,
        engine_set.deadline,
        now,
    )
    .under(engine_set.budget, pools.len());
    let mut scheduler = Scheduler::new(generation, cameras_terms, now);
    scheduler.record(sampler.as_ref().and_then(|sampler| sampler.trace_queue.clone()));
    let actions = Doer {
        tasks: vec![(0, workers.tasks)],
        taker: Taker::Nobody,
        report_queue: Arc::clone(&report_queue),
        pools: Arc::clone(&pools),
    };
    dispatcher.open(scheduler, actions);
    let minder = Arc::clone(&dispatcher);
    let dispatcher = Thread::spawn("dispatcher", &stop, move || minder.mind())?;
    let (ready_tx, ready) = bounded(1);
    let sink = {
        let (report_queue, pools, liveness) =
            (Arc::clone(&report_queue), Arc::clone(&pools), Arc::clone(&liveness));
        Thread::spawn("sink", &stop, move || {
            sink_thread::run(listener, &report_queue, &pools, started, &ready_tx, &liveness)
        })?
    };
    let cameras = threads
        .into_iter()
        .map(|thread| Thread::spawn(&thread_of(&thread.name), &stop, move || thread.run()))
        .collect::<Result<_, _>>()?;
    let sampler =
        sampler.map(|sampler| SamplerThread::start(sampler, &shared, started)).transpose()?;
    let remote = Remote::new(shared, Arc::clone(&pools), workers.threads);
    Ok((
        Running {
            cameras,
            dispatcher,
            sink,
            sampler,
            report_queue,
            pools,
            ready,
            remote: remote.clone(),
            stop,
        },
        remote,
    ))
}

/// Name of a camera's thread.
fn thread_of(camera: &str) -> String {
    format!("squint-{camera}")
}

impl<L: ReportHandler + 'static> Running<L> {
    /// Waits until all is over, in frame order.
    pub fn run_to_end(self) -> Result<(RunResult<L>, Option<PipelineError>), PipelineError> {
        let Self { cameras, dispatcher, sink, sampler, report_queue, pools, ready, remote, stop } =
            self;
        let stop = &stop;
        let (mut failure, mut broken, mut limit) = (None, None, CAMERA_STOP_LIMIT);
        for thread in cameras {
            match thread.join(stop, limit) {
                Ok(Ok(())) => (),
                Ok(Err(error)) => {
                    error!(event = events::CAMERA_FAILED; "{error}");
                    failure.get_or_insert(error);
                }
                Err(error) => {
                    error!(event = events::LEFT_BEHIND; "{error}");
                    limit = error.patience_left(limit);
                    broken.get_or_insert(error);
                }
            }
        }
        if let Err(error) = dispatcher.join(stop, 2 * DRAIN_LIMIT) {
            broken.get_or_insert(error);
        }
        if let Some(Err(error)) = sampler.map(SamplerThread::end) {
            error!(event = events::LEFT_BEHIND; "{error}");
            broken.get_or_insert(error);
        }
        let limit = if stop.is_stopped() { STOP_LIMIT } else { DRAIN_LIMIT };
        if let Some(error) = join_workers(remote.close(), limit) {
            broken.get_or_insert(error);
        }
        report_queue.close();
        sink.wait(stop);
        let limit = if stop.is_stopped() { STOP_LIMIT } else { DRAIN_LIMIT };
        if !sink.is_gone_within(limit) {
            sink_thread::clear(&report_queue, &pools, DropReason::SinkFull); // a reader that dawdles has had its time
        }
        let listener = sink.join_within(limit)?;
        if broken.is_some() {
            pools.iter().for_each(|pool| pool.ledger.settle());
        }
        let cameras = pools
            .iter()
            .map(|pool| (Arc::clone(&pool.owner.name), pool.ledger.offered(), pool.ledger.drops()))
            .collect();
        Ok((RunResult { listener, cameras, ready: ready.try_recv().ok(), failure }, broken))
    }
}
