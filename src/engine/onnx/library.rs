//! Finds libonnxruntime.so and loads it, once a process.

use std::env;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use ort::environment::Environment;
use ort::logging::LogLevel;
use ort::session::builder::SessionBuilder;

/// The library's file name.
const FILE: &str = "libonnxruntime.so";

/// The runtime of this process.
pub(super) struct Loaded {
    pub(super) environment: Environment,
    pub(super) version: String,
    pub(super) path: PathBuf,
}

static LOADED: OnceLock<Loaded> = OnceLock::new();
static LOADING: Mutex<()> = Mutex::new(());

/// Where the library is looked for if the configuration names none, in order; the last one leaves it to the system's loader.
/// `ORT_DYLIB_PATH`; for the program's folder, the current folder and all above each: `.deps/onnxruntime/` (a checkout after
/// `make deps`) and `lib/squint/` (an installation); then `/usr/lib/squint/` and `/usr/local/lib/squint/`.
pub fn places() -> Vec<PathBuf> {
    let mut places: Vec<PathBuf> =
        env::var_os("ORT_DYLIB_PATH").filter(|path| !path.is_empty()).map(PathBuf::from).into_iter().collect();
    let program = env::current_exe().ok().and_then(|path| path.parent().map(Path::to_path_buf));
    for start in [program, env::current_dir().ok()].into_iter().flatten() {
        for folder in start.ancestors() {
            places.extend([".deps/onnxruntime", "lib/squint"].map(|below| folder.join(below).join(FILE)));
        }
    }
    places.extend(["/usr/lib/squint", "/usr/local/lib/squint"].map(|folder| Path::new(folder).join(FILE)));
    let mut seen = std::collections::HashSet::new();
    places.retain(|place| seen.insert(place.clone()));
    places.push(PathBuf::from(FILE));
    places
}

/// The runtime, loaded now if it was not. A configured path is obeyed or refused, never replaced by another.
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
        Some(path) => absolute(path),
        None => choose(),
    };
    let environment = start(&path)?;
    let version = version();
    log::info!("ONNX Runtime {version} from {}", path.display());
    Ok(LOADED.get_or_init(|| Loaded { environment, version, path }))
}

/// The first place that holds a file; a place named by the environment counts even if it does not.
fn choose() -> PathBuf {
    let named = env::var_os("ORT_DYLIB_PATH").filter(|path| !path.is_empty()).map(PathBuf::from);
    let found = || places().into_iter().find(|place| place.is_absolute() && place.is_file());
    named.map(|path| absolute(&path)).or_else(found).unwrap_or_else(|| PathBuf::from(FILE))
}

/// Bare names are left to the loader, relative paths count from the current folder.
fn absolute(path: &Path) -> PathBuf {
    let bare = path.components().count() == 1 && !path.exists();
    if bare { path.to_path_buf() } else { std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf()) }
}

fn same(one: &Path, other: &Path) -> bool {
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| absolute(path));
    real(one) == real(other)
}

fn start(path: &Path) -> Result<Environment, String> {
    let hint = "run `make deps`, or name the library with `engines.onnxruntime` or ORT_DYLIB_PATH";
    if path.is_absolute() && !path.is_file() {
        return Err(format!("{} is not there; {hint}", path.display()));
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

/// "1.32.0", or the build's own words if they hold no version.
fn version() -> String {
    let info = ort::info();
    let tagged = info.split("git-branch=").nth(1).and_then(|rest| rest.split(',').next());
    tagged.map_or(info, |branch| branch.trim_start_matches("rel-")).to_owned()
}

/// Memory settings; see docs of `engines.threads` for what they were measured against.
pub(super) fn modest(builder: SessionBuilder) -> ort::Result<SessionBuilder> {
    let arena = env::var("SQ_ARENA").is_ok_and(|v| v == "1");
    let pattern = env::var("SQ_PATTERN").is_ok_and(|v| v == "1");
    let prepack = env::var("SQ_PREPACK").map_or(true, |v| v == "1");
    let builder = builder
        .with_execution_providers([ort::ep::CPU::default().with_arena_allocator(arena).build()])?
        .with_memory_pattern(pattern)?
        .with_prepacking(prepack)?;
    Ok(if env::var("SQ_DEVINIT").is_ok() { builder.with_device_allocated_initializers()? } else { builder })
}
