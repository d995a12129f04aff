//! What happens to the board and in front of the camera, and what the user allows. Parses text that
//! others have read. Pure.
//!
//! The format is in docs/background/simulate.md; those shipped are in `scenarios/` beside this file
//! and built in.

use std::time::Duration;

use serde::Deserialize;

use crate::budget::{Limits, PowerCap};
use crate::units::{Celsius, Milliwatts};

use super::plant::Surroundings;
use super::plant::clock::MODES;
use super::plant::heat::FAN_C_PER_W;
use super::plant::meter::{Fault, Meter, RAILS, ZONES};

/// Longest scenario file.
pub const MAX_BYTES: usize = 64 * 1024;
/// Most events of a scenario.
pub const MAX_EVENTS: usize = 64;

/// The scenarios that are built in, by name.
pub const SHIPPED: [(&str, &str); 8] = [
    ("closed-box", include_str!("scenarios/closed-box.toml")),
    ("fan-stops", include_str!("scenarios/fan-stops.toml")),
    ("shared-gpu", include_str!("scenarios/shared-gpu.toml")),
    ("seven-watts", include_str!("scenarios/seven-watts.toml")),
    ("over-current", include_str!("scenarios/over-current.toml")),
    ("dying-sensors", include_str!("scenarios/dying-sensors.toml")),
    ("night", include_str!("scenarios/night.toml")),
    ("parade", include_str!("scenarios/parade.toml")),
];

/// A scenario.
#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    /// Its name.
    pub name: String,
    /// A sentence for people.
    pub description: String,
    /// How long it lasts, s.
    pub duration_s: f64,
    /// Frames a second.
    pub fps: f64,
    /// What the user allows.
    pub limits: Limits,
    /// What it begins with.
    pub begin: Surroundings,
    /// What happens, in order of time.
    pub events: Vec<Event>,
}

/// Something happens.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Event {
    /// When, s.
    pub at_s: f64,
    /// How long it takes to become what it becomes, s.
    pub over_s: f64,
    /// What.
    pub what: What,
}

/// What can happen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum What {
    /// The air becomes this warm, °C.
    Ambient(f64),
    /// The heat sink becomes this bad, °C per W.
    Sink(f64),
    /// Another process takes this share of the GPU.
    Background(f64),
    /// Another power mode.
    Mode(usize),
    /// An over-current event, which halves the clock for so many seconds.
    OverCurrent(f64),
    /// The sensor at this place fails.
    Sensor(usize, Fault),
    /// A scene lasts so long on average, s.
    Dwell(f64),
    /// So much of the picture moves from frame to frame, share of full scale.
    Motion(f64),
}

/// Why a scenario cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScenarioError {
    /// Too long a file.
    #[error("{file}: {bytes} bytes; a scenario has at most {MAX_BYTES}")]
    Size {
        /// The file.
        file: String,
        /// Its length.
        bytes: usize,
    },
    /// Not TOML, or not these keys.
    #[error("{file}: {reason}")]
    Syntax {
        /// The file.
        file: String,
        /// What the parser says, with the line.
        reason: String,
    },
    /// A value that is not allowed.
    #[error("{file}: {key} = {value}: allowed is {allowed}")]
    Value {
        /// The file.
        file: String,
        /// The key.
        key: String,
        /// What is there.
        value: String,
        /// What could be.
        allowed: String,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct RawScenario {
    name: String,
    description: String,
    duration_s: f64,
    fps: f64,
    ambient_c: f64,
    sink_c_per_w: Option<f64>,
    power_mode: Option<f64>,
    background_gpu: Option<f64>,
    scene_s: f64,
    motion: f64,
    #[serde(default)]
    limits: RawLimits,
    #[serde(default)]
    events: Vec<RawEvent>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct RawLimits {
    latency_ms: Option<f64>,
    power_mw: Option<f64>,
    power_window_s: Option<f64>,
    temperature_c: Option<f64>,
    min_fps: Option<f64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct RawEvent {
    at_s: f64,
    over_s: Option<f64>,
    kind: String,
    to: Option<f64>,
    sensor: Option<String>,
    fault: Option<String>,
}

/// Ranges of the values that both the top of the file and its events have.
const AMBIENT: (f64, f64) = (-40.0, 95.0);
const SINK: (f64, f64) = (0.2, 20.0);
const SHARE: (f64, f64) = (0.0, 0.9);
const DWELL: (f64, f64) = (0.05, 86_400.0);
const MOTION: (f64, f64) = (0.0, 0.2);
const MODE: (f64, f64) = (0.0, (MODES.len() - 1) as f64);

impl Scenario {
    /// Parses `text`, which was read from `file`.
    pub fn parse(text: &str, file: &str) -> Result<Self, ScenarioError> {
        if text.len() > MAX_BYTES {
            return Err(ScenarioError::Size { file: file.into(), bytes: text.len() });
        }
        let raw: RawScenario = toml::from_str(text).map_err(|error| ScenarioError::Syntax {
            file: file.into(),
            reason: error.to_string(),
        })?;
        let check = Check { file };
        if raw.events.len() > MAX_EVENTS {
            return Err(check.refuse(
                "events",
                raw.events.len(),
                format!("at most {MAX_EVENTS} of them"),
            ));
        }
        let duration_s = check.within("duration-s", raw.duration_s, (60.0, 86_400.0))?;
        let begin = Surroundings {
            ambient_c: check.within("ambient-c", raw.ambient_c, AMBIENT)?,
            sink_c_per_w: check.within(
                "sink-c-per-w",
                raw.sink_c_per_w.unwrap_or(FAN_C_PER_W),
                SINK,
            )?,
            background: check.within("background-gpu", raw.background_gpu.unwrap_or(0.0), SHARE)?,
            mode: check.whole("power-mode", raw.power_mode.unwrap_or(0.0), MODE)?,
            dwell_s: check.within("scene-s", raw.scene_s, DWELL)?,
            motion: check.within("motion", raw.motion, MOTION)?,
        };
        let mut events = Vec::with_capacity(raw.events.len());
        for (place, event) in raw.events.iter().enumerate() {
            events.push(event.resolve(&check, &format!("events[{place}]"), duration_s)?);
        }
        events.sort_by(|a, b| a.at_s.total_cmp(&b.at_s));
        let name_is_fine = !raw.name.is_empty()
            && raw.name.len() <= 64
            && raw.name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
        if !name_is_fine {
            return Err(check.refuse(
                "name",
                format!("{:?}", raw.name),
                "1 to 64 letters, digits and hyphens".into(),
            ));
        }
        Ok(Self {
            name: raw.name,
            description: raw.description,
            duration_s,
            fps: check.within("fps", raw.fps, (0.5, 60.0))?,
            limits: raw.limits.resolve(&check)?,
            begin,
            events,
        })
    }

    /// The scenarios that are built in.
    pub fn shipped() -> Result<Vec<Self>, ScenarioError> {
        SHIPPED
            .iter()
            .map(|(name, text)| Self::parse(text, &format!("(built in) {name}.toml")))
            .collect()
    }

    /// The surroundings at `at_s`.
    pub fn surroundings(&self, at_s: f64) -> Surroundings {
        let mut around = self.begin;
        for event in self.events.iter().take_while(|event| event.at_s <= at_s) {
            let share = if event.over_s > 0.0 {
                ((at_s - event.at_s) / event.over_s).min(1.0)
            } else {
                1.0
            };
            let slide = |value: &mut f64, to: f64| *value += (to - *value) * share;
            match event.what {
                What::Ambient(to) => slide(&mut around.ambient_c, to),
                What::Sink(to) => slide(&mut around.sink_c_per_w, to),
                What::Background(to) => slide(&mut around.background, to),
                What::Dwell(to) => slide(&mut around.dwell_s, to),
                What::Motion(to) => slide(&mut around.motion, to),
                What::Mode(to) => around.mode = to,
                What::OverCurrent(_) | What::Sensor(..) => {}
            }
        }
        around
    }

    /// The scenario as it is at `at_s`, for `duration_s`: no events, cool air, the same limits.
    pub fn still(&self, at_s: f64, duration_s: f64) -> Self {
        let begin =
            Surroundings { ambient_c: 20.0, sink_c_per_w: FAN_C_PER_W, ..self.surroundings(at_s) };
        Self { begin, events: Vec::new(), duration_s, ..self.clone() }
    }

    /// True if nothing has changed for `calm_s` seconds at `at_s`.
    pub fn is_steady(&self, at_s: f64, calm_s: f64) -> bool {
        at_s >= calm_s
            && !self
                .events
                .iter()
                .any(|event| at_s >= event.at_s && at_s < event.at_s + event.over_s + calm_s)
    }
}

impl RawLimits {
    fn resolve(&self, check: &Check) -> Result<Limits, ScenarioError> {
        let window_s = check.within(
            "limits.power-window-s",
            self.power_window_s.unwrap_or(60.0),
            (1.0, 3600.0),
        )?;
        let power = match self.power_mw {
            Some(mw) => Some(PowerCap {
                rail: None,
                cap: Milliwatts(check.within("limits.power-mw", mw, (500.0, 100_000.0))? as f32),
                window: Duration::from_secs_f64(window_s),
            }),
            None => None,
        };
        let latency = self
            .latency_ms
            .map(|ms| check.within("limits.latency-ms", ms, (1.0, 60_000.0)))
            .transpose()?;
        let ceiling = self
            .temperature_c
            .map(|c| check.within("limits.temperature-c", c, (20.0, 110.0)))
            .transpose()?;
        Ok(Limits {
            latency: latency.map(|ms| Duration::from_secs_f64(ms / 1000.0)),
            power,
            ceiling: ceiling.map(|c| Celsius(c as f32)),
            min_fps: check.within("limits.min-fps", self.min_fps.unwrap_or(0.0), (0.0, 60.0))?
                as f32,
            ..Limits::default()
        })
    }
}

impl RawEvent {
    fn resolve(&self, check: &Check, key: &str, duration_s: f64) -> Result<Event, ScenarioError> {
        let at_s = check.within(&format!("{key}.at-s"), self.at_s, (0.0, duration_s))?;
        let over_s =
            check.within(&format!("{key}.over-s"), self.over_s.unwrap_or(0.0), (0.0, 86_400.0))?;
        let to = |range: (f64, f64)| match self.to {
            Some(value) => check.within(&format!("{key}.to"), value, range),
            None => Err(check.refuse(
                &format!("{key}.to"),
                "nothing",
                format!("{} to {}", range.0, range.1),
            )),
        };
        let what = match self.kind.as_str() {
            "ambient-c" => What::Ambient(to(AMBIENT)?),
            "sink-c-per-w" => What::Sink(to(SINK)?),
            "background-gpu" => What::Background(to(SHARE)?),
            "power-mode" => What::Mode(check.whole(&format!("{key}.to"), to(MODE)?, MODE)?),
            "over-current" => What::OverCurrent(to((0.1, 60.0))?),
            "scene-s" => What::Dwell(to(DWELL)?),
            "motion" => What::Motion(to(MOTION)?),
            "sensor" => {
                let name = self.sensor.as_deref().unwrap_or_default();
                let Some(place) = Meter::place(name) else {
                    let known = RAILS.iter().chain(&ZONES).copied().collect::<Vec<_>>().join(", ");
                    return Err(check.refuse(&format!("{key}.sensor"), format!("{name:?}"), known));
                };
                let word = self.fault.as_deref().unwrap_or_default();
                let Some((_, fault)) = Fault::ALL.iter().find(|(known, _)| *known == word) else {
                    return Err(check.refuse(
                        &format!("{key}.fault"),
                        format!("{word:?}"),
                        "off, gone, frozen".into(),
                    ));
                };
                What::Sensor(place, *fault)
            }
            other => {
                let known = "ambient-c, sink-c-per-w, background-gpu, power-mode, over-current, sensor, scene-s, motion";
                return Err(check.refuse(
                    &format!("{key}.kind"),
                    format!("{other:?}"),
                    known.into(),
                ));
            }
        };
        Ok(Event { at_s, over_s, what })
    }
}

/// Refuses with the name of the file.
struct Check<'a> {
    file: &'a str,
}

impl Check<'_> {
    fn refuse(&self, key: &str, value: impl std::fmt::Display, allowed: String) -> ScenarioError {
        ScenarioError::Value {
            file: self.file.into(),
            key: key.into(),
            value: value.to_string(),
            allowed,
        }
    }

    fn within(&self, key: &str, value: f64, range: (f64, f64)) -> Result<f64, ScenarioError> {
        let fine = value >= range.0 && value <= range.1;
        if fine {
            Ok(value)
        } else {
            Err(self.refuse(key, value, format!("{} to {}", range.0, range.1)))
        }
    }

    fn whole(&self, key: &str, value: f64, range: (f64, f64)) -> Result<usize, ScenarioError> {
        let value = self.within(key, value, range)?;
        if value.fract() == 0.0 {
            Ok(value as usize)
        } else {
            Err(self.refuse(key, value, "a whole number".into()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str = "name = \"small\"\ndescription = \"d\"\nduration-s = 600\nfps = 10\nambient-c = 25\nscene-s = 2\nmotion = 0.1\n";

    #[test]
    fn the_shipped_scenarios_parse_and_bear_the_names_of_their_files() {
        let scenarios = Scenario::shipped().unwrap();
        for (scenario, (name, _)) in scenarios.iter().zip(SHIPPED) {
            assert_eq!(scenario.name, name);
            assert!(!scenario.description.is_empty());
        }
    }

    #[test]
    fn what_is_wrong_is_named_with_file_key_value_and_what_is_allowed() {
        let cases = [
            ("fps = 10", "fps = 900", ["fps", "900", "0.5 to 60"]),
            ("fps = 10", "fps = nan", ["fps", "NaN", "0.5 to 60"]),
            ("fps = 10", "fps = 10\nspeed = 3", ["speed", "", "fps"]),
            (
                "motion = 0.1",
                "motion = 0.1\n[[events]]\nat-s = 3\nkind = \"flood\"",
                ["events[0].kind", "flood", "ambient-c"],
            ),
            (
                "motion = 0.1",
                "motion = 0.1\n[[events]]\nat-s = 3\nkind = \"power-mode\"\nto = 2.5",
                ["events[0].to", "2.5", "whole"],
            ),
            (
                "motion = 0.1",
                "motion = 0.1\n[[events]]\nat-s = 3\nkind = \"sensor\"\nsensor = \"X\"",
                ["sensor", "X", "VDD_IN"],
            ),
            (
                "motion = 0.1",
                "motion = 0.1\n[limits]\npower-mw = -1",
                ["limits.power-mw", "-1", "500 to 100000"],
            ),
        ];
        for (from, to, words) in cases {
            let error =
                Scenario::parse(&SMALL.replace(from, to), "x.toml").unwrap_err().to_string();
            assert!(
                error.contains("x.toml") && words.iter().all(|word| error.contains(word)),
                "{error}"
            );
        }
        assert!(Scenario::parse(&"#".repeat(MAX_BYTES + 1), "x.toml").is_err());
    }

    #[test]
    fn surroundings_slide_to_where_events_take_them() {
        let text =
            format!("{SMALL}[[events]]\nat-s = 100\nover-s = 100\nkind = \"ambient-c\"\nto = 45\n");
        let scenario = Scenario::parse(&text, "x.toml").unwrap();
        for (at, ambient) in
            [(0.0, 25.0), (100.0, 25.0), (150.0, 35.0), (200.0, 45.0), (599.0, 45.0)]
        {
            assert!((scenario.surroundings(at).ambient_c - ambient).abs() < 1e-9, "{at}");
        }
        assert!(
            !scenario.is_steady(250.0, 60.0)
                && scenario.is_steady(261.0, 60.0)
                && !scenario.is_steady(10.0, 60.0)
        );
    }
}
