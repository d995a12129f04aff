//! The search against the real policy and against trying everything; fits of made-up engines whose best use is known.

use std::path::Path;

use super::replay::policy_of;
use super::*;
use crate::lab::EngineColumn;
use crate::policy::Plan;
use crate::policy::file::{EngineInfo, Made, PolicyFile};
use crate::stats::unit;

const CLASSES: usize = 6;

/// Engines of given time and skill on `photos` photos of varying difficulty. A skilled engine is right on harder photos; how sure it
/// says it is follows how easy it found the photo, plus noise.
fn made_up(photos: usize, engines: &[(f64, f64)], seed: u64) -> Observations {
    let draw = |a: u64, b: u64| unit(splitmix64(splitmix64(seed ^ a) ^ b));
    let labels: Vec<u32> = (0..photos as u64).map(|photo| (draw(1, photo) * CLASSES as f64) as u32).collect();
    let column = |(place, &(mean_ms, skill)): (usize, &(f64, f64))| {
        let mut probabilities = Vec::new();
        for photo in 0..photos as u64 {
            let ease = skill - draw(2, photo) + 0.3 * (draw(10 + place as u64, photo) - 0.5);
            let sure = (0.55 + ease.abs()).clamp(0.3, 0.97) as f32;
            let right = labels[photo as usize] as usize;
            let class = if ease > 0.0 { right } else { (right + 1 + (draw(50 + place as u64, photo) * 5.0) as usize) % CLASSES };
            let sure = if ease > 0.0 { sure } else { sure.min(0.6) };
            probabilities.extend((0..CLASSES).map(|other| if other == class { sure } else { (1.0 - sure) / (CLASSES - 1) as f32 }));
        }
        EngineColumn { id: format!("e{place}"), sha256: format!("{place}").repeat(64), mean_ms, probabilities }
    };
    Observations { engines: engines.iter().enumerate().map(column).collect(), classes: CLASSES, labels }
}

fn space<'s>(observations: &'s Observations, views: &'s Views, stages: usize, steps: usize) -> Space<'s> {
    Space { observations, views, averages: &[true, false], scores: &Score::ALL, stages, steps, rising: false }
}

fn judged(observations: &Observations, structure: &Structure) -> Figures {
    let walks: Vec<Walk> = walk_all(observations, structure, 0..observations.photos()).map(|(_, walk)| walk).collect();
    figures(observations, &walks)
}

#[test]
fn search_counts_what_the_real_policy_does() {
    for seed in 0..12 {
        let observations = made_up(150, &[(1.0, 0.5), (2.5, 0.65), (3.0, 0.6), (9.0, 0.85)], seed);
        let views = Views::new(&observations, true, 4);
        let all = Bits::collect(150, |_| true);
        for (average, score) in
            [(true, Score::MaxSoftmax), (true, Score::Margin), (false, Score::MaxSoftmax), (false, Score::Margin)]
        {
            let space = Space { averages: &[average], scores: &[score], ..space(&observations, &views, 4, 9) };
            for aim in [Aim::Fastest { right: 110 }, Aim::Fastest { right: 90 }, Aim::MostRight { time: 600.0 }] {
                let Some(found) = search(&space, &all, aim) else { continue };
                let real = judged(&observations, &found.structure);
                assert_eq!(real.right, u64::from(found.right), "{:?}", found.structure);
                assert!((real.mean_ms * 150.0 - found.time).abs() < 1e-6, "{:?}", found.structure);
                match aim {
                    Aim::Fastest { right } => assert!(found.right >= right),
                    Aim::MostRight { time } => assert!(found.time <= time),
                }
            }
        }
    }
}

#[test]
fn search_finds_what_trying_everything_finds() {
    for seed in 0..6 {
        let observations = made_up(60, &[(1.0, 0.4), (2.0, 0.6), (5.0, 0.8)], 100 + seed);
        let views = Views::new(&observations, true, 3);
        let all = Bits::collect(60, |_| true);
        let mut everything = Vec::new();
        for (average, score) in
            [(true, Score::MaxSoftmax), (true, Score::Margin), (false, Score::MaxSoftmax), (false, Score::Margin)]
        {
            let cuts = |set| views.get(set).unwrap().cuts(score, &all, 4).into_iter().map(|cut| cut.limit).collect::<Vec<f32>>();
            let mut note = |stages| everything.push(judged(&observations, &Structure { stages, average, score }));
            for a in 0..3usize {
                note(vec![(a, None)]);
                for b in (0..3).filter(|b| *b != a) {
                    let c = 3 - a - b;
                    for first in cuts(1 << a) {
                        note(vec![(a, Some(first)), (b, None)]);
                        for second in cuts(if average { 1 << a | 1 << b } else { 1 << b }) {
                            note(vec![(a, Some(first)), (b, Some(second)), (c, None)]);
                        }
                    }
                }
            }
        }
        for needed in [30, 40, 45, 50, 60] {
            let found = search(&space(&observations, &views, 3, 4), &all, Aim::Fastest { right: needed });
            let able = everything.iter().filter(|figures| figures.right >= u64::from(needed));
            let best = able.map(|figures| figures.mean_ms).min_by(f64::total_cmp);
            match (found, best) {
                (Some(found), Some(best)) => {
                    assert!((found.time / 60.0 - best).abs() < 1e-9, "{needed}: {} {best}", found.time / 60.0)
                }
                (None, None) => {}
                other => panic!("{needed}: {other:?}"),
            }
        }
        for time in [1.0, 2.0, 4.0, 6.0] {
            let found = search(&space(&observations, &views, 3, 4), &all, Aim::MostRight { time: time * 60.0 }).unwrap();
            let best = everything.iter().filter(|figures| figures.mean_ms <= time + 1e-9).map(|figures| figures.right).max();
            assert_eq!(Some(u64::from(found.right)), best, "within {time} ms");
        }
    }
}

#[test]
fn cascade_that_is_as_accurate_and_faster_is_found_and_holds_up() {
    let observations = made_up(600, &[(1.0, 0.6), (4.0, 0.75), (12.0, 0.9)], 5);
    let fit = fit(&observations, &Objective { averages: vec![true, false], ..Objective::default() }).unwrap();
    assert_eq!(observations.engines[fit.reference].id, "e2");
    assert!(fit.in_sample.top1 >= fit.reference_alone.top1);
    assert!(fit.cross_validated.top1 >= fit.reference_alone.top1 - 0.02, "{fit:?}");
    assert!(fit.cross_validated.mean_ms < 0.75 * fit.reference_alone.mean_ms, "{fit:?}");
    assert_eq!((fit.cross_validated.photos, fit.fold_structures.len()), (600, 10));
    let shown: f64 = fit.in_sample.asked.iter().zip(&observations.engines).map(|(share, engine)| share * engine.mean_ms).sum();
    assert!((shown - fit.in_sample.mean_ms).abs() < 1e-9, "shares of engines make up the time");
}

#[test]
fn rising_chains_never_go_on_to_a_weaker_engine() {
    let observations = made_up(150, &[(1.0, 0.5), (2.5, 0.7), (3.0, 0.6), (9.0, 0.85)], 4);
    let views = Views::new(&observations, true, 4);
    let all = Bits::collect(150, |_| true);
    let right = |engine: usize| views.get(1 << engine).unwrap().right.count();
    for needed in [80, 100, 120, 130] {
        let space = Space { rising: true, ..space(&observations, &views, 4, 9) };
        let Some(found) = search(&space, &all, Aim::Fastest { right: needed }) else { continue };
        assert!(found.structure.stages.is_sorted_by_key(|stage| right(stage.0)), "{found:?}");
    }
}

#[test]
fn fit_does_not_depend_on_chance() {
    let observations = made_up(120, &[(1.0, 0.5), (3.0, 0.8)], 9);
    let objective = Objective { folds: 4, ..Objective::default() };
    assert_eq!(fit(&observations, &objective).unwrap(), fit(&observations, &objective).unwrap());
}

#[test]
fn most_accurate_within_a_time_keeps_to_it() {
    let observations = made_up(200, &[(1.0, 0.5), (3.0, 0.7), (9.0, 0.9)], 3);
    let within = |mean_ms| Objective { goal: Goal::MostAccurate { mean_ms }, folds: 4, stages: 3, ..Objective::default() };
    let (tight, loose) = (fit(&observations, &within(2.0)).unwrap(), fit(&observations, &within(6.0)).unwrap());
    assert!(tight.in_sample.mean_ms <= 2.0 && loose.in_sample.mean_ms <= 6.0);
    assert!(loose.in_sample.top1 > tight.in_sample.top1);
    assert!(matches!(fit(&observations, &within(0.5)), Err(LabError::Unreachable { .. })));
}

#[test]
fn written_policy_reads_back_and_decides_alike() {
    let observations = made_up(200, &[(1.0, 0.6), (3.0, 0.75), (9.0, 0.9)], 5);
    let made = Made::default().with("tool", "squint train").with("machine", "a \"test\"");
    let provenance = Provenance { name: "made-up".into(), description: String::new(), made };
    for stages in [3, 1] {
        let fit = fit(&observations, &Objective { stages, folds: 4, ..Objective::default() }).unwrap();
        let text = to_policy_toml(&fit, &provenance).unwrap();
        let file = PolicyFile::parse(&text, Path::new("made-up.policy.toml")).unwrap();
        assert_eq!(file.made().number("n"), Some(200.0));
        let info = |engine: &EngineColumn| EngineInfo {
            id: engine.id.clone(),
            sha256: engine.sha256.clone(),
            labels_sha256: String::new(),
        };
        let engines: Vec<EngineInfo> = observations.engines.iter().map(info).collect();
        let read = file.bind(&engines, "").unwrap();
        match (read.plan(), policy_of(&fit.structure).plan()) {
            (Plan::Confidence(read), Plan::Confidence(fitted)) => assert_eq!(read, fitted),
            (Plan::Fixed { engine, fallback: None }, Plan::Fixed { engine: fitted, .. }) => assert_eq!(engine, fitted),
            other => panic!("{other:?}"),
        }
    }
    let fit = fit(&observations, &Objective { folds: 4, ..Objective::default() }).unwrap();
    assert!(matches!(to_policy_toml(&fit, &Provenance::default()), Err(LabError::Policy(_))), "a policy needs a name");
}

#[test]
fn tables_and_wishes_that_make_no_sense_are_refused() {
    let good = made_up(50, &[(1.0, 0.5), (3.0, 0.8)], 1);
    let refuse = |change: &dyn Fn(&mut Observations, &mut Objective)| {
        let (mut observations, mut objective) = (good.clone(), Objective { folds: 5, ..Objective::default() });
        change(&mut observations, &mut objective);
        fit(&observations, &objective).unwrap_err().to_string()
    };
    assert!(refuse(&|o, _| o.labels[3] = 6).contains("below the 6 classes"));
    assert!(refuse(&|o, _| o.engines[1].probabilities.truncate(299)).contains("values of `e1`: 299, needed: 300"));
    assert!(refuse(&|o, _| o.engines[0].probabilities[7] = f32::NAN).contains("a probability of `e0`"));
    assert!(refuse(&|o, _| o.engines[1].id = "e0".into()).contains("`e0` twice"));
    assert!(refuse(&|o, _| o.engines[1].mean_ms = 0.0).contains("mean time of `e1`"));
    assert!(refuse(&|o, _| o.engines.clear()).contains("number of engines"));
    assert!(refuse(&|_, w| w.folds = 1).contains("folds: 1"));
    assert!(
        refuse(&|_, w| w.goal = Goal::Fastest { engine: Some("e7".into()), margin: 0.0 }).contains("there are those of e0, e1")
    );
    assert!(refuse(&|_, w| w.goal = Goal::Fastest { engine: None, margin: 0.9 }).contains("the top-1 of `e1` +90.0 points"));
}
