//! Boards as folders: what is found in each tree of `tests/boards`, what is not, what it reads, and
//! what the doctor prints of it.
//!
//! Drop in a folder, gain a test. `UPDATE_GOLDEN=1 cargo test --test telemetry boards` writes
//! `expected.json` and `doctor.txt` anew; the table in [`what_matters_on_each_board`] is written by
//! hand and says what must be in them.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use squint::telemetry::{self, Doubt, Inventory, Sample, Sources, Telemetry};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/boards")
}

fn boards() -> Vec<PathBuf> {
    let mut boards: Vec<PathBuf> = fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .collect();
    boards.sort();
    assert!(boards.len() >= 9, "{boards:?}");
    boards
}

/// What a board has, reads and doubts in the second of two samples.
fn read(board: &Path) -> (Inventory, Sample, Vec<Doubt>) {
    let mut telemetry = telemetry::open(Sources::below(board), Duration::ZERO);
    let mut sample = Sample::default();
    telemetry.sample(Duration::from_millis(500), &mut sample);
    (telemetry.inventory().clone(), Sample { cost: Duration::ZERO, ..sample }, telemetry.doubts())
}

/// Compares with a file beside the tree, or writes it.
fn agrees(board: &Path, file: &str, told: &str) {
    let path = board.join(file);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, told).unwrap();
    }
    let expected = fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}; UPDATE_GOLDEN=1 writes it", path.display()));
    assert_eq!(told, expected, "{}", path.display());
}

#[test]
fn each_board_has_and_reads_what_is_written_beside_it() {
    for board in boards() {
        let (inventory, sample, doubts) = read(&board);
        let told = json!({"inventory": inventory, "sample": sample, "doubts": doubts});
        agrees(&board, "expected.json", &format!("{told:#}\n"));
        assert!(
            board.join("README.md").is_file(),
            "{} does not say where it is from",
            board.display()
        );
    }
}

#[test]
fn the_doctor_tells_of_each_board_what_is_written_beside_it() {
    for board in boards() {
        let doctor = |json: Option<&str>| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_squint"));
            command.args(["doctor", "--root"]).arg(&board).args(json);
            let output = command.output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            String::from_utf8(output.stdout).unwrap()
        };
        let text = doctor(None);
        agrees(&board, "doctor.txt", &text);
        let told: Value = serde_json::from_str(&doctor(Some("--json"))).unwrap();
        let (inventory, sample, doubts) = read(&board);
        let readings = told["readings"].as_array().unwrap();
        assert_eq!(
            readings.len(),
            inventory.rails.len() + inventory.zones.len() + inventory.others.len(),
            "{}",
            board.display()
        );
        let doubted: BTreeSet<_> = readings
            .iter()
            .filter(|row| row["trusted"] == false)
            .map(|row| row["sensor"].as_str().unwrap())
            .collect();
        assert_eq!(
            doubted,
            doubts.iter().map(|doubt| doubt.sensor.as_str()).collect(),
            "{}",
            board.display()
        );
        for (zone, reading) in inventory.zones.iter().zip(&sample.temperatures) {
            let row = readings.iter().find(|row| row["sensor"] == zone.name.as_str()).unwrap();
            assert_eq!(
                row["value"].is_null(),
                reading.is_none(),
                "{} of {}: unknown is null and never 0",
                zone.name,
                board.display()
            );
            assert!(text.contains(&zone.name));
        }
    }
}

#[test]
fn a_root_that_is_not_there_is_a_usage_error() {
    let output = Command::new(env!("CARGO_BIN_EXE_squint"))
        .args(["doctor", "--root", "/nowhere/at/all"])
        .output()
        .unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(
        (output.status.code(), told.contains("/nowhere/at/all is not a folder")),
        (Some(64), true),
        "{told}"
    );
}

/// Calls `act` with every file below `folder`.
fn each_file(folder: &Path, act: &mut dyn FnMut(&Path)) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            each_file(&entry.path(), act)
        } else {
            act(&entry.path())
        }
    }
}

/// Overwrites a file in place, or makes it. Not by way of an empty file, which some file systems
/// flush to the disk.
fn put(path: &Path, content: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let file = fs::OpenOptions::new().write(true).create(true).truncate(false).open(path).unwrap();
    file.write_all_at(content, 0).unwrap();
    file.set_len(content.len() as u64).unwrap();
}

#[test]
fn nonsense_in_any_file_is_unknown_before_and_after_opening() {
    let long = vec![b'7'; 70_000];
    let nonsense: [&[u8]; 12] = [
        b"",
        b"\n",
        b"\0\0",
        b"\xff\xfe1",
        b"NaN",
        b"-9223372036854775808",
        b"9223372036854775807",
        b"99999999999999999999999",
        b"cpu  18446744073709551615 18446744073709551615 1 1",
        b"some avg10=NaN\nMemAvailable: 99999999999999999999 kB",
        b"< POWER_MODEL ID=99999999999 NAME=> pmode:99999999999",
        &long,
    ];
    // Between them they have every kind of sensor.
    for board in ["tx2-r32.7", "agx-orin-r36.4", "laptop-x86"].map(|board| folder().join(board)) {
        let root = tempfile::tempdir().unwrap();
        for content in nonsense {
            each_file(&board, &mut |path| {
                put(&root.path().join(path.strip_prefix(&board).unwrap()), &fs::read(path).unwrap())
            });
            let mut telemetry = telemetry::open(Sources::below(root.path()), Duration::ZERO);
            let mut sample = Sample::default();
            each_file(root.path(), &mut |path| put(path, content));
            for step in 1..4 {
                telemetry.sample(Duration::from_millis(500) * step, &mut sample);
            }
            let shown = String::from_utf8_lossy(&content[..content.len().min(40)]).into_owned();
            let known = sample.rails.iter().flatten().count()
                + sample.temperatures.iter().flatten().count();
            let rest = (sample.gpu_load, sample.cpu_load, sample.cpu_pressure, sample.power_mode);
            assert_eq!(
                (known, rest),
                (0, (None, None, None, None)),
                "{} with {shown:?}: {sample:?}",
                board.display()
            );
            let sensors = telemetry.inventory().rails.iter().filter(|rail| !rail.sum).count()
                + telemetry.inventory().zones.len();
            assert!(
                telemetry.doubts().len() >= sensors,
                "{} with {shown:?}: each is named",
                board.display()
            );
            // And with nonsense from the beginning.
            let mut telemetry = telemetry::open(Sources::below(root.path()), Duration::ZERO);
            telemetry.sample(Duration::from_millis(500), &mut sample);
            let known = sample.rails.iter().flatten().count()
                + sample.temperatures.iter().flatten().count();
            assert_eq!(known, 0, "{} opened with {shown:?}: {sample:?}", board.display());
        }
    }
}

/// What must be so on a board.
struct Matters {
    board: &'static str,
    release: Option<&'static str>,
    /// The rail that stands for the board, mW.
    total: Option<(&'static str, Option<f32>)>,
    rails: usize,
    /// Zones that govern, and where the board slows itself down for them, °C.
    governing: &'static [(&'static str, Option<f32>)],
    gpu: Option<(f32, f32)>,
    power_mode: Option<u32>,
    throttling: Option<bool>,
    over_current: Option<u64>,
    missing: &'static [&'static str],
    doubts: &'static [&'static str],
}

#[test]
fn what_matters_on_each_board() {
    for matters in MATTERS {
        let board = matters.board;
        let (inventory, sample, doubts) = read(&folder().join(board));
        assert_eq!(inventory.release.as_deref(), matters.release, "{board}");
        let total = inventory.total.map(|index| {
            (inventory.rails[index].name.as_str(), sample.rails[index].map(|power| power.0))
        });
        assert_eq!((total, inventory.rails.len()), (matters.total, matters.rails), "{board}");
        let governing: Vec<_> = inventory
            .zones
            .iter()
            .filter(|zone| zone.governs)
            .map(|zone| (zone.name.as_str(), zone.throttle_at.map(|at| at.0)))
            .collect();
        assert_eq!(governing, matters.governing, "{board}");
        assert_eq!(
            sample.gpu_clock.map(|clock| clock.0).zip(sample.gpu_load),
            matters.gpu,
            "{board}"
        );
        assert_eq!(sample.power_mode, matters.power_mode, "{board}");
        assert_eq!(
            (sample.throttling, sample.over_current),
            (matters.throttling, matters.over_current),
            "{board}"
        );
        let missing: Vec<_> =
            inventory.missing.iter().map(|missing| missing.what.as_str()).collect();
        assert_eq!(missing, matters.missing, "{board}");
        assert_eq!(
            doubts.iter().map(|doubt| doubt.sensor.as_str()).collect::<Vec<_>>(),
            matters.doubts,
            "{board}"
        );
    }
    assert_eq!(MATTERS.len(), boards().len(), "a board without a line in the table");
}

const MATTERS: &[Matters] = &[
    Matters {
        board: "tx2-r28.2",
        release: Some("R28.2.1"),
        total: Some(("VDD_IN", Some(2003.0))),
        rails: 6,
        governing: &[
            ("BCPU-therm", Some(95.5)),
            ("MCPU-therm", Some(95.5)),
            ("GPU-therm", Some(95.5)),
            ("PLL-therm", Some(95.5)),
            ("AO-therm", Some(95.5)),
            ("Tboard_tegra", None),
            ("Tdiode_tegra", None),
        ],
        gpu: Some((140.25, 0.053)),
        power_mode: None,
        throttling: None,
        over_current: None,
        missing: &["throttling", "over-current events", "power mode", "processor pressure"],
        doubts: &[],
    },
    Matters {
        board: "tx2-r32.7",
        release: Some("R32.7.1"),
        total: Some(("VDD_IN", Some(3140.0))),
        rails: 7,
        governing: &[
            ("BCPU-therm", Some(95.5)),
            ("MCPU-therm", Some(95.5)),
            ("GPU-therm", Some(95.5)),
            ("PLL-therm", None),
            ("Tboard_tegra", None),
            ("Tdiode_tegra", None),
        ],
        gpu: Some((114.75, 0.0)),
        power_mode: Some(3),
        throttling: Some(true),
        over_current: None,
        missing: &["over-current events", "processor pressure"],
        doubts: &["Tdiode_tegra"],
    },
    Matters {
        board: "tx2-nx-r32.7",
        release: Some("R32.7.1"),
        total: None,
        rails: 0,
        governing: &[
            ("BCPU-therm", Some(91.0)),
            ("GPU-therm", Some(93.5)),
            ("AUX-therm", Some(84.5)),
        ],
        gpu: Some((318.75, 0.412)),
        power_mode: Some(1),
        throttling: None,
        over_current: None,
        missing: &["power rails", "throttling", "over-current events", "processor pressure"],
        doubts: &[],
    },
    Matters {
        board: "nano-r32.7",
        release: Some("R32.7.1"),
        total: Some(("POM_5V_IN", Some(2340.0))),
        rails: 3,
        governing: &[
            ("AO-therm", None),
            ("CPU-therm", Some(97.0)),
            ("GPU-therm", Some(98.0)),
            ("PLL-therm", None),
        ],
        gpu: Some((76.8, 0.0)),
        power_mode: Some(0),
        throttling: Some(false),
        over_current: None,
        missing: &["over-current events", "processor pressure"],
        doubts: &[],
    },
    Matters {
        board: "xavier-r32.7",
        release: Some("R32.7.1"),
        total: Some(("sum", Some(3622.0))),
        rails: 7,
        governing: &[
            ("CPU-therm", Some(86.0)),
            ("GPU-therm", Some(88.0)),
            ("AUX-therm", None),
            ("AO-therm", None),
            ("Tboard_tegra", None),
            ("Tdiode_tegra", None),
        ],
        gpu: Some((114.75, 0.0)),
        power_mode: Some(2),
        throttling: Some(false),
        over_current: None,
        missing: &["over-current events", "processor pressure"],
        doubts: &[],
    },
    Matters {
        board: "orin-nx-r35.4",
        release: Some("R35.4.1"),
        total: Some(("VDD_IN", Some(4838.4))),
        rails: 3,
        governing: &[
            ("CPU-therm", None),
            ("GPU-therm", None),
            ("CV0-therm", None),
            ("SOC0-therm", None),
            ("SOC1-therm", None),
            ("tj-therm", Some(99.0)),
        ],
        gpu: Some((306.0, 0.0)),
        power_mode: Some(0),
        throttling: Some(false),
        over_current: Some(0),
        missing: &[],
        doubts: &["GPU-therm", "CV0-therm"],
    },
    Matters {
        board: "agx-orin-r36.4",
        release: Some("R36.4.0"),
        total: Some(("sum", Some(8187.648))),
        rails: 5,
        governing: &[
            ("cpu-thermal", None),
            ("gpu-thermal", None),
            ("cv0-thermal", None),
            ("soc0-thermal", None),
            ("tj-thermal", Some(99.0)),
            ("tboard-thermal", None),
        ],
        gpu: Some((306.0, 0.037)),
        power_mode: Some(2),
        throttling: Some(false),
        over_current: Some(0),
        missing: &[],
        doubts: &["cv0-thermal"],
    },
    Matters {
        board: "laptop-x86",
        release: None,
        total: Some(("psys", None)),
        rails: 3,
        governing: &[
            ("acpitz", Some(122.5)),
            ("x86_pkg_temp", None),
            ("coretemp Package id 0", Some(94.5)),
        ],
        gpu: None,
        power_mode: None,
        throttling: Some(false),
        over_current: None,
        missing: &["GPU clock", "GPU load", "over-current events", "power mode"],
        doubts: &["package-0", "package-0 core", "psys"],
    },
    Matters {
        board: "vm-bare",
        release: None,
        total: None,
        rails: 0,
        governing: &[],
        gpu: None,
        power_mode: None,
        throttling: None,
        over_current: None,
        missing: &[
            "power rails",
            "temperatures",
            "GPU clock",
            "GPU load",
            "processor clock",
            "throttling",
            "over-current events",
            "power mode",
        ],
        doubts: &[],
    },
];
