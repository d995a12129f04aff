//! Documentation that names a test names one that exists.
//!
//! Tables of docs/ with a last column called `test` hold entries such as
//! `sink_file (full_disk, removed); backoff.rs (thousand)`: a file of tests/ without its ending, a
//! path below src/ (`scheduler/stuck` is `scheduler/tests/stuck.rs`), or a script; in brackets
//! parts of the names of tests in it. Of tests/, `sink_file` or `sink/file` is
//! `tests/sink/file.rs`, and `sink` all files of that folder. `cargo test --test NAME` in any page
//! must name a program of tests.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every file below `folder` with this ending, relative to the project, in order.
fn files(folder: &str, ending: &str) -> BTreeSet<PathBuf> {
    let (mut found, mut folders) = (BTreeSet::new(), vec![root().join(folder)]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)
            .expect("a folder of the project")
            .map(|entry| entry.expect("an entry").path())
        {
            match () {
                () if entry.is_dir() => folders.push(entry),
                () if entry.extension().is_some_and(|own| own == ending) => {
                    found.insert(entry.strip_prefix(root()).expect("below the project").to_owned());
                }
                () => (),
            }
        }
    }
    found
}

/// Pages that may name tests.
fn pages() -> Vec<(PathBuf, String)> {
    let mut pages = files("docs", "md");
    pages.extend(
        ["README.md", "engines/README.md", "calibration/README.md", "packaging/README.md"]
            .map(PathBuf::from),
    );
    pages
        .into_iter()
        .map(|page| (page.clone(), fs::read_to_string(root().join(&page)).expect("a page")))
        .collect()
}

/// The files that an entry of a table may mean: with an ending those of src/ before those of
/// tests/, without one the other way round.
fn meant<'a>(name: &str, sources: &'a BTreeSet<PathBuf>) -> Vec<&'a Path> {
    let of_source = name.ends_with(".rs");
    let name = name.trim_end_matches(".rs");
    let inside = name.rsplit_once('/').map(|(folder, file)| format!("{folder}/tests/{file}.rs"));
    let ends = |path: &Path| {
        path.starts_with("src")
            && (path.ends_with(format!("{name}.rs"))
                || inside.as_ref().is_some_and(|end| path.ends_with(end)))
    };
    let in_source: Vec<_> =
        sources.iter().map(PathBuf::as_path).filter(|path| ends(path)).collect();
    let in_tests = tests_meant(name, sources);
    let (first, second) = if of_source { (in_source, in_tests) } else { (in_tests, in_source) };
    if first.is_empty() { second } else { first }
}

/// Those of tests/: the file or the folder of that name, the file of that name in any folder, or
/// `folder_file`.
fn tests_meant<'a>(name: &str, sources: &'a BTreeSet<PathBuf>) -> Vec<&'a Path> {
    let is = |path: &Path| {
        let mut parts = path.iter().skip(1).map(|part| part.to_str().expect("UTF-8"));
        let (folder, file) = match (parts.next(), parts.next(), parts.next()) {
            (Some(file), None, None) => return file.strip_suffix(".rs") == Some(name),
            (Some(folder), Some(file), None)
                if !["common", "fuzz", "standin"].contains(&folder) =>
            {
                (folder, file.trim_end_matches(".rs"))
            }
            _ => return false,
        };
        name == folder
            || name == file
            || [format!("{folder}_{file}"), format!("{folder}/{file}")].contains(&name.to_owned())
    };
    sources
        .iter()
        .map(PathBuf::as_path)
        .filter(|path| path.starts_with("tests") && is(path))
        .collect()
}

/// Names of the tests in a Rust file.
fn tests_of(text: &str) -> Vec<&str> {
    let mut lines = text.lines().map(str::trim);
    let mut names = Vec::new();
    while lines.by_ref().any(|line| line.starts_with("#[test]")) {
        let function =
            lines.by_ref().find(|line| !line.starts_with("#[") && !line.starts_with("//"));
        names.extend(
            function
                .and_then(|line| line.split_once("fn "))
                .and_then(|(_, rest)| rest.split('(').next()),
        );
    }
    names
}

/// `name (part, part); name` as names with their parts.
fn entries(cell: &str) -> Vec<(String, Vec<String>)> {
    let mut entries = Vec::new();
    let mut rest = cell.trim();
    while !rest.is_empty() {
        let end = rest.find([';', ',', '(']).unwrap_or(rest.len());
        let name = rest[..end].trim().trim_matches('`').to_owned();
        rest = &rest[end..];
        let mut parts = Vec::new();
        if let Some(inner) = rest.strip_prefix('(') {
            let close = inner.find(')').expect("a bracket that is closed");
            parts.extend(inner[..close].split([';', ',']).map(|part| part.trim().to_owned()));
            rest = &inner[close + 1..];
        }
        entries.push((name, parts));
        rest = rest.trim_start().trim_start_matches([';', ',']).trim_start();
    }
    entries
}

/// The cells of a table's row; `None` for other lines.
fn cells(line: &str) -> Option<Vec<&str>> {
    Some(line.trim().strip_prefix('|')?.strip_suffix('|')?.split(" | ").map(str::trim).collect())
}

#[test]
fn every_test_that_a_table_names_exists() {
    let mut sources = files("src", "rs");
    sources.extend(files("tests", "rs"));
    let (mut wrong, mut checked) = (Vec::new(), 0);
    for (page, text) in pages() {
        let mut columns = None;
        for (number, line) in text.lines().enumerate() {
            let Some(row) = cells(line) else {
                columns = None;
                continue;
            };
            if columns.is_none() {
                columns = Some((row.len(), row.last() == Some(&"test")));
                continue;
            }
            let Some((count, true)) = columns else { continue };
            let last = row.last().expect("a cell");
            if last.starts_with("---")
                || row.iter().all(|cell| cell.starts_with("---"))
                || line.starts_with("|---")
            {
                continue;
            }
            let place = format!("{}:{}", page.display(), number + 1);
            if row.len() != count {
                wrong.push(format!("{place}: {} cells in a table of {count}", row.len()));
                continue;
            }
            for (name, parts) in entries(last) {
                checked += 1;
                if name.starts_with("scripts/") {
                    if !root().join(&name).is_file() {
                        wrong.push(format!("{place}: there is no {name}"));
                    }
                    continue;
                }
                let meant = meant(&name, &sources);
                if meant.is_empty() {
                    wrong.push(format!("{place}: no file of tests is called `{name}`"));
                }
                let texts: Vec<_> = meant
                    .iter()
                    .map(|path| fs::read_to_string(root().join(path)).expect("a source"))
                    .collect();
                for part in parts {
                    if !texts
                        .iter()
                        .any(|text| tests_of(text).iter().any(|test| test.contains(&part)))
                    {
                        wrong.push(format!(
                            "{place}: `{name}` has no test whose name holds `{part}`"
                        ));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(checked > 50, "only {checked} entries were found: have the tables changed their form?");
}

#[test]
fn every_cargo_test_command_in_a_page_names_a_test_file() {
    let (mut wrong, sources) = (Vec::new(), files("tests", "rs"));
    for (page, text) in pages() {
        for (number, line) in text.lines().enumerate() {
            let mut words = line.split([' ', '`', ')', '|', ';', ',']);
            while words.by_ref().any(|word| word == "--test") {
                let name = words.next().unwrap_or_default().trim_end_matches(['.', ':']);
                let files = [format!("tests/{name}.rs"), format!("tests/{name}/main.rs")];
                if !files.iter().any(|file| sources.contains(Path::new(file))) {
                    wrong.push(format!(
                        "{}:{}: there is no program of tests called {name}",
                        page.display(),
                        number + 1
                    ));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn entries_are_read_as_they_are_written() {
    let parts = |parts: &[&str]| parts.iter().map(|part| (*part).to_owned()).collect::<Vec<_>>();
    assert_eq!(
        entries("sink_file (full, gone); backoff.rs, scripts/soak"),
        [
            ("sink_file".into(), parts(&["full", "gone"])),
            ("backoff.rs".into(), parts(&[])),
            ("scripts/soak".into(), parts(&[]))
        ]
    );
    assert_eq!(
        tests_of(
            "#[test]\n#[ignore = \"slow\"]\nfn one() {}\nfn two() {}\n    #[test]\n    fn three(x: u8) {}"
        ),
        ["one", "three"]
    );
}
