//! A cell that the sink thread writes and any thread may read: the latest counters and frame rates.
//!
//! Writing never waits and allocates nothing once cameras and engines are known: while a reader
//! copies, a publication is skipped and the next one makes up for it. Reading never holds up the
//! frame path, whatever the reader does with its copy. Pure: times are arguments. It does not know
//! its readers; see [`crate::control`].

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use super::Counters;

/// Least time between two publications.
const EVERY: Duration = Duration::from_millis(250);
/// Least time between two samples for the rates.
const SAMPLE_EVERY: Duration = Duration::from_secs(1);
/// Samples kept, enough for [`WINDOWS`].
const SAMPLES: usize = 64;
/// While the last publication is no older than this, rates are told as they were then: it would
/// look like a fall otherwise.
const FRESH: Duration = Duration::from_secs(2);
/// What the rates are told over, the shorter first.
const WINDOWS: [Duration; 2] = [Duration::from_secs(10), Duration::from_secs(60)];

/// The latest counters. Shared by the sink thread, which publishes, and any number of readers.
#[derive(Debug)]
pub struct Watch {
    epoch: Instant,
    /// Nanoseconds after `epoch` before which nothing is published.
    due: AtomicU64,
    cell: Mutex<Cell>,
}

#[derive(Debug)]
struct Cell {
    counters: Counters,
    /// When they were published.
    at: Instant,
    samples: Vec<Sample>,
    /// The sample to be overwritten next, the oldest.
    next: usize,
}

/// Frames with an outcome at one moment.
#[derive(Debug)]
struct Sample {
    at: Option<Instant>,
    /// All together, then each camera.
    settled: Vec<u64>,
}

/// A copy of what was published last.
#[derive(Clone, Debug)]
pub struct Reading {
    /// The counters.
    pub counters: Counters,
    /// Frames with an outcome a second, all together and then each camera: over the last 10 and 60
    /// seconds, or since the start where that is less. Missing in the first second.
    pub fps: Vec<[Option<f64>; 2]>,
}

impl Watch {
    /// A cell for counters like these, published first at `now`.
    pub fn new(counters: &Counters, now: Instant) -> Self {
        let blank = || Sample { at: None, settled: Vec::with_capacity(counters.cameras.len() + 1) };
        let mut cell = Cell {
            counters: counters.clone(),
            at: now,
            samples: (0..SAMPLES).map(|_| blank()).collect(),
            next: 0,
        };
        cell.sample(now);
        Self { epoch: now, due: AtomicU64::new(0), cell: Mutex::new(cell) }
    }

    /// Publishes `counters`, at most four times a second; call it as often as you like. False if it
    /// was not time yet or a reader was in the way: then the next call tries again. Never waits.
    pub fn publish(&self, counters: &Counters, now: Instant) -> bool {
        let since = |moment: Duration| u64::try_from(moment.as_nanos()).unwrap_or(u64::MAX);
        let age = now.saturating_duration_since(self.epoch);
        if since(age) < self.due.load(Ordering::Relaxed) {
            return false;
        }
        let mut cell = match self.cell.try_lock() {
            Ok(cell) => cell,
            // A reader that panicked has only read.
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return false,
        };
        self.due.store(since(age + EVERY), Ordering::Relaxed);
        cell.counters.clone_from(counters);
        cell.at = now;
        cell.sample(now);
        true
    }

    /// A copy of what was published last, with the rates as they are at `now`: they fall while
    /// nothing is published.
    pub fn read(&self, now: Instant) -> Reading {
        let cell = self.cell.lock().unwrap_or_else(PoisonError::into_inner);
        Reading {
            counters: cell.counters.clone(),
            fps: cell.rates(if now.saturating_duration_since(cell.at) <= FRESH {
                cell.at
            } else {
                now
            }),
        }
    }
}

impl Cell {
    fn sample(&mut self, now: Instant) {
        let newest = self.samples[(self.next + SAMPLES - 1) % SAMPLES].at;
        if newest.is_some_and(|newest| now.saturating_duration_since(newest) < SAMPLE_EVERY) {
            return;
        }
        let sample = &mut self.samples[self.next];
        sample.at = Some(now);
        sample.settled.clear();
        sample.settled.extend(self.counters.settled());
        self.next = (self.next + 1) % SAMPLES;
    }

    fn rates(&self, now: Instant) -> Vec<[Option<f64>; 2]> {
        let from = WINDOWS.map(|window| self.reference(now, window));
        let rate = |(index, settled): (usize, u64)| {
            from.map(|from| {
                let (sample, seconds) = from?;
                let before = sample.settled.get(index).copied().unwrap_or(0);
                Some((settled.saturating_sub(before) as f64 / seconds * 100.0).round() / 100.0)
            })
        };
        self.counters.settled().enumerate().map(rate).collect()
    }

    /// The newest sample that is at least `window` old, or else the oldest; and its age, at least a
    /// second.
    fn reference(&self, now: Instant, window: Duration) -> Option<(&Sample, f64)> {
        let (newer, older) = self.samples.split_at(self.next);
        let by_age = older
            .iter()
            .chain(newer)
            .filter_map(|sample| Some((sample, now.saturating_duration_since(sample.at?))));
        let oldest = by_age.clone().next();
        let found = by_age.take_while(|(_, age)| *age >= window).last().or(oldest);
        found
            .filter(|(_, age)| *age >= SAMPLE_EVERY)
            .map(|(sample, age)| (sample, age.as_secs_f64()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::DropReason;

    fn after(start: Instant, millis: u64) -> Instant {
        start + Duration::from_millis(millis)
    }

    #[test]
    fn publications_are_four_a_second_at_most_and_a_reader_sees_the_last_one() {
        let (start, mut counters) = (Instant::now(), Counters::new(&["door".into()], &[]));
        let watch = Watch::new(&counters, start);
        let published = (0..100).filter(|step| {
            counters.note_drop(0, DropReason::Late, 1);
            watch.publish(&counters, after(start, step * 10))
        });
        assert_eq!(published.count(), 4);
        assert_eq!(watch.read(after(start, 1000)).counters.all.drops.total(), 76, "as at 750 ms");
        assert!(watch.publish(&counters, after(start, 1000)));
        assert_eq!(watch.read(after(start, 1000)).counters.all.drops.total(), 100);
    }

    #[test]
    fn a_publication_that_finds_a_reader_is_made_up_for_at_once() {
        let (start, counters) = (Instant::now(), Counters::new(&[], &[]));
        let watch = Watch::new(&counters, start);
        let reader = watch.cell.lock().unwrap();
        assert!(!watch.publish(&counters, after(start, 300)), "skipped, not waited for");
        drop(reader);
        assert!(watch.publish(&counters, after(start, 301)));
    }

    #[test]
    fn rates_are_told_over_the_last_ten_and_sixty_seconds_and_fall_when_nothing_comes() {
        let (start, mut counters) =
            (Instant::now(), Counters::new(&["door".into(), "yard".into()], &[]));
        let watch = Watch::new(&counters, start);
        assert_eq!(watch.read(start).fps, [[None; 2]; 3], "nothing to tell yet");
        // ten a second for a minute, then thirty a second for twenty seconds
        for tenth in 1..=800_u64 {
            counters.cameras[0].1.outcomes[0] += if tenth <= 600 { 1 } else { 3 };
            counters.all.outcomes[0] += if tenth <= 600 { 1 } else { 3 };
            watch.publish(&counters, after(start, tenth * 100));
            if tenth == 50 {
                let fps = watch.read(after(start, 5000)).fps;
                assert_eq!(fps[1], [Some(10.0); 2], "since the start");
            }
        }
        let [all, door, yard] = watch.read(after(start, 80_000)).fps.try_into().unwrap();
        assert_eq!((all, yard), (door, [Some(0.0); 2]));
        let [ten, sixty] = door.map(Option::unwrap);
        assert!((ten - 30.0).abs() < 1.0 && (sixty - 16.7).abs() < 0.5, "{ten} {sixty}");
        let [ten, sixty] = watch.read(after(start, 180_000)).fps[1].map(Option::unwrap);
        assert!(ten < 1.0 && sixty < 1.0, "{ten} {sixty}");
    }
}
