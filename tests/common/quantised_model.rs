//! A small quantised classifier, as ONNX Runtime's quantiser writes them: activations in uint8 with
//! a zero point, weights in int8 with a scale for each class, biases in int32.
//!
//! The mean of each channel, cut off below zero by nothing but its range, times weights, plus
//! biases.

use super::onnx_model::{Side, file_of, int, message, node, number, scalar, value};

/// Element types, as onnx.proto counts them.
const FLOAT: i64 = 1;
const UINT8: i64 = 2;
const INT8: i64 = 3;
const INT32: i64 = 6;

/// `[channel][class]`, in steps of the class's scale.
const WEIGHTS: [i8; 9] = [100, -50, 25, -30, 127, 0, 10, 20, -128];
const SCALES: [f32; 3] = [0.01, 0.02, 0.005];
/// Steps of `SCALES` times the scale of the activation.
const BIASES: [i32; 3] = [1000, -500, 20];
/// Of the mean: 0 to 2.55, and nothing below.
const MEAN_SCALE: f32 = 0.01;

/// What the classifier answers to the channels' means (in the network's units), but for rounding.
pub(crate) fn answer(means: [f32; 3]) -> [f32; 3] {
    std::array::from_fn(|class| {
        let weight = |channel: usize| f32::from(WEIGHTS[channel * 3 + class]) * SCALES[class];
        let sum: f32 =
            (0..3).map(|channel| means[channel].clamp(0.0, 2.55) * weight(channel)).sum();
        sum + BIASES[class] as f32 * SCALES[class] * MEAN_SCALE
    })
}

fn tensor(name: &str, element: i64, sides: &[i64], bytes: &[u8]) -> Vec<u8> {
    let mut tensor = Vec::new();
    sides.iter().for_each(|side| number(&mut tensor, 1, *side));
    number(&mut tensor, 2, element);
    message(&mut tensor, 8, name.as_bytes());
    message(&mut tensor, 9, bytes);
    tensor
}

fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// The model file, for pictures of `width` times `height` in samples of -2 to 3.1.
pub(crate) fn model(width: i64, height: i64) -> Vec<u8> {
    let nodes = [
        node("QuantizeLinear", &["input", "input_scale", "input_zero"], "input_stored", &[]),
        node("DequantizeLinear", &["input_stored", "input_scale", "input_zero"], "input_real", &[]),
        node("GlobalAveragePool", &["input_real"], "average", &[]),
        node("Flatten", &["average"], "mean", &[int("axis", 1)]),
        node("QuantizeLinear", &["mean", "mean_scale", "mean_zero"], "mean_stored", &[]),
        node("DequantizeLinear", &["mean_stored", "mean_scale", "mean_zero"], "mean_real", &[]),
        node(
            "DequantizeLinear",
            &["weights_stored", "weights_scale", "weights_zero"],
            "weights",
            &[int("axis", 1)],
        ),
        node("DequantizeLinear", &["bias_stored", "bias_scale"], "bias", &[int("axis", 0)]),
        node("MatMul", &["mean_real", "weights"], "sum", &[]),
        node("Add", &["sum", "bias"], "scores", &[]),
    ];
    let biases: Vec<u8> = BIASES.iter().flat_map(|bias| bias.to_le_bytes()).collect();
    let constants = [
        scalar("input_scale", FLOAT, &0.02_f32.to_le_bytes()),
        scalar("input_zero", UINT8, &[100]),
        scalar("mean_scale", FLOAT, &MEAN_SCALE.to_le_bytes()),
        scalar("mean_zero", UINT8, &[0]),
        tensor("weights_stored", INT8, &[3, 3], &WEIGHTS.map(i8::cast_unsigned)),
        tensor("weights_scale", FLOAT, &[3], &bytes(&SCALES)),
        tensor("weights_zero", INT8, &[3], &[0; 3]),
        tensor("bias_stored", INT32, &[3], &biases),
        tensor("bias_scale", FLOAT, &[3], &bytes(&SCALES.map(|scale| scale * MEAN_SCALE))),
    ];
    let mut graph = Vec::new();
    nodes.iter().for_each(|node| message(&mut graph, 1, node));
    message(&mut graph, 2, b"test");
    constants.iter().for_each(|constant| message(&mut graph, 5, constant));
    let sides = [Side::Fixed(1), Side::Fixed(3), Side::Fixed(height), Side::Fixed(width)];
    message(&mut graph, 11, &value("input", FLOAT, &sides));
    message(&mut graph, 12, &value("scores", FLOAT, &[Side::Fixed(1), Side::Fixed(3)]));
    file_of(&graph)
}
