//! A policy as an ONNX model: [`onnx_model`].
//!
//! Values of the model have the batch as an additional first dimension.

use prost::Message;
use sac_kernels::Activation;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::{
    onnx_fourier,
    onnx_nodes::{Name, Nodes, float, int, ints},
    onnx_proto::{
        Dimension, DimensionProto, GraphProto, ModelProto, OperatorSetIdProto, StringStringEntryProto,
        TensorShapeProto, TensorTypeProto, TypeProto, ValueInfoProto, element,
    },
};
use crate::{
    export::{Export, SelfTest},
    graph::{Graph, Node},
    op::{Arithmetic, Function, Op, Reduction},
    space::{Dtype, Space},
};

/// Version of the operators, and of the file format that goes with it.
const OPSET: i64 = 21;
const IR_VERSION: i64 = 10;

const OBSERVATION: &str = "observation";
const NOISE: &str = "noise";
const ACTION: &str = "action";

/// The policy of an export as an ONNX model: from `observation [N, …]` (and `noise [N, W]`) to `action [N, A]`, for any
/// number N of observations. Pixels are `uint8`, indices of actions `int64`, everything else `float`.
///
/// The metadata has the facts by name, `weights_sha256`, which is the digest of name and bytes of every initializer in
/// order, and `self_test`, which is JSON with recorded observations and actions.
pub fn onnx_model(export: &Export) -> Vec<u8> {
    let (graph, facts) = (export.graph(), export.facts());
    let mut nodes = Nodes::default();
    let mut tensors: Vec<_> = graph.nodes().iter().flat_map(|node| node.op.tensors()).collect();
    tensors.sort_unstable();
    tensors.dedup();
    for name in tensors {
        let tensor = graph.tensor(name);
        nodes.tensor(name, &tensor.shape, &tensor.data);
    }
    let is_bytes = matches!(facts.observation_space, Space::Box { dtype: Dtype::U8, .. });
    let mut names: Vec<Name> = Vec::new();
    for (index, (node, is_used)) in graph.nodes().iter().zip(graph.is_used()).enumerate() {
        let name = match is_used {
            true => add(&mut nodes, graph, index, node, &names, is_bytes),
            false => Name::new(),
        };
        names.push(name);
    }
    let output = &names[graph.output().index()];
    let is_index = !matches!(facts.action_space, Space::Box { .. });
    let element_of_action = if is_index { element::INT64 } else { element::FLOAT };
    match is_index {
        true => {
            let whole = nodes.cast(output, element::INT64);
            nodes.named("Identity", &[&whole], ACTION);
        }
        false => nodes.named("Identity", &[output], ACTION),
    }

    let mut inputs = vec![info(
        OBSERVATION,
        if is_bytes { element::UINT8 } else { element::FLOAT },
        graph.observation(),
    )];
    inputs.extend(graph.noise().map(|noise| info(NOISE, element::FLOAT, &[noise.len])));
    let metadata_props = metadata(export, &nodes);
    let model = ModelProto {
        ir_version: Some(IR_VERSION),
        producer_name: Some("sac".to_string()),
        producer_version: Some(facts.version.clone()),
        graph: Some(GraphProto {
            node: nodes.nodes,
            name: Some("policy".to_string()),
            initializer: nodes.initializers,
            input: inputs,
            output: vec![info(ACTION, element_of_action, &[facts.action_space.len()])],
        }),
        opset_import: vec![OperatorSetIdProto {
            domain: Some(String::new()),
            version: Some(OPSET),
        }],
        metadata_props,
    };
    model.encode_to_vec()
}

/// Name, type and shape of an input or output, with the batch.
fn info(name: &str, elem_type: i32, shape: &[usize]) -> ValueInfoProto {
    let batch = Dimension::Name("batch".to_string());
    let extents = shape.iter().map(|extent| Dimension::Value(*extent as i64));
    let dims = [batch].into_iter().chain(extents);
    ValueInfoProto {
        name: Some(name.to_string()),
        r#type: Some(TypeProto {
            tensor_type: Some(TensorTypeProto {
                elem_type: Some(elem_type),
                shape: Some(TensorShapeProto {
                    dim: dims.map(|value| DimensionProto { value: Some(value) }).collect(),
                }),
            }),
        }),
    }
}

fn metadata(export: &Export, nodes: &Nodes) -> Vec<StringStringEntryProto> {
    let facts = export.facts();
    let mut digest = Sha256::new();
    for tensor in &nodes.initializers {
        digest.update(tensor.name.as_deref().unwrap_or_default());
        digest.update(tensor.raw_data.as_deref().unwrap_or_default());
    }
    let digest: String = digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    let rows = |numbers: &[f32], width: usize| -> Vec<Vec<f32>> {
        numbers.chunks_exact(width.max(1)).map(<[f32]>::to_vec).collect()
    };
    let SelfTest {
        observations,
        noise,
        actions,
    } = export.self_test();
    let mut test = json!({
        OBSERVATION: rows(observations, facts.observation_space.len()),
        ACTION: rows(actions, facts.action_space.len()),
    });
    if let Some(width) = export.graph().noise().map(|noise| noise.len) {
        test[NOISE] = json!(rows(noise, width));
    }
    let range: Vec<f32> = (0..facts.action_space.len())
        .map(|index| facts.action_space.range(index))
        .collect();
    let entries = [
        ("env", facts.env.clone()),
        ("observation_space", json!(facts.observation_space).to_string()),
        ("action_space", json!(facts.action_space).to_string()),
        ("action_range", json!(range).to_string()),
        ("algorithm", facts.algorithm.clone()),
        ("seed", facts.seed.to_string()),
        ("env_steps", facts.env_steps.to_string()),
        ("checkpoint_sha256", facts.checkpoint_sha256.clone()),
        ("version", facts.version.clone()),
        ("weights_sha256", digest),
        ("self_test", test.to_string()),
    ];
    entries
        .into_iter()
        .map(|(key, value)| StringStringEntryProto {
            key: Some(key.to_string()),
            value: Some(value),
        })
        .collect()
}

/// Adds an operation, and returns its result.
fn add(nodes: &mut Nodes, graph: &Graph, index: usize, node: &Node, names: &[Name], is_bytes: bool) -> Name {
    let input = |place: usize| names[node.of[place].index()].as_str();
    let shape_of = |place: usize| graph.shape(node.of[place]);
    let shape = &graph.shapes()[index];
    match &node.op {
        Op::Observation if is_bytes => nodes.cast(OBSERVATION, element::FLOAT),
        Op::Observation => OBSERVATION.to_string(),
        Op::Noise { .. } => NOISE.to_string(),
        Op::Constant { tensor } => constant(nodes, tensor, shape),
        Op::Linear { weight, bias } => match (bias, shape_of(0).len()) {
            (Some(bias), 1) => nodes.op("Gemm", &[input(0), weight, bias]),
            (Some(bias), _) => {
                let product = nodes.op("MatMul", &[input(0), weight]);
                nodes.op("Add", &[&product, bias])
            }
            (None, _) => nodes.op("MatMul", &[input(0), weight]),
        },
        Op::Experts { weight, bias } => {
            let product = nodes.op("MatMul", &[input(0), weight]);
            nodes.op("Add", &[&product, bias])
        }
        Op::Convolution {
            weight,
            bias,
            stride,
            padding,
        } => {
            let attributes = windows(*stride, *padding, None);
            nodes.op_with("Conv", &[input(0), weight, bias], attributes)
        }
        Op::MaxPool {
            extent,
            stride,
            padding,
        } => nodes.op_with("MaxPool", &[input(0)], windows(*stride, *padding, Some(*extent))),
        Op::PatchMean { size } => patch_mean(nodes, input(0), shape_of(0), *size, shape),
        Op::LayerNorm { gain, shift, eps } => {
            let attributes = vec![int("axis", -1), float("epsilon", *eps)];
            nodes.op_with("LayerNormalization", &[input(0), gain, shift], attributes)
        }
        Op::ImageNorm { gain, shift, eps } => {
            let mean = nodes.reduce("ReduceMean", input(0), &[1, 2, 3], true);
            let distance = nodes.op("Sub", &[input(0), &mean]);
            let squares = nodes.op("Mul", &[&distance, &distance]);
            let variance = nodes.reduce("ReduceMean", &squares, &[1, 2, 3], true);
            let eps = nodes.scalar(*eps);
            let variance = nodes.op("Add", &[&variance, &eps]);
            let std = nodes.op("Sqrt", &[&variance]);
            let normed = nodes.op("Div", &[&distance, &std]);
            let extents = nodes.indices(&[shape[0] as i64, 1, 1]);
            let [gain, shift] = [gain, shift].map(|tensor| nodes.op("Reshape", &[tensor, &extents]));
            let scaled = nodes.op("Mul", &[&normed, &gain]);
            nodes.op("Add", &[&scaled, &shift])
        }
        Op::UnitNorm { eps } => {
            let squares = nodes.reduce("ReduceSumSquare", input(0), &[-1], true);
            let eps = nodes.scalar(*eps);
            let squares = nodes.op("Add", &[&squares, &eps]);
            let length = nodes.op("Sqrt", &[&squares]);
            nodes.op("Div", &[input(0), &length])
        }
        Op::Activate(activation) => match activation {
            Activation::Relu => nodes.op("Relu", &[input(0)]),
            Activation::Gelu => nodes.op("Gelu", &[input(0)]),
            Activation::Silu => {
                let gate = nodes.op("Sigmoid", &[input(0)]);
                nodes.op("Mul", &[input(0), &gate])
            }
            Activation::Tanh => nodes.op("Tanh", &[input(0)]),
            Activation::Elu => nodes.op("Elu", &[input(0)]),
        },
        Op::Map(function) => {
            let op = match function {
                Function::Exp => "Exp",
                Function::Ln => "Log",
                Function::Softplus => "Softplus",
            };
            nodes.op(op, &[input(0)])
        }
        Op::Scale { factor, offset } => {
            let (factor, offset) = (nodes.scalar(*factor), nodes.scalar(*offset));
            let scaled = nodes.op("Mul", &[input(0), &factor]);
            nodes.op("Add", &[&scaled, &offset])
        }
        Op::Clamp { low, high } => {
            let (low, high) = (nodes.scalar(*low), nodes.scalar(*high));
            nodes.op("Clip", &[input(0), &low, &high])
        }
        Op::Combine(arithmetic) => {
            let op = match arithmetic {
                Arithmetic::Add => "Add",
                Arithmetic::Subtract => "Sub",
                Arithmetic::Multiply => "Mul",
            };
            let (x, y) = (shape_of(0), shape_of(1));
            if x.len() == y.len() {
                return nodes.op(op, &[input(0), input(1)]);
            }
            // The batch comes first, and the missing dimensions after it.
            let extents = [&vec![1; x.len() - y.len()][..], y].concat();
            let second = nodes.reshape(input(1), &extents);
            nodes.op(op, &[input(0), &second])
        }
        Op::MatMul => nodes.op("MatMul", &[input(0), input(1)]),
        Op::Softmax { axis } => nodes.op_with("Softmax", &[input(0)], vec![int("axis", *axis as i64 + 1)]),
        Op::Reduce { axis, by } => {
            let op = match by {
                Reduction::Mean => "ReduceMean",
                Reduction::Max => "ReduceMax",
            };
            nodes.reduce(op, input(0), &[*axis as i64 + 1], false)
        }
        Op::Reshape { shape } => nodes.reshape(input(0), shape),
        Op::Transpose { first, second } => {
            let mut order: Vec<i64> = (0..=shape.len() as i64).collect();
            order.swap(first + 1, second + 1);
            nodes.op_with("Transpose", &[input(0)], vec![ints("perm", &order)])
        }
        Op::Slice { axis, start, len } => nodes.slice(input(0), axis + 1, *start, *len),
        Op::Concatenate { axis } => nodes.op_with("Concat", &[input(0), input(1)], vec![int("axis", *axis as i64 + 1)]),
        Op::OneHot { sizes } => one_hot(nodes, input(0), sizes),
        Op::Greatest { sizes } => greatest(nodes, input(0), sizes),
        Op::DrawIndex => {
            let probabilities = nodes.op_with("Softmax", &[input(0)], vec![int("axis", 1)]);
            let axis = nodes.index_tensor(&[], &[1]);
            let cumulative = nodes.op("CumSum", &[&probabilities, &axis]);
            let is_below = nodes.op("LessOrEqual", &[&cumulative, input(1)]);
            let is_below = nodes.cast(&is_below, element::FLOAT);
            let count = nodes.reduce("ReduceSum", &is_below, &[1], true);
            let most = nodes.scalar(shape_of(0)[0] as f32 - 1.0);
            nodes.op("Min", &[&count, &most])
        }
        Op::Unravel { sizes } => unravel(nodes, input(0), sizes),
        Op::FourierPeak(series) => onnx_fourier::peaks(nodes, *series, input(0), shape[0]),
        Op::FourierQuantile(series) => onnx_fourier::quantiles(nodes, *series, input(0), input(1), shape[0]),
        Op::Rescale { low, high } => rescale(nodes, graph, input(0), low, high),
    }
}

/// A tensor for every observation of the batch: `[N, …]`.
fn constant(nodes: &mut Nodes, tensor: &str, shape: &[usize]) -> Name {
    let extents = nodes.op("Shape", &[OBSERVATION]);
    let batch = nodes.slice(&extents, 0, 0, 1);
    let own: Vec<i64> = shape.iter().map(|extent| *extent as i64).collect();
    let own = nodes.indices(&own);
    let extents = nodes.op_with("Concat", &[&batch, &own], vec![int("axis", 0)]);
    nodes.op("Expand", &[tensor, &extents])
}

/// The attributes of windows over an image.
fn windows(stride: usize, padding: usize, extent: Option<usize>) -> Vec<super::onnx_proto::AttributeProto> {
    let mut attributes = vec![ints("strides", &[stride as i64; 2]), ints("pads", &[padding as i64; 4])];
    attributes.extend(extent.map(|extent| ints("kernel_shape", &[extent as i64; 2])));
    attributes
}

/// Patches at the edges are filled with zeros, and their means corrected for them.
fn patch_mean(nodes: &mut Nodes, x: &str, image: &[usize], size: usize, shape: &[usize]) -> Name {
    let (rows, columns) = (shape[1], shape[2]);
    let missing = [rows * size - image[1], columns * size - image[2]].map(|count| count as i64);
    let pads = nodes.indices(&[0, 0, 0, 0, 0, 0, missing[0], missing[1]]);
    let padded = nodes.op("Pad", &[x, &pads]);
    let mean = nodes.op_with("AveragePool", &[&padded], windows(size, 0, Some(size)));
    let inside = |at: usize, length: usize| ((at + 1) * size).min(length) - at * size;
    let corrections: Vec<f32> = (0..rows * columns)
        .map(|at| inside(at / columns, image[1]) * inside(at % columns, image[2]))
        .map(|count| (size * size) as f32 / count as f32)
        .collect();
    let corrections = nodes.floats(&[rows, columns], &corrections);
    nodes.op("Mul", &[&mean, &corrections])
}

/// Applies a function to the numbers of each position, and concatenates the results.
fn by_position(nodes: &mut Nodes, sizes: &[usize], mut part: impl FnMut(&mut Nodes, usize, usize) -> Name) -> Name {
    let parts: Vec<Name> = sizes
        .iter()
        .enumerate()
        .map(|(position, size)| part(nodes, position, *size))
        .collect();
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    nodes.op_with("Concat", &parts, vec![int("axis", 1)])
}

fn one_hot(nodes: &mut Nodes, x: &str, sizes: &[usize]) -> Name {
    let values = nodes.floats(&[2], &[0.0, 1.0]);
    by_position(nodes, sizes, |nodes, position, size| {
        let column = nodes.slice(x, 1, position, 1);
        let index = nodes.cast(&column, element::INT64);
        let depth = nodes.index_tensor(&[], &[size as i64]);
        let vectors = nodes.op("OneHot", &[&index, &depth, &values]); // [N, 1, size]
        nodes.reshape(&vectors, &[size])
    })
}

fn greatest(nodes: &mut Nodes, x: &str, sizes: &[usize]) -> Name {
    let mut start = 0;
    by_position(nodes, sizes, |nodes, _, size| {
        let part = nodes.slice(x, 1, start, size);
        start += size;
        let index = nodes.op_with("ArgMax", &[&part], vec![int("axis", 1), int("keepdims", 1)]);
        nodes.cast(&index, element::FLOAT)
    })
}

fn unravel(nodes: &mut Nodes, x: &str, sizes: &[usize]) -> Name {
    let joint = nodes.cast(x, element::INT64);
    by_position(nodes, sizes, |nodes, position, size| {
        let after: usize = sizes[position + 1..].iter().product();
        let [after, size] = [after, size].map(|count| nodes.index_tensor(&[], &[count as i64]));
        let rest = nodes.op("Div", &[&joint, &after]);
        let index = nodes.op("Mod", &[&rest, &size]);
        nodes.cast(&index, element::FLOAT)
    })
}

/// From [-1, 1] to the bounds, computed in double precision.
fn rescale(nodes: &mut Nodes, graph: &Graph, x: &str, low: &str, high: &str) -> Name {
    let bounds = graph.tensor(low).data.iter().zip(&graph.tensor(high).data);
    let wide = bounds.map(|(low, high)| (f64::from(*low), f64::from(*high)));
    let (middle, half): (Vec<f64>, Vec<f64>) = wide.map(|(low, high)| ((low + high) / 2.0, (high - low) / 2.0)).unzip();
    let count = middle.len();
    let (middle, half) = (nodes.doubles(&[count], &middle), nodes.doubles(&[count], &half));
    let (one, minus_one) = (nodes.scalar(1.0), nodes.scalar(-1.0));
    let precise = nodes.cast(x, element::DOUBLE);
    let scaled = nodes.op("Mul", &[&precise, &half]);
    let scaled = nodes.op("Add", &[&scaled, &middle]);
    let scaled = nodes.cast(&scaled, element::FLOAT);
    let scaled = nodes.op("Max", &[&scaled, low]);
    let scaled = nodes.op("Min", &[&scaled, high]);
    let is_high = nodes.op("GreaterOrEqual", &[x, &one]);
    let scaled = nodes.op("Where", &[&is_high, high, &scaled]);
    let is_low = nodes.op("LessOrEqual", &[x, &minus_one]);
    nodes.op("Where", &[&is_low, low, &scaled])
}
