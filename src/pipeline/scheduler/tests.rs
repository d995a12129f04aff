//! The scheduler with simulated time: no thread, no sleep.

mod generations;
mod harness;
mod overload;
mod properties;
mod stuck;

use crate::policy::Reuse;

use super::*;
use harness::{Harness, live, lossless, ms};

#[test]
fn the_earliest_deadline_goes_first_but_nobody_is_passed_over_twice() {
    let mut harness = Harness::new(&[10], false, vec![live(900), live(100), live(300)]);
    harness.send(0);
    harness.pass(ms(1));
    harness.send(2);
    harness.pass(ms(1));
    harness.send(1); // came last, has the least time
    harness.pass(ms(8));
    harness.answer(0, 1, 0.9);
    harness.send(1);
    harness.send(0);
    harness.answer(0, 1, 0.9);
    harness.answer(0, 1, 0.9);
    harness.answer(0, 1, 0.9);
    let order: Vec<_> =
        harness.log.asked.iter().map(|(_, camera, frame)| (*camera, *frame)).collect();
    assert_eq!(order, [(0, 0), (1, 0), (2, 0), (1, 1), (0, 1)]);
}

#[test]
fn a_slow_camera_gets_its_turn_among_fast_ones_with_short_deadlines() {
    let mut harness = Harness::new(&[10], false, vec![live(60), live(60), live(5000)]);
    for round in 0..300 {
        harness.send(0);
        harness.send(1);
        if round % 3 == 0 {
            harness.send(2);
        }
        harness.now += ms(10);
        harness.answer(0, 1, 0.9);
    }
    let answered = |camera| harness.log.published.iter().filter(|job| job.camera == camera).count();
    assert!(answered(2) >= 45, "{} of 100 frames of the slow camera", answered(2));
    assert!(answered(0) >= 60 && answered(1) >= 60);
}

#[test]
fn a_frame_that_displaces_another_takes_over_its_rank() {
    let mut harness = Harness::new(&[10], false, vec![live(100), live(100), live(105)]);
    harness.send(0);
    harness.send(1);
    harness.send(2);
    harness.pass(ms(9));
    harness.send(1); // its own deadline is later than that of camera 2's frame
    harness.answer(0, 1, 0.9);
    assert_eq!(
        harness.log.asked.last(),
        Some(&(0, 1, 1)),
        "the newer frame, at the older one's place"
    );
    assert_eq!(harness.log.lost, [(1, 0, DropReason::Busy)]);
}

#[test]
fn a_frame_whose_time_is_over_is_dropped_as_late() {
    let mut harness = Harness::new(&[10], false, vec![live(100)]);
    harness.send_grey(0, 100, 128);
    assert_eq!(harness.log.lost, [(0, 0, DropReason::Late)]);
    assert!(harness.log.asked.is_empty() && harness.scheduler.next_wake().is_none());
}

#[test]
fn an_engine_that_hangs_is_soon_nobodys_choice() {
    let mut harness = Harness::new(&[10, 30], false, vec![live(100)]);
    harness.send(0);
    for _ in 0..30 {
        harness.pass(ms(33));
        harness.send(0);
        if harness.log.held[1].is_some() {
            harness.now += ms(30);
            harness.answer(1, 1, 0.9);
        }
    }
    let first = harness.log.asked.iter().filter(|(engine, ..)| *engine == 0).count();
    assert_eq!(first, 1, "it never gave its first frame back");
    assert!(
        harness.log.published.len() >= 25,
        "the other engine answers: {}",
        harness.log.published.len()
    );
}

#[test]
fn alone_with_an_engine_that_hangs_frames_are_abstained_from_in_time() {
    let mut harness = Harness::new(&[10], false, vec![live(100)]);
    harness.send(0);
    harness.pass(ms(1));
    harness.send(0);
    let wakes = harness.sleep_until(|harness| !harness.log.published.is_empty());
    assert_eq!(harness.told(), [(0, 1, Outcome::Abstained, Code::OutOfTime)]);
    assert!(
        wakes <= 3 && harness.now <= harness.start + ms(101),
        "{wakes} wakes, {:?}",
        harness.now - harness.start
    );
}

#[test]
fn an_unsure_answer_waits_for_a_busy_engine_but_not_beyond_its_time() {
    let mut harness = Harness::new(&[5, 30], false, vec![live(200), live(100)]);
    harness.send(0);
    harness.answer(0, 1, 0.5);
    harness.send(1);
    harness.answer(0, 2, 0.5);
    assert_eq!(harness.scheduler.escalated.len(), 1, "engine 1 is busy, and there is time");
    let wakes = harness.sleep_until(|harness| !harness.log.published.is_empty());
    assert_eq!(harness.told(), [(1, 0, Outcome::Answered, Code::OutOfTime)]);
    let verdict = harness.log.published[0].report.verdict;
    assert!(verdict.limit > verdict.value, "{verdict:?}");
    let waited = harness.now - harness.start;
    assert!(
        waited >= ms(45) && waited <= ms(55),
        "while (late by t) + 30 ms fit into 100 ms: {waited:?}"
    );
    assert!(wakes <= 2, "{wakes}");

    harness.send(1);
    harness.answer(0, 2, 0.5);
    harness.sleep_until(|harness| harness.log.published.len() > 1);
    assert_eq!(harness.told()[1], (1, 1, Outcome::Answered, Code::OutOfTime));
    harness.answer(1, 3, 0.5);
    assert_eq!(harness.told()[2], (0, 0, Outcome::Answered, Code::Last));
}

#[test]
fn those_ahead_in_line_count_towards_the_wait() {
    let mut harness = Harness::new(&[1, 30], false, vec![live(100)]);
    for _ in 0..8 {
        harness.send(0);
        harness.answer(0, 1, 0.5);
    }
    // One is looked at, and after its 30 ms two more can be.
    assert_eq!((harness.scheduler.escalated.len(), harness.log.published.len()), (2, 5));
    assert!(harness.told().iter().all(|told| told.3 == Code::OutOfTime));
}

#[test]
fn a_failing_engine_is_set_aside_for_longer_and_longer_and_comes_back() {
    let mut harness = Harness::new(&[5, 10], false, vec![live(100)]);
    let mut pauses = Vec::new();
    for failures in 1..=9 {
        harness.send(0);
        harness.fail(0);
        let (_, counted, pause) = harness.log.aside[failures - 1];
        assert_eq!(counted as usize, failures);
        pauses.push(pause.as_millis());
        harness.answer(1, 2, 0.9);
        harness.pass(pause - ms(1));
        harness.send(0);
        assert_eq!(harness.log.asked.last().map(|asked| asked.0), Some(1), "still aside");
        harness.answer(1, 2, 0.9);
        harness.pass(ms(1));
    }
    assert_eq!(pauses, [500, 1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000]);
    assert!(harness.told().iter().all(|told| told.2 == Outcome::Answered));
    harness.send(0);
    harness.answer(0, 1, 0.9);
    assert_eq!(harness.log.recovered, [(0, 9)]);
    harness.send(0);
    harness.fail(0);
    assert_eq!(harness.log.aside.last(), Some(&(0, 1, ms(500))), "the count starts over");
}

#[test]
fn with_every_engine_aside_frames_are_abstained_from_and_nothing_waits() {
    let mut harness = Harness::new(&[5, 10], false, vec![live(100), lossless(100)]);
    harness.send(0);
    harness.fail(0);
    harness.fail(1);
    for _ in 0..3 {
        harness.send(0);
        harness.send(1);
    }
    assert_eq!(harness.told()[0], (0, 0, Outcome::Failed, Code::EngineFailed));
    assert!(
        harness.told()[1..]
            .iter()
            .all(|told| (told.2, told.3) == (Outcome::Abstained, Code::NotAllowed))
    );
    assert_eq!((harness.log.published.len(), harness.scheduler.next_wake()), (7, None));
    harness.pass(ms(500));
    harness.send(0);
    assert_eq!(harness.log.asked.len(), 3, "asked again after the pause");
}

#[test]
fn a_camera_that_loses_nothing_is_served_in_order_one_frame_at_a_time() {
    let mut harness = Harness::new(&[400], false, vec![lossless(500), live(5000)]);
    (0..4).for_each(|_| harness.send(0));
    harness.send(1);
    for _ in 0..5 {
        assert_eq!(harness.log.held.iter().flatten().count(), 1);
        harness.now += ms(400);
        harness.answer(0, 1, 0.9);
    }
    let frames: Vec<_> = harness
        .log
        .published
        .iter()
        .filter(|job| job.camera == 0)
        .map(|job| job.report.sequence)
        .collect();
    assert_eq!((frames, harness.log.lost.len()), (vec![0, 1, 2, 3], 0));
    assert!(
        harness.log.published.iter().all(|job| !job.report.late),
        "its time runs from its turn"
    );
    assert!(harness.log.published.iter().any(|job| job.report.times.age >= ms(1600)));
}

#[test]
fn an_unchanged_scene_is_given_the_last_answer_by_number_not_by_arrival() {
    let reuse = Some(Reuse { max_change: 0.02, max_age: ms(10_000) });
    let mut harness = Harness::new(&[5, 10], false, vec![CameraTerms { reuse, ..live(1000) }]);
    harness.send_grey(0, 0, 10);
    harness.answer(0, 1, 0.5); // frame 0 goes on to engine 1
    harness.send_grey(0, 0, 90);
    harness.answer(0, 2, 0.9); // frame 1 overtakes it
    harness.answer(1, 3, 0.9); // and must not be forgotten for it
    harness.send_grey(0, 0, 91);
    let last = harness.log.published.last().unwrap();
    assert_eq!(
        (last.report.outcome, last.report.attempts.answer.top[0].class),
        (Outcome::Reused, 2)
    );
    assert!(
        (last.report.attempts.answer.top[0].probability - 0.9).abs() < 1e-6,
        "the whole answer"
    );
    harness.send_grey(0, 0, 10);
    assert_eq!(harness.log.asked.last(), Some(&(0, 0, 3)), "a changed scene is looked at");
}

#[test]
fn averaged_answers_are_the_mean_and_the_verdict_is_about_the_mean() {
    let mut harness = Harness::new(&[5, 10, 20], true, vec![live(1000)]);
    harness.send(0);
    harness.answer(0, 1, 0.5);
    harness.answer(1, 2, 0.9); // sure by itself, but not the two together
    harness.answer(2, 2, 0.8);
    let report = &harness.log.published[0].report;
    let rest = |p: f32| (1.0 - p) / 3.0;
    let mean = (rest(0.5) + 0.9 + 0.8) / 3.0;
    assert!((report.attempts.answer.top[0].probability - mean).abs() < 1e-6);
    assert_eq!(report.attempts.answer.top[0].class, 2);
    assert!((report.verdict.value.unwrap() - mean).abs() < 1e-6);
    let own: Vec<_> = report.attempts.steps.iter().map(|step| step.top.class).collect();
    assert_eq!(own, [1, 2, 2], "each step tells of its engine alone");

    let mut harness = Harness::new(&[5, 10], false, vec![live(1000)]);
    harness.send(0);
    harness.answer(0, 1, 0.5);
    harness.answer(1, 2, 0.7);
    assert!(
        (harness.log.published[0].report.attempts.answer.top[0].probability - 0.7).abs() < 1e-6,
        "without averaging the last counts"
    );
}

#[test]
fn an_engine_that_was_too_slow_is_given_another_chance() {
    let mut harness = Harness::new(&[5, 20], false, vec![live(100)]);
    harness.send(0);
    harness.answer(0, 1, 0.5);
    harness.now += ms(400);
    harness.look(1, Ok((2, 0.9)), ms(400));
    let mut turned_down = 0;
    while harness.log.held[1].is_none() {
        harness.send(0);
        harness.answer(0, 1, 0.5);
        turned_down += 1;
        assert!(turned_down <= 64, "it is never asked again");
    }
    assert!(turned_down > 5, "not at the very next frame");
    assert!(harness.told()[1..].iter().all(|told| told.3 == Code::OutOfTime));
}

#[test]
fn told_to_stop_fresh_frames_are_given_up_and_the_others_finish() {
    let mut harness = Harness::new(&[5, 10], false, vec![live(1000), lossless(1000)]);
    harness.send(0);
    (0..3).for_each(|_| harness.send(1));
    harness.answer(0, 1, 0.5); // camera 0 goes on, camera 1 begins
    harness.send(0);
    harness.scheduler.stop(&mut harness.log);
    assert_eq!(
        harness.log.lost,
        [(0, 1, DropReason::Stopped), (1, 1, DropReason::Stopped), (1, 2, DropReason::Stopped)]
    );
    (0..2).for_each(|camera| harness.scheduler.ended(camera));
    assert!(harness.scheduler.has_ended() && !harness.scheduler.is_done());
    harness.answer(1, 1, 0.9);
    harness.answer(0, 1, 0.9);
    assert!(harness.scheduler.is_done());
    assert_eq!(harness.log.published.len(), 2);
}
