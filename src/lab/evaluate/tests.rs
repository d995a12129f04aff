//! Figures of made-up profiles: what is known beforehand comes out, and what must hold of all
//! figures holds.

use proptest::prelude::*;

use super::*;
use crate::engine::EngineIdx;
use crate::lab::profile::samples;
use crate::lab::replay::replay;
use crate::policy::random::Mix;
use crate::policy::{Plan, Policy};

fn entry(profile: &Profile, plan: Plan) -> Entry {
    let cases: Vec<usize> = (0..profile.cases.len()).collect();
    let walks = replay(profile, &Policy::new("p", plan), None, &cases);
    Entry {
        name: "p".into(),
        kind: "k".into(),
        judged: "as given".into(),
        trained_on_this: false,
        walks,
        policy_ms: 0.25,
    }
}

fn fixed(engine: u8) -> Plan {
    Plan::Fixed { engine: EngineIdx(engine), fallback: None }
}

#[test]
fn one_engine_as_a_policy_has_that_engines_figures_and_bears_the_overhead() {
    let profile = samples::profile(400, &[(1.0, 0.6), (4.0, 0.9)]);
    let report = evaluate(&profile, &[entry(&profile, fixed(1))], 0, 1);
    let policy = &report.policies[0];
    assert_eq!(report.most_capable, "e1");
    assert_eq!(
        (policy.top1, policy.top1_diff, policy.coverage),
        (report.engines[1].top1, 0.0, 1.0)
    );
    assert!((policy.mean_ms - (4.0 + 0.1 + 0.25)).abs() < 1e-6, "{}", policy.mean_ms);
    assert!(
        (policy.speedup - 4.0 / policy.mean_ms).abs() < 1e-9 && policy.noskill_gain.abs() < 1e-9
    );
    let total: f64 = report.engines.iter().map(|engine| engine.cheapest_right).sum();
    assert!((total - report.oracle.top1).abs() < 1e-9);
}

#[test]
fn no_answer_is_wrong_in_top1_and_only_the_papers_score_excuses_it() {
    let profile = samples::profile(200, &[(1.0, 0.5)]);
    let mut silent = entry(&profile, fixed(0));
    silent.walks.iter_mut().for_each(|walk| walk.top.clear());
    let report = evaluate(&profile, &[silent], 0, 1);
    let policy = &report.policies[0];
    assert_eq!(
        (policy.top1, policy.coverage, policy.selective_top1, policy.recall),
        (0.0, 0.0, 0.0, 0.0)
    );
    assert!((policy.paper_score - (1.0 - report.oracle.top1)).abs() < 1e-9);
    assert!((policy.errors.abstained - report.oracle.top1).abs() < 1e-9);
}

#[test]
fn drawing_lots_shows_no_gain() {
    let profile = samples::profile(4000, &[(1.0, 0.5), (9.0, 0.9)]);
    let plan = Plan::Random(Mix::new(5, &[(EngineIdx(0), 0.5), (EngineIdx(1), 0.5)]).unwrap());
    let mut drawn = entry(&profile, plan);
    (drawn.policy_ms, _) = (0.0, drawn.walks.iter_mut().for_each(|walk| walk.ms -= 0.1));
    let report = evaluate(&profile, &[drawn], 0, 1);
    let policy = &report.policies[0];
    assert!(
        policy.noskill_gain_ci95.low < 0.0 && policy.noskill_gain_ci95.high > 0.0,
        "{:?}",
        policy.noskill_gain_ci95
    );
}

#[test]
fn frames_of_one_photo_widen_the_interval() {
    let mut profile = samples::profile(400, &[(1.0, 0.6), (4.0, 0.8)]);
    // Eight frames of each photo, all alike.
    for place in 0..400 {
        let first = place - place % 8;
        let look = |engine: usize| profile.engines[engine].looks[first];
        let (a, b, label) = (look(0), look(1), profile.cases[first].label);
        (profile.engines[0].looks[place], profile.engines[1].looks[place]) = (a, b);
        profile.cases[place].label = label;
    }
    let width = |profile: &Profile| {
        let ci = evaluate(profile, &[entry(profile, fixed(0))], 0, 1).policies[0].top1_diff_ci95;
        ci.high - ci.low
    };
    let independent = width(&profile);
    profile.cases.iter_mut().enumerate().for_each(|(place, case)| case.group = place as u32 / 8);
    assert!(width(&profile) > 1.8 * independent, "{} {independent}", width(&profile));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    #[test]
    fn figures_hold_together(
        n in 5usize..60,
        engines in prop::collection::vec((0.5f64..9.0, 0.1f64..1.0), 1..6),
        pick in 0u8..6,
    ) {
        let profile = samples::profile(n, &engines);
        let engine = pick % engines.len() as u8;
        let report = evaluate(&profile, &[entry(&profile, fixed(engine))], 0, 1);
        let policy = &report.policies[0];
        prop_assert!(policy.top1 <= report.oracle.top1 + 1e-12, "the oracle is never beaten by an engine's own answers");
        prop_assert!((policy.coverage * policy.selective_top1 - policy.top1).abs() < 1e-9);
        let errors = &policy.errors;
        prop_assert!((errors.nobody_right + errors.abstained + errors.overruled + errors.not_asked - (1.0 - policy.top1)).abs() < 1e-9);
        prop_assert!(policy.shares.iter().map(|share| share.answered).sum::<f64>() <= 1.0 + 1e-9);
        prop_assert!(policy.reliability.iter().map(|bin| bin.n).sum::<u64>() == n as u64);
        for figure in [policy.precision, policy.recall, policy.f1, policy.paper_score, policy.top5] {
            prop_assert!((0.0..=1.0).contains(&figure));
        }
    }

    #[test]
    fn the_noskill_line_rises_ever_more_slowly_and_no_engine_is_above_it(engines in prop::collection::vec((0.5f64..9.0, 0.1f64..1.0), 1..8)) {
        let profile = samples::profile(50, &engines);
        let line = Line::of(&profile);
        let steps: Vec<f64> = (0..100).map(|step| line.top1_at(0.1 * f64::from(step))).collect();
        prop_assert!(steps.windows(2).all(|pair| pair[1] >= pair[0] - 1e-12));
        for engine in evaluate(&profile, &[], 0, 1).engines {
            prop_assert!(engine.top1 <= line.top1_at(engine.mean_ms) + 1e-9);
            prop_assert!(line.ms_at(engine.top1).is_some_and(|ms| ms <= engine.mean_ms + 1e-9));
        }
        let corners = line.corners(&profile);
        let slopes: Vec<f64> = corners.windows(2).map(|pair| (pair[1].top1 - pair[0].top1) / (pair[1].mean_ms - pair[0].mean_ms)).collect();
        prop_assert!(slopes.windows(2).all(|pair| pair[1] <= pair[0] + 1e-9) && slopes.iter().all(|slope| *slope > 0.0));
    }
}

#[test]
fn a_frame_answered_again_is_no_change_of_engine_and_hides_none() {
    let mut profile = samples::profile(6, &[(1.0, 0.6), (4.0, 0.8)]);
    profile
        .cases
        .iter_mut()
        .enumerate()
        .for_each(|(place, case)| case.at_ms = Some(100.0 * place as f64));
    let looked = |engine: u8| Walk {
        asked: [engine].into_iter().collect(),
        top: [0].into_iter().collect(),
        ..Walk::default()
    };
    let again = || Walk { reused: true, top: [0].into_iter().collect(), ..Walk::default() };
    let score = |walks: Vec<Walk>| {
        evaluate(&profile, &[Entry { walks, ..entry(&profile, fixed(0)) }], 0, 1).policies[0]
            .clone()
    };
    let steady = score(vec![looked(0), again(), looked(0), again(), again(), looked(0)]);
    assert_eq!((steady.changes, steady.reused), (0.0, 0.5));
    let changing = score(vec![looked(0), again(), looked(1), looked(1), again(), looked(0)]);
    assert!((changing.changes - 2.0 / 6.0).abs() < 1e-12, "{}", changing.changes);
}
