//! What is handed on: the program asks nothing that the oldest board lacks, and the Debian package
//! holds what `make install` installs. Installing it on a bare system is `make test-deb`, the build
//! for aarch64 `make cross`.
use crate::common::skip;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const PROGRAM: &str = env!("CARGO_BIN_EXE_squint");

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn said(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// The glibc is that of this machine, so it is left out; GLib's descriptions are seldom there.
fn floor(arguments: &[&str]) -> Output {
    Command::new(here("scripts/abi-floor"))
        .args(["--glibc", "any", "--no-glib"])
        .args(arguments)
        .output()
        .unwrap()
}

fn package(arch: &str, out: &Path, program: &str) -> Output {
    Command::new(here("scripts/package"))
        .arg(arch)
        .env("COMPRESS", "none")
        .env("OUT", out)
        .env("SQUINT", program)
        .env("SOURCE_DATE_EPOCH", "1750000000")
        .output()
        .unwrap()
}

/// What `dpkg-deb` says of the package.
fn deb(arguments: &[&str], package: &Path) -> String {
    let output = Command::new("dpkg-deb").args(arguments).arg(package).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The architecture of this machine if packages can be made here.
fn debian() -> Option<String> {
    let Ok(output) = Command::new("dpkg").arg("--print-architecture").output() else {
        skip("there is no dpkg, so no package can be made here");
        return None;
    };
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[test]
fn the_program_asks_for_no_gstreamer_newer_than_1_14_and_links_to_nothing_a_board_may_lack() {
    let output = floor(&[PROGRAM]);
    assert!(output.status.success(), "{}", said(&output));
}

#[test]
fn a_program_above_the_floor_is_refused_with_the_symbol_and_its_version() {
    let output = floor(&["--gst", "1.0", PROGRAM]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains(" came with 1."), "{}", said(&output));
    let newer = Command::new(here("scripts/abi-floor"))
        .args(["--no-glib", "--glibc", "2.2", PROGRAM])
        .output()
        .unwrap();
    assert!(
        newer.status.code() == Some(1) && said(&newer).contains("the floor is 2.2"),
        "{}",
        said(&newer)
    );
}

#[test]
fn a_program_that_is_linked_to_something_else_is_refused_with_the_library() {
    let library = here(".deps/onnxruntime/libonnxruntime.so");
    if !library.is_file() {
        skip(format_args!("{} is not there; `make deps` fetches it", library.display()));
        return;
    }
    let output = floor(&[library.to_str().unwrap()]);
    assert!(
        output.status.code() == Some(1) && said(&output).contains("is linked to libstdc++.so.6"),
        "{}",
        said(&output)
    );
}

#[test]
fn the_package_holds_what_is_installed_and_says_what_it_needs() {
    let Some(arch) = debian() else { return };
    let out = tempfile::tempdir().unwrap();
    let output = package(&arch, out.path(), PROGRAM);
    assert!(output.status.success(), "{}", said(&output));
    let version = env!("CARGO_PKG_VERSION");
    let file = out.path().join(format!("squint_{version}-1_{arch}.deb"));

    // Everything of `make install`, in place or packed, but what Debian has in its own way.
    let root = tempfile::tempdir().unwrap();
    let installed = Command::new(here("scripts/install"))
        .arg("install")
        .envs([("DESTDIR", root.path().to_str().unwrap()), ("PREFIX", "/usr"), ("SQUINT", PROGRAM)])
        .output()
        .unwrap();
    assert!(installed.status.success(), "{}", said(&installed));
    let contents = deb(&["-c"], &file);
    let there: Vec<&str> = contents.lines().filter_map(|line| line.split(" ./").nth(1)).collect();
    let list = std::fs::read_to_string(root.path().join("usr/share/squint/installed")).unwrap();
    for path in
        list.lines().map(|line| line.trim_start_matches('/')).chain(["etc/squint/squint.toml"])
    {
        let path = match path {
            "usr/share/squint/installed" => continue, // dpkg keeps the list
            "usr/share/doc/squint/LICENSE-APACHE" | "usr/share/doc/squint/LICENSE-MIT" => {
                "usr/share/doc/squint/copyright"
            }
            "usr/share/doc/squint/CHANGELOG.md" => "usr/share/doc/squint/changelog.gz",
            "usr/share/zsh/site-functions/_squint" => "usr/share/zsh/vendor-completions/_squint",
            other => other,
        };
        assert!(
            there.contains(&path) || there.contains(&format!("{path}.gz").as_str()),
            "{path} is not among {there:#?}"
        );
    }
    for added in [
        "changelog.Debian.gz",
        "copyright",
        "crates.txt.gz",
        "onnxruntime/ThirdPartyNotices.txt.gz",
    ] {
        assert!(
            there.contains(&format!("usr/share/doc/squint/{added}").as_str()),
            "{added} is not among {there:#?}"
        );
    }
    let configuration =
        contents.lines().find(|line| line.ends_with("./etc/squint/squint.toml")).unwrap();
    assert!(
        configuration.starts_with("-rw-r----- root/root"),
        "it may hold passwords: {configuration}"
    );

    let field = |name: &str| {
        deb(&["-f"], &file)
            .lines()
            .find_map(|line| line.strip_prefix(&format!("{name}: ")).map(String::from))
    };
    assert_eq!(
        (field("Version"), field("Architecture")),
        (Some(format!("{version}-1")), Some(arch))
    );
    let needs = field("Depends").unwrap();
    for need in [
        "libc6 (>= 2.",
        "libgstreamer1.0-0 (>= 1.14)",
        "libglib2.0-0 (>= 2.56)",
        "gstreamer1.0-plugins-good",
        "systemd (>= 237)",
    ] {
        assert!(needs.contains(need), "{need} is not among {needs}");
    }
    assert_eq!(deb(&["-I"], &file).matches("#!/bin/sh").count(), 3, "postinst, prerm, postrm");
    assert!(
        !deb(&["-I"], &file).contains('@') || deb(&["-f"], &file).matches('@').count() == 1,
        "a place was left open"
    );
}

#[test]
fn scripts_of_the_package_are_posix_and_stop_at_the_first_failure() {
    for name in ["postinst", "prerm", "postrm"] {
        let file = here("packaging").join(name);
        let checked = Command::new("sh").arg("-n").arg(&file).output().unwrap();
        assert!(checked.status.success(), "{name}: {}", said(&checked));
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.starts_with("#!/bin/sh\n") && text.contains("\nset -e\n"), "{name}");
    }
}

#[test]
fn a_package_of_nothing_or_for_nobody_is_refused_with_what_to_do() {
    let out = tempfile::tempdir().unwrap();
    let absent = package("amd64", out.path(), "target/absent/squint");
    assert_eq!(absent.status.code(), Some(69), "{}", said(&absent));
    assert!(said(&absent).contains("make build"), "{}", said(&absent));
    assert_eq!(package("sparc", out.path(), PROGRAM).status.code(), Some(64));
    assert!(out.path().read_dir().unwrap().next().is_none());
}

#[test]
fn the_file_for_cross_is_toml_with_the_headers_that_the_build_needs() {
    let text = std::fs::read_to_string(here("cross.toml")).unwrap();
    let file: toml::Table = text.parse().unwrap();
    let steps = file["target"]["aarch64-unknown-linux-gnu"]["pre-build"].to_string();
    for needed in ["libgstreamer1.0-dev", "libgstreamer-plugins-base1.0-dev"] {
        assert!(steps.contains(needed), "{steps}");
    }
    assert!(text.contains("CROSS_CONFIG=cross.toml"));
}
