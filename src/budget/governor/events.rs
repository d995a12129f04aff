//! Throttling and over-current: the board has already reacted, so the level steps down at once and
//! comes back slowly. Pure.
//!
//! After an over-current event the board slows its clock for a moment; that is the same event, not
//! another one. The peak power of a look does not depend on the number of looks, so over-current
//! removes the more expensive engines first, and frames only if it happens again with the cheapest
//! engine alone.

use super::bounds::Bound;
use crate::budget::grants::{Because, Why};
use crate::telemetry::Sample;

/// While it lasts, another rung down after this long, s.
const AGAIN_S: f64 = 5.0;
/// Quiet for this long before the way back begins; eight times as long after repeated events.
const QUIET_S: f64 = 30.0;
const MOST_QUIET: f64 = 8.0;
/// An event within this time of the last one, but after the way back had begun, makes the quiet
/// twice as long.
const REPEATED_S: f64 = 600.0;
/// Throttling within this time of an over-current event belongs to it, s.
const ECHO_S: f64 = 10.0;
/// Rungs a second on the way back: heat takes a minute to show, a current shows at once.
const RISE_THROTTLED: f64 = 1.0 / 60.0;
const RISE_OVER_CURRENT: f64 = 1.0 / 15.0;

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
        Self {
            level: f64::INFINITY,
            why: Why::Free,
            since_s: REPEATED_S,
            patience: 1.0,
            over_current: None,
        }
    }

    /// Time passes at the level `given` of `top`. Unknown is no event, and no all-clear: a count
    /// that was never read has no beginning.
    pub fn step(&mut self, dt_s: f64, sample: &Sample, given: f64, top: f64) {
        self.since_s += dt_s;
        let counted = self.over_current.zip(sample.over_current).is_some_and(|(was, is)| is > was);
        self.over_current = sample.over_current.or(self.over_current);
        let echo = self.why == Why::OverCurrent && self.since_s < ECHO_S;
        let throttling = sample.throttling == Some(true) && !echo;
        if counted || throttling {
            let lasting = self.since_s < AGAIN_S
                && (self.why == Why::OverCurrent || (throttling && !counted));
            if !lasting {
                let came_back = self.since_s > QUIET_S * self.patience && self.since_s < REPEATED_S;
                self.patience =
                    if came_back { (self.patience * 2.0).min(MOST_QUIET) } else { self.patience };
                let at = self.level.min(given);
                let floor = if counted && at > 1.0 { 1.0 } else { 0.0 };
                self.level = (at - 1.0).max(floor);
                self.why = if counted { Why::OverCurrent } else { Why::Throttling };
                self.since_s = 0.0;
            }
        } else if self.since_s > QUIET_S * self.patience && self.level < top {
            self.level += dt_s
                * if self.why == Why::OverCurrent { RISE_OVER_CURRENT } else { RISE_THROTTLED };
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
        let value = if self.why == Why::OverCurrent {
            sample.over_current.map(|count| count as f32)
        } else {
            None
        };
        (self.why != Why::Free).then_some(Bound {
            level: self.level,
            urgent: true,
            because: Because { why: self.why, value, limit: None, zone: None },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOP: f64 = 4.0;

    /// Lets `seconds` pass with so many over-current events counted, and returns the level that is
    /// left, `TOP` at most.
    fn pass(events: &mut Events, seconds: u32, counted: u64, throttling: bool) -> f64 {
        let sample = Sample {
            over_current: Some(counted),
            throttling: Some(throttling),
            ..Sample::default()
        };
        for _ in 0..2 * seconds {
            events.step(0.5, &sample, events.level.min(TOP), TOP);
        }
        events.level.min(TOP)
    }

    #[test]
    fn over_current_and_the_throttling_that_goes_with_it_are_one_event() {
        let mut events = Events::new();
        pass(&mut events, 60, 0, false);
        assert_eq!(pass(&mut events, 8, 1, true), TOP - 1.0);
        assert_eq!((pass(&mut events, 20, 1, false), events.why), (TOP - 1.0, Why::OverCurrent));
        assert_eq!(pass(&mut events, 30, 1, false), TOP);
    }

    #[test]
    fn throttling_that_outlasts_an_over_current_event_is_taken_for_itself() {
        let mut events = Events::new();
        pass(&mut events, 60, 0, false);
        pass(&mut events, 12, 1, true);
        assert_eq!((events.level, events.why), (TOP - 2.0, Why::Throttling));
    }

    #[test]
    fn over_current_takes_frames_only_if_it_happens_with_the_cheapest_engine_alone() {
        let mut events = Events::new();
        pass(&mut events, 60, 0, false);
        let levels = [1, 2, 3, 4, 5].map(|counted| pass(&mut events, 10, counted, false));
        assert_eq!(levels, [3.0, 2.0, 1.0, 0.0, 0.0]);
    }

    #[test]
    fn quiet_lasts_longer_only_after_events_on_the_way_back() {
        let mut events = Events::new();
        pass(&mut events, 60, 0, false);
        pass(&mut events, 20, 1, false);
        pass(&mut events, 20, 2, false);
        assert_eq!(events.patience, 1.0);
        pass(&mut events, 15, 2, false);
        pass(&mut events, 1, 3, false);
        assert_eq!(events.patience, 2.0);
    }
}
