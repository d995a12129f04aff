//! The commands as typed: what they take, what they print, how they end.

#![allow(clippy::unwrap_used)] // also in helpers, which clippy does not take for tests

#[path = "../common/mod.rs"]
mod common;

// a budget on a board whose readings were recorded
mod budget;
// cameras that are not there, die, come back and change; where records go
mod cameras;
// `squint classify` on real files, whole and broken
mod classify;
// `squint status`, `reload` and `set` against a daemon made of cardboard
mod control;
// `squint engines` on a machine without TensorRT
mod engines;
// `squint evaluate` on small made-up profiles
mod evaluate;
// `squint evaluate --html`
mod page;
// `squint profile` on real photos
mod profile;
// `squint run`: files, folders, labels, summaries, signals
mod run;
// `squint doctor --engines`: every engine against stored answers
mod selftest;
// labelled streams, and what profiling costs in memory
mod streams;
// the commands around the daemon: help, completions, features, check, doctor
mod tools;
// `squint train` on small made-up profiles
mod train;
