//! What must hold of every learner and every policy, on made-up profiles. A new learner is added to
//! [`learners`].
//!
//! For tests only.

use std::sync::{Arc, Mutex};

use proptest::prelude::*;

use super::LabError;
use super::choose::{Chooser, Objective};
use super::crossval::{ENOUGH, Learner, folds, judge};
use super::evaluate::{Entry, Line, evaluate};
use super::hybrid::Hybrids;
use super::paper::{Method, OnNone, PaperChain};
use super::profile::{Profile, samples};
use super::replay::{Walk, replay};
use super::thresholds::{Goal, Thresholds};
use crate::engine::EngineIdx;
use crate::policy::confidence::Score;
use crate::policy::random::Mix;
use crate::policy::{Plan, Policy};

/// One of each kind, `averages` or not.
fn learners(profile: &Profile, averages: bool) -> Vec<Box<dyn Learner>> {
    let (engines, reference): (Vec<usize>, usize) =
        ((0..profile.engines.len()).collect(), profile.most_capable());
    let goal = Goal::LeastTime { reference, margin: 0.0 };
    let thresholds =
        |goal| Thresholds { averages: vec![averages], ..Thresholds::new(goal, engines.clone()) };
    let candidates: Vec<Box<dyn Learner>> = vec![
        Box::new(thresholds(goal.clone())),
        Box::new(PaperChain { on_none: OnNone::MostCapable, ..PaperChain::default() }),
    ];
    let mut all: Vec<Box<dyn Learner>> = vec![
        Box::new(PaperChain::default()),
        Box::new(PaperChain {
            method: Method::Alternate,
            on_none: OnNone::MostCapable,
            ..PaperChain::default()
        }),
        Box::new(thresholds(goal)),
        Box::new(thresholds(Goal::MostAccurate { mean_ms: 3.0 })),
        Box::new(Thresholds {
            scores: vec![Score::Margin],
            ..thresholds(Goal::MostAccurate { mean_ms: 3.0 })
        }),
        Box::new(Chooser {
            candidates,
            objective: Objective::LeastTime { reference, margin: 0.0 },
            folds: 3,
            seed: 2,
            reuse: None,
        }),
    ];
    if averages {
        let learned = Thresholds {
            scores: vec![Score::Learned],
            ..thresholds(Goal::MostAccurate { mean_ms: 3.0 })
        };
        all.push(Box::new(Hybrids::new(learned.clone(), &["contrast"])));
        all.push(Box::new(learned));
    }
    all
}

fn somebody_right(profile: &Profile, case: usize) -> bool {
    profile.engines.iter().any(|engine| engine.is_right(case, profile.cases[case].label))
}

fn entry(walks: Vec<Walk>) -> Entry {
    Entry {
        name: "p".into(),
        kind: "k".into(),
        judged: "j".into(),
        trained_on_this: false,
        walks,
        policy_ms: 0.0,
    }
}

fn profiles() -> impl Strategy<Value = Profile> {
    (12usize..40, prop::collection::vec((0.5f64..9.0, 0.1f64..1.0), 1..5))
        .prop_map(|(n, engines)| samples::profile(n, &engines))
}

/// Asks engine 0; remembers how many frames it was shown.
struct Counts(Mutex<Vec<usize>>);

impl Learner for Arc<Counts> {
    fn name(&self) -> String {
        "counts".into()
    }

    fn learn(&self, _: &Profile, training: &[usize]) -> Result<Policy, LabError> {
        self.0.lock().unwrap().push(training.len());
        Ok(Policy::new("p", Plan::Fixed { engine: EngineIdx(0), fallback: None }))
    }
}

#[test]
fn of_very_many_photos_candidates_are_compared_on_a_draw_and_the_chosen_one_learns_from_all() {
    let profile = samples::profile(ENOUGH + 500, &[(1.0, 0.5)]);
    let counts = Arc::new(Counts(Mutex::default()));
    let candidates: Vec<Box<dyn Learner>> =
        vec![Box::new(Arc::clone(&counts)), Box::new(Arc::clone(&counts))];
    let chooser = Chooser {
        candidates,
        objective: Objective::MostAccurate { mean_ms: 9.0 },
        folds: 4,
        seed: 1,
        reuse: None,
    };
    chooser.learn(&profile, &(0..ENOUGH + 500).collect::<Vec<_>>()).unwrap();
    let seen = counts.0.lock().unwrap().clone();
    assert_eq!(seen, [vec![ENOUGH / 4 * 3; 8], vec![ENOUGH + 500]].concat());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// An average of several answers may be right where no engine is, so averages are left out:
    /// there the oracle is no bound.
    #[test]
    fn the_oracle_is_never_beaten_on_any_frame_by_a_policy_that_gives_an_engines_answer(profile in profiles(), seed in 0u64..9) {
        let fold_of = folds(&profile, 4, seed).unwrap();
        let cases: Vec<usize> = (0..profile.cases.len()).collect();
        let mut all: Vec<Vec<Walk>> = learners(&profile, false)
            .iter()
            .map(|learner| judge(&profile, learner.as_ref(), &fold_of, None).unwrap().walks)
            .collect();
        let shares: Vec<(EngineIdx, f32)> =
            (0..profile.engines.len()).map(|engine| (EngineIdx(engine as u8), 1.0 / profile.engines.len() as f32)).collect();
        let plans = [Plan::Random(Mix::new(seed, &shares).unwrap()), Plan::Fixed { engine: EngineIdx(0), fallback: None }];
        all.extend(plans.map(|plan| replay(&profile, &Policy::new("p", plan), None, &cases)));
        let report = evaluate(&profile, &all.iter().cloned().map(entry).collect::<Vec<_>>(), 4, seed);
        for (walks, score) in all.iter().zip(&report.policies) {
            for (case, walk) in walks.iter().enumerate() {
                prop_assert!(!walk.is_right(profile.cases[case].label) || somebody_right(&profile, case), "frame {case}");
            }
            prop_assert!(score.top1 <= report.oracle.top1 + 1e-12 && score.regret_top1 >= -1e-9);
            prop_assert!(score.paper_score >= score.top1 && score.paper_score <= 1.0);
        }
        for engine in &report.engines {
            prop_assert!(engine.top1 <= report.oracle.top1 + 1e-12);
        }
        let cheapest = profile.engines.iter().map(|engine| engine.mean_ms).fold(f64::MAX, f64::min);
        prop_assert!(report.oracle.mean_ms >= cheapest - 1e-9);
    }

    #[test]
    fn no_learner_heeds_frames_outside_its_training(profile in profiles(), split in 8usize..12) {
        let mut other = profile.clone();
        for case in split..profile.cases.len() {
            other.cases[case].features.values = [9e3; crate::features::COUNT];
            other.cases[case].features_ms = 77.0;
            other.cases[case].label = (profile.cases[case].label + 1) % profile.classes;
            other.engines.iter_mut().for_each(|engine| engine.looks[case] = None);
        }
        let (training, all): (Vec<usize>, Vec<usize>) = ((0..split).collect(), (0..profile.cases.len()).collect());
        for learner in learners(&profile, true) {
            let seen = learner.learn(&profile, &training).unwrap();
            let blind = learner.learn(&other, &training).unwrap();
            prop_assert_eq!(replay(&profile, &seen, None, &all), replay(&profile, &blind, None, &all), "{}", learner.name());
        }
    }

    #[test]
    fn the_noskill_line_is_monotone_and_never_below_an_engine_or_a_mix(profile in profiles(), share in 0f64..1.0) {
        let line = Line::of(&profile);
        let figures: Vec<(f64, f64)> = evaluate(&profile, &[], 0, 1).engines.iter().map(|engine| (engine.mean_ms, engine.top1)).collect();
        let steps: Vec<f64> = (0..200).map(|step| line.top1_at(0.05 * f64::from(step))).collect();
        prop_assert!(steps.windows(2).all(|pair| pair[1] >= pair[0] - 1e-12));
        for a in &figures {
            for b in &figures {
                let mix = (a.0 + (b.0 - a.0) * share, a.1 + (b.1 - a.1) * share);
                prop_assert!(line.top1_at(mix.0) >= mix.1 - 1e-9, "{a:?} {b:?}");
            }
        }
    }
}
