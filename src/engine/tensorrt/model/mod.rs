//! An ONNX model made ready for TensorRT: the same network, in numbers that this TensorRT and this
//! GPU take.
//!
//! Pure: bytes in, bytes out. The shipped int8 models are written for ONNX Runtime: activations in
//! uint8 with a zero point, weights in int8, biases in int32. TensorRT refuses that, for it wants
//! int8 around zero and biases in float32; and TX2, TX1 and Nano have no int8 at all. So [`plain`]
//! takes the quantisation out, [`symmetric`] makes it TensorRT's, and [`half`] stores a float32
//! model in half precision for the versions that take precisions from the model alone. [`prepared`]
//! says which of them it takes. The source of a plan stays the file as it is shipped: its sha256 is
//! that of the original.
//!
//! What is not understood is refused by the name of its node or tensor, and nothing is guessed.

mod ends;
mod find;
mod half;
mod numbers;
mod proto;
mod quantised;
mod rewrite;
mod sides;

use std::borrow::Cow;

use super::plan::name::Precision;
use super::version::Version;
use proto::Model;
use rewrite::Way;

/// The version of the rewriting. Raise it whenever something else is made of a model: plans made
/// before are then built anew.
pub const REWRITING: u32 = 1;
/// Largest model that is rewritten, bytes.
pub const MAX_BYTES: usize = 1 << 30;
/// Most fields that a model to be rewritten may have, in all its messages. An EfficientNet has five
/// thousand.
pub const MAX_FIELDS: usize = 1_000_000;
/// Most numbers that rewriting may add, over all tensors: 1 GiB of float32.
pub const MAX_NUMBERS: usize = 1 << 28;

/// Why a model is not rewritten.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The whole of it.
    #[error("the model {0}")]
    Model(String),
    /// One node.
    #[error("node `{node}` ({kind}) {why}")]
    Node {
        /// Its name, or that of its first output.
        node: String,
        /// Its operator.
        kind: String,
        /// What is wrong with it, and what to do.
        why: String,
    },
    /// One constant.
    #[error("constant `{tensor}` {why}")]
    Tensor {
        /// Its name.
        tensor: String,
        /// What is wrong with it.
        why: String,
    },
}

/// The model as it is to be handed to TensorRT's parser. `input`: the sides that the plan is for,
/// as in its target; open sides of the model, but for the first, are fixed to them. Borrowed if it
/// is right as it is.
///
/// | model | fp32 | fp16 | int8 |
/// |---|---|---|---|
/// | with Q and DQ nodes | [`plain`] | [`plain`]; TensorRT 11 and RTX: and [`half`] | [`symmetric`] |
/// | without | as it is | as it is; TensorRT 11 and RTX: [`half`] | as it is, for calibration; TensorRT 11 and RTX: refused |
pub fn prepared<'a>(
    onnx: &'a [u8],
    input: &[u32; 4],
    precision: Precision,
    tensorrt: Version,
) -> Result<Cow<'a, [u8]>, Refused> {
    let mut model = find::read(onnx)?;
    ends::check(&model)?;
    let fixed = sides::fix(&mut model, input);
    let way = if precision == Precision::Int8 { Way::Symmetric } else { Way::Plain };
    let quantised = rewrite::rewrite(&mut model, way)?;
    let halved = match precision {
        Precision::Fp16 if tensorrt.types_strongly() => half::halve(&mut model)?,
        Precision::Int8 if tensorrt.types_strongly() && !quantised => {
            let why = format!(
                "has no Q and DQ nodes; {} calibrates no networks and takes int8 from these alone; use fp16",
                tensorrt.title()
            );
            return Err(Refused::Model(why));
        }
        _ => false,
    };
    Ok(written(onnx, &model, fixed || quantised || halved))
}

/// [`REWRITING`] if [`prepared`] rewrites such a model, `None` if it is handed on as it is.
/// `quantised`: it has Q and DQ nodes, as its manifest says. Open sides that are fixed do not
/// count: what comes of those is seen when a plan is loaded.
pub fn rewriting(quantised: bool, precision: Precision, tensorrt: Version) -> Option<u32> {
    let halved = precision == Precision::Fp16 && tensorrt.types_strongly();
    (quantised || halved).then_some(REWRITING)
}

/// Without quantisation: constants in float32, and where activations were quantised their range is
/// kept by a Clip. The answers are those of the quantised model but for its rounding.
pub fn plain(onnx: &[u8]) -> Result<Cow<'_, [u8]>, Refused> {
    through(onnx, |model| rewrite::rewrite(model, Way::Plain))
}

/// Quantised as TensorRT takes it: activations in int8 around zero, with a Clip where they were
/// not, and biases in float32. Weights stay as they are. Refused if their zero point is not 0.
pub fn symmetric(onnx: &[u8]) -> Result<Cow<'_, [u8]>, Refused> {
    through(onnx, |model| rewrite::rewrite(model, Way::Symmetric))
}

/// Float32 constants in half precision, with a Cast behind each input and before each output, which
/// stay float32. Refused if the model is quantised.
pub fn half(onnx: &[u8]) -> Result<Cow<'_, [u8]>, Refused> {
    through(onnx, half::halve)
}

fn through(
    onnx: &[u8],
    change: impl FnOnce(&mut Model) -> Result<bool, Refused>,
) -> Result<Cow<'_, [u8]>, Refused> {
    let mut model = find::read(onnx)?;
    let changed = change(&mut model)?;
    Ok(written(onnx, &model, changed))
}

fn written<'a>(onnx: &'a [u8], model: &Model, changed: bool) -> Cow<'a, [u8]> {
    if changed { Cow::Owned(prost::Message::encode_to_vec(model)) } else { Cow::Borrowed(onnx) }
}

#[cfg(test)]
mod tests;
