//! What becomes of a command when nobody can take what it prints: standard error and standard
//! output on a full disk, with a limit of their size, without a reader, on a terminal that goes
//! away. And what others may put into its log and its surroundings: names with control characters,
//! environment variables that begin with `SQUINT_`.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::common::program::*;
use crate::common::{eventually, skip};
use serde_json::Value;

/// A temporary folder with a policy in it.
fn home() -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let policy = confidence_policy(folder.path(), 0.6).to_str().unwrap().to_owned();
    (folder, policy)
}

fn full() -> Stdio {
    File::options().write(true).open("/dev/full").unwrap().into()
}

/// The end of a pipe that nobody reads.
fn unread() -> Stdio {
    std::io::pipe().unwrap().1.into()
}

fn summary(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

fn photos(folder: &Path, count: usize) -> PathBuf {
    let photos = folder.join("photos");
    fs::create_dir(&photos).unwrap();
    (0..count).for_each(|number| {
        _ = fs::copy(root().join(photo("coffee")), photos.join(format!("{number:03}.png"))).unwrap()
    });
    photos
}

/// The command, unless the shell that starts it with `script` cannot.
fn within(script: &str, command: &Command) -> Command {
    let mut shell = Command::new("bash");
    shell.args(["-c", script]).arg(command.get_program()).args(command.get_args());
    surround(&mut shell, command);
    shell
}

#[test]
fn a_standard_error_that_takes_nothing_costs_neither_the_summary_nor_the_exit_code() {
    let (folder, policy) = home();
    for (name, err) in [("full", full()), ("unread", unread())] {
        let path = folder.path().join(name);
        let mut run = squint([
            "run",
            "--source",
            "test",
            "--frames",
            "3",
            "--quiet",
            "--policy",
            &policy,
            "--summary",
        ]);
        let code = run.arg(&path).stderr(err).status().unwrap().code();
        assert_eq!((code, summary(&path)["frames"].as_u64()), (Some(0), Some(3)), "{name}");
    }
    for (args, code) in [
        (&["check", "--config", "nowhere.toml"][..], 78),
        (&["no-such-command"], 64),
        (&["features", "nowhere.png"], 69),
        (&["classify", "nowhere.png", "--policy", &policy], 69),
    ] {
        assert_eq!(squint(args).stderr(full()).status().unwrap().code(), Some(code), "{args:?}");
    }
}

#[test]
fn every_command_tells_of_a_standard_output_that_is_full_and_bears_one_that_nobody_reads() {
    let (folder, policy) = home();
    let coffee = photo("coffee");
    let trace = folder.path().join("a.trace");
    let trace = trace.to_str().unwrap();
    ask([
        "run", "--source", "test", "--frames", "3", "--quiet", "--policy", &policy, "--record",
        trace,
    ])
    .ends(0);
    let commands: &[&[&str]] = &[
        &["--help"],
        &["--version"],
        &["run", "--help"],
        &["man"],
        &["completions", "bash"],
        &["engines", "list"],
        &["engines", "list", "--json"],
        &["engines", "prune", "--dry-run"],
        &["features", &coffee],
        &["features", &coffee, "--json"],
        &["check", "--policy", &policy],
        &["check", "--policy", &policy, "--print"],
        &["classify", &coffee, "--policy", &policy],
        &["classify", &coffee, "--policy", &policy, "--json"],
        &["run", "--source", "tests/data/photos/*.png", "--policy", &policy, "--json"],
        &["run", "--source", "tests/data/photos/*.png", "--policy", &policy, "--text"],
        &["doctor"],
        &["doctor", "--json"],
        &["replay", trace],
        &["replay", trace, "--json"],
    ];
    for args in commands {
        let output = squint(*args).stdout(full()).output().unwrap();
        let err = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(74), "{args:?} > /dev/full: {err}");
        assert!(
            err.contains("No space left on device") && !err.contains("panicked"),
            "{args:?}: {err}"
        );
        let output = squint(*args).stdout(unread()).output().unwrap();
        let err = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(0), "{args:?} | true: {err}");
        assert!(!err.contains("roken pipe") && !err.contains("panicked"), "{args:?}: {err}");
    }
}

#[test]
fn only_one_room_writes_to_standard_output_and_standard_error() {
    let mut rooms = vec![root().join("src")];
    let mut writers = Vec::new();
    while let Some(room) = rooms.pop() {
        for entry in fs::read_dir(room).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                rooms.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                let writes =
                    |line: &str| line.contains("io::stdout()") || line.contains("io::stderr()");
                let asks = |line: &str| {
                    line.contains("is_terminal()") || line.trim_start().starts_with("//")
                };
                if text.lines().any(|line| writes(line) && !asks(line)) {
                    writers.push(path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned());
                }
            }
        }
    }
    writers.sort();
    // The publisher duplicates the descriptor; src/files may open what the shell handed over.
    writers.retain(|path| !path.starts_with("src/files"));
    assert_eq!(writers, ["src/print.rs", "src/sink/publisher.rs"]);
}

#[test]
fn photos_whose_records_a_file_did_not_take_end_in_74_and_the_summary_counts_them() {
    let (folder, policy) = home();
    let photos = photos(folder.path(), 30);
    let (out, file, path) =
        (folder.path().join("out"), folder.path().join("file"), folder.path().join("summary"));
    let mut run = squint(["run", "--json", "--policy", &policy, "--log", "warn", "--source"]);
    run.arg(&photos).arg("--output-file").arg(&file).arg("--summary").arg(&path);
    // Files end at 16 KiB: as a full disk, but for anybody.
    let mut run = within("ulimit -f 16; exec \"$0\" \"$@\"", &run);
    let output = run.stdin(Stdio::null()).stdout(File::create(&out).unwrap()).output().unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(74), "{err}");
    assert!(
        err.contains("File too large")
            && err.lines().last().unwrap().starts_with("squint: records were lost ("),
        "{err}"
    );
    let summary = summary(&path);
    assert_eq!(summary["answered"], 30);
    for (sink, path) in [("stdout", &out), ("file", &file)] {
        let text = fs::read_to_string(path).unwrap();
        assert!(text.ends_with('\n'), "no record of {sink} is torn");
        let (sent, lost) =
            (records(&text).len() as u64, summary["sinks"][sink]["lost"].as_u64().unwrap());
        assert!(sent > 0 && lost > 0, "{summary:#}");
        assert_eq!(
            (summary["sinks"][sink]["sent"].as_u64(), sent + lost),
            (Some(sent), 30),
            "{sink}"
        );
        assert!(err.contains(&format!("records lost: {lost} of 30 ({sink})")), "{err}");
    }
}

#[test]
fn frames_that_nobody_waits_for_have_no_deadline_and_a_run_without_answers_says_so() {
    let (folder, policy) = home();
    let photos = photos(folder.path(), 4);
    let labels = write(
        folder.path().join("labels.csv"),
        "file,class_index\n000.png,1\n001.png,1\n002.png,1\n003.png,1\n",
    );
    let run = |more: &[&str]| {
        let path = folder.path().join("summary");
        let mut run = squint(["run", "--quiet", "--policy", &policy, "--log", "warn", "--source"]);
        run.arg(&photos).arg("--labels").arg(&labels).arg("--summary").arg(&path).args(more);
        let told = tell(run);
        (told, summary(&path))
    };
    let (told, all) = run(&[]);
    assert_eq!(
        (told.code, all["answered"].as_u64(), all["in_time"].as_u64()),
        (Some(0), Some(4), Some(4)),
        "{}",
        told.err
    );
    assert_eq!(all["accuracy"]["unanswered"], 0);
    // No engine is done in a millisecond.
    let (told, none) = run(&["--deadline-ms", "1"]);
    assert_eq!(
        (told.code, none["answered"].as_u64(), none["accuracy"]["unanswered"].as_u64()),
        (Some(75), Some(0), Some(4))
    );
    assert!(told.err.contains("4 labels, 4 not answered"), "{}", told.err);
    assert!(
        told.err
            .lines()
            .last()
            .unwrap()
            .starts_with("squint: only 0 of 4 frames were answered in time (abstained 4"),
        "{}",
        told.err
    );
    // A camera goes on whatever it is asked, so there only the words are said.
    let told = ask([
        "run",
        "--source",
        "test",
        "--frames",
        "5",
        "--quiet",
        "--deadline-ms",
        "1",
        "--policy",
        &policy,
        "--log",
        "warn",
    ]);
    let told = told.ends(0);
    assert!(told.err.contains("frames were answered in time ("), "{}", told.err);
}

/// Starts `command` on a terminal of its own, which is gone when the child is killed; the command's
/// id is written to `pid`.
fn on_a_terminal(command: &Command, wrap: &str, pid: &Path) -> Option<Child> {
    if Command::new("script")
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_err()
    {
        skip("there is no `script` to make a terminal with");
        return None;
    }
    let quoted =
        |text: &std::ffi::OsStr| format!("'{}'", text.to_str().unwrap().replace('\'', "'\\''"));
    let words: Vec<_> =
        std::iter::once(command.get_program()).chain(command.get_args()).map(quoted).collect();
    // nohup writes its output into the folder that it is started in.
    let folder = pid.parent().unwrap().display();
    let line = format!(
        "cd '{folder}'; echo $$ > '{}.new'; mv '{0}.new' '{0}'; exec {wrap} {}",
        pid.display(),
        words.join(" ")
    );
    let mut script = within("exec script -q -c \"$LINE\" /dev/null", command);
    script.env("LINE", line).env("SHELL", "/bin/sh").env("TERM", "xterm");
    Some(script.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
}

/// True while the process runs; one that has ended and was not waited for does not.
fn runs(pid: &str) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

#[test]
fn a_run_ends_in_good_order_with_the_terminal_that_it_was_started_from() {
    let (folder, policy) = home();
    let config = write(
        folder.path().join("squint.toml"),
        "[[camera]]\nname = \"door\"\nsource = \"test\"\n",
    );
    for (name, more) in [
        ("text", vec!["--source", "test", "--text"]),
        ("quiet", vec!["--source", "test", "--quiet"]),
        ("configured", vec!["--config", config.to_str().unwrap(), "--text"]),
    ] {
        let (pid, path) = (
            folder.path().join(format!("{name}.pid")),
            folder.path().join(format!("{name}.summary")),
        );
        let mut run = squint(["run", "--policy", &policy]);
        run.args(more)
            .arg("--summary")
            .arg(&path)
            .arg("--output-file")
            .arg(folder.path().join(name));
        let Some(mut terminal) = on_a_terminal(&run, "", &pid) else { return };
        eventually("a first record", || {
            fs::metadata(folder.path().join(name)).is_ok_and(|found| found.len() > 0)
        });
        terminal.kill().unwrap();
        terminal.wait().unwrap();
        let pid = fs::read_to_string(pid).unwrap();
        eventually(&format!("{name} outlives its terminal"), || !runs(pid.trim()));
        assert!(summary(&path)["frames"].as_u64().unwrap() > 0, "{name}: it ended in good order");
    }
}

#[test]
fn what_was_started_with_nohup_outlives_the_terminal() {
    let (folder, policy) = home();
    let (pid, out) = (folder.path().join("pid"), folder.path().join("out"));
    let mut run =
        squint(["run", "--source", "test", "--quiet", "--policy", &policy, "--output-file"]);
    run.arg(&out);
    let Some(mut terminal) = on_a_terminal(&run, "nohup", &pid) else { return };
    let length = || fs::metadata(&out).map_or(0, |found| found.len());
    eventually("a first record", || length() > 0);
    terminal.kill().unwrap();
    terminal.wait().unwrap();
    // The watch for a lost terminal looks once a second; so many records take longer.
    let (pid, before) = (fs::read_to_string(pid).unwrap(), length());
    eventually("it goes on", || length() > before + 100_000 || !runs(pid.trim()));
    assert!(runs(pid.trim()));
    assert!(Command::new("kill").arg(pid.trim()).status().unwrap().success());
    eventually("it ends when it is told to", || !runs(pid.trim()));
}

#[test]
fn a_hangup_without_anything_to_reload_ends_the_run_and_with_a_configuration_reloads_it() {
    let (folder, policy) = home();
    let mut run = Daemon::start(squint(["run", "--source", "test", "--json", "--policy", &policy]));
    run.until_records(1);
    run.signal("HUP");
    let told = run.ends().ends(0);
    assert!(
        told.err.contains("no configuration to reload")
            && told.err.contains("stopped in good order"),
        "{}",
        told.err
    );
    let config = write(
        folder.path().join("squint.toml"),
        "[[camera]]\nname = \"door\"\nsource = \"test\"\n",
    );
    let mut run = Daemon::start(squint([
        "run",
        "--json",
        "--policy",
        &policy,
        "--config",
        config.to_str().unwrap(),
    ]));
    run.until_records(1);
    run.signal("HUP");
    run.until_logged("in force: policy tested");
    run.signal("TERM");
    run.ends().ends(0);
}

#[test]
fn variables_of_kubernetes_and_docker_stop_nothing_and_a_slip_is_told() {
    let (_folder, policy) = home();
    let with = |pairs: &[(&str, &str)], args: &[&str]| {
        let mut command = squint(args);
        command.envs(pairs.iter().copied());
        tell(command)
    };
    let coffee = photo("coffee");
    let links = [
        ("SQUINT_PORT", "tcp://10.0.0.7:9105"),
        ("SQUINT_SERVICE_HOST", "10.0.0.7"),
        ("SQUINT_SERVICE_PORT", "9105"),
        ("SQUINT_SERVICE_PORT_HTTP", "9105"),
        ("SQUINT_PORT_9105_TCP", "tcp://10.0.0.7:9105"),
        ("SQUINT_PORT_9105_TCP_ADDR", "10.0.0.7"),
        ("SQUINT_NAME", "/web/squint"),
        ("SQUINT_ENV_HOME", "/root"),
    ];
    let classify = ["classify", &coffee, "--policy", &policy];
    let told = with(&links, &classify).ends(0);
    assert_eq!(told.err, "", "not even a warning");
    with(&links, &["check", "--policy", &policy]).ends(0);
    let told = with(&[("SQUINT_VERSION", "7"), ("SQUINT_HOME", "/opt")], &classify).ends(0);
    assert!(
        told.err.contains("SQUINT_HOME")
            && told.err.contains("SQUINT_VERSION")
            && told.err.contains("set nothing"),
        "{}",
        told.err
    );
    let told = with(&[("SQUINT_POLCY", "default")], &classify).ends(78);
    assert!(told.err.contains("did you mean `SQUINT_POLICY`?"), "{}", told.err);
}

/// Nothing in `text` but line feeds and what can be seen.
fn is_escaped(text: &str) -> bool {
    !text.chars().any(|char| {
        char != '\n'
            && (char.is_control()
                || matches!(char, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'))
    })
}

#[test]
fn no_name_of_a_file_or_a_policy_forges_a_line_or_steers_a_terminal() {
    const WILD: &str = "x\nERROR lite0 is on fire\u{1b}[31m\u{7}\r\u{9b}2J\u{202e}";
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    fs::create_dir(place("photos")).unwrap();
    let (broken, whole) =
        (place(&format!("photos/{WILD}.png")), place(&format!("photos/y{WILD}.png")));
    fs::write(&broken, "no picture").unwrap();
    fs::copy(root().join(photo("coffee")), &whole).unwrap();
    let policy = fs::read_to_string(confidence_policy(folder.path(), 0.6)).unwrap();
    let name = "name = \"x\\nERROR lite0 is on fire\\u001b[31m\\u009b2J\\u202e\"";
    let policy = write(place("wild.policy.toml").into(), policy.replace("name = \"tested\"", name));
    let policy = policy.to_str().unwrap();
    let config = write(place("squint.toml").into(), "no-such-key = 1\n");
    let config_wild = place(&format!("{WILD}.toml"));
    fs::copy(config, &config_wild).unwrap();
    for args in [
        vec!["run", "--source", &place("photos"), "--text", "--policy", policy],
        vec!["run", "--source", &place("photos"), "--quiet", "--policy", policy],
        vec!["run", "--source", &broken, "--quiet", "--policy", policy],
        vec!["run", "--source", &place(WILD), "--policy", policy],
        vec!["classify", &broken, &whole, "--policy", policy],
        vec!["features", &broken, &whole],
        vec!["check", "--policy", policy],
        vec!["check", "--policy", &place(WILD)],
        vec!["check", "--config", &config_wild],
        vec!["check", "--config", &place(WILD)],
        vec!["replay", &broken],
        vec!["train", "--profile", &broken, "--out", &place("out.policy.toml")],
        vec!["run", "--source", "test", "--frames", "1", "--policy", policy, "--labels", &broken],
        vec![
            "run",
            "--source",
            "test",
            "--frames",
            "1",
            "--policy",
            policy,
            "--summary",
            &place(&format!("no/{WILD}")),
        ],
        vec![
            "run",
            "--source",
            "test",
            "--frames",
            "1",
            "--policy",
            policy,
            "--output-file",
            &place(&format!("no/{WILD}")),
        ],
        vec!["status", "--socket", &place(WILD)],
        vec!["engines", "list", "--engines", &place(WILD)],
        vec![WILD],
    ] {
        let told = ask(&args);
        for text in [&told.out, &told.err] {
            assert!(is_escaped(text), "{args:?}: {text:?}");
            assert!(!text.lines().any(|line| line.starts_with("ERROR lite0")), "{args:?}: {text}");
        }
        assert!(!told.out.is_empty() || !told.err.is_empty(), "{args:?}");
    }
}
