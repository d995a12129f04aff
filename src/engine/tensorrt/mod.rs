//! TensorRT on an NVIDIA GPU. Driver, TensorRT and the shim between it and Squint are found at run
//! time; without any of them this backend is simply absent.
//!
//! An edge module. [`probe`] and [`software`] find out what is there, an engine loads a plan and
//! runs it ([`TensorRt`]), [`version`] and [`error`] put names to numbers. All `unsafe` is in
//! `raw`, and all of NVIDIA's class layouts are in the shim, `squint_trt.h`, of which there is one
//! build for each major. Where plans come from is told by [`Plans`]: [`build`] makes them, slowly
//! and elsewhere, [`builder`] does so as [`plan`], what was built on this machine, wants it,
//! [`built`] says which of those runs a network, and [`calibration`] is what int8 needs beforehand.

pub mod build;
pub mod builder;
pub mod built;
pub mod calibration;
mod engine;
pub mod error;
mod log;
mod measure;
pub mod model;
pub mod plan;
pub mod probe;
mod raw;
pub mod software;
pub mod version;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use super::catalog::{MAX_MODEL, mismatch};
use super::manifest::{Kind, Manifest, Network};
use super::{Backend, Engine, EngineError, hash};
use crate::files;
use engine::TensorRtEngine;
use software::{Found, Gpu, Missing, Options, Software};
use version::Version;

/// The backend's name in manifests.
pub const NAME: &str = "tensorrt";
/// What errors call it.
const LIBRARY: &str = "TensorRT";

/// Where a plan is to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Here {
    /// TensorRT's version.
    pub version: Version,
    /// The GPU.
    pub gpu: Gpu,
}

/// Where plans come from.
pub trait Plans: Send + Sync {
    /// The bytes of a plan of `network` that is made for `here`, checked as far as that goes
    /// without TensorRT. Errors are [`EngineError::Model`] and say what to do.
    fn plan_for(&self, id: &str, network: &Network, here: &Here) -> Result<Vec<u8>, EngineError>;
}

/// Plans that are the manifest's own `model.file`.
#[derive(Clone, Copy, Debug, Default)]
pub struct PlanFiles;

impl Plans for PlanFiles {
    /// The file, if nobody but its owner and group may write to it and its sha256 is the
    /// manifest's. TensorRT trusts plans.
    fn plan_for(&self, id: &str, network: &Network, _here: &Here) -> Result<Vec<u8>, EngineError> {
        let refuse = |reason: String| model_error(id, &network.file, reason);
        let mode = std::fs::metadata(&network.file)
            .map_err(|error| refuse(error.to_string()))?
            .permissions()
            .mode();
        if mode & 0o002 != 0 {
            return Err(refuse(
                "everybody may write to this plan, and TensorRT would trust it; chmod o-w".into(),
            ));
        }
        let bytes =
            files::bytes(&network.file, MAX_MODEL).map_err(|reason| refuse(reason.to_string()))?;
        let sha256 = hash::of_bytes(&bytes);
        if sha256 == network.sha256 {
            Ok(bytes)
        } else {
            Err(refuse(mismatch(&network.file, &network.sha256, &sha256)))
        }
    }
}

/// The backend. Cheap to make; nothing is opened before the first `probe` or `load`.
pub struct TensorRt {
    options: Options,
    plans: Arc<dyn Plans>,
    /// This program, if a child is to look first.
    program: Option<PathBuf>,
    /// What the child found.
    seen: OnceLock<Found>,
}

impl TensorRt {
    /// Everything happens in this process.
    pub fn new(options: Options, plans: Arc<dyn Plans>) -> Self {
        Self { options, plans, program: None, seen: OnceLock::new() }
    }

    /// Before anything is opened in this process, a child, `program` being this program, opens it
    /// first.
    pub fn behind(self, program: Option<PathBuf>) -> Self {
        Self { program, ..self }
    }

    /// Which files it opens.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// What there is; asks the child, if there is to be one, once.
    pub fn found(&self) -> Found {
        match &self.program {
            Some(program) => self
                .seen
                .get_or_init(|| probe::in_child(program, &self.options, probe::LIMIT))
                .clone(),
            None => probe::here(&self.options),
        }
    }

    fn software(&self, id: &str) -> Result<&'static Software, EngineError> {
        let missing = |missing: Missing| EngineError::RuntimeMissing {
            id: id.to_owned(),
            library: LIBRARY,
            reason: missing.to_string(),
        };
        if self.program.is_some()
            && let Some(why) = self.found().missing
        {
            return Err(missing(why));
        }
        software::open(&self.options, &mut Found::default()).map_err(missing)
    }
}

impl Backend for TensorRt {
    fn name(&self) -> &'static str {
        NAME
    }

    fn probe(&self) -> Result<String, EngineError> {
        let Software { version, gpu, .. } = self.software("*")?;
        Ok(format!("{} on {} (compute capability {})", version.title(), gpu.name, gpu.capability))
    }

    fn load(&self, manifest: &Manifest) -> Result<Box<dyn Engine>, EngineError> {
        let id = manifest.id.as_str();
        let Kind::Network(network) = &manifest.kind else {
            return Err(model_error(
                id,
                Path::new("engine.toml"),
                "an ensemble is no network; load its members".into(),
            ));
        };
        let software = self.software(id)?;
        TensorRtEngine::load(software, Arc::clone(&self.plans), id, network)
            .map(|engine| Box::new(engine) as Box<dyn Engine>)
    }
}

fn model_error(id: &str, path: &Path, reason: String) -> EngineError {
    EngineError::Model { id: id.to_owned(), path: path.display().to_string(), reason }
}
