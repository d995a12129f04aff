//! A profile survives the file exactly; nothing that happens to the file is taken for a profile.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use super::*;
use crate::engine::{KEPT, Top};
use crate::features::{COUNT, Features};

fn seen(number: u32, ranked: u8) -> Seen {
    let mut top = [Top::default(); KEPT];
    for (place, top) in top.iter_mut().take(usize::from(ranked)).enumerate() {
        *top = Top { class: number + place as u32, probability: 0.5 / (place + 1) as f32 };
    }
    let latency_ms = (!number.is_multiple_of(3)).then_some(1.5 + number as f32);
    Seen {
        top,
        ranked,
        margin: 0.25,
        entropy: 0.125,
        latency_ms,
        energy_mj: number.is_multiple_of(5).then_some(7.25),
    }
}

fn row(number: u32) -> Row {
    let mut values = [0.0; COUNT];
    values.iter_mut().enumerate().for_each(|(at, value)| *value = at as f32 / 7.0 + number as f32);
    let case = Case {
        name: format!("{number}-ä.jpg").into(),
        label: number % 40,
        group: number / 2,
        features: Features { values },
        features_ms: 0.3,
        glimpse: [number as u8; 192],
        at_ms: number.is_multiple_of(2).then_some(f64::from(number) / 3.0),
    };
    let failed = number.is_multiple_of(4);
    Row {
        case,
        looks: vec![Some(seen(number, KEPT as u8)), (!failed).then(|| seen(number + 1, 3))],
    }
}

fn head() -> Head {
    let engine = |id: &str, networks| EngineHead {
        id: id.into(),
        sha256: "ab".into(),
        labels_sha256: "cd".into(),
        networks,
        mean_ms: 1.0 / 3.0,
        energy_mj: (networks == 1).then_some(2.5),
        promised: (networks == 2).then_some(0.83),
    };
    let text = |text: &str| text.to_owned();
    Head {
        origin: Origin {
            date: text("2026-01-02"),
            tool: text("a test"),
            unreadable: 1,
            ..Origin::default()
        },
        classes: 40,
        class_names: vec!["tench".into(), "\"quoted\"".into()],
        engines: vec![engine("small-1.x", 1), engine("pair", 2)],
        unreadable: vec!["broken.jpg".into()],
    }
}

fn write(path: &Path, rows: u32) {
    let head = head();
    let ids: Vec<String> = head.engines.iter().map(|engine| engine.id.clone()).collect();
    let mut writer = Writer::create(path, &ids).unwrap();
    (0..rows).for_each(|number| writer.push(row(number)).unwrap());
    writer.finish(&head).unwrap();
}

#[test]
fn a_profile_comes_back_exactly_over_several_row_groups() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("p.parquet");
    write(&path, 600);
    let profile = read(&path).unwrap();
    assert_eq!(profile.origin.sha256, crate::engine::hash::of_file(&path).unwrap());
    assert_eq!((profile.origin.unreadable, profile.cases.len(), profile.classes), (1, 600, 40));
    for (at, case) in profile.cases.iter().enumerate() {
        let looks = profile.engines.iter().map(|engine| engine.looks[at]).collect();
        assert_eq!(Row { case: case.clone(), looks }, row(at as u32));
    }
    let reader = Reader::open(&path).unwrap();
    assert_eq!(reader.groups(), 3);
    let mut expected = head();
    expected.origin.sha256 = profile.origin.sha256;
    assert_eq!(*reader.head(), expected);
}

#[test]
fn a_file_cut_off_anywhere_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("p.parquet");
    write(&path, 5);
    let whole = std::fs::read(&path).unwrap();
    for length in (0..whole.len()).step_by(97).chain([whole.len() - 1]) {
        std::fs::write(&path, &whole[..length]).unwrap();
        let error = read(&path).unwrap_err().to_string();
        assert!(
            error.contains("p.parquet") && error.contains("squint profile"),
            "{length}: {error}"
        );
    }
}

#[test]
fn a_changed_byte_is_an_error_or_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("p.parquet");
    write(&path, 5);
    let whole = std::fs::read(&path).unwrap();
    let good = read(&path).unwrap();
    let mut refused = 0;
    for at in (0..whole.len()).step_by(23) {
        let mut spoilt = whole.clone();
        spoilt[at] ^= 0x41;
        std::fs::write(&path, &spoilt).unwrap();
        match read(&path) {
            Err(error) => {
                refused += 1;
                assert!(error.to_string().contains("p.parquet"), "{error}");
            }
            Ok(mut profile) => {
                profile.origin.sha256.clone_from(&good.origin.sha256);
                assert_eq!(profile, good, "byte {at}");
            }
        }
    }
    assert!(refused > whole.len() / 23 / 3, "{refused} of {}", whole.len() / 23);
}

#[test]
fn what_is_no_profile_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("p.parquet");
    assert!(read(&path).unwrap_err().to_string().contains("cannot be read"));
    std::fs::write(&path, "file,class_index\n").unwrap();
    assert!(read(&path).unwrap_err().to_string().contains("no Parquet file"));
    write(&path, 0);
    assert!(read(&path).unwrap_err().to_string().contains("number of labelled frames"));
    let mut writer = Writer::create(&path, &["one".to_owned()]).unwrap();
    assert!(writer.push(row(1)).is_err(), "answers of two engines");
    assert!(writer.finish(&head()).is_err(), "a head of two engines");
}
