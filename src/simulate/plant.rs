//! A TX2: networks take time on its GPU, the GPU draws power, power becomes heat, heat slows the
//! GPU down. Pure.
//!
//! Fitted to published tables (docs/background/simulate.md has every figure with its source).
//! [`heat`] is the thermal part, [`clock`] the GPU's clock, [`meter`] what the sensors make of it
//! all. Time is in seconds since the start and only moves forward by [`Plant::idle_until`] and
//! [`Plant::look`].

pub mod clock;
pub mod heat;
pub mod meter;

use crate::stats::{normal_draw, splitmix64, unit};

use super::engines::{PREPROCESS_MS, Spec};
use clock::{Clock, MODES};
use heat::Heat;

/// Power of the board with its GPU idle, processors and memory at their highest clocks, mW:
/// `VDD_IN` of idle lines of tegrastats.
pub const IDLE_MW: f64 = 2450.0;
/// Power of the board at clock f GHz with its GPU busy all the time: 4633 + 6497 f + 1113 f^3 mW.
/// The constant part above idle is what the host does while it waits for the GPU.
pub const BUSY_MW: [f64; 3] = [4633.0, 6497.0, 1113.0];
/// Power of the GPU rail: 219 + 2989 f + 1491 f^3 mW.
pub const GPU_MW: [f64; 3] = [219.0, 2989.0, 1491.0];
/// The GPU's clock is looked at this often, s.
const WINDOW_S: f64 = 0.05;
/// Standard deviation of the logarithm of a look's time.
const JITTER: f64 = 0.025;
/// Share of looks that something holds up, and how many times longer they take at most.
const HELD_UP: (f64, f64) = (0.002, 2.5);
/// Above this the board switches itself off, °C.
const SHUTDOWN_C: f64 = 101.5;

/// What surrounds the board at one moment; a scenario says it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Surroundings {
    /// Air at the heat sink, °C.
    pub ambient_c: f64,
    /// From the heat sink to the air, °C per W of the board's power.
    pub sink_c_per_w: f64,
    /// Share of the GPU's time that another process takes, 0..1.
    pub background: f64,
    /// Power mode.
    pub mode: usize,
    /// Mean time that a scene lasts, s.
    pub dwell_s: f64,
    /// Change from frame to frame within a scene, share of full scale.
    pub motion: f64,
}

/// Energy and time since some moment, as meters integrate them.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct EnergyTotals {
    /// s.
    pub seconds: f64,
    /// Of the whole board, mJ.
    pub board_mj: f64,
    /// Of the GPU's rail, mJ.
    pub gpu_mj: f64,
    /// Of the processors' rail, mJ.
    pub cpu_mj: f64,
    /// Time that the GPU was busy, s.
    pub busy_s: f64,
}

/// The board.
#[derive(Clone, Debug)]
pub struct Plant {
    seed: u64,
    now: f64,
    looks: u64,
    /// What surrounds it.
    pub around: Surroundings,
    /// The GPU's clock.
    pub clock: Clock,
    /// Its temperatures.
    pub heat: Heat,
    window: EnergyTotals,
    window_ends: f64,
    since_sample: EnergyTotals,
    total: EnergyTotals,
    throttled_s: f64,
    off: bool,
}

/// Who uses the board just now.
#[derive(Clone, Copy)]
enum Use {
    Nobody,
    Host,
    Gpu(f64),
}

impl Plant {
    /// A board that has been idle for long. `seed`: of its jitter.
    pub fn new(seed: u64, around: Surroundings) -> Self {
        Self {
            seed: splitmix64(seed ^ 0x7_4E57),
            now: 0.0,
            looks: 0,
            around,
            clock: Clock::new(around.mode),
            heat: Heat::settled(around.ambient_c, around.sink_c_per_w, IDLE_MW),
            window: EnergyTotals::default(),
            window_ends: WINDOW_S,
            since_sample: EnergyTotals::default(),
            total: EnergyTotals::default(),
            throttled_s: 0.0,
            off: false,
        }
    }

    /// Time since the start, s.
    pub fn now(&self) -> f64 {
        self.now
    }

    /// Everything since the start.
    pub fn total(&self) -> EnergyTotals {
        self.total
    }

    /// What the meters saw since this was last asked.
    pub fn read_out(&mut self) -> EnergyTotals {
        std::mem::take(&mut self.since_sample)
    }

    /// How long heat has slowed the GPU down, s.
    pub fn throttled_s(&self) -> f64 {
        self.throttled_s
    }

    /// True once it has switched itself off for heat.
    pub fn is_off(&self) -> bool {
        self.off
    }

    /// The surroundings are now these.
    pub fn surround(&mut self, around: Surroundings) {
        self.around = around;
        self.clock.mode(around.mode);
    }

    /// Nothing of ours runs until `until`.
    pub fn idle_until(&mut self, until: f64) {
        while self.now < until {
            self.pass(until - self.now, Use::Nobody);
        }
    }

    /// Runs a network once, preprocessing included. Returns how long that took, s.
    pub fn look(&mut self, spec: &Spec) -> f64 {
        let from = self.now;
        let draw = splitmix64(self.seed ^ splitmix64(self.looks));
        self.looks += 1;
        let held_up = if unit(draw) < HELD_UP.0 {
            1.0 + (HELD_UP.1 - 1.0) * unit(splitmix64(draw))
        } else {
            1.0
        };
        let slower = (JITTER * normal_draw(draw ^ 5)).exp() * held_up;

        let prepared = from + PREPROCESS_MS / 1000.0 * MODES[self.around.mode].cpu_slower;
        while self.now < prepared - 1e-9 {
            self.pass(prepared - self.now, Use::Host);
        }
        let mut left = 1.0;
        while left > 1e-9 && !self.off {
            let whole = look_s(spec, self.clock.ghz(), self.around.mode) * slower
                / (1.0 - self.around.background).max(0.05);
            let passed = self.pass(left * whole, Use::Gpu(spec.intensity));
            left -= passed / whole;
        }
        self.now - from
    }

    /// Lets at most `wish` seconds pass, to the end of the clock's window at most. Returns how many
    /// passed.
    fn pass(&mut self, wish: f64, user: Use) -> f64 {
        let seconds = wish.min(self.window_ends - self.now).max(1e-6);
        self.now += seconds;
        if !self.off {
            let (board, gpu, cpu, busy) = self.power(user);
            for totals in [&mut self.window, &mut self.since_sample, &mut self.total] {
                totals.seconds += seconds;
                totals.board_mj += board * seconds;
                totals.gpu_mj += gpu * seconds;
                totals.cpu_mj += cpu * seconds;
                totals.busy_s += busy * seconds;
            }
        } else {
            self.total.seconds += seconds;
        }
        if self.now >= self.window_ends - 1e-9 {
            self.close_window();
        }
        seconds
    }

    /// Board, GPU and processors, mW, and share of the GPU that is busy.
    fn power(&self, user: Use) -> (f64, f64, f64, f64) {
        let (f, other) = (self.clock.ghz(), self.around.background);
        let (busy, host, intensity) = match user {
            Use::Nobody => (other, other, 1.0),
            Use::Host => (other, 1.0, 1.0),
            Use::Gpu(own) => (1.0, 1.0, own * (1.0 - other) + other),
        };
        let cubed = f * f * f;
        let host_mw = (BUSY_MW[0] - IDLE_MW) * host;
        let board = IDLE_MW + host_mw + busy * intensity * (BUSY_MW[1] * f + BUSY_MW[2] * cubed);
        let gpu = GPU_MW[0] + busy * intensity * (GPU_MW[1] * f + GPU_MW[2] * cubed);
        (board, gpu, 310.0 + 0.45 * host_mw, busy)
    }

    fn close_window(&mut self) {
        let window = std::mem::take(&mut self.window);
        self.window_ends = self.now + WINDOW_S;
        let seconds = window.seconds.max(1e-9);
        let (board, gpu) = if self.off {
            (0.0, 0.0)
        } else {
            (window.board_mj / seconds, window.gpu_mj / seconds)
        };
        self.heat.pass(WINDOW_S, board, gpu, self.around.ambient_c, self.around.sink_c_per_w);
        self.clock.follow(self.now, window.busy_s / seconds, self.heat.hottest());
        if self.clock.is_throttled() {
            self.throttled_s += WINDOW_S;
        }
        self.off |= self.heat.hottest() >= SHUTDOWN_C;
    }
}

/// Time of a look at clock `ghz` in a power mode, alone on the GPU, without preprocessing and
/// jitter, s.
pub fn look_s(spec: &Spec, ghz: f64, mode: usize) -> f64 {
    let fastest = clock::STEPS_MHZ[clock::STEPS_MHZ.len() - 1] / 1000.0;
    let memory = spec.memory * MODES[mode.min(MODES.len() - 1)].memory_slower;
    spec.ms / 1000.0 * (memory + (1.0 - spec.memory) * fastest / ghz)
}

/// Power of the board with its GPU busy all the time with a network of intensity 1, mW.
pub fn busy_mw(ghz: f64) -> f64 {
    BUSY_MW[0] + BUSY_MW[1] * ghz + BUSY_MW[2] * ghz.powi(3)
}

#[cfg(test)]
mod tests;
