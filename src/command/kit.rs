//! What most commands need first: the configuration, the catalogue, the runtime, and the engines of a policy.

use std::path::Path;
use std::sync::Arc;

use log::warn;

use crate::config::{self, Config, Overrides};
use crate::engine::catalog::{Catalog, Level};
use crate::engine::onnx::OnnxRuntime;
use crate::engine::{Backend, EngineIdx, Look, looker};
use crate::error::Error;
use crate::features;
use crate::pipeline::{Crew, Loader};
use crate::policy::file::{EngineInfo, PolicyFile};
use crate::policy::{Plan, Policy};

/// Configuration, catalogue and runtime.
pub(crate) struct Kit {
    pub(crate) config: Config,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) runtime: Arc<OnnxRuntime>,
}

impl Kit {
    /// Reads the configuration, then the engines' manifests. Engines that cannot be used are named in the log; only a command that
    /// needs one of them fails.
    pub(crate) fn open(file: Option<&Path>, flags: &Overrides) -> Result<Self, Error> {
        let config = config::load(file, flags)?;
        let (catalog, problems) = Catalog::open(&config.engines.folder);
        for problem in &problems {
            warn!("{problem}");
        }
        if catalog.ids().next().is_none() {
            return Err(Error::Missing(format!(
                "no usable engine in {}; name another folder with --engines",
                catalog.folder().display()
            )));
        }
        let runtime = OnnxRuntime::new(config.engines.onnxruntime.as_deref(), config.engines.threads);
        Ok(Self { config, catalog: Arc::new(catalog), runtime: Arc::new(runtime) })
    }

    /// The configured policy file, parsed.
    pub(crate) fn policy_file(&self) -> Result<PolicyFile, Error> {
        read_policy(&self.config.policy)
    }

    /// The engines that `file` names, and the policy bound to them.
    pub(crate) fn crew(&self, file: &PolicyFile) -> Result<Crew, Error> {
        let infos: Vec<EngineInfo> = file.engine_ids().iter().filter_map(|id| engine_info(&self.catalog, id)).collect();
        // An engine that is not installed is left out here, and `bind` says which and what is.
        let policy = file.bind(&infos, features::schema())?;
        self.hire(file.engine_ids(), policy)
    }

    /// One engine, asked for every frame.
    pub(crate) fn crew_of_one(&self, id: &str) -> Result<Crew, Error> {
        self.hire(&[id.to_owned()], Policy::new(id, Plan::Fixed { engine: EngineIdx(0), fallback: None }))
    }

    fn hire(&self, ids: &[String], policy: Policy) -> Result<Crew, Error> {
        // Once, here: a missing library is one clear line, not one for each engine.
        self.runtime.probe()?;
        let unknown = |id: &String| Error::Usage(self.catalog.unknown(id));
        let first = ids.first().ok_or_else(|| Error::Bug("a policy without engines".into()))?;
        let labels = self.catalog.labels(first).ok_or_else(|| unknown(first))?;
        let engines = ids
            .iter()
            .map(|id| {
                if self.catalog.get(id).is_none() {
                    return Err(unknown(id));
                }
                let (catalog, runtime, engine) = (Arc::clone(&self.catalog), Arc::clone(&self.runtime), id.clone());
                let loader: Loader = Box::new(move || looker::load(&catalog, &engine, &[runtime.as_ref()]));
                Ok((id.as_str().into(), loader))
            })
            .collect::<Result<_, _>>()?;
        Ok(Crew { policy, engines, labels })
    }

    /// One engine, loaded on this thread.
    pub(crate) fn load(&self, id: &str) -> Result<Box<dyn Look>, Error> {
        Ok(looker::load(&self.catalog, id, &[self.runtime.as_ref()])?)
    }
}

/// Reads and parses a policy file.
pub(crate) fn read_policy(path: &Path) -> Result<PolicyFile, Error> {
    let text = std::fs::read_to_string(path)
        .map_err(|reason| Error::File { path: path.to_owned(), reason: format!("the policy cannot be read: {reason}") })?;
    Ok(PolicyFile::parse(&text, path)?)
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
