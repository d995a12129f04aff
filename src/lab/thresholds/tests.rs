//! The search on made-up profiles: the real policy does what was promised, within the time, on no
//! other frames than the training ones.

use super::super::profile::samples;
use super::super::replay::replay;
use super::*;

fn all(profile: &Profile) -> Vec<usize> {
    (0..profile.cases.len()).collect()
}

fn right(profile: &Profile, policy: &Policy) -> usize {
    let cases = all(profile);
    let walks = replay(profile, policy, None, &cases);
    cases
        .iter()
        .zip(walks)
        .filter(|(case, walk)| walk.is_right(profile.cases[**case].label))
        .count()
}

fn mean_ms(profile: &Profile, policy: &Policy) -> f64 {
    let walks = replay(profile, policy, None, &all(profile));
    walks.iter().map(|walk| walk.ms).sum::<f64>() / walks.len() as f64
}

#[test]
fn least_time_is_less_than_that_of_the_engine_which_may_be_missed_by_some_points() {
    let profile = samples::profile(400, &[(1.0, 0.7), (3.0, 0.8), (9.0, 0.9)]);
    let goal = Goal::LeastTime { reference: 2, margin: -0.1 };
    let policy = Thresholds::new(goal, vec![0, 1, 2]).learn(&profile, &all(&profile)).unwrap();
    let (ours, alone) =
        (right(&profile, &policy) as f64, profile.right_alone(2, &all(&profile)) as f64);
    assert!(
        ours >= alone - 0.1 * 400.0,
        "the real policy keeps what the search promised: {ours} of {alone}"
    );
    assert!(mean_ms(&profile, &policy) < 9.0, "{}", mean_ms(&profile, &policy));
}

#[test]
fn more_time_never_makes_the_training_frames_worse_and_is_never_exceeded() {
    let profile = samples::profile(300, &[(1.0, 0.6), (3.0, 0.8), (9.0, 0.9)]);
    let mut before = 0;
    for budget_ms in [1.2, 2.0, 4.0, 8.0, 20.0] {
        let policy = Thresholds::new(Goal::MostAccurate { mean_ms: budget_ms }, vec![2, 1, 0])
            .learn(&profile, &all(&profile))
            .unwrap();
        assert!(mean_ms(&profile, &policy) <= budget_ms + 1e-4, "{budget_ms}");
        let now = right(&profile, &policy);
        assert!(now >= before, "{budget_ms} ms: {now} after {before}");
        before = now;
    }
}

#[test]
fn what_cannot_be_reached_ends_with_the_best_there_is() {
    let profile = samples::profile(200, &[(1.0, 0.6), (3.0, 0.8)]);
    let hopeless = Thresholds::new(Goal::LeastTime { reference: 1, margin: 0.9 }, vec![0, 1])
        .learn(&profile, &all(&profile))
        .unwrap();
    assert!(right(&profile, &hopeless) as u64 >= profile.right_alone(1, &all(&profile)));
    let poor = Thresholds::new(Goal::MostAccurate { mean_ms: 0.2 }, vec![0, 1])
        .learn(&profile, &all(&profile))
        .unwrap();
    assert_eq!((poor.kind(), poor.engines()), ("fixed", &[EngineIdx(0)][..]));
}

#[test]
fn frames_outside_the_training_ones_change_nothing() {
    let profile = samples::profile(300, &[(1.0, 0.6), (3.0, 0.8), (9.0, 0.9)]);
    let training: Vec<usize> = (0..200).collect();
    let learner = Thresholds::new(Goal::LeastTime { reference: 2, margin: 0.0 }, vec![0, 1, 2]);
    let learned = learner.learn(&profile, &training).unwrap();
    let mut other = profile.clone();
    other.cases.iter_mut().skip(200).for_each(|case| case.label = (case.label + 1) % 4);
    other
        .engines
        .iter_mut()
        .for_each(|engine| engine.looks.iter_mut().skip(200).for_each(|look| *look = None));
    let again = learner.learn(&other, &training).unwrap();
    assert_eq!(format!("{:?}", learned.plan()), format!("{:?}", again.plan()));
}

#[test]
fn an_engine_that_failed_is_not_right_and_adds_nothing_to_averages() {
    let mut profile = samples::profile(200, &[(1.0, 0.7), (3.0, 0.9)]);
    profile.engines[1].looks.iter_mut().for_each(|look| *look = None);
    let policy = Thresholds::new(Goal::LeastTime { reference: 0, margin: 0.0 }, vec![0, 1])
        .learn(&profile, &all(&profile))
        .unwrap();
    assert_eq!((policy.kind(), policy.engines()), ("fixed", &[EngineIdx(0)][..]));
}

#[test]
fn what_cannot_be_searched_is_refused_with_the_range() {
    let profile = samples::profile(50, &[(1.0, 0.7)]);
    let good = Thresholds::new(Goal::LeastTime { reference: 0, margin: 0.0 }, vec![0]);
    for (wrong, part) in [
        (Thresholds { stages: 0, ..good.clone() }, "stages"),
        (Thresholds { engines: vec![], ..good.clone() }, "engines"),
        (Thresholds { engines: vec![4], ..good.clone() }, "engines"),
        (Thresholds { scores: vec![], ..good.clone() }, "search"),
        (
            Thresholds { goal: Goal::LeastTime { reference: 7, margin: 0.0 }, ..good.clone() },
            "reference",
        ),
        (
            Thresholds { goal: Goal::LeastTime { reference: 0, margin: 2.0 }, ..good.clone() },
            "margin",
        ),
        (Thresholds { goal: Goal::MostAccurate { mean_ms: 0.0 }, ..good.clone() }, "mean time"),
    ] {
        let error = wrong.learn(&profile, &all(&profile)).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
    assert!(good.learn(&profile, &[]).is_err());
}

#[test]
fn no_chain_of_two_within_the_time_is_nearer_than_the_one_found() {
    let profile = samples::profile(24, &[(1.0, 0.6), (3.0, 0.8), (4.0, 0.7)]);
    let near = |policy: &Policy| {
        replay(&profile, policy, None, &all(&profile)).iter().map(|walk| walk.near).sum::<f64>()
    };
    for average in [true, false] {
        let learner = Thresholds {
            averages: vec![average],
            stages: 2,
            steps: 200,
            rising: false,
            ..Thresholds::new(Goal::MostAccurate { mean_ms: 2.6 }, vec![0, 1, 2])
        };
        let found = near(&learner.learn(&profile, &all(&profile)).unwrap());
        let mut best = 0.0f64;
        for (first, second) in [(0, 1), (0, 2), (1, 2), (1, 0), (2, 0), (2, 1)] {
            for limit in (0..=100).map(|step| step as f32 / 100.0) {
                let stage = |engine: u8, accept_above| Stage {
                    engine: EngineIdx(engine),
                    accept_above,
                    chance: None,
                };
                let stages = [stage(first, Some(limit)), stage(second, None)].into_iter().collect();
                let other = Policy::new(
                    "other",
                    Plan::Confidence(Confidence { stages, average, score: Score::MaxSoftmax }),
                );
                if mean_ms(&profile, &other) <= 2.6 {
                    best = best.max(near(&other));
                }
            }
        }
        assert!(found >= best - 1e-6, "{found} against {best}, average {average}");
    }
}

#[test]
fn a_learned_score_is_a_chance_and_decides_in_the_daemon_as_in_the_search() {
    let profile = samples::profile(400, &[(1.0, 0.7), (3.0, 0.8), (9.0, 0.9)]);
    let learner = Thresholds {
        scores: vec![Score::Learned],
        ..Thresholds::new(Goal::MostAccurate { mean_ms: 3.0 }, vec![0, 1, 2])
    };
    let policy = learner.learn(&profile, &all(&profile)).unwrap();
    let Plan::Confidence(confidence) = policy.plan() else { panic!("{}", policy.kind()) };
    assert_eq!(confidence.score, Score::Learned);
    assert!(
        confidence
            .stages
            .iter()
            .all(|stage| stage.chance.is_some() == stage.accept_above.is_some())
    );
    assert!(mean_ms(&profile, &policy) <= 3.0 + 1e-6);
    assert!(right(&profile, &policy) as u64 > profile.right_alone(0, &all(&profile)));
}

#[test]
fn the_least_time_is_read_off_the_line_and_not_off_one_lucky_count() {
    let one =
        |near: f64, top1: f64, mean_ms: f64| Fared { top1, near, mean_ms, ..Fared::default() };
    let mut fared: Vec<Fared> = (0..10)
        .map(|place| {
            one(
                0.70 + 0.005 * f64::from(place),
                0.80 + 0.005 * f64::from(place),
                1.0 + f64::from(place),
            )
        })
        .collect();
    assert_eq!(least(&fared, 0.82), Some(4));
    fared[1].top1 = 0.825; // by luck
    assert!(least(&fared, 0.82).is_some_and(|place| place >= 3), "{:?}", least(&fared, 0.82));
    fared.push(one(0.40, 0.30, 0.1)); // far below: of no account
    assert!(least(&fared, 0.82).is_some_and(|place| place >= 3));
    assert_eq!(least(&fared, 0.99), Some(9), "the nearest, where none is enough");
    assert_eq!((least(&[], 0.5), least(&fared[..1], 0.8)), (None, Some(0)));
}
