//! Means over time and the energy of a day.

use super::*;

#[test]
fn the_mean_weighs_by_time_and_leaves_out_what_was_not_read() {
    let mut window = Window::new(60.0);
    assert_eq!(window.mean(), None);
    window.add(10.0, Some(8.0));
    window.add(20.0, None);
    window.add(29.0, Some(4.0));
    assert!((window.mean().unwrap() - 196.0 / 39.0).abs() < 1e-9, "{:?}", window.mean());
}

#[test]
fn what_is_older_than_the_window_is_forgotten() {
    let mut window = Window::new(60.0);
    window.add(60.0, Some(100.0));
    for _ in 0..120 {
        window.add(0.5, Some(4.0));
    }
    assert!((window.mean().unwrap() - 4.0).abs() < 2.0, "{:?}", window.mean());
    window.add(500.0, None);
    assert_eq!(window.mean(), None);
}

#[test]
fn a_day_begins_as_if_the_budget_had_been_drawn_evenly() {
    let day = Day::new(240.0);
    assert!((day.spent_j() / HOUR_S - 240.0).abs() < 1e-6);
    assert!((day.affordable_w() - 10.0).abs() < 1e-6);
}

#[test]
fn what_was_saved_may_be_spent_and_what_was_overdrawn_is_won_back() {
    let mut day = Day::new(240.0);
    day.add(6.0 * HOUR_S, Some(5.0));
    assert!((day.spent_j() / HOUR_S - 210.0).abs() < 1e-6);
    assert!((day.affordable_w() - 15.0).abs() < 1e-6);
    day.add(6.0 * HOUR_S, Some(20.0));
    assert!(day.affordable_w() < 0.0);
}

#[test]
fn an_hour_read_in_part_counts_as_a_whole_one() {
    let mut day = Day::new(240.0);
    for _ in 0..3600 {
        day.add(1.0, Some(4.0));
        day.add(1.0, None);
    }
    assert!((day.spent_j() / HOUR_S - (220.0 + 8.0)).abs() < 0.1, "{}", day.spent_j() / HOUR_S);
}
