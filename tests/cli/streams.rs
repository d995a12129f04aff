//! Labelled streams as typed: `profile --stream`, `evaluate --stream`, giving the last answer
//! again; and what profiling costs in memory.
//!
//! The engines are tiny ones that tell the brightest channel, one of which fails on dark pictures.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use crate::common::onnx_model::{Finish, Model};
use crate::common::profiles::untimed;
use crate::common::program::*;
use crate::common::shelf::Shelf;
use serde_json::Value;
use squint::features::NAMES;
use squint::lab::profile::file::read;

/// Engines, and beside them a folder with all else.
struct Desk {
    shelf: Shelf,
    folder: tempfile::TempDir,
}

impl Desk {
    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn engines(&self) -> String {
        self.shelf.path().to_str().unwrap().to_owned()
    }
}

/// A shelf with two engines, six photos of one bright colour each and one broken file, labels and a
/// stream.
fn desk() -> Desk {
    let shelf = Shelf::new();
    shelf.network("plain", &Model::brightest(8, 8));
    shelf.network("picky", &Model { finish: Finish::Root, ..Model::brightest(16, 16) });
    let desk = Desk { shelf, folder: tempfile::tempdir().unwrap() };
    fs::create_dir(desk.path().join("photos")).unwrap();
    let mut labels = "file,class_name\n".to_owned();
    for (number, (class, rest)) in
        [("red", 120), ("green", 10), ("blue", 130), ("red", 125), ("green", 140), ("blue", 20)]
            .iter()
            .enumerate()
    {
        let channel = ["red", "green", "blue"].iter().position(|name| name == class).unwrap();
        let picture = image::RgbImage::from_fn(48, 36, |x, y| {
            let mut pixel = [*rest + (x % 7) as u8, *rest + (y % 5) as u8, *rest + number as u8];
            pixel[channel] = 200 + number as u8 * 5;
            image::Rgb(pixel)
        });
        picture.save(desk.path().join(format!("photos/{number}.png"))).unwrap();
        labels += &format!("{number}.png,{class}\n");
    }
    fs::write(desk.path().join("photos/broken.png"), "no picture").unwrap();
    fs::write(desk.path().join("labels.csv"), labels + "broken.png,red\n").unwrap();
    fs::write(desk.path().join("street.toml"), "rate-hz = 20.0\nhold-s = [0.8, 1.6]\nseed = 3\n")
        .unwrap();
    desk
}

fn at(desk: &Desk, name: &str) -> String {
    desk.path().join(name).to_str().unwrap().to_owned()
}

/// `command` with photos, labels, engines and the stream of the shelf.
fn args(desk: &Desk, command: &str, more: &[&str]) -> Vec<String> {
    let mut args = vec![command.to_owned()];
    for (flag, name) in
        [("--images", "photos"), ("--labels", "labels.csv"), ("--stream", "street.toml")]
    {
        args.extend([flag.to_owned(), at(desk, name)]);
    }
    args.extend(["--engines".to_owned(), desk.engines()]);
    args.extend(["--pool", "plain,picky", "--time-images", "5"].map(str::to_owned));
    args.extend(more.iter().map(|text| (*text).to_owned()));
    args
}

#[test]
fn a_stream_is_profiled_frame_by_frame_the_same_each_time_and_goes_on_only_as_the_same_stream() {
    let desk = desk();
    let out = PathBuf::from(at(&desk, "a.parquet"));
    let told = ask(args(&desk, "profile", &["--out", out.to_str().unwrap()])).ends(0);
    assert!(
        told.out.contains("frames") && told.out.contains("1 photos unreadable"),
        "{}",
        told.out
    );
    assert_eq!(
        told.err.matches("broken.png").count(),
        told.err.matches("WARN").count() - told.err.matches("no answer").count()
    );
    let whole = read(&out).unwrap();
    assert!(
        whole.is_stream() && whole.cases.len() > 96,
        "more than one block: {}",
        whole.cases.len()
    );
    assert!(whole.cases.windows(2).all(|pair| pair[0].at_ms < pair[1].at_ms));
    let mut shown: Vec<_> =
        whole.cases.iter().map(|case| (case.group, &*case.name, case.label)).collect();
    shown.dedup();
    assert_eq!(shown.len(), 6, "each photo held without a break: {shown:?}");
    assert!(
        shown
            .iter()
            .all(|(group, name, label)| *name == format!("{group}.png") && *label == group % 3)
    );
    let change = NAMES.iter().position(|name| *name == "change").unwrap();
    let moved = whole.cases.iter().filter(|case| case.features.values[change] > 0.0).count();
    assert_eq!(moved, whole.cases.len() - 1, "every frame but the first has one before it");
    let timed =
        whole.engines[0].looks.iter().flatten().filter(|seen| seen.latency_ms.is_some()).count();
    assert!(
        (1..=5).contains(&timed) && whole.cases.iter().all(|case| case.features_ms > 0.0),
        "{timed}"
    );
    let failed = whole.engines[1].looks.iter().zip(&whole.cases).filter(|(look, _)| look.is_none());
    assert!(
        failed.map(|(_, case)| case.group).all(|group| group == 1 || group == 5),
        "the dark ones"
    );
    assert!(
        whole.engines[1].looks.iter().any(Option::is_none)
            && whole.engines[0].looks.iter().all(Option::is_some)
    );

    // A finished block is kept where the end cannot be written; from there only the same stream
    // goes on.
    let again = at(&desk, "b.parquet");
    fs::create_dir(&again).unwrap();
    ask(args(&desk, "profile", &["--out", &again])).ends(74);
    fs::remove_dir(&again).unwrap();
    fs::remove_file(desk.path().join("b.parquet.parts/000001.parquet")).unwrap();
    let street = desk.path().join("street.toml");
    let text = fs::read_to_string(&street).unwrap();
    fs::write(&street, text.replace("seed = 3", "seed = 4")).unwrap();
    let told = ask(args(&desk, "profile", &["--out", &again, "--resume"])).ends(78);
    assert!(told.err.contains("other stream"), "{}", told.err);
    fs::write(&street, text + "# the same\n").unwrap();
    ask(args(&desk, "profile", &["--out", &again, "--resume"])).ends(0);
    assert_eq!(untimed(read(again.as_ref()).unwrap()), untimed(whole));
}

#[test]
fn a_stream_is_judged_at_once_and_giving_the_last_answer_again_saves_looks() {
    let desk = desk();
    let json = at(&desk, "a.json");
    let policy = at(&desk, "two.policy.toml");
    fs::write(
        &policy,
        "format = 1\nname = \"two\"\nkind = \"confidence\"\n[engines]\nplain = \"any\"\npicky = \"any\"\n[confidence]\nscore = \"max-softmax\"\n\
         [[confidence.stages]]\nengine = \"plain\"\naccept-above = 0.7\n[[confidence.stages]]\nengine = \"picky\"\n",
    )
    .unwrap();
    let reuse = ["--reuse-max-change", "0.1", "--reuse-max-age-ms", "400"];
    let kept = at(&desk, "kept.parquet");
    let common = [&policy, "--json", &json, "--folds", "3"];
    let told =
        ask(args(&desk, "evaluate", &[&common[..], &reuse, &["--keep-profile", &kept]].concat()))
            .ends(0);
    assert!(told.err.contains("profiling") && told.err.contains("kept.parquet"), "{}", told.err);
    let report = || serde_json::from_str::<Value>(&fs::read_to_string(&json).unwrap()).unwrap();
    let first = report();
    assert_eq!(first["stream"], true);
    let names: Vec<_> = first["policies"]
        .as_array()
        .unwrap()
        .iter()
        .map(|policy| policy["name"].as_str().unwrap().to_owned())
        .collect();
    assert!(
        names.iter().filter(|name| name.ends_with(" + reuse")).count() * 2 == names.len(),
        "{names:?}"
    );
    let figure = |name: &str, key: &str| {
        let place = names.iter().position(|known| known == name).unwrap();
        first["policies"][place][key].as_f64().unwrap()
    };
    assert_eq!(figure("two", "reused"), 0.0);
    assert!(
        figure("two + reuse", "reused") > 0.3
            && figure("two + reuse", "mean_ms") < figure("two", "mean_ms")
    );
    // At 20 Hz an answer that may be 400 ms old serves at most nine frames of ten.
    assert!(figure("two + reuse", "reused") <= 0.9, "{}", figure("two + reuse", "reused"));

    let told =
        ask(["evaluate", "--profile", &kept, &policy, "--json", &json, "--folds", "3"]).ends(0);
    assert!(told.out.contains("a stream of") && !told.err.contains("profiling"), "{}", told.err);
    let second = report();
    assert_eq!(second["n"], first["n"]);
    assert_eq!(second["profile_sha256"], first["profile_sha256"]);

    // Without --keep-profile nothing stays behind.
    let temporary = at(&desk, "tmp");
    fs::create_dir(&temporary).unwrap();
    let mut command = squint(args(&desk, "evaluate", &["--folds", "0"]));
    command.env("TMPDIR", &temporary);
    tell(command).ends(0);
    // (The runtime keeps a file `.ses` of its own there.)
    let left = fs::read_dir(&temporary).unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(left.filter(|name| name.to_string_lossy().starts_with("squint")).count(), 0);
}

#[test]
fn flags_of_streams_that_make_no_sense_are_refused_with_the_reason() {
    let desk = desk();
    let photos = at(&desk, "photos.parquet");
    let (images, labels, engines) = (at(&desk, "photos"), at(&desk, "labels.csv"), desk.engines());
    ask([
        "profile",
        "--images",
        &images,
        "--labels",
        &labels,
        "--engines",
        &engines,
        "--out",
        &photos,
        "--repeats",
        "3",
    ])
    .ends(0);
    let told = ask(["evaluate", "--profile", &photos, "--folds", "0", "--reuse-max-change", "0.1"])
        .ends(64);
    assert!(told.err.contains("--stream"), "{}", told.err);
    for (flags, said) in [
        (&["--profile", &photos, "--images", &images][..], "--images"),
        (&["--folds", "0"], "--profile"),
        (&["--profile", &photos, "--reuse-max-change", "1.5"], "0 to 1"),
        (&["--profile", &photos, "--reuse-max-age-ms", "100"], "--reuse-max-change"),
        (&["--profile", &photos, "--stream", "x.toml"], "--stream"),
    ] {
        let told = ask([&["evaluate"], flags].concat()).ends(64);
        assert!(told.err.contains(said), "{flags:?}: {}", told.err);
    }
    let street = desk.path().join("street.toml");
    fs::write(&street, "rate-hz = 0\n").unwrap();
    let told = ask(args(&desk, "profile", &["--out", &at(&desk, "a.parquet")])).ends(78);
    assert!(
        told.err.contains("street.toml") && told.err.contains("rate-hz = 0, allowed 0.1 to 240"),
        "{}",
        told.err
    );
    fs::remove_file(&street).unwrap();
    let told = ask(args(&desk, "profile", &["--out", &at(&desk, "a.parquet")])).ends(78);
    assert!(
        told.err.contains("street.toml") && told.err.contains("cannot be read"),
        "{}",
        told.err
    );
}

#[test]
fn an_engine_that_fails_on_some_photos_leaves_gaps_and_counts_as_wrong_there() {
    let desk = desk();
    let (images, labels, engines) = (at(&desk, "photos"), at(&desk, "labels.csv"), desk.engines());
    let (out, json) = (at(&desk, "photos.parquet"), at(&desk, "a.json"));
    let profile = [
        "profile",
        "--images",
        &images,
        "--labels",
        &labels,
        "--engines",
        &engines,
        "--out",
        &out,
        "--repeats",
        "3",
    ];
    let told = ask(profile).ends(0);
    assert!(
        told.err.contains("1.png: no answer of `picky`") && told.out.contains("6 photos"),
        "{}",
        told.err
    );
    ask(["evaluate", "--profile", &out, "--folds", "2", "--json", &json]).ends(0);
    let report: Value = serde_json::from_str(&fs::read_to_string(&json).unwrap()).unwrap();
    let engines = report["engines"].as_array().unwrap();
    let picky = engines.iter().find(|engine| engine["id"] == "picky").unwrap();
    assert_eq!(
        (picky["failed"].as_u64(), picky["top1"].as_f64().map(|top1| top1 < 0.7)),
        (Some(2), Some(true)),
        "{picky}"
    );
}

/// Most memory that profiling so many small pictures held, KiB, as the kernel counts it.
fn most_memory(desk: &Desk, count: usize) -> u64 {
    let folder = format!("many-{count}");
    fs::create_dir_all(desk.path().join(&folder).join("red")).unwrap();
    for number in 0..count {
        std::os::unix::fs::symlink(
            at(desk, "photos/0.png"),
            at(desk, &format!("{folder}/red/{number:05}.png")),
        )
        .unwrap();
    }
    let (images, engines, out) =
        (at(desk, &folder), desk.engines(), at(desk, &format!("{folder}.parquet")));
    let mut command = squint([
        "profile",
        "--images",
        &images,
        "--engines",
        &engines,
        "--pool",
        "plain",
        "--out",
        &out,
        "--time-images",
        "1",
    ]);
    let mut child = command.stdout(Stdio::null()).spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut most = 0;
    while child.try_wait().unwrap().is_none() {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok());
        most = most.max(line.unwrap_or(0));
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    assert!(child.wait().unwrap().success());
    most
}

#[test]
fn memory_does_not_grow_with_the_number_of_photos() {
    let desk = desk();
    let (few, many) = (most_memory(&desk, 64), most_memory(&desk, 2000));
    eprintln!("most memory: {few} KiB for 64 photos, {many} KiB for 2000");
    assert!(many < few + 16 * 1024, "{few} KiB for 64 photos, {many} KiB for 2000");
}
