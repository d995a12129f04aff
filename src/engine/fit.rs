//! Whether a model's inputs and outputs are what its manifest says.
//!
//! Pure, and the same for every backend. Errors say what the model has, what the manifest says, and
//! which key to mend; or at once that such a model cannot be used, and how it could be exported.

use super::manifest::{InputSpec, Network, TensorLayout};

/// An input or output as a runtime tells of it.
pub(super) struct Tensor<'a> {
    pub(super) name: &'a str,
    /// What it holds.
    pub(super) holds: Holds,
    /// Sides; negative where the model leaves them open.
    pub(super) dims: &'a [i64],
}

/// What a tensor holds.
pub(super) enum Holds {
    /// Numbers that Squint can read and write.
    Numbers(Element),
    /// Others, by name.
    Other(String),
    /// It is no tensor at all.
    Nothing,
}

/// Numbers that Squint can read and write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Element {
    Float32,
    Float16,
    Uint8,
    Int8,
}

impl Element {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Float32 => "float32",
            Self::Float16 => "float16",
            Self::Uint8 => "uint8",
            Self::Int8 => "int8",
        }
    }

    /// The least and the largest whole number, if it holds whole numbers.
    pub(super) const fn whole(self) -> Option<[i16; 2]> {
        match self {
            Self::Float32 | Self::Float16 => None,
            Self::Uint8 => Some([0, 255]),
            Self::Int8 => Some([-128, 127]),
        }
    }
}

/// The output that is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Output {
    pub(super) name: String,
    /// One score a class, all other sides 1.
    pub(super) shape: Vec<usize>,
    pub(super) element: Element,
}

fn names(tensors: &[Tensor<'_>]) -> String {
    tensors.iter().map(|tensor| format!("`{}`", tensor.name)).collect::<Vec<_>>().join(", ")
}

/// The tensor that the manifest names, or the only one.
fn pick<'t, 'a>(
    tensors: &'t [Tensor<'a>],
    name: Option<&str>,
    what: &str,
) -> Result<&'t Tensor<'a>, String> {
    match (name, tensors) {
        (Some(name), _) => tensors.iter().find(|tensor| tensor.name == name).ok_or_else(|| {
            format!("`{what}.name` is \"{name}\", but the model's {what}s are {}", names(tensors))
        }),
        (None, [only]) => Ok(only),
        (None, _) => Err(format!(
            "the model has {} {what}s ({}); name the one that holds the scores with `{what}.name`",
            tensors.len(),
            names(tensors)
        )),
    }
}

fn element(tensor: &Tensor<'_>, what: &str) -> Result<Element, String> {
    match &tensor.holds {
        Holds::Numbers(element) => Ok(*element),
        Holds::Other(kind) => Err(format!(
            "{what} `{}` holds {kind} values; supported are float32, float16, uint8 and int8, so export the model with one of these",
            tensor.name
        )),
        Holds::Nothing => {
            Err(format!("{what} `{}` is no tensor, so the model cannot be used", tensor.name))
        }
    }
}

/// Checks that the model has one input and that it takes what the manifest's `[input]` makes; says
/// in which numbers.
pub(super) fn input(inputs: &[Tensor<'_>], network: &Network) -> Result<Element, String> {
    if inputs.len() != 1 {
        return Err(format!(
            "the model has {} inputs ({}) and cannot be used: Squint gives a network a picture and nothing else; export it with one \
             input, the others made constant",
            inputs.len(),
            names(inputs)
        ));
    }
    let tensor = pick(inputs, network.input.name.as_deref(), "input")?;
    let element = element(tensor, "input")?;
    let (have, want) = (tensor.dims, network.input.shape());
    if have.len() != want.len() || !have.iter().zip(&want).all(|(have, want)| fits(*have, *want)) {
        return Err(format!(
            "input `{}` is {} and the manifest's [input] makes {} (batch, then `layout`); {}",
            tensor.name,
            shown(have),
            shown(&want.map(|side| side as i64)),
            advice(have, &network.input)
        ));
    }
    if let Some([least, most]) = element.whole() {
        range(&network.input, element, [f32::from(least), f32::from(most)]).map_err(|why| {
            format!("input `{}` holds {} values, and {why}", tensor.name, element.name())
        })?;
    }
    Ok(element)
}

fn fits(have: i64, want: usize) -> bool {
    have < 0 || usize::try_from(have) == Ok(want)
}

/// What to write for an input of these sides.
fn advice(have: &[i64], input: &InputSpec) -> String {
    let &[batch, first, second, third] = have else {
        return "it cannot be used: wanted is a picture, which has four sides; export the model with such an input".into();
    };
    if !fits(batch, 1) {
        return format!(
            "it takes {batch} pictures at a time and cannot be used; export it with a batch of 1 or an open one"
        );
    }
    let channels = |side: i64| side == 1 || side == 3;
    let ways =
        [(TensorLayout::Nchw, first, second, third), (TensorLayout::Nhwc, third, first, second)];
    let named =
        |side: i64, own: u32| if side < 0 { own } else { u32::try_from(side).unwrap_or(own) };
    // The manifest's own layout is tried first.
    let mut ways: Vec<_> = ways.into_iter().filter(|way| channels(way.1)).collect();
    ways.sort_by_key(|way| way.0 != input.layout);
    let Some((layout, count, height, width)) = ways.into_iter().next() else {
        return "it cannot be used: no side of it is 3 (colours) or 1 (grey)".into();
    };
    let (word, height, width) = (
        if layout == TensorLayout::Nchw { "nchw" } else { "nhwc" },
        named(height, input.height),
        named(width, input.width),
    );
    let mut write = vec![format!("layout = \"{word}\", width = {width}, height = {height}")];
    if count != input.channels.count() as i64 {
        write.push(if count == 1 {
            "channels = \"gray\"".into()
        } else {
            "channels = \"rgb\" (or \"bgr\")".into()
        });
    }
    format!("write {} under [input]", write.join(", "))
}

/// Refuses `mean` and `std` that make numbers which whole numbers of this kind do not hold.
fn range(input: &InputSpec, element: Element, [least, most]: [f32; 2]) -> Result<(), String> {
    for channel in 0..input.channels.count() {
        let at = |sample: f32| (sample - input.mean[channel]) / input.std[channel];
        let (low, high) = (at(0.0), at(255.0));
        // Fewer than sixteen steps are no picture any more; half a step is rounding.
        if low < least - 0.5 || high > most + 0.5 || high - low < 16.0 {
            let zero = if element == Element::Int8 { 128 } else { 0 };
            let each = |value: u16| vec![value.to_string(); input.channels.count()].join(", ");
            return Err(format!(
                "`input.mean` and `input.std` make {low:.4} to {high:.4} of the samples 0 to 255; usual is mean = [{}] and std = [{}]",
                each(zero),
                each(1)
            ));
        }
    }
    Ok(())
}

/// The output to be read: one score a class, all other sides 1.
pub(super) fn output(outputs: &[Tensor<'_>], network: &Network) -> Result<Output, String> {
    let tensor = pick(outputs, network.output.as_deref(), "output")?;
    let element = element(tensor, "output")?;
    match (element.whole(), network.steps) {
        (Some(_), None) => {
            return Err(format!(
                "output `{}` holds {} values, which stand for real numbers; write `output.scale` and `output.zero_point` as the \
                 model's last QuantizeLinear has them",
                tensor.name,
                element.name()
            ));
        }
        (None, Some(_)) => {
            let kind = element.name();
            return Err(format!(
                "output `{}` holds {kind} values; take `output.scale` and `output.zero_point` away",
                tensor.name
            ));
        }
        _ => {}
    }
    let (have, classes) = (tensor.dims, network.classes);
    if classes == 1 {
        return Err(format!(
            "the labels file has one class only, and the best of one is always that one; output `{}` is {}: export the model with a \
             score for each class (for yes or no: two) and write a label for each",
            tensor.name,
            shown(have)
        ));
    }
    let refused = || {
        let what = format!(
            "output `{}` is {}, which is not one score for each of the {classes} labels",
            tensor.name,
            shown(have)
        );
        let scores = have.iter().filter(|side| **side > 1).collect::<Vec<_>>();
        let scores =
            if let [only] = scores.as_slice() { usize::try_from(**only).ok() } else { None };
        match scores {
            Some(scores) if scores == classes + 1 => {
                format!(
                    "{what}; has the model a background class? then add a line for it where the model has it, mostly first"
                )
            }
            Some(scores) if scores + 1 == classes => {
                format!(
                    "{what}; is the first line a heading, or a background class that the model does not have?"
                )
            }
            Some(scores) => format!("{what}; `output.labels` must name a file of {scores} lines"),
            None if have.iter().all(|side| *side == 1) => {
                format!(
                    "{what}; a single score names no class: export the model with a score for each class (for yes or no: two)"
                )
            }
            None => format!(
                "{what}; such a model is no classifier of whole pictures and cannot be used, unless another output is"
            ),
        }
    };
    // Open sides are the batch (1), except the last one that can hold the classes.
    let place = have
        .iter()
        .rposition(|side| usize::try_from(*side) == Ok(classes))
        .or_else(|| have.iter().rposition(|side| *side < 0));
    let place = place.ok_or_else(refused)?;
    if have.iter().enumerate().any(|(index, side)| index != place && *side > 1 || *side == 0) {
        return Err(refused());
    }
    let shape = (0..have.len()).map(|index| if index == place { classes } else { 1 }).collect();
    Ok(Output { name: tensor.name.to_owned(), shape, element })
}

/// `[1, 3, ?, ?]`.
pub(super) fn shown(dims: &[i64]) -> String {
    let sides: Vec<_> =
        dims.iter().map(|side| if *side < 0 { "?".to_owned() } else { side.to_string() }).collect();
    format!("[{}]", sides.join(", "))
}
