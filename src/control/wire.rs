//! One connection's bytes, in and out, with a limit to every wait.
//!
//! Waits are cut into ticks, so that all of them end within a tenth of a second after a stop.
//! Nothing is decided here.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::protocol::{Answer, Refusal};
use crate::pipeline::clock::Stop;

/// Time for a client to send its whole request, and time to take an answer or a line.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);
/// Time for a client that was answered to close its end, so that nothing it still sends destroys
/// the answer on its way.
pub(super) const FAREWELL: Duration = Duration::from_millis(200);
/// Longest wait in one go.
pub(super) const TICK: Duration = Duration::from_millis(50);

/// Says when all is over: Squint stops, or the server is dropped.
pub(super) struct Ending {
    stop: Stop,
    closing: AtomicBool,
}

impl Ending {
    /// Over with `stop` at the latest.
    pub(super) fn with(stop: &Stop) -> Self {
        Self { stop: stop.clone(), closing: AtomicBool::new(false) }
    }

    /// Over now.
    pub(super) fn end(&self) {
        self.closing.store(true, Ordering::Release);
    }

    /// True once over.
    pub(super) fn is_over(&self) -> bool {
        self.closing.load(Ordering::Acquire) || self.stop.is_stopped()
    }

    /// Waits for so long, or less if Squint stops.
    pub(super) fn pause(&self, time: Duration) {
        let _ = self.stop.signal().recv_timeout(time);
    }
}

/// A few bytes fit into any socket's buffer: this does not wait, or hardly.
pub(super) fn turn_away(mut wire: Box<dyn Wire>, refusal: Refusal) {
    let answer = Answer::from(refusal).to_bytes();
    let brief = Duration::from_millis(1);
    let told =
        wire.limit(brief).and_then(|()| wire.write_all(&answer)).and_then(|()| wire.close_write());
    // what has come already is taken, or it would destroy the answer on its way
    if told.is_ok() {
        let _ = wire.read(&mut [0; 4096]);
    }
}

/// Waits; false at once if the client leaves or all is over before `until`.
pub(super) fn is_still_there(wire: &dyn Wire, ending: &Ending, until: Instant) -> bool {
    while !ending.is_over() {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return true;
        }
        // Nothing is asked for: what is told all the same is that the other end is closed. One that
        // closed only its writing end still reads.
        match poll(
            &mut [PollFd::new(&wire.as_fd(), PollFlags::empty())],
            Some(&timespec(left.min(TICK))),
        ) {
            Ok(0) => (),
            Err(error) if io::Error::from(error).kind() == ErrorKind::Interrupted => (),
            Ok(_) | Err(_) => return false,
        }
    }
    false
}

/// Of less than a second.
pub(super) fn timespec(time: Duration) -> Timespec {
    Timespec { tv_sec: 0, tv_nsec: time.subsec_nanos().into() }
}

/// Lets a client that has its answer close its end.
pub(super) fn part(wire: &mut dyn Wire, ending: &Ending) {
    let until = Instant::now() + FAREWELL;
    let mut chunk = [0; 4096];
    while !ending.is_over() && wire.limit(TICK).is_ok() && Instant::now() < until {
        match wire.read(&mut chunk) {
            Ok(1..) => (),
            Err(error) if is_patience(&error) => (),
            Ok(0) | Err(_) => return,
        }
    }
}

/// Sends all of it, unless the client takes nothing for [`PATIENCE`], or until it is `over`.
pub(super) fn send(
    wire: &mut dyn Wire,
    mut bytes: &[u8],
    over: &dyn Fn() -> bool,
) -> io::Result<()> {
    let until = Instant::now() + PATIENCE;
    while !bytes.is_empty() {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() || over() {
            return Err(ErrorKind::TimedOut.into());
        }
        wire.limit(left.min(TICK))?;
        match wire.write(bytes) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(count) => bytes = &bytes[count..],
            Err(error) if is_patience(&error) => (),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// True if it only says that there is nothing now.
pub(super) fn is_patience(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

/// Either kind of connection.
pub(super) trait Wire: AsFd + Read + Write + Send {
    /// Longest wait of a read or a write; more than zero.
    fn limit(&self, wait: Duration) -> io::Result<()>;
    /// Says that nothing more will be written.
    fn close_write(&self) -> io::Result<()>;
}

impl Wire for UnixStream {
    fn limit(&self, wait: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(wait)).and_then(|()| self.set_write_timeout(Some(wait)))
    }

    fn close_write(&self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }
}

impl Wire for TcpStream {
    fn limit(&self, wait: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(wait)).and_then(|()| self.set_write_timeout(Some(wait)))
    }

    fn close_write(&self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }
}
