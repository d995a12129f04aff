//! What the board reads and what the budget makes of it, as status and metrics tell it. Pure data; JSON in docs/control.md.
//!
//! What is unknown is `null` in JSON and missing in the metrics, never 0.

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
    /// True if the ceiling holds for it.
    pub governs: bool,
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
    /// Engines that may look at every frame.
    pub engines: Vec<String>,
    /// Engines that may look at a share of the frames.
    pub reach: Vec<String>,
    /// That share, 0..=1.
    pub stretch: f32,
    /// Whether a second engine may look.
    pub escalation: bool,
    /// Least time between two frames of a camera that are looked at, seconds.
    pub interval_s: f64,
    /// How often the set of engines has changed.
    pub changes: u64,
    /// Limits that cannot be kept even with the least, a sentence each.
    pub unreachable: Vec<String>,
}
