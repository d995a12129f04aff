//! What allocates nothing once warm; the allocator of this program counts for each thread.

#![allow(clippy::unwrap_used)] // also in helpers, which clippy does not take for tests

#[path = "../common/allocations.rs"]
mod allocations;
#[path = "../common/mod.rs"]
mod common;

// publishing counters
mod control;
// features of a frame
mod features;
// a step of the governor
mod governor;
// rendering a record, counting a report
mod records;
// sampling a board
mod telemetry;
