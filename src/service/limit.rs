//! Cuts a burst of equal faults short: which lines of the log are written, which are only counted,
//! and when the count is told.
//!
//! Pure: the moment is handed in. A fault has a key (its event and whom it concerns); of one key
//! [`BURST`] lines pass a window of [`WINDOW`], the others are held. What was held is never
//! silently gone: the next line that passes says how many there were, and if none comes, the last
//! one held is handed out [`GRACE`] after the window, with the number of those before it.

use std::time::{Duration, Instant};

/// Lines of one key that pass in a window.
pub const BURST: u32 = 5;
/// A window begins with the first line after the one before.
pub const WINDOW: Duration = Duration::from_secs(60);
/// How long after its window a key may still tell its own count; no longer than the window.
pub const GRACE: Duration = Duration::from_secs(2);
/// Keys that are kept apart at a time; the one whose window began first goes for a new one.
pub const MOST_KEYS: usize = 256;

/// What is known of the keys of late. `T` is a line.
#[derive(Debug)]
pub struct Limiter<T> {
    window: Duration,
    entries: Vec<Entry<T>>,
    /// Held by keys that had to go.
    orphans: Vec<Held<T>>,
}

#[derive(Debug)]
struct Entry<T> {
    key: String,
    began: Instant,
    passed: u32,
    held: Option<Held<T>>,
}

#[derive(Debug)]
struct Held<T> {
    last: T,
    since: Instant,
    count: u64,
}

/// Lines that were left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// How many.
    pub count: u64,
    /// Since the first of them.
    pub span: Duration,
}

impl<T> Default for Limiter<T> {
    fn default() -> Self {
        Self::new(WINDOW)
    }
}

impl<T> Entry<T> {
    fn due(&self, window: Duration) -> Instant {
        self.began + window + window.min(GRACE)
    }
}

impl<T> Held<T> {
    /// The last line, and how many others stand behind it.
    fn told(self, now: Instant) -> (T, Option<Gap>) {
        let others = self.count - 1;
        let span = now.saturating_duration_since(self.since);
        (self.last, (others > 0).then_some(Gap { count: others, span }))
    }
}

impl<T> Limiter<T> {
    /// With windows of this length.
    pub fn new(window: Duration) -> Self {
        Self { window, entries: Vec::new(), orphans: Vec::new() }
    }

    /// Gives `line` back if it is to be written, with what was left out before it; otherwise keeps
    /// it.
    pub fn admit(&mut self, key: &str, line: T, at: Instant) -> Option<(T, Option<Gap>)> {
        let Some(entry) = self.entries.iter_mut().find(|entry| entry.key == key) else {
            self.make_room();
            self.entries.push(Entry { key: key.into(), began: at, passed: 1, held: None });
            return Some((line, None));
        };
        if at.saturating_duration_since(entry.began) >= self.window {
            (entry.began, entry.passed) = (at, 1);
            return Some((line, entry.held.take().map(|held| held.gap(at))));
        }
        if entry.passed < BURST {
            entry.passed += 1;
            return Some((line, None));
        }
        match &mut entry.held {
            Some(held) => (held.last, held.count) = (line, held.count + 1),
            None => entry.held = Some(Held { last: line, since: at, count: 1 }),
        }
        None
    }

    fn make_room(&mut self) {
        if self.entries.len() < MOST_KEYS {
            return;
        }
        let oldest = (0..self.entries.len()).min_by_key(|at| self.entries[*at].began);
        self.orphans.extend(oldest.and_then(|at| self.entries.swap_remove(at).held));
    }

    /// The fault of this key is over, of which a line is about to be written: what was left out.
    /// The window goes on.
    pub fn relieve(&mut self, key: &str, at: Instant) -> Option<Gap> {
        let entry = self.entries.iter_mut().find(|entry| entry.key == key)?;
        entry.held.take().map(|held| held.gap(at))
    }

    /// A line whose time has come though no other of its key came; to be called until there is
    /// none.
    pub fn due(&mut self, now: Instant) -> Option<(T, Option<Gap>)> {
        if let Some(orphan) = self.orphans.pop() {
            return Some(orphan.told(now));
        }
        self.entries.retain(|entry| entry.held.is_some() || now < entry.due(self.window));
        let at = self.entries.iter().position(|entry| entry.due(self.window) <= now)?;
        self.entries.swap_remove(at).held.map(|held| held.told(now))
    }

    /// When to ask [`Limiter::due`] again.
    pub fn next_due(&self) -> Option<Instant> {
        self.entries
            .iter()
            .filter(|entry| entry.held.is_some())
            .map(|entry| entry.due(self.window))
            .min()
    }

    /// What is held, at once: nobody may come again. To be called until there is none.
    pub fn wrap_up(&mut self, now: Instant) -> Option<(T, Option<Gap>)> {
        let held = self
            .orphans
            .pop()
            .or_else(|| self.entries.iter_mut().find_map(|entry| entry.held.take()));
        held.map(|held| held.told(now))
    }
}

impl<T> Held<T> {
    fn gap(&self, at: Instant) -> Gap {
        Gap { count: self.count, span: at.saturating_duration_since(self.since) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn gap(count: u64, span: u64) -> Option<Gap> {
        Some(Gap { count, span: secs(span) })
    }

    /// One line a second from second 0 on; gives the numbers of those that passed and what they
    /// told.
    fn one_a_second(
        limiter: &mut Limiter<u64>,
        start: Instant,
        seconds: std::ops::Range<u64>,
    ) -> Vec<(u64, Option<Gap>)> {
        seconds
            .filter_map(|second| limiter.admit("lost door", second, start + secs(second)))
            .collect()
    }

    #[test]
    fn five_lines_a_minute_pass_and_the_first_of_the_next_minute_tells_the_rest() {
        let (mut limiter, start) = (Limiter::default(), Instant::now());
        let passed = one_a_second(&mut limiter, start, 0..122);
        let told: Vec<_> = passed.iter().filter(|(_, gap)| gap.is_some()).copied().collect();
        let numbers: Vec<_> = passed.iter().map(|(number, _)| *number).collect();
        assert_eq!(numbers, [0, 1, 2, 3, 4, 60, 61, 62, 63, 64, 120, 121]);
        assert_eq!(told, [(60, gap(55, 55)), (120, gap(55, 55))]);
    }

    #[test]
    fn keys_do_not_share_their_windows() {
        let (mut limiter, start) = (Limiter::default(), Instant::now());
        one_a_second(&mut limiter, start, 0..50);
        assert!(limiter.admit("lost yard", 0, start + secs(50)).is_some());
        assert!(limiter.admit("lost door", 0, start + secs(50)).is_none());
    }

    #[test]
    fn a_fault_that_stops_is_summed_up_soon_after_its_window() {
        let (mut limiter, start) = (Limiter::default(), Instant::now());
        one_a_second(&mut limiter, start, 0..20);
        assert_eq!(limiter.next_due(), Some(start + WINDOW + GRACE));
        assert_eq!(limiter.due(start + secs(61)), None, "its own next line may still tell it");
        assert_eq!(
            limiter.due(start + secs(62)),
            Some((19, gap(14, 57))),
            "the last line, and how many stand behind it"
        );
        assert_eq!((limiter.due(start + secs(62)), limiter.next_due()), (None, None));
        assert!(limiter.entries.is_empty(), "nothing is kept of what is over");
    }

    #[test]
    fn a_single_line_left_out_is_handed_out_as_it_was() {
        let (mut limiter, start) = (Limiter::default(), Instant::now());
        one_a_second(&mut limiter, start, 0..6);
        assert_eq!(limiter.due(start + secs(62)), Some((5, None)));
    }

    #[test]
    fn what_never_exceeded_the_burst_owes_nothing() {
        let (mut limiter, start) = (Limiter::default(), Instant::now());
        assert_eq!(one_a_second(&mut limiter, start, 0..5).len(), 5);
        assert_eq!(limiter.next_due(), None);
        assert_eq!(limiter.due(start + secs(100)), None);
        assert!(limiter.entries.is_empty());
    }

    #[test]
    fn the_end_of_a_fault_tells_the_count_once_and_keeps_the_window() {
        let (mut limiter, start) = (Limiter::default(), Instant::now());
        one_a_second(&mut limiter, start, 0..10);
        assert_eq!(limiter.relieve("lost door", start + secs(12)), gap(5, 7));
        assert_eq!(limiter.relieve("lost door", start + secs(12)), None);
        assert_eq!(limiter.relieve("lost yard", start + secs(12)), None);
        assert!(
            limiter.admit("lost door", 13, start + secs(13)).is_none(),
            "a camera that comes and goes is still limited"
        );
        assert_eq!(limiter.due(start + secs(62)), Some((13, None)));
    }

    #[test]
    fn the_number_of_keys_is_bounded_and_a_key_that_goes_still_tells_its_count() {
        let (mut limiter, start) = (Limiter::default(), Instant::now());
        one_a_second(&mut limiter, start, 0..8);
        for number in 0..MOST_KEYS as u64 {
            assert!(limiter.admit(&format!("camera {number}"), number, start + secs(8)).is_some());
        }
        assert_eq!(limiter.entries.len(), MOST_KEYS);
        assert_eq!(limiter.due(start + secs(9)), Some((7, gap(2, 4))));
        assert_eq!(limiter.due(start + secs(9)), None);
    }

    #[test]
    fn at_the_end_everything_held_is_handed_out() {
        let (mut limiter, start) = (Limiter::default(), Instant::now());
        one_a_second(&mut limiter, start, 0..8);
        for number in 100..108 {
            limiter.admit("failed lite0", number, start);
        }
        let mut told: Vec<_> = std::iter::from_fn(|| limiter.wrap_up(start + secs(10))).collect();
        told.sort_by_key(|(number, _)| *number);
        assert_eq!(told, [(7, gap(2, 5)), (107, gap(2, 10))]);
    }
}
