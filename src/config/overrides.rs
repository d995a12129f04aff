//! What flags set: the last layer, over the file and the environment.
//!
//! Pure. The command line fills [`Overrides`]; it is turned into keys here, so that flags obey the
//! same ranges as the file.

use std::path::{Path, PathBuf};

use config::ValueKind;

use super::read::Flag;
use super::{Pace, Stdout};
use crate::source::Secret;

/// Flags that set a key. `None` leaves it as it is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Overrides {
    /// `--source`: the only camera, or the source of the one camera in the file.
    pub source: Option<Secret>,
    /// `--pace`, of every camera.
    pub pace: Option<Pace>,
    /// `--rate-hz`, of every camera.
    pub rate_hz: Option<f32>,
    /// `--deadline-ms`, of every camera.
    pub deadline_ms: Option<u64>,
    /// `--policy`: name or path.
    pub policy: Option<String>,
    /// `--calibration`.
    pub calibration: Option<PathBuf>,
    /// `--engines`: folder of the catalogue.
    pub engines: Option<PathBuf>,
    /// `--threads`.
    pub threads: Option<usize>,
    /// `--onnxruntime`.
    pub onnxruntime: Option<PathBuf>,
    /// `--plans`.
    pub plans: Option<PathBuf>,
    /// `--json`, `--text` or `--quiet`.
    pub stdout: Option<Stdout>,
    /// `--features`.
    pub features: Option<bool>,
    /// Set by commands that have no summary to show; there is no flag for it.
    pub summary: Option<bool>,
    /// `--output-file`.
    pub output_file: Option<PathBuf>,
    /// `--socket`.
    pub socket: Option<PathBuf>,
    /// `--log`.
    pub log_level: Option<log::LevelFilter>,
}

impl Overrides {
    /// The flags as keys, in an order that puts the source, which makes the camera, first.
    pub(super) fn flags(&self) -> Vec<Flag> {
        let mut flags = Vec::new();
        let mut set = |flag: &'static str, key: &'static str, value: Option<ValueKind>| {
            flags.extend(value.map(|value| Flag { flag, key, value }));
        };
        let text = |text: &str| ValueKind::String(text.to_owned());
        // not UTF-8: no path at all, so that reading refuses it
        let path = |path: &PathBuf| Path::to_str(path).map_or(ValueKind::Nil, text);
        let whole = |number: u64| ValueKind::I64(i64::try_from(number).unwrap_or(i64::MAX));
        set("--source", "camera.source", self.source.as_ref().map(|source| text(source.reveal())));
        set("--pace", "camera.pace", self.pace.map(|pace| text(pace.as_str())));
        set("--rate-hz", "camera.rate-hz", self.rate_hz.and_then(exactly));
        set("--deadline-ms", "camera.deadline-ms", self.deadline_ms.map(whole));
        set("--policy", "policy", self.policy.as_deref().map(text));
        set("--calibration", "calibration", self.calibration.as_ref().map(path));
        set("--engines", "engines.folder", self.engines.as_ref().map(path));
        set("--threads", "engines.threads", self.threads.map(|threads| whole(threads as u64)));
        set("--onnxruntime", "engines.onnxruntime", self.onnxruntime.as_ref().map(path));
        set("--plans", "engines.plans", self.plans.as_ref().map(path));
        let form = self.stdout.map_or("", |stdout| match stdout {
            Stdout::Json => "--json",
            Stdout::Text | Stdout::Auto => "--text",
            Stdout::None => "--quiet",
        });
        set(form, "output.stdout", self.stdout.map(|stdout| text(stdout.as_str())));
        set("--features", "output.features", self.features.map(ValueKind::Boolean));
        set("this command", "output.summary", self.summary.map(ValueKind::Boolean));
        set("--output-file", "output.file.path", self.output_file.as_ref().map(path));
        set("--socket", "output.socket", self.socket.as_ref().map(path));
        set("--log", "log-level", self.log_level.map(|level| text(&level.as_str().to_lowercase())));
        flags
    }
}

/// The number that was typed: 0.1, not the 0.10000000149 that an `f32` makes of it.
fn exactly(number: f32) -> Option<ValueKind> {
    number.to_string().parse().ok().map(ValueKind::Float)
}
