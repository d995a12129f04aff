//! Does the int8 engine still answer as the float32 one does? Judged on photos that calibration
//! never saw. Pure.
//!
//! Labels are not needed: what is asked is whether quantising changed the answers, not whether they
//! were right. The rule has two limits, both chosen here and not measured on a board: the lower end
//! of the 95 % interval of the share of equal first classes, and how far the probability of the
//! float32 engine's class moved on average.

use std::fmt;

use crate::engine::Answer;
use crate::stats;

/// Least lower end of the 95 % interval of agreement. 20 held-out photos of 20 just reach it
/// (0.839), 19 of 20 do not.
pub const LEAST_AGREEMENT: f64 = 0.8;
/// Most that the probability of float32's class may differ on average.
pub const MOST_DIFFERENCE: f64 = 0.1;

/// What was compared so far.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Agreement {
    pictures: u64,
    agreed: u64,
    differences: f64,
}

/// The figures, and whether they are good enough.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Verdict {
    /// Held-out photos.
    pub pictures: u64,
    /// Share of them with the same first class, 0..=1.
    pub agreement: f64,
    /// Its 95 % interval, Wilson's.
    pub ci95: (f64, f64),
    /// Mean absolute difference of the probability of float32's first class, 0..=1.
    pub difference: f64,
}

impl Agreement {
    /// Adds a photo: what float32 says and what int8 says. A photo that either has no class for
    /// counts as disagreement.
    pub fn add(&mut self, float32: &Answer, int8: &Answer) {
        self.pictures += 1;
        let first =
            |answer: &Answer| answer.top.first().filter(|_| answer.ranked > 0).map(|top| top.class);
        self.agreed += u64::from(first(float32).is_some() && first(float32) == first(int8));
        let at = |answer: &Answer| {
            let class = first(float32).and_then(|class| usize::try_from(class).ok())?;
            answer.probabilities.get(class).map(|p| f64::from(*p))
        };
        self.differences += match (at(float32), at(int8)) {
            (Some(one), Some(other)) if one.is_finite() && other.is_finite() => (one - other).abs(),
            _ => 1.0,
        };
    }

    /// The figures so far; `None` without photos.
    pub fn verdict(&self) -> Option<Verdict> {
        (self.pictures > 0).then(|| Verdict {
            pictures: self.pictures,
            agreement: self.agreed as f64 / self.pictures as f64,
            ci95: stats::wilson95(self.agreed, self.pictures),
            difference: self.differences / self.pictures as f64,
        })
    }
}

impl Verdict {
    /// True if the calibration may be used.
    pub fn accepted(&self) -> bool {
        self.ci95.0 >= LEAST_AGREEMENT && self.difference <= MOST_DIFFERENCE
    }
}

/// One line: the figures, the limits, what follows.
impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = |share: f64| share * 100.0;
        let Self { pictures, agreement, ci95: (low, high), difference } = self;
        let what = if self.accepted() {
            "accepted"
        } else {
            "refused; use fp16, or calibrate with more pictures of what the camera sees"
        };
        write!(
            f,
            "on {pictures} held-out pictures int8 agrees with float32 in {:.1} % (95 %: {:.1} to {:.1}, the lower end must reach {:.0}), \
             the probability differs by {difference:.3} on average (at most {MOST_DIFFERENCE}): {what}",
            percent(*agreement),
            percent(*low),
            percent(*high),
            percent(LEAST_AGREEMENT),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::manifest::Scores;
    use crate::engine::score;

    fn answer(probabilities: &[f32]) -> Answer {
        let mut answer = Answer::default();
        score::fill(&mut answer, probabilities, Scores::Probabilities);
        answer
    }

    fn judged(agreed: u64, of: u64, int8: &[f32]) -> Verdict {
        let mut agreement = Agreement::default();
        for at in 0..of {
            let says: &[f32] = if at < agreed { int8 } else { &[0.3, 0.7] };
            agreement.add(&answer(&[0.6, 0.4]), &answer(says));
        }
        agreement.verdict().unwrap()
    }

    #[test]
    fn full_agreement_on_the_fewest_pictures_is_enough_and_one_miss_is_not() {
        assert!(judged(20, 20, &[0.6, 0.4]).accepted());
        assert!(!judged(19, 20, &[0.6, 0.4]).accepted());
        assert!(judged(90, 100, &[0.6, 0.4]).accepted());
        assert!(!judged(85, 100, &[0.6, 0.4]).accepted());
        assert_eq!(Agreement::default().verdict(), None);
    }

    #[test]
    fn equal_classes_with_quite_other_probabilities_are_refused() {
        let verdict = judged(100, 100, &[0.95, 0.05]);
        assert!((verdict.difference - 0.35).abs() < 1e-6 && verdict.agreement == 1.0);
        assert!(!verdict.accepted());
        let text = verdict.to_string();
        assert!(
            text.starts_with(
                "on 100 held-out pictures int8 agrees with float32 in 100.0 % (95 %: 96.3 to 100.0"
            ),
            "{text}"
        );
        assert!(
            text.contains("differs by 0.350 on average (at most 0.1): refused; use fp16"),
            "{text}"
        );
    }

    #[test]
    fn an_engine_without_an_answer_does_not_agree() {
        let mut agreement = Agreement::default();
        agreement.add(&Answer::default(), &Answer::default());
        agreement.add(&answer(&[0.6, 0.4]), &Answer::default());
        let verdict = agreement.verdict().unwrap();
        assert_eq!((verdict.agreement, verdict.difference), (0.0, 1.0));
    }
}
