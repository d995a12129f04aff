//! Everything that belongs to one frame: the pixels, its report so far, and the buffers that
//! engines write to.
//!
//! A camera owns a fixed number of jobs, which circulate (feature thread, dispatcher, worker,
//! dispatcher, sink, back). Their number bounds every queue, and no frame allocates. Only a reload
//! to a larger engine set makes more of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use crate::budget::Grant;
use crate::engine::{Answer, EngineError, EngineIdx, Labels, LookTimes};
use crate::features::{self, Features, Glimpse};
use crate::frame::{Frame, Framing};
use crate::policy::{Attempts, Code, Reason};
use crate::report::{DropReason, Drops, Outcome, Report, Times};
use crate::vocabulary::CameraPhase;

use super::scheduler::GenerationId;

/// Of a job that no generation has had yet: whoever is in force makes it its own.
const NO_GENERATION: GenerationId = GenerationId::MAX;
/// Stand where nothing was measured.
const UNMEASURED: Features = Features { values: [0.0; features::COUNT] };

/// What a frame carries along.
pub(crate) struct Job {
    /// The pixels; given back to the camera as soon as the last engine has seen them. Shared with
    /// the engine that looks.
    frame: Arc<Option<Frame>>,
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
    /// Rank among waiting frames: the lowest goes first. A frame that displaces another takes over
    /// its rank.
    pub(crate) rank: Rank,
    /// When the decision to wait has to be thought over, while it waits for a busy engine.
    pub(crate) review: Instant,
    /// For the scene-change test.
    pub(crate) glimpse: Glimpse,
    /// True if the features of the report were measured on this frame.
    pub(crate) measured: bool,
    /// The engine that has it or had it last, and why.
    pub(crate) asked: (EngineIdx, Reason),
    /// The generation whose engines look at it.
    pub(crate) generation: GenerationId,
    /// True if other engines were at work when it was asked.
    pub(crate) crowded: bool,
    /// When that engine was asked.
    pub(crate) asked_at: Instant,
    /// When that engine began.
    pub(crate) begun_at: Instant,
    /// What that engine made of it; with the engine while it looks.
    pub(crate) own: Answer,
    /// What will be told.
    pub(crate) report: Report,
}

/// One look that an engine is asked for; it comes back with the result.
pub(crate) struct Task {
    /// The generation that asks.
    pub(crate) generation: GenerationId,
    /// The engine that is asked.
    pub(crate) engine: EngineIdx,
    /// Number of the look, given by the engine slot.
    pub(crate) ticket: u64,
    /// The pixels.
    pub(crate) frame: Arc<Option<Frame>>,
    /// Which part of them counts.
    pub(crate) framing: Framing,
    /// Where the answer is written to.
    pub(crate) own: Answer,
    /// When the engine began.
    pub(crate) begun_at: Instant,
    /// Whether it succeeded.
    pub(crate) result: Result<LookTimes, EngineError>,
}

/// Who goes first among waiting frames: the earliest deadline, but a frame that a later one was
/// preferred to comes before all that were not passed over yet. So no frame is passed over for
/// ever, however short the deadlines of the other cameras are.
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
            frame: Arc::new(None),
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
            measured: false,
            asked: (EngineIdx(0), nothing),
            generation: NO_GENERATION,
            crowded: false,
            asked_at: now,
            begun_at: now,
            own: Answer::with_classes(classes),
            report: Report {
                camera: Arc::clone(&origin.name),
                camera_index: u16::try_from(origin.camera).unwrap_or(u16::MAX),
                source: Arc::clone(&origin.source),
                file: None,
                sequence: 0,
                captured_at: SystemTime::UNIX_EPOCH,
                features: UNMEASURED,
                attempts: Attempts { answer: Answer::with_classes(classes), ..Attempts::default() },
                outcome: Outcome::Abstained,
                verdict: nothing,
                grant: Grant::FREE,
                withheld: None,
                labels: Arc::clone(&origin.labels),
                engines: Arc::clone(&origin.engines),
                times: Times::default(),
                late: false,
                drops: Drops::default(),
            },
        })
    }

    /// Takes in a new frame and forgets the one before.
    pub(crate) fn load(
        &mut self,
        mut frame: Frame,
        sequence: u64,
        (features, glimpse): (Option<Features>, Glimpse),
        taken: Instant,
        now: Instant,
    ) {
        let report = &mut self.report;
        report.file = frame.name.take();
        report.sequence = sequence;
        report.captured_at = frame.captured_at;
        self.measured = features.is_some();
        report.features = features.unwrap_or(UNMEASURED);
        self.glimpse = glimpse;
        report.attempts.steps.clear();
        report.attempts.answer.clear();
        report.late = false;
        (report.grant, report.withheld) = (Grant::FREE, None);
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
        self.picture(Some(frame));
    }

    /// Measures the features after all.
    pub(crate) fn measure(&mut self, extract: impl FnOnce(&Frame) -> Features) {
        if let Some(frame) = &*self.frame {
            self.report.features = extract(frame);
        }
        self.measured = true;
    }

    /// Gives the picture back.
    pub(crate) fn empty(&mut self) {
        self.picture(None);
    }

    /// An engine that is stuck keeps the picture that it has; only then a new place for the next
    /// one is made.
    fn picture(&mut self, frame: Option<Frame>) {
        match Arc::get_mut(&mut self.frame) {
            Some(place) => *place = frame,
            None => self.frame = Arc::new(frame),
        }
    }

    /// What `engine` is to do with it; the ticket is still missing.
    pub(crate) fn task(&mut self, engine: EngineIdx, now: Instant) -> Task {
        Task {
            generation: self.generation,
            engine,
            ticket: 0,
            frame: Arc::clone(&self.frame),
            framing: self.framing,
            own: std::mem::take(&mut self.own),
            begun_at: now,
            result: Ok(LookTimes::default()),
        }
    }

    /// Closes the report: gives the frame back and adds up the times.
    pub(crate) fn settle(&mut self, outcome: Outcome, verdict: Reason, now: Instant) {
        self.empty();
        let report = &mut self.report;
        report.outcome = outcome;
        report.verdict = verdict;
        report.late = self.due.is_some_and(|due| now > due);
        let age = now.saturating_duration_since(self.captured);
        let work: Duration =
            report.attempts.steps.iter().map(|step| step.times.preprocess + step.times.run).sum();
        report.times.age = age;
        let ours = now.saturating_duration_since(self.arrived);
        report.times.overhead = ours.saturating_sub(report.times.features).saturating_sub(work);
    }
}

/// Counts of one camera that several threads add to, and how it is. Once all is over, offered =
/// told + dropped.
pub(crate) struct Ledger {
    zero: Instant,
    offered: AtomicU64,
    told: AtomicU64,
    dropped: [AtomicU64; DropReason::ALL.len()],
    losses: AtomicU64,
    phase: AtomicU8,
    /// Nanoseconds after `zero`.
    since: AtomicU64,
    /// Of the pause, nanoseconds.
    pause: AtomicU64,
    /// It was lost for want of descriptors or threads.
    short: AtomicBool,
    /// Nanoseconds after `zero`, plus one: since when no engine has looked at a frame that should
    /// have been; 0 while all is well.
    neglected: AtomicU64,
}

impl Default for Ledger {
    fn default() -> Self {
        let zero = || AtomicU64::new(0);
        Self {
            zero: Instant::now(),
            offered: zero(),
            told: zero(),
            dropped: std::array::from_fn(|_| zero()),
            losses: zero(),
            phase: AtomicU8::new(CameraPhase::Opening as u8),
            since: zero(),
            pause: zero(),
            short: AtomicBool::new(false),
            neglected: zero(),
        }
    }
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
        if matches!(why, DropReason::Busy | DropReason::Late | DropReason::Stale) {
            self.neglect();
        }
    }

    /// A frame should have been looked at, and was not.
    fn neglect(&self) {
        if self.neglected.load(Ordering::Relaxed) == 0 {
            self.neglected.store(self.nanos() + 1, Ordering::Relaxed);
        }
    }

    /// Takes note of whether an engine has looked at the frame of this report, or should have.
    /// While Squint is paused no engine should.
    pub(crate) fn heed(&self, report: &Report) {
        if report.outcome == Outcome::Reused
            || report.verdict.code == Code::Paused
            || !report.attempts.steps.is_empty()
        {
            self.neglected.store(0, Ordering::Relaxed);
        } else if matches!(
            report.verdict.code,
            Code::OutOfTime | Code::NotAllowed | Code::EngineFailed
        ) {
            self.neglect();
        }
    }

    /// For how long no engine has looked at a frame that should have been; zero while all is well,
    /// and while it does not deliver.
    pub(crate) fn unanswered(&self) -> Duration {
        let (phase, delivering, _) = self.phase();
        match self.neglected.load(Ordering::Relaxed).checked_sub(1) {
            Some(since) if phase == CameraPhase::Delivering => {
                self.zero.elapsed().saturating_sub(Duration::from_nanos(since)).min(delivering)
            }
            _ => Duration::ZERO,
        }
    }

    /// It was lost; `short`: for want of descriptors or threads.
    pub(crate) fn lost_for(&self, short: bool) {
        self.short.store(short, Ordering::Relaxed);
    }

    /// True while it is not open for want of descriptors or threads.
    pub(crate) fn is_short(&self) -> bool {
        self.short.load(Ordering::Relaxed)
    }

    fn nanos(&self) -> u64 {
        u64::try_from(self.zero.elapsed().as_nanos()).unwrap_or(u64::MAX - 1)
    }

    /// The camera is in this phase from now on.
    pub(crate) fn enter(&self, phase: CameraPhase) {
        self.since.store(self.nanos(), Ordering::Relaxed);
        if phase == CameraPhase::Delivering {
            self.short.store(false, Ordering::Relaxed);
        }
        self.phase.store(phase as u8, Ordering::Relaxed);
    }

    /// It was lost, and is opened again after `pause`.
    pub(crate) fn retry(&self, pause: Duration) {
        self.losses.fetch_add(1, Ordering::Relaxed);
        self.pause.store(u64::try_from(pause.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
        self.enter(CameraPhase::Retrying);
    }

    /// It does not let this user in, and is asked again after `pause`.
    pub(crate) fn refused(&self, pause: Duration) {
        self.retry(pause);
        self.phase.store(CameraPhase::Refused as u8, Ordering::Relaxed);
    }

    /// How it is: the phase, for how long, and, if it waits for another try, the time left until
    /// then.
    pub(crate) fn phase(&self) -> (CameraPhase, Duration, Option<Duration>) {
        let phase = CameraPhase::ALL
            .get(usize::from(self.phase.load(Ordering::Relaxed)))
            .copied()
            .unwrap_or(CameraPhase::Ended);
        let since = self
            .zero
            .elapsed()
            .saturating_sub(Duration::from_nanos(self.since.load(Ordering::Relaxed)));
        let pause = Duration::from_nanos(self.pause.load(Ordering::Relaxed));
        let waits = matches!(phase, CameraPhase::Retrying | CameraPhase::Refused);
        (phase, since, waits.then(|| pause.saturating_sub(since)))
    }

    /// How often it was lost.
    pub(crate) fn losses(&self) -> u64 {
        self.losses.load(Ordering::Relaxed)
    }

    /// Reports heard so far.
    pub(crate) fn told(&self) -> u64 {
        self.told.load(Ordering::Relaxed)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_that_was_turned_down_before_squint_was_paused_is_no_fault_while_it_is() {
        let labels = Labels { classes: Vec::new(), sha256: "0".into() };
        let origin = Origin {
            camera: 0,
            lossless: false,
            name: "door".into(),
            source: "test".into(),
            framing: Framing::default(),
            labels: Arc::new(labels),
            engines: Vec::new().into(),
        };
        let mut report = Job::new(&origin, Instant::now()).report;
        let ledger = Ledger::default();
        let heed = |report: &mut Report, code| {
            report.verdict = Reason::bare(code);
            ledger.heed(report);
            ledger.neglected.load(Ordering::Relaxed) > 0
        };
        ledger.lose(DropReason::Busy, 1);
        assert!(!heed(&mut report, Code::Paused), "no engine should look");
        assert!(heed(&mut report, Code::OutOfTime), "one should have looked");
        assert!(heed(&mut report, Code::Abstained), "and none has since");
        report.outcome = Outcome::Reused;
        assert!(!heed(&mut report, Code::Unchanged));
    }
}
