//! Every frame is counted once, whatever becomes of it.

use std::time::Duration;

use crate::common::reports;
use proptest::prelude::*;
use squint::observe::{Counters, Facts, Part};
use squint::policy::Code;
use squint::report::DropReason;

fn facts(seconds: u64) -> Facts {
    Facts { duration: Duration::from_secs(seconds), ..Facts::default() }
}

fn adds_up(part: &Part) -> bool {
    part.frames == part.answered + part.reused + part.abstained + part.failed + part.dropped.total()
}

proptest! {
    #[test]
    fn frames_are_the_outcomes_and_the_dropped_in_total_and_by_camera(
        events in proptest::collection::vec((0_u16..4, 0_usize..11, 1_u64..5), 0..200),
    ) {
        let mut counters = Counters::new(&["one".into(), "two".into()], &[]);
        let mut offered = [0; 4];
        for (camera, what, count) in events {
            offered[usize::from(camera)] += if what < 4 { 1 } else { count };
            if what < 4 {
                let mut report = reports::every_kind().swap_remove(what);
                report.camera_index = camera;
                counters.note(&report);
            } else {
                counters.note_drop(camera, DropReason::ALL[what - 4], count);
            }
        }
        let summary = counters.summary(&facts(1));
        prop_assert!(adds_up(&summary.all));
        prop_assert_eq!(summary.all.frames, offered.iter().sum::<u64>());
        for ((_, part), offered) in summary.cameras.0.iter().zip(offered) {
            prop_assert!(adds_up(part));
            prop_assert_eq!(part.frames, offered);
        }
    }
}

#[test]
fn shares_are_of_the_frames_with_an_outcome() {
    let mut counters = Counters::new(&["bikes".into()], &reports::engines());
    reports::every_kind().iter().for_each(|report| counters.note(report));
    counters.note_drop(0, DropReason::Late, 96);
    let all = counters.summary(&facts(2)).all;
    assert_eq!((all.frames, all.settled(), all.fps), (100, 4, Some(2.0)));
    let engine = |id| all.engines.get(id).unwrap();
    assert_eq!(
        (engine("lite0-160").runs, engine("lite0-160").share, engine("lite0-160").failed),
        (3, Some(0.75), 1)
    );
    assert_eq!((engine("lite2-260").runs, engine("lite2-260").share), (2, Some(0.5)));
    assert_eq!((engine("lite4-300").runs, engine("lite4-300").run_us), (0, None));
    assert_eq!(all.first_engine.get("lite0-160"), Some(&0.75));
}

#[test]
fn another_engine_after_a_failure_is_no_escalation() {
    let mut counters = Counters::new(&["bikes".into()], &reports::engines());
    counters.note(&reports::failed());
    assert_eq!(counters.summary(&facts(1)).all.escalated, 0);
    counters.note(&reports::answered());
    let mut both = reports::answered();
    both.attempts.steps[0] = reports::failed_step(0, reports::why(Code::Entry, None, None));
    both.attempts.steps[1].why = reports::why(Code::EngineFailed, None, None);
    both.attempts.steps.push(reports::step(
        2,
        reports::why(Code::Unsure, Some(0.1), Some(0.2)),
        9000,
        0.9,
    ));
    counters.note(&both);
    assert_eq!(counters.summary(&facts(1)).all.escalated, 2);
}

#[test]
fn frames_no_engine_answered_do_not_count_as_quick_ones() {
    let mut counters = Counters::new(&["bikes".into()], &reports::engines());
    counters.note(&reports::reused());
    counters.note(&reports::failed());
    let latency = counters.summary(&facts(1)).all.latency_us;
    assert!(latency.get("run").is_none() && latency.get("preprocess").is_none());
    counters.note(&reports::answered());
    let latency = counters.summary(&facts(1)).all.latency_us;
    assert_eq!(
        (latency.get("run").unwrap().max, latency.get("preprocess").unwrap().max),
        (9400, 1700),
        "both engines together"
    );
}

#[test]
fn drops_in_a_report_are_not_counted_a_second_time() {
    let mut counters = Counters::new(&["bikes".into()], &reports::engines());
    counters.note_drop(0, DropReason::Superseded, 2);
    let report = reports::answered();
    assert_eq!(report.drops.get(DropReason::Superseded), 2);
    counters.note(&report);
    assert_eq!(counters.summary(&facts(1)).all.frames, 3);
}

#[test]
fn cameras_and_engines_met_on_the_way_are_added() {
    let mut counters = Counters::new(&[], &[]);
    counters.note_drop(1, DropReason::Stale, 1);
    counters.note(&reports::answered());
    let summary = counters.summary(&Facts::default());
    assert_eq!(
        summary.cameras.0.iter().map(|(name, _)| &**name).collect::<Vec<_>>(),
        ["camera 0", "camera 1"]
    );
    assert_eq!(summary.all.engines.get("lite2-260").unwrap().runs, 1);
    assert_eq!(summary.all.fps, None, "a run without a length has no rate");
}

#[test]
fn engines_in_another_order_or_new_ones_after_a_reload_are_not_mixed_up() {
    let mut counters = Counters::new(&["bikes".into()], &reports::engines());
    counters.note(&reports::answered());
    let mut after = reports::answered();
    after.engines = ["lite2-260", "tiny", "lite0-160"].map(std::sync::Arc::from).into();
    counters.note(&after);
    counters.note(&reports::answered());
    let all = counters.summary(&facts(1)).all;
    let runs: Vec<_> = all.engines.0.iter().map(|(id, engine)| (&**id, engine.runs)).collect();
    assert_eq!(runs, [("lite0-160", 2), ("lite2-260", 3), ("lite4-300", 0), ("tiny", 1)]);
    let (mut copy, empty) = (Counters::new(&[], &[]), Counters::new(&["yard".into()], &[]));
    copy.clone_from(&counters);
    assert_eq!(format!("{copy:?}"), format!("{counters:?}"), "a copy is the original");
    copy.clone_from(&empty);
    assert_eq!(format!("{copy:?}"), format!("{empty:?}"));
}
