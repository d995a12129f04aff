//! The control server as its clients meet it: every route, both doors, and clients that behave
//! badly.

use std::fs;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::common::steering;
use crate::common::steering::Fake;
use crate::common::{SOON, eventually, skip, skip_without};
use squint::config::Control;
use squint::control::{ControlError, Server};
use squint::observe::State;
use squint::pipeline::clock::Stop;
use squint::vocabulary::Phase;
use tempfile::TempDir;

/// A server with both doors.
struct House {
    folder: TempDir,
    fake: Arc<Fake>,
    stop: Stop,
    server: Option<Server>,
    port: u16,
}

impl House {
    fn open() -> Self {
        let (folder, fake, stop) = (tempfile::tempdir().unwrap(), Fake::new(), Stop::new());
        let places = Control {
            socket: Some(folder.path().join("control.sock")),
            http_port: Some(0),
            ..Control::default()
        };
        let server = Server::start(&places, fake.clone(), &stop).unwrap();
        let port = server.port().unwrap();
        Self { folder, fake, stop, server: Some(server), port }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("control.sock")
    }

    fn unix(&self) -> UnixStream {
        let stream = UnixStream::connect(self.path()).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        stream
    }

    fn tcp(&self) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        stream
    }

    /// Over the socket: status, content type, body.
    fn ask(&self, method: &str, target: &str, body: &str) -> (u16, String, String) {
        ask(self.unix(), method, target, body, "squint")
    }

    /// Over the port.
    fn ask_port(&self, method: &str, target: &str, body: &str) -> (u16, String, String) {
        ask(self.tcp(), method, target, body, "127.0.0.1")
    }
}

fn ask(
    mut stream: impl Read + Write,
    method: &str,
    target: &str,
    body: &str,
    host: &str,
) -> (u16, String, String) {
    let length = body.len();
    write!(
        stream,
        "{method} {target} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .unwrap();
    answer(stream)
}

fn answer(mut stream: impl Read) -> (u16, String, String) {
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no head in {text:?}"));
    let status = head.strip_prefix("HTTP/1.1 ").unwrap()[..3].parse().unwrap();
    let header = |name: &str| {
        head.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().to_owned()
    };
    assert_eq!(header("Content-Length: "), body.len().to_string(), "{head}");
    assert_eq!(header("Connection: "), "close", "{head}");
    (status, header("Content-Type: "), body.to_owned())
}

fn error(body: &str) -> String {
    serde_json::from_str::<serde_json::Value>(body).unwrap()["error"].as_str().unwrap().to_owned()
}

#[test]
fn whoever_asks_is_told_the_same_at_both_doors() {
    let house = House::open();
    for told in [house.ask("GET", "/status", ""), house.ask_port("GET", "/status", "")] {
        assert_eq!((told.0, told.1.as_str()), (200, "application/json"));
        assert_eq!(told.2.lines().count(), 1);
        let state: State = serde_json::from_str(&told.2).unwrap();
        assert_eq!(
            (state.cameras.len(), state.counted.all.answered, state.uptime_s),
            (2, 25, 93_784.5)
        );
    }
    for told in [house.ask("GET", "/metrics", ""), house.ask_port("GET", "/metrics", "")] {
        assert_eq!((told.0, told.1.as_str()), (200, "text/plain; version=0.0.4; charset=utf-8"));
        assert!(
            told.2.contains("\nsquint_frames_total{camera=\"bikes\",outcome=\"answered\"} 25\n"),
            "{}",
            told.2
        );
    }
    assert_eq!(house.ask("GET", "/healthz", "").2, "ok\n");
    house.fake.state.lock().unwrap().degraded.clear();
    assert_eq!(house.ask_port("GET", "/readyz", "").2, "ok\n");
    house.fake.state.lock().unwrap().degraded =
        vec!["degraded: 2 of 5 engines are being built".into(), "camera\ndoor".into()];
    let (status, _, told) = house.ask_port("GET", "/readyz", "");
    assert_eq!(
        (status, told.as_str()),
        (200, "ok; degraded: 2 of 5 engines are being built; camera\\ndoor\n"),
        "it answers"
    );
}

#[test]
fn a_sick_or_unready_daemon_says_why_in_one_line() {
    let house = House::open();
    {
        let mut state = house.fake.state.lock().unwrap();
        (state.healthy, state.ready, state.phase) = (false, false, Phase::Starting);
        state.complaints =
            vec!["thread sink hangs".into(), "engine lite0 cannot\nbe loaded".into()];
    }
    let (status, _, why) = house.ask_port("GET", "/healthz", "");
    assert_eq!(
        (status, why.as_str()),
        (503, "thread sink hangs; engine lite0 cannot\\nbe loaded\n")
    );
    let (status, _, why) = house.ask("GET", "/readyz", "");
    assert_eq!(
        (status, why.as_str()),
        (503, "starting; thread sink hangs; engine lite0 cannot\\nbe loaded\n")
    );
}

#[test]
fn what_is_told_over_the_socket_reaches_the_daemon_and_its_answer_the_client() {
    let house = House::open();
    for (target, body) in [
        ("/reload", ""),
        ("/log-level", "debug"),
        ("/policy", " /etc/my policy.toml\n"),
        ("/mode", "eco"),
    ] {
        let (status, kind, told) = house.ask("POST", target, body);
        assert_eq!((status, kind.as_str()), (200, "application/json"), "{told}");
        assert!(told.contains(": done"), "{told}");
    }
    assert_eq!(
        house.fake.told(),
        ["reload", "log-level debug", "policy /etc/my policy.toml", "mode eco"]
    );
    house.fake.stubborn.store(true, Ordering::SeqCst);
    let (status, _, why) = house.ask("POST", "/reload", "");
    assert_eq!((status, error(&why).as_str()), (409, "reload: not today"));
}

#[test]
fn a_value_that_is_not_known_does_not_reach_the_daemon() {
    let house = House::open();
    let cases = [
        ("/log-level", "loud", "error, warn, info"),
        ("/mode", "sleepy", "auto, eco, paused"),
        ("/policy", "", "a name"),
    ];
    for (target, value, helps) in cases {
        let (status, _, why) = house.ask("POST", target, value);
        assert!(status == 400 && error(&why).contains(helps), "{status} {why}");
    }
    assert!(house.fake.told().is_empty());
}

#[test]
fn nothing_can_be_changed_or_watched_through_the_port() {
    let house = House::open();
    for target in ["/reload", "/log-level", "/policy", "/mode"] {
        let (status, _, why) = house.ask_port("POST", target, "eco");
        assert!(
            status == 403 && error(&why).contains("control.socket"),
            "{target}: {status} {why}"
        );
    }
    assert_eq!(house.ask_port("GET", "/status?watch", "").0, 403);
    assert!(house.fake.told().is_empty());
}

#[test]
fn a_page_of_the_web_that_came_to_the_port_under_its_own_name_is_told_nothing() {
    let house = House::open();
    assert_eq!(ask(house.tcp(), "GET", "/status", "", "evil.example:80").0, 403);
    assert_eq!(ask(house.tcp(), "GET", "/status", "", "localhost:9105").0, 200);
}

#[test]
fn wrong_routes_and_methods_are_answered_with_what_there_is() {
    let house = House::open();
    for (method, target, expected) in [
        ("GET", "/", 404),
        ("GET", "/../etc/passwd", 404),
        ("POST", "/status", 405),
        ("GET", "/reload", 405),
        ("DELETE", "/status", 405),
        ("GET", "status", 400),
    ] {
        let (status, _, why) = house.ask(method, target, "");
        assert_eq!(status, expected, "{method} {target}: {why}");
        assert!(error(&why).len() > 20, "{why}");
    }
}

#[test]
fn a_watcher_gets_a_state_a_second_until_it_leaves() {
    let house = House::open();
    let mut stream = house.unix();
    let begun = Instant::now();
    stream.write_all(b"GET /status?watch HTTP/1.1\r\n\r\n").unwrap();
    let mut lines = BufReader::new(stream)
        .lines()
        .map(Result::unwrap)
        .skip_while(|line| !line.is_empty())
        .skip(1);
    for _ in 0..3 {
        let state: State = serde_json::from_str(&lines.next().unwrap()).unwrap();
        assert_eq!(state.policy.name, "default");
    }
    assert!(begun.elapsed() >= Duration::from_secs(2), "a second lies between two");
    drop(lines);
    // its seat is free again once the server has noticed: three more find one
    eventually("its seat is free", || {
        (0..3)
            .map(|_| watcher(&house))
            .collect::<Vec<_>>()
            .into_iter()
            .all(|(status, _)| status == 200)
    });
}

fn watcher(house: &House) -> (u16, BufReader<UnixStream>) {
    let mut stream = house.unix();
    stream.write_all(b"GET /status?watch HTTP/1.1\r\n\r\n").unwrap();
    let mut reader = BufReader::new(stream);
    let mut first = String::new();
    reader.read_line(&mut first).unwrap();
    (first.split(' ').nth(1).unwrap().parse().unwrap(), reader)
}

#[test]
fn watchers_and_a_full_port_leave_room_for_a_question_over_the_socket() {
    let house = House::open();
    let watchers: Vec<_> = (0..3).map(|_| watcher(&house)).collect();
    assert!(watchers.iter().all(|(status, _)| *status == 200));
    assert_eq!(watcher(&house).0, 503, "a fourth watcher");
    let silent: Vec<_> = (0..4).map(|_| house.tcp()).collect();
    assert_eq!(house.ask("GET", "/healthz", "").0, 200);
    drop(silent);
}

/// As in the field: a scanner, or anybody on the machine, opens connections and says nothing.
#[test]
fn idle_connections_keep_nobody_from_an_answer_and_the_oldest_of_them_go() {
    let house = House::open();
    let mut half = house.tcp();
    half.write_all(b"GET /healthz HTTP/1.1\r\nHost: loc").unwrap();
    let (tcp, unix): (Vec<_>, Vec<_>) = (0..100).map(|_| (house.tcp(), house.unix())).unzip();
    assert_eq!(house.ask_port("GET", "/healthz", "").0, 200);
    assert_eq!(house.ask("GET", "/healthz", "").0, 200);
    let told = [answer(tcp.into_iter().next().unwrap()), answer(unix.into_iter().next().unwrap())];
    for (status, _, why) in told {
        assert!(matches!(status, 503 | 408), "{status}: {why}");
    }
    assert!(matches!(answer(half).0, 503 | 408), "it had its time");

    let mut slow = house.tcp();
    slow.write_all(b"GET /healthz HTTP/1.1\r\nHost: loc").unwrap();
    assert_eq!(house.ask_port("GET", "/healthz", "").0, 200);
    slow.write_all(b"alhost\r\n\r\n").unwrap();
    assert_eq!(answer(slow).0, 200, "a slow one is heard to its end while there is room");
}

#[test]
fn a_client_that_does_not_take_its_answer_loses_its_seat_to_those_who_wait() {
    let house = House::open();
    // an answer that fits into no buffer
    house.fake.state.lock().unwrap().complaints = vec!["x".repeat(16 << 20)];
    let deaf: Vec<_> = (0..40)
        .map(|_| {
            let mut stream = house.tcp();
            stream.write_all(b"GET /status HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
            stream
        })
        .collect();
    eventually("four have asked", || house.fake.asked.load(Ordering::SeqCst) >= 4);
    house.fake.state.lock().unwrap().complaints.clear();
    assert_eq!(house.ask_port("GET", "/readyz", "").0, 200);
    assert_eq!(house.ask("GET", "/readyz", "").0, 200);
    drop(deaf);
}

/// Runs `squint` as another user, which needs root and util-linux.
fn as_user(id: &str, groups: &[&str], args: &[&str]) -> Option<std::process::Output> {
    let mut command = Command::new("setpriv");
    command.args(["--reuid", id, "--regid", id, groups[0]]).args(&groups[1..]);
    command
        .arg(env!("CARGO_BIN_EXE_squint"))
        .args(args)
        .env("NO_COLOR", "1")
        .env_remove("SQUINT_CONFIG");
    command.output().ok()
}

#[test]
fn whoever_may_connect_reads_and_only_the_group_for_it_changes_anything() {
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        return skip("only root can be another user");
    }
    let group = "daemon";
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let path = folder.path().join("control.sock");
    let fake = Fake::new();
    let places = Control { socket: Some(path.clone()), group: group.into(), ..Control::default() };
    let server = Server::start(&places, fake.clone(), &Stop::new()).unwrap();
    // whoever may connect: here everybody
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
    let socket = path.to_str().unwrap();
    let Some(told) = as_user("65534", &["--clear-groups"], &["status", "--socket", socket]) else {
        return skip("no setpriv; apt-get install util-linux");
    };
    if String::from_utf8_lossy(&told.stderr).contains("Permission denied") {
        return skip_without("other-users", "another user cannot reach the program of the test");
    }
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    for change in [
        &["set", "mode", "paused"][..],
        &["reload"],
        &["set", "policy", "default"],
        &["set", "log-level", "debug"],
    ] {
        let args: Vec<_> = change.iter().copied().chain(["--socket", socket]).collect();
        let told = as_user("65534", &["--clear-groups"], &args).unwrap();
        let why = String::from_utf8_lossy(&told.stderr).into_owned();
        assert_eq!(told.status.code(), Some(74), "{why}");
        assert!(why.contains("group daemon") && why.contains("usermod -aG daemon"), "{why}");
    }
    assert_eq!(fake.told(), Vec::<String>::new(), "nothing of it has reached the daemon");
    let told =
        as_user("1", &["--clear-groups"], &["set", "mode", "eco", "--socket", socket]).unwrap();
    assert!(
        told.status.success(),
        "the user daemon is a member of its group: {}",
        String::from_utf8_lossy(&told.stderr)
    );
    assert_eq!(house_of_root(socket), 200, "root may");
    assert_eq!(fake.told(), ["mode eco", "reload"]);
    drop(server);
}

fn house_of_root(socket: &str) -> u16 {
    ask(UnixStream::connect(socket).unwrap(), "POST", "/reload", "", "squint").0
}

#[test]
fn slow_and_silent_clients_are_told_so_after_two_seconds() {
    let house = House::open();
    let silent = house.unix();
    let mut half = house.tcp();
    half.write_all(b"POST /mode HTTP/1.1\r\nContent-Length: 5\r\n\r\nec").unwrap();
    let (mut slow, begun) = (house.unix(), Instant::now());
    let mut drip = slow.try_clone().unwrap();
    let dripping =
        std::thread::spawn(move || while drip.write_all(b"G").is_ok() && begun.elapsed() < SOON {});
    assert_eq!(house.ask("GET", "/healthz", "").0, 200, "others are served meanwhile");
    for (status, _, why) in [answer(silent), answer(half)] {
        assert!(status == 408 && error(&why).contains("within 2 s"), "{status} {why}");
    }
    // one that floods instead is cut off by the limit of the head
    let mut text = String::new();
    let _ = slow.read_to_string(&mut text);
    assert!(text.contains("431") || text.is_empty(), "{text}");
    dripping.join().unwrap();
    assert!(begun.elapsed() < SOON);
}

#[test]
fn garbage_and_too_much_of_anything_are_refused_with_a_reason() {
    let house = House::open();
    let send = |bytes: &[u8]| {
        let (mut unix, mut tcp) = (house.unix(), house.tcp());
        // a server that has seen enough may close before all is sent
        let _ = unix.write_all(bytes);
        let _ = tcp.write_all(bytes);
        let (over_unix, over_tcp) = (answer(unix), answer(tcp));
        assert_eq!(over_unix.0, over_tcp.0);
        over_unix.0
    };
    assert_eq!(send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"), 400);
    assert_eq!(send(b"squint, what do you see?\r\n\r\n"), 400);
    assert_eq!(
        send(format!("GET /status HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(20_000)).as_bytes()),
        431
    );
    assert_eq!(
        send(
            format!("POST /policy HTTP/1.1\r\nContent-Length: 5000\r\n\r\n{}", "x".repeat(5000))
                .as_bytes()
        ),
        413
    );
    assert_eq!(house.ask("GET", "/healthz", "").0, 200);
}

#[test]
fn of_a_hundred_at_once_each_is_answered_or_turned_away_and_then_all_is_as_before() {
    let house = House::open();
    let crowd: Vec<_> = (0..100).map(|_| house.unix()).collect();
    let asking: Vec<_> = crowd
        .into_iter()
        .map(|mut stream| {
            std::thread::spawn(move || {
                let _ = stream.write_all(b"GET /healthz HTTP/1.1\r\n\r\n");
                let mut text = Vec::new();
                let _ = stream.read_to_end(&mut text);
                String::from_utf8_lossy(&text).into_owned()
            })
        })
        .collect();
    let told: Vec<_> = asking.into_iter().map(|one| one.join().unwrap()).collect();
    let count = |status: &str| {
        told.iter().filter(|text| text.starts_with(&format!("HTTP/1.1 {status}"))).count()
    };
    assert_eq!(count("200") + count("503"), 100, "{told:?}");
    assert!(count("200") >= 1);
    eventually("a seat is free", || house.ask("GET", "/healthz", "").0 == 200);
}

#[test]
fn a_daemon_that_panics_over_a_question_costs_that_answer_only() {
    let house = House::open();
    house.fake.fragile.store(true, Ordering::SeqCst);
    assert_eq!(house.ask("GET", "/status", "").0, 500);
    house.fake.fragile.store(false, Ordering::SeqCst);
    assert_eq!(house.ask("GET", "/status", "").0, 200);
}

#[test]
fn a_stop_ends_watchers_and_silent_clients_and_takes_the_socket_away() {
    let mut house = House::open();
    let (status, mut watching) = watcher(&house);
    assert_eq!(status, 200);
    let silent = [house.unix(), house.unix()];
    house.stop.stop();
    assert!(
        watching.by_ref().lines().map_while(Result::ok).take(60).count() < 60,
        "still told of it"
    );
    for mut stream in silent {
        // Or reset, if it was not let in before the stop. Whoever were waited for would be told
        // so: 408.
        let mut told = Vec::new();
        let ended = stream.read_to_end(&mut told);
        assert!(
            told.is_empty() && !ended.is_err_and(|error| error.kind() == ErrorKind::WouldBlock),
            "{}",
            String::from_utf8_lossy(&told)
        );
    }
    drop(house.server.take());
    assert!(!house.path().exists());
    assert!(TcpStream::connect(("127.0.0.1", house.port)).is_err());
}

#[test]
fn a_watcher_that_never_reads_is_left_and_does_not_hold_up_the_end() {
    let mut house = House::open();
    // a state so large that a few of them fill every buffer
    house.fake.state.lock().unwrap().complaints = vec!["x".repeat(1 << 20)];
    let deaf = watcher(&house).1;
    eventually("it was told once", || house.fake.asked.load(Ordering::SeqCst) >= 1);
    // the seat is free again once it was waited for two seconds
    let mut others = vec![watcher(&house), watcher(&house)];
    eventually("the seat is free again", || {
        others.push(watcher(&house));
        others.pop().is_some_and(|(status, _)| status == 200)
    });
    drop(house.server.take());
    drop(deaf);
}

#[test]
fn only_owner_and_group_may_connect_and_what_is_at_the_path_is_respected() {
    let house = House::open();
    assert_eq!(fs::metadata(house.path()).unwrap().permissions().mode() & 0o777, 0o660);
    let start = |path: PathBuf| {
        let places = Control { socket: Some(path), ..Control::default() };
        Server::start(&places, Fake::new(), &Stop::new()).map_err(|error| error.to_string())
    };
    let taken = start(house.path()).map(drop).unwrap_err();
    assert!(
        taken.contains("control.socket") && taken.contains("another program listens"),
        "{taken}"
    );
    assert_eq!(house.ask("GET", "/healthz", "").0, 200, "the other one is not disturbed");

    let file = house.folder.path().join("file");
    fs::write(&file, "mine").unwrap();
    let refused = start(file.clone()).map(drop).unwrap_err();
    assert!(refused.contains("not a socket"), "{refused}");
    assert_eq!(fs::read_to_string(&file).unwrap(), "mine");

    let stale = house.folder.path().join("stale.sock");
    drop(UnixListener::bind(&stale).unwrap());
    assert!(stale.exists());
    drop(start(stale.clone()).unwrap());
    assert!(!stale.exists());

    let places = Control { http_port: Some(house.port), ..Control::default() };
    let port = Server::start(&places, Fake::new(), &Stop::new()).map(drop).unwrap_err();
    assert!(
        matches!(port, ControlError::Port { .. }) && port.to_string().contains("control.http-port"),
        "{port}"
    );
}

#[test]
fn curl_can_ask_and_tell_as_the_page_shows() {
    let house = House::open();
    let curl = |args: &[&str]| {
        let said = Command::new("curl")
            .args(["-sS", "--unix-socket"])
            .arg(house.path())
            .args(args)
            .output()
            .ok()?;
        assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
        Some(String::from_utf8(said.stdout).unwrap())
    };
    let Some(status) = curl(&["http://squint/status"]) else {
        skip("curl is not installed");
        return;
    };
    assert_eq!(serde_json::from_str::<State>(&status).unwrap().policy.name, "default");
    assert_eq!(
        curl(&["-d", "eco", "http://squint/mode"]).unwrap(),
        "{\"message\":\"mode eco: done\"}\n"
    );
    assert_eq!(
        curl(&["-X", "POST", "http://squint/reload"]).unwrap(),
        "{\"message\":\"reload: done\"}\n"
    );
    assert_eq!(house.fake.told(), ["mode eco", "reload"]);
}

#[test]
fn the_page_tells_every_route_and_every_field() {
    let page =
        fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/reference/control.md"))
            .unwrap();
    let told = |word: &str| page.contains(&format!("`{word}`"));
    let house = House::open();
    let routes = error(&house.ask("GET", "/", "").2);
    let (gets, posts) = routes.split_once("GET ").unwrap().1.split_once("; POST ").unwrap();
    for (method, list) in [("GET", gets), ("POST", posts)] {
        for route in list.split(", ") {
            assert!(told(&format!("{method} {route}")), "{method} {route}");
        }
    }
    fn fields(value: &serde_json::Value, told: &dyn Fn(&str) -> bool) {
        match value {
            serde_json::Value::Object(map) => {
                map.iter().filter(|(key, _)| *key != "drops").for_each(|(key, value)| {
                    assert!(told(key), "docs/reference/control.md does not tell of `{key}`");
                    fields(value, told);
                })
            }
            serde_json::Value::Array(items) => items.iter().for_each(|item| fields(item, told)),
            _ => (),
        }
    }
    fields(&serde_json::to_value(steering::state()).unwrap(), &|key| {
        told(key) || page.contains(&format!("`counted.{key}`"))
    });
}
