//! Whether a model's inputs and outputs are those of a plan: one picture in, one list of scores
//! out, both float32. Pure.
//!
//! ONNX Runtime takes more (float16 and 8 bit ends, several outputs), so such an engine stays on
//! the CPU, and the reason is told before a build that would take minutes.

use std::collections::HashSet;

use super::Refused;
use super::find::shown;
use super::numbers::{FLOAT, FLOAT16, INT8, UINT8};
use super::proto::{Model, ValueInfo};

/// What to do about it.
const OTHERWISE: &str =
    "the CPU runs it as it is (`engines.runtime` = \"auto\"), or export it otherwise";

/// Refuses a model with other ends.
pub(super) fn check(model: &Model) -> Result<(), Refused> {
    let Some(graph) = &model.graph else { return Ok(()) };
    // Old models list their constants among the inputs.
    let constants: HashSet<&str> =
        graph.initializer.iter().filter_map(|tensor| tensor.name.as_deref()).collect();
    let is_constant =
        |value: &&ValueInfo| value.name.as_deref().is_some_and(|name| constants.contains(name));
    let inputs: Vec<&ValueInfo> = graph.input.iter().filter(|value| !is_constant(value)).collect();
    for (what, values) in [("inputs", inputs), ("outputs", graph.output.iter().collect())] {
        if values.len() > 1 {
            let names: Vec<_> = values.iter().map(|value| format!("`{}`", named(value))).collect();
            return Err(Refused::Model(format!(
                "has {} {what} ({}), and a plan has one; {OTHERWISE}",
                values.len(),
                names.join(", ")
            )));
        }
        for value in values {
            let element = value
                .r#type
                .as_ref()
                .and_then(|one| one.tensor_type.as_ref())
                .and_then(|tensor| tensor.elem_type);
            let kind = match element {
                None | Some(FLOAT) => continue,
                Some(FLOAT16) => "float16".into(),
                Some(UINT8) => "uint8".into(),
                Some(INT8) => "int8".into(),
                Some(other) => format!("other (ONNX type {other})"),
            };
            return Err(Refused::Model(format!(
                "has {kind} values in `{}`, and a plan has float32 there; {OTHERWISE}",
                named(value)
            )));
        }
    }
    Ok(())
}

fn named(value: &ValueInfo) -> String {
    shown(value.name.as_deref().unwrap_or_default())
}
