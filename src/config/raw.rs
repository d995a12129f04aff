//! The configuration as it is typed, defaults filled in: from TOML, to TOML, and from there to
//! [`Config`].
//!
//! Pure. Ranges were checked while reading; here is what one key alone cannot tell: what fits
//! together and what does not.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::problem::shown;
use super::read::Reading;
use super::spending::{RawBudget, RawTelemetry};
use super::{Camera, Config, Control, Engines, Folders, Output, OutputFile, Pace, Runtime, Stdout};
use crate::frame::{Fit, Framing, Roi, Rotation};
use crate::policy::Reuse;
use crate::source::{self, Login, PasswordAt, Secret, SourceSpec, Transport};

/// Longest path of a unix socket, bytes (Linux: `sun_path` has 108, the last is 0).
const SOCKET_PATH: usize = 107;
/// Longest name of a camera.
const NAME: usize = 64;
const MEGABYTE: u64 = 1_000_000;
/// Latest moment for an answer, where somebody waits for it and nobody says otherwise.
const DEADLINE: Duration = Duration::from_millis(100);

/// The whole file. Has no `Debug`: sources may hold passwords.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct RawConfig {
    policy: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    calibration: Option<PathBuf>,
    log_level: String,
    engines: RawEngines,
    output: RawOutput,
    control: RawControl,
    budget: RawBudget,
    telemetry: RawTelemetry,
    #[serde(default)]
    camera: Vec<RawCamera>,
}

/// `[[camera]]`. Required keys are optional here: where one is missing, that was noted while
/// reading.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct RawCamera {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    password_file: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    credential: Option<String>,
    transport: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    roi: Option<[f32; 4]>,
    fit: String,
    rotation: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    pace: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rate_hz: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    width: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    height: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deadline_ms: Option<u64>,
    stale_after_ms: u64,
    stall_after_ms: u64,
    open_timeout_ms: u64,
    retry_cap_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    reuse: Option<RawReuse>,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct RawReuse {
    #[serde(skip_serializing_if = "Option::is_none")]
    max_change: Option<f32>,
    max_age_ms: u64,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct RawEngines {
    #[serde(skip_serializing_if = "Option::is_none")]
    folder: Option<PathBuf>,
    threads: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    deadline_ms: Option<u64>,
    runtime: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    onnxruntime: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tensorrt: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tensorrt_shim: Option<PathBuf>,
    plans: PathBuf,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct RawOutput {
    stdout: String,
    features: bool,
    summary: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    socket: Option<PathBuf>,
    queue: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<RawFile>,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct RawFile {
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<PathBuf>,
    max_mb: u64,
    keep: u32,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct RawControl {
    #[serde(skip_serializing_if = "Option::is_none")]
    socket: Option<PathBuf>,
    group: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    http_port: Option<u16>,
}

impl RawConfig {
    /// Everything resolved, as far as it can be; what cannot is noted in `reading`, and then the
    /// result must not be used.
    pub(super) fn resolve(self, folders: &Folders, reading: &mut Reading) -> Config {
        let calibration = self.calibration.unwrap_or_else(|| folders.calibration.clone());
        let output = self.output.resolve(reading);
        let control = self.control.resolve(&output, reading);
        let (budget, telemetry) = (self.budget.resolve(reading), self.telemetry.resolve(reading));
        if self.camera.is_empty() {
            let hint = "add a [[camera]] table with a source, or give --source".to_owned();
            reading.problem("camera", None, "is missing: there is nothing to look at", Some(hint));
        }
        let cameras: Vec<_> = self
            .camera
            .into_iter()
            .enumerate()
            .filter_map(|(index, raw)| raw.resolve(index, reading))
            .collect();
        check_apart(&cameras, reading);
        Config {
            cameras: cameras.into_iter().map(|(_, camera)| camera).collect(),
            engines: Engines {
                folder: self.engines.folder.unwrap_or_else(|| folders.engines.clone()),
                threads: self.engines.threads,
                deadline: self.engines.deadline_ms.map(Duration::from_millis),
                runtime: match self.engines.runtime.as_str() {
                    "cpu" => Runtime::Cpu,
                    "tensorrt" => Runtime::TensorRt,
                    _ => Runtime::Auto,
                },
                onnxruntime: self.engines.onnxruntime,
                tensorrt: self.engines.tensorrt,
                tensorrt_shim: self.engines.tensorrt_shim,
                plans: self.engines.plans,
            },
            policy: policy_path(&self.policy, &calibration),
            calibration,
            output,
            control,
            budget,
            telemetry,
            log_level: self.log_level.parse().unwrap_or(log::LevelFilter::Info),
        }
    }
}

/// `default` is `<calibration>/default.policy.toml`; `./mine`, `a/b` and `mine.toml` are paths.
fn policy_path(policy: &str, calibration: &Path) -> PathBuf {
    if policy.contains('/') || policy.ends_with(".toml") {
        PathBuf::from(policy)
    } else {
        calibration.join(format!("{policy}.policy.toml"))
    }
}

impl RawCamera {
    fn resolve(self, index: usize, reading: &mut Reading) -> Option<(usize, Camera)> {
        let place = |key: &str| format!("camera[{index}].{key}");
        let good = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if self.name.is_empty() || self.name.len() > NAME || !self.name.chars().all(good) {
            let typed = format!("\"{}\"", shown(&self.name));
            reading.problem(
                &place("name"),
                Some(typed),
                "must be 1 to 64 letters, digits, `-`, `_` or `.`",
                None,
            );
        }
        let roi = self.roi.map(|[x, y, width, height]| Roi { x, y, width, height });
        if let Some(Roi { x, y, width, height }) = roi {
            const ROUNDING: f32 = 1e-6;
            if width <= 0.0 || height <= 0.0 {
                reading.problem(
                    &place("roi"),
                    Some(format!("[{x}, {y}, {width}, {height}]")),
                    "has no area",
                    None,
                );
            } else if x + width > 1.0 + ROUNDING || y + height > 1.0 + ROUNDING {
                let hint = Some("x + width and y + height must be 1 at most".into());
                reading.problem(
                    &place("roi"),
                    Some(format!("[{x}, {y}, {width}, {height}]")),
                    "leaves the frame",
                    hint,
                );
            }
        }
        let size = match (self.width, self.height) {
            (Some(width), Some(height)) => Some((width, height)),
            (None, None) => None,
            (Some(_), None) => {
                reading.problem(&place("width"), None, "needs a `height` beside it", None);
                None
            }
            (None, Some(_)) => {
                reading.problem(&place("height"), None, "needs a `width` beside it", None);
                None
            }
        };
        let typed = self.source?;
        let typed = match source::expand(&typed, &|name| reading.variable(name)) {
            Ok(typed) => typed,
            Err(what) => {
                reading.problem(&place("source"), None, &what, None);
                return None;
            }
        };
        let source = match typed.parse::<SourceSpec>() {
            Ok(source) => source,
            Err(message) => {
                reading.problem(
                    &place("source"),
                    None,
                    &format!("cannot be used: {}", message.replace('\n', " ")),
                    None,
                );
                return None;
            }
        };
        let images = matches!(source, SourceSpec::Images { .. });
        // `rtsp//user@...` would pass for a file.
        if matches!(source, SourceSpec::File { .. })
            && typed.trim_start().to_lowercase().starts_with("rtsp")
            && typed.contains('@')
        {
            let value = Some(format!("\"{}\"", shown(&typed)));
            let hint = Some("an address starts with rtsp:// or rtsps://".into());
            reading.problem(&place("source"), value, "looks like a mistyped address", hint);
            return None;
        }
        let login = login(
            &source,
            self.user,
            self.password_file,
            self.credential,
            &mut |key, what, hint| {
                reading.problem(&place(key), None, what, Some(hint.into()));
            },
        );
        let (source, transport) = transport(source, &self.transport, &mut |what, hint| {
            reading.problem(
                &place("transport"),
                Some(format!("\"{}\"", self.transport)),
                what,
                Some(hint.into()),
            );
        });
        let pace = match self.pace.as_deref() {
            Some("fast") => Pace::Fast,
            Some(_) => Pace::Realtime,
            None if images && self.rate_hz.is_none() => Pace::Fast,
            None => Pace::Realtime,
        };
        let mut wrong = |key: &str, value: Option<String>, what: &str, hint: &str| {
            reading.problem(&place(key), value, what, Some(hint.into()));
        };
        let typed_pace = self.pace.as_ref().map(|pace| format!("\"{pace}\""));
        if source.is_live() && pace == Pace::Fast {
            wrong(
                "pace",
                typed_pace,
                "does not fit a live source",
                "a camera does not wait; only files and images can be `fast`",
            );
        } else if images && pace == Pace::Fast && self.rate_hz.is_some() {
            wrong("rate-hz", None, "does not fit pace = \"fast\"", "leave one of the two out");
        }
        // Only these can be asked; a setting that nobody heeds would be a lie.
        let askable =
            matches!(source, SourceSpec::Csi { .. } | SourceSpec::V4l2 { .. } | SourceSpec::Test);
        if !askable && !images && self.rate_hz.is_some() {
            wrong(
                "rate-hz",
                None,
                "does not fit this source, which comes at a rate of its own",
                "leave it out",
            );
        }
        if !askable && (self.width.is_some() || self.height.is_some()) {
            let key = if self.width.is_some() { "width" } else { "height" };
            wrong(
                key,
                None,
                "does not fit this source, which comes in a size of its own",
                "leave `width` and `height` out",
            );
        }
        if let Some(rate) = self.rate_hz
            && source.is_live()
            && self.stall_after_ms as f64 <= 1000.0 / f64::from(rate)
        {
            let what = format!(
                "is no longer than the {:.0} ms between two frames at rate-hz = {rate}",
                1000.0 / f64::from(rate)
            );
            wrong(
                "stall-after-ms",
                Some(self.stall_after_ms.to_string()),
                &what,
                "a healthy source would count as lost",
            );
        }
        let camera = Camera {
            name: self.name.into(),
            source,
            login,
            transport,
            framing: Framing {
                roi,
                fit: if self.fit == "centre-crop" { Fit::CentreCrop } else { Fit::Whole },
                rotation: match self.rotation {
                    90 => Rotation::Clockwise90,
                    180 => Rotation::Half,
                    270 => Rotation::Clockwise270,
                    _ => Rotation::None,
                },
            },
            pace,
            rate_hz: self.rate_hz,
            size,
            deadline: self
                .deadline_ms
                .map(Duration::from_millis)
                .or((pace == Pace::Realtime).then_some(DEADLINE)),
            stale_after: Duration::from_millis(self.stale_after_ms),
            stall_after: Duration::from_millis(self.stall_after_ms),
            open_timeout: Duration::from_millis(self.open_timeout_ms),
            retry_cap: Duration::from_millis(self.retry_cap_ms),
            reuse: self.reuse.and_then(|reuse| {
                Some(Reuse {
                    max_change: reuse.max_change?,
                    max_age: Duration::from_millis(reuse.max_age_ms),
                })
            }),
        };
        Some((index, camera))
    }
}

/// User and password that do not stand in the address.
fn login(
    source: &SourceSpec,
    user: Option<String>,
    file: Option<PathBuf>,
    credential: Option<String>,
    wrong: &mut dyn FnMut(&str, &str, &str),
) -> Login {
    let Some(address) = source.address() else {
        let keys = [
            ("user", user.is_some()),
            ("password-file", file.is_some()),
            ("credential", credential.is_some()),
        ];
        if let Some((key, _)) = keys.into_iter().find(|(_, given)| *given) {
            let hint = "only rtsp and http addresses have a login; in a `pipeline:` write `${NAME}`, a variable of the environment";
            wrong(key, "does not fit this source", hint);
        }
        return Login::default();
    };
    if user.is_some() && address.user().is_some() {
        wrong("user", "stands in the address too", "leave one of the two out");
    }
    let password = match (file, credential) {
        (Some(_), Some(_)) => {
            wrong("credential", "stands beside `password-file`", "leave one of the two out");
            None
        }
        (Some(path), None) => Some(("password-file", PasswordAt::File(path))),
        (None, Some(name)) => {
            let good = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
            if name.len() > 255 || name.starts_with('.') || !name.chars().all(good) {
                wrong(
                    "credential",
                    "must be 1 to 255 letters, digits, `-`, `_` or `.`",
                    "it is the name in LoadCredential=NAME:PATH",
                );
            }
            Some(("credential", PasswordAt::Credential(name)))
        }
        (None, None) => None,
    };
    if let Some((key, _)) = &password {
        if address.has_password() {
            wrong(key, "stands beside a password in the address", "leave one of the two out");
        } else if user.is_none() && address.user().is_none() {
            wrong(key, "needs a user name", "write `user`, or user@ in the address");
        }
    } else if user.is_some() && !address.has_password() && address.user().is_none() {
        wrong("user", "needs a password", "write `password-file` or `credential`");
    }
    Login { user: user.map(Secret::new), password: password.map(|(_, at)| at) }
}

/// The transport, from its key or from the scheme of the address.
fn transport(
    source: SourceSpec,
    key: &str,
    wrong: &mut dyn FnMut(&str, &str),
) -> (SourceSpec, Transport) {
    let asked = Transport::named(key).unwrap_or_default();
    match source {
        SourceSpec::Rtsp { url, transport: None } => {
            (SourceSpec::Rtsp { url, transport: None }, asked)
        }
        SourceSpec::Rtsp { url, transport: Some(named) } => {
            if asked != Transport::Auto && asked != named {
                wrong(
                    "is not what the scheme of the address says",
                    "leave one of the two out: rtsp:// leaves it to `transport`",
                );
            }
            (SourceSpec::Rtsp { url, transport: None }, named)
        }
        other => {
            if asked != Transport::Auto {
                wrong("does not fit this source", "it is for rtsp addresses");
            }
            (other, Transport::Auto)
        }
    }
}

/// What no two cameras may share: a name, a sensor, a device.
fn check_apart(cameras: &[(usize, Camera)], reading: &mut Reading) {
    for (position, (index, camera)) in cameras.iter().enumerate() {
        for (_, earlier) in &cameras[..position] {
            if earlier.name == camera.name {
                let what = "is the name of two cameras";
                let hint = Some("give each its own".into());
                reading.problem(
                    &format!("camera[{index}].name"),
                    Some(format!("\"{}\"", camera.name)),
                    what,
                    hint,
                );
            }
            let exclusive =
                matches!(camera.source, SourceSpec::Csi { .. } | SourceSpec::V4l2 { .. });
            if exclusive && earlier.source == camera.source {
                let what = format!("is already taken by camera `{}`", earlier.name);
                let hint = Some("a sensor or device serves one camera".into());
                reading.problem(
                    &format!("camera[{index}].source"),
                    Some(format!("\"{}\"", camera.source)),
                    &what,
                    hint,
                );
            }
        }
    }
}

impl RawOutput {
    fn resolve(self, reading: &mut Reading) -> Output {
        check_length("output.socket", self.socket.as_deref(), reading);
        let file = self.file.and_then(|file| {
            Some(OutputFile {
                path: file.path?,
                max_bytes: file.max_mb * MEGABYTE,
                keep: file.keep,
            })
        });
        if let (Some(file), Some(socket)) = (&file, &self.socket)
            && file.path == *socket
        {
            let value = Some(format!("\"{}\"", shown(&file.path.to_string_lossy())));
            reading.problem(
                "output.file.path",
                value,
                "is also output.socket",
                Some("give each its own path".into()),
            );
        }
        let stdout = match self.stdout.as_str() {
            "text" => Stdout::Text,
            "json" => Stdout::Json,
            "none" => Stdout::None,
            _ => Stdout::Auto,
        };
        Output {
            stdout,
            features: self.features,
            summary: self.summary,
            file,
            socket: self.socket,
            queue: self.queue,
        }
    }
}

impl RawControl {
    fn resolve(self, output: &Output, reading: &mut Reading) -> Control {
        check_length("control.socket", self.socket.as_deref(), reading);
        let file = output.file.as_ref().map(|file| &file.path);
        for (other, path) in [("output.socket", output.socket.as_ref()), ("output.file.path", file)]
        {
            if let Some(path) = path.filter(|path| self.socket.as_ref() == Some(path)) {
                let value = Some(format!("\"{}\"", shown(&path.to_string_lossy())));
                reading.problem(
                    "control.socket",
                    value,
                    &format!("is also {other}"),
                    Some("give each its own path".into()),
                );
            }
        }
        let odd = |c: char| c.is_whitespace() || c.is_control() || c == ':' || c == ',' || c == '/';
        if self.group.is_empty() || self.group.contains(odd) {
            let value = Some(format!("\"{}\"", shown(&self.group)));
            reading.problem(
                "control.group",
                value,
                "must be the name of a group",
                Some("as in /etc/group: squint-control".into()),
            );
        }
        Control { socket: self.socket, group: self.group, http_port: self.http_port }
    }
}

fn check_length(key: &str, socket: Option<&Path>, reading: &mut Reading) {
    let length = socket.map_or(0, |socket| socket.as_os_str().len());
    if length > SOCKET_PATH {
        let what = format!("is {length} bytes long; a unix socket path has at most {SOCKET_PATH}");
        reading.problem(key, None, &what, None);
    }
}

impl RawConfig {
    /// The file that gives `config`. With `secrets`, reading it gives the very same; without,
    /// passwords are `***`.
    pub(super) fn from_config(config: &Config, secrets: bool) -> Self {
        let ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let camera = |camera: &Camera| RawCamera {
            name: camera.name.to_string(),
            source: Some(source::unexpanded(&match &camera.source {
                SourceSpec::Rtsp { url, .. } | SourceSpec::Http { url, .. } if secrets => {
                    url.reveal()
                }
                SourceSpec::Pipeline { text } if secrets => format!("pipeline:{}", text.reveal()),
                // Only what ends like a film's may be read at full speed.
                SourceSpec::Http { url, film: true } => format!("{url}/***.mp4"),
                other => other.to_string(),
            })),
            user: match &camera.login.user {
                Some(user) if secrets => Some(user.reveal().to_owned()),
                // It may stand in the address, which is not printed.
                Some(_) => Some("***".into()),
                None => camera.login.password.as_ref().filter(|_| !secrets).map(|_| "***".into()),
            },
            password_file: match &camera.login.password {
                Some(PasswordAt::File(path)) => Some(path.clone()),
                _ => None,
            },
            credential: match &camera.login.password {
                Some(PasswordAt::Credential(name)) => Some(name.clone()),
                _ => None,
            },
            transport: camera.transport.as_str().into(),
            roi: camera.framing.roi.map(|roi| [roi.x, roi.y, roi.width, roi.height]),
            fit: match camera.framing.fit {
                Fit::Whole => "whole".into(),
                Fit::CentreCrop => "centre-crop".into(),
            },
            rotation: match camera.framing.rotation {
                Rotation::None => 0,
                Rotation::Clockwise90 => 90,
                Rotation::Half => 180,
                Rotation::Clockwise270 => 270,
            },
            pace: Some(camera.pace.as_str().into()),
            rate_hz: camera.rate_hz,
            width: camera.size.map(|(width, _)| width),
            height: camera.size.map(|(_, height)| height),
            deadline_ms: camera.deadline.map(ms),
            stale_after_ms: ms(camera.stale_after),
            stall_after_ms: ms(camera.stall_after),
            open_timeout_ms: ms(camera.open_timeout),
            retry_cap_ms: ms(camera.retry_cap),
            reuse: camera.reuse.map(|reuse| RawReuse {
                max_change: Some(reuse.max_change),
                max_age_ms: ms(reuse.max_age),
            }),
        };
        Self {
            // a path even if it has no folder, so that it is not taken for a name
            policy: match config.policy.to_string_lossy() {
                path if path.contains('/') || path.ends_with(".toml") => path.into_owned(),
                path => format!("./{path}"),
            },
            calibration: Some(config.calibration.clone()),
            log_level: config.log_level.as_str().to_lowercase(),
            engines: RawEngines {
                folder: Some(config.engines.folder.clone()),
                threads: config.engines.threads,
                deadline_ms: config.engines.deadline.map(ms),
                runtime: config.engines.runtime.as_str().into(),
                onnxruntime: config.engines.onnxruntime.clone(),
                tensorrt: config.engines.tensorrt.clone(),
                tensorrt_shim: config.engines.tensorrt_shim.clone(),
                plans: config.engines.plans.clone(),
            },
            output: RawOutput {
                stdout: config.output.stdout.as_str().into(),
                features: config.output.features,
                summary: config.output.summary,
                socket: config.output.socket.clone(),
                queue: config.output.queue,
                file: config.output.file.as_ref().map(|file| RawFile {
                    path: Some(file.path.clone()),
                    max_mb: file.max_bytes / MEGABYTE,
                    keep: file.keep,
                }),
            },
            control: RawControl {
                socket: config.control.socket.clone(),
                group: config.control.group.clone(),
                http_port: config.control.http_port,
            },
            budget: RawBudget::from_config(&config.budget),
            telemetry: RawTelemetry::from_config(&config.telemetry),
            camera: config.cameras.iter().map(camera).collect(),
        }
    }
}
