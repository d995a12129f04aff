//! The sections `[budget]` and `[telemetry]`: as typed, and resolved.
//!
//! Pure. What the limits are made into on a board is [`crate::budget`]'s; here is only what the
//! user wrote.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::problem::shown;
use super::read::Reading;
use crate::budget::{Limits, MAX_ENTRIES, Mode, PowerCap, PowerMode, Span};
use crate::units::{Celsius, Millijoules, Milliwatts};

/// Frames a second and camera that are looked at whatever it costs, unless the user says otherwise.
const MIN_FPS: f32 = 1.0;

/// What looking may cost, resolved.
#[derive(Clone, Debug, PartialEq)]
pub struct Budget {
    /// What the user allows, before a mode makes something of it.
    pub limits: Limits,
    /// The mode, if nothing else says which.
    pub mode: Mode,
    /// Modes by the time of day.
    pub times: Vec<(Span, Mode)>,
    /// Modes by the board's power mode.
    pub power_modes: Vec<(PowerMode, Mode)>,
    /// Where what was learned is kept.
    pub state_file: Option<PathBuf>,
}

/// Where readings of the board come from, resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Telemetry {
    /// Whether NVIDIA's management library is asked.
    pub nvml: bool,
    /// A command that prints lines of tegrastats, or a file that they are written to.
    pub tegrastats: Option<Tegrastats>,
    /// Recorded samples in place of the board.
    pub recorded: Option<PathBuf>,
}

/// Where lines of tegrastats come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tegrastats {
    /// A file or FIFO.
    File(PathBuf),
    /// A program and its arguments.
    Command(Vec<String>),
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct RawBudget {
    mode: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    schedule: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    power_modes: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature_c: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    power_mw: Option<u32>,
    power_window_s: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    power_rail: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    energy_mj_per_frame: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    energy_wh_per_day: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    latency_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    min_fps: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state_file: Option<PathBuf>,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct RawTelemetry {
    nvml: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    tegrastats: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    recorded: Option<PathBuf>,
}

impl RawBudget {
    /// What cannot be resolved is noted in `reading`.
    pub(super) fn resolve(self, reading: &mut Reading) -> Budget {
        let window = Duration::from_secs(self.power_window_s);
        if self.power_rail.is_some() && self.power_mw.is_none() {
            let hint = Some("add `power-mw`, or leave it out".into());
            reading.problem("budget.power-rail", None, "does nothing without a cap", hint);
        }
        let cap = self.power_mw.map(|cap| PowerCap {
            rail: self.power_rail.as_deref().map(Arc::from),
            cap: Milliwatts(cap as f32),
            window,
        });
        let times = self.schedule.as_deref().unwrap_or_default();
        let times = entries(
            "budget.schedule",
            times,
            "22:00-06:00 saver",
            |word| word.parse::<Span>().ok(),
            reading,
        );
        let by_power = self.power_modes.as_deref().unwrap_or_default();
        let power_modes = entries(
            "budget.power-modes",
            by_power,
            "MAXQ saver",
            |word| Some(PowerMode::from(word)),
            reading,
        );
        Budget {
            limits: Limits {
                latency: self.latency_ms.map(Duration::from_millis),
                power: cap,
                ceiling: self.temperature_c.map(Celsius),
                energy_per_frame: self.energy_mj_per_frame.map(Millijoules),
                energy_per_day_wh: self.energy_wh_per_day,
                min_fps: self.min_fps.unwrap_or(MIN_FPS),
            },
            mode: self.mode.parse().unwrap_or_default(),
            times,
            power_modes,
            state_file: self.state_file,
        }
    }

    pub(super) fn from_config(budget: &Budget) -> Self {
        let Budget { limits, mode, times, power_modes, state_file } = budget;
        let listed = |entries: Vec<String>| (!entries.is_empty()).then(|| entries.join(", "));
        let power = limits.power.as_ref();
        Self {
            mode: mode.name().into(),
            schedule: listed(times.iter().map(|(span, mode)| format!("{span} {mode}")).collect()),
            power_modes: listed(
                power_modes.iter().map(|(key, mode)| format!("{key} {mode}")).collect(),
            ),
            temperature_c: limits.ceiling.map(|ceiling| ceiling.0),
            power_mw: power.map(|power| power.cap.0 as u32),
            power_window_s: power.map_or(60, |power| power.window.as_secs()),
            power_rail: power.and_then(|power| power.rail.as_deref().map(str::to_owned)),
            energy_mj_per_frame: limits.energy_per_frame.map(|energy| energy.0),
            energy_wh_per_day: limits.energy_per_day_wh,
            latency_ms: limits
                .latency
                .map(|latency| u64::try_from(latency.as_millis()).unwrap_or(u64::MAX)),
            min_fps: Some(limits.min_fps),
            state_file: state_file.clone(),
        }
    }
}

/// `KEY MODE, KEY MODE`; what is none of that is a problem of `place`.
fn entries<K>(
    place: &str,
    text: &str,
    example: &str,
    key: impl Fn(&str) -> Option<K>,
    reading: &mut Reading,
) -> Vec<(K, Mode)> {
    let mut found = Vec::new();
    for entry in text.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
        let pair = entry
            .split_once(char::is_whitespace)
            .and_then(|(word, mode)| Some((key(word)?, mode.trim().parse().ok()?)));
        match pair {
            Some(pair) => found.push(pair),
            None => {
                let what = format!(
                    "must be entries like `{example}`, separated by commas; modes are saver, balanced, performance and unlimited"
                );
                reading.problem(place, Some(format!("\"{}\"", shown(entry))), &what, None);
            }
        }
    }
    if found.len() > MAX_ENTRIES {
        reading.problem(
            place,
            None,
            &format!("has {} entries; at most {MAX_ENTRIES} are taken", found.len()),
            None,
        );
    }
    found
}

impl RawTelemetry {
    pub(super) fn resolve(self, reading: &mut Reading) -> Telemetry {
        let tegrastats = self.tegrastats.map(|typed| match typed.trim() {
            path if path.starts_with('/')
                && !path.contains(char::is_whitespace)
                && !is_program(Path::new(path)) =>
            {
                Tegrastats::File(path.into())
            }
            command => Tegrastats::Command(command.split_whitespace().map(str::to_owned).collect()),
        });
        if self.recorded.is_some() && tegrastats.is_some() {
            let hint = Some("leave one of the two out".into());
            reading.problem(
                "telemetry.tegrastats",
                None,
                "does not fit `recorded`, which stands for the whole board",
                hint,
            );
        }
        Telemetry { nvml: self.nvml, tegrastats, recorded: self.recorded }
    }

    pub(super) fn from_config(telemetry: &Telemetry) -> Self {
        let tegrastats = telemetry.tegrastats.as_ref().map(|from| match from {
            Tegrastats::File(path) => path.display().to_string(),
            Tegrastats::Command(words) => words.join(" "),
        });
        Self { nvml: telemetry.nvml, tegrastats, recorded: telemetry.recorded.clone() }
    }
}

/// True for a path that ends like a program: `/usr/bin/tegrastats` is run, `/run/tegrastats.log` is
/// read.
fn is_program(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name == "tegrastats")
}
