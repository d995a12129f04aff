//! The governor: limits, readings and costs in, a [`Standing`] out, twice a second. Pure, and the same bits on every machine.
//!
//! Every limit says which level of the [`super::ladder`] is the highest that it can bear; the lowest of them is the goal. The level goes down
//! at once and up slowly, [`super::pair`] keeps the sets of engines from flapping, and [`Because`] tells which limit it was. What the looks
//! draw at a level is known from [`Costs`]; whatever else the readings show (idle, other programs, a wrong model) is taken as a constant
//! beside it, so that the average meets the cap without knowing the board.

mod events;
mod lateness;

use std::time::Duration;

use arrayvec::ArrayVec;

use self::events::Events;
use self::lateness::Lateness;
use super::costs::Costs;
use super::ladder::{Ability, Ladder, Rates, energy_at, level_of_energy, level_of_power, power_at, rate_at};
use super::meter::{Day, Window};
use super::pair::Pair;
use super::standing::{Because, Limits, Standing, Tally, Why};
use super::thermal::Thermal;
use crate::engine::MAX_ENGINES;
use crate::stats::exp;
use crate::telemetry::{Inventory, Sample, Zone};
use crate::units::Celsius;

/// The temperature this far ahead is what counts, s.
pub const AHEAD_S: f64 = 30.0;
/// A ceiling that nobody gave is this far below where the board throttles.
pub const MARGIN: Celsius = Celsius(5.0);
/// The governor aims this far below a ceiling: a sensor's step.
const AIM_BELOW_C: f64 = 0.5;
/// It aims at this share of a power cap.
const AIM_AT: f64 = 0.995;
/// Readings of power are smoothed over this long, s.
const SMOOTH_S: f64 = 3.0;
/// The rate of frames is smoothed over this long, s.
const RATE_S: f64 = 5.0;
/// A reading that a limit needs is gone if it has been missing for this long, s.
const GONE_S: f64 = 5.0;
/// The level rises by no more than this a second; half of it under a ceiling.
const RISE: f64 = 0.1;
/// The level follows its goal over this long, s; a goal lower by `LEAP` is followed at once.
const FOLLOW_S: f64 = 4.0;
const LEAP: f64 = 0.25;
/// The correction of the cap for what the average over the window lacks: at most this share of it.
const MOST_TRIM: f64 = 0.03;
/// A zone that cannot be read matters if it was this close to its ceiling, °C.
const CLOSE_C: f64 = 10.0;
/// Longest and shortest time between steps that is believed, s.
const STEP_S: (f64, f64) = (0.001, 10.0);
/// Fewest frames a second and camera that are worth a look; below, answers are reused only.
const SELDOM: f64 = 1.0 / 60.0;
/// Frames a second and camera that are assumed before any came.
const ASSUMED_FPS: f64 = 10.0;

/// See the module.
#[derive(Clone, Debug)]
pub struct Governor {
    limits: Limits,
    crew: u32,
    ladder: Ladder,
    pair: Pair,
    cameras: f64,
    /// Index of the rail of the cap, and of the one that stands for the board.
    capped: Option<usize>,
    total: Option<usize>,
    thermal: Thermal,
    window: Window,
    day: Option<Day>,
    events: Events,
    lateness: Lateness,
    last: Option<Duration>,
    /// The level wanted, and the one that is given.
    level: f64,
    given: f64,
    rate: Option<f64>,
    /// The board's power, measured or reckoned; `missing_s` says which.
    board: Smooth,
    board_read: bool,
    rail: Smooth,
    modelled: Smooth,
    trim: f64,
    standing: Standing,
    changes: u64,
    unreachable: ArrayVec<Unreachable, 5>,
}

/// A limit that cannot be met even by the cheapest engine at the least frame rate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Unreachable {
    /// Which.
    pub why: Why,
    /// What is expected there, in the limit's unit.
    pub expected: f32,
    /// The limit.
    pub limit: f32,
}

/// A reading smoothed over [`SMOOTH_S`], and for how long it has been missing.
#[derive(Clone, Copy, Debug, Default)]
struct Smooth {
    value: Option<f64>,
    missing_s: f64,
}

impl Smooth {
    fn add(&mut self, dt_s: f64, reading: Option<f64>) {
        match reading {
            Some(reading) => {
                let was = self.value.unwrap_or(reading);
                *self = Self { value: Some(was + (reading - was) * (1.0 - exp(-dt_s / SMOOTH_S))), missing_s: 0.0 };
            }
            None => self.missing_s += dt_s,
        }
    }
}

/// What one limit can bear.
#[derive(Clone, Copy, Debug)]
struct Bound {
    level: f64,
    because: Because,
}

impl Governor {
    /// For a board as `inventory` says, the engines of `crew` and so many `cameras`; `costs` say how dear the engines are (their priors or a
    /// kept state). Everything is allowed until a reading says otherwise.
    pub fn new(limits: Limits, inventory: &Inventory, crew: &[Ability], cameras: usize, costs: &Costs) -> Self {
        let ladder = Ladder::new(crew, costs);
        let top = ladder.len() as f64;
        let mut governor = Self {
            crew: ladder.engines(ladder.len().saturating_sub(1)),
            pair: Pair::new(ladder.len()),
            ladder,
            cameras: cameras.max(1) as f64,
            capped: None,
            total: inventory.total,
            thermal: Thermal::new(&Inventory::default(), |_| None),
            window: Window::new(1.0),
            day: None,
            events: Events::new(),
            lateness: Lateness::new(),
            last: None,
            level: top,
            given: top,
            rate: None,
            board: Smooth::default(),
            board_read: false,
            rail: Smooth::default(),
            modelled: Smooth::default(),
            trim: 0.0,
            standing: Standing::FREE,
            changes: 0,
            unreachable: ArrayVec::new(),
            limits: Limits::default(),
        };
        governor.set_limits(limits, inventory);
        governor.unreachable = governor.find_unreachable(costs);
        governor
    }

    /// Other limits from now on, for the same board. What was learned stays.
    pub fn set_limits(&mut self, limits: Limits, inventory: &Inventory) {
        let named = limits.power.as_ref().and_then(|power| power.rail.as_deref());
        self.capped = match named {
            Some(name) => inventory.rails.iter().position(|rail| rail.name == name),
            None => inventory.total,
        };
        let explicit = limits.ceiling;
        let kept: ArrayVec<(usize, (f64, f64)), { crate::telemetry::MAX_ZONES }> =
            self.thermal.zones().iter().map(|zone| (zone.zone, zone.fitted())).collect();
        let thermal = Thermal::new(inventory, |zone| ceiling_of(zone, explicit));
        let same = thermal.zones().iter().map(|zone| (zone.zone, zone.ceiling)).eq(self
            .thermal
            .zones()
            .iter()
            .map(|zone| (zone.zone, zone.ceiling)));
        if !same {
            self.thermal = thermal;
            for (zone, (resistance, tau_s)) in kept {
                self.thermal.resume(zone, resistance, tau_s);
            }
        }
        if limits.power != self.limits.power {
            self.window = Window::new(limits.power.as_ref().map_or(1.0, |power| power.window.as_secs_f64()));
            self.trim = 0.0;
            self.rail = Smooth::default();
        }
        if limits.energy_per_day_wh != self.limits.energy_per_day_wh {
            self.day = limits.energy_per_day_wh.map(Day::new);
        }
        self.limits = limits;
    }

    /// The limits in force.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Index of the rail that stands for the board: what [`Costs::step`] should learn from.
    pub fn rail(&self) -> Option<usize> {
        self.total
    }

    /// The models of the governing zones.
    pub fn thermal(&self) -> &Thermal {
        &self.thermal
    }

    /// Limits that the cheapest engine at the least frame rate would still exceed, as far as is known by now.
    pub fn unreachable(&self) -> &[Unreachable] {
        &self.unreachable
    }

    /// How often the set of engines has changed.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// What was said last.
    pub fn standing(&self) -> Standing {
        self.standing
    }

    /// The level that is given: 1 is the cheapest engine for every frame, [`Self::rungs`] is everything, below 1 there are fewer frames, below
    /// 0 fewer than the least rate.
    pub fn level(&self) -> f64 {
        self.given
    }

    /// Number of rungs.
    pub fn rungs(&self) -> usize {
        self.ladder.len()
    }

    /// The next standing. `now` is time since start, `tally` what was done since the step before. [`Costs::step`] comes first.
    pub fn step(&mut self, now: Duration, sample: &Sample, tally: &Tally, costs: &Costs) -> Standing {
        let dt_s = self.last.map_or(0.5, |last| now.saturating_sub(last).as_secs_f64());
        if self.ladder.len() == 0 || dt_s < STEP_S.0 {
            return self.standing;
        }
        self.last = Some(now);
        let dt_s = dt_s.min(STEP_S.1);

        self.read(dt_s, sample, tally, costs);
        let energies = self.ladder.energies(costs);
        let goal = self.goal(&energies, sample, costs);
        let urgent = matches!(goal.because.why, Why::Temperature | Why::Throttling | Why::OverCurrent);
        self.move_level(dt_s, &goal, urgent);
        self.given = self.pair.step(dt_s, self.level, urgent);
        self.lateness.step(dt_s, self.limits.latency, tally, costs, self.crew);

        let standing = self.stand(&goal, costs);
        if (standing.admissible, standing.reach) != (self.standing.admissible, self.standing.reach) {
            self.changes += 1;
        }
        self.standing = standing;
        self.unreachable = self.find_unreachable(costs);
        standing
    }

    /// Takes the readings in.
    fn read(&mut self, dt_s: f64, sample: &Sample, tally: &Tally, costs: &Costs) {
        if self.given >= 1.0 && (self.rate.is_some() || tally.frames > 0) {
            let rate = f64::from(tally.frames) / dt_s;
            let was = self.rate.unwrap_or(rate);
            self.rate = Some(was + (rate - was) * (1.0 - exp(-dt_s / RATE_S)));
        }
        let watts = |rail: Option<usize>| {
            let reading = rail.and_then(|rail| sample.rails.get(rail).copied().flatten()).map(|power| f64::from(power.0) / 1000.0);
            reading.filter(|watts| watts.is_finite() && *watts >= 0.0)
        };
        let (board, rail) = (watts(self.total), watts(self.capped));
        // Without a reading what the looks should have drawn stands for it: heat follows that as well.
        let reckoned = costs.idle().map_or(0.0, |idle| f64::from(idle.0) / 1000.0) + looked_w(dt_s, tally, costs);
        let missing_s = self.board.missing_s;
        self.board.add(dt_s, Some(board.unwrap_or(reckoned)));
        self.board.missing_s = if board.is_some() { 0.0 } else { missing_s + dt_s };
        self.board_read |= board.is_some();
        self.rail.add(dt_s, rail);
        self.window.add(dt_s, rail);
        if let Some(day) = &mut self.day {
            day.add(dt_s, board);
        }
        if tally.frames > 0 {
            let joules = looked_w(dt_s, tally, costs) * dt_s / f64::from(tally.frames);
            self.ladder.learn(self.given, joules, (dt_s / 10.0).min(0.5), costs);
        }
        let modelled = power_at(&self.ladder.energies(costs), self.rates(), self.given);
        self.modelled.add(dt_s, Some(modelled));
        self.thermal.step(dt_s, sample, board.unwrap_or(reckoned));
        self.events.step(dt_s, sample, self.given, self.ladder.len() as f64);
    }

    fn rates(&self) -> Rates {
        let full = self.rate.unwrap_or(0.0);
        Rates { full, least: (f64::from(self.limits.min_fps).max(0.0) * self.cameras).min(full) }
    }

    /// Power that the board draws now, and what of it the looks do not account for, W.
    fn power(&self) -> (f64, f64) {
        let drawn = self.board.value.unwrap_or(0.0);
        (drawn, drawn - self.modelled.value.unwrap_or(0.0))
    }

    /// The lowest of what the limits can bear.
    fn goal(&mut self, energies: &[f64], sample: &Sample, costs: &Costs) -> Bound {
        let top = self.ladder.len() as f64;
        let mut goal = Bound { level: top, because: Because::default() };
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
        if blind && goal.because.why == Why::Free {
            goal.because.why = Why::Blind;
        }
        goal
    }

    /// The level stays where it is for want of a reading; `known` is false if it never was there: then the cheapest engine is what is safe.
    fn blind(&self, gone: bool, known: bool) -> Bound {
        let level = if known { self.level } else { self.level.min(1.0) };
        let why = if gone { Why::Blind } else { self.standing.because.why };
        Bound { level, because: Because { why, ..Because::default() } }
    }

    fn temperature(&self, energies: &[f64]) -> Option<Bound> {
        let zones = self.thermal.zones();
        if zones.is_empty() {
            return self.limits.ceiling.map(|_| self.blind(true, false));
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
            let Some(affordable) = zone.affordable(AHEAD_S, zone.ceiling - AIM_BELOW_C, drawn) else { continue };
            let mut level = level_of_power(energies, self.rates(), affordable - beside);
            if now > zone.ceiling {
                // Whatever the model says: too hot is not the moment to stay.
                level = level.min(self.level - 0.05);
            }
            if lowest.is_none_or(|lowest| level < lowest.level) {
                let expected = zone.expected(AHEAD_S, drawn).map(|expected| expected as f32);
                let (limit, zone) = (Some(zone.ceiling as f32), u8::try_from(zone.zone).ok());
                lowest = Some(Bound {
                    level: level.max(-1.0),
                    because: Because { why: Why::Temperature, value: expected, limit, zone },
                });
            }
        }
        if hold || !readable {
            let held = self.blind(true, self.limits.ceiling.is_none() || zones.iter().any(|zone| zone.now().is_some()));
            return Some(lowest.filter(|lowest| lowest.level < held.level).unwrap_or(held));
        }
        lowest
    }

    fn power_cap(&mut self, energies: &[f64]) -> Option<Bound> {
        let power = self.limits.power.as_ref()?;
        let (drawn, beside) = self.power();
        let Some(rail) = self.rail.value else { return Some(self.blind(true, false)) };
        if self.rail.missing_s > 0.0 {
            return Some(self.blind(self.rail.missing_s > GONE_S, true));
        }
        let cap = f64::from(power.cap.0) / 1000.0;
        let mean = self.window.mean().unwrap_or(rail);
        if self.standing.because.why == Why::Power {
            let lacks = (cap * AIM_AT - mean) / cap.max(0.001);
            let share = 0.5 / power.window.as_secs_f64().max(10.0) * 0.5;
            self.trim = (self.trim + lacks * share).clamp(-MOST_TRIM, MOST_TRIM);
        }
        // A rail that is a part of the board: its share of the board's power stays as it is.
        let scale = if self.capped == self.total { 1.0 } else { drawn / rail.max(0.01) };
        let target = cap * (AIM_AT + self.trim) * scale;
        let level = level_of_power(energies, self.rates(), target - beside).max(0.0);
        Some(Bound {
            level,
            because: Because { why: Why::Power, value: Some((mean * 1000.0) as f32), limit: Some(power.cap.0), zone: None },
        })
    }

    fn energy_day(&self, energies: &[f64]) -> Option<Bound> {
        let (day, limit) = (self.day.as_ref()?, self.limits.energy_per_day_wh?);
        if self.board.missing_s > 0.0 {
            return Some(self.blind(self.board.missing_s > GONE_S, self.board_read));
        }
        let (_, beside) = self.power();
        let level = level_of_power(energies, self.rates(), day.affordable_w() - beside).max(0.0);
        let value = Some((day.spent_j() / 3600.0) as f32);
        Some(Bound { level, because: Because { why: Why::EnergyDay, value, limit: Some(limit as f32), zone: None } })
    }

    fn energy_frame(&self, energies: &[f64], costs: &Costs) -> Option<Bound> {
        let limit = self.limits.energy_per_frame?;
        if self.ladder.tops().all(|engine| costs.energy(engine).is_none()) {
            return Some(self.blind(true, false));
        }
        let level = level_of_energy(energies, limit.0 / 1000.0);
        let value = Some((energy_at(energies, self.given) * 1000.0) as f32);
        Some(Bound { level, because: Because { why: Why::EnergyFrame, value, limit: Some(limit.0 as f32), zone: None } })
    }

    /// Down at once if it hurries or is far, else gently; up slowly.
    fn move_level(&mut self, dt_s: f64, goal: &Bound, urgent: bool) {
        let off = goal.level - self.level;
        let follow = off * (dt_s / FOLLOW_S).min(1.0);
        if off <= 0.0 {
            self.level = if urgent || off < -LEAP { goal.level } else { self.level + follow };
        } else {
            let rise = if urgent { 0.5 * RISE } else { RISE };
            self.level += follow.max(0.25 * rise * dt_s).min(rise * dt_s).min(off);
        }
        self.level = self.level.clamp(-1.0, self.ladder.len() as f64);
    }

    /// The words for the level that is given.
    fn stand(&self, goal: &Bound, costs: &Costs) -> Standing {
        let (n, at) = (self.ladder.len(), self.pair.at());
        let (mut admissible, mut reach, stretch) = match at {
            0 => (self.ladder.engines(0), self.ladder.engines(0), 0.0),
            at if at >= n => (u32::MAX, u32::MAX, 1.0),
            at => (self.ladder.engines(at - 1), self.ladder.engines(at), (self.given - at as f64).clamp(0.0, 1.0)),
        };
        let mut interval = Duration::ZERO;
        if at == 0 && self.given < 1.0 {
            let full = self.rate.unwrap_or(ASSUMED_FPS * self.cameras);
            let rates = Rates { full, least: (f64::from(self.limits.min_fps).max(0.0) * self.cameras).min(full) };
            let each = rate_at(rates, self.given) / self.cameras;
            interval = Duration::from_secs_f64(1.0 / each.max(SELDOM));
            if each < SELDOM {
                (admissible, reach) = (0, 0);
            }
        }
        let mut because = if goal.level < n as f64 || goal.because.why == Why::Blind {
            goal.because
        } else if at < n {
            // Climbing back: what held it down last.
            self.standing.because
        } else {
            Because::default()
        };
        if let Some((slow, late)) = self.lateness.verdict(self.limits.latency, costs) {
            if reach & self.crew & slow != 0 {
                let fastest = self.lateness.fastest(costs, self.crew);
                let quick = |set: u32| if set & self.crew & !slow != 0 { set & !slow } else { fastest };
                (admissible, reach) = if reach == 0 { (0, 0) } else { (quick(admissible), quick(reach) | quick(admissible)) };
                if matches!(because.why, Why::Free | Why::Blind) {
                    because = late;
                }
            }
        }
        Standing { admissible, reach, stretch: stretch as f32, escalation: !self.lateness.too_late(), interval, because }
    }

    fn find_unreachable(&self, costs: &Costs) -> ArrayVec<Unreachable, 5> {
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
                if let Some(settles) = zone.settles(least).filter(|settles| *settles > zone.ceiling) {
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
            let quickest = (0..MAX_ENGINES as u8).filter(|at| self.crew >> at & 1 == 1);
            let quickest = quickest.filter_map(|at| costs.p95(crate::engine::EngineIdx(at))).min();
            if let Some(quickest) = quickest {
                tell(Why::Latency, quickest.as_secs_f64() * 1000.0, limit.as_secs_f64() * 1000.0, 1.0);
            }
        }
        found
    }
}

/// Power above idle that the looks of a step should have drawn, W.
fn looked_w(dt_s: f64, tally: &Tally, costs: &Costs) -> f64 {
    let busy = tally.busy.iter().enumerate().filter(|(_, busy)| !busy.is_zero());
    busy.map(|(at, busy)| busy.as_secs_f64() / dt_s * costs.energies.watts(at).0).sum()
}

/// Ceiling of a zone, °C: the user's, but never where the board would throttle; without the user's the board's own less [`MARGIN`].
fn ceiling_of(zone: &Zone, explicit: Option<Celsius>) -> Option<f64> {
    let throttle = zone.throttle_at.map(|at| f64::from(at.0)).filter(|at| at.is_finite());
    match (explicit, throttle) {
        (Some(ceiling), Some(throttle)) => Some(f64::from(ceiling.0).min(throttle - 1.0)),
        (Some(ceiling), None) => Some(f64::from(ceiling.0)),
        (None, throttle) => throttle.map(|at| at - f64::from(MARGIN.0)),
    }
}

#[cfg(test)]
mod tests;
