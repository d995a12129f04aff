//! The built program as a service: what it tells systemd, when the watchdog is fed and when not, reloads, engines that hang, stops.
//!
//! systemd is a datagram socket here; scripts/test-systemd has a real one. The engines are real networks that take their time, or
//! for ever, once the picture is bright (`lingers` in common/onnx_model.rs); the camera is dark at first.

#![allow(clippy::unwrap_used)] // also in functions beside the tests

#[allow(dead_code)]
#[path = "common/onnx_model.rs"]
mod onnx_model;
#[allow(dead_code, unused_imports)]
#[path = "common/shelf.rs"]
mod shelf;
#[path = "common/squint.rs"]
mod squint_cli;
#[allow(dead_code)]
#[path = "common/systemd.rs"]
mod systemd;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use onnx_model::Model;
use serde_json::Value;
use shelf::Shelf;
use squint_cli::{SOON, records, write};
use systemd::{Systemd, ask, status};

/// Time passes; the watchdog's periods are what is tested here.
fn pass(time: Duration) {
    std::thread::sleep(time);
}

/// Dark for `dark` frames, then bright for `bright`, then dark; 25 frames a second, small.
fn camera(dark: u32, bright: u32) -> String {
    let part = |frames: u32, pattern: &str| {
        format!(
            "videotestsrc num-buffers={frames} pattern={pattern} ! video/x-raw,format=RGB,width=64,height=48,framerate=25/1 ! c. "
        )
    };
    let parts = [part(dark, "black"), part(bright, "white"), part(1_000_000, "black")].concat();
    format!("pipeline:{parts} concat name=c ! identity sync=true")
}

/// Engines that linger where it is bright, and one that does not.
fn shelf(rounds: i64) -> Shelf {
    let shelf = Shelf::new();
    shelf.network("quick", &Model::bright_or_dark(32, 32));
    shelf.network("lingers", &Model { lingers: Some((2.0, rounds)), ..Model::bright_or_dark(32, 32) });
    shelf
}

const FOR_EVER: i64 = 1_000_000_000_000;

fn policy(folder: &Path, engine: &str, fallback: Option<&str>) -> PathBuf {
    let engines = [Some(engine), fallback].into_iter().flatten();
    let engines: String = engines.map(|id| format!("{id} = \"any\"\n")).collect();
    let fallback = fallback.map(|id| format!("fallback = \"{id}\"\n")).unwrap_or_default();
    let text = format!(
        "format = 1\nname = \"{engine}\"\nkind = \"fixed\"\n[engines]\n{engines}[fixed]\nengine = \"{engine}\"\n{fallback}"
    );
    write(folder.join(format!("{engine}.policy.toml")), text)
}

fn config(systemd: &Systemd, shelf: &Shelf, policy: &Path, cameras: &[(&str, &str)]) -> String {
    let (engines, control) = (shelf.path().display(), systemd.control());
    let mut text = format!(
        "policy = \"{}\"\n[engines]\nfolder = \"{engines}\"\ndeadline-ms = 300\n[control]\nsocket = \"{}\"\n",
        policy.display(),
        control.display()
    );
    for (name, source) in cameras {
        text.push_str(&format!("[[camera]]\nname = \"{name}\"\nsource = \"{source}\"\ndeadline-ms = 200\n"));
    }
    text
}

/// The engine that answered, or a dash.
fn answering(record: &Value) -> String {
    let last =
        record["engines"].as_array().and_then(|engines| engines.iter().rfind(|engine| engine["answered"] == Value::Bool(true)));
    last.map_or("-", |engine| engine["id"].as_str().unwrap()).to_owned()
}

#[test]
fn it_says_when_it_is_ready_how_it_is_and_that_it_stops() {
    let (mut systemd, shelf) = (Systemd::new(), shelf(0));
    let quick = policy(systemd.folder.path(), "quick", None);
    let text = config(&systemd, &shelf, &quick, &[("door", "test"), ("gone", "v4l2:/dev/video99")]);
    let mut service = systemd.service(&text, Duration::from_secs(4));
    systemd.until(&mut service, "READY=1", 0);
    let ready = systemd.heard.iter().position(|(_, said)| said.contains("READY=1")).unwrap();
    assert!(systemd.heard[..ready].iter().any(|(_, said)| said.contains("STATUS=starting: ")), "{:?}", systemd.heard);
    let status = &systemd.heard[ready].1;
    assert!(status.contains("STATUS=1 of 2 cameras deliver") && status.contains("camera gone is lost"), "{status}");
    // A camera that is lost for good is announced: the watchdog is fed.
    let since = Instant::now();
    pass(Duration::from_secs(5));
    assert!(systemd.fed(since) >= 2, "{:?}", systemd.heard);
    service.signal("TERM");
    let told = service.ends_within(SOON).ends(0);
    systemd.listen();
    assert!(systemd.said("STOPPING=1") && told.err.contains("stopped in good order"), "{}", told.err);
    assert!(!systemd.control().exists(), "the socket goes with it");
}

#[test]
fn an_engine_beyond_its_deadline_is_stuck_and_when_it_returns_it_is_asked_again() {
    // One to three seconds, by the machine; 300 ms are allowed. The looks of the warm-up are quick, they are grey.
    let (mut systemd, shelf) = (Systemd::new(), shelf(2_500_000));
    let lingers = policy(systemd.folder.path(), "lingers", Some("quick"));
    let text = config(&systemd, &shelf, &lingers, &[("door", &camera(50, 1))]);
    let mut service = systemd.service(&text, Duration::from_secs(20));
    service.until_logged("engine `lingers` has not come back within");
    service.until_logged("engine `lingers` has come back after");
    service.until("the quick one answers meanwhile, and the other one later again", |squint| {
        let engines: Vec<_> = records(&squint.out()).iter().map(answering).collect();
        let quick = engines.iter().position(|id| id == "quick");
        quick.is_some_and(|at| at > 5 && engines[at..].iter().any(|id| id == "lingers"))
    });
    service.signal("TERM");
    let told = service.ends_within(SOON).ends(0);
    assert!(told.err.contains("answers again after 1 failures"), "{}", told.err);
    systemd.listen();
    assert!(!systemd.said("no progress"), "{:?}", systemd.heard);
}

#[test]
fn an_engine_that_does_not_return_lets_the_watchdog_bite_and_the_log_says_who_hung() {
    let (mut systemd, shelf) = (Systemd::new(), shelf(FOR_EVER));
    let lingers = policy(systemd.folder.path(), "lingers", Some("quick"));
    let text = config(&systemd, &shelf, &lingers, &[("door", &camera(50, 1))]);
    let mut service = systemd.service(&text, Duration::from_secs(4));
    systemd.until(&mut service, "READY=1", 0);
    service.until_logged("looking with lingers for");
    service.until_logged("the watchdog is fed no more");
    let hung = Instant::now();
    let from = systemd.heard.len();
    systemd.until(&mut service, "STATUS=no progress: thread worker-", from);
    pass(Duration::from_millis(2500));
    assert_eq!(systemd.fed(hung + Duration::from_millis(100)), 0, "not once");
    // Until then the other engine answers.
    let state = status(&systemd.control());
    assert_eq!((&state["healthy"], &state["ready"]), (&Value::Bool(false), &Value::Bool(true)), "{state:#}");
    assert!(state["threads"].as_array().unwrap().iter().any(|thread| thread["overdue"] == Value::Bool(true)));
    let answered = service.out().lines().count();
    service.until_records(answered + 10);
    // Told to stop, it does not wait for it.
    service.signal("TERM");
    let told = service.ends_within(Duration::from_secs(5));
    assert!(told.err.contains("left behind") || told.err.contains("did not finish"), "{}", told.err);
}

#[test]
fn a_reload_takes_up_what_can_change_and_refuses_by_name_what_cannot() {
    let (mut systemd, shelf) = (Systemd::new(), shelf(0));
    let quick = policy(systemd.folder.path(), "quick", None);
    let lingers = policy(systemd.folder.path(), "lingers", Some("quick"));
    let text = config(&systemd, &shelf, &quick, &[("door", "test")]);
    let mut service = systemd.service(&text, Duration::from_secs(20));
    systemd.until(&mut service, "READY=1", 0);

    // Another policy, another engine, other limits: in force between two frames.
    systemd.config(&text.replace("quick.policy", "lingers.policy").replace("deadline-ms = 200", "deadline-ms = 900"));
    let from = systemd.heard.len();
    service.signal("HUP");
    let began = systemd.until(&mut service, "RELOADING=1", from);
    let done = systemd.until(&mut service, "READY=1", from);
    assert!(began <= done && systemd.heard[from..].iter().any(|(_, said)| said.contains("MONOTONIC_USEC=")));
    service.until("the other engine answers", |squint| squint.out().contains("\"id\":\"lingers\""));

    // What is wrong, or cannot change, changes nothing and is told.
    let refused = [
        ("log-level = \"loud\"\n".to_owned() + &text, "log-level"),
        (text.replace("\"test\"", "\"csi:0\""), "camera[door].source cannot change while Squint runs: restart it for that"),
        (text.replace("quick.policy", "nowhere.policy"), "there is no such policy"),
        (text.replace(shelf.path().to_str().unwrap(), "/nowhere"), "/nowhere"),
    ];
    for (wrong, says) in refused {
        systemd.config(&wrong);
        let from = systemd.heard.len();
        service.signal("HUP");
        systemd.until(&mut service, "READY=1", from);
        service.until_logged(says);
        assert!(
            systemd.heard[from..].iter().any(|(_, said)| said.contains("the last reload was refused")),
            "{:?}",
            &systemd.heard[from..]
        );
    }
    let state = status(&systemd.control());
    assert_eq!(
        (&state["policy"]["name"], &state["reload"]["count"], &state["reload"]["failed"]),
        (&"lingers".into(), &5.into(), &4.into())
    );

    // A model that is cut off is found out before anything changes.
    std::fs::write(shelf.path().join("quick/model.onnx"), "cut off").unwrap();
    systemd.config(&text);
    let answer = ask(&systemd.control(), "POST /reload");
    assert!(answer.starts_with("HTTP/1.1 4") && answer.contains("quick"), "{answer}");
    shelf.network("quick", &Model::bright_or_dark(32, 32));
    let answer = ask(&systemd.control(), "POST /reload");
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("policy quick over quick"), "{answer}");

    // The configuration replaced by a folder.
    let file = systemd.folder.path().join("squint.toml");
    std::fs::remove_file(&file).unwrap();
    std::fs::create_dir(&file).unwrap();
    let answer = ask(&systemd.control(), "POST /reload");
    assert!(answer.starts_with("HTTP/1.1 4") && answer.contains("squint.toml"), "{answer}");

    let before = service.out().lines().count();
    service.until_records(before + 20);
    service.signal("TERM");
    let told = service.ends_within(SOON).ends(0);
    let mut frames: Vec<_> = records(&told.out).iter().map(|record| record["frame"].as_u64().unwrap()).collect();
    let count = frames.len();
    frames.sort_unstable();
    frames.dedup();
    assert_eq!(frames.len(), count, "no frame is told of twice");
    drop(lingers);
}

#[test]
fn told_to_stop_at_any_moment_of_its_start_it_ends_at_once() {
    let (systemd, shelf) = (Systemd::new(), shelf(0));
    let quick = policy(systemd.folder.path(), "quick", None);
    let text = config(&systemd, &shelf, &quick, &[("door", "test")]);
    for after in [0, 2, 5, 10, 20, 40, 60, 80, 100, 150, 250, 400] {
        let service = systemd.service(&text, Duration::from_secs(20));
        pass(Duration::from_millis(after));
        service.signal("TERM");
        let told = service.ends_within(Duration::from_secs(5));
        // Before it heeds signals the system ends it.
        assert!(
            told.code == Some(0) || told.signal == Some(15),
            "after {after} ms: {:?} {:?}\n{}",
            told.code,
            told.signal,
            told.err
        );
    }
}

#[test]
fn two_instances_on_one_socket_are_one_too_many() {
    let (mut systemd, shelf) = (Systemd::new(), shelf(0));
    let quick = policy(systemd.folder.path(), "quick", None);
    let text = config(&systemd, &shelf, &quick, &[("door", "test")]);
    let mut service = systemd.service(&text, Duration::from_secs(20));
    systemd.until(&mut service, "READY=1", 0);
    let second = systemd.service(&text, Duration::from_secs(20));
    let told = second.ends_within(SOON);
    assert!(told.code.is_some_and(|code| code != 0) && told.err.contains("another program listens there already"), "{}", told.err);
    assert_eq!(status(&systemd.control())["ready"], Value::Bool(true), "the first one goes on");
    service.signal("TERM");
    service.ends_within(SOON).ends(0);
}

/// Scripts (scripts/test-systemd, scripts/soak) need such engines, too, and have no way to write a model.
#[test]
fn the_engines_that_scripts_use_are_those_of_the_tests() {
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/lingering");
    let shelf = Shelf::new();
    let dark = Model::bright_or_dark(32, 32);
    shelf.network("quick", &dark);
    shelf.network("lingers", &Model { lingers: Some((2.0, 2_500_000)), ..dark.clone() });
    shelf.network("hangs", &Model { lingers: Some((2.0, FOR_EVER)), ..dark });
    let files = ["labels/two.txt", "quick/model.onnx", "quick/engine.toml", "lingers/model.onnx", "lingers/engine.toml"];
    for file in files.into_iter().chain(["hangs/model.onnx", "hangs/engine.toml"]) {
        let (made, kept) = (shelf.path().join(file), kept.join(file));
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::create_dir_all(kept.parent().unwrap()).unwrap();
            std::fs::copy(&made, &kept).unwrap();
        }
        assert_eq!(std::fs::read(&kept).ok(), std::fs::read(&made).ok(), "{file}; UPDATE_GOLDEN=1 writes it anew");
    }
}
