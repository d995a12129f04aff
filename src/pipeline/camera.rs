//! The feature thread of one camera: keeps its source open, measures each frame, and hands it to
//! the scheduler.
//!
//! The only place that opens a source, and that opens it again. It never waits for an engine,
//! except for cameras that must not lose frames: they wait for a free job.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded, select};
use log::{debug, info, warn};

use crate::events;
use crate::features::{self, Scratch};
use crate::frame::{Frame, Framing};
use crate::report::DropReason;
use crate::source::{Backoff, FIRST_REFUSAL, FrameSource, LONGEST_REFUSAL, SourceError};
use crate::vocabulary::CameraPhase;

use super::clock::{Clock, Stop};
use super::dispatch::Dispatcher;
use super::heartbeat::{Activity, Heartbeat};
use super::job::{Job, Ledger};
use super::{CAMERA_LIMIT, Opener, Tuning};

/// What may be changed while a camera runs.
pub(super) struct Knobs {
    stall_after: AtomicU64,
    stale_after: AtomicU64,
    retry_cap: AtomicU64,
    /// Features are measured, besides the glimpse.
    measures: AtomicBool,
    /// Somebody has mended the login.
    again: (Sender<()>, Receiver<()>),
}

impl Knobs {
    pub(super) fn new(tuning: &Tuning) -> Self {
        let zero = || AtomicU64::new(0);
        let knobs = Self {
            stall_after: zero(),
            stale_after: zero(),
            retry_cap: zero(),
            measures: AtomicBool::new(true),
            again: bounded(1),
        };
        knobs.set(tuning);
        knobs
    }

    /// A pause after a refused login ends now.
    pub(super) fn try_again(&self) {
        // One that waits already stands for this one, too.
        let _ = self.again.0.try_send(());
    }

    /// From the next frame, or the next pause, on.
    pub(super) fn set(&self, tuning: &Tuning) {
        let Tuning { stall_after, stale_after, retry_cap, .. } = *tuning;
        for (knob, value) in [
            (&self.stall_after, stall_after),
            (&self.stale_after, stale_after),
            (&self.retry_cap, retry_cap),
        ] {
            knob.store(u64::try_from(value.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
        }
    }

    /// Whether features are measured, from the next frame on.
    pub(super) fn measure(&self, yes: bool) {
        self.measures.store(yes, Ordering::Release);
    }

    fn measures(&self) -> bool {
        self.measures.load(Ordering::Acquire)
    }

    fn stall_after(&self) -> Duration {
        Duration::from_nanos(self.stall_after.load(Ordering::Relaxed))
    }

    fn stale_after(&self) -> Duration {
        Duration::from_nanos(self.stale_after.load(Ordering::Relaxed))
    }

    fn retry_cap(&self) -> Duration {
        Duration::from_nanos(self.retry_cap.load(Ordering::Relaxed))
    }
}

/// One camera's thread, before it runs.
pub(super) struct CameraThread {
    pub(super) index: usize,
    pub(super) name: Arc<str>,
    pub(super) opener: Opener,
    pub(super) live: bool,
    pub(super) lossless: bool,
    pub(super) framing: Framing,
    pub(super) knobs: Arc<Knobs>,
    pub(super) heartbeat: Arc<Heartbeat>,
    pub(super) hang_after: Duration,
    pub(super) frame_limit: Option<u64>,
    pub(super) backoff: Backoff,
    pub(super) free: Receiver<Box<Job>>,
    pub(super) recycle: Sender<Box<Job>>,
    pub(super) dispatcher: Arc<Dispatcher>,
    pub(super) ledger: Arc<Ledger>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) stop: Stop,
}

/// How far the numbering has come; it goes on when the source is opened again.
#[derive(Default)]
struct Progress {
    /// Number that the source's frame 0 has.
    base: u64,
    /// One above the highest number given.
    next: u64,
    /// Frames superseded in this opening that have been counted.
    superseded: u64,
    /// Pictures of this opening that are no frames and have been counted.
    unreadable: u64,
    /// The same of all openings: no limit of frames counts them.
    no_frames: u64,
    delivered: bool,
    /// True while a frame is counted as offered but neither handed on nor counted as lost.
    in_hand: bool,
}

enum Flow {
    Continue,
    End,
}

impl CameraThread {
    /// Works until the source has ended or Squint stops. An error is one that no retry can mend: a
    /// finite source that failed. However it ends, the dispatcher hears of it.
    pub(super) fn run(mut self) -> Result<(), SourceError> {
        let mut progress = Progress::default();
        let outcome = catch_unwind(AssertUnwindSafe(|| self.keep_alive(&mut progress)));
        if progress.in_hand {
            self.ledger.lose(DropReason::Stopped, 1);
        }
        self.ledger.enter(CameraPhase::Ended);
        self.heartbeat.end();
        self.stop.forget(self.index);
        // The dispatcher may be gone already if everything is going down at once.
        self.dispatcher.ended(self.index);
        outcome.unwrap_or_else(|panic| resume_unwind(panic))
    }

    fn keep_alive(&mut self, progress: &mut Progress) -> Result<(), SourceError> {
        let mut scratch = Scratch::default();
        let mut refusals = Backoff::from(FIRST_REFUSAL);
        while !self.stop.is_stopped() && self.frames_left(progress) > 0 {
            let lost = match self.run_once(&mut scratch, progress) {
                Ok(()) => break,
                Err(error @ SourceError::OtherWay { .. }) => {
                    info!(event = events::CAMERA_OTHER_WAY, camera = *self.name; "{}: {error}", self.name);
                    continue;
                }
                Err(error) if !self.live => return Err(error),
                Err(error) => error,
            };
            if self.stop.is_stopped() {
                break;
            }
            if let SourceError::Refused { .. } = lost {
                if !self.wait_outside(&lost, &mut refusals) {
                    break;
                }
                continue;
            }
            refusals.reset();
            let pause = self.backoff.pause(self.knobs.retry_cap());
            self.ledger.lost_for(matches!(lost, SourceError::OutOfResources { .. }));
            self.ledger.retry(pause);
            self.heartbeat.begin(Activity::Resting, pause + self.hang_after);
            warn!(
                event = events::CAMERA_LOST, camera = *self.name, reason = lost.word();
                "{}: {lost}; next try in {} ms", self.name, pause.as_millis()
            );
            if !self.clock.sleep(pause, &self.stop) {
                break;
            }
        }
        Ok(())
    }

    /// The camera does not let this user in. Many lock the account after a few wrong logins, for
    /// everybody: the pauses are long, and end early only when somebody reloads. Said once. False
    /// if told to stop.
    fn wait_outside(&self, refused: &SourceError, refusals: &mut Backoff) -> bool {
        let is_first = *refusals == Backoff::from(FIRST_REFUSAL);
        let pause = refusals.pause(LONGEST_REFUSAL);
        self.ledger.refused(pause);
        self.heartbeat.begin(Activity::Resting, pause.saturating_add(self.hang_after));
        let minutes = pause.as_secs() / 60;
        if is_first {
            warn!(
                event = events::CAMERA_REFUSED, camera = *self.name, reason = refused.word();
                "{}: {refused}; so that the account is not locked the next try comes in {minutes} min, later ones after up to {} min",
                self.name, LONGEST_REFUSAL.as_secs() / 60
            );
        } else {
            debug!("{}: {refused}; next try in {minutes} min", self.name);
        }
        let begun = self.clock.now();
        let goes_on = self.clock.rest(pause, &self.stop, &self.knobs.again.1);
        if self.clock.now().saturating_duration_since(begun) < pause {
            refusals.reset(); // somebody asked for it: another login, perhaps
        }
        goes_on
    }

    /// Opens the source and works until it ends or fails. Never retries, never sleeps.
    fn run_once(
        &mut self,
        scratch: &mut Scratch,
        progress: &mut Progress,
    ) -> Result<(), SourceError> {
        self.ledger.enter(CameraPhase::Opening);
        self.heartbeat.begin(Activity::Opening, CAMERA_LIMIT);
        // What was asked for before is about to be done.
        let _ = self.knobs.again.1.try_recv();
        let mut source = (self.opener)()?;
        self.stop.register(self.index, source.stopper());
        let Progress { next, no_frames, .. } = *progress;
        *progress = Progress { base: next, next, no_frames, ..Progress::default() };
        let outcome = self.drain(source.as_mut(), scratch, progress);
        self.count_lost(source.as_mut(), progress);
        // Closing it is part of opening it again.
        self.heartbeat.begin(Activity::Opening, CAMERA_LIMIT);
        outcome
    }

    fn drain(
        &mut self,
        source: &mut dyn FrameSource,
        scratch: &mut Scratch,
        progress: &mut Progress,
    ) -> Result<(), SourceError> {
        loop {
            let patience = self.knobs.stall_after();
            let patience =
                if progress.delivered { patience } else { source.first_patience(patience) };
            self.heartbeat.begin(
                Activity::Awaiting,
                source.longest_silence(patience).saturating_add(self.hang_after),
            );
            match source.next(patience) {
                Ok(Some(frame)) => {
                    self.heartbeat.begin(Activity::Measuring, self.hang_after);
                    self.ledger.offer(1);
                    progress.in_hand = true;
                    self.count_lost(source, progress);
                    if !std::mem::replace(&mut progress.delivered, true) {
                        let layout = frame.layout();
                        self.ledger.enter(CameraPhase::Delivering);
                        info!(event = events::CAMERA_DELIVERING, camera = *self.name; "{}: delivering {}x{} {:?}", self.name, layout.width, layout.height, layout.format);
                        self.backoff.reset();
                    }
                    let sequence = progress.base + frame.sequence;
                    progress.next = sequence + 1;
                    let flow = self.sight(frame, sequence, scratch);
                    progress.in_hand = false;
                    if let Flow::End = flow {
                        return Ok(());
                    }
                }
                Ok(None) => return Ok(()),
                Err(SourceError::Unreadable { file, reason, .. }) => {
                    self.ledger.offer(1);
                    self.ledger.lose(DropReason::Unreadable, 1);
                    progress.next += 1;
                    warn!(event = events::FRAME_UNREADABLE, camera = *self.name; "{}: {file} left out: {reason}", self.name);
                }
                Err(SourceError::LeftOut { .. }) => self.count_lost(source, progress),
                Err(error) => return Err(error),
            }
            if self.frames_left(progress) == 0 || self.stop.is_stopped() {
                return Ok(());
            }
        }
    }

    /// Measures one frame and hands it on, or counts why not.
    fn sight(&mut self, frame: Frame, sequence: u64, scratch: &mut Scratch) -> Flow {
        let taken = self.clock.now();
        if !self.lossless
            && taken.saturating_duration_since(frame.captured) > self.knobs.stale_after()
        {
            self.ledger.lose(DropReason::Stale, 1);
            return Flow::Continue;
        }
        let sighting = if self.knobs.measures() {
            let (features, glimpse) = features::extract(&frame, &self.framing, scratch);
            (Some(features), glimpse)
        } else {
            (None, features::glimpse(&frame, &self.framing, scratch))
        };
        let Some(mut job) = self.free_job() else {
            let stopped = self.lossless || self.stop.is_stopped();
            self.ledger.lose(if stopped { DropReason::Stopped } else { DropReason::Busy }, 1);
            return if self.lossless { Flow::End } else { Flow::Continue };
        };
        job.load(frame, sequence, sighting, taken, self.clock.now());
        self.heartbeat.begin(Activity::Handing, self.hang_after);
        let mut handed = self.dispatcher.new_frame(job);
        if let Ok(Some(mut job)) = handed {
            // `change` is 0 then, as for a first frame.
            let (framing, started) = (self.framing, self.clock.now());
            job.measure(|frame| features::extract(frame, &framing, scratch).0);
            job.report.times.features += self.clock.now().saturating_duration_since(started);
            handed = self.dispatcher.new_frame(job);
        }
        match handed {
            Ok(None) => Flow::Continue,
            Ok(Some(job)) | Err(job) => {
                debug!("{}: the dispatcher is gone", self.name);
                self.ledger.lose(DropReason::Stopped, 1);
                let _ = self.recycle.try_send(job);
                Flow::End
            }
        }
    }

    /// A free job: at once or not at all for live cameras, as soon as there is one (or Squint
    /// stops) for the others.
    fn free_job(&self) -> Option<Box<Job>> {
        if !self.lossless {
            return self.free.try_recv().ok();
        }
        // As long as the engines need; their own heartbeats tell if they hang.
        self.heartbeat.begin(Activity::Handing, Duration::MAX);
        select! {
            recv(self.free) -> job => job.ok(),
            recv(self.stop.signal()) -> _ => None,
        }
    }

    fn frames_left(&self, progress: &Progress) -> u64 {
        let frames = self.ledger.offered().saturating_sub(progress.no_frames);
        self.frame_limit.map_or(u64::MAX, |limit| limit.saturating_sub(frames))
    }

    /// Counts what the source left out since the last time, and tells what there is to tell.
    fn count_lost(&self, source: &mut dyn FrameSource, progress: &mut Progress) {
        let total = source.superseded();
        // Frames beyond the limit are none of ours.
        let new = total.saturating_sub(progress.superseded).min(self.frames_left(progress));
        if new > 0 {
            progress.superseded = total;
            self.ledger.offer(new);
            self.ledger.lose(DropReason::Superseded, new);
        }
        let new = source.unreadable().saturating_sub(progress.unreadable);
        if new > 0 {
            progress.unreadable += new;
            progress.no_frames += new;
            self.ledger.offer(new);
            self.ledger.lose(DropReason::Unreadable, new);
        }
        while let Some(notice) = source.notice() {
            match notice.is_fault() {
                true => {
                    warn!(event = events::STREAM_FAULT, camera = *self.name; "{}: {notice}", self.name)
                }
                false => debug!("{}: {notice}", self.name),
            }
        }
    }
}
