//! The built program as a service, in health and with every fault that a test can inject.

#![allow(clippy::unwrap_used)] // also in helpers, which clippy does not take for tests

#[path = "../common/mod.rs"]
mod common;

// what it tells systemd, when the watchdog is fed, reloads, stops
mod service;
// SIGUSR1 and SIGUSR2
mod mode_signals;
// what goes wrong with cameras
mod fault_cameras;
// camera drivers that hang, fail or fall silent
mod fault_drivers;
// paths that block, full disks, links, other people's files
mod fault_files;
// a clock that jumps, no descriptors, reloads at the wrong moment
mod system_faults;
// nobody can take what it prints; what others may put into its log
mod last_words;
// a real run written down, and decided again
mod replay;
