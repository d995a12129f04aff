//! Thermal zones with their trip points and what those drive, and temperatures of hwmon devices. An
//! edge module.
//!
//! A `passive` trip slows the board down only if one of its cooling devices is a clock or a
//! throttle: on the TX2 NX the passive trip at 45 °C drives the fan. Without such a trip the board
//! is taken to slow down 5.5 °C below its critical trip, as the TX2 does (95.5 of 101 °C).

use std::path::Path;

use arrayvec::ArrayVec;

use super::node::{Node, entries, name, number, numbered, text};
use crate::telemetry::missing::{HEAT_LIMIT, ZONES, missing, too_many};
use crate::telemetry::{MAX_ZONES, Missing, Trip, TripKind, Zone, names};
use crate::units::Celsius;

/// From the critical trip down to where a board slows itself down, where nothing else is known: TX2
/// thermal design guide, 101 less 95.5 °C.
const BELOW_CRITICAL: f32 = 5.5;
/// Trips outside of these are placeholders: 0, -274 and 200 °C are all in use for "none".
const BELIEVABLE_TRIPS: std::ops::RangeInclusive<f32> = 20.0..=130.0;
/// Most trips of a zone, and most devices that they drive, that are looked at.
const MAX_TRIPS: usize = 16;
/// Zones of a Tegra186 that carry the limits of its thermal design guide.
const TEGRA186_DIES: [&str; 6] = ["BCPU", "MCPU", "GPU", "PLL", "AO", "CPU"];

/// All temperatures of a board.
pub(super) struct Heat {
    nodes: Vec<Node>,
}

impl Heat {
    /// Zones and hwmon temperatures under `root`; `tegra186` if the board is a TX2.
    pub(super) fn open(root: &Path, tegra186: bool) -> (Self, Vec<Zone>, Vec<Missing>) {
        let sys = root.join("sys");
        let mut zones = Vec::new();
        for place in ["class/thermal", "devices/virtual/thermal"] {
            if zones.is_empty() {
                zones.extend(
                    entries(&sys.join(place), "thermal_zone")
                        .iter()
                        .filter_map(|folder| thermal_zone(folder)),
                );
            }
        }
        if tegra186 && zones.iter().all(|(zone, _)| zone.trips.is_empty()) {
            zones.iter_mut().for_each(|(zone, _)| assume_tegra186(zone));
        }
        for chip in entries(&sys.join("class/hwmon"), "hwmon") {
            let called = text(&chip.join("name")).unwrap_or_else(|| name(&chip).to_owned());
            // A zone shows itself as a hwmon device too, with `_` for `-`.
            if !zones.iter().any(|(zone, _)| zone.name.replace('-', "_") == called) {
                zones.extend(chip_temperatures(&chip, &called));
            }
        }
        let mut lacking: Vec<Missing> =
            zones.iter().skip(MAX_ZONES).map(|(zone, _)| too_many(&zone.name, MAX_ZONES)).collect();
        zones.truncate(MAX_ZONES);
        if !zones.iter().any(|(zone, _)| zone.governs) {
            lacking.push(missing(
                ZONES,
                "no thermal zone and no hwmon temperature of a processor in sysfs",
                HEAT_LIMIT,
            ));
        }
        let (zones, nodes) = zones.into_iter().unzip();
        (Self { nodes }, zones, lacking)
    }

    /// Reads all of them as they are; what they say may be wrong.
    pub(super) fn read(&mut self, into: &mut ArrayVec<Option<Celsius>, MAX_ZONES>) {
        into.clear();
        into.extend(
            self.nodes
                .iter_mut()
                .map(|node| node.integer().map(|milli| Celsius(milli as f32 / 1000.0))),
        );
    }
}

fn thermal_zone(folder: &Path) -> Option<(Zone, Node)> {
    let called = text(&folder.join("type"))?;
    let node = Node::open_silent(folder.join("temp"))?;
    let mut drives: Vec<(i64, String)> = Vec::new();
    for number_of in 0..MAX_TRIPS {
        let device = folder.join(format!("cdev{number_of}"));
        if let (Some(kind), Some(trip)) = (
            text(&device.join("type")),
            number(&folder.join(format!("cdev{number_of}_trip_point"))),
        ) {
            drives.push((trip, kind));
        }
    }
    let mut trips: Vec<Trip> = (0..MAX_TRIPS as i64)
        .filter_map(|trip| {
            let kind = match text(&folder.join(format!("trip_point_{trip}_type")))?.as_str() {
                "active" => TripKind::Active,
                "passive" => TripKind::Passive,
                "hot" => TripKind::Hot,
                "critical" => TripKind::Critical,
                _ => return None,
            };
            let at = number(&folder.join(format!("trip_point_{trip}_temp")))? as f32 / 1000.0;
            let mut binds: Vec<String> = drives
                .iter()
                .filter(|(of, _)| *of == trip)
                .map(|(_, device)| device.clone())
                .collect();
            binds.sort();
            binds.dedup();
            BELIEVABLE_TRIPS.contains(&at).then_some(Trip { kind, at: Celsius(at), binds })
        })
        .collect();
    trips.sort_by(|a, b| a.at.0.total_cmp(&b.at.0));
    let governs = names::zone_governs(&called);
    Some((
        Zone {
            throttle_at: throttle_at(&trips),
            governs,
            name: called,
            origin: node.path().display().to_string(),
            trips,
        },
        node,
    ))
}

/// Temperatures of a hwmon device. Of the cores of a processor only the package is read where it
/// has one.
fn chip_temperatures(chip: &Path, called: &str) -> Vec<(Zone, Node)> {
    let label = |path: &Path| {
        numbered(path, "temp", "_input").and_then(|of| text(&chip.join(format!("temp{of}_label"))))
    };
    let inputs: Vec<_> = entries(chip, "temp")
        .into_iter()
        .filter(|path| numbered(path, "temp", "_input").is_some())
        .collect();
    let whole =
        inputs.iter().any(|path| label(path).is_some_and(|label| label.starts_with("Package")));
    let mut found = Vec::new();
    for input in inputs {
        let label = label(&input);
        if whole && label.as_ref().is_some_and(|label| label.starts_with("Core")) {
            continue;
        }
        let limit = numbered(&input, "temp", "_input")
            .and_then(|of| number(&chip.join(format!("temp{of}_crit"))));
        let critical =
            limit.map(|milli| milli as f32 / 1000.0).filter(|at| BELIEVABLE_TRIPS.contains(at));
        let trips: Vec<Trip> = critical
            .map(|at| Trip { kind: TripKind::Critical, at: Celsius(at), binds: Vec::new() })
            .into_iter()
            .collect();
        let Some(node) = Node::open_silent(input) else { continue };
        let zone = Zone {
            name: label.map_or_else(|| called.to_owned(), |label| format!("{called} {label}")),
            origin: node.path().display().to_string(),
            throttle_at: throttle_at(&trips),
            governs: ["coretemp", "k10temp", "zenpower", "cpu_thermal"].contains(&called),
            trips,
        };
        found.push((zone, node));
    }
    found
}

/// True for cooling devices that slow a processor or the board down.
pub(super) fn throttles(device: &str) -> bool {
    let device = device.to_ascii_lowercase();
    ["cpufreq", "devfreq", "throttle", "balanced", "powerclamp", "tcc offset"]
        .iter()
        .any(|part| device.contains(part))
        || device == "processor"
}

fn throttle_at(trips: &[Trip]) -> Option<Celsius> {
    let slows = |trip: &&Trip| {
        trip.kind == TripKind::Passive && trip.binds.iter().any(|device| throttles(device))
    };
    let critical = trips.iter().find(|trip| trip.kind == TripKind::Critical).map(|trip| trip.at.0);
    // A throttle above the critical trip comes too late to be one.
    let passive = trips
        .iter()
        .find(slows)
        .map(|trip| trip.at.0)
        .filter(|at| critical.is_none_or(|critical| *at < critical));
    passive.or(critical.map(|critical| critical - BELOW_CRITICAL)).map(Celsius)
}

/// Gives a zone of a TX2 whose device tree has no trips those of its thermal design guide, and says
/// so.
fn assume_tegra186(zone: &mut Zone) {
    let die = zone.name.split('-').next().unwrap_or_default();
    if TEGRA186_DIES.contains(&die) {
        let trip = |kind, at| Trip { kind, at: Celsius(at), binds: Vec::new() };
        zone.trips = vec![trip(TripKind::Passive, 95.5), trip(TripKind::Critical, 101.0)];
        zone.throttle_at = Some(Celsius(95.5));
        zone.origin.push_str(" (trips of the TX2 thermal design guide, as the board names none)");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trip(kind: TripKind, at: f32, binds: &[&str]) -> Trip {
        Trip { kind, at: Celsius(at), binds: binds.iter().map(|&device| device.into()).collect() }
    }

    #[test]
    fn a_passive_trip_that_drives_the_fan_is_no_throttle() {
        let critical = trip(TripKind::Critical, 96.5, &[]);
        let fan = trip(TripKind::Passive, 45.0, &["pwm-fan"]);
        assert_eq!(throttle_at(&[fan.clone(), critical.clone()]), Some(Celsius(91.0)));
        let clock = trip(TripKind::Passive, 90.0, &["pwm-fan", "thermal-cpufreq-0"]);
        assert_eq!(throttle_at(&[fan.clone(), clock.clone(), critical]), Some(Celsius(90.0)));
        let low = trip(TripKind::Critical, 89.0, &[]);
        assert_eq!(
            throttle_at(&[clock, low]),
            Some(Celsius(83.5)),
            "the board is gone before the clocks fall"
        );
        assert_eq!(throttle_at(&[fan]), None);
    }

    #[test]
    fn clocks_and_throttles_are_told_from_fans() {
        for device in [
            "thermal-devfreq-0",
            "cpu-throttle-alert",
            "gpu-balanced",
            "Processor",
            "devfreq-17000000.gpu",
        ] {
            assert!(throttles(device), "{device}");
        }
        for device in ["pwm-fan", "Fan", "tegra-soc-hot", "iwlwifi_1"] {
            assert!(!throttles(device), "{device}");
        }
    }

    #[test]
    fn a_tx2_without_trips_gets_those_of_its_guide() {
        let bare = |name: &str| Zone {
            name: name.into(),
            origin: "x".into(),
            trips: vec![],
            throttle_at: None,
            governs: true,
        };
        let (mut die, mut board) = (bare("GPU-therm"), bare("Tboard_tegra"));
        assume_tegra186(&mut die);
        assume_tegra186(&mut board);
        assert_eq!((die.throttle_at, board.throttle_at), (Some(Celsius(95.5)), None));
        assert!(die.origin.contains("guide") && !board.origin.contains("guide"));
    }
}
