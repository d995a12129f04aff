//! The latency limit: engines that are too slow for it are excluded, and second looks as well if
//! answers are late all the same. Pure.

use std::time::Duration;

use crate::budget::costs::Costs;
use crate::budget::grants::{Because, Usage, Why};
use crate::engine::{EngineIdx, MAX_ENGINES};
use crate::stats::exp;

/// An engine goes out after `OUT_S` below the first chance of meeting the limit, and comes back
/// above the second. Nothing hurries: the policy holds every look against the time that its frame
/// has left.
const CHANCES: (f32, f32) = (0.95, 0.97);
const OUT_S: f64 = 10.0;
/// It comes back after this long; twice as long after each time it had to go out again, up to four
/// minutes.
const BACK_S: f64 = 15.0;
const MOST_BACK_S: f64 = 240.0;
/// Answers that come late: no second look above the first share, second looks again below the
/// second one, over this long.
const LATE: (f64, f64) = (0.05, 0.02);
const LATE_S: f64 = 20.0;
/// Second looks stay away for at least this long.
const AWAY_S: f64 = 60.0;
/// If answers come late even so, after this long, waiting takes its share of the limit: the looks
/// must do with less of it, down to a third.
const STILL_LATE_S: f64 = 10.0;
const LEAST_SHARE: f64 = 0.33;
/// That share falls by this a second, and rises by a tenth of it.
const SHARE_A_SECOND: f64 = 0.02;

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Lateness {
    out: u32,
    evidence_s: [f64; MAX_ENGINES],
    back_s: [f64; MAX_ENGINES],
    late: f64,
    away_s: Option<f64>,
    /// Share of the limit that the looks may take.
    share: f64,
}

impl Lateness {
    pub fn new() -> Self {
        Self {
            out: 0,
            evidence_s: [0.0; MAX_ENGINES],
            back_s: [BACK_S; MAX_ENGINES],
            late: 0.0,
            away_s: None,
            share: 1.0,
        }
    }

    pub fn step(
        &mut self,
        dt_s: f64,
        limit: Option<Duration>,
        usage: &Usage,
        costs: &Costs,
        available: u32,
    ) {
        let Some(limit) = limit else {
            *self = Self::new();
            return;
        };
        let limit = limit.mul_f64(self.share);
        for at in (0..MAX_ENGINES).filter(|at| available >> at & 1 == 1) {
            let chance = costs.chance(EngineIdx(at as u8), limit);
            let out = self.out >> at & 1 == 1;
            let against = if out { chance > CHANCES.1 } else { chance < CHANCES.0 };
            self.evidence_s[at] = if against { self.evidence_s[at] + dt_s } else { 0.0 };
            if !out && self.evidence_s[at] >= OUT_S {
                self.out |= 1 << at;
                self.evidence_s[at] = 0.0;
            } else if out && self.evidence_s[at] >= self.back_s[at] {
                self.out &= !(1 << at);
                self.evidence_s[at] = 0.0;
                self.back_s[at] = (2.0 * self.back_s[at]).min(MOST_BACK_S);
            }
            // An hour in good grants is forgiven little by little.
            if !out {
                self.back_s[at] = (self.back_s[at] * (1.0 - dt_s / 3600.0)).max(BACK_S);
            }
        }
        let answered = usage.in_time.saturating_add(usage.late);
        if answered > 0 {
            let late = f64::from(usage.late) / f64::from(answered);
            self.late += (late - self.late) * (1.0 - exp(-dt_s / LATE_S));
        }
        self.away_s = match self.away_s {
            None if self.late > LATE.0 => Some(0.0),
            Some(away) if away >= AWAY_S && self.late < LATE.1 => None,
            away => away.map(|away| away + dt_s),
        };
        let still_late = self.late > LATE.0 && self.away_s.is_some_and(|away| away > STILL_LATE_S);
        let by = if still_late {
            -SHARE_A_SECOND
        } else if self.late < LATE.1 {
            0.1 * SHARE_A_SECOND
        } else {
            0.0
        };
        self.share = (self.share + by * dt_s).clamp(LEAST_SHARE, 1.0);
    }

    /// True while too many answers come late.
    pub fn too_late(&self) -> bool {
        self.away_s.is_some()
    }

    /// The engines that are out and the reason, if there is a limit: the 95th percentile of the
    /// quickest of them, ms.
    pub fn verdict(&self, limit: Option<Duration>, costs: &Costs) -> Option<(u32, Because)> {
        let limit = limit?;
        let out = (0..MAX_ENGINES as u8).filter(|at| self.out >> at & 1 == 1);
        let value = out
            .filter_map(|at| costs.p95(EngineIdx(at)))
            .min()
            .map(|p95| p95.as_secs_f32() * 1000.0);
        Some((
            self.out,
            Because {
                why: Why::Latency,
                value,
                limit: Some(limit.as_secs_f32() * 1000.0),
                zone: None,
            },
        ))
    }

    /// The engine whose 95th percentile is lowest, as a bit: what is left if all are out.
    pub fn fastest(&self, costs: &Costs, available: u32) -> u32 {
        let present = (0..MAX_ENGINES as u8).filter(|at| available >> at & 1 == 1);
        let fastest = present.filter_map(|at| Some((costs.p95(EngineIdx(at))?, at))).min();
        fastest.map_or(0, |(_, at)| 1 << at)
    }
}
