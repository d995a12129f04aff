//! Building a plan: what is asked, what is said on the way, what comes of it, and keeping it.
//!
//! The seam to TensorRT: whoever can build is a [`Builder`] and is handed in. [`make`] lets it
//! build, checks nothing of the bytes and keeps them with all that is known, or remembers the
//! failure. An edge module: it reads the clock and writes through the cache.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::cache::{CacheError, Entry, Writer};
use super::failure::Failure;
use super::hardware::{self, Refused};
use super::name::{Capability, Device, Key, Precision, Sha256};
use super::sidecar::{MAX_PLAN, Measured, Sidecar, Target, Tensor};
use crate::engine::manifest::{Network, Precision as WeightPrecision};
use crate::engine::tensorrt::calibration::pictures::Feed;
use crate::engine::tensorrt::model;
use crate::engine::tensorrt::version::Version;

/// What is to be built.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// The engine.
    pub model: String,
    /// What for.
    pub target: Target,
    /// The model, ONNX, as it was shipped; its sha256 is the target's. What TensorRT's parser is
    /// handed is [`model::prepared`].
    pub onnx: Vec<u8>,
    /// Most memory that kernels may use while they run, bytes; `None`: TensorRT's own limit.
    pub workspace: Option<u64>,
    /// The calibration cache, for int8 without Q/DQ in the model.
    pub calibration: Option<Vec<u8>>,
    /// What earlier builds measured of kernels.
    pub timing: Option<Vec<u8>>,
}

/// How far it is.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Progress {
    /// What is being done, in TensorRT's words.
    pub phase: String,
    /// Steps done.
    pub done: u32,
    /// Steps in all; 0 if unknown.
    pub steps: u32,
}

/// Hears how far a build is, from any thread of TensorRT's.
pub type Hear<'a> = dyn FnMut(Progress) + Send + 'a;

/// What a builder made.
#[derive(Clone, Debug, PartialEq)]
pub struct Built {
    /// The plan.
    pub plan: Vec<u8>,
    /// Its inputs and outputs.
    pub tensors: Vec<Tensor>,
    /// What was measured of kernels, for the next build.
    pub timing: Option<Vec<u8>>,
    /// The CUDA that was there, such as 10.2.
    pub cuda: Option<String>,
    /// How fast it ran in a trial; `None` if there was none.
    pub measured: Option<Measured>,
}

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// TensorRT, the driver or the GPU is not there.
    #[error("{0}")]
    Missing(String),
    /// Refused before it began.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The model cannot be made ready for TensorRT.
    #[error(transparent)]
    Model(#[from] model::Refused),
    /// Cannot be asked for.
    #[error("{0}")]
    Unfit(String),
    /// The model is not the one that was asked for.
    #[error("the model has sha256 {found}, asked was for {asked}; was it changed meanwhile?")]
    OtherModel {
        /// What was asked for.
        asked: Sha256,
        /// What is there.
        found: Sha256,
    },
    /// TensorRT says no.
    #[error("{0}")]
    Failed(String),
    /// It failed before and nothing has changed since.
    #[error("failed {} {}, and nothing has changed since: {}; `--again` tries all the same", .0.times, times(.0.times), .0.cause)]
    FailedBefore(Box<Failure>),
    /// The plan cannot be kept.
    #[error(transparent)]
    Cache(#[from] CacheError),
}

fn times(count: u32) -> &'static str {
    if count == 1 { "time" } else { "times" }
}

impl BuildError {
    /// True if the same would come of the same build: it is remembered, and not tried again.
    pub fn will_last(&self) -> bool {
        matches!(self, Self::Failed(_))
    }
}

/// TensorRT and the GPU of this machine, as far as plans depend on them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// The TensorRT that was found.
    pub tensorrt: Version,
    /// The GPU's compute capability.
    pub capability: Capability,
    /// The GPU, as the driver names it.
    pub gpu: String,
    /// Driver or L4T release, if known.
    pub driver: Option<String>,
}

/// What a person or the daemon asks a build for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// What may be computed in; `None`: [`Host::usual`].
    pub precision: Option<Precision>,
    /// Pictures a run.
    pub batch: u16,
    /// Who runs it.
    pub device: Device,
    /// Most memory that kernels may use while they run, MiB.
    pub workspace_mib: Option<u32>,
}

impl Host {
    /// What an engine is built in if nobody says: int8 if its model brings scales along and the GPU
    /// has int8, else half precision where there is that, else float32. Without int8, an int8 model
    /// is built without its quantisation ([`model::plain`]).
    pub fn usual(&self, weights: WeightPrecision) -> Precision {
        match weights {
            WeightPrecision::Int8 if hardware::has_int8(self.capability) => Precision::Int8,
            _ if hardware::has_fp16(self.capability) => Precision::Fp16,
            _ => Precision::Fp32,
        }
    }

    /// What a plan of `network` is built for here. `calibration`: the cache that scales come from.
    /// Refused as in [`hardware::check`]; also int8 without any scales.
    pub fn target(
        &self,
        network: &Network,
        options: &Options,
        calibration: Option<&[u8]>,
    ) -> Result<Target, BuildError> {
        let precision = options.precision.unwrap_or_else(|| self.usual(network.precision));
        hardware::check(precision, self.capability)?;
        let brings_scales = network.precision == WeightPrecision::Int8;
        if precision == Precision::Int8 && !brings_scales && calibration.is_none() {
            let what = "int8 needs scales: make them with `squint engines calibrate`, or use fp16";
            return Err(BuildError::Unfit(what.to_owned()));
        }
        let source = network
            .sha256
            .parse()
            .map_err(|odd| BuildError::Unfit(format!("model.sha256: {odd}")))?;
        let mut input = network.input.shape().map(|dim| u32::try_from(dim).unwrap_or(u32::MAX));
        input[0] = u32::from(options.batch);
        let calibration =
            calibration.filter(|_| precision == Precision::Int8 && !brings_scales).map(Sha256::of);
        let Options { batch, device, workspace_mib, .. } = *options;
        let (tensorrt, capability) = (self.tensorrt, self.capability);
        Ok(Target {
            key: Key { source, tensorrt, capability, precision, batch, device, calibration },
            input,
            rewriting: model::rewriting(brings_scales, precision, tensorrt),
            gpu: self.gpu.clone(),
            driver: self.driver.clone(),
            flags: workspace_mib.map(|mib| format!("workspace-{mib}-mib")).into_iter().collect(),
        })
    }
}

/// Who can build plans. One build at a time; takes seconds to many minutes.
pub trait Builder {
    /// Builds `request`; `progress` hears how far it is, as often as that is known.
    fn build(&self, request: &Request, progress: &mut Hear<'_>) -> Result<Built, BuildError>;

    /// The same for int8 with scales that are learned from `feed` on the way: also the calibration
    /// cache, as TensorRT wrote it.
    fn calibrate(
        &self,
        request: &Request,
        feed: &mut Feed<'_>,
        progress: &mut Hear<'_>,
    ) -> Result<(Built, Vec<u8>), BuildError>;
}

/// Remembers a build that ended in a way that the child could not tell of itself: a crash, seen by
/// whoever started it.
pub fn remember(
    writer: &Writer,
    model: &str,
    target: &Target,
    cause: &str,
) -> Result<(), CacheError> {
    let listing = writer.cache().list(model)?;
    writer.fail(&Failure::after(listing.failure(target), model, target, cause, now_s()))
}

/// Builds, keeps, remembers. With `again`, a build that failed before is tried all the same.
pub fn make(
    builder: &dyn Builder,
    writer: &Writer,
    request: &Request,
    again: bool,
    progress: &mut Hear<'_>,
) -> Result<Entry, BuildError> {
    let Request { model, target, .. } = request;
    hardware::check(target.key.precision, target.key.capability)?;
    let found = Sha256::of(&request.onnx);
    if found != target.key.source {
        return Err(BuildError::OtherModel { asked: target.key.source.clone(), found });
    }
    let listing = writer.cache().list(model)?;
    if let Some(failure) = listing.failure(target).filter(|_| !again) {
        return Err(BuildError::FailedBefore(Box::new(failure.clone())));
    }
    let begun = Instant::now();
    let built = builder.build(request, progress).and_then(|built| match built.plan.len() as u64 {
        1..=MAX_PLAN => Ok(built),
        bytes => {
            Err(BuildError::Failed(format!("a plan of {bytes} bytes; allowed are 1 to {MAX_PLAN}")))
        }
    });
    match built {
        Ok(Built { plan, tensors, timing, cuda, measured }) => {
            if let Some(timing) = timing {
                writer.keep_timing(target.key.tensorrt, target.key.capability, &timing)?;
            }
            let sidecar = Sidecar {
                model: model.clone(),
                target: target.clone(),
                plan_sha256: Sha256::of(&plan),
                plan_bytes: plan.len() as u64,
                cuda,
                tensors,
                built_at_s: now_s(),
                // As precise as the file has it.
                build: Duration::from_millis(
                    u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
                ),
                measured,
            };
            Ok(writer.keep(&sidecar, &plan)?)
        }
        Err(error) => {
            if error.will_last() {
                remember(writer, model, target, &error.to_string())?;
            }
            Err(error)
        }
    }
}

/// Seconds since 1970.
fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::engine::manifest::{self, Kind};

    fn network(precision: &str, layout: &str) -> Network {
        let text = format!(
            "format = 1\nid = \"mine\"\nruntime = \"onnxruntime\"\n\
             [model]\nfile = \"m.onnx\"\nsha256 = \"{}\"\nprecision = \"{precision}\"\nlicence = \"MIT\"\norigin = \"a test\"\n\
             [input]\nwidth = 32\nheight = 16\nlayout = \"{layout}\"\nchannels = \"rgb\"\nmean = [0, 0, 0]\nstd = [1, 1, 1]\n\
             [output]\nkind = \"logits\"\nlabels = \"two.txt\"\n",
            "a".repeat(64)
        );
        match manifest::parse(&text, Path::new("mine/engine.toml")).unwrap().kind {
            Kind::Network(network) => *network,
            Kind::Ensemble(_) => panic!("a network"),
        }
    }

    fn host(capability: &str) -> Host {
        let (tensorrt, capability) = ("8.2.1".parse().unwrap(), capability.parse().unwrap());
        Host { tensorrt, capability, gpu: "a GPU".into(), driver: None }
    }

    const OPTIONS: Options =
        Options { precision: None, batch: 2, device: Device::Gpu, workspace_mib: Some(256) };

    #[test]
    fn without_a_wish_an_engine_is_built_in_the_best_that_gpu_and_model_have() {
        let usual = |capability, precision| {
            host(capability)
                .target(&network(precision, "nchw"), &OPTIONS, None)
                .map(|target| target.key.precision)
        };
        assert_eq!(usual("6.2", "float32").unwrap(), Precision::Fp16);
        assert_eq!(usual("6.1", "float32").unwrap(), Precision::Fp32);
        assert_eq!(usual("8.7", "int8").unwrap(), Precision::Int8);
        assert_eq!(usual("6.1", "int8").unwrap(), Precision::Int8);
        assert_eq!(usual("6.2", "int8").unwrap(), Precision::Fp16, "a TX2 has no int8");
        assert_eq!(usual("5.2", "int8").unwrap(), Precision::Fp32);
    }

    #[test]
    fn what_is_asked_for_is_built_or_refused_and_never_something_else() {
        let asked = |capability, weights, precision| {
            let options = Options { precision: Some(precision), ..OPTIONS };
            host(capability)
                .target(&network(weights, "nchw"), &options, None)
                .map(|target| target.key.precision)
        };
        let refused = asked("6.2", "int8", Precision::Int8).unwrap_err().to_string();
        assert_eq!(refused, "int8 is not available on sm_62 (Jetson TX2); use fp16");
        for precision in [Precision::Fp32, Precision::Fp16] {
            assert_eq!(
                asked("8.7", "int8", precision).unwrap(),
                precision,
                "without its quantisation"
            );
        }
    }

    #[test]
    fn a_target_has_the_inputs_shape_and_every_option() {
        let target = host("8.7").target(&network("float32", "nchw"), &OPTIONS, None).unwrap();
        assert_eq!(
            (target.input, target.flags.as_slice()),
            ([2, 3, 16, 32], &["workspace-256-mib".to_owned()][..])
        );
        let target = host("8.7").target(&network("float32", "nhwc"), &OPTIONS, None).unwrap();
        assert_eq!(target.input, [2, 16, 32, 3]);
    }

    #[test]
    fn int8_asks_for_scales_unless_the_model_brings_them() {
        let int8 = Options { precision: Some(Precision::Int8), ..OPTIONS };
        let target = |weights, scales| host("8.7").target(&network(weights, "nchw"), &int8, scales);
        let refused = target("float32", None).unwrap_err().to_string();
        assert_eq!(
            refused,
            "int8 needs scales: make them with `squint engines calibrate`, or use fp16"
        );
        assert_eq!(
            target("float32", Some(b"scales")).unwrap().key.calibration,
            Some(Sha256::of(b"scales"))
        );
        assert_eq!(target("int8", Some(b"scales")).unwrap().key.calibration, None);
        let fp16 =
            host("8.7").target(&network("float32", "nchw"), &OPTIONS, Some(b"scales")).unwrap();
        assert_eq!(fp16.key.calibration, None, "scales mean nothing to fp16");
    }

    #[test]
    fn a_target_notes_how_the_model_is_rewritten_where_it_is() {
        let noted = |tensorrt: &str, weights| {
            let host = Host { tensorrt: tensorrt.parse().unwrap(), ..host("8.7") };
            host.target(&network(weights, "nchw"), &OPTIONS, None).unwrap().rewriting
        };
        assert_eq!(
            [noted("8.2.1", "float32"), noted("8.2.1", "int8")],
            [None, Some(model::REWRITING)]
        );
        assert_eq!(noted("11.4.0", "float32"), Some(model::REWRITING), "for half precision");
    }
}
