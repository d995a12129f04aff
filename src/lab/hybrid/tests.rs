//! Learned policies on made-up profiles: they decide in the daemon's code as they were learned,
//! keep to the goal and see no other frames.

use super::super::profile::samples;
use super::super::replay::replay;
use super::super::write::{Provenance, to_toml};
use super::*;
use crate::policy::file::PolicyFile;

fn all(profile: &Profile) -> Vec<usize> {
    (0..profile.cases.len()).collect()
}

fn learner(goal: Goal, engines: Vec<usize>, features: &[&str]) -> Hybrids {
    Hybrids::new(Thresholds::new(goal, engines), features)
}

fn mean_ms(profile: &Profile, policy: &Policy) -> f64 {
    let walks = replay(profile, policy, None, &all(profile));
    walks.iter().map(|walk| walk.ms).sum::<f64>() / walks.len() as f64
}

#[test]
fn more_time_buys_more_and_is_not_exceeded() {
    let profile = samples::profile(500, &[(1.0, 0.6), (3.0, 0.8), (9.0, 0.95)]);
    let mut before = 0.0;
    for budget in [1.5, 3.0, 6.0, 12.0] {
        let policy = learner(Goal::MostAccurate { mean_ms: budget }, vec![2, 0, 1], &[])
            .learn(&profile, &all(&profile))
            .unwrap();
        assert_eq!(policy.kind(), "hybrid");
        assert!(
            mean_ms(&profile, &policy) <= budget + 1e-6,
            "{budget}: {}",
            mean_ms(&profile, &policy)
        );
        let near = replay(&profile, &policy, None, &all(&profile))
            .iter()
            .map(|walk| walk.near)
            .sum::<f64>();
        assert!(near >= before, "{budget}: {near} after {before}");
        before = near;
    }
    assert!(before / 500.0 > 0.75, "{before}");
}

#[test]
fn least_time_is_less_than_that_of_the_engine_it_matches() {
    let profile = samples::profile(500, &[(1.0, 0.75), (3.0, 0.8), (9.0, 0.9)]);
    let goal = Goal::LeastTime { reference: 2, margin: -0.05 };
    let policy = learner(goal, vec![0, 1, 2], &[]).learn(&profile, &all(&profile)).unwrap();
    let walks = replay(&profile, &policy, None, &all(&profile));
    let right =
        walks.iter().zip(&profile.cases).filter(|(walk, case)| walk.is_right(case.label)).count()
            as f64;
    let (asked, ms) =
        (profile.right_alone(2, &all(&profile)) as f64 - 0.05 * 500.0, mean_ms(&profile, &policy));
    assert!(right >= asked && ms < 9.0, "{right} of {asked} in {ms} ms");
}

#[test]
fn a_feature_that_tells_who_is_right_chooses_the_entry() {
    let mut profile = samples::profile(600, &[(1.0, 0.5), (2.0, 0.5)]);
    let contrast = NAMES.iter().position(|name| *name == "contrast").unwrap();
    for case in 0..600 {
        // Where the contrast is low the cheap engine is right and the dear one wrong, elsewhere the
        // other way round; neither is surer.
        let low = case % 2 == 0;
        profile.cases[case].features.values[contrast] = if low { 10.0 } else { 90.0 };
        for (engine, right) in [(0, low), (1, !low)] {
            let label = profile.cases[case].label;
            let seen = profile.engines[engine].looks[case].as_mut().unwrap();
            for (place, top) in seen.top.iter_mut().enumerate().take(4) {
                top.class = (label + u32::from(!right) + place as u32) % 4;
                top.probability = if place == 0 { 0.7 } else { 0.1 };
            }
            (seen.margin, seen.entropy) = (0.6, 0.5);
        }
    }
    let goal = Goal::MostAccurate { mean_ms: 1.9 };
    let asked = |features: &[&str]| {
        let policy =
            learner(goal.clone(), vec![0, 1], features).learn(&profile, &all(&profile)).unwrap();
        let walks = replay(&profile, &policy, None, &all(&profile));
        walks.iter().zip(&profile.cases).filter(|(walk, case)| walk.is_right(case.label)).count()
    };
    assert!(
        asked(&["contrast"]) > 580 && asked(&[]) < 400,
        "{} {}",
        asked(&["contrast"]),
        asked(&[])
    );
}

#[test]
fn on_a_stream_the_last_outcome_chooses_the_entry() {
    // Scenes of 20 frames: the cheap engine is never right on every other scene and says so by
    // being unsure, the dear one always is.
    let mut profile = samples::profile(800, &[(1.0, 0.5), (4.0, 0.5)]);
    for case in 0..800 {
        let hard = case / 20 % 2 == 1;
        let label = profile.cases[case].label;
        (profile.cases[case].at_ms, profile.cases[case].group) =
            (Some(case as f64 * 100.0), (case / 20) as u32);
        profile.cases[case].glimpse.fill((case / 20 * 5) as u8);
        for (engine, right, sure) in [(0, !hard, if hard { 0.4 } else { 0.9 }), (1, true, 0.9)] {
            let seen = profile.engines[engine].looks[case].as_mut().unwrap();
            for (place, top) in seen.top.iter_mut().enumerate().take(4) {
                top.class = (label + u32::from(!right) + place as u32) % 4;
                top.probability = if place == 0 { sure } else { (1.0 - sure) / 3.0 };
            }
            (seen.margin, seen.entropy) = (sure - (1.0 - sure) / 3.0, 1.0 - sure);
        }
    }
    let goal = Goal::LeastTime { reference: 1, margin: -0.02 };
    let policy = learner(goal, vec![0, 1], &[]).learn(&profile, &all(&profile)).unwrap();
    let walks = replay(&profile, &policy, None, &all(&profile));
    let at_once = walks.iter().filter(|walk| walk.asked.as_slice() == [1]).count();
    assert!(at_once > 300, "{at_once} of 400 hard frames go to the dear engine at once");
}

#[test]
fn a_written_hybrid_read_back_decides_as_the_one_in_memory_and_other_frames_change_nothing() {
    let profile = samples::profile(300, &[(1.0, 0.6), (3.0, 0.8), (9.0, 0.9)]);
    let learner =
        learner(Goal::MostAccurate { mean_ms: 3.0 }, vec![0, 1, 2], &["contrast", "sharpness"]);
    let training: Vec<usize> = (0..200).collect();
    let policy = learner.learn(&profile, &training).unwrap();
    let text = to_toml(
        &policy,
        &profile,
        &Provenance {
            name: "hybrid".into(),
            description: "For a test.".into(),
            ..Provenance::default()
        },
    )
    .unwrap();
    let file = PolicyFile::parse(&text, std::path::Path::new("hybrid")).unwrap();
    let read = file.bind(&profile.engine_infos(), crate::features::schema()).unwrap();
    assert_eq!(
        replay(&profile, &read, None, &all(&profile)),
        replay(&profile, &policy, None, &all(&profile))
    );
    assert!(
        file.bind(&profile.engine_infos(), "squint-features-0:00000000").is_err(),
        "another feature schema is refused"
    );

    let mut other = profile.clone();
    other.cases.iter_mut().skip(200).for_each(|case| case.label = (case.label + 1) % 4);
    other
        .engines
        .iter_mut()
        .for_each(|engine| engine.looks.iter_mut().skip(200).for_each(|look| *look = None));
    assert_eq!(
        format!("{:?}", learner.learn(&other, &training).unwrap().plan()),
        format!("{:?}", policy.plan())
    );
}

#[test]
fn engines_that_failed_and_unknown_features_do_no_harm() {
    let mut profile = samples::profile(100, &[(1.0, 0.6), (3.0, 0.8)]);
    profile.engines[1].looks.iter_mut().for_each(|look| *look = None);
    let policy = learner(Goal::MostAccurate { mean_ms: 9.0 }, vec![0, 1], &[])
        .learn(&profile, &all(&profile))
        .unwrap();
    assert_eq!(replay(&profile, &policy, None, &[0]).len(), 1);
    let error = learner(Goal::MostAccurate { mean_ms: 9.0 }, vec![0, 1], &["colour"])
        .learn(&profile, &all(&profile))
        .unwrap_err();
    assert!(
        error.to_string().contains("colour") && error.to_string().contains("contrast"),
        "{error}"
    );
}
