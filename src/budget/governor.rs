//! The governor: limits, readings and costs in, [`Grants`] out, twice a second. Pure, and the same
//! bits on every machine.
//!
//! Each limit gives the highest level of the [`super::ladder`] that keeps it; the lowest of these
//! is the goal. The level goes down at once and up slowly, [`super::span`] keeps the engine sets
//! from flapping, and [`Because`] names the limit. The power of the looks at a level is known from
//! [`Costs`]; the rest of the readings (idle, other programs, a wrong model) is treated as a
//! constant beside it, so that the average meets the cap on an unknown board.

mod bounds;
mod events;
mod lateness;
mod spending;

use std::time::Duration;

use arrayvec::ArrayVec;

use self::bounds::{Bound, ceiling_of};
use self::events::Events;
use self::lateness::Lateness;
use super::costs::Costs;
use super::grants::{Because, Grants, Limits, Usage, Why};
use super::ladder::{Ability, Ladder, Rates, power_at, rate_at};
use super::meter::{Day, Window};
use super::span::Span;
use super::thermal::Thermal;
use crate::stats::exp;
use crate::telemetry::{Inventory, Sample};
use crate::units::Celsius;

/// The temperature this far ahead is what counts, s.
pub const AHEAD_S: f64 = 30.0;
/// A ceiling that nobody gave is this far below where the board throttles.
pub const MARGIN: Celsius = Celsius(5.0);
/// Readings of power are smoothed over this long, s: scenes come and go by the second.
const SMOOTH_S: f64 = 10.0;
/// How dear frames have been lately is the mean over this long, s; over two windows of a power cap,
/// if that is longer.
const LATELY_S: f64 = 30.0;
/// What a frame costs on a rung is learned over this long, s; over the window of a power cap, if
/// that is longer.
const LEARN_S: f64 = 60.0;
/// The rate of frames is smoothed over this long, s.
const RATE_S: f64 = 5.0;
/// The level rises by no more than this a second.
const RISE: f64 = 0.15;
/// The level follows its goal over this long, s, unless it hurries.
const FOLLOW_S: f64 = 4.0;
/// What held it down is told until everything has been given for this long, s.
const FREE_AFTER_S: f64 = 30.0;
/// What is held when a reading goes is the level smoothed over this long, s.
const HELD_S: f64 = 30.0;
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
    available: u32,
    ladder: Ladder,
    span: Span,
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
    wanted: f64,
    given: f64,
    /// The level given, smoothed; and the one held for each of power and temperature since a
    /// reading went.
    usual: f64,
    held: [Option<f64>; 3],
    /// The level for now that keeps the mean over the power cap's window near the cap, if it is
    /// another one than the cap's own; and true if the window is spent: nobody may look twice.
    now: Option<f64>,
    spent: bool,
    rate: Option<f64>,
    /// The board's power, measured or reckoned; `missing_s` says which.
    board: Smooth,
    board_read: bool,
    rail: Smooth,
    /// Power above idle that the looks should have drawn; and over a longer time, with what the
    /// ladder had expected at the level given.
    looked: Smooth,
    lately: Smooth,
    expected: Smooth,
    /// How long everything has been given, s.
    full_s: f64,
    grants: Grants,
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

/// A smoothed reading, and for how long it has been missing.
#[derive(Clone, Copy, Debug, Default)]
struct Smooth {
    value: Option<f64>,
    missing_s: f64,
}

impl Smooth {
    fn add(&mut self, dt_s: f64, over_s: f64, reading: Option<f64>) {
        match reading {
            Some(reading) => {
                let was = self.value.unwrap_or(reading);
                *self = Self {
                    value: Some(was + (reading - was) * (1.0 - exp(-dt_s / over_s))),
                    missing_s: 0.0,
                };
            }
            None => self.missing_s += dt_s,
        }
    }
}

impl Governor {
    /// For a board as `inventory` says, the engines of `available` and so many `cameras`; `costs`
    /// say how dear the engines are (their priors or a kept state). Everything is allowed until a
    /// reading says otherwise.
    pub fn new(
        limits: Limits,
        inventory: &Inventory,
        available: &[Ability],
        cameras: usize,
        costs: &Costs,
    ) -> Self {
        let ladder = Ladder::new(available, costs);
        let top = ladder.len() as f64;
        let mut governor = Self {
            available: ladder.engines(ladder.len().saturating_sub(1)),
            span: Span::new(ladder.len()),
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
            wanted: top,
            given: top,
            usual: top,
            held: [None; 3],
            now: None,
            spent: false,
            rate: None,
            board: Smooth::default(),
            board_read: false,
            rail: Smooth::default(),
            looked: Smooth::default(),
            lately: Smooth::default(),
            expected: Smooth::default(),
            full_s: FREE_AFTER_S,
            grants: Grants::FREE,
            changes: 0,
            unreachable: ArrayVec::new(),
            limits: Limits::default(),
        };
        governor.set_limits(limits, inventory);
        governor.grants.lower = governor.lower();
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
            self.window =
                Window::new(limits.power.as_ref().map_or(1.0, |power| power.window.as_secs_f64()));
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

    /// Limits that the cheapest engine at the least frame rate would still exceed, as far as is
    /// known by now.
    pub fn unreachable(&self) -> &[Unreachable] {
        &self.unreachable
    }

    /// How often the set of engines has changed.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// What frames cost on each rung, for keeping.
    pub(super) fn ratios(&self) -> impl Iterator<Item = f64> {
        self.ladder.ratios()
    }

    /// Goes on from kept fits (index, °C/W, s) and ratios.
    pub(super) fn resume(
        &mut self,
        zones: impl Iterator<Item = (usize, f64, f64)>,
        ratios: impl ExactSizeIterator<Item = f64>,
    ) {
        zones.for_each(|(zone, resistance, tau_s)| self.thermal.resume(zone, resistance, tau_s));
        self.ladder.resume(ratios);
    }

    /// What was said last.
    pub fn grants(&self) -> Grants {
        self.grants
    }

    /// The level that is given: 1 is the cheapest engine for every frame, [`Self::rungs`] is
    /// everything, below 1 there are fewer frames, below 0 fewer than the least rate.
    pub fn level(&self) -> f64 {
        self.given
    }

    /// Number of rungs.
    pub fn rungs(&self) -> usize {
        self.ladder.len()
    }

    /// The next grants. `now` is time since start, `usage` what was done since the step before.
    /// [`Costs::step`] comes first.
    pub fn step(&mut self, now: Duration, sample: &Sample, usage: &Usage, costs: &Costs) -> Grants {
        let dt_s = self.last.map_or(0.5, |last| now.saturating_sub(last).as_secs_f64());
        if self.ladder.len() == 0 || dt_s < STEP_S.0 {
            return self.grants;
        }
        self.last = Some(now);
        let dt_s = dt_s.min(STEP_S.1);

        self.read(dt_s, sample, usage, costs);
        let mut energies = self.ladder.energies(costs);
        let dearness = self.dearness();
        energies.iter_mut().for_each(|energy| *energy *= dearness);
        let goal = self.goal(&energies, sample, costs);
        self.move_level(dt_s, &goal);
        self.given =
            self.span.step(dt_s, self.wanted, goal.urgent, self.now.unwrap_or(self.wanted));
        self.full_s = if self.given < self.ladder.len() as f64 { 0.0 } else { self.full_s + dt_s };
        self.usual += (self.given - self.usual) * (1.0 - exp(-dt_s / HELD_S));
        self.lateness.step(dt_s, self.limits.latency, usage, costs, self.available);

        let grants = self.stand(&goal, costs);
        if grants.sets() != self.grants.sets() {
            self.changes += 1;
        }
        self.grants = grants;
        self.unreachable = self.find_unreachable(costs);
        grants
    }

    /// Takes the readings in.
    fn read(&mut self, dt_s: f64, sample: &Sample, usage: &Usage, costs: &Costs) {
        if self.given >= 1.0 && (self.rate.is_some() || usage.frames > 0) {
            let rate = f64::from(usage.frames) / dt_s;
            let was = self.rate.unwrap_or(rate);
            self.rate = Some(was + (rate - was) * (1.0 - exp(-dt_s / RATE_S)));
        }
        let watts = |rail: Option<usize>| {
            let reading = rail
                .and_then(|rail| sample.rails.get(rail).copied().flatten())
                .map(|power| f64::from(power.0) / 1000.0);
            reading.filter(|watts| watts.is_finite() && *watts >= 0.0)
        };
        let (board, rail) = (watts(self.total), watts(self.capped));
        // Without a reading what the looks should have drawn stands for it: heat follows that as
        // well.
        let reckoned = costs.idle().map_or(0.0, |idle| f64::from(idle.0) / 1000.0)
            + looked_w(dt_s, usage, costs);
        let missing_s = self.board.missing_s;
        self.board.add(dt_s, SMOOTH_S, Some(board.unwrap_or(reckoned)));
        self.board.missing_s = if board.is_some() { 0.0 } else { missing_s + dt_s };
        self.board_read |= board.is_some();
        self.rail.add(dt_s, SMOOTH_S, rail);
        self.window.add(dt_s, rail);
        if let Some(day) = &mut self.day {
            day.add(dt_s, board);
        }
        let looked = looked_w(dt_s, usage, costs);
        self.looked.add(dt_s, SMOOTH_S, Some(looked));
        let (lately_s, learn_s) =
            (LATELY_S.max(2.0 * self.window_s()), LEARN_S.max(self.window_s()));
        self.lately.add(dt_s, lately_s, Some(looked));
        let expected = power_at(&self.ladder.energies(costs), self.rates(), self.given);
        self.expected.add(dt_s, lately_s, Some(expected));
        let rate = if self.given >= 1.0 {
            f64::from(usage.frames) / dt_s
        } else {
            rate_at(self.rates(), self.given)
        };
        if rate > 0.0 {
            self.ladder.learn(self.given.max(1.0), looked / rate, (dt_s / learn_s).min(0.5), costs);
        }
        self.thermal.step(dt_s, sample, board.unwrap_or(reckoned));
        self.events.step(dt_s, sample, self.given, self.ladder.len() as f64);
    }

    /// Length of the window of the power cap, s; 0 without one.
    fn window_s(&self) -> f64 {
        self.limits.power.as_ref().map_or(0.0, |power| power.window.as_secs_f64())
    }

    fn rates(&self) -> Rates {
        let full = self.rate.unwrap_or(0.0);
        Rates { full, least: (f64::from(self.limits.min_fps).max(0.0) * self.cameras).min(full) }
    }

    /// How much more frames cost lately than the ladder thought: the scenes of the last seconds.
    fn dearness(&self) -> f64 {
        match (self.lately.value, self.expected.value) {
            (Some(looked), Some(expected)) if looked > 0.0 && expected > 0.0 => {
                (looked / expected).clamp(0.2, 4.0)
            }
            _ => 1.0,
        }
    }

    /// Power that the board draws now, and what of it the looks do not account for, W.
    fn power(&self) -> (f64, f64) {
        let drawn = self.board.value.unwrap_or(0.0);
        (drawn, drawn - self.looked.value.unwrap_or(0.0))
    }

    /// Down at once if it hurries, else gently, so that what varies by the second is averaged and
    /// not followed; up slowly.
    fn move_level(&mut self, dt_s: f64, goal: &Bound) {
        let off = goal.level - self.wanted;
        let follow = off * (dt_s / FOLLOW_S).min(1.0);
        if off <= 0.0 {
            self.wanted = if goal.urgent { goal.level } else { self.wanted + follow };
        } else {
            self.wanted += follow.max(0.1 * RISE * dt_s).min(RISE * dt_s).min(off);
        }
        self.wanted = self.wanted.clamp(-1.0, self.ladder.len() as f64);
    }

    /// The rung below those that are mixed; the lowest one has none below.
    fn lower(&self) -> u32 {
        self.ladder.engines(self.span.at().saturating_sub(2))
    }

    /// The words for the level that is given.
    fn stand(&self, goal: &Bound, costs: &Costs) -> Grants {
        let (n, at) = (self.ladder.len(), self.span.at());
        let above = self.given - at as f64;
        let (upper_share, lower_share) =
            (above.clamp(0.0, 1.0), (at as f64 - self.given).clamp(0.0, 1.0));
        let (mut admissible, mut upper, upper_share) = match at {
            0 => (self.ladder.engines(0), self.ladder.engines(0), 0.0),
            at if at >= n => (u32::MAX, u32::MAX, 1.0),
            at => (self.ladder.engines(at - 1), self.ladder.engines(at), upper_share),
        };
        let (mut lower, lower_share) =
            if at < 2 { (admissible, 0.0) } else { (self.lower(), lower_share) };
        let mut interval = Duration::ZERO;
        if at == 0 && self.given < 1.0 {
            let full = self.rate.unwrap_or(ASSUMED_FPS * self.cameras);
            let rates = Rates {
                full,
                least: (f64::from(self.limits.min_fps).max(0.0) * self.cameras).min(full),
            };
            let each = rate_at(rates, self.given) / self.cameras;
            interval = Duration::from_secs_f64(1.0 / each.max(SELDOM));
            if each < SELDOM {
                (admissible, upper, lower) = (0, 0, 0);
            }
        }
        let mut because = if goal.level < n as f64 || goal.because.why != Why::Free {
            goal.because
        } else if self.full_s < FREE_AFTER_S {
            // Climbing back, or hardly there: what held it down last.
            self.grants.because
        } else {
            Because::default()
        };
        let verdict = self.lateness.verdict(self.limits.latency, costs);
        if let Some((slow, late)) = verdict.filter(|(slow, _)| upper & self.available & slow != 0) {
            let fastest = self.lateness.fastest(costs, self.available);
            let quick =
                |set: u32| if set & self.available & !slow != 0 { set & !slow } else { fastest };
            (admissible, upper, lower) =
                (quick(admissible), quick(upper) | quick(admissible), quick(lower));
            if lower & !admissible != 0 {
                lower = admissible;
            }
            if matches!(because.why, Why::Free | Why::Blind) {
                because = late;
            }
        }
        Grants {
            admissible,
            upper,
            upper_share: upper_share as f32,
            lower,
            lower_share: lower_share as f32,
            escalation: !self.lateness.too_late() && !self.spent,
            interval,
            because,
        }
    }
}

/// Power above idle that the looks of a step should have drawn, W.
fn looked_w(dt_s: f64, usage: &Usage, costs: &Costs) -> f64 {
    let busy = usage.busy.iter().enumerate().filter(|(_, busy)| !busy.is_zero());
    busy.map(|(at, busy)| busy.as_secs_f64() / dt_s * costs.energies.watts(at).0).sum()
}

#[cfg(test)]
mod tests;
