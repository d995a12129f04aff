//! docs/reference/journal.md, src/events.rs and the log macros in src/ against each other: one list
//! of events, told everywhere alike.
//!
//! `UPDATE_GOLDEN=1 cargo test --test reference journal` rewrites the reference part of the page.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use crate::common::page;
use squint::events;
use squint::service::journal::{FIELDS, priority};

/// Where warnings and errors need no event, and why.
const EXEMPT: [(&str, &str); 10] = [
    ("src/command/engines/", "a command that somebody waits for and that ends"),
    ("src/command/evaluate.rs", "a command that somebody waits for and that ends"),
    ("src/command/live.rs", "part of `squint evaluate`"),
    ("src/command/profile.rs", "a command that somebody waits for and that ends"),
    ("src/command/profile/", "part of `squint profile`"),
    ("src/command/thumbnails.rs", "part of `squint evaluate`"),
    ("src/command/train.rs", "a command that somebody waits for and that ends"),
    ("src/ground_truth/folders.rs", "labels, read by commands that end"),
    ("src/engine/tensorrt/calibration/pictures.rs", "part of `squint engines calibrate`"),
    ("src/files/temporary.rs", "folders of `squint bench` and `squint evaluate`"),
];

/// A log macro as it stands in a file.
struct Call {
    place: String,
    level: String,
    text: String,
}

fn sources() -> Vec<(String, String)> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => walk(&path, found),
                false => found.push(path),
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    walk(&root.join("src"), &mut found);
    let name = |path: &Path| path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
    let mut sources: Vec<_> =
        found.iter().map(|path| (name(path), std::fs::read_to_string(path).unwrap())).collect();
    sources.retain(|(name, _)| name.ends_with(".rs"));
    sources.sort();
    sources
}

/// Every `error!(...)` to `trace!(...)` of `source`, comments left out.
fn calls(name: &str, source: &str) -> Vec<Call> {
    let code: String = source
        .lines()
        .map(|line| if line.trim_start().starts_with("//") { "" } else { line })
        .fold(String::new(), |mut code, line| {
            code.push_str(line);
            code.push('\n');
            code
        });
    let mut calls = Vec::new();
    for level in ["error", "warn", "info", "debug", "trace"] {
        let head = format!("{level}!(");
        for (at, _) in code.match_indices(&head) {
            if code[..at].ends_with(|before: char| before.is_alphanumeric() || before == '_') {
                continue;
            }
            let text = arguments(&code[at + head.len()..]);
            let line = code[..at].matches('\n').count() + 1;
            calls.push(Call {
                place: format!("{name}:{line}"),
                level: level.to_uppercase(),
                text: text.to_owned(),
            });
        }
    }
    calls
}

/// What stands before the parenthesis that closes.
fn arguments(code: &str) -> &str {
    let (mut depth, mut quoted, mut escaped) = (1, false, false);
    for (at, letter) in code.char_indices() {
        match letter {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '(' if !quoted => depth += 1,
            ')' if !quoted => depth -= 1,
            _ => (),
        }
        if depth == 0 {
            return &code[..at];
        }
    }
    panic!("a macro without an end: {code}");
}

/// The constant that `text` names as its event.
fn event_of(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once("event = events::")?;
    Some(rest.split(|letter: char| !letter.is_ascii_uppercase() && letter != '_').next().unwrap())
}

fn lies_in(place: &str, prefixes: impl IntoIterator<Item = &'static str>) -> Option<&'static str> {
    prefixes.into_iter().find(|prefix| place.starts_with(prefix))
}

#[test]
fn the_scan_sees_calls_of_every_form() {
    let source = "// warn!(\"no\");\n    log::warn!(event = events::BUG, x = f(\")\"); \"a)\\\" {}\", g(1));\nnot_a_warn!(1); error!(\"b\")";
    let found: Vec<_> =
        calls("x.rs", source).into_iter().map(|call| (call.place, call.level, call.text)).collect();
    let expected = [
        ("x.rs:3", "ERROR", "\"b\""),
        ("x.rs:2", "WARN", "event = events::BUG, x = f(\")\"); \"a)\\\" {}\", g(1)"),
    ];
    assert_eq!(
        found,
        expected.map(|(place, level, text)| (place.to_owned(), level.to_owned(), text.to_owned()))
    );
    assert_eq!(
        found.iter().map(|(_, _, text)| event_of(text)).collect::<Vec<_>>(),
        [None, Some("BUG")]
    );
}

#[test]
fn names_and_ids_are_well_formed_and_each_stands_for_one_event() {
    let (mut names, mut ids) = (BTreeSet::new(), BTreeSet::new());
    for event in events::ALL {
        assert!(
            names.insert(event.name) && ids.insert(event.id),
            "{event} is there twice, by name or by id"
        );
        assert!(
            event.id.len() == 32
                && event.id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')),
            "{event}"
        );
        assert!(
            event.name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'),
            "{event}"
        );
        assert!(event.meaning.ends_with('.') && event.advice.ends_with('.'), "{event}: sentences");
        assert!(
            !event.meaning.contains('|') && !event.advice.contains('|'),
            "{event} would break the table"
        );
    }
    for (end, fault) in events::ENDS {
        assert!(!end.is_limited() && fault.is_limited(), "{end} ends {fault}");
    }
}

#[test]
fn every_warning_and_error_of_the_daemon_names_its_event() {
    let (mut without, mut spared) = (Vec::new(), BTreeSet::new());
    for (name, source) in sources() {
        for call in calls(&name, &source) {
            if !matches!(call.level.as_str(), "ERROR" | "WARN") || call.text.contains("event = ") {
                continue;
            }
            match lies_in(&call.place, EXEMPT.iter().map(|(place, _)| *place)) {
                Some(place) => drop(spared.insert(place)),
                None => without.push(format!("{}: {}", call.place, call.text)),
            }
        }
    }
    assert!(without.is_empty(), "without `event = events::...`:\n{}", without.join("\n"));
    for place in EXEMPT.iter().map(|(place, _)| *place) {
        assert!(
            spared.contains(place),
            "{place} needs no exception any more: take it off the list in this test"
        );
    }
}

#[test]
fn every_event_is_told_by_something_and_at_its_level() {
    let sources: Vec<_> =
        sources().into_iter().filter(|(name, _)| name != "src/events.rs").collect();
    let mut told = BTreeSet::new();
    for (name, source) in &sources {
        for (at, _) in source.match_indices("events::") {
            let constant =
                event_of(&format!("event = {}", &source[at..])).unwrap_or_default().to_owned();
            told.insert(constant);
        }
        for call in calls(name, source) {
            let Some(constant) = event_of(&call.text) else { continue };
            let at = events::CONSTANTS.iter().position(|known| *known == constant).unwrap();
            let level = events::ALL[at].level.as_str();
            assert_eq!(
                level, call.level,
                "{}: {constant} is told at the level that src/events.rs and docs/reference/journal.md say",
                call.place
            );
        }
    }
    let unused: Vec<_> =
        events::CONSTANTS.iter().filter(|constant| !told.contains(**constant)).collect();
    assert!(unused.is_empty(), "events of which nothing in src/ tells: {unused:?}");
}

fn reference() -> String {
    let mut out = String::new();
    let mut table = |title: &str, limited: bool| {
        write!(out, "\n### {title}\n\n| event | level | message id | meaning | what to do |\n|---|---|---|---|---|\n").unwrap();
        for event in events::ALL.iter().filter(|event| event.is_limited() == limited) {
            let (level, number) = (event.level.as_str().to_lowercase(), priority(event.level));
            let (name, id) = (event.name, event.id);
            writeln!(
                out,
                "| `{name}` | {level} ({number}) | `{id}` | {} | {} |",
                event.meaning, event.advice
            )
            .unwrap();
        }
    };
    table("Told each time", false);
    table("Faults that may repeat: at most five a minute of each", true);
    out.push('\n');
    out
}

#[test]
fn the_page_tells_every_event_and_no_other() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reference/journal.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let (before, told, after) = page::parts(&page, "reference");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, format!("{before}{}{after}", reference())).unwrap();
        return;
    }
    assert_eq!(
        told,
        reference(),
        "docs/reference/journal.md is behind; UPDATE_GOLDEN=1 rewrites the reference"
    );
}

#[test]
fn the_page_tells_every_field_that_squint_adds() {
    let page = std::fs::read_to_string(
        Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reference/journal.md"),
    )
    .unwrap();
    for (_, field) in FIELDS {
        assert_eq!(page.matches(&format!("| `{field}` |")).count(), 1, "{field}");
    }
}
