//! Squint glances at every camera frame with the cheapest engine likely to be right,
//! and looks again with a stronger one when the answer is unsure.
//!
//! In the order a frame meets them: [`source`] hands over the newest [`frame`] through a [`mailbox`], [`features`] measures it,
//! [`policy`] picks an engine (for the published chain with the help of a [`premodel`]), [`engine`] looks, `policy` accepts or
//! escalates, [`sink`] tells the world what the [`report`] says. [`pipeline`] alone knows this order.
//!
//! Beside the path: [`telemetry`] reads the board, in [`units`], and [`budget`] turns readings into what may be done; [`observe`] counts,
//! [`stats`] does all sums, [`service`] knows systemd, signals and the log, [`config`] is what the user typed, [`cli`] and [`command`] are
//! how they ask, [`error`] is how they are refused, [`events`] is what the log tells of, [`control`] is how the daemon is asked and told at
//! run time, [`socket`] listens at a path, `files` reads none that blocks and leaves none half written, `numbered` keeps files that were there before,
//! `escape` makes text from outside fit for terminals and logs, [`versioned`] reads small ones of our own, [`lab`] sends photos down the same path to earn the files under
//! `calibration/`, and [`simulate`] is a board to drive the budget over without a board.

// They panic when nobody can take what they print; see `command::print`.
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
pub mod lab;
pub mod limits;
pub mod mailbox;
mod numbered;
pub mod observe;
pub mod pipeline;
pub mod policy;
pub mod premodel;
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

pub mod cli;
pub mod command;
