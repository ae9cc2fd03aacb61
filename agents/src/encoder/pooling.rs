//! Poolings of tokens to one vector: [`PoolingSpec`], [`Pooling`].
//!
//! Sources: Brothers 2025, "Robust Noise Attenuation via Adaptive Pooling of Transformer Outputs" (ICML, arXiv
//! 2506.09215), for AdaPool; Psomas et al. 2023, "Keep It SimPool" (ICCV, arXiv 2309.06891), for SimPool.
//! `docs/algorithms/encoders.md` has the equations.

use sac_policy::{Arithmetic, Op, Reduction, Value};
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use super::attention::{Attention, Scale, over_heads};
use crate::{
    error::Result,
    nn::{Init, LayerNorm, Linear, ParamIndex, ParamLayout, Params, Tracer},
    spec_problems::SpecProblems,
};

/// Added to the variance of SimPool's normalised tokens; its code's value.
const SIMPOOL_EPS: f64 = 1e-6;

/// The kind of pooling. Variants without settings have braces so that serde rejects unknown keys.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum PoolingSpec {
    /// Concatenation of all tokens, m·d numbers. Depends on their order.
    Flatten {},
    /// Mean of the tokens.
    Mean {},
    /// Maximum over tokens of each coordinate.
    Max {},
    /// The output of a learned CLS token that is mixed with the others.
    Cls {},
    /// Attention with one query.
    Adapool(AdapoolSpec),
    /// Attention over normalised tokens with their mean as the query, without a value projection.
    Simpool {},
}

/// Settings of AdaPool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdapoolSpec {
    /// The query. Paper: a token known to carry signal, otherwise the mean.
    pub query: Query,
    /// Number of attention heads; must divide the tokens' width.
    pub heads: i64,
}

impl Default for AdapoolSpec {
    fn default() -> Self {
        AdapoolSpec {
            query: Query::Mean,
            heads: 1,
        }
    }
}

/// The query of an attention pooling: `"mean"`, `{ index = 0 }` or `"learned"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Query {
    /// The mean of the tokens.
    Mean,
    /// The token at an index, which is also added to the output (residual).
    Index(i64),
    /// A learned vector.
    Learned,
}

impl PoolingSpec {
    pub(super) fn check(&self, p: &mut SpecProblems) {
        if let PoolingSpec::Adapool(AdapoolSpec { query, heads }) = *self {
            let key = "agent.encoder.pooling.heads";
            p.require((1..=1024).contains(&heads), key, heads, "between 1 and 1024");
            if let Query::Index(index) = query {
                let value = format!("{{ index = {index} }}");
                p.require(
                    index >= 0,
                    "agent.encoder.pooling.query",
                    value,
                    "an index of at least 0",
                );
            }
        }
    }
}

/// A pooling with its parameters.
pub enum Pooling {
    /// Concatenation of all tokens.
    Flatten,
    /// Mean of the tokens.
    Mean,
    /// Maximum over tokens of each coordinate.
    Max,
    /// Token 0, the CLS token.
    First,
    /// [`Adapool`].
    Adapool(Adapool),
    /// [`Simpool`].
    Simpool(Simpool),
}

impl Pooling {
    /// A pooling for tokens of `width` numbers. Adds its parameters to `layout`.
    pub fn new(spec: &PoolingSpec, width: i64, layout: &mut ParamLayout) -> Self {
        match spec {
            PoolingSpec::Flatten {} => Pooling::Flatten,
            PoolingSpec::Mean {} => Pooling::Mean,
            PoolingSpec::Max {} => Pooling::Max,
            PoolingSpec::Cls {} => Pooling::First,
            PoolingSpec::Adapool(spec) => Pooling::Adapool(Adapool::new(spec, width, layout)),
            PoolingSpec::Simpool {} => Pooling::Simpool(Simpool::new(width, layout)),
        }
    }

    /// Pools `tokens [B, m, d]` to `[B, d]`, or to `[B, m·d]` when flattening.
    pub fn forward(&self, params: &Params, tokens: &Tensor) -> Tensor {
        match self {
            Pooling::Flatten => tokens.flatten(1, 2),
            Pooling::Mean => mean(tokens),
            Pooling::Max => tokens.amax([1i64].as_slice(), false),
            Pooling::First => tokens.select(1, 0),
            Pooling::Adapool(pool) => pool.forward(params, tokens),
            Pooling::Simpool(pool) => pool.forward(params, tokens),
        }
    }

    /// Adds the pooling to a graph: `[m, d]` to `[d]`, or to `[m·d]` when flattening.
    pub(super) fn trace(&self, tracer: &mut Tracer, tokens: Value) -> Result<Value> {
        let &[count, width] = tracer.shape(tokens) else {
            unreachable!("tokens are [m, d]")
        };
        match self {
            Pooling::Flatten => tracer.reshape(tokens, &[count * width]),
            Pooling::Mean => trace_over_tokens(tracer, Reduction::Mean, tokens),
            Pooling::Max => trace_over_tokens(tracer, Reduction::Max, tokens),
            Pooling::First => {
                let first = trace_token(tracer, tokens, 0)?;
                tracer.reshape(first, &[width])
            }
            Pooling::Adapool(pool) => pool.trace(tracer, tokens),
            Pooling::Simpool(pool) => pool.trace(tracer, tokens),
        }
    }

    /// Attention weights `[B, m]` of `tokens [B, m, d]`, averaged over heads; `None` for poolings without attention.
    pub fn attention(&self, params: &Params, tokens: &Tensor) -> Option<Tensor> {
        match self {
            Pooling::Flatten | Pooling::Mean | Pooling::Max | Pooling::First => None,
            Pooling::Adapool(pool) => Some(over_heads(&pool.weights(params, tokens))),
            Pooling::Simpool(pool) => Some(pool.weights(params, tokens)),
        }
    }

    /// Multiply-adds for one sample with `tokens` tokens.
    pub fn multiply_adds(&self, tokens: i64) -> i64 {
        match self {
            Pooling::Flatten | Pooling::Mean | Pooling::Max | Pooling::First => 0,
            Pooling::Adapool(pool) => pool.attention.multiply_adds(1, tokens),
            Pooling::Simpool(pool) => (tokens + 1) * pool.query.multiply_adds() + 2 * tokens * pool.width,
        }
    }
}

fn mean(tokens: &Tensor) -> Tensor {
    tokens.mean_dim([1i64].as_slice(), false, Kind::Float)
}

fn trace_over_tokens(tracer: &mut Tracer, by: Reduction, tokens: Value) -> Result<Value> {
    tracer.add(Op::Reduce { axis: 0, by }, &[tokens])
}

/// A token `[1, d]`.
fn trace_token(tracer: &mut Tracer, tokens: Value, index: usize) -> Result<Value> {
    let op = Op::Slice {
        axis: 0,
        start: index,
        len: 1,
    };
    tracer.add(op, &[tokens])
}

/// AdaPool: attention with one query over all tokens.
///
/// Source: Brothers 2025, definition of AdaPool. Multiple heads, the scale by the whole width, the output projection
/// and the residual of an indexed query follow its reference code.
pub struct Adapool {
    attention: Attention,
    query_source: QuerySource,
}

enum QuerySource {
    Mean,
    Index(i64),
    /// `[d]`.
    Learned(ParamIndex),
}

impl Adapool {
    /// A pooling for tokens of `width` numbers. Adds `encoder.pooling.{query, key, value, output}.weight`, and
    /// `encoder.pooling.asks [d]` for a learned query, to `layout`.
    pub fn new(spec: &AdapoolSpec, width: i64, layout: &mut ParamLayout) -> Self {
        Adapool {
            attention: Attention::new("encoder.pooling", width, spec.heads, Scale::WholeWidth, layout),
            query_source: match spec.query {
                Query::Mean => QuerySource::Mean,
                Query::Index(index) => QuerySource::Index(index),
                Query::Learned => {
                    let init = Init::Linear { fan_in: width };
                    QuerySource::Learned(layout.add("encoder.pooling.asks", &[width], init))
                }
            },
        }
    }

    /// The query before its projection, `[B, 1, d]`.
    fn query(&self, params: &Params, tokens: &Tensor) -> Tensor {
        match self.query_source {
            QuerySource::Mean => mean(tokens).unsqueeze(1),
            QuerySource::Index(index) => tokens.narrow(1, index, 1),
            QuerySource::Learned(index) => params[index].expand([tokens.size()[0], 1, -1], false),
        }
    }

    /// Attention weights `[B, heads, m]` of `tokens [B, m, d]`.
    pub fn weights(&self, params: &Params, tokens: &Tensor) -> Tensor {
        let query = self.query(params, tokens);
        self.attention.weights(params, &query, tokens).squeeze_dim(2)
    }

    /// Pools `tokens [B, m, d]` to `[B, d]`.
    pub fn forward(&self, params: &Params, tokens: &Tensor) -> Tensor {
        let query = self.query(params, tokens);
        let pooled = self.attention.forward(params, &query, tokens).squeeze_dim(1);
        match self.query_source {
            QuerySource::Index(_) => pooled + query.squeeze_dim(1),
            QuerySource::Mean | QuerySource::Learned(_) => pooled,
        }
    }

    fn trace(&self, tracer: &mut Tracer, tokens: Value) -> Result<Value> {
        let width = tracer.shape(tokens)[1];
        let query = match self.query_source {
            QuerySource::Mean => trace_over_tokens(tracer, Reduction::Mean, tokens)?,
            QuerySource::Index(index) => trace_token(tracer, tokens, index as usize)?,
            QuerySource::Learned(index) => tracer.constant(index)?,
        };
        let query = tracer.reshape(query, &[1, width])?;
        let mut pooled = self.attention.trace(tracer, query, tokens)?;
        if let QuerySource::Index(_) = self.query_source {
            pooled = tracer.add(Op::Combine(Arithmetic::Add), &[pooled, query])?;
        }
        tracer.reshape(pooled, &[width])
    }
}

/// SimPool: attention over normalised tokens, with the mean of the tokens as the query.
///
/// Source: Psomas et al. 2023, equations 8 to 17 with γ = 1: `u = Σ_i a_i LN(x_i)`, `a = softmax(W_K LN(X) · W_Q x̄ /
/// √d)`.
pub struct Simpool {
    norm: LayerNorm,
    query: Linear,
    key: Linear,
    width: i64,
}

impl Simpool {
    /// A pooling for tokens of `width` numbers. Adds `encoder.pooling.norm.{gain, shift} [d]` and
    /// `encoder.pooling.{query, key}.weight [d, d]` to `layout`.
    pub fn new(width: i64, layout: &mut ParamLayout) -> Self {
        Simpool {
            norm: LayerNorm::new("encoder.pooling.norm", width, SIMPOOL_EPS, layout),
            query: Linear::without_bias("encoder.pooling.query", width, width, layout),
            key: Linear::without_bias("encoder.pooling.key", width, width, layout),
            width,
        }
    }

    /// Attention weights `[B, m]` of `tokens [B, m, d]`.
    pub fn weights(&self, params: &Params, tokens: &Tensor) -> Tensor {
        self.weigh(params, tokens, &self.norm.forward(params, tokens))
    }

    fn weigh(&self, params: &Params, tokens: &Tensor, normed: &Tensor) -> Tensor {
        let query = self.query.forward(params, &mean(tokens)).unsqueeze(-1); // [B, d, 1]
        let products = self.key.forward(params, normed).matmul(&query).squeeze_dim(-1); // [B, m]
        (products / (self.width as f64).sqrt()).softmax(-1, Kind::Float)
    }

    /// Pools `tokens [B, m, d]` to `[B, d]`.
    pub fn forward(&self, params: &Params, tokens: &Tensor) -> Tensor {
        let normed = self.norm.forward(params, tokens);
        let weights = self.weigh(params, tokens, &normed).unsqueeze(1); // [B, 1, m]
        weights.matmul(&normed).squeeze_dim(1)
    }

    fn trace(&self, tracer: &mut Tracer, tokens: Value) -> Result<Value> {
        let &[count, width] = tracer.shape(tokens) else {
            unreachable!("tokens are [m, d]")
        };
        let normed = self.norm.trace(tracer, tokens)?;
        let query = trace_over_tokens(tracer, Reduction::Mean, tokens)?;
        let query = self.query.trace(tracer, query)?;
        let query = tracer.reshape(query, &[width, 1])?;
        let keys = self.key.trace(tracer, normed)?;
        let products = tracer.add(Op::MatMul, &[keys, query])?; // [m, 1]
        let scale = Op::Scale {
            factor: (1.0 / (self.width as f64).sqrt()) as f32,
            offset: 0.0,
        };
        let products = tracer.add(scale, &[products])?;
        let weights = tracer.add(Op::Softmax { axis: 0 }, &[products])?;
        let weights = tracer.reshape(weights, &[1, count])?;
        let pooled = tracer.add(Op::MatMul, &[weights, normed])?; // [1, d]
        tracer.reshape(pooled, &[width])
    }
}
