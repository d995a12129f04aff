//! Rendering a record and counting a report allocate nothing once warm; an allocator that counts
//! holds us to it.

use crate::allocations::allocations;
use crate::common::reports;
use squint::observe::Counters;
use squint::report::DropReason;
use squint::sink::{AsyncStdout, Publisher, StdoutJson, write_record, write_record_with_features};

#[test]
fn a_record_allocates_nothing_once_the_buffer_is_warm() {
    let mut reports = reports::every_kind();
    reports.push(reports::held());
    reports[0].camera = "quoted \" name \n".into();
    reports[0].attempts.answer.top[0].probability = f32::NAN;
    let mut buffer = Vec::new();
    let mut render = || {
        for report in &reports {
            buffer.clear();
            write_record(report, &mut buffer);
            buffer.clear();
            write_record_with_features(report, &mut buffer);
        }
    };
    render();
    assert_eq!(allocations(|| (0..100).for_each(|_| render())), 0);
}

#[test]
fn counting_allocates_nothing_for_known_cameras_and_engines() {
    let reports = reports::every_kind();
    let mut counters = Counters::new(&["bikes".into()], &reports::engines());
    let count = allocations(|| {
        for _ in 0..100 {
            reports.iter().for_each(|report| counters.note(report));
            counters.note_drop(0, DropReason::Late, 1);
        }
    });
    assert_eq!(count, 0);
}

#[test]
fn standard_output_of_a_live_run_allocates_nothing_per_record() {
    let reports = reports::every_kind();
    let json = AsyncStdout::new(std::io::sink(), |writer| Box::new(StdoutJson::new(writer, true)))
        .expect("a thread");
    let mut publisher = Publisher::with(vec![Box::new(json)], false);
    let mut publish =
        || reports.iter().for_each(|report| publisher.publish(report).expect("somebody reads"));
    publish();
    assert_eq!(allocations(|| (0..50).for_each(|_| publish())), 0);
}
