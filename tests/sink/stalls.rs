//! What befalls standard output in a live run: each fault is injected here, with what is expected
//! of Squint beside it.
//!
//! In every one of them the other sinks lack nothing, and each record is delivered or counted as
//! lost.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::common::eventually;
use crate::common::faults::*;
use crate::common::program::{SOON, confidence_policy, squint};
use crate::common::reports;
use squint::sink::{Published, Publisher, STDOUT_QUEUE};

// Standard output is a pipe whose reader stalls. Expected: file and socket get every record at
// once; standard output gets as many as there is room for, whole and in order, and the others are
// counted and told of once; when the reader goes on, so does Squint.

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
    assert!(
        stalled.lost > 1000 && stalled.delivered > 100 && stalled.delivered + stalled.lost == 3000,
        "{stalled:?}"
    );
    assert_eq!(
        logged(),
        ["WARN standard output: its reader is too slow; records are lost until it has caught up"]
    );

    // One that takes a little now and then is not given every other record: it gets none until half
    // of the store is free.
    let mut beginning = vec![0; STDOUT_QUEUE / 4];
    reader.read_exact(&mut beginning).unwrap();
    let next =
        publish_until(&mut publisher, 3000, |publisher| of(publisher, "file").delivered == 3020);
    assert_eq!(of(&publisher, "stdout").delivered, stalled.delivered);
    assert!(logged().is_empty());
    let heard = drink(reader);
    let last = publish_until(&mut publisher, next, |publisher| {
        of(publisher, "stdout").delivered > stalled.delivered + 10
    });
    let lost = of(&publisher, "stdout").lost;
    assert_eq!(logged(), [format!("INFO stdout: works again, {lost} records were lost")]);
    publisher.finish().unwrap();
    let end = of(&publisher, "stdout");
    drop(publisher);
    let text = String::from_utf8(beginning).unwrap() + &heard.join().unwrap();
    let heard = numbers(&text);
    assert!(
        is_rising(&heard)
            && heard.len() as u64 == end.delivered
            && end.delivered + end.lost == last,
        "{end:?} of {last}"
    );
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
    assert_eq!(
        told.last().unwrap(),
        &format!("WARN stdout: {} records were lost before the end", end.lost),
        "{told:?}"
    );
    // What counts as delivered is what the pipe holds. (The write that hangs goes on now; this
    // process does not end.)
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
    let mut command = squint([
        "run",
        "--source",
        "test",
        "--rate-hz",
        "5",
        "--json",
        "--policy",
        policy.to_str().unwrap(),
    ]);
    command.arg("--output-file").arg(&records).arg("--socket").arg(&socket);
    let mut child =
        command.stdin(Stdio::null()).stdout(full).stderr(Stdio::piped()).spawn().unwrap();
    drop(command);
    let mut stream = None;
    eventually("the socket", || {
        stream = UnixStream::connect(&socket).ok();
        stream.is_some()
    });
    let mut listener = BufReader::new(stream.unwrap()).lines();
    eventually("records in the file", || {
        fs::read_to_string(&records).unwrap_or_default().lines().count() >= 10
    });
    assert!(
        listener.by_ref().take(3).all(|line| line.is_ok()),
        "the socket has readers and records"
    );
    let asked = Command::new("kill").arg(child.id().to_string()).status().unwrap();
    assert!(asked.success());
    eventually("its end, though nobody reads", || child.try_wait().unwrap().is_some());
    let mut err = String::new();
    child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    assert!(
        err.contains("WARN  stdout: ") && err.contains("records were lost before the end"),
        "{err}"
    );
    let mut out = String::new();
    reader.read_to_string(&mut out).unwrap();
    assert_eq!(out, "\n".repeat(65536));
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
    assert!(held <= STDOUT_QUEUE + 65536 + record, "its room and that of the pipe: {held} bytes");
}

// The reader of standard output vanishes. Expected: the others have the record, and Squint is asked
// to stop, quietly.

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
        // No faster than a camera, or the store is full before its thread has found out.
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(numbers(&fs::read_to_string(&path).unwrap()).len() as u64, next + 1);
    assert!(publisher.finish().unwrap_err().is_closed());
    assert!(logged().is_empty(), "a wish to stop is no failure");
}

// Standard output is a file on a full disk. Expected: told at once, with the reason; no record
// torn; on with the first free byte.

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
    assert!(
        told[0].starts_with("WARN standard output: No space left on device") && told.len() == 1,
        "{told:?}"
    );
    disk.0.lock().unwrap().1 = usize::MAX;
    let delivered = of(&publisher, "stdout").delivered;
    let next = publish_until(&mut publisher, next, |publisher| {
        of(publisher, "stdout").delivered > delivered + 5
    });
    publisher.finish().unwrap();
    let end = of(&publisher, "stdout");
    let text = String::from_utf8(disk.0.lock().unwrap().0.clone()).unwrap();
    let kept = numbers(&text);
    assert!(
        is_rising(&kept) && kept.len() as u64 == end.delivered && end.delivered + end.lost == next,
        "{end:?} of {next}"
    );
    assert_eq!(logged(), [format!("INFO stdout: works again, {} records were lost", end.lost)]);
}
