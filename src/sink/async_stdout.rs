//! Standard output of a live run, on a thread of its own: a pipe whose reader stalls must not keep
//! records from the other sinks.
//!
//! A write to a full pipe waits for ever and cannot be interrupted, so lines go through a bounded
//! buffer between two threads. A line without space is an error, as with any other sink; lines come
//! out whole and in order. Runs that must lose nothing do not use this: there the reader sets the
//! pace.

use std::io::{self, ErrorKind, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::{Sink, SinkError};
use crate::report::Report;

/// Bytes that wait at most, in both halves of the store together: some four hundred records.
pub const ROOM: usize = 256 * 1024;
/// How long the reader may take, at the end, for what waits.
const FAREWELL: Duration = Duration::from_secs(1);
/// PIPE_BUF of Linux: a write of so many bytes is not divided.
const ATOMIC: usize = 4096;
/// Between two tries after an error, such as a full disk behind standard output.
const PAUSE: Duration = Duration::from_millis(50);

/// A sink whose lines are written by another thread.
pub struct AsyncStdout {
    inner: Box<dyn Sink>,
    shared: Arc<Shared>,
    /// Taken, and lost after that; not yet told.
    lost: u64,
}

/// Where the inner sink writes to: takes a write whole or not at all, and never waits.
pub struct QueueWriter(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    /// Lines, or the end.
    news: Condvar,
    /// Something was written, or the reader is gone.
    progress: Condvar,
}

struct State {
    waiting: Vec<u8>,
    /// Bytes and whole lines that the thread has taken and not yet written.
    underway: (usize, u64),
    /// There was no room; nothing is taken before half of it is free again, or a slow reader would
    /// get every other line.
    choked: bool,
    error: Option<i32>,
    /// The reader is gone.
    closed: bool,
    ended: bool,
}

impl Shared {
    /// Nothing that holds the lock can panic half-way: poison is ignored.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn bytes(&self) -> usize {
        self.waiting.len() + self.underway.0
    }
}

impl AsyncStdout {
    /// Starts the thread that writes to `out`; `inner` makes the sink that fills it.
    pub fn new<W: Write + Send + 'static>(
        out: W,
        inner: impl FnOnce(QueueWriter) -> Box<dyn Sink>,
    ) -> Result<Self, SinkError> {
        let state = State {
            waiting: Vec::with_capacity(ROOM),
            underway: (0, 0),
            choked: false,
            error: None,
            closed: false,
            ended: false,
        };
        let shared = Arc::new(Shared {
            state: Mutex::new(state),
            news: Condvar::new(),
            progress: Condvar::new(),
        });
        let theirs = Arc::clone(&shared);
        thread::Builder::new()
            .name("stdout".into())
            .spawn(move || carry(&theirs, out))
            .map_err(SinkError::stdout)?;
        Ok(Self { inner: inner(QueueWriter(Arc::clone(&shared))), shared, lost: 0 })
    }

    /// Waits until all is written, but no longer than [`FAREWELL`]; then nothing more is taken.
    /// Gives the lines left over.
    fn drain(&self) -> u64 {
        let until = Instant::now() + FAREWELL;
        let mut state = self.shared.lock();
        state.ended = true;
        self.shared.news.notify_all();
        while state.bytes() > 0 && !state.closed {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            state = self
                .shared
                .progress
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        let left_over = state.underway.1 + lines(&state.waiting);
        state.waiting.clear();
        left_over
    }
}

impl Drop for AsyncStdout {
    /// The thread ends by itself; it may hang in a write for as long as the process lives.
    fn drop(&mut self) {
        self.shared.lock().ended = true;
        self.shared.news.notify_all();
    }
}

impl Write for QueueWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut state = self.0.lock();
        if state.closed {
            return Err(ErrorKind::BrokenPipe.into());
        }
        let full = match state.choked {
            true => state.bytes() > ROOM / 2,
            false => state.bytes() + line.len() > ROOM,
        };
        state.choked = full || state.error.is_some();
        if state.choked {
            return Err(state
                .error
                .map_or(ErrorKind::WouldBlock.into(), io::Error::from_raw_os_error));
        }
        state.waiting.extend_from_slice(line);
        drop(state);
        self.0.news.notify_one();
        Ok(line.len())
    }

    /// Tells whether the reader is still there; what waits is written without being asked for.
    fn flush(&mut self) -> io::Result<()> {
        if self.0.lock().closed { Err(ErrorKind::BrokenPipe.into()) } else { Ok(()) }
    }
}

/// The thread: until the end, or until the reader is gone.
fn carry(shared: &Shared, mut out: impl Write) {
    let mut chunk = Vec::with_capacity(ROOM);
    loop {
        let mut state = shared.lock();
        while state.waiting.is_empty() {
            if state.ended {
                return;
            }
            state = shared.news.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        chunk.clear();
        std::mem::swap(&mut chunk, &mut state.waiting);
        state.underway = (chunk.len(), lines(&chunk));
        drop(state);

        let mut rest = chunk.as_slice();
        while !rest.is_empty() {
            let outcome = out.write(piece(rest)).and_then(|count| {
                if count == 0 { Err(ErrorKind::WriteZero.into()) } else { Ok(count) }
            });
            let mut state = shared.lock();
            match outcome {
                Ok(count) => {
                    rest = &rest[count..];
                    (state.underway, state.error) = ((rest.len(), lines(rest)), None);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => (),
                Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                    (state.closed, state.underway) = (true, (0, 0));
                    shared.progress.notify_all();
                    return;
                }
                // The same bytes again, so that no line is torn.
                Err(error) => {
                    state.error =
                        error.raw_os_error().filter(|_| error.kind() != ErrorKind::WouldBlock);
                    if state.ended && state.waiting.is_empty() {
                        return;
                    }
                    drop(shared.news.wait_timeout(state, PAUSE));
                    continue;
                }
            }
            shared.progress.notify_all();
        }
        // Whoever buffers here has an error at the next write, too.
        let _ = out.flush();
    }
}

/// The lines to write next: as many as a pipe takes at once or not at all, so that one who gives up
/// knows what was taken.
fn piece(rest: &[u8]) -> &[u8] {
    let first = &rest[..rest.len().min(ATOMIC)];
    let end = match first.iter().rposition(|byte| *byte == b'\n') {
        Some(at) => at + 1,
        // One line, longer than that.
        None => rest.iter().position(|byte| *byte == b'\n').map_or(rest.len(), |at| at + 1),
    };
    &rest[..end]
}

/// How many lines end in `bytes`.
pub(super) fn lines(bytes: &[u8]) -> u64 {
    bytes.iter().filter(|byte| **byte == b'\n').count() as u64
}

impl Sink for AsyncStdout {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn wants_json(&self) -> bool {
        self.inner.wants_json()
    }

    fn publish(&mut self, report: &Report, json: &[u8]) -> Result<(), SinkError> {
        self.inner.publish(report, json)
    }

    fn flush(&mut self) -> Result<(), SinkError> {
        self.inner.flush()
    }

    fn finish(&mut self) -> Result<(), SinkError> {
        let outcome = self.inner.finish();
        self.lost += self.drain();
        outcome.and_then(|()| self.inner.flush())
    }

    fn lost_later(&mut self) -> u64 {
        std::mem::take(&mut self.lost)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_whole_lines_that_a_pipe_takes_at_once() {
        let line = [&[b'x'; 999][..], b"\n"].concat();
        let many = line.repeat(10);
        assert_eq!(piece(&many).len(), 4000);
        assert_eq!(piece(&many[..4096]).len(), 4000);
        assert_eq!(piece(&line).len(), 1000);
        let long = [&[b'y'; 5000][..], b"\n", &line].concat();
        assert_eq!(piece(&long).len(), 5001, "a line longer than that goes alone");
        assert_eq!(piece(b"status"), b"status");
    }
}
