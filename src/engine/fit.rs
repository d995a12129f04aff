//! Whether a model's inputs and outputs are what its manifest says.
//!
//! Pure, and the same for every backend. Errors say what the model has, what the manifest says, and which key to mend.

use super::manifest::Network;

/// An input or output as a runtime tells of it.
pub(super) struct Tensor<'a> {
    pub(super) name: &'a str,
    /// What it holds; float32 is the only kind that fits.
    pub(super) holds: Holds,
    /// Sides; negative where the model leaves them open.
    pub(super) dims: &'a [i64],
}

/// What a tensor holds.
pub(super) enum Holds {
    Float32,
    /// By name.
    Other(String),
    /// It is no tensor at all.
    Nothing,
}

/// The tensor that the manifest names, or the only one.
fn pick<'t, 'a>(tensors: &'t [Tensor<'a>], name: Option<&str>, what: &str) -> Result<&'t Tensor<'a>, String> {
    let names = || tensors.iter().map(|tensor| format!("`{}`", tensor.name)).collect::<Vec<_>>().join(", ");
    match (name, tensors) {
        (Some(name), _) => tensors
            .iter()
            .find(|tensor| tensor.name == name)
            .ok_or_else(|| format!("`{what}.name` is \"{name}\", but the model's {what}s are {}", names())),
        (None, [only]) => Ok(only),
        (None, _) => Err(format!("the model has {} {what}s ({}); name one with `{what}.name`", tensors.len(), names())),
    }
}

fn is_float(tensor: &Tensor<'_>, what: &str) -> Result<(), String> {
    match &tensor.holds {
        Holds::Float32 => Ok(()),
        Holds::Other(kind) => Err(format!("{what} `{}` holds {kind} values; only float32 is supported", tensor.name)),
        Holds::Nothing => Err(format!("{what} `{}` is no tensor", tensor.name)),
    }
}

/// Checks that the model has one input and that it takes what the manifest's `[input]` makes.
pub(super) fn input(inputs: &[Tensor<'_>], network: &Network) -> Result<(), String> {
    let tensor = pick(inputs, network.input.name.as_deref(), "input")?;
    if inputs.len() != 1 {
        return Err(format!("the model has {} inputs; only models with a single one are supported", inputs.len()));
    }
    is_float(tensor, "input")?;
    let (have, want) = (tensor.dims, network.input.shape());
    let fits = |(have, want): (&i64, &usize)| *have < 0 || usize::try_from(*have) == Ok(*want);
    if have.len() != want.len() || !have.iter().zip(&want).all(fits) {
        return Err(format!(
            "input `{}` is {} and the manifest's [input] makes {} (batch, then `layout`)",
            tensor.name,
            shown(have),
            shown(&want.map(|side| side as i64))
        ));
    }
    Ok(())
}

/// Name and shape of the output: one score a class, all other sides 1.
pub(super) fn output(outputs: &[Tensor<'_>], network: &Network) -> Result<(String, Vec<usize>), String> {
    let tensor = pick(outputs, network.output.as_deref(), "output")?;
    is_float(tensor, "output")?;
    let (have, classes) = (tensor.dims, network.classes);
    let refused = || {
        let name = tensor.name;
        format!("output `{name}` is {}, which is not one score for each of the {classes} labels", shown(have))
    };
    // Open sides are the batch (1), except the last one that can hold the classes.
    let place =
        have.iter().rposition(|side| usize::try_from(*side) == Ok(classes)).or_else(|| have.iter().rposition(|side| *side < 0));
    let place = place.ok_or_else(refused)?;
    if have.iter().enumerate().any(|(index, side)| index != place && *side > 1 || *side == 0) {
        return Err(refused());
    }
    let shape = (0..have.len()).map(|index| if index == place { classes } else { 1 }).collect();
    Ok((tensor.name.to_owned(), shape))
}

/// `[1, 3, ?, ?]`.
pub(super) fn shown(dims: &[i64]) -> String {
    let sides: Vec<_> = dims.iter().map(|side| if *side < 0 { "?".to_owned() } else { side.to_string() }).collect();
    format!("[{}]", sides.join(", "))
}
