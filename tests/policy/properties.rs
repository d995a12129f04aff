//! What holds of the decisions whatever the policy, the moment and the answers: the allowance is
//! kept, nobody is asked twice, every frame ends, every reason has finite figures, and the same
//! question gets the same answer.

use std::time::Duration;

use proptest::prelude::*;
use squint::engine::{Answer, EngineIdx, LookTimes, MAX_ENGINES, Top};
use squint::features::{COUNT, Features, GLIMPSE_HEIGHT, GLIMPSE_WIDTH};
use squint::policy::chain::{Chain, Guard};
use squint::policy::clues::{CLUES, Logistic};
use squint::policy::confidence::{Confidence, Score, Stage};
use squint::policy::hybrid::{Hybrid, MAX_POOL, Member, State, entry_width};
use squint::policy::random::Mix;
use squint::policy::{
    Allowance, Attempts, Choice, Code, LastAnswer, MAX_STEPS, Past, Plan, Policy, Reason, Reuse,
    Situation, Step, Terms, Verdict, after, first,
};
use squint::premodel::{Premodel, Scale};

/// Some engines, none twice, in any order.
fn engines(most: usize) -> impl Strategy<Value = Vec<EngineIdx>> {
    let all: Vec<u8> = (0..MAX_ENGINES as u8).collect();
    (1..=most)
        .prop_flat_map(move |n| prop::sample::subsequence(all.clone(), n))
        .prop_shuffle()
        .prop_map(|ids| ids.into_iter().map(EngineIdx).collect())
}

fn fixed() -> impl Strategy<Value = Plan> {
    engines(2)
        .prop_map(|engines| Plan::Fixed { engine: engines[0], fallback: engines.get(1).copied() })
}

fn confidence() -> impl Strategy<Value = Plan> {
    (engines(MAX_STEPS), prop::collection::vec(0f32..=1.0, MAX_STEPS), any::<bool>(), any::<bool>())
        .prop_map(|(engines, limits, average, margin)| {
            let last = engines.len() - 1;
            let stage = |(place, engine)| Stage {
                engine,
                accept_above: Some(limits[place]).filter(|_| place < last),
                chance: None,
            };
            let score = if margin { Score::Margin } else { Score::MaxSoftmax };
            Plan::Confidence(Confidence {
                stages: engines.into_iter().enumerate().map(stage).collect(),
                average,
                score,
            })
        })
}

fn random() -> impl Strategy<Value = Plan> {
    (engines(MAX_ENGINES), any::<u64>()).prop_map(|(engines, seed)| {
        let parts: Vec<_> = engines
            .into_iter()
            .enumerate()
            .map(|(place, engine)| (engine, 1.0 + place as f32))
            .collect();
        Plan::Random(Mix::new(seed, &parts).unwrap())
    })
}

fn chain() -> impl Strategy<Value = Plan> {
    let rows = prop::collection::vec((0f32..1.0, 0f32..1.0, prop::option::of(0u8..32)), 7..40);
    (
        engines(MAX_ENGINES),
        rows,
        prop::option::of(0u8..32),
        prop::option::of((0.01f32..1.0, 0u8..32)),
    )
        .prop_map(|(engines, rows, on_none, guard)| {
            let scales = vec![
                Scale { feature: 0, min: 0.0, max: 1.0 },
                Scale { feature: 5, min: 0.0, max: 1.0 },
            ];
            let best =
                rows.iter().map(|row| row.2.map(|level| level % engines.len() as u8)).collect();
            let values = rows.iter().flat_map(|row| [row.0, row.1]).collect();
            let premodel = Premodel::new(scales, engines.len(), 5, values, best).unwrap();
            let guard =
                guard.map(|(max_distance, safe)| Guard { max_distance, safe: EngineIdx(safe) });
            Plan::Chain(Box::new(Chain {
                engines: engines.into_iter().collect(),
                premodel,
                on_none: on_none.map(EngineIdx),
                guard,
            }))
        })
}

/// Of one state: right as it stands, right after each engine.
type Models = (Logistic, Vec<Option<Logistic>>);

fn hybrid() -> impl Strategy<Value = Plan> {
    let weights = |n: usize| {
        prop::collection::vec(
            prop_oneof![8 => -4f32..4.0, 1 => Just(f32::MAX), 1 => Just(-f32::MAX)],
            n,
        )
    };
    let model = move || weights(CLUES).prop_map(|weights| Logistic(weights.try_into().unwrap()));
    let member = move || (weights(entry_width(1)), weights(entry_width(1)), 0.1f32..50.0);
    let state =
        move || (model(), prop::collection::vec(prop::option::weighted(0.8, model()), MAX_POOL));
    (
        engines(MAX_POOL),
        prop::collection::vec(member(), MAX_POOL),
        prop::collection::vec(prop::option::weighted(0.8, state()), (1 << MAX_POOL) - 1),
        1e-6f32..0.5,
    )
        .prop_map(|(engines, members, states, price)| {
            let count = engines.len();
            let member =
                |(engine, (right, time_ms, ms)): (EngineIdx, (Vec<f32>, Vec<f32>, f32))| Member {
                    engine,
                    ms,
                    right,
                    time_ms,
                };
            let state = |(asked, state): (usize, Option<Models>)| {
                let (right, then) = state?;
                let then = then.into_iter().take(count).enumerate();
                let then = then
                    .map(|(place, model)| model.filter(|_| (asked + 1) >> place & 1 == 0))
                    .collect();
                Some(State { asked: asked as u8 + 1, right, then })
            };
            Plan::Hybrid(Box::new(Hybrid {
                members: engines.into_iter().zip(members).map(member).collect(),
                price,
                scales: vec![Scale { feature: 3, min: 0.0, max: 1.0 }],
                states: states
                    .into_iter()
                    .enumerate()
                    .filter_map(state)
                    .filter(|state| state.asked >> count == 0)
                    .collect(),
            }))
        })
}

fn policy() -> impl Strategy<Value = Policy> {
    prop_oneof![fixed(), confidence(), random(), chain(), hybrid()]
        .prop_map(|plan| Policy::new("any", plan))
}

fn allowance() -> impl Strategy<Value = Allowance> {
    let time = || prop_oneof![Just(0u64), 0u64..60_000, Just(u64::MAX)];
    let terms = prop::option::weighted(0.7, (time(), time(), time()));
    let reuse = prop::option::of((0f32..0.5, 0u64..5_000));
    (prop::option::of(time()), prop::collection::vec(terms, MAX_ENGINES), reuse).prop_map(
        |(remaining, engines, reuse)| {
            let mut allowance = Allowance {
                remaining: remaining.map(Duration::from_micros),
                ..Allowance::default()
            };
            for (slot, terms) in allowance.engines.iter_mut().zip(engines) {
                *slot = terms.map(|(wait, p50, more)| {
                    let (wait, p50) = (Duration::from_micros(wait), Duration::from_micros(p50));
                    Terms { wait, p50, p95: p50.saturating_add(Duration::from_micros(more)) }
                });
            }
            allowance.reuse = reuse
                .map(|(max_change, age)| Reuse { max_change, max_age: Duration::from_millis(age) });
            allowance
        },
    )
}

/// What an engine will say, if asked: a probability and a margin, or nothing.
fn answers() -> impl Strategy<Value = Vec<Option<(f32, f32)>>> {
    let figure = || prop_oneof![8 => 0f32..=1.0, 1 => Just(f32::NAN), 1 => Just(f32::INFINITY)];
    prop::collection::vec(prop::option::weighted(0.7, (figure(), figure())), MAX_STEPS)
}

fn past() -> impl Strategy<Value = Past> {
    prop::option::of((any::<bool>(), 0u8..60, 0u64..3_000)).prop_map(|last| Past {
        last: last.map(|(sure, grey, captured)| LastAnswer {
            top: Top::default(),
            margin: 0.0,
            entropy: 0.0,
            engine: EngineIdx(0),
            sure,
            glimpse: [grey; GLIMPSE_WIDTH * GLIMPSE_HEIGHT],
            sequence: 0,
            captured: Duration::from_millis(captured),
        }),
    })
}

fn check_reason(reason: &Reason) -> Result<(), TestCaseError> {
    prop_assert!(
        reason.value.is_none_or(f32::is_finite) && reason.limit.is_none_or(f32::is_finite),
        "{reason:?}"
    );
    Ok(())
}

/// Allowed, and with a fair chance: the median fits.
fn check_asked(
    engine: EngineIdx,
    policy: &Policy,
    allowance: &Allowance,
) -> Result<(), TestCaseError> {
    prop_assert!(policy.engines().contains(&engine));
    let terms = allowance.terms(engine);
    prop_assert!(terms.is_some(), "{engine:?} is outside the allowance");
    let needs = terms.unwrap().wait.saturating_add(terms.unwrap().p50);
    prop_assert!(allowance.remaining.is_none_or(|left| needs <= left));
    Ok(())
}

/// The rest of a frame's way, step by step.
fn walk(
    policy: &Policy,
    moments: &[Allowance],
    answers: &[Option<(f32, f32)>],
    mut engine: EngineIdx,
    mut why: Reason,
) -> Result<(), TestCaseError> {
    let mut attempts = Attempts::default();
    let mut moment = &moments[0];
    loop {
        check_reason(&why)?;
        check_asked(engine, policy, moment)?;
        prop_assert!(!attempts.asked(engine), "{:?} was asked before", engine);
        prop_assert!(
            attempts.answers() == 0 || moment.covers(engine),
            "with an answer in hand the 95th percentile counts"
        );
        let answer = answers[attempts.steps.len()];
        attempts.steps.push(Step {
            engine,
            why,
            answered: answer.is_some(),
            queued: Duration::ZERO,
            times: LookTimes::default(),
            top: Top::default(),
            margin: 0.0,
            entropy: 0.0,
        });
        if let Some((probability, margin)) = answer {
            let top = [Top { class: 0, probability }; squint::engine::KEPT];
            attempts.answer =
                Answer { probabilities: vec![], top, ranked: 1, margin, entropy: 0.0 };
        }
        moment = &moments[attempts.steps.len()];
        let verdict = after(policy, &attempts, moment);
        prop_assert_eq!(verdict, after(policy, &attempts, moment));
        match verdict {
            Verdict::Escalate(next, reason) => {
                prop_assert!(attempts.steps.len() < MAX_STEPS);
                (engine, why) = (next, reason);
            }
            Verdict::Accept(reason) => {
                prop_assert!(attempts.answers() > 0, "there is nothing to accept");
                return check_reason(&reason);
            }
            Verdict::Abstain(reason) => {
                prop_assert_eq!(attempts.answers(), 0, "an answer was there");
                return check_reason(&reason);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn every_frame_ends_within_the_allowance(
        policy in policy(),
        moments in prop::collection::vec(allowance(), MAX_STEPS + 1),
        answers in answers(),
        past in past(),
        values in prop::collection::vec(-2f32..3.0, COUNT),
        (sequence, camera, grey, captured) in (any::<u64>(), any::<u16>(), 0u8..60, 0u64..5_000),
    ) {
        let features = Features { values: values.try_into().unwrap() };
        let glimpse = [grey; GLIMPSE_WIDTH * GLIMPSE_HEIGHT];
        let situation = Situation { sequence, camera, captured: Duration::from_millis(captured), features: &features, glimpse: &glimpse, past: &past };
        let choice = first(&policy, &situation, &moments[0]);
        prop_assert_eq!(choice, first(&policy, &situation, &moments[0]), "the same question, the same answer");
        let (engine, why) = match choice {
            Choice::Ask(engine, reason) => (engine, reason),
            Choice::Reuse(reason) => {
                check_reason(&reason)?;
                prop_assert!(moments[0].reuse.is_some() && past.last.is_some_and(|last| last.sure));
                return Ok(());
            }
            Choice::Abstain(reason) => return check_reason(&reason),
        };

        walk(&policy, &moments, &answers, engine, why)?;
    }

    #[test]
    fn someone_is_asked_whenever_someone_is_covered(plan in prop_oneof![fixed(), confidence(), random(), hybrid()], moment in allowance()) {
        let policy = Policy::new("any", plan);
        let features = Features { values: [0.5; COUNT] };
        let (past, glimpse) = (Past::default(), [0; GLIMPSE_WIDTH * GLIMPSE_HEIGHT]);
        let situation = Situation { sequence: 5, camera: 0, captured: Duration::ZERO, features: &features, glimpse: &glimpse, past: &past };
        match first(&policy, &situation, &moment) {
            Choice::Ask(engine, reason) if policy.engines().iter().any(|engine| moment.covers(*engine)) => {
                prop_assert!(moment.covers(engine), "{:?}", reason);
            }
            Choice::Ask(..) => {}
            Choice::Abstain(reason) => {
                prop_assert!(!policy.engines().iter().any(|engine| moment.covers(*engine)));
                prop_assert!(matches!(reason.code, Code::NotAllowed | Code::OutOfTime));
            }
            Choice::Reuse(_) => prop_assert!(false, "there is no past"),
        }
    }
}
