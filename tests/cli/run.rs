//! `squint run` as typed: files, folders, labels, summaries, the test camera, signals and readers
//! that go away.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::common::program::*;
use serde_json::Value;
use squint::report::DropReason;

/// A temporary folder with a policy in it.
fn home() -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let policy = confidence_policy(folder.path(), 0.6).to_str().unwrap().to_owned();
    (folder, policy)
}

fn summary(path: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn adds_up(part: &Value) -> bool {
    let count = |value: &Value| value.as_u64().unwrap();
    let dropped: u64 = part["dropped"].as_object().unwrap().values().map(count).sum();
    count(&part["frames"])
        == ["answered", "reused", "abstained", "failed"]
            .iter()
            .map(|key| count(&part[key]))
            .sum::<u64>()
            + dropped
}

fn copies(folder: &Path, names: &[(&str, &str)]) -> PathBuf {
    let photos = folder.join("photos");
    std::fs::create_dir(&photos).unwrap();
    for (from, to) in names {
        std::fs::copy(root().join(photo(from)), photos.join(to)).unwrap();
    }
    photos
}

#[test]
fn a_folder_of_photos_gives_a_record_each_and_a_whole_summary() {
    let (folder, policy) = home();
    let path = folder.path().join("summary.json");
    let told = ask([
        "run",
        "--source",
        "tests/data/photos",
        "--policy",
        &policy,
        "--json",
        "--summary",
        path.to_str().unwrap(),
    ]);
    let told = told.ends(0);
    let records = told.records();
    let names: Vec<_> = records.iter().map(|record| record["file"].as_str().unwrap()).collect();
    let mut sorted = names.clone();
    sorted.sort_unstable();
    assert!(names == sorted && names.len() == 6 && names.contains(&"chelsea.png"), "{names:?}");
    let escalated =
        records.iter().filter(|record| record["engines"].as_array().unwrap().len() == 2).count();

    let summary = summary(&path);
    assert_eq!(
        (&summary["v"], &summary["policy"], &summary["frames"]),
        (&1.into(), &"tested".into(), &6.into())
    );
    assert!(adds_up(&summary) && adds_up(&summary["cameras"]["camera"]), "{summary}");
    for why in DropReason::ALL {
        assert_eq!(summary["dropped"][why.name()], 0);
    }
    for stage in ["wait", "features", "dispatch", "preprocess", "run", "overhead", "age"] {
        let times = ["p50", "p95", "p99", "max"]
            .map(|quantile| summary["latency_us"][stage][quantile].as_u64().unwrap());
        assert!(times.is_sorted(), "{stage}: {times:?}");
    }
    let engine = |id: &str| summary["engines"][id].clone();
    assert_eq!(
        (&engine(ENGINES[0])["runs"], &engine(ENGINES[0])["share"]),
        (&6.into(), &1.0.into())
    );
    assert_eq!(engine(ENGINES[1])["runs"], escalated);
    assert_eq!(summary["escalated"], escalated);
    assert!(
        summary["ready_ms"].as_f64().unwrap() > 0.0 && summary["rss_mb"].as_f64().unwrap() > 1.0
    );
    assert!(summary.get("allocations_per_frame").is_none() && summary.get("accuracy").is_none());
    assert!(
        told.err.contains("6 frames in ") && told.err.contains("escalated"),
        "people read it on standard error: {}",
        told.err
    );
}

#[test]
fn labels_give_the_accuracy_and_broken_photos_are_counted() {
    let (folder, policy) = home();
    let photos = copies(
        folder.path(),
        &[("chelsea", "a.png"), ("coffee", "b.png"), ("camera", "c.png"), ("clock", "d.png")],
    );
    write(photos.join("broken.png"), "no picture");
    write(photos.join("empty.jpg"), "");
    write(photos.join("notes.txt"), "not looked at");
    // 285 is an Egyptian cat, 967 espresso, 872 a tripod; the clock's label is wrong on purpose.
    let labels = write(
        folder.path().join("labels.csv"),
        "file,class_index\na.png,285\nb.png,967\nc.png,872\nd.png,0\n",
    );
    let path = folder.path().join("summary.json");
    let told = ask([
        "run",
        "--source",
        photos.to_str().unwrap(),
        "--policy",
        &policy,
        "--labels",
        labels.to_str().unwrap(),
        "--summary",
        path.to_str().unwrap(),
        "--json",
    ])
    .ends(0);
    assert_eq!(told.records().len(), 4);
    let summary = summary(&path);
    assert!(adds_up(&summary), "{summary}");
    assert_eq!(
        (&summary["frames"], &summary["answered"], &summary["dropped"]["unreadable"]),
        (&6.into(), &4.into(), &2.into())
    );
    assert_eq!(
        (&summary["accuracy"]["n"], &summary["accuracy"]["top1"]),
        (&4.into(), &0.75.into())
    );
    assert!(
        told.err.contains("accuracy 75.0 %") && told.err.contains("2 unreadable"),
        "{}",
        told.err
    );
    assert_eq!(
        told.err.matches("broken.png").count(),
        2,
        "once when it comes, once at the end: {}",
        told.err
    );

    let wrong = write(folder.path().join("wrong.csv"), "name,class\na.png,1\n");
    let told = ask([
        "run",
        "--source",
        "tests/data/photos",
        "--policy",
        &policy,
        "--labels",
        wrong.to_str().unwrap(),
    ])
    .ends(78);
    assert!(
        told.err.contains("wrong.csv")
            && told.err.contains("line 1: a header with the column file"),
        "{}",
        told.err
    );
}

#[test]
fn labels_of_a_run_are_read_as_those_of_a_profile_and_each_that_fits_no_photo_is_told() {
    let (folder, policy) = home();
    let photos =
        copies(folder.path(), &[("chelsea", "a.png"), ("coffee", "b.png"), ("camera", "c.png")]);
    let labels = folder.path().join("labels.csv");
    let path = folder.path().join("summary.json");
    let run = |text: &str| {
        write(labels.clone(), text);
        let (source, csv, summary) =
            (photos.to_str().unwrap(), labels.to_str().unwrap(), path.to_str().unwrap());
        ask([
            "run",
            "--source",
            source,
            "--policy",
            &policy,
            "--labels",
            csv,
            "--summary",
            summary,
            "--quiet",
            "--deadline-ms",
            "60000",
        ])
    };
    for text in [
        "file,class_index\na.png,285\nb.png,967\nc.png,872\n",
        "file, class_index\na.png, 285\n./b.png, 967\nc.png, 872\n",
        "\u{feff}file;wnid\r\na.png;n02124075\r\nb.png;n07920052\r\nc.png;n04485082\r\n",
        "class_name\tfile\nEgyptian cat\ta.png\nEspresso\tb.png\nTripod\tc.png\n",
    ] {
        let told = run(text).ends(0);
        let summary = summary(&path);
        assert_eq!(
            (&summary["accuracy"]["n"], &summary["accuracy"]["top1"]),
            (&3.into(), &1.0.into()),
            "{text}"
        );
        assert!(!told.err.contains("labels.csv"), "nothing to tell: {}", told.err);
    }
    let told = run("file,class_index\na.png,285\nB.PNG,967\n").ends(0);
    assert!(
        told.err.contains("1 of 2 labels belong to no photo of this source: line 3: file \"B.PNG\", and there is \"b.png\""),
        "{}",
        told.err
    );
    assert!(told.err.contains("2 of 3 photos have no label"), "{}", told.err);
    assert_eq!(summary(&path)["accuracy"]["n"], 1);
    for (text, said) in [
        (
            "file,class_index\nim/a.png,285\nim/b.png,967\n",
            "0 of 2 labels belong to a photo of this source: line 2: file \"im/a.png\"",
        ),
        ("file,class_index\na.png,99999\n", "line 2: class_index \"99999\": allowed are 0 to 999"),
        ("file,wnid\na.png,n99999999\n", "line 2: wnid \"n99999999\""),
        (
            "file,class_index\na.png,285\na.png,285\n",
            "line 3: file \"a.png\" is listed already in line 2",
        ),
    ] {
        let told = run(text).ends(78);
        assert!(told.err.contains("labels.csv: ") && told.err.contains(said), "{}", told.err);
    }
    let told = ask([
        "run",
        "--source",
        "test",
        "--frames",
        "1",
        "--policy",
        &policy,
        "--labels",
        labels.to_str().unwrap(),
    ])
    .ends(64);
    assert!(told.err.contains("--labels is for photos"), "{}", told.err);
}

#[test]
fn a_run_whose_labels_are_counted_from_1_says_so_at_its_end() {
    let (folder, policy) = home();
    let names: Vec<String> = (0..12).map(|number| format!("{number:02}.png")).collect();
    let photos = copies(
        folder.path(),
        &names.iter().map(|name| ("coffee", name.as_str())).collect::<Vec<_>>(),
    );
    let rows: String = names.iter().map(|name| format!("{name},968\n")).collect();
    let labels = write(folder.path().join("labels.csv"), format!("file,class_index\n{rows}"));
    let told = ask([
        "run",
        "--source",
        photos.to_str().unwrap(),
        "--policy",
        &policy,
        "--labels",
        labels.to_str().unwrap(),
        "--quiet",
        "--deadline-ms",
        "60000",
    ]);
    let told = told.ends(0);
    assert!(
        told.err.contains("the labels look wrong: the policy is right on 0 of 12 photos"),
        "{}",
        told.err
    );
    assert!(
        told.err.contains("12 of 12 answers are the label minus 1; are the labels counted from 1"),
        "{}",
        told.err
    );
}

#[test]
fn the_test_camera_is_live_and_ends_after_so_many_frames() {
    let (folder, policy) = home();
    let path = folder.path().join("summary.json");
    let begun = Instant::now();
    let told = ask([
        "run",
        "--source",
        "test",
        "--frames",
        "60",
        "--policy",
        &policy,
        "--json",
        "--summary",
        path.to_str().unwrap(),
    ]);
    let records = told.ends(0).records();
    assert!(begun.elapsed() > Duration::from_millis(1900), "30 frames a second");
    let summary = summary(&path);
    assert!(adds_up(&summary) && summary["frames"].as_u64().unwrap() >= 60, "{summary}");
    let outcomes = ["answered", "reused", "abstained", "failed"]
        .map(|outcome| summary[outcome].as_u64().unwrap());
    assert_eq!(records.len() as u64, outcomes.iter().sum::<u64>());
    // A frame that took a second look may be told of after the next one, but each only once.
    let numbers: std::collections::BTreeSet<_> =
        records.iter().map(|record| record["frame"].as_u64().unwrap()).collect();
    assert!(numbers.len() == records.len() && !records.is_empty(), "{numbers:?}");
}

#[test]
fn the_rate_can_be_asked_for_and_allocations_be_counted() {
    let (folder, policy) = home();
    let path = folder.path().join("summary.json");
    let mut run = squint([
        "run",
        "--source",
        "test",
        "--rate-hz",
        "100",
        "--frames",
        "400",
        "--policy",
        &policy,
        "--quiet",
    ]);
    run.arg("--summary").arg(&path).arg("--count-allocations");
    tell(run).ends(0);
    let summary = summary(&path);
    assert!(summary["allocations_per_frame"].is_number(), "{summary}");
    let offered = summary["frames"].as_f64().unwrap() / summary["duration_s"].as_f64().unwrap();
    assert!(offered > 40.0, "30 a second is what it would give unasked: {summary}");
}

#[test]
fn the_forms_of_standard_output_and_the_levels_of_the_log() {
    let (folder, policy) = home();
    let say = |flags: &[&str]| {
        let base = ["run", "--source", "test", "--frames", "2", "--policy", &policy];
        ask(base.iter().chain(flags)).ends(0)
    };
    assert!(say(&["--text"]).out.contains("camera  #    0  "));
    let quiet = say(&["--quiet", "--log", "error"]);
    assert!(
        quiet.out.is_empty() && !quiet.err.contains("INFO") && quiet.err.contains(" frames in "),
        "{}",
        quiet.err
    );
    assert!(say(&["--log", "debug"]).err.contains("DEBUG"));
    let config = write(
        folder.path().join("quiet.toml"),
        format!(
            "policy = \"{policy}\"\nlog-level = \"error\"\n[output]\nstdout = \"none\"\nsummary = false\n[[camera]]\nsource = \"test\"\n"
        ),
    );
    let config = config.to_str().unwrap();
    let told = ask(["run", "--config", config, "--frames", "2"]).ends(0);
    assert_eq!((&*told.out, &*told.err), ("", ""), "as the configuration wants it");
    assert!(
        ask(["run", "--config", config, "--frames", "2", "--log", "info"])
            .ends(0)
            .err
            .contains("INFO"),
        "the flag wins"
    );
    let mut by_variable = squint(["run", "--config", config, "--frames", "2"]);
    by_variable.env("SQUINT_LOG_LEVEL", "info");
    assert!(tell(by_variable).ends(0).err.contains("INFO"), "the variable wins over the file");
}

#[test]
fn two_cameras_stop_in_good_order_at_either_signal() {
    let (folder, policy) = home();
    let cameras = "[[camera]]\nname = \"left\"\nsource = \"test\"\n[[camera]]\nname = \"right\"\nsource = \"test\"\nrate-hz = 10\n";
    let config = write(folder.path().join("two.toml"), format!("policy = \"{policy}\"\n{cameras}"));
    for signal in ["TERM", "INT"] {
        let path = folder.path().join(format!("{signal}.json"));
        let mut squint = Daemon::start(squint([
            "run",
            "--config",
            config.to_str().unwrap(),
            "--json",
            "--summary",
            path.to_str().unwrap(),
        ]));
        squint.until("records of both", |squint| {
            ["left", "right"]
                .iter()
                .all(|name| squint.out().contains(&format!("\"camera\":\"{name}\"")))
        });
        squint.signal(signal);
        let told = squint.ends().ends(0);
        let (summary, records) = (summary(&path), told.records());
        let outcomes = ["answered", "reused", "abstained", "failed"]
            .map(|outcome| summary[outcome].as_u64().unwrap());
        assert_eq!(records.len() as u64, outcomes.iter().sum::<u64>());
        for name in ["left", "right"] {
            assert!(
                adds_up(&summary["cameras"][name])
                    && summary["cameras"][name]["answered"].as_u64().unwrap() > 0,
                "{summary}"
            );
        }
        assert!(told.err.contains("told to stop"), "{}", told.err);
    }
}

#[test]
fn a_second_signal_ends_at_once() {
    let (_folder, policy) = home();
    // This camera sleeps before each frame, so that closing it takes a while.
    let slow =
        "pipeline:videotestsrc ! video/x-raw,width=64,height=48 ! identity sleep-time=1500000";
    let mut squint =
        Daemon::start(squint(["run", "--source", slow, "--policy", &policy, "--json"]));
    squint.until_records(1);
    std::thread::sleep(Duration::from_millis(300));
    squint.signal("TERM");
    squint.until_logged("told to stop");
    squint.signal("TERM");
    squint.ends().ends(143);
}

#[test]
fn a_reader_that_has_seen_enough_ends_the_run_quietly() {
    let (folder, policy) = home();
    for (form, source) in
        [("--json", "test"), ("--text", "test"), ("--json", "tests/data/photos/*.png")]
    {
        let path = folder.path().join("summary.json");
        let mut command =
            squint(["run", "--source", source, form, "--policy", &policy, "--log", "warn"]);
        command.arg("--summary").arg(&path).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut first = String::new();
        let mut pipe = std::io::BufReader::new(child.stdout.take().unwrap());
        std::io::BufRead::read_line(&mut pipe, &mut first).unwrap();
        drop(pipe);
        let output = child.wait_with_output().unwrap();
        let err = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), first.is_empty()), (Some(0), false), "{err}");
        assert!(
            !err.contains("roken pipe") && !err.contains("ERROR") && !err.contains("WARN"),
            "{err}"
        );
        assert!(summary(&path)["frames"].as_u64().unwrap() > 0);
    }
    let mut list = squint(["engines", "list"]);
    let mut child = list.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr), (Some(0), Vec::new()));
}

#[test]
fn a_source_or_a_summary_that_cannot_be_had_is_told_once() {
    let (folder, policy) = home();
    let place = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    std::fs::create_dir(place("empty")).unwrap();
    write(place("garbage.mp4").into(), "this is no clip");
    for (source, says) in [
        (place("none.mp4"), "none.mp4: cannot be opened"),
        (place("empty"), "images end in jpg"),
        (place("*.jpg"), "images end in jpg"),
        (place("garbage.mp4"), "is this a whole video file?"),
    ] {
        let path = place("summary.json");
        let told =
            ask(["run", "--source", &source, "--policy", &policy, "--summary", &path]).ends(69);
        assert_eq!(told.err.matches(says).count(), 1, "{source}: {}", told.err);
        assert_eq!(summary(Path::new(&path))["frames"], 0, "the summary is written all the same");
    }
    let told = ask(["run", "--source", "tset", "--policy", &policy]).ends(78);
    assert!(told.err.contains("--source: ") && told.err.contains("`tset`"), "{}", told.err);
    let told = ask([
        "run",
        "--source",
        "test",
        "--policy",
        &policy,
        "--summary",
        &place("no/such/summary.json"),
    ])
    .ends(74);
    assert!(
        told.err.contains("summary.json") && told.out.is_empty(),
        "before a long run, not after it: {}",
        told.err
    );
}
