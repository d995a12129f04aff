//! The threads and channels with fake engines and cameras.

#![allow(clippy::unwrap_used)] // also in helpers, which clippy does not take for tests

#[path = "../common/mod.rs"]
mod common;

// every frame is answered or counted, whatever goes wrong
mod frames;
// how many frames of a camera can be under way
mod jobs;
// every frame is counted once
mod observe;
// every thread hung in turn: the board says who, at what, since when
mod watchdog;
