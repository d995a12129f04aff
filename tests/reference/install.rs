//! `make install` and `make uninstall` into a folder of their own: what lands where, and that
//! nothing stays.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn script(what: &str, destdir: &Path, prefix: &str) -> Output {
    // No shims but those that a test makes: what the checkout has built is nobody's affair here.
    with_shims(what, destdir, prefix, Path::new("/nonexistent"))
}

fn with_shims(what: &str, destdir: &Path, prefix: &str, shims: &Path) -> Output {
    Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/install"))
        .arg(what)
        .env("DESTDIR", destdir)
        .env("PREFIX", prefix)
        .env("SQUINT", env!("CARGO_BIN_EXE_squint"))
        .env("SHIMS_FOLDER", shims)
        .output()
        .unwrap()
}

fn done(what: &str, destdir: &Path, prefix: &str) -> String {
    let output = script(what, destdir, prefix);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{what}: {said}");
    said
}

/// Every file below `root`, relative to it, sorted.
fn files(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in folder.read_dir().unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path)
            } else {
                found.push(path.strip_prefix(root).unwrap().to_owned())
            }
        }
    }
    found.sort();
    found
}

fn is_empty(folder: &Path) -> bool {
    folder.read_dir().unwrap().next().is_none()
}

fn read(path: PathBuf) -> String {
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn everything_lands_where_a_system_looks_for_it_and_uninstall_leaves_nothing() {
    let root = tempfile::tempdir().unwrap();
    done("install", root.path(), "/usr");
    let there = files(root.path());
    for expected in [
        "etc/squint/squint.toml",
        "usr/bin/squint",
        "usr/lib/systemd/system/squint.service",
        "usr/lib/sysusers.d/squint.conf",
        "usr/lib/tmpfiles.d/squint.conf",
        "usr/share/bash-completion/completions/squint",
        "usr/share/doc/squint/squint.toml",
        "usr/share/fish/vendor_completions.d/squint.fish",
        "usr/share/man/man1/squint-run.1",
        "usr/share/man/man1/squint.1",
        "usr/share/squint/calibration/default.policy.toml",
        "usr/share/squint/calibration/selftest/answers.json",
        "usr/share/squint/calibration/selftest/chelsea.png",
        "usr/share/squint/engines/labels/imagenet1k.txt",
        "usr/share/squint/engines/lite0-128-int8/engine.toml",
        "usr/share/squint/engines/weights/efficientnet-lite0-int8.onnx",
        "usr/share/squint/installed",
        "usr/share/zsh/site-functions/_squint",
    ] {
        assert!(there.contains(&PathBuf::from(expected)), "{expected} is not among {there:#?}");
    }
    let mode = |path: &str| root.path().join(path).metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(
        (mode("usr/bin/squint"), mode("etc/squint/squint.toml")),
        (0o755, 0o640),
        "the configuration may hold passwords"
    );
    let list = read(root.path().join("usr/share/squint/installed"));
    let mut listed: Vec<PathBuf> =
        list.lines().map(|line| line.trim_start_matches('/').into()).collect();
    listed.push("etc/squint/squint.toml".into());
    listed.sort();
    assert_eq!(listed, there, "the list names what was put there and nothing else");

    done("install", root.path(), "/usr");
    assert_eq!(files(root.path()), there, "a second time changes nothing");
    done("uninstall", root.path(), "/usr");
    assert!(is_empty(root.path()), "{:?}", files(root.path()));
}

#[test]
fn the_shims_that_are_built_lie_where_squint_looks_for_them_and_go_again() {
    let (root, shims) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for name in ["libsquint-trt8.so", "libsquint-trt-rtx1.so", "something-else.so"] {
        std::fs::write(shims.path().join(name), name).unwrap();
    }
    let installed = |shims: &Path| {
        assert!(with_shims("install", root.path(), "/usr", shims).status.success());
        let there = files(root.path());
        let names = there.iter().filter_map(|path| path.strip_prefix("usr/lib/squint").ok());
        names
            .filter(|name| *name != Path::new("libonnxruntime.so"))
            .map(PathBuf::from)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        installed(shims.path()),
        ["libsquint-trt-rtx1.so", "libsquint-trt8.so"].map(PathBuf::from)
    );
    std::fs::remove_file(shims.path().join("libsquint-trt-rtx1.so")).unwrap();
    assert_eq!(
        installed(shims.path()),
        [PathBuf::from("libsquint-trt8.so")],
        "one that is no longer built goes"
    );
    done("uninstall", root.path(), "/usr");
    assert!(is_empty(root.path()), "{:?}", files(root.path()));
}

#[test]
fn the_unit_names_the_program_of_its_prefix() {
    let root = tempfile::tempdir().unwrap();
    done("install", root.path(), "/opt/squint/");
    let unit = read(root.path().join("opt/squint/lib/systemd/system/squint.service"));
    assert!(
        unit.contains("\nExecStart=/opt/squint/bin/squint run --config /etc/squint/squint.toml\n"),
        "{unit}"
    );
    assert!(!unit.contains("/usr/bin/"), "{unit}");
    done("uninstall", root.path(), "/opt/squint");
    assert!(is_empty(root.path()));
}

#[test]
fn what_a_user_changed_or_added_stays() {
    let root = tempfile::tempdir().unwrap();
    let (config, own) = (
        root.path().join("etc/squint/squint.toml"),
        root.path().join("usr/share/squint/engines/mine/engine.toml"),
    );
    done("install", root.path(), "/usr");
    std::fs::write(&config, "[[camera]]\nname = \"mine\"\nsource = \"test\"\n").unwrap();
    std::fs::create_dir(own.parent().unwrap()).unwrap();
    std::fs::write(&own, "").unwrap();
    let said = done("install", root.path(), "/usr");
    assert!(said.contains("kept as it is") && read(config.clone()).contains("mine"), "{said}");
    let said = done("uninstall", root.path(), "/usr");
    assert!(said.contains("was changed"), "{said}");
    assert_eq!(
        files(root.path()),
        ["etc/squint/squint.toml", "usr/share/squint/engines/mine/engine.toml"].map(PathBuf::from)
    );
}

#[test]
fn a_file_that_a_newer_version_no_longer_has_goes_when_it_is_installed() {
    let root = tempfile::tempdir().unwrap();
    done("install", root.path(), "/usr");
    let (list, old) = (
        root.path().join("usr/share/squint/installed"),
        root.path().join("usr/share/squint/engines/old/engine.toml"),
    );
    std::fs::create_dir(old.parent().unwrap()).unwrap();
    std::fs::write(&old, "").unwrap();
    std::fs::write(&list, read(list.clone()) + "/usr/share/squint/engines/old/engine.toml\n")
        .unwrap();
    done("install", root.path(), "/usr");
    assert!(!old.parent().unwrap().exists() && !read(list).contains("/old/"));
}

#[test]
fn wrong_use_is_refused_and_touches_nothing() {
    let root = tempfile::tempdir().unwrap();
    let refused = |what: &str, prefix: &str| {
        let output = script(what, root.path(), prefix);
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, said) = refused("uninstall", "/usr");
    assert_eq!(code, Some(69), "{said}");
    let (code, said) = refused("install", "usr");
    assert!(code == Some(64) && said.contains("PREFIX=usr"), "{said}");
    assert_eq!(refused("remove", "/usr").0, Some(64));
    assert!(is_empty(root.path()));
}
