//! The rungs: nested sets of engines from the cheapest one to all, what a frame costs on each, and
//! the real-valued level between them. Pure.
//!
//! A level `x` is a point on the ladder. From `n` rungs: at `n` everything is allowed; between
//! whole numbers `k` and `k + 1` of 1..=n a share of the frames may use rung `k + 1` and the others
//! rung `k`; at 1 all frames have the cheapest engine; from 1 to 0 fewer frames are looked at, down
//! to the least rate; from 0 to -1 fewer still, down to none. Mixing two neighbours on the hull of
//! energy and accuracy is the best that can be had for an average of power, so engines that are
//! dearer without being better, or below the hull, make no rung.

use arrayvec::ArrayVec;

use super::costs::Costs;
use crate::engine::{EngineIdx, MAX_ENGINES};

/// One engine as the governor sees it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ability {
    /// Which.
    pub engine: EngineIdx,
    /// Share of right answers, 0..=1, from its profile or manifest; `None` if unknown.
    pub accuracy: Option<f32>,
}

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Ladder {
    rungs: ArrayVec<Rung, MAX_ENGINES>,
}

/// One rung.
#[derive(Clone, Copy, Debug)]
struct Rung {
    /// Engines that may look, a bit each.
    engines: u32,
    /// The dearest of them.
    top: EngineIdx,
    /// Energy of a frame on this rung against one look of `top`: learned, since the policy decides
    /// who looks.
    ratio: f64,
}

/// Rates of frames that are looked at, all cameras together, a second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Rates {
    /// As the cameras deliver.
    pub full: f64,
    /// At least.
    pub least: f64,
}

impl Ladder {
    pub fn new(available: &[Ability], costs: &Costs) -> Self {
        let energy = |engine: EngineIdx| {
            costs.energy_or_guess(engine).map(|energy| energy.0).filter(|energy| energy.is_finite())
        };
        let mut all = 0;
        let mut known: ArrayVec<(f64, Ability), MAX_ENGINES> = ArrayVec::new();
        for ability in available {
            if let Some(energy) =
                energy(ability.engine).filter(|_| usize::from(ability.engine.0) < MAX_ENGINES)
            {
                all |= 1 << ability.engine.0;
                let _ = known.try_push((energy, *ability));
            }
        }
        known.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.engine.cmp(&b.1.engine)));
        let stops = hull(&undominated(&known));
        let mut rungs: ArrayVec<Rung, MAX_ENGINES> = ArrayVec::new();
        let mut engines = 0;
        let useful = undominated(&known);
        for (energy, stop) in &stops {
            for (_, ability) in useful.iter().filter(|(other, _)| other <= energy) {
                engines |= 1 << ability.engine.0;
            }
            rungs.push(Rung { engines, top: stop.engine, ratio: 1.0 });
        }
        if let Some(last) = rungs.last_mut() {
            last.engines = all;
        }
        Self { rungs }
    }

    /// Number of rungs.
    pub fn len(&self) -> usize {
        self.rungs.len()
    }

    /// Engines of rung `k`, 0-based; those of the last one beyond.
    pub fn engines(&self, k: usize) -> u32 {
        self.rungs.get(k).or(self.rungs.last()).map_or(u32::MAX, |rung| rung.engines)
    }

    /// The dearest engine of each rung.
    pub fn tops(&self) -> impl Iterator<Item = EngineIdx> {
        self.rungs.iter().map(|rung| rung.top)
    }

    /// Energies of a frame by rung, J, growing.
    pub fn energies(&self, costs: &Costs) -> ArrayVec<f64, MAX_ENGINES> {
        let mut least = 0.0;
        let mut energies = ArrayVec::new();
        for rung in &self.rungs {
            let look = costs.energy_or_guess(rung.top).map_or(0.0, |energy| energy.0 / 1000.0);
            let energy = (rung.ratio * look).max(least * 1.02 + 1e-6);
            energies.push(energy);
            least = energy;
        }
        energies
    }

    /// Learns from frames at `level` that took `joules` each; `weight` 0..=1 is how much that says.
    pub fn learn(&mut self, level: f64, joules: f64, weight: f64, costs: &Costs) {
        let n = self.rungs.len();
        if level < 1.0 || n == 0 || !joules.is_finite() {
            return;
        }
        let energies = self.energies(costs);
        let low = (level.floor() as usize).clamp(1, n) - 1;
        let high = (low + 1).min(n - 1);
        let share = if high == low { 0.0 } else { level - level.floor() };
        let off = joules - (energies[low] * (1.0 - share) + energies[high] * share);
        let norm = (1.0 - share) * (1.0 - share) + share * share;
        for (at, part) in [(low, 1.0 - share), (high, share)] {
            let look =
                costs.energy_or_guess(self.rungs[at].top).map_or(0.0, |energy| energy.0 / 1000.0);
            if look > 0.0 && part > 0.0 {
                let rung = &mut self.rungs[at];
                rung.ratio = (rung.ratio + weight.clamp(0.0, 1.0) * off * part / norm / look)
                    .clamp(0.02, 8.0);
            }
        }
        self.yield_to(low, high, costs);
    }

    /// Rungs below the ones in use cannot be dearer, those above not cheaper: what was seen counts
    /// more than what was thought.
    fn yield_to(&mut self, low: usize, high: usize, costs: &Costs) {
        let look = |rung: &Rung| {
            costs.energy_or_guess(rung.top).map_or(0.0, |energy| energy.0 / 1000.0).max(1e-9)
        };
        for at in (0..low).rev() {
            let most = 0.95 * self.rungs[at + 1].ratio * look(&self.rungs[at + 1]);
            let own = look(&self.rungs[at]);
            self.rungs[at].ratio = self.rungs[at].ratio.min(most / own);
        }
        for at in high + 1..self.rungs.len() {
            let least = 1.05 * self.rungs[at - 1].ratio * look(&self.rungs[at - 1]);
            let own = look(&self.rungs[at]);
            self.rungs[at].ratio = self.rungs[at].ratio.max(least / own);
        }
    }

    /// The learned ratios, for keeping.
    pub fn ratios(&self) -> impl Iterator<Item = f64> {
        self.rungs.iter().map(|rung| rung.ratio)
    }

    /// Goes on from kept ratios.
    pub fn resume(&mut self, ratios: impl ExactSizeIterator<Item = f64>) {
        if ratios.len() == self.rungs.len() {
            for (rung, ratio) in self.rungs.iter_mut().zip(ratios) {
                rung.ratio = ratio.clamp(0.02, 8.0);
            }
        }
    }
}

/// Energy of a frame at `level`, J; below 1 that of the cheapest rung.
pub(super) fn energy_at(energies: &[f64], level: f64) -> f64 {
    let Some(last) = energies.len().checked_sub(1) else { return 0.0 };
    let at = (level - 1.0).clamp(0.0, last as f64);
    let low = (at.floor() as usize).min(last);
    let high = (low + 1).min(last);
    energies[low] + (energies[high] - energies[low]) * (at - low as f64)
}

/// Highest level with a frame at no more than `joules`, not below 1.
pub(super) fn level_of_energy(energies: &[f64], joules: f64) -> f64 {
    for (at, pair) in energies.windows(2).enumerate() {
        if joules < pair[1] {
            return 1.0 + at as f64 + ((joules - pair[0]) / (pair[1] - pair[0])).clamp(0.0, 1.0);
        }
    }
    energies.len() as f64
}

/// Rate of frames that are looked at, at `level`, a second.
pub(super) fn rate_at(rates: Rates, level: f64) -> f64 {
    if level >= 1.0 {
        rates.full
    } else if level >= 0.0 {
        rates.least + (rates.full - rates.least) * level
    } else {
        rates.least * (1.0 + level.max(-1.0))
    }
}

/// Watts that the looks draw at `level`.
pub(super) fn power_at(energies: &[f64], rates: Rates, level: f64) -> f64 {
    energy_at(energies, level) * rate_at(rates, level)
}

/// Highest level whose looks draw no more than `watts`; -1 at the least.
pub(super) fn level_of_power(energies: &[f64], rates: Rates, watts: f64) -> f64 {
    let cheapest = energies.first().copied().unwrap_or(0.0);
    let (least, full) = (cheapest * rates.least, cheapest * rates.full);
    if rates.full <= 0.0 {
        return energies.len() as f64;
    }
    if watts >= full {
        level_of_energy(energies, watts / rates.full)
    } else if watts >= least && full > least {
        (watts - least) / (full - least)
    } else if least > 0.0 {
        (watts / least - 1.0).clamp(-1.0, 0.0)
    } else {
        0.0
    }
}

/// Those that no cheaper one equals in accuracy. Of unknown accuracy: none is dominated by them,
/// and they by none.
fn undominated(ascending: &[(f64, Ability)]) -> ArrayVec<(f64, Ability), MAX_ENGINES> {
    let mut best = f32::NEG_INFINITY;
    ascending
        .iter()
        .filter(|(_, ability)| match ability.accuracy {
            Some(accuracy) => {
                let better = accuracy > best;
                best = best.max(accuracy);
                better
            }
            None => true,
        })
        .copied()
        .collect()
}

/// Those on the upper hull of accuracy over energy; all, if an accuracy is unknown.
fn hull(useful: &[(f64, Ability)]) -> ArrayVec<(f64, Ability), MAX_ENGINES> {
    let mut kept: ArrayVec<(f64, Ability), MAX_ENGINES> = ArrayVec::new();
    let known = useful.iter().all(|(_, ability)| ability.accuracy.is_some());
    let accuracy = |point: &(f64, Ability)| f64::from(point.1.accuracy.unwrap_or(0.0));
    for point in useful {
        while let [.., a, b] = kept.as_slice() {
            // b is below the line from a to the new point.
            let below = (accuracy(b) - accuracy(a)) * (point.0 - a.0)
                <= (accuracy(point) - accuracy(a)) * (b.0 - a.0);
            if !(known && below) {
                break;
            }
            kept.pop();
        }
        kept.push(*point);
    }
    kept
}

#[cfg(test)]
mod tests;
