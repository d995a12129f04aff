//! `squint profile` on real photos: what the file holds, going on after an end in between, labels that are refused.
#![allow(clippy::unwrap_used)] // clippy.toml frees only the test functions themselves

#[path = "common/squint.rs"]
mod squint_cli;

use std::fs;
use std::path::Path;

use squint::lab::profile::Profile;
use squint::lab::profile::file::{Reader, read};
use squint_cli::*;

const POOL: &str = "lite0-128-int8,lite0-160-int8";

/// A folder with three photos, one broken picture and their labels.
fn photos(folder: &Path) {
    fs::create_dir(folder.join("photos")).unwrap();
    for name in ["chelsea", "coffee", "camera"] {
        fs::copy(root().join(photo(name)), folder.join(format!("photos/{name}.png"))).unwrap();
    }
    fs::write(folder.join("photos/broken.png"), "no picture").unwrap();
    fs::write(folder.join("labels.csv"), "file,class_index\nchelsea.png,281\ncoffee.png,967\ncamera.png,872\nbroken.png,1\n")
        .unwrap();
}

fn profile(folder: &Path, out: &str, more: &[&str]) -> Told {
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let mut args = vec!["profile".to_owned(), "--images".into(), path("photos"), "--labels".into(), path("labels.csv")];
    args.extend(["--out".into(), path(out), "--pool".into(), POOL.into(), "--repeats".into(), "3".into()]);
    args.extend(more.iter().map(|text| (*text).to_owned()));
    ask(args)
}

/// Without what differs from run to run.
fn untimed(mut profile: Profile) -> Profile {
    profile.origin.sha256.clear();
    profile.cases.iter_mut().for_each(|case| case.features_ms = 0.0);
    for engine in &mut profile.engines {
        (engine.mean_ms, engine.energy_mj) = (1.0, None);
        engine.looks.iter_mut().flatten().for_each(|seen| (seen.latency_ms, seen.energy_mj) = (None, None));
    }
    profile
}

#[test]
fn photos_are_profiled_and_an_interrupted_run_goes_on_to_the_same_rows() {
    let folder = tempfile::tempdir().unwrap();
    photos(folder.path());
    let told = profile(folder.path(), "a.parquet", &["--time-images", "2"]).ends(0);
    assert!(
        told.err.contains("broken.png") && told.out.contains("3 photos") && told.out.contains("1 photos unreadable"),
        "{}",
        told.out
    );
    let out = folder.path().join("a.parquet");
    let whole = read(&out).unwrap();
    let names: Vec<_> = whole.cases.iter().map(|case| &*case.name).collect();
    assert_eq!(names, ["camera.png", "chelsea.png", "coffee.png"]);
    assert_eq!(whole.cases.iter().map(|case| case.label).collect::<Vec<_>>(), [872, 281, 967]);
    assert_eq!((whole.origin.unreadable, whole.classes, whole.class_names.len()), (1, 1000, 1000));
    assert_eq!(Reader::open(&out).unwrap().head().unreadable, ["broken.png"]);
    for engine in &whole.engines {
        let timed: Vec<_> = engine.looks.iter().flatten().filter_map(|seen| seen.latency_ms).collect();
        assert!(!timed.is_empty() && timed.len() <= 2 && timed.iter().all(|ms| *ms > 0.0), "{timed:?}");
        assert!(engine.mean_ms > 0.0 && engine.looks.iter().all(Option::is_some) && engine.networks == 1);
    }
    assert!(!folder.path().join("a.parquet.parts").exists());

    // A run that ended before its only block: the plan is there, the block is not. Its plan is taken from a run that is refused
    // while joining, because the result is a folder.
    fs::create_dir(folder.path().join("b.parquet")).unwrap();
    profile(folder.path(), "b.parquet", &["--time-images", "2"]).ends(74);
    let parts = folder.path().join("b.parquet.parts");
    assert!(parts.join("000000.parquet").exists(), "a finished block is kept");
    fs::remove_dir(folder.path().join("b.parquet")).unwrap();
    let told = profile(folder.path(), "b.parquet", &["--time-images", "2"]).ends(78);
    assert!(told.err.contains("--resume"), "{}", told.err);
    let told = profile(folder.path(), "b.parquet", &["--time-images", "1", "--resume"]).ends(78);
    assert!(told.err.contains("other --repeats or --time-images"), "{}", told.err);
    let whole_block = fs::read(parts.join("000000.parquet")).unwrap();
    fs::write(parts.join("000000.parquet"), &whole_block[..whole_block.len() / 2]).unwrap();
    profile(folder.path(), "b.parquet", &["--time-images", "2", "--resume"]).ends(0);
    assert!(!parts.exists());
    assert_eq!(untimed(read(&folder.path().join("b.parquet")).unwrap()), untimed(whole));
}

#[test]
fn bad_labels_are_refused_with_line_and_value_before_anything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    photos(folder.path());
    for (labels, said) in [
        (&b"file,class_index\nchelsea.png,1000\n"[..], "line 2: class_index \"1000\""),
        (b"file,wnid\nchelsea.png,n1\n", "line 2: wnid \"n1\""),
        (b"file,class_index\ngone.png,1\n", "gone.png"),
        (b"file,class_index\nchelsea.png,1\nchelsea.png,1\n", "line 3"),
        (b"file,class_index\n\xe4.png,1\n", "not UTF-8"),
    ] {
        fs::write(folder.path().join("labels.csv"), labels).unwrap();
        let told = profile(folder.path(), "a.parquet", &[]).ends(78);
        assert!(told.err.contains(said) && told.err.contains("labels.csv"), "{}", told.err);
    }
    assert!(!folder.path().join("a.parquet").exists() && !folder.path().join("a.parquet.parts").exists());
}
