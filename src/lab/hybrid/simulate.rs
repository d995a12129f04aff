//! What is known of every training frame once any set of engines has answered, and where it ends
//! under the states' chances.

use crate::engine::{Answer, score};
use crate::lab::profile::Profile;
use crate::policy::clues::Clues;
use crate::policy::hybrid::State;

/// All training frames once a set of engines has answered.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    pub(super) clues: Vec<Clues>,
    pub(super) right: Vec<bool>,
}

/// The engines of a policy and what they know of the training frames.
pub(super) struct Pool {
    /// By place: place in the profile, mean time in ms.
    engines: Vec<(usize, f64)>,
    /// By set of places.
    known: Vec<Known>,
    frames: usize,
}

impl Pool {
    /// `engines`: places in the profile, cheapest first, few.
    pub(super) fn of(profile: &Profile, engines: &[usize], training: &[usize]) -> Self {
        let mut known = vec![Known::default(); 1 << engines.len()];
        let (mut own, mut all) = (Answer::default(), Answer::default());
        for (set, known) in known.iter_mut().enumerate() {
            for case in training {
                all.clear();
                let members = (0..engines.len()).filter(|place| set >> place & 1 == 1);
                let seen = || {
                    members.clone().filter_map(|place| {
                        profile.engines[engines[place]].looks.get(*case).copied().flatten()
                    })
                };
                for (count, seen) in (1..).zip(seen()) {
                    seen.tell(&mut own);
                    score::absorb(&mut all, &own, count);
                }
                known.clues.push(Clues::of(&all, seen().filter_map(|seen| seen.class())));
                let label = profile.cases.get(*case).map_or(u32::MAX, |shown| shown.label);
                known.right.push(all.ranked > 0 && all.top[0].class == label);
            }
        }
        let engines =
            engines.iter().map(|engine| (*engine, profile.engines[*engine].mean_ms)).collect();
        Self { engines, known, frames: training.len() }
    }

    pub(super) fn len(&self) -> usize {
        self.engines.len()
    }

    /// Place in the profile.
    pub(super) fn index(&self, place: usize) -> usize {
        self.engines[place].0
    }

    /// Mean time, ms.
    pub(super) fn ms(&self, place: usize) -> f64 {
        self.engines[place].1
    }

    pub(super) fn known(&self, asked: u8) -> &Known {
        &self.known[usize::from(asked)]
    }

    /// By frame, if its final answer is right and how long all looks take, ms, when the engine at
    /// `first` is asked first and others as long as they are worth their time.
    pub(super) fn ends(&self, states: &[State], first: usize, price: f32) -> Vec<(bool, f64)> {
        let end = |frame: usize| {
            let (mut asked, mut ms) = (1u8 << first, self.ms(first));
            while let Some(state) = states.iter().find(|state| state.asked == asked) {
                let clues = &self.known(asked).clues[frame];
                let right = state.right.chance(clues);
                let net = |place: usize| {
                    let gain = state.then.get(place)?.as_ref()?.chance(clues) - right;
                    Some((place, gain - price * self.ms(place) as f32))
                };
                let best = (0..self.len())
                    .filter_map(net)
                    .reduce(|held, next| if next.1 > held.1 { next } else { held });
                let Some((place, _)) = best.filter(|best| best.1 > 0.0) else { break };
                asked |= 1 << place;
                ms += self.ms(place);
            }
            (self.known(asked).right[frame], ms)
        };
        (0..self.frames).map(end).collect()
    }
}
