//! `squint evaluate` on small made-up profiles: the table, the JSON, and policies and files that do
//! not fit. No engine runs.

use std::fs;
use std::path::Path;

use crate::common::profiles;
use crate::common::program::*;
use serde_json::Value;

/// Evaluates `profile` with the flags `more`.
fn evaluate(profile: &Path, more: &[&str]) -> Told {
    let mut args =
        vec!["evaluate".to_owned(), "--profile".into(), profile.to_str().unwrap().to_owned()];
    args.extend(more.iter().map(|text| (*text).to_owned()));
    ask(args)
}

/// The same, and the JSON.
fn judged(profile: &Path, more: &[&str]) -> (Told, Value) {
    let json = profile.with_file_name("report.json");
    let flags: Vec<&str> =
        more.iter().chain(&["--json", json.to_str().unwrap()]).copied().collect();
    let told = evaluate(profile, &flags).ends(0);
    (told, serde_json::from_slice(&fs::read(&json).unwrap()).unwrap())
}

/// A policy file of one engine, as the profile pins it or not.
fn fixed(folder: &Path, engine: &str, pin: &str) -> String {
    let text = format!(
        "format = 1\nname = \"only-{engine}\"\nkind = \"fixed\"\n[engines]\n{engine} = \"{pin}\"\n[fixed]\nengine = \"{engine}\"\n"
    );
    write(folder.join("only.policy.toml"), text).to_str().unwrap().to_owned()
}

fn share(value: &Value) -> f64 {
    let share = value.as_f64().unwrap_or_else(|| panic!("a number, not {value}"));
    assert!((0.0..=1.0).contains(&share), "{share}");
    share
}

#[test]
fn the_json_has_every_promised_key_and_the_figures_hold_together() {
    let folder = tempfile::tempdir().unwrap();
    let profile = profiles::small(folder.path(), 200);
    let policy = fixed(folder.path(), "middle", "any");
    let (told, report) = judged(&profile, &["--folds", "5", "--policy", &policy]);
    assert_eq!(
        (&report["n"], &report["most_capable"], &report["folds"]),
        (&200.into(), &"large".into(), &5.into())
    );
    let engines = report["engines"].as_array().unwrap();
    assert_eq!(engines.len(), 3);
    for engine in engines {
        assert!(engine["id"].is_string() && engine["mean_ms"].as_f64().unwrap() > 0.0, "{engine}");
        assert!(share(&engine["top1"]) <= share(&engine["top5"]), "{engine}");
        assert!(
            share(&engine["top1"]) <= share(&report["oracle"]["top1"]),
            "nobody beats the oracle"
        );
    }
    assert!(report["oracle"]["mean_ms"].as_f64().unwrap() > 0.0);
    let policies = report["policies"].as_array().unwrap();
    let named = |name: &str| {
        policies
            .iter()
            .find(|policy| policy["name"] == name)
            .unwrap_or_else(|| panic!("{name}: {policies:?}"))
    };
    for policy in policies {
        for key in ["name", "kind", "judged"] {
            assert!(policy[key].is_string(), "{key}");
        }
        for key in [
            "top1",
            "top5",
            "coverage",
            "selective_top1",
            "precision",
            "recall",
            "f1",
            "paper_score",
        ] {
            share(&policy[key]);
        }
        for key in [
            "mean_ms",
            "p50_ms",
            "p95_ms",
            "features_ms",
            "policy_ms",
            "speedup",
            "top1_diff",
            "noskill_gain",
            "regret_top1",
        ] {
            assert!(policy[key].is_f64(), "{key}");
        }
        for key in ["top1_ci95", "top1_diff_ci95", "noskill_gain_ci95"] {
            assert!(
                policy[key]["low"].as_f64().unwrap() <= policy[key]["high"].as_f64().unwrap(),
                "{key}"
            );
        }
        assert!(
            (share(&policy["coverage"]) * share(&policy["selective_top1"])
                - share(&policy["top1"]))
            .abs()
                < 1e-9
        );
        assert!(told.out.contains(policy["name"].as_str().unwrap()), "in the table, too");
    }
    for name in ["paper-knn-chain", "paper-knn-chain-fallback", "only-middle"] {
        named(name);
    }
    let middle = engines.iter().find(|engine| engine["id"] == "middle").unwrap();
    assert_eq!(named("only-middle")["top1"], middle["top1"]);
    for word in ["oracle", "No answer counts as wrong", "Best engine: large", "only-middle"] {
        assert!(told.out.contains(word), "{word:?} is missing in:\n{}", told.out);
    }
}

#[test]
fn a_trained_chain_is_marked_where_it_was_made_from_the_same_frames() {
    let folder = tempfile::tempdir().unwrap();
    let profile = profiles::small(folder.path(), 120);
    let out = folder.path().join("mine.policy.toml");
    let path = |path: &Path| path.to_str().unwrap().to_owned();
    ask(["train", "--kind", "chain", "--profile", &path(&profile), "--out", &path(&out)]).ends(0);
    let of = |profile: &Path| {
        let report = judged(profile, &["--folds", "0", "--policy", &path(&out)]).1;
        report["policies"]
            .as_array()
            .unwrap()
            .iter()
            .find(|policy| policy["name"] == "mine")
            .unwrap()["trained_on_this"]
            .clone()
    };
    assert_eq!(of(&profile), true);
    let other = profiles::write(
        &folder.path().join("other.parquet"),
        &profiles::head(profiles::ENGINES),
        (500..600).map(|photo| {
            profiles::row(photo, &profiles::ENGINES.map(|(_, ms, chance)| (ms, chance)))
        }),
    );
    assert_eq!(of(&other), false);
}

#[test]
fn the_papers_classifiers_and_pools_are_there_when_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let profile = profiles::small(folder.path(), 120);
    let (told, report) = judged(&profile, &["--folds", "4", "--classifiers", "--pools"]);
    let classifiers = report["classifiers"].as_array().unwrap();
    assert_eq!(classifiers.len(), 5 + 27 + 2);
    let named = |name: &str| classifiers.iter().find(|one| one["name"] == name).unwrap();
    for one in classifiers {
        for key in ["top1", "coverage", "selective_top1", "premodel_accuracy", "paper_score"] {
            share(&one[key]);
        }
        assert!(
            share(&one["top1"]) <= share(&report["oracle"]["top1"]),
            "one look each: nobody beats the oracle"
        );
        assert!(one["noskill_gain_ci95"]["low"].is_f64() && one["mean_ms"].as_f64().unwrap() > 0.0);
    }
    let chain = report["policies"]
        .as_array()
        .unwrap()
        .iter()
        .find(|policy| policy["name"] == "paper-knn-chain")
        .unwrap();
    assert_eq!(
        named("chain-knn-knn-knn")["top1"],
        chain["top1"],
        "the published chain is one of them"
    );
    named("single-bayes");
    let pools = report["pools"].as_array().unwrap();
    assert_eq!(pools.len(), 3 * 4);
    for pool in pools {
        assert!(share(&pool["union"]) <= share(&report["oracle"]["top1"]) + 1e-12);
        assert!(pool["mean_ms_abstaining"].as_f64().unwrap() <= pool["mean_ms"].as_f64().unwrap());
        assert!(!pool["engines"].as_array().unwrap().is_empty());
    }
    assert!(
        told.out.contains("chain-tree-svm-tree") && told.out.contains("alternate"),
        "{}",
        told.out
    );

    let (_, plain) = judged(&profile, &["--folds", "0"]);
    assert_eq!(
        (&plain["classifiers"], &plain["pools"]),
        (&Value::Array(Vec::new()), &Value::Array(Vec::new()))
    );
    let told = evaluate(&profile, &["--folds", "0", "--classifiers"]).ends(64);
    assert!(told.err.contains("--folds"), "{}", told.err);
}

#[test]
fn failed_looks_are_counted_and_are_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let profile = profiles::changed(folder.path(), 100, |row| {
        if row.case.group % 4 == 0 {
            row.looks[2] = None;
        }
    });
    let (_, report) = judged(&profile, &["--folds", "5"]);
    let large = report["engines"]
        .as_array()
        .unwrap()
        .iter()
        .find(|engine| engine["id"] == "large")
        .unwrap();
    assert_eq!(large["failed"], 25);
    assert!(share(&large["top5"]) <= 0.75, "{large}");
}

#[test]
fn a_single_class_and_constant_features_are_judged_or_refused_clearly() {
    let folder = tempfile::tempdir().unwrap();
    let profile = profiles::changed(folder.path(), 60, |row| row.case.label = 7);
    let (_, report) = judged(&profile, &["--folds", "5"]);
    assert_eq!(report["n"], 60);
    let flat = profiles::changed(folder.path(), 60, |row| row.case.features.values.fill(0.0));
    let told = evaluate(&flat, &["--folds", "5"]).ends(78);
    assert!(told.err.contains("constant") && told.err.contains("other photos"), "{}", told.err);
    evaluate(&flat, &["--folds", "0"]).ends(0);
}

#[test]
fn policies_that_do_not_fit_the_profile_are_refused_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let profile = profiles::small(folder.path(), 60);
    let judge =
        |policy: &str| evaluate(&profile, &["--folds", "0", "--policy", policy]).ends(78).err;
    let unknown = judge(&fixed(folder.path(), "gigantic", "any"));
    assert!(unknown.contains("gigantic") && unknown.contains("small"), "{unknown}");
    let pinned = judge(&fixed(folder.path(), "middle", &"f".repeat(64)));
    assert!(pinned.contains("middle") && pinned.contains("ffff"), "{pinned}");

    let out = folder.path().join("chain.policy.toml");
    let path = |path: &Path| path.to_str().unwrap().to_owned();
    ask(["train", "--kind", "chain", "--profile", &path(&profile), "--out", &path(&out)]).ends(0);
    let text = fs::read_to_string(&out)
        .unwrap()
        .replace(squint::features::schema(), "squint-features-0:00c0ffee");
    fs::write(&out, text).unwrap();
    let schema = judge(&path(&out));
    assert!(
        schema.contains("squint-features-0:00c0ffee") && schema.contains("squint train"),
        "{schema}"
    );

    let broken = write(folder.path().join("broken.policy.toml"), "format = 1\nkind = ");
    assert!(judge(&path(&broken)).contains("broken.policy.toml"));
    let binary = write(folder.path().join("binary.policy.toml"), [0xff, 0xfe, 0x00]);
    assert!(judge(&path(&binary)).contains("binary.policy.toml"));
    let absent = judge(&path(&folder.path().join("absent.policy.toml")));
    assert!(absent.contains("absent.policy.toml"), "{absent}");
}

#[test]
fn files_that_are_no_whole_profile_and_too_few_photos_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let good = profiles::small(folder.path(), 8);
    let told = evaluate(&good, &[]).ends(78);
    assert!(told.err.contains("2 to the number of photos, 8"), "{}", told.err);
    let whole = fs::read(&good).unwrap();
    let bad = folder.path().join("bad.parquet");
    for bytes in [&b""[..], b"PAR1", &whole[..whole.len() / 3], &whole[1..]] {
        fs::write(&bad, bytes).unwrap();
        let told = evaluate(&bad, &[]).ends(78);
        assert!(
            told.err.contains("bad.parquet") && told.err.contains("squint profile"),
            "{}",
            told.err
        );
        assert_eq!(told.out, "");
    }
}
