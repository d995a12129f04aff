//! Finds the best chain and thresholds on training frames, exhaustively over structures and a grid
//! of thresholds.
//!
//! Of each chain one table is made: how many frames stand at which levels of the stages' scores,
//! and how near to right their answers would be. All thresholds are then read off its running sums,
//! so that a chain costs one pass over the frames. That a policy decides as promised here is tested
//! next door, by replaying it.

use super::views::{Set, Views};
use crate::policy::MAX_STEPS;
use crate::policy::clues::Logistic;

/// A stage: engine by index, from which score on its answer stands (the last one's always does),
/// and what a learned score reads.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Stage {
    pub(super) engine: usize,
    pub(super) accept_above: Option<f32>,
    pub(super) chance: Option<Logistic>,
}

/// The best one so far, and what it does on the training frames.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Found {
    pub(super) stages: Vec<Stage>,
    /// Whether answers are averaged.
    pub(super) average: bool,
    /// Place of the score among those asked for.
    pub(super) score: usize,
    /// Summed over the frames.
    pub(super) near: f64,
    /// Summed over the frames, ms.
    pub(super) time: f64,
}

/// What to search.
pub(super) struct Space<'s> {
    /// Mean time of each engine, ms, ascending.
    pub(super) times: &'s [f64],
    /// With averages, if any combination averages.
    pub(super) views: &'s Views,
    pub(super) averages: &'s [bool],
    /// How many scores the views have.
    pub(super) scores: usize,
    pub(super) stages: usize,
    /// Only chains in which each engine is alone at least as near to right as the one before.
    pub(super) rising: bool,
    /// Training frames.
    pub(super) frames: usize,
}

/// For each of the `budgets` (ms in sum, ascending) the chain that is nearest to right within it;
/// `None` where none is that quick.
pub(super) fn search(space: &Space, budgets: &[f64]) -> Vec<Option<Found>> {
    let alone = |engine: usize| {
        space
            .views
            .get(1 << engine)
            .map_or(0.0, |view| view.near.iter().map(|near| f64::from(*near)).sum::<f64>())
    };
    let ranks: Vec<f64> = (0..space.times.len()).map(alone).collect();
    let best = vec![None; budgets.len()];
    let mut search =
        Search { space, ranks, budgets, best, limits: [1.0; MAX_STEPS], average: false, score: 0 };
    for length in 1..=space.stages.min(space.times.len()).min(MAX_STEPS) {
        for &average in space.averages {
            for score in 0..space.scores {
                (search.average, search.score) = (average, score);
                search.chains(&mut Vec::with_capacity(length), length);
            }
        }
    }
    // What fits a budget fits every larger one.
    let mut held: Option<Found> = None;
    for best in &mut search.best {
        match best {
            Some(found) if held.as_ref().is_none_or(|held| found.near > held.near) => {
                held = Some(found.clone())
            }
            _ => best.clone_from(&held),
        }
    }
    search.best
}

struct Search<'s> {
    space: &'s Space<'s>,
    /// How near to right each engine is alone, in sum.
    ranks: Vec<f64>,
    budgets: &'s [f64],
    /// By budget, of the chains that fit it and not the one before.
    best: Vec<Option<Found>>,
    limits: [f32; MAX_STEPS],
    average: bool,
    score: usize,
}

impl Search<'_> {
    /// All orders of `length` different engines that begin with `chain`; with averages only those
    /// from cheap to dear.
    fn chains(&mut self, chain: &mut Vec<usize>, length: usize) {
        if chain.len() == length {
            return self.chain(chain);
        }
        for engine in 0..self.space.times.len() {
            let rises = !self.space.rising
                || chain.last().is_none_or(|before| self.ranks[*before] <= self.ranks[engine]);
            // Averages were made in the order of the engines, which is that of time, and the daemon
            // makes them in that of asking.
            let in_order = !self.average || chain.last().is_none_or(|before| *before < engine);
            if !chain.contains(&engine) && in_order && rises {
                chain.push(engine);
                self.chains(chain, length);
                chain.pop();
            }
        }
    }

    /// What is seen when the stages up to `depth` have answered.
    fn set(&self, chain: &[usize], depth: usize) -> Set {
        let counted = if self.average { chain.get(..=depth) } else { chain.get(depth..=depth) };
        counted.unwrap_or_default().iter().fold(0, |set, engine| set | 1 << engine)
    }

    /// All thresholds of one chain.
    fn chain(&mut self, chain: &[usize]) {
        let frames = self.space.frames;
        let time = frames as f64 * self.space.times[chain[0]];
        if self.too_slow(time) {
            return;
        }
        let views = self.space.views;
        let Some(seen) = (0..chain.len())
            .map(|depth| views.get(self.set(chain, depth)))
            .collect::<Option<Vec<_>>>()
        else {
            return;
        };
        // Cells by the levels of all stages but the last, the first stage's outermost; in each the
        // sums of nearness by stage, and frames.
        let (width, last) = (chain.len() + 1, chain.len() - 1);
        let grids: Vec<_> = seen[..last].iter().map(|view| &view.grids[self.score]).collect();
        let mut table =
            vec![0.0; width * grids.iter().map(|grid| grid.limits.len() + 1).product::<usize>()];
        for frame in 0..frames {
            let cell = grids.iter().fold(0, |cell, grid| {
                cell * (grid.limits.len() + 1) + usize::from(grid.level[frame])
            });
            let sums = &mut table[cell * width..(cell + 1) * width];
            sums.iter_mut().zip(&seen).for_each(|(sum, view)| *sum += f64::from(view.near[frame]));
            sums[width - 1] += 1.0;
        }
        let limits: Vec<&[f32]> = grids.iter().map(|grid| grid.limits.as_slice()).collect();
        self.stage(chain, &limits, &table, 0, 0.0, time);
    }

    /// All thresholds from stage `depth` on. `table`: the frames still open; `near`: of those
    /// accepted before; `time`: of all looks up to this stage's.
    fn stage(
        &mut self,
        chain: &[usize],
        limits: &[&[f32]],
        table: &[f64],
        depth: usize,
        near: f64,
        time: f64,
    ) {
        let width = chain.len() + 1;
        if depth + 1 == chain.len() {
            return self.keep(chain, near + table[depth], time);
        }
        let slice = table.len() / (limits[depth].len() + 1);
        let sum = |cells: &[f64], what: usize| {
            cells.chunks_exact(width).map(|cell| cell[what]).sum::<f64>()
        };
        let mut open = vec![0.0; slice];
        let (mut accepted, mut left) = (sum(table, depth), 0.0);
        for (cells, limit) in table.chunks_exact(slice).zip(limits[depth]) {
            open.iter_mut().zip(cells).for_each(|(open, cell)| *open += cell);
            accepted -= sum(cells, depth);
            let more = sum(cells, width - 1);
            left += more;
            let time = time + left * self.space.times[chain[depth + 1]];
            if self.too_slow(time) {
                break; // higher thresholds leave more frames
            }
            if more > 0.0 {
                self.limits[depth] = *limit;
                self.stage(chain, limits, &open, depth + 1, near + accepted, time);
            }
        }
    }

    /// Nothing with this much time fits any budget.
    fn too_slow(&self, time: f64) -> bool {
        self.budgets.last().is_none_or(|budget| time > *budget)
    }

    fn keep(&mut self, chain: &[usize], near: f64, time: f64) {
        let budget = self.budgets.partition_point(|budget| *budget < time);
        if self
            .best
            .get(budget)
            .is_none_or(|best| best.as_ref().is_some_and(|best| near <= best.near + 1e-9))
        {
            return;
        }
        let last = chain.len() - 1;
        let chance = |depth: usize| {
            self.space.views.get(self.set(chain, depth))?.grids.get(self.score)?.chance
        };
        let stage = |(depth, engine): (usize, &usize)| {
            let asks_on = depth < last;
            let accept_above = asks_on.then(|| self.limits[depth]);
            Stage {
                engine: *engine,
                accept_above,
                chance: asks_on.then(|| chance(depth)).flatten(),
            }
        };
        let stages = chain.iter().enumerate().map(stage).collect();
        // A single engine has nothing to average.
        self.best[budget] = Some(Found {
            stages,
            average: self.average && last > 0,
            score: self.score,
            near,
            time,
        });
    }
}
