//! What Squint adds to a run on the GPU:
//! `cargo test --release --bench tensorrt -- --ignored --nocapture`.
//!
//! A figure and no check: the wall clock of a busy machine proves nothing. Driver, TensorRT and
//! shim are those of tests/standin/nvidia.c, where a call costs next to nothing; so what is left is
//! Squint's own, and the calls of a real driver come on top of it. A network of one pixel has
//! nothing to compute; for one of the usual size, what the events say (copies and enqueue) is taken
//! off. Where headers of TensorRT are, the same through the real shim to the fakes of tests/vendor.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed bench")]

#[path = "../tests/common/mod.rs"]
mod common;

use std::sync::Arc;
use std::time::{Duration, Instant};

use common::onnx_model::Model;
use common::shelf::Shelf;
use common::{nvidia, vendor};
use squint::engine::Backend;
use squint::engine::catalog::Catalog;
use squint::engine::tensorrt::software::Options;
use squint::engine::tensorrt::{PlanFiles, TensorRt};
use squint::stats;

/// Median and 99th percentile of `times`.
fn told(mut times: Vec<Duration>) -> String {
    times.sort_unstable();
    let micros: Vec<f64> = times.iter().map(|time| time.as_nanos() as f64 / 1e3).collect();
    let at = |share| stats::quantile(&micros, share).unwrap();
    format!("p50 {:.1} us, p99 {:.1} us", at(0.5), at(0.99))
}

#[test]
#[ignore = "a figure, no check"]
fn what_a_run_costs_beside_the_network() {
    for (side, runs) in [(1, 200_000), (224, 2_000)] {
        let shelf = Shelf::new();
        nvidia::add_plan(&shelf, "plan", &Model::brightest(side, side));
        figures(&format!("{side}x{side}"), &nvidia::backend(), &shelf, runs);
    }
    for major in vendor::MAJORS {
        let (Some(cuda), Some(fakes)) = (vendor::fake_cuda(), vendor::tensorrt(major)) else {
            continue;
        };
        let shelf = Shelf::new();
        let plan = format!(
            "FAKEPLAN 1\nmajor {major}\ncapability 86\ntensor images in float 1 3 1 1\ntensor scores out float 1 3\nend\n"
        );
        shelf.network_from_bytes("plan", &Model::brightest(1, 1), plan.as_bytes());
        shelf.edit("plan", "runtime = \"onnxruntime\"", "runtime = \"tensorrt\"");
        let options = Options { cuda, library: Some(fakes.nvinfer), shim: Some(fakes.shim) };
        figures(
            &format!("1x1 through the shim of {major}"),
            &TensorRt::new(options, Arc::new(PlanFiles)),
            &shelf,
            100_000,
        );
    }
}

fn figures(what: &str, backend: &TensorRt, shelf: &Shelf, runs: usize) {
    let (catalog, _) = Catalog::open(shelf.path());
    let mut engine = backend.load(catalog.get("plan").unwrap()).unwrap();
    let mut scores = [0.0; 3];
    let (mut whole, mut added) = (Vec::with_capacity(runs), Vec::with_capacity(runs));
    for run in 0..runs + runs / 10 {
        engine.input()[0] = run as f32;
        let begun = Instant::now();
        let device = engine.run(&mut scores).unwrap().unwrap();
        let took = begun.elapsed();
        if run >= runs / 10 {
            whole.push(took);
            added.push(took.saturating_sub(device));
        }
    }
    println!(
        "{what}, {runs} runs: whole {}; without copies and enqueue {}",
        told(whole),
        told(added)
    );
}
