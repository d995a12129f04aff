//! The bounded queue in front of the sinks. When it is full, the oldest report of a live camera is
//! dropped.
//!
//! Reports of cameras that must not lose frames are never dropped here; the number of their jobs
//! bounds them. A plain channel could not tell the two apart.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::mailbox::Taken;
use crate::report::DropReason;

use super::job::Job;

/// The line. Shared between the dispatcher and the sink thread.
pub(super) struct ReportQueue {
    state: Mutex<State>,
    changed: Condvar,
    /// Most reports of live cameras that wait.
    room: usize,
}

struct State {
    line: VecDeque<Box<Job>>,
    /// Of these, of live cameras.
    live: usize,
    /// Nothing more will come.
    closed: bool,
    /// Nobody will take anything more.
    left: bool,
}

impl ReportQueue {
    /// Room for `room` reports of live cameras and `lossless` others.
    pub(super) fn new(room: usize, lossless: usize) -> Self {
        let line = VecDeque::with_capacity(room + lossless + 1);
        let state = State { line, live: 0, closed: false, left: false };
        Self { state: Mutex::new(state), changed: Condvar::new(), room }
    }

    /// A panicking holder cannot leave the fields half-changed: poison is ignored.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a job in line. Never waits; gives back what has to go for it, and why.
    pub(super) fn put(&self, job: Box<Job>) -> Option<(Box<Job>, DropReason)> {
        let mut state = self.lock();
        if state.left {
            return Some((job, DropReason::Stopped));
        }
        let displaced = match () {
            () if job.lossless => None,
            () if state.live < self.room => {
                state.live += 1;
                None
            }
            () => state
                .line
                .iter()
                .position(|waiting| !waiting.lossless)
                .and_then(|oldest| state.line.remove(oldest)),
        };
        state.line.push_back(job);
        drop(state);
        self.changed.notify_one();
        displaced.map(|oldest| (oldest, DropReason::SinkFull))
    }

    /// Takes the first in line, waiting for one up to `patience`.
    pub(super) fn take(&self, patience: Duration) -> Taken<Box<Job>> {
        let until = Instant::now() + patience;
        let mut state = self.lock();
        loop {
            if let Some(job) = state.line.pop_front() {
                state.live -= usize::from(!job.lossless);
                return Taken::Item(job);
            }
            if state.closed {
                return Taken::Closed;
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Taken::TimedOut;
            }
            state =
                self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Nothing more will come.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    /// Nobody will take anything more: what waits is handed back, and what comes later too.
    pub(super) fn leave(&self) -> VecDeque<Box<Job>> {
        let mut state = self.lock();
        (state.left, state.live) = (true, 0);
        std::mem::take(&mut state.line)
    }
}
