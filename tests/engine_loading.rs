//! How engines are loaded and refused: models that do not fit, hashes, damage, and the runtime library itself.
//!
//! Needs the ONNX Runtime library that `make deps` fetches. What could end the process, or needs one in which no runtime is loaded
//! yet, happens in a child: the same program, one test, a variable set.

#![allow(clippy::unwrap_used)] // also in helpers, which clippy does not take for tests

#[path = "common/onnx_model.rs"]
#[allow(dead_code)]
mod onnx_model;
#[path = "common/shelf.rs"]
#[allow(dead_code)]
mod shelf;

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use onnx_model::Model;
use shelf::{Shelf, runtime};
use squint::engine::catalog::Catalog;
use squint::engine::onnx::OnnxRuntime;
use squint::engine::{Answer, Backend, EngineError, looker};
use squint::frame::{Frame, Framing};

fn open(folder: &Path) -> Catalog {
    let (catalog, problems) = Catalog::open(folder);
    assert!(problems.is_empty(), "{problems:?}");
    catalog
}

/// What a model's load is refused with.
fn refusal(model: &Model, edit: Option<(&str, &str)>) -> String {
    let shelf = Shelf::new();
    shelf.network("odd", model);
    if let Some((from, to)) = edit {
        shelf.edit("odd", from, to);
    }
    let error = looker::load(&open(shelf.path()), "odd", &[&runtime()]).err().expect("refused").to_string();
    assert!(error.starts_with("engine `odd`: ") && error.contains("model.onnx: "), "{error}");
    error
}

#[test]
fn a_model_that_does_not_fit_its_manifest_is_refused_with_the_difference() {
    let good = Model::brightest(12, 8);
    let cases = [
        (
            good.clone(),
            Some(("width = 12", "width = 13")),
            "input `input` is [1, 3, 8, 12] and the manifest's [input] makes [1, 3, 8, 13]",
        ),
        (good.clone(), Some(("nchw", "nhwc")), "makes [1, 8, 12, 3]"),
        (good.clone(), Some(("[input]", "[input]\nname = \"x\"")), "`input.name` is \"x\", but the model's inputs are `input`"),
        (
            good.clone(),
            Some(("[output]", "[output]\nname = \"y\"")),
            "`output.name` is \"y\", but the model's outputs are `scores`",
        ),
        (
            good.clone(),
            Some(("three.txt", "two.txt")),
            "output `scores` is [1, 3], which is not one score for each of the 2 labels",
        ),
        (Model { element: 11, nhwc: true, ..good.clone() }, None, "input `input` holds f64 values; only float32 is supported"),
        (Model { second_input: true, ..good.clone() }, None, "the model has 2 inputs (`input`, `bias`)"),
        (Model { external: true, ..good.clone() }, None, "external data"),
        (Model { classes: 4, weights: vec![0.0; 12], ..good }, None, "is [1, 4], which is not one score for each of the 3 labels"),
    ];
    for (model, edit, want) in cases {
        let error = refusal(&model, edit);
        assert!(error.contains(want), "wanted {want:?} in {error:?}");
    }
}

#[test]
fn another_hash_is_refused_before_the_model_is_read() {
    let shelf = Shelf::new();
    shelf.network("hashed", &Model::brightest(4, 4));
    let catalog = open(shelf.path());
    shelf.write("hashed/model.onnx", "something else");
    let error = looker::load(&catalog, "hashed", &[&runtime()]).err().unwrap().to_string();
    assert!(error.contains("has sha256") && error.contains("the manifest says"), "{error}");
    let problems = catalog.verify_files(["hashed"]);
    assert_eq!(problems.len(), 1);
    assert!(problems[0].text.contains("has sha256"), "{problems:?}");
}

#[test]
fn a_backend_that_is_not_there_and_an_engine_that_is_not_there_are_named() {
    let shelf = Shelf::new();
    shelf.network("nchw", &Model::brightest(4, 4));
    let catalog = open(shelf.path());
    let error = looker::load(&catalog, "nchw", &[]).err().unwrap().to_string();
    assert!(error.contains("no backend `onnxruntime`"), "{error}");
    let error = looker::load(&catalog, "nchv", &[]).err().unwrap().to_string();
    assert!(error.contains("did you mean `nchw`?"), "{error}");
}

#[test]
fn the_library_is_found_named_and_never_replaced() {
    let version = runtime().probe().unwrap();
    assert!(version.starts_with("ONNX Runtime 1."), "{version}");
    let error = OnnxRuntime::new(Some(Path::new("/nowhere/libonnxruntime.so")), 1).probe().unwrap_err().to_string();
    assert!(error.contains("/nowhere/libonnxruntime.so is asked for, but this process runs"), "{error}");
    assert!(OnnxRuntime::new(None, 1).probe().is_ok(), "no wish: the one that runs");
}

/// Runs one test of this file again in a child process with `key` set, and returns whether it left by itself and what it said.
fn in_child(test: &str, key: &str, value: &str) -> (bool, String) {
    let program = std::env::current_exe().unwrap();
    let output = Command::new(program).args(["--exact", test, "--nocapture"]).env(key, value).output().unwrap();
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    (output.status.code() == Some(0), said)
}

#[test]
fn a_missing_library_says_what_to_do() {
    const KEY: &str = "SQUINT_TEST_MISSING";
    if std::env::var_os(KEY).is_none() {
        let (left, said) = in_child("a_missing_library_says_what_to_do", KEY, "1");
        assert!(left, "{said}");
        return;
    }
    for (path, want) in [("/nowhere/lib.so", "/nowhere/lib.so is not there; run `make deps`"), ("/etc/hostname", "/etc/hostname")] {
        let error = OnnxRuntime::new(Some(Path::new(path)), 1).probe().unwrap_err();
        assert!(matches!(error, EngineError::RuntimeMissing { .. }));
        let text = error.to_string();
        assert!(text.contains(want) && text.contains("engines.onnxruntime"), "{text}");
    }
    assert!(runtime().probe().is_ok(), "a later try with the right path works");
}

#[test]
fn damaged_models_end_in_an_error_and_never_in_a_crash() {
    const KEY: &str = "SQUINT_TEST_DAMAGE";
    if std::env::var_os(KEY).is_none() {
        let (left, said) = in_child("damaged_models_end_in_an_error_and_never_in_a_crash", KEY, "1");
        assert!(left, "{said}");
        return;
    }
    let model = Model::brightest(4, 4);
    let bytes = model.bytes();
    let truncated = (0..bytes.len()).map(|length| bytes[..length].to_vec());
    // Every third bit: all eight places of a byte come up, in a third of the time.
    let flipped = (0..bytes.len() * 8).step_by(3).map(|bit| {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        flipped
    });
    let garbage = (0..64).map(|seed: usize| (0..200).map(|index| ((index * 31 + seed * 17) ^ (index >> 3)) as u8).collect());
    let frame = Frame::from_rgb(Arc::from([90; 27]), 3, 3, None).unwrap();
    let (mut refused, mut ran) = (0, 0);
    for damaged in truncated.chain(flipped).chain(garbage) {
        let shelf = Shelf::new();
        shelf.network_from_bytes("hurt", &model, &damaged);
        match looker::load(&open(shelf.path()), "hurt", &[&runtime()]) {
            Err(EngineError::Model { .. }) => refused += 1,
            Err(error) => panic!("{error}"),
            Ok(mut engine) => {
                let _ = engine.look(&frame, &Framing::default(), &mut Answer::default());
                ran += 1;
            }
        }
    }
    println!("{refused} refused, {ran} still networks");
    assert!(refused > bytes.len());
}
