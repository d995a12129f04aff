//! What the thread that hears lines and whoever samples have in common: the board with its newest
//! readings, and how the source fares.
//!
//! An edge module, for it has a lock. It is held while one line is scanned or one sample copied,
//! some microseconds.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::board::Board;
use super::lines::Lines;
use crate::telemetry::Cost;

/// Lines that say what a board has: the first may come before every sensor is awake.
const FIRST_LINES: u32 = 2;

/// Shared between two threads.
#[derive(Default)]
pub(super) struct Shared {
    state: Mutex<State>,
    /// The board is known, or the source was lost.
    news: Condvar,
}

/// What they share.
#[derive(Default)]
pub(super) struct State {
    pub(super) board: Board,
    learned: u32,
    /// When the newest readings came; `None` also if that is longer ago than the clock goes.
    pub(super) heard: Option<Instant>,
    /// Where the processor time of the thread that hears began, and how much it has used.
    begun: Option<Cost>,
    pub(super) spent: Duration,
    /// How often the source was lost, and why the last time; the reason is gone once lines come
    /// again.
    pub(super) losses: u64,
    pub(super) lost: Option<String>,
    pub(super) child: Option<u32>,
}

impl Shared {
    /// Nothing that holds the lock can panic half-way: poison is ignored.
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the lines that `bytes` end, heard at `at`, or too long ago to say. True if one of them
    /// had readings.
    pub(super) fn take(&self, lines: &mut Lines, bytes: &[u8], at: Option<Instant>) -> bool {
        let mut taken = false;
        lines.add(bytes, |line| {
            let mut state = self.lock();
            if !state.board.take(line) {
                return;
            }
            taken = true;
            state.heard = at;
            state.lost = None;
            if state.learned < FIRST_LINES {
                state.learned += 1;
                if state.learned == FIRST_LINES {
                    state.board.fix();
                    self.news.notify_all();
                }
            }
        });
        let mut state = self.lock();
        state.spent = state.begun.map_or(Duration::ZERO, Cost::spent);
        taken
    }

    /// Called by the thread that hears, before anything else.
    pub(super) fn begin(&self) {
        self.lock().begun = Some(Cost::begin());
    }

    /// The source was lost.
    pub(super) fn lost(&self, why: String) {
        let mut state = self.lock();
        state.losses += 1;
        state.lost = Some(why);
        self.news.notify_all();
    }

    /// The child's number while it lives.
    pub(super) fn set_child(&self, child: Option<u32>) {
        self.lock().child = child;
    }

    /// Waits until the board is known, at most `patience`; what is known by then is final. `Err`
    /// says why nothing is.
    pub(super) fn learn(&self, patience: Duration) -> Result<(), String> {
        let until = Instant::now() + patience;
        let mut state = self.lock();
        while state.learned < FIRST_LINES {
            let left = until.saturating_duration_since(Instant::now());
            // A source that cannot even be started will not come to life within the patience.
            if left.is_zero() || (state.learned == 0 && state.lost.is_some()) {
                break;
            }
            state = self.news.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        if state.learned == 0 {
            return Err(state
                .lost
                .clone()
                .unwrap_or_else(|| format!("printed nothing readable within {patience:?}")));
        }
        state.learned = FIRST_LINES;
        state.board.fix();
        Ok(())
    }
}
