//! Readings from a shell script that poses as tegrastats and behaves as badly as a child can, and
//! from files that somebody else writes.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use crate::allocations::allocations;
use crate::common::{SOON, again, eventually};
use squint::telemetry::tegrastats::{Board, Feed, Patience, Tegrastats};
use squint::telemetry::{Missing, Sample, Telemetry};
use squint::units::{Celsius, Milliwatts};
use tempfile::TempDir;

/// Far beyond what any of this takes, and short enough for a test that hangs.
const LIMIT: Duration = SOON;

/// A script in a folder of its own; each start adds its process number to the file `starts`.
struct Script(TempDir);

impl Script {
    fn new(body: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tegrastats");
        fs::write(
            &path,
            format!("#!/bin/sh\ncd \"$(dirname \"$0\")\"\necho $$ >> starts\n{body}\n"),
        )
        .unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        Self(folder)
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("tegrastats")
    }

    fn feed(&self) -> Feed {
        Feed::Command(vec![self.path().to_str().unwrap().into()])
    }

    fn open(&self, patience: Patience) -> Result<Tegrastats, Missing> {
        Tegrastats::open(self.feed(), patience)
    }

    fn starts(&self) -> Vec<u32> {
        let text = fs::read_to_string(self.0.path().join("starts")).unwrap_or_default();
        text.lines().map(|line| line.parse().unwrap()).collect()
    }
}

/// Alive or a zombie.
fn is_there(process: u32) -> bool {
    Path::new(&format!("/proc/{process}")).exists()
}

/// As in earnest, but with little patience for silence.
fn impatient() -> Patience {
    Patience {
        first: LIMIT,
        fresh: LIMIT,
        silence: Duration::from_millis(400),
        longest_pause: Duration::from_millis(20),
    }
}

fn patient() -> Patience {
    Patience { silence: LIMIT, ..impatient() }
}

fn taken(telemetry: &mut impl Telemetry) -> Sample {
    let mut sample = Sample::default();
    telemetry.sample(Duration::from_secs(1), &mut sample);
    sample
}

fn total(telemetry: &mut impl Telemetry) -> Option<f32> {
    taken(telemetry).rails[0].map(|power| power.0)
}

const TWO_LINES: &str = "echo 'VDD_IN 1/1 GPU@40C'; echo 'VDD_IN 2/1 GPU@41C'";
/// From its second start on the script says nothing.
const ONE_LIFE: &str = "[ $(wc -l < starts) -gt 1 ] && exec sleep 1000";

#[test]
fn a_child_is_heard_and_dies_with_all_it_started_when_nobody_listens_any_more() {
    let script = Script::new(&format!("{TWO_LINES}; sleep 1000 & echo $! >> starts; wait"));
    let mut telemetry = script.open(patient()).unwrap();
    let names: Vec<_> = telemetry
        .inventory()
        .rails
        .iter()
        .map(|rail| (rail.name.as_str(), rail.origin.as_str()))
        .collect();
    assert_eq!((names, telemetry.inventory().total), (vec![("VDD_IN", "tegrastats")], Some(0)));
    let sample = taken(&mut telemetry);
    assert_eq!((sample.at, sample.rails[0]), (Duration::from_secs(1), Some(Milliwatts(2.0))));
    assert_eq!(sample.temperatures[0], Some(Celsius(41.0)));
    assert!(sample.cost > Duration::ZERO);
    assert_eq!(telemetry.doubts(), []);
    eventually("both started", || script.starts().len() == 2);
    assert_eq!(telemetry.child(), script.starts().first().copied());
    drop(telemetry);
    eventually("both gone", || !script.starts().into_iter().any(is_there));
}

#[test]
fn a_child_that_dies_is_started_again_and_leaves_no_zombie() {
    let script = Script::new(&format!(
        "{TWO_LINES}; [ $(wc -l < starts) -lt 3 ] && exit 3; echo 'VDD_IN 77/1'; sleep 1000"
    ));
    let mut telemetry = script.open(patient()).unwrap();
    eventually("the third life", || total(&mut telemetry) == Some(77.0));
    assert_eq!((telemetry.losses(), script.starts().len()), (2, 3));
    assert!(!script.starts()[..2].iter().copied().any(is_there));
    assert_eq!(taken(&mut telemetry).temperatures[0], None, "missing from the newest line");
}

#[test]
fn why_a_child_ended_is_told() {
    let script = Script::new(&format!("{ONE_LIFE}; {TWO_LINES}; exit 3"));
    let telemetry = script.open(patient()).unwrap();
    eventually("lost", || telemetry.losses() > 0);
    let [doubt] = &telemetry.doubts()[..] else { panic!("{:?}", telemetry.doubts()) };
    assert_eq!(
        (doubt.sensor.as_str(), doubt.why.as_str()),
        ("tegrastats", "ended: exit status: 3; lost 1 times so far")
    );
}

#[test]
fn a_child_that_falls_silent_is_killed_and_started_again_and_its_readings_become_unknown() {
    let script = Script::new(&format!("{TWO_LINES}; exec sleep 1000"));
    let fresh = Duration::from_millis(50);
    let mut telemetry = script.open(Patience { fresh, ..impatient() }).unwrap();
    eventually("unknown", || total(&mut telemetry).is_none());
    assert_eq!(taken(&mut telemetry).temperatures.len(), 1, "unknown, and in its place");
    eventually("told", || telemetry.doubts().iter().any(|doubt| doubt.why.contains("silent for")));
    eventually("a second life", || script.starts().len() >= 2);
    eventually("the first is gone", || !is_there(script.starts()[0]));
    eventually("heard again", || total(&mut telemetry) == Some(2.0));
    assert!(telemetry.losses() >= 1);
}

#[test]
fn a_child_that_prints_only_garbage_is_as_good_as_silent() {
    let script = Script::new(&format!(
        "{TWO_LINES}; while :; do head -c 50000 /dev/urandom | tr '0-9@' x; done"
    ));
    let telemetry = script.open(impatient()).unwrap();
    eventually("a second life", || script.starts().len() >= 2 && telemetry.losses() >= 1);
    drop(telemetry);
    eventually("gone", || !script.starts().into_iter().any(is_there));
}

#[test]
fn noise_and_an_endless_line_do_not_hide_the_lines_around_them() {
    let noise = "head -c 1000000 /dev/zero | tr '\\0' x; echo; head -c 3000 /dev/urandom | tr '0-9@' x; echo; echo 'VDD_IN 9/1'";
    let script = Script::new(&format!("{TWO_LINES}; {noise}; sleep 1000"));
    let mut telemetry = script.open(patient()).unwrap();
    eventually("the line after", || total(&mut telemetry) == Some(9.0));
    assert_eq!((telemetry.losses(), telemetry.inventory().rails.len()), (0, 1));
}

#[test]
fn half_a_last_line_is_not_read() {
    let script = Script::new(&format!("{ONE_LIFE}; {TWO_LINES}; printf 'VDD_IN 98/1 GPU@9'; exit"));
    let mut telemetry = script.open(patient()).unwrap();
    eventually("lost", || telemetry.losses() > 0);
    assert_eq!(total(&mut telemetry), Some(2.0));
}

#[test]
fn a_board_without_tegrastats_is_told_where_it_was_looked_for() {
    let open = |command: &[&str], patience| {
        let command = command.iter().map(|word| (*word).to_owned()).collect();
        Tegrastats::open(Feed::Command(command), patience).err().unwrap()
    };
    let missing = open(&["no-such-tegrastats", "--interval", "500"], patient());
    assert_eq!(missing.what, "tegrastats");
    assert!(
        missing.why.contains("`no-such-tegrastats`") && missing.why.contains("/home/nvidia"),
        "{missing:?}"
    );
    let missing =
        open(&["sleep", "1000"], Patience { first: Duration::from_millis(50), ..patient() });
    assert_eq!(missing.why, "printed nothing readable within 50ms");
    assert!(open(&["false"], patient()).why.contains("exit status: 1"));
    assert!(open(&[], patient()).why.contains("no command"));
}

#[test]
fn a_child_that_knows_only_one_line_is_taken_at_its_word() {
    let script = Script::new("echo 'GPU@40C'; sleep 1000");
    let telemetry = script.open(Patience { first: Duration::from_secs(2), ..patient() }).unwrap();
    assert_eq!(telemetry.inventory().zones.len(), 1);
    assert!(telemetry.inventory().missing.iter().any(|missing| missing.what == "power rails"));
}

/// Not a test: plays a daemon that is killed, for the test below.
#[test]
#[ignore = "a part that another test plays"]
fn the_part_of_a_daemon_that_is_killed() {
    let Some(script) = std::env::var_os("SQUINT_TEST_SCRIPT") else { return };
    let telemetry =
        Tegrastats::open(Feed::Command(vec![script.into_string().unwrap()]), patient()).unwrap();
    println!("child={}", telemetry.child().unwrap());
    loop {
        std::thread::park();
    }
}

#[test]
fn a_child_ends_at_its_next_line_when_we_are_killed() {
    let script = Script::new("while :; do echo 'VDD_IN 1/1'; sleep 0.05; done");
    let mut daemon = again(module_path!(), "the_part_of_a_daemon_that_is_killed")
        .arg("--ignored")
        .env("SQUINT_TEST_SCRIPT", script.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(daemon.stdout.take().unwrap()).lines().map(Result::unwrap);
    // The test runner writes the name of the test in front.
    let child = lines
        .filter_map(|line| line.split_once("child=").map(|(_, id)| id.parse().unwrap()))
        .next()
        .unwrap();
    assert!(is_there(child));
    daemon.kill().unwrap();
    daemon.wait().unwrap();
    eventually("the child is gone", || !is_there(child));
}

#[test]
fn a_file_is_followed_from_its_newest_line_on_and_when_it_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let mut log = fs::File::create(&path).unwrap();
    for line in 0..2000 {
        // Seventeen bytes: the newest that are read at first begin with `IN 1…`, which is no rail
        // of this board.
        writeln!(log, "VDD_IN 1{line:06}/1").unwrap();
    }
    let mut telemetry = Tegrastats::open(Feed::Follow(path.clone()), patient()).unwrap();
    let names: Vec<_> = telemetry.inventory().rails.iter().map(|rail| rail.name.as_str()).collect();
    assert_eq!(names, ["VDD_IN"]);
    eventually("the newest line", || total(&mut telemetry) == Some(1_001_999.0));
    write!(log, "VDD_IN 123").unwrap();
    writeln!(log, "4/1").unwrap();
    eventually("a line in two pieces", || total(&mut telemetry) == Some(1234.0));
    let other = folder.path().join("other");
    fs::write(&other, "VDD_IN 5/1\n").unwrap();
    fs::rename(&other, &path).unwrap();
    eventually("the new file", || total(&mut telemetry) == Some(5.0));
    assert_eq!(telemetry.losses(), 1);
    fs::write(&path, "").unwrap();
    eventually("cut short", || telemetry.losses() == 2);
    fs::write(&path, "VDD_IN 6/1\n").unwrap();
    eventually("the file that was cut short", || total(&mut telemetry) == Some(6.0));
}

#[test]
fn what_a_file_held_long_before_we_came_says_what_there_is_but_not_how_it_is_now() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    fs::write(&path, "VDD_IN 1/1\nVDD_IN 2/1\n").unwrap();
    let log = fs::File::options().append(true).open(&path).unwrap();
    log.set_modified(SystemTime::now() - Duration::from_secs(3600)).unwrap();
    let mut telemetry = Tegrastats::open(Feed::Follow(path), patient()).unwrap();
    assert_eq!((telemetry.inventory().rails.len(), total(&mut telemetry)), (1, None));
    assert!(telemetry.doubts()[0].why.starts_with("silent for 36"), "{:?}", telemetry.doubts());
    writeln!(&log, "VDD_IN 3/1").unwrap();
    eventually("a new line", || total(&mut telemetry) == Some(3.0));
    assert_eq!(telemetry.doubts(), []);
}

#[test]
fn a_fifo_may_change_its_writer() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fifo");
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    // Opening a FIFO to write waits for its reader.
    let write = |text: &'static str| {
        let path = path.clone();
        std::thread::spawn(move || fs::write(path, text).unwrap())
    };
    let first = write("VDD_IN 1/1\nVDD_IN 2/1\n");
    let mut telemetry = Tegrastats::open(Feed::Follow(path.clone()), patient()).unwrap();
    first.join().unwrap();
    eventually("the first writer", || total(&mut telemetry) == Some(2.0));
    write("VDD_IN 3/1\n").join().unwrap();
    eventually("the second writer", || total(&mut telemetry) == Some(3.0));
    assert_eq!(telemetry.losses(), 0);
    fs::remove_file(&path).unwrap();
    fs::write(&path, "VDD_IN 4/1\n").unwrap();
    eventually("a file in its place", || total(&mut telemetry) == Some(4.0));
}

#[test]
fn sampling_and_hearing_allocate_nothing_once_warm() {
    let script = Script::new(
        "while :; do echo 'RAM 1/9MB CPU [1%@5,off] VDD_IN 1/1 VDD_GPU 5/5 GPU@40C CV0@-256C PMIC@50C'; sleep 0.01; done",
    );
    let mut telemetry = script.open(patient()).unwrap();
    let mut sample = Sample::default();
    let count = allocations(|| {
        for second in 0..1000 {
            telemetry.sample(Duration::from_secs(second), &mut sample);
        }
    });
    assert_eq!((count, sample.rails[0]), (0, Some(Milliwatts(1.0))));
    let mut board = Board::default();
    let line = b"RAM 1/9MB VDD_IN 1/1 NC 0/0 VDD_IN 2/2 GPU@40C x ?? CPU [1%@5]";
    board.take(line);
    board.fix();
    assert_eq!(allocations(|| (0..1000).for_each(|_| assert!(board.take(line)))), 0);
    assert!(allocations(|| drop(board.inventory().clone())) > 0, "the allocator counts");
}

/// Not a check but a measurement:
/// `cargo test --release --test telemetry tegrastats:: -- --ignored --nocapture costs`.
#[test]
#[ignore = "prints what hearing a line and taking a sample cost"]
fn costs() {
    let rails = "VDD_SYS_GPU 152/152 VDD_SYS_SOC 837/609 VDD_4V0_WIFI 0/0 VDD_IN 4954/2607 VDD_SYS_CPU 1523/480 VDD_SYS_DDR 1305/515";
    let zones =
        "PLL@39.5C MCPU@39.5C PMIC@50C Tboard@35C GPU@38C BCPU@39.5C thermal@39.1C Tdiode@37C";
    let line = format!(
        "RAM 831/7850MB CPU [9%@2034,0%@2035,0%@2034,53%@2035] EMC_FREQ 1%@1866 GR3D_FREQ 13%@114 {zones} {rails}"
    );
    let script = Script::new(&format!("while :; do echo '{line}'; sleep 0.005; done"));
    let mut telemetry = script.open(patient()).unwrap();
    taken(&mut telemetry); // accounts for the first lines
    let (mut cost, mut samples) = (Duration::ZERO, 0);
    eventually("500 samples", || {
        cost += taken(&mut telemetry).cost;
        samples += 1;
        samples == 500
    });
    println!("a sample and the line heard for it: {:?} of processor time", cost / samples);
}
