//! `squint train` on small made-up profiles: the policy file, the report, and what cannot be
//! learned from. No engine runs.

use std::fs;
use std::path::{Path, PathBuf};

use crate::common::profiles;
use crate::common::program::*;
use squint::features::schema;
use squint::lab::profile::file::read;
use squint::policy::file::PolicyFile;

/// Trains on `profile` with the flags `more`; the policy is to be `trained.policy.toml` beside it.
fn train(profile: &Path, more: &[&str]) -> Told {
    let out = policy_path(profile);
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let mut args =
        vec!["train".to_owned(), "--profile".into(), text(profile), "--out".into(), text(&out)];
    args.extend(more.iter().map(|text| (*text).to_owned()));
    ask(args)
}

fn policy_path(profile: &Path) -> PathBuf {
    profile.with_file_name("trained.policy.toml")
}

/// The policy file, which must be bound to the engines of the profile.
fn policy(profile: &Path) -> PolicyFile {
    let path = policy_path(profile);
    let file = PolicyFile::parse(&fs::read_to_string(&path).unwrap(), &path).unwrap();
    file.bind(&read(profile).unwrap().engine_infos(), schema()).unwrap();
    file
}

/// Ends with `code`, says all of `words` on standard error, and leaves no policy file behind.
fn refused(told: Told, code: i32, words: &[&str], profile: &Path) {
    let told = told.ends(code);
    for word in words {
        assert!(told.err.contains(word), "{word:?} is missing in: {}", told.err);
    }
    assert!(!policy_path(profile).exists(), "no file of a failed training");
}

#[test]
fn a_policy_is_written_though_nobody_can_take_what_is_told_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let profile = profiles::small(folder.path(), 60);
    let full = || fs::File::options().write(true).open("/dev/full").unwrap().into();
    let unread = || std::process::Stdio::from(std::io::pipe().unwrap().1);
    for kind in [None, Some("chain")] {
        for (out, code) in [(full(), 74), (unread(), 0)] {
            let mut train = squint(["train", "--profile", profile.to_str().unwrap(), "--out"]);
            train
                .arg(policy_path(&profile))
                .args(kind.into_iter().flat_map(|kind| ["--kind", kind]))
                .stdout(out);
            let output = train
                .stderr(std::process::Stdio::piped())
                .spawn()
                .unwrap()
                .wait_with_output()
                .unwrap();
            assert_eq!(
                output.status.code(),
                Some(code),
                "{kind:?}: {}",
                String::from_utf8_lossy(&output.stderr)
            );
            policy(&profile);
            fs::remove_file(policy_path(&profile)).unwrap();
        }
    }
}

#[test]
fn the_published_chain_is_written_with_cross_validated_figures_and_every_step_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let profile = profiles::small(folder.path(), 300);
    let told = train(&profile, &["--kind", "chain"]).ends(0);
    let steps = [
        "300 labelled frames, 3 engines",
        "Algorithm 1, method accuracy, theta 0.5 points",
        "round 0",
        "round 1",
        "none is right",
        "7 of 29 stay",
        "goes: without it",
        "leaving one out costs",
        "level 0 small",
        "of 10 folds choose the pool above",
        "folds that keep the features above: ",
        "nested cross-validation, 10 folds",
        "coverage",
        "selective",
        "paper score, not top-1",
        "against the no-skill line",
        "against large",
        "flatters",
    ];
    for step in steps {
        assert!(told.out.contains(step), "{step:?} is missing in:\n{}", told.out);
    }
    let file = policy(&profile);
    let made = file.made();
    for key in [
        "n",
        "folds",
        "seed",
        "top1",
        "top5",
        "coverage",
        "mean-ms",
        "p95-ms",
        "in-sample-top1",
        "reference-top1",
    ] {
        assert!(made.number(key).is_some(), "{key}");
    }
    let (low, high) = made.interval("top1-ci95").unwrap();
    assert!((low..=high).contains(&made.number("top1").unwrap()));
    assert_eq!(
        (made.number("n"), made.number("folds"), made.text("reference")),
        (Some(300.0), Some(10.0), Some("large"))
    );
    assert_eq!(made.text("profile-sha256"), Some(read(&profile).unwrap().origin.sha256.as_str()));
    assert!(made.text("objective").unwrap().contains("method accuracy, theta 0.5, top-1"));
}

#[test]
fn every_flag_of_the_chain_is_heeded_and_a_seed_makes_the_same_file() {
    let folder = tempfile::tempdir().unwrap();
    let profile = profiles::small(folder.path(), 200);
    let chain = |more: &[&str]| {
        let flags: Vec<&str> = ["--kind", "chain"].iter().chain(more).copied().collect();
        let told = train(&profile, &flags).ends(0);
        (told.out, fs::read_to_string(policy_path(&profile)).unwrap())
    };
    let (_, plain) = chain(&[]);
    assert!(plain.contains("on-none = \"abstain\"") && plain.contains("k = 5"));
    // All but the times in [made], which hold the measured time of the decisions.
    let learned = |text: &str| text.split_once("[engines]").unwrap().1.to_owned();
    assert_eq!(learned(&plain), learned(&chain(&[]).1), "the same seed, the same policy");
    let (out, one) = chain(&["--theta", "100"]);
    assert!(
        one.contains("[chain]\nengines = [\"small\"]")
            && out.contains("refused: no more than theta"),
        "{out}"
    );
    let (_, fallback) = chain(&["--on-none", "most-capable"]);
    assert!(fallback.contains("on-none = \"large\"") && fallback.contains("coverage = 1.0"));
    assert!(chain(&["--k", "9"]).1.contains("k = 9"));
    let (out, _) = chain(&["--method", "optimal", "--criterion", "top5"]);
    assert!(out.contains("method optimal") && out.contains("right in top-5"), "{out}");
    let (out, only) = chain(&["--pool", "small,middle", "--method", "alternate"]);
    assert!(!only.contains("\"large\" =") && out.contains("method alternate"), "{out}");
}

#[test]
fn labels_that_look_wrong_are_refused_with_the_likely_reason_unless_they_are_to_be_trusted() {
    type Wrong = (&'static str, fn(u32) -> u32, &'static str);
    let wrong: [Wrong; 3] = [
        (
            "counted from 1",
            |label| (label + 1).min(profiles::CLASSES - 1),
            "answers are the label minus 1",
        ),
        ("from -1", |label| label.saturating_sub(1), "answers are the label plus 1"),
        (
            "in another order",
            |label| profiles::CLASSES - 1 - label,
            "answers are another class that is the same for each label",
        ),
    ];
    for (what, change, said) in wrong {
        let folder = tempfile::tempdir().unwrap();
        let profile =
            profiles::changed(folder.path(), 200, |row| row.case.label = change(row.case.label));
        for kind in ["best", "chain"] {
            let words = ["the labels look wrong: the best of 3 engines", said, "--trust-labels"];
            refused(train(&profile, &["--kind", kind]), 78, &words, &profile);
        }
        let told = train(&profile, &["--folds", "3", "--kind", "confidence", "--trust-labels"]);
        assert!(told.err.contains(said), "{what}: said all the same: {}", told.err);
    }
    let folder = tempfile::tempdir().unwrap();
    let drawn = |row: &mut squint::lab::profile::file::Row| {
        row.case.label =
            (profiles::draw(u64::from(row.case.group), 77) * f64::from(profiles::CLASSES)) as u32;
    };
    let profile = profiles::changed(folder.path(), 200, drawn);
    refused(train(&profile, &[]), 78, &["do the labels belong to these photos"], &profile);
}

#[test]
fn without_flags_a_policy_is_written_that_binds_to_the_engines_of_the_profile() {
    let folder = tempfile::tempdir().unwrap();
    let profile = profiles::small(folder.path(), 200);
    train(&profile, &["--folds", "5"]).ends(0);
    let file = policy(&profile);
    for key in ["n", "folds", "seed", "top1", "mean-ms", "p95-ms"] {
        assert!(file.made().number(key).is_some(), "{key}");
    }
    assert!(file.made().interval("top1-difference-ci95").is_some());
}

#[test]
fn every_kind_is_written_judged_and_the_same_for_a_seed() {
    let folder = tempfile::tempdir().unwrap();
    let profile = profiles::small(folder.path(), 200);
    for (kind, made) in [("confidence", "kind = \"confidence\""), ("hybrid", "kind = \"hybrid\"")] {
        let flags =
            ["--kind", kind, "--folds", "3", "--objective", "most-accurate", "--within-ms", "3.5"];
        let told = train(&profile, &flags).ends(0);
        for step in [
            "1. profile",
            "2. objective",
            "3. candidates",
            "4. policy",
            "5. judged",
            "chosen",
            "against large",
            "answers averaged",
        ] {
            assert!(told.out.contains(step), "{step:?} is missing in:\n{}", told.out);
        }
        let text = fs::read_to_string(policy_path(&profile)).unwrap();
        assert!(text.contains(made) && text.contains("feature-schema"), "{text}");
        assert!(policy(&profile).made().number("mean-ms").unwrap() < 8.0);
        train(&profile, &flags).ends(0);
        // All but the times in [made], which hold the measured time of the decisions.
        let learned = |text: &str| text.split_once("[engines]").unwrap().1.to_owned();
        let again = fs::read_to_string(policy_path(&profile)).unwrap();
        assert_eq!(learned(&text), learned(&again), "{kind}: the same seed, the same policy");
    }
}

#[test]
fn least_energy_needs_energies_and_keeps_to_its_bound_on_time() {
    let folder = tempfile::tempdir().unwrap();
    let profile = profiles::small(folder.path(), 200);
    let flags = ["--objective", "least-energy", "--p95-ms", "12", "--folds", "3", "--margin=-5"];
    refused(train(&profile, &flags), 64, &["energy", "small"], &profile);
    refused(
        train(&profile, &["--p95-ms", "12"]),
        64,
        &["--p95-ms belongs to --objective least-energy"],
        &profile,
    );
    refused(
        train(&profile, &["--within-ms", "3"]),
        64,
        &["--within-ms", "most-accurate"],
        &profile,
    );

    // The middle engine is a glutton.
    let (mut head, mut rows, energies) =
        (profiles::head(profiles::ENGINES), profiles::rows(200), [3.0, 60.0, 25.0]);
    head.engines
        .iter_mut()
        .zip(energies)
        .for_each(|(engine, energy)| engine.energy_mj = Some(energy));
    for row in &mut rows {
        let looks = row.looks.iter_mut().zip(energies);
        looks.for_each(|(look, energy)| look.as_mut().unwrap().energy_mj = Some(energy as f32));
    }
    profiles::write(&profile, &head, rows);
    train(&profile, &flags).ends(0);
    let text = fs::read_to_string(policy_path(&profile)).unwrap();
    assert!(!text.contains("\"middle\" ="), "{text}");
    let made = policy(&profile);
    assert!(
        made.made().number("p95-ms").unwrap() <= 12.0
            && made.made().text("objective").unwrap().contains("least energy")
    );
}

#[test]
fn a_single_class_is_learned_like_any_other() {
    let folder = tempfile::tempdir().unwrap();
    let profile = profiles::changed(folder.path(), 120, |row| {
        row.case.label = 7;
        for (place, seen) in row.looks.iter_mut().flatten().enumerate() {
            seen.top[0].class = if row.case.features.values[place] < 0.7 { 7 } else { 9 };
        }
    });
    for kind in ["best", "chain"] {
        train(&profile, &["--kind", kind]).ends(0);
        policy(&profile);
    }
}

#[test]
fn constant_features_stop_the_chain_and_nothing_that_needs_none() {
    let folder = tempfile::tempdir().unwrap();
    let profile = profiles::changed(folder.path(), 120, |row| row.case.features.values.fill(3.0));
    refused(
        train(&profile, &["--kind", "chain"]),
        78,
        &["all 29 constant", "120 frames", "other photos"],
        &profile,
    );
    train(&profile, &[]).ends(0);
}

#[test]
fn a_failed_look_is_a_wrong_answer_and_an_engine_that_always_fails_is_never_chosen() {
    let folder = tempfile::tempdir().unwrap();
    let profile = profiles::changed(folder.path(), 200, |row| {
        row.looks[0] = None;
        if row.case.group % 3 == 0 {
            row.looks[1] = None;
        }
    });
    for kind in ["best", "chain"] {
        train(&profile, &["--kind", kind]).ends(0);
        let file = policy(&profile);
        assert!(
            !file.engine_ids().iter().any(|id| id == "small"),
            "{kind}: {:?}",
            file.engine_ids()
        );
    }
}

#[test]
fn nobody_ever_right_still_ends_with_a_policy_that_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let profile = profiles::changed(folder.path(), 60, |row| {
        let label = row.case.label;
        row.looks
            .iter_mut()
            .flatten()
            .for_each(|seen| seen.top[0].class = (label + 1) % profiles::CLASSES);
    });
    for kind in ["best", "chain"] {
        train(&profile, &["--kind", kind, "--trust-labels"]).ends(0);
        assert_eq!(policy(&profile).made().number("top1"), Some(0.0), "{kind}");
    }
}

#[test]
fn fewer_photos_than_folds_are_refused_with_both_numbers() {
    let folder = tempfile::tempdir().unwrap();
    let profile = profiles::small(folder.path(), 7);
    for kind in ["best", "chain"] {
        refused(
            train(&profile, &["--kind", kind]),
            78,
            &["folds", "2 to the number of photos, 7"],
            &profile,
        );
    }
    refused(train(&profile, &["--kind", "chain", "--folds", "1"]), 78, &["folds: 1"], &profile);
    train(&profile, &["--kind", "chain", "--folds", "7"]).ends(0);
}

#[test]
fn frames_of_few_photos_do_not_count_as_many() {
    let folder = tempfile::tempdir().unwrap();
    let profile = profiles::changed(folder.path(), 60, |row| row.case.group %= 6);
    refused(train(&profile, &["--kind", "chain"]), 78, &["number of photos, 6"], &profile);
}

#[test]
fn a_profile_of_another_feature_schema_makes_no_chain() {
    let folder = tempfile::tempdir().unwrap();
    let mut head = profiles::head(profiles::ENGINES);
    head.origin.feature_schema = "squint-features-0:00000000".into();
    let profile = profiles::write(&folder.path().join("old.parquet"), &head, profiles::rows(60));
    let words = ["squint-features-0:00000000", schema(), "profile the photos again"];
    refused(train(&profile, &["--kind", "chain"]), 78, &words, &profile);
}

#[test]
fn files_that_are_no_whole_profile_are_refused_by_name_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let good = profiles::small(folder.path(), 60);
    let whole = fs::read(&good).unwrap();
    let bad = folder.path().join("bad.parquet");
    let mut spoilt = whole.clone();
    spoilt[whole.len() / 2] ^= 1;
    let cases: [(&str, &[u8]); 5] = [
        ("empty", b""),
        ("no Parquet file", b"file,class_index\na.jpg,1\n"),
        ("cut off", &whole[..whole.len() / 2]),
        ("one byte short", &whole[..whole.len() - 1]),
        ("damaged", &spoilt),
    ];
    for (what, bytes) in cases {
        fs::write(&bad, bytes).unwrap();
        for kind in ["best", "chain"] {
            let told = train(&bad, &["--kind", kind]);
            assert_eq!(told.out, "", "{what}");
            refused(told, 78, &["bad.parquet", "squint profile"], &bad);
        }
    }
    refused(
        train(&folder.path().join("absent.parquet"), &[]),
        78,
        &["absent.parquet", "cannot be read"],
        &bad,
    );
    refused(train(folder.path(), &[]), 78, &["cannot be read"], &bad);
}

#[test]
fn flags_out_of_range_are_refused_with_what_is_allowed() {
    let folder = tempfile::tempdir().unwrap();
    let profile = profiles::small(folder.path(), 30);
    let cases: [(&[&str], &str); 11] = [
        (&["--theta", "101"], "0 to 100"),
        (&["--theta=-0.1"], "0 to 100"),
        (&["--theta", "nan"], "0 to 100"),
        (&["--theta", "much"], "0 to 100"),
        (&["--k", "0"], "1..=64"),
        (&["--k", "65"], "1..=64"),
        (&["--method", "best"], "accuracy, optimal, alternate"),
        (&["--criterion", "top3"], "top1, top5"),
        (&["--on-none", "guess"], "abstain, most-capable"),
        (&["--within-ms", "5"], "no objective"),
        (&["--p95-ms", "5"], "no objective"),
    ];
    for (flags, words) in cases {
        let flags: Vec<&str> = ["--kind", "chain"].iter().chain(flags).copied().collect();
        refused(train(&profile, &flags), 64, &[words], &profile);
    }
    refused(
        train(&profile, &["--kind", "magic"]),
        64,
        &["best, confidence, chain, hybrid"],
        &profile,
    );
    let words = ["huge", "small, middle, large"];
    refused(train(&profile, &["--kind", "chain", "--pool", "small,huge"]), 78, &words, &profile);
    refused(train(&profile, &["--reference", "huge"]), 78, &words, &profile);
    refused(
        train(&profile, &["--kind", "chain", "--pool", "small,small"]),
        78,
        &["twice"],
        &profile,
    );
}

#[test]
fn a_policy_that_cannot_be_written_is_an_error_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let profile = profiles::small(folder.path(), 40);
    let out = folder.path().join("no-such-folder/x.policy.toml");
    let args = [
        "train",
        "--kind",
        "chain",
        "--profile",
        profile.to_str().unwrap(),
        "--out",
        out.to_str().unwrap(),
    ];
    let told = ask(args).ends(74);
    assert!(told.err.contains("no-such-folder"), "{}", told.err);
}
