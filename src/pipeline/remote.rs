//! What steers a running pipeline from outside: another crew, another mode, other limits; and how everything is.
//!
//! Clonable, callable from any thread. Nothing here waits for a frame; [`Remote::relieve`] waits for engines to load.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use log::error;

use crate::config::Camera;
use crate::events;
use crate::observe::{CameraPhase, Mode};
use crate::policy::Reuse;
use crate::report::Drops;

use super::desk::{EngineState, Shift, ShiftId};
use super::pool::Pool;
use super::thread::Thread;
use super::worker::{House, dismiss, hire};
use super::{Crew, DRAIN_LIMIT, NO_HURRY, PipelineError};

/// How one camera wants its frames treated, as far as that can change while it runs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tuning {
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
    /// For how long no engine has looked at a frame of it that should have been; zero while all is well.
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
    house: House,
    pools: Arc<[Pool]>,
    /// Workers of all shifts; `None` once the pipeline has come to its end.
    workers: Mutex<Option<Vec<Thread<()>>>>,
    /// Number of the next shift.
    next: AtomicU32,
    /// One change of the crew at a time.
    relieving: Mutex<()>,
}

impl Remote {
    pub(super) fn new(house: House, pools: Arc<[Pool]>, workers: Vec<Thread<()>>) -> Self {
        let workers = Mutex::new(Some(workers));
        Self(Arc::new(Inner { house, pools, workers, next: AtomicU32::new(1), relieving: Mutex::default() }))
    }

    /// Puts another crew on duty, between two frames: loads and warms up all of its engines beside the ones that work, then hands over
    /// and sees the old ones off. On an error nothing has changed.
    pub fn relieve(&self, crew: Crew) -> Result<(), PipelineError> {
        let Inner { house, pools, workers, next, relieving } = &*self.0;
        let _one_at_a_time = relieving.lock().unwrap_or_else(PoisonError::into_inner);
        let engines: Arc<[Arc<str>]> = crew.engines.iter().map(|(id, _)| Arc::clone(id)).collect();
        let (hired, windows) = hire(crew.engines, house, true)?;
        let id: ShiftId = next.fetch_add(1, Ordering::Relaxed);
        let before = {
            let mut workers = workers.lock().unwrap_or_else(PoisonError::into_inner);
            match workers.as_mut() {
                Some(known) => std::mem::replace(known, hired.threads),
                None => {
                    drop(hired.tasks);
                    dismiss(hired.threads, DRAIN_LIMIT);
                    return Err(PipelineError::Over);
                }
            }
        };
        let now = house.clock.now();
        pools.iter().for_each(|pool| pool.fill(&engines, &crew.labels, now));
        let shift = Shift::new(id, crew.policy, engines, windows, crew.labels, crew.deadline, now).under(crew.budget, pools.len());
        if !house.dispatcher.relieve(shift, hired.tasks) {
            return Err(PipelineError::Over);
        }
        self.see_off(before, id - 1);
        Ok(())
    }

    /// Waits until the shift before has finished its frames and its workers have gone. Who hangs is kept for the end.
    fn see_off(&self, before: Vec<Thread<()>>, shift: ShiftId) {
        let Inner { house, workers, .. } = &*self.0;
        let until = Instant::now() + DRAIN_LIMIT;
        while !house.dispatcher.has_retired(shift) && Instant::now() < until {
            if !house.clock.sleep(Duration::from_millis(2), &house.stop) {
                break;
            }
        }
        let (gone, hung): (Vec<_>, Vec<_>) =
            before.into_iter().partition(|thread| thread.is_gone_within(until.saturating_duration_since(Instant::now())));
        dismiss(gone, DRAIN_LIMIT);
        for thread in &hung {
            error!(event = events::LEFT_BEHIND, thread = thread.name(); "thread {} has not come to its end and is left behind", thread.name());
        }
        let mut workers = workers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = workers.as_mut() {
            known.extend(hung);
        }
    }

    /// All workers, for the end; no crew can be put on duty any more.
    pub(super) fn close(&self) -> Vec<Thread<()>> {
        self.0.workers.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or_default()
    }

    /// How hard to look from now on.
    pub fn set_mode(&self, mode: Mode) {
        self.0.house.dispatcher.set_mode(mode);
    }

    /// How the camera at `index` wants its frames treated from now on.
    pub fn tune(&self, index: usize, tuning: &Tuning) {
        let Some(pool) = self.0.pools.get(index) else { return };
        pool.knobs.set(tuning);
        self.0.house.dispatcher.tune(index, tuning.deadline, tuning.reuse);
    }

    /// The camera at `index` is opened at once, if it waits because it refused the login.
    pub fn try_again(&self, index: usize) {
        if let Some(pool) = self.0.pools.get(index) {
            pool.knobs.try_again();
        }
    }

    /// The mode and the engines on duty; nothing once the pipeline has come to its end.
    pub fn engines(&self) -> Option<(Mode, Vec<EngineState>)> {
        self.0.house.dispatcher.state()
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
