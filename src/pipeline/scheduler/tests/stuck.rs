//! Engines that do not come back in time.

use crate::vocabulary::EngineHealth;

use super::super::*;
use super::harness::{Harness, LIMIT, generation, live, lossless, ms};

fn harness(costs: &[u64], cameras_terms: Vec<CameraTerms>) -> Harness {
    Harness::with(generation(0, costs, true, LIMIT), cameras_terms)
}

#[test]
fn a_look_beyond_the_limit_makes_the_engine_stuck_and_its_frame_goes_to_the_next() {
    let mut harness = harness(&[5, 10], vec![lossless(100), live(100)]);
    harness.send(0);
    assert_eq!(
        harness.scheduler.next_alarm(),
        Some(harness.now + LIMIT),
        "somebody looks again then"
    );
    harness.pass(LIMIT - ms(1));
    assert!(harness.log.stuck.is_empty());
    harness.pass(ms(1));
    assert_eq!(
        (&*harness.log.stuck, harness.scheduler.engines(harness.now)[0].health),
        (&[0][..], EngineHealth::Stuck)
    );
    assert_eq!(harness.log.asked, [(0, 0, 0), (1, 0, 0)]);
    harness.answer(1, 3, 0.9);
    let report = &harness.log.published[0].report;
    assert_eq!((report.outcome, report.attempts.answer.top[0].class), (Outcome::Answered, 3));
    assert_eq!(
        report.attempts.steps.iter().map(|step| step.answered).collect::<Vec<_>>(),
        [false, true]
    );
    // Until it returns it is not asked, however long that takes.
    harness.pass(Duration::from_secs(600));
    harness.send(1);
    assert_eq!(harness.log.asked.last(), Some(&(1, 1, 0)));
    assert_eq!(harness.scheduler.engines(harness.now)[0].since, Duration::from_secs(602));
}

#[test]
fn what_a_stuck_engine_brings_at_last_is_nobodys_answer_and_it_is_asked_again_after_a_pause() {
    let mut harness = harness(&[5, 10], vec![live(100)]);
    harness.send(0);
    harness.pass(LIMIT);
    // The deadline of a live frame is long over.
    assert_eq!(harness.told(), [(0, 0, Outcome::Failed, Code::OutOfTime)]);
    harness.pass(ms(500));
    harness.answer(0, 2, 0.9);
    assert_eq!(harness.log.returned, [(0, ms(2500), ms(500))]);
    assert_eq!((harness.log.published.len(), harness.log.recovered.len()), (1, 0));
    harness.send(0);
    assert_eq!(harness.log.asked.last(), Some(&(1, 0, 1)), "it is set aside");
    harness.answer(1, 3, 0.9);
    harness.pass(ms(500));
    // It was slow, and is believed to be so until it is given another chance.
    for _ in 0..64 {
        harness.send(0);
        if harness.log.held[0].is_some() {
            break;
        }
        harness.answer(1, 3, 0.9);
    }
    harness.answer(0, 2, 0.9);
    assert_eq!(harness.log.recovered, [(0, 1)]);
    assert_eq!(harness.log.published.last().unwrap().report.attempts.answer.top[0].class, 2);
}

#[test]
fn an_engine_that_is_known_to_be_slow_is_given_four_times_what_it_takes() {
    let mut harness = harness(&[3000], vec![lossless(60_000)]);
    harness.send(0);
    harness.pass(ms(11_999));
    assert!(harness.log.stuck.is_empty());
    harness.pass(ms(1));
    assert_eq!(harness.log.stuck, [0]);
    assert_eq!(harness.told(), [(0, 0, Outcome::Failed, Code::EngineFailed)], "there is no other");
}

#[test]
fn with_every_engine_stuck_frames_go_on_being_told_of_and_all_comes_to_its_end() {
    let mut harness = harness(&[5, 10], vec![lossless(100), live(100)]);
    harness.send(0);
    harness.pass(LIMIT);
    harness.pass(LIMIT);
    assert_eq!(harness.log.stuck, [0, 1]);
    harness.send(0);
    harness.send(1);
    let told = harness.told();
    assert_eq!(told[0].2, Outcome::Failed);
    assert!(
        told[1..].iter().all(|told| (told.2, told.3) == (Outcome::Abstained, Code::NotAllowed))
            && told.len() == 3,
        "{told:?}"
    );
    (0..2).for_each(|camera| harness.scheduler.ended(camera));
    assert!(harness.scheduler.is_done());
}
