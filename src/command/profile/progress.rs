//! How far a profile has come and how long it will take: a bar in a terminal, a line now and then
//! in the log otherwise.
//!
//! Looks for answers run in parallel and looks for times alone, and only some frames are timed, so
//! each kind has its own pace.

use crate::print;
use std::fmt;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use log::info;

/// Characters of the bar.
const BAR: usize = 24;
/// Between two drawings of the bar.
const DRAW: Duration = Duration::from_millis(200);
/// Between two lines in the log.
const LINE: Duration = Duration::from_secs(30);

/// One kind of work.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Work {
    done: usize,
    of: usize,
    spent: Duration,
}

impl Work {
    /// What is left at the pace so far; `None` without one.
    fn left(&self) -> Option<Duration> {
        match (self.of - self.done.min(self.of), self.done) {
            (0, _) => Some(Duration::ZERO),
            (_, 0) => None,
            (left, done) => Some(self.spent.mul_f64(left as f64 / done as f64)),
        }
    }
}

/// The state of a profile on its way. Pure.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct State {
    answers: Work,
    times: Work,
}

impl State {
    fn left(&self) -> Option<Duration> {
        Some(self.answers.left()? + self.times.left()?)
    }

    /// Share of the time that has passed, 0..=1; of the answers while nobody knows how long timing
    /// takes.
    fn share(&self) -> f64 {
        let spent = (self.answers.spent + self.times.spent).as_secs_f64();
        match self.left().map(|left| left.as_secs_f64()) {
            Some(left) if spent + left > 0.0 => spent / (spent + left),
            _ => self.answers.done as f64 / self.answers.of.max(1) as f64,
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:3.0} %, {} of {} answered, {} of {} timed",
            self.share() * 100.0,
            self.answers.done,
            self.answers.of,
            self.times.done,
            self.times.of
        )?;
        match self.left().map(|left| left.as_secs_f64().round() as u64) {
            Some(left) if left >= 3600 => {
                write!(f, ", {} h {:02} min left", left / 3600, left / 60 % 60)
            }
            Some(left) => write!(f, ", {} min {:02} s left", left / 60, left % 60),
            None => Ok(()),
        }
    }
}

/// Tells whoever waits. Ends its line when dropped.
pub(super) struct Progress {
    state: State,
    bar: bool,
    told: Option<Instant>,
    drawn: bool,
}

impl Progress {
    /// So many frames to be answered, so many of them to be timed.
    pub(super) fn new(answers: usize, times: usize) -> Self {
        let work = |of| Work { of, ..Work::default() };
        let bar = std::io::stderr().is_terminal();
        Self {
            state: State { answers: work(answers), times: work(times) },
            bar,
            told: None,
            drawn: false,
        }
    }

    /// One more frame is answered; all answering took `spent` since the last call.
    pub(super) fn answered(&mut self, spent: Duration) {
        self.state.answers.done += 1;
        self.state.answers.spent += spent;
        self.tell();
    }

    /// One more frame is timed, which took `spent`.
    pub(super) fn timed(&mut self, spent: Duration) {
        self.state.times.done += 1;
        self.state.times.spent += spent;
        self.tell();
    }

    fn tell(&mut self) {
        let State { answers, times } = self.state;
        let pause = if self.bar { DRAW } else { LINE };
        let last = answers.done >= answers.of && times.done >= times.of;
        if !last && self.told.is_some_and(|told| told.elapsed() < pause) {
            return;
        }
        self.told = Some(Instant::now());
        if self.bar {
            let full = (self.state.share() * BAR as f64) as usize;
            let bar =
                format!("{}{}", "#".repeat(full.min(BAR)), "-".repeat(BAR.saturating_sub(full)));
            print::say(format_args!("\r\x1b[2K[{bar}] {}", self.state));
            self.drawn = true;
        } else {
            info!("{}", self.state);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.drawn {
            print::say(format_args!("\n"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn work(done: usize, of: usize, seconds: u64) -> Work {
        Work { done, of, spent: Duration::from_secs(seconds) }
    }

    #[test]
    fn the_time_left_counts_answers_and_times_each_at_its_own_pace() {
        let state = State { answers: work(10, 100, 20), times: work(1, 5, 60) };
        assert_eq!(state.left(), Some(Duration::from_secs(180 + 240)));
        assert!((state.share() - 80.0 / 500.0).abs() < 1e-9);
        assert_eq!(state.to_string(), " 16 %, 10 of 100 answered, 1 of 5 timed, 7 min 00 s left");
    }

    #[test]
    fn nothing_is_said_of_the_time_left_before_anything_was_timed() {
        let state = State { answers: work(50, 100, 20), times: work(0, 5, 0) };
        assert_eq!(state.to_string(), " 50 %, 50 of 100 answered, 0 of 5 timed");
        let done = State { answers: work(3, 3, 1), times: work(0, 0, 0) };
        assert_eq!(done.to_string(), "100 %, 3 of 3 answered, 0 of 0 timed, 0 min 00 s left");
        assert_eq!(State::default().left(), Some(Duration::ZERO));
    }
}
