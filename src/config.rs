//! One TOML file, the environment and the flags: as typed, then checked once and for all.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::frame::Framing;
use crate::policy::Reuse;
use crate::source::SourceSpec;

/// Whether frames are taken as they come, or every frame is worth waiting for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// As the clock says; the newest frame wins.
    Realtime,
    /// As fast as the engines can, no frame left out (files and images only).
    Fast,
}

/// One camera, resolved.
#[derive(Clone, Debug, PartialEq)]
pub struct Camera {
    /// Unique name, used in records, logs and metrics.
    pub name: Arc<str>,
    /// Where its frames come from.
    pub source: SourceSpec,
    /// Which part of the picture counts.
    pub framing: Framing,
    /// Pace.
    pub pace: Pace,
    /// Frames a second: asked of a live source, or the pace of an image source that is paced.
    pub rate_hz: Option<f32>,
    /// Size asked of a live source, pixels.
    pub size: Option<(u32, u32)>,
    /// Latest moment for an answer, after capture.
    pub deadline: Duration,
    /// Frames older than this on arrival are dropped.
    pub stale_after: Duration,
    /// Silence after which a live source counts as lost.
    pub stall_after: Duration,
    /// Longest pause between two tries to open a lost source.
    pub retry_cap: Duration,
    /// Whether the last answer may be given again.
    pub reuse: Option<Reuse>,
}

/// Engines and their runtime, resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Engines {
    /// Folder of the catalogue.
    pub folder: PathBuf,
    /// Threads inside each engine, 1..=64.
    pub threads: usize,
    /// Path of libonnxruntime.so, if the user names one.
    pub onnxruntime: Option<PathBuf>,
}

/// Where reports go, resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// What is written to standard output.
    pub stdout: Stdout,
    /// A JSON Lines file, rotated by size.
    pub file: Option<OutputFile>,
    /// A unix socket that any number of readers may connect to.
    pub socket: Option<PathBuf>,
    /// Reports waiting for slow sinks before the oldest is dropped.
    pub queue: usize,
}

/// Form of standard output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stdout {
    /// Lines for people on a terminal, JSON otherwise.
    Auto,
    /// One line a person likes to read.
    Text,
    /// JSON Lines.
    Json,
    /// Nothing.
    None,
}

/// A rotated file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputFile {
    /// Path of the newest file; older ones get `.1`, `.2`, ...
    pub path: PathBuf,
    /// Size at which it is rotated, bytes.
    pub max_bytes: u64,
    /// Old files kept.
    pub keep: u32,
}

/// Everything, resolved; nothing here needs checking again.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// At least one.
    pub cameras: Vec<Camera>,
    /// Engines.
    pub engines: Engines,
    /// The policy file.
    pub policy: PathBuf,
    /// Where reports go.
    pub output: Output,
    /// `error`, `warn`, `info`, `debug` or `trace`.
    pub log_level: log::LevelFilter,
}
