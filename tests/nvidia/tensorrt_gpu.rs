//! On a machine with an NVIDIA GPU: the CUDA layer against the real driver, and whatever real
//! TensorRT is there.
//!
//! `cargo test --test nvidia tensorrt_gpu -- --ignored --nocapture --test-threads=1`. Prints what
//! it finds, to be written down in docs/reference/hardware.md; asserts what must hold anywhere.
//! `SQUINT_TEST_ECHO` names tests/standin/echo.c as it was built elsewhere, for a machine without a
//! compiler, and `SQUINT_TEST_ROOT` a checkout in another place than that of the build.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::common::nvidia;
use crate::common::onnx_model::Model;
use crate::common::shelf::Shelf;
use squint::engine::catalog::Catalog;
use squint::engine::tensorrt::software::Options;
use squint::engine::tensorrt::{PlanFiles, TensorRt, build, probe};
use squint::engine::{Backend, Engine, EngineError};
use squint::stats;

fn root() -> PathBuf {
    std::env::var_os("SQUINT_TEST_ROOT")
        .map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from)
}

/// The real driver and the echo.
fn echo() -> Options {
    let echo =
        std::env::var_os("SQUINT_TEST_ECHO").map_or_else(|| nvidia::built("echo"), PathBuf::from);
    Options { library: Some(echo.clone()), shim: Some(echo), ..Options::default() }
}

/// Real libraries, if they are there.
fn real(library: &str, shim: &str) -> Option<Options> {
    let (library, shim) = (root().join(library), root().join("target/shims").join(shim));
    let there = library.is_file() && shim.is_file();
    println!(
        "{}: {}",
        library.display(),
        if there { "there, with its shim" } else { "not there, or no shim for it" }
    );
    there.then(|| Options { library: Some(library), shim: Some(shim), ..Options::default() })
}

/// Loads `plan` for three planes of `width` x `height` and three classes.
fn load(
    options: &Options,
    width: i64,
    height: i64,
    plan: &[u8],
) -> (Result<Box<dyn Engine>, EngineError>, Shelf) {
    let shelf = Shelf::new();
    shelf.network_from_bytes("plan", &Model::brightest(width, height), plan);
    shelf.edit("plan", "runtime = \"onnxruntime\"", "runtime = \"tensorrt\"");
    let (catalog, problems) = Catalog::open(shelf.path());
    assert!(problems.is_empty(), "{problems:?}");
    let backend = TensorRt::new(options.clone(), Arc::new(PlanFiles));
    (backend.load(catalog.get("plan").unwrap()), shelf)
}

fn told(mut times: Vec<Duration>) -> String {
    times.sort_unstable();
    let micros: Vec<f64> = times.iter().map(|time| time.as_nanos() as f64 / 1e3).collect();
    let at = |share| stats::quantile(&micros, share).unwrap();
    format!("p50 {:.1} us, p95 {:.1} us, p99 {:.1} us", at(0.5), at(0.95), at(0.99))
}

/// Runs with a new picture each time; the scores are its first values.
fn runs(engine: &mut dyn Engine, count: u32, seed: f32) -> [Vec<Duration>; 2] {
    let mut times = [Vec::new(), Vec::new()];
    for number in 0..count {
        let values = [seed, seed + number as f32, -seed];
        engine.input()[..3].copy_from_slice(&values);
        let (begun, mut scores) = (Instant::now(), [0.0; 3]);
        let device = engine.run(&mut scores).unwrap();
        times[0].push(begun.elapsed());
        times[1].extend(device);
        assert_eq!(scores, values);
    }
    times
}

#[test]
#[ignore = "needs an NVIDIA GPU"]
fn pinned_memory_copies_streams_and_events_work_on_the_real_driver() {
    let found = probe::here(&echo());
    println!("{found:?}");
    assert_eq!(found.missing, None);
    for side in [8_i64, 224] {
        let plan = format!("ECHOPLAN {side} {side} 3");
        let (engine, _shelf) = load(&echo(), side, side, plan.as_bytes());
        let [whole, device] = runs(engine.unwrap().as_mut(), 5_000, 1.5);
        assert_eq!(device.len(), whole.len(), "events tell");
        println!("{side}x{side}: whole {}; by events {}", told(whole), told(device));
    }
}

#[test]
#[ignore = "needs an NVIDIA GPU"]
fn engines_run_at_once_go_from_thread_to_thread_and_leave_nothing_behind() {
    let plan = b"ECHOPLAN 224 224 3";
    std::thread::scope(|scope| {
        for seed in [1.0, 2.0, 3.0, 4.0] {
            scope.spawn(move || {
                let (engine, _shelf) = load(&echo(), 224, 224, plan);
                runs(engine.unwrap().as_mut(), 1_000, seed);
            });
        }
    });
    let (engine, _shelf) = load(&echo(), 224, 224, plan);
    let mut engine = engine.unwrap();
    for seed in [5.0, 6.0] {
        let engine = &mut engine;
        std::thread::scope(|scope| {
            _ = scope.spawn(move || runs(engine.as_mut(), 100, seed)).join().unwrap()
        });
    }
    // A leak of 600 KB pinned and on the device each time would be seen by nvidia-smi and by the
    // process's size.
    let resident = || {
        std::fs::read_to_string("/proc/self/statm")
            .unwrap()
            .split(' ')
            .nth(1)
            .unwrap()
            .parse::<i64>()
            .unwrap()
            * 4
    };
    let mut sizes = Vec::new();
    for round in 0..400 {
        let (engine, _shelf) = load(&echo(), 224, 224, plan);
        runs(engine.unwrap().as_mut(), 3, 1.0);
        if round % 100 == 99 {
            sizes.push(resident());
        }
    }
    println!("resident after 100, 200, 300, 400 engines: {sizes:?} KB");
    assert!(sizes[3] - sizes[1] < 20_000, "{sizes:?}");
}

#[test]
#[ignore = "needs an NVIDIA GPU"]
fn real_runtimes_are_created_and_refuse_junk() {
    for (library, shim) in [
        (".deps/tensorrt-lean-11/libnvinfer_lean.so.11", "libsquint-trt11.so"),
        (".deps/tensorrt-lean-10/libnvinfer_lean.so.10", "libsquint-trt10.so"),
        (".deps/tensorrt-rtx/libtensorrt_rtx.so.1", "libsquint-trt-rtx1.so"),
    ] {
        let Some(options) = real(library, shim) else { continue };
        println!("{:?}", probe::here(&options));
        let (engine, _shelf) = load(&options, 4, 2, b"no plan at all");
        let error = engine.err().expect("junk is refused").to_string();
        println!("{error}");
        assert!(
            error.contains("refuses this plan: ") || error.contains("needs TensorRT: "),
            "{error}"
        );
    }
}

#[test]
#[ignore = "needs an NVIDIA GPU"]
fn what_real_tensorrt_rtx_does_here_is_told() {
    let Some(options) = real(".deps/tensorrt-rtx/libtensorrt_rtx.so.1", "libsquint-trt-rtx1.so")
    else {
        return;
    };
    println!("{:?}", build::abilities(&options));
    let onnx = Model::brightest(224, 224).bytes();
    let wanted = build::Wanted {
        onnx: &onnx,
        workspace: None,
        fp16: false,
        int8: false,
        dla_core: None,
        capability: None,
        timing: None,
        calibration: None,
        batch: 1,
        values: 3 * 224 * 224,
    };
    let begun = Instant::now();
    let plan = match build::build(&options, &wanted, &mut |_, _, _| true) {
        Ok(plan) => plan,
        Err(error) => return println!("no plan: {error}"),
    };
    println!("a plan of {} bytes in {:.2} s", plan.bytes.len(), begun.elapsed().as_secs_f32());
    let (engine, _shelf) = load(&options, 224, 224, &plan.bytes);
    let mut engine = match engine {
        Ok(engine) => engine,
        Err(error) => return println!("it does not load: {error}"),
    };
    let planes = [0.25, 0.5, 0.75];
    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..1_000 {
        engine
            .input()
            .chunks_exact_mut(224 * 224)
            .zip(planes)
            .for_each(|(plane, value)| plane.fill(value));
        let (begun, mut scores) = (Instant::now(), [0.0; 3]);
        let device = engine.run(&mut scores).unwrap();
        times[0].push(begun.elapsed());
        times[1].extend(device);
        assert!(
            scores.iter().zip(planes).all(|(score, plane)| (score - plane).abs() < 1e-3),
            "{scores:?}"
        );
    }
    let [whole, device] = times;
    println!("real inference: whole {}; by events {}", told(whole), told(device));
}
