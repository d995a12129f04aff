//! Lines for the journal of systemd, in its native protocol: one datagram a line, each field by
//! name.
//!
//! <https://systemd.io/JOURNAL_NATIVE_PROTOCOL/>. Only writes; which lines there are is decided in
//! [`super::logger`]. A send waits no longer than [`PATIENCE`], so that a stopped journald holds up
//! no more than the thread of the log, and that only for so long.

use std::io::{self, ErrorKind, Write};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::Duration;

use log::Level;
use rustix::io::Errno;

use super::line::Line;

/// Where journald listens.
pub const SOCKET: &str = "/run/systemd/journal/socket";
/// Longest wait of one send; the caller tries again.
const PATIENCE: Duration = Duration::from_millis(250);

/// Keys of the `log` macros, and the journal's names of them. Other keys are not written.
pub const FIELDS: [(&str, &str); 8] = [
    ("event", "SQUINT_EVENT"),
    ("camera", "SQUINT_CAMERA"),
    ("engine", "SQUINT_ENGINE"),
    ("frame", "SQUINT_FRAME"),
    ("reason", "SQUINT_REASON"),
    ("sink", "SQUINT_SINK"),
    ("thread", "SQUINT_THREAD"),
    ("count", "SQUINT_COUNT"),
];

/// A journal: a socket without an address of its own, and the path that it sends to.
#[derive(Debug)]
pub struct Journal {
    socket: UnixDatagram,
    path: PathBuf,
    datagram: Vec<u8>,
}

/// Why a line was not taken.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// Nobody takes it just now: journald is stopped, busy or being restarted. The same line may be
    /// taken later.
    Away,
    /// It will not be taken later either, shorter ones may.
    TooLong,
}

impl Journal {
    /// The journal that listens at `path` (or will; it need not be there yet). An error means that
    /// there are no sockets to be had.
    pub fn at(path: &Path) -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        socket.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { socket, path: path.into(), datagram: Vec::with_capacity(1024) })
    }

    /// Hands over one line; waits up to [`PATIENCE`].
    pub(super) fn send(&mut self, line: &Line) -> Result<(), Refused> {
        self.datagram.clear();
        compose(line, &mut self.datagram);
        loop {
            // Every time by path: a journald that was restarted listens on another socket there.
            match self.socket.send_to(&self.datagram, &self.path) {
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => (),
                Err(error) if error.raw_os_error() == Some(Errno::MSGSIZE.raw_os_error()) => {
                    return Err(Refused::TooLong);
                }
                Err(_) => return Err(Refused::Away),
            }
        }
    }
}

/// The priority of syslog. By this mapping `journalctl -p info` shows what `--log info` does, and
/// no debugging.
pub fn priority(level: Level) -> u8 {
    match level {
        Level::Error => 3,
        Level::Warn => 4,
        Level::Info => 6,
        Level::Debug | Level::Trace => 7,
    }
}

fn compose(line: &Line, out: &mut Vec<u8>) {
    field(out, "PRIORITY", priority(line.level));
    text(out, "MESSAGE", &line.message);
    if let Some(event) = line.event {
        text(out, "MESSAGE_ID", event.id);
    }
    for (name, value) in &line.fields {
        text(out, name, value);
    }
    if let Some(file) = &line.file {
        text(out, "CODE_FILE", file);
    }
    if let Some(number) = line.number {
        field(out, "CODE_LINE", number);
    }
    text(out, "TARGET", &line.target);
    if let Some(thread) = &line.thread {
        text(out, "THREAD", thread);
    }
    text(out, "SYSLOG_IDENTIFIER", "squint");
}

/// A number, which needs no care.
fn field(out: &mut Vec<u8>, name: &str, value: impl std::fmt::Display) {
    writeln!(out, "{name}={value}").expect("a Vec takes every byte");
}

/// A text: on one line if it is one, otherwise with its length in front, so that a line feed cannot
/// pose as the next field.
fn text(out: &mut Vec<u8>, name: &str, value: &str) {
    out.extend_from_slice(name.as_bytes());
    if value.contains('\n') {
        out.push(b'\n');
        out.extend_from_slice(&(value.len() as u64).to_le_bytes());
    } else {
        out.push(b'=');
    }
    out.extend_from_slice(value.as_bytes());
    out.push(b'\n');
}
