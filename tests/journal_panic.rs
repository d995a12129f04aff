//! A panic is a line of the log like any other. A program of its own: the logger and the panic hook
//! are the process's.
#![allow(clippy::unwrap_used)] // clippy.toml frees only the test functions themselves

use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use squint::service::journal::Journal;
use squint::service::logger::{FLUSH_LIMIT, Logger, Outlet};
use squint::{events, service};

#[test]
fn a_panic_is_told_with_its_thread_and_place_and_the_thread_waits_for_that() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    log::set_boxed_logger(Box::new(
        Logger::start(Outlet::Journal(Journal::at(&path).unwrap()), None).unwrap(),
    ))
    .unwrap();
    log::set_max_level(log::LevelFilter::Error);
    service::log_panics();
    let started = Instant::now();
    let panicking = std::thread::Builder::new()
        .name("features".into())
        .spawn(|| panic!("out of {}", "luck"))
        .unwrap();
    assert!(panicking.join().is_err());
    assert!(started.elapsed() >= FLUSH_LIMIT, "the thread waited for its line, which nobody took");

    let journald = UnixDatagram::bind(&path).unwrap();
    journald.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut bytes = [0; 1 << 16];
    let length = journald.recv(&mut bytes).expect("a line comes");
    let entry = String::from_utf8_lossy(&bytes[..length]).into_owned();
    for part in [
        "thread `features` panicked at tests/journal_panic.rs:",
        ": out of luck",
        "PRIORITY=3\n",
        "SQUINT_EVENT=panicked\n",
        "SQUINT_THREAD=features\n",
        &format!("MESSAGE_ID={}\n", events::PANICKED.id),
    ] {
        assert!(entry.contains(part), "{part} is not in {entry}");
    }
}
