//! Samples of a squashed Gaussian and their gradient over slices: [`FusedGaussian`], [`draw`], [`act`].
//!
//! ```text
//! draw        u = mean + σ·n;   a = tanh u;   log π = Σ_A [ −½n² − log σ − ½ ln 2π + 2 (|u| + ln(1 + e^(−2|u|)) − ln 2) ]
//! gradient    g_u = g_a (1 − a²) + 2 a g_π;   g_mean = g_u;   g_logσ = g_u σ n − g_π;   g_x = g_logσ · bound'(x)
//! ```
//!
//! x is the unbounded parameter of log σ. The log-density is that of [`crate::policy::squashed_gaussian`], with the
//! softplus rewritten in terms of |u|. g_a `[B, A]` and g_π are the gradients of a loss with respect to actions and
//! log-probabilities.

use std::f32::consts::LN_2;

use sac_kernels::{
    elementary::{decay, exp, ln_1p, tanh, tanh_of},
    widest,
};
use sac_policy::Value;
use tch::{Device, Kind, Tensor};

use crate::{
    error::Result,
    nn::{ParamLayout, Params, Tracer},
    noise::Stream,
    policy::{
        ActionDraw, ActionKind, Actions, LogStdBounds, PolicyHead, SquashedGaussian, SquashedGaussianSpec, StdSource,
    },
    slices::{as_slice, as_slice_mut},
};

const LN_2PI: f32 = 1.837_877; // ln(2π)

/// The functions of [`LogStdBounds`] with a fused form.
#[derive(Clone, Copy, Debug)]
enum BoundsKind {
    Clamp,
    Tanh,
}

/// The bounds of log σ.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    kind: BoundsKind,
    low: f32,
    high: f32,
}

impl Bounds {
    /// The bounds of `spec`; `None` if σ is independent of the state, or a softplus, which have no fused form.
    pub(super) fn of(spec: &SquashedGaussianSpec) -> Option<Self> {
        let kind = match spec.log_std_bounds {
            LogStdBounds::Clamp => BoundsKind::Clamp,
            LogStdBounds::Tanh => BoundsKind::Tanh,
            LogStdBounds::Softplus => return None,
        };
        (spec.std == StdSource::StateDependent).then_some(Bounds {
            kind,
            low: spec.log_std_min as f32,
            high: spec.log_std_max as f32,
        })
    }

    #[inline(always)]
    fn apply(self, x: f32) -> f32 {
        match self.kind {
            BoundsKind::Clamp => {
                let x = if x < self.low { self.low } else { x }; // NaN stays NaN
                if x > self.high { self.high } else { x }
            }
            BoundsKind::Tanh => (tanh(x) + 1.0) * (0.5 * (self.high - self.low)) + self.low,
        }
    }

    #[inline(always)]
    fn derivative(self, x: f32) -> f32 {
        match self.kind {
            BoundsKind::Clamp if x < self.low || x > self.high => 0.0,
            BoundsKind::Clamp => 1.0,
            BoundsKind::Tanh => {
                let t = tanh(x);
                (1.0 - t * t) * (0.5 * (self.high - self.low))
            }
        }
    }
}

/// A squashed Gaussian whose detached samples are computed over slices.
pub(super) struct FusedGaussian {
    pub(super) head: SquashedGaussian,
    pub(super) bounds: Bounds,
}

impl PolicyHead for FusedGaussian {
    fn add_parameters(&mut self, layout: &mut ParamLayout) {
        self.head.add_parameters(layout);
    }

    fn inputs(&self) -> i64 {
        self.head.inputs()
    }

    fn parts(&self) -> Vec<i64> {
        self.head.parts()
    }

    fn actions(&self) -> ActionKind {
        self.head.actions()
    }

    fn noise(&self, rows: i64, stream: &mut Stream, device: Device) -> Tensor {
        self.head.noise(rows, stream, device)
    }

    fn draw(&self, params: &Params, inputs: &Tensor, noise: &Tensor) -> ActionDraw {
        match inputs.requires_grad() {
            true => self.head.draw(params, inputs, noise),
            false => draw(inputs, noise, self.bounds).0,
        }
    }

    fn explore(&self, params: &Params, inputs: &Tensor, noise: &Tensor) -> Tensor {
        self.head.explore(params, inputs, noise)
    }

    fn mode(&self, params: &Params, inputs: &Tensor) -> Tensor {
        self.head.mode(params, inputs)
    }

    fn gaussian(&self, params: &Params, inputs: &Tensor) -> Option<(Tensor, Tensor)> {
        self.head.gaussian(params, inputs)
    }

    fn trace(&self, tracer: &mut Tracer, inputs: Value, is_drawn: bool) -> Result<Value> {
        self.head.trace(tracer, inputs, is_drawn)
    }
}

/// The values of a draw that its gradient needs: B rows of A numbers each.
pub(super) struct GaussianTape {
    bounds: Bounds,
    action_dim: usize,
    /// x.
    unbounded: Vec<f32>,
    /// σ·n.
    spread: Vec<f32>,
    action: Tensor,
}

/// Draws actions from `inputs [B, 2A]` and `noise [B, A]`. Also returns a tape for the gradient.
pub(super) fn draw(inputs: &Tensor, noise: &Tensor, bounds: Bounds) -> (ActionDraw, GaussianTape) {
    let (inputs, noise) = (inputs.contiguous(), noise.contiguous());
    let [rows, action_dim] = noise.size()[..] else {
        unreachable!("noise is [B, A]")
    };
    let width = action_dim as usize;
    let mut action = Tensor::empty([rows, action_dim], (Kind::Float, Device::Cpu));
    let mut log_prob = Tensor::empty([rows], (Kind::Float, Device::Cpu));
    let noise = as_slice(&noise);
    let count = noise.len();
    let (mut mean, mut unbounded) = (Vec::with_capacity(count), Vec::with_capacity(count));
    for row in as_slice(&inputs).chunks_exact(2 * width) {
        mean.extend_from_slice(&row[..width]);
        unbounded.extend_from_slice(&row[width..]);
    }
    let (mut spread, mut density) = (vec![0.0; count], vec![0.0; count]);
    let sources = (mean.as_slice(), unbounded.as_slice(), noise);
    let outputs = (as_slice_mut(&mut action), spread.as_mut_slice(), density.as_mut_slice());
    widest(
        #[inline(always)]
        || draw_each(sources, bounds, outputs),
    );
    for (log_prob, density) in as_slice_mut(&mut log_prob).iter_mut().zip(density.chunks_exact(width)) {
        *log_prob = density.iter().sum();
    }
    let draw = ActionDraw {
        actions: Actions::Sampled(action.shallow_clone()),
        log_prob,
    };
    let tape = GaussianTape {
        bounds,
        action_dim: width,
        unbounded,
        spread,
        action,
    };
    (draw, tape)
}

/// Draws each coordinate: writes its action, σ·n and its contribution to the log-density.
#[inline(always)]
fn draw_each(
    (mean, unbounded, noise): (&[f32], &[f32], &[f32]),
    bounds: Bounds,
    (action, spread, density): (&mut [f32], &mut [f32], &mut [f32]),
) {
    let sources = mean.iter().zip(unbounded).zip(noise);
    let outputs = action.iter_mut().zip(spread).zip(density);
    for (((mean, unbounded), n), ((action, spread), density)) in sources.zip(outputs) {
        let log_std = bounds.apply(*unbounded);
        *spread = exp(log_std) * n;
        let u = mean + *spread;
        let decay = decay(u);
        *action = tanh_of(u, decay);
        let squashing = 2.0 * (u.abs() + ln_1p(decay) - LN_2);
        *density = -0.5 * n * n - log_std - 0.5 * LN_2PI + squashing;
    }
}

/// Writes actions `[B, A]`: tanh(mean + σ·n), or tanh(mean) without noise. Gives the same bits on every processor.
pub(super) fn act(inputs: &[f32], noise: Option<&[f32]>, bounds: Bounds, action_dim: usize, actions: &mut [f32]) {
    let rows = inputs
        .chunks_exact(2 * action_dim)
        .zip(actions.chunks_exact_mut(action_dim));
    for (row, (inputs, actions)) in rows.enumerate() {
        for (index, action) in actions.iter_mut().enumerate() {
            let spread = noise.map_or(0.0, |noise| {
                exp(bounds.apply(inputs[action_dim + index])) * noise[row * action_dim + index]
            });
            *action = tanh(inputs[index] + spread);
        }
    }
}

impl GaussianTape {
    /// The gradient `[B, 2A]` of a loss with respect to the head's inputs. `scale · of_action` `[B, A]` is its gradient
    /// with respect to the actions, and `of_log_prob` that with respect to the log-probability of every row.
    pub(super) fn backward(&self, of_action: &[f32], scale: f32, of_log_prob: f32) -> Vec<f32> {
        let width = self.action_dim;
        let mut gradient = vec![0.0; 2 * of_action.len()];
        let row_by_row = gradient
            .chunks_exact_mut(2 * width)
            .zip(of_action.chunks_exact(width))
            .zip(as_slice(&self.action).chunks_exact(width))
            .zip(self.spread.chunks_exact(width))
            .zip(self.unbounded.chunks_exact(width));
        for ((((gradient, of_action), action), spread), unbounded) in row_by_row {
            let (of_mean, of_std) = gradient.split_at_mut(width);
            for index in 0..width {
                let a = action[index];
                let of_u = of_action[index] * scale * (1.0 - a * a) + 2.0 * a * of_log_prob;
                of_mean[index] = of_u;
                of_std[index] = (of_u * spread[index] - of_log_prob) * self.bounds.derivative(unbounded[index]);
            }
        }
        gradient
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bounds(kind: LogStdBounds) -> (SquashedGaussianSpec, Bounds) {
        let spec = SquashedGaussianSpec {
            log_std_bounds: kind,
            log_std_min: -3.0,
            log_std_max: 1.0,
            ..SquashedGaussianSpec::default()
        };
        let bounds = Bounds::of(&spec).expect("by default σ depends on the state");
        (spec, bounds)
    }

    /// The rows fill vectors with a remainder, and the inputs exceed both bounds.
    #[test]
    fn draws_and_gradients_equal_those_of_autograd() {
        for kind in [LogStdBounds::Clamp, LogStdBounds::Tanh] {
            let (spec, bounds) = bounds(kind);
            let head = SquashedGaussian::new(&spec, 3);
            let mut stream = Stream::derive(1, "test", 0);
            let inputs = (stream.normal(&[37, 6], Device::Cpu) * 2.0).set_requires_grad(true);
            let noise = stream.normal(&[37, 3], Device::Cpu);
            let of_action = stream.normal(&[37, 3], Device::Cpu);
            let of_log_prob = 0.3;

            let expected = head.draw(&Params::default(), &inputs, &noise);
            let loss = (expected.sampled() * &of_action).sum(Kind::Float)
                + expected.log_prob.sum(Kind::Float) * f64::from(of_log_prob);
            let gradient = Tensor::run_backward(&[loss], &[&inputs], false, false).remove(0);

            let (draw, tape) = draw(&inputs.detach(), &noise, bounds);
            let actual = tape.backward(as_slice(&(&of_action * 0.5)), 2.0, of_log_prob);
            let actual = Tensor::from_slice(&actual).view_as(&gradient);
            let error = |a: &Tensor, b: &Tensor| ((a - b).abs() / (b.abs() + 1.0)).max().double_value(&[]);
            let errors = [
                error(draw.sampled(), expected.sampled()),
                error(&draw.log_prob, &expected.log_prob),
                error(&actual, &gradient),
            ];
            assert!(errors.iter().all(|error| *error < 2e-6), "{kind:?}: {errors:?}");
            assert!(!draw.log_prob.requires_grad() && !draw.sampled().requires_grad());
        }
    }

    #[test]
    fn actions_equal_those_of_libtorch() {
        let spec = SquashedGaussianSpec::default();
        let (head, bounds) = (SquashedGaussian::new(&spec, 3), Bounds::of(&spec).expect("it depends"));
        let mut stream = Stream::derive(1, "test", 0);
        let inputs = stream.normal(&[7, 6], Device::Cpu) * 2.0;
        let noise = stream.normal(&[7, 3], Device::Cpu);
        let params = Params::default();
        let expected = [head.explore(&params, &inputs, &noise), head.mode(&params, &inputs)];
        for (noise, expected) in [Some(as_slice(&noise)), None].into_iter().zip(expected) {
            let mut actions = vec![0.0; 21];
            act(as_slice(&inputs), noise, bounds, 3, &mut actions);
            let error = (Tensor::from_slice(&actions).view([7, 3]) - expected).abs().max();
            assert!(error.double_value(&[]) < 5e-7, "{error:?}");
        }
    }

    #[test]
    fn nan_inputs_give_nan_draws_and_gradients() {
        let inputs = Tensor::full([16, 2], f64::NAN, (Kind::Float, Device::Cpu));
        let noise = Tensor::zeros([16, 1], (Kind::Float, Device::Cpu));
        for kind in [LogStdBounds::Clamp, LogStdBounds::Tanh] {
            let (draw, tape) = draw(&inputs, &noise, bounds(kind).1);
            let gradient = tape.backward(as_slice(draw.sampled()), 1.0, 1.0);
            let actual = [as_slice(draw.sampled()), as_slice(&draw.log_prob), &gradient];
            assert!(actual.iter().all(|values| values.iter().all(|value| value.is_nan())));
        }
    }
}
