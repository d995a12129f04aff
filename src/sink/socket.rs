//! Records as JSON Lines to any number of readers of a unix stream socket,
//! `socat - UNIX-CONNECT:path` for one.
//!
//! A reader gets the records published after it connected, whole lines only. One that reads slowly
//! misses records (its own buffer is bounded), one that stops reading is sent away; neither holds
//! up anybody else. At most [`READERS`] are connected at a time, and only while enough descriptors
//! are left for the cameras. One that has left is noticed within a second, also while no record
//! flows. Everything happens inside `publish` and `flush`, which never wait: no thread, no blocking
//! call.

use std::io::{ErrorKind, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use log::warn;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::{Sink, SinkError};
use crate::report::Report;
use crate::socket::Listening;
use crate::{events, limits};

/// Bytes kept for a reader beyond what the system keeps for it.
const READER_BYTES: usize = 64 * 1024;
/// A reader that takes nothing for this long while something waits for it is sent away.
const PATIENCE: Duration = Duration::from_secs(10);
/// Time for readers that lag to take what waits when Squint ends.
const FAREWELL: Duration = Duration::from_millis(300);
/// Readers let in or turned away per report, so that a crowd at the door does not hold up the
/// report.
const ADMITTED: usize = 64;
/// Most readers at a time; each costs a descriptor and a buffer. One more is turned away.
pub const READERS: usize = 32;
/// Before the door is looked at again after somebody was left waiting there.
const PAUSE: Duration = Duration::from_millis(250);

/// What happened to the readers so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SocketCounts {
    /// Let in.
    pub connected: u64,
    /// Closed their end.
    pub left: u64,
    /// Sent away for taking nothing for ten seconds.
    pub stalled: u64,
    /// Turned away, since there were [`READERS`] already.
    pub refused: u64,
    /// How often the door was left shut for want of file descriptors; who waits there goes on
    /// waiting.
    pub shut: u64,
    /// Records not delivered to a reader because it read too slowly.
    pub skipped: u64,
}

/// A listening socket and its readers.
pub struct Socket {
    door: Listening,
    readers: Vec<Reader>,
    counts: SocketCounts,
    /// Nobody could be let in lately, which was told.
    full: bool,
    /// Nobody is let in before.
    shut_until: Option<Instant>,
    /// Records that a reader missed, not yet asked for.
    missed: u64,
}

struct Reader {
    stream: UnixStream,
    /// Whole lines.
    waiting: Vec<u8>,
    took_at: Instant,
}

/// Why a reader is no longer served.
enum Parted {
    Left,
    Stalled,
}

impl Socket {
    /// Listens at `path`, for the owner and the group. A socket that a dead process left behind is
    /// replaced; anything else is not.
    pub fn open(path: &Path) -> Result<Self, SinkError> {
        Ok(Self {
            door: Listening::open(path)?,
            readers: Vec::new(),
            counts: SocketCounts::default(),
            full: false,
            shut_until: None,
            missed: 0,
        })
    }

    /// What happened to the readers so far.
    pub fn counts(&self) -> SocketCounts {
        self.counts
    }

    /// Readers being served.
    pub fn readers(&self) -> usize {
        self.readers.len()
    }

    /// Bytes that wait for readers.
    pub fn backlog(&self) -> usize {
        self.readers.iter().map(|reader| reader.waiting.len()).sum()
    }

    /// Lets in who waits at the door and hands `line` to every reader, at the moment `now`.
    pub fn write(&mut self, line: &[u8], now: Instant) {
        self.admit(now);
        let counts = &mut self.counts;
        let before = counts.skipped;
        self.readers.retain_mut(|reader| match reader.offer(line, now) {
            Ok(taken) => {
                counts.skipped += u64::from(!taken);
                true
            }
            Err(Parted::Left) => {
                counts.left += 1;
                false
            }
            Err(Parted::Stalled) => {
                counts.stalled += 1;
                false
            }
        });
        self.missed += u64::from(counts.skipped > before);
    }

    fn admit(&mut self, now: Instant) {
        if self.shut_until.is_some_and(|until| now < until) {
            return;
        }
        self.shut_until = None;
        for _ in 0..ADMITTED {
            if !self.door.has_callers() {
                self.full &= self.readers.len() >= READERS;
                return;
            }
            if !limits::reader_fits() {
                return self.shut(
                    now,
                    "too few descriptors are left for the cameras; they wait at the door",
                );
            }
            match self.door.listener().accept() {
                Ok((stream, _)) if self.readers.len() >= READERS && self.forget_the_gone() == 0 => {
                    drop(stream);
                    self.counts.refused += 1;
                    if !std::mem::replace(&mut self.full, true) {
                        warn!(event = events::READER_REFUSED, sink = "socket"; "socket of the records: {READERS} readers are connected, which is the most; one more was turned away");
                    }
                }
                Ok((stream, _)) if stream.set_nonblocking(true).is_ok() => {
                    self.counts.connected += 1;
                    self.full = false;
                    self.readers.push(Reader { stream, waiting: Vec::new(), took_at: now });
                }
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
                Ok(_) => return,
                Err(error) => return self.shut(now, &error.to_string()),
            }
        }
    }

    /// Leaves whoever is at the door waiting there for a moment, which is told once.
    fn shut(&mut self, now: Instant, why: &str) {
        self.counts.shut += 1;
        self.shut_until = Some(now + PAUSE);
        if !std::mem::replace(&mut self.full, true) {
            warn!(event = events::READERS_WAIT, sink = "socket"; "socket of the records: nobody can be let in: {why}");
        }
    }

    /// Readers that have closed their end are told apart without sending them anything. How many
    /// there were.
    fn forget_the_gone(&mut self) -> usize {
        let before = self.readers.len();
        self.readers.retain(|reader| !reader.has_left());
        let gone = before - self.readers.len();
        self.counts.left += gone as u64;
        gone
    }
}

impl Reader {
    /// True if its end is closed. One that has only said that it sends nothing still reads.
    fn has_left(&self) -> bool {
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut [PollFd::new(&self.stream, PollFlags::empty())], Some(&at_once))
            .is_ok_and(|closed| closed > 0)
    }

    /// Sends what waits, then `line`. `Ok(false)`: there was no room for `line`, which this reader
    /// will miss.
    fn offer(&mut self, line: &[u8], now: Instant) -> Result<bool, Parted> {
        self.send_waiting(now)?;
        if self.waiting.is_empty() {
            let sent = send(&mut self.stream, line)?;
            self.took_at = now;
            self.waiting.extend_from_slice(&line[sent..]);
            return Ok(true);
        }
        if now.saturating_duration_since(self.took_at) >= PATIENCE {
            return Err(Parted::Stalled);
        }
        let room = self.waiting.len() + line.len() <= READER_BYTES;
        if room {
            self.waiting.extend_from_slice(line);
        }
        Ok(room)
    }

    fn send_waiting(&mut self, now: Instant) -> Result<(), Parted> {
        if !self.waiting.is_empty() {
            let sent = send(&mut self.stream, &self.waiting)?;
            if sent > 0 {
                self.took_at = now;
                self.waiting.drain(..sent);
            }
        }
        Ok(())
    }
}

/// Sends as much of `lines` as the system takes without waiting, one line at a time: Linux takes a
/// short write to a unix socket whole or not at all, so a reader that is sent away is not left with
/// half a line.
fn send(stream: &mut UnixStream, lines: &[u8]) -> Result<usize, Parted> {
    let mut sent = 0;
    while sent < lines.len() {
        let rest = &lines[sent..];
        let end = rest.iter().position(|byte| *byte == b'\n').map_or(rest.len(), |at| at + 1);
        match stream.write(&rest[..end]) {
            Ok(0) => return Err(Parted::Left),
            Ok(count) => sent += count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) if error.kind() == ErrorKind::Interrupted => (),
            Err(_) => return Err(Parted::Left),
        }
    }
    Ok(sent)
}

impl Sink for Socket {
    fn name(&self) -> &'static str {
        "socket"
    }

    /// Never an error: a reader's trouble is the reader's, and is counted in [`SocketCounts`].
    fn publish(&mut self, _report: &Report, json: &[u8]) -> Result<(), SinkError> {
        self.write(json, Instant::now());
        Ok(())
    }

    fn missed(&mut self) -> u64 {
        std::mem::take(&mut self.missed)
    }

    /// Sends what waits, as far as the readers take it at once, and forgets those who have left.
    /// Called every second while no record comes.
    fn flush(&mut self) -> Result<(), SinkError> {
        let now = Instant::now();
        self.forget_the_gone();
        self.admit(now);
        self.forget_the_gone();
        let before = self.readers.len();
        self.readers.retain_mut(|reader| reader.send_waiting(now).is_ok());
        self.counts.left += (before - self.readers.len()) as u64;
        Ok(())
    }

    /// Gives readers that lag [`FAREWELL`], all of them together, to take what waits.
    fn finish(&mut self) -> Result<(), SinkError> {
        let until = Instant::now() + FAREWELL;
        for reader in self.readers.iter_mut().filter(|reader| !reader.waiting.is_empty()) {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let stream = &mut reader.stream;
            let patient =
                stream.set_write_timeout(Some(left)).and_then(|()| stream.set_nonblocking(false));
            // One that does not take it has been slow for long and has missed records before.
            drop(patient.and_then(|()| stream.write_all(&reader.waiting)));
        }
        self.readers.clear();
        Ok(())
    }
}
