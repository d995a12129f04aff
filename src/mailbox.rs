//! A mailbox with room for one: the newest item wins, whoever offers never waits, and nothing is
//! lost uncounted.
//!
//! Stands between a thread that must not be held up (GStreamer's) and one that takes its time (a
//! camera's feature thread). [`Mailbox::offer_waiting`] is the other manner, for clips of which no
//! frame may be lost: it waits until the slot is free. At any moment
//! `offered = taken + superseded + waiting`, see [`Counts`].

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What became of the items offered so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Items put into the slot.
    pub offered: u64,
    /// Items that somebody took out.
    pub taken: u64,
    /// Items that a newer one replaced.
    pub superseded: u64,
    /// 1 if an item lies in the slot.
    pub waiting: u64,
}

/// What [`Mailbox::take`] found.
#[derive(Debug, PartialEq, Eq)]
pub enum Taken<T> {
    /// The newest item.
    Item(T),
    /// Nothing came within the patience.
    TimedOut,
    /// The mailbox is closed and empty.
    Closed,
}

struct State<T> {
    slot: Option<T>,
    closed: bool,
    offered: u64,
    taken: u64,
    superseded: u64,
}

/// One slot, shared between threads.
pub struct Mailbox<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
}

impl<T> Default for Mailbox<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Mailbox<T> {
    /// An empty, open mailbox.
    pub fn new() -> Self {
        let state = State { slot: None, closed: false, offered: 0, taken: 0, superseded: 0 };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    /// A panicking holder cannot leave the five fields half-changed in a way that matters: poison
    /// is ignored.
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts `item` into the slot, replacing what lies there. Never waits. Gives `item` back if the
    /// mailbox is closed.
    pub fn offer(&self, item: T) -> Result<(), T> {
        let mut state = self.lock();
        if state.closed {
            return Err(item);
        }
        let replaced = state.slot.replace(item);
        state.offered += 1;
        state.superseded += u64::from(replaced.is_some());
        drop(state);
        self.changed.notify_all();
        drop(replaced); // giving a buffer back to its pool may take a lock: not under ours
        Ok(())
    }

    /// Waits until the slot is free, then puts `item` there. Gives `item` back once the mailbox is
    /// closed.
    pub fn offer_waiting(&self, item: T) -> Result<(), T> {
        let mut state = self.lock();
        while state.slot.is_some() && !state.closed {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.closed {
            return Err(item);
        }
        state.slot = Some(item);
        state.offered += 1;
        drop(state);
        self.changed.notify_all();
        Ok(())
    }

    /// Takes the item out, waiting for one up to `patience`. What was offered before the closing
    /// can still be taken.
    pub fn take(&self, patience: Duration) -> Taken<T> {
        let until = Instant::now().checked_add(patience);
        let mut state = self.lock();
        loop {
            if let Some(item) = state.slot.take() {
                state.taken += 1;
                drop(state);
                self.changed.notify_all();
                return Taken::Item(item);
            }
            if state.closed {
                return Taken::Closed;
            }
            // A patience beyond the clock's range is for ever, in steps.
            let left = until.map_or(Duration::from_secs(3600), |until| {
                until.saturating_duration_since(Instant::now())
            });
            if left.is_zero() {
                return Taken::TimedOut;
            }
            state =
                self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Refuses further offers and wakes everybody who waits. Any number of times.
    pub fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    /// What became of the items so far.
    pub fn counts(&self) -> Counts {
        let state = self.lock();
        let State { offered, taken, superseded, .. } = *state;
        Counts { offered, taken, superseded, waiting: u64::from(state.slot.is_some()) }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::thread;

    use proptest::prelude::*;

    use super::*;

    const SOON: Duration = Duration::from_secs(5);

    #[test]
    fn the_newest_item_wins_and_the_older_is_counted() {
        let mailbox = Mailbox::new();
        mailbox.offer(1).unwrap();
        mailbox.offer(2).unwrap();
        assert_eq!(mailbox.take(Duration::ZERO), Taken::Item(2));
        assert_eq!(mailbox.take(Duration::ZERO), Taken::TimedOut);
        assert_eq!(mailbox.counts(), Counts { offered: 2, taken: 1, superseded: 1, waiting: 0 });
    }

    #[test]
    fn a_closed_mailbox_hands_out_what_it_holds_then_says_so() {
        let mailbox = Mailbox::new();
        mailbox.offer(1).unwrap();
        mailbox.close();
        assert_eq!(mailbox.offer(2), Err(2));
        assert_eq!(mailbox.take(SOON), Taken::Item(1));
        assert_eq!(mailbox.take(Duration::MAX), Taken::Closed);
    }

    #[test]
    fn closing_wakes_the_taker_and_the_waiting_offerer() {
        let empty = Arc::new(Mailbox::<u8>::new());
        let full = Arc::new(Mailbox::new());
        full.offer(1).unwrap();
        let taker = thread::spawn({
            let empty = empty.clone();
            move || empty.take(Duration::MAX)
        });
        let offerer = thread::spawn({
            let full = full.clone();
            move || full.offer_waiting(2)
        });
        empty.close();
        full.close();
        assert_eq!(taker.join().unwrap(), Taken::Closed);
        assert_eq!(offerer.join().unwrap(), Err(2));
    }

    #[test]
    fn waiting_offers_lose_nothing_and_keep_their_order() {
        let mailbox = Arc::new(Mailbox::new());
        let offerer = thread::spawn({
            let mailbox = mailbox.clone();
            move || (0..1000).all(|n| mailbox.offer_waiting(n).is_ok())
        });
        for n in 0..1000 {
            assert_eq!(mailbox.take(SOON), Taken::Item(n));
        }
        assert!(offerer.join().unwrap());
        assert_eq!(mailbox.counts().superseded, 0);
    }

    proptest! {
        #[test]
        fn every_item_offered_is_taken_superseded_or_waiting(steps in prop::collection::vec(0..3u8, 0..64)) {
            let mailbox = Mailbox::new();
            for step in steps {
                match step {
                    0 => { let _ = mailbox.take(Duration::ZERO); }
                    _ => mailbox.offer(step).unwrap(),
                }
                let c = mailbox.counts();
                prop_assert_eq!(c.offered, c.taken + c.superseded + c.waiting);
            }
        }
    }

    #[test]
    fn counts_add_up_while_two_threads_are_at_it() {
        let mailbox = Arc::new(Mailbox::new());
        let offerer = thread::spawn({
            let mailbox = mailbox.clone();
            move || {
                (0..20_000u32).for_each(|n| mailbox.offer(n).unwrap());
                mailbox.close();
            }
        });
        let (mut seen, mut last) = (0, None);
        while let Taken::Item(n) = mailbox.take(SOON) {
            assert!(Some(n) > last, "items never go back in time");
            last = Some(n);
            seen += 1;
            let c = mailbox.counts();
            assert_eq!(c.offered, c.taken + c.superseded + c.waiting);
        }
        offerer.join().unwrap();
        assert_eq!((last, mailbox.counts().taken), (Some(19_999), seen));
    }
}
