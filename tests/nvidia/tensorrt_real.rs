//! NVIDIA's own libraries behind the Rust side and the real shims, as far as they go without a GPU:
//! the driver is made up.
//!
//! Runs what is there: `scripts/deps` can fetch TensorRT-RTX and the lean runtime, `scripts/shims`
//! builds the shims. What is not there is named and passed over.

use std::path::Path;
use std::time::Instant;

use crate::common::nvidia;
use crate::common::onnx_model::Model;
use crate::common::shelf::Shelf;
use crate::common::{skip, skip_without};
use squint::engine::Backend;
use squint::engine::catalog::Catalog;
use squint::engine::tensorrt::build::{self, NoPlan, Wanted};
use squint::engine::tensorrt::model::prepared;
use squint::engine::tensorrt::plan::name::Precision;
use squint::engine::tensorrt::software::Options;
use squint::engine::tensorrt::version::Version;
use squint::engine::tensorrt::{PlanFiles, TensorRt, probe};

/// A made-up driver, `library` and `shim` of the checkout; `None` if either is not there.
fn options(library: &str, shim: &str) -> Option<Options> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (library, shim) = (root.join(library), root.join("target/shims").join(shim));
    for file in [&library, &shim] {
        if !file.is_file() {
            skip_without("nvidia-libraries", format_args!("{} is not there", file.display()));
            return None;
        }
    }
    Some(Options {
        cuda: nvidia::library().to_path_buf(),
        library: Some(library),
        shim: Some(shim),
    })
}

fn rtx() -> Option<Options> {
    options(".deps/tensorrt-rtx/libtensorrt_rtx.so.1", "libsquint-trt-rtx1.so")
}

#[test]
fn the_real_rtx_runtime_is_created_and_refuses_junk_in_its_own_words() {
    let Some(options) = rtx() else { return };
    let found = probe::here(&options);
    assert_eq!(found.missing, None);
    assert!(found.version.unwrap().starts_with("1."));
    let shelf = Shelf::new();
    nvidia::add_plan(&shelf, "junk", &Model::brightest(4, 2));
    let (catalog, _) = Catalog::open(shelf.path());
    let backend = TensorRt::new(options, std::sync::Arc::new(PlanFiles));
    for _ in 0..2 {
        let error = backend.load(catalog.get("junk").unwrap()).err().unwrap().to_string();
        println!("{error}");
        assert!(
            error.contains("refuses this plan: ") && !error.contains("does not say why"),
            "{error}"
        );
    }
}

#[test]
fn the_real_lean_runtime_refuses_to_work_without_a_driver_and_its_small_pointer_is_not_believed() {
    let Some(options) =
        options(".deps/tensorrt-lean-11/libnvinfer_lean.so.11", "libsquint-trt11.so")
    else {
        return;
    };
    let missing = probe::here(&options).missing.unwrap().to_string();
    println!("{missing}");
    assert!(missing.starts_with("TensorRT makes no runtime: "), "{missing}");
}

/// For a GPU of compute capability 8.6.
fn wanted(onnx: &[u8], side: usize) -> Wanted<'_> {
    Wanted {
        onnx,
        workspace: None,
        fp16: false,
        int8: false,
        dla_core: None,
        capability: Some((8, 6)),
        timing: None,
        calibration: None,
        batch: 1,
        values: 3 * side * side,
    }
}

fn weights(file: &str) -> Option<Vec<u8>> {
    let onnx =
        std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("engines/weights").join(file));
    onnx.inspect_err(|error| skip(format_args!("{file}: {error}"))).ok()
}

#[test]
fn the_real_rtx_builder_makes_a_plan_of_a_shipped_model_and_gives_up_when_told() {
    let (Some(options), Some(onnx)) = (rtx(), weights("efficientnet-lite2-260-f32.onnx")) else {
        return;
    };
    let begun = Instant::now();
    let mut phases = Vec::new();
    let heard = &mut |phase: &str, _, _| {
        phases.push(phase.to_owned());
        true
    };
    let plan = build::build(&options, &wanted(&onnx, 260), heard).unwrap();
    println!(
        "a plan of {} bytes in {:.1} s, {} steps told",
        plan.bytes.len(),
        begun.elapsed().as_secs_f32(),
        phases.len()
    );
    assert!(plan.bytes.len() > onnx.len() / 2, "{} bytes", plan.bytes.len());
    assert!(phases.len() > 4 && phases[0] == "parse", "{phases:?}");

    let mut steps = 0;
    let heard = &mut |_: &str, _, _| {
        steps += 1;
        steps < 3
    };
    let given_up = build::build(&options, &wanted(&onnx, 260), heard).unwrap_err();
    assert!(matches!(given_up, NoPlan::Refused { .. }), "{given_up}");
}

#[test]
fn the_real_rtx_parser_says_what_it_does_not_take() {
    let Some(options) = rtx() else { return };
    println!("{:?}", build::abilities(&options).unwrap());
    let refused = |onnx: &[u8]| {
        build::build(&options, &wanted(onnx, 224), &mut |_, _, _| true).unwrap_err().to_string()
    };
    let junk = refused(b"this is no model");
    assert!(junk.contains("makes no plan of it: ") && !junk.contains("does not say why"), "{junk}");
    // Biases of the shipped int8 models are int32 with a scale, as ONNX Runtime writes them;
    // TensorRT wants them in float32, and gets them so (see below).
    if let Some(int8) = weights("efficientnet-lite0-int8.onnx") {
        let int8 = refused(&int8);
        assert!(int8.contains("bias_DequantizeLinear") && int8.contains("Int32"), "{int8}");
    }
}

/// The int8 files of the shipped engines, and a size that each is used at.
const SHIPPED: [(&str, u16); 4] = [
    ("efficientnet-lite0-int8.onnx", 160),
    ("efficientnet-lite1-240-int8.onnx", 240),
    ("efficientnet-lite2-int8.onnx", 224),
    ("efficientnet-lite2-260-int8.onnx", 260),
];

/// The size of the plan that the real RTX builder makes of `file`, prepared for `precision`.
fn built(options: &Options, (file, onnx): (&str, &[u8]), side: u16, precision: Precision) -> usize {
    let rtx = Version { major: 1, minor: 7, patch: 1 };
    let ready = prepared(onnx, &[1, 3, u32::from(side), u32::from(side)], precision, rtx).unwrap();
    let begun = Instant::now();
    let plan = build::build(options, &wanted(&ready, usize::from(side)), &mut |_, _, _| true)
        .unwrap_or_else(|error| panic!("{file} at {side}, {precision}: {error}"));
    let (bytes, seconds) = (plan.bytes.len(), begun.elapsed().as_secs_f32());
    println!(
        "{file} at {side}, {precision}: a model of {} bytes, a plan of {bytes} in {seconds:.1} s",
        ready.len()
    );
    bytes
}

#[test]
fn the_real_rtx_builder_makes_plans_of_every_shipped_int8_model_once_it_is_prepared() {
    let Some(options) = rtx() else { return };
    for (file, side) in SHIPPED {
        let Some(onnx) = weights(file) else { return };
        let sizes = [Precision::Fp32, Precision::Fp16, Precision::Int8]
            .map(|precision| built(&options, (file, &onnx), side, precision));
        // The precision is in the plan, not only in the model.
        let [fp32, fp16, int8] = sizes;
        assert!(fp16 * 10 < fp32 * 6 && int8 < fp32, "{file}: {sizes:?}");
    }
}

#[test]
fn the_real_rtx_builder_makes_a_half_precision_plan_of_the_float32_model() {
    let (Some(options), Some(onnx)) = (rtx(), weights("efficientnet-lite2-260-f32.onnx")) else {
        return;
    };
    let bytes = built(&options, ("efficientnet-lite2-260-f32.onnx", &onnx), 260, Precision::Fp16);
    assert!(bytes < onnx.len() * 6 / 10, "{bytes} bytes");
}
