//! Mean power over a window and energy of the last 24 hours, from readings that may be missing.
//! Pure.
//!
//! Both weigh by time. A missing reading is left out of the mean; in the energy of an hour the mean
//! of the rest of the hour stands for it.

/// Slots of a window: it is known to a 64th of its length.
const SLOTS: usize = 64;
/// Slots of a day: 23 full hours, the present one, and the one that is leaving.
const HOURS: usize = 25;
const HOUR_S: f64 = 3600.0;
/// Energy saved in the last 24 hours may be spent within this long; energy overdrawn is won back
/// within an hour.
const CATCH_UP_S: f64 = 6.0 * HOUR_S;

/// Time-weighted mean of a power over the last so many seconds.
#[derive(Clone, Debug)]
pub(super) struct Window {
    slot_s: f64,
    /// Joules and seconds.
    slots: [(f64, f64); SLOTS],
    at: usize,
    filled_s: f64,
}

impl Window {
    pub fn new(window_s: f64) -> Self {
        Self {
            slot_s: window_s.clamp(1.0, 86_400.0) / SLOTS as f64,
            slots: [(0.0, 0.0); SLOTS],
            at: 0,
            filled_s: 0.0,
        }
    }

    /// Takes in `dt_s` at this power.
    pub fn add(&mut self, dt_s: f64, watts: Option<f64>) {
        let mut left = dt_s.min(self.slot_s * SLOTS as f64);
        while left > 0.0 {
            let part = left.min(self.slot_s - self.filled_s);
            if let (Some(watts), Some(slot)) = (watts, self.slots.get_mut(self.at)) {
                *slot = (slot.0 + watts * part, slot.1 + part);
            }
            self.filled_s += part;
            left -= part;
            if self.filled_s >= self.slot_s * (1.0 - 1e-9) {
                (self.at, self.filled_s) = ((self.at + 1) % SLOTS, 0.0);
                self.slots[self.at] = (0.0, 0.0);
            }
        }
    }

    /// Of what was read, joules and seconds that will still be in the window in `ahead_s`.
    pub fn stays(&self, ahead_s: f64) -> (f64, f64) {
        let leaving = (ahead_s / self.slot_s).clamp(0.0, (SLOTS - 1) as f64);
        // From the oldest on: the one after the present one.
        let of = |age: usize, slot: (f64, f64)| {
            let share = (age as f64 + 1.0 - leaving).clamp(0.0, 1.0);
            (slot.0 * share, slot.1 * share)
        };
        let oldest_first = (0..SLOTS).map(|age| of(age, self.slots[(self.at + 1 + age) % SLOTS]));
        oldest_first.fold((0.0, 0.0), |sum, slot| (sum.0 + slot.0, sum.1 + slot.1))
    }

    /// Mean, W; `None` without a reading in the window.
    pub fn mean(&self) -> Option<f64> {
        let (joules, seconds) =
            self.slots.iter().fold((0.0, 0.0), |sum, slot| (sum.0 + slot.0, sum.1 + slot.1));
        (seconds > 0.0).then(|| joules / seconds)
    }

    /// Energy of the window beyond what `watts` all the time would have been, J.
    pub fn excess_j(&self, watts: f64) -> f64 {
        self.slots.iter().map(|(joules, seconds)| joules - watts * seconds).sum()
    }
}

/// Energy of the last 24 hours against a budget. Hours before the start count as if the budget had
/// been drawn evenly.
#[derive(Clone, Debug)]
pub(super) struct Day {
    budget_j: f64,
    /// Joules read and the seconds they were read in, of each hour; the present one at `at`, the
    /// leaving one after it.
    hours: [(f64, f64); HOURS],
    at: usize,
    elapsed_s: f64,
}

impl Day {
    pub fn new(budget_wh: f64) -> Self {
        let budget_j = budget_wh.max(0.0) * HOUR_S;
        let mut hours = [(budget_j / 24.0, HOUR_S); HOURS];
        hours[0] = (0.0, 0.0);
        Self { budget_j, hours, at: 0, elapsed_s: 0.0 }
    }

    /// Takes in `dt_s` at this power.
    pub fn add(&mut self, dt_s: f64, watts: Option<f64>) {
        let mut left = dt_s.min(86_400.0);
        while left > 0.0 {
            let part = left.min(HOUR_S - self.elapsed_s);
            if let Some(watts) = watts {
                self.hours[self.at].0 += watts * part;
                self.hours[self.at].1 += part;
            }
            self.elapsed_s += part;
            left -= part;
            if self.elapsed_s >= HOUR_S - 1e-6 {
                self.at = (self.at + 1) % HOURS;
                self.elapsed_s = 0.0;
                self.hours[self.at] = (0.0, 0.0);
            }
        }
    }

    /// Watts of an hour slot; of one without readings the even share.
    fn watts(&self, slot: usize) -> f64 {
        let (joules, seconds) = self.hours[slot];
        if seconds > 0.0 { joules / seconds } else { self.budget_j / (24.0 * HOUR_S) }
    }

    /// Joules of the last 24 hours.
    pub fn spent_j(&self) -> f64 {
        let leaving = (self.at + 1) % HOURS;
        let whole: f64 = (0..HOURS)
            .filter(|slot| *slot != self.at && *slot != leaving)
            .map(|slot| self.watts(slot) * HOUR_S)
            .sum();
        whole
            + self.watts(self.at) * self.elapsed_s
            + self.watts(leaving) * (HOUR_S - self.elapsed_s)
    }

    /// Watts that may be drawn now: what leaves the 24 hours, and some of what was saved.
    pub fn affordable_w(&self) -> f64 {
        let credit = self.budget_j - self.spent_j();
        let leaving = self.watts((self.at + 1) % HOURS);
        leaving + credit / if credit >= 0.0 { CATCH_UP_S } else { HOUR_S }
    }
}

#[cfg(test)]
mod tests;
