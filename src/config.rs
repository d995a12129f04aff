//! One TOML file, the environment and the flags: as typed, then checked once and for all.
//!
//! [`load`] meets the world: it reads the file and the environment and looks for folders.
//! [`resolve`] is pure and finds every mistake in one go; `squint check` and `squint run` both live
//! by it. After [`Config`] nothing is optional or stringly, so nobody checks twice. Layers, the
//! later wins: defaults, file, `SQUINT_...` variables, flags. docs/reference/config.md is the
//! reference, [`keys`] its source.

mod fixed;
mod folders;
pub mod keys;
mod overrides;
mod problem;
mod raw;
mod read;
mod spending;
mod suggest;
mod values;
mod variables;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Once};
use std::time::Duration;

use log::{debug, warn};

use crate::frame::{CameraId, Framing};
use crate::policy::Reuse;
pub use crate::source::Pace;
use crate::source::{Login, OpenRequest, Secret, SourceSpec, Transport};
use crate::{events, files};

pub use folders::{Folders, find_folder};
pub use overrides::Overrides;
pub use problem::{ConfigError, ConfigProblem};
pub use spending::{Budget, Tegrastats, Telemetry};

/// Longest configuration file, bytes.
pub(crate) const MAX_BYTES: u64 = 1 << 20;

/// Longest source in a file of its own, bytes.
const MAX_SOURCE_BYTES: u64 = 1 << 16;

/// Variables that start with `SQUINT_` and set no key.
pub const RESERVED_VARIABLES: &[&str] = &["SQUINT_CONFIG"];

/// Reads `file`, if there is one, and the environment, and resolves them together with the flags.
/// Never waits for a file: it must be a regular one. Errors with [`ConfigError::Unreadable`] or as
/// [`resolve`].
pub fn load(file: Option<&Path>, flags: &Overrides) -> Result<Config, ConfigError> {
    load_by(files::text, file, flags)
}

/// [`load`] for a command that somebody typed: the file may also be what the shell hands over,
/// `/dev/stdin` or `<(...)`.
pub fn load_typed(file: Option<&Path>, flags: &Overrides) -> Result<Config, ConfigError> {
    load_by(files::typed_text, file, flags)
}

/// Reads a file up to a number of bytes.
type Read = fn(&Path, u64) -> std::io::Result<String>;

fn load_by(read: Read, file: Option<&Path>, flags: &Overrides) -> Result<Config, ConfigError> {
    let text = match file {
        Some(path) => Some(
            read(path, MAX_BYTES)
                .map_err(|reason| ConfigError::Unreadable { path: path.to_owned(), reason })?,
        ),
        None => None,
    };
    let name = file.map(|path| path.display().to_string());
    let file = name.as_deref().zip(text.as_deref());
    let source =
        flags.source.as_ref().map(|source| from_file(read, source.reveal())).transpose()?;
    let texts = [text.as_deref(), source.as_ref().map(Secret::reveal)];
    tell_of_strangers(|name| {
        texts.iter().flatten().any(|text| text.contains(&format!("${{{name}}}")))
    });
    resolve(file, std::env::vars_os(), &Overrides { source, ..flags.clone() }, &Folders::find())
}

/// A source from the command line: `@FILE` stands for what the file holds, so that an address with
/// a password is in nobody's list of processes.
fn from_file(read: Read, source: &str) -> Result<Secret, ConfigError> {
    let Some(path) = source.strip_prefix('@').map(Path::new) else {
        return Ok(Secret::new(source));
    };
    let text = read(path, MAX_SOURCE_BYTES)
        .map_err(|reason| ConfigError::Unreadable { path: path.to_owned(), reason })?;
    Ok(Secret::new(text.trim()))
}

/// Variables that begin with `SQUINT_` and set nothing are named in the log, once: one of them may
/// have been meant. Those of Kubernetes and Docker are not worth a warning, nor are those that a
/// source asks for (`is_used`).
fn tell_of_strangers(is_used: impl Fn(&str) -> bool) {
    static TOLD: Once = Once::new();
    TOLD.call_once(|| {
        let (mut links, mut strangers) = (Vec::new(), Vec::new());
        for (name, value) in std::env::vars_os() {
            let name = name.to_string_lossy().into_owned();
            match variables::meaning(&name, &value.to_string_lossy()) {
                variables::Meaning::Link => links.push(name),
                variables::Meaning::Stranger if !is_used(&name) => strangers.push(name),
                _ => (),
            }
        }
        if !links.is_empty() {
            debug!("environment variables of Kubernetes or Docker, which set nothing here: {}", links.join(", "));
        }
        if !strangers.is_empty() {
            warn!(event = events::VARIABLES_IGNORED;
                "environment variables that begin with SQUINT_ and set nothing: {}; docs/reference/config.md has those that do",
                strangers.join(", ")
            );
        }
    });
}

/// Resolves a file (its name and its text), an environment and flags. Pure, but for one thing: a
/// source that may be a file or a folder of images is looked at, see [`SourceSpec`]. Errors with
/// [`ConfigError::Wrong`] and every mistake in it.
pub fn resolve(
    file: Option<(&str, &str)>,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
    flags: &Overrides,
    folders: &Folders,
) -> Result<Config, ConfigError> {
    let (mut reading, raw) = read::Reading::read(file, environment, flags.flags());
    let config = raw.map(|raw| raw.resolve(folders, &mut reading));
    match (config, reading.into_problems()) {
        (Some(config), problems) if problems.is_empty() => Ok(config),
        (_, problems) => Err(ConfigError::Wrong { problems }),
    }
}

/// One camera, resolved.
#[derive(Clone, Debug, PartialEq)]
pub struct Camera {
    /// Unique name, used in records, logs and metrics.
    pub name: Arc<str>,
    /// Where its frames come from.
    pub source: SourceSpec,
    /// User and password of a network source, as far as they are not in its address.
    pub login: Login,
    /// How the packets of an RTSP source travel.
    pub transport: Transport,
    /// Which part of the picture counts.
    pub framing: Framing,
    /// Pace.
    pub pace: Pace,
    /// Frames a second: asked of a live source, or the pace of an image source that is paced.
    pub rate_hz: Option<f32>,
    /// Size asked of a live source, pixels.
    pub size: Option<(u32, u32)>,
    /// Latest moment for an answer, after capture; `None`: nobody waits for it.
    pub deadline: Option<Duration>,
    /// Frames older than this on arrival are dropped.
    pub stale_after: Duration,
    /// Silence after which a live source counts as lost.
    pub stall_after: Duration,
    /// How long the first picture may take, and how long a key frame.
    pub open_timeout: Duration,
    /// Longest pause between two tries to open a lost source.
    pub retry_cap: Duration,
    /// Whether the last answer may be given again.
    pub reuse: Option<Reuse>,
}

/// Who runs the ONNX models.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Runtime {
    /// TensorRT those that it has a plan of here, ONNX Runtime the others.
    #[default]
    Auto,
    /// ONNX Runtime, on the CPU; nothing of NVIDIA's is opened.
    Cpu,
    /// TensorRT; an engine without a plan is left out.
    TensorRt,
}

/// Engines and their runtime, resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Engines {
    /// Folder of the catalogue.
    pub folder: PathBuf,
    /// Threads inside each engine, 1..=64.
    pub threads: usize,
    /// How long a look may take before the engine counts as stuck, if the user says.
    pub deadline: Option<Duration>,
    /// Who runs the ONNX models.
    pub runtime: Runtime,
    /// Path of libonnxruntime.so, if the user names one.
    pub onnxruntime: Option<PathBuf>,
    /// Path or name of TensorRT's library, if the user names one.
    pub tensorrt: Option<PathBuf>,
    /// Path of the shim for it, if the user names one.
    pub tensorrt_shim: Option<PathBuf>,
    /// Folder of what TensorRT built here.
    pub plans: PathBuf,
}

/// Where reports go, resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// What is written to standard output.
    pub stdout: Stdout,
    /// Whether records carry the values of all features, which are measured for every frame then.
    pub features: bool,
    /// Whether a run ends with a summary on standard error.
    pub summary: bool,
    /// A JSON Lines file, rotated by size.
    pub file: Option<OutputFile>,
    /// A unix socket that any number of readers may connect to.
    pub socket: Option<PathBuf>,
    /// Reports waiting for slow sinks before the oldest is dropped.
    pub queue: usize,
}

/// Where the daemon is asked and told at run time, resolved.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Control {
    /// A unix socket: for reading, and for changes by those who may.
    pub socket: Option<PathBuf>,
    /// The group whose members may change something, besides root and the user that Squint runs as.
    pub group: String,
    /// A port of 127.0.0.1, for reading only. 0, which no file can say, is any that is free.
    pub http_port: Option<u16>,
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
    /// Folder of policy files and profiles.
    pub calibration: PathBuf,
    /// Where reports go.
    pub output: Output,
    /// Where the daemon is asked and told at run time.
    pub control: Control,
    /// What looking may cost.
    pub budget: Budget,
    /// Where readings of the board come from.
    pub telemetry: Telemetry,
    /// `error`, `warn`, `info`, `debug` or `trace`.
    pub log_level: log::LevelFilter,
}

impl Config {
    /// The configuration file that says the same, every key written out; passwords are `***`.
    pub fn to_toml(&self) -> String {
        self.printed(false)
    }

    /// As [`Config::to_toml`], passwords included: reading it gives the very same [`Config`]. Not
    /// for screens and logs.
    pub fn to_toml_with_passwords(&self) -> String {
        self.printed(true)
    }

    fn printed(&self, secrets: bool) -> String {
        toml::to_string(&raw::RawConfig::from_config(self, secrets))
            .unwrap_or_else(|error| format!("# {error}\n"))
    }
}

impl Runtime {
    /// As in the file.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Cpu => "cpu",
            Self::TensorRt => "tensorrt",
        }
    }
}

impl Camera {
    /// How its source is opened.
    pub fn open_request(&self, camera: CameraId) -> OpenRequest {
        let Self { source, pace, rate_hz, size, login, transport, open_timeout, .. } = self;
        let (source, login) = (source.clone(), login.clone());
        let (pace, rate_hz, size, transport, open_timeout) =
            (*pace, *rate_hz, *size, *transport, *open_timeout);
        OpenRequest {
            camera,
            source,
            pace,
            rate_hz,
            size,
            login,
            transport,
            bayer: false,
            open_timeout,
        }
    }
}

impl Stdout {
    /// As in the file.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Text => "text",
            Self::Json => "json",
            Self::None => "none",
        }
    }
}
