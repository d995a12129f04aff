//! docs/reference/records.md against real records and summaries, in both directions; one golden
//! record; and what must never reach a record.
//!
//! `UPDATE_GOLDEN=1` rewrites tests/golden/record.jsonl.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crate::common::reports;
use crate::common::schema::{Schema, example, unseen, words};
use serde_json::Value;
use squint::budget::Why;
use squint::engine::{Label, Labels};
use squint::observe::{Accuracy, Counters, Facts, SinkSummary, Stage, Summary};
use squint::policy::Code;
use squint::report::{DropReason, Outcome, Report};
use squint::sink::{write_record, write_record_with_features};

const DOC: &str = include_str!("../../docs/reference/records.md");

fn line(report: &Report) -> String {
    let mut buffer = Vec::new();
    write_record(report, &mut buffer);
    String::from_utf8(buffer).unwrap()
}

fn parsed(report: &Report) -> Value {
    serde_json::from_str(&line(report)).unwrap()
}

fn facts() -> Facts {
    let accuracy =
        Accuracy { n: 4, unanswered: 1, top1: 0.75, top1_ci95: [0.3006, 0.9544], top5: 1.0 };
    let (version, policy) = ("0.1.0".into(), "accurate".into());
    Facts {
        version,
        policy,
        duration: Duration::from_millis(2500),
        ready: Some(Duration::from_millis(412)),
        allocations_per_frame: Some(0.0),
        rss_mb: Some(182.0),
        accuracy: Some(accuracy),
        sinks: vec![("file".into(), SinkSummary { sent: 3, lost: 1 })],
    }
}

fn summary() -> Summary {
    let mut counters = Counters::new(&["bikes".into()], &reports::engines());
    reports::every_kind().iter().for_each(|report| counters.note(report));
    counters.note_drop(0, DropReason::Superseded, 2);
    counters.summary(&facts())
}

#[test]
fn every_field_of_a_record_is_documented_and_every_documented_field_occurs() {
    let schema = Schema::read(DOC, "## Record");
    let mut seen = BTreeSet::new();
    for report in reports::every_kind().into_iter().chain([reports::held(), reports::on_a_device()])
    {
        schema.check(&parsed(&report), &mut seen);
        let mut buffer = Vec::new();
        write_record_with_features(&report, &mut buffer);
        schema.check(&serde_json::from_slice(&buffer).unwrap(), &mut seen);
    }
    assert_eq!(unseen(&schema, &seen), [""; 0], "documented, but never seen");
}

#[test]
fn every_field_of_a_summary_is_documented_and_every_documented_field_occurs() {
    let schema = Schema::read(DOC, "## Summary");
    let mut seen = BTreeSet::new();
    schema.check(&serde_json::from_str(&summary().to_json()).unwrap(), &mut seen);
    assert_eq!(unseen(&schema, &seen), [""; 0], "documented, but never seen");
    let empty = Counters::new(&["idle".into()], &reports::engines()).summary(&Facts::default());
    schema.check(&serde_json::from_str(&empty.to_json()).unwrap(), &mut seen);
}

#[test]
fn the_words_of_the_code_are_those_of_the_page() {
    assert_eq!(words(DOC, "## Outcomes"), Outcome::ALL.map(Outcome::name));
    assert_eq!(words(DOC, "## Codes"), Code::ALL.map(Code::name));
    assert_eq!(words(DOC, "## Drops"), DropReason::ALL.map(DropReason::name));
    assert_eq!(words(DOC, "### Stages"), Stage::ALL.map(Stage::name));
    assert_eq!(words(DOC, "## Limits"), Why::ALL.map(Why::name));
}

#[test]
fn the_examples_of_the_page_are_what_squint_writes() {
    assert_eq!(example(DOC, "record"), parsed(&reports::answered()));
    let (mut page, mut written) =
        (example(DOC, "summary"), serde_json::from_str(&summary().to_json()).unwrap());
    Schema::read(DOC, "## Summary").check(&page, &mut BTreeSet::new());
    drop_times(&mut page);
    drop_times(&mut written);
    assert_eq!(page, written);
}

/// Removes the quantiles, whose last digits are the histogram's business.
fn drop_times(value: &mut Value) {
    if let Value::Object(fields) = value {
        fields.remove("latency_us");
        fields.remove("run_us");
        fields.values_mut().for_each(drop_times);
    }
}

#[test]
fn what_a_device_says_it_took_is_told_where_it_has_a_clock() {
    assert!(parsed(&reports::answered())["engines"][0].get("device_us").is_none());
    assert_eq!(parsed(&reports::on_a_device())["engines"][0]["device_us"], 1700);
}

#[test]
fn the_golden_record_has_not_moved() {
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/record.jsonl");
    let now: String = reports::every_kind().iter().chain([&reports::held()]).map(line).collect();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(golden, &now).unwrap();
    }
    assert_eq!(now, std::fs::read_to_string(golden).unwrap());
}

#[test]
fn numbers_that_are_not_finite_are_left_out_of_a_record() {
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut report = reports::answered();
        report.features.values[3] = bad;
        report.verdict = reports::why(Code::Sure, Some(bad), Some(bad));
        report.attempts.answer.top[1].probability = bad;
        let step = &mut report.attempts.steps[0];
        (step.margin, step.entropy, step.top.probability, step.why.value) =
            (bad, bad, bad, Some(bad));
        let mut buffer = Vec::new();
        write_record_with_features(&report, &mut buffer);
        let text = String::from_utf8(buffer).unwrap();
        assert!(!text.contains("null") && !text.contains("NaN") && !text.contains("inf"), "{text}");
        let record: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            record["top"].as_array().unwrap().len(),
            4,
            "the class without a probability is left out"
        );
        assert!(
            record.get("features_values").is_none() && record["engines"][0].get("margin").is_none()
        );
    }
}

#[test]
fn facts_that_are_not_finite_are_left_out_of_a_summary() {
    let broken =
        Accuracy { n: 0, unanswered: 0, top1: f64::NAN, top1_ci95: [f64::NAN; 2], top5: 0.0 };
    let facts = Facts { rss_mb: Some(f64::INFINITY), accuracy: Some(broken), ..facts() };
    let text = Counters::new(&[], &[]).summary(&facts).to_json();
    assert!(
        !text.contains("null") && !text.contains("rss_mb") && !text.contains("accuracy"),
        "{text}"
    );
}

#[test]
fn hostile_names_are_escaped_and_read_back_unchanged() {
    let hostile = "a \"quoted\" \\ name,\n\r\t\0\u{1b}[31m \u{2028} {\"v\":2}";
    let mut report = reports::answered();
    report.camera = hostile.into();
    report.file = Some(hostile.into());
    report.labels = Arc::new(Labels {
        classes: vec![Label { key: hostile.into(), name: hostile.into() }; 5],
        sha256: String::new(),
    });
    report.engines = [Arc::from(hostile), Arc::from(hostile)].into();
    let text = line(&report);
    assert_eq!(
        text.bytes().filter(|byte| *byte < b' ').count(),
        1,
        "only the line feed at the end: {text}"
    );
    let record: Value = serde_json::from_str(&text).unwrap();
    for value in [
        &record["camera"],
        &record["file"],
        &record["top"][0]["key"],
        &record["top"][0]["name"],
        &record["engines"][1]["id"],
    ] {
        assert_eq!(value, hostile);
    }
}

#[test]
fn a_report_with_indexes_out_of_range_still_makes_a_record() {
    let mut report = reports::answered();
    report.labels = reports::labels(&[]);
    report.engines = [].into();
    report.attempts.answer.ranked = 99;
    let record = parsed(&report);
    assert_eq!(record["top"].as_array().unwrap().len(), 5);
    assert_eq!(record["engines"][0]["id"], "?");
    assert!(record["top"][0].get("name").is_none());
}

#[test]
fn a_record_names_the_limit_and_the_engine_it_withheld_and_only_then() {
    let free = parsed(&reports::answered());
    assert_eq!(free["budget"], serde_json::json!({"because": "free"}));
    let mut report = reports::held();
    let held = parsed(&report);
    assert_eq!(
        held["budget"],
        serde_json::json!({"because": "power", "value": 6480.0, "limit": 6000.0, "withheld": "lite2-260"})
    );
    assert_eq!(held["engines"][0]["why"]["code"], "budget");
    report.withheld = None;
    report.grant.because.value = Some(f32::NAN);
    assert_eq!(parsed(&report)["budget"], serde_json::json!({"because": "power", "limit": 6000.0}));
}

#[test]
fn feature_values_read_back_to_the_same_bits() {
    let mut report = reports::answered();
    report.features.values.iter_mut().for_each(|value| *value = (*value + 0.1).sqrt() * 1e-3);
    let mut buffer = Vec::new();
    write_record_with_features(&report, &mut buffer);
    let record: Value = serde_json::from_slice(&buffer).unwrap();
    let back: Vec<f32> = serde_json::from_value(record["features_values"].clone()).unwrap();
    assert_eq!(back, report.features.values);
}
