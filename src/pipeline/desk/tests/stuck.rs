//! Engines that do not come back in time.

use crate::observe::EngineHealth;

use super::super::*;
use super::office::{LIMIT, Office, live, lossless, ms, shift};

fn office(costs: &[u64], terminals: Vec<Terminal>) -> Office {
    Office::with(shift(0, costs, true, LIMIT), terminals)
}

#[test]
fn a_look_beyond_the_limit_makes_the_engine_stuck_and_its_frame_goes_to_the_next() {
    let mut office = office(&[5, 10], vec![lossless(100), live(100)]);
    office.send(0);
    assert_eq!(office.desk.next_alarm(), Some(office.now + LIMIT), "somebody looks again then");
    office.pass(LIMIT - ms(1));
    assert!(office.log.stuck.is_empty());
    office.pass(ms(1));
    assert_eq!((&*office.log.stuck, office.desk.engines(office.now)[0].health), (&[0][..], EngineHealth::Stuck));
    assert_eq!(office.log.asked, [(0, 0, 0), (1, 0, 0)]);
    office.answer(1, 3, 0.9);
    let report = &office.log.published[0].report;
    assert_eq!((report.outcome, report.journey.answer.top[0].class), (Outcome::Answered, 3));
    assert_eq!(report.journey.steps.iter().map(|step| step.answered).collect::<Vec<_>>(), [false, true]);
    // Until it returns it is not asked, however long that takes.
    office.pass(Duration::from_secs(600));
    office.send(1);
    assert_eq!(office.log.asked.last(), Some(&(1, 1, 0)));
    assert_eq!(office.desk.engines(office.now)[0].since, Duration::from_secs(602));
}

#[test]
fn what_a_stuck_engine_brings_at_last_is_nobodys_answer_and_it_is_asked_again_after_a_pause() {
    let mut office = office(&[5, 10], vec![live(100)]);
    office.send(0);
    office.pass(LIMIT);
    // The deadline of a live frame is long over.
    assert_eq!(office.told(), [(0, 0, Outcome::Failed, Code::OutOfTime)]);
    office.pass(ms(500));
    office.answer(0, 2, 0.9);
    assert_eq!(office.log.returned, [(0, ms(2500), ms(500))]);
    assert_eq!((office.log.published.len(), office.log.recovered.len()), (1, 0));
    office.send(0);
    assert_eq!(office.log.asked.last(), Some(&(1, 0, 1)), "it is set aside");
    office.answer(1, 3, 0.9);
    office.pass(ms(500));
    // It was slow, and is believed to be so until it is given another chance.
    for _ in 0..64 {
        office.send(0);
        if office.log.held[0].is_some() {
            break;
        }
        office.answer(1, 3, 0.9);
    }
    office.answer(0, 2, 0.9);
    assert_eq!(office.log.recovered, [(0, 1)]);
    assert_eq!(office.log.published.last().unwrap().report.journey.answer.top[0].class, 2);
}

#[test]
fn an_engine_that_is_known_to_be_slow_is_given_four_times_what_it_takes() {
    let mut office = office(&[3000], vec![lossless(60_000)]);
    office.send(0);
    office.pass(ms(11_999));
    assert!(office.log.stuck.is_empty());
    office.pass(ms(1));
    assert_eq!(office.log.stuck, [0]);
    assert_eq!(office.told(), [(0, 0, Outcome::Failed, Code::EngineFailed)], "there is no other");
}

#[test]
fn with_every_engine_stuck_frames_go_on_being_told_of_and_all_comes_to_its_end() {
    let mut office = office(&[5, 10], vec![lossless(100), live(100)]);
    office.send(0);
    office.pass(LIMIT);
    office.pass(LIMIT);
    assert_eq!(office.log.stuck, [0, 1]);
    office.send(0);
    office.send(1);
    let told = office.told();
    assert_eq!(told[0].2, Outcome::Failed);
    assert!(told[1..].iter().all(|told| (told.2, told.3) == (Outcome::Abstained, Code::NotAllowed)) && told.len() == 3, "{told:?}");
    (0..2).for_each(|camera| office.desk.ended(camera));
    assert!(office.desk.is_done());
}
