//! Small models by hand, for each thing that is rewritten and each that is refused; and whatever
//! bytes, which must do no harm.

use proptest::prelude::*;
use prost::Message;

use super::numbers::{FLOAT, FLOAT16, INT8, INT32, UINT8, of_floats};
use super::proto::{
    Attribute, Dimension, Graph, Node, OperatorSet, Shape, Tensor, TensorType, Type, ValueInfo,
};
use super::*;

fn node(kind: &str, inputs: &[&str], output: &str) -> Node {
    Node {
        input: inputs.iter().map(|name| (*name).to_owned()).collect(),
        output: vec![output.to_owned()],
        name: Some(format!("{output}_node")),
        op_type: Some(kind.to_owned()),
        ..Node::default()
    }
}

fn along(axis: i64, node: Node) -> Node {
    let axis = Attribute {
        name: Some("axis".to_owned()),
        i: Some(axis),
        kind: Some(2),
        ..Attribute::default()
    };
    Node { attribute: vec![axis], ..node }
}

fn floats(name: &str, dims: &[i64], values: &[f32]) -> Tensor {
    of_floats(name.to_owned(), dims.to_vec(), values)
}

fn integers(name: &str, kind: i32, dims: &[i64], values: &[i32]) -> Tensor {
    Tensor {
        name: Some(name.to_owned()),
        data_type: Some(kind),
        dims: dims.to_vec(),
        int32_data: values.to_vec(),
        ..Tensor::default()
    }
}

fn value(name: &str, sides: &[Option<i64>]) -> ValueInfo {
    let open = |side: &Option<i64>| side.is_none().then(|| b"open".to_vec());
    let dim = sides
        .iter()
        .map(|side| Dimension { dim_value: *side, dim_param: open(side), denotation: None })
        .collect();
    let tensor_type = Some(TensorType { elem_type: Some(FLOAT), shape: Some(Shape { dim }) });
    ValueInfo {
        name: Some(name.to_owned()),
        r#type: Some(Type { tensor_type, ..Type::default() }),
        ..ValueInfo::default()
    }
}

fn model(nodes: Vec<Node>, initializers: Vec<Tensor>) -> Vec<u8> {
    let graph = Graph {
        node: nodes,
        initializer: initializers,
        input: vec![value("x", &[Some(1), Some(3), None, None])],
        output: vec![value("y", &[Some(1), Some(3)])],
        ..Graph::default()
    };
    let opset = OperatorSet { domain: None, version: Some(13) };
    Model { ir_version: Some(8), graph: Some(graph), opset_import: vec![opset], ..Model::default() }
        .encode_to_vec()
}

fn graph(bytes: &[u8]) -> Graph {
    Model::decode(bytes).unwrap().graph.unwrap()
}

fn kinds(graph: &Graph) -> Vec<&str> {
    graph.node.iter().map(Node::kind).collect()
}

fn kept<'a>(graph: &'a Graph, name: &str) -> &'a Tensor {
    let names: Vec<&str> = graph.initializer.iter().map(Tensor::called).collect();
    graph
        .initializer
        .iter()
        .find(|tensor| tensor.called() == name)
        .unwrap_or_else(|| panic!("no {name} in {names:?}"))
}

/// An activation stored with `scale` and `zero`, then used once: x -> Q -> DQ -> Relu -> y.
fn activation(scale: f32, zero: Option<(i32, i32)>) -> Vec<u8> {
    let mut inputs = vec!["x", "scale"];
    inputs.extend(zero.map(|_| "zero"));
    let back: Vec<&str> = ["stored"].into_iter().chain(inputs[1..].iter().copied()).collect();
    let nodes = vec![
        node("QuantizeLinear", &inputs, "stored"),
        node("DequantizeLinear", &back, "real"),
        node("Relu", &["real"], "y"),
    ];
    let mut constants = vec![floats("scale", &[], &[scale])];
    constants.extend(zero.map(|(kind, zero)| integers("zero", kind, &[], &[zero])));
    model(nodes, constants)
}

/// Bounds of the Clip that `node` is.
fn bounds(graph: &Graph, node: &Node) -> (f32, f32) {
    assert_eq!(node.kind(), "Clip");
    let number = |at: usize| kept(graph, &node.input[at]).floats().unwrap()[0];
    (number(1), number(2))
}

#[test]
fn weights_become_what_they_stand_for_along_whichever_axis() {
    let stored: Vec<i32> = vec![1, -2, 3, 4, -5, 6];
    for (dims, axis, scales, zeros, expected) in [
        (&[2, 3][..], Some(0), &[0.5, 2.0][..], &[0, 0][..], [0.5, -1.0, 1.5, 8.0, -10.0, 12.0]),
        (&[2, 3], Some(-2), &[0.5, 2.0], &[1, 0], [0.0, -1.5, 1.0, 8.0, -10.0, 12.0]),
        (&[2, 3], None, &[1.0, 2.0, 4.0], &[0, 0, 0], [1.0, -4.0, 12.0, 4.0, -10.0, 24.0]),
        (&[1, 3, 2], Some(1), &[1.0, 2.0, 4.0], &[0, 0, 2], [1.0, -2.0, 6.0, 8.0, -28.0, 16.0]),
        (&[6], Some(0), &[0.25], &[1], [0.0, -0.75, 0.5, 0.75, -1.5, 1.25]),
    ] {
        let count = i64::try_from(scales.len()).unwrap();
        let dequantise = node("DequantizeLinear", &["w", "scale", "zero"], "weights");
        let dequantise = axis.map_or(dequantise.clone(), |axis| along(axis, dequantise));
        let side = if scales.len() == 1 { vec![] } else { vec![count] };
        let constants = vec![
            integers("w", INT8, dims, &stored),
            floats("scale", &side, scales),
            integers("zero", INT8, &side, zeros),
        ];
        let bytes = model(vec![dequantise, node("Mul", &["x", "weights"], "y")], constants);
        let graph = graph(&plain(&bytes).unwrap());
        assert_eq!(kinds(&graph), ["Mul"]);
        assert_eq!(
            (kept(&graph, "weights").floats().unwrap().as_slice(), graph.initializer.len()),
            (&expected[..], 1)
        );
        assert_eq!(kept(&graph, "weights").dims, dims);
    }
}

#[test]
fn where_an_activation_was_stored_its_range_stays() {
    for (scale, zero, range) in [
        (0.5, Some((UINT8, 0)), (0.0, 127.5)),
        (0.5, None, (0.0, 127.5)),
        (0.5, Some((UINT8, 255)), (-127.5, 0.0)),
        (0.5, Some((INT8, -128)), (0.0, 127.5)),
        (2.0, Some((INT8, 0)), (-256.0, 254.0)),
    ] {
        let graph = graph(&plain(&activation(scale, zero)).unwrap());
        assert_eq!(kinds(&graph), ["Clip", "Relu"]);
        assert_eq!(bounds(&graph, &graph.node[0]), range, "{zero:?}");
        assert_eq!((graph.node[0].made(), graph.node[0].input[0].as_str()), ("real", "x"));
        assert_eq!(graph.initializer.len(), 2, "the old constants are gone");
    }
}

#[test]
fn a_node_may_say_what_it_stores_without_a_zero_point() {
    let mut model = Model::decode(activation(0.5, None).as_slice()).unwrap();
    let says = |kind| Attribute {
        name: Some("output_dtype".to_owned()),
        i: Some(kind),
        kind: Some(2),
        ..Attribute::default()
    };
    let nodes = &mut model.graph.as_mut().unwrap().node;
    nodes[0].attribute.push(says(i64::from(INT8)));
    let made = graph(&plain(&model.encode_to_vec()).unwrap());
    assert_eq!(bounds(&made, &made.node[0]), (-64.0, 63.5));

    model.graph.as_mut().unwrap().node[0].attribute[0].i = Some(i64::from(UINT8));
    let made = graph(&symmetric(&model.encode_to_vec()).unwrap());
    assert_eq!((kinds(&made)[1], made.node[1].attribute.len()), ("QuantizeLinear", 0));

    model.graph.as_mut().unwrap().node[1].attribute.push(says(i64::from(FLOAT16)));
    let refused = plain(&model.encode_to_vec()).unwrap_err().to_string();
    assert!(
        refused.contains("`real_node` (DequantizeLinear) makes other numbers than float32"),
        "{refused}"
    );
}

#[test]
fn symmetric_means_int8_around_zero_with_a_clip_where_it_was_not() {
    let graph = graph(&symmetric(&activation(0.5, Some((UINT8, 55)))).unwrap());
    assert_eq!(kinds(&graph), ["Clip", "QuantizeLinear", "DequantizeLinear", "Relu"]);
    assert_eq!(bounds(&graph, &graph.node[0]), (-27.5, 100.0));
    let [_, quantise, dequantise, _] = graph.node.as_slice() else { panic!("four") };
    assert_eq!(quantise.input[1..], dequantise.input[1..]);
    assert_eq!(kept(&graph, &quantise.input[1]).floats().unwrap(), [100.0 / 127.0]);
    let zero = kept(&graph, &quantise.input[2]);
    assert_eq!((zero.kind(), zero.integers().unwrap()), (INT8, vec![0]));
    assert_eq!((quantise.input[0].as_str(), dequantise.made()), ("x_clipped", "real"));

    let wide = symmetric(&activation(9e29, Some((UINT8, 0)))).unwrap_err().to_string();
    assert!(wide.contains("stores a range that int8 around zero has no scale for"), "{wide}");

    let already = activation(0.5, Some((INT8, 0)));
    assert_eq!(symmetric(&already).unwrap(), already, "what TensorRT takes stays as it is");
}

#[test]
fn biases_become_float32_and_weights_stay_int8_where_quantisation_stays() {
    let nodes = vec![
        along(0, node("DequantizeLinear", &["w", "scale"], "weights")),
        along(0, node("DequantizeLinear", &["b", "scale"], "bias")),
        node("Gemm", &["x", "weights", "bias"], "y"),
    ];
    let constants = vec![
        integers("w", INT8, &[2, 1], &[5, -5]),
        integers("b", INT32, &[2], &[1000, i32::MIN]),
        floats("scale", &[2], &[0.5, 2.0]),
    ];
    let graph = graph(&symmetric(&model(nodes, constants)).unwrap());
    assert_eq!(kinds(&graph), ["DequantizeLinear", "Gemm"]);
    assert_eq!(kept(&graph, "bias").floats().unwrap(), [500.0, -4294967296.0]);
    assert_eq!(kept(&graph, "w").integers().unwrap(), [5, -5]);
    kept(&graph, "scale"); // the weights still want it
    assert_eq!(graph.initializer.len(), 3);
}

#[test]
fn a_constant_that_others_take_stays_and_one_number_is_kept_once() {
    let nodes = vec![
        node("QuantizeLinear", &["x", "scale"], "a"),
        node("DequantizeLinear", &["a", "scale"], "b"),
        node("QuantizeLinear", &["b", "scale"], "c"),
        node("DequantizeLinear", &["c", "scale"], "d"),
        node("Mul", &["d", "scale"], "y"),
    ];
    let graph = graph(&plain(&model(nodes, vec![floats("scale", &[], &[0.5])])).unwrap());
    assert_eq!(kinds(&graph), ["Clip", "Clip", "Mul"]);
    assert_eq!(graph.initializer.len(), 3, "scale, low, high");
    assert_eq!(graph.node[0].input[1..], graph.node[1].input[1..]);
}

#[test]
fn float_weights_that_are_quantised_in_the_graph_become_what_is_left_of_them() {
    let nodes = vec![
        node("QuantizeLinear", &["w", "scale", "zero"], "stored"),
        node("DequantizeLinear", &["stored", "scale", "zero"], "weights"),
        node("Mul", &["x", "weights"], "y"),
    ];
    let constants = |zero: i32| {
        vec![
            floats("w", &[5], &[0.25, 0.75, -0.25, 1e9, f32::NEG_INFINITY]),
            floats("scale", &[], &[0.5]),
            integers("zero", INT8, &[], &[zero]),
        ]
    };
    let bytes = model(nodes.clone(), constants(0));
    let made = graph(&plain(&bytes).unwrap());
    assert_eq!(kept(&made, "weights").floats().unwrap(), [0.0, 1.0, 0.0, 63.5, -64.0]);
    assert_eq!(
        kinds(&graph(&symmetric(&bytes).unwrap())),
        ["QuantizeLinear", "DequantizeLinear", "Mul"]
    );
    let refused = symmetric(&model(nodes, constants(3))).unwrap_err().to_string();
    assert!(
        refused.contains(
            "node `stored_node` (QuantizeLinear) stores weights that are not int8 around zero"
        ),
        "{refused}"
    );
}

#[test]
fn constant_nodes_serve_as_scales() {
    let value = Attribute {
        name: Some("value".to_owned()),
        t: Some(floats("", &[], &[0.5])),
        ..Attribute::default()
    };
    let constant = Node { attribute: vec![value], ..node("Constant", &[], "scale") };
    let nodes = vec![
        constant,
        node("QuantizeLinear", &["x", "scale"], "a"),
        node("DequantizeLinear", &["a", "scale"], "y"),
    ];
    let graph = graph(&plain(&model(nodes, vec![])).unwrap());
    assert_eq!(bounds(&graph, &graph.node[1]), (0.0, 127.5));
}

#[test]
fn what_is_not_understood_is_refused_by_name() {
    let scale = || floats("scale", &[], &[0.5]);
    let quantise = || node("QuantizeLinear", &["x", "scale"], "a");
    let vendor = Node { domain: Some("com.microsoft".to_owned()), ..quantise() };
    let inner =
        Attribute { name: Some("body".to_owned()), g: Some(vec![]), ..Attribute::default() };
    let per_channel = || floats("scale", &[3], &[0.5; 3]);
    let weights = |kind, zero| {
        vec![scale(), integers("w", kind, &[1], &[1]), integers("zero", kind, &[], &[zero])]
    };
    let dequantise = || node("DequantizeLinear", &["w", "scale", "zero"], "y");
    let back = || node("DequantizeLinear", &["a", "scale"], "y");
    for (way, nodes, constants, why) in [
        (
            Precision::Fp32,
            vec![vendor],
            vec![scale()],
            "node `a_node` (QuantizeLinear) is not ONNX's own operator",
        ),
        (
            Precision::Fp32,
            vec![quantise()],
            vec![],
            "node `a_node` (QuantizeLinear) computes its scale",
        ),
        (
            Precision::Fp32,
            vec![quantise()],
            vec![floats("scale", &[], &[0.0])],
            "has a scale that is not between",
        ),
        (
            Precision::Fp32,
            vec![quantise()],
            vec![floats("scale", &[], &[f32::NAN])],
            "has a scale that is not between",
        ),
        (
            Precision::Fp32,
            vec![quantise(), node("Relu", &["a"], "y")],
            vec![scale()],
            "`y_node` (Relu) computes with quantised",
        ),
        (
            Precision::Fp32,
            vec![node("QuantizeLinear", &["x", "scale"], "y")],
            vec![scale()],
            "a quantised output, `y`",
        ),
        (
            Precision::Fp32,
            vec![quantise(), Node { attribute: vec![inner], ..node("If", &["x"], "y") }],
            vec![scale()],
            "graphs inside",
        ),
        (
            Precision::Fp32,
            vec![back(), quantise()],
            vec![scale()],
            "takes neither a constant nor what a QuantizeLinear",
        ),
        (Precision::Fp32, vec![quantise(), back()], vec![per_channel()], "more than one scale"),
        (
            Precision::Fp32,
            vec![quantise(), node("DequantizeLinear", &["a", "other"], "y")],
            vec![scale(), floats("other", &[], &[0.6])],
            "another scale or zero point",
        ),
        (
            Precision::Fp32,
            vec![dequantise()],
            vec![per_channel(), weights(INT8, 0).remove(1), weights(INT8, 0).remove(2)],
            "3 scales and 1 zero",
        ),
        (
            Precision::Fp32,
            vec![dequantise()],
            vec![scale(), integers("w", INT8, &[1], &[1]), integers("zero", UINT8, &[], &[1])],
            "another kind",
        ),
        (
            Precision::Fp32,
            vec![dequantise()],
            vec![scale(), integers("w", 22, &[1], &[1])],
            "computes its zero point",
        ),
        (
            Precision::Int8,
            vec![dequantise()],
            weights(INT8, 3),
            "`y_node` (DequantizeLinear) has weights that are not int8 around zero",
        ),
        (
            Precision::Int8,
            vec![dequantise()],
            weights(UINT8, 0),
            "has weights that are not int8 around zero",
        ),
    ] {
        let trt = Version { major: 8, minor: 2, patch: 1 };
        let refused =
            prepared(&model(nodes, constants), &[1, 3, 4, 4], way, trt).expect_err(why).to_string();
        assert!(refused.contains(why), "{refused}\nshould say\n{why}");
    }
    let old =
        Model { opset_import: vec![], ..Model::decode(activation(0.5, None).as_slice()).unwrap() };
    let refused = plain(&old.encode_to_vec()).unwrap_err().to_string();
    assert!(refused.contains("is of opset 0; save the model with 11 or newer"), "{refused}");
}

#[test]
fn half_precision_leaves_the_ends_float32() {
    let nodes = vec![
        node("Mul", &["x", "w"], "z"),
        node("Relu", &["z"], "y"),
        node("Relu", &["y"], "unused"),
    ];
    let bytes = model(nodes, vec![floats("w", &[2], &[1.0, 0.1]), integers("other", 7, &[], &[])]);
    let graph = graph(&half(&bytes).unwrap());
    assert_eq!(kinds(&graph), ["Cast", "Mul", "Relu", "Relu", "Cast"]);
    let wired: Vec<(&str, &str)> =
        graph.node.iter().map(|node| (node.input[0].as_str(), node.made())).collect();
    assert_eq!(
        wired,
        [("x", "x_half"), ("x_half", "z"), ("z", "y_half"), ("y_half", "unused"), ("y_half", "y")]
    );
    let to: Vec<Option<i64>> =
        [0, 4].iter().map(|at: &usize| graph.node[*at].whole("to")).collect();
    assert_eq!(to, [Some(10), Some(1)]);
    let weights = kept(&graph, "w");
    assert_eq!(
        (weights.kind(), weights.raw_data.as_deref()),
        (FLOAT16, Some(&[0x00, 0x3c, 0x66, 0x2e][..]))
    );

    let refused = half(&activation(0.5, None)).unwrap_err().to_string();
    assert!(
        refused.contains("`stored_node` (QuantizeLinear) is not rewritten for half precision"),
        "{refused}"
    );
}

#[test]
fn a_model_with_other_ends_than_a_plan_has_is_left_to_the_cpu_with_the_reason() {
    let float = model(vec![node("Mul", &["x", "w"], "y")], vec![floats("w", &[1], &[1.0])]);
    let changed = |change: &dyn Fn(&mut Graph)| {
        let mut model = Model::decode(float.as_slice()).unwrap();
        change(model.graph.as_mut().unwrap());
        let trt = Version { major: 10, minor: 0, patch: 0 };
        prepared(&model.encode_to_vec(), &[1, 3, 4, 4], Precision::Fp32, trt)
            .map(|_| ())
            .map_err(|refused| refused.to_string())
    };
    let element = |value: &mut ValueInfo, kind| {
        value.r#type.as_mut().unwrap().tensor_type.as_mut().unwrap().elem_type = Some(kind)
    };
    let refused = |change: &dyn Fn(&mut Graph)| changed(change).unwrap_err();
    assert!(
        refused(&|graph| element(&mut graph.input[0], FLOAT16))
            .contains("has float16 values in `x`, and a plan has float32")
    );
    assert!(
        refused(&|graph| element(&mut graph.output[0], UINT8)).contains("has uint8 values in `y`")
    );
    assert!(
        refused(&|graph| graph.output.push(value("z", &[Some(1)])))
            .contains("has 2 outputs (`y`, `z`), and a plan has one; the CPU")
    );
    assert!(
        refused(&|graph| graph.input.push(value("z", &[Some(1)])))
            .contains("has 2 inputs (`x`, `z`)")
    );
    assert_eq!(
        changed(&|graph| graph.input.push(value("w", &[Some(1)]))),
        Ok(()),
        "a constant is no input"
    );
}

#[test]
fn each_precision_and_version_gets_what_it_takes() {
    let quantised = activation(0.5, Some((UINT8, 0)));
    let float = model(vec![node("Mul", &["x", "w"], "y")], vec![floats("w", &[1], &[1.0])]);
    let fixed = |major, precision, bytes: &[u8]| {
        let trt = Version { major, minor: 0, patch: 0 };
        let made = graph(&prepared(bytes, &[1, 3, 32, 48], precision, trt).unwrap());
        let shape = made.input[0].r#type.clone().unwrap().tensor_type.unwrap().shape.unwrap();
        let sides: Vec<Option<i64>> = shape.dim.iter().map(|dim| dim.dim_value).collect();
        assert_eq!(sides, [Some(1), Some(3), Some(32), Some(48)], "open sides are fixed");
        kinds(&made).join(" ")
    };
    for (major, precision, of_quantised, of_float) in [
        (8, Precision::Fp32, "Clip Relu", "Mul"),
        (10, Precision::Fp16, "Clip Relu", "Mul"),
        (11, Precision::Fp32, "Clip Relu", "Mul"),
        (11, Precision::Fp16, "Cast Clip Relu Cast", "Cast Mul Cast"),
        (1, Precision::Fp16, "Cast Clip Relu Cast", "Cast Mul Cast"),
        (8, Precision::Int8, "Clip QuantizeLinear DequantizeLinear Relu", "Mul"),
        (11, Precision::Int8, "Clip QuantizeLinear DequantizeLinear Relu", "none"),
    ] {
        assert_eq!(fixed(major, precision, &quantised), of_quantised, "{major} {precision:?}");
        let told = [true, false].map(|quantised| {
            rewriting(quantised, precision, Version { major, minor: 0, patch: 0 }).is_some()
        });
        assert_eq!(
            told,
            [true, of_float.contains("Cast")],
            "{major} {precision:?}: told before it is done"
        );
        if of_float != "none" {
            assert_eq!(fixed(major, precision, &float), of_float, "{major} {precision:?}");
        }
    }
    let refused = prepared(
        &float,
        &[1, 3, 32, 48],
        Precision::Int8,
        Version { major: 11, minor: 4, patch: 0 },
    )
    .unwrap_err();
    let words = "the model has no Q and DQ nodes; TensorRT 11.4.0 calibrates no networks and takes int8 from these alone; use fp16";
    assert_eq!(refused.to_string(), words);
}

#[test]
fn a_model_without_quantisation_is_handed_on_byte_for_byte_and_nothing_is_lost_in_between() {
    let float = model(vec![node("Mul", &["x", "w"], "y")], vec![floats("w", &[1], &[1.0])]);
    for made in [plain(&float), symmetric(&float)] {
        assert!(matches!(made.unwrap(), Cow::Borrowed(bytes) if bytes == float));
    }
    let shipped =
        concat!(env!("CARGO_MANIFEST_DIR"), "/engines/weights/efficientnet-lite0-int8.onnx");
    let shipped = std::fs::read(shipped).unwrap();
    assert!(
        Model::decode(shipped.as_slice()).unwrap().encode_to_vec() == shipped,
        "read and written, a shipped file is the same"
    );
    let nested = [0x2a, 2, 0x32, 0]; // an attribute with a graph inside
    assert_eq!(Node::decode(&nested[..]).unwrap().encode_to_vec(), nested);
    assert!(Node::decode(&nested[..]).unwrap().holds_graph());
}

#[test]
fn bytes_that_are_no_model_are_refused_with_words() {
    for bytes in [&b""[..], b"#!/bin/sh\n", &[0x3a, 200, 1]] {
        assert!(matches!(plain(bytes), Err(Refused::Model(_))), "{bytes:?}");
    }
    // An external tensor: graph { initializer { data_location: EXTERNAL } }
    let refused = plain(&[0x3a, 4, 0x2a, 2, 0x70, 1]).unwrap_err().to_string();
    assert!(refused.contains("keeps weights in other files (external data)"), "{refused}");
    let graph = Graph { node: vec![Node::default(); MAX_FIELDS + 1], ..Graph::default() };
    let many = Model { graph: Some(graph), ..Model::default() }.encode_to_vec();
    let refused = plain(&many).unwrap_err().to_string();
    assert!(refused.contains("fields; at most 1000000 are rewritten"), "{refused}");
}

proptest! {
    #[test]
    fn a_spoilt_model_is_refused_or_rewritten_and_never_breaks_anything(
        at in 0_usize..400, byte: u8, cut in 0_usize..400, zero in 0..255_i32,
    ) {
        let mut bytes = activation(0.5, Some((UINT8, zero)));
        let length = bytes.len();
        bytes[at % length] = byte;
        bytes.truncate(length - cut % 3);
        for way in [plain, symmetric, half] {
            if let Err(refused) = way(&bytes) {
                prop_assert!(refused.to_string().len() < 1000);
            }
        }
    }
}
