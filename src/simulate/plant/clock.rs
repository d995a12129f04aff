//! The GPU's clock: its steps, the power modes that cap it, the kernel's governor that follows the
//! load, and what heat and over-current take away. Pure.

/// Steps, MHz.
pub const STEPS_MHZ: [f64; 13] = [
    114.75, 216.75, 318.75, 420.75, 522.75, 624.75, 726.75, 854.25, 930.75, 1032.75, 1122.0,
    1236.75, 1300.5,
];

/// From here on the board slows itself down, °C.
pub const THROTTLE_C: f64 = 95.5;
/// Below this it lets go again, °C.
const RELEASE_C: f64 = 93.5;
/// One step more or less every so often, s.
const THROTTLE_EVERY_S: f64 = 0.5;
/// Weight of a new window in the load that is followed.
const FOLLOW: f64 = 0.15;
/// The load that the governor aims at.
const AIM: f64 = 0.7;
/// From this load of one window on it goes to the highest clock at once.
const FULL: f64 = 0.98;

/// A power mode (nvpmodel).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mode {
    /// Its name.
    pub name: &'static str,
    /// Place of the highest step allowed.
    pub top: usize,
    /// Times that work on memory takes longer: from the published times at a memory clock of
    /// 1331 MHz.
    pub memory_slower: f64,
    /// Times that work on a processor takes longer than at 2035 MHz.
    pub cpu_slower: f64,
    /// Highest clock of the processors, MHz.
    pub cpu_mhz: f64,
}

/// The power modes of a TX2, by number.
pub const MODES: [Mode; 5] = [
    Mode { name: "MAXN", top: 12, memory_slower: 1.0, cpu_slower: 1.0, cpu_mhz: 2035.0 },
    Mode { name: "MAXQ", top: 7, memory_slower: 1.4, cpu_slower: 1.7, cpu_mhz: 1200.0 },
    Mode { name: "MAXP_CORE_ALL", top: 10, memory_slower: 1.15, cpu_slower: 1.45, cpu_mhz: 1400.0 },
    Mode { name: "MAXP_CORE_ARM", top: 10, memory_slower: 1.15, cpu_slower: 1.02, cpu_mhz: 2000.0 },
    Mode {
        name: "MAXP_CORE_DENVER",
        top: 10,
        memory_slower: 1.15,
        cpu_slower: 1.0,
        cpu_mhz: 2035.0,
    },
];

/// The clock.
#[derive(Clone, Debug, PartialEq)]
pub struct Clock {
    step: usize,
    mode: usize,
    load: f64,
    /// Steps that heat has taken away.
    hot: usize,
    next_hot: f64,
    /// Until when an over-current event halves the clock, s.
    starved_until: f64,
    now: f64,
    events: u64,
}

impl Clock {
    /// Lowest step, no load.
    pub fn new(mode: usize) -> Self {
        let mode = mode.min(MODES.len() - 1);
        Self {
            step: 0,
            mode,
            load: 0.0,
            hot: 0,
            next_hot: 0.0,
            starved_until: 0.0,
            now: 0.0,
            events: 0,
        }
    }

    /// The clock now, GHz.
    pub fn ghz(&self) -> f64 {
        STEPS_MHZ[self.step.min(self.top())] / 1000.0
    }

    /// The highest clock of the power mode, GHz.
    pub fn cap_ghz(&self) -> f64 {
        STEPS_MHZ[MODES[self.mode].top] / 1000.0
    }

    /// Number of the power mode.
    pub fn mode_number(&self) -> usize {
        self.mode
    }

    /// Another power mode.
    pub fn mode(&mut self, mode: usize) {
        self.mode = mode.min(MODES.len() - 1);
    }

    /// True while heat holds it down.
    pub fn is_throttled(&self) -> bool {
        self.hot > 0
    }

    /// True while an over-current event holds it down.
    pub fn is_starved(&self) -> bool {
        self.now < self.starved_until
    }

    /// Over-current events so far.
    pub fn events(&self) -> u64 {
        self.events
    }

    /// An over-current event: half the clock for `seconds`.
    pub fn starve(&mut self, seconds: f64) {
        self.events += 1;
        self.starved_until = self.starved_until.max(self.now + seconds);
    }

    /// The highest step that anything leaves.
    fn top(&self) -> usize {
        let top = MODES[self.mode].top.saturating_sub(self.hot);
        if self.is_starved() { top.min(5) } else { top }
    }

    /// The end of a window in which the GPU was busy for the share `busy`; the hottest zone has
    /// `hottest` °C.
    pub fn follow(&mut self, now: f64, busy: f64, hottest: f64) {
        self.now = now;
        self.load += FOLLOW * (busy - self.load);
        self.step = if busy >= FULL {
            self.load = self.load.max(AIM);
            STEPS_MHZ.len() - 1
        } else {
            let wanted = STEPS_MHZ[self.step] * self.load / AIM;
            let enough =
                STEPS_MHZ.iter().position(|step| *step >= wanted).unwrap_or(STEPS_MHZ.len() - 1);
            // Up at once, down one step a window: the load is per clock, so it is restated for the
            // new one.
            let next = if enough < self.step { self.step - 1 } else { enough };
            self.load *= STEPS_MHZ[self.step] / STEPS_MHZ[next];
            next
        };
        self.load = self.load.min(1.0);
        self.step = self.step.min(MODES[self.mode].top);
        if now >= self.next_hot {
            self.next_hot = now + THROTTLE_EVERY_S;
            if hottest > THROTTLE_C {
                self.hot = (self.hot + 1).min(MODES[self.mode].top);
            } else if hottest < RELEASE_C {
                self.hot = self.hot.saturating_sub(1);
            }
        }
    }
}
