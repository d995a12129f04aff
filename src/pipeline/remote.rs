//! The handle of a running pipeline: swap the engine set, set the mode, change limits, read the
//! states of engines and cameras.
//!
//! Cloneable, and usable from any thread. Nothing here waits for a frame; [`Remote::swap_engines`]
//! waits for engines to load.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use log::error;

use crate::config::Camera;
use crate::events;
use crate::policy::Reuse;
use crate::report::Drops;
use crate::vocabulary::{CameraPhase, Mode};

use super::pool::Pool;
use super::scheduler::{EngineState, Generation, GenerationId};
use super::thread::Thread;
use super::worker::{Shared, join_workers, start_workers};
use super::{DRAIN_LIMIT, EngineSet, NO_HURRY, PipelineError};

/// How one camera wants its frames treated, as far as that can change while it runs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tuning {
    /// Latest moment for an answer: after capture; for lossless cameras after the frame's turn
    /// came.
    pub deadline: Duration,
    /// Frames older than this on arrival are dropped; not for lossless cameras.
    pub stale_after: Duration,
    /// Silence after which the source counts as lost.
    pub stall_after: Duration,
    /// Longest pause between two tries.
    pub retry_cap: Duration,
    /// Whether the last answer may be given again.
    pub reuse: Option<Reuse>,
}

impl From<&Camera> for Tuning {
    /// As the configuration says.
    fn from(camera: &Camera) -> Self {
        let Camera { stale_after, stall_after, retry_cap, reuse, .. } = *camera;
        let deadline = camera.deadline.unwrap_or(NO_HURRY);
        Self { deadline, stale_after, stall_after, retry_cap, reuse }
    }
}

/// One camera, as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CameraState {
    /// Its name.
    pub name: Arc<str>,
    /// The source, without secrets.
    pub source: Arc<str>,
    /// How it is.
    pub phase: CameraPhase,
    /// For how long.
    pub since: Duration,
    /// Time until the next try to open it, while it is lost.
    pub next_try: Option<Duration>,
    /// How often it was lost.
    pub losses: u64,
    /// Frames that came from the source.
    pub offered: u64,
    /// Reports that the listener has heard.
    pub told: u64,
    /// Frames given up.
    pub drops: Drops,
    /// It is not open, for want of descriptors or threads.
    pub short: bool,
    /// For how long no engine has looked at a frame of it that should have been; zero while all is
    /// well.
    pub unanswered: Duration,
}

impl CameraState {
    /// Frames on their way.
    pub fn under_way(&self) -> u64 {
        self.offered.saturating_sub(self.told + self.drops.total())
    }
}

/// A running pipeline's strings.
#[derive(Clone)]
pub struct Remote(Arc<Inner>);

struct Inner {
    shared: Shared,
    pools: Arc<[Pool]>,
    /// Workers of all generations; `None` once the pipeline has come to its end.
    workers: Mutex<Option<Vec<Thread<()>>>>,
    /// Number of the next generation.
    next: AtomicU32,
    /// One change of the engine set at a time.
    swapping: Mutex<()>,
}

impl Remote {
    pub(super) fn new(shared: Shared, pools: Arc<[Pool]>, workers: Vec<Thread<()>>) -> Self {
        let workers = Mutex::new(Some(workers));
        Self(Arc::new(Inner {
            shared,
            pools,
            workers,
            next: AtomicU32::new(1),
            swapping: Mutex::default(),
        }))
    }

    /// Puts another engine set in force, between two frames: loads and warms up all of its engines
    /// beside the ones that work, then hands over and sees the old ones off. On an error nothing
    /// has changed.
    pub fn swap_engines(&self, engine_set: EngineSet) -> Result<(), PipelineError> {
        let Inner { shared, pools, workers, next, swapping } = &*self.0;
        let _one_at_a_time = swapping.lock().unwrap_or_else(PoisonError::into_inner);
        let engines: Arc<[Arc<str>]> =
            engine_set.engines.iter().map(|(id, _)| Arc::clone(id)).collect();
        let (started_workers, windows) = start_workers(engine_set.engines, shared, true)?;
        let id: GenerationId = next.fetch_add(1, Ordering::Relaxed);
        let before = {
            let mut workers = workers.lock().unwrap_or_else(PoisonError::into_inner);
            match workers.as_mut() {
                Some(known) => std::mem::replace(known, started_workers.threads),
                None => {
                    drop(started_workers.tasks);
                    join_workers(started_workers.threads, DRAIN_LIMIT);
                    return Err(PipelineError::Over);
                }
            }
        };
        let measure =
            |yes: bool| pools.iter().for_each(|pool| pool.knobs.measure(yes || shared.features));
        let reads_features = engine_set.policy.reads_features();
        if reads_features {
            measure(true); // before the policy that reads them is in force
        }
        let now = shared.clock.now();
        pools.iter().for_each(|pool| pool.fill(&engines, &engine_set.labels, now));
        let generation = Generation::new(
            id,
            engine_set.policy,
            engines,
            windows,
            engine_set.labels,
            engine_set.deadline,
            now,
        )
        .under(engine_set.budget, pools.len());
        if !shared.dispatcher.swap_engines(generation, started_workers.tasks) {
            return Err(PipelineError::Over);
        }
        measure(reads_features);
        self.drain(before, id - 1);
        Ok(())
    }

    /// Waits until the generation before has finished its frames and its workers have gone. Who
    /// hangs is kept for the end.
    fn drain(&self, before: Vec<Thread<()>>, generation: GenerationId) {
        let Inner { shared, workers, .. } = &*self.0;
        let until = Instant::now() + DRAIN_LIMIT;
        while !shared.dispatcher.has_dropped(generation) && Instant::now() < until {
            if !shared.clock.sleep(Duration::from_millis(2), &shared.stop) {
                break;
            }
        }
        let (gone, hung): (Vec<_>, Vec<_>) = before.into_iter().partition(|thread| {
            thread.is_gone_within(until.saturating_duration_since(Instant::now()))
        });
        join_workers(gone, DRAIN_LIMIT);
        for thread in &hung {
            error!(event = events::LEFT_BEHIND, thread = thread.name(); "thread {} has not come to its end and is left behind", thread.name());
        }
        let mut workers = workers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = workers.as_mut() {
            known.extend(hung);
        }
    }

    /// All workers, for the end; no engine set can be put in force any more.
    pub(super) fn close(&self) -> Vec<Thread<()>> {
        self.0.workers.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or_default()
    }

    /// How hard to look from now on.
    pub fn set_mode(&self, mode: Mode) {
        self.0.shared.dispatcher.set_mode(mode);
    }

    /// How the camera at `index` wants its frames treated from now on.
    pub fn tune(&self, index: usize, tuning: &Tuning) {
        let Some(pool) = self.0.pools.get(index) else { return };
        pool.knobs.set(tuning);
        self.0.shared.dispatcher.tune(index, tuning.deadline, tuning.reuse);
    }

    /// The camera at `index` is opened at once, if it waits because it refused the login.
    pub fn try_again(&self, index: usize) {
        if let Some(pool) = self.0.pools.get(index) {
            pool.knobs.try_again();
        }
    }

    /// The mode and the engines in force; nothing once the pipeline has come to its end.
    pub fn engines(&self) -> Option<(Mode, Vec<EngineState>)> {
        self.0.shared.dispatcher.state()
    }

    /// Every camera.
    pub fn cameras(&self) -> Vec<CameraState> {
        let mut cameras = Vec::new();
        self.read_cameras(&mut cameras);
        cameras
    }

    /// Every camera, in place of what `into` held. Allocates nothing once `into` has been used.
    pub fn read_cameras(&self, into: &mut Vec<CameraState>) {
        let state = |pool: &Pool| {
            let (phase, since, next_try) = pool.ledger.phase();
            // What has ended first: a frame that ends in between counts as under way.
            let (told, drops) = (pool.ledger.told(), pool.ledger.drops());
            CameraState {
                name: Arc::clone(&pool.owner.name),
                source: Arc::clone(&pool.owner.source),
                phase,
                since,
                next_try,
                losses: pool.ledger.losses(),
                offered: pool.ledger.offered(),
                told,
                drops,
                short: pool.ledger.is_short(),
                unanswered: pool.ledger.unanswered(),
            }
        };
        into.clear();
        into.extend(self.0.pools.iter().map(state));
    }
}
