//! The log on its way to journald, or to nobody.

#![allow(clippy::unwrap_used)] // also in helpers, which clippy does not take for tests

#[path = "../common/mod.rs"]
mod common;

// what is written, and what happens when journald is away
mod lines;
// a real journald, started by the test
mod real;
// nobody takes the log
mod stall;
