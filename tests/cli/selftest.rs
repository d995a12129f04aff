//! `squint doctor --engines`: every engine against stored answers, with small engines that the test
//! makes. That the shipped answers fit the shipped engines is in tests/reference/shipped.rs.

use std::path::Path;

use crate::common::onnx_model::Model;
use crate::common::program::*;
use crate::common::shelf::Shelf;
use serde_json::Value;

/// Two engines and an ensemble of them, and a calibration folder with pictures and their stored
/// answers.
struct House {
    shelf: Shelf,
    calibration: tempfile::TempDir,
}

impl House {
    fn new() -> Self {
        let (shelf, calibration) = (Shelf::new(), tempfile::tempdir().unwrap());
        shelf.network("first", &Model::brightest(12, 8));
        shelf.network("second", &Model::brightest(6, 6));
        shelf.ensemble("both", &["first", "second"]);
        let selftest = calibration.path().join("selftest");
        std::fs::create_dir(&selftest).unwrap();
        for name in ["chelsea.png", "rocket.png"] {
            std::fs::copy(root().join("calibration/selftest").join(name), selftest.join(name))
                .unwrap();
        }
        let house = Self { shelf, calibration };
        house.ask(&["--self-test", "--store"]).ends(0);
        house
    }

    fn ask(&self, more: &[&str]) -> Told {
        let mut command = squint(["doctor", "--calibration"]);
        command
            .arg(self.calibration.path())
            .env("SQUINT_ENGINES__FOLDER", self.shelf.path())
            .args(more);
        tell(command)
    }

    fn file(&self, name: &str) -> std::path::PathBuf {
        self.calibration.path().join("selftest").join(name)
    }
}

fn replace(path: &Path, from: &str, to: &str) {
    let text = std::fs::read_to_string(path).unwrap();
    assert!(text.contains(from), "{from} is not in {text}");
    std::fs::write(path, text.replace(from, to)).unwrap();
}

/// Result and reason of an engine.
fn result(told: &Value, engine: &str) -> (String, String) {
    let row =
        told["engines"].as_array().unwrap().iter().find(|row| row["engine"] == engine).unwrap();
    let word = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
    (word("result"), word("why"))
}

#[test]
fn engines_that_answer_as_stored_make_a_table_and_a_good_end() {
    let house = House::new();
    let told = house.ask(&["--engines"]).ends(0);
    for engine in ["first", "second", "both"] {
        let line = told
            .out
            .lines()
            .find(|line| line.starts_with(engine))
            .unwrap_or_else(|| panic!("{}", told.out));
        let words: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(words[1..6], ["onnxruntime", "float32", "ok", "2/2", "0.000"], "{line}");
        assert!(words[6..].iter().all(|time| time.parse::<f64>().unwrap() > 0.0), "{line}");
    }
    assert!(
        told.out.starts_with(&format!("squint {} on ", env!("CARGO_PKG_VERSION"))),
        "{}",
        told.out
    );

    let told = house.ask(&["--self-test", "--json"]).ends(0).json();
    let row = &told["engines"][0];
    assert_eq!(
        (&row["agreed"], &row["pictures"], &row["result"]),
        (&2.into(), &2.into(), &"ok".into())
    );
    assert!(row["p95_ms"].as_f64().unwrap() >= row["p50_ms"].as_f64().unwrap());
    assert!(told["stored"]["runtime"].as_str().unwrap().starts_with("ONNX Runtime 1."), "{told}");
}

#[test]
fn an_engine_that_answers_otherwise_is_told_and_ends_with_78() {
    let house = House::new();
    let answers = house.file("answers.json");
    let stored: Value = serde_json::from_str(&std::fs::read_to_string(&answers).unwrap()).unwrap();
    let first = stored["engines"]
        .as_array()
        .unwrap()
        .iter()
        .find(|engine| engine["engine"] == "first")
        .unwrap();
    let text = first.to_string();
    let probability = first["top"][0][0][1].to_string();
    let spoilt = text.replacen(&probability, "0.011", 1);
    let file = serde_json::to_string(&stored).unwrap();
    std::fs::write(&answers, file.replace(&text, &spoilt)).unwrap();
    let told = house.ask(&["--self-test", "--json"]).ends(78);
    assert_eq!(result(&told.json(), "first").0, "differs");
    assert_eq!(result(&told.json(), "second").0, "ok");
    assert!(
        told.err.contains("of 3 engines 1 differ from the stored answers and 0 failed"),
        "{}",
        told.err
    );
}

#[test]
fn an_engine_of_ones_own_is_timed_and_a_broken_one_fails_by_name() {
    let house = House::new();
    house.shelf.network("mine", &Model { symbolic: true, ..Model::brightest(4, 4) });
    let told = house.ask(&["--self-test", "--json"]).ends(0).json();
    let (word, why) = result(&told, "mine");
    assert!(word == "unknown" && why.contains("nothing is stored of this engine"), "{why}");

    std::fs::write(house.shelf.path().join("mine/model.onnx"), "junk").unwrap();
    let told = house.ask(&["--self-test", "--json"]).ends(78);
    let (word, why) = result(&told.json(), "mine");
    assert!(word == "failed" && why.contains("mine/model.onnx"), "{why}");
}

#[test]
fn what_is_missing_or_was_changed_is_named() {
    let house = House::new();
    let no_runtime = house
        .ask(&["--self-test", "--json", "--onnxruntime", "/nonexistent/libonnxruntime.so"])
        .ends(69);
    let (word, why) = result(&no_runtime.json(), "first");
    assert!(word == "absent" && why.contains("/nonexistent/libonnxruntime.so"), "{why}");

    replace(&house.file("answers.json"), "\"v\":1", "\"v\":9");
    let told = house.ask(&["--self-test"]).ends(78);
    assert!(
        told.err.contains("answers.json") && told.err.contains("v = 9, only 1 is read"),
        "{}",
        told.err
    );
    replace(&house.file("answers.json"), "\"v\":9", "\"v\":1");

    std::fs::copy(house.file("rocket.png"), house.file("chelsea.png")).unwrap();
    let told = house.ask(&["--self-test"]).ends(78);
    assert!(
        told.err.contains("chelsea.png: has sha256 ") && told.err.contains("install Squint again"),
        "{}",
        told.err
    );

    std::fs::remove_file(house.file("answers.json")).unwrap();
    let told = house.ask(&["--self-test"]).ends(78);
    assert!(told.err.contains("answers.json: the stored answers: "), "{}", told.err);
}

#[test]
fn with_a_folder_the_flag_means_where_engines_are_looked_for() {
    let house = House::new();
    let told = house.ask(&["--engines", "/nonexistent"]).ends(69);
    assert!(told.out.contains("0 usable in /nonexistent"), "{}", told.out);
    let mut command = squint(["doctor", "--self-test", "--engines"]);
    command.arg(house.shelf.path()).arg("--calibration").arg(house.calibration.path());
    assert!(tell(command).ends(0).out.contains("\nboth "));
    house.ask(&["--store"]).ends(64);
}
