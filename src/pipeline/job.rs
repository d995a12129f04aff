//! One frame's travel bag: the frame itself, its report in the making, and the buffers that engines write to.
//!
//! A camera owns a fixed number of jobs; they go round (feature thread, dispatcher, worker, dispatcher, sink, back), so the
//! number of jobs bounds every queue and no frame allocates.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use crate::engine::{Answer, EngineError, EngineIdx, Labels, LookTimes};
use crate::features::{self, Features, Glimpse};
use crate::frame::{Frame, Framing};
use crate::policy::{Code, Journey, Reason};
use crate::report::{DropReason, Drops, Outcome, Report, Times};

/// What a frame carries along.
pub(crate) struct Job {
    /// The pixels; given back to the camera as soon as the last engine has seen them.
    pub(crate) frame: Option<Frame>,
    /// Which part of the frame counts.
    pub(crate) framing: Framing,
    /// Index of the camera.
    pub(crate) camera: usize,
    /// True if the camera must not lose frames.
    pub(crate) lossless: bool,
    /// Capture, monotonic.
    pub(crate) captured: Instant,
    /// When Squint got it, monotonic.
    pub(crate) arrived: Instant,
    /// When the features were ready.
    pub(crate) sighted: Instant,
    /// Latest moment for an answer; `None` until its turn comes, for frames that wait their turn.
    pub(crate) due: Option<Instant>,
    /// Rank among waiting frames: the lowest goes first. A frame that displaces another takes over its rank.
    pub(crate) rank: Rank,
    /// When the decision to wait has to be thought over, while it waits for a busy engine.
    pub(crate) review: Instant,
    /// For the scene-change test.
    pub(crate) glimpse: Glimpse,
    /// The engine that has it or had it last, and why.
    pub(crate) asked: (EngineIdx, Reason),
    /// When that engine was asked.
    pub(crate) asked_at: Instant,
    /// When that engine began.
    pub(crate) begun_at: Instant,
    /// What that engine made of it.
    pub(crate) own: Answer,
    /// Whether it succeeded.
    pub(crate) result: Result<LookTimes, EngineError>,
    /// What will be told.
    pub(crate) report: Report,
}

/// Who goes first among waiting frames: the earliest deadline, but a frame that a later one was preferred to comes before all that
/// were not passed over yet. So no frame is passed over for ever, however short the deadlines of the other cameras are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rank {
    /// False once a frame that came later was preferred.
    pub(crate) patient: bool,
    /// The frame's deadline, or that of the first one it displaced.
    pub(crate) due: Instant,
    /// When it came, or the first one that it displaced.
    pub(crate) since: Instant,
}

/// What all jobs of one camera share.
pub(crate) struct Origin {
    pub(crate) camera: usize,
    pub(crate) lossless: bool,
    pub(crate) name: Arc<str>,
    pub(crate) source: Arc<str>,
    pub(crate) framing: Framing,
    pub(crate) labels: Arc<Labels>,
    pub(crate) engines: Arc<[Arc<str>]>,
}

impl Job {
    /// A job with all buffers allocated.
    pub(crate) fn new(origin: &Origin, now: Instant) -> Box<Self> {
        let classes = origin.labels.classes.len();
        let nothing = Reason { code: Code::Abstained, value: None, limit: None };
        Box::new(Self {
            frame: None,
            framing: origin.framing,
            camera: origin.camera,
            lossless: origin.lossless,
            captured: now,
            arrived: now,
            sighted: now,
            due: None,
            rank: Rank { patient: true, due: now, since: now },
            review: now,
            glimpse: [0; features::GLIMPSE_WIDTH * features::GLIMPSE_HEIGHT],
            asked: (EngineIdx(0), nothing),
            asked_at: now,
            begun_at: now,
            own: Answer::with_classes(classes),
            result: Ok(LookTimes::default()),
            report: Report {
                camera: Arc::clone(&origin.name),
                camera_index: u16::try_from(origin.camera).unwrap_or(u16::MAX),
                source: Arc::clone(&origin.source),
                file: None,
                sequence: 0,
                captured_at: SystemTime::UNIX_EPOCH,
                features: Features { values: [0.0; features::COUNT] },
                journey: Journey { answer: Answer::with_classes(classes), ..Journey::default() },
                outcome: Outcome::Abstained,
                verdict: nothing,
                labels: Arc::clone(&origin.labels),
                engines: Arc::clone(&origin.engines),
                times: Times::default(),
                late: false,
                drops: Drops::default(),
            },
        })
    }

    /// Takes in a new frame and forgets the one before.
    pub(crate) fn load(&mut self, mut frame: Frame, sequence: u64, sighting: (Features, Glimpse), taken: Instant, now: Instant) {
        let report = &mut self.report;
        report.file = frame.name.take();
        report.sequence = sequence;
        report.captured_at = frame.captured_at;
        (report.features, self.glimpse) = sighting;
        report.journey.steps.clear();
        report.journey.answer.clear();
        report.late = false;
        report.times = Times {
            wait: taken.saturating_duration_since(frame.captured),
            features: now.saturating_duration_since(taken),
            ..Times::default()
        };
        self.captured = frame.captured;
        self.arrived = frame.arrived;
        self.sighted = now;
        self.due = None;
        self.rank = Rank { patient: true, due: now, since: now };
        self.frame = Some(frame);
    }

    /// Closes the report: gives the frame back and adds up the times.
    pub(crate) fn settle(&mut self, outcome: Outcome, verdict: Reason, now: Instant) {
        self.frame = None;
        let report = &mut self.report;
        report.outcome = outcome;
        report.verdict = verdict;
        report.late = self.due.is_some_and(|due| now > due);
        let age = now.saturating_duration_since(self.captured);
        let work: Duration = report.journey.steps.iter().map(|step| step.times.preprocess + step.times.run).sum();
        report.times.age = age;
        let ours = now.saturating_duration_since(self.arrived);
        report.times.overhead = ours.saturating_sub(report.times.features).saturating_sub(work);
    }
}

/// Counts of one camera that several threads add to. Once all is over, offered = told + dropped.
#[derive(Default)]
pub(crate) struct Ledger {
    offered: AtomicU64,
    told: AtomicU64,
    dropped: [AtomicU64; DropReason::ALL.len()],
}

impl Ledger {
    /// `count` more frames came from the source.
    pub(crate) fn offer(&self, count: u64) {
        self.offered.fetch_add(count, Ordering::Relaxed);
    }

    /// One more report was heard.
    pub(crate) fn tell(&self) {
        self.told.fetch_add(1, Ordering::Relaxed);
    }

    /// After a thread died or was left behind: the frames that it took with it count as given up.
    pub(crate) fn settle(&self) {
        let known = self.told.load(Ordering::Relaxed) + self.drops().total();
        self.lose(DropReason::Stopped, self.offered().saturating_sub(known));
    }

    /// `count` more frames were given up.
    pub(crate) fn lose(&self, why: DropReason, count: u64) {
        self.dropped[why as usize].fetch_add(count, Ordering::Relaxed);
    }

    /// Frames that came from the source so far.
    pub(crate) fn offered(&self) -> u64 {
        self.offered.load(Ordering::Relaxed)
    }

    /// Frames given up so far.
    pub(crate) fn drops(&self) -> Drops {
        Drops(std::array::from_fn(|index| self.dropped[index].load(Ordering::Relaxed)))
    }
}
