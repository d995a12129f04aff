//! What is seen of every photo after certain engines were asked: right or not, and how sure. One view per set of averaged engines.

use std::collections::HashMap;

use super::bits::Bits;
use crate::lab::Observations;
use crate::policy::confidence::Score;

/// Engines averaged, one bit each.
pub(super) type Set = u32;

/// All photos as seen by one set of engines.
pub(super) struct View {
    /// Photos whose best class is the right one.
    pub(super) right: Bits,
    /// Per score, by photo.
    scores: [Vec<f32>; Score::ALL.len()],
}

/// A threshold and the photos whose score reaches it.
pub(super) struct Cut {
    pub(super) limit: f32,
    pub(super) accepts: Bits,
}

impl View {
    /// The view of `set`, averaged.
    fn of(observations: &Observations, set: Set) -> Self {
        let members: Vec<usize> = (0..observations.engines.len()).filter(|engine| set >> engine & 1 == 1).collect();
        let mut sums = Vec::new();
        let answers: Vec<_> =
            (0..observations.photos()).map(|photo| observations.answer(&members, true, photo, &mut sums)).collect();
        Self {
            right: Bits::collect(answers.len(), |photo| answers[photo].top[0].class == observations.labels[photo]),
            scores: Score::ALL.map(|score| answers.iter().map(|answer| score.of(answer)).collect()),
        }
    }

    /// Thresholds between the scores of the `training` photos, closer together at the low end: most photos left over at a later stage
    /// have low scores. `steps` at most; the last one accepts none of them.
    pub(super) fn cuts(&self, score: Score, training: &Bits, steps: usize) -> Vec<Cut> {
        let scores = &self.scores[score as usize];
        let mut ascending: Vec<f32> = (0..scores.len()).filter(|photo| training.holds(*photo)).map(|photo| scores[photo]).collect();
        ascending.sort_by(f32::total_cmp);
        let mut cuts: Vec<Cut> = Vec::with_capacity(steps);
        for step in 1..=steps {
            let share = step as f64 / steps as f64;
            let rank = (share * share * ascending.len() as f64).round() as usize;
            let (Some(below), above) =
                (rank.checked_sub(1).and_then(|rank| ascending.get(rank)), ascending.get(rank).unwrap_or(&1.0))
            else {
                continue;
            };
            let limit = ((f64::from(*below) + f64::from(*above)) * 0.5e6).round() as f32 / 1e6;
            if limit > *below && limit <= *above && cuts.last().is_none_or(|last| limit > last.limit) {
                cuts.push(Cut { limit, accepts: Bits::collect(scores.len(), |photo| scores[photo] >= limit) });
            }
        }
        cuts
    }
}

/// All views that chains of these engines can need.
pub(super) struct Views(HashMap<Set, View>);

impl Views {
    /// Single engines, and with `average` every set of up to `largest`.
    pub(super) fn new(observations: &Observations, average: bool, largest: usize) -> Self {
        let largest = if average { largest } else { 1 };
        let engines = observations.engines.len();
        let mut views = HashMap::new();
        let mut open: Vec<Set> = vec![0];
        while let Some(set) = open.pop() {
            let above = (Set::BITS - set.leading_zeros()) as usize; // members are added in order: every set is met once
            for grown in (above..engines).map(|engine| set | 1 << engine) {
                views.insert(grown, View::of(observations, grown));
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

    pub(super) fn sets(&self) -> impl Iterator<Item = (Set, &View)> {
        self.0.iter().map(|(set, view)| (*set, view))
    }
}
