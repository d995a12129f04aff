//! What the dispatcher knows of one engine: what it costs, when it will be free, whether it is set aside after failures.
//!
//! Pure. The wait is told honestly: the rest of the look that the engine is at, and the looks of those ahead in line. One that is
//! overdue is expected to take as long again as it is late, so that an engine that hangs is soon nobody's choice.

use std::time::{Duration, Instant};

use crate::policy::Terms;
use crate::stats::LatencyWindow;

use super::Job;

/// First pause after an engine failed; doubles with each failure in a row.
const ASIDE_FIRST: Duration = Duration::from_millis(500);
/// Longest such pause.
const ASIDE_CAP: Duration = Duration::from_secs(60);
/// Past the very moment at which an engine still fits.
const TICK: Duration = Duration::from_micros(1);
/// Between two thoughts about a frame that waits beyond its deadline, which only an engine that costs nothing can make it do.
const LONGEST_TICK: Duration = Duration::from_millis(1);

/// One engine.
pub(super) struct Seat {
    pub(super) window: LatencyWindow,
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
}

impl Seat {
    pub(super) fn new(window: LatencyWindow) -> Self {
        Self { window, busy_until: None, line: Duration::ZERO, latest: None, failures: 0, aside_until: None }
    }

    /// What it costs now; `None` while it is set aside. For a frame whose time has not begun to run (`idle`) only being overdue counts
    /// as a wait.
    pub(super) fn terms(&self, idle: bool, now: Instant) -> Option<Terms> {
        let wait = match self.busy_until {
            Some(until) if idle => now.saturating_duration_since(until),
            Some(until) => until.max(now) - until.min(now) + self.line,
            None => Duration::ZERO,
        };
        let terms = Terms { wait, p50: self.window.p50(), p95: self.window.p95() };
        self.aside_until.is_none().then_some(terms)
    }

    /// It has answered after `cost`; returns how often in a row it had failed before.
    pub(super) fn answered(&mut self, cost: Duration) -> u32 {
        self.window.add(cost);
        self.aside_until = None;
        std::mem::take(&mut self.failures)
    }

    /// It has failed and is set aside; returns how often in a row, and for how long it is.
    pub(super) fn failed(&mut self, now: Instant) -> (u32, Duration) {
        self.failures = self.failures.saturating_add(1);
        let pause = ASIDE_FIRST.saturating_mul(1 << (self.failures - 1).min(16)).min(ASIDE_CAP);
        self.aside_until = Some(now + pause);
        (self.failures, pause)
    }

    /// When the decision that `job` waits for this engine would fall otherwise, if nothing happens before: once the engine is
    /// overdue the wait grows, while the time left shrinks (or stays, if `idle`). Later than now.
    pub(super) fn review(&self, job: &Job, idle: bool, now: Instant) -> Instant {
        let until = self.busy_until.unwrap_or(now);
        let due = job.due.unwrap_or(now);
        let turn = |look: Duration| match idle {
            true => until + due.saturating_duration_since(now).saturating_sub(look) + TICK,
            false => until + due.saturating_duration_since(until).saturating_sub(self.line + look) / 2 + TICK,
        };
        let turns = [turn(self.window.p95()), turn(self.window.p50())].into_iter().filter(|at| idle || *at < due);
        turns.chain([due]).filter(|at| *at > now).min().unwrap_or(now + LONGEST_TICK)
    }
}
