//! Waiting, and being told to stop: the only way any thread of Squint waits.
//!
//! [`Stop`] is level-triggered: once stopped, every present and later wait ends at once. A source
//! that waits inside GStreamer is woken through the [`Stopper`] that its camera registers here.

use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded, select};

use crate::source::Stopper;

/// Says when to stop. Clonable; all clones are one.
#[derive(Clone)]
pub struct Stop(Arc<Inner>);

struct Inner {
    /// For a look in passing; set before anybody is woken.
    stopped: AtomicBool,
    /// Present while running; dropping it ends every wait on `signal`.
    hold: Mutex<Hold>,
    signal: Receiver<Infallible>,
}

struct Hold {
    running: Option<Sender<Infallible>>,
    wakers: Vec<Option<Stopper>>,
}

impl Default for Stop {
    fn default() -> Self {
        Self::new()
    }
}

impl Stop {
    /// Not stopped yet.
    pub fn new() -> Self {
        // Not 0: a rendezvous channel allocates a packet whenever somebody waits for it.
        let (running, signal) = bounded(1);
        Self(Arc::new(Inner {
            stopped: AtomicBool::new(false),
            hold: Mutex::new(Hold { running: Some(running), wakers: Vec::new() }),
            signal,
        }))
    }

    /// Ends every present and later wait, and wakes every registered source. Any number of calls.
    pub fn stop(&self) {
        self.0.stopped.store(true, Ordering::Release);
        let wakers = {
            let mut hold = self.0.hold.lock().unwrap_or_else(PoisonError::into_inner);
            hold.running = None;
            std::mem::take(&mut hold.wakers)
        };
        for waker in wakers.into_iter().flatten() {
            waker.stop();
        }
    }

    /// True once stopped.
    pub fn is_stopped(&self) -> bool {
        self.0.stopped.load(Ordering::Acquire)
    }

    /// Disconnects when stopped; for `select!`.
    pub fn signal(&self) -> &Receiver<Infallible> {
        &self.0.signal
    }

    /// Makes [`Stop::stop`] wake `waker` too, in place of what `slot` held before. Wakes it now if
    /// already stopped.
    pub fn register(&self, slot: usize, waker: Stopper) {
        let mut hold = self.0.hold.lock().unwrap_or_else(PoisonError::into_inner);
        if hold.running.is_none() {
            drop(hold);
            waker.stop();
            return;
        }
        if hold.wakers.len() <= slot {
            hold.wakers.resize_with(slot + 1, || None);
        }
        hold.wakers[slot] = Some(waker);
    }

    /// Forgets the waker of `slot`.
    pub fn forget(&self, slot: usize) {
        if let Some(waker) =
            self.0.hold.lock().unwrap_or_else(PoisonError::into_inner).wakers.get_mut(slot)
        {
            *waker = None;
        }
    }
}

/// Tells the time and waits. Tests hand in one that does not really wait.
pub trait Clock: Send + Sync {
    /// Now, monotonic.
    fn now(&self) -> Instant;
    /// Waits; false if woken by `stop`.
    fn sleep(&self, pause: Duration, stop: &Stop) -> bool;
    /// Waits, or until something comes over `again`; false if woken by `stop`. A clock that does
    /// not really wait need not heed it.
    fn rest(&self, pause: Duration, stop: &Stop, _again: &Receiver<()>) -> bool {
        self.sleep(pause, stop)
    }
}

/// The machine's clock.
pub struct MachineClock;

impl Clock for MachineClock {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn sleep(&self, pause: Duration, stop: &Stop) -> bool {
        matches!(stop.signal().recv_timeout(pause), Err(RecvTimeoutError::Timeout))
    }

    fn rest(&self, pause: Duration, stop: &Stop, again: &Receiver<()>) -> bool {
        select! {
            recv(stop.signal()) -> _ => false,
            recv(again) -> _ => true,
            default(pause) => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    #[test]
    fn a_stop_wakes_sleepers_and_sources_even_those_that_come_later() {
        let stop = Stop::new();
        let woken = Arc::new(AtomicUsize::new(0));
        let waker = |count: &Arc<AtomicUsize>| {
            let count = Arc::clone(count);
            Stopper::new(move || {
                count.fetch_add(1, Ordering::SeqCst);
            })
        };
        stop.register(3, waker(&woken));
        stop.register(1, waker(&woken));
        stop.forget(1);
        let sleeper = {
            let stop = stop.clone();
            std::thread::spawn(move || MachineClock.sleep(Duration::from_secs(60), &stop))
        };
        stop.stop();
        assert!(!sleeper.join().expect("the sleeper does not panic"), "woken before its time");
        assert_eq!(woken.load(Ordering::SeqCst), 1);
        stop.register(0, waker(&woken));
        assert_eq!(woken.load(Ordering::SeqCst), 2, "a late source is woken at once");
        assert!(stop.is_stopped() && !MachineClock.sleep(Duration::from_secs(60), &stop));
        assert!(!MachineClock.rest(Duration::from_secs(60), &stop, &crossbeam_channel::never()));
    }

    #[test]
    fn a_long_rest_ends_as_soon_as_somebody_asks_for_another_try() {
        let (ask, again) = bounded(1);
        ask.send(()).expect("there is room");
        assert!(
            MachineClock.rest(Duration::from_secs(3600), &Stop::new(), &again),
            "not by the stop"
        );
    }
}
