//! `squint status`, `reload` and `set` as typed, against a daemon made of cardboard in this
//! process.

use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::common::program::*;
use crate::common::steering;
use crate::common::steering::Fake;
use crate::common::{skip, skip_without};
use squint::config::Control;
use squint::control::Server;
use squint::observe::{BoardState, BudgetState, State};
use squint::pipeline::clock::Stop;
use tempfile::TempDir;

struct House {
    folder: TempDir,
    fake: Arc<Fake>,
    server: Option<Server>,
}

impl House {
    fn open() -> Self {
        let (folder, fake) = (tempfile::tempdir().unwrap(), Fake::new());
        let places =
            Control { socket: Some(folder.path().join("control.sock")), ..Control::default() };
        let server = Some(Server::start(&places, fake.clone(), &Stop::new()).unwrap());
        Self { folder, fake, server }
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("control.sock")
    }

    fn ask(&self, args: &[&str]) -> Told {
        tell(self.command(args))
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = squint(args);
        command.arg("--socket").arg(self.socket());
        command
    }
}

#[test]
fn a_person_sees_everything_on_one_narrow_page_without_colours_in_a_pipe() {
    let house = House::open();
    let page = house.ask(&["status"]).ends(0).out;
    for words in [
        "squint 0.1.0   running for 1d 2h, ready, healthy",
        "mode auto, policy default (confidence), log level info",
        "100 frames: answered 25.0 %, reused 25.0 %, abstained 25.0 %, failed 25.0 %",
        "20.0 frames/s over 10 s",
        "budget saver (by power-mode): held by power, 6480.0 of 6000.0 mW",
        "  allowed: lite0-160; for 40 % of the frames lite2-260; one engine a frame; a",
        "Jetson TX2: VDD_IN 6.48 W, VDD_SYS_GPU 1.25 W, GPU-therm 64.5 of 80.0 °C",
        "board slows down at 95.5 °C)",
        "GPU 854 MHz 62 % busy",
        "power mode MAXQ",
        "over-current events",
        "  a look now: p50 2.5 ms, p95 4.0 ms, 12.5 mJ\n",
        "bikes                  delivering    1h 2m",
        "dropped 9.1 %: superseded 9, sink-full 1",
        "door                   retrying       12 s",
        "next try in 3 s",
        "lite0-160              ready       1m 1s   75 %   60 %     2.3     2.3",
        "lite4-300              stuck",
        "- camera door: lost 7 times",
        "last reload 2026-03-01T12:00:00.250Z, refused (3 in all, 1 refused)\n  no policy `nigth`",
    ] {
        assert!(page.contains(words), "{words:?} is not in\n{page}");
    }
    assert!(page.lines().all(|line| line.chars().count() <= 80), "{page}");
    assert!(!page.contains('\x1b'));
    assert!(
        !page.contains("VDD_SYS_SOC") && !page.contains("slows itself down"),
        "what is unknown is not told"
    );
}

#[test]
fn a_board_without_sensors_and_a_free_budget_are_told_in_a_line_each() {
    let house = House::open();
    {
        let mut state = house.fake.state.lock().unwrap();
        state.board = Some(BoardState::default());
        let because = "free".into();
        state.budget = Some(BudgetState {
            because,
            value: None,
            limit: None,
            mode: "performance".into(),
            chosen_by: "config".into(),
            ..steering::budget()
        });
        state.engines.iter_mut().for_each(|engine| {
            (engine.p50_ms, engine.p95_ms, engine.energy_mj) = (None, None, None)
        });
    }
    let page = house.ask(&["status"]).ends(0).out;
    assert!(page.contains("\nbudget performance (by config): nothing holds it down\nboard: no sensor reads anything;"), "{page}");
    assert!(
        !page.contains("allowed:") && !page.contains("a look now") && !page.contains(" W,"),
        "{page}"
    );
    {
        let mut state = house.fake.state.lock().unwrap();
        (state.board, state.budget) = (None, None);
    }
    let page = house.ask(&["status"]).ends(0).out;
    assert!(!page.contains("budget") && !page.contains("board"), "{page}");
}

#[test]
fn what_hangs_or_ails_is_the_first_thing_wrong_and_cannot_steer_the_terminal() {
    let house = House::open();
    {
        let mut state = house.fake.state.lock().unwrap();
        state.healthy = false;
        state.complaints =
            vec!["engine lite4-300 is stuck: \x1b[2J a long story of what it did and since when, and what happens next".into()];
        state.threads[0].overdue = true;
    }
    let told = house.ask(&["status"]).ends(69);
    assert!(
        told.err.starts_with("squint: not healthy: engine lite4-300 is stuck: ")
            && !told.err.contains('\x1b'),
        "{}",
        told.err
    );
    house.ask(&["status", "--json"]).ends(69).json();
    let page = told.out;
    let wrong: Vec<_> = page.lines().skip_while(|line| *line != "wrong now").collect();
    assert!(
        wrong[1].starts_with("- engine lite4-300 is stuck: \\u{1b}[2J a long story")
            && wrong[2].starts_with("  "),
        "{page}"
    );
    assert!(wrong[3].starts_with("- thread sink hangs: waiting for a report"), "{page}");
    assert!(page.contains("unhealthy") && !page.contains('\x1b'));
}

#[test]
fn a_program_gets_the_state_as_json() {
    let house = House::open();
    let told = house.ask(&["status", "--json"]).ends(0);
    let state: State = serde_json::from_value(told.json()).unwrap();
    assert_eq!((state.pid, state.counted.all.settled()), (std::process::id(), 100));
    assert_eq!(told.json()["cameras"][0]["drops"]["sink-full"], 1);
    assert_eq!(told.json()["engines"][2]["state"], "stuck");
}

#[test]
fn watching_goes_on_until_the_daemon_stops_and_says_that_it_has() {
    let mut house = House::open();
    let mut json = Daemon::start(house.command(&["status", "--json", "--watch"]));
    let mut plain = Daemon::start(house.command(&["status", "--watch"]));
    json.until_records(2);
    plain.until_records(2);
    drop(house.server.take());
    let told = json.ends().ends(69);
    assert!(
        told.records().iter().all(|state| state["phase"] == "running")
            && told.err.contains("has stopped"),
        "{}",
        told.err
    );
    let told = plain.ends().ends(69);
    let line = told.out.lines().next().unwrap();
    assert!(
        line.starts_with(
            "running 1d 2h, ready, mode auto, policy default, 1 of 2 cameras deliver, 20.0 fps"
        ),
        "{line}"
    );
    assert!(line.contains(" dropped, budget saver held by power, 6.48 W, 64.5 °C; "), "{line}");
}

#[test]
fn on_a_terminal_the_page_has_colours_and_is_drawn_anew_every_second() {
    let mut house = House::open();
    // a terminal of its own, from util-linux
    let command = format!(
        "{} status --watch --socket {}",
        env!("CARGO_BIN_EXE_squint"),
        house.socket().display()
    );
    let mut terminal = Command::new("script");
    terminal.args(["-qec", &command, "/dev/null"]).env("TERM", "xterm").env_remove("NO_COLOR");
    if Command::new("script").arg("--version").output().is_err() {
        skip("script, of the package bsdutils, is not installed");
        return;
    }
    let mut watching = Daemon::start(terminal);
    watching.until("two pages", |watching| watching.out().matches("\x1b[H\x1b[J").count() >= 2);
    drop(house.server.take());
    let told = watching.ends().ends(69);
    assert!(
        told.out.contains("\x1b[32mready\x1b[0m") && told.out.contains("has stopped"),
        "{}",
        told.out
    );
}

#[test]
fn reload_succeeds_only_if_the_new_configuration_is_in_force() {
    let house = House::open();
    assert_eq!(house.ask(&["reload"]).ends(0).out, "reload: done\n");
    house.fake.stubborn.store(true, Ordering::SeqCst);
    let told = house.ask(&["reload"]).ends(78);
    assert_eq!((told.out.as_str(), told.err.as_str()), ("", "squint: reload: not today\n"));
}

/// As the ExecReload= of the unit asks for it.
#[test]
fn reload_of_a_main_process_goes_over_the_socket_or_checks_the_files_and_sends_the_signal() {
    let house = House::open();
    let own = std::process::id().to_string();
    assert_eq!(house.ask(&["reload", "--main-pid", &own]).ends(0).out, "reload: done\n");
    house.fake.stubborn.store(true, Ordering::SeqCst);
    house.ask(&["reload", "--main-pid", &own]).ends(78);

    let mut daemon = Command::new("sh")
        .args(["-c", "trap 'exit 7' HUP; echo up; while :; do sleep 0.02; done"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    daemon.stdout.take().unwrap().read_exact(&mut [0; 3]).unwrap();
    let id = daemon.id().to_string();
    let reload = |text: &str| {
        let config = write(house.folder.path().join("without.toml"), text);
        ask(["reload", "--config", config.to_str().unwrap(), "--main-pid", &id])
    };
    let camera = "[[camera]]\nname = \"door\"\nsource = \"test\"\n";
    let broken = reload(&format!("policy = \"nonsense\"\n{camera}")).ends(78);
    assert!(broken.out.contains("nonsense"), "{}", broken.out);
    assert!(reload("polcy = 7\n").ends(78).err.contains("polcy"));
    assert!(daemon.try_wait().unwrap().is_none(), "a broken file does not reach the daemon");
    let told = reload(camera).ends(0);
    assert!(told.out.contains("told by a signal"), "{}", told.out);
    assert_eq!(daemon.wait().unwrap().code(), Some(7));
    assert_eq!(house.fake.told(), ["reload", "reload"], "another squint's socket is left alone");
}

#[test]
fn settings_reach_the_daemon_and_wrong_ones_are_usage() {
    let house = House::open();
    assert_eq!(house.ask(&["set", "log-level", "debug"]).ends(0).out, "log-level debug: done\n");
    house.ask(&["set", "mode", "eco"]).ends(0);
    house.ask(&["set", "policy", "/etc/squint/night.policy.toml"]).ends(0);
    assert_eq!(
        house.fake.told(),
        ["log-level debug", "mode eco", "policy /etc/squint/night.policy.toml"]
    );
    let told = house.ask(&["set", "mode", "sleepy"]).ends(64);
    assert!(
        told.err.contains("allowed: auto, eco, paused, saver, balanced, performance, unlimited"),
        "{}",
        told.err
    );
    assert!(house.ask(&["set", "colour", "red"]).ends(64).err.contains("log-level, policy, mode"));
}

#[test]
fn the_socket_is_found_through_the_configuration_even_a_broken_one() {
    let house = House::open();
    let text =
        format!("polcy = \"default\"\n[control]\nsocket = \"{}\"\n", house.socket().display());
    let config = write(house.folder.path().join("squint.toml"), text);
    ask(["status", "--config", config.to_str().unwrap()]).ends(0);
    let mut command = squint(["status"]);
    tell({
        command.env("SQUINT_CONFIG", &config);
        command
    })
    .ends(0);
    let mut command = squint(["status"]);
    command.env("SQUINT_CONTROL__SOCKET", house.socket());
    tell(command).ends(0);
    let without = write(house.folder.path().join("without.toml"), "policy = \"default\"\n");
    let told = ask(["status", "--config", without.to_str().unwrap()]).ends(78);
    assert!(told.err.contains("control.socket is not set"), "{}", told.err);
}

#[test]
fn where_nobody_listens_the_client_says_so_and_what_may_be_the_matter() {
    let folder = tempfile::tempdir().unwrap();
    let ask = |path: &PathBuf| ask(["status", "--socket", path.to_str().unwrap()]).ends(69).err;
    let nowhere = ask(&folder.path().join("nowhere.sock"));
    assert!(nowhere.contains("no squint listens at") && nowhere.contains("--socket"), "{nowhere}");
    let stale = folder.path().join("stale.sock");
    drop(UnixListener::bind(&stale).unwrap());
    assert!(ask(&stale).contains("no squint listens at"));
}

#[test]
fn another_program_at_the_socket_is_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("other.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let other = std::thread::spawn(move || {
        for answer in ["220 mail ready\r\n", "HTTP/1.1 200 OK\r\n\r\n[1, 2]"] {
            let _ = listener.accept().unwrap().0.write_all(answer.as_bytes());
        }
    });
    for _ in 0..2 {
        let told = ask(["status", "--socket", path.to_str().unwrap()]);
        assert!(told.code == Some(69) || told.code == Some(74), "{:?} {}", told.code, told.err);
        assert!(
            told.err.contains("does not speak squint's control protocol")
                || told.err.contains("went away"),
            "{}",
            told.err
        );
    }
    other.join().unwrap();
}

#[test]
fn whoever_is_not_in_the_group_is_told_which_one_to_join() {
    let house = House::open();
    fs::set_permissions(house.folder.path(), Permissions::from_mode(0o755)).unwrap();
    let program = env!("CARGO_BIN_EXE_squint");
    let mut nobody = Command::new("setpriv");
    nobody
        .args(["--reuid=65534", "--regid=65534", "--clear-groups", program])
        .env_remove("SQUINT_CONFIG")
        .current_dir("/");
    let runs = nobody.arg("--version").output();
    if !runs.is_ok_and(|said| said.status.success()) {
        skip_without(
            "other-users",
            "only root can try as somebody else, with setpriv, and where others may run the program",
        );
        return;
    }
    let mut nobody = Command::new("setpriv");
    nobody
        .args(["--reuid=65534", "--regid=65534", "--clear-groups", program, "status", "--socket"])
        .arg(house.socket());
    let told = tell(nobody).ends(74);
    assert!(told.err.contains("for members of the group root: join it"), "{}", told.err);
}

#[test]
fn a_daemon_that_does_not_answer_is_not_waited_for_forever() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deaf.sock");
    let _listener = UnixListener::bind(&path).unwrap();
    let deaf = Daemon::start(squint(["status", "--socket", path.to_str().unwrap()]));
    let told = deaf.ends().ends(69);
    assert!(told.err.contains("does not answer within 10 s"), "{}", told.err);
}
