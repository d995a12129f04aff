//! Sensors that hang: FIFOs, which hang whoever opens them as a driver does, and a source that
//! waits for a word.

use super::*;
use crate::telemetry::sysfs::Sysfs;
use crate::telemetry::{Sources, Zone, open};
use crate::units::Celsius;
use std::fs;
use std::process::Command;

const SOON: Duration = Duration::from_secs(60);

fn put(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn zones(root: &Path) {
    for (zone, called, temp) in
        [(0, "CPU-therm", "45000"), (1, "GPU-therm", "50000"), (2, "AUX-therm", "40000")]
    {
        put(root, &format!("sys/class/thermal/thermal_zone{zone}/type"), called);
        put(root, &format!("sys/class/thermal/thermal_zone{zone}/temp"), temp);
    }
}

/// From now on whoever opens the file hangs, until somebody writes to it.
fn hang(path: &Path) {
    let _ = fs::remove_file(path);
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

fn patient(root: &Path) -> Patient {
    Patient::of_files("sysfs", root, |root| Box::new(Sysfs::open(root)))
}

/// Temperatures, once they are as `expected`.
fn until(patient: &mut Patient, expected: &[Option<f32>]) {
    let begun = Instant::now();
    let mut sample = Sample::default();
    loop {
        patient.sample(begun.elapsed(), &mut sample);
        let read: Vec<_> =
            sample.temperatures.iter().map(|zone| zone.map(|Celsius(degrees)| degrees)).collect();
        if read == expected {
            return;
        }
        assert!(begun.elapsed() < SOON, "{read:?}, {:?}", patient.doubts());
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_sensor_that_hangs_is_given_up_by_name_the_others_go_on_and_it_comes_back_when_it_answers() {
    let root = tempfile::tempdir().unwrap();
    zones(root.path());
    let mut patient = patient(root.path());
    until(&mut patient, &[Some(45.0), Some(50.0), Some(40.0)]);
    assert!(patient.doubts().is_empty());
    let temp = root.path().join("sys/class/thermal/thermal_zone1/temp");
    hang(&temp);
    until(&mut patient, &[Some(45.0), None, Some(40.0)]);
    let doubts = patient.doubts();
    assert_eq!(doubts[0].sensor, temp.display().to_string(), "{doubts:?}");
    assert!(doubts[0].why.starts_with("has not answered for more than 2 s"), "{doubts:?}");
    assert_eq!(patient.inventory().zones.len(), 3, "the order of the zones stays");
    // It answers: whoever hangs there comes back, and the file is one again.
    let writer = fs::OpenOptions::new().write(true).open(&temp).unwrap();
    fs::remove_file(&temp).unwrap();
    fs::write(&temp, "55000").unwrap();
    drop(writer);
    until(&mut patient, &[Some(45.0), Some(55.0), Some(40.0)]);
    assert!(
        patient.doubts().iter().all(|doubt| doubt.sensor != temp.display().to_string()),
        "{:?}",
        patient.doubts()
    );
}

#[test]
fn one_that_hangs_from_the_start_keeps_nobody_from_starting() {
    let root = tempfile::tempdir().unwrap();
    zones(root.path());
    hang(&root.path().join("sys/class/thermal/thermal_zone0/temp"));
    let mut patient = patient(root.path());
    until(&mut patient, &[None, Some(50.0), Some(40.0)]);
    let names: Vec<_> =
        patient.inventory().zones.iter().map(|zone: &Zone| zone.name.as_str()).collect();
    assert_eq!(names, ["CPU-therm", "GPU-therm", "AUX-therm"], "it is known by name all the same");
    // The same by the way that the daemon and the doctor take.
    let mut merged = open(Sources::below(root.path()), Duration::ZERO);
    let mut sample = Sample::default();
    merged.sample(Duration::from_secs(1), &mut sample);
    assert_eq!(sample.temperatures.len(), 3);
    assert!(
        merged.doubts().iter().any(|doubt| doubt.sensor.ends_with("thermal_zone0/temp")),
        "{:?}",
        merged.doubts()
    );
}

#[test]
fn where_too_much_hangs_nothing_is_read_and_that_is_said() {
    let root = tempfile::tempdir().unwrap();
    zones(root.path());
    for zone in 3..=6 {
        put(root.path(), &format!("sys/class/thermal/thermal_zone{zone}/type"), "more-therm");
        hang(&root.path().join(format!("sys/class/thermal/thermal_zone{zone}/temp")));
    }
    let mut patient = patient(root.path());
    let mut sample = Sample::default();
    patient.sample(Duration::ZERO, &mut sample);
    assert!(sample.temperatures.iter().all(Option::is_none));
    let doubts = patient.doubts();
    assert!(
        doubts
            .iter()
            .any(|doubt| doubt.sensor == "sysfs" && doubt.why.contains("4 of its files hang")),
        "{doubts:?}"
    );
}

/// Answers when it is told to.
struct Library(Inventory, crossbeam_channel::Receiver<()>);

impl Telemetry for Library {
    fn inventory(&self) -> &Inventory {
        &self.0
    }

    fn sample(&mut self, at: Duration, sample: &mut Sample) {
        let _ = self.1.recv();
        *sample = Sample { at, gpu_load: Some(0.5), ..Sample::default() };
    }

    fn doubts(&self) -> Vec<Doubt> {
        Vec::new()
    }
}

#[test]
fn a_library_that_hangs_is_waited_for_without_readings_until_it_answers() {
    let (answer, wait) = bounded(1);
    let mut patient = Patient::of("NVML", Box::new(Library(Inventory::default(), wait)));
    let mut sample = Sample::default();
    answer.send(()).unwrap();
    patient.sample(Duration::ZERO, &mut sample);
    assert_eq!(sample.gpu_load, Some(0.5));
    patient.sample(Duration::from_secs(1), &mut sample);
    assert_eq!((sample.gpu_load, patient.doubts()[0].sensor.as_str()), (None, "NVML"));
    drop(answer);
    let begun = Instant::now();
    while sample.gpu_load.is_none() {
        patient.sample(Duration::from_secs(2), &mut sample);
        assert!(begun.elapsed() < SOON);
    }
    assert!(patient.doubts().is_empty());
}

#[test]
fn what_does_not_open_is_not_waited_for() {
    let (_answer, wait) = bounded::<()>(1);
    assert_eq!(within(Duration::from_millis(10), move || wait.recv().is_ok()), None);
    assert_eq!(within(SOON, || 7), Some(7));
}
