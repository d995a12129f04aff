//! Memory for inputs and outputs in the numbers that a model has: float32, float16, uint8, int8.
//!
//! Squint works in float32; a model in other numbers has memory of its own beside it, filled before
//! a run and read after one. Allocates nothing once made.

use half::f16;
use half::slice::HalfFloatSliceExt as _;
use ort::memory::Allocator;
use ort::session::SessionInputValue;
use ort::value::{DynValue, Tensor};

use super::super::fit::Element;
use super::super::manifest::Steps;

/// A model's input.
pub(super) enum Input {
    /// Written to in place.
    Float32(Tensor<f32>),
    /// Written to beside it.
    Float16(Vec<f32>, Tensor<f16>),
    Uint8(Vec<f32>, Tensor<u8>),
    Int8(Vec<f32>, Tensor<i8>),
}

impl Input {
    /// All zero.
    pub(super) fn new(element: Element, shape: [usize; 4]) -> ort::Result<Self> {
        let allocator = Allocator::default();
        let beside = || vec![0.0; shape.iter().product()];
        let mut input = match element {
            Element::Float32 => Self::Float32(Tensor::new(&allocator, shape)?),
            Element::Float16 => Self::Float16(beside(), Tensor::new(&allocator, shape)?),
            Element::Uint8 => Self::Uint8(beside(), Tensor::new(&allocator, shape)?),
            Element::Int8 => Self::Int8(beside(), Tensor::new(&allocator, shape)?),
        };
        input.values().fill(0.0);
        input.hand_over();
        Ok(input)
    }

    /// Where the picture is written to.
    pub(super) fn values(&mut self) -> &mut [f32] {
        match self {
            Self::Float32(tensor) => tensor.extract_tensor_mut().1,
            Self::Float16(values, _) | Self::Uint8(values, _) | Self::Int8(values, _) => values,
        }
    }

    /// Writes the picture in the model's numbers: rounded, and whole numbers held within their
    /// range.
    pub(super) fn hand_over(&mut self) {
        match self {
            Self::Float32(_) => {}
            Self::Float16(values, tensor) => {
                tensor.extract_tensor_mut().1.convert_from_f32_slice(values)
            }
            // A cast from float to whole numbers saturates.
            Self::Uint8(values, tensor) => {
                tensor
                    .extract_tensor_mut()
                    .1
                    .iter_mut()
                    .zip(values)
                    .for_each(|(to, value)| *to = value.round() as u8);
            }
            Self::Int8(values, tensor) => {
                tensor
                    .extract_tensor_mut()
                    .1
                    .iter_mut()
                    .zip(values)
                    .for_each(|(to, value)| *to = value.round() as i8);
            }
        }
    }

    /// What a run takes.
    pub(super) fn value(&self) -> SessionInputValue<'_> {
        match self {
            Self::Float32(tensor) => tensor.into(),
            Self::Float16(_, tensor) => tensor.into(),
            Self::Uint8(_, tensor) => tensor.into(),
            Self::Int8(_, tensor) => tensor.into(),
        }
    }
}

/// Memory for an output.
pub(super) fn empty(element: Element, shape: &[usize]) -> ort::Result<DynValue> {
    let (allocator, shape) = (Allocator::default(), shape.to_vec());
    Ok(match element {
        Element::Float32 => Tensor::<f32>::new(&allocator, shape)?.into_dyn(),
        Element::Float16 => Tensor::<f16>::new(&allocator, shape)?.into_dyn(),
        Element::Uint8 => Tensor::<u8>::new(&allocator, shape)?.into_dyn(),
        Element::Int8 => Tensor::<i8>::new(&allocator, shape)?.into_dyn(),
    })
}

/// Reads an output as real numbers into `scores`; returns how many it holds. Writes nothing if
/// `scores` is of another length.
pub(super) fn read(
    value: &DynValue,
    element: Element,
    steps: Option<Steps>,
    scores: &mut [f32],
) -> ort::Result<usize> {
    let real = |number: i16| match steps {
        Some(Steps { scale, zero_point }) => f32::from(number - zero_point) * scale,
        None => f32::from(number),
    };
    Ok(match element {
        Element::Float32 => {
            let held = value.try_extract_tensor::<f32>()?.1;
            if held.len() == scores.len() {
                scores.copy_from_slice(held);
            }
            held.len()
        }
        Element::Float16 => {
            let held = value.try_extract_tensor::<f16>()?.1;
            if held.len() == scores.len() {
                held.convert_to_f32_slice(scores);
            }
            held.len()
        }
        Element::Uint8 => {
            whole(value.try_extract_tensor::<u8>()?.1, |number| real(i16::from(*number)), scores)
        }
        Element::Int8 => {
            whole(value.try_extract_tensor::<i8>()?.1, |number| real(i16::from(*number)), scores)
        }
    })
}

fn whole<T>(held: &[T], real: impl Fn(&T) -> f32, scores: &mut [f32]) -> usize {
    if held.len() == scores.len() {
        scores.iter_mut().zip(held).for_each(|(score, number)| *score = real(number));
    }
    held.len()
}
