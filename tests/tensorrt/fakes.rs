//! The whole way from an engine through the real shim to a fake TensorRT and a fake driver, for
//! every major whose headers are here.
//!
//! The fakes (tests/vendor) are built with the same headers as the shim. This proves that Rust and
//! shim fit together, and never NVIDIA's layout. Without headers of TensorRT it says so and passes;
//! tests/nvidia/tensorrt_engine.rs needs none. What is to fail is told to a child process: this
//! program again, one test.

use std::sync::Arc;

use crate::common::again;
use crate::common::onnx_model::Model;
use crate::common::shelf::Shelf;
use crate::common::vendor;
use squint::engine::catalog::Catalog;
use squint::engine::tensorrt::software::Options;
use squint::engine::tensorrt::{PlanFiles, TensorRt, build, probe};
use squint::engine::{Backend, Engine, EngineError};

/// In a child: what its error must hold.
const WANTED: &str = "SQUINT_TEST_WANTED";
/// In a child: the major that it is about.
const MAJOR: &str = "SQUINT_TEST_MAJOR";

fn options(major: u32, cuda: Option<std::path::PathBuf>) -> Option<Options> {
    let vendor::TensorRt { nvinfer, shim, .. } = vendor::tensorrt(major)?;
    Some(Options { cuda: cuda?, library: Some(nvinfer), shim: Some(shim) })
}

fn plan(major: u32, capability: u32) -> String {
    format!(
        "FAKEPLAN 1\nmajor {major}\ncapability {capability}\ntensor images in float 1 3 2 4\ntensor scores out float 1 3\nend\n"
    )
}

/// Loads `plan`, kept on a shelf for as long as it may be loaded anew.
fn load(options: &Options, plan: &str) -> Result<(Box<dyn Engine>, Shelf), EngineError> {
    let shelf = Shelf::new();
    shelf.network_from_bytes("fake", &Model::brightest(4, 2), plan.as_bytes());
    shelf.edit("fake", "runtime = \"onnxruntime\"", "runtime = \"tensorrt\"");
    let (catalog, problems) = Catalog::open(shelf.path());
    assert!(problems.is_empty(), "{problems:?}");
    let backend = TensorRt::new(options.clone(), Arc::new(PlanFiles));
    backend.load(catalog.get("fake").unwrap()).map(|engine| (engine, shelf))
}

/// Shows the engine a picture; every score is the mean times its place.
fn run(engine: &mut dyn Engine, mean: f32) -> Result<(), EngineError> {
    engine
        .input()
        .iter_mut()
        .enumerate()
        .for_each(|(at, value)| *value = mean + if at % 2 == 0 { 0.5 } else { -0.5 });
    let mut scores = [0.0; 3];
    engine.run(&mut scores)?;
    assert_eq!(scores, [mean, 2.0 * mean, 3.0 * mean]);
    Ok(())
}

#[test]
fn an_engine_gives_the_known_answer_through_the_real_shim_with_drivers_old_and_new() {
    for (major, cuda) in vendor::MAJORS
        .into_iter()
        .flat_map(|major| [vendor::fake_cuda(), vendor::fake_cuda_10()].map(|cuda| (major, cuda)))
    {
        let Some(options) = options(major, cuda) else { continue };
        let found = probe::here(&options);
        assert_eq!(found.missing, None);
        assert!(found.version.as_deref().unwrap().starts_with(&format!("{major}.")), "{found:?}");
        let ((mut one, _a), (mut other, _b)) =
            (load(&options, &plan(major, 86)).unwrap(), load(&options, &plan(major, 86)).unwrap());
        for mean in [1.0, 2.0, 4.0] {
            run(one.as_mut(), mean).unwrap();
            run(other.as_mut(), -mean).unwrap();
        }
        std::thread::scope(|scope| {
            for (engine, mean) in [(&mut one, 8.0), (&mut other, 16.0)] {
                scope.spawn(move || (0..100).for_each(|_| run(engine.as_mut(), mean).unwrap()));
            }
        });
    }
}

#[test]
fn a_plan_of_another_major_for_another_gpu_or_cut_off_is_refused_in_tensorrts_words() {
    for major in vendor::MAJORS {
        let Some(options) = options(major, vendor::fake_cuda()) else { continue };
        let good = plan(major, 86);
        for bad in [plan(major + 1, 86), plan(major, 53), good.replace("end\n", ""), "junk".into()]
        {
            let error = load(&options, &bad).err().expect("refused").to_string();
            assert!(
                error.contains("refuses this plan: ") && !error.contains("does not say why"),
                "{error}"
            );
        }
    }
}

#[test]
fn a_plan_is_built_through_the_real_shim_and_runs() {
    for major in vendor::MAJORS {
        let Some(options) = options(major, vendor::fake_cuda()) else { continue };
        let onnx = b"FAKEONNX\ntensor images in float 1 3 2 4\ntensor scores out float 1 3\n";
        let wanted = build::Wanted {
            onnx,
            workspace: Some(64 << 20),
            fp16: true,
            int8: false,
            dla_core: None,
            capability: None,
            timing: None,
            calibration: None,
            batch: 1,
            values: 24,
        };
        let mut phases = Vec::new();
        let heard = &mut |phase: &str, _: i32, _: i32| {
            phases.push(phase.to_owned());
            true
        };
        let built = build::build(&options, &wanted, heard).unwrap();
        assert!(
            phases.iter().any(|phase| phase == "parse")
                && phases.iter().any(|phase| phase == "build"),
            "{phases:?}"
        );
        let tensors: Vec<_> = built
            .tensors
            .iter()
            .map(|tensor| (tensor.name.as_str(), tensor.is_input, tensor.dims.as_slice()))
            .collect();
        assert_eq!(tensors, [("images", true, &[1, 3, 2, 4][..]), ("scores", false, &[1, 3][..])]);
        assert_eq!(built.calibration, None);
        let (mut engine, _shelf) =
            load(&options, std::str::from_utf8(&built.bytes).unwrap()).unwrap();
        run(engine.as_mut(), 2.0).unwrap();
        let panicked = build::build(&options, &wanted, &mut |_, _, _| panic!("told to panic"))
            .unwrap_err()
            .to_string();
        assert!(panicked.contains("makes no plan of it"), "a panic gives up: {panicked}");
    }
}

#[test]
fn scales_are_learned_from_pictures_where_tensorrt_has_that_and_refused_where_not() {
    for major in vendor::MAJORS {
        let Some(options) = options(major, vendor::fake_cuda()) else { continue };
        let onnx = b"FAKEONNX\ntensor images in float 1 3 2 4\ntensor scores out float 1 3\n";
        let wanted = build::Wanted {
            onnx,
            workspace: None,
            fp16: false,
            int8: true,
            dla_core: None,
            capability: None,
            timing: None,
            calibration: None,
            batch: 1,
            values: 24,
        };
        let mut fed = 0;
        let feed = &mut |tensor: &mut [f32]| {
            assert_eq!(tensor.len(), 24);
            tensor.fill(fed as f32);
            fed += 1;
            fed <= 5
        };
        let made = build::calibrate(&options, &wanted, feed, &mut |_, _, _| true);
        if major == 11 {
            let refused = made.unwrap_err().to_string();
            assert!(refused.contains("calibrates no networks"), "{refused}");
            continue;
        }
        assert!(made.unwrap().calibration.unwrap().starts_with(b"TRT-"), "TensorRT {major}");
        assert_eq!(fed, 6, "five pictures and the end");
        let without = build::calibrate(&options, &wanted, &mut |_| false, &mut |_, _, _| true)
            .unwrap_err()
            .to_string();
        assert!(without.contains("without a picture"), "{without}");
    }
}

/// Runs `test` again in a child for each case and major: what is to fail in the driver, in
/// TensorRT, and what is to be said.
fn in_children(test: &str, cases: &[(&str, &str, &str)]) {
    for major in vendor::MAJORS {
        if options(major, vendor::fake_cuda()).is_none() {
            continue;
        }
        for (cuda, tensorrt, wanted) in cases {
            let mut child = again(module_path!(), test);
            child.env(WANTED, wanted).env(MAJOR, major.to_string());
            let output =
                child.env("FAKE_CUDA_FAIL", cuda).env("FAKE_TRT_FAIL", tensorrt).output().unwrap();
            let said = [output.stdout, output.stderr]
                .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
                .concat();
            assert!(
                output.status.success() && said.contains("1 passed"),
                "{major}: {cuda} {tensorrt}: {}\n{said}",
                output.status
            );
        }
    }
}

/// In a child: its options and what its error must hold.
fn child() -> Option<(Options, u32, String)> {
    let wanted = std::env::var(WANTED).ok()?;
    let major = std::env::var(MAJOR).unwrap().parse().unwrap();
    Some((options(major, vendor::fake_cuda()).unwrap(), major, wanted))
}

#[test]
fn what_fails_while_loading_is_told_through_the_real_shim_and_the_next_try_works() {
    let Some((options, major, wanted)) = child() else {
        return in_children(
            "what_fails_while_loading_is_told_through_the_real_shim_and_the_next_try_works",
            &[
                ("", "createRuntime:1=1", "TensorRT makes no runtime"),
                ("", "createRuntime:1=552", "createInferRuntime gave no object (0x228)"),
                ("", "deserialize:1=1", "refuses this plan: "),
                ("", "deserialize:1=552", "(0x228)"),
                ("", "createContext:1=1", "no execution context could be made"),
                ("cuMemAlloc_v2:2=2", "", "cuMemAlloc_v2 failed: CUDA_ERROR_OUT_OF_MEMORY (2)"),
                ("cuMemHostAlloc:1=2", "", "cuMemHostAlloc failed"),
                ("cuStreamCreate:1=719", "", "CUDA_ERROR_LAUNCH_FAILED (719)"),
                ("", "enqueue:1=1", "a first run on zeros failed"),
            ],
        );
    };
    let error = load(&options, &plan(major, 86)).err().expect("told to fail").to_string();
    assert!(error.contains(&wanted), "wanted {wanted:?} in {error:?}");
    run(load(&options, &plan(major, 86)).unwrap().0.as_mut(), 2.0).unwrap();
}

#[test]
fn what_fails_in_a_run_is_told_through_the_real_shim_and_the_next_run_is_right() {
    let Some((options, major, wanted)) = child() else {
        // Loading runs three times.
        return in_children(
            "what_fails_in_a_run_is_told_through_the_real_shim_and_the_next_run_is_right",
            &[
                ("", "enqueue:4=1", "the run could not be queued (fake: enqueue failed, as told"),
                (
                    "",
                    "enqueue:4=700",
                    "CUDA_ERROR_ILLEGAL_ADDRESS (700); the GPU's context is lost",
                ),
                ("cuMemcpyHtoDAsync_v2:4=1", "", "cuMemcpyHtoDAsync_v2 failed"),
                (
                    "cuMemcpyDtoHAsync_v2:4=719",
                    "",
                    "CUDA_ERROR_LAUNCH_FAILED (719); the GPU's context is lost",
                ),
                (
                    "cuEventSynchronize:4=702",
                    "",
                    "CUDA_ERROR_LAUNCH_TIMEOUT (702); the GPU's context is lost",
                ),
            ],
        );
    };
    let (mut engine, _shelf) = load(&options, &plan(major, 86)).unwrap();
    let error = run(engine.as_mut(), 1.0).unwrap_err().to_string();
    assert!(error.contains(&wanted), "wanted {wanted:?} in {error:?}");
    for mean in [2.0, 4.0] {
        run(engine.as_mut(), mean).unwrap();
    }
}
