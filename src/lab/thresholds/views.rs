//! What is seen of every training frame after certain engines were asked: how near the answer is to right, and how sure it is. One view
//! per set of averaged engines.

use std::collections::HashMap;

use crate::engine::{Answer, score};
use crate::lab::duel::duel;
use crate::lab::logit;
use crate::lab::profile::Profile;
use crate::policy::clues::{CLUES, Clues, Logistic};
use crate::policy::confidence::Score;

/// Engines averaged, one bit each.
pub(super) type Set = u32;

/// Thresholds on one score, and where each frame's score stands among them.
pub(super) struct Grid {
    /// Ascending; none between frames of equal score. The last one lets no training frame pass.
    pub(super) limits: Vec<f32>,
    /// By frame, how many limits its score reaches.
    pub(super) level: Vec<u8>,
    /// What the score `learned` reads.
    pub(super) chance: Option<Logistic>,
}

/// All training frames as seen by one set of engines.
pub(super) struct View {
    /// By frame, [`duel`].
    pub(super) near: Vec<f32>,
    /// In the order of the scores asked for.
    pub(super) grids: Vec<Grid>,
}

impl View {
    /// The view of `set` of `engines` (places in the profile), averaged in their order.
    fn of(profile: &Profile, engines: &[usize], cases: &[usize], set: Set, scores: &[Score], steps: usize) -> Self {
        let members: Vec<_> = engines
            .iter()
            .enumerate()
            .filter(|(place, _)| set >> place & 1 == 1)
            .filter_map(|(_, engine)| profile.engines.get(*engine))
            .collect();
        let (mut own, mut all) = (Answer::default(), Answer::default());
        let (mut near, mut right) = (Vec::with_capacity(cases.len()), Vec::with_capacity(cases.len()));
        let mut plain: Vec<Vec<f32>> = vec![Vec::with_capacity(cases.len()); scores.len()];
        let learns = scores.contains(&Score::Learned);
        let mut clues = Vec::new();
        for case in cases {
            all.clear();
            // An engine that failed adds nothing, as in the daemon.
            let seen = members.iter().filter_map(|column| column.looks.get(*case).copied().flatten());
            for (count, seen) in (1..).zip(seen) {
                seen.tell(&mut own);
                score::absorb(&mut all, &own, count);
            }
            let label = profile.cases.get(*case).map_or(u32::MAX, |shown| shown.label);
            near.push(duel(&all.top[..all.ranked], label) as f32);
            right.push(f64::from(u8::from(all.ranked > 0 && all.top[0].class == label)));
            plain.iter_mut().zip(scores).for_each(|(values, score)| values.push(score.of(&all)));
            if learns {
                let classes = members.iter().filter_map(|column| column.looks.get(*case).copied().flatten()?.class());
                clues.extend(Clues::of(&all, classes).0);
            }
        }
        let grid = |(score, values): (&Score, Vec<f32>)| match score {
            Score::Learned => {
                let mut weights = [0.0; CLUES];
                weights.copy_from_slice(&logit::logistic(&clues, CLUES, &right));
                let chance = Logistic(weights);
                let read = |row: &[f32]| Clues(std::array::from_fn(|at| row[at]));
                let values = clues.chunks_exact(CLUES).map(|row| chance.chance(&read(row))).collect();
                Grid { chance: Some(chance), ..Grid::of(values, steps) }
            }
            _ => Grid::of(values, steps),
        };
        Self { near, grids: scores.iter().zip(plain).map(grid).collect() }
    }
}

impl Grid {
    /// `steps` limits at most, closer together at the low end: most frames left over at a later stage have low scores.
    fn of(scores: Vec<f32>, steps: usize) -> Self {
        let mut ascending = scores.clone();
        ascending.sort_by(f32::total_cmp);
        let mut limits: Vec<f32> = Vec::with_capacity(steps);
        for step in 1..=steps.min(usize::from(u8::MAX)) {
            let share = step as f64 / steps as f64;
            let rank = (share * share * ascending.len() as f64).round() as usize;
            let (Some(below), above) =
                (rank.checked_sub(1).and_then(|rank| ascending.get(rank)), ascending.get(rank).unwrap_or(&1.0))
            else {
                continue;
            };
            let limit = ((f64::from(*below) + f64::from(*above)) * 0.5e6).round() as f32 / 1e6;
            if limit > *below && limit <= *above && limits.last().is_none_or(|last| limit > *last) {
                limits.push(limit);
            }
        }
        let level = scores.iter().map(|score| limits.partition_point(|limit| limit <= score) as u8).collect();
        Self { limits, level, chance: None }
    }
}

/// All views that chains of these engines can need.
pub(super) struct Views(HashMap<Set, View>);

impl Views {
    /// Single engines, and with `average` every set of up to `largest`, of `cases`.
    pub(super) fn new(
        profile: &Profile,
        engines: &[usize],
        cases: &[usize],
        largest: usize,
        (scores, steps): (&[Score], usize),
    ) -> Self {
        let mut views = HashMap::new();
        let mut open: Vec<Set> = vec![0];
        while let Some(set) = open.pop() {
            let above = (Set::BITS - set.leading_zeros()) as usize; // members are added in order: every set is met once
            for grown in (above..engines.len()).map(|engine| set | 1 << engine) {
                views.insert(grown, View::of(profile, engines, cases, grown, scores, steps));
                if (grown.count_ones() as usize) < largest {
                    open.push(grown);
                }
            }
        }
        Self(views)
    }

    pub(super) fn get(&self, set: Set) -> Option<&View> {
        self.0.get(&set)
    }
}
