//! Fairness between cameras when there are more frames than the engines can look at. Pure.
//!
//! By deadlines alone, the frame that arrives just as an engine becomes free would win, and with
//! cameras of a steady rhythm that would be the same few for ever. So the camera that has waited
//! longest comes first, and a free engine is kept for it for a moment if its next frame is about to
//! come.

use std::time::{Duration, Instant};

/// A free engine is kept for a camera that has waited at least so much more than one and a half
/// times as long as the one whose frame is there.
const LEAST: Duration = Duration::from_millis(100);

/// What one camera is fairness.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Fairness {
    /// When a frame was turned down for want of time, of those since the latest look the first.
    since: Option<Instant>,
    /// When the latest frame came.
    seen: Option<Instant>,
    /// Usual time between two frames; zero until it is known.
    period: Duration,
}

impl Fairness {
    /// A frame has come.
    pub(super) fn sighted(&mut self, now: Instant) {
        if let Some(seen) = self.seen.replace(now) {
            let latest = now.saturating_duration_since(seen);
            self.period =
                if self.period.is_zero() { latest } else { (self.period * 3 + latest) / 4 };
        }
    }

    /// A frame was turned down since the engines had no time for it.
    pub(super) fn turned_down(&mut self, now: Instant) {
        self.since.get_or_insert(now);
    }

    /// A frame is looked at, or needs no look.
    pub(super) fn settled(&mut self) {
        self.since = None;
    }

    /// Since when it is fairness a look.
    pub(super) fn since(&self) -> Option<Instant> {
        self.since
    }

    fn waited(&self, now: Instant) -> Duration {
        self.since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }

    /// Until when an engine that takes `cost` is to be kept for this camera rather than given to a
    /// frame of `other`; `None`: it is not. Keeping it never costs more than the time of one look,
    /// and is of no use to a camera whose `deadline` is shorter than that.
    pub(super) fn keeps(
        &self,
        other: &Self,
        deadline: Duration,
        cost: Duration,
        now: Instant,
    ) -> Option<Instant> {
        let expected = self.seen? + self.period;
        let soon = !self.period.is_zero() && expected <= now + cost;
        let until = expected + cost / 2;
        let longer = self.waited(now) >= other.waited(now) * 3 / 2 + LEAST;
        (self.since.is_some() && longer && soon && until > now && deadline >= cost).then_some(until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_is_kept_for_who_has_waited_much_longer_and_is_about_to_come() {
        let start = Instant::now();
        let at = |ms: u64| start + Duration::from_millis(ms);
        let ms = Duration::from_millis;
        let mut starving = Fairness::default();
        (0..5).for_each(|frame| starving.sighted(at(frame * 100)));
        starving.turned_down(at(0));
        starving.turned_down(at(400));
        let mut other = Fairness::default();
        assert_eq!(
            starving.keeps(&other, ms(100), ms(80), at(450)),
            Some(at(540)),
            "the next frame is due at 500"
        );
        assert_eq!(starving.keeps(&other, ms(100), ms(80), at(410)), None, "not soon enough");
        assert_eq!(starving.keeps(&other, ms(100), ms(80), at(540)), None, "it did not come");
        assert_eq!(
            starving.keeps(&other, ms(70), ms(80), at(450)),
            None,
            "it could not be in time anyway"
        );
        other.turned_down(at(200));
        assert_eq!(
            starving.keeps(&other, ms(100), ms(80), at(450)),
            None,
            "the other one has waited for long, too"
        );
        starving.settled();
        assert_eq!(starving.keeps(&Fairness::default(), ms(100), ms(80), at(450)), None);
        assert_eq!(
            Fairness::default().keeps(&other, ms(100), ms(80), at(450)),
            None,
            "nothing is known of it"
        );
    }
}
