//! The log in a real journald, which this test starts for itself in a mount namespace of its own;
//! read back with journalctl.
//!
//! Needs root, util-linux and systemd's programs; without them it says so and passes.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::common::program::*;
use crate::common::skip;
use log::{Level, Log};
use serde_json::Value;
use squint::events;
use squint::service::journal::Journal;
use squint::service::limit::WINDOW;
use squint::service::logger::{Logger, Outlet, ROOM};

const JOURNALD: &str = "/lib/systemd/systemd-journald";
/// `/run` is another one, so this journald and that of the machine do not know of each other.
const START: &str = "mount -t tmpfs tmpfs /run && mkdir -p /run/systemd/journal /run/systemd/journald.conf.d /run/log/journal && \
                     printf '[Journal]\\nStorage=volatile\\nReadKMsg=no\\nAudit=no\\n' > /run/systemd/journald.conf.d/test.conf && \
                     exec /lib/systemd/systemd-journald";

/// What systemd says of standard error; its `systemd-cat` only does since version 255.
const AS_SYSTEMD: &str =
    "cd \"$0\" && JOURNAL_STREAM=$(stat -L -c %d:%i /proc/self/fd/2) exec \"$@\"";

/// A journald of this test's own.
struct Journald {
    process: Child,
    run: PathBuf,
}

impl Journald {
    /// `None`, with a line why, if it cannot be had here.
    fn start() -> Option<Self> {
        let missing = |what: &str| skip(format_args!("there is no {what}"));
        if std::fs::metadata("/proc/self").unwrap().uid() != 0 {
            skip("a journald of our own needs root");
            return None;
        }
        for tool in ["unshare", "nsenter", "journalctl", "systemd-cat"] {
            if !Path::new("/usr/bin").join(tool).exists() {
                missing(tool);
                return None;
            }
        }
        if !Path::new(JOURNALD).exists() {
            missing(JOURNALD);
            return None;
        }
        let process = Command::new("unshare")
            .args(["-m", "sh", "-c", START])
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let process = process.unwrap();
        let run = PathBuf::from(format!("/proc/{}/root/run", process.id()));
        let mut journald = Self { process, run };
        let deadline = Instant::now() + SOON;
        while !journald.socket().exists()
            || !journald.run.join("systemd/journald.conf.d/test.conf").exists()
        {
            if journald.process.try_wait().unwrap().is_some() {
                skip("there can be no mount namespace with a journald in it");
                return None;
            }
            assert!(Instant::now() < deadline, "journald listens");
            std::thread::yield_now();
        }
        Some(journald)
    }

    fn socket(&self) -> PathBuf {
        self.run.join("systemd/journal/socket")
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill")
            .args([&format!("-{name}"), &self.process.id().to_string()])
            .status()
            .unwrap();
        assert!(sent.success());
    }

    /// What journalctl finds.
    fn find(&self, filter: &[&str]) -> Vec<Value> {
        let mut command = Command::new("journalctl");
        command
            .args(["--output=json", "--quiet", "--directory"])
            .arg(self.run.join("log/journal"))
            .args(filter);
        let output = command.stderr(Stdio::null()).output().unwrap();
        records(&String::from_utf8(output.stdout).unwrap())
    }

    /// The same once there is anything.
    fn wait_for(&self, filter: &[&str]) -> Vec<Value> {
        let deadline = Instant::now() + SOON;
        loop {
            let found = self.find(filter);
            if !found.is_empty() {
                return found;
            }
            assert!(
                Instant::now() < deadline,
                "{filter:?} is in the journal, which has {:?}",
                messages(&self.find(&[]))
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Journald {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn messages(found: &[Value]) -> Vec<&str> {
    found.iter().map(|entry| entry["MESSAGE"].as_str().unwrap()).collect()
}

#[test]
fn journalctl_finds_lines_by_camera_event_and_priority() {
    let Some(journald) = Journald::start() else { return };
    log::set_max_level(log::LevelFilter::Trace);
    let logger =
        Logger::start(Outlet::Journal(Journal::at(&journald.socket()).unwrap()), Some(WINDOW))
            .unwrap();
    let pairs = [("door", Level::Warn), ("yard", Level::Info), ("yard", Level::Debug)];
    for (camera, level) in pairs {
        log::log!(logger: &logger, target: "squint", level, event = events::CAMERA_LOST, camera = camera; "{camera} at {level}");
    }
    log::error!(logger: &logger, target: "squint", event = events::BUG; "of\ntwo lines");
    logger.flush();

    assert_eq!(messages(&journald.wait_for(&["SQUINT_EVENT=bug"])), ["of\\ntwo lines"]);
    assert_eq!(messages(&journald.find(&["SQUINT_CAMERA=door"])), ["door at WARN"]);
    assert_eq!(journald.find(&[&format!("MESSAGE_ID={}", events::CAMERA_LOST.id)]).len(), 3);
    assert_eq!(
        messages(&journald.find(&["-p", "info", "SQUINT_CAMERA=yard"])),
        ["yard at INFO"],
        "debugging is no information"
    );
    assert_eq!(
        messages(&journald.find(&["-p", "debug", "SQUINT_CAMERA=yard"])),
        ["yard at INFO", "yard at DEBUG"]
    );
    assert_eq!(journald.find(&["-p", "warning", "SYSLOG_IDENTIFIER=squint"]).len(), 2);
}

#[test]
fn a_stopped_journald_holds_up_nobody_and_hears_how_much_it_missed() {
    let Some(journald) = Journald::start() else { return };
    log::set_max_level(log::LevelFilter::Trace);
    let logger =
        Logger::start(Outlet::Journal(Journal::at(&journald.socket()).unwrap()), Some(WINDOW))
            .unwrap();
    journald.signal("STOP");
    let total = 4 * ROOM;
    (0..total).for_each(
        |number| log::warn!(logger: &logger, target: "squint", sink = "file"; "line {number}"),
    );
    journald.signal("CONT");
    let deadline = Instant::now() + SOON;
    loop {
        let heard = journald.find(&["SQUINT_SINK=file"]).len();
        let missing = journald.find(&["SQUINT_EVENT=log-lost"]);
        let missing: usize = missing
            .iter()
            .map(|entry| entry["SQUINT_COUNT"].as_str().unwrap().parse::<usize>().unwrap())
            .sum();
        if heard + missing == total && missing > 0 {
            return;
        }
        assert!(Instant::now() < deadline, "{heard} lines and {missing} missing are not {total}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn under_systemd_the_daemon_speaks_the_native_protocol() {
    let Some(journald) = Journald::start() else { return };
    let policy = tempfile::tempdir().unwrap();
    let policy = confidence_policy(policy.path(), 0.6);
    let daemon = squint([
        "run",
        "--source",
        "tests/data/photos",
        "--quiet",
        "--log",
        "debug",
        "--policy",
        policy.to_str().unwrap(),
    ]);
    let mut inside = Command::new("nsenter");
    inside.args([
        "-t",
        &journald.process.id().to_string(),
        "-m",
        "systemd-cat",
        "sh",
        "-c",
        AS_SYSTEMD,
    ]);
    inside.arg(root()).arg(daemon.get_program()).args(daemon.get_args());
    surround(&mut inside, &daemon);
    let told = tell(inside).ends(0);
    assert!(told.err.is_empty(), "{}", told.err);
    let found = journald.wait_for(&[&format!("MESSAGE_ID={}", events::RUNTIME_LOADED.id)]);
    let entry = &found[0];
    assert_eq!(
        (entry["SYSLOG_IDENTIFIER"].as_str(), entry["PRIORITY"].as_str()),
        (Some("squint"), Some("6"))
    );
    assert_eq!(
        (entry["CODE_FILE"].as_str(), entry["_TRANSPORT"].as_str()),
        (Some("src/engine/onnx/library.rs"), Some("journal"))
    );
    let lines = journald.find(&["_COMM=squint"]);
    let plain = lines.iter().filter(|entry| entry["_TRANSPORT"] == "stdout").count();
    assert!(lines.len() > 2 && plain < lines.len(), "{:?}", messages(&lines));
    assert!(lines.iter().any(|entry| entry["PRIORITY"] == "7"), "--log debug reaches the journal");
}
