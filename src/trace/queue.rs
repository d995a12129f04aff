//! The scheduler's end of a recording: puts events into a queue of prepared slots and never waits.
//!
//! An event without a free slot is counted, and the count goes into the trace as soon as there is
//! one. Once the writer is gone (the disk is full) no more events are passed on. Nothing here
//! allocates, except for a new engine set.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};

use super::event::{End, Event, Gap, GenerationStart, Session};

/// Events that may wait for the disk: some seconds of two cameras. A slot has at most three
/// kilobytes.
const SLOTS: usize = 512;
/// How long the last line may wait for a slot.
const PATIENCE: Duration = Duration::from_secs(1);

/// See the module. Copies hand over to the same queue.
#[derive(Clone, Debug)]
pub struct TraceQueue(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    slots: Sender<Event>,
    /// Not told yet, and in all.
    missing: AtomicU64,
    all: AtomicU64,
    /// Of the engine set that comes next.
    session: Mutex<Option<Session>>,
}

impl TraceQueue {
    /// A trace queue, and where its events come out.
    pub fn new() -> (Self, Receiver<Event>) {
        Self::with_slots(SLOTS)
    }

    /// The same with so many slots, 1 or more.
    pub fn with_slots(slots: usize) -> (Self, Receiver<Event>) {
        let (to, from) = bounded(slots.max(1));
        let inner = Inner {
            slots: to,
            missing: AtomicU64::new(0),
            all: AtomicU64::new(0),
            session: Mutex::new(None),
        };
        (Self(Arc::new(inner)), from)
    }

    /// What the engine set works by that will come in force next.
    pub fn announce(&self, session: Session) {
        *self.0.session.lock().unwrap_or_else(PoisonError::into_inner) = Some(session);
    }

    /// Engine set number `generation` is in force; nothing is written of one that was not
    /// announced.
    pub fn generation_starts(&self, generation: u32, priors: Vec<Option<[u64; 2]>>) {
        let session = self.0.session.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(session) = session {
            self.put(Event::Generation(Box::new(GenerationStart { generation, priors, session })));
        }
    }

    /// Hands over an event, or counts it as missing.
    pub fn put(&self, event: Event) {
        let Inner { slots, missing, all, .. } = &*self.0;
        let untold = missing.swap(0, Ordering::Relaxed);
        if untold > 0 {
            let told = slots.try_send(Event::Gap(Gap { missing: untold }));
            if told.is_err() {
                missing.fetch_add(untold + 1, Ordering::Relaxed);
                all.fetch_add(1, Ordering::Relaxed);
                return;
            }
        }
        if let Err(TrySendError::Full(_)) = slots.try_send(event) {
            missing.fetch_add(1, Ordering::Relaxed);
            all.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Events that are missing so far.
    pub fn missing(&self) -> u64 {
        self.0.all.load(Ordering::Relaxed)
    }

    /// Writes the last line; false if there was no slot for it in time, or nobody writes any more.
    pub fn end(&self) -> bool {
        let untold = self.0.missing.swap(0, Ordering::Relaxed);
        let told = untold == 0
            || self.0.slots.send_timeout(Event::Gap(Gap { missing: untold }), PATIENCE).is_ok();
        told && self
            .0
            .slots
            .send_timeout(Event::End(End { missing: self.missing() }), PATIENCE)
            .is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::DropReason;
    use crate::trace::event::{FrameNumber, Lost};

    fn event(sequence: u64) -> Event {
        Event::Lost(Lost { frame: FrameNumber(0, sequence), why: DropReason::Busy })
    }

    #[test]
    fn what_finds_no_slot_is_counted_at_the_place_where_it_is_missing() {
        let (trace_queue, from) = TraceQueue::with_slots(2);
        (0..5).for_each(|sequence| trace_queue.put(event(sequence)));
        assert_eq!(trace_queue.missing(), 3);
        assert_eq!(from.try_iter().collect::<Vec<_>>(), [event(0), event(1)]);
        trace_queue.put(event(5));
        assert_eq!(from.try_iter().collect::<Vec<_>>(), [Event::Gap(Gap { missing: 3 }), event(5)]);
        assert!(trace_queue.end());
        assert_eq!(from.try_iter().collect::<Vec<_>>(), [Event::End(End { missing: 3 })]);
    }

    #[test]
    fn nothing_is_waited_for_once_nobody_writes() {
        let (trace_queue, from) = TraceQueue::with_slots(1);
        drop(from);
        trace_queue.put(event(0));
        assert!(!trace_queue.end() && trace_queue.missing() == 0);
    }
}
