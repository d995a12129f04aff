//! Files, libraries and the world outside, around the built program: paths that block, disks that
//! are full, links, other people's files, a second daemon, and what a run asks of the network and
//! of the home folder.
//!
//! Expected of every command: a path that is no regular file is refused by what it is, and never
//! waited for; what it writes is there whole or not at all; it runs and reads what belongs to it or
//! is named, nothing that merely lies near; it tells nobody anything.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::common::onnx_model::Model;
use crate::common::profiles;
use crate::common::program::{
    Daemon, Told, ask, fixed_policy, photo, root, squint, surround, tell, write,
};
use crate::common::shelf::Shelf;
use crate::common::skip;
use rustix::fs::{CWD, FileType, Mode, mknodat};
use tempfile::TempDir;

/// Goes on for ever; small, so that it costs nothing.
const STEADY: &str =
    "pipeline:videotestsrc is-live=true ! video/x-raw,format=RGB,width=64,height=48,framerate=25/1";

/// A folder with one quick engine, a policy that asks it, and whatever a test puts there.
struct Home {
    folder: TempDir,
    shelf: Shelf,
}

impl Home {
    fn new() -> Self {
        let shelf = Shelf::new();
        shelf.network("quick", &Model::bright_or_dark(32, 32));
        let folder = tempfile::tempdir().unwrap();
        fixed_policy(folder.path(), "quick");
        Self { folder, shelf }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Makes the folder `photos` with a picture, and labels for it.
    fn picture(&self) -> (String, String) {
        fs::create_dir(self.at("photos")).unwrap();
        fs::copy(root().join(photo("camera")), self.at("photos/p.png")).unwrap();
        write(self.at("labels.csv"), "file,class_index\np.png,1\n");
        (self.text("photos"), self.text("labels.csv"))
    }

    fn text(&self, name: &str) -> String {
        self.at(name).to_str().unwrap().to_owned()
    }

    fn fifo(&self, name: &str) -> String {
        mknodat(CWD, self.at(name), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        self.text(name)
    }

    /// The flags that name its engine and its policy.
    fn flags(&self) -> [String; 4] {
        let engines = self.shelf.path().to_str().unwrap().to_owned();
        ["--engines".into(), engines, "--policy".into(), self.text("fixed.policy.toml")]
    }

    /// A daemon's configuration with the lines `more` before its camera.
    fn configuration(&self, name: &str, more: &str) -> PathBuf {
        let (policy, engines) = (self.at("fixed.policy.toml"), self.shelf.path());
        let text = format!(
            "policy = {policy:?}\n[engines]\nfolder = {engines:?}\ndeadline-ms = 20000\n[output]\nstdout = \"none\"\n\
             [control]\nsocket = {:?}\n{more}\n[[camera]]\nname = \"c\"\nsource = \"{STEADY}\"\ndeadline-ms = 10000\n",
            self.at(&format!("{name}.sock"))
        );
        write(self.at(&format!("{name}.toml")), text)
    }

    fn daemon(&self, name: &str, more: &str) -> Daemon {
        let config = self.configuration(name, more);
        let mut daemon =
            Daemon::start(squint(["run", "--log", "info", "--config", config.to_str().unwrap()]));
        let socket = self.at(&format!("{name}.sock"));
        daemon.until("a daemon that answers", |_| ready(&socket));
        daemon
    }

    fn names(&self) -> Vec<String> {
        let entries = self.folder.path().read_dir().unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

fn ready(socket: &Path) -> bool {
    let told = ask(["status", "--json", "--socket", socket.to_str().unwrap()]);
    told.code == Some(0) && told.json()["ready"] == true
}

/// Runs to the end; fails if it does not come to one.
fn ends<S: AsRef<std::ffi::OsStr>>(args: impl IntoIterator<Item = S>) -> Told {
    Daemon::start(squint(args)).ends()
}

/// In a shell, where the program is `"$0"` and `args` are `"$@"`.
fn shell(script: &str, args: &[String]) -> Told {
    let program = squint::<&str>([]);
    let mut command = Command::new("bash");
    command.args(["-c", script]).arg(program.get_program()).args(args);
    surround(&mut command, &program);
    tell(command)
}

// A path that blocks.

#[test]
fn a_fifo_in_the_place_of_a_file_is_refused_by_that_name_and_never_waited_for() {
    let home = Home::new();
    let fifo = home.fifo("fifo");
    let flags = home.flags();
    let quick: Vec<&str> = ["run", "--quiet", "--source", "test", "--frames", "1"]
        .into_iter()
        .chain(flags.iter().map(String::as_str))
        .collect();
    let engines = &flags[..2];
    let and = |start: &[&str], end: &[&str]| -> Vec<String> {
        start.iter().chain(end).map(|text| (*text).to_owned()).collect()
    };
    let recorded = format!("[telemetry]\nrecorded = {fifo:?}");
    let recorded = home.configuration("recorded", &recorded);
    let photos = home.text("photos");
    let mut cases = vec![
        and(&["check", "--config", &fifo], &[]),
        and(&["doctor", "--config", &fifo], &[]),
        and(&["status", "--config", &fifo], &[]),
        and(&["run", "--config", &fifo], &[]),
        and(&["run", "--config", recorded.to_str().unwrap()], &[]),
        and(&quick[..8], &["--policy", &fifo]),
        and(&quick, &["--onnxruntime", &fifo]),
        and(
            &["run", "--quiet", "--source", &photos, "--labels", &fifo],
            &[&flags[0], &flags[1], &flags[2], &flags[3]],
        ),
        and(&["run", "--quiet", "--source", &fifo], &[&flags[0], &flags[1], &flags[2], &flags[3]]),
        and(&["replay", &fifo], &[]),
        and(&["train", "--profile", &fifo, "--out", &home.text("x")], &[]),
        and(&["evaluate", "--profile", &fifo], &[]),
        and(&["simulate", "--scenario", &fifo], &[]),
        and(
            &["profile", "--images", &photos, "--stream", &fifo, "--out", &home.text("x")],
            &[&engines[0], &engines[1]],
        ),
        and(
            &["profile", "--images", &photos, "--labels", &fifo, "--out", &home.text("x")],
            &[&engines[0], &engines[1]],
        ),
    ];
    home.picture();
    for device in ["/dev/zero", "/dev/random"] {
        cases.push(and(&["check", "--config", device], &[]));
        cases.push(and(&quick[..8], &["--policy", device]));
    }
    for args in cases {
        let told = ends(&args);
        assert_ne!(told.code, Some(0), "{args:?}");
        let what = if args.contains(&fifo) || args.contains(&recorded.to_str().unwrap().to_owned())
        {
            "is a FIFO"
        } else {
            "is a character device"
        };
        assert!(told.err.contains(what), "{args:?}: {}", told.err);
    }
    // In the catalogue of engines: the engine is left out by name, the others are there.
    home.shelf.network("other", &Model::bright_or_dark(32, 32));
    for (file, name) in [("other/model.onnx", "regular file"), ("other/engine.toml", "is a FIFO")] {
        let path = home.shelf.path().join(file);
        fs::remove_file(&path).unwrap();
        mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let told = ends(["engines", "list", "--engines", home.shelf.path().to_str().unwrap()]);
        assert!(
            told.out.contains("quick") && format!("{}{}", told.out, told.err).contains(name),
            "{}{}",
            told.out,
            told.err
        );
    }
}

#[test]
fn what_the_shell_hands_over_is_read_where_somebody_types_it() {
    let home = Home::new();
    let config = home.configuration("typed", "");
    let (photos, labels) = home.picture();
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    shell(r#""$0" check --config <(cat "$1")"#, &[text(&config)]).ends(0);
    shell(r#""$0" check --config /dev/stdin <"$1""#, &[text(&config)]).ends(0);
    shell(r#"cat "$1" | "$0" check --config /dev/stdin"#, &[text(&config)]).ends(0);
    let mut args = vec![photos, labels];
    args.extend(home.flags());
    let script = r#"photos=$1 labels=$2; shift 2; "$0" run --quiet --source "$photos" --labels <(cat "$labels") "$@""#;
    shell(script, &args).ends(0);
}

#[test]
fn a_daemon_refuses_to_reload_what_blocks_and_reloads_again_afterwards() {
    let home = Home::new();
    let fifo = home.fifo("pipe.policy.toml");
    let mut daemon = home.daemon("d", "");
    let socket = home.text("d.sock");
    let asked = |args: &[&str]| ends(args.iter().copied().chain(["--socket", &socket]));
    let told = asked(&["set", "policy", &fifo]);
    assert_ne!(told.code, Some(0));
    assert!(told.err.contains("is a FIFO"), "{}", told.err);
    asked(&["reload"]).ends(0);
    let config = home.at("d.toml");
    let text = fs::read_to_string(&config).unwrap();
    fs::remove_file(&config).unwrap();
    home.fifo("d.toml");
    let told = asked(&["reload"]);
    assert!(told.code != Some(0) && told.err.contains("is a FIFO"), "{}", told.err);
    daemon.signal("HUP");
    daemon.until("a refusal of the signal's reload", |daemon| {
        daemon.err().matches("is a FIFO").count() >= 3
    });
    fs::remove_file(&config).unwrap();
    fs::write(&config, text).unwrap();
    asked(&["reload"]).ends(0);
    daemon.signal("TERM");
    daemon.ends().ends(0);
}

// Disks without space.

#[test]
fn a_command_that_cannot_write_to_the_end_leaves_the_file_that_was_there() {
    let home = Home::new();
    let profile = profiles::small(home.folder.path(), 60);
    let profile = profile.to_str().unwrap();
    fs::create_dir(home.at("out")).unwrap();
    let target = |name: &str| {
        write(home.at("out").join(name), "what was there").to_str().unwrap().to_owned()
    };
    let (policy, json, page) = (target("t.policy.toml"), target("e.json"), target("e.html"));
    let (kept, _drawing) = (target("p.parquet"), target("closed-box.svg"));
    let (photos, labels) = home.picture();
    let engines = home.shelf.path().to_str().unwrap().to_owned();
    let out = home.text("out");
    let cases: [&[&str]; 6] = [
        &["train", "--profile", profile, "--out", &policy],
        &["train", "--kind", "chain", "--profile", profile, "--out", &policy],
        &["evaluate", "--profile", profile, "--folds", "0", "--json", &json],
        &["evaluate", "--profile", profile, "--folds", "0", "--html", &page],
        &["simulate", "--seeds", "1", "--scenario", "closed-box", "--svg", &out],
        &[
            "profile",
            "--images",
            &photos,
            "--labels",
            &labels,
            "--engines",
            &engines,
            "--out",
            &kept,
        ],
    ];
    for args in cases {
        let args: Vec<String> = args.iter().map(|text| (*text).to_owned()).collect();
        // As a full disk: no file may grow at all.
        let told = shell(r#"trap "" XFSZ; ulimit -f 0; exec "$0" "$@""#, &args);
        assert!(told.code.is_some_and(|code| code != 0), "{args:?}: {}{}", told.out, told.err);
        let mut names: Vec<_> =
            fs::read_dir(home.at("out")).unwrap().map(|entry| entry.unwrap().path()).collect();
        names.retain(|path| path.is_file());
        assert_eq!(names.len(), 5, "{args:?} left something: {names:?}");
        for path in names {
            assert_eq!(
                fs::read_to_string(&path).unwrap(),
                "what was there",
                "{args:?}: {}",
                path.display()
            );
        }
    }
    // And with space.
    ask(["train", "--profile", profile, "--out", &policy]).ends(0);
    assert!(fs::read_to_string(&policy).unwrap().contains("format = 1"));
}

#[test]
fn a_command_tells_before_its_work_that_it_could_not_write_and_writes_to_what_the_shell_hands_over()
{
    let home = Home::new();
    let profile = profiles::small(home.folder.path(), 60);
    let profile = profile.to_str().unwrap();
    let told = ask(["train", "--profile", profile, "--out", &home.text("no/folder/t.policy.toml")])
        .ends(74);
    assert!(told.out.is_empty(), "before the work: {}", told.out);
    let told = ask(["train", "--profile", profile, "--out", home.folder.path().to_str().unwrap()])
        .ends(74);
    assert!(told.err.contains("is a folder"), "{}", told.err);
    let told = ask(["train", "--profile", profile, "--out", "/dev/stdout"]).ends(0);
    assert!(told.out.contains("format = 1"), "{}", told.out);
    fs::create_dir(home.at("versions")).unwrap();
    symlink("versions/1.policy.toml", home.at("now.policy.toml")).unwrap();
    ask(["train", "--profile", profile, "--out", &home.text("now.policy.toml")]).ends(0);
    assert!(fs::read_to_string(home.at("versions/1.policy.toml")).unwrap().contains("format = 1"));
    assert!(home.at("now.policy.toml").is_symlink());
}

// What other people wrote.

#[test]
fn nothing_below_the_current_folder_is_run_or_read() {
    let home = Home::new();
    for place in [".deps/onnxruntime", "lib/squint", "."] {
        fs::create_dir_all(home.at(place)).unwrap();
        fs::write(home.at(place).join("libonnxruntime.so"), "not a library").unwrap();
    }
    fs::create_dir_all(home.at("below/further")).unwrap();
    symlink(home.shelf.path(), home.at("engines")).unwrap();
    fs::create_dir(home.at("calibration")).unwrap();
    for folder in ["", "below/further"] {
        let here = |args: &[&str]| {
            let mut command = squint(args);
            command.env_remove("ORT_DYLIB_PATH").current_dir(home.at(folder));
            tell(command)
        };
        let told = here(&["doctor"]);
        let all = format!("{}{}", told.out, told.err);
        assert!(
            all.contains("libonnxruntime.so")
                && !all.contains(home.folder.path().to_str().unwrap()),
            "{all}"
        );
        let told = here(&["engines", "list"]).ends(0);
        assert!(told.out.contains("lite0-128-int8") && !told.out.contains("quick"), "{}", told.out);
        // A bare name is the loader's affair.
        let told = here(&[
            "run",
            "--quiet",
            "--source",
            "test",
            "--frames",
            "1",
            "--onnxruntime",
            "libonnxruntime.so",
        ]);
        assert!(!told.err.contains("invalid ELF header"), "{}", told.err);
    }
    // What is named is obeyed.
    let mut named = squint(["engines", "list", "--engines", "engines"]);
    named.current_dir(home.folder.path());
    assert!(tell(named).ends(0).out.contains("quick"));
}

#[test]
fn what_is_learned_is_written_through_no_link() {
    let home = Home::new();
    let victim = write(home.at("victim"), "precious");
    symlink("victim", home.at("state.json")).unwrap();
    symlink("victim", home.at("other.json.new")).unwrap();
    for (name, state) in [("a", "state.json"), ("b", "other.json")] {
        let daemon = home.daemon(name, &format!("[budget]\nstate-file = {:?}", home.at(state)));
        daemon.signal("TERM");
        let told = daemon.ends().ends(0);
        assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
        assert_eq!(told.err.contains("is a symbolic link"), state == "state.json", "{}", told.err);
    }
    assert!(fs::read_to_string(home.at("other.json")).unwrap().starts_with('{'));
    let left = home.names();
    assert!(!left.iter().any(|name| name.starts_with(".other.json")), "{left:?}");
}

#[test]
fn two_daemons_do_not_share_what_they_learn() {
    let home = Home::new();
    let state = format!("[budget]\nstate-file = {:?}", home.at("state.json"));
    let first = home.daemon("a", &state);
    let second = home.configuration("b", &state);
    let told = ends(["run", "--config", second.to_str().unwrap()]).ends(74);
    let who = format!("in use by process {}", first.id());
    assert!(told.err.contains(&who) && told.err.contains("budget.state-file"), "{}", told.err);
    first.signal("TERM");
    first.ends().ends(0);
    let again = home.daemon("b", &state);
    again.signal("TERM");
    again.ends().ends(0);
}

// The world outside.

/// What every command may ask the system for, as strace writes it down: none but these families of
/// sockets.
const LOCAL: [&str; 2] = ["AF_UNIX", "AF_NETLINK"];
/// Files that are opened to look up a name.
const NAMES: [&str; 4] = [
    "/etc/resolv.conf",
    "/etc/hosts",
    "/etc/nsswitch.conf\", O_RDONLY|O_CLOEXEC) = -",
    "nscd/socket",
];

#[test]
fn no_command_opens_a_socket_to_the_outside_looks_up_a_name_or_writes_into_the_home_folder() {
    let works = |program: &str, args: &[&str]| {
        let run = Command::new(program)
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        run.is_ok_and(|status| status.success())
    };
    if !works("unshare", &["-n", "true"]) {
        return skip("a network of its own (`unshare -n`) needs root");
    }
    // With a filter in the kernel it takes a fraction of the time; older ones have none.
    let quick: &[&str] = if works("strace", &["-f", "--seccomp-bpf", "-o", "/dev/null", "true"]) {
        &["--seccomp-bpf"]
    } else {
        &[]
    };
    if !works("strace", &["-f", "-o", "/dev/null", "true"]) {
        return skip("strace is not there (scripts/deps test), or may not trace");
    }
    let home = Home::new();
    for folder in ["home", "cache"] {
        fs::create_dir(home.at(folder)).unwrap();
    }
    let (photos, labels) = home.picture();
    let picture = home.text("photos/p.png");
    let profile = home.text("p.parquet");
    let flags = home.flags();
    let commands: [&[&str]; 6] = [
        &["run", "--quiet", "--source", STEADY, "--frames", "75"],
        &["classify", &picture],
        &["profile", "--images", &photos, "--labels", &labels, "--out", &profile],
        &["engines", "verify"],
        &["bench", "--seconds", "2"],
        &["doctor"],
    ];
    for command in commands {
        let trace = home.at("trace");
        let program = squint::<&str>([]);
        let mut traced = Command::new("unshare");
        traced.args(["-n", "strace", "-f", "-qq"]).args(quick);
        traced.args(["-e", "trace=socket,connect,open,openat", "-o"]).arg(&trace);
        traced.arg(program.get_program()).args(command);
        // `engines` and `doctor` know no policy of ours.
        let known = if matches!(command[0], "engines" | "doctor") { 2 } else { 4 };
        traced.args(&flags[..known]);
        surround(&mut traced, &program);
        traced
            .env_remove("ORT_DISABLE_TELEMETRY")
            .env("HOME", home.at("home"))
            .env("XDG_CACHE_HOME", home.at("cache"));
        // GStreamer's list of its plugins, which every program with GStreamer keeps; here the
        // test's own.
        traced.env("GST_REGISTRY", home.at("registry"));
        let told = tell(traced);
        if !matches!(command[0], "doctor") {
            assert_eq!(told.code, Some(0), "{command:?}: {}{}", told.out, told.err);
        }
        let text = String::from_utf8_lossy(&fs::read(&trace).unwrap()).into_owned();
        assert!(
            text.contains("libonnxruntime.so"),
            "{command:?} has run no engine, so it says nothing"
        );
        for line in text.lines() {
            let outside =
                line.contains("socket(") && !LOCAL.iter().any(|family| line.contains(family));
            assert!(
                !outside && !NAMES.iter().any(|name| line.contains(name)),
                "{command:?}: {line}"
            );
        }
        for folder in ["home", "cache"] {
            let left: Vec<_> =
                fs::read_dir(home.at(folder)).unwrap().map(|entry| entry.unwrap().path()).collect();
            assert!(left.is_empty(), "{command:?} left {left:?}");
        }
    }
}
