//! All that is known of a plan, as a JSON file beside it, and what keeps a plan from being used
//! here. Pure.
//!
//! TensorRT takes a plan for granted, so everything is checked against this before a byte reaches
//! it. Who reads and writes the files is [`super::cache`]. Versioned; read strictly, for the folder
//! may be anybody's.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::name::{Capability, Device, Key, Precision, Sha256};
use super::text::{self, Check, RawTarget, VERSION};
pub use super::text::{MAX_TEXT, TextError};
use crate::engine::tensorrt::version::Version;

/// Largest plan, bytes.
pub const MAX_PLAN: u64 = 4 << 30;
/// Most inputs and outputs of a plan.
const MAX_TENSORS: usize = 64;
/// Most axes of one.
const MAX_RANK: usize = 8;

/// What a plan is built for: the key, the machine, the options. While it stays the same, building
/// again gives nothing new.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    /// What tells plans apart.
    pub key: Key,
    /// Shape of the input, batch first, each 1..=65536. A model may leave it open; a plan does not.
    pub input: [u32; 4],
    /// Which version of [`crate::engine::tensorrt::model`] rewrote the model, 1 or more; `None`
    /// where TensorRT was handed the file as it is, and in what was written before this was noted.
    pub rewriting: Option<u32>,
    /// The GPU, as the driver names it.
    pub gpu: String,
    /// Driver or L4T release, if known.
    pub driver: Option<String>,
    /// The builder's options, each a word such as `workspace-256-mib`.
    pub flags: Vec<String>,
}

/// An input or output of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Tensor {
    /// Its name in the model.
    pub name: String,
    /// Input or output.
    pub input: bool,
    /// Its axes, -1 where open.
    pub dims: Vec<i64>,
}

/// How fast it ran here.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measured {
    /// Median of a run.
    pub p50: Duration,
    /// 95th percentile.
    pub p95: Duration,
}

/// See the module.
#[derive(Clone, Debug, PartialEq)]
pub struct Sidecar {
    /// The engine it was built for, and the folder it lies in.
    pub model: String,
    /// What it was built for.
    pub target: Target,
    /// sha256 of the plan.
    pub plan_sha256: Sha256,
    /// Length of the plan, 1..=[`MAX_PLAN`].
    pub plan_bytes: u64,
    /// The CUDA that built it, such as 10.2; if known.
    pub cuda: Option<String>,
    /// Its inputs and outputs.
    pub tensors: Vec<Tensor>,
    /// When it was built, seconds since 1970.
    pub built_at_s: u64,
    /// How long that took.
    pub build: Duration,
    /// How fast it is; `None` until it ran.
    pub measured: Option<Measured>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Raw {
    v: u32,
    model: String,
    target: RawTarget,
    plan_sha256: String,
    plan_bytes: u64,
    cuda: Option<String>,
    tensors: Vec<Tensor>,
    built_at_unix_s: u64,
    build_ms: u64,
    measured: Option<RawMeasured>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct RawMeasured {
    p50_us: u64,
    p95_us: u64,
}

/// Whole microseconds, all there is room for.
fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

impl Sidecar {
    /// As JSON, for people too.
    pub fn to_json(&self) -> String {
        let raw = Raw {
            v: VERSION,
            model: self.model.clone(),
            target: RawTarget::of(&self.target),
            plan_sha256: self.plan_sha256.to_string(),
            plan_bytes: self.plan_bytes,
            cuda: self.cuda.clone(),
            tensors: self.tensors.clone(),
            built_at_unix_s: self.built_at_s,
            build_ms: micros(self.build) / 1000,
            measured: self.measured.map(|Measured { p50, p95 }| RawMeasured {
                p50_us: micros(p50),
                p95_us: micros(p95),
            }),
        };
        serde_json::to_string_pretty(&raw).expect("plain numbers and texts") + "\n"
    }

    /// Reads what [`Self::to_json`] wrote. `origin` is the file's name for the errors. Untrusted:
    /// everything is checked.
    pub fn from_json(text: &str, origin: &str) -> Result<Self, TextError> {
        let raw: Raw = text::read(text, origin)?;
        let check = Check { origin };
        check.within("tensors: number", raw.tensors.len(), 0..=MAX_TENSORS)?;
        for Tensor { name, dims, .. } in &raw.tensors {
            check.name("tensors.name", name.clone())?;
            check.within("tensors.dims: number", dims.len(), 0..=MAX_RANK)?;
            dims.iter()
                .try_for_each(|dim| check.within("tensors.dims", *dim, -1..=1 << 32).map(|_| ()))?;
        }
        let measured = raw.measured.map(|RawMeasured { p50_us, p95_us }| {
            check.within("measured.p50-us", p50_us, 1..=600_000_000)?;
            check.within("measured.p95-us", p95_us, p50_us..=600_000_000)?;
            Ok(Measured { p50: Duration::from_micros(p50_us), p95: Duration::from_micros(p95_us) })
        });
        Ok(Self {
            model: check.model(raw.model)?,
            target: raw.target.resolve(check)?,
            plan_sha256: check.parse("plan-sha256", &raw.plan_sha256)?,
            plan_bytes: check.within("plan-bytes", raw.plan_bytes, 1..=MAX_PLAN)?,
            cuda: check.maybe_name("cuda", raw.cuda)?,
            tensors: raw.tensors,
            built_at_s: check.within("built-at-unix-s", raw.built_at_unix_s, 0..=1 << 40)?,
            build: Duration::from_millis(check.within("build-ms", raw.build_ms, 0..=1 << 32)?),
            measured: measured.transpose()?,
        })
    }

    /// All that is otherwise here; empty if the plan is just what is wanted. The driver may differ:
    /// plans outlive it.
    pub fn mismatches(&self, wanted: &Target) -> Vec<Mismatch> {
        let (Target { key: was, gpu, flags, .. }, is) = (&self.target, &wanted.key);
        let mut found = Vec::new();
        let mut note = |differs: bool, mismatch: Mismatch| {
            if differs {
                found.push(mismatch);
            }
        };
        note(
            was.tensorrt != is.tensorrt,
            Mismatch::TensorRt { built: was.tensorrt, here: is.tensorrt },
        );
        note(
            was.capability != is.capability,
            Mismatch::Capability { built: was.capability, here: is.capability },
        );
        let same_sort = was.capability == is.capability;
        note(
            same_sort && *gpu != wanted.gpu,
            Mismatch::Gpu { built: gpu.clone(), here: wanted.gpu.clone() },
        );
        note(was.device != is.device, Mismatch::Device { built: was.device, here: is.device });
        note(
            was.source != is.source,
            Mismatch::Source { built: was.source.clone(), here: is.source.clone() },
        );
        let (built, here) = (self.target.rewriting, wanted.rewriting);
        // There it goes by the precision whether a model is rewritten, and another precision is
        // told of below.
        let by_precision = was.precision != is.precision
            && is.tensorrt.types_strongly()
            && (built.is_none() || here.is_none());
        note(built != here && !by_precision, Mismatch::Rewriting { built, here });
        let input = self.target.input;
        note(
            was.batch == is.batch && input != wanted.input,
            Mismatch::Input { built: input, here: wanted.input },
        );
        note(was.batch != is.batch, Mismatch::Batch { built: was.batch, here: is.batch });
        note(
            was.precision != is.precision,
            Mismatch::Precision { built: was.precision, here: is.precision },
        );
        note(was.calibration != is.calibration, Mismatch::Calibration);
        note(
            *flags != wanted.flags,
            Mismatch::Flags { built: flags.clone(), here: wanted.flags.clone() },
        );
        found
    }
}

/// One thing that a plan was built for and that is otherwise here.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "`built`: what it was built for; `here`: what is here")]
pub enum Mismatch {
    /// Another TensorRT.
    TensorRt { built: Version, here: Version },
    /// A GPU of another generation.
    Capability { built: Capability, here: Capability },
    /// Another GPU of the same generation.
    Gpu { built: String, here: String },
    /// Another part of the board.
    Device { built: Device, here: Device },
    /// Another model file.
    Source { built: Sha256, here: Sha256 },
    /// The model is rewritten in another way.
    Rewriting { built: Option<u32>, here: Option<u32> },
    /// Another size of picture.
    Input { built: [u32; 4], here: [u32; 4] },
    /// Another batch.
    Batch { built: u16, here: u16 },
    /// Another precision.
    Precision { built: Precision, here: Precision },
    /// Other scales for int8.
    Calibration,
    /// Other options.
    Flags { built: Vec<String>, here: Vec<String> },
}

impl Mismatch {
    /// True if the plan still runs here and answers as the model does: it may serve until a better
    /// one is built.
    pub fn still_serves(&self) -> bool {
        matches!(self, Self::Precision { .. } | Self::Calibration | Self::Flags { .. })
    }
}

/// A clause for a person, to be followed by what is done about it.
impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shape = |dims: &[u32; 4]| dims.map(|dim| dim.to_string()).join("x");
        let rewritten = |version: &Option<u32>, without: &str| match version {
            Some(version) => format!("rewritten by version {version}"),
            None => without.to_owned(),
        };
        let list =
            |flags: &[String]| if flags.is_empty() { "no options".into() } else { flags.join(" ") };
        match self {
            Self::TensorRt { built, here } => {
                write!(f, "built by TensorRT {built}, this is {here}")
            }
            Self::Capability { built, here } => {
                write!(f, "built for compute capability {built}, this GPU has {here}")
            }
            Self::Gpu { built, here } => write!(f, "built for {built}, this GPU is {here}"),
            Self::Device { built, here } => write!(f, "built for {built}, wanted is {here}"),
            Self::Source { built, here } => {
                write!(f, "built from model {}, the model now is {}", built.short(), here.short())
            }
            Self::Rewriting { built, here } => {
                let built =
                    rewritten(built, "as it is, or rewritten by a version that was not noted");
                write!(
                    f,
                    "built from the model {built}, now it is {}",
                    rewritten(here, "handed on as it is")
                )
            }
            Self::Input { built, here } => {
                write!(f, "built for an input of {}, wanted is {}", shape(built), shape(here))
            }
            Self::Batch { built, here } => {
                write!(f, "built for batches of {built}, wanted is {here}")
            }
            Self::Precision { built, here } => write!(f, "built for {built}, wanted is {here}"),
            Self::Calibration => f.write_str("built with another calibration"),
            Self::Flags { built, here } => {
                write!(f, "built with {}, wanted is {}", list(built), list(here))
            }
        }
    }
}

#[cfg(test)]
#[path = "sidecar_tests.rs"]
pub(super) mod tests;
