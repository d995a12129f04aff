//! TensorRT behind our own side of the shim, with the stand-in of tests/standin/nvidia.c or with
//! NVIDIA's own libraries.
//!
//! Apart from tests/tensorrt, whose fakes have the names of NVIDIA's libraries and would be taken
//! for those here.

#![allow(clippy::unwrap_used)] // also in helpers, which clippy does not take for tests

#[path = "../common/mod.rs"]
mod common;

// the program on a machine with a GPU that is made up
mod tensorrt_cli;
// every call below an engine told to fail, once or for good
mod tensorrt_engine;
// on a real NVIDIA GPU; ignored elsewhere
mod tensorrt_gpu;
// which plans are refused before they run
mod tensorrt_plans;
// NVIDIA's own libraries, as far as they go without a GPU
mod tensorrt_real;
