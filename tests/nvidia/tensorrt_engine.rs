//! What becomes of a TensorRT engine when something below it fails: every call told to fail, once
//! or for good.
//!
//! Against tests/standin/nvidia.c, which ends the process if anything is given back that is no
//! more. Each case is a process of its own: this program again, one test, told what is to fail and
//! what is expected.

use std::path::Path;

use crate::common::again;
use crate::common::nvidia;
use crate::common::onnx_model::Model;
use crate::common::shelf::Shelf;
use squint::engine::catalog::Catalog;
use squint::engine::tensorrt::probe;
use squint::engine::{Backend, Engine, EngineError};

/// Which call is to fail; read by the library.
const FAILS: &str = "FAKE_NVIDIA";
/// The file in which it keeps the number of things that were made and not given back.
const LIVE: &str = "FAKE_CUDA_LIVE";
/// What the child's error must hold.
const WANTED: &str = "SQUINT_TEST_WANTED";

/// Runs `test` again in a child for each case, with what is to fail and what is to be said.
fn in_children(test: &str, cases: &[(&str, &str)]) {
    for (fails, wanted) in cases {
        let folder = tempfile::tempdir().unwrap();
        let mut child = again(module_path!(), test);
        child.env(FAILS, fails).env(WANTED, wanted).env(LIVE, folder.path().join("live"));
        let output = child.output().unwrap();
        let said = [output.stdout, output.stderr]
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .concat();
        assert!(output.status.success(), "{fails}: {}\n{said}", output.status);
        assert!(said.contains("1 passed"), "{fails}: {said}");
    }
}

/// In a child: what its error must hold.
fn wanted() -> Option<String> {
    std::env::var(WANTED).ok()
}

fn assert_holds(error: &EngineError, wanted: &str) {
    assert!(error.to_string().contains(wanted), "wanted {wanted:?} in {:?}", error.to_string());
}

/// Things that were made and not given back.
fn live() -> i32 {
    let path = std::env::var_os(LIVE).unwrap();
    std::fs::read_to_string(Path::new(&path)).map_or(0, |text| text.trim().parse().unwrap())
}

/// A loaded engine, and the shelf on which its plan must stay for as long as it may be loaded anew.
struct Loaded {
    engine: Box<dyn Engine>,
    _shelf: Shelf,
}

impl std::ops::Deref for Loaded {
    type Target = Box<dyn Engine>;

    fn deref(&self) -> &Self::Target {
        &self.engine
    }
}

impl std::ops::DerefMut for Loaded {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.engine
    }
}

fn load() -> Result<Loaded, EngineError> {
    let shelf = Shelf::new();
    nvidia::add_plan(&shelf, "plan", &Model::brightest(4, 2));
    let (catalog, problems) = Catalog::open(shelf.path());
    assert!(problems.is_empty(), "{problems:?}");
    nvidia::backend()
        .load(catalog.get("plan").unwrap())
        .map(|engine| Loaded { engine, _shelf: shelf })
}

/// Shows the engine a picture of one colour; the scores are that colour.
fn run(engine: &mut dyn Engine, colour: [f32; 3]) -> Result<(), EngineError> {
    engine.input().chunks_exact_mut(8).zip(colour).for_each(|(plane, value)| plane.fill(value));
    let mut scores = [0.0; 3];
    engine.run(&mut scores)?;
    assert_eq!(scores, colour);
    Ok(())
}

#[test]
fn a_plan_runs_and_the_device_tells_how_long() {
    let mut engine = load().unwrap();
    run(engine.engine.as_mut(), [0.25, 0.5, 0.75]).unwrap();
    assert!(engine.run(&mut [0.0; 3]).unwrap().is_some());
    let mut other = load().unwrap();
    run(other.engine.as_mut(), [1.0, 2.0, 3.0]).unwrap();
    run(engine.engine.as_mut(), [3.0, 2.0, 1.0]).unwrap();
}

#[test]
fn a_call_that_fails_while_loading_is_told_the_next_try_works_and_nothing_is_left_behind() {
    let Some(wanted) = wanted() else {
        return in_children(
            "a_call_that_fails_while_loading_is_told_the_next_try_works_and_nothing_is_left_behind",
            &[
                ("cuInit:1=100", "the NVIDIA driver sees no GPU"),
                ("cuInit:1=803", "cuInit failed: CUDA_ERROR_SYSTEM_DRIVER_MISMATCH (803)"),
                ("cuDeviceGetCount:1=none", "the NVIDIA driver sees no GPU"),
                ("cuDeviceGetCount:1=3", "cuDeviceGetCount failed"),
                ("cuDeviceGet:1=101", "cuDeviceGet failed: CUDA_ERROR_INVALID_DEVICE"),
                ("cuDeviceGetName:1=1", "cuDeviceGetName failed"),
                ("cuDeviceGetAttribute:2=1", "cuDeviceGetAttribute failed"),
                ("getInferLibVersion:1=7103", "TensorRT 7.1.3 is not supported"),
                ("getInferLibVersion:1=3", "TensorRT 3 is not supported"),
                ("squint_trt_face:1=2", "has face 2, this Squint knows 1; build it again"),
                (
                    "squint_trt_headers:1=110400",
                    "was built with the headers of 11.4.0, this is 8.2.1",
                ),
                ("squint_trt_logger_new:1=none", "makes no logger"),
                (
                    "cuDevicePrimaryCtxRetain:1=2",
                    "cuDevicePrimaryCtxRetain failed: CUDA_ERROR_OUT_OF_MEMORY (2)",
                ),
                ("cuCtxSetCurrent:1=1", "cuCtxSetCurrent failed"),
                (
                    "squint_trt_runtime_new:1=none",
                    "TensorRT makes no runtime: told to fail at squint_trt_runtime_new",
                ),
                ("squint_trt_runtime_new:1=552", "TensorRT makes no runtime"),
                (
                    "squint_trt_engine_new:1=none",
                    "TensorRT 8.2.1 refuses this plan: told to fail at squint_trt_engine_new",
                ),
                ("squint_trt_engine_new:1=552", "TensorRT 8.2.1 refuses this plan"),
                ("squint_trt_tensors:1=none", "the engine has 0 tensors"),
                ("squint_trt_tensors:1=300", "the engine has 300 tensors"),
                ("squint_trt_tensor:2=none", "tensor 1 of the engine cannot be read"),
                ("cuStreamCreate:1=2", "cuStreamCreate failed: CUDA_ERROR_OUT_OF_MEMORY (2)"),
                ("cuEventCreate:2=2", "cuEventCreate failed"),
                ("cuMemAlloc_v2:1=2", "cuMemAlloc_v2 failed: CUDA_ERROR_OUT_OF_MEMORY (2)"),
                ("cuMemAlloc_v2:2=2", "cuMemAlloc_v2 failed"),
                ("cuMemHostAlloc:2=2", "cuMemHostAlloc failed: CUDA_ERROR_OUT_OF_MEMORY (2)"),
                (
                    "squint_trt_context_new:1=none",
                    "no execution context could be made (told to fail at squint_trt_context_new)",
                ),
                ("squint_trt_context_new:1=552", "no execution context could be made"),
                ("squint_trt_bind:2=none", "a tensor could not be bound"),
                (
                    "squint_trt_enqueue:1=none",
                    "a first run on zeros failed: TensorRT: the run could not be queued",
                ),
                (
                    "cuEventSynchronize:3=1",
                    "a first run on zeros failed: cuEventSynchronize failed",
                ),
            ],
        );
    };
    assert_holds(&load().err().expect("told to fail"), &wanted);
    let mut engine = load().unwrap();
    run(engine.engine.as_mut(), [0.5, 1.0, 1.5]).unwrap();
    drop(engine);
    assert_eq!(live(), 0, "things were left behind");
}

#[test]
fn a_sticky_error_while_loading_is_told_and_the_next_try_has_a_new_context() {
    let Some(wanted) = wanted() else {
        return in_children(
            "a_sticky_error_while_loading_is_told_and_the_next_try_has_a_new_context",
            &[
                ("cuMemAlloc_v2:2=719", "cuMemAlloc_v2 failed: CUDA_ERROR_LAUNCH_FAILED (719)"),
                ("cuEventSynchronize:1=700", "CUDA_ERROR_ILLEGAL_ADDRESS (700)"),
                ("squint_trt_enqueue:2=700", "the run could not be queued"),
            ],
        );
    };
    assert_holds(&load().err().expect("told to fail"), &wanted);
    run(load().unwrap().engine.as_mut(), [0.5, 1.0, 1.5]).unwrap();
}

#[test]
fn a_run_that_fails_is_told_and_the_next_one_is_right() {
    let Some(wanted) = wanted() else {
        // Loading runs three times.
        return in_children(
            "a_run_that_fails_is_told_and_the_next_one_is_right",
            &[
                (
                    "cuMemcpyHtoDAsync_v2:4=1",
                    "cuMemcpyHtoDAsync_v2 failed: CUDA_ERROR_INVALID_VALUE (1)",
                ),
                ("cuMemcpyDtoHAsync_v2:4=1", "cuMemcpyDtoHAsync_v2 failed"),
                ("cuEventRecord:7=400", "cuEventRecord failed: CUDA_ERROR_INVALID_HANDLE (400)"),
                ("cuEventRecord:8=400", "cuEventRecord failed"),
                (
                    "cuEventSynchronize:4=2",
                    "cuEventSynchronize failed: CUDA_ERROR_OUT_OF_MEMORY (2)",
                ),
                (
                    "squint_trt_enqueue:4=none",
                    "TensorRT: the run could not be queued (told to fail at squint_trt_enqueue)",
                ),
                ("squint_trt_enqueue:4=1", "answered with a score that is not finite (class 0)"),
            ],
        );
    };
    let mut engine = load().unwrap();
    assert_holds(&run(engine.engine.as_mut(), [9.0, 9.0, 9.0]).unwrap_err(), &wanted);
    for colour in [[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]] {
        run(engine.engine.as_mut(), colour).unwrap();
    }
    drop(engine);
    assert_eq!(live(), 0, "things were left behind");
}

#[test]
fn a_time_that_the_events_do_not_tell_is_unknown() {
    if wanted().is_none() {
        return in_children(
            "a_time_that_the_events_do_not_tell_is_unknown",
            &[("cuEventElapsedTime:4=600", "")],
        );
    }
    let mut engine = load().unwrap();
    assert_eq!(engine.run(&mut [0.0; 3]).unwrap(), None);
    assert!(engine.run(&mut [0.0; 3]).unwrap().is_some());
}

/// Calls that lose the context at the first run after loading.
const LOSING: [(&str, &str); 4] = [
    ("cuEventSynchronize:4=700", "CUDA_ERROR_ILLEGAL_ADDRESS (700)"),
    ("cuMemcpyHtoDAsync_v2:4=719", "CUDA_ERROR_LAUNCH_FAILED (719)"),
    ("squint_trt_enqueue:4=702", "CUDA_ERROR_LAUNCH_TIMEOUT (702)"),
    ("cuCtxSetCurrent:6=999", "CUDA_ERROR_UNKNOWN (999)"),
];

#[test]
fn a_lost_context_is_told_and_made_anew_before_the_next_look() {
    let Some(wanted) = wanted() else {
        return in_children("a_lost_context_is_told_and_made_anew_before_the_next_look", &LOSING);
    };
    let mut engine = load().unwrap();
    let error = run(engine.engine.as_mut(), [9.0, 9.0, 9.0]).unwrap_err();
    assert_holds(&error, &wanted);
    assert_holds(&error, "the GPU's context is lost, and is made anew before the next look");
    for colour in [[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]] {
        run(engine.engine.as_mut(), colour).unwrap();
    }
}

#[test]
fn a_context_lost_again_soon_is_given_up_and_another_load_starts_afresh() {
    if wanted().is_none() {
        // Three runs while loading, one that loses it, three while loading anew, one that goes
        // well, one that loses it.
        let fails = "cuEventSynchronize:4=700,cuEventSynchronize:9=719";
        return in_children(
            "a_context_lost_again_soon_is_given_up_and_another_load_starts_afresh",
            &[(fails, "")],
        );
    }
    let mut engine = load().unwrap();
    assert_holds(&run(engine.engine.as_mut(), [9.0; 3]).unwrap_err(), "(700)");
    run(engine.engine.as_mut(), [1.0, 2.0, 3.0]).unwrap();
    assert_holds(&run(engine.engine.as_mut(), [9.0; 3]).unwrap_err(), "(719)");
    for _ in 0..3 {
        assert_holds(
            &run(engine.engine.as_mut(), [9.0; 3]).unwrap_err(),
            "the GPU's context was lost again",
        );
    }
    run(load().unwrap().engine.as_mut(), [1.0, 2.0, 3.0]).unwrap();
    assert_holds(&run(engine.engine.as_mut(), [9.0; 3]).unwrap_err(), "lost again");
}

#[test]
fn an_engine_that_loses_the_context_to_another_answers_its_next_look() {
    if wanted().is_none() {
        // Two engines loaded, and the seventh wait is the first one's.
        let fails = "cuEventSynchronize:7=700";
        return in_children(
            "an_engine_that_loses_the_context_to_another_answers_its_next_look",
            &[(fails, "")],
        );
    }
    let (mut one, mut other) = (load().unwrap(), load().unwrap());
    assert_holds(&run(one.engine.as_mut(), [9.0; 3]).unwrap_err(), "(700)");
    run(other.engine.as_mut(), [1.0, 2.0, 3.0]).unwrap();
    run(one.engine.as_mut(), [3.0, 2.0, 1.0]).unwrap();
    run(other.engine.as_mut(), [1.0, 2.0, 3.0]).unwrap();
}

#[test]
fn a_lost_context_stays_while_another_engine_is_at_work_in_it_and_no_picture_is_lost() {
    if wanted().is_none() {
        let test =
            "a_lost_context_stays_while_another_engine_is_at_work_in_it_and_no_picture_is_lost";
        return in_children(test, &[("cuEventSynchronize:7=700", "")]);
    }
    let (mut one, mut other) = (load().unwrap(), load().unwrap());
    // The other's picture is prepared; it has not run yet.
    other
        .input()
        .chunks_exact_mut(8)
        .zip([1.0, 2.0, 3.0])
        .for_each(|(plane, value)| plane.fill(value));
    assert_holds(&run(one.engine.as_mut(), [9.0; 3]).unwrap_err(), "(700)");
    assert_holds(&run(one.engine.as_mut(), [9.0; 3]).unwrap_err(), "cannot be made anew yet");
    let mut scores = [0.0; 3];
    other.run(&mut scores).unwrap();
    assert_eq!(scores, [1.0, 2.0, 3.0], "the picture moved along to the new context");
    run(one.engine.as_mut(), [3.0, 2.0, 1.0]).unwrap();
}

#[test]
fn what_there_is_is_told_as_far_as_it_goes() {
    let found = probe::here(&nvidia::options());
    assert_eq!(found.missing, None);
    assert_eq!(
        (found.cuda.as_deref(), found.version.as_deref(), found.headers.as_deref()),
        (Some("10.2"), Some("8.2.1"), Some("8.2.1"))
    );
    assert_eq!(
        (found.gpus[0].name.as_str(), found.gpus[0].capability.as_str()),
        ("Fake GPU 0", "6.2")
    );

    let told = |edit: &dyn Fn(&mut squint::engine::tensorrt::software::Options)| {
        let mut options = nvidia::options();
        edit(&mut options);
        let found = probe::here(&options);
        (found.cuda.is_some(), found.version.is_some(), found.missing.unwrap().to_string())
    };
    let (cuda, _, missing) = told(&|options| options.cuda = "/nowhere/libcuda.so.1".into());
    assert!(!cuda && missing.starts_with("no NVIDIA driver (/nowhere/libcuda.so.1"), "{missing}");
    let (cuda, _, missing) = told(&|options| options.cuda = "libc.so.6".into());
    assert!(!cuda && missing.contains("libc.so.6 has no function cuInit"), "{missing}");
    let (cuda, version, missing) =
        told(&|options| options.library = Some("/nowhere/libnvinfer.so.8".into()));
    assert!(
        cuda && !version && missing.contains("no TensorRT: /nowhere/libnvinfer.so.8"),
        "{missing}"
    );
    let (_, version, missing) = told(&|options| options.shim = Some("/nowhere/shim.so".into()));
    assert!(
        version
            && missing.contains("no TensorRT shim for")
            && missing.ends_with("build it with scripts/shims"),
        "{missing}"
    );
    let (_, _, missing) = told(&|options| options.shim = Some("libc.so.6".into()));
    assert!(missing.contains("libc.so.6 has no function squint_trt_face"), "{missing}");
    if !Path::new("/usr/lib").join("libnvinfer.so.8").exists() {
        let (_, _, missing) = told(&|options| options.library = None);
        assert!(
            missing.contains("libnvinfer.so.8, libnvinfer.so.10, libnvinfer.so.11"),
            "{missing}"
        );
    }
}
