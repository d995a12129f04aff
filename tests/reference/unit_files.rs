//! systemd/: the unit is what systemd takes without a word, locked down as far as promised, and
//! honest about old versions.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::common::skip;
use clap::Parser;
use squint::cli::{Cli, Command as Sub};
use squint::config::keys::KEYS;
use squint::config::{self, Folders, Overrides};
use squint::error::Kind;

/// Directives in use that systemd 237 (Ubuntu 18.04, JetPack 4) does not know, and the version that
/// brought each.
const NEWER_THAN_237: &[(&str, u32)] = &[
    ("OOMPolicy", 243),
    ("ProtectClock", 245),
    ("ProtectHostname", 242),
    ("ProtectKernelLogs", 244),
    ("ProtectProc", 247),
    ("RestrictSUIDSGID", 242),
];

/// Directives in use that it knows.
const KNOWN_TO_237: &[&str] = &[
    "After",
    "AmbientCapabilities",
    "CacheDirectory",
    "CacheDirectoryMode",
    "CapabilityBoundingSet",
    "ConfigurationDirectory",
    "ConfigurationDirectoryMode",
    "Description",
    "DeviceAllow",
    "DevicePolicy",
    "Documentation",
    "Environment",
    "ExecReload",
    "ExecStart",
    "Group",
    "KeyringMode",
    "LimitCORE",
    "LimitNOFILE",
    "LockPersonality",
    "MemoryMax",
    "NoNewPrivileges",
    "NotifyAccess",
    "ProtectControlGroups",
    "ProtectHome",
    "ProtectKernelModules",
    "ProtectKernelTunables",
    "ProtectSystem",
    "RemoveIPC",
    "Restart",
    "RestartPreventExitStatus",
    "RestartSec",
    "RestrictAddressFamilies",
    "RestrictNamespaces",
    "RestrictRealtime",
    "RuntimeDirectory",
    "RuntimeDirectoryMode",
    "StartLimitIntervalSec",
    "StateDirectory",
    "StateDirectoryMode",
    "SystemCallArchitectures",
    "SystemCallErrorNumber",
    "SystemCallFilter",
    "TasksMax",
    "TimeoutStartSec",
    "TimeoutStopSec",
    "Type",
    "UMask",
    "User",
    "WantedBy",
    "WatchdogSec",
];

/// Groups of system calls that 237 knows. An allow-list of a group it does not know would forbid
/// nearly everything.
const GROUPS_OF_237: &[&str] = &[
    "@clock",
    "@cpu-emulation",
    "@debug",
    "@keyring",
    "@module",
    "@mount",
    "@obsolete",
    "@privileged",
    "@raw-io",
    "@reboot",
    "@resources",
    "@swap",
];

/// Variables that libraries read, not our own code.
const READ_BY_LIBRARIES: &[(&str, &str)] = &[
    ("GST_REGISTRY", "GStreamer"),
    ("ORT_DISABLE_TELEMETRY", "ONNX Runtime"),
    ("MALLOC_ARENA_MAX", "glibc"),
    ("MALLOC_TRIM_THRESHOLD_", "glibc"),
];

fn source(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn unit() -> String {
    source("systemd/squint.service")
}

/// `Name=value` of every line that is one.
fn directives(unit: &str) -> Vec<(&str, &str)> {
    unit.lines()
        .filter(|line| !line.starts_with(['#', '[']))
        .filter_map(|line| line.split_once('='))
        .collect()
}

fn value<'u>(unit: &'u str, name: &str) -> &'u str {
    directives(unit)
        .iter()
        .find(|(found, _)| *found == name)
        .unwrap_or_else(|| panic!("no {name}="))
        .1
}

/// Runs `systemd-analyze` on the unit, started with the program under test; `None` where it is not
/// installed.
fn analyze(unit: &str, arguments: &[&str]) -> Option<Output> {
    let folder = tempfile::tempdir().unwrap();
    let file: PathBuf = folder.path().join("squint.service");
    std::fs::write(&file, unit.replace("/usr/bin/squint", env!("CARGO_BIN_EXE_squint"))).unwrap();
    match Command::new("systemd-analyze").args(arguments).arg(&file).output() {
        Ok(output) => Some(output),
        Err(error) => {
            skip(format_args!(
                "systemd-analyze cannot be run ({error}); `make deps` installs it with Debian's package systemd"
            ));
            None
        }
    }
}

fn said(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

#[test]
fn systemd_takes_the_unit_without_a_word() {
    let verify = ["verify", "--man=no", "--recursive-errors=one"];
    let Some(output) = analyze(&unit(), &verify) else { return };
    assert!(output.status.success() && said(&output).trim().is_empty(), "{}", said(&output));
    let wrong = unit().replace("\nProtectHome=", "\nProtectHouse=");
    let output = analyze(&wrong, &verify).unwrap();
    assert!(
        said(&output).contains("ProtectHouse"),
        "a wrong key would not be noticed: {}",
        said(&output)
    );
}

#[test]
fn the_unit_is_locked_down_to_an_exposure_of_at_most_two() {
    let security = ["security", "--no-pager", "--offline=true", "--threshold=20"];
    let Some(output) = analyze(&unit(), &security) else { return };
    assert!(output.status.success(), "{}", said(&output));
    let open = unit()
        .replace("\nProtectSystem=strict", "")
        .replace("\nCapabilityBoundingSet=", "")
        .replace("\nUser=squint", "");
    assert!(
        !analyze(&open, &security).unwrap().status.success(),
        "an open unit would not be noticed"
    );
}

#[test]
fn what_systemd_237_ignores_is_known_and_documented() {
    let (unit, docs) = (unit(), source("docs/guide/service.md"));
    for (name, _) in directives(&unit) {
        let newer = NEWER_THAN_237.iter().find(|(newer, _)| *newer == name);
        assert!(
            newer.is_some() || KNOWN_TO_237.contains(&name),
            "{name}=: since when? Add it to one of the tables of this test"
        );
        if let Some((name, version)) = newer {
            let row = docs.lines().find(|line| line.starts_with(&format!("| `{name}=`")));
            assert!(
                row.is_some_and(|row| row.contains(&version.to_string())),
                "docs/guide/service.md has no row for {name}= ({version})"
            );
        }
    }
    for (name, _) in NEWER_THAN_237 {
        assert!(
            directives(&unit).iter().any(|(used, _)| used == name),
            "{name}= is not in use any more"
        );
    }
}

#[test]
fn system_calls_are_forbidden_by_groups_that_systemd_237_knows() {
    let unit = unit();
    for (_, list) in directives(&unit).iter().filter(|(name, _)| *name == "SystemCallFilter") {
        match list.strip_prefix('~') {
            Some(groups) => {
                assert!(groups.split(' ').all(|group| GROUPS_OF_237.contains(&group)), "{groups}")
            }
            // Exceptions, behind the list that makes it one of what is forbidden: builds lower
            // their own priority.
            None => assert_eq!(*list, "setpriority ioprio_set"),
        }
    }
    let first = directives(&unit).into_iter().find(|(name, _)| *name == "SystemCallFilter");
    assert!(
        first.is_some_and(|(_, list)| list.starts_with('~')),
        "the first one decides what kind of list it is"
    );
}

#[test]
fn every_variable_of_the_unit_is_read_by_someone() {
    let unit = unit();
    for (_, setting) in directives(&unit).iter().filter(|(name, _)| *name == "Environment") {
        let (name, path) = setting.split_once('=').unwrap();
        assert!(
            READ_BY_LIBRARIES.iter().any(|(known, _)| *known == name),
            "{name}: who reads it? Add it to the table of this test"
        );
        let cache = format!("/var/cache/{}/", value(&unit, "CacheDirectory"));
        assert!(!path.starts_with('/') || path.starts_with(&cache), "{path} cannot be written to");
    }
}

#[test]
fn the_unit_says_what_the_program_understands_and_means() {
    let unit = unit();
    let words: Vec<&str> = value(&unit, "ExecStart").split(' ').collect();
    let Sub::Run(run) = Cli::try_parse_from(&words).unwrap().command else { panic!("{words:?}") };
    assert_eq!(run.common.config, Some("/etc/squint/squint.toml".into()));
    let words: Vec<String> = value(&unit, "ExecReload")
        .replace("$MAINPID", "4711")
        .split(' ')
        .map(str::to_owned)
        .collect();
    let Sub::Reload(reload) = Cli::try_parse_from(&words).unwrap().command else {
        panic!("{words:?}")
    };
    assert_eq!(
        (reload.at.config, reload.main_pid),
        (run.common.config, Some(4711)),
        "the same file, so the same socket"
    );
    let hopeless = [Kind::Usage, Kind::Configuration].map(|kind| kind.code().to_string()).join(" ");
    assert_eq!(value(&unit, "RestartPreventExitStatus"), hopeless);
    assert_eq!((value(&unit, "Type"), value(&unit, "NotifyAccess")), ("notify", "main"));
    // The shipped configuration writes where the unit allows it.
    let shipped: toml::Table = source("systemd/squint.toml").parse().unwrap();
    let socket = shipped["output"]["socket"].as_str().unwrap();
    assert!(socket.starts_with(&format!("/run/{}/", value(&unit, "RuntimeDirectory"))), "{socket}");
}

#[test]
fn the_budget_of_the_shipped_configuration_holds_with_all_its_examples_and_keeps_what_it_learns_where_the_unit_allows_it()
 {
    let (unit, shipped) = (unit(), source("systemd/squint.toml"));
    let state = shipped.parse::<toml::Table>().unwrap()["budget"]["state-file"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(state.starts_with(&format!("/var/lib/{}/", value(&unit, "StateDirectory"))), "{state}");
    // With every example of the two sections taken in.
    let (before, rest) = shipped.split_once("[budget]").unwrap();
    let (sections, after) = rest.split_once("[output]").unwrap();
    let text = format!("{before}[budget]{}[output]{after}", sections.replace("\n#", "\n"));
    let folders = Folders { engines: "engines".into(), calibration: "calibration".into() };
    let config = config::resolve(Some(("squint.toml", &text)), [], &Overrides::default(), &folders)
        .unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(config.budget.limits.power.and_then(|power| power.rail).as_deref(), Some("VDD_IN"));
    assert!(config.budget.limits.latency.is_some() && config.telemetry.tegrastats.is_some());
    // Every key of the section is shown, so that nobody has to look for one.
    for key in KEYS.iter().filter(|key| key.section() == "budget") {
        let name = key.path.split('.').next_back().unwrap();
        assert!(
            sections
                .lines()
                .any(|line| line.trim_start_matches('#').starts_with(&format!("{name} = "))),
            "{name}"
        );
    }
}

#[test]
fn what_telemetry_reads_stays_within_reach() {
    let unit = unit();
    // /proc/stat, /proc/meminfo, /proc/pressure; the kernel's files of sensors; discrete GPUs.
    for hides in [
        "ProcSubset",
        "InaccessiblePaths",
        "TemporaryFileSystem",
        "RootDirectory",
        "RootImage",
        "MountAPIVFS",
    ] {
        assert!(
            !directives(&unit).iter().any(|(name, _)| *name == hides),
            "{hides}= hides readings of the board"
        );
    }
    assert!(
        unit.contains("\nDeviceAllow=char-nvidia* rw\n")
            && value(&unit, "ProtectKernelTunables") == "yes"
    );
}

#[test]
fn account_and_rights_are_those_that_the_unit_asks_for() {
    let (unit, users, rights) =
        (unit(), source("systemd/squint.sysusers"), source("systemd/squint.tmpfiles"));
    let user = value(&unit, "User");
    assert!(users.lines().any(|line| line.starts_with(&format!("u {user} "))), "{users}");
    assert!(users.contains(&format!("m {user} video")), "{users}");
    let mode = value(&unit, "ConfigurationDirectoryMode");
    // Passwords: a group of the service's own, in which nobody is who may read or change something
    // over the sockets.
    let config = format!("{user}-config");
    assert!(
        users.contains(&format!("g {config} ")) && users.contains(&format!("m {user} {config}\n")),
        "{users}"
    );
    let folder = format!("z /etc/{} {mode} root {config} ", value(&unit, "ConfigurationDirectory"));
    assert!(rights.lines().any(|line| line.starts_with(&folder)), "{rights}");
    assert!(rights.lines().any(|line| line.starts_with(&format!("z /etc/{user}/squint.toml 0640 root {config} "))), "{rights}");
    // Those who may change something, by the name that the daemon has unless told otherwise; the
    // service itself need not be one of them.
    let group = KEYS
        .iter()
        .find(|key| key.path == "control.group")
        .map(|key| format!("{:?}", key.unset))
        .unwrap();
    assert!(
        group.contains(&format!("{user}-control")) && users.contains(&format!("g {user}-control ")),
        "{group}, {users}"
    );
}

#[test]
fn cameras_and_gpu_stay_within_reach() {
    let unit = unit();
    for hides in [
        "PrivateTmp",
        "PrivateDevices",
        "MemoryDenyWriteExecute",
        "PrivateNetwork",
        "ProcSubset",
        "PrivateUsers",
    ] {
        assert!(
            !directives(&unit).iter().any(|(name, _)| *name == hides),
            "{hides}= hides the camera, the GPU, code or the network"
        );
    }
    let devices: Vec<&str> = directives(&unit)
        .iter()
        .filter(|(name, _)| *name == "DeviceAllow")
        .map(|(_, device)| *device)
        .collect();
    for needed in [
        "char-video4linux rw",
        "char-nvidia* rw",
        "char-nvhost* rw",
        "/dev/nvmap rw",
        "char-drm rw",
    ] {
        assert!(devices.contains(&needed), "{needed} is not among {devices:?}");
    }
    for family in ["AF_UNIX", "AF_INET", "AF_INET6"] {
        assert!(
            value(&unit, "RestrictAddressFamilies").split(' ').any(|allowed| allowed == family),
            "{family}"
        );
    }
}
