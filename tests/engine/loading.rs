//! How engines are loaded and refused: models that do not fit, hashes, damage, and the runtime
//! library itself.
//!
//! Needs the ONNX Runtime library that `make deps` fetches. What could end the process, or needs
//! one in which no runtime is loaded yet, happens in a child: the same program, one test, a
//! variable set.

use std::path::Path;
use std::sync::Arc;

use crate::common::again;
use crate::common::onnx_model;
use crate::common::onnx_model::Model;
use crate::common::shelf::{Shelf, runtime};
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
    let error =
        looker::load(&open(shelf.path()), "odd", &[&runtime()]).err().expect("refused").to_string();
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
        (
            good.clone(),
            Some(("[input]", "[input]\nname = \"x\"")),
            "`input.name` is \"x\", but the model's inputs are `input`",
        ),
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
        (
            Model { element: 11, nhwc: true, ..good.clone() },
            None,
            "input `input` holds float64 values; supported are float32",
        ),
        (
            Model { second_input: true, ..good.clone() },
            None,
            "the model has 2 inputs (`input`, `bias`) and cannot be used",
        ),
        (
            Model { classes: 4, weights: vec![0.0; 12], ..good.clone() },
            None,
            "labels; has the model a background class?",
        ),
        (
            Model { classes: 2, weights: vec![0.0; 6], ..good.clone() },
            Some(("two.txt", "three.txt")),
            "a heading, or a background",
        ),
        (
            Model { classes: 7, weights: vec![0.0; 21], ..good.clone() },
            None,
            "`output.labels` must name a file of 7 lines",
        ),
        (
            Model { classes: 1, weights: vec![0.0; 3], ..good.clone() },
            None,
            "a single score names no class",
        ),
        (
            Model { second_output: true, ..good.clone() },
            Some(("name = \"scores\"\n", "")),
            "name the one that holds the scores",
        ),
        (
            Model { ends: [2, 1], ..good.clone() },
            Some(("mean = [0, 0, 0]", "mean = [255, 255, 255]")),
            "mean = [0, 0, 0] and std",
        ),
        (
            Model { ends: [1, 2], ..good.clone() },
            Some(("scale = 0.0625\nzero_point = 100\n", "")),
            "write `output.scale` and",
        ),
        (
            good,
            Some(("[output]", "[output]\nscale = 0.5")),
            "take `output.scale` and `output.zero_point` away",
        ),
    ];
    for (model, edit, want) in cases {
        let error = refusal(&model, edit);
        assert!(error.contains(want), "wanted {want:?} in {error:?}");
    }
}

#[test]
fn the_advice_for_an_input_that_does_not_fit_is_right() {
    let good = Model::brightest(12, 8);
    for (model, edit) in [
        (good.clone(), ("width = 12", "width = 13")),
        (good.clone(), ("nchw", "nhwc")),
        (Model { nhwc: true, ..good.clone() }, ("nhwc", "nchw")),
        (
            Model { size: [1, 8, 12], weights: vec![1.0, 2.0, 3.0], ..good },
            ("[input]\nwidth = 12\nheight = 8", "[input]\nwidth = 9\nheight = 4"),
        ),
    ] {
        let shelf = Shelf::new();
        shelf.network("odd", &model);
        shelf.edit("odd", edit.0, edit.1);
        let load = || {
            looker::load(&open(shelf.path()), "odd", &[&runtime()])
                .err()
                .map(|error| error.to_string())
        };
        let refused = load().expect("refused");
        let advice = refused
            .split("; write ")
            .nth(1)
            .and_then(|rest| rest.split(" under [input]").next())
            .expect(&refused);
        // Followed to the letter.
        let path = shelf.path().join("odd/engine.toml");
        let mut text = std::fs::read_to_string(&path).unwrap();
        for line in advice.split(", ") {
            let (key, value) = line.split_once(" = ").expect(&refused);
            let old =
                text.lines().find(|old| old.starts_with(&format!("{key} = "))).unwrap().to_owned();
            text = text.replace(&old, &format!("{key} = {value}"));
        }
        std::fs::write(&path, text).unwrap();
        assert_eq!(load(), None, "{refused}");
    }
}

#[test]
fn models_in_other_numbers_with_several_outputs_or_open_sides_answer_as_the_plain_one_does() {
    let plain = Model::brightest(12, 8);
    // Where the picture comes in whole numbers the network sees samples of 0 to 255, and its
    // weights make the same scores of them.
    let scaled = Model {
        weights: plain.weights.iter().map(|weight| weight / 50.0).collect(),
        ..plain.clone()
    };
    let models = [
        ("plain", plain.clone(), 1e-6),
        ("float16-ends", Model { ends: [10, 10], ..plain.clone() }, 2e-3),
        ("float16-all", Model { element: 10, ..plain.clone() }, 2e-3),
        ("uint8-input", Model { ends: [2, 1], ..scaled.clone() }, 2e-2),
        ("int8-input", Model { ends: [3, 1], ..scaled.clone() }, 2e-2),
        ("uint8-output", Model { ends: [1, 2], ..plain.clone() }, 2e-2),
        ("int8-output", Model { ends: [1, 3], ..plain.clone() }, 2e-2),
        ("uint8-both-nhwc", Model { ends: [2, 2], nhwc: true, ..scaled }, 3e-2),
        ("two-outputs", Model { second_output: true, ..plain.clone() }, 1e-6),
        ("open-scores", Model { open_scores: true, symbolic: true, ..plain.clone() }, 1e-6),
        ("external", Model { external: Some("model.onnx.data"), ..plain.clone() }, 1e-6),
        (
            "external-below",
            Model { external: Some("weights/a.bin"), nhwc: true, ..plain.clone() },
            1e-6,
        ),
        ("log-softmax", Model { finish: onnx_model::Finish::LogSoftmax, ..plain }, 1e-5),
    ];
    let shelf = Shelf::new();
    models.iter().for_each(|(id, model, _)| shelf.network(id, model));
    let catalog = open(shelf.path());
    let frame = Frame::from_rgb(
        (0..8 * 12).flat_map(|_| [180, 120, 60]).collect::<Vec<u8>>().into(),
        12,
        8,
        None,
    )
    .unwrap();
    let look = |id: &str| {
        let mut engine =
            looker::load(&catalog, id, &[&runtime()]).unwrap_or_else(|error| panic!("{error}"));
        let mut answer = Answer::default();
        engine
            .look(&frame, &Framing::default(), &mut answer)
            .unwrap_or_else(|error| panic!("{error}"));
        answer
    };
    let want = look("plain");
    for (id, _, within) in models {
        let got = look(id);
        for (got, want) in got.probabilities.iter().zip(&want.probabilities) {
            assert!((got - want).abs() <= within, "{id}: {got} {want}");
        }
    }
}

#[test]
fn the_number_of_scores_that_a_model_leaves_open_is_counted_in_a_first_run() {
    let four =
        Model { classes: 4, weights: vec![1.0; 12], open_scores: true, ..Model::brightest(12, 8) };
    let error = refusal(&four, None);
    assert!(
        error
            .contains("output `scores` is [1, 4], which is not one score for each of the 3 labels"),
        "{error}"
    );
}

#[test]
fn weights_in_another_file_are_read_if_the_manifest_names_it_and_it_is_what_it_says() {
    let model = Model { external: Some("model.onnx.data"), ..Model::brightest(12, 8) };
    let shelf = Shelf::new();
    shelf.network("apart", &model);
    let load = || {
        looker::load(&open(shelf.path()), "apart", &[&runtime()])
            .err()
            .map(|error| error.to_string())
    };
    assert_eq!(load(), None);
    let whole = open(shelf.path()).fingerprint("apart").unwrap();

    let mut data = model.data();
    data[70] ^= 1;
    shelf.write("apart/model.onnx.data", &data);
    let error = load().unwrap();
    assert!(error.contains("apart/model.onnx.data: ") && error.contains("has sha256"), "{error}");
    let problems = open(shelf.path()).verify_files(["apart"]);
    assert!(
        problems.iter().any(|problem| problem.text.contains("model.onnx.data has sha256")),
        "{problems:?}"
    );

    shelf.network("apart", &Model { weights: vec![2.0; 9], ..model.clone() });
    assert_ne!(
        open(shelf.path()).fingerprint("apart").unwrap(),
        whole,
        "other weights are another engine"
    );

    shelf.network("apart", &model);
    shelf.edit(
        "apart",
        "[[model.data]]\nfile = \"model.onnx.data\"",
        "[[model.data]]\nfile = \"other.data\"",
    );
    std::fs::copy(
        shelf.path().join("apart/model.onnx.data"),
        shelf.path().join("apart/other.data"),
    )
    .unwrap();
    let error = load().unwrap();
    assert!(
        error.contains("keeps weights in \"model.onnx.data\", which the manifest does not name"),
        "{error}"
    );
    assert!(error.contains("[[model.data]]"), "{error}");

    let elsewhere = refusal(
        &Model { external: Some("/etc/passwd"), ..model.clone() },
        Some(("[[model.data]]\nfile = \"/etc/passwd\"", "[[model.data]]\nfile = \"model.onnx\"")),
    );
    assert!(
        elsewhere.contains("has sha256")
            || elsewhere.contains("only files beside the model are read"),
        "{elsewhere}"
    );
}

#[test]
fn a_data_file_outside_the_engines_folder_is_refused() {
    let model = Model { external: Some("model.onnx.data"), ..Model::brightest(12, 8) };
    let problem = |file: &str, prepare: &dyn Fn(&Shelf)| {
        let shelf = Shelf::new();
        shelf.network("apart", &model);
        prepare(&shelf);
        shelf.edit("apart", "file = \"model.onnx.data\"", &format!("file = \"{file}\""));
        let (catalog, problems) = Catalog::open(shelf.path());
        assert!(catalog.get("apart").is_none(), "{file}");
        problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    };
    assert!(
        problem("/etc/hostname", &|_| ())
            .contains("`model.data[0].file` is \"/etc/hostname\"; it must be a path relative")
    );
    assert!(problem("../../x.data", &|_| ()).contains("stays in the catalogue"));
    assert!(
        problem("../weights/x.data", &|shelf| drop(shelf.write("weights/x.data", "x")))
            .contains("in the folder of `model.file`")
    );
    assert!(problem("gone.data", &|_| ()).contains("gone.data"));
    let linked = problem("link.data", &|shelf| {
        std::os::unix::fs::symlink("/etc/hostname", shelf.path().join("apart/link.data")).unwrap()
    });
    assert!(linked.contains("outside the catalogue"), "{linked}");
}

#[test]
fn a_manifest_that_tells_the_wrong_kind_of_output_is_refused_with_the_right_one() {
    use onnx_model::Finish;
    let plain = Model::brightest(12, 8);
    let told = |finish, from: &str, to: &str| {
        let shelf = Shelf::new();
        shelf.network("odd", &Model { finish, ..plain.clone() });
        shelf.edit("odd", &format!("kind = \"{from}\""), &format!("kind = \"{to}\""));
        let load = || {
            looker::load(&open(shelf.path()), "odd", &[&runtime()])
                .err()
                .map(|error| error.to_string())
        };
        let refused = load().expect("refused");
        assert!(refused.contains("odd/engine.toml: `output.kind` is"), "{refused}");
        // The advice, followed, leads to an engine that loads.
        let right = if refused.contains("write kind = \"probabilities\"") {
            "probabilities"
        } else {
            "logits"
        };
        shelf.edit("odd", &format!("kind = \"{to}\""), &format!("kind = \"{right}\""));
        assert_eq!(load(), None, "{refused}");
        refused
    };
    assert!(
        told(Finish::Softmax, "probabilities", "logits")
            .contains("write kind = \"probabilities\" under [output]")
    );
    assert!(
        told(Finish::None, "logits", "probabilities")
            .contains("write kind = \"logits\" under [output]")
    );
    assert!(
        told(Finish::LogSoftmax, "logits", "probabilities").contains("logarithms of probabilities")
    );
    assert!(told(Finish::Sigmoid, "logits", "probabilities").contains("sigmoid"));
}

#[test]
fn an_engine_that_answers_the_same_whatever_it_is_shown_loads_with_a_remark() {
    let shelf = Shelf::new();
    shelf.network("dead", &Model { weights: vec![0.0; 9], ..Model::brightest(12, 8) });
    let (catalog, runtime) = (open(shelf.path()), runtime());
    let loaded = looker::load_by(&catalog, "dead", &|_, _| Ok(&runtime))
        .unwrap_or_else(|error| panic!("{error}"));
    assert!(
        loaded.remarks.iter().any(|remark| remark.contains("the same scores to 4 test pictures")),
        "{:?}",
        loaded.remarks
    );
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
    let error = OnnxRuntime::new(Some(Path::new("/nowhere/libonnxruntime.so")), 1)
        .probe()
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("/nowhere/libonnxruntime.so is asked for, but this process runs"),
        "{error}"
    );
    assert!(OnnxRuntime::new(None, 1).probe().is_ok(), "no wish: the one that runs");
}

/// Runs one test of this file again in a child process with `key` set, and returns whether it left
/// by itself and what it said.
fn in_child(test: &str, key: &str, value: &str) -> (bool, String) {
    let output = again(module_path!(), test).env(key, value).output().unwrap();
    let said = [output.stdout, output.stderr]
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .concat();
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
    for (path, want) in [
        ("/nowhere/lib.so", "/nowhere/lib.so is not there; run `make deps`"),
        ("/etc/hostname", "/etc/hostname"),
    ] {
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
        let (left, said) =
            in_child("damaged_models_end_in_an_error_and_never_in_a_crash", KEY, "1");
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
    let garbage = (0..64).map(|seed: usize| {
        (0..200).map(|index| ((index * 31 + seed * 17) ^ (index >> 3)) as u8).collect()
    });
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
