//! SimbaV2's body, whose features and weights have norm 1: [`Hyperspherical`].
//!
//! | Part | Equation |
//! |---|---|
//! | embedding | x ← n(s ⊙ W n([x; c])) |
//! | block | h = n(W₂ (relu(s ⊙ W₁ x) + ε));  x ← n(x + λ ⊙ (h − x)) |
//! | head | W₂ (s ⊙ W₁ x) + b |
//!
//! n(x) = x/‖x‖. The weights of every unit have norm 1 over its inputs, after every step of the optimiser. s and λ are
//! learned gains (`Gain`). A policy has one head for means and one for log σ. Source: Lee et al. 2025, "Hyperspherical
//! Normalization for Scalable Deep Reinforcement Learning", arXiv 2502.15280, section 4; its code DAVIAN-Robotics/SimbaV2
//! 86899c2, `simbaV2_layer.py`.

use sac_kernels::Activation;
use sac_policy::{Arithmetic, Op, Value};
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use super::{
    Activations,
    body::Body,
    layout::{Init, InitialWeights, ParamIndex, ParamLayout},
    linear::MemberLinear,
    norm::{combined, shape},
    params::Params,
    residual::check_blocks,
    tracer::Tracer,
};
use crate::{error::Result, noise::Stream, spec_problems::SpecProblems};

/// Settings of SimbaV2's body. Defaults: SimbaV2's critic.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SimbaV2Spec {
    /// Units of the residual stream.
    pub width: i64,
    /// Number of blocks.
    pub blocks: usize,
    /// Hidden units of a block, in widths.
    pub expansion: i64,
    /// The constant input c beside the others, above 0. It keeps their length visible after normalisation.
    pub shift: f64,
}

impl Default for SimbaV2Spec {
    fn default() -> Self {
        SimbaV2Spec {
            width: 512,
            blocks: 2,
            expansion: 4,
            shift: 3.0,
        }
    }
}

impl SimbaV2Spec {
    pub(super) fn check(&self, p: &mut SpecProblems, key: &str) {
        check_blocks(p, key, (self.width, self.blocks, self.expansion));
        p.require_positive(&format!("{key}.shift"), self.shift);
    }
}

/// Added to hidden units, so that they are never all 0. The code: 1e-8.
const HIDDEN_EPS: f64 = 1e-8;

/// Added to squared norms. The code limits norms to at least 1e-8 instead, where its gradient at 0 is not a number.
const SQUARE_EPS: f64 = 1e-16;

/// `x / ‖x‖` over the last dimension.
fn unit(x: &Tensor) -> Tensor {
    let squares = x.square().sum_dim_intlist([-1i64].as_slice(), true, Kind::Float);
    x * (squares + SQUARE_EPS).rsqrt()
}

fn traced_unit(tracer: &mut Tracer, x: Value) -> Result<Value> {
    let eps = SQUARE_EPS as f32;
    tracer.add(Op::UnitNorm { eps }, &[x])
}

/// A learned gain of every unit, θ · factor. It starts at `start`, but its parameter θ at `scale`: a step of the optimiser
/// is long in comparison with a gain whose `scale` is small.
#[derive(Clone, Debug)]
struct Gain {
    param: ParamIndex,
    factor: f64,
}

/// The beginning of a gain and of its parameter.
#[derive(Clone, Copy)]
struct Begin {
    start: f64,
    scale: f64,
}

impl Begin {
    /// A gain and a parameter that start at the same value.
    fn at(start: f64) -> Self {
        Begin { start, scale: start }
    }
}

impl Gain {
    fn new(name: &str, begin: Begin, width: i64, members: Option<i64>, layout: &mut ParamLayout) -> Self {
        let init = Init::Constant(begin.scale as f32);
        Gain {
            param: layout.add(format!("{name}.gain"), &shape(width, members), init),
            factor: begin.start / begin.scale,
        }
    }

    fn forward(&self, params: &Params, x: &Tensor) -> Tensor {
        x * (&params[self.param] * self.factor)
    }

    fn trace(&self, tracer: &mut Tracer, x: Value) -> Result<Value> {
        let gain = tracer.values(self.param) * self.factor;
        let name = tracer.name(self.param).to_string();
        combined(tracer, x, Arithmetic::Multiply, (&name, &gain))
    }
}

/// A linear layer with weights of norm 1 and without a bias, then a gain: s ⊙ W x.
#[derive(Clone, Debug)]
struct Scaled {
    linear: MemberLinear,
    gain: Gain,
}

impl Scaled {
    fn forward(&self, params: &Params, x: &Tensor) -> Tensor {
        self.gain.forward(params, &self.linear.forward(params, x))
    }

    fn trace(&self, tracer: &mut Tracer, x: Value) -> Result<Value> {
        let x = self.linear.trace(tracer, x)?;
        self.gain.trace(tracer, x)
    }
}

#[derive(Clone, Debug)]
struct Block {
    expand: Scaled,
    contract: MemberLinear,
    /// λ, the share of the way to h.
    share: Gain,
}

impl Block {
    /// The hidden units at `x`.
    fn hidden(&self, params: &Params, x: &Tensor) -> Tensor {
        self.expand.forward(params, x).relu() + HIDDEN_EPS
    }

    /// The step from `x`, for its hidden units.
    fn forward(&self, params: &Params, x: &Tensor, hidden: &Tensor) -> Tensor {
        let h = unit(&self.contract.forward(params, hidden));
        unit(&(x + self.share.forward(params, &(h - x))))
    }

    fn trace(&self, tracer: &mut Tracer, x: Value) -> Result<Value> {
        let hidden = self.expand.trace(tracer, x)?;
        let hidden = tracer.add(Op::Activate(Activation::Relu), &[hidden])?;
        let (factor, offset) = (1.0, HIDDEN_EPS as f32);
        let hidden = tracer.add(Op::Scale { factor, offset }, &[hidden])?;
        let h = self.contract.trace(tracer, hidden)?;
        let h = traced_unit(tracer, h)?;
        let way = tracer.add(Op::Combine(Arithmetic::Subtract), &[h, x])?;
        let step = self.share.trace(tracer, way)?;
        let moved = tracer.add(Op::Combine(Arithmetic::Add), &[x, step])?;
        traced_unit(tracer, moved)
    }
}

#[derive(Clone, Debug)]
struct Head {
    hidden: Scaled,
    output: MemberLinear,
}

impl Head {
    fn forward(&self, params: &Params, x: &Tensor) -> Tensor {
        self.output.forward(params, &self.hidden.forward(params, x))
    }

    fn trace(&self, tracer: &mut Tracer, x: Value) -> Result<Value> {
        let hidden = self.hidden.trace(tracer, x)?;
        self.output.trace(tracer, hidden)
    }
}

/// SimbaV2's body, through libtorch.
#[derive(Clone, Debug)]
pub struct Hyperspherical {
    shift: f64,
    embedding: Scaled,
    blocks: Vec<Block>,
    heads: Vec<Head>,
}

/// What a body is built from: the members of the ensemble, and the layout that receives the parameters.
struct Builder<'a> {
    members: Option<i64>,
    layout: &'a mut ParamLayout,
}

impl Builder<'_> {
    fn gain(&mut self, name: &str, begin: Begin, width: i64) -> Gain {
        Gain::new(name, begin, width, self.members, self.layout)
    }

    fn linear(&mut self, name: &str, inputs: i64, outputs: i64) -> MemberLinear {
        MemberLinear::without_bias(name, inputs, outputs, self.members, self.layout).with_unit_weights(self.layout)
    }

    fn scaled(&mut self, name: &str, (inputs, outputs): (i64, i64), begin: Begin) -> Scaled {
        Scaled {
            linear: self.linear(name, inputs, outputs),
            gain: self.gain(name, begin, outputs),
        }
    }

    fn head(&mut self, name: &str, inputs: i64, outputs: i64) -> Head {
        let hidden = self.scaled(&format!("{name}.hidden"), (inputs, inputs), Begin::at(1.0));
        let output = MemberLinear::new(name, inputs, outputs, self.members, self.layout);
        Head {
            hidden,
            output: output.with_unit_weights(self.layout),
        }
    }
}

impl Hyperspherical {
    /// A body with a head for each of `outputs`. Weights start orthogonal.
    pub fn new(
        spec: &SimbaV2Spec,
        inputs: i64,
        outputs: &[i64],
        members: Option<i64>,
        layout: &mut ParamLayout,
    ) -> Self {
        let (width, hidden) = (spec.width, spec.width * spec.expansion);
        let of_units = (2.0 / width as f64).sqrt();
        let of_hidden = Begin::at(of_units / (spec.expansion as f64).sqrt());
        let of_share = Begin {
            start: 1.0 / (spec.blocks + 1) as f64,
            scale: 1.0 / (width as f64).sqrt(),
        };
        layout.with_initial_weights(InitialWeights::Orthogonal, |layout| {
            let mut b = Builder { members, layout };
            let embedding = b.scaled("body.embed", (inputs + 1, width), Begin::at(of_units));
            let block = |index: usize| Block {
                expand: b.scaled(&format!("body.{index}.expand"), (width, hidden), of_hidden),
                contract: b.linear(&format!("body.{index}.contract"), hidden, width),
                share: b.gain(&format!("body.{index}.share"), of_share, width),
            };
            let blocks = (0..spec.blocks).map(block).collect();
            let mut head = |(index, outputs): (usize, &i64)| b.head(&format!("body.head.{index}"), width, *outputs);
            Hyperspherical {
                shift: spec.shift,
                embedding,
                blocks,
                heads: outputs.iter().enumerate().map(&mut head).collect(),
            }
        })
    }
}

impl Body for Hyperspherical {
    fn features(
        &self,
        params: &Params,
        x: &Tensor,
        _stream: Option<&mut Stream>,
        mut activations: Option<&mut Activations>,
    ) -> Tensor {
        let shift = Tensor::full([x.size()[0], 1], self.shift, (x.kind(), x.device()));
        let x = unit(&Tensor::cat(&[x, &shift], 1)); // [B, in + 1]
        let x = self.embedding.linear.for_members(params, &x); // [B, in + 1] or [E, B, in + 1]
        let mut x = unit(&self.embedding.forward(params, &x));
        for block in &self.blocks {
            let hidden = block.hidden(params, &x);
            if let Some(activations) = &mut activations {
                self.embedding.linear.record(&hidden, activations);
            }
            x = block.forward(params, &x, &hidden);
        }
        x
    }

    fn outputs(&self, params: &Params, features: &Tensor) -> Tensor {
        let of_head = |head: &Head| head.forward(params, features);
        Tensor::cat(&self.heads.iter().map(of_head).collect::<Vec<_>>(), -1)
    }

    fn trace_features(&self, tracer: &mut Tracer, x: Value) -> Result<Value> {
        let tensor = tracer.tensor("body.embed.shift", &Tensor::from_slice(&[self.shift as f32]))?;
        let shift = tracer.add(Op::Constant { tensor }, &[])?;
        let x = tracer.add(Op::Concatenate { axis: 0 }, &[x, shift])?;
        let x = traced_unit(tracer, x)?;
        let x = self.embedding.trace(tracer, x)?;
        let x = traced_unit(tracer, x)?;
        self.blocks.iter().try_fold(x, |x, block| block.trace(tracer, x))
    }

    fn trace_outputs(&self, tracer: &mut Tracer, features: Value) -> Result<Value> {
        let mut heads = self.heads.iter();
        let first = heads.next().expect("a body has a head").trace(tracer, features)?;
        heads.try_fold(first, |before, head| {
            let outputs = head.trace(tracer, features)?;
            tracer.add(Op::Concatenate { axis: 0 }, &[before, outputs])
        })
    }

    fn linear_layers(&self) -> Vec<&MemberLinear> {
        let blocks = self.blocks.iter();
        let of_blocks = blocks.flat_map(|block| [&block.expand.linear, &block.contract]);
        let of_heads = self.heads.iter().flat_map(|head| [&head.hidden.linear, &head.output]);
        [&self.embedding.linear]
            .into_iter()
            .chain(of_blocks)
            .chain(of_heads)
            .collect()
    }
}
