//! The telemetry thread: reads the sensors twice a second and lets the budget take a step.
//!
//! It decides nothing: [`crate::telemetry`] reads, the scheduler makes the step, and a callback
//! gets the readings and the result. A board without sensors is sampled as well: the budget still
//! has the times of the frames.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use log::warn;

use crate::budget::LearnedState;
use crate::events;
use crate::telemetry::{Doubt, Listing, Sample, Telemetry};
use crate::trace::TraceQueue;

use super::clock::{Clock, Stop};
use super::dispatch::Dispatcher;
use super::heartbeat::{Activity, Heartbeat};
use super::thread::Thread;
use super::worker::Shared;
use super::{PipelineError, STOP_LIMIT};
use crate::budget::Stepped;

/// Between two readings.
const EVERY: Duration = Duration::from_millis(500);
/// Before what was learned is kept for the first time, and from then on, besides at the end; a
/// memory card does not take more for years.
const KEEP_AFTER: [Duration; 2] = [Duration::from_secs(60), Duration::from_secs(600)];
/// Of the thread.
const NAME: &str = "telemetry";

/// Hears of a step: the readings, what the budget made of them, and the sensors that are left out,
/// where that list may have changed.
pub type Hear = Box<dyn FnMut(&Sample, &Stepped, Option<&[Doubt]>) + Send>;
/// Keeps what was learned.
pub type Keep = Box<dyn FnMut(&LearnedState) + Send>;

/// What reads the board, and who hears of it.
pub struct Sampler {
    /// The board.
    pub telemetry: Box<dyn Telemetry>,
    /// The local minute of the day, 0..1440; `None` if the clock is not to be trusted.
    pub minute: Box<dyn FnMut() -> Option<u16> + Send>,
    /// Hears of every step.
    pub hear: Hear,
    /// Keeps what was learned, now and then; absent if nobody wants it.
    pub keep: Option<Keep>,
    /// Where the scheduler writes down everything that decides; absent if nobody wants it.
    pub trace_queue: Option<TraceQueue>,
}

/// The thread, from outside.
pub(super) struct SamplerThread {
    thread: Thread<()>,
    /// Ends it: the board is read until the last frame has gone its way.
    over: Stop,
    /// It writes down what was learned.
    keeping: Arc<AtomicBool>,
}

impl SamplerThread {
    /// Starts it.
    pub(super) fn start(
        sampler: Sampler,
        shared: &Shared,
        started: Instant,
    ) -> Result<Self, PipelineError> {
        let (over, keeping) = (Stop::new(), Arc::default());
        let reader = Reader {
            sampler,
            dispatcher: Arc::clone(&shared.dispatcher),
            heartbeat: shared.liveness.board.heartbeat(NAME),
            started,
            limit: shared.liveness.hang_after,
            clock: Arc::clone(&shared.clock),
            over: over.clone(),
            keeping: Arc::clone(&keeping),
        };
        Ok(Self { thread: Thread::spawn(NAME, &shared.stop, move || reader.run())?, over, keeping })
    }

    /// Ends it; a sensor that hangs is left behind, which is the error. A disk that takes its time
    /// is not waited for: the old file is still there, whole.
    pub(super) fn end(self) -> Result<(), PipelineError> {
        self.over.stop();
        match self.thread.join_within(STOP_LIMIT) {
            Err(_) if self.keeping.load(Ordering::SeqCst) => {
                warn!(event = events::STATE_NOT_KEPT; "the disk has not taken the budget's state within {STOP_LIMIT:?}; what was learned since it was last written is lost");
                Ok(())
            }
            ended => ended,
        }
    }
}

/// The thread, from inside.
struct Reader {
    sampler: Sampler,
    dispatcher: Arc<Dispatcher>,
    heartbeat: Arc<Heartbeat>,
    started: Instant,
    limit: Duration,
    clock: Arc<dyn Clock>,
    over: Stop,
    keeping: Arc<AtomicBool>,
}

impl Reader {
    fn run(mut self) {
        let mut sample = Sample::default();
        let mut next = self.clock.now();
        let mut keep_at = next + KEEP_AFTER[0];
        let mut listing = Listing::default();
        loop {
            self.heartbeat.begin(Activity::Reading, self.limit);
            let at = self.clock.now().saturating_duration_since(self.started);
            self.sampler.telemetry.sample(at, &mut sample);
            let Some(stepped) = self.dispatcher.budget(at, &sample, (self.sampler.minute)()) else {
                break;
            };
            let doubts = listing.is_due(&sample).then(|| self.sampler.telemetry.doubts());
            (self.sampler.hear)(&sample, &stepped, doubts.as_deref());
            if self.clock.now() >= keep_at {
                self.keep();
                keep_at = self.clock.now() + KEEP_AFTER[1];
            }
            self.heartbeat.idle();
            // In step with the clock, but after a delay not in a hurry.
            let now = self.clock.now();
            next = (next + EVERY).max(now + EVERY / 2);
            if !self.clock.sleep(next.saturating_duration_since(now), &self.over) {
                break;
            }
        }
        // Telemetry outlives the dispatcher, so this is all that there was to learn.
        self.keep();
        self.heartbeat.end();
    }

    fn keep(&mut self) {
        if let Some(keep) = &mut self.sampler.keep {
            self.keeping.store(true, Ordering::SeqCst);
            self.dispatcher.learned().iter().for_each(keep);
            self.keeping.store(false, Ordering::SeqCst);
        }
    }
}
