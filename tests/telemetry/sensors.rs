//! A TX2 whose sensors fail one by one, each in its own way, and come back: the tree of
//! `tests/boards` is copied and its files change twice a second, as a board's would; the real
//! telemetry reads them.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use squint::telemetry::merged::Merged;
use squint::telemetry::{self, Sample, Sources, Telemetry};

/// The board, its files and its clock.
struct Board {
    root: tempfile::TempDir,
    telemetry: Merged,
    sample: Sample,
    half_seconds: u32,
    /// Load of the processors, 0..=1, and what `/proc/stat` has counted of it so far, in ticks.
    load: f64,
    ticks: (u64, u64),
    /// Die temperature, °C.
    heat: f64,
    /// Files that the board no longer writes.
    stuck: Vec<PathBuf>,
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a tree").map(|entry| entry.expect("readable")) {
        let target = to.join(entry.file_name());
        match entry.path().is_dir() {
            true => copy(&entry.path(), &target),
            false => assert!(fs::copy(entry.path(), target).is_ok()),
        }
    }
}

const ZONES: [&str; 6] =
    ["BCPU-therm", "MCPU-therm", "GPU-therm", "PLL-therm", "Tboard_tegra", "Tdiode_tegra"];
const TOTAL: &str = "sys/bus/i2c/devices/0-0041/iio:device3/in_power0_input";
const CPU: &str = "sys/bus/i2c/devices/0-0041/iio:device3/in_power1_input";

fn zone(name: &str) -> PathBuf {
    let index = ZONES.iter().position(|zone| *zone == name).expect("a zone of the tree");
    format!("sys/class/thermal/thermal_zone{index}/temp").into()
}

impl Board {
    fn new() -> Self {
        let root = tempfile::tempdir().expect("a temporary folder");
        copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/boards/tx2-r32.7"), root.path());
        let telemetry = telemetry::open(Sources::below(root.path()), Duration::ZERO);
        let mut board = Self {
            root,
            telemetry,
            sample: Sample::default(),
            half_seconds: 0,
            load: 0.2,
            ticks: (0, 0),
            heat: 40.0,
            stuck: vec![],
        };
        board.run(2);
        board
    }

    fn write(&self, file: &Path, text: &str) {
        if !self.stuck.iter().any(|stuck| stuck == file) {
            // In place: by way of an empty file some file systems would flush each to the disk.
            let open = fs::OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(false)
                .open(self.root.path().join(file));
            let file = open.expect("opened");
            file.write_all_at(text.as_bytes(), 0)
                .and_then(|()| file.set_len(text.len() as u64))
                .expect("written");
        }
    }

    /// Lets the board live for this long.
    fn run(&mut self, seconds: u32) {
        for _ in 0..seconds * 2 {
            self.half_seconds += 1;
            // All zones follow the die in steps of half a degree; the power wobbles with every
            // reading.
            for (index, name) in ZONES.iter().enumerate() {
                let celsius = ((self.heat - index as f64) * 2.0).round() / 2.0;
                self.write(&zone(name), &format!("{}\n", (celsius * 1000.0) as i64));
            }
            let power = 2000.0 + 8000.0 * self.load + 38.0 * f64::from(self.half_seconds % 3);
            self.write(Path::new(TOTAL), &format!("{}\n", power as i64));
            self.write(Path::new(CPU), &format!("{}\n", (power / 4.0) as i64));
            self.ticks = (self.ticks.0 + (300.0 * self.load) as u64, self.ticks.1 + 300);
            self.write(
                Path::new("proc/stat"),
                &format!("cpu  {} 0 0 {}\n", self.ticks.0, self.ticks.1 - self.ticks.0),
            );
            self.telemetry.sample(Duration::from_millis(500) * self.half_seconds, &mut self.sample);
        }
    }

    fn doubts(&self) -> Vec<String> {
        self.telemetry
            .doubts()
            .into_iter()
            .map(|doubt| format!("{} {}", doubt.sensor, doubt.why))
            .collect()
    }

    fn reads(&self, name: &str) -> Option<f32> {
        let all = self.telemetry.inventory();
        let zone = all
            .zones
            .iter()
            .position(|zone| zone.name == name)
            .map(|index| self.sample.temperatures[index].map(|heat| heat.0));
        let rail = || {
            all.rails
                .iter()
                .position(|rail| rail.name == name)
                .and_then(|index| self.sample.rails[index])
        };
        zone.unwrap_or_else(|| rail().map(|power| power.0))
    }
}

#[test]
fn sensors_that_fail_one_by_one_are_named_left_out_and_taken_back() {
    let mut board = Board::new();
    assert_eq!((board.doubts(), board.reads("GPU-therm")), (vec![], Some(38.0)));

    // The driver of one zone is gone, its file with it.
    board.stuck.push(zone("Tboard_tegra"));
    fs::remove_file(board.root.path().join(zone("Tboard_tegra"))).expect("removed");
    board.run(10);
    assert_eq!(board.doubts(), ["Tboard_tegra has not answered for 10 s"]);

    // The next is switched off, and one reads what cannot be.
    board.write(&zone("Tdiode_tegra"), "-256000\n");
    board.stuck.push(zone("Tdiode_tegra"));
    board.write(&zone("PLL-therm"), "200000\n");
    board.stuck.push(zone("PLL-therm"));
    board.run(10);
    let faults = [
        "PLL-therm reads 200 °C, outside of -40 to 130 °C",
        "Tboard_tegra has not answered for 20 s",
        "Tdiode_tegra is switched off",
    ];
    assert_eq!(board.doubts(), faults);

    // One stands still, and so does the power of the board; nothing shows it as long as nothing
    // else moves.
    board.stuck.push(zone("GPU-therm"));
    board.stuck.push(TOTAL.into());
    board.run(300);
    assert_eq!(board.doubts().len(), 3, "{:?}", board.doubts());
    assert_eq!(board.reads("GPU-therm"), Some(38.0));
    (board.load, board.heat) = (0.9, 55.0);
    board.run(30);
    let frozen: Vec<_> =
        board.doubts().into_iter().filter(|doubt| doubt.contains(" while ")).collect();
    assert_eq!(
        frozen,
        [
            "VDD_IN has read 3676 mW for 330 s while the load moved",
            "GPU-therm has read 38 °C for 351 s while the others moved"
        ]
    );
    assert_eq!(
        (board.reads("GPU-therm"), board.reads("VDD_IN")),
        (None, None),
        "a cold reading that is stuck hides the heat"
    );
    assert_eq!(
        (board.reads("BCPU-therm"), board.reads("MCPU-therm")),
        (Some(55.0), Some(54.0)),
        "the others go on"
    );

    // All come back.
    board.stuck.clear();
    board.run(1);
    assert_eq!(board.doubts(), [""; 0]);
    assert_eq!((board.reads("GPU-therm"), board.reads("Tboard_tegra")), (Some(53.0), Some(51.0)));
    assert!(board.reads("VDD_IN").is_some_and(|power| power > 9000.0));
}

#[test]
fn a_board_that_is_idle_for_ten_minutes_keeps_its_sensors() {
    let mut board = Board::new();
    board.stuck.push(TOTAL.into()); // stands still by chance
    board.run(600);
    assert_eq!(board.doubts(), [""; 0]);
}
