//! Engines: what they owe, how they are found, loaded, refused, rewritten and kept.

#![allow(clippy::unwrap_used)] // also in helpers, which clippy does not take for tests

#[path = "../common/allocations.rs"]
mod allocations;
#[path = "../common/mod.rs"]
mod common;

// from a folder of photos to a verdict on int8
mod calibration_cache;
// what the catalogue takes in, and every reason to refuse
mod catalog;
// what every engine owes the pipeline, whatever runs it
mod conformance;
// models that do not fit, hashes, damage, the runtime library
mod loading;
// models rewritten for TensorRT answer as before
mod model_rewrites;
// plans on the disk, and builds in a process of their own
mod plan_cache;
