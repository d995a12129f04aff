//! Heat: one lump of metal that all power warms and air cools, and a small part of the die that
//! follows the GPU's power at once. Pure.
//!
//! Together 1.5 °C per watt of the board's power with the fan on, as published (45.0 °C at 5.25 W,
//! 60.7 °C at 15.9 W); the split between lump and die, and the lump's time constant, are estimates.

/// From the heat sink to the air with the fan on, °C per W of the board's power.
pub const FAN_C_PER_W: f64 = 1.2;
/// From the GPU's corner of the die to the heat sink, °C per W of the GPU rail.
const DIE_C_PER_W: f64 = 0.4;
/// Time constant of that corner, s.
const DIE_S: f64 = 3.0;
/// Heat capacity of the lump, J per °C: 90 s at [`FAN_C_PER_W`].
const LUMP_J_PER_C: f64 = 75.0;

/// Temperatures, °C.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Heat {
    /// The heat sink and what is bolted to it.
    pub lump: f64,
    /// The GPU above the lump.
    pub die: f64,
    /// The board around, slower.
    pub board: f64,
}

impl Heat {
    /// After a long time at `board_mw`.
    pub fn settled(ambient: f64, c_per_w: f64, board_mw: f64) -> Self {
        let lump = ambient + c_per_w * board_mw / 1000.0;
        Self {
            lump,
            die: DIE_C_PER_W * super::GPU_MW[0] / 1000.0,
            board: ambient + 0.8 * (lump - ambient),
        }
    }

    /// `seconds` at these powers.
    pub fn pass(&mut self, seconds: f64, board_mw: f64, gpu_mw: f64, ambient: f64, c_per_w: f64) {
        let flow = board_mw / 1000.0 - (self.lump - ambient) / c_per_w.max(0.1);
        self.lump += flow * seconds / LUMP_J_PER_C;
        self.die += (DIE_C_PER_W * gpu_mw / 1000.0 - self.die) * (seconds / DIE_S).min(1.0);
        self.board +=
            (ambient + 0.8 * (self.lump - ambient) - self.board) * (seconds / 60.0).min(1.0);
    }

    /// GPU zone, °C.
    pub fn gpu(&self) -> f64 {
        self.lump + self.die
    }

    /// Processor zones, °C.
    pub fn cpu(&self) -> f64 {
        self.lump + 0.5
    }

    /// The hottest zone, °C.
    pub fn hottest(&self) -> f64 {
        self.gpu().max(self.cpu())
    }

    /// The power of the board, mW, with which the hottest zone is at `ceiling` °C in `seconds`, if
    /// that power is held; the GPU's corner counts as it is now.
    pub fn affordable_mw(&self, ceiling: f64, seconds: f64, ambient: f64, c_per_w: f64) -> f64 {
        let tau = LUMP_J_PER_C * c_per_w.max(0.1);
        let kept = (-seconds / tau).exp();
        let target = ceiling - self.die.max(0.5);
        let settled = (target - self.lump * kept) / (1.0 - kept);
        (settled - ambient) / c_per_w.max(0.1) * 1000.0
    }
}
