//! More frames than the engines can look at: who gets a look.

use super::harness::{Harness, live, ms};
use super::*;

/// Looks that each camera got in so many seconds. Each sends a frame every `periods[n]` ms; the
/// engine takes `cost` ms.
fn looks(cost: u64, deadline: u64, periods: &[u64], seconds: u64) -> Vec<usize> {
    let mut harness =
        Harness::new(&[cost], false, periods.iter().map(|_| live(deadline)).collect());
    // Not all at the same moment, and not in the order of their numbers.
    let mut next: Vec<_> =
        (0..periods.len()).map(|at| harness.start + ms(at as u64 * 37 % periods[at])).collect();
    let mut through = None;
    let end = harness.start + Duration::from_secs(seconds);
    while harness.now < end {
        let first = (0..next.len()).min_by_key(|at| next[*at]).unwrap();
        let wake = harness.scheduler.next_wake();
        let now = [Some(next[first]), through, wake].into_iter().flatten().min().unwrap();
        harness.now = now;
        if through == Some(now) {
            through = None;
            harness.answer(0, 1, 0.9);
        } else if wake == Some(now) && next[first] != now {
            harness.pass(ms(0));
        } else {
            next[first] += ms(periods[first]);
            harness.send(first);
        }
        if through.is_none() && harness.log.held[0].is_some() {
            through = Some(now + ms(cost));
        }
    }
    (0..periods.len())
        .map(|at| harness.log.asked.iter().filter(|(_, camera, _)| *camera == at).count())
        .collect()
}

/// As in the field: 24 cameras with 14 frames a second each, engines slowed down by other programs.
/// Whether a frame has time to wait for the engine (10 and 30 of 100 ms) or none (60 and 80), every
/// camera gets its share.
#[test]
fn of_24_cameras_that_want_too_much_each_gets_its_share_however_slow_the_engine_is() {
    for cost in [10, 30, 60, 80] {
        let looks = looks(cost, 100, &[71; 24], 120);
        let all: usize = looks.iter().sum();
        let (least, share) = (looks.iter().min().unwrap(), all / looks.len());
        assert!(*least * 10 >= share * 7, "{cost} ms: {least} of {share}: {looks:?}");
        assert!(
            all as u64 * cost >= 120_000 * 6 / 10,
            "{cost} ms: the engine is busy: {all} looks"
        );
    }
}

#[test]
fn cameras_of_different_rhythm_are_all_looked_at() {
    let periods = [33, 33, 40, 100, 500, 1000, 71, 71];
    for cost in [40, 90] {
        let looks = looks(cost, 100, &periods, 120);
        for (at, period) in periods.iter().enumerate() {
            let (sent, share) = (120_000 / period, 120_000 / cost / periods.len() as u64);
            assert!(looks[at] as u64 * 3 >= sent.min(share), "{cost} ms, camera {at}: {looks:?}");
        }
    }
}

#[test]
fn where_there_is_time_for_all_every_frame_is_looked_at() {
    let looks = looks(10, 100, &[100; 6], 20);
    assert!(looks.iter().all(|count| (199..=201).contains(count)), "{looks:?}");
}
