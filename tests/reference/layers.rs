//! The modules of the library depend downwards only: nobody may use a module that stands above it
//! in [`LAYERS`].
//!
//! Read from the text, code of tests left out; a module that is missing here, or named here and
//! gone, fails as well.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// From the bottom to the top. A module may use those of the lines before its own, and those before
/// it on its own line.
const LAYERS: &[&[&str]] = &[
    // no thing of Squint's is known here
    &[
        "units",
        "escape",
        "stats",
        "files",
        "versioned",
        "numbered",
        "mailbox",
        "events",
        "socket",
        "limits",
    ],
    // the frame path up to a decision
    &[
        "frame",
        "features",
        "source",
        "telemetry",
        "engine",
        "premodel",
        "budget",
        "policy",
        "report",
    ],
    // runtime services
    &["vocabulary", "config", "trace", "pipeline", "observe", "sink", "control", "service"],
    // offline tools
    &["lab", "simulate"],
    // the program
    &["error", "ground_truth", "cli", "print", "daemon", "command"],
];

/// Modules that decide and compute: no file, socket, thread, environment or clock of the machine.
const PURE: &[&str] =
    &["units", "stats", "features", "premodel", "budget", "policy", "report", "vocabulary"];
/// None of this stands in their code.
const IMPURE: &[&str] = &[
    "std::fs",
    "std::net",
    "std::os",
    "std::env",
    "std::process",
    "std::thread",
    "Instant::now",
    "SystemTime::now",
];

fn order() -> Vec<&'static str> {
    LAYERS.concat()
}

/// All files of a module, with their code: without tests, comments and doc comments.
fn code(module: &str) -> Vec<(PathBuf, String)> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&src.join(format!("{module}.rs")), &mut files);
    collect(&src.join(module), &mut files);
    files
}

fn collect(path: &Path, into: &mut Vec<(PathBuf, String)>) {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    if path.is_dir() {
        if name != "tests" {
            fs::read_dir(path).unwrap().for_each(|entry| collect(&entry.unwrap().path(), into));
        }
    } else if path.is_file() && name.ends_with(".rs") && !name.ends_with("tests.rs") {
        let text = fs::read_to_string(path).unwrap();
        let text = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
        let lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        into.push((path.to_owned(), lines.collect::<Vec<_>>().join("\n")));
    }
}

/// The modules of the library that this code names: `crate::x`, or an item of `crate::{x, y::z}`.
fn named(code: &str) -> BTreeSet<String> {
    let word = |text: &str| -> String {
        text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
    };
    let mut names = BTreeSet::new();
    for (at, found) in code.match_indices("crate::") {
        let rest = &code[at + found.len()..];
        let Some(list) = rest.strip_prefix('{') else {
            names.insert(word(rest));
            continue;
        };
        let (mut depth, mut item) = (0, String::new());
        for letter in list.chars() {
            match letter {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => {
                    names.insert(word(item.trim()));
                    item.clear();
                    continue;
                }
                _ => (),
            }
            item.push(letter);
        }
        names.insert(word(item.trim()));
    }
    names
}

#[test]
fn no_module_uses_one_above_it() {
    let order = order();
    let place = |name: &str| order.iter().position(|module| *module == name);
    let mut wrong = Vec::new();
    for (at, module) in order.iter().enumerate() {
        let files = code(module);
        assert!(
            !files.is_empty(),
            "no file of module `{module}`; is it gone? take it out of LAYERS"
        );
        for (path, code) in files {
            for name in named(&code) {
                if place(&name).is_some_and(|above| above > at) {
                    wrong.push(format!(
                        "{}: `{module}` uses `{name}`, which stands above it",
                        path.display()
                    ));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_module_has_its_layer() {
    let lib = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs")).unwrap();
    let declared = lib
        .lines()
        .filter_map(|line| line.trim_start_matches("pub ").strip_prefix("mod ")?.strip_suffix(';'));
    let declared: BTreeSet<_> = declared.collect();
    assert!(declared.len() > 20, "{declared:?}");
    assert_eq!(
        declared,
        order().into_iter().collect(),
        "src/lib.rs on the left, LAYERS on the right"
    );
}

#[test]
fn what_decides_does_not_touch_the_machine() {
    let mut wrong = Vec::new();
    for (module, (path, code)) in
        PURE.iter().flat_map(|module| code(module).into_iter().map(move |file| (module, file)))
    {
        wrong.extend(
            IMPURE
                .iter()
                .filter(|word| code.contains(**word))
                .map(|word| format!("{}: `{module}` has {word}", path.display())),
        );
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn names_are_found_in_all_forms_of_use() {
    let code = "use crate::{frame, policy::{self, file::{A, B}}, units::Celsius};\nlet x = crate::stats::mean(&y);";
    assert_eq!(
        named(code).iter().map(String::as_str).collect::<Vec<_>>(),
        ["frame", "policy", "stats", "units"]
    );
}
