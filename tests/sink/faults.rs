//! What befalls the files and sockets where reports go: each fault is injected here, with what is
//! expected of Squint beside it. Standard output is in `stalls.rs`.
//!
//! In every one of them the other sinks lack nothing, and each record is delivered or counted as
//! lost. Faults of one sink alone are tested closer to it, in `file.rs` and `socket.rs`.

use std::fs;
use std::io::{self, BufRead, BufReader};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::common::faults::*;
use crate::common::program as squint_cli;
use crate::common::program::{Daemon, confidence_policy, squint};
use crate::common::{eventually, skip};
use squint::config::{Output, Stdout};
use squint::sink::{Opening, Publisher, SinkError, Socket};

// The disk under the records is full, and has space again. Expected: told once, with the reason; no
// record torn; the others get everything; when there is space it goes on by itself and says how
// many were lost.

/// A small disk, in a mount namespace of its own; gone with its process.
struct SmallDisk {
    process: Child,
    path: PathBuf,
}

impl SmallDisk {
    fn new(home: &Path, bytes: u64) -> Option<Self> {
        if fs::metadata("/proc/self").unwrap().uid() != 0 {
            skip("a disk of our own needs root");
            return None;
        }
        let mount = format!(
            "mount -t tmpfs -o size={bytes} tmpfs \"$0\" && echo mounted && exec sleep 600"
        );
        let mut command = Command::new("unshare");
        let started = command
            .args(["-m", "sh", "-c", &mount])
            .arg(home)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn();
        let Ok(mut process) = started else {
            skip("there is no unshare (util-linux)");
            return None;
        };
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let path = PathBuf::from(format!("/proc/{}/root{}", process.id(), home.display()));
        let disk = Self { process, path };
        if line != "mounted\n" {
            skip("there can be no mount namespace with a disk in it");
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
    assert!(
        told.len() == 1
            && told[0].contains("No space left on device")
            && told[0].contains("records.jsonl"),
        "{told:?}"
    );
    numbers(&fs::read_to_string(&path).unwrap());

    publisher.flush().unwrap();
    assert!(
        logged().is_empty(),
        "that there was nothing to flush does not mean that it works again"
    );
    fs::remove_file(&filler).unwrap();
    let next = publish_until(&mut publisher, next, |_| logged_recovery().is_some());
    publisher.finish().unwrap();
    let (file, stdout) = (of(&publisher, "file"), of(&publisher, "stdout"));
    drop(publisher);
    let kept = numbers(&fs::read_to_string(&path).unwrap());
    assert!(
        is_rising(&kept)
            && kept.len() as u64 == file.delivered
            && file.delivered + file.lost == next,
        "{file:?} of {next}"
    );
    assert_eq!((stdout.lost, numbers(&heard.join().unwrap()).len() as u64), (0, next));
}

#[test]
fn the_daemon_outlives_a_file_that_may_not_grow() {
    let home = home();
    let policy = confidence_policy(home.path(), 0.6);
    let path = home.path().join("records.jsonl");
    let run = [
        "run",
        "--source",
        "test",
        "--quiet",
        "--policy",
        policy.to_str().unwrap(),
        "--output-file",
        path.to_str().unwrap(),
    ];
    let plain = squint(run);
    // As a full disk, but for anybody: files end at 1 KiB, and the signal that says so is ignored.
    let mut limited = Command::new("bash");
    limited
        .args(["-c", "trap '' XFSZ; ulimit -S -f 1; exec \"$0\" \"$@\""])
        .arg(plain.get_program())
        .args(plain.get_args());
    squint_cli::surround(&mut limited, &plain);
    let mut daemon = Daemon::start(limited);
    daemon.until_logged("File too large");
    let pid = daemon.id().to_string();
    match Command::new("prlimit").args(["--fsize=unlimited", "--pid", &pid]).status() {
        Ok(status) if status.success() => daemon.until_logged("file: works again, "),
        _ => skip("the second half: no prlimit (util-linux), or it may not"),
    }
    daemon.signal("TERM");
    let told = daemon.ends().ends(0);
    assert_eq!(told.err.matches("File too large").count(), 1, "told once: {}", told.err);
    numbers(&fs::read_to_string(&path).unwrap());
}

// The folder of the records is removed, and made again. Expected: as with a full disk; the folder
// is not made by Squint.

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
    assert_eq!(
        logged_recovery().unwrap(),
        format!("INFO file: works again, {} records were lost", end.lost)
    );
    assert_eq!(end.delivered + end.lost, next);
    assert_eq!(
        numbers(&fs::read_to_string(&path).unwrap()),
        [next - 1],
        "the records from then on"
    );
}

#[test]
fn what_a_sink_loses_is_told_to_whoever_asks_while_it_lasts() {
    let home = home();
    let folder = home.path().join("logs");
    fs::create_dir(&folder).unwrap();
    let policy = confidence_policy(home.path(), 0.6);
    let socket = home.path().join("control.sock");
    let config = squint_cli::write(
        home.path().join("squint.toml"),
        format!(
            "policy = {policy:?}\n[control]\nsocket = {socket:?}\n[output]\nstdout = \"none\"\n[output.file]\npath = {:?}\n\
             [[camera]]\nname = \"door\"\nsource = \"test\"\n",
            folder.join("records.jsonl")
        ),
    );
    let mut daemon = Daemon::start(squint(["run", "--config", config.to_str().unwrap()]));
    let ask = |path: &str| {
        let mut stream = UnixStream::connect(&socket).ok()?;
        io::Write::write_all(
            &mut stream,
            format!("GET {path} HTTP/1.1\r\nHost: squint\r\n\r\n").as_bytes(),
        )
        .ok()?;
        let mut answer = String::new();
        io::Read::read_to_string(&mut stream, &mut answer).ok()?;
        answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned())
    };
    let state = || serde_json::from_str::<serde_json::Value>(&ask("/status")?).ok();
    let sink =
        || state().map(|state| state["sinks"][0].clone()).filter(|sink| sink["name"] == "file");
    let metric = |name: &str| {
        let metrics = ask("/metrics")?;
        let line = metrics
            .lines()
            .find_map(|line| line.strip_prefix(&format!("{name}{{sink=\"file\"}} ")))?;
        line.parse::<u64>().ok()
    };
    daemon
        .until("records are sent", |_| sink().is_some_and(|sink| sink["sent"].as_u64() > Some(3)));
    assert_eq!(sink().unwrap()["trouble"], serde_json::Value::Null);
    fs::rename(&folder, home.path().join("away")).unwrap();
    daemon.until("losses are told", |_| sink().is_some_and(|sink| sink["lost"].as_u64() > Some(3)));
    let now = state().unwrap();
    let degraded = now["degraded"].to_string();
    assert!(
        degraded.contains("file loses records: ") && degraded.contains("its folder must exist"),
        "{degraded}"
    );
    assert_eq!(now["healthy"], true, "pictures are looked at all the same");
    assert!(
        metric("squint_records_lost_total") > Some(3)
            && metric("squint_records_sent_total") > Some(3)
    );
    fs::create_dir(&folder).unwrap();
    daemon.until("it is over", |_| {
        state().is_some_and(|state| !state["degraded"].to_string().contains("loses records"))
    });
    assert!(metric("squint_records_lost_total") > Some(3), "what was lost stays lost");
    daemon.signal("TERM");
    let told = daemon.ends().ends(0);
    assert!(
        told.err.contains("records lost: "),
        "a camera goes on, so it is only told: {}",
        told.err
    );
}

// A reader of the socket stalls, or vanishes. Expected: no error, nothing lost for file, standard
// output and other readers.

#[test]
fn readers_of_the_socket_that_stall_or_vanish_concern_nobody_else() {
    let home = home();
    let (socket, path) = (home.path().join("squint.sock"), home.path().join("records.jsonl"));
    let mut publisher =
        Publisher::with(vec![Box::new(Socket::open(&socket).unwrap()), file(&path)], false);
    let (stalled, vanishing) =
        (UnixStream::connect(&socket).unwrap(), UnixStream::connect(&socket).unwrap());
    let attentive = BufReader::new(UnixStream::connect(&socket).unwrap());
    let count = 3000_u64;
    let heard = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&heard);
    let attentive = std::thread::spawn(move || {
        let mut text = String::new();
        for line in attentive.lines() {
            text += &(line.unwrap() + "\n");
            counter.fetch_add(1, Ordering::Relaxed);
        }
        numbers(&text)
    });
    publish(&mut publisher, 0..10);
    drop(vanishing);
    for number in 10..count {
        publish(&mut publisher, number..number + 1);
        eventually("the reader that keeps up", || heard.load(Ordering::Relaxed) + 50 > number);
    }
    publisher.finish().unwrap();
    assert_eq!(numbers(&fs::read_to_string(&path).unwrap()).len() as u64, count);
    let missed = of(&publisher, "socket");
    assert_eq!((of(&publisher, "file").lost, missed.delivered + missed.lost), (0, count));
    assert!(
        missed.lost > 0 && publisher.lost().next().is_none(),
        "what a reader misses is counted, and its own fault"
    );
    assert_eq!(publisher.ledger().read()[0].trouble, None);
    drop(publisher);
    assert_eq!(attentive.join().unwrap(), (0..count).collect::<Vec<_>>());
    drop(stalled);
    assert!(logged().is_empty());
}

// The path of the socket is taken: by a live process, by a file, by a folder, by a socket that a
// dead process left behind. Expected: refused at the start by path and with advice, and left as it
// is; only what is dead is replaced.

#[test]
fn a_socket_path_that_is_taken_is_refused_unless_what_took_it_is_dead() {
    let home = home();
    let open = |path: &Path| {
        let output = Output {
            stdout: Stdout::None,
            features: false,
            summary: false,
            file: None,
            socket: Some(path.into()),
            queue: 8,
        };
        Publisher::open(&output, &Opening::default())
    };
    let place = |name: &str| home.path().join(name);
    let _alive = UnixListener::bind(place("alive")).unwrap();
    fs::write(place("file"), "precious").unwrap();
    fs::create_dir(place("folder")).unwrap();
    for (name, says) in [
        ("alive", "another program listens there"),
        ("file", "not a socket"),
        ("folder", "not a socket"),
    ] {
        let error = open(&place(name)).map(drop).unwrap_err();
        let told = error.to_string();
        assert!(
            told.contains(says)
                && told.contains(place(name).to_str().unwrap())
                && told.contains("name another path"),
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
    let run = [
        "run",
        "--source",
        "test",
        "--json",
        "--policy",
        policy.to_str().unwrap(),
        "--socket",
        socket.to_str().unwrap(),
    ];
    let mut first = Daemon::start(squint(run));
    first.until_records(1);
    let second = squint_cli::tell(squint(run));
    assert!(
        second.code != Some(0) && second.err.contains("another program listens there"),
        "{}",
        second.err
    );
    let before = first.out().lines().count();
    first.until_records(before + 2);
    UnixStream::connect(&socket).unwrap();
    first.signal("TERM");
    first.ends().ends(0);
}
