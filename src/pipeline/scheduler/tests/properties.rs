//! Random events in random order: no frame is lost and the scheduler comes to an end.

use proptest::prelude::*;

use crate::policy::Reuse;

use super::super::*;
use super::harness::{Harness, live, lossless, ms};

#[derive(Clone, Debug)]
enum Happens {
    Frame { camera: usize, age: u64 },
    Look { engine: usize, class: u32, p: f32, cost: u64 },
    Failure { engine: usize },
    Time(u64),
    Sleep,
    Stop,
}

fn happens() -> impl Strategy<Value = Happens> {
    prop_oneof![
        8 => (0..3usize, 0..120u64).prop_map(|(camera, age)| Happens::Frame { camera, age }),
        8 => (0..3usize, 0..4u32, 0.25..1.0f32, 0..200u64).prop_map(|(engine, class, p, cost)| Happens::Look { engine, class, p, cost }),
        1 => (0..3usize).prop_map(|engine| Happens::Failure { engine }),
        3 => (0..80u64).prop_map(Happens::Time),
        4 => Just(Happens::Sleep),
        1 => Just(Happens::Stop),
    ]
}

proptest! {
    #[test]
    fn every_frame_comes_out_once_whatever_happens(
        events in prop::collection::vec(happens(), 1..150),
        costs in prop::array::uniform3(0..60u64),
        average: bool,
    ) {
        let reuse = Some(Reuse { max_change: 0.5, max_age: ms(50) });
        let cameras_terms = vec![live(100), CameraTerms { reuse, ..live(250) }, lossless(100)];
        let mut harness = Harness::new(&costs, average, cameras_terms);
        let mut stopped = false;
        for event in events {
            match event {
                Happens::Frame { camera, age } if !stopped => harness.send_grey(camera, age, 128),
                Happens::Look { engine, class, p, cost } => drop(harness.look(engine, Ok((class, p)), ms(cost))),
                Happens::Failure { engine } => drop(harness.look(engine, Err(()), Duration::ZERO)),
                Happens::Time(time) => harness.pass(ms(time)),
                Happens::Sleep => {
                    if let Some(wake) = harness.scheduler.next_wake() {
                        harness.pass(wake - harness.now);
                    }
                }
                Happens::Stop if !stopped => {
                    harness.scheduler.stop(&mut harness.log);
                    stopped = true;
                }
                _ => (),
            }
        }
        (0..3).for_each(|camera| harness.scheduler.ended(camera));
        for _ in 0..1000 {
            if harness.scheduler.is_done() {
                break;
            }
            harness.pass(ms(5));
            for engine in 0..3 {
                harness.look(engine, Ok((1, 0.5)), ms(5));
            }
        }
        prop_assert!(harness.scheduler.is_done());
        let mut out: Vec<_> = harness.log.lost.iter().map(|(camera, frame, _)| (*camera, *frame)).collect();
        out.extend(harness.log.published.iter().map(|job| (job.camera, job.report.sequence)));
        out.sort_unstable();
        let sent: Vec<_> = (0..3).flat_map(|camera| (0..harness.sent[camera]).map(move |frame| (camera, frame))).collect();
        prop_assert_eq!(out, sent);
        prop_assert!(harness.log.lost.iter().all(|(camera, _, why)| *camera != 2 || *why == DropReason::Stopped), "lossless: {:?}", harness.log.lost);
        let order: Vec<_> = harness.log.published.iter().filter(|job| job.camera == 2).map(|job| job.report.sequence).collect();
        prop_assert!(order.is_sorted(), "lossless out of order: {:?}", order);
    }
}
