//! What comes with Squint keeps its promises: the engines are whole, the policies fit them, and
//! their figures can be reproduced.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common::skip_without;
use squint::engine::catalog::Catalog;
use squint::engine::onnx::OnnxRuntime;
use squint::engine::selftest::{Compared, LIMIT, LIMIT_FLOAT32, Stored};
use squint::engine::tensorrt::plan::name::Sha256;
use squint::engine::{Answer, looker};
use squint::features;
use squint::frame::Framing;
use squint::policy::file::{EngineInfo, PolicyFile};
use squint::source::decode_image;

/// Most bytes of models that the repository may hold.
const MOST_BYTES: u64 = 60_000_000;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn catalog() -> Catalog {
    let (catalog, problems) = Catalog::open(&root().join("engines"));
    assert!(problems.is_empty(), "{problems:?}");
    catalog
}

fn policies() -> Vec<(PathBuf, PolicyFile)> {
    let files = std::fs::read_dir(root().join("calibration"))
        .expect("calibration/ is there")
        .flatten()
        .map(|entry| entry.path());
    let policies: Vec<_> = files
        .filter(|path| path.to_string_lossy().ends_with(".policy.toml"))
        .map(|path| {
            let text = std::fs::read_to_string(&path).expect("readable");
            let file = PolicyFile::parse(&text, &path).unwrap_or_else(|error| panic!("{error}"));
            (path, file)
        })
        .collect();
    assert!(
        policies.iter().any(|(path, _)| path.ends_with("default.policy.toml")),
        "the default policy is shipped"
    );
    policies
}

#[test]
fn every_model_file_is_the_one_its_manifest_names_and_all_together_stay_small() {
    let catalog = catalog();
    let ids: Vec<&str> = catalog.ids().collect();
    for wanted in
        ["lite0-128-int8", "lite0-160-int8", "lite0-224-int8", "lite2-260-int8", "lite2-260-f32"]
    {
        assert!(ids.contains(&wanted), "{wanted} is missing from {ids:?}");
    }
    assert!(ids.iter().any(|id| !catalog.members(id).is_empty()), "an ensemble is shipped");
    assert_eq!(catalog.verify_files(catalog.ids()), []);
    let weights = std::fs::read_dir(root().join("engines/weights")).expect("there").flatten();
    let bytes: u64 = weights.map(|entry| entry.metadata().expect("readable").len()).sum();
    assert!(bytes <= MOST_BYTES, "{bytes} bytes of models");
}

#[test]
fn every_engine_says_what_was_measured_of_it_and_tells_the_same_thousand_classes_apart() {
    let catalog = catalog();
    let mut labels = BTreeSet::new();
    for id in catalog.ids() {
        let manifest = catalog.get(id).expect("listed");
        let accuracy =
            manifest.accuracy.first().unwrap_or_else(|| panic!("{id} names no accuracy"));
        assert!(
            accuracy.pictures >= 800 && accuracy.top1 > 0.5 && !accuracy.data.is_empty(),
            "{id}: {accuracy:?}"
        );
        assert!(
            manifest.latency.first().is_some_and(|latency| !latency.machine.is_empty()),
            "{id} names no latency"
        );
        let classes = catalog.labels(id).expect("listed");
        assert_eq!(classes.classes.len(), 1000, "{id}");
        labels.insert(classes.sha256.clone());
    }
    assert_eq!(labels.len(), 1, "one labels file serves all, so that any engines can be averaged");
}

#[test]
fn every_shipped_policy_fits_the_shipped_engines() {
    let catalog = catalog();
    let infos: Vec<EngineInfo> = catalog
        .ids()
        .map(|id| EngineInfo {
            id: id.to_owned(),
            sha256: catalog.fingerprint(id).expect("listed"),
            labels_sha256: catalog.labels(id).expect("listed").sha256.clone(),
        })
        .collect();
    for (path, file) in policies() {
        file.bind(&infos, features::schema())
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        for key in ["date", "tool", "data", "machine"] {
            assert!(file.made().text(key).is_some(), "{} does not say its {key}", path.display());
        }
    }
}

#[test]
fn answers_are_stored_for_every_shipped_engine_and_its_picture_is_the_one() {
    let folder = root().join("calibration/selftest");
    let text = std::fs::read_to_string(folder.join("answers.json")).expect("shipped");
    let stored = Stored::read(&text, "answers.json").unwrap_or_else(|error| panic!("{error}"));
    let catalog = catalog();
    for id in catalog.ids() {
        let advice = "squint doctor --self-test --store";
        assert!(
            stored.of(id, &catalog.fingerprint(id).expect("listed")).is_some(),
            "{id} was changed or is new; {advice}"
        );
    }
    assert_eq!(stored.engines.len(), catalog.ids().count(), "no engine that is gone");
    for picture in &stored.pictures {
        let bytes = std::fs::read(folder.join(&picture.file)).expect("shipped");
        assert_eq!(Sha256::of(&bytes).as_str(), picture.sha256, "{}", picture.file);
    }
}

#[test]
fn the_smallest_and_the_float32_engine_answer_as_stored() {
    let folder = root().join("calibration/selftest");
    let text = std::fs::read_to_string(folder.join("answers.json")).expect("shipped");
    let stored = Stored::read(&text, "answers.json").unwrap_or_else(|error| panic!("{error}"));
    let catalog = catalog();
    let runtime = OnnxRuntime::new(Some(&root().join(".deps/onnxruntime/libonnxruntime.so")), 1);
    for (id, limit) in [("lite0-128-int8", LIMIT), ("lite2-260-f32", LIMIT_FLOAT32)] {
        let answers = stored.of(id, &catalog.fingerprint(id).expect("listed")).expect("stored");
        let mut look =
            looker::load(&catalog, id, &[&runtime]).unwrap_or_else(|error| panic!("{error}"));
        let mut compared = Compared::default();
        for (picture, top) in stored.pictures.iter().zip(&answers.top) {
            let mut answer = Answer::default();
            let frame = decode_image(&folder.join(&picture.file)).expect("a picture");
            look.look(&frame, &Framing::default(), &mut answer)
                .unwrap_or_else(|error| panic!("{error}"));
            compared.add(top, &answer);
        }
        assert!(compared.is_same(limit), "{id}: {compared:?}");
    }
}

/// The labelled photos are research data and not part of the repository; they lie beside it where
/// the project is developed.
fn photos() -> Option<PathBuf> {
    let photos = root().join("../shared/data/photos");
    if photos.join("labels.csv").is_file() {
        return Some(photos);
    }
    skip_without("photos", format_args!("no {}/labels.csv", photos.display()));
    None
}

fn summary_of_a_run(photos: &Path, policy: &Path) -> serde_json::Value {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let summary = folder.path().join("summary.json");
    let status = Command::new(env!("CARGO_BIN_EXE_squint"))
        .current_dir(root())
        .args(["--log", "warn", "run", "--quiet", "--deadline-ms", "60000", "--source"])
        .arg(photos)
        .arg("--labels")
        .arg(photos.join("labels.csv"))
        .arg("--policy")
        .arg(policy)
        .arg("--summary")
        .arg(&summary)
        .status()
        .expect("squint runs");
    assert!(status.success(), "{status}");
    serde_json::from_str(&std::fs::read_to_string(summary).expect("written")).expect("JSON")
}

#[test]
fn a_run_over_the_labelled_photos_gives_the_top1_that_the_policy_promises() {
    let Some(photos) = photos() else { return };
    for (path, file) in policies() {
        let promised = file
            .made()
            .number("in-sample-top1")
            .expect("the policy says its top-1 on these photos");
        let summary = summary_of_a_run(&photos, &path);
        let accuracy = &summary["accuracy"];
        assert_eq!(accuracy["n"], 800, "{summary}");
        let found = accuracy["top1"].as_f64().expect("a number");
        // Other processors round int8 products elsewhere: two photos of 800 may go the other way.
        assert!(
            (found - promised).abs() <= 2.5 / 800.0,
            "{}: promised {promised}, found {found}",
            path.display()
        );
    }
}

#[test]
fn a_run_over_the_labelled_photos_gives_the_top1_that_the_manifest_promises() {
    let Some(photos) = photos() else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let id = "lite0-160-int8";
    let policy = folder.path().join("fixed.policy.toml");
    let text =
        format!("format = 1\nname = \"fixed\"\nkind = \"fixed\"\n[fixed]\nengine = \"{id}\"\n");
    std::fs::write(&policy, text).expect("written");
    let promised = catalog().get(id).expect("shipped").accuracy[0].top1;
    let found = summary_of_a_run(&photos, &policy)["accuracy"]["top1"].as_f64().expect("a number");
    // The manifest was measured with Pillow's decoder and resize, this is ours.
    assert!((found - promised).abs() <= 0.01, "promised {promised}, found {found}");
}
