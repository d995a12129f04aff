//! `squint profile` on real photos: what the file holds, going on after an end in between, labels
//! that are refused, and what `evaluate` and `train` make of the file.

use std::fs;
use std::path::Path;

use crate::common::onnx_model::Model;
use crate::common::profiles::untimed;
use crate::common::program::*;
use crate::common::shelf::Shelf;
use squint::lab::profile::file::{Reader, read};

const POOL: &str = "lite0-128-int8,lite0-160-int8";

/// A folder with three photos, one broken picture and their labels.
fn photos(folder: &Path) {
    fs::create_dir(folder.join("photos")).unwrap();
    for name in ["chelsea", "coffee", "camera"] {
        fs::copy(root().join(photo(name)), folder.join(format!("photos/{name}.png"))).unwrap();
    }
    fs::write(folder.join("photos/broken.png"), "no picture").unwrap();
    fs::write(
        folder.join("labels.csv"),
        "file,class_index\nchelsea.png,281\ncoffee.png,967\ncamera.png,872\nbroken.png,1\n",
    )
    .unwrap();
}

fn profile(folder: &Path, out: &str, more: &[&str]) -> Told {
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let mut args = vec![
        "profile".to_owned(),
        "--images".into(),
        path("photos"),
        "--labels".into(),
        path("labels.csv"),
    ];
    args.extend([
        "--out".into(),
        path(out),
        "--pool".into(),
        POOL.into(),
        "--repeats".into(),
        "3".into(),
    ]);
    args.extend(more.iter().map(|text| (*text).to_owned()));
    ask(args)
}

#[test]
fn photos_are_profiled_and_an_interrupted_run_goes_on_to_the_same_rows() {
    let folder = tempfile::tempdir().unwrap();
    photos(folder.path());
    let told = profile(folder.path(), "a.parquet", &["--time-images", "2"]).ends(0);
    assert!(
        told.err.contains("broken.png")
            && told.out.contains("3 photos")
            && told.out.contains("1 photos unreadable"),
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
        let timed: Vec<_> =
            engine.looks.iter().flatten().filter_map(|seen| seen.latency_ms).collect();
        assert!(
            !timed.is_empty() && timed.len() <= 2 && timed.iter().all(|ms| *ms > 0.0),
            "{timed:?}"
        );
        assert!(
            engine.mean_ms > 0.0
                && engine.looks.iter().all(Option::is_some)
                && engine.networks == 1
        );
    }
    assert!(!folder.path().join("a.parquet.parts").exists());

    // A run that ended before its only block: the plan is there, the block is not. Its plan is
    // taken from a run that is refused while joining, because the result is a folder.
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
    assert!(
        !folder.path().join("a.parquet").exists()
            && !folder.path().join("a.parquet.parts").exists()
    );
}

#[test]
fn an_interrupted_profile_says_so_and_goes_on_to_the_rows_of_an_uninterrupted_one() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    fs::create_dir(at("photos")).unwrap();
    let mut labels = "file,class_index\n".to_owned();
    for number in 0..320 {
        let name = ["chelsea", "coffee", "camera"][number % 3];
        std::os::unix::fs::symlink(
            root().join(photo(name)),
            at(&format!("photos/{number:03}.png")),
        )
        .unwrap();
        labels += &format!("{number:03}.png,{}\n", [281, 967, 872][number % 3]);
    }
    fs::write(at("labels.csv"), labels).unwrap();
    let command = |out: &str, more: &[&str]| {
        let mut args = vec![
            "profile".to_owned(),
            "--images".into(),
            at("photos"),
            "--labels".into(),
            at("labels.csv"),
        ];
        args.extend([
            "--out".into(),
            at(out),
            "--pool".into(),
            POOL.into(),
            "--time-images".into(),
            "1".into(),
        ]);
        args.extend(more.iter().map(|text| (*text).to_owned()));
        squint(args)
    };
    let mut interrupted = Daemon::start(command("a.parquet", &[]));
    let first = folder.path().join("a.parquet.parts/000000.parquet");
    interrupted.until("the first block", |_| first.exists());
    interrupted.signal("INT");
    let told = interrupted.ends().ends(74);
    assert!(told.err.contains("of 5 blocks done") && told.err.contains("--resume"), "{}", told.err);
    assert!(!folder.path().join("a.parquet").exists());
    let kept = fs::metadata(&first).unwrap().modified().unwrap();
    let again = Daemon::start(command("a.parquet", &["--resume"]));
    again.ends().ends(0);
    tell(command("b.parquet", &[])).ends(0);
    let file = |name: &str| untimed(read(&folder.path().join(name)).unwrap());
    assert_eq!(file("a.parquet"), file("b.parquet"));
    assert!(kept.elapsed().is_ok() && !first.exists(), "parts are removed");
}

#[test]
fn folders_named_by_class_are_labels_and_an_empty_one_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let photos = folder.path().join("photos");
    for (class, name) in [("tabby", "chelsea"), ("espresso", "coffee")] {
        fs::create_dir_all(photos.join(class)).unwrap();
        fs::copy(root().join(photo(name)), photos.join(class).join("one.png")).unwrap();
    }
    fs::create_dir(photos.join("tench")).unwrap();
    let out = folder.path().join("a.parquet");
    let args = |more: &[&str]| {
        let mut args =
            ["profile", "--pool", POOL, "--repeats", "3", "--images"].map(str::to_owned).to_vec();
        args.extend([
            photos.to_str().unwrap().to_owned(),
            "--out".into(),
            out.to_str().unwrap().into(),
        ]);
        args.extend(more.iter().map(|text| (*text).to_owned()));
        args
    };
    let told = ask(args(&[])).ends(0);
    assert!(told.err.contains("tench") && told.err.contains("no photo of class 0"), "{}", told.err);
    let profile = read(&out).unwrap();
    let rows: Vec<_> = profile.cases.iter().map(|case| (&*case.name, case.label)).collect();
    assert_eq!(rows, [("espresso/one.png", 967), ("tabby/one.png", 281)]);
    fs::create_dir(photos.join("dragon")).unwrap();
    let told = ask(args(&[])).ends(78);
    assert!(told.err.contains("dragon") && told.err.contains("--labels"), "{}", told.err);
}

#[test]
fn folders_whose_names_are_numbers_are_classes_by_one_rule_for_all_of_them() {
    let shelf = Shelf::new();
    shelf.network("mine", &Model { classes: 5, weights: vec![0.5; 15], ..Model::brightest(8, 8) });
    shelf.write("labels/coins.txt", "1\n10\n2\n20\n5\n");
    shelf.edit("mine", "three.txt", "coins.txt");
    let folder = tempfile::tempdir().unwrap();
    let photos = folder.path().join("photos");
    let add = |class: &str| {
        fs::create_dir_all(photos.join(class)).unwrap();
        fs::copy(root().join(photo("coffee")), photos.join(class).join("one.png")).unwrap();
    };
    let out = folder.path().join("a.parquet");
    let profile = |more: &[&str]| {
        let (images, engines, out) =
            (photos.to_str().unwrap(), shelf.path().to_str().unwrap(), out.to_str().unwrap());
        let fixed =
            ["profile", "--engines", engines, "--images", images, "--out", out, "--repeats", "3"];
        ask(fixed.iter().chain(more))
    };
    let classes = || {
        read(&out)
            .unwrap()
            .cases
            .iter()
            .map(|case| (case.name.to_string(), case.label))
            .collect::<Vec<_>>()
    };
    ["1", "2"].iter().for_each(|class| add(class));
    let told = profile(&[]).ends(78);
    assert!(
        told.err.contains("\"1\" is class 1 by index and class 0 by name")
            && told.err.contains("--folders"),
        "{}",
        told.err
    );
    profile(&["--folders", "name"]).ends(0);
    assert_eq!(classes(), [("1/one.png".to_owned(), 0), ("2/one.png".to_owned(), 2)]);
    profile(&["--folders", "index"]).ends(0);
    assert_eq!(classes(), [("1/one.png".to_owned(), 1), ("2/one.png".to_owned(), 2)]);
    ["5", "10", "20"].iter().for_each(|class| add(class));
    profile(&[]).ends(0);
    let by_name = [("1", 0), ("10", 1), ("2", 2), ("20", 3), ("5", 4)]
        .map(|(name, class)| (format!("{name}/one.png"), class));
    assert_eq!(classes(), by_name, "20 is no index, so all are names");
}

#[test]
fn labels_counted_from_1_are_told_by_profile_and_refused_by_train() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    fs::create_dir(at("photos")).unwrap();
    let mut labels = "file,class_index\n".to_owned();
    for number in 0..12 {
        std::os::unix::fs::symlink(
            root().join(photo("coffee")),
            at(&format!("photos/{number:03}.png")),
        )
        .unwrap();
        labels += &format!("{number:03}.png,968\n");
    }
    fs::write(at("labels.csv"), labels).unwrap();
    let told = profile(folder.path(), "a.parquet", &["--time-images", "1"]).ends(0);
    let said = "the labels look wrong: the best of 2 engines, `lite0-1";
    assert!(
        told.err.contains(said)
            && told.err.contains("is right on 0 of 12 photos (its manifest says "),
        "{}",
        told.err
    );
    assert!(told.err.contains("12 of 12 answers are the label minus 1"), "{}", told.err);
    let told =
        ask(["train", "--profile", &at("a.parquet"), "--out", &at("x.policy.toml")]).ends(78);
    assert!(told.err.contains(said) && told.err.contains("--trust-labels"), "{}", told.err);
    assert!(!Path::new(&at("x.policy.toml")).exists());
}

#[test]
fn more_engines_than_a_profile_holds_are_refused_before_anything_is_looked_at() {
    let shelf = Shelf::new();
    (0..33).for_each(|number| shelf.network(&format!("e{number:02}"), &Model::brightest(4, 4)));
    let folder = tempfile::tempdir().unwrap();
    photos(folder.path());
    let (images, engines) = (folder.path().join("photos"), shelf.path().to_str().unwrap());
    let out = folder.path().join("a.parquet");
    let told = ask([
        "profile",
        "--engines",
        engines,
        "--images",
        images.to_str().unwrap(),
        "--out",
        out.to_str().unwrap(),
    ])
    .ends(64);
    assert!(
        told.err.contains("33 engines are to be profiled, and a profile holds 32 at most")
            && told.err.contains("--pool"),
        "{}",
        told.err
    );
}

#[test]
fn a_damaged_profile_is_refused_by_train_and_evaluate() {
    let folder = tempfile::tempdir().unwrap();
    photos(folder.path());
    profile(folder.path(), "a.parquet", &[]).ends(0);
    let whole = fs::read(folder.path().join("a.parquet")).unwrap();
    let path = folder.path().join("bad.parquet");
    let file = path.to_str().unwrap();
    let mut flipped = whole.clone();
    flipped[100] ^= 0x20;
    let damaged: [(&str, &[u8]); 4] = [
        ("flipped", &flipped),
        ("cut off", &whole[..whole.len() / 2]),
        ("empty", b""),
        ("a CSV", b"file,label\na.png,1\n"),
    ];
    for (how, bytes) in damaged {
        fs::write(&path, bytes).unwrap();
        let out = folder.path().join("new.policy.toml");
        for args in [
            vec!["evaluate", "--profile", file],
            vec!["train", "--profile", file, "--out", out.to_str().unwrap()],
        ] {
            let told = ask(&args).ends(78);
            assert!(
                told.err.contains(file) && told.err.contains("squint profile"),
                "{how}: {args:?}: {}",
                told.err
            );
            assert!(!told.err.contains("panicked") && !out.exists(), "{how}: {}", told.err);
        }
    }
}

#[test]
fn live_photos_in_folders_are_decided_as_the_replay_decides() {
    let folder = tempfile::tempdir().unwrap();
    let photos = folder.path().join("photos");
    for (class, name) in [
        ("281", "chelsea"),
        ("967", "coffee"),
        ("872", "camera"),
        ("657", "rocket"),
        ("409", "clock"),
        ("652", "astronaut"),
    ] {
        fs::create_dir_all(photos.join(class)).unwrap();
        // One name for all: only the folder tells them apart.
        fs::copy(root().join(photo(name)), photos.join(class).join("one.png")).unwrap();
    }
    let out = folder.path().join("a.parquet");
    let (photos, out) = (photos.to_str().unwrap(), out.to_str().unwrap());
    ask([
        "profile",
        "--images",
        photos,
        "--out",
        out,
        "--pool",
        &ENGINES.join(","),
        "--repeats",
        "3",
    ])
    .ends(0);
    let policy = confidence_policy(folder.path(), 0.6);
    let json = folder.path().join("a.json");
    let args = [
        "evaluate",
        "--profile",
        out,
        policy.to_str().unwrap(),
        "--folds",
        "0",
        "--live",
        photos,
        "--json",
        json.to_str().unwrap(),
    ];
    let told = ask(args).ends(0);
    assert!(told.err.contains("tested (live): 0 of 6 decisions differ"), "{}", told.err);
    let report: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(&json).unwrap()).unwrap();
    let asked = |policy: usize| {
        let shares = report["policies"][policy]["shares"].as_array().unwrap();
        shares.iter().map(|share| share["asked"].as_f64().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(asked(0), asked(1));
    assert!(
        asked(0).len() == 2 && asked(0)[1] > 0.0 && asked(0)[1] < 1.0,
        "some photos go on, some do not: {:?}",
        asked(0)
    );
}
