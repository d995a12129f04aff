//! docs/reference/config.md against the table of keys in code: a key that is missing on either
//! side, or told differently, fails here.
//!
//! `UPDATE_GOLDEN=1 cargo test --test reference config::` rewrites the reference part of the page.

use std::fmt::Write;
use std::path::Path;

use crate::common::page;
use squint::config::keys::{KEYS, Kind, SECTIONS};
use squint::config::{self, Folders, Overrides};

fn reference() -> String {
    let mut out = String::new();
    let sections = SECTIONS
        .iter()
        .map(|section| (section.path, section.repeats, section.optional, section.doc));
    for (path, repeats, optional, doc) in std::iter::once(("", false, false, "")).chain(sections) {
        match (path, repeats) {
            ("", _) => out.push_str("\n### Top of the file\n"),
            (_, true) => write!(out, "\n### `[[{path}]]`\n\n{doc}\n").unwrap(),
            (_, false) => {
                let off = if optional { " Off unless it is written." } else { "" };
                write!(out, "\n### `[{path}]`\n\n{doc}{off}\n").unwrap();
            }
        }
        for key in KEYS.iter().filter(|key| key.section() == path) {
            let range = match key.kind {
                Kind::Text | Kind::Path | Kind::Flag => String::new(),
                Kind::Integer(low, high) => format!(" | range: {low} to {high}"),
                Kind::Number(low, high) => format!(" | range: {low} to {high}"),
                allowed => format!(" | allowed: `{allowed}`"),
            };
            let unit =
                if key.unit.is_empty() { String::new() } else { format!(" | unit: {}", key.unit) };
            let variable =
                key.variable().map_or(String::new(), |name| format!(" | variable: `{name}`"));
            write!(
                out,
                "\n#### `{}`\n\n{}\n\ntype: {}{unit} | default: {}{range}{variable}\n\n```toml\n{} = {}\n```\n",
                key.path,
                key.doc,
                key.kind.name(),
                key.unset,
                key.name(),
                key.example,
            )
            .unwrap();
        }
    }
    out.push('\n');
    out
}

#[test]
fn the_reference_tells_every_key_and_no_other() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reference/config.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let (before, told, after) = page::parts(&page, "reference");
    for key in KEYS {
        let headings = page.lines().filter(|line| *line == format!("#### `{}`", key.path)).count();
        if std::env::var_os("UPDATE_GOLDEN").is_none() {
            assert_eq!(headings, 1, "docs/reference/config.md has `{}` {headings} times", key.path);
        }
    }
    for heading in told.lines().filter_map(|line| line.strip_prefix("#### `")?.strip_suffix('`')) {
        let known = KEYS.iter().any(|key| key.path == heading);
        assert!(
            known || std::env::var_os("UPDATE_GOLDEN").is_some(),
            "docs/reference/config.md tells of `{heading}`, which no code knows"
        );
    }
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, format!("{before}{}{after}", reference())).unwrap();
        return;
    }
    assert_eq!(
        told,
        reference(),
        "docs/reference/config.md is behind; UPDATE_GOLDEN=1 rewrites the reference"
    );
}

/// Two keys of which one excludes the other.
const EXCLUSIVE: [&str; 2] = ["telemetry.tegrastats", "telemetry.recorded"];

#[test]
fn all_examples_together_are_one_good_configuration() {
    for left_out in EXCLUSIVE {
        let mut text = String::new();
        for section in [""].into_iter().chain(SECTIONS.iter().map(|section| section.path)) {
            match section {
                "" => {}
                "camera" => text.push_str("[[camera]]\n"),
                path => writeln!(text, "[{path}]").unwrap(),
            }
            // the example of the source is a camera, which cannot be fast, and none of the network
            let fits =
                |path: &str| path != "camera.pace" && path != left_out && !NETWORK.contains(&path);
            for key in KEYS.iter().filter(|key| key.section() == section && fits(key.path)) {
                writeln!(text, "{} = {}", key.name(), key.example).unwrap();
            }
        }
        let folders = Folders { engines: "engines".into(), calibration: "calibration".into() };
        if let Err(error) =
            config::resolve(Some(("examples.toml", &text)), [], &Overrides::default(), &folders)
        {
            panic!("{error}\n{text}");
        }
    }
}

/// Keys of sources with an address.
const NETWORK: [&str; 4] =
    ["camera.user", "camera.password-file", "camera.credential", "camera.transport"];

#[test]
fn the_examples_of_a_network_camera_fit_together_with_its_password_in_either_place() {
    for left_out in ["camera.password-file", "camera.credential"] {
        let mut text = "[[camera]]\nsource = \"rtsp://192.0.2.7/stream\"\n".to_owned();
        for key in KEYS.iter().filter(|key| NETWORK.contains(&key.path) && key.path != left_out) {
            writeln!(text, "{} = {}", key.name(), key.example).unwrap();
        }
        let folders = Folders { engines: "engines".into(), calibration: "calibration".into() };
        if let Err(error) =
            config::resolve(Some(("examples.toml", &text)), [], &Overrides::default(), &folders)
        {
            panic!("{error}\n{text}");
        }
    }
}

#[test]
fn every_key_can_be_set_by_the_variable_that_the_reference_names() {
    let folders = Folders { engines: "engines".into(), calibration: "calibration".into() };
    let file = "[[camera]]\nsource = \"test\"\n";
    for left_out in EXCLUSIVE {
        let keys = KEYS.iter().filter(|key| key.path != left_out);
        let environment = keys
            .filter_map(|key| Some((key.variable()?.into(), key.example.trim_matches('"').into())));
        if let Err(error) = config::resolve(
            Some(("squint.toml", file)),
            environment,
            &Overrides::default(),
            &folders,
        ) {
            panic!("{error}");
        }
    }
}
