//! What the board says of itself, in units: power, heat, clocks, load, alarms. It decides nothing;
//! that is [`crate::budget`]'s business.
//!
//! Every source of readings stands behind [`Telemetry`]. What a board has is found out once,
//! capability by capability, and listed in an [`Inventory`]; a [`Sample`] then holds the readings
//! in the same order. Unknown is an ordinary reading and never 0: a sensor that is off, silent,
//! stuck or beyond belief reads `None`, and [`Telemetry::doubts`] says why.

mod cost;
mod listing;
pub mod merged;
pub mod missing;
mod names;
pub mod nvml;
mod open;
pub mod patient;
mod place;
pub mod procfs;
pub mod recorded;
mod sample;
pub mod sysfs;
pub mod tegrastats;
pub mod trust;

pub use cost::Cost;
pub use listing::Listing;
pub use open::{Sources, open};
pub use sample::{
    Doubt, Inventory, MAX_RAILS, MAX_ZONES, Missing, Rail, Sample, Trip, TripKind, Zone,
};

use std::time::Duration;

/// One source of readings, or several as one.
pub trait Telemetry: Send {
    /// What it found when it was opened. The order of rails and zones does not change while it
    /// lives.
    fn inventory(&self) -> &Inventory;

    /// Reads everything into `sample`, which keeps its allocations; `at` is time since start. Never
    /// fails: what cannot be read is `None`.
    fn sample(&mut self, at: Duration, sample: &mut Sample);

    /// Sensors that are left out now, with the reason.
    fn doubts(&self) -> Vec<Doubt>;

    /// True if another thread than the calling one does the reading, so that [`Sample::cost`] is
    /// not among the caller's own.
    fn is_elsewhere(&self) -> bool {
        false
    }
}
