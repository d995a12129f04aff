//! What goes wrong with cameras, through the whole daemon: each fault is injected, and what is
//! expected stands beside it. docs/reference/faults.md lists all faults and where the others are
//! tested.
//!
//! The cameras are GStreamer's own test elements, datagrams, and an RTSP server. Every test ends
//! with the law of frames.

use std::io::{Read, Write};
use std::net::{TcpListener, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::common::fake_rtsp;
use crate::common::scene::{HEALTHY, Scene};
use crate::common::sources;
use crate::common::systemd::status;

#[test]
fn a_camera_that_fails_ends_or_yields_nothing_is_opened_again_and_the_others_go_on() {
    let again = "retry-cap-ms = 300\nstall-after-ms = 600\nopen-timeout-ms = 900";
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
    let told = scene.ends().ends(0);
    for says in [
        "Failed after iterations as requested",
        "the stream ended, which a live source must not do",
        "no picture within 900 ms of opening it",
    ] {
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
fn a_camera_that_falls_silent_is_lost_without_a_word_from_it_and_found_at_the_first_try_after_its_return()
 {
    let port = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let source = format!(
        "pipeline:udpsrc port={port} address=127.0.0.1 caps=video/x-raw,format=GRAY8,width=16,height=12,framerate=25/1"
    );
    let sender = Sender::to(port);
    let again = "stall-after-ms = 500\nopen-timeout-ms = 500\nretry-cap-ms = 1000";
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
    let told = scene.ends().ends(0);
    assert!(
        told.err.contains("no frame for 500 ms (stall-after-ms); next try in 250 ms"),
        "{}",
        told.err
    );
    assert!(
        told.err.contains("next try in 1000 ms") && !told.err.contains("next try in 2000 ms"),
        "{}",
        told.err
    );
}

#[test]
fn a_network_camera_that_was_away_is_found_at_the_first_try_after_its_return() {
    let Some(mut camera) = sources::Camera::start("0", &[]) else { return };
    let (port, url) = (camera.port.clone(), camera.url(""));
    let mut scene = Scene::start(
        &[("gate", &url, "stall-after-ms = 1500\nopen-timeout-ms = 1500\nretry-cap-ms = 1000")],
        &[],
    );
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
    eprintln!(
        "killed and started again, pauses at their cap of 1 s: a frame {took:?} after its return"
    );
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
    let told = scene.ends().ends(0);
    // More than five lines a minute are not written.
    for says in ["the stream ended", "is the camera on", "next try in 1000 ms"] {
        assert!(told.err.contains(says), "{says}: {}", told.err);
    }
}

#[test]
fn a_camera_that_refuses_the_login_is_not_tried_again_before_minutes_or_a_reload_and_said_once() {
    let camera = fake_rtsp::FakeCamera::start(|_| {
        "401 Unauthorized\r\nWWW-Authenticate: Digest realm=\"cam\", nonce=\"abc\"\r\n".into()
    });
    let mut scene =
        Scene::start(&[("gate", &camera.url("operator:wrong@"), ""), ("door", HEALTHY, "")], &[]);
    scene.until("gate", "refused", |camera| {
        camera["state"] == "refused" && camera["next_try_s"].as_f64().unwrap() > 60.0
    });
    assert_eq!(camera.logins(), 1);
    scene.more("door", 20);
    scene.assert_fed();
    assert_eq!((scene.losses("gate"), camera.logins()), (1, 1), "no account is locked");
    // A reload tries at once, with what the configuration says now.
    for tries in 2..4 {
        scene.daemon.signal("HUP");
        scene.lost("gate", tries);
        scene.until("gate", "refused", |camera| {
            camera["state"] == "refused" && camera["next_try_s"].as_f64().unwrap() > 60.0
        });
        assert_eq!(camera.logins() as u64, tries);
    }
    let told = scene.ends().ends(0);
    let said: Vec<_> = told
        .err
        .lines()
        .filter(|line| line.contains("refuses user name and password: mend"))
        .collect();
    assert_eq!(said.len(), 3, "once, and once after each reload: {}", told.err);
    assert!(
        said[0].contains("next try comes in 2 min") && said[0].contains("squint reload"),
        "{}",
        said[0]
    );
}

#[test]
fn a_login_that_was_mended_is_taken_up_by_a_reload_from_the_file_of_the_password_and_from_the_configuration()
 {
    let Some(camera) = sources::Camera::start("0", &["operator", "p@ss/7%41"]) else { return };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    std::fs::write(&file, "wrong\n").unwrap();
    let by_file = format!("user = \"operator\"\npassword-file = \"{}\"", file.display());
    let mut scene = Scene::start(
        &[("file", &camera.url(""), &by_file), ("text", &camera.url("operator:wrong@"), "")],
        &[],
    );
    for name in ["file", "text"] {
        scene.until(name, "refused", |camera| camera["state"] == "refused");
    }
    std::fs::write(&file, "p@ss/7%41\n").unwrap();
    let config = scene.systemd.folder.path().join("squint.toml");
    let text = std::fs::read_to_string(&config)
        .unwrap()
        .replace("operator:wrong@", "operator:p@ss/7%2541@");
    std::fs::write(&config, text).unwrap();
    scene.daemon.signal("HUP");
    for name in ["file", "text"] {
        scene.more(name, 5);
    }
    let told = scene.ends().ends(0);
    assert!(!told.err.contains("p@ss") && !told.err.contains("p%40ss"), "{}", told.err);
}

#[test]
fn a_camera_that_takes_its_time_for_the_first_picture_is_not_lost_meanwhile() {
    let port = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let source = format!(
        "pipeline:udpsrc port={port} address=127.0.0.1 caps=video/x-raw,format=GRAY8,width=16,height=12,framerate=25/1"
    );
    let sender = Sender::to(port);
    sender.turn(false);
    let mut scene = Scene::start(
        &[("gate", &source, "stall-after-ms = 400\nretry-cap-ms = 300"), ("door", HEALTHY, "")],
        &[],
    );
    // Several times as long as it may be silent afterwards.
    scene.more("door", 60);
    assert_eq!(scene.losses("gate"), 0, "{}", scene.daemon.err());
    sender.turn(true);
    scene.more("gate", 10);
    assert_eq!(scene.losses("gate"), 0, "{}", scene.daemon.err());
    sender.turn(false);
    scene.lost("gate", 1);
    sender.turn(true);
    let told = scene.ends().ends(0);
    assert!(told.err.contains("no frame for 400 ms (stall-after-ms)"), "{}", told.err);
}

/// A network camera that begins an answer and does not end it, a byte at a time.
struct Tarpit {
    port: u16,
    calls: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
}

impl Tarpit {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (calls, over) = (Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
        let (counted, is_over) = (Arc::clone(&calls), Arc::clone(&over));
        std::thread::spawn(move || {
            for mut caller in listener.incoming().map_while(Result::ok) {
                counted.fetch_add(1, Ordering::SeqCst);
                let is_over = Arc::clone(&is_over);
                std::thread::spawn(move || {
                    let _ = caller.read(&mut [0; 4096]);
                    let mut going = caller.write_all(b"RTSP/1.0 200 OK\r\nX: ").is_ok();
                    while going && !is_over.load(Ordering::SeqCst) {
                        std::thread::sleep(Duration::from_millis(20));
                        going = caller.write_all(b"A").is_ok();
                    }
                });
            }
        });
        Self { port, calls, over }
    }

    fn calls(&self) -> u64 {
        self.calls.load(Ordering::SeqCst)
    }
}

#[test]
fn a_network_camera_that_never_ends_its_answer_waits_alone_and_keeps_neither_the_others_nor_the_watchdog()
 {
    let tarpit = Tarpit::new();
    let url = format!("rtsp://127.0.0.1:{}/x", tarpit.port);
    let hasty = "stall-after-ms = 300\nopen-timeout-ms = 300\nretry-cap-ms = 300";
    let mut scene = Scene::start(&[("evil", &url, hasty), ("door", HEALTHY, "")], &[]);
    scene.until_logged("2 earlier connections to this camera hang in an answer that does not end");
    let before = scene.losses("evil");
    scene.lost("evil", before + 4);
    assert_eq!(tarpit.calls(), 2, "no third connection is opened");
    scene.more("door", 40);
    scene.assert_fed();
    assert_eq!(status(&scene.systemd.control())["healthy"], serde_json::Value::Bool(true));
    // As soon as its answers end, it is opened again.
    tarpit.over.store(true, Ordering::SeqCst);
    scene.until("evil", "is opened again", |_| tarpit.calls() > 2);
    assert_eq!(scene.losses("door"), 0);
    let told = scene.ends().ends(0);
    assert!(told.err.contains("no picture within 300 ms of opening it"), "{}", told.err);
    assert_eq!(
        told.err.matches("its connection cannot be closed within 3s").count(),
        2,
        "{}",
        told.err
    );
    assert!(!told.err.contains("nvargus") && !told.err.contains("the watchdog"), "{}", told.err);
}
