//! The built program as a service: what it tells systemd, when the watchdog is fed and when not,
//! reloads, engines that hang, stops.
//!
//! systemd is a datagram socket here; scripts/test-systemd has a real one. The engines are real
//! networks that take their time, or for ever, once the picture is bright (`lingers` in
//! common/onnx_model.rs); the camera is dark at first.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::common::onnx_model::Model;
use crate::common::program as squint_cli;
use crate::common::program::{SOON, records, write};
use crate::common::shelf::Shelf;
use crate::common::skip_without;
use crate::common::systemd::{Systemd, ask, status};
use serde_json::Value;

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
    shelf.network(
        "lingers",
        &Model { lingers: Some((2.0, rounds)), ..Model::bright_or_dark(32, 32) },
    );
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
        text.push_str(&format!(
            "[[camera]]\nname = \"{name}\"\nsource = \"{source}\"\ndeadline-ms = 200\n"
        ));
    }
    text
}

/// The engine that answered, or a dash.
fn answering(record: &Value) -> String {
    let last = record["engines"]
        .as_array()
        .and_then(|engines| engines.iter().rfind(|engine| engine["answered"] == Value::Bool(true)));
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
    assert!(
        systemd.heard[..ready].iter().any(|(_, said)| said.contains("STATUS=starting: ")),
        "{:?}",
        systemd.heard
    );
    let status = &systemd.heard[ready].1;
    assert!(
        status.contains("STATUS=1 of 2 cameras deliver") && status.contains("camera gone is lost"),
        "{status}"
    );
    // A camera that is lost for good is announced: the watchdog is fed.
    let since = Instant::now();
    pass(Duration::from_secs(5));
    assert!(systemd.fed(since) >= 2, "{:?}", systemd.heard);
    service.signal("TERM");
    let told = service.ends().ends(0);
    systemd.listen();
    assert!(
        systemd.said("STOPPING=1") && told.err.contains("stopped in good order"),
        "{}",
        told.err
    );
    assert!(!systemd.control().exists(), "the socket goes with it");
}

#[test]
fn an_engine_beyond_its_deadline_is_stuck_and_when_it_returns_it_is_asked_again() {
    // One to three seconds, by the machine; 300 ms are allowed. The looks of the warm-up are quick,
    // they are grey.
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
    let told = service.ends().ends(0);
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
    assert_eq!(
        (&state["healthy"], &state["ready"]),
        (&Value::Bool(false), &Value::Bool(true)),
        "{state:#}"
    );
    assert!(
        state["threads"]
            .as_array()
            .unwrap()
            .iter()
            .any(|thread| thread["overdue"] == Value::Bool(true))
    );
    let answered = service.out().lines().count();
    service.until_records(answered + 10);
    // Told to stop, it does not wait for it.
    service.signal("TERM");
    let told = service.ends();
    assert!(
        told.err.contains("left behind") || told.err.contains("did not finish"),
        "{}",
        told.err
    );
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
    systemd.config(
        &text
            .replace("quick.policy", "lingers.policy")
            .replace("deadline-ms = 200", "deadline-ms = 900"),
    );
    let from = systemd.heard.len();
    service.signal("HUP");
    let began = systemd.until(&mut service, "RELOADING=1", from);
    let done = systemd.until(&mut service, "READY=1", from);
    assert!(
        began <= done
            && systemd.heard[from..].iter().any(|(_, said)| said.contains("MONOTONIC_USEC="))
    );
    service.until("the other engine answers", |squint| squint.out().contains("\"id\":\"lingers\""));

    // What is wrong, or cannot change, changes nothing and is told.
    let refused = [
        ("log-level = \"loud\"\n".to_owned() + &text, "log-level"),
        (
            text.replace("\"test\"", "\"csi:0\""),
            "camera[door].source cannot change while Squint runs: restart it for that",
        ),
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
            systemd.heard[from..]
                .iter()
                .any(|(_, said)| said.contains("the last reload was refused")),
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
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.contains("policy quick over quick"),
        "{answer}"
    );

    // The configuration replaced by a folder.
    let file = systemd.folder.path().join("squint.toml");
    std::fs::remove_file(&file).unwrap();
    std::fs::create_dir(&file).unwrap();
    let answer = ask(&systemd.control(), "POST /reload");
    assert!(answer.starts_with("HTTP/1.1 4") && answer.contains("squint.toml"), "{answer}");

    let before = service.out().lines().count();
    service.until_records(before + 20);
    service.signal("TERM");
    let told = service.ends().ends(0);
    let mut frames: Vec<_> =
        records(&told.out).iter().map(|record| record["frame"].as_u64().unwrap()).collect();
    let count = frames.len();
    frames.sort_unstable();
    frames.dedup();
    assert_eq!(frames.len(), count, "no frame is told of twice");
    drop(lingers);
}

#[test]
fn a_reload_whose_engine_does_not_come_to_the_end_of_its_loading_is_given_up_and_the_next_one_works()
 {
    let (mut systemd, shelf) = (Systemd::new(), shelf(0));
    // Whatever the picture, that of the warm-up, too.
    shelf.network(
        "endless",
        &Model { lingers: Some((-1.0e6, FOR_EVER)), ..Model::bright_or_dark(32, 32) },
    );
    let (quick, endless) = (
        policy(systemd.folder.path(), "quick", None),
        policy(systemd.folder.path(), "endless", None),
    );
    let text = config(&systemd, &shelf, &quick, &[("door", "test")]);
    let mut service = systemd.service(&text, Duration::from_secs(4));
    systemd.until(&mut service, "READY=1", 0);
    systemd.config(&config(&systemd, &shelf, &endless, &[("door", "test")]));
    let before = Instant::now();
    let answer = ask(&systemd.control(), "POST /reload");
    assert!(
        answer.starts_with("HTTP/1.1 409")
            && answer.contains("endless")
            && answer.contains("did not finish"),
        "{answer}"
    );
    assert!(systemd.fed(before) >= 2, "the watchdog is fed meanwhile");
    let state = status(&systemd.control());
    assert_eq!(
        (&state["healthy"], &state["policy"]["name"]),
        (&Value::Bool(true), &"quick".into()),
        "{state:#}"
    );
    assert!(state["degraded"].to_string().contains("the last reload was refused"), "{state:#}");
    systemd.config(&text);
    let answer = ask(&systemd.control(), "POST /reload");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let answered = service.out().lines().count();
    service.until_records(answered + 10);
    service.signal("TERM");
    service.ends();
}

#[test]
fn a_camera_whose_frames_no_engine_has_looked_at_for_seconds_is_named_until_one_does() {
    let (mut systemd, shelf) = (Systemd::new(), shelf(0));
    // Some 0.1 s, whatever the picture.
    shelf.network(
        "slow",
        &Model { lingers: Some((-1.0e6, 100_000)), ..Model::bright_or_dark(32, 32) },
    );
    let slow = policy(systemd.folder.path(), "slow", None);
    let rare = "pipeline:videotestsrc is-live=true ! video/x-raw,format=RGB,width=64,height=48,framerate=4/1";
    let text = config(&systemd, &shelf, &slow, &[("door", rare)])
        .replace("deadline-ms = 300", "deadline-ms = 5000");
    let hurried = text.replace("deadline-ms = 200", "deadline-ms = 3");
    let mut service = systemd.service(&hurried, Duration::from_secs(20));
    systemd.until(&mut service, "READY=1", 0);
    service.until_logged("camera door delivers, but no engine has looked at its frames for");
    let state = status(&systemd.control());
    assert_eq!(
        (&state["healthy"], &state["ready"]),
        (&Value::Bool(true), &Value::Bool(true)),
        "{state:#}"
    );
    assert!(
        state["degraded"].to_string().contains("camera door delivers, but no engine has looked"),
        "{state:#}"
    );
    assert!(state["cameras"][0]["unanswered_s"].as_f64().unwrap() >= 5.0, "{state:#}");
    assert!(ask(&systemd.control(), "GET /readyz").contains("ok; "), "said behind the ok");
    systemd.config(&text.replace("deadline-ms = 200", "deadline-ms = 20000"));
    assert!(ask(&systemd.control(), "POST /reload").starts_with("HTTP/1.1 200"));
    service.until_logged("door: engines look at its frames again");
    assert_eq!(status(&systemd.control())["cameras"][0]["unanswered_s"].as_f64(), Some(0.0));
    service.signal("TERM");
    service.ends().ends(0);
}

#[test]
fn it_leaves_no_core_whatever_takes_them_unless_the_limit_says_otherwise() {
    let shelf = shelf(0);
    let folder = tempfile::tempdir().unwrap();
    for path in [folder.path(), shelf.path()] {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let quick = policy(folder.path(), "quick", None);
    let root = std::fs::metadata("/proc/self").unwrap().uid() == 0;
    for (limit, expected) in [("0", true), ("unlimited", false)] {
        let (quick, shelf) = (quick.to_str().unwrap(), shelf.path().to_str().unwrap());
        let inner = squint_cli::squint([
            "run",
            "--source",
            "test",
            "--quiet",
            "--policy",
            quick,
            "--engines",
            shelf,
        ]);
        let mut command = std::process::Command::new("sh");
        command.args(["-c", &format!("ulimit -c {limit} && exec \"$@\""), "sh"]);
        if root {
            command.args(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]);
        }
        command.arg(inner.get_program()).args(inner.get_args());
        squint_cli::surround(&mut command, &inner);
        command.current_dir("/");
        let mut service = squint_cli::Daemon::start(command);
        let begun = Instant::now();
        while !service.err().contains("delivering") {
            if service.err().contains("ermission")
                || service.err().contains("not permitted")
                || service.err().contains("not found")
            {
                return skip_without(
                    "other-users",
                    format_args!("nobody else can run the program of the test: {}", service.err()),
                );
            }
            assert!(begun.elapsed() < SOON, "{}", service.err());
            pass(Duration::from_millis(10));
        }
        // The kernel gives the files of a process that leaves no core to root, which this one is
        // not.
        let owner = std::fs::metadata(format!("/proc/{}/environ", service.id())).unwrap().uid();
        assert_eq!(owner == 0, expected, "limit {limit}: its files belong to {owner}");
        service.until_logged("delivering");
        // What it reads of itself it can still read.
        assert!(!service.err().contains("cannot be counted"), "{}", service.err());
        service.signal("TERM");
        service.ends().ends(0);
    }
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
        let told = service.ends();
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
    let told = second.ends();
    assert!(
        told.code.is_some_and(|code| code != 0)
            && told.err.contains("another program listens there already"),
        "{}",
        told.err
    );
    assert_eq!(status(&systemd.control())["ready"], Value::Bool(true), "the first one goes on");
    service.signal("TERM");
    service.ends().ends(0);
}

/// Scripts (scripts/test-systemd, scripts/soak) need such engines, too, and have no way to write a
/// model.
#[test]
fn the_engines_that_scripts_use_are_those_of_the_tests() {
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/lingering");
    let shelf = Shelf::new();
    let dark = Model::bright_or_dark(32, 32);
    shelf.network("quick", &dark);
    shelf.network("lingers", &Model { lingers: Some((2.0, 2_500_000)), ..dark.clone() });
    shelf.network("hangs", &Model { lingers: Some((2.0, FOR_EVER)), ..dark });
    let files = [
        "labels/two.txt",
        "quick/model.onnx",
        "quick/engine.toml",
        "lingers/model.onnx",
        "lingers/engine.toml",
    ];
    for file in files.into_iter().chain(["hangs/model.onnx", "hangs/engine.toml"]) {
        let (made, kept) = (shelf.path().join(file), kept.join(file));
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::create_dir_all(kept.parent().unwrap()).unwrap();
            std::fs::copy(&made, &kept).unwrap();
        }
        assert_eq!(
            std::fs::read(&kept).ok(),
            std::fs::read(&made).ok(),
            "{file}; UPDATE_GOLDEN=1 writes it anew"
        );
    }
}
