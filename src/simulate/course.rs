//! What came of a run, period by period: what is judged, drawn and compared. Pure data.

use crate::budget::{Grants, Why};
use crate::engine::MAX_ENGINES;

use super::engines;
use super::plant::EnergyTotals;

/// One period, as it truly was.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Moment {
    /// Its end, s.
    pub at: f64,
    /// Hottest zone, °C.
    pub hottest: f64,
    /// Mean power of the board, mW.
    pub board_mw: f64,
    /// Mean power over the window of the power limit, once that has passed, mW.
    pub window_mw: Option<f64>,
    /// GPU clock, MHz.
    pub clock: f64,
    /// Frames that came.
    pub frames: u32,
    /// Frames answered rightly.
    pub right: u32,
    /// Looks by engine.
    pub looks: [u32; MAX_ENGINES],
    /// What was allowed during it.
    pub grants: Grants,
}

/// What came of a run.
#[derive(Clone, Debug, Default)]
pub struct Course {
    /// Name of the controller.
    pub steer: String,
    /// True if its grants say which limit holds it down.
    pub explains: bool,
    /// Periods in order.
    pub moments: Vec<Moment>,
    /// Time from capture to answer of each frame that was to be looked at, with its time of
    /// capture, s; `None` was late or never.
    pub latencies: Vec<(f64, Option<f64>)>,
    /// Frames in all.
    pub frames: u64,
    /// Frames answered rightly.
    pub right: u64,
    /// Energy and time.
    pub total: EnergyTotals,
    /// How long heat held the clock down, s.
    pub throttled_s: f64,
}

/// True if the grants keeps some engine of the pool from some frames, or leaves frames out.
pub fn gives_up(grants: &Grants) -> bool {
    let all = (1u32 << engines::POOL.len()) - 1;
    let every_frame =
        grants.upper & all == all && (grants.upper_share >= 1.0 || grants.admissible & all == all);
    let every_frame = every_frame && (grants.lower_share <= 0.0 || grants.lower & all == all);
    !every_frame || !grants.interval.is_zero() || !grants.escalation
}

/// True if power is what holds the controller down.
pub fn for_power(grants: &Grants) -> bool {
    grants.because.why == Why::Power && gives_up(grants)
}
