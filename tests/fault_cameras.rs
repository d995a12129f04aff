//! What goes wrong with cameras, through the whole daemon: each fault is injected, and what is expected stands beside it. docs/faults.md
//! lists all faults and where the others are tested.
//!
//! The cameras are GStreamer's own test elements, datagrams, an RTSP server, and a stand-in for NVIDIA's camera plugin
//! (tests/standin). Every test ends with the law of frames.
#![allow(clippy::unwrap_used)] // clippy.toml frees only the test functions themselves

#[path = "common/onnx_model.rs"]
#[allow(dead_code)]
mod onnx_model;
#[path = "common/shelf.rs"]
#[allow(dead_code)]
mod shelf;
#[path = "common/sources.rs"]
mod sources;
#[path = "common/squint.rs"]
mod squint_cli;
#[allow(dead_code)]
#[path = "common/systemd.rs"]
mod systemd;

use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use onnx_model::Model;
use serde_json::Value;
use shelf::Shelf;
use squint_cli::*;
use systemd::{Systemd, status};

/// A healthy camera; small, so that a busy machine keeps up with it.
const HEALTHY: &str = "pipeline:videotestsrc is-live=true ! video/x-raw,format=RGB,width=64,height=48,framerate=20/1";
/// How patient systemd is. The daemon takes a thread for hung, and too many stuck drivers for a trouble, after half of it.
const WATCHDOG: Duration = Duration::from_secs(6);

/// A daemon among its cameras.
struct Scene {
    systemd: Systemd,
    shelf: Shelf,
    daemon: Daemon,
}

impl Scene {
    /// `cameras`: name, source, further lines of its table.
    fn start(cameras: &[(&str, &str, &str)], environment: &[(&str, &str)]) -> Self {
        let (systemd, shelf) = (Systemd::new(), Shelf::new());
        shelf.network("small", &Model::brightest(8, 8));
        let policy = fixed_policy(shelf.path(), "small");
        let mut text = format!(
            "policy = \"{}\"\n[engines]\nfolder = \"{}\"\n[control]\nsocket = \"{}\"\n",
            policy.display(),
            shelf.path().display(),
            systemd.control().display()
        );
        for (name, source, more) in cameras {
            text.push_str(&format!("[[camera]]\nname = \"{name}\"\nsource = \"{source}\"\n{more}\n"));
        }
        let (config, summary) = (systemd.config(&text), systemd.folder.path().join("summary.json"));
        let mut command = squint(["run", "--json", "--config", config.to_str().unwrap(), "--summary", summary.to_str().unwrap()]);
        command.envs(environment.iter().copied());
        let daemon = systemd.watches(command, WATCHDOG);
        Self { systemd, shelf, daemon }
    }

    /// Waits until `done`, and hears what systemd is told meanwhile: its queue is short.
    fn wait(&mut self, what: &str, mut done: impl FnMut(&Daemon) -> bool) {
        let systemd = &mut self.systemd;
        self.daemon.until(what, |daemon| {
            systemd.listen();
            done(daemon)
        });
    }

    fn until_logged(&mut self, words: &str) {
        self.wait(words, |daemon| daemon.err().contains(words));
    }

    /// Waits until `done`, which sees how the camera is.
    fn until(&mut self, camera: &str, what: &str, mut done: impl FnMut(&Value) -> bool) {
        let socket = self.systemd.control();
        // Before it listens nobody can be asked.
        self.wait(&format!("{camera}: {what}"), |_| socket.exists() && done(&of(&socket, camera)));
    }

    fn lost(&mut self, camera: &str, times: u64) {
        self.until(camera, &format!("lost {times} times"), |camera| number(&camera["losses"]) >= times);
    }

    fn losses(&self, camera: &str) -> u64 {
        number(&of(&self.systemd.control(), camera)["losses"])
    }

    /// Waits for `count` more frames of this camera, answered or not; how long that took.
    fn more(&mut self, camera: &str, count: u64) -> Duration {
        let (begun, mut before) = (Instant::now(), None);
        self.until(camera, &format!("{count} more frames"), |camera| {
            let offered = number(&camera["offered"]);
            offered >= *before.get_or_insert(offered) + count
        });
        begun.elapsed()
    }

    /// Waits until the camera, which has just come back, is found again: by the first try that is made after its return, and the pause
    /// before a try is never longer than retry-cap-ms. How long that took.
    fn found_again(&mut self, camera: &str) -> Duration {
        let before = self.losses(camera);
        let took = self.more(camera, 1);
        // One try may have been under way when it came back.
        assert!(self.losses(camera) <= before + 1, "found by the first try after its return\n{}", self.daemon.err());
        took
    }

    /// systemd knows that it is ready and that there is progress, and has heard of no trouble.
    fn assert_fed(&mut self) {
        self.systemd.listen();
        let heard = |what| self.systemd.said(what);
        assert!(heard("READY=1") && heard("WATCHDOG=1") && !heard("no progress"), "{:?}", self.systemd.heard);
    }

    /// Told to stop, it ends within `limit`, and the law holds for every camera. What it said.
    fn ends(self, limit: Duration) -> Told {
        self.daemon.signal("TERM");
        let told = self.daemon.ends_within(limit);
        let summary = std::fs::read_to_string(self.systemd.folder.path().join("summary.json"));
        let summary: Value = serde_json::from_str(&summary.unwrap_or_else(|error| panic!("{error}\n{}", told.err))).unwrap();
        let records = told.records();
        for (name, part) in summary["cameras"].as_object().unwrap() {
            law(name, part, &records.iter().filter(|record| record["camera"] == **name).collect::<Vec<_>>());
        }
        drop(self.shelf);
        told
    }
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap()
}

/// The law of frames: each has an outcome, of which there is one record, or is in one counter of drops.
fn law(name: &str, part: &Value, records: &[&Value]) {
    let told: u64 = ["answered", "reused", "abstained", "failed"].iter().map(|outcome| number(&part[outcome])).sum();
    let dropped: u64 = part["dropped"].as_object().unwrap().values().map(number).sum();
    assert_eq!(number(&part["frames"]), told + dropped, "{name}: {part:#}");
    assert_eq!(told, records.len() as u64, "{name}: a record for each outcome, {part:#}");
    let mut numbers: Vec<_> = records.iter().map(|record| number(&record["frame"])).collect();
    // A frame that nobody has time for is told of before the one that is being looked at.
    numbers.sort_unstable();
    assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]), "{name}: no number twice: {numbers:?}");
    // Whoever gives the numbers is not who counts: no frame between two records is missing in the count.
    let given = numbers.last().map_or(0, |last| last + 1);
    assert!(given <= number(&part["frames"]), "{name}: {given} numbers given, {part:#}");
}

fn of(control: &Path, camera: &str) -> Value {
    let cameras = &status(control)["cameras"];
    cameras.as_array().unwrap().iter().find(|one| one["name"] == camera).unwrap_or_else(|| panic!("{cameras}")).clone()
}

#[test]
fn a_camera_that_fails_ends_or_yields_nothing_is_opened_again_and_the_others_go_on() {
    let again = "retry-cap-ms = 300\nstall-after-ms = 600";
    let fails = format!("{HEALTHY} ! identity error-after=15");
    let ends = HEALTHY.replace("is-live", "num-buffers=15 is-live");
    // Not a byte of the pictures stays what it was: the decoder says nothing and yields nothing.
    let garbled = format!("{HEALTHY} ! jpegenc ! breakmydata probability=1 set-to=0 ! jpegdec");
    // 4 of 20 frames a second get through; that is no fault.
    let slow = format!("{HEALTHY} ! identity sleep-time=250000");
    let mut scene = Scene::start(
        &[
            ("fails", &fails, again),
            ("ends", &ends, again),
            ("garbled", &garbled, again),
            ("slow", &slow, ""),
            ("door", HEALTHY, ""),
        ],
        &[],
    );
    for camera in ["fails", "ends", "garbled"] {
        scene.lost(camera, 3);
    }
    scene.more("slow", 5);
    scene.more("door", 20);
    for camera in ["slow", "door"] {
        assert_eq!(scene.losses(camera), 0, "{camera} does not notice");
    }
    scene.more("fails", 5);
    scene.assert_fed();
    let told = scene.ends(Duration::from_secs(5)).ends(0);
    for says in ["Failed after iterations as requested", "the stream ended, which a live source must not do", "no frame for 600 ms"]
    {
        assert!(told.err.contains(says), "{says}: {}", told.err);
    }
    let records = told.records();
    let of = |camera: &str| records.iter().filter(|record| record["camera"] == camera).count();
    assert_eq!(of("garbled"), 0);
    assert!(of("fails") > 15 && of("ends") > 15, "more than one opening gives");
}

/// Sends a picture of 16x12 grey pixels 25 times a second, as long as it is on.
struct Sender {
    on: Arc<AtomicBool>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Sender {
    fn to(port: u16) -> Self {
        let (on, over) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicBool::new(false)));
        let (is_on, is_over) = (Arc::clone(&on), Arc::clone(&over));
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let thread = std::thread::spawn(move || {
            while !is_over.load(Ordering::SeqCst) {
                if is_on.load(Ordering::SeqCst) {
                    // Nobody listening is nobody's fault.
                    let _ = socket.send_to(&[77; 16 * 12], ("127.0.0.1", port));
                }
                std::thread::sleep(Duration::from_millis(40));
            }
        });
        Self { on, over, thread: Some(thread) }
    }

    fn turn(&self, on: bool) {
        self.on.store(on, Ordering::SeqCst);
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        self.thread.take().unwrap().join().unwrap();
    }
}

#[test]
fn a_camera_that_falls_silent_is_lost_without_a_word_from_it_and_found_at_the_first_try_after_its_return() {
    let port = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let source =
        format!("pipeline:udpsrc port={port} address=127.0.0.1 caps=video/x-raw,format=GRAY8,width=16,height=12,framerate=25/1");
    let sender = Sender::to(port);
    let again = "stall-after-ms = 500\nretry-cap-ms = 1000";
    let mut scene = Scene::start(&[("gate", &source, again), ("door", HEALTHY, "")], &[]);
    scene.more("gate", 10);
    // A short silence: the pauses are still short. A long one: they are at their cap.
    for (silence, tries) in [("a short silence", 1), ("a long silence", 5)] {
        let before = scene.losses("gate");
        sender.turn(false);
        scene.lost("gate", before + tries);
        sender.turn(true);
        let took = scene.found_again("gate");
        eprintln!("after {silence}, {tries} tries: a frame {took:?} after its return");
        scene.more("gate", 10);
    }
    assert_eq!(scene.losses("door"), 0);
    let told = scene.ends(Duration::from_secs(5)).ends(0);
    assert!(told.err.contains("no frame for 500 ms; next try in 250 ms"), "{}", told.err);
    assert!(told.err.contains("next try in 1000 ms") && !told.err.contains("next try in 2000 ms"), "{}", told.err);
}

#[test]
fn a_network_camera_that_was_away_is_found_at_the_first_try_after_its_return() {
    let Some(mut camera) = sources::Camera::start("0", &[]) else { return };
    let (port, url) = (camera.port.clone(), camera.url(""));
    let mut scene = Scene::start(&[("gate", &url, "stall-after-ms = 1500\nretry-cap-ms = 1000")], &[]);
    scene.more("gate", 10);

    // Its process is killed; for a while nobody listens there, until the pauses are at their cap.
    drop(camera);
    scene.lost("gate", 6);
    // The old port may be held for a moment by connections that are being closed.
    let from_new = |_| {
        std::thread::sleep(Duration::from_millis(50));
        sources::Camera::start(&port, &[])
    };
    camera = (0..200).find_map(from_new).expect("the camera comes back");
    let took = scene.found_again("gate");
    eprintln!("killed and started again, pauses at their cap of 1 s: a frame {took:?} after its return");
    scene.more("gate", 10);

    // A hole in the network: it neither answers nor hangs up.
    for (hole, tries) in [("short", 1), ("long", 2)] {
        let before = scene.losses("gate");
        camera.signal("STOP");
        scene.lost("gate", before + tries);
        camera.signal("CONT");
        let took = scene.found_again("gate");
        eprintln!("a {hole} hole in the network, {tries} tries: a frame {took:?} after its end");
        scene.more("gate", 10);
    }
    let told = scene.ends(Duration::from_secs(5)).ends(0);
    // More than five lines a minute are not written.
    for says in ["the stream ended", "is the camera on", "next try in 1000 ms"] {
        assert!(told.err.contains(says), "{says}: {}", told.err);
    }
}

/// A folder with the stand-in for NVIDIA's plugin, and the file that ends its hangs.
struct Standin {
    folder: tempfile::TempDir,
    release: PathBuf,
}

impl Standin {
    fn new() -> Self {
        let built = Path::new(env!("CARGO_BIN_EXE_squint")).with_file_name("examples/libnvarguscamerasrc.so");
        assert!(built.is_file(), "{}: build it with `cargo build --example nvarguscamerasrc`; `cargo test` does", built.display());
        let folder = tempfile::tempdir().unwrap();
        std::fs::copy(built, folder.path().join("libnvarguscamerasrc.so")).unwrap();
        let release = folder.path().join("release");
        Self { folder, release }
    }

    /// A daemon with CSI cameras that misbehave as `told`, see the stand-in.
    fn scene(&self, cameras: &[(&str, &str, &str)], told: &str) -> Scene {
        let (folder, registry) = (self.folder.path().to_str().unwrap(), self.folder.path().join("registry"));
        let environment = [
            ("GST_PLUGIN_PATH", folder),
            ("GST_REGISTRY", registry.to_str().unwrap()),
            ("STANDIN_ARGUS", told),
            ("STANDIN_ARGUS_RELEASE", self.release.to_str().unwrap()),
        ];
        Scene::start(cameras, &environment)
    }

    /// The camera service is started again, so to speak: whoever hangs in it comes back.
    fn release(&self) {
        std::fs::write(&self.release, "").unwrap();
    }
}

const CSI: &str = "rate-hz = 10\nstall-after-ms = 800\nretry-cap-ms = 500";

#[test]
fn cameras_whose_driver_hangs_are_opened_again_until_too_many_hang_and_then_the_watchdog_bites() {
    let standin = Standin::new();
    // Hangs while a frame is handed on, while one is waited for, and while it is closed after an error and after a silence.
    let told = "0:push@3 1:create@3 2:error@3 2:close@3 3:silent@3 3:close@3";
    let cameras = ["csi:0", "csi:1", "csi:2", "csi:3"].map(|source| (source.strip_prefix("csi:").unwrap(), source, CSI));
    let mut scene = standin.scene(&[&cameras[..], &[("well", "csi:4", CSI), ("door", HEALTHY, "")]].concat(), told);
    // Each is lost, its driver does not let go of it, and it is opened again and delivers.
    for (camera, ..) in cameras {
        scene.lost(camera, 1);
        // One opening gives three at most.
        scene.until(camera, "delivers again", |camera| number(&camera["offered"]) > 3);
    }
    scene.assert_fed();

    // Eight hang, and those that were being opened meanwhile: no camera is opened any more, and only a new process helps.
    scene.until_logged("pipelines hang in the drivers of their cameras");
    scene.until_logged("the watchdog is fed no more");
    let hung = Instant::now();
    let from = scene.systemd.heard.len();
    scene.systemd.until(&mut scene.daemon, "pipelines hang in the drivers of their cameras", from);
    std::thread::sleep(Duration::from_millis(3500)); // the watchdog's periods are what is tested: it would be fed every 1.5 s
    assert_eq!(scene.systemd.fed(hung + Duration::from_millis(100)), 0, "not once");
    scene.until_logged("8 earlier pipelines hang in their driver; restart it");
    assert_eq!(status(&scene.systemd.control())["healthy"], Value::Bool(false));
    // Whoever is not concerned goes on.
    scene.more("well", 5);
    scene.more("door", 20);
    assert_eq!((scene.losses("well"), scene.losses("door")), (0, 0));

    // Should somebody restart the driver first, all is well again.
    let from = scene.systemd.heard.len();
    standin.release();
    scene.until_logged("all threads go on; the watchdog is fed again");
    scene.systemd.until(&mut scene.daemon, "WATCHDOG=1", from);
    for camera in ["0", "1", "2"] {
        scene.more(camera, 3);
    }
    let told = scene.ends(Duration::from_secs(5)).ends(0);
    assert!(told.err.contains("TIMEOUT (Argus Error Status); only one program can have the camera"), "{}", told.err);
    assert!(told.err.contains("the driver does not let go within 3s; its pipeline is left to itself"), "{}", told.err);
}

#[test]
fn a_driver_that_hangs_while_it_opens_is_given_up_after_ten_seconds_and_keeps_neither_the_others_nor_the_end() {
    let standin = Standin::new();
    let hang = ["csi:0", "csi:1", "csi:2", "csi:3"].map(|source| (source.strip_prefix("csi:").unwrap(), source, CSI));
    let mut scene = standin.scene(&[&hang[..], &[("door", HEALTHY, "")]].concat(), "0:open 1:open 2:open 3:open");
    // Another one is told to stop in the middle of it, with a second camera that hangs when it is closed.
    let mut stopped = standin.scene(&[("0", "csi:0", CSI), ("1", "csi:1", CSI), ("door", HEALTHY, "")], "0:open 1:close");
    stopped.more("1", 2);
    stopped.more("door", 5);
    let told = stopped.ends(Duration::from_secs(12));
    assert_ne!(told.code, Some(0), "it tells that something was left behind");
    assert!(told.err.contains("squint-0` did not finish within 5 s and was left behind"), "{}", told.err);
    assert!(told.err.contains("csi:1: the driver does not let go within 3s"), "{}", told.err);

    for (camera, ..) in hang {
        scene.lost(camera, 1);
    }
    // Each that hangs counts once: there are four.
    for (camera, ..) in hang {
        scene.until(camera, "is being opened again", |camera| camera["state"] == "opening");
        assert_eq!(scene.losses(camera), 1, "{}", scene.daemon.err());
    }
    scene.until_logged("the driver has not answered for 10 s; CSI cameras recover by: systemctl restart nvargus-daemon");
    scene.systemd.until(&mut scene.daemon, "READY=1", 0);
    assert!(scene.systemd.said("STATUS=starting: opening 0, 1, 2, 3"), "{:?}", scene.systemd.heard);
    scene.more("door", 20);
    standin.release();
    for (camera, ..) in hang {
        scene.more(camera, 3);
    }
    scene.assert_fed();
    scene.ends(Duration::from_secs(5)).ends(0);
}
