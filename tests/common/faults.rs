//! What the tests of the sinks' faults share: sinks, a log that is kept by thread, reports by
//! number.

use std::cell::RefCell;
use std::io::{PipeReader, Read, Write};
use std::path::Path;
use std::sync::Once;
use std::time::{Duration, Instant};

use log::{Log, Metadata, Record};
use squint::config::OutputFile;
use squint::sink::{AsyncStdout, File, Published, Publisher, Sink, StdoutJson};
use tempfile::TempDir;

use super::SOON;
use super::reports;

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
pub fn logged() -> Vec<String> {
    LOGGED.take()
}

pub fn home() -> TempDir {
    static LOGGER: Once = Once::new();
    LOGGER.call_once(|| {
        log::set_logger(&Keeper).unwrap();
        log::set_max_level(log::LevelFilter::Info);
    });
    tempfile::tempdir().unwrap()
}

pub fn file(path: &Path) -> Box<dyn Sink> {
    Box::new(File::open(&OutputFile { path: path.into(), max_bytes: 1 << 30, keep: 1 }).unwrap())
}

/// Standard output of a live run, with `out` in its place.
pub fn aside(out: impl Write + Send + 'static) -> Box<dyn Sink> {
    Box::new(AsyncStdout::new(out, |writer| Box::new(StdoutJson::new(writer, true))).unwrap())
}

/// Publishes reports with these numbers; true if nobody wishes to stop.
pub fn publish(publisher: &mut Publisher, numbers: std::ops::Range<u64>) -> bool {
    let mut report = reports::answered();
    numbers.into_iter().all(|number| {
        report.sequence = number;
        publisher.publish(&report).is_ok()
    })
}

/// Publishes until `done`, from number `first` on; gives the number after the last.
pub fn publish_until(
    publisher: &mut Publisher,
    first: u64,
    mut done: impl FnMut(&Publisher) -> bool,
) -> u64 {
    let (deadline, mut next) = (Instant::now() + SOON, first);
    while !done(publisher) {
        assert!(Instant::now() < deadline, "{:?}", publisher.published().collect::<Vec<_>>());
        publish(publisher, next..next + 1);
        next += 1;
        std::thread::sleep(Duration::from_millis(1));
    }
    next
}

pub fn of(publisher: &Publisher, name: &str) -> Published {
    publisher.published().find(|(sink, _)| *sink == name).unwrap().1
}

/// The frame numbers in JSON Lines, every one of which must be whole.
pub fn numbers(text: &str) -> Vec<u64> {
    assert!(text.is_empty() || text.ends_with('\n'), "the last record is whole");
    let number = |line: &str| {
        serde_json::from_str::<serde_json::Value>(line).expect("whole")["frame"].as_u64().unwrap()
    };
    text.lines().map(number).collect()
}

pub fn is_rising(numbers: &[u64]) -> bool {
    numbers.windows(2).all(|pair| pair[0] < pair[1])
}

/// Reads a pipe to its end.
pub fn drink(mut pipe: PipeReader) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let mut text = String::new();
        pipe.read_to_string(&mut text).map(|_| text).unwrap()
    })
}
/// The line that says that a sink works again, if there is one by now.
pub fn logged_recovery() -> Option<String> {
    LOGGED.with_borrow(|lines| lines.iter().find(|line| line.contains("works again")).cloned())
}
