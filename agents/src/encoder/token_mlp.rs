//! One perceptron for every token by itself: [`TokenMlp`].
//!
//! ```text
//! y_i = W₂ relu(W₁ x_i + b₁) + b₂
//! ```
//!
//! What is left of a [soft mixture](super::soft_moe) of one expert when nothing is mixed, and so what such a mixture is
//! compared with. Source of the comparison: Sokar et al. 2025, "Don't Flatten, Tokenize!" (arXiv 2410.01930).

use serde::{Deserialize, Serialize};
use tch::Tensor;

use crate::{
    nn::{Activations, Linear, ParamLayout, Params},
    spec_problems::SpecProblems,
};

/// Settings of the perceptron.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TokenMlpSpec {
    /// Hidden units, at least 1. As a soft mixture's experts have by default.
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

/// See the module.
pub struct TokenMlp {
    hidden: Linear,
    output: Linear,
}

impl TokenMlp {
    /// For tokens of `width` numbers. Adds `encoder.mixer.hidden.…` and `encoder.mixer.output.…` to `layout`.
    pub fn new(spec: &TokenMlpSpec, width: i64, layout: &mut ParamLayout) -> Self {
        TokenMlp {
            hidden: Linear::new("encoder.mixer.hidden", width, spec.hidden, layout),
            output: Linear::new("encoder.mixer.output", spec.hidden, width, layout),
        }
    }

    /// `tokens [B, m, d]` to `[B, m, d]`.
    pub fn forward(&self, params: &Params, tokens: &Tensor) -> Tensor {
        self.pass(params, tokens, None)
    }

    /// The same; hidden activations are noted in `activations`.
    pub(super) fn pass(&self, params: &Params, tokens: &Tensor, activations: Option<&mut Activations>) -> Tensor {
        let hidden = self.hidden.forward(params, tokens).relu(); // [B, m, h]
        if let Some(activations) = activations {
            activations.units(&hidden);
        }
        self.output.forward(params, &hidden)
    }

    /// Multiply-adds for one sample of so many tokens.
    pub fn multiply_adds(&self, tokens: i64) -> i64 {
        tokens * (self.hidden.multiply_adds() + self.output.multiply_adds())
    }
}
