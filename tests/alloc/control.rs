//! Publishing counters to those who watch allocates nothing once warm; an allocator that counts
//! holds us to it.

use std::time::{Duration, Instant};

use crate::allocations::allocations;
use crate::common::reports;
use squint::observe::metrics::{self, Process};
use squint::observe::{Counters, State, Watch};

fn eight_cameras() -> Vec<std::sync::Arc<str>> {
    (0..8).map(|number| format!("camera-{number}").into()).collect()
}

#[test]
fn publishing_allocates_nothing_even_while_the_counters_grow() {
    let mut counters = Counters::new(&eight_cameras(), &reports::engines());
    let mut now = Instant::now();
    let watch = Watch::new(&counters, now);
    let all = reports::every_kind();
    let mut published = 0;
    let count = allocations(|| {
        for _ in 0..500 {
            all.iter().for_each(|report| counters.note(report));
            now += Duration::from_millis(250);
            published += u32::from(watch.publish(&counters, now));
        }
    });
    assert_eq!((count, published), (0, 500));
    assert!(allocations(|| drop(watch.read(now))) > 0, "the allocator counts");
}

/// Not a check but a measurement:
/// `cargo test --release --test alloc control:: -- --ignored --nocapture`.
#[test]
#[ignore = "prints what a publication, a reading and a page of metrics cost"]
fn costs() {
    for cameras in [1, 8] {
        let mut counters = Counters::new(&eight_cameras()[..cameras], &reports::engines());
        let mut all: Vec<_> = (0..cameras as u16)
            .flat_map(|camera| {
                reports::every_kind().into_iter().map(move |mut report| {
                    report.camera_index = camera;
                    report
                })
            })
            .collect();
        for round in 0..1000u64 {
            for report in &mut all {
                report.times.age = Duration::from_micros(3000 + round * 97);
                report.times.features = Duration::from_micros(300 + round);
                counters.note(report);
            }
        }
        let mut now = Instant::now();
        let watch = Watch::new(&counters, now);
        let micros = |mut act: Box<dyn FnMut() + '_>| {
            let mut times: Vec<_> = (0..1000)
                .map(|_| {
                    let begun = Instant::now();
                    act();
                    begun.elapsed()
                })
                .collect();
            times.sort();
            (times[500], times[990])
        };
        let publish = micros(Box::new(|| {
            now += Duration::from_millis(250);
            assert!(watch.publish(&counters, now));
        }));
        let at = Instant::now();
        let read = micros(Box::new(|| drop(std::hint::black_box(watch.read(at).counted()))));
        let state = State { counted: watch.read(at).counted(), ..State::default() };
        let render = micros(Box::new(|| {
            drop(std::hint::black_box(metrics::render(&state, &Process::default())))
        }));
        let bytes = metrics::render(&state, &Process::default()).len();
        println!(
            "{cameras} cameras, 3 engines: publish {publish:?}, read {read:?}, render {render:?} of {bytes} bytes (median, p99)"
        );
    }
}
