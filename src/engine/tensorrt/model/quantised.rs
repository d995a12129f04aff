//! How a tensor is quantised: what a QuantizeLinear or DequantizeLinear node says of scale and zero
//! point.
//!
//! Pure. `real = (stored - zero) * scale`, with one scale and zero point for the whole tensor or
//! one for each step along an axis. Source: ONNX operators QuantizeLinear and DequantizeLinear,
//! opset 13.

use std::collections::HashMap;

use super::Refused;
use super::numbers::{FLOAT, INT8, INT32, UINT8};
use super::proto::{Node, Tensor};

/// The setting by which a node says which numbers it makes.
pub(super) const MADE: &str = "output_dtype";

/// See the module.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Scheme {
    scale: Vec<f32>,
    zero: Vec<i32>,
    kind: i32,
    axis: i64,
}

impl Scheme {
    /// What `node` says. `stored`: the kind of what it takes, if that is known.
    pub(super) fn of(
        node: &Node,
        constants: &HashMap<&str, &Tensor>,
        stored: Option<i32>,
    ) -> Result<Self, Refused> {
        let constant = |index: usize, what: &str| match node.taken(index) {
            None => Ok(None),
            Some(name) => match constants.get(name) {
                Some(tensor) => Ok(Some(*tensor)),
                None => Err(node.refused(format!("computes its {what}; it must be constant"))),
            },
        };
        let scale = constant(1, "scale")?.ok_or_else(|| node.refused("has no scale"))?.floats()?;
        if scale.is_empty() || !scale.iter().all(|scale| is_scale(*scale)) {
            return Err(node.refused("has a scale that is not between 1.2e-38 and 1e30"));
        }
        let zero = constant(2, "zero point")?;
        // From opset 21 a node may say what it makes: of a QuantizeLinear what it stores, of the
        // other which float.
        let said =
            node.whole(MADE).and_then(|kind| i32::try_from(kind).ok()).filter(|kind| *kind != 0);
        if node.kind() != "QuantizeLinear" && said.is_some_and(|kind| kind != FLOAT) {
            return Err(node.refused("makes other numbers than float32, which is not understood"));
        }
        let said = said.filter(|_| node.kind() == "QuantizeLinear");
        let kind = zero.map(Tensor::kind).or(stored).or(said).unwrap_or(UINT8);
        if ![INT8, UINT8, INT32].contains(&kind) {
            return Err(node.refused(format!(
                "stores numbers of kind {kind}; int8, uint8 and int32 are understood"
            )));
        }
        if stored.or(said).is_some_and(|stored| stored != kind) {
            return Err(
                node.refused("has a zero point of another kind than the numbers that are stored")
            );
        }
        let zero = zero.map_or_else(|| Ok(vec![0; scale.len()]), Tensor::integers)?;
        if zero.len() != scale.len() {
            return Err(node.refused(format!(
                "has {} scales and {} zero points",
                scale.len(),
                zero.len()
            )));
        }
        if node.whole("block_size").is_some_and(|size| size != 0) {
            return Err(node.refused("quantises in blocks, which is not understood"));
        }
        Ok(Self { scale, zero, kind, axis: node.whole("axis").unwrap_or(1) })
    }

    /// The kind of the stored numbers.
    pub(super) fn kind(&self) -> i32 {
        self.kind
    }

    /// True if it says the same as `other` of a tensor.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        let axis = self.scale.len() == 1 || self.axis == other.axis;
        axis && (&self.scale, &self.zero, self.kind) == (&other.scale, &other.zero, other.kind)
    }

    /// True if it is as TensorRT takes it: int8 around zero.
    pub(super) fn is_symmetric(&self) -> bool {
        self.kind == INT8 && self.zero.iter().all(|zero| *zero == 0)
    }

    /// Lowest and highest number it can store, if it is one scheme for the whole tensor.
    pub(super) fn range(&self) -> Option<(f32, f32)> {
        let ([scale], [zero]) = (self.scale.as_slice(), self.zero.as_slice()) else { return None };
        let (low, high) = self.ends();
        Some((real(low, *zero, *scale), real(high, *zero, *scale)))
    }

    fn ends(&self) -> (i32, i32) {
        match self.kind {
            INT8 => (-128, 127),
            UINT8 => (0, 255),
            _ => (i32::MIN, i32::MAX),
        }
    }

    /// The real numbers of what is stored in a tensor with sides `dims`.
    pub(super) fn real(
        &self,
        node: &Node,
        dims: &[i64],
        stored: &[i32],
    ) -> Result<Vec<f32>, Refused> {
        let steps = self.steps(node, dims)?;
        Ok(stored
            .iter()
            .zip(steps)
            .map(|(stored, (scale, zero))| real(*stored, zero, scale))
            .collect())
    }

    /// What is left of `values` once they were stored.
    pub(super) fn rounded(
        &self,
        node: &Node,
        dims: &[i64],
        values: &[f32],
    ) -> Result<Vec<f32>, Refused> {
        let (low, high) = self.ends();
        let steps = self.steps(node, dims)?;
        let stored = |value: f32, scale: f32, zero: i32| {
            // As ONNX has it: rounded half to even, and saturated. `as` saturates, too.
            ((value / scale).round_ties_even() as i32).saturating_add(zero).clamp(low, high)
        };
        let both = values.iter().zip(steps);
        Ok(both
            .map(|(value, (scale, zero))| real(stored(*value, scale, zero), zero, scale))
            .collect())
    }

    /// Scale and zero point of each number, in the order in which they are stored.
    fn steps(
        &self,
        node: &Node,
        dims: &[i64],
    ) -> Result<impl Iterator<Item = (f32, i32)>, Refused> {
        let (mut channels, mut inner) = (1, 1);
        if self.scale.len() > 1 {
            let rank = i64::try_from(dims.len()).unwrap_or(i64::MAX);
            let axis = usize::try_from(if self.axis < 0 {
                self.axis.saturating_add(rank)
            } else {
                self.axis
            });
            let sides: Option<Vec<usize>> =
                dims.iter().map(|side| usize::try_from(*side).ok()).collect();
            let split = axis.ok().zip(sides).and_then(|(axis, sides)| {
                let inner = sides
                    .get(axis + 1..)?
                    .iter()
                    .try_fold(1_usize, |product, side| product.checked_mul(*side))?;
                Some((*sides.get(axis)?, inner))
            });
            (channels, inner) = split
                .filter(|(channels, inner)| *channels == self.scale.len() && *inner > 0)
                .ok_or_else(|| {
                    node.refused(format!(
                        "has {} scales along axis {}, which does not fit",
                        self.scale.len(),
                        self.axis
                    ))
                })?;
        }
        let step = move |index: usize| {
            (self.scale[index / inner % channels], self.zero[index / inner % channels])
        };
        Ok((0..usize::MAX).map(step))
    }
}

/// True for what counts as a scale.
pub(super) fn is_scale(scale: f32) -> bool {
    scale.is_normal() && scale > 0.0 && scale < 1e30
}

fn real(stored: i32, zero: i32, scale: f32) -> f32 {
    // In float32, as ONNX Runtime computes it; the difference of two int32 may need one bit more.
    (i64::from(stored) - i64::from(zero)) as f32 * scale
}
