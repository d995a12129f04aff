//! Records as JSON Lines on standard output, for programs that read a pipe.
//!
//! Live cameras: each record is handed on at once, through [`super::aside`]. Files and photos: records gather for at most a tenth of a second between two
//! writes, which is what makes a fast run fast. A reader that goes away ends the run ([`SinkError::Closed`]).

use std::io::{BufWriter, Write};
use std::time::{Duration, Instant};

use super::{Sink, SinkError};
use crate::report::Report;

/// Records gather up to this many bytes, which is many times the longest record.
const GATHERED: usize = 64 * 1024;
/// Records gather for at most this long while more of them come.
const GATHERING: Duration = Duration::from_millis(100);

/// JSON Lines on `W`, which is standard output but for tests.
pub struct StdoutJson<W: Write + Send> {
    out: BufWriter<W>,
    live: bool,
    flushed: Option<Instant>,
}

impl<W: Write + Send> StdoutJson<W> {
    /// `live`: hand each record on at once.
    pub fn new(out: W, live: bool) -> Self {
        Self { out: BufWriter::with_capacity(GATHERED, out), live, flushed: None }
    }

    /// Writes one line at the moment `now`.
    pub fn write(&mut self, line: &[u8], now: Instant) -> Result<(), SinkError> {
        if self.live {
            // Nothing waits in the buffer, and what an error leaves unwritten must not wait there either.
            return self.out.get_mut().write_all(line).and_then(|()| self.out.flush()).map_err(SinkError::stdout);
        }
        self.out.write_all(line).map_err(SinkError::stdout)?;
        let due = self.flushed.is_none_or(|at| now.saturating_duration_since(at) >= GATHERING);
        if due {
            self.flushed = Some(now);
            self.flush()?;
        }
        Ok(())
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
        self.out.flush().map_err(SinkError::stdout)
    }
}
