//! What most commands open first: the configuration, the catalogue, the runtimes, and the engines
//! of a policy.

use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use log::{LevelFilter, warn};

use super::runtimes::{Gpu, Runtimes};
use crate::config::{self, Config, Overrides, Pace};
use crate::engine::catalog::{Catalog, Level};
use crate::engine::looker::Loaded;
use crate::engine::manifest::{Kind, Manifest};
use crate::engine::onnx::{self, OnnxRuntime};
use crate::engine::tensorrt::TensorRt;
use crate::engine::tensorrt::built::Built;
use crate::engine::tensorrt::plan::cache::Cache;
use crate::engine::tensorrt::software::Options;
use crate::engine::{Backend, Engine, EngineError, EngineIdx, looker};
use crate::error::Error;
use crate::pipeline::{ENGINE_DEADLINE, EngineSet, Loader, PATIENT_DEADLINE};
use crate::policy::file::{EngineInfo, MAX_BYTES, PolicyFile};
use crate::policy::{Plan, Policy};
use crate::{events, features, files};

/// Configuration, catalogue and runtimes.
pub(crate) struct AppContext {
    pub(crate) config: Config,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) runtime: Arc<OnnxRuntime>,
    tensorrt: Arc<TensorRt>,
    gpu: Gpu,
    /// Who runs what; asked for when the first engine is wanted.
    runtimes: OnceLock<Arc<Runtimes>>,
}

impl AppContext {
    /// Reads the configuration, then the engines' manifests. Engines that cannot be used are named
    /// in the log; only a command that needs one of them fails.
    pub(crate) fn open(file: Option<&Path>, flags: &Overrides) -> Result<Self, Error> {
        Self::of(configuration(file, flags)?)
    }

    /// What `config` needs.
    pub(crate) fn of(config: Config) -> Result<Self, Error> {
        Self::with(config, Gpu::default())
    }

    /// The same; `gpu`: what TensorRT may run.
    pub(crate) fn with(config: Config, gpu: Gpu) -> Result<Self, Error> {
        let (catalog, problems) = Catalog::open(&config.engines.folder);
        for problem in &problems {
            let engine = problem.engine.as_deref().unwrap_or_default();
            warn!(event = events::CATALOG_PROBLEM, engine; "{problem}");
        }
        if catalog.ids().next().is_none() {
            return Err(Error::Missing(format!(
                "no usable engine in {}; name another folder with --engines",
                catalog.folder().display()
            )));
        }
        let runtime =
            OnnxRuntime::new(config.engines.onnxruntime.as_deref(), config.engines.threads);
        let tensorrt = Arc::new(tensorrt(&config));
        Ok(Self {
            config,
            catalog: Arc::new(catalog),
            runtime: Arc::new(runtime),
            tensorrt,
            gpu,
            runtimes: OnceLock::new(),
        })
    }

    /// The configured policy file, parsed.
    pub(crate) fn policy_file(&self) -> Result<PolicyFile, Error> {
        read_policy(&self.config)
    }

    /// The engines that `file` names, and the policy bound to them.
    pub(crate) fn engine_set(&self, file: &PolicyFile) -> Result<EngineSet, Error> {
        let infos: Vec<EngineInfo> =
            file.engine_ids().iter().filter_map(|id| engine_info(&self.catalog, id)).collect();
        // An engine that is not installed is left out here, and `bind` says which and what is.
        let policy = file.bind(&infos, features::schema())?;
        self.hire(file.engine_ids(), policy)
    }

    /// One engine, asked for every frame.
    pub(crate) fn engine_set_of_one(&self, id: &str) -> Result<EngineSet, Error> {
        self.hire(
            &[id.to_owned()],
            Policy::new(id, Plan::Fixed { engine: EngineIdx(0), fallback: None }),
        )
    }

    fn hire(&self, ids: &[String], policy: Policy) -> Result<EngineSet, Error> {
        // Once, here: a missing library is one clear line, not one for each engine. A missing
        // TensorRT is each engine's own affair: with others in the engine set the work goes on
        // without it.
        let runtimes = self.runtimes();
        if ids.iter().any(|id| runtimes.of(&self.catalog, id).contains(onnx::NAME)) {
            probe(&self.runtime)?;
        }
        let unknown = |id: &String| Error::Usage(self.catalog.unknown(id));
        let first = ids.first().ok_or_else(|| Error::Bug("a policy without engines".into()))?;
        let labels = self.catalog.labels(first).ok_or_else(|| unknown(first))?;
        let engines = ids
            .iter()
            .map(|id| {
                if self.catalog.get(id).is_none() {
                    return Err(unknown(id));
                }
                let (catalog, engine) = (Arc::clone(&self.catalog), id.clone());
                let runtimes = Arc::clone(runtimes);
                let load = move || {
                    let loaded = looker::load_by(&catalog, &engine, &|manifest, network| {
                        runtimes.backend(manifest, network)
                    })?;
                    told(&engine, &loaded.remarks);
                    Ok(loaded.look)
                };
                let loader: Loader = Box::new(load);
                Ok((id.as_str().into(), loader))
            })
            .collect::<Result<_, _>>()?;
        let unhurried = self.config.cameras.iter().all(|camera| camera.pace == Pace::Fast);
        let deadline = if unhurried {
            self.patience()
        } else {
            self.config.engines.deadline.unwrap_or(ENGINE_DEADLINE)
        };
        Ok(EngineSet { policy, engines, labels, deadline, budget: None })
    }

    /// How long a look may take before the engine counts as stuck, where nobody waits for the
    /// answer.
    pub(crate) fn patience(&self) -> Duration {
        self.config.engines.deadline.unwrap_or(PATIENT_DEADLINE)
    }

    /// One engine, loaded on this thread; what is odd about it is left to the caller.
    pub(crate) fn load(&self, id: &str) -> Result<Loaded, Error> {
        let runtimes = self.runtimes();
        Ok(looker::load_by(&self.catalog, id, &|manifest, network| {
            runtimes.backend(manifest, network)
        })?)
    }

    /// TensorRT, whether it is there or not.
    pub(crate) fn tensorrt(&self) -> &TensorRt {
        &self.tensorrt
    }

    /// Who runs what. Slow the first time, if there are plans.
    pub(crate) fn runtimes(&self) -> &Arc<Runtimes> {
        self.runtimes.get_or_init(|| {
            let (onnx, tensorrt) = (Arc::clone(&self.runtime), Arc::clone(&self.tensorrt));
            let engines = &self.config.engines;
            Arc::new(Runtimes::new(
                onnx,
                tensorrt,
                engines.runtime,
                &self.gpu,
                &self.catalog,
                &Cache::new(&engines.plans),
            ))
        })
    }

    /// One bare network, loaded on this thread.
    pub(crate) fn network(&self, manifest: &Manifest) -> Result<Box<dyn Engine>, Error> {
        let Kind::Network(network) = &manifest.kind else {
            return Err(Error::Bug(format!("`{}` is no bare network", manifest.id)));
        };
        Ok(self.runtimes().backend(manifest, network)?.load(manifest)?)
    }
}

/// Logs what is odd about an engine that was loaded.
pub(crate) fn told(engine: &str, remarks: &[String]) {
    remarks.iter().for_each(|remark| warn!(event = events::CATALOG_PROBLEM, engine; "{remark}"));
}

/// TensorRT as configured; a child of this program opens it first.
pub(crate) fn tensorrt(config: &Config) -> TensorRt {
    let (library, shim) = (config.engines.tensorrt.clone(), config.engines.tensorrt_shim.clone());
    let plans = Built::new(Cache::new(&config.engines.plans));
    TensorRt::new(Options { library, shim, ..Options::default() }, Arc::new(plans))
        .behind(std::env::current_exe().ok())
}

/// Reads the configuration, and logs from then on as much as it says; without `--log`, a command
/// that answers a question and ends keeps quiet about how it went.
pub(crate) fn configuration(file: Option<&Path>, flags: &Overrides) -> Result<Config, Error> {
    let config = config::load_typed(file, flags)?;
    log::set_max_level(if flags.log_level.is_some() {
        config.log_level
    } else {
        config.log_level.min(LevelFilter::Warn)
    });
    Ok(config)
}

/// Proves that the runtime works; says which it is.
pub(crate) fn probe(runtime: &OnnxRuntime) -> Result<String, Error> {
    runtime.probe().map_err(|error| match error {
        EngineError::RuntimeMissing { reason, .. } => {
            Error::Missing(format!("ONNX Runtime cannot be used: {reason}"))
        }
        error => error.into(),
    })
}

/// Reads and parses the configured policy file.
pub(crate) fn read_policy(config: &Config) -> Result<PolicyFile, Error> {
    Ok(PolicyFile::parse(&policy_text(config)?, &config.policy)?)
}

/// Reads the configured policy file.
pub(crate) fn policy_text(config: &Config) -> Result<String, Error> {
    let path = &config.policy;
    files::text(path, MAX_BYTES as u64).map_err(|reason| Error::File {
        path: path.clone(),
        reason: match reason.kind() {
            std::io::ErrorKind::NotFound => {
                format!("there is no such policy; {}", policies(&config.calibration))
            }
            _ => format!("the policy cannot be read: {reason}"),
        },
    })
}

/// Which policies there are to choose from, as an advice.
pub(crate) fn policies(calibration: &Path) -> String {
    let entries = calibration.read_dir().into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .filter_map(|entry| {
            Some(entry.file_name().to_str()?.strip_suffix(".policy.toml")?.to_owned())
        })
        .filter(|name| !name.is_empty())
        .collect();
    names.sort();
    let folder = calibration.display();
    if names.is_empty() {
        return format!(
            "{folder} holds no policy at all: name a file with --policy, or make one with `squint train`"
        );
    }
    format!(
        "{folder} holds {}: name one of them or a file with --policy, or make one with `squint train`",
        names.join(", ")
    )
}

/// What a policy file may know of an engine; `None` if it is not in the catalogue.
pub(crate) fn engine_info(catalog: &Catalog, id: &str) -> Option<EngineInfo> {
    let labels_sha256 = catalog.labels(id)?.sha256.clone();
    Some(EngineInfo { id: id.to_owned(), sha256: catalog.fingerprint(id)?, labels_sha256 })
}

/// True if a catalogue problem keeps an engine from being used.
pub(crate) fn is_fatal(level: Level) -> bool {
    matches!(level, Level::Error)
}

/// The processor's name, as the kernel gives it.
pub(crate) fn machine() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = info.lines().find_map(|line| {
        line.strip_prefix("model name")?.split_once(':').map(|(_, name)| name.trim().to_owned())
    });
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    format!(
        "{}, {cores} cores, {}",
        name.unwrap_or_else(|| "unknown processor".into()),
        std::env::consts::ARCH
    )
}
