//! Another crew on duty, and other modes, between two frames.

use crate::observe::EngineHealth;
use crate::policy::Reuse;

use super::super::*;
use super::office::{LIMIT, Office, live, lossless, ms, shift};

#[test]
fn frames_that_have_begun_stay_with_their_engines_and_new_ones_go_to_the_new() {
    let mut office = Office::new(&[5, 10], false, vec![live(1000), lossless(1000)]);
    office.send(0);
    office.answer(0, 1, 0.5); // goes on to the second engine of the first shift
    office.send(1);
    office.send(1);
    office.desk.relieve(shift(1, &[5, 10], false, LIMIT), office.now, &mut office.log);
    assert!(office.log.retired.is_empty(), "it has two frames to finish");
    office.send(0);
    assert_eq!(office.log.held.iter().filter(|held| held.is_some()).count(), 3, "both shifts work at the same time");
    let engines = |office: &Office| office.log.published.iter().map(|job| job.report.engines[0].to_string()).collect::<Vec<_>>();
    office.answer(1, 1, 0.9);
    assert_eq!(engines(&office), ["0-0"]);
    office.answer(0, 1, 0.9); // the first frame of camera 1; its second one goes to the new shift
    assert_eq!((engines(&office).len(), &*office.log.retired), (2, &[0][..]));
    office.answer(2, 1, 0.9); // engine 0 of the new shift
    office.answer(2, 1, 0.9);
    assert_eq!(engines(&office), ["0-0", "0-0", "1-0", "1-0"]);
    assert_eq!((office.log.lost.len(), office.desk.shifts.len()), (0, 1));
    let labels: Vec<_> = office.log.published.iter().map(|job| std::sync::Arc::as_ptr(&job.report.labels)).collect();
    assert!(labels.iter().all(|one| *one == labels[0]), "the same names are kept once, however often crews change");
    assert!(office.told().iter().all(|told| told.2 == Outcome::Answered));
}

#[test]
fn a_stuck_engine_does_not_keep_its_shift_and_its_late_return_harms_nobody() {
    let mut office = Office::with(shift(0, &[5, 10], false, LIMIT), vec![lossless(100)]);
    office.send(0);
    office.pass(LIMIT);
    office.answer(1, 1, 0.9);
    office.desk.relieve(shift(1, &[5, 10], false, LIMIT), office.now, &mut office.log);
    assert_eq!(office.log.retired, [0]);
    assert!(office.desk.engines(office.now).iter().all(|engine| engine.health == EngineHealth::Ready));
    let late = office.log.held[0].take().unwrap();
    office.desk.looked(late, office.now, &mut office.log);
    office.send(0);
    office.answer(2, 1, 0.9);
    assert_eq!((office.log.published.len(), office.log.returned.len()), (2, 0));
}

#[test]
fn an_answer_of_the_old_shift_is_not_given_again_by_the_new() {
    let reuse = Some(Reuse { max_change: 0.02, max_age: ms(10_000) });
    let mut office = Office::new(&[5], false, vec![Terminal { reuse, ..live(1000) }]);
    office.send(0);
    office.answer(0, 1, 0.9);
    office.send(0);
    assert_eq!(office.told()[1].2, Outcome::Reused);
    office.send_grey(0, 0, 10); // changed: looked at by the old shift while the new one comes
    office.desk.relieve(shift(1, &[5], false, LIMIT), office.now, &mut office.log);
    office.answer(0, 2, 0.9);
    office.send_grey(0, 0, 10);
    assert!(office.log.held[1].is_some(), "looked at afresh");
    office.answer(1, 2, 0.9);
    office.send_grey(0, 0, 10);
    assert_eq!(office.told().last().unwrap().2, Outcome::Reused);
}

#[test]
fn paused_nothing_is_looked_at_and_eco_asks_the_cheapest_engine_alone() {
    let mut office = Office::new(&[5, 10], false, vec![live(1000)]);
    office.send(0);
    office.desk.set_mode(Mode::Paused, office.now, &mut office.log);
    office.answer(0, 1, 0.3);
    assert_eq!(office.told(), [(0, 0, Outcome::Answered, Code::NotAllowed)], "what has begun is answered as it stands");
    office.send(0);
    assert_eq!(office.told()[1], (0, 1, Outcome::Abstained, Code::Paused));
    office.desk.set_mode(Mode::Eco, office.now, &mut office.log);
    office.send(0);
    office.answer(0, 1, 0.3);
    assert_eq!(office.told()[2], (0, 2, Outcome::Answered, Code::NotAllowed), "however unsure it is");
    office.send(0);
    office.fail(0);
    assert_eq!(office.log.asked.last(), Some(&(1, 0, 3)), "the cheapest that is fit");
    office.answer(1, 1, 0.9);
    office.desk.relieve(shift(1, &[5, 10], false, LIMIT), office.now, &mut office.log);
    assert_eq!(office.desk.mode(), Mode::Auto, "a new crew begins in the usual way");
}
