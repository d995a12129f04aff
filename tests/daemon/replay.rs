//! `squint run --record` and `squint replay`: a real run is written down and decided again.

use std::path::{Path, PathBuf};

use crate::common::program::*;
use crate::common::skip;
use serde_json::Value;
use squint::telemetry::recorded::RecordedWriter;
use squint::telemetry::{Inventory, Rail, Sample, Zone};
use squint::units::{Celsius, Milliwatts};

/// Frames of a run: some five seconds, so that the budget takes a few steps.
const FRAMES: &str = "100";

/// A board that always draws 9 W and is at 50 °C.
fn board(folder: &Path) -> PathBuf {
    let inventory = Inventory {
        board: Some("test board".into()),
        rails: vec![Rail { name: "VDD_IN".into(), origin: "recorded".into(), sum: false }],
        total: Some(0),
        zones: vec![Zone {
            name: "GPU-therm".into(),
            origin: "recorded".into(),
            trips: Vec::new(),
            throttle_at: Some(Celsius(90.0)),
            governs: true,
        }],
        ..Inventory::default()
    };
    let mut writer = RecordedWriter::new(Vec::new(), &inventory).unwrap();
    for half_second in 0..240 {
        let mut sample =
            Sample { at: std::time::Duration::from_millis(500 * half_second), ..Sample::default() };
        sample.rails.push(Some(Milliwatts(9000.0 + half_second as f32)));
        sample.temperatures.push(Some(Celsius(50.1)));
        writer.write(&sample).unwrap();
    }
    write(folder.join("board.jsonl"), writer.finish().unwrap())
}

/// A configuration under a cap.
fn config(folder: &Path, name: &str, power_mw: u32) -> PathBuf {
    let text = format!(
        "[telemetry]\nrecorded = \"{}\"\n[budget]\npower-mw = {power_mw}\npower-window-s = 10\nmin-fps = 2.0\n[[camera]]\nname = \"c\"\nsource = \"test\"\nrate-hz = 20.0\ndeadline-ms = 10000\nstale-after-ms = 10000\n",
        board(folder).display()
    );
    write(folder.join(name), text)
}

/// A run under a cap that the board exceeds, written down.
fn recorded(folder: &Path) -> PathBuf {
    let (trace, policy) = (folder.join("run.trace"), confidence_policy(folder, 0.99));
    let config = config(folder, "low.toml", 8000);
    let args = [
        "run",
        "--config",
        text(&config),
        "--policy",
        text(&policy),
        "--frames",
        FRAMES,
        "--quiet",
        "--record",
        text(&trace),
    ];
    ask(args).ends(0);
    trace
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn count(value: &Value, keys: [&str; 2]) -> u64 {
    value[keys[0]][keys[1]].as_u64().unwrap_or_else(|| panic!("{keys:?} in {value}"))
}

#[test]
fn every_decision_of_a_run_under_a_cap_is_made_again_to_the_last_bit() {
    let folder = tempfile::tempdir().unwrap();
    let trace = recorded(folder.path());
    let told = ask(["replay", text(&trace), "--json"]).ends(0).json();
    assert_eq!(
        (&told["identical"], &told["whole"], &told["missing"]),
        (&true.into(), &true.into(), &0.into()),
        "{told}"
    );
    for what in ["decisions", "grants", "steps"] {
        assert!(
            count(&told, [what, "all"]) > 2
                && count(&told, [what, "all"]) == count(&told, [what, "identical"]),
            "{what}: {told}"
        );
    }
    let lines = std::fs::read_to_string(&trace).unwrap();
    assert!(lines.contains(r#""why":"power""#), "the cap holds: else nothing is tried");

    // One bit of one reading, one figure of one decision: each is found, at its line.
    for (from, line) in [(r#""value":"#, "decision"), (r#""stretch":"#, "step")] {
        let at = lines.lines().position(|it| {
            it.contains(from)
                && it.contains(if line == "step" { "{\"step\"" } else { "{\"after\"" })
        });
        let at = at.unwrap_or_else(|| panic!("no {from}"));
        let changed: Vec<_> = lines
            .lines()
            .enumerate()
            .map(|(number, it)| if number == at { tampered(it, from) } else { it.to_owned() })
            .collect();
        let other = write(folder.path().join("other.trace"), changed.join("\n") + "\n");
        let told = ask(["replay", text(&other), "--json"]).ends(1).json();
        assert_eq!(
            (&told["differences"][0]["line"], &told["differences"][0]["what"]),
            (&(at + 1).into(), &line.into()),
            "{told}"
        );
        assert!(
            ask(["replay", text(&other)])
                .ends(1)
                .out
                .contains(&format!("line {}: {line} differs", at + 1))
        );
    }

    // The end may be missing; the rest is as good as it was.
    let cut = write(folder.path().join("cut.trace"), &lines[..lines.len() - 30]);
    let told = ask(["replay", text(&cut), "--json"]).ends(0).json();
    assert_eq!(told["whole"], false);
}

#[test]
fn a_run_that_begins_with_what_was_kept_and_is_reloaded_midway_is_decided_again_to_the_last_bit() {
    let folder = tempfile::tempdir().unwrap();
    let (trace, kept) = (folder.path().join("run.trace"), folder.path().join("budget.json"));
    let policy = confidence_policy(folder.path(), 0.99);
    let low = config(folder.path(), "low.toml", 8000);
    let with_state = std::fs::read_to_string(&low)
        .unwrap()
        .replace("[budget]\n", &format!("[budget]\nstate-file = \"{}\"\n", text(&kept)));
    write(low.clone(), with_state);
    let args = |more: &[&str]| {
        let common = ["run", "--config", text(&low), "--policy", text(&policy)];
        [&common, more].concat().into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    ask(args(&["--frames", FRAMES, "--quiet"])).ends(0);
    assert!(kept.exists(), "what was learned is kept at the end");

    let mut daemon = Daemon::start(squint(args(&["--json", "--record", text(&trace)])));
    daemon.until_records(10);
    daemon.signal("HUP");
    daemon.until_logged("in force");
    let before = daemon.out().lines().count();
    daemon.until_records(before + 10);
    daemon.signal("TERM");
    daemon.ends().ends(0);

    let lines = std::fs::read_to_string(&trace).unwrap();
    let engine_sets: Vec<&str> =
        lines.lines().filter(|line| line.starts_with("{\"crew\"")).collect();
    assert_eq!(engine_sets.len(), 2, "the first engine set and that of the reload");
    assert!(!engine_sets[0].contains("\"kept\":null"), "{}", engine_sets[0]);
    let told = ask(["replay", text(&trace), "--json"]).ends(0).json();
    assert_eq!(
        (&told["identical"], &told["whole"], &told["missing"]),
        (&true.into(), &true.into(), &0.into()),
        "{told}"
    );
    assert!(
        count(&told, ["decisions", "all"]) > 10 && count(&told, ["steps", "all"]) > 2,
        "{told}"
    );
}

/// The last figure after `key`, another one.
fn tampered(line: &str, key: &str) -> String {
    let at = line.rfind(key).unwrap() + key.len();
    let end = at + line[at..].find([',', '}']).unwrap();
    format!("{}0.125{}", &line[..at], &line[end..])
}

#[test]
fn other_limits_and_other_policies_decide_otherwise_and_the_unknown_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let trace = recorded(folder.path());
    let high = config(folder.path(), "high.toml", 60_000);
    let low = folder.path().join("low.toml");
    let small = fixed_policy(folder.path(), ENGINES[0]);

    let same = ask(["replay", text(&trace), "--config", text(&low), "--json"]).ends(0).json();
    let what_if = &same["what_if"];
    assert!(what_if["frames"].as_u64().unwrap() > 2, "{same}");
    assert_eq!(
        (&what_if["same"], &what_if["unknown"]),
        (&what_if["frames"], &0.into()),
        "the same limits change nothing: {same}"
    );
    assert_eq!(what_if["recorded"], what_if["supposed"]);
    assert!(count(what_if, ["recorded", "withheld"]) > 0, "{same}");

    let other = ask(["replay", text(&trace), "--config", text(&high), "--json"]).ends(0).json();
    let what_if = &other["what_if"];
    assert_eq!(count(what_if, ["supposed", "withheld"]), 0, "{other}");
    assert!(
        what_if["unknown"].as_u64().unwrap() > 0,
        "looks that the cap withheld have no answer: {other}"
    );
    assert!(what_if["supposed"]["looked_ms"].as_f64() > what_if["recorded"]["looked_ms"].as_f64());

    let told = ask(["replay", text(&trace), "--policy", text(&small)]).ends(0);
    assert!(told.out.contains("what if: of ") && told.out.contains("0 unknown"), "{}", told.out);
    let large = fixed_policy(folder.path(), "shufflenet-none");
    let refused = ask(["replay", text(&trace), "--policy", text(&large)]).ends(78);
    assert!(refused.err.contains("shufflenet-none"), "{}", refused.err);
}

#[test]
fn a_bad_trace_is_refused_with_file_line_key_value_and_range() {
    let folder = tempfile::tempdir().unwrap();
    let head = r#"{"v":1,"squint":"0","schema":"s","inventory":{},"cameras":["c"]}"#;
    for (lines, words) in [
        (String::new(), "line 1: ends here"),
        (head.replace("\"v\":1", "\"v\":7"), "v = 7"),
        (head.replace("[\"c\"]", "[]"), "`cameras` is a list of 0, allowed is 1 to 1024"),
        (
            format!("{head}\n{{\"gap\":{{\"missing\":-1}}}}\n"),
            "line 2: invalid value: integer `-1`",
        ),
        (
            format!("{head}\n{{\"lost\":{{\"frame\":[0,1],\"why\":\"busy\"}}}}\n"),
            "line 2: an event before the first `crew`",
        ),
        (
            format!("{head}\n{{\"end\":{{\"missing\":0}}}}\n{{\"end\":{{\"missing\":0}}}}\n"),
            "line 3: goes on after its end",
        ),
    ] {
        let path = write(folder.path().join("bad.trace"), &lines);
        let told = ask(["replay", text(&path)]).ends(78);
        assert!(
            told.err.contains("bad.trace") && told.err.contains(words),
            "{words}: {}",
            told.err
        );
    }
}

#[test]
fn a_trace_that_cannot_be_written_ends_the_recording_and_not_the_run() {
    if !Path::new("/dev/full").exists() {
        return skip("there is no /dev/full");
    }
    let folder = tempfile::tempdir().unwrap();
    let policy = fixed_policy(folder.path(), ENGINES[0]);
    // Its head is refused at once, before the run: that is told as what it is.
    let args = [
        "run",
        "--source",
        "test",
        "--frames",
        "3",
        "--policy",
        text(&policy),
        "--quiet",
        "--record",
        "/dev/full",
    ];
    let told = ask(args).ends(74);
    assert!(told.err.contains("/dev/full"), "{}", told.err);
}
