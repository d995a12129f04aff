//! Builds plans with the TensorRT of this machine, as [`super::plan::build`] asks for them, and
//! says what machine it is.
//!
//! An edge module without a decision: what to build is in the request, [`super::build`] does it,
//! [`measure`](super::measure) tries it. For a process of its own only.

use std::sync::Arc;

use super::build::{self, NoPlan, Wanted};
use super::calibration::pictures::Feed;
use super::plan::build::{BuildError, Builder, Built, Hear, Host, Progress, Request};
use super::plan::name::{Device, Precision};
use super::plan::sidecar::Tensor;
use super::software::{self, Found, Options};
use super::{Here, Plans, TensorRt, measure, model};
use crate::engine::manifest::{Manifest, Network};
use crate::engine::{Backend, Engine, EngineError};

/// TensorRT and the GPU that `found` tells of, as far as plans depend on them; `None` if it does
/// not tell enough.
pub fn host(found: &Found) -> Option<Host> {
    let gpu = found.gpus.first()?;
    Some(Host {
        tensorrt: found.version.as_ref()?.parse().ok()?,
        capability: gpu.capability.parse().ok()?,
        gpu: gpu.name.clone(),
        driver: found.cuda.as_ref().map(|cuda| format!("CUDA {cuda}")),
    })
}

/// The same for a TensorRT that is open.
pub fn host_of(here: &Here) -> Option<Host> {
    let capability = here.gpu.capability.parse().ok()?;
    Some(Host { tensorrt: here.version, capability, gpu: here.gpu.name.clone(), driver: None })
}

/// Loads a plan from its bytes, as it would be loaded from a file.
pub fn load(
    options: &Options,
    manifest: &Manifest,
    plan: &[u8],
) -> Result<Box<dyn Engine>, EngineError> {
    TensorRt::new(options.clone(), Arc::new(Bytes(plan.to_vec()))).load(manifest)
}

/// A plan at hand.
struct Bytes(Vec<u8>);

impl Plans for Bytes {
    fn plan_for(
        &self,
        _id: &str,
        _network: &Network,
        _here: &Here,
    ) -> Result<Vec<u8>, EngineError> {
        Ok(self.0.clone())
    }
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Workshop {
    options: Options,
}

impl Workshop {
    /// With these libraries, which are opened when the first build begins.
    pub fn new(options: &Options) -> Self {
        Self { options: options.clone() }
    }

    fn made(
        &self,
        request: &Request,
        feed: Option<&mut Feed<'_>>,
        progress: &mut Hear<'_>,
    ) -> Result<(Built, Vec<u8>), BuildError> {
        let target = &request.target;
        let onnx = model::prepared(
            &request.onnx,
            &target.input,
            target.key.precision,
            target.key.tensorrt,
        )?;
        let precision = target.key.precision;
        let values: u64 = target.input[1..].iter().map(|side| u64::from(*side)).product();
        let wanted = Wanted {
            onnx: &onnx,
            workspace: request.workspace,
            // int8 leaves to half precision what it cannot do itself.
            fp16: precision != Precision::Fp32,
            int8: precision == Precision::Int8,
            dla_core: match target.key.device {
                Device::Gpu => None,
                Device::Dla(core) => Some(core),
            },
            capability: None,
            timing: request.timing.as_deref(),
            calibration: request.calibration.as_deref(),
            batch: target.key.batch,
            values: usize::try_from(values)
                .map_err(|_| BuildError::Unfit(format!("an input of {values} values")))?,
        };
        let mut heard = |phase: &str, done: i32, steps: i32| {
            let count = |number: i32| u32::try_from(number).unwrap_or(0);
            progress(Progress { phase: phase.to_owned(), done: count(done), steps: count(steps) });
            true
        };
        let plan = match feed {
            None => build::build(&self.options, &wanted, &mut heard),
            Some(feed) => build::calibrate(
                &self.options,
                &wanted,
                &mut |tensor| feed.next_into(tensor),
                &mut heard,
            ),
        };
        let plan = plan.map_err(told)?;
        progress(Progress { phase: "trial".into(), done: 0, steps: 0 });
        let measured = measure::measure(&self.options, &plan.bytes);
        if let Err(why) = &measured {
            progress(Progress { phase: format!("trial failed: {why}"), done: 0, steps: 0 });
        }
        let tensor = |tensor: build::Tensor| Tensor {
            name: tensor.name,
            input: tensor.is_input,
            dims: tensor.dims,
        };
        let mut found = Found::default();
        let cuda = software::open(&self.options, &mut found).ok().and(found.cuda);
        let tensors = plan.tensors.into_iter().map(tensor).collect();
        let built =
            Built { plan: plan.bytes, tensors, timing: plan.timing, cuda, measured: measured.ok() };
        Ok((built, plan.calibration.unwrap_or_default()))
    }
}

/// What passes is not remembered; what TensorRT says of the model is.
fn told(error: NoPlan) -> BuildError {
    match error {
        NoPlan::Missing(missing) => {
            BuildError::Missing(format!("TensorRT cannot be used: {missing}"))
        }
        NoPlan::Unable { .. } => BuildError::Missing(error.to_string()),
        NoPlan::Refused { .. } => BuildError::Failed(error.to_string()),
    }
}

impl Builder for Workshop {
    fn build(&self, request: &Request, progress: &mut Hear<'_>) -> Result<Built, BuildError> {
        self.made(request, None, progress).map(|(built, _)| built)
    }

    fn calibrate(
        &self,
        request: &Request,
        feed: &mut Feed<'_>,
        progress: &mut Hear<'_>,
    ) -> Result<(Built, Vec<u8>), BuildError> {
        self.made(request, Some(feed), progress)
    }
}

#[cfg(test)]
mod tests {
    use super::super::software::Gpu;
    use super::*;

    #[test]
    fn a_host_is_what_was_found_and_none_if_something_is_missing() {
        let gpu = Gpu { name: "Orin".into(), capability: "8.7".into(), integrated: true };
        let found = Found {
            cuda: Some("11.4".into()),
            gpus: vec![gpu],
            version: Some("8.5.2".into()),
            ..Found::default()
        };
        let known = host(&found).unwrap();
        assert_eq!(
            (known.tensorrt.to_string(), known.capability.to_string()),
            ("8.5.2".into(), "8.7".into())
        );
        assert_eq!((known.gpu.as_str(), known.driver.as_deref()), ("Orin", Some("CUDA 11.4")));
        assert_eq!(host(&Found { version: None, ..found.clone() }), None);
        assert_eq!(host(&Found { gpus: Vec::new(), ..found }), None);
    }
}
