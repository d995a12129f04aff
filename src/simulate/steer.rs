//! What may drive the simulated board: everything that turns readings into a [`Grants`]. Pure.

use std::time::Duration;

use crate::budget::{Because, Grants, Look, Usage, Why};
use crate::policy::Terms;
use crate::telemetry::Sample;

use super::plant::Plant;
use super::scenario::Scenario;

/// What a controller is shown twice a second. Those that would not know it on a real board leave
/// `plant` and `scenario` alone.
pub struct View<'a> {
    /// Time since start.
    pub now: Duration,
    /// What the board reads.
    pub sample: &'a Sample,
    /// What was done since the last time.
    pub usage: &'a Usage,
    /// Each look since the last time.
    pub looks: &'a [Look],
    /// By engine: what looks took of late, as the dispatcher keeps it.
    pub terms: &'a [Terms],
    /// The truth, for the oracle.
    pub plant: &'a Plant,
    /// The truth, for the oracle.
    pub scenario: &'a Scenario,
    /// Mean power of the board over the window of the power limit so far, mW; the truth, for the
    /// oracle.
    pub window_mw: Option<f64>,
}

/// A controller.
pub trait Steer {
    /// Its name in tables.
    fn name(&self) -> String;

    /// What is allowed from now on.
    fn step(&mut self, view: &View) -> Grants;

    /// True if it says itself which limit holds it down ([`Grants::because`]).
    fn explains(&self) -> bool {
        false
    }
}

/// These engines and no others, all the time.
#[derive(Clone, Debug)]
pub struct Always {
    /// Name in tables.
    pub name: String,
    /// A bit each.
    pub mask: u32,
    /// At most one frame in so long is looked at.
    pub interval: Duration,
}

impl Steer for Always {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn step(&mut self, _: &View) -> Grants {
        only(self.mask, self.interval)
    }
}

/// Exactly these engines.
pub fn only(mask: u32, interval: Duration) -> Grants {
    let because = Because { why: Why::Free, value: None, limit: None, zone: None };
    Grants { admissible: mask, lower: mask, upper: mask, interval, because, ..Grants::FREE }
}
