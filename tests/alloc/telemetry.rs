//! Sampling a board allocates nothing once warm; an allocator that counts holds us to it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::allocations::allocations;
use squint::telemetry::{self, Sample, Sources, Telemetry};

/// The trees of `tests/boards`, and this machine.
fn boards() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/boards");
    let mut boards: Vec<PathBuf> = std::fs::read_dir(folder)
        .expect("tests/boards")
        .map(|entry| entry.expect("readable").path())
        .filter(|path| path.is_dir())
        .collect();
    boards.sort();
    boards.push("/".into());
    boards
}

/// The first wait of a thread makes what it waits with, and whether a sampling thread ever waits is
/// chance: it has waited before.
fn wait_once() {
    let (_held, never) = crossbeam_channel::bounded::<()>(1);
    never.recv_timeout(Duration::from_millis(1)).expect_err("nothing comes");
}

#[test]
fn sampling_any_board_allocates_nothing_once_warm() {
    wait_once();
    for board in boards() {
        let mut telemetry = telemetry::open(Sources::below(&board), Duration::ZERO);
        let mut sample = Sample::default();
        let mut at = Duration::ZERO;
        let count = allocations(|| {
            for _ in 0..100 {
                at += Duration::from_millis(500);
                telemetry.sample(at, &mut sample);
            }
        });
        assert_eq!(count, 0, "{}", board.display());
        assert!(allocations(|| drop(telemetry.inventory().clone())) > 0, "the allocator counts");
    }
}

#[test]
fn sensors_that_are_lost_and_sought_again_cost_no_memory_either() {
    wait_once();
    let root = tempfile::tempdir().expect("a temporary folder");
    let zone = root.path().join("sys/class/thermal/thermal_zone0");
    std::fs::create_dir_all(&zone).expect("made");
    std::fs::write(zone.join("type"), "GPU-therm\n").expect("written");
    std::fs::write(zone.join("temp"), "41000\n").expect("written");
    let mut telemetry = telemetry::open(Sources::below(root.path()), Duration::ZERO);
    std::fs::write(zone.join("temp"), "").expect("emptied");
    let mut sample = Sample::default();
    let count = allocations(|| {
        for step in 1..100 {
            telemetry.sample(Duration::from_millis(500) * step, &mut sample);
        }
    });
    assert_eq!((count, sample.temperatures.as_slice()), (0, [None].as_slice()));
    assert_eq!(telemetry.doubts()[0].why, "has not answered for 49 s");
}

/// Not a check but a measurement:
/// `cargo test --release --test alloc telemetry:: -- --ignored --nocapture`.
#[test]
#[ignore = "prints what a sample costs in processor time"]
fn costs() {
    for board in boards() {
        let mut telemetry = telemetry::open(Sources::below(&board), Duration::ZERO);
        let mut sample = Sample::default();
        let mut costs: Vec<f64> = (1..2000)
            .map(|step| {
                telemetry.sample(Duration::from_millis(500) * step, &mut sample);
                sample.cost.as_secs_f64() * 1e6
            })
            .collect();
        costs.sort_by(f64::total_cmp);
        let mean = costs.iter().sum::<f64>() / costs.len() as f64;
        let all = telemetry.inventory();
        println!(
            "{:<16} {:>2} rails {:>2} zones {:>2} others: mean {mean:6.1} us, p99 {:6.1} us, {:.4} % of a core at 2 Hz",
            board.file_name().map_or("this machine".into(), |name| name.to_string_lossy()),
            all.rails.len(),
            all.zones.len(),
            all.others.len(),
            costs[costs.len() * 99 / 100],
            mean * 2.0 / 1e4
        );
    }
}
