//! Bodies with residual blocks: [`Residual`].
//!
//! | Kind | Embedding | Block | End |
//! |---|---|---|---|
//! | `flash` | W·BN(x) | x + relu(BN(W₂ relu(BN(W₁ x)))) | RMS norm |
//! | `simba` | W·x + b | x + W₂ relu(W₁ LN(x) + b₁) + b₂ | layer norm |
//! | `bro_net` | relu(LN(W·x + b)) | x + LN(W₂ relu(LN(W₁ x + b₁)) + b₂) | – |
//!
//! BN and LN are batch and layer normalisation. Sources: FlashSAC (Holiday-Robot/FlashSAC 87edc90, `layer.py`); SimBa
//! (Lee et al. 2024, arXiv 2410.09754, section 4); BRO (Nauman et al. 2024, arXiv 2405.16158, section 3).

use sac_kernels::Activation;
use sac_policy::{Arithmetic, Op, Value};
use serde::{Deserialize, Serialize};
use tch::Tensor;

use super::{
    Activations,
    body::{Body, MOST_LAYERS, Operation, WIDTHS},
    layout::{Init, InitialWeights, ParamLayout},
    linear::MemberLinear,
    norm::{BatchNorm, BatchNormSpec, MemberLayerNorm, NormPosition, RmsNorm},
    params::Params,
    tracer::Tracer,
};
use crate::{error::Result, noise::Stream, spec_problems::SpecProblems};

/// Settings of FlashSAC's body. Weights have unit norm over the inputs of every output, gains and shifts together √n.
/// Defaults: FlashSAC's critic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FlashSpec {
    /// Units of the residual stream.
    pub width: i64,
    /// Number of blocks.
    pub blocks: usize,
    /// Hidden units of a block, in widths.
    pub expansion: i64,
}

/// Settings of SimBa's body. Defaults: SimBa's critic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SimbaSpec {
    /// Units of the residual stream.
    pub width: i64,
    /// Number of blocks.
    pub blocks: usize,
    /// Hidden units of a block, in widths.
    pub expansion: i64,
}

/// Settings of BRO's body. Defaults: BRO's critic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BroNetSpec {
    /// Units of all layers.
    pub width: i64,
    /// Number of blocks.
    pub blocks: usize,
}

impl Default for FlashSpec {
    fn default() -> Self {
        FlashSpec {
            width: 256,
            blocks: 2,
            expansion: 4,
        }
    }
}

impl Default for SimbaSpec {
    fn default() -> Self {
        SimbaSpec {
            width: 512,
            blocks: 2,
            expansion: 4,
        }
    }
}

impl Default for BroNetSpec {
    fn default() -> Self {
        BroNetSpec { width: 512, blocks: 2 }
    }
}

/// Reports sizes that are out of range, for the body at `key`.
pub(super) fn check_blocks(p: &mut SpecProblems, key: &str, (width, blocks, expansion): (i64, usize, i64)) {
    let name = format!("{key}.width");
    p.require(WIDTHS.contains(&width), &name, width, "between 1 and 65536");
    let (name, expected) = (format!("{key}.blocks"), format!("between 1 and {MOST_LAYERS}"));
    p.require((1..=MOST_LAYERS).contains(&blocks), &name, blocks, &expected);
    let name = format!("{key}.expansion");
    p.require((1..=64).contains(&expansion), &name, expansion, "between 1 and 64");
}

impl FlashSpec {
    pub(super) fn check(&self, p: &mut SpecProblems, key: &str) {
        check_blocks(p, key, (self.width, self.blocks, self.expansion));
    }
}

impl SimbaSpec {
    pub(super) fn check(&self, p: &mut SpecProblems, key: &str) {
        check_blocks(p, key, (self.width, self.blocks, self.expansion));
    }
}

impl BroNetSpec {
    pub(super) fn check(&self, p: &mut SpecProblems, key: &str) {
        check_blocks(p, key, (self.width, self.blocks, 1));
    }
}

/// FlashSAC's batch normalisation. Its code: momentum 0.01, eps 1e-5.
const FLASH_NORM: BatchNormSpec = BatchNormSpec {
    position: NormPosition::BeforeActivation,
    momentum: 0.01,
    eps: 1e-5,
    renorm: None,
};

/// Added to the mean square at the end of FlashSAC's body. Its code: 1e-6.
const RMS_EPS: f64 = 1e-6;

/// Added to the variance of layer normalisation. flax's default, which the codes of SimBa and BRO use: 1e-6.
const LAYER_NORM_EPS: f64 = 1e-6;

/// A normalisation of a layer.
#[derive(Clone, Debug)]
enum Norm {
    Batch(BatchNorm),
    Layer(MemberLayerNorm),
    Rms(RmsNorm),
}

impl Norm {
    fn forward(&self, params: &Params, x: &Tensor) -> Tensor {
        match self {
            Norm::Batch(norm) => norm.forward(params, x),
            Norm::Layer(norm) => norm.forward(params, x),
            Norm::Rms(norm) => norm.forward(params, x),
        }
    }

    fn trace(&self, tracer: &mut Tracer, x: Value) -> Result<Value> {
        match self {
            Norm::Batch(norm) => norm.trace(tracer, x),
            Norm::Layer(norm) => norm.trace(tracer, x),
            Norm::Rms(norm) => norm.trace(tracer, x),
        }
    }

    fn operation(&self) -> Operation<'_> {
        match self {
            Norm::Batch(norm) => Operation::BatchNorm(norm),
            Norm::Layer(norm) => Operation::LayerNorm(norm),
            Norm::Rms(norm) => Operation::RmsNorm(norm),
        }
    }
}

/// A step of a pass.
#[derive(Clone, Debug)]
enum Step {
    Norm(Norm),
    Linear(MemberLinear),
    Relu,
}

impl Step {
    fn operation(&self) -> Operation<'_> {
        match self {
            Step::Norm(norm) => norm.operation(),
            Step::Linear(linear) => Operation::Linear(linear),
            Step::Relu => Operation::Activate(Activation::Relu),
        }
    }
}

/// A body with residual blocks, through libtorch.
#[derive(Clone, Debug)]
pub struct Residual {
    embedding: Vec<Step>,
    /// The steps of each block, whose result is added to its input.
    blocks: Vec<Vec<Step>>,
    end: Option<Norm>,
    output: MemberLinear,
    normalizes_by_batch: bool,
}

/// What a body is built from: the members of the ensemble, and the layout that receives the parameters.
struct Builder<'a> {
    members: Option<i64>,
    layout: &'a mut ParamLayout,
}

impl Builder<'_> {
    fn linear(&mut self, name: &str, inputs: i64, outputs: i64) -> Step {
        Step::Linear(MemberLinear::new(name, inputs, outputs, self.members, self.layout))
    }

    /// A linear layer with a ReLU after it, whose weights are drawn for that.
    fn he(&mut self, name: &str, inputs: i64, outputs: i64) -> Step {
        let init = Init::He { fan_in: inputs };
        Step::Linear(MemberLinear::with_init(
            name,
            (inputs, outputs),
            self.members,
            init,
            self.layout,
        ))
    }

    fn layer_norm(&mut self, name: &str, width: i64) -> Step {
        let norm = MemberLayerNorm::new(name, LAYER_NORM_EPS, width, self.members, self.layout);
        Step::Norm(Norm::Layer(norm))
    }

    /// A linear layer without a bias and with weights of unit norm.
    fn unit_linear(&mut self, name: &str, inputs: i64, outputs: i64) -> Step {
        let linear = MemberLinear::without_bias(name, inputs, outputs, self.members, self.layout);
        Step::Linear(linear.with_unit_weights(self.layout))
    }

    fn flash_norm(&mut self, name: &str, width: i64) -> Step {
        let norm = BatchNorm::new(name, FLASH_NORM, width, self.members, self.layout);
        norm.keep_root_width(self.layout);
        Step::Norm(Norm::Batch(norm))
    }
}

impl Residual {
    /// FlashSAC's body. Weights start orthogonal.
    pub fn flash(spec: &FlashSpec, inputs: i64, outputs: i64, members: Option<i64>, layout: &mut ParamLayout) -> Self {
        let (width, hidden) = (spec.width, spec.width * spec.expansion);
        layout.with_initial_weights(InitialWeights::Orthogonal, |layout| {
            let mut b = Builder { members, layout };
            let embedding = vec![
                b.flash_norm("body.embed.norm", inputs),
                b.unit_linear("body.embed", inputs, width),
            ];
            let block = |index: usize| {
                let name = |part: &str| format!("body.{index}.{part}");
                vec![
                    b.unit_linear(&name("expand"), width, hidden),
                    b.flash_norm(&name("expand.norm"), hidden),
                    Step::Relu,
                    b.unit_linear(&name("contract"), hidden, width),
                    b.flash_norm(&name("contract.norm"), width),
                    Step::Relu,
                ]
            };
            let blocks = (0..spec.blocks).map(block).collect();
            let end = RmsNorm::with_root_width("body.end.norm", RMS_EPS, width, members, layout);
            let output = MemberLinear::new("body.output", width, outputs, members, layout);
            Residual {
                embedding,
                blocks,
                end: Some(Norm::Rms(end)),
                output: output.with_unit_weights(layout),
                normalizes_by_batch: true,
            }
        })
    }

    /// SimBa's body. Weights start orthogonal, in blocks after He et al. 2015.
    pub fn simba(spec: &SimbaSpec, inputs: i64, outputs: i64, members: Option<i64>, layout: &mut ParamLayout) -> Self {
        let (width, hidden) = (spec.width, spec.width * spec.expansion);
        layout.with_initial_weights(InitialWeights::Orthogonal, |layout| {
            let mut b = Builder { members, layout };
            let embedding = vec![b.linear("body.embed", inputs, width)];
            let block = |index: usize| {
                let name = |part: &str| format!("body.{index}.{part}");
                vec![
                    b.layer_norm(&name("norm"), width),
                    b.he(&name("expand"), width, hidden),
                    Step::Relu,
                    b.he(&name("contract"), hidden, width),
                ]
            };
            let blocks = (0..spec.blocks).map(block).collect();
            let end = MemberLayerNorm::new("body.end.norm", LAYER_NORM_EPS, width, members, layout);
            Residual {
                embedding,
                blocks,
                end: Some(Norm::Layer(end)),
                output: MemberLinear::new("body.output", width, outputs, members, layout),
                normalizes_by_batch: false,
            }
        })
    }

    /// BRO's body. Weights start orthogonal.
    pub fn bro_net(
        spec: &BroNetSpec,
        inputs: i64,
        outputs: i64,
        members: Option<i64>,
        layout: &mut ParamLayout,
    ) -> Self {
        let width = spec.width;
        layout.with_initial_weights(InitialWeights::Orthogonal, |layout| {
            let mut b = Builder { members, layout };
            let embedding = vec![
                b.linear("body.embed", inputs, width),
                b.layer_norm("body.embed.norm", width),
                Step::Relu,
            ];
            let block = |index: usize| {
                let name = |part: &str| format!("body.{index}.{part}");
                vec![
                    b.linear(&name("first"), width, width),
                    b.layer_norm(&name("first.norm"), width),
                    Step::Relu,
                    b.linear(&name("second"), width, width),
                    b.layer_norm(&name("second.norm"), width),
                ]
            };
            let blocks = (0..spec.blocks).map(block).collect();
            Residual {
                embedding,
                blocks,
                end: None,
                output: MemberLinear::new("body.output", width, outputs, members, layout),
                normalizes_by_batch: false,
            }
        })
    }
}

/// Adds steps to a graph.
fn traced(steps: &[Step], tracer: &mut Tracer, x: Value) -> Result<Value> {
    steps.iter().try_fold(x, |x, step| match step {
        Step::Norm(norm) => norm.trace(tracer, x),
        Step::Linear(linear) => linear.trace(tracer, x),
        Step::Relu => tracer.add(Op::Activate(Activation::Relu), &[x]),
    })
}

impl Body for Residual {
    fn features(
        &self,
        params: &Params,
        x: &Tensor,
        _stream: Option<&mut Stream>,
        mut activations: Option<&mut Activations>,
    ) -> Tensor {
        let x = self.output.for_members(params, x); // [B, in] or [E, B, in]
        let mut run = |steps: &[Step], x: &Tensor| {
            let mut x = x.shallow_clone();
            for step in steps {
                x = match step {
                    Step::Norm(norm) => norm.forward(params, &x),
                    Step::Linear(linear) => linear.forward(params, &x),
                    Step::Relu => {
                        let h = x.relu();
                        if let Some(activations) = &mut activations {
                            self.output.record(&h, activations);
                        }
                        h
                    }
                };
            }
            x
        };
        let mut x = run(&self.embedding, &x);
        for block in &self.blocks {
            x = &x + run(block, &x);
        }
        if let Some(end) = &self.end {
            x = end.forward(params, &x);
        }
        x
    }

    fn outputs(&self, params: &Params, features: &Tensor) -> Tensor {
        self.output.forward(params, features)
    }

    fn trace_features(&self, tracer: &mut Tracer, x: Value) -> Result<Value> {
        let mut x = traced(&self.embedding, tracer, x)?;
        for block in &self.blocks {
            let inner = traced(block, tracer, x)?;
            x = tracer.add(Op::Combine(Arithmetic::Add), &[x, inner])?;
        }
        match &self.end {
            Some(end) => end.trace(tracer, x),
            None => Ok(x),
        }
    }

    fn trace_outputs(&self, tracer: &mut Tracer, features: Value) -> Result<Value> {
        self.output.trace(tracer, features)
    }

    fn linear_layers(&self) -> Vec<&MemberLinear> {
        let steps = self.embedding.iter().chain(self.blocks.iter().flatten());
        let linear = steps.filter_map(|step| match step {
            Step::Linear(linear) => Some(linear),
            Step::Norm(_) | Step::Relu => None,
        });
        linear.chain([&self.output]).collect()
    }

    fn normalizes_by_batch(&self) -> bool {
        self.normalizes_by_batch
    }

    fn operations(&self) -> Option<Vec<Operation<'_>>> {
        let mut operations: Vec<Operation> = self.embedding.iter().map(Step::operation).collect();
        for block in &self.blocks {
            operations.push(Operation::BeginBlock);
            operations.extend(block.iter().map(Step::operation));
            operations.push(Operation::EndBlock);
        }
        operations.extend(self.end.as_ref().map(Norm::operation));
        operations.push(Operation::Linear(&self.output));
        Some(operations)
    }
}
