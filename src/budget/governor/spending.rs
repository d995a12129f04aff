//! The power that the next seconds may draw so that the mean over a power cap's window stays near
//! the cap. Pure.
//!
//! The mean covers past seconds, and all but the oldest of them stay in the window. So the power of
//! the next seconds can be bounded from above and, while power is the limit, from below. The
//! long-term level of a cap is decided elsewhere; this acts on the moment, within the engine sets
//! in use.

use crate::budget::meter::Window;

/// Where the mean is to be held, shares of the cap: at least, at most, and where nobody may look
/// twice any more. Dear scenes come as a surprise, so `most` is below 1.
const LEAST: f64 = 0.97;
const MOST: f64 = 0.98;
const END: f64 = 1.012;
/// Over which share of the window that is to be reached.
const LEAST_SOON: f64 = 0.07;
const MOST_SOON: f64 = 0.05;
/// The end counts once this share of the window has been read.
const KNOWN: f64 = 0.5;

/// Powers for the next seconds, W.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Room {
    /// Less than this and the mean falls short.
    pub least: f64,
    /// More than this and the mean comes too near.
    pub most: f64,
    /// More than this and the mean exceeds the cap; `None` while too little is known.
    pub end: Option<f64>,
}

impl Room {
    /// In `window`, which is `window_s` long, under a cap of `cap_w`.
    pub fn of(window: &Window, window_s: f64, cap_w: f64) -> Self {
        let room = |share: f64, ahead_s: f64, (joules, seconds): (f64, f64)| {
            (cap_w * share * (seconds + ahead_s) - joules) / ahead_s
        };
        let [least_s, most_s] = [LEAST_SOON, MOST_SOON].map(|share| (share * window_s).max(0.5));
        let stays = window.stays(most_s);
        Self {
            least: room(LEAST, least_s, window.stays(least_s)),
            most: room(MOST, most_s, stays),
            end: (stays.1 > KNOWN * window_s).then(|| room(END, most_s, stays)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(watts: &[f64]) -> Room {
        let mut window = Window::new(64.0);
        watts.iter().for_each(|watts| window.add(1.0, Some(*watts)));
        Room::of(&window, 64.0, 10.0)
    }

    #[test]
    fn window_at_the_cap_leaves_a_little_less_than_the_cap_and_an_end_a_little_above() {
        let room = after(&[10.0; 80]);
        assert!(room.least < room.most && room.most < 10.0 && room.end.unwrap() > 10.0, "{room:?}");
    }

    #[test]
    fn what_was_saved_may_be_spent_and_what_was_overdrawn_must_be_saved() {
        let (saved, overdrawn) = (after(&[8.0; 80]), after(&[12.0; 80]));
        assert!(saved.least > 10.0, "{saved:?}");
        assert!(overdrawn.most < 8.0 && overdrawn.end.unwrap() < 8.0, "{overdrawn:?}");
    }

    #[test]
    fn seconds_that_leave_make_room_for_as_much() {
        let mut cheap_leaves = vec![10.0; 40];
        cheap_leaves.splice(0..0, [4.0; 23]);
        let mut dear_leaves = vec![9.0; 40];
        dear_leaves.splice(0..0, [16.0; 23]);
        assert!(
            after(&dear_leaves).most
                > after(&dear_leaves.iter().rev().copied().collect::<Vec<_>>()).most
        );
        assert!(
            after(&cheap_leaves).most
                < after(&cheap_leaves.iter().rev().copied().collect::<Vec<_>>()).most
        );
    }

    #[test]
    fn nothing_is_at_an_end_before_half_a_window_is_known() {
        assert_eq!(after(&[50.0; 20]).end, None);
        assert!(after(&[50.0; 40]).end.is_some());
    }
}
