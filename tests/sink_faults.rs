//! What befalls the places where reports go: each fault is injected here, with what is expected of Squint beside it.
//!
//! In every one of them the other sinks lack nothing, and each record is delivered or counted as lost. Faults of one sink alone are
//! tested closer to it, in `sink_file.rs` and `sink_socket.rs`.
#![allow(clippy::unwrap_used)] // clippy.toml frees only the test functions themselves

#[path = "common/reports.rs"]
mod reports;
#[path = "common/squint.rs"]
mod squint_cli;

use std::cell::RefCell;
use std::fs;
use std::io::{self, BufRead, BufReader, PipeReader, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, Once};
use std::time::{Duration, Instant};

use log::{Log, Metadata, Record};
use squint::config::{Output, OutputFile, Stdout};
use squint::sink::{ASIDE_ROOM, Aside, File, Opening, Published, Publisher, Sink, SinkError, Socket, StdoutJson};
use squint_cli::{Daemon, SOON, confidence_policy, squint};
use tempfile::TempDir;

thread_local! {
    static LOGGED: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Keeps what each thread logs apart.
struct Keeper;

impl Log for Keeper {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        LOGGED.with_borrow_mut(|lines| lines.push(format!("{} {}", record.level(), record.args())));
    }

    fn flush(&self) {}
}

/// What this thread has logged since it was asked last.
fn logged() -> Vec<String> {
    LOGGED.take()
}

fn home() -> TempDir {
    static LOGGER: Once = Once::new();
    LOGGER.call_once(|| {
        log::set_logger(&Keeper).unwrap();
        log::set_max_level(log::LevelFilter::Info);
    });
    tempfile::tempdir().unwrap()
}

fn file(path: &Path) -> Box<dyn Sink> {
    Box::new(File::open(&OutputFile { path: path.into(), max_bytes: 1 << 30, keep: 1 }).unwrap())
}

/// Standard output of a live run, with `out` in its place.
fn aside(out: impl Write + Send + 'static) -> Box<dyn Sink> {
    Box::new(Aside::new(out, |entrance| Box::new(StdoutJson::new(entrance, true))).unwrap())
}

/// Publishes reports with these numbers; true if nobody wishes to stop.
fn publish(publisher: &mut Publisher, numbers: std::ops::Range<u64>) -> bool {
    let mut report = reports::answered();
    numbers.into_iter().all(|number| {
        report.sequence = number;
        publisher.publish(&report).is_ok()
    })
}

/// Publishes until `done`, from number `first` on; gives the number after the last.
fn publish_until(publisher: &mut Publisher, first: u64, mut done: impl FnMut(&Publisher) -> bool) -> u64 {
    let (deadline, mut next) = (Instant::now() + SOON, first);
    while !done(publisher) {
        assert!(Instant::now() < deadline, "{:?}", publisher.published().collect::<Vec<_>>());
        publish(publisher, next..next + 1);
        next += 1;
        std::thread::sleep(Duration::from_millis(1));
    }
    next
}

fn of(publisher: &Publisher, name: &str) -> Published {
    publisher.published().find(|(sink, _)| *sink == name).unwrap().1
}

/// The frame numbers in JSON Lines, every one of which must be whole.
fn numbers(text: &str) -> Vec<u64> {
    assert!(text.is_empty() || text.ends_with('\n'), "the last record is whole");
    let number = |line: &str| serde_json::from_str::<serde_json::Value>(line).expect("whole")["frame"].as_u64().unwrap();
    text.lines().map(number).collect()
}

fn is_rising(numbers: &[u64]) -> bool {
    numbers.windows(2).all(|pair| pair[0] < pair[1])
}

/// Reads a pipe to its end.
fn drink(mut pipe: PipeReader) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let mut text = String::new();
        pipe.read_to_string(&mut text).map(|_| text).unwrap()
    })
}

// Standard output is a pipe whose reader stalls. Expected: file and socket get every record at once; standard output gets as many as
// there is room for, whole and in order, and the others are counted and told of once; when the reader goes on, so does Squint.

#[test]
fn a_stalled_reader_of_standard_output_keeps_nothing_from_the_others() {
    let home = home();
    let path = home.path().join("records.jsonl");
    let (mut reader, writer) = io::pipe().unwrap();
    let mut publisher = Publisher::with(vec![aside(writer), file(&path)], false);
    assert!(publish(&mut publisher, 0..3000), "and nobody is asked to stop");
    assert_eq!(of(&publisher, "file"), Published { delivered: 3000, lost: 0 });
    assert_eq!(numbers(&fs::read_to_string(&path).unwrap()), (0..3000).collect::<Vec<_>>());
    let stalled = of(&publisher, "stdout");
    assert!(stalled.lost > 1000 && stalled.delivered > 100 && stalled.delivered + stalled.lost == 3000, "{stalled:?}");
    assert_eq!(logged(), ["WARN standard output: its reader is too slow; records are lost until it has caught up"]);

    // One that takes a little now and then is not given every other record: it gets none until half of the store is free.
    let mut beginning = vec![0; ASIDE_ROOM / 4];
    reader.read_exact(&mut beginning).unwrap();
    let next = publish_until(&mut publisher, 3000, |publisher| of(publisher, "file").delivered == 3020);
    assert_eq!(of(&publisher, "stdout").delivered, stalled.delivered);
    assert!(logged().is_empty());
    let heard = drink(reader);
    let last = publish_until(&mut publisher, next, |publisher| of(publisher, "stdout").delivered > stalled.delivered + 10);
    let lost = of(&publisher, "stdout").lost;
    assert_eq!(logged(), [format!("INFO stdout: works again, {lost} records were lost")]);
    publisher.finish().unwrap();
    let end = of(&publisher, "stdout");
    drop(publisher);
    let text = String::from_utf8(beginning).unwrap() + &heard.join().unwrap();
    let heard = numbers(&text);
    assert!(is_rising(&heard) && heard.len() as u64 == end.delivered && end.delivered + end.lost == last, "{end:?} of {last}");
    assert_eq!(heard.last(), Some(&(last - 1)), "what is held back is handed on at the end");
    assert!(logged().is_empty());
}

#[test]
fn a_slow_reader_of_standard_output_gets_what_waits_for_it_at_the_end() {
    let _home = home();
    let (mut reader, writer) = io::pipe().unwrap();
    let mut publisher = Publisher::with(vec![aside(writer)], false);
    publish_until(&mut publisher, 0, |publisher| of(publisher, "stdout").lost > 0);
    let taken = of(&publisher, "stdout");
    let late = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(100)); // so slow
        let mut text = String::new();
        reader.read_to_string(&mut text).map(|_| text).unwrap()
    });
    publisher.finish().unwrap();
    assert_eq!(of(&publisher, "stdout"), taken, "nothing more is lost");
    drop(publisher);
    assert_eq!(numbers(&late.join().unwrap()).len() as u64, taken.delivered);
}

#[test]
fn a_reader_of_standard_output_that_stays_stalled_does_not_hold_up_the_end() {
    let _home = home();
    let (mut reader, writer) = io::pipe().unwrap();
    let mut publisher = Publisher::with(vec![aside(writer)], false);
    publish(&mut publisher, 0..1000);
    publisher.finish().unwrap();
    let end = of(&publisher, "stdout");
    assert_eq!(end.delivered + end.lost, 1000);
    let told = logged();
    assert_eq!(told.last().unwrap(), &format!("WARN stdout: {} records were lost before the end", end.lost), "{told:?}");
    // What counts as delivered is what the pipe holds. (The write that hangs goes on now; this process does not end.)
    let mut held = String::new();
    let mut reader = BufReader::new(&mut reader);
    for _ in 0..end.delivered {
        reader.read_line(&mut held).unwrap();
    }
    assert_eq!(numbers(&held), (0..end.delivered).collect::<Vec<_>>());
}

#[test]
fn the_daemon_goes_on_when_its_standard_output_is_full_from_the_start() {
    let home = home();
    let policy = confidence_policy(home.path(), 0.6);
    let (records, socket) = (home.path().join("records.jsonl"), home.path().join("squint.sock"));
    let (mut reader, mut full) = io::pipe().unwrap();
    full.write_all(&[b'\n'; 65536]).unwrap(); // as much as a pipe holds
    let mut command = squint(["run", "--source", "test", "--rate-hz", "5", "--json", "--policy", policy.to_str().unwrap()]);
    command.arg("--output-file").arg(&records).arg("--socket").arg(&socket);
    let mut child = command.stdin(Stdio::null()).stdout(full).stderr(Stdio::piped()).spawn().unwrap();
    drop(command);
    wait_for("the socket", || socket.exists());
    let mut listener = BufReader::new(UnixStream::connect(&socket).unwrap()).lines();
    wait_for("records in the file", || fs::read_to_string(&records).unwrap_or_default().lines().count() >= 10);
    assert!(listener.by_ref().take(3).all(|line| line.is_ok()), "the socket has readers and records");
    let asked = Command::new("kill").arg(child.id().to_string()).status().unwrap();
    let told = Instant::now();
    wait_for("its end", || child.try_wait().unwrap().is_some());
    assert!(asked.success() && told.elapsed() < Duration::from_secs(4), "it does not wait for its reader");
    let mut err = String::new();
    child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    assert!(err.contains("WARN  stdout: ") && err.contains("records were lost before the end"), "{err}");
    let mut out = String::new();
    reader.read_to_string(&mut out).unwrap();
    assert_eq!(out, "\n".repeat(65536));
}

fn wait_for(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + SOON;
    while !done() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

// The reader of standard output vanishes. Expected: the others have the record, and Squint is asked to stop, quietly.

#[test]
fn a_reader_of_standard_output_that_vanishes_ends_the_run_quietly() {
    let home = home();
    let path = home.path().join("records.jsonl");
    let (reader, writer) = io::pipe().unwrap();
    let mut publisher = Publisher::with(vec![aside(writer), file(&path)], false);
    assert!(publish(&mut publisher, 0..10));
    drop(reader);
    let deadline = Instant::now() + SOON;
    let mut next = 10;
    while publish(&mut publisher, next..next + 1) {
        assert!(Instant::now() < deadline);
        next += 1;
    }
    assert_eq!(numbers(&fs::read_to_string(&path).unwrap()).len() as u64, next + 1);
    assert!(publisher.finish().unwrap_err().is_closed());
    assert!(logged().is_empty(), "a wish to stop is no failure");
}

// Standard output is a file on a full disk. Expected: told at once, with the reason; no record torn; on with the first free byte.

/// A disk with room for so many bytes; takes at most seven at a time.
#[derive(Clone)]
struct Disk(Arc<Mutex<(Vec<u8>, usize)>>);

impl Write for Disk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let (content, room) = &mut *self.0.lock().unwrap();
        let count = bytes.len().min(*room - content.len()).min(7);
        if count == 0 {
            return Err(io::Error::from_raw_os_error(28)); // ENOSPC
        }
        content.extend_from_slice(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn standard_output_on_a_full_disk_is_told_at_once_and_tears_no_record() {
    let _home = home();
    let disk = Disk(Arc::new(Mutex::new((Vec::new(), 1000))));
    let mut publisher = Publisher::with(vec![aside(disk.clone())], false);
    let next = publish_until(&mut publisher, 0, |publisher| of(publisher, "stdout").lost > 0);
    assert!(next < 100, "long before its store is full: {next}");
    let told = logged();
    assert!(told[0].starts_with("WARN standard output: No space left on device") && told.len() == 1, "{told:?}");
    disk.0.lock().unwrap().1 = usize::MAX;
    let delivered = of(&publisher, "stdout").delivered;
    let next = publish_until(&mut publisher, next, |publisher| of(publisher, "stdout").delivered > delivered + 5);
    publisher.finish().unwrap();
    let end = of(&publisher, "stdout");
    let text = String::from_utf8(disk.0.lock().unwrap().0.clone()).unwrap();
    let kept = numbers(&text);
    assert!(is_rising(&kept) && kept.len() as u64 == end.delivered && end.delivered + end.lost == next, "{end:?} of {next}");
    assert_eq!(logged(), [format!("INFO stdout: works again, {} records were lost", end.lost)]);
}

// The disk under the records is full, and has space again. Expected: told once, with the reason; no record torn; the others get
// everything; when there is space it goes on by itself and says how many were lost.

/// A small disk, in a mount namespace of its own; gone with its process.
struct SmallDisk {
    process: Child,
    path: PathBuf,
}

impl SmallDisk {
    fn new(home: &Path, bytes: u64) -> Option<Self> {
        if fs::metadata("/proc/self").unwrap().uid() != 0 {
            eprintln!("skipped: a disk of our own needs root");
            return None;
        }
        let mount = format!("mount -t tmpfs -o size={bytes} tmpfs \"$0\" && echo mounted && exec sleep 600");
        let mut command = Command::new("unshare");
        let started = command.args(["-m", "sh", "-c", &mount]).arg(home).stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        let Ok(mut process) = started else {
            eprintln!("skipped: unshare");
            return None;
        };
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let path = PathBuf::from(format!("/proc/{}/root{}", process.id(), home.display()));
        let disk = Self { process, path };
        if line != "mounted\n" {
            eprintln!("skipped: a mount namespace with a disk in it");
            return None;
        }
        Some(disk)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn a_full_disk_costs_records_until_there_is_space_again() {
    let home = home();
    let Some(disk) = SmallDisk::new(home.path(), 256 * 1024) else { return };
    let filler = disk.path.join("filler");
    fs::write(&filler, vec![0; 200 * 1024]).unwrap();
    let (reader, writer) = io::pipe().unwrap();
    let heard = drink(reader);
    let path = disk.path.join("records.jsonl");
    let mut publisher = Publisher::with(vec![file(&path), aside(writer)], false);
    let next = publish_until(&mut publisher, 0, |publisher| of(publisher, "file").lost > 10);
    let told = logged();
    assert!(told.len() == 1 && told[0].contains("No space left on device") && told[0].contains("records.jsonl"), "{told:?}");
    numbers(&fs::read_to_string(&path).unwrap());

    publisher.flush().unwrap();
    assert!(logged().is_empty(), "that there was nothing to flush does not mean that it works again");
    fs::remove_file(&filler).unwrap();
    let next = publish_until(&mut publisher, next, |_| logged_recovery().is_some());
    publisher.finish().unwrap();
    let (file, stdout) = (of(&publisher, "file"), of(&publisher, "stdout"));
    drop(publisher);
    let kept = numbers(&fs::read_to_string(&path).unwrap());
    assert!(is_rising(&kept) && kept.len() as u64 == file.delivered && file.delivered + file.lost == next, "{file:?} of {next}");
    assert_eq!((stdout.lost, numbers(&heard.join().unwrap()).len() as u64), (0, next));
}

/// The line that says that a sink works again, if there is one by now.
fn logged_recovery() -> Option<String> {
    LOGGED.with_borrow(|lines| lines.iter().find(|line| line.contains("works again")).cloned())
}

#[test]
fn the_daemon_outlives_a_file_that_may_not_grow() {
    let home = home();
    let policy = confidence_policy(home.path(), 0.6);
    let path = home.path().join("records.jsonl");
    let run = ["run", "--source", "test", "--quiet", "--policy", policy.to_str().unwrap(), "--output-file", path.to_str().unwrap()];
    let plain = squint(run);
    // As a full disk, but for anybody: files end at 1 KiB, and the signal that says so is ignored.
    let mut limited = Command::new("bash");
    limited.args(["-c", "trap '' XFSZ; ulimit -S -f 1; exec \"$0\" \"$@\""]).arg(plain.get_program()).args(plain.get_args());
    limited.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?)))).current_dir(squint_cli::root());
    let mut daemon = Daemon::start(limited);
    daemon.until_logged("File too large");
    let pid = daemon.id().to_string();
    match Command::new("prlimit").args(["--fsize=unlimited", "--pid", &pid]).status() {
        Ok(status) if status.success() => daemon.until_logged("file: works again, "),
        _ => eprintln!("the second half is skipped: prlimit"),
    }
    daemon.signal("TERM");
    let told = daemon.ends_within(SOON).ends(0);
    assert_eq!(told.err.matches("File too large").count(), 1, "told once: {}", told.err);
    numbers(&fs::read_to_string(&path).unwrap());
}

// The folder of the records is removed, and made again. Expected: as with a full disk; the folder is not made by Squint.

#[test]
fn a_removed_folder_costs_records_until_it_is_back() {
    let home = home();
    let folder = home.path().join("logs");
    fs::create_dir(&folder).unwrap();
    let path = folder.join("records.jsonl");
    let mut publisher = Publisher::with(vec![file(&path)], false);
    publish(&mut publisher, 0..5);
    fs::remove_dir_all(&folder).unwrap();
    let next = publish_until(&mut publisher, 5, |publisher| of(publisher, "file").lost >= 20);
    assert!(!folder.exists(), "it may be a disk that is not mounted");
    let told = logged();
    assert!(told.len() == 1 && told[0].contains("its folder must exist"), "{told:?}");
    fs::create_dir(&folder).unwrap();
    let next = publish_until(&mut publisher, next, |_| logged_recovery().is_some());
    let end = of(&publisher, "file");
    assert_eq!(logged_recovery().unwrap(), format!("INFO file: works again, {} records were lost", end.lost));
    assert_eq!(end.delivered + end.lost, next);
    assert_eq!(numbers(&fs::read_to_string(&path).unwrap()), [next - 1], "the records from then on");
}

// A reader of the socket stalls, or vanishes. Expected: no error, nothing lost for file, standard output and other readers.

#[test]
fn readers_of_the_socket_that_stall_or_vanish_concern_nobody_else() {
    let home = home();
    let (socket, path) = (home.path().join("squint.sock"), home.path().join("records.jsonl"));
    let mut publisher = Publisher::with(vec![Box::new(Socket::open(&socket).unwrap()), file(&path)], false);
    let (stalled, vanishing) = (UnixStream::connect(&socket).unwrap(), UnixStream::connect(&socket).unwrap());
    let attentive = BufReader::new(UnixStream::connect(&socket).unwrap());
    let count = 3000_u64;
    let heard = std::thread::spawn(move || {
        let text: String = attentive.lines().map(|line| line.unwrap() + "\n").collect();
        numbers(&text)
    });
    publish(&mut publisher, 0..10);
    drop(vanishing);
    for number in 10..count {
        publish(&mut publisher, number..number + 1);
        if number % 50 == 0 {
            std::thread::sleep(Duration::from_millis(1)); // live: not all at once
        }
    }
    publisher.finish().unwrap();
    assert_eq!(numbers(&fs::read_to_string(&path).unwrap()).len() as u64, count);
    assert_eq!((of(&publisher, "file").lost, of(&publisher, "socket").lost), (0, 0));
    drop(publisher);
    assert_eq!(heard.join().unwrap(), (0..count).collect::<Vec<_>>());
    drop(stalled);
    assert!(logged().is_empty());
}

// The path of the socket is taken: by a live process, by a file, by a folder, by a socket that a dead process left behind. Expected:
// refused at the start by path and with advice, and left as it is; only what is dead is replaced.

#[test]
fn a_socket_path_that_is_taken_is_refused_unless_what_took_it_is_dead() {
    let home = home();
    let open = |path: &Path| {
        let output = Output { stdout: Stdout::None, summary: false, file: None, socket: Some(path.into()), queue: 8 };
        Publisher::open(&output, &Opening::default())
    };
    let place = |name: &str| home.path().join(name);
    let _alive = UnixListener::bind(place("alive")).unwrap();
    fs::write(place("file"), "precious").unwrap();
    fs::create_dir(place("folder")).unwrap();
    for (name, says) in [("alive", "another program listens there"), ("file", "not a socket"), ("folder", "not a socket")] {
        let error = open(&place(name)).map(drop).unwrap_err();
        let told = error.to_string();
        assert!(
            told.contains(says) && told.contains(place(name).to_str().unwrap()) && told.contains("name another path"),
            "{told}"
        );
        assert!(matches!(error, SinkError::Listen(_)));
    }
    assert_eq!(fs::read_to_string(place("file")).unwrap(), "precious");
    assert!(UnixStream::connect(place("alive")).is_ok());
    drop(UnixListener::bind(place("dead")).unwrap());
    open(&place("dead")).unwrap();
}

#[test]
fn a_second_daemon_on_the_same_socket_is_refused_and_the_first_goes_on() {
    let home = home();
    let policy = confidence_policy(home.path(), 0.6);
    let socket = home.path().join("squint.sock");
    let run = ["run", "--source", "test", "--json", "--policy", policy.to_str().unwrap(), "--socket", socket.to_str().unwrap()];
    let mut first = Daemon::start(squint(run));
    first.until_records(1);
    let second = squint_cli::tell(squint(run));
    assert!(second.code != Some(0) && second.err.contains("another program listens there"), "{}", second.err);
    let before = first.out().lines().count();
    first.until_records(before + 2);
    UnixStream::connect(&socket).unwrap();
    first.signal("TERM");
    first.ends_within(SOON).ends(0);
}

#[test]
fn the_store_of_standard_output_is_bounded() {
    let _home = home();
    let (_reader, writer) = io::pipe().unwrap();
    let mut publisher = Publisher::with(vec![aside(writer)], false);
    let record = {
        let mut json = Vec::new();
        squint::sink::write_record(&reports::answered(), &mut json);
        json.len()
    };
    publish(&mut publisher, 0..5000);
    let held = of(&publisher, "stdout").delivered as usize * record;
    assert!(held <= ASIDE_ROOM + 65536 + record, "its room and that of the pipe: {held} bytes");
}
