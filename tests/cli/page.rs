//! `squint evaluate --html` on real photos: one page with the figures of `--json`, and small
//! pictures where the photos are to be had.

use std::fs;

use crate::common::program::*;

const FIXED: &str = "format = 1\nname = \"always-small\"\nkind = \"fixed\"\n\n[fixed]\nengine = \"lite0-128-int8\"\n";

#[test]
fn the_page_has_the_figures_of_the_json_and_a_missing_photo_is_only_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    fs::create_dir(path("photos")).unwrap();
    for name in ["chelsea", "coffee"] {
        fs::copy(root().join(photo(name)), path(&format!("photos/{name}.png"))).unwrap();
    }
    // No goldfish anywhere: every answer is wrong, so that both photos are examples.
    fs::write(path("labels.csv"), "file,class_index\nchelsea.png,1\ncoffee.png,1\n").unwrap();
    fs::write(path("fixed.policy.toml"), FIXED).unwrap();
    let (photos, labels, profile) = (path("photos"), path("labels.csv"), path("a.parquet"));
    let profiled = [
        "profile",
        "--images",
        &photos,
        "--labels",
        &labels,
        "--out",
        &profile,
        "--pool",
        ENGINES[0],
        "--repeats",
        "3",
    ];
    ask(profiled).ends(0);

    fs::remove_file(path("photos/coffee.png")).unwrap();
    let (policy, html, json) = (path("fixed.policy.toml"), path("r.html"), path("r.json"));
    let judged = [
        "evaluate",
        "--profile",
        &profile,
        &policy,
        "--folds",
        "0",
        "--json",
        &json,
        "--html",
        &html,
        "--photos",
        &photos,
    ];
    let told = ask(judged).ends(0);
    assert!(told.err.contains("1 of 2 photos cannot be shown"), "{}", told.err);

    let page = fs::read_to_string(&html).unwrap();
    let found: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(&json).unwrap()).unwrap();
    let mean_ms = found["policies"][0]["mean_ms"].as_f64().unwrap();
    let digits = if mean_ms < 1.0 { 3 } else { 2 };
    for words in [
        "<!DOCTYPE html>",
        "always-",
        "lite0-128-int8",
        "goldfish",
        &format!("<td>{mean_ms:.digits$}</td>"),
    ] {
        assert!(page.contains(words), "{words}");
    }
    assert_eq!(page.matches("src=\"data:image/jpeg;base64,").count(), 1);
    assert!(
        page.contains("alt=\"chelsea.png\"")
            && page.contains("<span class=\"no-picture\">coffee.png</span>")
    );
}

#[test]
fn photos_without_a_page_are_refused() {
    let told = ask(["evaluate", "--profile", "a.parquet", "--photos", "photos"]).ends(64);
    assert!(told.err.contains("--html"), "{}", told.err);
}
