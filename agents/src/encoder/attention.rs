//! Multi-head attention without biases: [`Attention`].

use sac_policy::{Op, Value};
use tch::{Kind, Tensor};

use crate::{
    error::Result,
    nn::{Linear, ParamLayout, Params, Tracer},
};

/// The divisor of the scalar products before the softmax.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// √(d / heads), as in Vaswani et al. 2017.
    PerHead,
    /// √d for any number of heads, as in AdaPool's reference code.
    WholeWidth,
}

/// Multi-head attention of width `d`, without biases. Every query attends to every token.
pub struct Attention {
    query: Linear,
    key: Linear,
    value: Linear,
    output: Linear,
    width: i64,
    heads: i64,
    scale: f64,
}

impl Attention {
    /// Adds `name.{query, key, value, output}.weight [d, d]` to `layout`. `heads` divides `width`.
    pub fn new(name: &str, width: i64, heads: i64, scale: Scale, layout: &mut ParamLayout) -> Self {
        let mut linear = |part: &str| Linear::without_bias(&format!("{name}.{part}"), width, width, layout);
        let divisor = match scale {
            Scale::PerHead => width / heads,
            Scale::WholeWidth => width,
        };
        Attention {
            query: linear("query"),
            key: linear("key"),
            value: linear("value"),
            output: linear("output"),
            width,
            heads,
            scale: 1.0 / (divisor as f64).sqrt(),
        }
    }

    /// Attention weights `[B, heads, q, m]` of `tokens [B, m, d]` for `queries [B, q, d]`. The weights of a query sum
    /// to one.
    pub fn weights(&self, params: &Params, queries: &Tensor, tokens: &Tensor) -> Tensor {
        let query = self.by_head(&self.query.forward(params, queries)); // [B, heads, q, d/heads]
        let key = self.by_head(&self.key.forward(params, tokens)); // [B, heads, m, d/heads]
        (query.matmul(&key.transpose(-2, -1)) * self.scale).softmax(-1, Kind::Float)
    }

    /// The outputs `[B, q, d]` for `queries [B, q, d]` and `tokens [B, m, d]`.
    pub fn forward(&self, params: &Params, queries: &Tensor, tokens: &Tensor) -> Tensor {
        let weights = self.weights(params, queries, tokens);
        let value = self.by_head(&self.value.forward(params, tokens)); // [B, heads, m, d/heads]
        let attended = weights.matmul(&value).transpose(1, 2).flatten(2, 3); // [B, q, d]
        self.output.forward(params, &attended)
    }

    /// Splits `[B, n, d]` by head: `[B, heads, n, d/heads]`.
    fn by_head(&self, x: &Tensor) -> Tensor {
        x.unflatten(2, [self.heads, self.width / self.heads]).transpose(1, 2)
    }

    /// Adds the attention to a graph: outputs `[q, d]` for queries `[q, d]` and tokens `[m, d]`.
    pub(super) fn trace(&self, tracer: &mut Tracer, queries: Value, tokens: Value) -> Result<Value> {
        let (heads, width) = (self.heads as usize, self.width as usize);
        let mut by_head = |linear: &Linear, x: Value| {
            let x = linear.trace(tracer, x)?;
            let count = tracer.shape(x)[0];
            let x = tracer.reshape(x, &[count, heads, width / heads])?;
            tracer.transpose(x, 0, 1) // [heads, n, d/heads]
        };
        let query = by_head(&self.query, queries)?;
        let key = by_head(&self.key, tokens)?;
        let value = by_head(&self.value, tokens)?;
        let key = tracer.transpose(key, 1, 2)?;
        let products = tracer.add(Op::MatMul, &[query, key])?; // [heads, q, m]
        let scale = Op::Scale {
            factor: self.scale as f32,
            offset: 0.0,
        };
        let products = tracer.add(scale, &[products])?;
        let weights = tracer.add(Op::Softmax { axis: 2 }, &[products])?;
        let attended = tracer.add(Op::MatMul, &[weights, value])?; // [heads, q, d/heads]
        let attended = tracer.transpose(attended, 0, 1)?;
        let count = tracer.shape(attended)[0];
        let attended = tracer.reshape(attended, &[count, width])?;
        self.output.trace(tracer, attended)
    }

    /// Multiply-adds for one sample with `queries` queries and `tokens` tokens.
    pub fn multiply_adds(&self, queries: i64, tokens: i64) -> i64 {
        let projections = queries * (self.query.multiply_adds() + self.output.multiply_adds())
            + tokens * (self.key.multiply_adds() + self.value.multiply_adds());
        projections + 2 * queries * tokens * self.width
    }
}

/// Averages the weights `[B, heads, m]` of one query over heads: `[B, m]`.
pub(super) fn over_heads(weights: &Tensor) -> Tensor {
    weights.mean_dim([1i64].as_slice(), false, Kind::Float)
}
