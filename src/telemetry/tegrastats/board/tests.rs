//! Places, sums, twins and what is missing, in short lines made for the purpose.

use super::*;
use crate::units::Celsius;

fn board(lines: &[&str]) -> Board {
    let mut board = Board::default();
    lines.iter().for_each(|line| assert!(board.take(line.as_bytes()), "{line}"));
    board.fix();
    board
}

fn names(board: &Board) -> Vec<&str> {
    board.inventory().rails.iter().map(|rail| rail.name.as_str()).collect()
}

fn milliwatts(board: &Board) -> Vec<Option<f32>> {
    board.latest().rails.iter().map(|rail| rail.map(|rail| rail.0)).collect()
}

#[test]
fn readings_keep_their_places_whatever_a_later_line_leaves_out_or_moves() {
    let mut board = board(&["GPU@30C PLL@31C VDD_IN 900/900 VDD_GPU 100/100"]);
    assert_eq!((names(&board), board.inventory().total), (vec!["VDD_IN", "VDD_GPU"], Some(0)));
    assert!(board.take(b"VDD_GPU 120/100 PLL@33.5C VDD_NEW 5/5"));
    assert_eq!(milliwatts(&board), [None, Some(120.0)]);
    assert_eq!(board.latest().temperatures[..], [None, Some(Celsius(33.5))]);
    let doubts = board.doubts();
    let sensors: Vec<_> = doubts.iter().map(|doubt| doubt.sensor.as_str()).collect();
    assert_eq!(sensors, ["VDD_IN", "GPU", "VDD_NEW"], "{doubts:?}");
    assert_eq!(names(&board).len(), 2);
}

#[test]
fn a_line_without_readings_changes_nothing() {
    let mut board = board(&["VDD_IN 900/900"]);
    for line in ["", "sudo: a password is required", "NC 0/0", "\u{1}\u{2}"] {
        assert!(!board.take(line.as_bytes()), "{line}");
    }
    assert_eq!(milliwatts(&board), [Some(900.0)]);
}

#[test]
fn a_board_without_a_rail_for_all_gets_a_sum_that_is_marked() {
    let mut board = board(&["GPU 100/1 CPU 200/1", "GPU 100/1 CPU 200/1 SOC 50/1 NC 0/0"]);
    assert_eq!((names(&board), board.inventory().total), (vec!["GPU", "CPU", "SOC", SUM], Some(3)));
    let sum = &board.inventory().rails[3];
    assert!(sum.sum && sum.origin == "GPU + CPU + SOC", "{sum:?}");
    assert_eq!(milliwatts(&board)[3], Some(350.0));
    board.take(b"GPU 7/1 SOC 1/1");
    assert_eq!(
        milliwatts(&board),
        [Some(7.0), None, Some(1.0), None],
        "a part that is unknown makes the sum unknown"
    );
}

#[test]
fn twins_both_count_and_are_told_apart() {
    let mut board = board(&["VDD_IN 1/1 AUX@30C AUX@31C"]);
    let zones: Vec<_> = board.inventory().zones.iter().map(|zone| zone.name.clone()).collect();
    assert_eq!(zones, ["AUX", "AUX (2)"]);
    board.take(b"AUX@40C AUX@41C");
    assert_eq!(board.latest().temperatures[..], [Some(Celsius(40.0)), Some(Celsius(41.0))]);
}

#[test]
fn placeholders_and_foreign_parts_do_not_govern() {
    let board = board(&["PMIC@100C iwlwifi_1@50C GPU@40C tj@41C NVMe-x@30C soc0@40C"]);
    let ours: Vec<_> = board
        .inventory()
        .zones
        .iter()
        .filter(|zone| zone.governs)
        .map(|zone| zone.name.as_str())
        .collect();
    assert_eq!(ours, ["GPU", "tj", "soc0"]);
}

#[test]
fn what_is_not_printed_is_missing_and_not_zero() {
    let board = board(&["RAM 1/4MB CPU [0%@345] GR3D_FREQ 5% GPU@40C CV0@-256C"]);
    let what: Vec<_> =
        board.inventory().missing.iter().map(|missing| missing.what.as_str()).collect();
    assert_eq!(what, ["power rails", "GPU clock"]);
    let others: Vec<_> = board.inventory().others.iter().map(|(what, _)| what.as_str()).collect();
    assert_eq!(others, ["gpu-load", "cpu-load", "cpu-clock", "memory-available"]);
    assert_eq!(board.latest().gpu_clock, None);
    assert!(board.doubts().iter().any(|doubt| doubt.sensor == "CV0" && doubt.why.contains("-256")));
}

#[test]
fn more_names_than_there_is_room_for_are_listed_and_cost_nothing() {
    let line: String = (0..40).map(|i| format!("R{i} 1/1 ")).collect();
    let mut board = board(&[&line]);
    assert_eq!(names(&board).len(), MAX_RAILS);
    assert_eq!(board.inventory().total, None, "no room for the sum");
    assert!(board.inventory().missing.iter().any(|missing| missing.what == "R30"));
    board.take(line.replace('R', "Q").as_bytes());
    assert_eq!(board.late.len(), MOST_LATE);
}
