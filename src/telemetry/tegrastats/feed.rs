//! Where lines come from: a child process that is kept alive, or a file that is followed. Runs in a
//! thread of its own.
//!
//! An edge module: it waits, starts and kills, and decides nothing about readings. The only place
//! that starts tegrastats again. All waiting is a poll that also watches `wake`, a pipe whose other
//! end [`super::Tegrastats`] closes when it goes.
//!
//! How a child ends with us. In good order it is killed with its whole process group, so that what
//! a script started goes too. If Squint itself is killed, the pipe it writes to has no reader any
//! more, and its next line ends it by SIGPIPE; under systemd the unit's control group takes it at
//! once. The kernel could be asked to kill it (PR_SET_PDEATHSIG), but only from inside the child
//! and in `unsafe` code.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, PipeReader, Read, Seek, SeekFrom};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process_group};

use super::lines::Lines;
use super::shared::Shared;
use super::{Feed, Patience};
use crate::source::Backoff;

/// Bytes taken at once.
const CHUNK: usize = 16 * 1024;
/// Pause after a full chunk: whoever writes without pause costs us a few per cent of a core, not
/// all of it.
const BREATH: Duration = Duration::from_millis(5);
/// Between two looks at a file that has not grown.
const LOOK: Duration = Duration::from_millis(100);
/// Time for a killed child to go.
const BURIAL: Duration = Duration::from_secs(2);
/// How much of a file's end is read at first: its newest lines.
const TAIL: u64 = 16 * 1024;
/// O_NONBLOCK of Linux on x86-64 and AArch64: a FIFO without a writer must not hold us up.
const NONBLOCK: i32 = 0o4000;
/// Where tegrastats lies if PATH does not lead there: since R32, and before.
const USUAL_FOLDERS: [&str; 2] = ["/usr/bin", "/home/nvidia"];

/// Works until `wake` is closed. Every loss is told to `shared`, and followed by a pause that
/// grows.
pub(super) fn run(feed: &Feed, patience: &Patience, shared: &Arc<Shared>, wake: &PipeReader) {
    shared.begin();
    let mut backoff = Backoff::default();
    let mut buried = Vec::new();
    loop {
        let begun = Instant::now();
        let end = match feed {
            Feed::Command(command) => run_child(command, patience, shared, wake, &mut buried),
            Feed::Follow(path) => follow(path, shared, wake),
        };
        let End::Lost(why) = end else { return };
        shared.lost(why);
        // One that spoke for a while has earned a quick start; one that only lived has not.
        if shared
            .lock()
            .heard
            .is_some_and(|heard| heard.saturating_duration_since(begun) > patience.silence)
        {
            backoff.reset();
        }
        if !wait(wake, backoff.pause(patience.longest_pause)) {
            return;
        }
    }
}

/// Why a run is over.
enum End {
    /// Nobody wants lines any more.
    Told,
    /// As a sentence about the source.
    Lost(String),
}

/// What a wait for news ended with.
enum News {
    Told,
    Bytes,
    Nothing,
}

/// Waits `pause`; false if woken because nobody wants lines any more.
fn wait(wake: &PipeReader, pause: Duration) -> bool {
    let mut descriptors = [PollFd::new(wake, PollFlags::IN)];
    let until = Instant::now() + pause;
    loop {
        match poll(
            &mut descriptors,
            Some(&timespec(until.saturating_duration_since(Instant::now()))),
        ) {
            Ok(0) => return true,
            Ok(_) => return false,
            Err(_) => (), // interrupted
        }
    }
}

fn wait_for(output: &impl std::os::fd::AsFd, wake: &PipeReader, patience: Duration) -> News {
    let mut descriptors = [PollFd::new(wake, PollFlags::IN), PollFd::new(output, PollFlags::IN)];
    match poll(&mut descriptors, Some(&timespec(patience))) {
        Ok(_) if !descriptors[0].revents().is_empty() => News::Told,
        Ok(_) if !descriptors[1].revents().is_empty() => News::Bytes,
        _ => News::Nothing,
    }
}

fn timespec(duration: Duration) -> Timespec {
    Timespec {
        tv_sec: duration.as_secs().min(1 << 31) as i64,
        tv_nsec: duration.subsec_nanos().into(),
    }
}

/// One life of the child, from start to burial. Never restarts it.
fn run_child(
    command: &[String],
    patience: &Patience,
    shared: &Shared,
    wake: &PipeReader,
    buried: &mut Vec<Child>,
) -> End {
    buried.retain_mut(|child| !matches!(child.try_wait(), Ok(Some(_))));
    if let Some(child) = buried.first() {
        return End::Lost(format!(
            "process {} of it cannot be killed, so no further one is started",
            child.id()
        ));
    }
    let mut child = match start(command) {
        Ok(child) => child,
        Err(why) => return End::Lost(why),
    };
    shared.set_child(Some(child.id()));
    let mut end = listen(&mut child, patience, shared, wake);
    shared.set_child(None);
    // A leader that is dead but not waited for still holds its group's number: nobody else can be
    // hit.
    let killed =
        Pid::from_raw(child.id() as i32).map(|group| kill_process_group(group, Signal::KILL));
    drop(child.stdout.take());
    let until = Instant::now() + BURIAL;
    loop {
        match child.try_wait() {
            Ok(Some(status)) => {
                if let End::Lost(why) = &mut end
                    && why.is_empty()
                {
                    *why = format!("ended: {status}");
                }
                return end;
            }
            _ if Instant::now() < until => std::thread::sleep(Duration::from_millis(2)),
            _ => {
                buried.push(child);
                let why = killed
                    .and_then(Result::err)
                    .map_or_else(|| "it does not die".to_owned(), |error| error.to_string());
                return if matches!(end, End::Told) {
                    end
                } else {
                    End::Lost(format!("cannot be killed: {why}"))
                };
            }
        }
    }
}

/// Takes lines until the child ends (`Lost` without words), falls silent or nobody wants any more.
fn listen(child: &mut Child, patience: &Patience, shared: &Shared, wake: &PipeReader) -> End {
    let Some(output) = child.stdout.as_mut() else { return End::Lost("has no output".into()) };
    let (mut lines, mut chunk, mut heard) = (Lines::new(false), vec![0; CHUNK], Instant::now());
    loop {
        let left = patience.silence.saturating_sub(heard.elapsed());
        if left.is_zero() {
            return End::Lost(format!(
                "printed nothing readable for {:?} and was killed",
                patience.silence
            ));
        }
        match wait_for(output, wake, left) {
            News::Told => return End::Told,
            News::Nothing => continue,
            News::Bytes => (),
        }
        match output.read(&mut chunk) {
            Ok(0) => return End::Lost(String::new()),
            Ok(count) => {
                if shared.take(&mut lines, &chunk[..count], Some(Instant::now())) {
                    heard = Instant::now();
                }
                if count == CHUNK && !wait(wake, BREATH) {
                    return End::Told;
                }
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => (),
            Err(error) => return End::Lost(format!("cannot be read: {error}")),
        }
    }
}

/// Starts the child in a process group of its own, with nothing to read and nobody to complain to.
fn start(command: &[String]) -> Result<Child, String> {
    let (name, arguments) = command.split_first().ok_or("no command is given")?;
    let program = find(name)
        .ok_or_else(|| format!("no program `{name}` in PATH, {}", USUAL_FOLDERS.join(", ")))?;
    Command::new(&program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .map_err(|error| format!("{} cannot be started: {error}", program.display()))
}

/// The file of a program: where a path leads, else the first of PATH and of [`USUAL_FOLDERS`] that
/// has it. An entry of PATH that counts from the current folder is left out: anybody may have put a
/// program there.
pub(super) fn find(name: &str) -> Option<PathBuf> {
    if name.contains('/') {
        return Some(name.into()).filter(|path: &PathBuf| path.is_file());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path)
        .filter(|folder| folder.is_absolute())
        .chain(USUAL_FOLDERS.map(PathBuf::from));
    let runs = |file: &PathBuf| {
        file.metadata().is_ok_and(|facts| facts.is_file() && facts.mode() & 0o111 != 0)
    };
    folders.map(|folder| folder.join(OsStr::new(name))).find(runs)
}

/// Follows a file or FIFO from its newest lines on, until it is replaced, cut short or cannot be
/// read.
fn follow(path: &Path, shared: &Shared, wake: &PipeReader) -> End {
    match follow_file(path, shared, wake) {
        Ok(end) => end,
        Err(error) => End::Lost(format!("{}: {error}", path.display())),
    }
}

fn follow_file(path: &Path, shared: &Shared, wake: &PipeReader) -> io::Result<End> {
    let mut file = OpenOptions::new().read(true).custom_flags(NONBLOCK).open(path)?;
    let facts = file.metadata()?;
    if facts.is_dir() {
        return Err(ErrorKind::IsADirectory.into());
    }
    // What a file held before we came is as old as its last change.
    let is_pipe = facts.file_type().is_fifo() || facts.file_type().is_char_device();
    let age = facts
        .modified()
        .ok()
        .and_then(|at| at.elapsed().ok())
        .filter(|_| !is_pipe)
        .unwrap_or_default();
    let (mut at, old) =
        if is_pipe { (0, 0) } else { (facts.len().saturating_sub(TAIL), facts.len()) };
    if at > 0 {
        file.seek(SeekFrom::Start(at))?;
    }
    let (mut lines, mut chunk) = (Lines::new(at > 0), vec![0; CHUNK]);
    loop {
        let count = match file.read(&mut chunk) {
            Ok(count) => count,
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) =>
            {
                0
            }
            Err(error) => return Err(error),
        };
        at += count as u64;
        if count > 0 {
            let age = if at <= old { age } else { Duration::ZERO };
            shared.take(&mut lines, &chunk[..count], Instant::now().checked_sub(age));
        } else if let Some(why) = moved_away(&file, path, if is_pipe { 0 } else { at }) {
            return Ok(End::Lost(why));
        }
        if !wait(wake, if count == CHUNK { BREATH } else { LOOK }) {
            return Ok(End::Told);
        }
    }
}

/// Says so if `path` leads to another file by now, or the file is shorter than what was read of it.
fn moved_away(file: &File, path: &Path, read: u64) -> Option<String> {
    let (ours, theirs) = (file.metadata().ok()?, path.metadata().ok());
    let same =
        theirs.is_some_and(|theirs| (theirs.dev(), theirs.ino()) == (ours.dev(), ours.ino()));
    match (same, ours.len() < read) {
        (false, _) => Some(format!("{} was replaced or removed", path.display())),
        (true, true) => Some(format!("{} was cut short", path.display())),
        _ => None,
    }
}
