//! The commands around the daemon, as typed: help, completions, manual, features, engines, check,
//! doctor.

use std::path::{Path, PathBuf};

use crate::common::onnx_model::Model;
use crate::common::program::*;
use crate::common::shelf::Shelf;

#[test]
fn help_and_version_are_answers_and_typing_errors_are_usage() {
    let help = ask(["--help"]).ends(0).out;
    for command in [
        "run",
        "status",
        "reload",
        "set",
        "classify",
        "features",
        "check",
        "engines",
        "bench",
        "doctor",
        "profile",
        "train",
        "evaluate",
        "completions",
        "man",
    ] {
        assert!(help.contains(&format!("\n  {command} ")), "{command} is not in\n{help}");
    }
    assert!(ask(["--version"]).ends(0).out.contains(env!("CARGO_PKG_VERSION")));
    let run = ask(["run", "--help"]).ends(0).out;
    for flag in [
        "--source",
        "--rate-hz",
        "--deadline-ms",
        "--calibration",
        "--onnxruntime",
        "--output-file",
        "--socket",
        "--log",
    ] {
        assert!(run.contains(flag), "{flag} is not in\n{run}");
    }
    assert!(!run.contains("count-allocations"));
    for (args, says) in [
        (vec!["clasify"], "'classify'"),
        (vec!["run", "--sorce", "test"], "'--source'"),
        (vec!["run", "--log", "loud"], "[possible values: error, warn, info, debug, trace]"),
        (vec!["run", "--json", "--quiet"], "cannot be used with"),
        (vec!["run"], "--source v4l2:/dev/video0"),
        (vec!["classify"], "<IMAGE>"),
        (vec![], "Usage: squint"),
    ] {
        let told = ask(&args).ends(64);
        assert!(told.err.contains(says) && told.out.is_empty(), "{args:?}: {}", told.err);
    }
}

#[test]
fn a_packager_gets_completions_and_a_page_for_each_command() {
    for shell in ["bash", "zsh", "fish"] {
        let script = ask(["completions", shell]).ends(0).out;
        assert!(script.contains("classify") && script.contains("deadline-ms"), "{shell}");
    }
    let folder = tempfile::tempdir().unwrap();
    ask(["man", "--out", folder.path().join("new").to_str().unwrap()]).ends(0);
    let page = |name: &str| std::fs::read_to_string(folder.path().join("new").join(name)).unwrap();
    assert!(page("squint.1").contains(".TH squint") && page("squint-run.1").contains("deadline"));
    assert!(ask(["man"]).ends(0).out.contains(".TH squint"));
}

#[test]
fn features_are_told_by_name_and_a_broken_picture_once() {
    let text = ask(["features", &photo("clock")]).ends(0).out;
    assert!(
        text.contains("(400x300, squint-features-") && text.contains("avg_brightness"),
        "{text}"
    );
    let folder = tempfile::tempdir().unwrap();
    let broken = write(folder.path().join("broken.png"), "not a picture");
    let told =
        ask(["features", "--json", broken.to_str().unwrap(), &photo("clock"), &photo("coffee")])
            .ends(69);
    assert_eq!(told.err.matches("broken.png").count(), 1, "{}", told.err);
    let records = told.records();
    assert_eq!(records.len(), 2, "the others are measured");
    assert_eq!((&records[0]["width"], &records[0]["height"]), (&400.into(), &300.into()));
    assert_eq!(records[0]["features"].as_object().unwrap().len(), squint::features::COUNT);
    assert!(records.iter().all(|record| record["schema"] == squint::features::schema()));
}

#[test]
fn the_shipped_engines_are_listed_cheapest_first_and_whole() {
    let text = ask(["engines", "list"]).ends(0).out;
    let at = |id: &str| {
        text.find(&format!("\n{id} ")).unwrap_or_else(|| panic!("{id} is not in\n{text}"))
    };
    assert!(
        at("lite0-128-int8") < at("lite0-224-int8") && at("lite0-224-int8") < at("lite2-260-f32")
    );
    let list = ask(["engines", "list", "--json"]).ends(0).json();
    let found = list
        .as_array()
        .unwrap()
        .iter()
        .find(|engine| engine["id"] == "lite0-224-int8")
        .unwrap()
        .clone();
    assert_eq!(
        (&found["detail"]["kind"], &found["detail"]["input"]["width"]),
        (&"network".into(), &224.into())
    );
    assert!(found["accuracy"][0]["top1"].as_f64().unwrap() > 0.5);
    let told = ask(["engines", "verify"]).ends(0);
    assert_eq!(
        told.out.lines().filter(|line| line.starts_with("ok ")).count(),
        list.as_array().unwrap().len(),
        "{}",
        told.out
    );
}

#[test]
fn an_engine_of_ones_own_is_listed_verified_and_asked() {
    let shelf = Shelf::new();
    shelf.network("mine", &Model::brightest(8, 8));
    let engines = shelf.path().to_str().unwrap();
    assert!(ask(["engines", "list", "--engines", engines]).ends(0).out.contains("made for a test"));
    assert!(ask(["engines", "verify", "--engines", engines]).ends(0).out.contains("ok   mine"));
    let red = shelf.path().join("red.png");
    image::RgbImage::from_pixel(40, 30, image::Rgb([250, 20, 20])).save(&red).unwrap();
    let told = ask([
        "classify",
        "--engines",
        engines,
        "--engine",
        "mine",
        "--json",
        red.to_str().unwrap(),
    ])
    .ends(0);
    assert_eq!(
        (&told.records()[0]["top"][0]["name"], &told.records()[0]["top"][0]["key"]),
        (&"red".into(), &"k1".into())
    );
}

#[test]
fn a_model_that_was_changed_is_named_and_not_used() {
    let shelf = Shelf::new();
    shelf.network("whole", &Model::brightest(8, 8));
    shelf.network("spoilt", &Model::brightest(8, 8));
    let model = shelf.path().join("spoilt/model.onnx");
    let mut bytes = std::fs::read(&model).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&model, bytes).unwrap();
    let engines = shelf.path().to_str().unwrap();
    let told = ask(["engines", "verify", "--engines", engines]).ends(78);
    assert!(
        told.out.contains("ok   whole")
            && told.out.contains("BAD  spoilt")
            && told.out.contains("sha256"),
        "{}",
        told.out
    );
    let told =
        ask(["classify", "--engines", engines, "--engine", "spoilt", &photo("clock")]).ends(78);
    assert!(told.err.contains("spoilt") && told.err.contains("sha256"), "{}", told.err);
    ask(["classify", "--engines", engines, "--engine", "whole", &photo("clock")]).ends(0);
    let policy = fixed_policy(shelf.path(), "whole");
    let told = ask(["check", "--engines", engines, "--policy", policy.to_str().unwrap()]).ends(78);
    assert!(
        told.out.contains("error:   engine `spoilt`") && told.err.contains("1 error"),
        "{}\n{}",
        told.out,
        told.err
    );
}

#[test]
fn check_says_all_is_well_or_every_mistake_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let policy = confidence_policy(folder.path(), 0.6);
    let policy = policy.to_str().unwrap();
    let config =
        |text: &str| write(folder.path().join("squint.toml"), text).to_str().unwrap().to_owned();
    let good = config(&format!("policy = \"{policy}\"\n[[camera]]\nsource = \"test\"\n"));
    assert!(ask(["check", "--config", &good]).ends(0).out.contains("all well: 1 camera, "));
    let printed = ask(["check", "--config", &good, "--print"]).ends(0).out;
    let again = config(&printed);
    assert_eq!(ask(["check", "--config", &again, "--print"]).ends(0).out, printed);
    assert!(ask(["check", "--policy", policy]).ends(0).out.contains("no configuration file"));
    // The file may be named by a variable, which may be empty.
    let told = tell({
        let mut check = squint(["check"]);
        check.env("SQUINT_CONFIG", &good);
        check
    });
    assert!(told.ends(0).out.contains("1 camera"));

    let bad = config(
        "polcy = \"x\"\nlog-level = \"loud\"\n[[camera]]\nsource = \"tset\"\ndeadline-ms = 0\n[engines]\nthreads = 99\n",
    );
    let told = ask(["check", "--config", &bad]).ends(78);
    for part in [
        "did you mean `policy`?",
        "loud",
        "tset",
        "deadline-ms = 0 must be",
        "threads = 99 must be",
        "squint.toml:1",
    ] {
        assert!(told.err.contains(part), "{part} is not in\n{}", told.err);
    }
    assert_eq!(
        ask(["run", "--config", &bad]).ends(78).err,
        told.err,
        "run refuses what check refuses"
    );
    let told =
        ask(["check", "--config", folder.path().join("none.toml").to_str().unwrap()]).ends(78);
    assert!(told.err.contains("none.toml: cannot be read"), "{}", told.err);
}

#[test]
fn a_policy_that_cannot_be_used_is_told_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    confidence_policy(folder.path(), 0.6);
    let calibration = folder.path().to_str().unwrap();
    ask(["check", "--calibration", calibration, "--policy", "tested"]).ends(0);
    for (policy, parts) in [
        ("none", vec!["none.policy.toml: there is no such policy", "tested", "squint train"]),
        ("./none.toml", vec!["./none.toml: there is no such policy"]),
    ] {
        let told = ask(["check", "--calibration", calibration, "--policy", policy]).ends(78);
        parts
            .iter()
            .for_each(|part| assert!(told.out.contains(part), "{part} is not in\n{}", told.out));
        ask(["run", "--source", "test", "--calibration", calibration, "--policy", policy]).ends(78);
    }
    let mut chain =
        std::fs::read_to_string(root().join("tests/data/policies/chain.policy.toml")).unwrap();
    for (id, digit) in [("lite0-128-int8", "1"), ("lite0-160-int8", "2"), ("lite0-224-int8", "3")] {
        chain = chain
            .replace(&digit.repeat(64), "any")
            .replace(["small", "medium", "large"][digit.parse::<usize>().unwrap() - 1], id);
    }
    let chain = write(folder.path().join("old.policy.toml"), chain);
    let told = ask(["check", "--policy", chain.to_str().unwrap()]).ends(78);
    for part in
        ["feature-schema", "squint-features-1:00c0ffee", squint::features::schema(), "squint train"]
    {
        assert!(told.out.contains(part), "{part} is not in\n{}", told.out);
    }
    let unknown = fixed_policy(folder.path(), "lite0-224");
    let told = ask(["check", "--policy", unknown.to_str().unwrap()]).ends(78);
    assert!(
        told.out.contains("`lite0-224` is not installed; did you mean `lite0-224-int8`?"),
        "{}",
        told.out
    );
}

#[test]
fn the_doctor_says_what_is_there_and_what_is_missing_for_what() {
    let told = ask(["doctor"]).ends(0);
    assert!(
        told.out.contains("ok       ONNX Runtime") && told.out.contains("usable in "),
        "{}",
        told.out
    );
    for kind in ["csi", "v4l2", "rtsp", "file", "test", "pipeline", "images"] {
        assert_eq!(
            told.out.lines().filter(|line| line.split_whitespace().nth(1) == Some(kind)).count(),
            1,
            "{kind}\n{}",
            told.out
        );
    }
    assert!(told.err.is_empty(), "{}", told.err);
    let findings = ask(["doctor", "--json"]).ends(0).json();
    let findings = findings["findings"].as_array().unwrap();
    let runtime = findings.iter().find(|finding| finding["subject"] == "ONNX Runtime").unwrap();
    assert_eq!(runtime["found"], true);
    assert!(
        findings.iter().any(
            |finding| finding["subject"] == "appsink" && finding["needed_for"] == "source test"
        )
    );
}

#[test]
fn a_missing_runtime_is_said_once_and_how_to_get_it() {
    let mut doctor = squint(["doctor"]);
    doctor.env("ORT_DYLIB_PATH", "/nonexistent/libonnxruntime.so");
    let told = tell(doctor).ends(69);
    assert!(
        told.out.contains("MISSING  ONNX Runtime") && told.out.contains("make deps"),
        "{}",
        told.out
    );
    let told = ask([
        "classify",
        "--onnxruntime",
        "/nonexistent/x.so",
        "--engine",
        "lite0-128-int8",
        &photo("clock"),
    ])
    .ends(69);
    assert_eq!(told.err.matches("/nonexistent/x.so").count(), 1, "{}", told.err);
    let folder = tempfile::tempdir().unwrap();
    let config = write(
        folder.path().join("squint.toml"),
        "[engines]\nonnxruntime = \"/nonexistent/y.so\"\n[[camera]]\nsource = \"test\"\n",
    );
    let told = ask(["doctor", "--config", config.to_str().unwrap()]).ends(69);
    assert!(told.out.contains("/nonexistent/y.so is not there"), "{}", told.out);
}

/// The folder of engines of a test: this engine alone, with what it names.
fn engines_with(folder: &Path, id: &str) -> PathBuf {
    let engines = folder.join("engines");
    let copy = |from: &str| {
        std::fs::create_dir_all(engines.join(from)).expect("a folder");
        for entry in
            std::fs::read_dir(root().join("engines").join(from)).expect("the shipped engines")
        {
            let entry = entry.expect("an entry");
            std::fs::copy(entry.path(), engines.join(from).join(entry.file_name()))
                .expect("copied");
        }
    };
    [id, "labels", "weights"].into_iter().for_each(copy);
    engines
}

/// The README's figure is the bound: neither may drift from the other.
#[test]
fn bench_counts_no_more_allocations_a_frame_than_the_readme_says() {
    let readme = std::fs::read_to_string(root().join("README.md")).expect("the README");
    let stated = readme
        .split_once("| heap allocations a frame once warm | at most ")
        .expect("the figure in the README")
        .1;
    let stated: f64 =
        stated.split([',', ' ']).next().and_then(|figure| figure.parse().ok()).expect("a figure");
    let folder = tempfile::tempdir().expect("a folder");
    let (engines, policy) =
        (engines_with(folder.path(), ENGINES[0]), fixed_policy(folder.path(), ENGINES[0]));
    let mut bench = squint(["bench", "--json", "--seconds", "12"]);
    bench.arg("--engines").arg(engines).arg("--policy").arg(policy);
    let report = tell(bench).ends(0).json();
    let counted = report["allocations_per_frame"].as_f64().expect("a figure of the run");
    assert!(
        counted <= stated,
        "{counted} allocations a frame, where the README says at most {stated}: {report}"
    );
}
