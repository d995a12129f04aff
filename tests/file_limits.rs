//! Every file that is parsed has a largest size. Above it, nothing is read, and the refusal names the file and the limit.

#![allow(clippy::unwrap_used)] // also in functions beside the tests

use std::fs::File;
use std::path::{Path, PathBuf};

use squint::config::{self, Overrides};
use squint::source::decode_image;

#[path = "common/squint.rs"]
mod squint_cli;
use squint_cli::{ask, write};

/// A file of `bytes` zeros that takes no room on the disk.
fn sparse(folder: &Path, name: &str, bytes: u64) -> PathBuf {
    let path = folder.join(name);
    File::create(&path).unwrap().set_len(bytes).unwrap();
    path
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn a_configuration_of_more_than_a_mebibyte_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = sparse(folder.path(), "squint.toml", (1 << 20) + 1);
    let error = config::load(Some(&path), &Overrides::default()).unwrap_err().to_string();
    assert!(error.contains("squint.toml") && error.contains("larger than 1048576 bytes"), "{error}");
    let told = ask(["check", "--config", text(&path)]).ends(78);
    assert!(told.err.contains("larger than 1048576 bytes"), "{}", told.err);
}

#[test]
fn a_configuration_that_is_a_folder_or_no_text_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let told = ask(["check", "--config", text(folder.path())]).ends(78);
    assert!(told.err.contains(text(folder.path())) && told.err.contains("directory"), "{}", told.err);
    let path = write(folder.path().join("squint.toml"), b"log-level = \"\xff\"");
    let told = ask(["check", "--config", text(&path)]).ends(78);
    assert!(told.err.contains("squint.toml") && told.err.contains("not UTF-8 at byte 13"), "{}", told.err);
}

#[test]
fn a_policy_of_more_than_8_mebibytes_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = sparse(folder.path(), "big.policy.toml", (8 << 20) + 1);
    let told = ask(["check", "--policy", text(&path)]).ends(78);
    assert!(told.out.contains("big.policy.toml") && told.out.contains("larger than 8388608 bytes"), "{}", told.out);
}

#[test]
fn a_photo_of_more_than_256_mebibytes_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = sparse(folder.path(), "big.jpg", (256 << 20) + 1);
    let error = decode_image(&path).unwrap_err().to_string();
    assert!(error.contains("big.jpg") && error.contains("at most 256 MiB"), "{error}");
}

#[test]
fn labels_and_streams_that_are_too_large_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (photos, out) = (text(folder.path()), folder.path().join("out.parquet"));
    for (flag, name, bytes) in [("--labels", "labels.csv", 128 << 20), ("--stream", "street.toml", 1 << 16)] {
        let path = sparse(folder.path(), name, bytes + 1);
        let told =
            ask(["profile", "--pool", "lite0-128-int8", "--images", photos, flag, text(&path), "--out", text(&out)]).ends(78);
        assert!(told.err.contains(name) && told.err.contains(&format!("larger than {bytes} bytes")), "{}", told.err);
    }
}
