//! The sensors' page of the doctor: every sensor, its value, whether it is believed, which limit it
//! serves, what slows the board down, and what is missing. Pure: an inventory, a sample and doubts
//! in, text or JSON out.

use std::io::{Result, Write};

use serde_json::{Value, json};

use crate::telemetry::missing::{HEAT_LIMIT, POWER_LIMITS};
use crate::telemetry::{Doubt, Inventory, Sample, Trip, TripKind};

/// All that the page is made of.
pub(super) struct Page {
    pub(super) inventory: Inventory,
    pub(super) sample: Sample,
    pub(super) doubts: Vec<Doubt>,
}

/// A line of the page.
struct Row {
    kind: &'static str,
    sensor: String,
    /// With its unit; `None` is unknown.
    value: Option<(f64, &'static str)>,
    /// For what is no number.
    word: Option<String>,
    /// Why it is left out.
    doubt: Option<String>,
    serves: String,
    origin: String,
}

/// What is said of a value that is neither a rail nor a zone.
struct Other {
    value: Option<(f64, &'static str)>,
    word: Option<String>,
    serves: &'static str,
}

impl Page {
    fn doubt(&self, sensor: &str) -> Option<String> {
        self.doubts.iter().find(|doubt| doubt.sensor == sensor).map(|doubt| doubt.why.clone())
    }

    fn rows(&self) -> Vec<Row> {
        let (all, sample) = (&self.inventory, &self.sample);
        let rails = all.rails.iter().enumerate().map(|(index, rail)| Row {
            kind: "rail",
            sensor: rail.name.clone(),
            value: sample
                .rails
                .get(index)
                .copied()
                .flatten()
                .map(|power| (f64::from(power.0), "mW")),
            word: None,
            doubt: self.doubt(&rail.name),
            serves: if all.total == Some(index) {
                format!("{POWER_LIMITS}: stands for the board")
            } else {
                "power-mw, if it names this rail".into()
            },
            origin: if rail.sum { format!("sum of {}", rail.origin) } else { rail.origin.clone() },
        });
        let zones = all.zones.iter().enumerate().map(|(index, zone)| Row {
            kind: "zone",
            sensor: zone.name.clone(),
            value: sample
                .temperatures
                .get(index)
                .copied()
                .flatten()
                .map(|heat| (f64::from(heat.0), "°C")),
            word: None,
            doubt: self.doubt(&zone.name),
            serves: match (zone.governs, zone.throttle_at) {
                (true, Some(at)) => format!("{HEAT_LIMIT}: the board slows down at {at}"),
                (true, None) => {
                    format!("{HEAT_LIMIT}, if it is set: no trip says where the board slows down")
                }
                (false, _) => "nothing: does not cool down when Squint does less".into(),
            },
            origin: zone.origin.clone(),
        });
        let others = all.others.iter().map(|(key, origin)| {
            let other = self.other(key);
            Row {
                kind: "other",
                sensor: key.clone(),
                value: other.value,
                word: other.word,
                doubt: self.doubt(key),
                serves: other.serves.into(),
                origin: origin.clone(),
            }
        });
        rails.chain(zones).chain(others).collect()
    }

    /// What is said of one of [`Inventory::others`].
    fn other(&self, key: &str) -> Other {
        let sample = &self.sample;
        let number = |value: Option<f32>, unit, serves| Other {
            value: value.map(|value| (f64::from(value), unit)),
            word: None,
            serves,
        };
        let percent =
            |share: Option<f32>, serves| number(share.map(|share| share * 100.0), "%", serves);
        let word = |word, serves| Other { value: None, word, serves };
        match key {
            "gpu-clock" => number(sample.gpu_clock.map(|clock| clock.0), "MHz", "costs by clock"),
            "gpu-clock-cap" => {
                number(sample.gpu_clock_cap.map(|clock| clock.0), "MHz", "costs by clock")
            }
            "gpu-load" => percent(sample.gpu_load, "others' load"),
            "cpu-clock" => number(sample.cpu_clock.map(|clock| clock.0), "MHz", "costs by clock"),
            "cpu-load" => percent(sample.cpu_load, "others' load"),
            "cpu-pressure" => percent(sample.cpu_pressure, "shown only"),
            "memory-available" => number(sample.memory_available_mib, "MiB", "shown only"),
            "throttling" => word(
                sample.throttling.map(|on| if on { "yes" } else { "no" }.to_owned()),
                "stepping down at once",
            ),
            "over-current" => word(
                sample.over_current.map(|events| format!("{events} new")),
                "stepping down at once",
            ),
            "power-mode" => {
                word(sample.power_mode.map(|mode| self.mode(mode)), "modes by nvpmodel")
            }
            _ => word(None, "shown only"),
        }
    }

    fn mode(&self, number: u32) -> String {
        let name = self.inventory.power_modes.iter().find(|(known, _)| *known == number);
        name.map_or_else(|| number.to_string(), |(_, name)| format!("{number} {name}"))
    }

    /// As an object.
    pub(super) fn json(&self) -> Value {
        let rows: Vec<Value> = self
            .rows()
            .into_iter()
            .map(|row| {
                let (value, unit) = row.value.map_or((None, None), |(value, unit)| (Some(rounded(value)), Some(unit)));
                json!({
                    "sensor": row.sensor, "kind": row.kind, "value": value, "unit": unit, "says": row.word,
                    "trusted": row.doubt.is_none(), "doubt": row.doubt, "serves": row.serves, "origin": row.origin,
                })
            })
            .collect();
        let trips: Vec<Value> = self
            .inventory
            .zones
            .iter()
            .flat_map(|zone| {
                let throttle_at = zone.throttle_at;
                zone.trips.iter().map(move |trip| {
                    let slows = trip.kind == TripKind::Passive && throttle_at == Some(trip.at);
                    json!({"zone": zone.name, "kind": trip.kind, "at_c": trip.at, "drives": trip.binds, "slows_down": slows})
                })
            })
            .collect();
        json!({
            "board": self.inventory.board, "release": self.inventory.release, "power_mode": self.sample.power_mode,
            "power_modes": self.inventory.power_modes, "readings": rows, "trips": trips, "missing": self.inventory.missing,
        })
    }

    /// As lines.
    pub(super) fn text(&self, out: &mut impl Write) -> Result<()> {
        let board = self.inventory.board.as_deref().unwrap_or("a board without a name");
        let release = self
            .inventory
            .release
            .as_deref()
            .map(|release| format!(", L4T {release}"))
            .unwrap_or_default();
        writeln!(out, "sensors of {board}{release}")?;
        let rows = self.rows();
        let names = rows
            .iter()
            .map(|row| row.sensor.as_str())
            .chain(self.inventory.missing.iter().map(|missing| missing.what.as_str()));
        let widest = names.map(|name| name.chars().count()).max().unwrap_or(0).clamp(14, 28);
        for row in &rows {
            let mark = match (&row.doubt, row.known()) {
                (Some(_), _) => "DOUBT",
                (None, true) => "ok",
                (None, false) => "unknown",
            };
            let value = row
                .word
                .clone()
                .or_else(|| row.value.map(|(value, unit)| figure(value, unit)))
                .unwrap_or_else(|| "-".into());
            let about = row
                .doubt
                .as_ref()
                .map_or_else(|| row.serves.clone(), |why| format!("left out: {why}"));
            writeln!(
                out,
                "{mark:<8} {:<widest$} {value:>11}  {about}  [{}]",
                row.sensor, row.origin
            )?;
        }
        for zone in self.inventory.zones.iter().filter(|zone| !zone.trips.is_empty()) {
            let trips: Vec<String> = zone.trips.iter().map(trip).collect();
            writeln!(out, "{:<8} {:<widest$} {}", "trips", zone.name, trips.join("; "))?;
        }
        if !self.inventory.power_modes.is_empty() {
            let modes: Vec<String> = self
                .inventory
                .power_modes
                .iter()
                .map(|(number, name)| format!("{number} {name}"))
                .collect();
            writeln!(out, "{:<8} {:<widest$} {}", "modes", "nvpmodel", modes.join(", "))?;
        }
        for missing in &self.inventory.missing {
            writeln!(
                out,
                "{:<8} {:<widest$} {}; disables: {}",
                "none", missing.what, missing.why, missing.disables
            )?;
        }
        Ok(())
    }
}

impl Row {
    fn known(&self) -> bool {
        self.value.is_some() || self.word.is_some()
    }
}

fn trip(trip: &Trip) -> String {
    let kind = match trip.kind {
        TripKind::Active => "active",
        TripKind::Passive => "passive",
        TripKind::Hot => "hot",
        TripKind::Critical => "critical",
    };
    match trip.binds.as_slice() {
        [] => format!("{kind} {}", trip.at),
        devices => format!("{kind} {} drives {}", trip.at, devices.join(", ")),
    }
}

/// Whole milliwatts and MiB, tenths of the rest.
fn figure(value: f64, unit: &str) -> String {
    let decimals = usize::from(!matches!(unit, "mW" | "MiB"));
    format!("{value:.decimals$} {unit}")
}

fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}
