//! Every file that is parsed has a largest size. Above it, nothing is read, and the refusal names
//! the file and the limit.

#![allow(clippy::unwrap_used)] // also in functions beside the tests

mod common;

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::common::again;
use squint::config::{self, Overrides};
use squint::lab::profile::file;
use squint::source::decode_image;

use crate::common::program::{ask, write};

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
    assert!(
        error.contains("squint.toml") && error.contains("larger than 1048576 bytes"),
        "{error}"
    );
    let told = ask(["check", "--config", text(&path)]).ends(78);
    assert!(told.err.contains("larger than 1048576 bytes"), "{}", told.err);
}

#[test]
fn a_configuration_that_is_a_folder_or_no_text_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let told = ask(["check", "--config", text(folder.path())]).ends(78);
    assert!(
        told.err.contains(text(folder.path())) && told.err.contains("is a folder"),
        "{}",
        told.err
    );
    let path = write(folder.path().join("squint.toml"), b"log-level = \"\xff\"");
    let told = ask(["check", "--config", text(&path)]).ends(78);
    assert!(
        told.err.contains("squint.toml") && told.err.contains("not UTF-8 at byte 13"),
        "{}",
        told.err
    );
}

#[test]
fn a_policy_of_more_than_8_mebibytes_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = sparse(folder.path(), "big.policy.toml", (8 << 20) + 1);
    let told = ask(["check", "--policy", text(&path)]).ends(78);
    assert!(
        told.out.contains("big.policy.toml") && told.out.contains("larger than 8388608 bytes"),
        "{}",
        told.out
    );
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
    for (flag, name, bytes) in
        [("--labels", "labels.csv", 128 << 20), ("--stream", "street.toml", 1 << 16)]
    {
        let path = sparse(folder.path(), name, bytes + 1);
        let told = ask([
            "profile",
            "--pool",
            "lite0-128-int8",
            "--images",
            photos,
            flag,
            text(&path),
            "--out",
            text(&out),
        ])
        .ends(78);
        assert!(
            told.err.contains(name) && told.err.contains(&format!("larger than {bytes} bytes")),
            "{}",
            told.err
        );
    }
}

#[test]
fn a_labels_file_with_a_field_without_an_end_is_refused_by_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let photos = folder.path().join("photos");
    std::fs::create_dir(&photos).unwrap();
    let out = folder.path().join("out.parquet");
    let long = "x".repeat(2 << 20);
    for text in [
        format!("file,class_index\na.png,1\n{long},1\n"),
        format!("file,class_index\na.png,1\n\"b.png,1\n{}", "c,1\n".repeat(1 << 18)),
    ] {
        let path = write(folder.path().join("labels.csv"), text.as_bytes());
        let args = [
            "profile",
            "--pool",
            "lite0-128-int8",
            "--images",
            self::text(&photos),
            "--labels",
            self::text(&path),
            "--out",
        ];
        let told = ask(args.into_iter().chain([self::text(&out)])).ends(78);
        assert!(
            told.err.contains("labels.csv") && told.err.contains("line 3: longer than 65536 bytes"),
            "{}",
            told.err
        );
    }
}

/// Not a test of its own: what the next one starts.
#[test]
fn reads_a_profile_when_asked_to() {
    let Some(path) = std::env::var_os("SQUINT_TEST_PROFILE") else { return };
    println!(
        "SAID {}",
        file::read(Path::new(&path)).map_or_else(|error| error.to_string(), |_| "fine".into())
    );
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    println!("PEAK {}", status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap());
}

#[test]
fn a_profile_whose_footer_claims_gigabytes_is_refused_before_it_costs_memory() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("p.parquet");
    let with = |size: u64, footer: &[u8], length: u32| {
        let mut file = File::create(&path).unwrap();
        file.write_all(b"PAR1").unwrap();
        file.set_len(size).unwrap();
        file.seek(SeekFrom::End(-8 - footer.len() as i64)).unwrap();
        file.write_all(&[footer, &length.to_le_bytes(), b"PAR1"].concat()).unwrap();
    };
    let ask = |said: &str| {
        let out = again(module_path!(), "reads_a_profile_when_asked_to")
            .env("SQUINT_TEST_PROFILE", &path)
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&out.stdout).into_owned();
        let after = |key: &str| {
            told.split_once(key)
                .unwrap_or_else(|| panic!("{told}"))
                .1
                .lines()
                .next()
                .unwrap()
                .trim()
                .to_owned()
        };
        let kib: u64 = after("PEAK ").trim_end_matches(" kB").trim().parse().unwrap();
        assert!(after("SAID ").contains("p.parquet") && after("SAID ").contains(said), "{told}");
        assert!(kib < 120 << 10, "{kib} kB: {told}");
    };
    with(4 << 30, &[], 0x7FFF_FFFF);
    ask("its footer claims 2147483647 bytes, at most 67108864 are read");
    with(100 << 20, &[], 60 << 20);
    ask("damaged"); // zeros
    // Version, schema and two thousand million groups, columns and names.
    let claim = [0xFC, 0xFF, 0xFF, 0xFF, 0xFF, 0x07];
    for list in [
        &[0x15, 0x02, 0x19][..],
        &[0x15, 0x02, 0x39],
        &[0x15, 0x02, 0x49],
        &[0x15, 0x02, 0x39, 0x1C, 0x19],
    ] {
        let footer = [list, &claim, &[0; 200]].concat();
        with(1 << 20, &footer, footer.len() as u32);
        ask("its footer is no footer of a profile");
    }
}
