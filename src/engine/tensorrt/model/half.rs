//! A float32 model stored in half precision. Pure.
//!
//! TensorRT 11 and RTX compute in what the model says; there is no flag for half precision.
//! Constants become float16, inputs and outputs stay float32 behind a Cast, so nothing outside
//! notices. Operators that name a kind of number themselves, or want float32 for an input, are
//! refused rather than guessed at.

use std::collections::{HashMap, HashSet};

use super::Refused;
use super::find::Names;
use super::numbers::{FLOAT, FLOAT16, half_bits};
use super::proto::{Attribute, Model, Node, Tensor, ValueInfo};

/// Operators that are not rewritten.
const UNFIT: [&str; 14] = [
    "Bernoulli",
    "Cast",
    "ConstantOfShape",
    "DequantizeLinear",
    "EyeLike",
    "MelWeightMatrix",
    "Multinomial",
    "QuantizeLinear",
    "RandomNormal",
    "RandomUniform",
    "Range",
    "Resize",
    "SequenceEmpty",
    "Upsample",
];
/// `AttributeProto.AttributeType.INT`.
const INT: i32 = 2;

/// Rewrites `model`; false if there is nothing of float32 in it.
pub(super) fn halve(model: &mut Model) -> Result<bool, Refused> {
    let Some(graph) = &mut model.graph else { return Ok(false) };
    let mut names = Names::of(graph);
    let mut changed = false;
    for node in &mut graph.node {
        if UNFIT.contains(&node.kind()) || node.holds_graph() {
            return Err(
                node.refused("is not rewritten for half precision; use fp32, or store the model in half precision yourself")
            );
        }
        if node.is("Constant") {
            if node.attribute("value_float").or(node.attribute("value_floats")).is_some() {
                return Err(node.refused(
                    "has its numbers in an attribute; that is not rewritten for half precision",
                ));
            }
            for tensor in node.attribute.iter_mut().filter_map(|attribute| attribute.t.as_mut()) {
                changed |= halve_tensor(tensor)?;
            }
        }
    }
    let inputs: HashSet<&str> = graph
        .input
        .iter()
        .filter(|input| is_float(input))
        .filter_map(|input| input.name.as_deref())
        .collect();
    if let Some(tensor) = graph.initializer.iter().find(|tensor| inputs.contains(tensor.called())) {
        let why = "is an input, too; save the model with constants that are none".to_owned();
        return Err(Refused::Tensor { tensor: super::find::shown(tensor.called()), why });
    }
    for tensor in &mut graph.initializer {
        changed |= halve_tensor(tensor)?;
    }
    let called = |values: &[ValueInfo]| -> Vec<String> {
        values
            .iter()
            .filter(|value| is_float(value))
            .filter_map(|value| value.name.clone())
            .collect()
    };
    let (before, after) = (called(&graph.input), called(&graph.output));
    let mut inner = HashMap::new();
    for name in before.iter().chain(&after) {
        let fresh = names.fresh(&format!("{name}_half"));
        inner.entry(name.clone()).or_insert(fresh);
    }
    for name in graph.node.iter_mut().flat_map(|node| node.input.iter_mut().chain(&mut node.output))
    {
        if let Some(inside) = inner.get(name) {
            name.clone_from(inside);
        }
    }
    for tensor in &mut graph.initializer {
        // A constant that is an output.
        if let Some(inside) = tensor.name.as_ref().and_then(|name| inner.get(name)) {
            tensor.name = Some(inside.clone());
        }
    }
    let mut cast = |from: &str, to: &str, kind| {
        let to_kind = Attribute {
            name: Some("to".to_owned()),
            i: Some(kind),
            kind: Some(INT),
            ..Attribute::default()
        };
        Node {
            input: vec![from.to_owned()],
            output: vec![to.to_owned()],
            name: Some(names.fresh(&format!("{to}_cast"))),
            op_type: Some("Cast".to_owned()),
            attribute: vec![to_kind],
            ..Node::default()
        }
    };
    let heads: Vec<Node> =
        before.iter().map(|name| cast(name, &inner[name], i64::from(FLOAT16))).collect();
    // One that goes straight through is a Cast there and back.
    let tails: Vec<Node> = after
        .iter()
        .filter(|name| !before.contains(name))
        .map(|name| cast(&inner[name], name, i64::from(FLOAT)))
        .collect();
    changed |= !heads.is_empty() || !tails.is_empty();
    graph.node = heads.into_iter().chain(std::mem::take(&mut graph.node)).chain(tails).collect();
    graph.value_info.retain(|value| !is_float(value));
    Ok(changed)
}

fn is_float(value: &ValueInfo) -> bool {
    let tensor = value.r#type.as_ref().and_then(|one| one.tensor_type.as_ref());
    tensor.and_then(|tensor| tensor.elem_type) == Some(FLOAT)
}

fn halve_tensor(tensor: &mut Tensor) -> Result<bool, Refused> {
    if tensor.kind() != FLOAT {
        return Ok(false);
    }
    let raw = tensor.floats()?.iter().flat_map(|value| half_bits(*value).to_le_bytes()).collect();
    (tensor.data_type, tensor.raw_data) = (Some(FLOAT16), Some(raw));
    tensor.float_data.clear();
    Ok(true)
}
