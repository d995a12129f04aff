//! What every thread is doing and since when: how a watchdog tells work from a hang.
//!
//! Each thread of the pipeline owns a [`Pulse`] and says at each turn what it begins and how long that may take. Saying so costs two
//! atomic stores and an uncontended lock; nobody waits for a reader. The [`Board`] holds all pulses and says which are overdue. It
//! judges nobody: what an overdue thread means is the service's business.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What a thread is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Doing {
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

impl Doing {
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
pub struct Pulse {
    name: Arc<str>,
    zero: Instant,
    doing: AtomicU8,
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
    pub doing: Doing,
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

impl Pulse {
    fn new(name: &str, zero: Instant) -> Self {
        Self {
            name: name.into(),
            zero,
            doing: AtomicU8::new(Doing::Idle as u8),
            since: AtomicU64::new(0),
            limit: AtomicU64::new(FOR_EVER),
            with: Mutex::new(None),
            gone: AtomicBool::new(false),
        }
    }

    /// From now on it does this, and should be through within `limit`.
    pub fn begin(&self, doing: Doing, limit: Duration) {
        // Without a limit in between, so that no reader sees the old moment with a shorter limit.
        self.limit.store(FOR_EVER, Ordering::Release);
        self.since.store(nanos(self.zero.elapsed()), Ordering::Release);
        self.doing.store(doing as u8, Ordering::Release);
        self.limit.store(nanos(limit), Ordering::Release);
    }

    /// As [`Pulse::begin`], with this engine.
    pub fn begin_with(&self, doing: Doing, engine: &Arc<str>, limit: Duration) {
        *self.with.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(engine));
        self.begin(doing, limit);
    }

    /// It waits for work.
    pub fn idle(&self) {
        self.limit.store(FOR_EVER, Ordering::Release);
        self.since.store(nanos(self.zero.elapsed()), Ordering::Release);
        self.doing.store(Doing::Idle as u8, Ordering::Release);
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
        let doing = self.doing.load(Ordering::Acquire);
        let since = self.since.load(Ordering::Acquire);
        let doing = Doing::ALL.get(usize::from(doing)).copied().unwrap_or(Doing::Idle);
        let engine = matches!(doing, Doing::Looking | Doing::Loading);
        let engine = engine.then(|| self.with.lock().unwrap_or_else(PoisonError::into_inner).clone()).flatten();
        Beat {
            thread: Arc::clone(&self.name),
            doing,
            engine,
            since: Duration::from_nanos(nanos(self.zero.elapsed()).saturating_sub(since)),
            limit: (limit != FOR_EVER).then(|| Duration::from_nanos(limit)),
        }
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(FOR_EVER - 1).min(FOR_EVER - 1)
}

/// All pulses of a pipeline.
pub struct Board {
    zero: Instant,
    pulses: Mutex<Vec<Arc<Pulse>>>,
}

impl Default for Board {
    fn default() -> Self {
        Self { zero: Instant::now(), pulses: Mutex::default() }
    }
}

impl Board {
    /// A pulse for the thread `name`; those of threads that have ended are forgotten.
    pub fn pulse(&self, name: &str) -> Arc<Pulse> {
        let pulse = Arc::new(Pulse::new(name, self.zero));
        let mut pulses = self.pulses.lock().unwrap_or_else(PoisonError::into_inner);
        pulses.retain(|pulse| !pulse.gone.load(Ordering::Acquire));
        pulses.push(Arc::clone(&pulse));
        pulse
    }

    /// Every thread that has not ended.
    pub fn beats(&self) -> Vec<Beat> {
        let mut beats = Vec::new();
        self.read_beats(&mut beats);
        beats
    }

    /// Every thread that has not ended, in place of what `into` held. Allocates nothing once `into` has been used.
    pub fn read_beats(&self, into: &mut Vec<Beat>) {
        let pulses = self.pulses.lock().unwrap_or_else(PoisonError::into_inner);
        into.clear();
        into.extend(pulses.iter().filter(|pulse| !pulse.gone.load(Ordering::Acquire)).map(|pulse| pulse.beat()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_takes_longer_than_allowed_is_overdue_and_who_is_idle_or_gone_never_is() {
        let board = Board::default();
        let (hung, busy, idle, gone) = (board.pulse("hung"), board.pulse("busy"), board.pulse("idle"), board.pulse("gone"));
        hung.begin_with(Doing::Looking, &"lite0".into(), Duration::ZERO);
        busy.begin(Doing::Measuring, Duration::from_secs(3600));
        idle.begin(Doing::Publishing, Duration::ZERO);
        idle.idle();
        gone.begin(Doing::Publishing, Duration::ZERO);
        gone.end();
        let until = Instant::now() + Duration::from_millis(2);
        while Instant::now() < until {
            std::hint::spin_loop();
        }
        let overdue: Vec<_> = board.beats().into_iter().filter(Beat::is_overdue).collect();
        assert_eq!(overdue.len(), 1, "{overdue:?}");
        assert_eq!((&*overdue[0].thread, overdue[0].doing, overdue[0].engine.as_deref()), ("hung", Doing::Looking, Some("lite0")));
        assert_eq!(board.beats().len(), 3, "who is gone is not on the board");
        hung.begin(Doing::Deciding, Duration::from_secs(1));
        assert!(!board.beats()[0].is_overdue() && board.beats()[0].engine.is_none());
    }
}
