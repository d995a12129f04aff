//! Another crew on duty: because somebody said reload, because plans were built, or because an engine does not get on with its GPU.
//!
//! Under `engines.runtime = "auto"` a network that TensorRT cannot run goes to the CPU with a line in the log and in the status, and stays
//! there until somebody says reload. Nothing here can hold up a frame.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use log::{error, warn};

use super::super::kit::Kit;
use super::super::record;
use super::super::runtimes::Gpu;
use super::attempt::Attempt;
use super::{Steward, described};
use crate::config::{self, Config, Overrides, Runtime};
use crate::engine::EngineError;
use crate::engine::catalog::Catalog;
use crate::engine::tensorrt;
use crate::error::Error;
use crate::events;
use crate::pipeline::{PipelineError, Remote, Tuning};

/// Failures in a row after which an engine on the GPU goes to the CPU: about eight seconds of trying again.
const LOST: u32 = 5;

/// An engine of the crew on duty.
#[derive(Clone, Debug, Default)]
pub(super) struct Placed {
    pub(super) id: String,
    /// As the status tells it.
    pub(super) runtime: String,
    /// Its networks that TensorRT runs from an ONNX model.
    on_gpu: Vec<String>,
}

/// Who runs the engines on duty.
#[derive(Clone, Default)]
pub(super) struct Duty {
    pub(super) catalog: Arc<Catalog>,
    pub(super) engines: Vec<Placed>,
    /// Networks that are kept from the GPU, and why.
    pub(super) spared: BTreeMap<String, String>,
}

impl Duty {
    pub(super) fn of<'a>(kit: &Kit, engines: impl Iterator<Item = &'a str>, spared: BTreeMap<String, String>) -> Self {
        let (runtimes, catalog) = (kit.runtimes(), &kit.catalog);
        let placed = |id: &str| {
            let networks = catalog.networks(id).into_iter().map(|(manifest, _)| manifest.id.clone());
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

impl Steward {
    /// Reads everything again and puts it in force.
    pub(super) fn change(&self, policy: Option<String>, attempt: &Attempt) -> Result<String, Error> {
        let flags = Overrides { policy: policy.or_else(|| self.flags.policy.clone()), ..self.flags.clone() };
        let config = config::load(self.file.as_deref(), &flags)?;
        if let Some(before) = &self.now().config {
            let fixed = before.fixed_changes(&config);
            if !fixed.is_empty() {
                return Err(Error::Usage(format!("{} cannot change while Squint runs: restart it for that", fixed.join(", "))));
            }
        }
        let (cameras, level) = (config.cameras.clone(), config.log_level);
        let what = self.put_on_duty(config, BTreeMap::new(), attempt)?;
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
    pub(super) fn renew(&self, attempt: &Attempt) -> Result<String, Error> {
        let (config, spared) = {
            let now = self.now();
            (now.config.clone(), now.duty.spared.clone())
        };
        self.put_on_duty(config.ok_or_else(|| Error::Bug("a change before the start".into()))?, spared, attempt)
    }

    /// Sends engines to the CPU that fail on the GPU again and again, if they have a choice.
    pub(super) fn spare_the_lost(self: &Arc<Self>) {
        if self.now().duty.engines.iter().all(|placed| placed.on_gpu.is_empty()) {
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
                let placed = now.duty.engines.iter().find(|placed| *placed.id == *engine.id);
                let networks = placed.map_or(&[][..], |placed| &placed.on_gpu);
                lost.extend(networks.iter().map(|id| (id.clone(), format!("it failed {} times in a row", engine.failures))));
            }
        }
        if lost.is_empty() {
            return;
        }
        for (id, why) in &lost {
            warn!(event = events::ENGINE_ON_CPU, engine = **id; "engine {id} goes from TensorRT to the CPU: {why}");
        }
        self.now().duty.spared.extend(lost);
        if let Err(error) = self.attempt(Self::renew) {
            error!(event = events::RELOAD_REFUSED; "nothing has changed: {error}");
        }
    }

    fn remote(&self) -> Result<&Remote, Error> {
        self.remote.get().ok_or_else(|| Error::Bug("a change before the start".into()))
    }

    /// Loads the crew of `config` beside the one that works and hands over; but for `spared`, TensorRT runs what it can.
    fn put_on_duty(&self, config: Config, mut spared: BTreeMap<String, String>, attempt: &Attempt) -> Result<String, Error> {
        let remote = self.remote()?;
        loop {
            let kit = Kit::with(config.clone(), Gpu::Except(spared.keys().cloned().collect()))?;
            let mut crew = kit.crew(&kit.policy_file()?)?;
            let policy = described(&crew.policy);
            let engines: Vec<_> = crew.engines.iter().map(|(id, _)| id.to_string()).collect();
            if let Some(board) = self.board.get() {
                crew.budget = Some(board.budget(&kit, engines.iter().map(String::as_str))?);
            }
            if let Some(tape) = self.tape.get() {
                tape.announce(record::papers(&kit, &crew)?);
            }
            attempt.begin_loading()?;
            match remote.relieve(crew) {
                Err(PipelineError::Engine(error))
                    if config.engines.runtime == Runtime::Auto && kit.runtimes().on_gpu().contains(error.id()) =>
                {
                    warn!(event = events::ENGINE_ON_CPU, engine = *error.id(); "{error}; it runs on the CPU");
                    let why = error.to_string();
                    match &error {
                        // No TensorRT is no one's fault, and the others would fail by it one after the other.
                        EngineError::RuntimeMissing { .. } => {
                            spared.extend(kit.runtimes().on_gpu().iter().map(|id| (id.clone(), why.clone())));
                        }
                        _ => drop(spared.insert(error.id().to_owned(), why)),
                    }
                    continue;
                }
                outcome => outcome?,
            }
            let duty = Duty::of(&kit, engines.iter().map(String::as_str), spared);
            let on_gpu = duty.engines.iter().filter(|engine| engine.runtime != crate::budget::CPU);
            let on_gpu: Vec<_> = on_gpu.map(|engine| engine.id.as_str()).collect();
            let by = if on_gpu.is_empty() { String::new() } else { format!("; by {}: {}", tensorrt::NAME, on_gpu.join(", ")) };
            let what = format!("in force: policy {} over {}{by}", policy.name, engines.join(", "));
            let mut now = self.now();
            (now.config, now.policy, now.duty) = (Some(kit.config), policy, duty);
            now.unusable.clear();
            return Ok(what);
        }
    }
}
