//! Sets that stay while the level moves.

use super::*;
use crate::stats::{splitmix64, unit};

impl Span {
    /// Half a second in which the level for this moment is the one that is wanted.
    fn follow(&mut self, level: f64, urgent: bool) -> f64 {
        self.step(0.5, level, urgent, level)
    }
}

#[test]
fn it_starts_with_everything_and_steps_down_at_once_if_it_hurries() {
    let mut span = Span::new(3);
    assert_eq!(span.follow(3.0, false), 3.0);
    assert_eq!((span.follow(2.4, true), span.at()), (2.4, 3));
    assert_eq!((span.follow(1.4, true), span.at()), (1.4, 2));
    assert_eq!((span.follow(1.0, true), span.at()), (1.0, 2));
    assert_eq!((span.follow(-0.5, true), span.at()), (-0.5, 0));
}

#[test]
fn nothing_but_the_cheapest_rung_is_no_place_with_dearer_ones_to_spare() {
    let mut span = Span::new(4);
    assert_eq!((span.follow(1.0, true), span.at()), (1.0, 1));
}

#[test]
fn a_level_that_strays_for_a_moment_is_held_at_the_spans_end() {
    let mut span = Span::new(4);
    span.follow(2.0, true);
    assert_eq!((span.follow(1.2, false), span.at()), (1.2, 2), "the rung below is covered");
    assert_eq!((span.follow(0.95, false), span.at()), (1.0, 2));
    assert_eq!((span.follow(2.5, false), span.at()), (2.5, 2));
    for _ in 0..100 {
        span.follow(0.9, false);
    }
    assert_eq!(span.at(), 0);
}

#[test]
fn everything_is_allowed_again_after_a_while_at_the_top() {
    let mut span = Span::new(3);
    span.follow(1.5, true);
    let seconds = (0..600).take_while(|_| (span.follow(3.0, false), span.at()).1 < 3).count() / 2;
    assert!((5..60).contains(&seconds), "{seconds}");
}

#[test]
fn it_goes_up_one_place_at_a_time_whatever_is_wanted() {
    let mut span = Span::new(4);
    span.follow(0.5, true);
    let mut seen = vec![span.at()];
    for _ in 0..600 {
        span.follow(4.0, false);
        if seen.last() != Some(&span.at()) {
            seen.push(span.at());
        }
    }
    assert_eq!(seen, [0, 1, 2, 3, 4]);
}

#[test]
fn a_level_that_hovers_around_a_rung_changes_the_set_few_times_an_hour() {
    for width in [0.05, 0.2, 0.5] {
        let mut span = Span::new(3);
        let mut changes = [0; 3];
        for step in 0..3 * 7200u64 {
            let was = span.at();
            span.follow(2.0 + width * (unit(splitmix64(step / 40)) - 0.5), false);
            changes[step as usize / 7200] += usize::from(span.at() != was);
        }
        assert!(changes[1] <= 6 && changes[2] <= 6, "{width}: {changes:?}");
    }
}

#[test]
fn level_for_the_moment_moves_within_the_span_and_speaks_for_a_step_up_but_not_for_one_down() {
    let mut span = Span::new(4);
    span.follow(1.5, true);
    for _ in 0..100 {
        assert_eq!((span.step(0.5, 1.5, false, 0.2), span.at()), (1.0, 2));
    }
    let mut seconds = |level: f64| {
        (0..600).take_while(|_| (span.step(0.5, level, false, 3.5), span.at()).1 < 3).count() / 2
    };
    assert_eq!(seconds(1.5), 300);
    assert!(seconds(2.9) < 60);
}
