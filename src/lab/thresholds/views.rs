//! What is seen of every frame after certain engines were asked: how near the answer is to right,
//! and how sure it is. One view per set of averaged engines.
//!
//! Views do not depend on which frames are trained on, so they are made once for all folds and
//! remembered; thresholds are made anew of the training frames each time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use crate::engine::{Answer, score};
use crate::lab::duel::duel;
use crate::lab::logit;
use crate::lab::profile::Profile;
use crate::policy::clues::{CLUES, Clues, Logistic};
use crate::policy::confidence::Score;
use crate::stats::splitmix64;

/// Most kinds of views that are remembered at a time.
const KEYS: usize = 3;

/// Engines averaged, one bit each.
pub(super) type Set = u32;
/// Most values (frames times sets) that are remembered: some tens of megabytes.
const REMEMBERED: usize = 4_000_000;

/// Thresholds on one score, and where each training frame's score stands among them.
pub(super) struct Grid {
    /// Ascending; none between frames of equal score. The last one lets no training frame pass.
    pub(super) limits: Vec<f32>,
    /// By frame, how many limits its score reaches.
    pub(super) level: Vec<u8>,
    /// What the score `learned` reads.
    pub(super) chance: Option<Logistic>,
}

/// The training frames as seen by one set of engines.
pub(super) struct View {
    /// By frame, [`duel`].
    pub(super) near: Vec<f32>,
    /// In the order of the scores asked for.
    pub(super) grids: Vec<Grid>,
}

/// One set's view of some frames, whatever is trained on.
struct Seen {
    near: Vec<f32>,
    right: Vec<bool>,
    /// By score; for `Learned` empty.
    scores: Vec<Vec<f32>>,
    /// By frame, if a score is `Learned`.
    clues: Vec<Clues>,
}

impl Seen {
    /// `set` of `engines` (places in the profile), averaged in their order.
    fn of(
        profile: &Profile,
        engines: &[usize],
        cases: &[usize],
        set: Set,
        scores: &[Score],
    ) -> Self {
        let members: Vec<_> = engines
            .iter()
            .enumerate()
            .filter(|(place, _)| set >> place & 1 == 1)
            .filter_map(|(_, engine)| profile.engines.get(*engine))
            .collect();
        let (mut own, mut all) = (Answer::default(), Answer::default());
        let mut view = Self {
            near: Vec::new(),
            right: Vec::new(),
            scores: vec![Vec::new(); scores.len()],
            clues: Vec::new(),
        };
        for case in cases {
            all.clear();
            // An engine that failed adds nothing, as in the daemon.
            let seen =
                || members.iter().filter_map(|column| column.looks.get(*case).copied().flatten());
            for (count, seen) in (1..).zip(seen()) {
                seen.tell(&mut own);
                score::absorb(&mut all, &own, count);
            }
            let label = profile.cases.get(*case).map_or(u32::MAX, |shown| shown.label);
            view.near.push(duel(&all.top[..all.ranked], label) as f32);
            view.right.push(all.ranked > 0 && all.top[0].class == label);
            for (values, score) in view.scores.iter_mut().zip(scores) {
                match score {
                    Score::Learned => {
                        view.clues.push(Clues::of(&all, seen().filter_map(|seen| seen.class())))
                    }
                    plain => values.push(plain.of(&all)),
                }
            }
        }
        view
    }

    /// Of the frames at `places`, with thresholds made for them.
    fn view(&self, places: &[usize], scores: &[Score], steps: usize) -> View {
        let grid = |(score, values): (&Score, &Vec<f32>)| match score {
            Score::Learned => {
                let rows: Vec<f32> = places.iter().flat_map(|place| self.clues[*place].0).collect();
                let right: Vec<f64> =
                    places.iter().map(|place| f64::from(u8::from(self.right[*place]))).collect();
                let mut weights = [0.0; CLUES];
                weights.copy_from_slice(&logit::logistic(&rows, CLUES, &right));
                let chance = Logistic(weights);
                let values =
                    places.iter().map(|place| chance.chance(&self.clues[*place])).collect();
                Grid { chance: Some(chance), ..Grid::of(values, steps) }
            }
            _ => Grid::of(places.iter().map(|place| values[*place]).collect(), steps),
        };
        View {
            near: places.iter().map(|place| self.near[*place]).collect(),
            grids: scores.iter().zip(&self.scores).map(grid).collect(),
        }
    }
}

impl Grid {
    /// `steps` limits at most, closer together at the low end: most frames left over at a later
    /// stage have low scores.
    fn of(scores: Vec<f32>, steps: usize) -> Self {
        let mut ascending = scores.clone();
        ascending.sort_by(f32::total_cmp);
        let mut limits: Vec<f32> = Vec::with_capacity(steps);
        for step in 1..=steps.min(usize::from(u8::MAX)) {
            let share = step as f64 / steps as f64;
            let rank = (share * share * ascending.len() as f64).round() as usize;
            let (Some(below), above) = (
                rank.checked_sub(1).and_then(|rank| ascending.get(rank)),
                ascending.get(rank).unwrap_or(&1.0),
            ) else {
                continue;
            };
            let limit = ((f64::from(*below) + f64::from(*above)) * 0.5e6).round() as f32 / 1e6;
            if limit > *below && limit <= *above && limits.last().is_none_or(|last| limit > *last) {
                limits.push(limit);
            }
        }
        let level = scores
            .iter()
            .map(|score| limits.partition_point(|limit| limit <= score) as u8)
            .collect();
        Self { limits, level, chance: None }
    }
}

/// All views that chains of these engines can need.
pub(super) struct Views(HashMap<Set, View>);

impl Views {
    /// Single engines, and sets of up to `largest`, of the frames `training`. What `memory` knows
    /// of this profile, engines and scores is used again.
    pub(super) fn new(
        profile: &Profile,
        engines: &[usize],
        training: &[usize],
        largest: usize,
        (scores, steps): (&[Score], usize),
        memory: &Memory,
    ) -> Self {
        let sets = sets(engines.len(), largest);
        let frames = profile.cases.len();
        if frames * sets.len() > REMEMBERED {
            let all: Vec<usize> = (0..training.len()).collect();
            let view = |set: &Set| {
                (*set, Seen::of(profile, engines, training, *set, scores).view(&all, scores, steps))
            };
            return Self(sets.iter().map(view).collect());
        }
        let all: Vec<usize> = (0..frames).collect();
        let key = (fingerprint(profile), engines.to_vec(), largest, scores.to_vec());
        let make = || {
            sets.iter().map(|set| (*set, Seen::of(profile, engines, &all, *set, scores))).collect()
        };
        let seen = memory.recall(key, make);
        Self(seen.iter().map(|(set, seen)| (*set, seen.view(training, scores, steps))).collect())
    }

    pub(super) fn get(&self, set: Set) -> Option<&View> {
        self.0.get(&set)
    }
}

/// Every set of one to `largest` engines.
fn sets(engines: usize, largest: usize) -> Vec<Set> {
    let (mut sets, mut open): (Vec<Set>, Vec<Set>) = (Vec::new(), vec![0]);
    while let Some(set) = open.pop() {
        let above = (Set::BITS - set.leading_zeros()) as usize; // members are added in order: every set is met once
        for grown in (above..engines).map(|engine| set | 1 << engine) {
            sets.push(grown);
            if (grown.count_ones() as usize) < largest {
                open.push(grown);
            }
        }
    }
    sets
}

/// A number that follows from all labels and answers.
fn fingerprint(profile: &Profile) -> u64 {
    let labels = profile.cases.iter().map(|case| u64::from(case.label));
    let looks = profile.engines.iter().flat_map(|column| &column.looks).map(|look| {
        look.map_or(1, |seen| {
            (u64::from(seen.top[0].class) << 32) | u64::from(seen.top[0].probability.to_bits())
        })
    });
    labels.chain(looks).fold(0, |sum, value| splitmix64(sum ^ value))
}

type Key = (u64, Vec<usize>, usize, Vec<Score>);
type AllSeen = Vec<(Set, Seen)>;
type Held = Vec<(Key, Arc<AllSeen>)>;

/// The views last made, shared by all that were cloned from one another. Not part of what a learner
/// is.
#[derive(Clone, Default)]
pub(in crate::lab) struct Memory(Arc<Mutex<Held>>);

impl Memory {
    fn recall(&self, key: Key, make: impl FnOnce() -> AllSeen) -> Arc<AllSeen> {
        let mut held = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some((_, seen)) = held.iter().find(|held| held.0 == key) {
            return Arc::clone(seen);
        }
        let seen = Arc::new(make());
        if held.len() == KEYS {
            held.remove(0);
        }
        held.push((key, Arc::clone(&seen)));
        seen
    }
}

impl PartialEq for Memory {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl std::fmt::Debug for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Memory")
    }
}
