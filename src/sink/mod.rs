//! Where reports go: standard output for programs ([`StdoutJson`]) or people ([`Text`]), a rotated
//! file ([`File`]), a unix socket ([`Socket`]). The [`Publisher`] owns those the configuration asks
//! for and renders each report at most once.
//!
//! A sink never holds up the others for long and never loses a record silently: what could not be
//! written is an error, counted by the publisher. The queue in front of the publisher is the
//! pipeline's; the only thread here is that of standard output in a live run ([`AsyncStdout`]).

mod async_stdout;
mod file;
mod ledger;
mod lines;
mod publisher;
mod record;
mod socket;
mod stamp;
mod status;
mod stdout;
mod table;
mod text;

use std::borrow::Cow;
use std::io;
use std::path::PathBuf;

use crate::report::Report;
use crate::socket::ListenError;

pub use async_stdout::{AsyncStdout, QueueWriter, ROOM as STDOUT_QUEUE};
pub use file::File;
pub use ledger::{Entry, Ledger};
pub use lines::Lines;
pub use publisher::{Opening, Published, Publisher, stderr_style};
pub use record::{write_record, write_record_with_features};
pub use socket::{READERS, Socket, SocketCounts};
pub use stamp::Stamp;
pub use stdout::StdoutJson;
pub use table::{missing, table};
pub use text::{Style, Text};

/// One destination. Owned by the sink thread.
pub trait Sink: Send {
    /// `stdout`, `file` or `socket`, for logs and counts.
    fn name(&self) -> &'static str;

    /// False if the sink makes its own lines; then `json` may be empty.
    fn wants_json(&self) -> bool {
        true
    }

    /// Delivers one report; `json` is its record, line feed included. An error means that this
    /// record was not delivered, or not to everybody; the next call tries again, after a pause of
    /// the sink's own. [`SinkError::Closed`] is final.
    fn publish(&mut self, report: &Report, json: &[u8]) -> Result<(), SinkError>;

    /// Hands on whatever the sink holds back.
    fn flush(&mut self) -> Result<(), SinkError>;

    /// The last call: nothing is published afterwards.
    fn finish(&mut self) -> Result<(), SinkError> {
        self.flush()
    }

    /// How many records some of several readers missed by their own fault, since this was asked
    /// last; the others have them.
    fn missed(&mut self) -> u64 {
        0
    }

    /// How many records were lost after `publish` had taken them, since this was asked last.
    fn lost_later(&mut self) -> u64 {
        0
    }
}

/// Why a sink cannot be used, or lost a record.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// The reader of standard output went away: a wish to stop, not a failure.
    #[error("nobody reads standard output any more")]
    Closed,
    /// Writing failed.
    #[error("{what}: {source}; records are lost until it works again")]
    Write {
        /// What was written to: a path, or standard output.
        what: Cow<'static, str>,
        /// What the system said.
        source: io::Error,
    },
    /// Whoever reads takes records more slowly than they come.
    #[error("{what}: its reader is too slow; records are lost until it has caught up")]
    Slow {
        /// What was written to.
        what: &'static str,
    },
    /// The sink failed a moment ago and pauses before the next try; this record is lost.
    #[error("{what}: failed a moment ago, next try soon; this record is lost")]
    Pausing {
        /// What was written to.
        what: &'static str,
    },
    /// The file cannot be opened.
    #[error("records file {}: {source}; its folder must exist and be writable for the user squint runs as", path.display())]
    OpenFile {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The path is a folder, a pipe or the like.
    #[error("records file {}: is {kind}, not a file; name another path", path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
        /// What it is instead.
        kind: &'static str,
    },
    /// Another process writes to the file.
    #[error(
        "records file {}: another process writes to it (a second squint?), and each would lose records of the other; name another \
         path for one of them, output.file.path or --output-file",
        path.display()
    )]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// Nobody can listen on the socket.
    #[error(transparent)]
    Listen(#[from] ListenError),
}

impl SinkError {
    /// True if the caller should come to an orderly stop.
    pub fn is_closed(&self) -> bool {
        matches!(self, Self::Closed)
    }

    /// What writing to standard output said.
    fn stdout(source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::BrokenPipe => Self::Closed,
            io::ErrorKind::WouldBlock => Self::Slow { what: "standard output" },
            _ => Self::Write { what: "standard output".into(), source },
        }
    }
}
