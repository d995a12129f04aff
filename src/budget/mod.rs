//! What the board can afford: limits of the user and readings of the board in, a [`Standing`] out, twice a second.
//!
//! Pure: no clock, file, environment or thread; `now` is time since start. [`crate::telemetry`] reads the board, [`crate::policy`] decides
//! frame by frame within what is said here, and [`crate::pipeline`] carries the one to the other.

mod standing;

pub use standing::{Because, Limits, Look, PowerCap, Standing, Tally, Why};
