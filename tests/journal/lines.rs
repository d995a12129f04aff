//! The log on its way to journald: what is written, and what happens when journald is stopped,
//! restarted or away.
//!
//! A datagram socket in a temporary folder stands for journald; one test starts a real one, where
//! it may.

use std::io::{self, Write};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use crate::common::SOON;
use log::{Level, Log, Record};
use squint::events::{self, Event};
use squint::service::journal::{Journal, priority};
use squint::service::limit::{BURST, WINDOW};
use squint::service::line::{LONGEST_FIELD, LONGEST_TEXT};
use squint::service::logger::{FLUSH_LIMIT, Logger, Outlet, ROOM};
use squint::service::terminal::Terminal;
use squint::source::Secret;
use tempfile::TempDir;

/// A window for a test that waits for its end; longer than ten lines take.
const SHORT: Duration = Duration::from_millis(400);

/// Stands for journald.
struct Journald {
    socket: UnixDatagram,
}

impl Journald {
    fn at(path: &Path) -> Self {
        let socket = UnixDatagram::bind(path).unwrap();
        socket.set_read_timeout(Some(SOON)).unwrap();
        Self { socket }
    }

    /// The fields of the next line, in the order in which they came.
    fn entry(&self) -> Vec<(String, String)> {
        let mut bytes = vec![0; 1 << 18];
        let length = self.socket.recv(&mut bytes).expect("a line comes");
        parse(&bytes[..length])
    }

    fn message(&self) -> String {
        value(&self.entry(), "MESSAGE").unwrap()
    }

    /// True if nothing has come.
    fn is_empty(&self) -> bool {
        self.socket.set_nonblocking(true).unwrap();
        let empty = self
            .socket
            .recv(&mut [0; 16])
            .is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock);
        self.socket.set_nonblocking(false).unwrap();
        empty
    }
}

/// As <https://systemd.io/JOURNAL_NATIVE_PROTOCOL/> says.
fn parse(mut bytes: &[u8]) -> Vec<(String, String)> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let end = bytes.iter().position(|byte| *byte == b'\n').expect("every field ends");
        let head = &bytes[..end];
        bytes = &bytes[end + 1..];
        if let Some(equals) = head.iter().position(|byte| *byte == b'=') {
            fields.push((text(&head[..equals]), text(&head[equals + 1..])));
            continue;
        }
        let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        fields.push((text(head), text(&bytes[8..8 + length])));
        assert_eq!(bytes[8 + length], b'\n', "a long field ends too");
        bytes = &bytes[9 + length..];
    }
    fields
}

fn value(fields: &[(String, String)], name: &str) -> Option<String> {
    fields.iter().find(|(field, _)| field == name).map(|(_, value)| value.clone())
}

fn home() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    (folder, path)
}

fn logger(path: &Path) -> Logger {
    start(Outlet::Journal(Journal::at(path).unwrap()), Some(WINDOW))
}

fn start(outlet: Outlet, window: Option<Duration>) -> Logger {
    log::set_max_level(log::LevelFilter::Trace); // the macros ask for it, whichever logger they are given
    Logger::start(outlet, window).unwrap()
}

/// Logs a record as the macros make it.
fn tell(logger: &dyn Log, level: Level, text: &str) {
    log::log!(logger: logger, target: "squint", level, "{text}");
}

/// Logs the fault of a camera.
fn lost(logger: &dyn Log, camera: &str, text: &str) {
    log::warn!(logger: logger, target: "squint::pipeline", event = events::CAMERA_LOST, camera = camera; "{camera}: {text}");
}

#[test]
fn a_line_has_exactly_these_fields() {
    let (_folder, path) = home();
    let (journald, logger) = (Journald::at(&path), logger(&path));
    let (number, reason) = (41_u64, "no signal");
    std::thread::Builder::new()
        .name("squint-door".into())
        .spawn(move || {
            log::warn!(logger: &logger, target: "squint::pipeline::camera", event = events::CAMERA_LOST, camera = "door",
                frame = number, reason, unknown = 7; "door: {reason}");
            line!() - 1
        })
        .unwrap()
        .join()
        .unwrap();
    let mut entry = journald.entry();
    let line: u32 = value(&entry, "CODE_LINE").unwrap().parse().unwrap();
    assert!(line > 0 && line < line!());
    entry.retain(|(name, _)| name != "CODE_LINE");
    let expected = [
        ("PRIORITY", "4"),
        ("MESSAGE", "door: no signal"),
        ("MESSAGE_ID", "499e9f5b59f5b618d8af53f98489b868"),
        ("SQUINT_EVENT", "camera-lost"),
        ("SQUINT_CAMERA", "door"),
        ("SQUINT_FRAME", "41"),
        ("SQUINT_REASON", "no signal"),
        ("CODE_FILE", "tests/journal/lines.rs"),
        ("TARGET", "squint::pipeline::camera"),
        ("THREAD", "squint-door"),
        ("SYSLOG_IDENTIFIER", "squint"),
    ];
    assert_eq!(entry, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
}

#[test]
fn every_key_of_the_macros_becomes_a_field_of_its_name() {
    let (_folder, path) = home();
    let (journald, logger) = (Journald::at(&path), logger(&path));
    log::info!(logger: &logger, target: "squint", engine = "lite0", sink = "file", thread = "features", count = 3; "x");
    let entry = journald.entry();
    let told = ["SQUINT_ENGINE", "SQUINT_SINK", "SQUINT_THREAD", "SQUINT_COUNT", "MESSAGE_ID"]
        .map(|name| value(&entry, name));
    assert_eq!(
        told,
        [
            Some("lite0".into()),
            Some("file".into()),
            Some("features".into()),
            Some("3".into()),
            None
        ]
    );
}

#[test]
fn priorities_are_those_of_syslog_so_that_debugging_is_not_taken_for_information() {
    let levels = [Level::Error, Level::Warn, Level::Info, Level::Debug, Level::Trace];
    assert_eq!(levels.map(priority), [3, 4, 6, 7, 7]);
    let (_folder, path) = home();
    let (journald, logger) = (Journald::at(&path), logger(&path));
    levels.iter().for_each(|level| tell(&logger, *level, "x"));
    assert_eq!(
        levels.map(|_| value(&journald.entry(), "PRIORITY").unwrap()),
        ["3", "4", "6", "7", "7"]
    );
}

#[test]
fn a_line_feed_in_a_text_cannot_pose_as_a_field_or_as_a_line() {
    let (_folder, path) = home();
    let (journald, logger) = (Journald::at(&path), logger(&path));
    let evil = "door\nPRIORITY=0\nMESSAGE=gone";
    log::warn!(logger: &logger, target: "squint", camera = evil; "{evil}");
    let entry = journald.entry();
    let shown = r"door\nPRIORITY=0\nMESSAGE=gone";
    assert_eq!(
        (value(&entry, "MESSAGE").unwrap(), value(&entry, "SQUINT_CAMERA").unwrap()),
        (shown.into(), shown.into())
    );
    assert_eq!(entry.iter().filter(|(name, _)| name == "PRIORITY" || name == "MESSAGE").count(), 2);
}

#[test]
fn long_texts_and_values_are_cut_at_a_stated_length() {
    let (_folder, path) = home();
    let (journald, logger) = (Journald::at(&path), logger(&path));
    let long = "é".repeat(300_000);
    log::warn!(logger: &logger, target: "squint", reason = long.as_str(); "x{long}");
    let entry = journald.entry();
    for (name, longest, odd) in [("MESSAGE", LONGEST_TEXT, 1), ("SQUINT_REASON", LONGEST_FIELD, 0)]
    {
        let told = value(&entry, name).unwrap();
        let kept = longest - odd; // two bytes a letter: one byte of room is left over after the x
        let (text, rest) = told.split_at(kept);
        assert!(text.ends_with('é'));
        assert_eq!(rest, format!("… ({} bytes left out)", long.len() + odd - kept));
    }
}

#[test]
fn only_what_squint_says_and_warnings_of_the_runtime_are_written() {
    let (_folder, path) = home();
    let (journald, logger) = (Journald::at(&path), logger(&path));
    for (target, level) in [
        ("hyper", Level::Error),
        ("squintish", Level::Error),
        ("ort", Level::Info),
        ("ort::x", Level::Warn),
    ] {
        logger.log(
            &Record::builder().target(target).level(level).args(format_args!("{target}")).build(),
        );
    }
    tell(&logger, Level::Trace, "traced");
    assert_eq!([journald.message(), journald.message()], ["ort::x", "traced"]);
    assert!(journald.is_empty());
}

#[test]
fn a_stopped_journald_holds_up_nobody_and_what_is_left_out_is_counted() {
    let (_folder, path) = home();
    let (journald, logger) = (Journald::at(&path), logger(&path));
    let total = 3 * ROOM;
    let (done, finished) = std::sync::mpsc::channel();
    let logger = Arc::new(logger);
    let talker = Arc::clone(&logger);
    std::thread::spawn(move || {
        (0..total).for_each(|number| tell(talker.as_ref(), Level::Warn, &format!("line {number}")));
        done.send(()).unwrap();
    });
    finished.recv_timeout(SOON).expect("nobody waits for a journald that does not read");
    let started = Instant::now();
    logger.flush();
    assert!(started.elapsed() >= FLUSH_LIMIT, "there is something to wait for");

    // It reads again: lines come, and how many are missing between them.
    let (mut lines, mut missing) = (0, 0);
    while lines + missing < total {
        let entry = journald.entry();
        let text = value(&entry, "MESSAGE").unwrap();
        match value(&entry, "SQUINT_EVENT").as_deref() {
            Some("log-lost") => {
                missing += value(&entry, "SQUINT_COUNT").unwrap().parse::<usize>().unwrap()
            }
            _ => {
                assert_eq!(
                    text,
                    format!("line {}", lines + missing),
                    "in order, and what is missing is told where it is missing"
                );
                lines += 1;
            }
        }
    }
    assert!(
        lines >= ROOM && missing > 0 && lines + missing == total,
        "{lines} lines, {missing} missing"
    );
    tell(logger.as_ref(), Level::Info, "after");
    assert_eq!(journald.message(), "after");
}

#[test]
fn a_crowd_of_small_talk_leaves_room_for_warnings() {
    let (_folder, path) = home();
    let logger = logger(&path); // nobody listens yet
    (0..2 * ROOM).for_each(|_| tell(&logger, Level::Info, "small talk"));
    tell(&logger, Level::Warn, "fire");
    let journald = Journald::at(&path);
    let heard = std::iter::repeat_with(|| journald.message()).take(ROOM).any(|text| text == "fire");
    assert!(heard, "the warning got in");
}

#[test]
fn a_restarted_journald_gets_the_lines_that_came_meanwhile() {
    let (_folder, path) = home();
    let (journald, logger) = (Journald::at(&path), logger(&path));
    tell(&logger, Level::Info, "before");
    assert_eq!(journald.message(), "before");
    // Gone, its socket left behind; then the socket is removed too; then there is another.
    drop(journald);
    tell(&logger, Level::Info, "refused");
    std::fs::remove_file(&path).unwrap();
    tell(&logger, Level::Info, "not there");
    let journald = Journald::at(&path);
    tell(&logger, Level::Info, "again");
    assert_eq!(
        [journald.message(), journald.message(), journald.message()],
        ["refused", "not there", "again"]
    );
}

#[test]
fn repeated_faults_are_cut_short_and_their_end_tells_how_many_there_were() {
    let (_folder, path) = home();
    let (journald, logger) = (Journald::at(&path), logger(&path));
    for number in 0..20 {
        lost(&logger, "door", &format!("lost {number}"));
    }
    lost(&logger, "yard", "lost");
    log::info!(logger: &logger, target: "squint", event = events::CAMERA_DELIVERING, camera = "door"; "door: delivering");
    for number in 0..BURST {
        assert_eq!(journald.message(), format!("door: lost {number}"));
    }
    assert_eq!(journald.message(), "yard: lost", "another camera's faults are its own");
    let entry = journald.entry();
    let (text, count) = (value(&entry, "MESSAGE").unwrap(), value(&entry, "SQUINT_COUNT").unwrap());
    assert!(text.starts_with("door: delivering (15 more `camera-lost` in the last "), "{text}");
    assert_eq!(count, "15");
}

#[test]
fn a_fault_that_stops_is_summed_up_without_another_line() {
    let (_folder, path) = home();
    let (journald, logger) =
        (Journald::at(&path), start(Outlet::Journal(Journal::at(&path).unwrap()), Some(SHORT)));
    (0..10).for_each(|number| lost(&logger, "door", &format!("lost {number}")));
    let heard: Vec<_> = (0..=BURST).map(|_| journald.message()).collect();
    assert!(
        heard.last().unwrap().starts_with("door: lost 9 (4 more like this in the last "),
        "{heard:?}"
    );
}

#[test]
fn what_the_limit_holds_is_written_at_the_end() {
    let (_folder, path) = home();
    let (journald, logger) = (Journald::at(&path), logger(&path));
    (0..8).for_each(|number| lost(&logger, "door", &format!("lost {number}")));
    logger.flush();
    (0..BURST).for_each(|_| drop(journald.entry()));
    let text = journald.message();
    assert!(text.starts_with("door: lost 7 (2 more like this in the last "), "{text}");
    assert!(journald.is_empty());
}

#[test]
fn changes_of_state_and_lines_without_an_event_are_never_left_out() {
    let (_folder, path) = home();
    let (journald, logger) = (Journald::at(&path), logger(&path));
    let unlimited: Vec<Event> =
        events::ALL.iter().filter(|event| !event.is_limited()).copied().collect();
    for _ in 0..2 * BURST {
        tell(&logger, Level::Warn, "no event");
        assert_eq!(journald.message(), "no event");
        for event in &unlimited {
            log::log!(logger: &logger, target: "squint", event.level, event = *event, engine = "lite0"; "{event}");
            assert_eq!(journald.message(), event.name);
        }
    }
}

#[test]
fn passwords_of_cameras_do_not_reach_the_log() {
    let (_folder, path) = home();
    let (journald, logger) = (Journald::at(&path), logger(&path));
    let source: squint::source::SourceSpec = "rtsp://admin:hunter2@10.0.0.7/live".parse().unwrap();
    let secret = Secret::new("rtsp://admin:hunter2@10.0.0.7/live");
    log::warn!(logger: &logger, target: "squint", event = events::CAMERA_LOST, reason = source.to_string().as_str();
        "{source} {source:?} {secret} {secret:?}");
    let entry = journald.entry();
    assert!(entry.iter().all(|(_, value)| !value.contains("hunter2")), "{entry:?}");
    assert!(value(&entry, "MESSAGE").unwrap().contains("10.0.0.7"), "the rest is told");
}

/// A terminal that takes nothing until it is told to.
#[derive(Clone, Default)]
struct Stalling {
    open: Arc<(Mutex<bool>, Condvar)>,
    bytes: Arc<Mutex<Vec<u8>>>,
}

impl Stalling {
    fn open(&self) {
        *self.open.0.lock().unwrap() = true;
        self.open.1.notify_all();
    }

    fn text(&self) -> String {
        String::from_utf8(self.bytes.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Stalling {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let open = self.open.0.lock().unwrap();
        drop(self.open.1.wait_while(open, |open| !*open).unwrap());
        self.bytes.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_stalled_terminal_holds_up_nobody_either() {
    let out = Stalling::default();
    let logger = start(Outlet::Terminal(Terminal::on(Box::new(out.clone()))), None);
    (0..2 * ROOM).for_each(|number| tell(&logger, Level::Warn, &format!("line {number}")));
    let started = Instant::now();
    logger.flush();
    assert!(started.elapsed() >= FLUSH_LIMIT, "nothing could be written");
    out.open();
    let deadline = Instant::now() + SOON;
    while !out.text().contains("lines of the log were left out") {
        assert!(Instant::now() < deadline, "{}", out.text());
        logger.flush();
    }
    let text = out.text();
    let first = text.lines().next().unwrap();
    assert_eq!(first, "WARN  line 0");
    assert!(text.lines().count() > ROOM, "what fitted into the queue is written");
}

#[test]
fn on_a_terminal_a_line_is_its_level_and_its_text() {
    let out = Stalling::default();
    out.open();
    let logger = start(Outlet::Terminal(Terminal::on(Box::new(out.clone()))), None);
    (0..10).for_each(|_| lost(&logger, "door", "no signal"));
    tell(&logger, Level::Info, "told");
    logger.flush();
    assert_eq!(out.text(), "WARN  door: no signal\n".repeat(10) + "INFO  told\n");
}
