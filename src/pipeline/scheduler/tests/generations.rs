//! Another engine set in force, and other modes, between two frames.

use crate::policy::{Plan, Policy, Reuse, hybrid::Hybrid};
use crate::premodel::Scale;
use crate::vocabulary::EngineHealth;

use super::super::*;
use super::harness::{Harness, LIMIT, generation, live, lossless, ms};

#[test]
fn frames_that_have_begun_stay_with_their_engines_and_new_ones_go_to_the_new() {
    let mut harness = Harness::new(&[5, 10], false, vec![live(1000), lossless(1000)]);
    harness.send(0);
    harness.answer(0, 1, 0.5); // goes on to the second engine of the first generation
    harness.send(1);
    harness.send(1);
    harness.scheduler.swap_engines(
        generation(1, &[5, 10], false, LIMIT),
        harness.now,
        &mut harness.log,
    );
    assert!(harness.log.dropped.is_empty(), "it has two frames to finish");
    harness.send(0);
    assert_eq!(
        harness.log.held.iter().filter(|held| held.is_some()).count(),
        3,
        "both generations work at the same time"
    );
    let engines = |harness: &Harness| {
        harness
            .log
            .published
            .iter()
            .map(|job| job.report.engines[0].to_string())
            .collect::<Vec<_>>()
    };
    harness.answer(1, 1, 0.9);
    assert_eq!(engines(&harness), ["0-0"]);
    harness.answer(0, 1, 0.9); // the first frame of camera 1; its second one goes to the new generation
    assert_eq!((engines(&harness).len(), &*harness.log.dropped), (2, &[0][..]));
    harness.answer(2, 1, 0.9); // engine 0 of the new generation
    harness.answer(2, 1, 0.9);
    assert_eq!(engines(&harness), ["0-0", "0-0", "1-0", "1-0"]);
    assert_eq!((harness.log.lost.len(), harness.scheduler.generations.len()), (0, 1));
    let labels: Vec<_> = harness
        .log
        .published
        .iter()
        .map(|job| std::sync::Arc::as_ptr(&job.report.labels))
        .collect();
    assert!(
        labels.iter().all(|one| *one == labels[0]),
        "the same names are kept once, however often engine sets change"
    );
    assert!(harness.told().iter().all(|told| told.2 == Outcome::Answered));
}

#[test]
fn a_stuck_engine_does_not_keep_its_generation_and_its_late_return_harms_nobody() {
    let mut harness = Harness::with(generation(0, &[5, 10], false, LIMIT), vec![lossless(100)]);
    harness.send(0);
    harness.pass(LIMIT);
    harness.answer(1, 1, 0.9);
    harness.scheduler.swap_engines(
        generation(1, &[5, 10], false, LIMIT),
        harness.now,
        &mut harness.log,
    );
    assert_eq!(harness.log.dropped, [0]);
    assert!(
        harness
            .scheduler
            .engines(harness.now)
            .iter()
            .all(|engine| engine.health == EngineHealth::Ready)
    );
    let late = harness.log.held[0].take().unwrap();
    harness.scheduler.look_finished(late, harness.now, &mut harness.log);
    harness.send(0);
    harness.answer(2, 1, 0.9);
    assert_eq!((harness.log.published.len(), harness.log.returned.len()), (2, 0));
}

#[test]
fn an_answer_of_the_old_generation_is_not_given_again_by_the_new() {
    let reuse = Some(Reuse { max_change: 0.02, max_age: ms(10_000) });
    let mut harness = Harness::new(&[5], false, vec![CameraTerms { reuse, ..live(1000) }]);
    harness.send(0);
    harness.answer(0, 1, 0.9);
    harness.send(0);
    assert_eq!(harness.told()[1].2, Outcome::Reused);
    harness.send_grey(0, 0, 10); // changed: looked at by the old generation while the new one comes
    harness.scheduler.swap_engines(
        generation(1, &[5], false, LIMIT),
        harness.now,
        &mut harness.log,
    );
    harness.answer(0, 2, 0.9);
    harness.send_grey(0, 0, 10);
    assert!(harness.log.held[1].is_some(), "looked at afresh");
    harness.answer(1, 2, 0.9);
    harness.send_grey(0, 0, 10);
    assert_eq!(harness.told().last().unwrap().2, Outcome::Reused);
}

#[test]
fn paused_nothing_is_looked_at_and_eco_asks_the_cheapest_engine_alone() {
    let mut harness = Harness::new(&[5, 10], false, vec![live(1000)]);
    harness.send(0);
    harness.scheduler.set_mode(Mode::Paused, harness.now, &mut harness.log);
    harness.answer(0, 1, 0.3);
    assert_eq!(
        harness.told(),
        [(0, 0, Outcome::Answered, Code::NotAllowed)],
        "what has begun is answered as it stands"
    );
    harness.send(0);
    assert_eq!(harness.told()[1], (0, 1, Outcome::Abstained, Code::Paused));
    harness.scheduler.set_mode(Mode::Eco, harness.now, &mut harness.log);
    harness.send(0);
    harness.answer(0, 1, 0.3);
    assert_eq!(
        harness.told()[2],
        (0, 2, Outcome::Answered, Code::NotAllowed),
        "however unsure it is"
    );
    harness.send(0);
    harness.fail(0);
    assert_eq!(harness.log.asked.last(), Some(&(1, 0, 3)), "the cheapest that is fit");
    harness.answer(1, 1, 0.9);
    harness.scheduler.swap_engines(
        generation(1, &[5, 10], false, LIMIT),
        harness.now,
        &mut harness.log,
    );
    assert_eq!(harness.scheduler.mode(), Mode::Auto, "a new engine set begins in the usual way");
}

#[test]
fn a_frame_without_features_is_decided_by_the_policy_that_needs_none_and_refused_by_one_that_does()
{
    // It reads a feature and knows no engine: it abstains from every frame.
    let scale = Scale { feature: 0, min: 0.0, max: 1.0 };
    let hybrid =
        Hybrid { members: Default::default(), price: 1.0, scales: vec![scale], states: Vec::new() };
    let reads = |id| {
        let plain = generation(id, &[5], false, LIMIT);
        Generation { policy: Policy::new("reads", Plan::Hybrid(Box::new(hybrid.clone()))), ..plain }
    };
    let mut harness = Harness::new(&[5], false, vec![lossless(1000)]);
    harness.measured = false;
    harness.send(0);
    harness.send(0); // waits its turn
    harness.scheduler.swap_engines(reads(1), harness.now, &mut harness.log);
    harness.send(0);
    assert_eq!(harness.log.unmeasured, 1, "measured first, then handed over again");
    harness.measured = true;
    harness.send(0);
    harness.answer(0, 1, 0.9);
    assert!(
        harness.log.dropped.is_empty(),
        "the frame that waits still needs the generation before"
    );
    harness.answer(0, 1, 0.9);
    let outcomes: Vec<_> = harness.told().iter().map(|told| told.2).collect();
    assert_eq!(outcomes, [Outcome::Answered, Outcome::Answered, Outcome::Abstained]);
    assert_eq!(harness.log.dropped, [0]);
}
