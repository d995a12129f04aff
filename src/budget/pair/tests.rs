//! Sets that stay while the level moves.

use super::*;
use crate::stats::{splitmix64, unit};

impl Pair {
    /// Half a second in which the level for this moment is the one that is wanted.
    fn follow(&mut self, level: f64, urgent: bool) -> f64 {
        self.step(0.5, level, urgent, level)
    }
}

#[test]
fn it_starts_with_everything_and_steps_down_at_once_if_it_hurries() {
    let mut pair = Pair::new(3);
    assert_eq!(pair.follow(3.0, false), 3.0);
    assert_eq!((pair.follow(1.4, true), pair.at()), (1.4, 1));
    assert_eq!((pair.follow(-0.5, true), pair.at()), (-0.5, 0));
}

#[test]
fn a_level_that_strays_for_a_moment_is_held_at_the_pairs_end() {
    let mut pair = Pair::new(3);
    pair.follow(2.0, true);
    assert_eq!((pair.follow(1.95, false), pair.at()), (2.0, 2));
    assert_eq!((pair.follow(2.5, false), pair.at()), (2.5, 2));
    for _ in 0..40 {
        pair.follow(1.9, false);
    }
    assert_eq!(pair.at(), 1);
}

#[test]
fn everything_is_allowed_again_after_a_while_at_the_top() {
    let mut pair = Pair::new(2);
    pair.follow(1.5, true);
    let seconds = (0..600).take_while(|_| (pair.follow(2.0, false), pair.at()).1 < 2).count() / 2;
    assert!((5..60).contains(&seconds), "{seconds}");
}

#[test]
fn it_goes_up_one_pair_at_a_time_whatever_is_wanted() {
    let mut pair = Pair::new(4);
    pair.follow(0.5, true);
    let mut seen = vec![pair.at()];
    for _ in 0..600 {
        pair.follow(4.0, false);
        if seen.last() != Some(&pair.at()) {
            seen.push(pair.at());
        }
    }
    assert_eq!(seen, [0, 1, 2, 3, 4]);
}

#[test]
fn a_level_that_hovers_around_a_rung_changes_the_set_few_times_an_hour() {
    for width in [0.05, 0.2, 0.5] {
        let mut pair = Pair::new(3);
        let mut changes = [0; 3];
        for step in 0..3 * 7200u64 {
            let was = pair.at();
            pair.follow(2.0 + width * (unit(splitmix64(step / 40)) - 0.5), false);
            changes[step as usize / 7200] += usize::from(pair.at() != was);
        }
        assert!(changes[1] <= 6 && changes[2] <= 6, "{width}: {changes:?}");
    }
}

#[test]
fn level_for_the_moment_moves_within_the_pair_and_speaks_for_a_step_up_but_not_for_one_down() {
    let mut pair = Pair::new(3);
    pair.follow(1.5, true);
    for _ in 0..100 {
        assert_eq!((pair.step(0.5, 1.5, false, 0.2), pair.at()), (1.0, 1));
    }
    let mut seconds = |level: f64| (0..600).take_while(|_| (pair.step(0.5, level, false, 2.5), pair.at()).1 < 2).count() / 2;
    assert_eq!(seconds(1.5), 300);
    assert!(seconds(1.9) < 60);
}
