//! The jobs of one camera and its counts: where jobs are made and where they return to.
//!
//! The number of jobs bounds every queue. It is fixed unless a larger engine set comes; then a
//! camera that may lose frames gets as many more as that set can hold at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::engine::{Labels, MAX_ENGINES};
use crate::frame::Framing;
use crate::report::DropReason;

use super::camera::Knobs;
use super::job::{Job, Ledger, Origin};

/// Jobs of a camera that must not lose frames: one at the engines, one in line, two on their way to
/// or from the sink.
pub(super) const LOSSLESS_JOBS: usize = 4;
/// Jobs of a camera that may, beside those that wait for the sink or are at an engine: one being
/// told, one in line, one being measured.
const SPARE_JOBS: usize = 3;

/// What a pool is made for.
pub(super) struct Owner {
    /// Index of the camera.
    pub(super) camera: usize,
    pub(super) name: Arc<str>,
    pub(super) source: Arc<str>,
    pub(super) lossless: bool,
    pub(super) framing: Framing,
    /// Reports of the camera that may wait for the sink, 1 or more.
    pub(super) queue: usize,
}

impl Owner {
    /// Jobs with an engine set of `engines`: enough that a full sink queue and busy engines leave
    /// one for the next frame.
    fn jobs(&self, engines: usize) -> usize {
        if self.lossless {
            LOSSLESS_JOBS
        } else {
            self.queue + engines.min(MAX_ENGINES) + SPARE_JOBS
        }
    }
}

/// Where a camera's jobs go back to, and its counts.
pub(super) struct Pool {
    pub(super) owner: Owner,
    pub(super) recycle: Sender<Box<Job>>,
    pub(super) ledger: Arc<Ledger>,
    pub(super) knobs: Arc<Knobs>,
    /// Jobs made so far.
    made: AtomicUsize,
}

impl Pool {
    /// An empty pool, and where its jobs are taken from. Room for the jobs of the largest engine
    /// set is there from the start; it is the jobs themselves that are large, nine to twelve
    /// kilobytes where engines know a thousand classes.
    pub(super) fn new(owner: Owner, knobs: Arc<Knobs>) -> (Self, Receiver<Box<Job>>) {
        let (recycle, free) = bounded(owner.jobs(MAX_ENGINES));
        (Self { owner, recycle, ledger: Arc::default(), knobs, made: AtomicUsize::new(0) }, free)
    }

    /// The most jobs that there will ever be.
    pub(super) fn most(&self) -> usize {
        self.owner.jobs(MAX_ENGINES)
    }

    /// Makes the jobs that an engine set of these `engines` needs and that are not there yet. For
    /// one caller at a time.
    pub(super) fn fill(&self, engines: &Arc<[Arc<str>]>, labels: &Arc<Labels>, now: Instant) {
        let Owner { camera, name, source, lossless, framing, .. } = &self.owner;
        let origin = Origin {
            camera: *camera,
            lossless: *lossless,
            name: Arc::clone(name),
            source: Arc::clone(source),
            framing: *framing,
            labels: Arc::clone(labels),
            engines: Arc::clone(engines),
        };
        let wanted = self.owner.jobs(engines.len());
        for _ in self.made.fetch_max(wanted, Ordering::Relaxed)..wanted {
            let _ = self.recycle.try_send(Job::new(&origin, now)); // there is room for all that there will ever be
        }
    }

    /// Takes a job back; there is always room, since it came from here.
    pub(super) fn take_back(&self, mut job: Box<Job>) {
        job.empty();
        let _ = self.recycle.try_send(job);
    }

    /// Takes back the job of a frame of which there will be no report.
    pub(super) fn give_up(&self, job: Box<Job>, why: DropReason) {
        self.ledger.lose(why, 1);
        self.take_back(job);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Label;
    use crate::pipeline::Tuning;

    /// Jobs that are there after engine sets of these sizes have come in force, one after the
    /// other.
    fn jobs(lossless: bool, engine_sets: &[usize]) -> Vec<usize> {
        let framing = Framing::default();
        let owner = Owner {
            camera: 0,
            name: "door".into(),
            source: "test".into(),
            lossless,
            framing,
            queue: 16,
        };
        let (deadline, stale_after, stall_after, retry_cap) = Default::default();
        let knobs =
            Knobs::new(&Tuning { deadline, stale_after, stall_after, retry_cap, reuse: None });
        let (pool, free) = Pool::new(owner, Arc::new(knobs));
        let labels = Arc::new(Labels {
            classes: vec![Label { key: String::new(), name: "cat".into() }],
            sha256: "0".into(),
        });
        let engine_set = |size: &usize| {
            let engines: Vec<Arc<str>> =
                (0..*size).map(|index| format!("engine {index}").into()).collect();
            pool.fill(&engines.into(), &labels, Instant::now());
            assert!(free.len() <= pool.most());
            free.len()
        };
        engine_sets.iter().map(engine_set).collect()
    }

    #[test]
    fn a_larger_engine_set_brings_jobs_a_smaller_one_takes_none_and_a_camera_that_waits_needs_none()
    {
        assert_eq!(jobs(false, &[1, 4, 2, 4, 5]), [20, 23, 23, 23, 24]);
        assert_eq!(jobs(false, &[MAX_ENGINES]), [16 + MAX_ENGINES + 3]);
        assert_eq!(jobs(true, &[1, 4]), [LOSSLESS_JOBS, LOSSLESS_JOBS]);
    }

    #[test]
    fn a_job_is_as_large_as_is_said() {
        let job = size_of::<Job>() + 2 * 1000 * size_of::<f32>();
        assert!((9_000..=12_000).contains(&job), "{job} bytes");
    }
}
