//! Quantisation taken out of a graph, or made symmetric. Pure.
//!
//! One pass over the nodes in their order. Whatever replaces a DequantizeLinear gives its output
//! the same name, so no other node changes. Where an activation was stored, its range stays: ONNX
//! Runtime's quantiser leaves out a ReLU or ReLU6 whose work the range does, so dropping the pair
//! would drop the ReLU with it. A Clip takes its place.

use std::collections::{HashMap, HashSet};

use super::find::{Names, constants};
use super::numbers::{INT8, INT32, of_floats};
use super::proto::{Graph, Model, Node, Tensor};
use super::quantised::{self, MADE, Scheme};
use super::{MAX_NUMBERS, Refused};

const QUANTISE: &str = "QuantizeLinear";
const DEQUANTISE: &str = "DequantizeLinear";
/// First version of ONNX's operators whose Clip takes its bounds as inputs.
const LEAST_OPSET: i64 = 11;

/// What is to become of quantisation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// None is left.
    Plain,
    /// int8 around zero, biases in float32.
    Symmetric,
}

/// What a QuantizeLinear said whose output has not been met yet.
struct Stored<'a> {
    scheme: Scheme,
    source: &'a str,
    /// What it took, if that is constant.
    constant: Option<&'a Tensor>,
    /// Scale and zero point in place of its own.
    instead: Option<(String, String)>,
}

struct Pass<'a> {
    way: Way,
    constants: HashMap<&'a str, &'a Tensor>,
    names: Names,
    stored: HashMap<&'a str, Stored<'a>>,
    nodes: Vec<Node>,
    added: Vec<Tensor>,
    /// Names of added constants, by value.
    shared: HashMap<u32, String>,
    zero: Option<String>,
    numbers: usize,
}

/// Rewrites `model`; false if there is nothing to do. After an error it is good for nothing.
pub(super) fn rewrite(model: &mut Model, way: Way) -> Result<bool, Refused> {
    let opset = model.opset();
    let Some(graph) = &mut model.graph else { return Ok(false) };
    let is_about = |node: &Node| matches!(node.kind(), QUANTISE | DEQUANTISE);
    let Some(first) = graph.node.iter().find(|node| is_about(node)) else { return Ok(false) };
    if opset < LEAST_OPSET {
        return Err(first
            .refused(format!("is of opset {opset}; save the model with {LEAST_OPSET} or newer")));
    }
    let names = Names::of(graph);
    let nodes = std::mem::take(&mut graph.node);
    let inputs: HashSet<&str> =
        graph.input.iter().filter_map(|input| input.name.as_deref()).collect();
    let mut pass = Pass {
        way,
        constants: constants(&graph.initializer, &nodes, &inputs),
        names,
        stored: HashMap::new(),
        nodes: Vec::with_capacity(nodes.len()),
        added: Vec::new(),
        shared: HashMap::new(),
        zero: None,
        numbers: 0,
    };
    for node in &nodes {
        match node.kind() {
            QUANTISE | DEQUANTISE if !node.is(QUANTISE) && !node.is(DEQUANTISE) => {
                return Err(
                    node.refused("is not ONNX's own operator; quantise without vendors' domains")
                );
            }
            QUANTISE => pass.quantise(node)?,
            DEQUANTISE => pass.dequantise(node)?,
            _ => pass.other(node)?,
        }
    }
    let ends = graph.output.iter().filter_map(|output| output.name.as_deref());
    if let Some(end) = ends.into_iter().find(|end| pass.stored.contains_key(end)) {
        return Err(Refused::Model(format!(
            "has a quantised output, `{}`; end it with {DEQUANTISE}",
            super::find::shown(end)
        )));
    }
    let Pass { nodes: rewritten, added, .. } = pass;
    let before: HashSet<&str> =
        nodes.iter().filter(|node| is_about(node)).flat_map(taken).collect();
    let dead = unused(&before, &rewritten, graph);
    let touched: HashSet<&str> =
        nodes.iter().filter(|node| is_about(node)).map(Node::made).collect();
    graph
        .value_info
        .retain(|value| value.name.as_deref().is_none_or(|name| !touched.contains(name)));
    graph.initializer.retain(|tensor| !dead.contains(tensor.called()));
    graph.initializer.extend(added);
    graph.quantization_annotation.clear(); // they name scales that may be gone
    graph.node = rewritten;
    Ok(true)
}

fn taken(node: &Node) -> impl Iterator<Item = &str> {
    node.input.iter().map(String::as_str)
}

/// Those of `names` that nothing takes any more.
fn unused(names: &HashSet<&str>, nodes: &[Node], graph: &Graph) -> HashSet<String> {
    let ends = graph.output.iter().filter_map(|output| output.name.as_deref());
    let used: HashSet<&str> = nodes.iter().flat_map(taken).chain(ends).collect();
    names.difference(&used).map(|name| (*name).to_owned()).collect()
}

impl<'a> Pass<'a> {
    /// A node that stores: kept, dropped, or with other numbers.
    fn quantise(&mut self, node: &'a Node) -> Result<(), Refused> {
        let scheme = Scheme::of(node, &self.constants, None)?;
        let source = node.taken(0).ok_or_else(|| node.refused("takes nothing"))?;
        let constant = self.constants.get(source).copied();
        let mut stored = Stored { scheme, source, constant, instead: None };
        if self.way == Way::Symmetric {
            if stored.scheme.is_symmetric() {
                self.nodes.push(node.clone());
            } else if constant.is_some() {
                return Err(node.refused(
                    "stores weights that are not int8 around zero; TensorRT takes no others",
                ));
            } else {
                stored.instead = Some(self.centre(node, &stored)?);
            }
        }
        self.stored.insert(node.made(), stored);
        Ok(())
    }

    /// Stores an activation around zero: range kept by a Clip, then `node` with other numbers.
    /// Their names.
    fn centre(&mut self, node: &Node, stored: &Stored<'_>) -> Result<(String, String), Refused> {
        let (low, high) = self.range(node, stored)?;
        let scale = low.abs().max(high.abs()) / 127.0;
        if !quantised::is_scale(scale) {
            return Err(node.refused("stores a range that int8 around zero has no scale for"));
        }
        let mut source = stored.source.to_owned();
        if (low + high).abs() > scale / 2.0 {
            source = self.names.fresh(&format!("{source}_clipped"));
            let clip = self.clip(stored.source, (low, high), &source);
            self.nodes.push(clip);
        }
        let names = (self.number(scale), self.zero());
        let input = vec![source, names.0.clone(), names.1.clone()];
        let mut centred = Node { input, ..node.clone() };
        centred.attribute.retain(|attribute| attribute.name.as_deref() != Some(MADE)); // the zero point says so
        self.nodes.push(centred);
        Ok(names)
    }

    fn range(&self, node: &Node, stored: &Stored<'_>) -> Result<(f32, f32), Refused> {
        let range = stored.scheme.range().filter(|_| stored.scheme.kind() != INT32);
        range.ok_or_else(|| {
            node.refused(
                "stores an activation with more than one scale, or in int32; neither is understood",
            )
        })
    }

    /// A node that makes numbers real again.
    fn dequantise(&mut self, node: &'a Node) -> Result<(), Refused> {
        let source = node.taken(0).ok_or_else(|| node.refused("takes nothing"))?;
        if let Some(tensor) = self.constants.get(source).copied() {
            let scheme = Scheme::of(node, &self.constants, Some(tensor.kind()))?;
            if self.way == Way::Plain || tensor.kind() == INT32 {
                let values = scheme.real(node, &tensor.dims, &tensor.integers()?)?;
                return self.keep(node, &tensor.dims, &values);
            }
            if !scheme.is_symmetric() {
                return Err(node.refused(
                    "has weights that are not int8 around zero; TensorRT takes no others",
                ));
            }
            self.nodes.push(node.clone());
            return Ok(());
        }
        let Some(stored) = self.stored.get(source) else {
            return Err(
                node.refused("takes neither a constant nor what a QuantizeLinear before it makes")
            );
        };
        let scheme = Scheme::of(node, &self.constants, Some(stored.scheme.kind()))?;
        if !scheme.is_like(&stored.scheme) {
            return Err(
                node.refused("has another scale or zero point than the QuantizeLinear before it")
            );
        }
        match (self.way, stored.constant, &stored.instead) {
            (Way::Symmetric, _, None) => self.nodes.push(node.clone()),
            (Way::Symmetric, _, Some((scale, zero))) => {
                let input = vec![source.to_owned(), scale.clone(), zero.clone()];
                self.nodes.push(Node { input, ..node.clone() });
            }
            (Way::Plain, Some(tensor), _) => {
                let values = scheme.rounded(node, &tensor.dims, &tensor.floats()?)?;
                self.keep(node, &tensor.dims, &values)?;
            }
            (Way::Plain, None, _) => {
                let (range, source) = (self.range(node, stored)?, stored.source);
                let clip = self.clip(source, range, node.made());
                self.nodes.push(clip);
            }
        }
        Ok(())
    }

    fn other(&mut self, node: &Node) -> Result<(), Refused> {
        if node.holds_graph() {
            return Err(
                node.refused("has graphs inside, beside quantisation; that is not rewritten")
            );
        }
        if node.input.iter().any(|input| self.stored.contains_key(input.as_str())) {
            return Err(node.refused("computes with quantised numbers; only QuantizeLinear and DequantizeLinear are understood"));
        }
        self.nodes.push(node.clone());
        Ok(())
    }

    /// A constant in place of what `node` makes.
    fn keep(&mut self, node: &Node, dims: &[i64], values: &[f32]) -> Result<(), Refused> {
        self.numbers += values.len();
        if self.numbers > MAX_NUMBERS {
            return Err(
                node.refused(format!("would bring the numbers to be added above {MAX_NUMBERS}"))
            );
        }
        self.added.push(of_floats(node.made().to_owned(), dims.to_vec(), values));
        Ok(())
    }

    fn clip(&mut self, source: &str, (low, high): (f32, f32), to: &str) -> Node {
        Node {
            input: vec![source.to_owned(), self.number(low), self.number(high)],
            output: vec![to.to_owned()],
            name: Some(self.names.fresh(&format!("{to}_range"))),
            op_type: Some("Clip".to_owned()),
            ..Node::default()
        }
    }

    /// A constant of one number; the same one for the same number.
    fn number(&mut self, value: f32) -> String {
        let Self { shared, names, added, .. } = self;
        let name = shared.entry(value.to_bits()).or_insert_with(|| {
            let name = names.fresh(&format!("constant_{value}"));
            added.push(of_floats(name.clone(), Vec::new(), &[value]));
            name
        });
        name.clone()
    }

    /// The zero point 0, in int8.
    fn zero(&mut self) -> String {
        let Self { zero, names, added, .. } = self;
        let name = zero.get_or_insert_with(|| {
            let name = names.fresh("constant_zero_point");
            added.push(Tensor {
                name: Some(name.clone()),
                data_type: Some(INT8),
                raw_data: Some(vec![0]),
                ..Tensor::default()
            });
            name
        });
        name.clone()
    }
}
