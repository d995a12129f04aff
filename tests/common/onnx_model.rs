//! Writes small real ONNX classifiers byte by byte, so that tests need no shipped weights and no
//! Python.
//!
//! All of them average each channel over the picture and multiply: with the identity as weights
//! they answer "which channel is brightest".

/// What happens after the multiplication.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Finish {
    /// Nothing: logits.
    None,
    /// Softmax: probabilities.
    Softmax,
    /// Sigmoid: each class by itself.
    Sigmoid,
    /// Logarithm of softmax.
    LogSoftmax,
    /// Square root: NaN for every negative score.
    Root,
}

/// What a whole number of a score stands for, and which of them is 0 (uint8; of int8 it is 0
/// itself).
pub(crate) const STEP: f32 = 0.0625;
pub(crate) const ZERO: u8 = 100;
/// Bytes before the weights in a data file.
const BEFORE: usize = 64;

/// A classifier to be written.
#[derive(Clone)]
pub(crate) struct Model {
    /// Channels, height, width.
    pub(crate) size: [i64; 3],
    /// Channels last.
    pub(crate) nhwc: bool,
    /// Batch, height and width left open.
    pub(crate) symbolic: bool,
    /// `[channels][classes]`.
    pub(crate) weights: Vec<f32>,
    /// Number of classes.
    pub(crate) classes: i64,
    /// Last step.
    pub(crate) finish: Finish,
    /// ONNX element type of input and output: 1 is float32, 10 float16, 11 float64.
    pub(crate) element: i64,
    /// A second input, added to the scores.
    pub(crate) second_input: bool,
    /// Keep the weights in a file of this name, in the middle of which they are ([`Model::data`]).
    pub(crate) external: Option<&'static str>,
    /// Element types that the picture comes in and the scores go out in, where the network itself
    /// computes in float32: 1 is float32, 2 uint8, 3 int8, 10 float16. Whole numbers of scores are
    /// in steps of [`STEP`] around [`ZERO`].
    pub(crate) ends: [i64; 2],
    /// An output before `scores`, of the channels' means.
    pub(crate) second_output: bool,
    /// The number of scores is left open.
    pub(crate) open_scores: bool,
    /// Where the brightest channel's mean is above the first, go round so many times before
    /// answering; a time round takes about a microsecond. An engine that is slow, or hangs, by what
    /// it is shown.
    pub(crate) lingers: Option<(f32, i64)>,
}

impl Model {
    /// Three channels, three classes: the brightest channel wins.
    pub(crate) fn brightest(width: i64, height: i64) -> Self {
        Self {
            size: [3, height, width],
            nhwc: false,
            symbolic: false,
            weights: vec![1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
            classes: 3,
            finish: Finish::None,
            element: 1,
            second_input: false,
            external: None,
            ends: [1, 1],
            second_output: false,
            open_scores: false,
            lingers: None,
        }
    }

    /// One channel, two classes: dark (0) or bright (1), told apart at `mean`.
    pub(crate) fn bright_or_dark(width: i64, height: i64) -> Self {
        Self {
            size: [1, height, width],
            weights: vec![-1.0, 1.0],
            classes: 2,
            ..Self::brightest(width, height)
        }
    }

    /// The model file.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let [channels, height, width] = self.size;
        let [takes, gives] = self.ends;
        let shown = if takes == 1 { "input" } else { "shown" };
        let reduce = match self.nhwc {
            true => [
                node(
                    "ReduceMean",
                    &[shown],
                    "pooled",
                    &[ints("axes", &[1, 2]), int("keepdims", 0)],
                ),
                Vec::new(),
            ],
            false => [
                node("GlobalAveragePool", &[shown], "average", &[]),
                node("Flatten", &["average"], "pooled", &[int("axis", 1)]),
            ],
        };
        let mut nodes: Vec<Vec<u8>> = reduce.into_iter().filter(|node| !node.is_empty()).collect();
        if takes != 1 {
            nodes.insert(0, node("Cast", &["input"], "shown", &[int("to", 1)]));
        }
        let given = if gives == 1 { "scores" } else { "made" };
        let (scored, last) = match (self.second_input, self.finish) {
            (false, Finish::None) => (given, None),
            (true, _) => ("sum", Some(node("Add", &["sum", "bias"], given, &[]))),
            (false, Finish::Softmax) => {
                ("sum", Some(node("Softmax", &["sum"], given, &[int("axis", 1)])))
            }
            (false, Finish::Sigmoid) => ("sum", Some(node("Sigmoid", &["sum"], given, &[]))),
            (false, Finish::LogSoftmax) => {
                ("sum", Some(node("LogSoftmax", &["sum"], given, &[int("axis", 1)])))
            }
            (false, Finish::Root) => ("sum", Some(node("Sqrt", &["sum"], given, &[]))),
        };
        let scored = if self.lingers.is_some() { "before" } else { scored };
        nodes.push(node("MatMul", &["pooled", "weights"], scored, &[]));
        if self.lingers.is_some() {
            nodes.push(node(
                "ReduceMax",
                &["pooled"],
                "brightest",
                &[ints("axes", &[0, 1]), int("keepdims", 0)],
            ));
            nodes.push(node("Greater", &["brightest", "bright"], "is_bright", &[]));
            nodes.push(node("Cast", &["is_bright"], "once", &[int("to", 7)]));
            nodes.push(node("Mul", &["once", "rounds"], "times", &[]));
            nodes.push(node("Loop", &["times", "", "before"], "scores", &[body(self.classes)]));
        }
        nodes.extend(last);
        match gives {
            1 => {}
            10 => nodes.push(node("Cast", &["made"], "scores", &[int("to", 10)])),
            _ => nodes.push(node("QuantizeLinear", &["made", "step", "zero"], "scores", &[])),
        }
        let open = |size: i64, name: &'static str| {
            if self.symbolic { Side::Open(name) } else { Side::Fixed(size) }
        };
        let (batch, height, width) =
            (open(1, "batch"), open(height, "height"), open(width, "width"));
        let sides = match self.nhwc {
            true => [batch, height, width, Side::Fixed(channels)],
            false => [batch, Side::Fixed(channels), height, width],
        };
        let classes = Side::Fixed(self.classes);
        let mut graph = Vec::new();
        nodes.iter().for_each(|node| message(&mut graph, 1, node));
        message(&mut graph, 2, b"test");
        message(&mut graph, 5, &self.initializer());
        if let Some((bright, rounds)) = self.lingers {
            message(&mut graph, 5, &scalar("bright", 1, &bright.to_le_bytes()));
            message(&mut graph, 5, &scalar("rounds", 7, &rounds.to_le_bytes()));
        }
        if matches!(gives, 2 | 3) {
            message(&mut graph, 5, &scalar("step", 1, &STEP.to_le_bytes()));
            message(&mut graph, 5, &scalar("zero", gives, &[if gives == 2 { ZERO } else { 0 }]));
        }
        let end = |element: i64| if element == 1 { self.element } else { element };
        message(&mut graph, 11, &value("input", end(takes), &sides));
        if self.second_input {
            message(&mut graph, 11, &value("bias", self.element, &[Side::Fixed(1), classes]));
        }
        if self.second_output {
            message(
                &mut graph,
                12,
                &value("pooled", self.element, &[batch, Side::Fixed(channels)]),
            );
        }
        let classes = if self.open_scores { Side::Open("classes") } else { classes };
        message(&mut graph, 12, &value("scores", end(gives), &[batch, classes]));
        file_of(&graph)
    }

    fn initializer(&self) -> Vec<u8> {
        let mut tensor = Vec::new();
        number(&mut tensor, 1, self.size[0]);
        number(&mut tensor, 1, self.classes);
        number(&mut tensor, 2, self.element);
        message(&mut tensor, 8, b"weights");
        let raw = self.raw();
        match self.external {
            None => message(&mut tensor, 9, &raw),
            Some(location) => {
                let (offset, length) = (BEFORE.to_string(), raw.len().to_string());
                for (key, value) in
                    [("location", location), ("offset", &offset), ("length", &length)]
                {
                    let mut entry = Vec::new();
                    message(&mut entry, 1, key.as_bytes());
                    message(&mut entry, 2, value.as_bytes());
                    message(&mut tensor, 13, &entry);
                }
                number(&mut tensor, 14, 1);
            }
        }
        tensor
    }

    fn raw(&self) -> Vec<u8> {
        match self.element {
            11 => self.weights.iter().flat_map(|weight| f64::from(*weight).to_le_bytes()).collect(),
            10 => self.weights.iter().flat_map(|weight| half(*weight).to_le_bytes()).collect(),
            _ => self.weights.iter().flat_map(|weight| weight.to_le_bytes()).collect(),
        }
    }

    /// The file that [`Model::external`] names.
    pub(crate) fn data(&self) -> Vec<u8> {
        [vec![0xee; BEFORE], self.raw(), vec![0xee; 16]].concat()
    }
}

/// The bits of a half precision number; only for 0 and numbers of 2^-14 to 65504 with few digits.
fn half(value: f32) -> u16 {
    let bits = value.to_bits();
    let exponent = (bits >> 23 & 0xff) as i32 - 127 + 15;
    if value == 0.0 {
        0
    } else {
        (bits >> 16 & 0x8000) as u16 | (exponent as u16) << 10 | (bits >> 13 & 0x3ff) as u16
    }
}

/// What a loop does each time: nothing, to a row of `classes` numbers.
fn body(classes: i64) -> Vec<u8> {
    let mut graph = Vec::new();
    message(&mut graph, 1, &node("Identity", &["go_on"], "still_go_on", &[]));
    message(&mut graph, 1, &node("Identity", &["row"], "same_row", &[]));
    message(&mut graph, 2, b"body");
    message(&mut graph, 11, &value("round", 7, &[]));
    message(&mut graph, 11, &value("go_on", 9, &[]));
    message(&mut graph, 11, &value("row", 1, &[Side::Fixed(1), Side::Fixed(classes)]));
    message(&mut graph, 12, &value("still_go_on", 9, &[]));
    message(&mut graph, 12, &value("same_row", 1, &[Side::Fixed(1), Side::Fixed(classes)]));
    let mut attribute = Vec::new();
    message(&mut attribute, 1, b"body");
    message(&mut attribute, 6, &graph);
    number(&mut attribute, 20, 5);
    attribute
}

/// A file of this graph alone: IR version 8, opset 13.
pub(crate) fn file_of(graph: &[u8]) -> Vec<u8> {
    let mut opset = Vec::new();
    message(&mut opset, 1, b"");
    number(&mut opset, 2, 13);
    let mut model = Vec::new();
    number(&mut model, 1, 8);
    message(&mut model, 7, graph);
    message(&mut model, 8, &opset);
    model
}

/// A single number.
pub(crate) fn scalar(name: &str, element: i64, bytes: &[u8]) -> Vec<u8> {
    let mut tensor = Vec::new();
    number(&mut tensor, 2, element);
    message(&mut tensor, 8, name.as_bytes());
    message(&mut tensor, 9, bytes);
    tensor
}

#[derive(Clone, Copy)]
pub(crate) enum Side {
    Fixed(i64),
    Open(&'static str),
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub(crate) fn number(out: &mut Vec<u8>, field: u64, value: i64) {
    varint(out, field << 3);
    varint(out, value as u64);
}

pub(crate) fn message(out: &mut Vec<u8>, field: u64, bytes: &[u8]) {
    varint(out, field << 3 | 2);
    varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

pub(crate) fn node(kind: &str, inputs: &[&str], output: &str, attributes: &[Vec<u8>]) -> Vec<u8> {
    let mut node = Vec::new();
    inputs.iter().for_each(|input| message(&mut node, 1, input.as_bytes()));
    message(&mut node, 2, output.as_bytes());
    message(&mut node, 4, kind.as_bytes());
    attributes.iter().for_each(|attribute| message(&mut node, 5, attribute));
    node
}

pub(crate) fn int(name: &str, value: i64) -> Vec<u8> {
    let mut attribute = Vec::new();
    message(&mut attribute, 1, name.as_bytes());
    number(&mut attribute, 3, value);
    number(&mut attribute, 20, 2);
    attribute
}

fn ints(name: &str, values: &[i64]) -> Vec<u8> {
    let mut attribute = Vec::new();
    message(&mut attribute, 1, name.as_bytes());
    values.iter().for_each(|value| number(&mut attribute, 8, *value));
    number(&mut attribute, 20, 7);
    attribute
}

pub(crate) fn value(name: &str, element: i64, sides: &[Side]) -> Vec<u8> {
    let mut shape = Vec::new();
    for side in sides {
        let mut dim = Vec::new();
        match side {
            Side::Fixed(size) => number(&mut dim, 1, *size),
            Side::Open(name) => message(&mut dim, 2, name.as_bytes()),
        }
        message(&mut shape, 1, &dim);
    }
    let mut tensor = Vec::new();
    number(&mut tensor, 1, element);
    message(&mut tensor, 2, &shape);
    let mut kind = Vec::new();
    message(&mut kind, 1, &tensor);
    let mut value = Vec::new();
    message(&mut value, 1, name.as_bytes());
    message(&mut value, 2, &kind);
    value
}
