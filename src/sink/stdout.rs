//! Records as JSON Lines on standard output, for programs that read a pipe.
//!
//! Of live cameras each record is written at once, through [`super::async_stdout`]. Of files and
//! photos records are gathered for at most a tenth of a second between two writes, which makes a
//! fast run fast. A reader that goes away ends the run ([`SinkError::Closed`]).

use std::io::{self, ErrorKind, Write};
use std::time::{Duration, Instant};

use super::async_stdout::lines;
use super::{Sink, SinkError};
use crate::report::Report;

/// Records gather up to this many bytes, which is many times the longest record.
const GATHERED: usize = 64 * 1024;
/// Records gather for at most this long while more of them come.
const GATHERING: Duration = Duration::from_millis(100);

/// JSON Lines on `W`, which is standard output but for tests.
pub struct StdoutJson<W: Write + Send> {
    out: W,
    live: bool,
    /// Records that were taken and are not yet written.
    gathered: Vec<u8>,
    flushed: Option<Instant>,
    /// The last write failed: nothing gathers, so that whoever gets an answer knows how it is.
    failing: bool,
    /// Taken, and lost after that; not yet told.
    lost: u64,
}

impl<W: Write + Send> StdoutJson<W> {
    /// `live`: hand each record on at once.
    pub fn new(out: W, live: bool) -> Self {
        let gathered = Vec::with_capacity(if live { 0 } else { GATHERED });
        Self { out, live, gathered, flushed: None, failing: false, lost: 0 }
    }

    /// Writes one line at the moment `now`.
    pub fn write(&mut self, line: &[u8], now: Instant) -> Result<(), SinkError> {
        if self.live {
            return self
                .out
                .write_all(line)
                .and_then(|()| self.out.flush())
                .map_err(SinkError::stdout);
        }
        self.gathered.extend_from_slice(line);
        let full = self.gathered.len() >= GATHERED - line.len().min(GATHERED);
        let due = full
            || self.failing
            || self.flushed.is_none_or(|at| now.saturating_duration_since(at) >= GATHERING);
        if due {
            self.flushed = Some(now);
            self.hand_on().map_err(|(error, lost)| {
                // This one is told of by the error itself.
                self.lost += lost.saturating_sub(1);
                SinkError::stdout(error)
            })?;
        }
        Ok(())
    }

    /// Writes what was gathered. What cannot be written is lost: the error comes with the number of
    /// records.
    fn hand_on(&mut self) -> Result<(), (io::Error, u64)> {
        let mut rest = self.gathered.as_slice();
        let outcome = loop {
            if rest.is_empty() {
                break Ok(());
            }
            match self.out.write(rest) {
                Ok(0) => break Err(io::Error::from(ErrorKind::WriteZero)),
                Ok(count) => rest = &rest[count..],
                Err(error) if error.kind() == ErrorKind::Interrupted => (),
                Err(error) => break Err(error),
            }
        };
        let lost = lines(rest);
        self.gathered.clear();
        self.failing = outcome.is_err();
        outcome.map_err(|error| (error, lost))
    }
}

impl<W: Write + Send> Sink for StdoutJson<W> {
    fn name(&self) -> &'static str {
        "stdout"
    }

    fn publish(&mut self, _report: &Report, json: &[u8]) -> Result<(), SinkError> {
        self.write(json, Instant::now())
    }

    fn flush(&mut self) -> Result<(), SinkError> {
        self.hand_on().map_err(|(error, lost)| {
            self.lost += lost;
            SinkError::stdout(error)
        })?;
        self.out.flush().map_err(SinkError::stdout)
    }

    fn finish(&mut self) -> Result<(), SinkError> {
        let outcome = self.flush();
        // Everything was taken or given up, and still something is held back: a line whose end
        // could not be written.
        let torn = self.out.flush().map_err(SinkError::stdout);
        self.lost += u64::from(torn.as_ref().is_err_and(|error| !error.is_closed()));
        outcome.and(torn)
    }

    fn lost_later(&mut self) -> u64 {
        std::mem::take(&mut self.lost)
    }
}
