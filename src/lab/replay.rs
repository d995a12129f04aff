//! Walks profiled frames through the real [`policy::first`] and [`policy::after`]: what the lab
//! reports is what the daemon would do.
//!
//! Pure. Answers come from the profile, averages from [`score::absorb`], as in the daemon.

use std::time::Duration;

use arrayvec::ArrayVec;

use super::duel::duel;
use super::profile::Profile;
use crate::engine::{Answer, LookTimes, TOP, score};
use crate::policy::{
    self, Allowance, Attempts, Choice, LastAnswer, MAX_STEPS, Past, Policy, Reuse, Situation, Step,
    Terms, Verdict,
};

/// What became of one frame.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Walk {
    /// The best classes answered, best first; empty without an answer.
    pub top: ArrayVec<u32, TOP>,
    /// Probability of the best class in the final answer, 0..=1.
    pub confidence: f32,
    /// Engines asked, by their place in the profile, in order.
    pub asked: ArrayVec<u8, MAX_STEPS>,
    /// Of `ms`: what was measured before the first look.
    pub measuring_ms: f64,
    /// Time of the features and of all looks, ms.
    pub ms: f64,
    /// Energy of all looks, mJ; `None` if that of one is unknown.
    pub energy_mj: Option<f64>,
    /// True if the last answer was given again without a look.
    pub reused: bool,
    /// [`duel()`] of the answer, 0..=1: for choosing, not for reports.
    pub near: f64,
}

impl Walk {
    /// True if the best class is `label`.
    pub fn is_right(&self, label: u32) -> bool {
        self.top.first() == Some(&label)
    }

    /// True if `label` is among the best five.
    pub fn is_right5(&self, label: u32) -> bool {
        self.top.contains(&label)
    }

    /// The engine whose answer was the last: the one that the answer is credited to.
    pub fn settled_by(&self) -> Option<usize> {
        self.asked.last().map(|engine| usize::from(*engine))
    }
}

/// Replays frames one after the other through one policy.
pub struct Replay<'p> {
    profile: &'p Profile,
    policy: &'p Policy,
    allowance: Allowance,
    attempts: Attempts,
    own: Answer,
}

impl<'p> Replay<'p> {
    /// `policy` counts engines as `profile` does. Every engine is allowed, there is no deadline.
    pub fn new(profile: &'p Profile, policy: &'p Policy, reuse: Option<Reuse>) -> Self {
        let mut allowance = Allowance { reuse: reuse.or(policy.reuse()), ..Allowance::default() };
        for (slot, engine) in allowance.engines.iter_mut().zip(&profile.engines) {
            let time =
                Duration::try_from_secs_f64(engine.mean_ms / 1000.0).unwrap_or(Duration::MAX);
            *slot = Some(Terms { wait: Duration::ZERO, p50: time, p95: time });
        }
        Self { profile, policy, allowance, attempts: Attempts::default(), own: Answer::default() }
    }

    /// A photo: nothing came before it.
    pub fn photo(&mut self, case: usize) -> Walk {
        self.frame(case, &mut Past::default(), &mut Walk::default())
    }

    /// A frame of a camera that remembers `past` and answered `last` before; both are brought up to
    /// date.
    pub fn frame(&mut self, case: usize, past: &mut Past, last: &mut Walk) -> Walk {
        let mut walk = Walk::default();
        let Some(shown) = self.profile.cases.get(case) else { return walk };
        walk.ms = self.profile.measuring_ms(case, self.policy.reads_features());
        walk.measuring_ms = walk.ms;
        walk.energy_mj = Some(0.0);
        let captured =
            Duration::try_from_secs_f64(shown.at_ms.unwrap_or(0.0) / 1000.0).unwrap_or_default();
        let sequence = case as u64;
        let situation = Situation {
            sequence,
            camera: 0,
            captured,
            features: &shown.features,
            glimpse: &shown.glimpse,
            past,
        };
        self.attempts.steps.clear();
        self.attempts.answer.clear();
        let mut next = match policy::first(self.policy, &situation, &self.allowance) {
            Choice::Ask(engine, why) => Some((engine, why)),
            Choice::Reuse(_) => {
                (walk.top, walk.confidence, walk.near, walk.reused) =
                    (last.top.clone(), last.confidence, last.near, true);
                None
            }
            Choice::Abstain(_) => None,
        };
        while let Some((engine, why)) = next {
            let index = usize::from(engine.0);
            let Some(column) = self.profile.engines.get(index) else { break };
            walk.ms += column.ms(case);
            let seen = column.looks.get(case).copied().flatten();
            // As with the time: where the look was not measured, the engine's mean.
            let energy = seen.and_then(|seen| seen.energy_mj).map(f64::from).or(column.energy_mj);
            walk.energy_mj = walk.energy_mj.zip(energy).map(|(sum, one)| sum + one);
            let mut step = Step {
                engine,
                why,
                answered: seen.is_some(),
                queued: Duration::ZERO,
                times: LookTimes::default(),
                top: Default::default(),
                margin: 0.0,
                entropy: 0.0,
            };
            if let Some(seen) = seen {
                (step.top, step.margin, step.entropy) = (seen.top[0], seen.margin, seen.entropy);
                let earlier =
                    if self.policy.averages() { self.attempts.answers() as u32 } else { 0 };
                seen.tell(&mut self.own);
                score::absorb(&mut self.attempts.answer, &self.own, earlier + 1);
            }
            if walk.asked.try_push(engine.0).is_err() || self.attempts.steps.try_push(step).is_err()
            {
                break; // not reached: policies end within MAX_STEPS
            }
            next = match policy::after(self.policy, &self.attempts, &self.allowance) {
                Verdict::Escalate(engine, why) => Some((engine, why)),
                verdict @ Verdict::Accept(_) => {
                    let answer = &self.attempts.answer;
                    walk.top = answer
                        .top
                        .iter()
                        .take(answer.ranked.min(TOP))
                        .map(|top| top.class)
                        .collect();
                    walk.confidence = answer.top.first().map_or(0.0, |top| top.probability);
                    walk.near =
                        duel(&answer.top[..answer.ranked.min(answer.top.len())], shown.label);
                    past.last = Some(LastAnswer {
                        top: answer.top[0],
                        margin: answer.margin,
                        entropy: answer.entropy,
                        engine,
                        sure: verdict.is_sure(),
                        glimpse: shown.glimpse,
                        sequence,
                        captured,
                    });
                    None
                }
                Verdict::Abstain(_) => None,
            };
        }
        if !walk.top.is_empty() {
            last.clone_from(&walk);
        }
        walk
    }
}

/// Every case of `cases` through `policy`: photos each on their own, frames of a stream one after
/// the other, beginning anew without a past.
pub fn replay(
    profile: &Profile,
    policy: &Policy,
    reuse: Option<Reuse>,
    cases: &[usize],
) -> Vec<Walk> {
    let mut replay = Replay::new(profile, policy, reuse);
    let (mut past, mut last) = (Past::default(), Walk::default());
    cases
        .iter()
        .map(|case| {
            let lives_on = profile.cases.get(*case).is_some_and(|shown| shown.at_ms.is_some());
            if lives_on { replay.frame(*case, &mut past, &mut last) } else { replay.photo(*case) }
        })
        .collect()
}
