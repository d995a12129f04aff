//! Finds the best chain and thresholds on a set of training photos, exhaustively over structures and a grid of thresholds.
//!
//! Fast because photos are bits and branches are cut: a chain is given up as soon as its time reaches the best one's, or as soon as even
//! a perfect rest of the chain would not be right often enough. That it decides as [`crate::policy`] does is tested next door.

use std::collections::HashMap;

use super::bits::Bits;
use super::views::{Cut, Set, Views};
use crate::policy::MAX_STEPS;
use crate::policy::confidence::Score;

/// A chain with its thresholds: engine by index, and from which score on its answer stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Structure {
    /// In the order of asking; the last one has no threshold.
    pub stages: Vec<(usize, Option<f32>)>,
    /// Whether answers are averaged.
    pub average: bool,
    /// What is held against the thresholds.
    pub score: Score,
}

/// The best one so far, and what it does on the training photos.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Found {
    pub(super) structure: Structure,
    pub(super) right: u32,
    /// Summed over the photos, ms.
    pub(super) time: f64,
}

/// What counts as better.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Aim {
    /// Least time with at least so many right.
    Fastest { right: u32 },
    /// Most right within so many ms, summed over the photos.
    MostRight { time: f64 },
}

/// The grids of one way of averaging and scoring.
struct Grids<'v> {
    views: &'v Views,
    cuts: HashMap<Set, Vec<Cut>>,
    average: bool,
    score: Score,
}

/// One search.
struct Search<'s> {
    /// How often each engine is right alone, if chains must rise.
    ranks: Option<&'s [u32]>,
    times: &'s [f64],
    grids: &'s Grids<'s>,
    aim: Aim,
    best: Option<Found>,
    /// Per depth, the photos still open.
    open: Vec<Bits>,
    /// Per depth, the photos that this stage or a later one gets right.
    hope: Vec<Bits>,
    limits: [f32; MAX_STEPS],
}

/// What to search.
pub(super) struct Space<'s> {
    /// Mean time of each engine, ms.
    pub(super) times: &'s [f64],
    /// With averages, if any combination averages.
    pub(super) views: &'s Views,
    pub(super) averages: &'s [bool],
    pub(super) scores: &'s [Score],
    pub(super) stages: usize,
    pub(super) steps: usize,
    /// Only chains in which each engine is alone right at least as often as the one before.
    pub(super) rising: bool,
}

/// The best chain on `training` under `aim`; `None` if none will do.
pub(super) fn search(space: &Space, training: &Bits, aim: Aim) -> Option<Found> {
    let times = space.times;
    let alone = |engine: usize| space.views.get(1 << engine).map_or(0, |view| view.right.count_and(training));
    let ranks: Vec<u32> = (0..times.len()).map(alone).collect();
    let ranks = Some(ranks.as_slice()).filter(|_| space.rising);
    let mut all_grids = Vec::new();
    for &average in space.averages {
        for &score in space.scores {
            let needed = space.views.sets().filter(|(set, _)| average || set.count_ones() == 1);
            let cuts = needed.map(|(set, view)| (set, view.cuts(score, training, space.steps))).collect();
            all_grids.push(Grids { views: space.views, cuts, average, score });
        }
    }
    let mut best = None;
    for length in 1..=space.stages.min(times.len()) {
        for grids in &all_grids {
            let blank = vec![training.clone(); length];
            let mut search = Search { ranks, times, grids, aim, best, open: blank.clone(), hope: blank, limits: [1.0; MAX_STEPS] };
            search.chains(&mut Vec::with_capacity(length), length);
            best = search.best;
        }
    }
    best
}

impl Search<'_> {
    /// All orders of `length` different engines that begin with `chain`; with averages only those from cheap to dear.
    fn chains(&mut self, chain: &mut Vec<usize>, length: usize) {
        if chain.len() == length {
            return self.chain(chain);
        }
        for engine in 0..self.times.len() {
            let rises = |ranks: &[u32]| chain.last().is_none_or(|before| ranks[*before] <= ranks[engine]);
            // Averages were made in the order of the engines, which is that of time, and the daemon makes them in that of asking.
            let in_order = !self.grids.average || chain.last().is_none_or(|before| *before < engine);
            if !chain.contains(&engine) && in_order && self.ranks.is_none_or(rises) {
                chain.push(engine);
                self.chains(chain, length);
                chain.pop();
            }
        }
    }

    /// What is seen when the stages up to `depth` have answered.
    fn set(&self, chain: &[usize], depth: usize) -> Set {
        let counted = if self.grids.average { chain.get(..=depth) } else { chain.get(depth..=depth) };
        counted.unwrap_or_default().iter().fold(0, |set, engine| set | 1 << engine)
    }

    /// All thresholds of one chain.
    fn chain(&mut self, chain: &[usize]) {
        let Some(total) = self.open.first().map(Bits::count) else { return };
        let time = f64::from(total) * self.times[chain[0]];
        for depth in (0..chain.len()).rev() {
            let Some(view) = self.grids.views.get(self.set(chain, depth)) else { return };
            self.hope[depth] = match self.hope.get(depth + 1) {
                Some(later) => view.right.or(later),
                None => view.right.clone(),
            };
        }
        if self.too_slow(time) || self.too_wrong(self.open[0].count_and(&self.hope[0])) {
            return;
        }
        self.stage(chain, 0, 0, time);
    }

    /// All thresholds from stage `depth` on, with `right` answers accepted before and `time` for all looks up to this stage's.
    fn stage(&mut self, chain: &[usize], depth: usize, right: u32, time: f64) {
        let set = self.set(chain, depth);
        let grids = self.grids;
        let (Some(view), Some(cuts)) = (grids.views.get(set), grids.cuts.get(&set)) else { return };
        if depth + 1 == chain.len() {
            let right = right + self.open[depth].count_and(&view.right);
            if !self.too_wrong(right) {
                self.keep(chain, right, time);
            }
            return;
        }
        let mut left_before = None;
        for cut in cuts {
            let (asked, rest) = self.open.split_at_mut(depth + 1);
            let (Some(all), Some(rest)) = (asked.last(), rest.first_mut()) else { return };
            let hits = rest.leave(all, &cut.accepts, &view.right);
            let left = rest.count();
            if left_before.replace(left) == Some(left) {
                continue; // the same photos as with the threshold before
            }
            let time = time + f64::from(left) * self.times[chain[depth + 1]];
            if self.too_slow(time) {
                break; // higher thresholds leave more photos
            }
            if self.too_wrong(right + hits + self.open[depth + 1].count_and(&self.hope[depth + 1])) {
                continue;
            }
            self.limits[depth] = cut.limit;
            self.stage(chain, depth + 1, right + hits, time);
        }
    }

    /// Nothing with this much time can be better than the best.
    fn too_slow(&self, time: f64) -> bool {
        match (self.aim, &self.best) {
            (Aim::Fastest { .. }, Some(best)) => time >= best.time,
            (Aim::Fastest { .. }, None) => false,
            (Aim::MostRight { time: limit }, _) => time > limit,
        }
    }

    /// Nothing with so few right answers can be better than the best.
    fn too_wrong(&self, right: u32) -> bool {
        match (self.aim, &self.best) {
            (Aim::Fastest { right: needed }, _) => right < needed,
            (Aim::MostRight { .. }, Some(best)) => right <= best.right,
            (Aim::MostRight { .. }, None) => false,
        }
    }

    fn keep(&mut self, chain: &[usize], right: u32, time: f64) {
        let last = chain.len() - 1;
        let stages =
            chain.iter().enumerate().map(|(depth, engine)| (*engine, Some(self.limits[depth]).filter(|_| depth < last))).collect();
        // A single engine has nothing to average.
        let average = self.grids.average && last > 0;
        self.best = Some(Found { structure: Structure { stages, average, score: self.grids.score }, right, time });
    }
}
