//! Finds libonnxruntime.so and loads it, once a process.
//!
//! The library reports to its maker unless `ORT_DISABLE_TELEMETRY=1` is in the environment before
//! it is loaded: `main` sees to that for the program, `.cargo/config.toml` for tests and examples.

use std::env;
use std::fs;
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use ort::environment::Environment;
use ort::logging::LogLevel;

use super::super::places::{doubt, first, near};
use crate::{events, files};

/// The library's file name.
const FILE: &str = "libonnxruntime.so";
/// Its folder in a checkout.
const BELOW: &str = ".deps/onnxruntime";

/// The runtime of this process.
pub(super) struct Loaded {
    pub(super) environment: Environment,
    pub(super) version: String,
    pub(super) path: PathBuf,
}

static LOADED: OnceLock<Loaded> = OnceLock::new();
static LOADING: Mutex<()> = Mutex::new(());

/// Where the library is looked for if the configuration names none, in order; the last one leaves
/// it to the system's loader. `ORT_DYLIB_PATH`; `.deps/onnxruntime/` of the checkout that the
/// program was built in, after `make deps`; `lib/squint/` beside the program's folder,
/// `/usr/lib/squint/` and `/usr/local/lib/squint/`. Never below the current folder.
pub fn places() -> Vec<PathBuf> {
    let mut places: Vec<PathBuf> = named().into_iter().collect();
    places.extend(near(BELOW, FILE));
    places.push(PathBuf::from(FILE));
    places
}

/// The place that the environment names.
fn named() -> Option<PathBuf> {
    env::var_os("ORT_DYLIB_PATH").filter(|path| !path.is_empty()).map(PathBuf::from)
}

/// The runtime, loaded now if it was not. A configured path is obeyed or refused, never replaced by
/// another.
pub(super) fn load(configured: Option<&Path>) -> Result<&'static Loaded, String> {
    let _one_at_a_time = LOADING.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(loaded) = LOADED.get() {
        return match configured {
            Some(path) if !same(path, &loaded.path) => Err(format!(
                "{} is asked for, but this process runs {} already and can run only one; restart after a change of `engines.onnxruntime`",
                path.display(),
                loaded.path.display()
            )),
            _ => Ok(loaded),
        };
    }
    let path = match configured {
        Some(path) => chosen(path),
        None => choose(),
    };
    let environment = start(&path)?;
    let path = if path.is_absolute() { path } else { mapped().unwrap_or(path) };
    let version = version(&path);
    log::info!(event = events::RUNTIME_LOADED; "ONNX Runtime {version} from {}", path.display());
    Ok(LOADED.get_or_init(|| Loaded { environment, version, path }))
}

/// The place that the environment names, even if nothing is there; else the first that holds a
/// library which can be trusted.
fn choose() -> PathBuf {
    match named() {
        Some(path) => chosen(&path),
        None => first(near(BELOW, FILE)).unwrap_or_else(|| PathBuf::from(FILE)),
    }
}

/// A path that the user chose.
fn chosen(path: &Path) -> PathBuf {
    let path = absolute(path);
    if path.is_absolute() {
        doubt(&path);
    }
    path
}

/// Bare names are left to the loader, which does not look in the current folder; relative paths
/// count from that.
fn absolute(path: &Path) -> PathBuf {
    let is_bare = path.components().count() == 1;
    if is_bare {
        path.to_path_buf()
    } else {
        std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf())
    }
}

fn same(one: &Path, other: &Path) -> bool {
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| absolute(path));
    real(one) == real(other)
}

fn start(path: &Path) -> Result<Environment, String> {
    let hint = "run `make deps`, or name the library with `engines.onnxruntime` or ORT_DYLIB_PATH";
    if path.is_absolute() {
        let bytes =
            files::regular(path).and_then(|file| Ok(file.metadata()?.len())).map_err(|error| {
                match error.kind() {
                    ErrorKind::NotFound => format!("{} is not there; {hint}", path.display()),
                    _ => format!("{}: {error}; {hint}", path.display()),
                }
            })?;
        // Also what the kernel makes up as it is read; the loader would wait for some of that.
        if bytes == 0 {
            return Err(format!("{} is empty; {hint}", path.display()));
        }
    }
    let builder = ort::init_from(path).map_err(|error| format!("{error}; {hint}"))?;
    let logger = |level: LogLevel, _: &str, _: &str, _: &str, message: &str| {
        let level = match level {
            LogLevel::Fatal | LogLevel::Error => log::Level::Debug, // comes back as an error value, which is where it is told
            LogLevel::Warning => log::Level::Debug,
            LogLevel::Info | LogLevel::Verbose => log::Level::Trace,
        };
        log::log!(target: "onnxruntime", level, "{message}");
    };
    let builder = builder.with_name("squint").with_telemetry(false).with_logger(Arc::new(logger));
    let environment = builder.build().map_err(|error| error.to_string())?;
    environment.set_log_level(LogLevel::Warning);
    Ok(environment)
}

/// The file that the loader took, if the process's own map tells.
fn mapped() -> Option<PathBuf> {
    let maps = fs::read_to_string("/proc/self/maps").ok()?;
    let line = maps.lines().find(|line| line.contains("libonnxruntime") && line.contains('/'))?;
    line.find('/').map(|start| PathBuf::from(line[start..].trim_end_matches(" (deleted)")))
}

/// "1.32.0": ONNX Runtime names its symbols VERS_1.32.0, and those names stand near the start of
/// the file. The crate `ort` does not hand the version on, and builds for PyPI do not carry it in
/// their build information.
fn version(path: &Path) -> String {
    const MARK: &[u8] = b"VERS_";
    let mut start = Vec::new();
    let read = files::regular(path).and_then(|file| file.take(8 << 20).read_to_end(&mut start));
    let digits = |at: usize| -> String {
        let text =
            start[at + MARK.len()..].iter().take_while(|c| c.is_ascii_digit() || **c == b'.');
        text.map(|c| char::from(*c)).collect()
    };
    let found = start
        .windows(MARK.len())
        .position(|window| window == MARK)
        .map(digits)
        .filter(|text| !text.is_empty());
    read.ok().and(found).unwrap_or_else(|| "of unknown version".to_owned())
}
