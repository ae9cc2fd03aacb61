//! Band-limited critics, with a low-pass filter over the action of the *target* critic: [`TargetFilter`].
//!
//! ```text
//! Q̂_f(s', a') = Σ_k w_k Q̂(s', a' + δ_k)        replaces Q̂(s', a') in the soft Bellman target
//! ```
//!
//! The learned critic, the actor's loss and log π(a'|s') are unchanged. The idea is from Campo et al. (2020, arXiv
//! 2006.11431), of which we had only the abstract; kernels, schemes, bounds and defaults are our own.
//! `docs/algorithms/band_limited.md` has the derivations.
//!
//! Values and quantiles are averaged directly, each quantile before any sorting. For distributions with a mean and a
//! standard deviation, the filter gives the first two moments of the mixture over points ([`TargetFilter::moments`]).

mod kernel;
mod spec;

use tch::{Device, Kind, Tensor};

pub use kernel::{KernelSpec, Tap, Window};
pub use spec::{AnnealSpec, Bandwidth, Boundary, FilterOrder, Scheme, TargetFilterSpec};

use crate::{noise::Stream, schedule::GradSteps};

/// Largest `f32` below 1. Actions are clamped to it, because the inverse tanh of 1 is infinite.
const LARGEST_BELOW_ONE: f64 = 1.0 - 5.960_464_477_539_063e-8; // 1 − 2⁻²⁴

/// A filter with its current bandwidth.
pub struct TargetFilter {
    spec: TargetFilterSpec,
    action_dim: usize,
    device: Device,
    /// The points of schemes without randomness.
    fixed: Option<FixedPoints>,
    /// `[A]`: bandwidth per dimension; `None` while all are 0.
    bandwidth: Option<Tensor>,
    /// Current standard deviation of the noise on observations, normalised units.
    state_std: f64,
}

/// Points of a scheme without randomness: offsets `[K, 1, A]` in bandwidths, and weights `[K]`.
struct FixedPoints {
    offsets: Tensor,
    weights: Tensor,
}

/// The points at which the target critic is evaluated.
struct Points {
    /// `[B, …]`, the observations unchanged; or `[K·B, …]` if they are filtered too.
    obs: Tensor,
    /// `[K·B, A]`: K copies of the batch, one after the other.
    action: Tensor,
    /// K.
    count: i64,
    /// `[K]`; `None` if all are 1/K.
    weights: Option<Tensor>,
}

impl TargetFilter {
    /// Builds a filter with its initial bandwidth. `spec` must have passed its checks.
    pub fn build(spec: &TargetFilterSpec, action_dim: i64, device: Device) -> Self {
        let mut filter = TargetFilter {
            spec: spec.clone(),
            action_dim: action_dim as usize,
            device,
            fixed: fixed_points(spec, action_dim as usize, device),
            bandwidth: None,
            state_std: 0.0,
        };
        filter.anneal(GradSteps(0));
        filter
    }

    /// Sets the bandwidth to its value after `at` gradient steps.
    pub fn anneal(&mut self, at: GradSteps) {
        let now = self.spec.bandwidth_at(at, self.action_dim);
        let total = |bandwidth: &[f64]| bandwidth.iter().sum::<f64>();
        let ratio = total(&now) / total(&self.spec.bandwidth_at(GradSteps(0), self.action_dim));
        self.state_std = self.spec.state_std.map_or(0.0, |std| std * ratio);
        let is_on = now.iter().any(|bandwidth| *bandwidth > 0.0);
        self.bandwidth = is_on.then(|| vector(&now, self.device));
    }

    /// The filter if any bandwidth is above 0, otherwise `None`. Critics ignore an inactive filter, and it draws
    /// nothing.
    pub fn active(&self) -> Option<&Self> {
        self.bandwidth.is_some().then_some(self)
    }

    /// Whether members are reduced after the filter or before it.
    pub fn order(&self) -> FilterOrder {
        self.spec.order
    }

    /// The weighted average `[E, B, …]` of the outputs `[E, K·B, …]` of `evaluate` over K points around every action.
    ///
    /// `evaluate` is called once, with `action [K·B, A]` (K copies of the batch, one after the other) and `obs`, which
    /// is `[B, …]`, or `[K·B, …]` if observations are filtered too. [`super::network::Network::at`] accepts both. The
    /// points are drawn from `stream` before `evaluate` receives it.
    pub fn average(
        &self,
        obs: &Tensor,
        action: &Tensor,
        stream: &mut Stream,
        evaluate: impl FnOnce(&Tensor, &Tensor, &mut Stream) -> Tensor,
    ) -> Tensor {
        let points = self.points(obs, action, stream);
        points.average(&evaluate(&points.obs, &points.action, stream), 1)
    }

    /// Filters, and reduces over members, in the configured order: `[B]`. `evaluate` returns `[E, K·B]`, and `combine`
    /// reduces `[E, …]` to `[…]`.
    pub fn combined(
        &self,
        obs: &Tensor,
        action: &Tensor,
        stream: &mut Stream,
        evaluate: impl FnOnce(&Tensor, &Tensor, &mut Stream) -> Tensor,
        combine: impl Fn(&Tensor) -> Tensor,
    ) -> Tensor {
        let points = self.points(obs, action, stream);
        let members = evaluate(&points.obs, &points.action, stream); // [E, K·B]
        match self.spec.order {
            FilterOrder::FilterThenMin => combine(&points.average(&members, 1)),
            FilterOrder::MinThenFilter => points.average(&combine(&members), 0),
        }
    }

    /// Mean and standard deviation, `[E, B]` each, of the mixture over points. `evaluate` returns the mean and standard
    /// deviation at every point, `[E, K·B]` each.
    ///
    /// ```text
    /// mean = Σ_k w_k μ_k        std² + mean² = Σ_k w_k (σ_k² + μ_k²)
    /// ```
    ///
    /// These are the moments of a return whose action is drawn from the kernel: the filter adds the variance of the
    /// mean over the kernel. The variance is computed around the mean, to avoid cancellation. For
    /// [`FilterOrder::MinThenFilter`], `evaluate` chooses a member at every point and returns E = 1.
    pub fn moments(
        &self,
        obs: &Tensor,
        action: &Tensor,
        stream: &mut Stream,
        evaluate: impl FnOnce(&Tensor, &Tensor, &mut Stream) -> (Tensor, Tensor),
    ) -> (Tensor, Tensor) {
        let points = self.points(obs, action, stream);
        let (means, stds) = evaluate(&points.obs, &points.action, stream);
        let mean = points.average(&means, 1); // [E, B]
        let distance = means.unflatten(1, [points.count, -1]) - mean.unsqueeze(1); // [E, K, B]
        let spread = stds.square() + distance.square().flatten(1, 2); // [E, K·B]
        // With negative weights the variance may be negative.
        let variance = points.average(&spread, 1).clamp_min(0.0);
        (mean, variance.sqrt())
    }

    /// The points around `action [B, A]`.
    fn points(&self, obs: &Tensor, action: &Tensor, stream: &mut Stream) -> Points {
        let bandwidth = self.bandwidth.as_ref();
        let bandwidth = bandwidth.expect("an inactive filter is not used");
        let (offsets, weights) = match (&self.fixed, self.spec.scheme) {
            (Some(fixed), _) => (fixed.offsets.shallow_clone(), Some(fixed.weights.shallow_clone())),
            (None, Scheme::MonteCarlo { samples }) => {
                let shape = [&[samples / 2], action.size().as_slice()].concat();
                let half = draw(self.spec.kernel, &shape, stream, self.device); // [K/2, B, A]
                (Tensor::cat(&[&half, &-&half], 0), None) // every draw and its mirror image
            }
            (None, scheme) => unreachable!("{scheme:?} has fixed points"),
        };
        let count = offsets.size()[0];
        let action = self.spec.boundary.shift(action, &(offsets * bandwidth)); // [K, B, A]
        let obs = if self.state_std > 0.0 {
            let shape = [&[count / 2], obs.size().as_slice()].concat();
            let half = stream.normal(&shape, self.device) * self.state_std; // [K/2, B, …]
            (Tensor::cat(&[&half, &-&half], 0) + obs).flatten(0, 1)
        } else {
            obs.shallow_clone()
        };
        Points {
            obs,
            action: action.flatten(0, 1),
            count,
            weights,
        }
    }
}

impl Points {
    /// The weighted average over points of `out`, whose dimension `rows` has K·B elements and has B in the result.
    fn average(&self, out: &Tensor, rows: i64) -> Tensor {
        let by_point = out.unflatten(rows, [self.count, -1]); // […, K, B, …]
        match &self.weights {
            None => by_point.mean_dim([rows].as_slice(), false, Kind::Float),
            Some(weights) => {
                let mut shape = vec![1; by_point.dim()];
                shape[rows as usize] = self.count;
                (by_point * weights.view(shape.as_slice())).sum_dim_intlist([rows].as_slice(), false, Kind::Float)
            }
        }
    }
}

impl Boundary {
    /// Shifts `action [B, A]`, in [-1, 1], by `shift [K, 1 or B, A]`, within the bounds: `[K, B, A]`.
    fn shift(self, action: &Tensor, shift: &Tensor) -> Tensor {
        match self {
            // 1 − |t − 2| is a triangle wave in t = (x + 1) mod 4 that equals x on [-1, 1].
            Boundary::Reflect => (((action + shift + 1.0).remainder(4.0) - 2.0).abs() - 1.0).neg(),
            Boundary::Clamp => (action + shift).clamp(-1.0, 1.0),
            Boundary::PreTanh => (action.clamp(-LARGEST_BELOW_ONE, LARGEST_BELOW_ONE).atanh() + shift).tanh(),
        }
    }
}

/// Draws a tensor of `shape` of independent numbers from a kernel with unit variance.
fn draw(kernel: KernelSpec, shape: &[i64], stream: &mut Stream, device: Device) -> Tensor {
    match kernel {
        KernelSpec::Gaussian => stream.normal(shape, device),
        KernelSpec::Boxcar => (stream.uniform(shape, device) * 2.0 - 1.0) * 3f64.sqrt(),
        KernelSpec::Binomial { .. } => {
            // Inverse transform sampling: start at the first tap, and add one spacing for each cumulative weight
            // passed.
            let uniform = stream.uniform(shape, device);
            let taps = kernel.taps();
            let mut offset = Tensor::full_like(&uniform, taps[0].offset);
            let mut below = 0.0;
            for pair in taps.windows(2) {
                below += pair[0].weight;
                offset += uniform.ge(below) * (pair[1].offset - pair[0].offset);
            }
            offset
        }
        KernelSpec::Sinc { .. } => {
            unreachable!("a kernel with negative weights is not sampled: checked in the specification")
        }
    }
}

/// The points of schemes without randomness; `None` for Monte Carlo.
fn fixed_points(spec: &TargetFilterSpec, action_dim: usize, device: Device) -> Option<FixedPoints> {
    let dims = action_dim as f64;
    let (taps, reach) = match spec.scheme {
        Scheme::MonteCarlo { .. } => return None,
        Scheme::SigmaPoints { lambda } => {
            // Points at distance √(A + λ) along each axis, with weight A/(2(A + λ)) before the mean over A axes.
            let outer = dims / (2.0 * (dims + lambda));
            let tap = |offset, weight| Tap { offset, weight };
            (
                vec![tap(-1.0, outer), tap(0.0, 1.0 - 2.0 * outer), tap(1.0, outer)],
                (dims + lambda).sqrt(),
            )
        }
        Scheme::Stencil => {
            let reach = if spec.kernel.has_unit_variance() {
                dims.sqrt()
            } else {
                1.0
            };
            (spec.kernel.taps(), reach)
        }
    };
    let middle = taps.len() / 2;
    let mut weights = vec![taps[middle].weight];
    let mut offsets = vec![0.0; action_dim];
    for axis in 0..action_dim {
        for (_, tap) in taps.iter().enumerate().filter(|(index, _)| *index != middle) {
            weights.push(tap.weight / dims);
            offsets.extend((0..action_dim).map(|other| if other == axis { reach * tap.offset } else { 0.0 }));
        }
    }
    Some(FixedPoints {
        offsets: vector(&offsets, device).view([-1, 1, action_dim as i64]),
        weights: vector(&weights, device),
    })
}

fn vector(values: &[f64], device: Device) -> Tensor {
    let values: Vec<f32> = values.iter().map(|value| *value as f32).collect();
    Tensor::from_slice(&values).to_device(device)
}
