//! Throttling and over-current: the board has already helped itself, so step down at once and come back slowly. Pure.

use super::bounds::Bound;
use crate::budget::standing::{Because, Why};
use crate::telemetry::Sample;

/// While it lasts, another rung down after this long, s.
const AGAIN_S: f64 = 5.0;
/// Quiet for this long before the way back begins; eight times as long after repeated events.
const QUIET_S: f64 = 30.0;
const MOST_QUIET: f64 = 8.0;
/// An event within this time of the last one makes the quiet twice as long.
const REPEATED_S: f64 = 600.0;
/// Rungs a second on the way back.
const RISE: f64 = 1.0 / 60.0;

/// The highest level that the events leave.
#[derive(Clone, Debug)]
pub(super) struct Events {
    level: f64,
    why: Why,
    since_s: f64,
    patience: f64,
    over_current: Option<u64>,
}

impl Events {
    pub fn new() -> Self {
        Self { level: f64::INFINITY, why: Why::Free, since_s: REPEATED_S, patience: 1.0, over_current: None }
    }

    /// Time passes at the level `given` of `top`. Unknown is no event, and no all-clear: a count that was never read has no beginning.
    pub fn step(&mut self, dt_s: f64, sample: &Sample, given: f64, top: f64) {
        self.since_s += dt_s;
        let counted = self.over_current.zip(sample.over_current).is_some_and(|(was, is)| is > was);
        self.over_current = sample.over_current.or(self.over_current);
        let throttling = sample.throttling == Some(true);
        if counted || throttling {
            let lasting = throttling && self.why == Why::Throttling && self.since_s < AGAIN_S;
            if !lasting || counted {
                let repeated = self.since_s > AGAIN_S * 2.0 && self.since_s < REPEATED_S;
                self.patience = if repeated { (self.patience * 2.0).min(MOST_QUIET) } else { self.patience };
                self.level = (self.level.min(given) - 1.0).max(0.0);
                self.why = if counted { Why::OverCurrent } else { Why::Throttling };
                self.since_s = 0.0;
            }
        } else if self.since_s > QUIET_S * self.patience && self.level < top {
            self.level += RISE * dt_s;
            if self.level >= top {
                (self.level, self.why) = (f64::INFINITY, Why::Free);
            }
        }
        if self.since_s > 3.0 * REPEATED_S {
            self.patience = 1.0;
        }
    }

    /// What the events leave.
    pub fn bound(&self, sample: &Sample) -> Option<Bound> {
        let value = if self.why == Why::OverCurrent { sample.over_current.map(|count| count as f32) } else { None };
        (self.why != Why::Free).then_some(Bound {
            level: self.level,
            urgent: true,
            because: Because { why: self.why, value, limit: None, zone: None },
        })
    }
}
