//! What is known of an answer, as a few numbers, and the chance of being right that follows from
//! them. Pure.
//!
//! Used by the score `learned` of kind `confidence` and by kind `hybrid`. The lab fits the weights
//! on the very same numbers.

use super::Attempts;
use crate::engine::Answer;

/// How many clues there are.
pub const CLUES: usize = 5;

/// Names of the clues, in order, as docs/reference/policy-files.md has them.
pub const CLUE_NAMES: [&str; CLUES] = ["one", "sureness", "margin", "entropy", "agreement"];

/// Probabilities are held this far from 0 and 1 before the logarithm is taken.
const EDGE: f32 = 1e-4;

/// The clues: 1; the log-odds of the highest probability; the margin; the entropy; the share of the
/// engines asked so far whose own best class is that of the answer.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Clues(pub [f32; CLUES]);

impl Clues {
    /// Of an answer that came of engines whose own best classes were `classes`. Every clue is
    /// finite.
    pub fn of(answer: &Answer, classes: impl IntoIterator<Item = u32>) -> Self {
        let finite = |value: f32| if value.is_finite() { value.clamp(0.0, 1.0) } else { 0.0 };
        let best = if answer.ranked > 0 { finite(answer.top[0].probability) } else { 0.0 }
            .clamp(EDGE, 1.0 - EDGE);
        let (mut asked, mut agree) = (0.0, 0.0);
        for class in classes {
            asked += 1.0;
            agree += f32::from(u8::from(answer.ranked > 0 && answer.top[0].class == class));
        }
        let agreement = if asked > 0.0 { agree / asked } else { 0.0 };
        Self([
            1.0,
            (best / (1.0 - best)).ln(),
            finite(answer.margin),
            finite(answer.entropy),
            agreement,
        ])
    }

    /// Of an attempts so far.
    pub fn so_far(attempts: &Attempts) -> Self {
        let answered = attempts.steps.iter().filter(|step| step.answered);
        Self::of(&attempts.answer, answered.map(|step| step.top.class))
    }
}

/// A logistic model over the clues.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Logistic(pub [f32; CLUES]);

impl Logistic {
    /// The chance, 0..=1.
    pub fn chance(&self, clues: &Clues) -> f32 {
        chance(&self.0, &clues.0)
    }
}

/// `1 / (1 + exp(-weights * values))`, 0..=1; 0 if that is no number.
pub fn chance(weights: &[f32], values: &[f32]) -> f32 {
    let sum: f32 = weights.iter().zip(values).map(|(weight, value)| weight * value).sum();
    let chance = 1.0 / (1.0 + (-sum).exp());
    if chance.is_finite() { chance } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Top;

    #[test]
    fn clues_are_the_words_definition_and_always_finite() {
        let mut answer = Answer { ranked: 1, margin: 0.5, entropy: 0.25, ..Answer::default() };
        answer.top[0] = Top { class: 7, probability: 0.75 };
        let Clues(clues) = Clues::of(&answer, [7, 7, 3, 7]);
        assert!((clues[1] - 3f32.ln()).abs() < 1e-6, "{clues:?}");
        assert_eq!((clues[0], clues[2], clues[3], clues[4]), (1.0, 0.5, 0.25, 0.75));
        for probability in [0.0, 1.0, f32::NAN, f32::INFINITY] {
            answer.top[0].probability = probability;
            answer.margin = probability;
            assert!(Clues::of(&answer, []).0.iter().all(|clue| clue.is_finite()), "{probability}");
        }
    }

    #[test]
    fn a_chance_rises_with_its_clue_and_stays_between_0_and_1() {
        let model = Logistic([0.0, 1.0, 0.0, 0.0, 0.0]);
        let at = |sureness: f32| model.chance(&Clues([1.0, sureness, 0.0, 0.0, 0.0]));
        assert_eq!(at(0.0), 0.5);
        assert!(at(-1.0) < at(1.0) && at(1.0) < at(9.0) && at(99.0) <= 1.0 && at(-1e30) >= 0.0);
        assert_eq!(chance(&[f32::MAX, -f32::MAX], &[f32::MAX, f32::MAX]), 0.0);
    }
}
