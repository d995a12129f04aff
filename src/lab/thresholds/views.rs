//! What is seen of every photo after certain engines were asked: right or not, and how sure. One view per set of averaged engines.

use std::collections::HashMap;

use super::bits::Bits;
use crate::engine::{Answer, score};
use crate::lab::profile::Profile;
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
    /// The view of `set` of `engines` (places in the profile), averaged in their order.
    fn of(profile: &Profile, engines: &[usize], cases: &[usize], set: Set) -> Self {
        let members: Vec<_> = engines
            .iter()
            .enumerate()
            .filter(|(place, _)| set >> place & 1 == 1)
            .filter_map(|(_, engine)| profile.engines.get(*engine))
            .collect();
        let (mut own, mut all) = (Answer::default(), Answer::default());
        let answers = cases.iter().map(|case| {
            all.clear();
            // An engine that failed adds nothing, as in the daemon.
            let seen = members.iter().filter_map(|column| column.looks.get(*case).copied().flatten());
            for (count, seen) in (1..).zip(seen) {
                seen.tell(&mut own);
                score::absorb(&mut all, &own, count);
            }
            let right = all.ranked > 0 && profile.cases.get(*case).is_some_and(|shown| shown.label == all.top[0].class);
            (right, Score::ALL.map(|score| score.of(&all)))
        });
        let answers: Vec<_> = answers.collect();
        Self {
            right: Bits::collect(answers.len(), |photo| answers[photo].0),
            scores: Score::ALL.map(|score| answers.iter().map(|answer| answer.1[score as usize]).collect()),
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
    /// Single engines, and with `average` every set of up to `largest`, of `cases`.
    pub(super) fn new(profile: &Profile, engines: &[usize], cases: &[usize], average: bool, largest: usize) -> Self {
        let largest = if average { largest } else { 1 };
        let mut views = HashMap::new();
        let mut open: Vec<Set> = vec![0];
        while let Some(set) = open.pop() {
            let above = (Set::BITS - set.leading_zeros()) as usize; // members are added in order: every set is met once
            for grown in (above..engines.len()).map(|engine| set | 1 << engine) {
                views.insert(grown, View::of(profile, engines, cases, grown));
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
