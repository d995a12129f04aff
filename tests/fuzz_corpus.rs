//! The corpus of the fuzz targets, replayed: seeds, and whatever once broke a parser.
//! docs/background/fuzzing.md says how they were found.

#![allow(clippy::unwrap_used)] // also in functions beside the tests

use std::collections::BTreeSet;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

#[path = "fuzz/bodies.rs"]
mod bodies;

/// Most bytes that the corpus may weigh in the repository.
const MOST_BYTES: u64 = 300_000;

fn at(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz").join(path)
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = folder.read_dir().unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn stems(folder: &str) -> BTreeSet<String> {
    files(&at(folder))
        .iter()
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect()
}

#[test]
fn nothing_in_the_corpus_breaks_a_parser() {
    let mut broken = Vec::new();
    for (target, body) in bodies::TARGETS {
        let inputs = files(&at("corpus").join(target));
        let mut accepted = 0;
        for path in inputs {
            let bytes = std::fs::read(&path).unwrap();
            match catch_unwind(|| body(&bytes)) {
                Ok(taken) => accepted += usize::from(taken),
                Err(_) => broken.push(path),
            }
        }
        assert!(
            accepted > 0,
            "{target}: no input is accepted, so what follows on that is not tried"
        );
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn nothing_and_noise_break_no_parser_either() {
    let noise: Vec<u8> = (0..4096u64).map(|at| squint::stats::splitmix64(at) as u8).collect();
    for (target, body) in bodies::TARGETS {
        for bytes in [&b""[..], b"\0", b"\xff\xfe", b"[[[[", &noise] {
            assert!(catch_unwind(|| body(bytes)).is_ok(), "{target}: {bytes:?}");
        }
    }
}

#[test]
fn every_target_has_a_body_a_binary_and_a_corpus_that_is_small() {
    let names: BTreeSet<String> =
        bodies::TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(names, stems("fuzz_targets"));
    assert_eq!(names, stems("corpus"));
    let manifest: toml::Table = std::fs::read_to_string(at("Cargo.toml")).unwrap().parse().unwrap();
    let binaries = manifest["bin"]
        .as_array()
        .unwrap()
        .iter()
        .map(|bin| bin["name"].as_str().unwrap().to_owned());
    assert_eq!(names, binaries.collect());
    let inputs = bodies::TARGETS.iter().flat_map(|(name, _)| files(&at("corpus").join(name)));
    let bytes: u64 = inputs.map(|path| path.metadata().unwrap().len()).sum();
    assert!(bytes < MOST_BYTES, "{bytes} bytes of corpus, at most {MOST_BYTES}");
}
