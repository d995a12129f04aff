//! The highest level of the ladder that each limit allows, and its explanation. Pure.

use arrayvec::ArrayVec;

use super::spending::Room;
use super::{AHEAD_S, Governor, MARGIN, Unreachable};
use crate::budget::costs::Costs;
use crate::budget::grants::{Because, Why};
use crate::budget::ladder::{energy_at, level_of_energy, level_of_power, power_at};
use crate::engine::{EngineIdx, MAX_ENGINES};
use crate::telemetry::{Sample, Zone};
use crate::units::Celsius;

/// The governor aims this far below a ceiling: what is left of a sensor's noise after smoothing.
const AIM_BELOW_C: f64 = 0.1;
/// A reading that a limit needs is gone if it has been missing for this long, s.
const GONE_S: f64 = 5.0;
/// A power beyond the cap by this factor, once this share of the window's energy was drawn too
/// much, is no passing scene.
const FAR: (f64, f64) = (1.3, 0.02);
/// A zone expected above its ceiling by this much cannot wait, °C.
const OVERSHOT_C: f64 = 0.5;
/// Places of the levels that are held.
const HEAT: usize = 0;
const POWER: usize = 1;
const DAY: usize = 2;
/// A zone that cannot be read matters if it was this close to its ceiling, °C.
const CLOSE_C: f64 = 10.0;

/// What one limit can bear.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bound {
    pub level: f64,
    /// The level must be reached at once.
    pub urgent: bool,
    pub because: Because,
}

impl Governor {
    /// The lowest of what the limits can bear.
    pub(super) fn goal(&mut self, energies: &[f64], sample: &Sample, costs: &Costs) -> Bound {
        let top = self.ladder.len() as f64;
        let mut goal = Bound { level: top, urgent: false, because: Because::default() };
        let bounds = [
            self.events.bound(sample),
            self.temperature(energies),
            self.power_cap(energies),
            self.energy_day(energies),
            self.energy_frame(energies, costs),
        ];
        let mut blind = false;
        for bound in bounds.into_iter().flatten() {
            blind |= bound.because.why == Why::Blind;
            if bound.level < goal.level {
                goal = bound;
            }
        }
        // The cap could bear everything again, but not yet what its window holds.
        if goal.because.why == Why::Free
            && self.spent
            && let Some(power) =
                bounds.iter().flatten().find(|bound| bound.because.why == Why::Power)
        {
            goal.because = power.because;
        }
        if let Some(now) = self.now {
            let others = bounds
                .iter()
                .flatten()
                .filter(|bound| bound.because.why != Why::Power)
                .map(|bound| bound.level);
            let others = others.fold(top, f64::min);
            self.now = (now < goal.level || matches!(goal.because.why, Why::Power | Why::Free))
                .then_some(now.min(others));
        }
        if blind && goal.because.why == Why::Free {
            goal.because.why = Why::Blind;
        }
        goal
    }

    /// A limit has no reading: no higher than what was wanted, and usually given, when it went, for
    /// the same `limit` each time. `known` is false if there never was one: then the cheapest
    /// engine is what is safe.
    fn blind(&mut self, limit: usize, gone: bool, known: bool) -> Bound {
        let safe = if known { self.usual.min(self.wanted) } else { 1.0 };
        let level = *self.held[limit].get_or_insert(safe);
        let why = if gone { Why::Blind } else { self.grants.because.why };
        Bound { level, urgent: !known, because: Because { why, ..Because::default() } }
    }

    fn temperature(&mut self, energies: &[f64]) -> Option<Bound> {
        let zones = self.thermal.zones();
        if zones.is_empty() {
            return self.limits.ceiling.map(|_| self.blind(HEAT, true, false));
        }
        let (drawn, beside) = self.power();
        let mut lowest: Option<Bound> = None;
        let (mut readable, mut hold) = (false, false);
        for zone in zones {
            let Some(now) = zone.now() else { continue };
            if zone.unread_s() > GONE_S {
                hold |= now > zone.ceiling - CLOSE_C;
                continue;
            }
            readable = true;
            let Some(affordable) = zone.affordable(AHEAD_S, zone.ceiling - AIM_BELOW_C, drawn)
            else {
                continue;
            };
            let mut level = level_of_power(energies, self.rates(), affordable - beside);
            let expected = zone.expected(AHEAD_S, drawn).unwrap_or(now);
            let mut urgent = expected > zone.ceiling + OVERSHOT_C;
            if now > zone.ceiling {
                // Whatever the model says: too hot is not the moment to stay.
                (level, urgent) = (
                    level.min(self.wanted - 0.02),
                    urgent || now > zone.ceiling + 0.5 * OVERSHOT_C,
                );
            }
            if lowest.is_none_or(|lowest| level < lowest.level) {
                let (limit, zone) = (Some(zone.ceiling as f32), u8::try_from(zone.zone).ok());
                lowest = Some(Bound {
                    level: level.max(-1.0),
                    urgent,

                    because: Because {
                        why: Why::Temperature,
                        value: Some(expected as f32),
                        limit,
                        zone,
                    },
                });
            }
        }
        if hold || !readable {
            let known =
                self.limits.ceiling.is_none() || zones.iter().any(|zone| zone.now().is_some());
            let held = self.blind(HEAT, true, known);
            return Some(lowest.filter(|lowest| lowest.level < held.level).unwrap_or(held));
        }
        self.held[HEAT] = None;
        lowest
    }

    fn power_cap(&mut self, energies: &[f64]) -> Option<Bound> {
        (self.now, self.spent) = (None, false);
        let power = self.limits.power.clone()?;
        let (drawn, beside) = self.power();
        let Some(rail) = self.rail.value else { return Some(self.blind(POWER, true, false)) };
        if self.rail.missing_s > 0.0 {
            return Some(self.blind(POWER, self.rail.missing_s > GONE_S, true));
        }
        self.held[POWER] = None;
        let cap = f64::from(power.cap.0) / 1000.0;
        let mean = self.window.mean().unwrap_or(rail);
        // A rail that is a part of the board: its share of the board's power stays as it is.
        let scale = if self.capped == self.total { 1.0 } else { drawn / rail.max(0.01) };
        let level_of =
            |rail_w: f64| level_of_power(energies, self.rates(), rail_w * scale - beside).max(0.0);
        let level = level_of(cap);
        let window_s = power.window.as_secs_f64();
        let room = Room::of(&self.window, window_s, cap);
        let soon = cap.max(room.least).min(room.most);
        let now = (soon != cap).then(|| level_of(soon));
        let lowest = power_at(energies, self.rates(), self.span.low()) + beside;
        let spent = room.end.is_some_and(|end| lowest > end * scale);
        let excess_j = self.window.excess_j(cap);
        (self.now, self.spent) = (now, spent);
        Some(Bound {
            level,
            urgent: rail > cap * FAR.0 && excess_j > FAR.1 * cap * window_s,
            because: Because {
                why: Why::Power,
                value: Some((mean * 1000.0) as f32),
                limit: Some(power.cap.0),
                zone: None,
            },
        })
    }

    fn energy_day(&mut self, energies: &[f64]) -> Option<Bound> {
        self.day.as_ref()?;
        if self.board.missing_s > 0.0 {
            return Some(self.blind(DAY, self.board.missing_s > GONE_S, self.board_read));
        }
        self.held[DAY] = None;
        let (day, limit) = (self.day.as_ref()?, self.limits.energy_per_day_wh?);
        let (_, beside) = self.power();
        let level = level_of_power(energies, self.rates(), day.affordable_w() - beside).max(0.0);
        let value = Some((day.spent_j() / 3600.0) as f32);
        Some(Bound {
            level,
            urgent: false,
            because: Because { why: Why::EnergyDay, value, limit: Some(limit as f32), zone: None },
        })
    }

    fn energy_frame(&self, energies: &[f64], costs: &Costs) -> Option<Bound> {
        let limit = self.limits.energy_per_frame?;
        if self.ladder.tops().all(|engine| costs.energy(engine).is_none()) {
            return Some(Bound {
                level: 1.0,
                urgent: false,
                because: Because { why: Why::Blind, ..Because::default() },
            });
        }
        let level = level_of_energy(energies, limit.0 / 1000.0);
        let value = Some((energy_at(energies, self.given) * 1000.0) as f32);
        Some(Bound {
            level,
            urgent: false,
            because: Because {
                why: Why::EnergyFrame,
                value,
                limit: Some(limit.0 as f32),
                zone: None,
            },
        })
    }

    /// Limits that the cheapest engine at the least rate would exceed.
    pub(super) fn find_unreachable(&self, costs: &Costs) -> ArrayVec<Unreachable, 5> {
        let mut found = ArrayVec::new();
        let energies = self.ladder.energies(costs);
        let Some(cheapest) = energies.first().copied() else { return found };
        let mut tell = |why: Why, expected: f64, limit: f64, slack: f64| {
            if expected > limit * slack {
                found.push(Unreachable { why, expected: expected as f32, limit: limit as f32 });
            }
        };
        let idle = costs.idle().map(|idle| f64::from(idle.0) / 1000.0);
        if let (Some(idle), true) = (idle, self.rate.is_some()) {
            let least = idle + cheapest * self.rates().least;
            for zone in self.thermal.zones() {
                if let Some(settles) = zone.settles(least).filter(|settles| *settles > zone.ceiling)
                {
                    tell(Why::Temperature, settles, zone.ceiling, 1.0);
                    break;
                }
            }
            if let Some(power) = self.limits.power.as_ref().filter(|_| self.capped == self.total) {
                tell(Why::Power, least * 1000.0, f64::from(power.cap.0), 1.03);
            }
            if let Some(limit) = self.limits.energy_per_day_wh {
                tell(Why::EnergyDay, least * 24.0, limit, 1.03);
            }
        }
        let known = self.ladder.tops().next().is_some_and(|engine| costs.energy(engine).is_some());
        if let Some(limit) = self.limits.energy_per_frame.filter(|_| known) {
            tell(Why::EnergyFrame, cheapest * 1000.0, limit.0, 1.0);
        }
        if let Some(limit) = self.limits.latency {
            let quickest = (0..MAX_ENGINES as u8).filter(|at| self.available >> at & 1 == 1);
            let quickest = quickest.filter_map(|at| costs.p95(EngineIdx(at))).min();
            if let Some(quickest) = quickest {
                tell(
                    Why::Latency,
                    quickest.as_secs_f64() * 1000.0,
                    limit.as_secs_f64() * 1000.0,
                    1.0,
                );
            }
        }
        found
    }
}

/// Ceiling of a zone, °C: the user's, but never where the board would throttle; without the user's
/// the board's own less [`MARGIN`].
pub(super) fn ceiling_of(zone: &Zone, explicit: Option<Celsius>) -> Option<f64> {
    let throttle = zone.throttle_at.map(|at| f64::from(at.0)).filter(|at| at.is_finite());
    match (explicit, throttle) {
        (Some(ceiling), Some(throttle)) => Some(f64::from(ceiling.0).min(throttle - 1.0)),
        (Some(ceiling), None) => Some(f64::from(ceiling.0)),
        (None, throttle) => throttle.map(|at| at - f64::from(MARGIN.0)),
    }
}
