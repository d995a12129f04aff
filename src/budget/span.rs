//! Which neighbouring rungs are mixed, and when that may change. Pure.
//!
//! The level moves all the time; the engine sets should not. Place `j` covers the levels
//! `j - 1..=j + 1`, two rungs and the one below them. At its end the level is held until there is
//! enough evidence (rungs times seconds) that it must go further. A step leads to where the level
//! is in the middle of the new place, so that the way back is as long. After a step up that had to
//! be reverted, the next one needs ten times the evidence. It goes up one place at a time: the cost
//! of the place after that is only known from nearby.

/// Evidence for a step up at first, and at most.
const UP: (f64, f64) = (4.0, 2000.0);
/// How much dearer a step up becomes after one was taken back.
const DEARER: f64 = 10.0;
/// Evidence for a step down that does not hurry.
const DOWN: f64 = 2.0;
/// No step up sooner than this after any step.
const DWELL_S: f64 = 10.0;
/// A step down within this time of a step up takes it back.
const TAKEN_BACK_S: f64 = 900.0;
/// So near to the end of the span the level must be for the level for the moment to speak for a
/// step up.
const NEAR: f64 = 0.2;
/// After this long without a step the next one up is cheaper again.
const FORGIVEN_S: f64 = 1800.0;

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Span {
    /// 0: the cheapest rung, fewer frames; `1..n`: rungs `j` and `j + 1` of n, and `j - 1` from 2
    /// on; n: everything, and the rung below.
    at: usize,
    rungs: usize,
    up: f64,
    down: f64,
    price: f64,
    since_step_s: f64,
    since_up_s: f64,
}

impl Span {
    pub fn new(rungs: usize) -> Self {
        Self {
            at: rungs,
            rungs,
            up: 0.0,
            down: 0.0,
            price: UP.0,
            since_step_s: DWELL_S,
            since_up_s: TAKEN_BACK_S,
        }
    }

    pub fn at(&self) -> usize {
        self.at
    }

    /// The lowest level that can be given.
    pub fn low(&self) -> f64 {
        low_of(self.at)
    }

    /// Time passes with `level` wanted; `urgent` steps down without evidence. Returns the level
    /// that this span can give of `now`, the level for this moment: above `level` it speaks for a
    /// step up as well, below it it does not speak for one down, since it passes.
    pub fn step(&mut self, dt_s: f64, level: f64, urgent: bool, now: f64) -> f64 {
        self.since_step_s += dt_s;
        self.since_up_s += dt_s;
        if self.since_step_s > FORGIVEN_S {
            self.since_step_s = DWELL_S;
            self.price = (self.price / DEARER).max(UP.0);
        }
        let level = if level >= (self.at + 1) as f64 - NEAR { level.max(now) } else { level };
        let wanted = (level.max(0.0).floor() as usize).min(self.rungs);
        let low = self.low();
        if wanted > self.at {
            // At the top there is no beyond that would show how much is wanted.
            let spare = if wanted == self.rungs { 0.3 } else { 0.05 };
            let beyond = level - (self.at + 1) as f64 + spare;
            self.up += (beyond + 4.0 * beyond * beyond) * dt_s;
            self.down = 0.0;
            if self.up >= self.price && self.since_step_s >= DWELL_S {
                (self.at, self.up, self.since_step_s, self.since_up_s) =
                    (self.at + 1, 0.0, 0.0, 0.0);
            }
        } else if level < low {
            self.down += (low - level) * dt_s;
            self.up = 0.0;
            if urgent || self.down >= DOWN {
                if self.since_up_s < TAKEN_BACK_S {
                    self.price = (self.price * DEARER).min(UP.1);
                }
                let to = (level.max(0.0).ceil() as usize).min(self.at - 1);
                let to = if level < 1.0 { 0 } else { to };
                (self.at, self.down, self.since_step_s, self.since_up_s) =
                    (to, 0.0, 0.0, TAKEN_BACK_S);
            }
        } else {
            (self.up, self.down) = (0.0, 0.0);
        }
        match self.at {
            0 => now.clamp(-1.0, 1.0),
            at => now.clamp(low_of(at), ((at + 1).min(self.rungs)) as f64),
        }
    }
}

/// The lowest level that place `at` covers.
fn low_of(at: usize) -> f64 {
    match at {
        0 => -1.0,
        1 => 1.0,
        at => (at - 1) as f64,
    }
}

#[cfg(test)]
mod tests;
