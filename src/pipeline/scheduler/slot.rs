//! An engine slot: the cost of one engine, when it will be free, and whether it is set aside after
//! failures.
//!
//! Pure. The expected wait is the rest of the look in progress and the looks of the frames ahead.
//! An engine that is overdue is expected to take as long again as it is late, so that an engine
//! that hangs is soon never chosen.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::budget::Prior;
use crate::engine::EngineIdx;
use crate::policy::Terms;
use crate::stats::LatencyWindow;
use crate::vocabulary::EngineHealth;

use super::{EngineState, Job};

/// First pause after an engine failed; doubles with each failure in a row.
const ASIDE_FIRST: Duration = Duration::from_millis(500);
/// Longest such pause.
const ASIDE_CAP: Duration = Duration::from_secs(60);
/// Past the very moment at which an engine still fits.
const TICK: Duration = Duration::from_micros(1);
/// Between two thoughts about a frame that waits beyond its deadline, which only an engine that
/// costs nothing can make it do.
const LONGEST_TICK: Duration = Duration::from_millis(1);

/// An engine is called stuck no sooner than after so many times what it usually takes.
const PATIENCE: u32 = 4;

/// A frame that an engine looks at.
pub(super) struct Held {
    pub(super) job: Box<Job>,
    /// Of this look, so that a late return is known.
    ticket: u64,
    /// When the engine counts as stuck.
    stuck_at: Instant,
}

/// One engine.
pub(super) struct EngineSlot {
    pub(super) index: EngineIdx,
    pub(super) id: Arc<str>,
    pub(super) window: LatencyWindow,
    /// While it looks: the frame.
    held: Option<Held>,
    /// While it looks: when it should be through.
    pub(super) busy_until: Option<Instant>,
    /// While waiting frames are gone through: the time that those ahead in line will take.
    pub(super) line: Duration,
    /// Likewise: when the latest frame came that was given to it.
    pub(super) latest: Option<Instant>,
    /// Failures in a row.
    failures: u32,
    /// Not to be asked before.
    pub(super) aside_until: Option<Instant>,
    /// It did not come back in time from a look that it was asked for then.
    stuck_since: Option<Instant>,
    /// It could not be loaded.
    unusable: bool,
    /// Since when it is as it is, if that has changed while it was in force.
    changed: Option<Instant>,
    /// Number of the latest look.
    ticket: u64,
}

impl EngineSlot {
    /// An engine that is expected to cost what `window` says; without one it could not be loaded.
    pub(super) fn new(index: EngineIdx, id: Arc<str>, window: Option<LatencyWindow>) -> Self {
        let unusable = window.is_none();
        Self {
            index,
            id,
            window: window.unwrap_or_else(|| LatencyWindow::new(Duration::ZERO, Duration::ZERO)),
            held: None,
            busy_until: None,
            line: Duration::ZERO,
            latest: None,
            failures: 0,
            aside_until: None,
            stuck_since: None,
            unusable,
            changed: None,
            ticket: 0,
        }
    }

    /// What it cost when it was loaded; `None` if it could not be.
    pub(super) fn prior(&self) -> Option<Prior> {
        (!self.unusable).then(|| Prior {
            p50: self.window.p50(),
            p95: self.window.p95(),
            energy: None,
        })
    }

    /// What it costs now; `None` while it is set aside, stuck or unusable. For a frame whose time
    /// has not begun to run (`idle`) only being overdue counts as a wait.
    pub(super) fn terms(&self, idle: bool, now: Instant) -> Option<Terms> {
        let wait = match self.busy_until {
            Some(until) if idle => now.saturating_duration_since(until),
            Some(until) => until.max(now) - until.min(now) + self.line,
            None => Duration::ZERO,
        };
        let terms = Terms { wait, p50: self.window.p50(), p95: self.window.p95() };
        (self.aside_until.is_none() && self.stuck_since.is_none() && !self.unusable)
            .then_some(terms)
    }

    /// True if a frame could be given to it at once.
    pub(super) fn is_free(&self) -> bool {
        self.held.is_none()
            && self.aside_until.is_none()
            && self.stuck_since.is_none()
            && !self.unusable
    }

    /// Keeps the frame while the engine looks at it; the number of the look. `limit`: how long a
    /// look may take at least.
    pub(super) fn hold(&mut self, job: Box<Job>, limit: Duration, now: Instant) -> u64 {
        self.ticket += 1;
        self.busy_until = Some(now + self.window.p95());
        let stuck_at = now + limit.max(self.window.p95().saturating_mul(PATIENCE));
        self.held = Some(Held { job, ticket: self.ticket, stuck_at });
        self.ticket
    }

    /// The frame that it looks at.
    pub(super) fn held(&self) -> Option<&Job> {
        self.held.as_ref().map(|held| &*held.job)
    }

    /// When it counts as stuck, while it looks.
    pub(super) fn stuck_at(&self) -> Option<Instant> {
        self.held.as_ref().map(|held| held.stuck_at)
    }

    /// It is through with look `ticket`: the frame, if it was still waited for.
    pub(super) fn give_back(&mut self, ticket: u64) -> Option<Box<Job>> {
        let held = self.held.take_if(|held| held.ticket == ticket)?;
        self.busy_until = None;
        Some(held.job)
    }

    /// It has been waited for long enough: the frame goes elsewhere. Returns how long it was, too.
    pub(super) fn stick(&mut self, now: Instant) -> Option<(Box<Job>, Duration)> {
        let held = self.held.take_if(|held| held.stuck_at <= now)?;
        self.busy_until = None;
        (self.stuck_since, self.changed) = (Some(held.job.asked_at), Some(held.job.asked_at));
        let waited = now.saturating_duration_since(held.job.asked_at);
        Some((held.job, waited))
    }

    /// It has come back from a look that nobody waits for any more: how long it was away, and how
    /// long it is set aside for.
    pub(super) fn returned(&mut self, ticket: u64, now: Instant) -> Option<(Duration, Duration)> {
        let since = self.stuck_since.take_if(|_| ticket == self.ticket)?;
        let away = now.saturating_duration_since(since);
        self.window.add(away);
        Some((away, self.failed(now).1))
    }

    /// How it is, for those who ask; in force since `begun`.
    pub(super) fn state(&self, begun: Instant, now: Instant) -> EngineState {
        let health = match () {
            () if self.unusable => EngineHealth::Unusable,
            () if self.stuck_since.is_some() => EngineHealth::Stuck,
            () if self.aside_until.is_some_and(|until| until > now) => EngineHealth::Aside,
            () => EngineHealth::Ready,
        };
        let since = now.saturating_duration_since(self.changed.unwrap_or(begun));
        EngineState { id: Arc::clone(&self.id), health, since, failures: self.failures, cost: None }
    }

    /// It has answered after `cost`; returns how often in a row it had failed before.
    pub(super) fn answered(&mut self, cost: Duration, now: Instant) -> u32 {
        self.window.add(cost);
        if self.failures > 0 {
            self.changed = Some(now);
        }
        self.aside_until = None;
        std::mem::take(&mut self.failures)
    }

    /// It has failed and is set aside; returns how often in a row, and for how long it is.
    pub(super) fn failed(&mut self, now: Instant) -> (u32, Duration) {
        self.failures = self.failures.saturating_add(1);
        let pause = ASIDE_FIRST.saturating_mul(1 << (self.failures - 1).min(16)).min(ASIDE_CAP);
        (self.aside_until, self.changed) = (Some(now + pause), Some(now));
        (self.failures, pause)
    }

    /// When the decision that `job` waits for this engine would fall otherwise, if nothing happens
    /// before: once the engine is overdue the wait grows, while the time left shrinks (or stays, if
    /// `idle`). Later than now.
    pub(super) fn review(&self, job: &Job, idle: bool, now: Instant) -> Instant {
        let until = self.busy_until.unwrap_or(now);
        let due = job.due.unwrap_or(now);
        let turn = |look: Duration| match idle {
            true => until + due.saturating_duration_since(now).saturating_sub(look) + TICK,
            false => {
                until
                    + due.saturating_duration_since(until).saturating_sub(self.line + look) / 2
                    + TICK
            }
        };
        let turns = [turn(self.window.p95()), turn(self.window.p50())]
            .into_iter()
            .filter(|at| idle || *at < due);
        turns.chain([due]).filter(|at| *at > now).min().unwrap_or(now + LONGEST_TICK)
    }
}
