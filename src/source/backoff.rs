//! How long to wait before opening a lost source again: doubling pauses up to a cap, back to the
//! first after a frame. A camera that refuses the login is asked again after minutes, so that its
//! account is not locked: many lock it after five tries.
//!
//! Pure: it says how long, somebody else waits. No jitter: the cameras of one board do not share a
//! server that a simultaneous knock would hurt, and equal pauses make logs and tests readable.

use std::time::Duration;

/// The first pause.
pub const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// The first pause after a camera has refused the login.
pub const FIRST_REFUSAL: Duration = Duration::from_secs(120);
/// The longest such pause.
pub const LONGEST_REFUSAL: Duration = Duration::from_secs(3600);

/// Pauses of 250 ms, 500 ms, 1 s and so on, never above a cap. There is no last try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backoff {
    first: Duration,
    pause: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self::from(FIRST_PAUSE)
    }
}

impl From<Duration> for Backoff {
    /// Begins with this pause.
    fn from(first: Duration) -> Self {
        Self { first, pause: first }
    }
}

impl Backoff {
    /// The pause to make now, at most `cap`; the one after it is twice as long.
    pub fn pause(&mut self, cap: Duration) -> Duration {
        let now = self.pause.min(cap);
        self.pause = now.saturating_mul(2);
        now
    }

    /// A frame came: the next pause is the first again.
    pub fn reset(&mut self) {
        self.pause = self.first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(backoff: &mut Backoff, n: usize, cap: Duration) -> Vec<u128> {
        (0..n).map(|_| backoff.pause(cap).as_millis()).collect()
    }

    #[test]
    fn pauses_double_up_to_the_cap_and_stay_there() {
        let (mut backoff, cap) = (Backoff::default(), Duration::from_secs(3));
        assert_eq!(millis(&mut backoff, 6, cap), [250, 500, 1000, 2000, 3000, 3000]);
        assert_eq!(
            millis(&mut backoff, 3, cap * 3),
            [6000, 9000, 9000],
            "the cap may change in between"
        );
    }

    #[test]
    fn a_frame_starts_them_over() {
        let (mut backoff, cap) = (Backoff::default(), Duration::from_secs(30));
        millis(&mut backoff, 5, cap);
        backoff.reset();
        assert_eq!(millis(&mut backoff, 2, cap), [250, 500]);
    }

    #[test]
    fn a_cap_below_the_first_pause_is_the_pause() {
        assert_eq!(millis(&mut Backoff::default(), 2, Duration::from_millis(100)), [100, 100]);
    }

    #[test]
    fn a_refused_login_is_tried_again_after_minutes_and_at_most_once_an_hour() {
        let mut refused = Backoff::from(FIRST_REFUSAL);
        let minutes: Vec<_> =
            millis(&mut refused, 7, LONGEST_REFUSAL).into_iter().map(|ms| ms / 60_000).collect();
        assert_eq!(minutes, [2, 4, 8, 16, 32, 60, 60]);
        refused.reset();
        assert_eq!(refused.pause(LONGEST_REFUSAL), FIRST_REFUSAL);
    }

    #[test]
    fn a_thousand_failures_do_not_overflow() {
        assert_eq!(
            millis(&mut Backoff::default(), 1000, Duration::MAX).last(),
            Some(&Duration::MAX.as_millis())
        );
    }
}
