//! Pre-LN transformer layers, a mixer of tokens: [`Transformer`].
//!
//! Source: Vaswani et al. 2017 (arXiv 1706.03762), with layer normalisation before each sublayer (Xiong et al. 2020,
//! arXiv 2002.04745). As in AdaPool's reference code, the attention has no biases and there is no final normalisation.
//!
//! ```text
//! X ← X + Attention(LN(X), LN(X))        X ← X + W₂ gelu(W₁ LN(X))
//! ```

use sac_kernels::Activation;
use sac_policy::{Arithmetic, Op, Value};
use serde::{Deserialize, Serialize};
use tch::Tensor;

use super::attention::{Attention, Scale, over_heads};
use crate::{
    error::Result,
    nn::{Activations, LayerNorm, Linear, ParamLayout, Params, Tracer},
    spec_problems::SpecProblems,
};

/// Added to the variance; PyTorch's default.
const LAYER_NORM_EPS: f64 = 1e-5;

/// Settings of a transformer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TransformerSpec {
    /// Number of layers, at least 1. AdaPool's code has 3 or 6; we use 2 because states have few tokens.
    pub layers: i64,
    /// Number of attention heads; must divide the tokens' width.
    pub heads: i64,
    /// Hidden units of the feed-forward part, at least 1.
    pub hidden: i64,
}

impl Default for TransformerSpec {
    fn default() -> Self {
        TransformerSpec {
            layers: 2,
            heads: 4,
            hidden: 128,
        }
    }
}

impl TransformerSpec {
    pub(super) fn check(&self, p: &mut SpecProblems) {
        let TransformerSpec { layers, heads, hidden } = *self;
        let within = |p: &mut SpecProblems, key: &str, value: i64, max: i64| {
            let key = format!("agent.encoder.mixer.{key}");
            p.require((1..=max).contains(&value), &key, value, &format!("between 1 and {max}"));
        };
        within(p, "layers", layers, 64);
        within(p, "heads", heads, 1024);
        within(p, "hidden", hidden, 65_536);
    }
}

/// One transformer layer.
struct Layer {
    attention_norm: LayerNorm,
    attention: Attention,
    hidden_norm: LayerNorm,
    hidden: Linear,
    output: Linear,
}

/// A sequence of transformer layers.
pub struct Transformer(Vec<Layer>);

impl Transformer {
    /// A transformer for tokens of `width` numbers. Adds `encoder.mixer.{i}.…` to `layout`.
    pub fn new(spec: &TransformerSpec, width: i64, layout: &mut ParamLayout) -> Self {
        let layer = |index: i64| {
            let name = |part: &str| format!("encoder.mixer.{index}.{part}");
            Layer {
                attention_norm: LayerNorm::new(&name("attention_norm"), width, LAYER_NORM_EPS, layout),
                attention: Attention::new(&name("attention"), width, spec.heads, Scale::PerHead, layout),
                hidden_norm: LayerNorm::new(&name("hidden_norm"), width, LAYER_NORM_EPS, layout),
                hidden: Linear::new(&name("hidden"), width, spec.hidden, layout),
                output: Linear::new(&name("output"), spec.hidden, width, layout),
            }
        };
        Transformer((0..spec.layers).map(layer).collect())
    }

    /// The outputs `[B, m, d]` for `tokens [B, m, d]`.
    pub fn forward(&self, params: &Params, tokens: &Tensor) -> Tensor {
        self.pass(params, tokens, None)
    }

    /// [`Transformer::forward`], which records hidden activations and the last layer's attention of token 0, the
    /// position of a CLS token.
    pub(super) fn pass(&self, params: &Params, tokens: &Tensor, mut activations: Option<&mut Activations>) -> Tensor {
        let mut x = tokens.shallow_clone();
        // Sums are not in place, because the normalisations keep their inputs for the backward pass.
        for layer in &self.0 {
            let normed = layer.attention_norm.forward(params, &x);
            x = &x + layer.attention.forward(params, &normed, &normed);
            if let Some(activations) = &mut activations {
                let weights = layer.attention.weights(params, &normed.narrow(1, 0, 1), &normed); // [B, heads, 1, m]
                activations.attention = Some(over_heads(&weights.squeeze_dim(2)));
            }
            let normed = layer.hidden_norm.forward(params, &x);
            let hidden = layer.hidden.forward(params, &normed).gelu("none");
            if let Some(activations) = &mut activations {
                activations.units(&hidden);
            }
            x = &x + layer.output.forward(params, &hidden);
        }
        x
    }

    /// Adds the layers to a graph: `[m, d]` to `[m, d]`.
    pub(super) fn trace(&self, tracer: &mut Tracer, tokens: Value) -> Result<Value> {
        let add = Op::Combine(Arithmetic::Add);
        let mut x = tokens;
        for layer in &self.0 {
            let normed = layer.attention_norm.trace(tracer, x)?;
            let attended = layer.attention.trace(tracer, normed, normed)?;
            x = tracer.add(add.clone(), &[x, attended])?;
            let normed = layer.hidden_norm.trace(tracer, x)?;
            let hidden = layer.hidden.trace(tracer, normed)?;
            let hidden = tracer.add(Op::Activate(Activation::Gelu), &[hidden])?;
            let output = layer.output.trace(tracer, hidden)?;
            x = tracer.add(add.clone(), &[x, output])?;
        }
        Ok(x)
    }

    /// Multiply-adds for one sample with `tokens` tokens.
    pub fn multiply_adds(&self, tokens: i64) -> i64 {
        let of_layer = |layer: &Layer| {
            let feed_forward = layer.hidden.multiply_adds() + layer.output.multiply_adds();
            layer.attention.multiply_adds(tokens, tokens) + tokens * feed_forward
        };
        self.0.iter().map(of_layer).sum()
    }
}
