//! Which runtime runs which network: the configuration against what is installed.
//!
//! Decided once, before anything is loaded, so that loaders, budget and status agree. NVIDIA's
//! libraries are never opened in this process; a child looks for them, and only if a plan makes it
//! worth while.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::config::Runtime;
use crate::engine::catalog::Catalog;
use crate::engine::manifest::{Kind, Manifest, Network};
use crate::engine::onnx::{self, OnnxRuntime};
use crate::engine::tensorrt::plan::cache::Cache;
use crate::engine::tensorrt::{self, TensorRt, builder, built};
use crate::engine::{Backend, EngineError};

/// What `engines.runtime = "auto"` may do just now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Gpu {
    /// Everything on the CPU: Squint starts, and nothing is to be waited for.
    Later,
    /// TensorRT where there is a plan, but for these networks.
    Except(BTreeSet<String>),
}

impl Default for Gpu {
    fn default() -> Self {
        Self::Except(BTreeSet::new())
    }
}

/// See the module.
pub(crate) struct Runtimes {
    onnx: Arc<OnnxRuntime>,
    tensorrt: Arc<TensorRt>,
    wish: Runtime,
    /// Networks with an ONNX model that TensorRT runs.
    on_gpu: BTreeSet<String>,
}

impl Runtimes {
    /// For the networks of `catalog`. Slow if there are plans: a child looks for TensorRT then.
    pub(crate) fn new(
        onnx: Arc<OnnxRuntime>,
        tensorrt: Arc<TensorRt>,
        wish: Runtime,
        gpu: &Gpu,
        catalog: &Catalog,
        cache: &Cache,
    ) -> Self {
        let models = models(catalog);
        let on_gpu = match (wish, gpu) {
            (Runtime::Cpu, _) | (Runtime::Auto, Gpu::Later) => BTreeSet::new(),
            (Runtime::TensorRt, _) => models.into_iter().map(|(id, _)| id.to_owned()).collect(),
            (Runtime::Auto, Gpu::Except(spared)) => {
                let has_plan =
                    |id: &str| cache.list(id).is_ok_and(|listing| !listing.plans.is_empty());
                let worth: Vec<_> = models
                    .into_iter()
                    .filter(|(id, _)| !spared.contains(*id) && has_plan(id))
                    .collect();
                let found = (!worth.is_empty())
                    .then(|| tensorrt.found())
                    .filter(|found| found.missing.is_none());
                let host = found.and_then(|found| builder::host(&found));
                let runs = |(id, network): &(&str, &Network)| {
                    host.as_ref().is_some_and(|host| built::is_there(cache, host, id, network))
                };
                worth.into_iter().filter(runs).map(|(id, _)| id.to_owned()).collect()
            }
        };
        Self { onnx, tensorrt, wish, on_gpu }
    }

    /// Networks with an ONNX model that TensorRT runs.
    pub(crate) fn on_gpu(&self) -> &BTreeSet<String> {
        &self.on_gpu
    }

    /// Who runs a network.
    pub(crate) fn backend(
        &self,
        manifest: &Manifest,
        network: &Network,
    ) -> Result<&dyn Backend, EngineError> {
        match self.name(&manifest.id, network) {
            onnx::NAME => Ok(self.onnx.as_ref()),
            tensorrt::NAME if self.wish == Runtime::Cpu => Err(EngineError::RuntimeMissing {
                id: manifest.id.clone(),
                library: "TensorRT",
                reason: "`engines.runtime` is \"cpu\"".into(),
            }),
            tensorrt::NAME => Ok(self.tensorrt.as_ref()),
            other => Err(EngineError::Model {
                id: manifest.id.clone(),
                path: network.file.display().to_string(),
                reason: format!("this build has no backend `{other}`"),
            }),
        }
    }

    fn name<'a>(&self, id: &str, network: &'a Network) -> &'a str {
        if self.on_gpu.contains(id) { tensorrt::NAME } else { network.runtime }
    }

    /// `onnxruntime`, `tensorrt`, or both with a `+` between them for a mixed ensemble.
    pub(crate) fn of(&self, catalog: &Catalog, engine: &str) -> String {
        let networks = catalog.networks(engine);
        let names = networks.iter().filter_map(|(manifest, _)| match &manifest.kind {
            Kind::Network(network) => Some(self.name(&manifest.id, network)),
            Kind::Ensemble(_) => None,
        });
        names.collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>().join("+")
    }
}

/// The networks that TensorRT could build a plan of.
pub(crate) fn models(catalog: &Catalog) -> Vec<(&str, &Network)> {
    let model = |id| match &catalog.get(id)?.kind {
        Kind::Network(network) if network.runtime == onnx::NAME => Some((id, network.as_ref())),
        Kind::Network(_) | Kind::Ensemble(_) => None,
    };
    catalog.ids().filter_map(model).collect()
}
