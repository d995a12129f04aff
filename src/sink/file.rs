//! Records as JSON Lines in a file, rotated by size: `path` is the newest, `path.1` the one before,
//! up to `path.<keep>`.
//!
//! A record is never split across two files and never left half-written: what a full disk cut off
//! is taken back, and what a power cut left at the end of the file is removed when the file is
//! continued. A file has one writer: it is locked (`flock`), and one that somebody else writes to
//! is refused. A missing folder is never created: it is usually a disk that is not mounted, and the
//! records would fill the one below.

use std::fs::{self, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

use super::lines::{Put, put};
use super::{Sink, SinkError};
use crate::config::OutputFile;
use crate::report::Report;
use crate::{files, numbered};

/// First pause after a failure; doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// How far back from the end a half-written record is looked for; records are far shorter.
const TAIL: u64 = 64 * 1024;

/// A rotated file of records.
pub struct File {
    config: OutputFile,
    open: Option<Opened>,
    pause: Duration,
    retry_at: Option<Instant>,
    lost: u64,
}

/// The newest file.
struct Opened {
    file: fs::File,
    /// Device and inode, to notice that somebody moved or removed it.
    identity: (u64, u64),
    /// False for devices such as /dev/null, which are neither rotated nor repaired.
    regular: bool,
    bytes: u64,
}

impl File {
    /// Opens or continues the file.
    pub fn open(config: &OutputFile) -> Result<Self, SinkError> {
        let opened = Opened::open(&config.path)?;
        Ok(Self {
            config: config.clone(),
            open: Some(opened),
            pause: FIRST_PAUSE,
            retry_at: None,
            lost: 0,
        })
    }

    /// Records that could not be written.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// Writes one line at the moment `now`. After an error the file is opened anew, with growing
    /// pauses between the tries; lines that come meanwhile are lost.
    pub fn write(&mut self, line: &[u8], now: Instant) -> Result<(), SinkError> {
        if self.retry_at.is_some_and(|at| now < at) {
            self.lost += 1;
            return Err(SinkError::Pausing { what: "records file" });
        }
        match self.try_write(line) {
            Ok(()) => {
                self.pause = FIRST_PAUSE;
                self.retry_at = None;
                Ok(())
            }
            Err(error) => {
                self.open = None;
                self.lost += 1;
                self.retry_at = Some(now + self.pause);
                self.pause = (self.pause * 2).min(LONGEST_PAUSE);
                Err(error)
            }
        }
    }

    fn try_write(&mut self, line: &[u8]) -> Result<(), SinkError> {
        let path = &self.config.path;
        let write_error =
            |source| SinkError::Write { what: path.display().to_string().into(), source };
        let mut opened = match self.open.take().and_then(|opened| opened.found_at(path)) {
            Some(opened) => opened,
            None => Opened::open(path)?,
        };
        let full = opened.bytes > 0 && opened.bytes + line.len() as u64 > self.config.max_bytes;
        if full && opened.regular {
            numbered::shift(path, self.config.keep).map_err(write_error)?;
            opened = Opened::open(path)?;
        }
        opened.append(line).map_err(write_error)?;
        self.open = Some(opened);
        Ok(())
    }
}

impl Opened {
    fn open(path: &Path) -> Result<Self, SinkError> {
        let failed = |source| SinkError::OpenFile { path: path.into(), source };
        let flags = files::links_of_ours(path).map_err(failed)?;
        match fs::metadata(path) {
            Ok(found) if found.is_file() || found.file_type().is_char_device() => (),
            Ok(found) => {
                let kind = if found.is_dir() { "a folder" } else { "a pipe, socket or disk" };
                return Err(SinkError::NotAFile { path: path.into(), kind });
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => (),
            Err(error) => return Err(failed(error)),
        }
        let mut file = OpenOptions::new()
            .create(true)
            .read(true)
            .append(true)
            .custom_flags(flags.bits().cast_signed())
            .open(path)
            .map_err(failed)?;
        let found = file.metadata().map_err(failed)?;
        if found.is_file() {
            // Where there are no locks (some network file systems) there is no protection.
            if let Err(TryLockError::WouldBlock) = file.try_lock() {
                return Err(SinkError::InUse { path: path.into() });
            }
        }
        let bytes = if found.is_file() {
            cut_torn_record(&mut file, found.len()).map_err(failed)?
        } else {
            0
        };
        Ok(Self { file, identity: (found.dev(), found.ino()), regular: found.is_file(), bytes })
    }

    /// Itself, if it is still what `path` names. Whoever else empties the file (logrotate with
    /// `copytruncate`) changes its length.
    fn found_at(self, path: &Path) -> Option<Self> {
        let found =
            fs::metadata(path).ok().filter(|found| (found.dev(), found.ino()) == self.identity)?;
        let bytes = if self.regular { found.len() } else { 0 };
        Some(Self { bytes, ..self })
    }

    /// All of `line` or nothing. What cannot be taken back now, opening the file again will.
    fn append(&mut self, line: &[u8]) -> io::Result<()> {
        let Put { error, .. } = put(&mut self.file, line, self.regular);
        self.bytes += line.len() as u64;
        error.map_or(Ok(()), Err)
    }
}

/// Removes what follows the last line feed and returns the length. Only [`TAIL`] bytes are
/// searched: a file without line feeds is none of ours, and nothing of it is removed.
fn cut_torn_record(file: &mut fs::File, length: u64) -> io::Result<u64> {
    let from = length.saturating_sub(TAIL);
    let mut tail = Vec::new();
    file.seek(SeekFrom::Start(from))?;
    file.take(length - from).read_to_end(&mut tail)?;
    if tail.last().is_none_or(|byte| *byte == b'\n') {
        return Ok(length);
    }
    match tail.iter().rposition(|byte| *byte == b'\n') {
        Some(at) => {
            let whole = from + at as u64 + 1;
            file.set_len(whole)?;
            Ok(whole)
        }
        None => {
            file.write_all(b"\n")?;
            Ok(length + 1)
        }
    }
}

impl Sink for File {
    fn name(&self) -> &'static str {
        "file"
    }

    fn publish(&mut self, _report: &Report, json: &[u8]) -> Result<(), SinkError> {
        self.write(json, Instant::now())
    }

    /// Nothing is held back: each record is one write.
    fn flush(&mut self) -> Result<(), SinkError> {
        Ok(())
    }
}
