//! The C++ shim for TensorRT, for every major whose headers are here, with the fakes of
//! tests/vendor; and with NVIDIA's own builder.

#![allow(clippy::unwrap_used)] // also in helpers, which clippy does not take for tests

#[path = "../common/mod.rs"]
mod common;

// `squint engines build`, `list` and `calibrate`
mod builds;
// `squint engines calibrate` where TensorRT learns scales
mod calibrates;
// `squint run`: the CPU answers until the plans are built
mod daemon;
// from an engine through the shim to a fake TensorRT and a fake driver
mod fakes;
// NVIDIA's own code through the shim, without a GPU
mod rtx;
// how the shim runs engines
mod shim;
// how the shim builds engines
mod shim_builds;
