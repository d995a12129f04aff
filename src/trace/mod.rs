//! Traces: every input of every decision, recorded while Squint works, so that the decisions can be
//! made again elsewhere.
//!
//! A trace is JSON Lines: a [`Head`], then [`Event`]s in the order in which they reached the
//! scheduler. [`event`] is the format, [`read`] reads it, [`queue`] is the scheduler's end of the
//! queue and [`write`](mod@write) the thread at the other end. [`verify`] makes the decisions again
//! and compares, [`what_if`] makes others. docs/guide/replay.md is the page for people.

pub mod event;
mod form;
mod queue;
pub mod read;
pub mod verify;
pub mod what_if;
pub mod write;

pub use event::{Event, Head, Session};
pub use queue::TraceQueue;
pub use read::{Reader, TraceError};

/// The version of the format that is written and read.
pub const VERSION: u32 = 1;
