//! From an ONNX model to a plan, by the TensorRT of this machine.
//!
//! An edge module, and only the building: what to build, where plans are kept and when to build one
//! are others' affairs. Slow, and not for the daemon's own process: TensorRT needs hundreds of
//! megabytes for it and may take the process with it.

use std::path::{Path, PathBuf};

use super::raw::build::{Feed, Order};
use super::raw::library::Library;
use super::software::{self, Found, Missing, Options, or};

/// What to build.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// The model.
    pub onnx: &'a [u8],
    /// Most memory that kernels may use while they run, bytes; `None`: TensorRT's own limit.
    pub workspace: Option<u64>,
    /// Half precision is allowed. TensorRT 11 takes precisions from the model alone.
    pub fp16: bool,
    /// int8 is allowed, by scales in the model or by `calibration`.
    pub int8: bool,
    /// Which DLA core is to run it; `None`: the GPU.
    pub dla_core: Option<u8>,
    /// Compute capability to build for; `None`: this machine's GPU. Only TensorRT-RTX can build for
    /// another.
    pub capability: Option<(u8, u8)>,
    /// What earlier builds measured of kernels.
    pub timing: Option<&'a [u8]>,
    /// A calibration cache.
    pub calibration: Option<&'a [u8]>,
    /// Pictures a run, 1 or more.
    pub batch: u16,
    /// Floats of one picture.
    pub values: usize,
}

/// What was built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The plan's bytes.
    pub bytes: Vec<u8>,
    /// What was measured of kernels, for the next build.
    pub timing: Option<Vec<u8>>,
    /// The calibration cache, as TensorRT wrote it, if scales were learned.
    pub calibration: Option<Vec<u8>>,
    /// Its inputs and outputs; empty if it is for another GPU than this machine's.
    pub tensors: Vec<Tensor>,
}

/// An input or output of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tensor {
    /// Its name.
    pub name: String,
    /// Input or output.
    pub is_input: bool,
    /// Its sides, -1 where open.
    pub dims: Vec<i64>,
}

/// What this machine's GPU and TensorRT can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Abilities {
    /// Half precision is fast; `None`: this TensorRT does not say.
    pub fast_fp16: Option<bool>,
    /// int8 is fast.
    pub fast_int8: Option<bool>,
    /// Deep-learning accelerators.
    pub dla_cores: u32,
}

/// Why there is no plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoPlan {
    /// TensorRT cannot be used.
    #[error(transparent)]
    Missing(#[from] Missing),
    /// It can be used, but not for building.
    #[error("TensorRT {version} cannot build here: {reason}")]
    Unable {
        /// TensorRT's version.
        version: String,
        /// Why.
        reason: String,
    },
    /// It refused, or was told to give up.
    #[error("TensorRT {version} makes no plan of it: {reason}")]
    Refused {
        /// TensorRT's version.
        version: String,
        /// Its own words.
        reason: String,
    },
}

/// The ONNX parser that belongs to a TensorRT library: beside it, of the same number.
pub fn parser_of(library: &Path) -> PathBuf {
    let name =
        library.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let name = match name.strip_prefix("libtensorrt_rtx") {
        Some(rest) => format!("libtensorrt_onnxparser_rtx{rest}"),
        None => name.replacen("libnvinfer", "libnvonnxparser", 1),
    };
    library.with_file_name(name)
}

/// What the machine can do, asked of TensorRT.
pub fn abilities(options: &Options) -> Result<Abilities, NoPlan> {
    let software = software::open(options, &mut Found::default())?;
    let version = software.version.to_string();
    let unable = |reason| NoPlan::Unable { version: version.clone(), reason };
    let _turn = software.device.enter().map_err(|error| unable(error.to_string()))?;
    let builder = software.builder().map_err(&unable)?;
    let platform = builder
        .platform()
        .ok_or_else(|| unable(or(software.log.drain(), "it does not say why")))?;
    Ok(Abilities {
        fast_fp16: platform.fast_fp16,
        fast_int8: platform.fast_int8,
        dla_cores: platform.dla_cores,
    })
}

/// Builds. `heard` is told of each step (phase, steps done, steps in all, 0 if unknown) from any
/// thread, and says whether to go on.
pub fn build(
    options: &Options,
    wanted: &Wanted<'_>,
    heard: &mut (dyn FnMut(&str, i32, i32) -> bool + Send),
) -> Result<Plan, NoPlan> {
    made(options, wanted, None, heard)
}

/// Builds for int8 with scales that are learned from pictures: `feed` fills the tensor of the next
/// one, as preprocessing makes it, and is false when there are no more. TensorRT 11 and RTX have no
/// such thing and say so.
pub fn calibrate(
    options: &Options,
    wanted: &Wanted<'_>,
    feed: &mut (dyn FnMut(&mut [f32]) -> bool + Send),
    heard: &mut (dyn FnMut(&str, i32, i32) -> bool + Send),
) -> Result<Plan, NoPlan> {
    made(options, wanted, Some(feed), heard)
}

fn made(
    options: &Options,
    wanted: &Wanted<'_>,
    feed: Option<Feed<'_>>,
    heard: &mut (dyn FnMut(&str, i32, i32) -> bool + Send),
) -> Result<Plan, NoPlan> {
    let software = software::open(options, &mut Found::default())?;
    let version = software.version.to_string();
    let unable = |reason| NoPlan::Unable { version: version.clone(), reason };
    let turn = software.device.enter().map_err(|error| unable(error.to_string()))?;
    let builder = software.builder().map_err(&unable)?;
    let parser = Library::open(&parser_of(&software.library))
        .and_then(|library| library.entry("createNvOnnxParser_INTERNAL"));
    let parser = parser.map_err(|reason| unable(format!("no ONNX parser: {reason}")))?;
    let order = Order {
        onnx: wanted.onnx,
        workspace: wanted.workspace.unwrap_or(0),
        fp16: wanted.fp16,
        int8: wanted.int8,
        dla_core: wanted.dla_core.map(i32::from),
        capability: wanted
            .capability
            .map(|(major, minor)| 10 * i32::from(major) + i32::from(minor)),
        timing: wanted.timing,
        calibration: wanted.calibration,
        batch: i32::from(wanted.batch),
        values: wanted.values,
    };
    software.log.drain();
    let product = builder
        .build(&turn, parser, &order, feed, heard)
        .map_err(|error| unable(error.to_string()))?;
    let said = software.log.drain();
    let refused = |reason| NoPlan::Refused { version: version.clone(), reason };
    let product = product.ok_or_else(|| refused(or(said, "it does not say why")))?;
    let some = |bytes: Vec<u8>| Some(bytes).filter(|bytes| !bytes.is_empty());
    // What the runtime will make of it; one that was built for another GPU cannot be asked.
    let mut runtime = software.runtime(&turn).map_err(&unable)?;
    let tensors = match runtime.as_mut().and_then(|runtime| runtime.plan(&product.plan)) {
        Some(mut plan) => plan.tensors().map_err(&refused)?,
        None if wanted.capability.is_some() => Vec::new(),
        None => {
            return Err(refused(format!(
                "its own plan does not load: {}",
                or(software.log.drain(), "it does not say why")
            )));
        }
    };
    let tensors = tensors.into_iter().map(|tensor| Tensor {
        name: tensor.name,
        is_input: tensor.is_input,
        dims: tensor.dims,
    });
    Ok(Plan {
        bytes: product.plan,
        timing: some(product.timing),
        calibration: some(product.calibration),
        tensors: tensors.collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parser_is_the_one_beside_the_library_and_of_its_number() {
        for (library, parser) in [
            ("libnvinfer.so.8", "libnvonnxparser.so.8"),
            ("/opt/trt/libnvinfer.so.10.3.0", "/opt/trt/libnvonnxparser.so.10.3.0"),
            ("/x/libtensorrt_rtx.so.1", "/x/libtensorrt_onnxparser_rtx.so.1"),
        ] {
            assert_eq!(parser_of(Path::new(library)), Path::new(parser));
        }
    }
}
