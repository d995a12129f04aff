//! The two decisions under a budget: what is decided within the grant, and what would have been
//! decided without it.
//!
//! Pure. The decisions themselves are [`super::first`] and [`super::after`]; here they are made
//! twice where the grant withholds something, and compared, so that every record can say what the
//! budget cost.

use super::{Allowance, Attempts, Choice, Code, Policy, Reason, Situation, Verdict, after, first};
use crate::budget::Grant;
use crate::engine::EngineIdx;

/// A decision within the grant.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bound<T> {
    /// What is done.
    pub decision: T,
    /// The engine that would have looked had the budget granted everything, if that would have been
    /// otherwise.
    pub withheld: Option<EngineIdx>,
}

/// As [`first`], within [`Allowance::grant`].
pub fn first_within(
    policy: &Policy,
    situation: &Situation,
    allowance: &Allowance,
) -> Bound<Choice> {
    let free = || Allowance { grant: Grant::FREE, ..allowance.clone() };
    if allowance.grant.is_free(highest(policy)) {
        return Bound { decision: first(policy, situation, allowance), withheld: None };
    }
    let wanted = first(policy, situation, &free());
    let Choice::Ask(engine, _) = wanted else {
        return Bound { decision: wanted, withheld: None }; // no engine would have looked
    };
    if allowance.grant.rests {
        return Bound {
            decision: Choice::Abstain(reason(&allowance.grant)),
            withheld: Some(engine),
        };
    }
    match first(policy, situation, allowance) {
        Choice::Ask(asked, why) if asked == engine => {
            Bound { decision: Choice::Ask(asked, why), withheld: None }
        }
        Choice::Ask(asked, _) => {
            Bound { decision: Choice::Ask(asked, reason(&allowance.grant)), withheld: Some(engine) }
        }
        _ => Bound { decision: Choice::Abstain(reason(&allowance.grant)), withheld: Some(engine) },
    }
}

/// As [`after`], within [`Allowance::grant`].
pub fn after_within(policy: &Policy, attempts: &Attempts, allowance: &Allowance) -> Bound<Verdict> {
    // A frame that has been shown to an engine is not left without an answer for want of a turn.
    let grant = Grant { rests: false, ..allowance.grant };
    if grant.is_free(highest(policy)) {
        return Bound { decision: after(policy, attempts, allowance), withheld: None };
    }
    let wanted = after(policy, attempts, &Allowance { grant: Grant::FREE, ..allowance.clone() });
    let Verdict::Escalate(engine, _) = wanted else {
        return Bound { decision: wanted, withheld: None };
    };
    let engines = if grant.escalation || attempts.answers() == 0 { grant.engines } else { 0 };
    match after(
        policy,
        attempts,
        &Allowance { grant: Grant { engines, ..grant }, ..allowance.clone() },
    ) {
        Verdict::Escalate(asked, why) if asked == engine => {
            Bound { decision: Verdict::Escalate(asked, why), withheld: None }
        }
        Verdict::Escalate(asked, _) => {
            Bound { decision: Verdict::Escalate(asked, reason(&grant)), withheld: Some(engine) }
        }
        Verdict::Accept(_) => {
            Bound { decision: Verdict::Accept(reason(&grant)), withheld: Some(engine) }
        }
        Verdict::Abstain(_) => {
            Bound { decision: Verdict::Abstain(reason(&grant)), withheld: Some(engine) }
        }
    }
}

fn reason(grant: &Grant) -> Reason {
    let finite = |figure: Option<f32>| figure.filter(|figure| figure.is_finite());
    Reason {
        code: Code::Budget,
        value: finite(grant.because.value),
        limit: finite(grant.because.limit),
    }
}

/// One more than the highest index of an engine that the policy may ask.
fn highest(policy: &Policy) -> usize {
    policy.engines().iter().map(|engine| usize::from(engine.0) + 1).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::budget::{Because, Why};
    use crate::engine::Answer;
    use crate::features::Features;
    use crate::policy::confidence::{Confidence, Score, Stage};
    use crate::policy::{Past, Plan, Step, Terms};

    /// Three engines, asked in turn until the answer is sure.
    fn policy() -> Policy {
        let stage = |index: u8, accept_above| Stage {
            engine: EngineIdx(index),
            accept_above,
            chance: None,
        };
        let stages =
            [stage(0, Some(0.8)), stage(1, Some(0.8)), stage(2, None)].into_iter().collect();
        Policy::new(
            "three",
            Plan::Confidence(Confidence { stages, average: false, score: Score::MaxSoftmax }),
        )
    }

    fn allowance(engines: u32, escalation: bool, rests: bool) -> Allowance {
        let terms = |ms| {
            Some(Terms {
                wait: Duration::ZERO,
                p50: Duration::from_millis(ms),
                p95: Duration::from_millis(ms),
            })
        };
        let because =
            Because { why: Why::Power, value: Some(8000.0), limit: Some(7500.0), zone: None };
        let mut allowance = Allowance {
            grant: Grant { engines, escalation, rests, because },
            ..Allowance::default()
        };
        allowance.engines[..3].copy_from_slice(&[terms(1), terms(5), terms(20)]);
        allowance
    }

    fn first_of(allowance: &Allowance) -> Bound<Choice> {
        let (features, glimpse, past) = (
            Features { values: [0.0; crate::features::COUNT] },
            [0; crate::features::GLIMPSE_WIDTH * crate::features::GLIMPSE_HEIGHT],
            Past::default(),
        );
        let situation = Situation {
            sequence: 1,
            camera: 0,
            captured: Duration::ZERO,
            features: &features,
            glimpse: &glimpse,
            past: &past,
        };
        first_within(&policy(), &situation, allowance)
    }

    fn unsure() -> Attempts {
        let mut attempts = Attempts { answer: Answer::with_classes(2), ..Attempts::default() };
        attempts.answer.ranked = 1;
        attempts.answer.top[0].probability = 0.4;
        attempts.steps.push(Step {
            engine: EngineIdx(0),
            why: Reason::bare(Code::Entry),
            answered: true,
            queued: Duration::ZERO,
            times: Default::default(),
            top: Default::default(),
            margin: 0.1,
            entropy: 0.5,
        });
        attempts
    }

    #[test]
    fn budget_that_withholds_nothing_changes_neither_choice_nor_reason() {
        for engines in [u32::MAX, 0b111] {
            let bound = first_of(&allowance(engines, true, false));
            assert_eq!(
                bound,
                Bound {
                    decision: Choice::Ask(EngineIdx(0), Reason::bare(Code::Entry)),
                    withheld: None
                }
            );
            let bound = after_within(&policy(), &unsure(), &allowance(engines, true, false));
            assert!(
                matches!(
                    bound,
                    Bound { decision: Verdict::Escalate(EngineIdx(1), _), withheld: None }
                ),
                "{bound:?}"
            );
        }
    }

    #[test]
    fn what_the_budget_changes_says_so_with_its_figures_and_names_the_engine_withheld() {
        let why = Reason::with(Code::Budget, 8000.0, 7500.0);
        let bound = first_of(&allowance(0b110, true, false));
        assert_eq!(
            bound,
            Bound { decision: Choice::Ask(EngineIdx(1), why), withheld: Some(EngineIdx(0)) }
        );
        for (engines, rests) in [(0, false), (u32::MAX, true)] {
            let bound = first_of(&allowance(engines, true, rests));
            assert_eq!(
                bound,
                Bound { decision: Choice::Abstain(why), withheld: Some(EngineIdx(0)) }
            );
        }
        for (engines, escalation) in [(0b001, true), (u32::MAX, false)] {
            let bound = after_within(&policy(), &unsure(), &allowance(engines, escalation, false));
            assert_eq!(
                bound,
                Bound { decision: Verdict::Accept(why), withheld: Some(EngineIdx(1)) }
            );
        }
        let bound = after_within(&policy(), &unsure(), &allowance(0b101, true, true));
        assert_eq!(
            bound,
            Bound { decision: Verdict::Escalate(EngineIdx(2), why), withheld: Some(EngineIdx(1)) }
        );
    }

    #[test]
    fn frame_whose_engine_failed_may_be_shown_to_another_one_though_nobody_may_look_twice() {
        let mut attempts = unsure();
        attempts.steps[0].answered = false;
        let bound = after_within(&policy(), &attempts, &allowance(u32::MAX, false, false));
        assert!(matches!(bound.decision, Verdict::Escalate(EngineIdx(1), _)), "{bound:?}");
    }
}
