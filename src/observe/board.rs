//! The board's readings and the budget's grants, as status and metrics show them. Pure data; JSON
//! in docs/reference/control.md.
//!
//! Unknown values are `null` in JSON and missing in the metrics, never 0.

use serde::{Deserialize, Serialize};

use crate::telemetry::Doubt;

/// The board at one moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct BoardState {
    /// As it calls itself.
    pub name: Option<String>,
    /// Power rails.
    pub rails: Vec<RailState>,
    /// Thermal zones.
    pub zones: Vec<ZoneState>,
    /// Clock of the GPU, MHz.
    pub gpu_clock_mhz: Option<f32>,
    /// Share of the GPU's time that is used by everybody, 0..=1.
    pub gpu_load: Option<f32>,
    /// Highest clock of the processors, MHz.
    pub cpu_clock_mhz: Option<f32>,
    /// Share of the processors' time that is used by everybody, 0..=1.
    pub cpu_load: Option<f32>,
    /// Memory that can be had without swapping, MiB.
    pub memory_available_mib: Option<f32>,
    /// True while the board slows itself down.
    pub throttling: Option<bool>,
    /// Over-current events.
    pub over_current: Option<u64>,
    /// The power mode: its name, or its number where it has none.
    pub power_mode: Option<String>,
    /// Sensors that are left out, and why.
    pub doubts: Vec<Doubt>,
    /// How often the board was read.
    pub samples: u64,
    /// Processor time that this cost, seconds.
    pub sampling_cpu_s: f64,
}

/// A power rail.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RailState {
    /// Its name.
    pub name: String,
    /// What it reads, mW.
    pub mw: Option<f32>,
    /// True for the one that stands for the whole board.
    pub total: bool,
}

/// A thermal zone.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ZoneState {
    /// Its name.
    pub name: String,
    /// What it reads, °C.
    pub celsius: Option<f32>,
    /// From here on the board slows itself down, °C.
    pub throttle_at: Option<f32>,
    /// True if the budget looks after it.
    pub governs: bool,
    /// The ceiling that the budget keeps it under in the mode that holds, °C.
    pub ceiling: Option<f32>,
}

impl BoardState {
    /// The rail that stands for the whole board, if it reads anything.
    pub fn total_mw(&self) -> Option<f32> {
        self.rails.iter().find(|rail| rail.total).and_then(|rail| rail.mw)
    }

    /// Of the zones that the budget looks after the one that is closest to its ceiling, or to where
    /// the board slows itself down; without either the hottest.
    pub fn closest(&self) -> Option<&ZoneState> {
        let room = |zone: &ZoneState| match (zone.celsius, zone.ceiling.or(zone.throttle_at)) {
            (Some(celsius), Some(limit)) => limit - celsius,
            // Behind all that have a limit.
            (Some(celsius), None) => 1e6 - celsius,
            (None, _) => f32::INFINITY,
        };
        let read = self.zones.iter().filter(|zone| zone.governs && zone.celsius.is_some());
        read.min_by(|a, b| room(a).total_cmp(&room(b)))
    }
}

/// What the budget allows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct BudgetState {
    /// The budget's mode: `saver`, `balanced`, `performance` or `unlimited`.
    pub mode: String,
    /// Who chose it: `command`, `power-mode`, `time` or `config`.
    pub chosen_by: String,
    /// What holds it down: `free`, `temperature`, `power`, ...
    pub because: String,
    /// What was measured or expected, in the limit's unit.
    pub value: Option<f32>,
    /// The limit.
    pub limit: Option<f32>,
    /// The zone, where it is the temperature.
    pub zone: Option<String>,
    /// Engines that may look at every frame, but for the share `lower_share`.
    pub engines: Vec<String>,
    /// Engines that may look at a share of the frames.
    #[serde(rename = "reach")]
    pub upper: Vec<String>,
    /// That share, 0..=1.
    #[serde(rename = "stretch")]
    pub upper_share: f32,
    /// The only engines that may look at the share `lower_share` of the frames.
    #[serde(rename = "retreat")]
    pub lower: Vec<String>,
    /// That share, 0..=1.
    #[serde(rename = "shrink")]
    pub lower_share: f32,
    /// Whether a second engine may look.
    pub escalation: bool,
    /// Least time between two frames of a camera that are looked at, seconds.
    pub interval_s: f64,
    /// How often the set of engines has changed.
    pub changes: u64,
    /// Limits that cannot be kept even with the least, a sentence each.
    pub unreachable: Vec<String>,
}

impl BudgetState {
    /// Who may look at which frames, in words.
    pub fn allowed(&self) -> String {
        let always_fewer = self.lower_share >= 1.0;
        let engines = if always_fewer { &self.lower } else { &self.engines };
        let mut text = match engines.is_empty() {
            true => "no engine may look".to_owned(),
            false => format!("allowed: {}", engines.join(", ")),
        };
        let further: Vec<_> =
            self.upper.iter().filter(|id| !self.engines.contains(id)).map(String::as_str).collect();
        if !further.is_empty() && self.upper_share > 0.0 && self.lower_share <= 0.0 {
            text.push_str(&format!(
                "; for {:.0} % of the frames {}",
                self.upper_share * 100.0,
                further.join(", ")
            ));
        }
        if self.lower_share > 0.0 && !always_fewer && self.lower != self.engines {
            text.push_str(&format!(
                "; for {:.0} % of the frames only {}",
                self.lower_share * 100.0,
                self.lower.join(", ")
            ));
        }
        if !self.escalation {
            text.push_str("; one engine a frame");
        }
        if self.interval_s > 0.0 {
            text.push_str(&format!("; a frame every {:.0} ms", self.interval_s * 1000.0));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may_look_is_told_with_the_share_that_goes_further_or_less_far() {
        let ids = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect();
        let (engines, upper, lower) = (ids(&["a", "b"]), ids(&["a", "b", "c"]), ids(&["a"]));
        let at = BudgetState { engines, upper, lower, escalation: true, ..BudgetState::default() };
        assert_eq!(at.allowed(), "allowed: a, b");
        assert_eq!(
            BudgetState { upper_share: 0.4, ..at.clone() }.allowed(),
            "allowed: a, b; for 40 % of the frames c"
        );
        assert_eq!(
            BudgetState { lower_share: 0.3, ..at.clone() }.allowed(),
            "allowed: a, b; for 30 % of the frames only a"
        );
        assert_eq!(
            BudgetState { lower_share: 1.0, escalation: false, ..at.clone() }.allowed(),
            "allowed: a; one engine a frame"
        );
        assert_eq!(
            BudgetState { interval_s: 0.25, ..at }.allowed(),
            "allowed: a, b; a frame every 250 ms"
        );
    }

    #[test]
    fn the_zone_closest_to_its_limit_is_told_and_one_that_reads_nothing_never() {
        let zone = |name: &str, celsius, ceiling, governs| ZoneState {
            name: name.into(),
            celsius,
            ceiling,
            governs,
            ..ZoneState::default()
        };
        let mut board = BoardState {
            zones: vec![
                zone("silent", None, Some(40.0), true),
                zone("battery", Some(99.0), Some(60.0), false),
                zone("bare", Some(98.0), None, true),
                zone("cool", Some(50.0), Some(90.0), true),
                zone("near", Some(48.0), Some(60.0), true),
            ],
            ..BoardState::default()
        };
        let names = |board: &BoardState| board.closest().map(|zone| zone.name.clone());
        assert_eq!(names(&board).as_deref(), Some("near"));
        board.zones.truncate(3);
        assert_eq!(names(&board).as_deref(), Some("bare"));
        board.zones.truncate(2);
        assert_eq!(names(&board), None);
    }
}
