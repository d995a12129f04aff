//! The present activity of every thread and since when, so that the watchdog can tell work from a
//! hang.
//!
//! Each thread of the pipeline owns a [`Heartbeat`] and sets its activity and time limit at each
//! turn. That costs two atomic stores and an uncontended lock; no thread waits for a reader. The
//! [`Board`] holds all heartbeats and lists the overdue ones; the service decides what that means.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What a thread is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Activity {
    /// Waits for work; nothing is expected of it.
    Idle,
    /// Opens its camera, or closes it.
    Opening,
    /// Waits for a frame from its camera.
    Awaiting,
    /// Measures features.
    Measuring,
    /// Hands a frame to the dispatcher, or waits there for its turn.
    Handing,
    /// Lets time pass before it opens its camera again.
    Resting,
    /// Decides which engine is asked.
    Deciding,
    /// Loads an engine and warms it up.
    Loading,
    /// Looks at a frame with an engine.
    Looking,
    /// Hands a report to the sinks.
    Publishing,
    /// Reads the board's sensors.
    Reading,
    /// Reads configuration, engines and policy anew, or waits for who does.
    Reloading,
}

impl Activity {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Idle,
        Self::Opening,
        Self::Awaiting,
        Self::Measuring,
        Self::Handing,
        Self::Resting,
        Self::Deciding,
        Self::Loading,
        Self::Looking,
        Self::Publishing,
        Self::Reading,
        Self::Reloading,
    ];

    /// The word used in status and log.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Opening => "opening",
            Self::Awaiting => "awaiting a frame",
            Self::Measuring => "measuring",
            Self::Handing => "handing on",
            Self::Resting => "resting",
            Self::Deciding => "deciding",
            Self::Loading => "loading",
            Self::Looking => "looking",
            Self::Publishing => "publishing",
            Self::Reading => "reading sensors",
            Self::Reloading => "reloading",
        }
    }
}

/// No limit.
const FOR_EVER: u64 = u64::MAX;

/// One thread's sign of life. Written by its thread, read by anybody.
pub struct Heartbeat {
    name: Arc<str>,
    zero: Instant,
    activity: AtomicU8,
    /// Nanoseconds after `zero`.
    since: AtomicU64,
    /// Nanoseconds that it may take, or [`FOR_EVER`].
    limit: AtomicU64,
    /// The engine that it is busy with.
    with: Mutex<Option<Arc<str>>>,
    gone: AtomicBool,
}

/// A thread as it was a moment ago.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Beat {
    /// The thread's name.
    pub thread: Arc<str>,
    /// What it does.
    pub activity: Activity,
    /// The engine that it does it with.
    pub engine: Option<Arc<str>>,
    /// For how long.
    pub since: Duration,
    /// How long it may; `None`: as long as it likes.
    pub limit: Option<Duration>,
}

impl Beat {
    /// True if it takes longer than it may.
    pub fn is_overdue(&self) -> bool {
        self.limit.is_some_and(|limit| self.since > limit)
    }
}

impl Heartbeat {
    fn new(name: &str, zero: Instant) -> Self {
        Self {
            name: name.into(),
            zero,
            activity: AtomicU8::new(Activity::Idle as u8),
            since: AtomicU64::new(0),
            limit: AtomicU64::new(FOR_EVER),
            with: Mutex::new(None),
            gone: AtomicBool::new(false),
        }
    }

    /// From now on it does this, and should be through within `limit`.
    pub fn begin(&self, activity: Activity, limit: Duration) {
        // Without a limit in between, so that no reader sees the old moment with a shorter limit.
        self.limit.store(FOR_EVER, Ordering::Release);
        self.since.store(nanos(self.zero.elapsed()), Ordering::Release);
        self.activity.store(activity as u8, Ordering::Release);
        self.limit.store(nanos(limit), Ordering::Release);
    }

    /// As [`Heartbeat::begin`], with this engine.
    pub fn begin_with(&self, activity: Activity, engine: &Arc<str>, limit: Duration) {
        *self.with.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(engine));
        self.begin(activity, limit);
    }

    /// It waits for work.
    pub fn idle(&self) {
        self.limit.store(FOR_EVER, Ordering::Release);
        self.since.store(nanos(self.zero.elapsed()), Ordering::Release);
        self.activity.store(Activity::Idle as u8, Ordering::Release);
    }

    /// Its thread has ended.
    pub fn end(&self) {
        self.idle();
        self.gone.store(true, Ordering::Release);
    }

    /// How it is now.
    pub fn beat(&self) -> Beat {
        // The limit first: an old limit with a newer moment only makes it look younger.
        let limit = self.limit.load(Ordering::Acquire);
        let activity = self.activity.load(Ordering::Acquire);
        let since = self.since.load(Ordering::Acquire);
        let activity = Activity::ALL.get(usize::from(activity)).copied().unwrap_or(Activity::Idle);
        let engine = matches!(activity, Activity::Looking | Activity::Loading);
        let engine = engine
            .then(|| self.with.lock().unwrap_or_else(PoisonError::into_inner).clone())
            .flatten();
        Beat {
            thread: Arc::clone(&self.name),
            activity,
            engine,
            since: Duration::from_nanos(nanos(self.zero.elapsed()).saturating_sub(since)),
            limit: (limit != FOR_EVER).then(|| Duration::from_nanos(limit)),
        }
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(FOR_EVER - 1).min(FOR_EVER - 1)
}

/// All heartbeats of a pipeline.
pub struct Board {
    zero: Instant,
    heartbeats: Mutex<Vec<Arc<Heartbeat>>>,
}

impl Default for Board {
    fn default() -> Self {
        Self { zero: Instant::now(), heartbeats: Mutex::default() }
    }
}

impl Board {
    /// A heartbeat for the thread `name`; those of threads that have ended are forgotten.
    pub fn heartbeat(&self, name: &str) -> Arc<Heartbeat> {
        let heartbeat = Arc::new(Heartbeat::new(name, self.zero));
        let mut heartbeats = self.heartbeats.lock().unwrap_or_else(PoisonError::into_inner);
        heartbeats.retain(|heartbeat| !heartbeat.gone.load(Ordering::Acquire));
        heartbeats.push(Arc::clone(&heartbeat));
        heartbeat
    }

    /// Every thread that has not ended.
    pub fn beats(&self) -> Vec<Beat> {
        let mut beats = Vec::new();
        self.read_beats(&mut beats);
        beats
    }

    /// Every thread that has not ended, in place of what `into` held. Allocates nothing once `into`
    /// has been used.
    pub fn read_beats(&self, into: &mut Vec<Beat>) {
        let heartbeats = self.heartbeats.lock().unwrap_or_else(PoisonError::into_inner);
        into.clear();
        into.extend(
            heartbeats
                .iter()
                .filter(|heartbeat| !heartbeat.gone.load(Ordering::Acquire))
                .map(|heartbeat| heartbeat.beat()),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_takes_longer_than_allowed_is_overdue_and_who_is_idle_or_gone_never_is() {
        let board = Board::default();
        let (hung, busy, idle, gone) = (
            board.heartbeat("hung"),
            board.heartbeat("busy"),
            board.heartbeat("idle"),
            board.heartbeat("gone"),
        );
        hung.begin_with(Activity::Looking, &"lite0".into(), Duration::ZERO);
        busy.begin(Activity::Measuring, Duration::from_secs(3600));
        idle.begin(Activity::Publishing, Duration::ZERO);
        idle.idle();
        gone.begin(Activity::Publishing, Duration::ZERO);
        gone.end();
        let until = Instant::now() + Duration::from_millis(2);
        while Instant::now() < until {
            std::hint::spin_loop();
        }
        let overdue: Vec<_> = board.beats().into_iter().filter(Beat::is_overdue).collect();
        assert_eq!(overdue.len(), 1, "{overdue:?}");
        assert_eq!(
            (&*overdue[0].thread, overdue[0].activity, overdue[0].engine.as_deref()),
            ("hung", Activity::Looking, Some("lite0"))
        );
        assert_eq!(board.beats().len(), 3, "who is gone is not on the board");
        hung.begin(Activity::Deciding, Duration::from_secs(1));
        assert!(!board.beats()[0].is_overdue() && board.beats()[0].engine.is_none());
    }
}
