//! Swaps the engine set: after a reload, when TensorRT plans are ready, or when an engine keeps
//! failing on the GPU.
//!
//! Under `engines.runtime = "auto"` a network that TensorRT cannot run goes to the CPU, with a line
//! in the log and in the status, until the next reload. No frame waits for a swap.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use log::{error, warn};

use super::change::Change;
use super::{DaemonState, described};
use crate::config::{self, Config, Overrides, Runtime};
use crate::daemon::context::AppContext;
use crate::daemon::recording;
use crate::daemon::runtimes::Gpu;
use crate::engine::catalog::Catalog;
use crate::engine::{EngineError, tensorrt};
use crate::error::Error;
use crate::events;
use crate::pipeline::{PipelineError, Remote, Tuning};

/// Failures in a row after which an engine on the GPU goes to the CPU: about eight seconds of
/// trying again.
const LOST: u32 = 5;

/// An engine of the engine set in force.
#[derive(Clone, Debug, Default)]
pub(super) struct Placed {
    pub(super) id: String,
    /// As the status tells it.
    pub(super) runtime: String,
    /// Its networks that TensorRT runs from an ONNX model.
    on_gpu: Vec<String>,
}

/// Who runs the engines in force.
#[derive(Clone, Default)]
pub(super) struct Placement {
    pub(super) catalog: Arc<Catalog>,
    pub(super) engines: Vec<Placed>,
    /// Networks that are kept from the GPU, and why.
    pub(super) spared: BTreeMap<String, String>,
}

impl Placement {
    pub(super) fn of<'a>(
        context: &AppContext,
        engines: impl Iterator<Item = &'a str>,
        spared: BTreeMap<String, String>,
    ) -> Self {
        let (runtimes, catalog) = (context.runtimes(), &context.catalog);
        let placed = |id: &str| {
            let networks =
                catalog.networks(id).into_iter().map(|(manifest, _)| manifest.id.clone());
            let on_gpu = networks.filter(|network| runtimes.on_gpu().contains(network)).collect();
            Placed { id: id.to_owned(), runtime: runtimes.of(catalog, id), on_gpu }
        };
        Self { catalog: Arc::clone(catalog), engines: engines.map(placed).collect(), spared }
    }

    /// Networks that TensorRT runs from an ONNX model.
    pub(super) fn on_gpu(&self) -> BTreeSet<&str> {
        self.engines.iter().flat_map(|engine| &engine.on_gpu).map(String::as_str).collect()
    }
}

impl DaemonState {
    /// Reads everything again and puts it in force.
    pub(super) fn reread(&self, policy: Option<String>, change: &Change) -> Result<String, Error> {
        let flags = Overrides {
            policy: policy.or_else(|| self.flags.policy.clone()),
            ..self.flags.clone()
        };
        let config = config::load(self.file.as_deref(), &flags)?;
        if let Some(before) = &self.now().config {
            let fixed = before.fixed_changes(&config);
            if !fixed.is_empty() {
                return Err(Error::Usage(format!(
                    "{} cannot change while Squint runs: restart it for that",
                    fixed.join(", ")
                )));
            }
        }
        let (cameras, level) = (config.cameras.clone(), config.log_level);
        let what = self.swap_in(config, BTreeMap::new(), change)?;
        for (index, camera) in cameras.iter().enumerate() {
            self.remote()?.tune(index, &Tuning::from(camera));
            if let Some(opener) = self.openers.get().and_then(|openers| openers.get(index)) {
                opener.log_in(&camera.source, &camera.login);
            }
            self.remote()?.try_again(index);
        }
        log::set_max_level(level);
        Ok(what)
    }

    /// The engines anew, as what is in force says: a plan has come.
    pub(super) fn renew(&self, change: &Change) -> Result<String, Error> {
        let (config, spared) = {
            let now = self.now();
            (now.config.clone(), now.placement.spared.clone())
        };
        self.swap_in(
            config.ok_or_else(|| Error::Bug("a change before the start".into()))?,
            spared,
            change,
        )
    }

    /// Sends engines to the CPU that fail on the GPU again and again, if they have a choice.
    pub(super) fn spare_the_lost(self: &Arc<Self>) {
        if self.now().placement.engines.iter().all(|placed| placed.on_gpu.is_empty()) {
            return;
        }
        let Some((_, engines)) = self.remote.get().and_then(Remote::engines) else { return };
        let mut lost = BTreeMap::new();
        {
            let now = self.now();
            if now.config.as_ref().is_none_or(|config| config.engines.runtime != Runtime::Auto) {
                return;
            }
            for engine in engines.iter().filter(|engine| engine.failures >= LOST) {
                let placed = now.placement.engines.iter().find(|placed| *placed.id == *engine.id);
                let networks = placed.map_or(&[][..], |placed| &placed.on_gpu);
                lost.extend(networks.iter().map(|id| {
                    (id.clone(), format!("it failed {} times in a row", engine.failures))
                }));
            }
        }
        if lost.is_empty() {
            return;
        }
        for (id, why) in &lost {
            warn!(event = events::ENGINE_ON_CPU, engine = **id; "engine {id} goes from TensorRT to the CPU: {why}");
        }
        self.now().placement.spared.extend(lost);
        if let Err(error) = self.make(Self::renew) {
            error!(event = events::RELOAD_REFUSED; "nothing has changed: {error}");
        }
    }

    fn remote(&self) -> Result<&Remote, Error> {
        self.remote.get().ok_or_else(|| Error::Bug("a change before the start".into()))
    }

    /// Loads the engine set of `config` beside the one that works and hands over; but for `spared`,
    /// TensorRT runs what it can.
    fn swap_in(
        &self,
        config: Config,
        mut spared: BTreeMap<String, String>,
        change: &Change,
    ) -> Result<String, Error> {
        let remote = self.remote()?;
        loop {
            let context =
                AppContext::with(config.clone(), Gpu::Except(spared.keys().cloned().collect()))?;
            let mut engine_set = context.engine_set(&context.policy_file()?)?;
            let policy = described(&engine_set.policy);
            let engines: Vec<_> = engine_set.engines.iter().map(|(id, _)| id.to_string()).collect();
            if let Some(board) = self.board.get() {
                engine_set.budget =
                    Some(board.budget(&context, engines.iter().map(String::as_str))?);
            }
            if let Some(trace_queue) = self.trace_queue.get() {
                trace_queue.announce(recording::session(&context, &engine_set)?);
            }
            change.begin_loading()?;
            match remote.swap_engines(engine_set) {
                Err(PipelineError::Engine(error))
                    if config.engines.runtime == Runtime::Auto
                        && context.runtimes().on_gpu().contains(error.id()) =>
                {
                    warn!(event = events::ENGINE_ON_CPU, engine = *error.id(); "{error}; it runs on the CPU");
                    let why = error.to_string();
                    match &error {
                        // No TensorRT is no one's fault, and the others would fail by it one after
                        // the other.
                        EngineError::RuntimeMissing { .. } => {
                            spared.extend(
                                context
                                    .runtimes()
                                    .on_gpu()
                                    .iter()
                                    .map(|id| (id.clone(), why.clone())),
                            );
                        }
                        _ => drop(spared.insert(error.id().to_owned(), why)),
                    }
                    continue;
                }
                outcome => outcome?,
            }
            let placement = Placement::of(&context, engines.iter().map(String::as_str), spared);
            let on_gpu =
                placement.engines.iter().filter(|engine| engine.runtime != crate::budget::CPU);
            let on_gpu: Vec<_> = on_gpu.map(|engine| engine.id.as_str()).collect();
            let by = if on_gpu.is_empty() {
                String::new()
            } else {
                format!("; by {}: {}", tensorrt::NAME, on_gpu.join(", "))
            };
            let what = format!("in force: policy {} over {}{by}", policy.name, engines.join(", "));
            let mut now = self.now();
            (now.config, now.policy, now.placement) = (Some(context.config), policy, placement);
            now.unusable.clear();
            return Ok(what);
        }
    }
}
