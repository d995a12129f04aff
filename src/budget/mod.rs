//! What the board can afford: limits of the user and readings of the board in, a [`Standing`] out, twice a second.
//!
//! Pure: no clock, file, environment or thread; `now` is time since start. [`crate::telemetry`] reads the board, [`crate::policy`] decides
//! frame by frame within what is said here, and [`crate::pipeline`] carries the one to the other.

mod costs;
mod energy;
mod governor;
mod kept;
mod ladder;
mod latency;
mod meter;
mod modes;
mod prior;
mod schedule;
mod span;
mod standing;
mod tell;
mod thermal;

pub use costs::{Costs, Prior};
pub use governor::{AHEAD_S, Governor, MARGIN, Unreachable};
pub use kept::{CPU, Engine, Kept, KeptError, MAX_TEXT, Owner};
pub use ladder::Ability;
pub use modes::{Mode, UnknownMode};
pub use prior::tempered;
pub use schedule::{ChosenBy, MAX_ENTRIES, NoSpan, PowerMode, Schedule, Span, TooMany};
pub use standing::{Because, Limits, Look, PowerCap, Standing, Tally, Why};
pub use thermal::{Thermal, ZoneModel};
