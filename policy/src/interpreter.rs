//! The computation of a graph: [`Interpreter`].

mod discrete;
mod elementwise;
mod fourier;
mod images;
mod input;
mod layers;
mod shapes;

use std::sync::Arc;

use crate::{
    graph::{Graph, Node},
    op::{Arithmetic, Op},
};
use input::Input;

/// Computes a graph, with memory for its values that is kept between calls.
#[derive(Clone, Debug)]
pub struct Interpreter {
    graph: Arc<Graph>,
    is_used: Vec<bool>,
    /// The result of every operation, `rows` times.
    values: Vec<Vec<f32>>,
    scratch: Vec<f32>,
}

impl Interpreter {
    /// An interpreter of a graph.
    pub fn new(graph: Arc<Graph>) -> Self {
        Interpreter {
            is_used: graph.is_used(),
            values: vec![Vec::new(); graph.nodes().len()],
            scratch: Vec::new(),
            graph,
        }
    }

    /// The graph.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// The results `[rows, A]` for `obs [rows, …]` and `noise [rows, …]`, which is empty for a graph without noise. A
    /// row of the result depends on no other row.
    ///
    /// # Panics
    /// When a slice has another length.
    pub fn run(&mut self, rows: usize, obs: &[f32], noise: &[f32]) -> &[f32] {
        let graph = Arc::clone(&self.graph);
        assert_eq!(
            obs.len(),
            rows * graph.observation().iter().product::<usize>(),
            "observations have the shape of the graph"
        );
        let noise_len = graph.noise().map_or(0, |noise| noise.len);
        assert_eq!(noise.len(), rows * noise_len, "noise has the length of the graph's");
        for (index, node) in graph.nodes().iter().enumerate() {
            if !self.is_used[index] {
                continue;
            }
            let (before, rest) = self.values.split_at_mut(index);
            let shape = &graph.shapes()[index];
            let out = &mut rest[0];
            out.resize(rows * shape.iter().product::<usize>(), 0.0);
            let input = |place: usize| {
                let value = node.of[place];
                Input {
                    data: &before[value.index()],
                    shape: graph.shape(value),
                }
            };
            match &node.op {
                Op::Observation => out.copy_from_slice(obs),
                Op::Noise { .. } => out.copy_from_slice(noise),
                _ => compute(&graph, node, rows, input, shape, out, &mut self.scratch),
            }
        }
        &self.values[graph.output().index()]
    }
}

/// Writes the result of an operation to `out`, `rows` times `shape`.
fn compute<'a>(
    graph: &Graph,
    node: &Node,
    rows: usize,
    input: impl Fn(usize) -> Input<'a>,
    shape: &[usize],
    out: &mut [f32],
    scratch: &mut Vec<f32>,
) {
    let data = |name: &str| graph.tensor(name).data.as_slice();
    match &node.op {
        Op::Observation | Op::Noise { .. } => {} // written by the caller, who has them
        Op::Constant { tensor } => shapes::repeat(data(tensor), out),
        Op::OneHot { sizes } => discrete::one_hot(input(0), sizes, out),
        Op::Linear { weight, bias } => layers::linear(input(0), data(weight), bias.as_deref().map(data), out),
        Op::Experts { weight, bias } => layers::experts(input(0), data(weight), data(bias), out),
        Op::Convolution {
            weight,
            bias,
            stride,
            padding,
        } => {
            let kernel = images::Kernel {
                weight: graph.tensor(weight),
                bias: data(bias),
                stride: *stride,
                padding: *padding,
            };
            images::convolution(input(0), kernel, shape, out, scratch);
        }
        Op::MaxPool {
            extent,
            stride,
            padding,
        } => images::max_pool(input(0), (*extent, *stride, *padding), shape, out),
        Op::PatchMean { size } => images::patch_mean(input(0), *size, shape, out),
        Op::LayerNorm { gain, shift, eps } => layers::layer_norm(input(0), data(gain), data(shift), *eps, out),
        Op::ImageNorm { gain, shift, eps } => images::image_norm(input(0), data(gain), data(shift), *eps, out),
        Op::UnitNorm { eps } => layers::unit_norm(input(0), *eps, out),
        Op::Activate(activation) => elementwise::activate(*activation, input(0), out, scratch),
        Op::Map(function) => elementwise::map(*function, input(0), out),
        Op::Scale { factor, offset } => elementwise::each(input(0), out, |x| x * factor + offset),
        Op::Clamp { low, high } => elementwise::clamp(input(0), *low, *high, out),
        Op::Combine(arithmetic) => {
            let [x, y] = [input(0), input(1)];
            match arithmetic {
                Arithmetic::Add => elementwise::combine(x, y, rows, out, |x, y| x + y),
                Arithmetic::Subtract => elementwise::combine(x, y, rows, out, |x, y| x - y),
                Arithmetic::Multiply => elementwise::combine(x, y, rows, out, |x, y| x * y),
            }
        }
        Op::MatMul => layers::mat_mul(input(0), input(1), out),
        Op::Softmax { axis } => elementwise::softmax(input(0), *axis, out),
        Op::Reduce { axis, by } => shapes::reduce(input(0), *axis, *by, out),
        Op::Reshape { .. } => out.copy_from_slice(input(0).data),
        Op::Transpose { first, second } => shapes::transpose(input(0), *first, *second, out),
        Op::Slice { axis, start, len } => shapes::slice(input(0), *axis, *start, *len, out),
        Op::Concatenate { axis } => shapes::concatenate(input(0), input(1), *axis, out),
        Op::Greatest { sizes } => discrete::greatest(input(0), sizes, out),
        Op::DrawIndex => discrete::draw_index(input(0), input(1), out),
        Op::Unravel { sizes } => discrete::unravel(input(0), sizes, out),
        Op::FourierPeak(series) => fourier::peaks(*series, input(0), out),
        Op::FourierQuantile(series) => fourier::quantiles(*series, input(0), input(1), out),
        Op::Rescale { low, high } => elementwise::rescale(input(0), data(low), data(high), out),
    }
}
