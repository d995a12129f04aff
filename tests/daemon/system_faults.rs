//! Faults of the system around the built program: a clock that jumps by a year, no descriptors
//! left, reloads asked for at the wrong moment and far too often. Each test says what is expected;
//! the faults that need a real systemd (memory limit, journald) are in scripts/test-systemd-limits.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::common::onnx_model::Model;
use crate::common::program as squint;
use crate::common::program::{Daemon, SOON, records, squint as program, surround, write};
use crate::common::shelf::Shelf;
use crate::common::skip;
use serde_json::Value;

const DAY: i64 = 24 * 3600;
/// Nobody watches here; the watchdog's food is counted.
const WATCHDOG: Duration = Duration::from_secs(4);
/// Goes on; small, so that it costs nothing.
const STEADY: &str =
    "pipeline:videotestsrc is-live=true ! video/x-raw,format=RGB,width=64,height=48,framerate=25/1";
/// Fails after 12 frames, one and a fifth of a second.
const BREAKS: &str = "pipeline:videotestsrc is-live=true ! video/x-raw,format=RGB,width=64,height=48,framerate=10/1 ! \
                      identity error-after=13";
/// Never delivers, never says why.
const SILENT: &str = "pipeline:videotestsrc is-live=true ! video/x-raw,format=RGB,width=64,height=48,framerate=10/1 ! valve drop=true";

/// A folder with all that a service needs, and somebody who hears what it tells systemd.
struct Around {
    folder: tempfile::TempDir,
    shelf: Shelf,
    socket: UnixDatagram,
    heard: Vec<String>,
}

impl Around {
    fn new() -> Self {
        let (folder, shelf) = (tempfile::tempdir().unwrap(), Shelf::new());
        let socket = UnixDatagram::bind(folder.path().join("notify")).unwrap();
        socket.set_nonblocking(true).unwrap();
        shelf.network("quick", &Model::bright_or_dark(32, 32));
        // Some 0.1 s where it is bright; a stop waits a second for it, on a busy machine, too.
        shelf.network(
            "lingers",
            &Model { lingers: Some((2.0, 100_000)), ..Model::bright_or_dark(32, 32) },
        );
        Self { folder, shelf, socket, heard: Vec::new() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A configuration that asks `engine` for everything, no answer of which comes too late.
    fn configure(&self, engine: &str, cameras: &[(&str, &str)]) -> PathBuf {
        let policy = format!(
            "format = 1\nname = \"{engine}\"\nkind = \"fixed\"\n[engines]\n{engine} = \"any\"\n[fixed]\nengine = \"{engine}\"\n"
        );
        let policy = write(self.path(&format!("{engine}.policy.toml")), policy);
        let mut text = format!(
            "policy = {policy:?}\n[engines]\nfolder = {:?}\ndeadline-ms = 20000\n[control]\nsocket = {:?}\n[output]\nsocket = {:?}\n",
            self.shelf.path(),
            self.path("control"),
            self.path("reports")
        );
        for (name, source) in cameras {
            text.push_str(&format!(
                "[[camera]]\nname = \"{name}\"\nsource = \"{source}\"\ndeadline-ms = 10000\nstale-after-ms = 10000\n\
                 retry-cap-ms = 500\nstall-after-ms = 3000\n"
            ));
        }
        write(self.path("squint.toml"), text)
    }

    fn command(&self) -> Command {
        let mut command = program(["run", "--config", self.path("squint.toml").to_str().unwrap()]);
        command
            .env("NOTIFY_SOCKET", self.path("notify"))
            .env("WATCHDOG_USEC", WATCHDOG.as_micros().to_string());
        command
    }

    /// Everything that systemd has been told.
    fn listen(&mut self) -> &[String] {
        let mut message = [0; 4096];
        loop {
            match self.socket.recv(&mut message) {
                Ok(length) => {
                    self.heard.push(String::from_utf8(message[..length].to_vec()).unwrap())
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return &self.heard,
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Waits until systemd is told this `times` more.
    fn hears(&mut self, service: &mut Daemon, what: &str, times: usize) {
        let from = self.listen().len();
        service.until(&format!("systemd hears {what} {times} times"), |_| {
            self.listen()[from..].iter().filter(|said| said.contains(what)).count() >= times
        });
    }

    fn ready(&mut self, service: &mut Daemon) {
        service.until("ready", |_| self.listen().iter().any(|said| said.contains("READY=1")));
    }

    fn ask(&self, request: &str) -> std::io::Result<String> {
        let mut stream = UnixStream::connect(self.path("control"))?;
        stream.set_read_timeout(Some(SOON))?;
        write!(stream, "{request} HTTP/1.1\r\nHost: squint\r\nContent-Length: 0\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }

    fn status(&self) -> Value {
        let answer = self.ask("GET /status").unwrap();
        serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
    }

    /// How often the camera of this place in the configuration was lost.
    fn losses(&self, camera: usize) -> u64 {
        self.status()["cameras"][camera]["losses"].as_u64().unwrap()
    }
}

/// Waits for so many more records of a camera.
fn more_of(service: &mut Daemon, camera: &str, count: usize) {
    let of = |squint: &Daemon| squint.out().matches(&format!("\"camera\":\"{camera}\"")).count();
    let before = of(service);
    service.until(&format!("{count} more of {camera}"), |squint| of(squint) >= before + count);
}

/// Sends signals in one go, `$p` is the process.
fn shell(script: &str, service: &Daemon) {
    let script = format!("p={}; {script}", service.id());
    assert!(Command::new("sh").args(["-c", &script]).status().unwrap().success(), "{script}");
}

/// Debian's libfaketime, where it is installed.
fn faketime() -> Option<PathBuf> {
    let folders = std::fs::read_dir("/usr/lib").ok()?.flatten().map(|entry| entry.path());
    folders
        .map(|folder| folder.join("faketime/libfaketimeMT.so.1"))
        .find(|library| library.is_file())
}

fn seconds_since_1970() -> i64 {
    i64::try_from(
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs(),
    )
    .unwrap()
}

/// Expected: `captured_at` and the start's date follow the clock; nothing else notices. No frame is
/// late or stale, the camera's pauses, the watchdog's food and the limit of the log (five lines a
/// minute, of real time) go on.
#[test]
fn a_clock_that_jumps_by_a_year_either_way_changes_dates_and_nothing_else() {
    let Some(library) = faketime() else { return skip("no libfaketime; apt-get install faketime") };
    let mut around = Around::new();
    around.configure("quick", &[("door", STEADY), ("breaks", BREAKS)]);
    let clock = write(around.path("clock"), "+0");
    let mut command = around.command();
    command
        .env("LD_PRELOAD", library)
        .env("FAKETIME_TIMESTAMP_FILE", &clock)
        .env("FAKETIME_NO_CACHE", "1");
    command
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        .env("DONT_FAKE_MONOTONIC", "1")
        .env("FAKETIME_DISABLE_SHM", "1");
    let mut service = Daemon::start(command);
    around.ready(&mut service);
    let date = |days: i64| {
        let then = day_of(seconds_since_1970() + days * DAY);
        format!("\"captured_at\":\"{then}")
    };
    for days in [365, -365, 0] {
        write(around.path("clock.new"), format!("{:+}", days * DAY));
        std::fs::rename(around.path("clock.new"), &clock).unwrap();
        let expected = date(days);
        service.until(&format!("records of {expected}"), |squint| {
            squint.out().lines().last().is_some_and(|line| line.contains(&expected))
        });
        let losses = around.losses(1);
        more_of(&mut service, "door", 30);
        service.until("the camera is lost and opened again", |_| around.losses(1) >= losses + 2);
        more_of(&mut service, "breaks", 12);
        around.hears(&mut service, "WATCHDOG=1", 3);
        let state = around.status();
        let off =
            state["start_time_s"].as_f64().unwrap() as i64 - (seconds_since_1970() + days * DAY);
        assert!((-60..=2).contains(&off), "it started {off} s ago by the clock, {days} days off");
        assert_eq!(state["healthy"], Value::Bool(true), "{state:#}");
    }
    let losses = around.losses(1);
    service.signal("TERM");
    let told = service.ends().ends(0);
    let (mut late, mut oldest) = (0, 0);
    for record in told.records() {
        late += u64::from(record["late"] == Value::Bool(true));
        oldest = oldest.max(record["age_us"].as_u64().unwrap());
    }
    assert!(late == 0 && oldest < 10_000_000, "{late} late, the oldest {oldest} us");
    let lines = told
        .err
        .lines()
        .filter(|line| line.contains("breaks: ") && line.contains("next try in"))
        .count();
    // Of the faults in the one or two minutes that this takes at most: five a minute, and the last
    // one at the end.
    assert!(
        losses > 5 && lines <= 12 && lines < losses as usize,
        "{lines} lines of {losses} losses\n{}",
        told.err
    );
    assert!(told.err.contains("more `camera-lost` in the last"), "{}", told.err);
}

/// The day of a moment, as in the records.
fn day_of(seconds: i64) -> String {
    let output = Command::new("date")
        .args(["-u", "-d", &format!("@{seconds}"), "+%Y-%m-%d"])
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Expected: cameras that deliver go on, the watchdog is fed, a camera that is lost stays lost with
/// the reason, nobody is let in, a reload is refused, all of which the log says without being
/// filled; with descriptors back everything is as before.
#[test]
fn without_descriptors_what_runs_goes_on_and_with_them_the_rest_comes_back() {
    if Command::new("prlimit").arg("--version").output().is_err() {
        return skip("no prlimit; apt-get install util-linux");
    }
    let mut around = Around::new();
    around.configure("quick", &[("door", STEADY), ("breaks", BREAKS)]);
    let mut service = Daemon::start(around.command());
    around.ready(&mut service);
    more_of(&mut service, "breaks", 5);
    let limit = |soft: &str, service: &Daemon| {
        let id = service.id().to_string();
        assert!(
            Command::new("prlimit")
                .args(["--pid", &id, &format!("--nofile={soft}:512")])
                .status()
                .unwrap()
                .success()
        );
    };
    limit("8", &service);
    service.until_logged("breaks: ");
    service.until_logged("out of descriptors: 8 of 8 are taken");
    let reader = UnixStream::connect(around.path("reports")).unwrap();
    reader.set_read_timeout(Some(SOON)).unwrap();
    let mut asker = UnixStream::connect(around.path("control")).unwrap();
    asker.write_all(b"GET /readyz HTTP/1.1\r\nHost: squint\r\n\r\n").unwrap();
    service.until_logged("control socket: nobody can be let in");
    service.until_logged("socket of the records: nobody can be let in");
    service.signal("HUP");
    service.until_logged("nothing has changed: ");
    around.hears(&mut service, "WATCHDOG=1", 6);
    around.hears(&mut service, "camera breaks is lost and tried again", 1);
    more_of(&mut service, "door", 30);

    // Less than what a camera may need is as good as none, for the camera and for readers, who
    // leave it to the camera; who asks is answered.
    limit("45", &service);
    let mut byte = [0];
    asker.set_read_timeout(Some(SOON)).unwrap();
    asker.read_exact(&mut byte).expect("who asked is answered");
    let state = around.status();
    assert_eq!(state["ready"], Value::Bool(true));
    around.hears(&mut service, "camera breaks is lost and tried again", 1);
    reader.set_nonblocking(true).unwrap();
    assert!(
        (&reader).read(&mut byte).is_err_and(|error| error.kind() == ErrorKind::WouldBlock),
        "the reader waits"
    );
    reader.set_nonblocking(false).unwrap();

    limit("512", &service);
    (&reader).read_exact(&mut byte).expect("who waited at the door is let in");
    more_of(&mut service, "breaks", 5);
    let answer = around.ask("POST /reload").unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    service.signal("TERM");
    let told = service.ends().ends(0);
    for what in ["next try in", "nobody can be let in"] {
        let lines = told.err.lines().filter(|line| line.contains(what)).count();
        assert!(lines <= 12, "{lines} lines of `{what}`\n{}", told.err);
    }
    assert!(!told.err.contains("panicked"), "{}", told.err);
}

/// Expected: Squint starts, names the sensor that hangs, feeds the watchdog and answers frames;
/// `squint doctor` names it, too, and ends.
#[test]
fn a_sensor_that_hangs_from_the_start_is_named_and_holds_up_neither_frames_nor_the_doctor() {
    let mut around = Around::new();
    around.configure("quick", &[("door", STEADY)]);
    // A /sys/class of its own, in which a FIFO hangs whoever opens it as a driver does.
    let script = "mount -t tmpfs none /sys/class && mkdir -p /sys/class/thermal/thermal_zone0 && cd /sys/class/thermal/thermal_zone0 && \
                  echo CPU-therm >type && mkfifo temp && cd - >/dev/null && exec \"$@\"";
    let inside = |command: Command| {
        let mut outer = Command::new("unshare");
        outer
            .args(["-m", "--propagation", "private", "sh", "-c", script, "sh"])
            .arg(command.get_program())
            .args(command.get_args());
        surround(&mut outer, &command);
        outer
    };
    if !inside(Command::new("true")).output().is_ok_and(|ended| ended.status.success()) {
        return skip("only root can give a program a /sys of its own, with unshare");
    }
    let mut service = Daemon::start(inside(around.command()));
    around.ready(&mut service);
    service.until_logged("sensor /sys/class/thermal/thermal_zone0/temp is left out: has not answered for more than 2 s");
    around.hears(&mut service, "WATCHDOG=1", 6);
    more_of(&mut service, "door", 30);
    let state = around.status();
    assert_eq!(state["healthy"], Value::Bool(true), "{state:#}");
    assert!(state["degraded"].to_string().contains("thermal_zone0/temp"), "{state:#}");
    service.signal("TERM");
    service.ends().ends(0);
    let told = squint::tell(inside(program(["doctor"])));
    assert!(
        told.out.contains("thermal_zone0/temp") || told.out.contains("CPU-therm"),
        "{}\n{}",
        told.out,
        told.err
    );
}

/// Expected: SIGHUP in the middle of the start ends nothing and is obeyed as soon as there is
/// something to reload; systemd hears of ready when it is, not when the reload is done.
#[test]
fn told_to_reload_while_it_starts_it_does_so_once_it_can_and_is_ready_no_earlier() {
    let mut around = Around::new();
    around.configure("quick", &[("silent", SILENT)]);
    let mut service = Daemon::start(around.command());
    around.hears(&mut service, "STATUS=starting: ", 1);
    shell("kill -HUP $p; kill -HUP $p", &service);
    service.until_logged("in force: policy quick over quick");
    around.ready(&mut service);
    let ready = around.heard.iter().find(|said| said.contains("READY=1")).unwrap();
    assert!(
        ready.contains("camera silent is lost and tried again"),
        "the first READY=1 was too early: {:?}",
        around.heard
    );
    service.signal("TERM");
    service.ends().ends(0);
}

/// Expected: it stops as if nothing had been said, and systemd hears nothing that sounds as if it
/// went on.
#[test]
fn told_to_reload_while_it_stops_it_stops() {
    let mut around = Around::new();
    let bright = "pipeline:videotestsrc is-live=true pattern=white ! video/x-raw,format=RGB,width=64,height=48,framerate=10/1";
    around.configure("lingers", &[("door", bright)]);
    // Before the signal to stop, after it, and both; a look takes its time, so a stop does, too.
    for script in [
        "kill -TERM $p; kill -HUP $p; sleep 0.1; kill -HUP $p",
        "kill -HUP $p; kill -TERM $p; kill -HUP $p; kill -HUP $p",
    ] {
        around.heard.clear();
        let mut service = Daemon::start(around.command());
        around.ready(&mut service);
        shell(script, &service);
        let told = service.ends().ends(0);
        assert!(told.err.contains("stopped in good order"), "{}", told.err);
        let stopping = around
            .listen()
            .iter()
            .position(|said| said.contains("STOPPING=1"))
            .expect("it says so");
        let after = &around.heard[stopping..];
        assert!(
            !after.iter().any(|said| said.contains("READY=1") || said.contains("RELOADING=1")),
            "{after:?}"
        );
        assert!(!told.err.contains("panicked"), "{}", told.err);
    }
}

/// Expected: frames go on, there are as many reloads as it can make and none is refused, and the
/// configuration of the last signal is the one in force.
#[test]
fn a_thousand_signals_to_reload_cost_no_frame_and_the_last_one_counts() {
    let mut around = Around::new();
    around.configure("quick", &[("door", STEADY)]);
    let mut service = Daemon::start(around.command());
    around.ready(&mut service);
    more_of(&mut service, "door", 5);
    let storm = "i=0; while [ $i -lt 999 ]; do kill -HUP $p; i=$((i + 1)); [ $((i % 10)) != 0 ] || sleep 0.002; done";
    shell(storm, &service);
    around.configure("lingers", &[("door", STEADY)]);
    shell("kill -HUP $p", &service);
    service.until("the last configuration is in force", |_| {
        around.status()["policy"]["name"] == "lingers"
    });
    more_of(&mut service, "door", 10);
    let reloads = around.status()["reload"].clone();
    let count = reloads["count"].as_u64().unwrap();
    assert!((2..=1000).contains(&count) && reloads["failed"] == 0, "{reloads}");
    service.signal("TERM");
    let told = service.ends().ends(0);
    assert!(!told.err.contains("WARN") && !told.err.contains("ERROR"), "{}", told.err);
    let mut frames: Vec<_> =
        records(&told.out).iter().map(|record| record["frame"].as_u64().unwrap()).collect();
    let told_of = frames.len();
    frames.sort_unstable();
    frames.dedup();
    assert_eq!(frames.len(), told_of, "no frame is told of twice");
}
