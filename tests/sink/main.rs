//! Where reports go: each sink, and each fault that befalls it.

#![allow(clippy::unwrap_used)] // also in helpers, which clippy does not take for tests

#[path = "../common/mod.rs"]
mod common;

// files and sockets in trouble, the other sinks in none
mod faults;
// the rotated file
mod file;
// the unix socket and its readers
mod socket;
// standard output in a live run
mod stalls;
// standard output for programs and for people; the publisher
mod stdout;
