//! A model read within limits, and how its nodes, constants and names are found.
//!
//! Pure. Looks and changes nothing; what is done with what was found is in [`super::rewrite`] and
//! [`super::half`].

use std::collections::{HashMap, HashSet};

use prost::Message;

use super::proto::{Attribute, Graph, Model, Node, Tensor};
use super::{MAX_BYTES, MAX_FIELDS, Refused};
use crate::engine::onnx::scan;

/// Longest name in an error, characters.
const SHOWN: usize = 120;

/// Reads a model. Refused: no ONNX, cut short, too large, with weights in other files.
pub(super) fn read(onnx: &[u8]) -> Result<Model, Refused> {
    let refuse = |why: String| Err(Refused::Model(why));
    if onnx.len() > MAX_BYTES {
        return refuse(format!("has {} bytes; at most {MAX_BYTES} are rewritten", onnx.len()));
    }
    match scan::fields(onnx).map_err(Refused::Model)? {
        fields if fields > MAX_FIELDS => {
            return refuse(format!("has {fields} fields; at most {MAX_FIELDS} are rewritten"));
        }
        _ => {}
    }
    Model::decode(onnx)
        .map_err(|error| Refused::Model(format!("is damaged, or no ONNX file: {error}")))
}

/// A name for people, shortened.
pub(super) fn shown(name: &str) -> String {
    name.chars().take(SHOWN).collect()
}

impl Model {
    /// The version of ONNX's own operators; 0 if it is not said.
    pub(super) fn opset(&self) -> i64 {
        let own =
            self.opset_import.iter().find(|set| is_own(set.domain.as_deref().unwrap_or_default()));
        own.and_then(|set| set.version).unwrap_or(0)
    }
}

fn is_own(domain: &str) -> bool {
    matches!(domain, "" | "ai.onnx")
}

impl Node {
    /// Its operator.
    pub(super) fn kind(&self) -> &str {
        self.op_type.as_deref().unwrap_or_default()
    }

    /// True for an operator of ONNX's own.
    pub(super) fn is(&self, kind: &str) -> bool {
        self.kind() == kind && is_own(self.domain.as_deref().unwrap_or_default())
    }

    /// The input at `index`; `None` if it is left out.
    pub(super) fn taken(&self, index: usize) -> Option<&str> {
        self.input.get(index).map(String::as_str).filter(|name| !name.is_empty())
    }

    /// Its first output; empty if it has none.
    pub(super) fn made(&self) -> &str {
        self.output.first().map_or("", String::as_str)
    }

    pub(super) fn attribute(&self, name: &str) -> Option<&Attribute> {
        self.attribute.iter().find(|attribute| attribute.name.as_deref() == Some(name))
    }

    /// A whole-numbered setting.
    pub(super) fn whole(&self, name: &str) -> Option<i64> {
        self.attribute(name).and_then(|attribute| attribute.i)
    }

    /// True if it has graphs inside: branches, loops.
    pub(super) fn holds_graph(&self) -> bool {
        self.attribute.iter().any(|attribute| attribute.g.is_some() || !attribute.graphs.is_empty())
    }

    /// Refuses it.
    pub(super) fn refused(&self, why: impl Into<String>) -> Refused {
        let name =
            self.name.as_deref().filter(|name| !name.is_empty()).unwrap_or_else(|| self.made());
        Refused::Node { node: shown(name), kind: shown(self.kind()), why: why.into() }
    }
}

/// The constants of a graph, by name: initializers that are no inputs, and the values of Constant
/// nodes.
pub(super) fn constants<'a>(
    initializers: &'a [Tensor],
    nodes: &'a [Node],
    inputs: &HashSet<&str>,
) -> HashMap<&'a str, &'a Tensor> {
    let kept = initializers.iter().filter_map(|tensor| Some((tensor.name.as_deref()?, tensor)));
    let made = nodes.iter().filter(|node| node.is("Constant"));
    let made = made.filter_map(|node| Some((node.made(), node.attribute("value")?.t.as_ref()?)));
    kept.chain(made).filter(|(name, _)| !name.is_empty() && !inputs.contains(name)).collect()
}

/// Names that are taken in a graph, and new ones.
pub(super) struct Names(HashSet<String>);

impl Names {
    pub(super) fn of(graph: &Graph) -> Self {
        let nodes = graph
            .node
            .iter()
            .flat_map(|node| node.input.iter().chain(&node.output).chain(&node.name));
        let kept = graph.initializer.iter().filter_map(|tensor| tensor.name.as_ref());
        let ends = graph.input.iter().chain(&graph.output).filter_map(|value| value.name.as_ref());
        Self(nodes.chain(kept).chain(ends).cloned().collect())
    }

    /// `wish`, or with a number behind it if that is taken.
    pub(super) fn fresh(&mut self, wish: &str) -> String {
        let mut name = wish.to_owned();
        for number in 2_u32.. {
            if self.0.insert(name.clone()) {
                break;
            }
            name = format!("{wish}_{number}");
        }
        name
    }
}
