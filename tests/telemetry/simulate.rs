//! The simulated board from outside: the real telemetry reads its files and its lines, the real
//! governor drives it, the program prints it.

use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use serde_json::Value;
use squint::simulate::course::Course;
use squint::simulate::oracle::{Oracle, Trials};
use squint::simulate::plant::meter::{Fault, Meter, RAILS, Readings, ZONES};
use squint::simulate::plant::{Plant, Surroundings};
use squint::simulate::run::{run, run_with};
use squint::simulate::scenario::Scenario;
use squint::simulate::squint::Squint;
use squint::simulate::tree::Tree;
use squint::simulate::{engines, tegrastats};
use squint::telemetry::sysfs::Sysfs;
use squint::telemetry::tegrastats::Board;
use squint::telemetry::{Sample, Telemetry};

const SMALL: &str = "name = \"small\"\ndescription = \"a few minutes under a cap\"\nduration-s = 300\nfps = 10\nambient-c = 30\n\
                     scene-s = 1\nmotion = 0.12\n[limits]\nlatency-ms = 300\npower-mw = 4500\npower-window-s = 60\n";

fn busy_board() -> (Plant, Meter) {
    let scenario = Scenario::parse(SMALL, "small.toml").unwrap();
    let mut plant = Plant::new(4, Surroundings { ambient_c: 41.0, ..scenario.begin });
    for _ in 0..40 {
        plant.look(&engines::pool()[3]);
    }
    (plant, Meter::new(4))
}

/// What the readings say without any file between.
fn straight(readings: &Readings) -> Sample {
    let mut sample = Sample::default();
    readings.sample(Duration::from_secs(1), &mut sample);
    sample
}

#[test]
fn the_telemetry_of_sysfs_reads_the_simulated_board_under_its_own_names() {
    let (mut plant, mut meter) = busy_board();
    let root = tempfile::tempdir().unwrap();
    let readings = meter.read(&mut plant);
    let tree = Tree::create(root.path(), &readings).unwrap();
    let mut telemetry = Sysfs::open(root.path());
    let inventory = telemetry.inventory().clone();
    assert_eq!(inventory.release.as_deref(), Some("R32.7.1"));
    assert_eq!(inventory.rails[inventory.total.unwrap()].name, "VDD_IN");

    plant.idle_until(plant.now() + 1.0);
    let readings = meter.read(&mut plant);
    tree.update(&readings).unwrap();
    let (expected, mut sample) = (straight(&readings), Sample::default());
    telemetry.sample(Duration::from_secs(1), &mut sample);
    for (place, rail) in inventory.rails.iter().enumerate() {
        let own = RAILS.iter().position(|name| *name == rail.name).unwrap();
        assert!(
            (sample.rails[place].unwrap().0 - expected.rails[own].unwrap().0).abs() < 1.0,
            "{}",
            rail.name
        );
    }
    for (place, zone) in inventory.zones.iter().enumerate().filter(|(_, zone)| zone.governs) {
        let own = ZONES.iter().position(|name| *name == zone.name).unwrap();
        assert_eq!(sample.temperatures[place], expected.temperatures[own], "{}", zone.name);
    }
    assert!((sample.gpu_clock.unwrap().0 - expected.gpu_clock.unwrap().0).abs() < 0.01);
    assert!((sample.gpu_load.unwrap() - expected.gpu_load.unwrap()).abs() < 0.001);
    assert_eq!((sample.throttling, sample.power_mode), (Some(false), Some(0)));
}

#[test]
fn a_sensor_that_dies_on_the_simulated_board_is_unknown_to_telemetry() {
    let (mut plant, mut meter) = busy_board();
    let root = tempfile::tempdir().unwrap();
    let tree = Tree::create(root.path(), &meter.read(&mut plant)).unwrap();
    let mut telemetry = Sysfs::open(root.path());
    meter.fail(Meter::place("GPU-therm").unwrap(), Fault::Off);
    meter.fail(Meter::place("VDD_IN").unwrap(), Fault::Gone);
    tree.update(&meter.read(&mut plant)).unwrap();
    let (inventory, mut sample) = (telemetry.inventory().clone(), Sample::default());
    telemetry.sample(Duration::from_secs(1), &mut sample);
    let zone = inventory.zones.iter().position(|zone| zone.name == "GPU-therm").unwrap();
    assert_eq!((sample.temperatures[zone], sample.rails[inventory.total.unwrap()]), (None, None));
    assert!(sample.temperatures.iter().flatten().count() >= 3);
}

#[test]
fn the_scanner_of_tegrastats_reads_the_simulated_boards_lines() {
    let (mut plant, mut meter) = busy_board();
    let mut board = Board::default();
    assert!(board.take(tegrastats::line(&meter.read(&mut plant)).as_bytes()));
    board.fix();
    plant.idle_until(plant.now() + 1.0);
    let readings = meter.read(&mut plant);
    assert!(board.take(tegrastats::line(&readings).as_bytes()));
    let (expected, latest, inventory) = (straight(&readings), board.latest(), board.inventory());
    let total = inventory.total.unwrap();
    assert_eq!(inventory.rails[total].name, "VDD_IN");
    assert_eq!((inventory.rails.len(), inventory.zones.len()), (RAILS.len(), ZONES.len()));
    assert!((latest.rails[total].unwrap().0 - expected.rails[3].unwrap().0).abs() < 1.0);
    let gpu = inventory.zones.iter().position(|zone| zone.name.starts_with("GPU")).unwrap();
    assert_eq!(latest.temperatures[gpu], expected.temperatures[2]);
    assert!((latest.gpu_load.unwrap() - expected.gpu_load.unwrap()).abs() < 0.006);
}

#[test]
fn the_governor_steers_through_files_as_it_does_without_them() {
    // Long enough that the first minutes, in which the costs are learned, weigh little.
    let scenario =
        Scenario::parse(&SMALL.replace("duration-s = 300", "duration-s = 1500"), "small.toml")
            .unwrap();
    let (policy, pool) = (engines::policy(), engines::pool());
    let direct = run(&scenario, 2, &policy, &pool, &mut Squint::new(&scenario, &pool));

    let root = tempfile::tempdir().unwrap();
    let mut plant = Plant::new(2, scenario.begin);
    let tree = Tree::create(root.path(), &Meter::new(2).read(&mut plant)).unwrap();
    let mut telemetry = Sysfs::open(root.path());
    let mut steer = Squint::on(telemetry.inventory(), &scenario, &pool);
    let through =
        run_with(&scenario, 2, &policy, &pool, &mut steer, &mut |readings, at, sample| {
            tree.update(readings).unwrap();
            telemetry.sample(at, sample);
        });
    let mean = |course: &Course| course.total.board_mj / course.total.seconds;
    assert!(
        (mean(&through) / mean(&direct) - 1.0).abs() < 0.02,
        "{} {}",
        mean(&through),
        mean(&direct)
    );
    assert!(mean(&through) < 4500.0 * 1.03);
    assert_eq!(through.frames, direct.frames);
}

#[test]
fn the_oracle_neither_throttles_nor_leaves_the_limits_where_they_can_be_held() {
    let (policy, pool, trials) = (engines::policy(), engines::pool(), Trials::default());
    for scenario in Scenario::shipped()
        .unwrap()
        .iter()
        .filter(|scenario| matches!(scenario.name.as_str(), "closed-box" | "parade"))
    {
        let course =
            run(scenario, 7, &policy, &pool, &mut Oracle::new(&policy, &pool, trials.clone()));
        let ceiling = squint::simulate::plant::meter::ceiling_c(&scenario.limits);
        let hottest = course.moments.iter().map(|moment| moment.hottest).fold(0.0, f64::max);
        assert!(
            hottest < ceiling + 1.0 && course.throttled_s == 0.0,
            "{}: {hottest} °C",
            scenario.name
        );
        if let Some(power) = &scenario.limits.power {
            let cap = f64::from(power.cap.0);
            assert!(
                course
                    .moments
                    .iter()
                    .filter_map(|moment| moment.window_mw)
                    .all(|mw| mw < cap * 1.05),
                "{}",
                scenario.name
            );
        }
    }
}

fn simulate(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_squint")).arg("simulate").args(args).output().unwrap()
}

fn small(folder: &Path) -> String {
    let file = folder.join("small.toml");
    std::fs::write(&file, SMALL).unwrap();
    file.to_str().unwrap().to_owned()
}

#[test]
fn json_has_every_figure_of_squint_the_oracle_and_each_rival() {
    let folder = tempfile::tempdir().unwrap();
    let file = small(folder.path());
    let svg = folder.path().join("plots");
    let output =
        simulate(&["--scenario", &file, "--seeds", "2", "--json", "--svg", svg.to_str().unwrap()]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    let summary = &told["scenarios"][0];
    assert_eq!((&summary["scenario"], &told["seeds"]), (&Value::from("small"), &Value::from(2)));
    let rivals = summary["rivals"].as_array().unwrap();
    assert_eq!(rivals.len(), 3);
    for score in [&summary["squint"], &summary["oracle"]].into_iter().chain(rivals) {
        for key in [
            "over_ceiling_c",
            "throttled_s",
            "power_over_cap_pct",
            "power_under_cap_pct",
            "deadline_hit_pct",
            "energy_vs_oracle_pct",
            "error_vs_oracle_pct",
            "changes_per_hour",
        ] {
            assert!(score.get(key).is_some(), "{key} of {score}");
        }
    }
    assert!(summary["squint"]["power_over_cap_pct"].is_f64());
    let drawing = std::fs::read_to_string(svg.join("small.svg")).unwrap();
    assert!(drawing.starts_with("<svg xmlns") && drawing.contains("temperature over time"));
}

#[test]
fn tables_are_the_same_each_time() {
    let folder = tempfile::tempdir().unwrap();
    let file = small(folder.path());
    let [first, second] = [0, 1].map(|_| simulate(&["--scenario", &file, "--seeds", "1"]));
    let text = String::from_utf8(first.stdout.clone()).unwrap();
    assert!(text.contains("temperature ladder") && text.contains("best fixed engine"), "{text}");
    assert_eq!(first.stdout, second.stdout);
}

#[test]
fn a_scenario_that_is_not_there_or_wrong_is_named_with_what_could_be() {
    let folder = tempfile::tempdir().unwrap();
    let absent = simulate(&["--scenario", "midday"]);
    let text = String::from_utf8_lossy(&absent.stderr).into_owned();
    assert!(
        !absent.status.success() && text.contains("midday") && text.contains("closed-box"),
        "{text}"
    );
    let file = folder.path().join("wrong.toml");
    std::fs::write(&file, SMALL.replace("fps = 10", "fps = 0")).unwrap();
    let wrong = simulate(&["--scenario", file.to_str().unwrap()]);
    let text = String::from_utf8_lossy(&wrong.stderr).into_owned();
    assert!(
        !wrong.status.success()
            && text.contains("wrong.toml")
            && text.contains("fps")
            && text.contains("0.5 to 60"),
        "{text}"
    );
}
