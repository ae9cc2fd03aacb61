//! Normalisation of the hidden layers of a body: [`BatchNorm`], [`RmsNorm`], [`MemberLayerNorm`].
//!
//! Inputs are `[B, n]` of a single network or `[E, B, n]` of an ensemble, whose members are normalised separately.

use sac_policy::{Arithmetic, Op, Value};
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use super::{
    layout::{Init, ParamIndex, ParamLayout},
    params::{Observed, Params},
    tracer::Tracer,
};
use crate::{error::Result, spec_problems::SpecProblems};

/// Settings of batch normalisation.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BatchNormSpec {
    /// Where hidden layers are normalised. The inputs of the first layer are normalised too, and those of the last one
    /// are not normalised again.
    pub position: NormPosition,
    /// Weight of a batch in the running mean and variance, in (0, 1]. 1 minus flax's `momentum`.
    pub momentum: f64,
    /// Added to the variance, above 0.
    pub eps: f64,
    /// Batch renormalisation, if it is used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub renorm: Option<RenormSpec>,
}

/// The position of a normalisation in a hidden layer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NormPosition {
    /// Between the linear layer, which then has no bias, and the activation (XQC).
    #[default]
    BeforeActivation,
    /// After the activation (CrossQ).
    AfterActivation,
}

/// Settings of batch renormalisation (Ioffe 2017, arXiv 1702.03275): after `warmup_batches`, batches are normalised with
/// the running statistics as long as those of the batch are near them.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RenormSpec {
    /// Batches before which this is plain batch normalisation. CrossQ's code: 100,000.
    pub warmup_batches: u64,
    /// Largest correction r of the standard deviation, at least 1; the smallest is its reciprocal. CrossQ's code: 3.
    pub largest_scale: f64,
    /// Largest correction |d| of the mean, standard deviations, at least 0. CrossQ's code: 5.
    pub largest_shift: f64,
}

impl Default for BatchNormSpec {
    fn default() -> Self {
        BatchNormSpec {
            position: NormPosition::BeforeActivation,
            momentum: 0.01,
            eps: 1e-3,
            renorm: None,
        }
    }
}

impl Default for RenormSpec {
    fn default() -> Self {
        RenormSpec {
            warmup_batches: 100_000,
            largest_scale: 3.0,
            largest_shift: 5.0,
        }
    }
}

impl BatchNormSpec {
    /// Reports values that are out of range, for the normalisation at `key`.
    pub(super) fn check(&self, p: &mut SpecProblems, key: &str) {
        let holds = self.momentum > 0.0 && self.momentum <= 1.0;
        let name = format!("{key}.momentum");
        p.require(holds, &name, self.momentum, "above 0 and at most 1");
        p.require_positive(&format!("{key}.eps"), self.eps);
        if let Some(renorm) = self.renorm {
            let name = format!("{key}.renorm.largest_scale");
            p.require(renorm.largest_scale >= 1.0, &name, renorm.largest_scale, "at least 1");
            p.require_not_negative(&format!("{key}.renorm.largest_shift"), renorm.largest_shift);
        }
    }
}

/// Combines a value with a tensor, which is added to the graph under a name.
pub(super) fn combined(
    tracer: &mut Tracer,
    x: Value,
    by: Arithmetic,
    (name, tensor): (&str, &Tensor),
) -> Result<Value> {
    let tensor = tracer.tensor(name, tensor)?;
    let constant = tracer.add(Op::Constant { tensor }, &[])?;
    tracer.add(Op::Combine(by), &[x, constant])
}

/// Shape of the parameters of a normalisation of `width` units: `[n]`, or `[E, 1, n]` of an ensemble.
pub(super) fn shape(width: i64, members: Option<i64>) -> Vec<i64> {
    match members {
        None => vec![width],
        Some(members) => vec![members, 1, width],
    }
}

/// Batch normalisation: mean 0 and variance 1 of every unit over a batch, then a learned gain and shift.
///
/// A pass that learns uses the mean and variance of its batch, and the running ones move towards them after the step.
/// Other passes use the running ones.
///
/// ```text
/// y = γ (x − μ)/√(σ² + ε) + β          renormalised: y = γ ((x − μ)/s · r + d) + β,  s = √(σ² + ε)
/// r = clip(s / s_run, 1/r_max, r_max),  d = clip((μ − μ_run) / s_run, −d_max, d_max), both without gradient
/// ```
///
/// Source: Ioffe and Szegedy 2015 (arXiv 1502.03167), algorithms 1 and 2; Ioffe 2017 (arXiv 1702.03275), algorithm 1.
#[derive(Clone, Debug)]
pub struct BatchNorm {
    pub(crate) gain: ParamIndex,
    pub(crate) shift: ParamIndex,
    pub(crate) mean: ParamIndex,
    pub(crate) variance: ParamIndex,
    /// Number of batches so far, for renormalisation.
    pub(crate) batches: Option<ParamIndex>,
    pub(crate) spec: BatchNormSpec,
}

impl BatchNorm {
    /// Adds `name.gain` and `name.shift`, and the running statistics `name.mean` and `name.variance`, to `layout`.
    pub fn new(name: &str, spec: BatchNormSpec, width: i64, members: Option<i64>, layout: &mut ParamLayout) -> Self {
        let shape = shape(width, members);
        BatchNorm {
            gain: layout.add(format!("{name}.gain"), &shape, Init::Constant(1.0)),
            shift: layout.add(format!("{name}.shift"), &shape, Init::Constant(0.0)),
            mean: layout.add_statistic(format!("{name}.mean"), &shape, 0.0),
            variance: layout.add_statistic(format!("{name}.variance"), &shape, 1.0),
            batches: spec
                .renorm
                .map(|_| layout.add_statistic(format!("{name}.batches"), &shape, 0.0)),
            spec,
        }
    }

    /// Keeps the norm of gain and shift together at √n (FlashSAC).
    pub fn keep_root_width(&self, layout: &mut ParamLayout) {
        layout.keep_root_width(vec![self.gain, self.shift]);
    }

    /// The normalised `x`.
    pub fn forward(&self, params: &Params, x: &Tensor) -> Tensor {
        let normed = match params.batch() {
            None => {
                let (mean, variance) = (params.statistic(self.mean), params.statistic(self.variance));
                (x - mean) * (variance + self.spec.eps).rsqrt()
            }
            Some(record) => {
                let mean = x.mean_dim([-2i64].as_slice(), true, Kind::Float); // [.., 1, n]
                let centred = x - &mean;
                let variance = centred.square().mean_dim([-2i64].as_slice(), true, Kind::Float);
                let std = (&variance + self.spec.eps).sqrt();
                let rows = x.size()[x.dim() - 2];
                record.record(self.observed(params, rows, &mean, &variance));
                self.renormed(params, centred / &std, &mean, &std)
            }
        };
        normed * &params[self.gain] + &params[self.shift]
    }

    /// Adds the normalisation of a single network, with the running statistics, to a graph.
    ///
    /// # Errors
    /// When a parameter is not finite.
    pub fn trace(&self, tracer: &mut Tracer, x: Value) -> Result<Value> {
        let factor = tracer.values(self.gain) * (tracer.values(self.variance) + self.spec.eps).rsqrt();
        let offset = tracer.values(self.shift) - tracer.values(self.mean) * &factor;
        let (gain, shift) = (tracer.name(self.gain).to_string(), tracer.name(self.shift).to_string());
        let scaled = combined(tracer, x, Arithmetic::Multiply, (&gain, &factor))?;
        combined(tracer, scaled, Arithmetic::Add, (&shift, &offset))
    }

    /// The values that the running statistics move towards, from the biased variance of a batch of `rows` rows. They move
    /// towards the unbiased one.
    pub(crate) fn observed(&self, params: &Params, rows: i64, mean: &Tensor, variance: &Tensor) -> Vec<Observed> {
        let rows = rows as f64;
        let towards = |statistic, value: Tensor, weight| Observed {
            statistic,
            value,
            weight,
        };
        let like = |value: Tensor| value.detach().view_as(params.statistic(self.mean));
        let unbiased = variance * (rows / (rows - 1.0).max(1.0));
        let mut observed = vec![
            towards(self.mean, like(mean.shallow_clone()), self.spec.momentum),
            towards(self.variance, like(unbiased), self.spec.momentum),
        ];
        if let Some(batches) = self.batches {
            observed.push(towards(batches, params.statistic(batches) + 1.0, 1.0));
        }
        observed
    }

    /// Batch-normalised `normed` with the corrections of batch renormalisation, if it is used and warmed up.
    fn renormed(&self, params: &Params, normed: Tensor, mean: &Tensor, std: &Tensor) -> Tensor {
        let (Some(renorm), Some(batches)) = (self.spec.renorm, self.batches) else {
            return normed;
        };
        let running_std = (params.statistic(self.variance) + self.spec.eps).sqrt();
        let scale = (std.detach() / &running_std).clamp(1.0 / renorm.largest_scale, renorm.largest_scale);
        let shift = ((mean.detach() - params.statistic(self.mean)) / &running_std)
            .clamp(-renorm.largest_shift, renorm.largest_shift);
        let is_warm = params.statistic(batches).ge(renorm.warmup_batches as f64);
        let scale = scale.where_self(&is_warm, &std.ones_like());
        let shift = shift.where_self(&is_warm, &std.zeros_like());
        normed * scale + shift
    }
}

/// Layer normalisation of an ensemble's layer: mean 0 and variance 1 of every row over its units, then a learned gain
/// and shift.
///
/// Source: Ba et al. 2016 (arXiv 1607.06450).
#[derive(Clone, Debug)]
pub struct MemberLayerNorm {
    pub(crate) gain: ParamIndex,
    pub(crate) shift: ParamIndex,
    width: i64,
    pub(crate) eps: f64,
}

impl MemberLayerNorm {
    /// Adds `name.gain` and `name.shift` to `layout`. `eps` is added to the variance.
    pub fn new(name: &str, eps: f64, width: i64, members: Option<i64>, layout: &mut ParamLayout) -> Self {
        let shape = shape(width, members);
        MemberLayerNorm {
            gain: layout.add(format!("{name}.gain"), &shape, Init::Constant(1.0)),
            shift: layout.add(format!("{name}.shift"), &shape, Init::Constant(0.0)),
            width,
            eps,
        }
    }

    /// Adds the normalisation of a single network to a graph.
    ///
    /// # Errors
    /// When a parameter is not finite.
    pub fn trace(&self, tracer: &mut Tracer, x: Value) -> Result<Value> {
        let norm = Op::LayerNorm {
            gain: tracer.param(self.gain)?,
            shift: tracer.param(self.shift)?,
            eps: self.eps as f32,
        };
        tracer.add(norm, &[x])
    }

    /// The normalised `x`.
    pub fn forward(&self, params: &Params, x: &Tensor) -> Tensor {
        let normed = x.layer_norm::<Tensor>([self.width], None, None, self.eps, false);
        normed * &params[self.gain] + &params[self.shift]
    }
}

/// RMS normalisation: every row divided by its root mean square, times a learned gain.
///
/// Source: Zhang and Sennrich 2019 (arXiv 1910.07467), equation 4.
#[derive(Clone, Debug)]
pub struct RmsNorm {
    pub(crate) gain: ParamIndex,
    pub(crate) eps: f64,
}

impl RmsNorm {
    /// Adds `name.gain`, whose norm stays √n, to `layout`. `eps` is added to the mean square.
    pub fn with_root_width(name: &str, eps: f64, width: i64, members: Option<i64>, layout: &mut ParamLayout) -> Self {
        let gain = layout.add(format!("{name}.gain"), &shape(width, members), Init::Constant(1.0));
        layout.keep_root_width(vec![gain]);
        RmsNorm { gain, eps }
    }

    /// Adds the normalisation of a single network to a graph: x/√(Σ x² + n·ε) times √n and the gain.
    ///
    /// # Errors
    /// When a parameter is not finite.
    pub fn trace(&self, tracer: &mut Tracer, x: Value) -> Result<Value> {
        let gain = tracer.values(self.gain);
        let width = gain.numel() as f64;
        let scaled = gain * width.sqrt();
        let eps = (self.eps * width) as f32;
        let unit = tracer.add(Op::UnitNorm { eps }, &[x])?;
        let name = tracer.name(self.gain).to_string();
        combined(tracer, unit, Arithmetic::Multiply, (&name, &scaled))
    }

    /// The normalised `x`.
    pub fn forward(&self, params: &Params, x: &Tensor) -> Tensor {
        let mean_square = x.square().mean_dim([-1i64].as_slice(), true, Kind::Float);
        x * (mean_square + self.eps).rsqrt() * &params[self.gain]
    }
}
