//! Open sides of a model's inputs, fixed. Pure.
//!
//! A network that takes pictures of several sizes leaves height and width open; a plan is for one
//! size. The first side, the number of pictures, stays open if it is: whoever builds says how many.

use super::proto::{Model, ValueInfo};

/// Fixes open sides of four-sided inputs to those of `input`; true if there were any.
pub(super) fn fix(model: &mut Model, input: &[u32; 4]) -> bool {
    let Some(graph) = &mut model.graph else { return false };
    let mut fixed = false;
    for ValueInfo { r#type, .. } in &mut graph.input {
        let shape = r#type
            .as_mut()
            .and_then(|one| one.tensor_type.as_mut())
            .and_then(|tensor| tensor.shape.as_mut());
        let Some(shape) = shape.filter(|shape| shape.dim.len() == input.len()) else { continue };
        for (side, wanted) in shape.dim.iter_mut().zip(input).skip(1) {
            if side.dim_value.is_none_or(|value| value <= 0) {
                (side.dim_param, side.dim_value, fixed) = (None, Some(i64::from(*wanted)), true);
            }
        }
    }
    fixed
}
