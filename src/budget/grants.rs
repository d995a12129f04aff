//! The values between the governor and the other modules: what the user wants ([`Limits`]), what
//! was done ([`Usage`]), what is allowed ([`Grants`], and [`Grant`] for one frame) and why
//! ([`Because`]). Pure data, small enough to copy.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::engine::{EngineIdx, MAX_ENGINES};
use crate::units::{Celsius, Millijoules, Milliwatts};

/// What the user allows. `None` is no limit. Where limits conflict the order is: temperature,
/// power, energy a day, energy a frame, then latency. Only the temperature can
/// lower the rate below `min_fps`; a limit that cannot be kept at that rate is reported as
/// unreachable.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Limits {
    /// 95th percentile of the time from capture to answer.
    pub latency: Option<Duration>,
    /// Average power.
    pub power: Option<PowerCap>,
    /// No governing zone may become hotter. `None`: as the board's own trips say, less a margin.
    pub ceiling: Option<Celsius>,
    /// Mean energy of a frame, above idle.
    pub energy_per_frame: Option<Millijoules>,
    /// Energy of the whole board in any 24 hours, Wh.
    pub energy_per_day_wh: Option<f64>,
    /// Frames a second and camera below which the budget does not go unless the temperature forces
    /// it.
    pub min_fps: f32,
}

/// A limit of the average power.
#[derive(Clone, Debug, PartialEq)]
pub struct PowerCap {
    /// Name of the rail; `None` is the one that stands for the board.
    pub rail: Option<Arc<str>>,
    /// Average.
    pub cap: Milliwatts,
    /// Over this long.
    pub window: Duration,
}

/// One look that ended.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Look {
    /// Who looked.
    pub engine: EngineIdx,
    /// For how long, preprocessing included.
    pub time: Duration,
    /// True if other engines looked at the same time, so that its time is not its own.
    pub crowded: bool,
}

/// What was done since the step before. Kept by the dispatcher, handed to the governor, then
/// cleared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Usage {
    /// Frames that came to the first decision.
    pub frames: u32,
    /// Looks, by engine.
    pub looks: [u32; MAX_ENGINES],
    /// Time spent looking, by engine.
    pub busy: [Duration; MAX_ENGINES],
    /// Frames answered in time, and late or not at all for want of time.
    pub in_time: u32,
    /// See `in_time`.
    pub late: u32,
}

/// What the budget allows until the next step.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Grants {
    /// Engines that may look, a bit each by [`EngineIdx`].
    pub admissible: u32,
    /// Engines that may look at a share `upper_share` of the frames, a bit each; a superset of
    /// `admissible`.
    #[serde(rename = "reach")]
    pub upper: u32,
    /// Share of the frames for which `upper` holds instead of `admissible`, 0..=1.
    #[serde(rename = "stretch")]
    pub upper_share: f32,
    /// The only engines that may look at a share `lower_share` of the frames, a bit each; a subset
    /// of `admissible`.
    #[serde(default, rename = "retreat")] // traces of before have none
    pub lower: u32,
    /// Share of the frames for which `lower` holds instead of `admissible`, 0..=1; while it is
    /// above 0 `upper_share` does not count.
    #[serde(default, rename = "shrink")]
    pub lower_share: f32,
    /// False if a frame may be shown to one engine only.
    pub escalation: bool,
    /// Least time between two frames of one camera that are looked at; frames in between are
    /// answered by reuse or left out.
    pub interval: Duration,
    /// Why it is not more.
    pub because: Because,
}

/// What holds the budget down, with the figures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Because {
    /// Which limit.
    pub why: Why,
    /// What was measured or expected, in the limit's unit.
    pub value: Option<f32>,
    /// The limit.
    pub limit: Option<f32>,
    /// Index of the zone, for `temperature`.
    pub zone: Option<u8>,
}

/// Which limit holds the budget down. A closed set: the vocabulary of records, metrics and the
/// journal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Why {
    /// Nothing does.
    #[default]
    Free,
    /// A zone is or will be too hot (°C).
    Temperature,
    /// The board throttles itself already.
    Throttling,
    /// An over-current event.
    OverCurrent,
    /// The average power is or will be above the cap (mW).
    Power,
    /// Energy of the day (Wh).
    EnergyDay,
    /// Energy of a frame (mJ).
    EnergyFrame,
    /// The 95th percentile of the latency (ms).
    Latency,
    /// The readings that a limit needs are gone: what was allowed last stays, and nothing more.
    Blind,
}

impl Grants {
    /// Everything is allowed.
    pub const FREE: Self = Self {
        admissible: u32::MAX,
        upper: u32::MAX,
        upper_share: 1.0,
        lower: u32::MAX,
        lower_share: 0.0,
        escalation: true,
        interval: Duration::ZERO,
        because: Because { why: Why::Free, value: None, limit: None, zone: None },
    };

    /// The engines for frame number `sequence` of a camera: `upper` for an even share `upper_share`
    /// of the numbers, or `lower` for an even share `lower_share`; `admissible` for the others. The
    /// same number has the same answer everywhere.
    pub fn engines_for(&self, sequence: u64) -> u32 {
        let (share, other) = if self.lower_share > 0.0 {
            (self.lower_share, self.lower)
        } else {
            (self.upper_share, self.upper)
        };
        // Error diffusion: the k-th frame is another one if the running sum of the shares passes a
        // whole number there.
        let share = f64::from(share.clamp(0.0, 1.0));
        let before = (sequence % 1_000_000) as f64 * share;
        if (before + share).floor() > before.floor() { other } else { self.admissible }
    }

    /// The three sets of engines, by how far they go.
    pub fn sets(&self) -> [u32; 3] {
        [self.lower, self.admissible, self.upper]
    }

    /// True if `engine` may look at frame number `sequence`.
    pub fn admits(&self, engine: EngineIdx, sequence: u64) -> bool {
        usize::from(engine.0) < MAX_ENGINES && self.engines_for(sequence) >> engine.0 & 1 == 1
    }
}

impl Default for Grants {
    fn default() -> Self {
        Self::FREE
    }
}

/// What the budget grants one frame: a [`Grants`] seen from there.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Grant {
    /// Engines that may look, a bit each by [`EngineIdx`].
    pub engines: u32,
    /// False if no second engine may look.
    pub escalation: bool,
    /// True if it is not this camera's turn: no engine may look, whatever `engines` says.
    pub rests: bool,
    /// What holds the budget down.
    pub because: Because,
}

impl Grant {
    /// Everything.
    pub const FREE: Self =
        Self { engines: u32::MAX, escalation: true, rests: false, because: Grants::FREE.because };

    /// What `grants` grants frame number `sequence` of a camera; `rests` if the camera's last look
    /// is not long enough ago.
    pub fn of(grants: &Grants, sequence: u64, rests: bool) -> Self {
        let Grants { escalation, because, .. } = *grants;
        Self { engines: grants.engines_for(sequence), escalation, rests, because }
    }

    /// True if nothing that `engines` engines could do is withheld.
    pub fn is_free(&self, engines: usize) -> bool {
        let all = u32::MAX.checked_shr(32 - engines.min(32) as u32).unwrap_or(0);
        self.engines & all == all && self.escalation && !self.rests
    }
}

impl Default for Grant {
    fn default() -> Self {
        Self::FREE
    }
}

impl Why {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Free,
        Self::Temperature,
        Self::Throttling,
        Self::OverCurrent,
        Self::Power,
        Self::EnergyDay,
        Self::EnergyFrame,
        Self::Latency,
        Self::Blind,
    ];

    /// The word in records, metrics and the journal.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Free => "free",
            Self::Temperature => "temperature",
            Self::Throttling => "throttling",
            Self::OverCurrent => "over-current",
            Self::Power => "power",
            Self::EnergyDay => "energy-day",
            Self::EnergyFrame => "energy-frame",
            Self::Latency => "latency",
            Self::Blind => "blind",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_of_the_frames_go_further_or_less_far_evenly_and_never_both() {
        let sets = |upper_share, lower_share| {
            let grants = Grants {
                admissible: 3,
                upper: 7,
                upper_share,
                lower: 1,
                lower_share,
                ..Grants::FREE
            };
            let count = |set| (0..1000).filter(|at| grants.engines_for(*at) == set).count();
            [1, 3, 7].map(count)
        };
        assert_eq!(sets(0.0, 0.0), [0, 1000, 0]);
        assert_eq!(sets(0.25, 0.0), [0, 750, 250]);
        assert_eq!(sets(0.0, 0.25), [250, 750, 0]);
        assert_eq!(sets(0.5, 0.25), [250, 750, 0], "what holds it down counts");
        assert_eq!(sets(1.0, 1.0), [1000, 0, 0]);
    }
}
