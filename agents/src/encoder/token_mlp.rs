//! A perceptron applied to each token separately: [`TokenMlp`].
//!
//! ```text
//! y_i = W₂ relu(W₁ x_i + b₁) + b₂
//! ```
//!
//! It equals a [soft mixture](super::soft_moe) of one expert without mixing, and serves as a baseline for such
//! mixtures. Source of the comparison: Sokar et al. 2025, "Don't Flatten, Tokenize!" (arXiv 2410.01930).

use sac_kernels::Activation;
use sac_policy::{Op, Value};
use serde::{Deserialize, Serialize};
use tch::Tensor;

use crate::{
    error::Result,
    nn::{Activations, Linear, ParamLayout, Params, Tracer},
    spec_problems::SpecProblems,
};

/// Settings of a perceptron for tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TokenMlpSpec {
    /// Hidden units, at least 1. The default is that of a soft mixture's experts.
    pub hidden: i64,
}

impl Default for TokenMlpSpec {
    fn default() -> Self {
        TokenMlpSpec { hidden: 128 }
    }
}

impl TokenMlpSpec {
    pub(super) fn check(&self, p: &mut SpecProblems) {
        let key = "agent.encoder.mixer.hidden";
        p.require(
            (1..=65_536).contains(&self.hidden),
            key,
            self.hidden,
            "between 1 and 65536",
        );
    }
}

/// A perceptron applied to each token separately.
pub struct TokenMlp {
    hidden: Linear,
    output: Linear,
}

impl TokenMlp {
    /// A perceptron for tokens of `width` numbers. Adds `encoder.mixer.hidden.…` and `encoder.mixer.output.…` to
    /// `layout`.
    pub fn new(spec: &TokenMlpSpec, width: i64, layout: &mut ParamLayout) -> Self {
        TokenMlp {
            hidden: Linear::new("encoder.mixer.hidden", width, spec.hidden, layout),
            output: Linear::new("encoder.mixer.output", spec.hidden, width, layout),
        }
    }

    /// The outputs `[B, m, d]` for `tokens [B, m, d]`.
    pub fn forward(&self, params: &Params, tokens: &Tensor) -> Tensor {
        self.pass(params, tokens, None)
    }

    /// [`TokenMlp::forward`], which records hidden activations.
    pub(super) fn pass(&self, params: &Params, tokens: &Tensor, activations: Option<&mut Activations>) -> Tensor {
        let hidden = self.hidden.forward(params, tokens).relu(); // [B, m, h]
        if let Some(activations) = activations {
            activations.units(&hidden);
        }
        self.output.forward(params, &hidden)
    }

    /// Adds the perceptron to a graph: `[m, d]` to `[m, d]`.
    pub(super) fn trace(&self, tracer: &mut Tracer, tokens: Value) -> Result<Value> {
        let hidden = self.hidden.trace(tracer, tokens)?;
        let hidden = tracer.add(Op::Activate(Activation::Relu), &[hidden])?;
        self.output.trace(tracer, hidden)
    }

    /// Multiply-adds for one sample with `tokens` tokens.
    pub fn multiply_adds(&self, tokens: i64) -> i64 {
        tokens * (self.hidden.multiply_adds() + self.output.multiply_adds())
    }
}
