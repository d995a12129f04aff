//! Squint glances at every camera frame with the cheapest engine likely to be right,
//! and looks again with a stronger one when the answer is unsure.
//!
//! **The frame path**, in the order in which a frame meets it; [`pipeline`] alone knows this order.
//!
//! - [`source`]: cameras, films and folders of photos; hands over the newest [`frame`] through a
//!   [`mailbox`]
//! - [`features`]: cheap measurements of a frame, and the glimpse (a small grey picture)
//! - [`policy`]: picks the engine, accepts its answer or escalates; [`premodel`] serves the
//!   published chain
//! - [`engine`]: catalogue, preprocessing, ONNX Runtime and TensorRT
//! - [`report`]: what is known of a frame in the end
//! - [`sink`]: records to standard output, files and sockets
//!
//! **Runtime services**, beside the frame path
//!
//! - [`telemetry`]: sensors of the board, in [`units`]
//! - [`budget`]: what the board can afford, from readings and limits
//! - [`trace`]: records every decision, replays and verifies it
//! - [`observe`]: counters, status, metrics and summary, in the words of [`vocabulary`]
//! - [`control`]: the control socket and the metrics port
//! - [`service`]: systemd, watchdog, signals, the log; [`events`] names the log's events
//! - [`config`]: the configuration file, checked and resolved
//! - `daemon`: starts, wires, reloads and stops all of this
//!
//! **Offline tools**
//!
//! - [`lab`]: profile, train, evaluate; writes the files under `calibration/`
//! - [`simulate`]: a board without a board, to drive the budget over
//! - [`ground_truth`]: labels of photos, and answers held against them
//! - [`cli`] parses the command line, [`command`] does what it says, `print` writes to the terminal
//!
//! **Below all of them**: [`stats`], [`error`], [`limits`] (of the process), [`socket`], `files`
//! (bounded reads, whole writes), `numbered` (`path.1`, `path.2`), [`versioned`] (small files of
//! our own), `escape` (text from outside made safe to print).
//!
//! Modules depend downwards only; tests/reference/layers.rs holds the order and fails on an upward
//! `use crate::`.

// They panic when nobody can take what they print; see `print`.
#![warn(clippy::print_stdout, clippy::print_stderr)]

pub mod budget;
pub mod config;
pub mod control;
pub mod engine;
pub mod error;
mod escape;
pub mod events;
pub mod features;
mod files;
pub mod frame;
pub mod ground_truth;
pub mod lab;
pub mod limits;
pub mod mailbox;
mod numbered;
pub mod observe;
pub mod pipeline;
pub mod policy;
pub mod premodel;
mod print;
pub mod report;
pub mod service;
pub mod simulate;
pub mod sink;
pub mod socket;
pub mod source;
pub mod stats;
pub mod telemetry;
pub mod trace;
pub mod units;
pub mod versioned;
pub mod vocabulary;

pub mod cli;
pub mod command;
mod daemon;
