//! The thread that writes a trace. It decides nothing.
//!
//! A disk that fails or is full ends the recording with one warning, never the run. An existing
//! trace is never overwritten: it may be that of a run that crashed, and is kept under a number.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError};
use log::{info, warn};
use serde::Serialize;

use super::event::{Event, Head};
use super::queue::TraceQueue;
use crate::{events, files, numbered};

/// What was written is with the file system after this long, if nothing follows.
const FLUSH_AFTER: Duration = Duration::from_secs(1);
/// How long the end of a trace may take to be written.
const PATIENCE: Duration = Duration::from_secs(2);
/// Traces of earlier runs that are kept.
const KEPT: u32 = 9;
/// Of the thread.
const NAME: &str = "recorder";

/// A recording under way.
#[derive(Debug)]
pub struct Recorder {
    trace_queue: TraceQueue,
    path: PathBuf,
    thread: JoinHandle<Option<u64>>,
}

impl Recorder {
    /// Begins a trace in `path`. One that is there is kept as `path.1`, the one before as `path.2`,
    /// up to [`KEPT`]. Errors if nothing can be written there, if another process records into it,
    /// or if there can be no thread.
    pub fn start(path: &Path, head: &Head) -> io::Result<Self> {
        let mut out = BufWriter::with_capacity(1 << 16, open(path)?);
        let mut line = Vec::with_capacity(1 << 14);
        put(&mut out, &mut line, head)?;
        out.flush()?;
        let (trace_queue, from) = TraceQueue::new();
        let shown = path.to_owned();
        let thread = std::thread::Builder::new()
            .name(NAME.into())
            .spawn(move || write(out, line, &from, &shown))?;
        Ok(Self { trace_queue, path: path.to_owned(), thread })
    }

    /// Where events are handed over.
    pub fn trace_queue(&self) -> &TraceQueue {
        &self.trace_queue
    }

    /// Ends it: what waits is written, if the disk takes it, and the log hears how much it was.
    pub fn finish(self) {
        let path = self.path.display();
        self.trace_queue.end();
        let until = Instant::now() + PATIENCE;
        while !self.thread.is_finished() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(2));
        }
        if !self.thread.is_finished() {
            warn!(event = events::RECORDING_ENDED; "{path}: the disk does not keep up; the end of the trace is missing");
            return;
        }
        if let Ok(Some(lines)) = self.thread.join() {
            let missing = self.trace_queue.missing();
            info!(event = events::RECORDED; "{path}: {lines} events recorded, {missing} left out because the disk was too slow");
        }
    }
}

/// A file of our own at `path`, locked as long as it is open; what is there already is moved out of
/// the way. A device is written to as it is.
fn open(path: &Path) -> io::Result<File> {
    let flags = files::links_of_ours(path)?.bits().cast_signed();
    let found = match fs::metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        found => Some(found?),
    };
    match found {
        Some(found) if found.file_type().is_char_device() => {
            return OpenOptions::new().write(true).open(path);
        }
        Some(found) if !found.is_file() => {
            return Err(io::Error::new(
                ErrorKind::InvalidInput,
                "is no regular file; name another path for the trace",
            ));
        }
        Some(found) => {
            lock(&File::open(path)?)?;
            if found.len() > 0 {
                numbered::shift(path, KEPT)?;
                info!(
                    "{}: the trace that was there is kept as {}",
                    path.display(),
                    numbered::numbered(path, 1).display()
                );
            }
        }
        None => (),
    }
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .custom_flags(flags)
        .open(path)?;
    lock(&file)?;
    file.set_len(0)?;
    Ok(file)
}

/// Errors if another process has it locked. Where there are no locks there is no protection.
fn lock(file: &File) -> io::Result<()> {
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => {
            let why = "another process records into it (a second squint?); name another path";
            Err(io::Error::new(ErrorKind::ResourceBusy, why))
        }
        _ => Ok(()),
    }
}

/// Until the last line, an error, or nobody can hand over any more. The number of events; `None`
/// after an error.
fn write(
    mut out: BufWriter<File>,
    mut line: Vec<u8>,
    from: &Receiver<Event>,
    path: &Path,
) -> Option<u64> {
    let mut lines = 0;
    loop {
        let done = match from.recv_timeout(FLUSH_AFTER) {
            Ok(event) => {
                lines += 1;
                let last = matches!(event, Event::End(_));
                put(&mut out, &mut line, &event)
                    .and_then(|()| if last { out.flush() } else { Ok(()) })
                    .map(|()| last)
            }
            Err(RecvTimeoutError::Timeout) => out.flush().map(|()| false),
            Err(RecvTimeoutError::Disconnected) => out.flush().map(|()| true),
        };
        match done {
            Ok(true) => return Some(lines),
            Ok(false) => (),
            Err(error) => {
                let _ = out.into_parts(); // it must not try again while it is dropped
                warn!(event = events::RECORDING_ENDED; "{}: {error}; nothing more is recorded, the run goes on", path.display());
                return None;
            }
        }
    }
}

fn put(out: &mut impl Write, line: &mut Vec<u8>, value: &impl Serialize) -> io::Result<()> {
    line.clear();
    serde_json::to_writer(&mut *line, value)?;
    line.push(b'\n');
    out.write_all(line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::DropReason;
    use crate::trace::event::{FrameNumber, Lost};

    #[test]
    fn a_disk_that_fills_up_ends_the_recording_and_nobody_is_waited_for() {
        let Ok(full) = File::create("/dev/full") else {
            return eprintln!("skipped: there is no /dev/full");
        };
        let (trace_queue, from) = TraceQueue::with_slots(4);
        let lost = Event::Lost(Lost { frame: FrameNumber(0, 1), why: DropReason::Busy });
        trace_queue.put(lost.clone());
        let writer = std::thread::spawn(move || {
            write(BufWriter::with_capacity(16, full), Vec::new(), &from, Path::new("/dev/full"))
        });
        assert_eq!(writer.join().unwrap(), None);
        (0..9).for_each(|_| trace_queue.put(lost.clone()));
        assert!(
            !trace_queue.end() && trace_queue.missing() == 0,
            "what nobody would write is not counted as missing"
        );
    }

    #[test]
    fn a_trace_that_is_there_is_kept_and_one_that_is_being_written_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.trace");
        let head = |squint: &str| Head {
            v: crate::trace::VERSION,
            squint: squint.into(),
            schema: "s".into(),
            inventory: Default::default(),
            cameras: vec!["c".into()],
        };
        let run = |name: &str| Recorder::start(&path, &head(name)).unwrap();
        let first = run("first");
        let busy = Recorder::start(&path, &head("second")).unwrap_err();
        assert!(
            busy.kind() == ErrorKind::ResourceBusy && busy.to_string().contains("another process"),
            "{busy}"
        );
        first.finish();
        (2..13).for_each(|number| run(&format!("run {number}")).finish());
        let recorded =
            |path: &Path| crate::trace::Reader::open(path).unwrap().head().squint.clone();
        assert_eq!(recorded(&path), "run 12");
        assert_eq!(recorded(&numbered::numbered(&path, 1)), "run 11");
        assert_eq!(recorded(&numbered::numbered(&path, KEPT)), "run 3");
        assert_eq!(folder.path().read_dir().unwrap().count(), 1 + KEPT as usize);
    }

    #[test]
    fn a_recording_that_is_finished_is_read_to_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.trace");
        let head = Head {
            v: crate::trace::VERSION,
            squint: "test".into(),
            schema: "s".into(),
            inventory: Default::default(),
            cameras: vec!["c".into()],
        };
        Recorder::start(&path, &head).unwrap().finish();
        let mut reader = crate::trace::Reader::open(&path).unwrap();
        assert_eq!(reader.head(), &head);
        assert!(matches!(reader.next_event(), Ok(Some(Event::End(_)))));
        assert!(matches!(reader.next_event(), Ok(None)) && reader.has_ended());
    }
}
