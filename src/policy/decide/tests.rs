//! What the two decisions do, case by case. Properties over all cases are in
//! `tests/policy/properties.rs`.

use super::*;
use crate::engine::{Answer, Top};
use crate::features::{COUNT, Features, GLIMPSE_HEIGHT, GLIMPSE_WIDTH, Glimpse};
use crate::policy::confidence::Stage;
use crate::policy::{LastAnswer, Past, Reuse, Step, Terms};

const NANO: EngineIdx = EngineIdx(0);
const SMALL: EngineIdx = EngineIdx(1);
const LARGE: EngineIdx = EngineIdx(2);

fn ms(value: u64) -> Duration {
    Duration::from_millis(value)
}

/// Engines at 2, 5 and 20 ms (95 %: half as much again), all free.
fn allowance(remaining: Option<u64>) -> Allowance {
    let mut allowance = Allowance { remaining: remaining.map(ms), ..Allowance::default() };
    for (slot, p50) in allowance.engines.iter_mut().zip([2, 5, 20]) {
        *slot = Some(Terms { wait: Duration::ZERO, p50: ms(p50), p95: ms(p50) * 3 / 2 });
    }
    allowance
}

fn cascade() -> Policy {
    let stage = |engine, accept_above| Stage { engine, accept_above, chance: None };
    let stages = [stage(NANO, Some(0.9)), stage(SMALL, Some(0.75)), stage(LARGE, None)];
    Policy::new(
        "cascade",
        Plan::Confidence(Confidence {
            stages: stages.into_iter().collect(),
            average: true,
            score: Score::MaxSoftmax,
        }),
    )
}

fn fixed(engine: EngineIdx, fallback: Option<EngineIdx>) -> Policy {
    Policy::new("fixed", Plan::Fixed { engine, fallback })
}

fn ask(policy: &Policy, allowance: &Allowance, past: &Past, glimpse: &Glimpse) -> Choice {
    let features = Features { values: [0.0; COUNT] };
    first(
        policy,
        &Situation {
            sequence: 7,
            camera: 0,
            captured: ms(1000),
            features: &features,
            glimpse,
            past,
        },
        allowance,
    )
}

fn begin(policy: &Policy, allowance: &Allowance) -> Choice {
    ask(policy, allowance, &Past::default(), &[0; GLIMPSE_WIDTH * GLIMPSE_HEIGHT])
}

/// An attempts past `engines` (true: answered), with an answer of that probability.
fn attempts(engines: &[(EngineIdx, bool)], probability: f32) -> Attempts {
    let mut attempts = Attempts::default();
    for &(engine, answered) in engines {
        attempts.steps.push(Step {
            engine,
            why: Reason::bare(Code::Entry),
            answered,
            queued: Duration::ZERO,
            times: Default::default(),
            top: Top::default(),
            margin: 0.0,
            entropy: 0.0,
        });
    }
    let top = [Top { class: 3, probability }; crate::engine::KEPT];
    attempts.answer = Answer {
        probabilities: vec![probability],
        top,
        ranked: 1,
        margin: probability / 2.0,
        entropy: 0.5,
    };
    attempts
}

fn code(verdict: Verdict) -> (Option<EngineIdx>, Code) {
    match verdict {
        Verdict::Accept(reason) | Verdict::Abstain(reason) => (None, reason.code),
        Verdict::Escalate(engine, reason) => (Some(engine), reason.code),
    }
}

#[test]
fn sure_answer_stands_and_unsure_one_is_shown_to_the_next() {
    let (policy, allowance) = (cascade(), allowance(None));
    assert_eq!(begin(&policy, &allowance), Choice::Ask(NANO, Reason::bare(Code::Entry)));
    let sure = after(&policy, &attempts(&[(NANO, true)], 0.9), &allowance);
    assert_eq!(sure, Verdict::Accept(Reason::with(Code::Sure, 0.9, 0.9)));
    let unsure = after(&policy, &attempts(&[(NANO, true)], 0.8), &allowance);
    assert_eq!(unsure, Verdict::Escalate(SMALL, Reason::with(Code::Unsure, 0.8, 0.9)));
    let last =
        after(&policy, &attempts(&[(NANO, true), (SMALL, true), (LARGE, true)], 0.2), &allowance);
    assert_eq!(last, Verdict::Accept(Reason { value: Some(0.2), ..Reason::bare(Code::Last) }));
    assert!(sure.is_sure() && last.is_sure() && !unsure.is_sure());
}

#[test]
fn stronger_engine_is_not_asked_without_the_time_for_it() {
    let mut allowance = allowance(Some(29));
    let seen = attempts(&[(NANO, true), (SMALL, true)], 0.5);
    let verdict = after(&cascade(), &seen, &allowance);
    assert_eq!(verdict, Verdict::Accept(Reason::with(Code::OutOfTime, 29.0, 30.0)));
    assert!(!verdict.is_sure());
    allowance.remaining = Some(ms(30));
    assert_eq!(code(after(&cascade(), &seen, &allowance)), (Some(LARGE), Code::Unsure));
    allowance.engines[2].as_mut().unwrap().wait = ms(1);
    assert_eq!(
        code(after(&cascade(), &seen, &allowance)),
        (None, Code::OutOfTime),
        "the wait counts"
    );
}

#[test]
fn stage_that_is_not_allowed_is_skipped() {
    let mut allowance = allowance(None);
    allowance.engines[1] = None;
    let seen = attempts(&[(NANO, true)], 0.5);
    assert_eq!(code(after(&cascade(), &seen, &allowance)), (Some(LARGE), Code::Unsure));
    allowance.engines[2] = None;
    assert_eq!(code(after(&cascade(), &seen, &allowance)), (None, Code::NotAllowed));
    allowance.engines[0] = None;
    assert_eq!(begin(&cascade(), &allowance), Choice::Abstain(Reason::bare(Code::NotAllowed)));
}

#[test]
fn too_slow_an_engine_gives_way_to_the_next_cheaper_one() {
    let policy = fixed(LARGE, Some(NANO));
    assert_eq!(begin(&policy, &allowance(Some(30))), Choice::Ask(LARGE, Reason::bare(Code::Fixed)));
    assert_eq!(
        begin(&policy, &allowance(Some(29))),
        Choice::Ask(NANO, Reason::with(Code::Cheaper, 29.0, 30.0))
    );
}

#[test]
fn busy_entry_gives_way_to_a_free_stage() {
    let mut allowance = allowance(Some(10));
    allowance.engines[0].as_mut().unwrap().wait = ms(50);
    assert_eq!(
        begin(&cascade(), &allowance),
        Choice::Ask(SMALL, Reason::with(Code::Cheaper, 10.0, 53.0))
    );
    let seen = attempts(&[(SMALL, true)], 0.5);
    assert_eq!(
        code(after(&cascade(), &seen, &allowance)),
        (None, Code::OutOfTime),
        "stages passed over stay passed over"
    );
}

#[test]
fn fair_chance_is_taken_before_giving_no_answer() {
    let chance = begin(&fixed(LARGE, None), &allowance(Some(25)));
    assert_eq!(
        chance,
        Choice::Ask(LARGE, Reason::bare(Code::Fixed)),
        "20 ms in the median, 30 ms at worst, 25 ms left"
    );
    let hopeless = begin(&fixed(LARGE, None), &allowance(Some(19)));
    assert_eq!(hopeless, Choice::Abstain(Reason::with(Code::OutOfTime, 19.0, 20.0)));
}

#[test]
fn failed_engine_is_replaced_by_the_next_one_of_the_policy() {
    let everything = allowance(None);
    assert_eq!(
        code(after(&fixed(LARGE, None), &attempts(&[(LARGE, false)], 0.0), &everything)),
        (None, Code::EngineFailed)
    );
    let policy = fixed(LARGE, Some(SMALL));
    assert_eq!(
        code(after(&policy, &attempts(&[(LARGE, false)], 0.0), &everything)),
        (Some(SMALL), Code::EngineFailed)
    );
    let both = attempts(&[(LARGE, false), (SMALL, false)], 0.0);
    assert!(matches!(
        after(&policy, &both, &everything),
        Verdict::Abstain(Reason { code: Code::EngineFailed, .. })
    ));
    let seen = attempts(&[(NANO, false)], 0.0);
    assert_eq!(code(after(&cascade(), &seen, &everything)), (Some(SMALL), Code::EngineFailed));
    let seen = attempts(&[(LARGE, false)], 0.0);
    assert_eq!(
        code(after(&cascade(), &seen, &everything)),
        (Some(NANO), Code::EngineFailed),
        "those before come last"
    );
}

#[test]
fn earlier_answer_stands_when_the_stronger_engine_fails() {
    let seen = attempts(&[(NANO, true), (SMALL, true), (LARGE, false)], 0.5);
    let verdict = after(&cascade(), &seen, &allowance(None));
    assert_eq!(
        verdict,
        Verdict::Accept(Reason { value: Some(0.5), ..Reason::bare(Code::EngineFailed) })
    );
    assert!(!verdict.is_sure());
    let seen = attempts(&[(NANO, true), (SMALL, false)], 0.95);
    assert_eq!(code(after(&cascade(), &seen, &allowance(None))), (Some(LARGE), Code::EngineFailed));
}

#[test]
fn unchanged_scene_gets_the_last_answer_while_it_is_young_and_was_sure() {
    let mut allowance = allowance(None);
    allowance.reuse = Some(Reuse { max_change: 0.04, max_age: ms(500) });
    let last = LastAnswer {
        top: Top::default(),
        margin: 0.5,
        entropy: 0.1,
        engine: NANO,
        sure: true,
        glimpse: [100; GLIMPSE_WIDTH * GLIMPSE_HEIGHT],
        sequence: 3,
        captured: ms(600),
    };
    let mut glimpse = last.glimpse;
    glimpse[17] = 110;
    let go = |last, allowance: &Allowance, glimpse: &Glimpse| {
        ask(&cascade(), allowance, &Past { last: Some(last) }, glimpse)
    };
    let change = 10.0 / 255.0;
    assert_eq!(
        go(last, &allowance, &glimpse),
        Choice::Reuse(Reason::with(Code::Unchanged, change, 0.04))
    );
    let asked = Choice::Ask(NANO, Reason::bare(Code::Entry));
    assert_eq!(go(LastAnswer { sure: false, ..last }, &allowance, &glimpse), asked);
    assert_eq!(
        go(LastAnswer { captured: ms(499), ..last }, &allowance, &glimpse),
        asked,
        "too old"
    );
    glimpse[17] = 89;
    assert_eq!(go(last, &allowance, &glimpse), asked, "one block has changed");
    allowance.reuse = None;
    assert_eq!(go(last, &allowance, &last.glimpse), asked, "not wished for");
}

#[test]
fn empty_attempts_and_broken_scores_still_get_a_verdict() {
    assert_eq!(
        code(after(&cascade(), &Attempts::default(), &allowance(None))),
        (None, Code::Abstained)
    );
    let unsure = after(&cascade(), &attempts(&[(NANO, true)], f32::NAN), &allowance(None));
    assert_eq!(unsure, Verdict::Escalate(SMALL, Reason::with(Code::Unsure, 0.0, 0.9)));
}
