//! Boards and what they tell of themselves.

#![allow(clippy::unwrap_used)] // also in helpers, which clippy does not take for tests

#[path = "../common/allocations.rs"]
mod allocations;
#[path = "../common/mod.rs"]
mod common;

// boards as folders: a folder each in tests/boards
mod boards;
// the simulated board from outside
mod simulate;
// lines that real boards printed
mod tegrastats_samples;
// NVML of this machine, if it has one
mod nvml;
// a TX2 whose sensors fail one by one
mod sensors;
// a script that poses as tegrastats and behaves badly
mod tegrastats;
