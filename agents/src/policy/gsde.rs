//! A squashed Gaussian whose noise is a function of the state: [`StateDependentNoise`].
//!
//! | Symbol | Code | Shape |
//! |---|---|---|
//! | φ(s), the features of the body's last layer | `features` | `[B, F]` |
//! | μ(s), the body's outputs, between −`largest_mean` and `largest_mean` | `mean` | `[B, A]` |
//! | σ, learned | `std` | `[F, A]` |
//! | E = σ ⊙ N, N standard normal and held for several steps | `noise` | `[B, F, A]` |
//!
//! ```text
//! exploring   u = μ(s) + φ(s)ᵀ E,  a = tanh(u)
//! in updates  u ~ N(μ(s), v(s)),  v_j = Σ_k φ_k² σ_kj² + ε, the distribution of the same u over E
//! ```
//!
//! Source: Raffin et al. 2021, "Smooth Exploration for Robotic Reinforcement Learning" (gSDE, arXiv 2005.05719), section
//! 3; Stable-Baselines3 e05d2db, `common/distributions.py`. `docs/algorithms/policy_heads.md` lists departures.

use sac_policy::{Activation, Arithmetic, Distribution, Function, Op, Value};
use tch::{Device, Tensor};

use super::{
    action::{ActionDraw, ActionKind, Actions},
    head::PolicyHead,
    squashed_gaussian::{SquashedGaussianSpec, log_prob},
};
use crate::{
    error::Result,
    exploration::GsdeSpec,
    nn::{Init, ParamIndex, ParamLayout, Params, Tracer},
    noise::Stream,
};

/// ε, added to variances. Stable-Baselines3: 1e-6.
const VARIANCE_EPS: f64 = 1e-6;

/// A squashed Gaussian with state-dependent noise. log σ has the bounds of the settings of the Gaussian.
pub struct StateDependentNoise {
    gsde: GsdeSpec,
    gaussian: SquashedGaussianSpec,
    action_dim: i64,
    /// F.
    features: i64,
    /// The parameter `[F, A]` of log σ, without bounds.
    log_std: Option<ParamIndex>,
}

/// What the network says about a state.
struct Outputs {
    mean: Tensor,
    features: Tensor,
}

impl StateDependentNoise {
    /// A head for `action_dim` action coordinates, whose noise depends on `features` numbers.
    pub fn new(gsde: &GsdeSpec, gaussian: &SquashedGaussianSpec, action_dim: i64, features: i64) -> Self {
        StateDependentNoise {
            gsde: *gsde,
            gaussian: gaussian.clone(),
            action_dim,
            features,
            log_std: None,
        }
    }

    fn parameter(&self) -> ParamIndex {
        self.log_std.expect("parameters are added before a head is used")
    }

    /// σ `[F, A]`.
    fn std(&self, params: &Params) -> Tensor {
        self.gaussian.bounded(&params[self.parameter()]).exp()
    }

    fn mean(&self, inputs: &Tensor) -> Tensor {
        let largest = self.gsde.largest_mean;
        inputs.narrow(1, 0, self.action_dim).clamp(-largest, largest)
    }

    fn split(&self, inputs: &Tensor) -> Outputs {
        Outputs {
            mean: self.mean(inputs),
            features: inputs.narrow(1, self.action_dim, self.features),
        }
    }

    /// v `[B, A]`.
    fn variance(&self, params: &Params, features: &Tensor) -> Tensor {
        features.square().mm(&self.std(params).square()) + VARIANCE_EPS
    }

    /// Adds √v to a graph.
    fn trace_std(&self, tracer: &mut Tracer, features: Value) -> Result<Value> {
        let unbounded = tracer.values(self.parameter());
        let square = (self.gaussian.bounded(unbounded) * 2.0).exp(); // [F, A]
        let weight = tracer.tensor("std_square", &square)?;
        let eps = Tensor::full([self.action_dim], VARIANCE_EPS, (square.kind(), square.device()));
        let bias = Some(tracer.tensor("variance_eps", &eps)?);
        let squares = tracer.add(Op::Combine(Arithmetic::Multiply), &[features, features])?;
        let variance = tracer.add(Op::Linear { weight, bias }, &[squares])?;
        let log_variance = tracer.add(Op::Map(Function::Ln), &[variance])?;
        let (factor, offset) = (0.5, 0.0);
        let log_std = tracer.add(Op::Scale { factor, offset }, &[log_variance])?;
        tracer.add(Op::Map(Function::Exp), &[log_std])
    }
}

impl PolicyHead for StateDependentNoise {
    /// Adds `log_std [F, A]`.
    fn add_parameters(&mut self, layout: &mut ParamLayout) {
        let start = Init::Constant(self.gaussian.unbounded(self.gsde.initial_log_std));
        self.log_std = Some(layout.add("log_std", &[self.features, self.action_dim], start));
    }

    /// The mean.
    fn inputs(&self) -> i64 {
        self.action_dim
    }

    fn reads_features(&self) -> bool {
        true
    }

    fn actions(&self) -> ActionKind {
        ActionKind::Vector { width: self.action_dim }
    }

    /// Standard normal noise, `[rows, A]`.
    fn noise(&self, rows: i64, stream: &mut Stream, device: Device) -> Tensor {
        stream.normal(&[rows, self.action_dim], device)
    }

    /// Draws every row by itself. The rows of a batch share no E.
    fn draw(&self, params: &Params, inputs: &Tensor, noise: &Tensor) -> ActionDraw {
        let Outputs { mean, features } = self.split(inputs);
        let variance = self.variance(params, &features);
        let u = mean + variance.sqrt() * noise; // [B, A]
        ActionDraw {
            actions: Actions::Sampled(u.tanh()),
            log_prob: log_prob(&u, noise, &(variance.log() * 0.5)),
        }
    }

    fn explore(&self, params: &Params, inputs: &Tensor, noise: &Tensor) -> Tensor {
        let Outputs { mean, features } = self.split(inputs);
        (mean + self.variance(params, &features).sqrt() * noise).tanh()
    }

    /// The elements of N, `[rows, F·A]`.
    fn noise_to_hold(&self, rows: i64, stream: &mut Stream, device: Device) -> Tensor {
        stream.normal(&[rows, self.features * self.action_dim], device)
    }

    fn explore_holding(&self, params: &Params, inputs: &Tensor, noise: &Tensor) -> Tensor {
        let Outputs { mean, features } = self.split(inputs);
        let matrix = noise.reshape([-1, self.features, self.action_dim]) * self.std(params); // E [B, F, A]
        let spread = features.unsqueeze(1).bmm(&matrix).squeeze_dim(1); // [B, A]
        (mean + spread).tanh()
    }

    /// tanh(μ), which does not depend on σ.
    fn mode(&self, _params: &Params, inputs: &Tensor) -> Tensor {
        self.mean(inputs).tanh()
    }

    fn trace(&self, tracer: &mut Tracer, inputs: Value, is_drawn: bool) -> Result<Value> {
        let (actions, features) = (self.action_dim as usize, self.features as usize);
        let part = |start: usize, len: usize| Op::Slice { axis: 0, start, len };
        let mean = tracer.add(part(0, actions), &[inputs])?;
        let largest = self.gsde.largest_mean as f32;
        let (low, high) = (-largest, largest);
        let mut u = tracer.add(Op::Clamp { low, high }, &[mean])?;
        if is_drawn {
            let features = tracer.add(part(actions, features), &[inputs])?;
            let std = self.trace_std(tracer, features)?;
            let (len, distribution) = (actions, Distribution::Normal);
            let noise = tracer.add(Op::Noise { len, distribution }, &[])?;
            let spread = tracer.add(Op::Combine(Arithmetic::Multiply), &[std, noise])?;
            u = tracer.add(Op::Combine(Arithmetic::Add), &[u, spread])?;
        }
        tracer.add(Op::Activate(Activation::Tanh), &[u])
    }
}
