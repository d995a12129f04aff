//! Which plans are refused before they run, and with which words.
//!
//! Against tests/standin/nvidia.c: it tells what tensors a plan has, and the refusing is ours.

use std::os::unix::fs::PermissionsExt;

use crate::common::nvidia;
use crate::common::onnx_model::Model;
use crate::common::shelf::Shelf;
use squint::engine::catalog::Catalog;
use squint::engine::looker;

/// What loading is refused with, after `spoil` has been at the shelf.
fn refusal(model: &Model, spoil: impl FnOnce(&Shelf)) -> String {
    let shelf = Shelf::new();
    nvidia::add_plan(&shelf, "odd", model);
    spoil(&shelf);
    let (catalog, problems) = Catalog::open(shelf.path());
    assert!(problems.is_empty(), "{problems:?}");
    let error =
        looker::load(&catalog, "odd", &[&nvidia::backend()]).err().expect("refused").to_string();
    assert!(error.starts_with("engine `odd`: ") && error.contains("model.onnx: "), "{error}");
    error
}

#[test]
fn a_plan_that_does_not_fit_its_manifest_is_refused_with_the_difference() {
    let good = Model::brightest(12, 8);
    let edited =
        |from: &'static str, to: &'static str| move |shelf: &Shelf| shelf.edit("odd", from, to);
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
            "but the model's outputs are `scores`",
        ),
        (
            good.clone(),
            Some(("three.txt", "two.txt")),
            "output `scores` is [1, 3], which is not one score for each of the 2 labels",
        ),
        (
            Model { element: 10, ..good.clone() },
            None,
            "the input holds float16 values; plans are run with float32 alone",
        ),
        (
            Model { symbolic: true, ..good },
            None,
            "`input` is [?, 3, ?, ?]: the plan leaves sides open; build it for one picture of the manifest's size",
        ),
    ];
    for (model, edit, want) in cases {
        let error = match edit {
            Some((from, to)) => refusal(&model, edited(from, to)),
            None => refusal(&model, |_| ()),
        };
        assert!(error.contains(want), "wanted {want:?} in {error:?}");
    }
}

#[test]
fn a_plan_that_tensorrt_does_not_know_is_refused_with_its_own_words_and_without_idle_ones() {
    let model = Model::brightest(4, 2);
    let error = refusal(&model, |shelf| {
        let plan = nvidia::plan(&model);
        let hurt = &plan[1..];
        shelf.network_from_bytes("odd", &model, hurt.as_bytes());
        shelf.edit("odd", "runtime = \"onnxruntime\"", "runtime = \"tensorrt\"");
    });
    assert!(
        error.ends_with("TensorRT 8.2.1 refuses this plan: magic tag does not match"),
        "{error}"
    );
}

#[test]
fn a_plan_with_another_hash_or_that_everybody_may_write_to_does_not_reach_tensorrt() {
    let model = Model::brightest(4, 2);
    let error = refusal(&model, |shelf| _ = shelf.write("odd/model.onnx", "something else"));
    assert!(error.contains("has sha256") && error.contains("the manifest says"), "{error}");
    let error = refusal(&model, |shelf| {
        let plan = shelf.path().join("odd/model.onnx");
        std::fs::set_permissions(plan, std::fs::Permissions::from_mode(0o666)).unwrap();
    });
    assert!(
        error.contains("everybody may write to this plan") && error.contains("chmod o-w"),
        "{error}"
    );
}
