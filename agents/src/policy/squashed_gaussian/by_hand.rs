//! A squashed Gaussian's draws and their gradient without autograd, number by number.
//!
//! ```text
//! draw        u = mean + σ·n;   a = tanh u;   log π = Σ_A [ −½n² − log σ − ½ ln 2π + 2 (|u| + ln(1 + e^(−2|u|)) − ln 2) ]
//! gradient    g_u = g_a (1 − a²) + 2 a g_π;   g_mean = g_u;   g_logσ = g_u σ n − g_π;   of what σ is made of: g_logσ · bound'
//! ```
//!
//! The draw is [`super::log_prob`]'s with −u + |u| taken out of the softplus. g_a `[B, A]` and g_π are the gradients of a
//! loss by actions and by log-probabilities.

use tch::{Device, Kind, Tensor};

use super::{LN_2, LN_2PI, LogStdBounds};
use crate::{
    nn::{
        elementary::{decay, exp, ln_1p, tanh, tanh_of},
        explicit,
        numbers::{numbers, numbers_mut},
    },
    policy::{ActionDraw, Actions, HeadTape},
};

/// How log σ is kept within its bounds.
#[derive(Clone, Copy)]
pub(super) struct Bounds {
    pub(super) kind: LogStdBounds,
    pub(super) low: f32,
    pub(super) high: f32,
}

impl Bounds {
    #[inline(always)]
    fn apply(self, x: f32) -> f32 {
        match self.kind {
            LogStdBounds::Clamp => {
                let x = if x < self.low { self.low } else { x }; // what is not a number stays none
                if x > self.high { self.high } else { x }
            }
            LogStdBounds::Tanh => (tanh(x) + 1.0) * (0.5 * (self.high - self.low)) + self.low,
        }
    }

    #[inline(always)]
    fn derivative(self, x: f32) -> f32 {
        match self.kind {
            LogStdBounds::Clamp if x < self.low || x > self.high => 0.0,
            LogStdBounds::Clamp => 1.0,
            LogStdBounds::Tanh => {
                let t = tanh(x);
                (1.0 - t * t) * (0.5 * (self.high - self.low))
            }
        }
    }
}

/// What the gradient of a draw is made of: B rows of A numbers each.
struct Drawn {
    bounds: Bounds,
    action_dim: usize,
    /// What log σ is made of.
    unbounded: Vec<f32>,
    /// σ·n.
    spread: Vec<f32>,
    action: Tensor,
}

/// `inputs [B, 2A]` and `noise [B, A]` to a draw, and what its gradient needs.
pub(super) fn draw(inputs: &Tensor, noise: &Tensor, bounds: Bounds) -> (ActionDraw, Box<dyn HeadTape>) {
    let plain = |tensor: &Tensor| match explicit::is_plain(tensor) {
        true => tensor.shallow_clone(),
        false => tensor.detach().contiguous(),
    };
    let (inputs, noise) = (plain(inputs), plain(noise));
    let [rows, action_dim] = noise.size()[..] else {
        unreachable!("noise is [B, A]")
    };
    let width = action_dim as usize;
    let mut action = Tensor::empty([rows, action_dim], (Kind::Float, Device::Cpu));
    let mut log_prob = Tensor::empty([rows], (Kind::Float, Device::Cpu));
    let count = noise.numel();
    let (mut mean, mut unbounded) = (Vec::with_capacity(count), Vec::with_capacity(count));
    for row in numbers(&inputs).chunks_exact(2 * width) {
        mean.extend_from_slice(&row[..width]);
        unbounded.extend_from_slice(&row[width..]);
    }
    let (mut spread, mut density) = (vec![0.0; count], vec![0.0; count]);
    let rows = Rows {
        mean: &mean,
        unbounded: &unbounded,
        noise: numbers(&noise),
    };
    rows.draw(bounds, numbers_mut(&mut action), &mut spread, &mut density);
    for (log_prob, density) in numbers_mut(&mut log_prob).iter_mut().zip(density.chunks_exact(width)) {
        *log_prob = density.iter().sum();
    }
    let draw = ActionDraw {
        actions: Actions::Sampled(action.shallow_clone()),
        log_prob,
    };
    let drawn = Drawn {
        bounds,
        action_dim: width,
        unbounded,
        spread,
        action,
    };
    (draw, Box::new(drawn))
}

/// Actions `[B, A]` without anything else: tanh(mean + σ·n), or tanh(mean) without noise. Each row for itself, with the same
/// bits on every processor.
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

/// Numbers of a draw, element by element.
#[derive(Clone, Copy)]
struct Rows<'a> {
    mean: &'a [f32],
    unbounded: &'a [f32],
    noise: &'a [f32],
}

impl Rows<'_> {
    fn draw(self, bounds: Bounds, action: &mut [f32], spread: &mut [f32], density: &mut [f32]) {
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx512f") {
            // SAFETY: the processor has AVX-512F.
            return unsafe { self.draw_avx512(bounds, action, spread, density) };
        }
        self.draw_plain(bounds, action, spread, density);
    }

    /// The same code, for which the compiler may use wider vectors; no operation is fused, so the result is the same.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f")]
    fn draw_avx512(self, bounds: Bounds, action: &mut [f32], spread: &mut [f32], density: &mut [f32]) {
        self.draw_plain(bounds, action, spread, density);
    }

    #[inline(always)]
    fn draw_plain(self, bounds: Bounds, action: &mut [f32], spread: &mut [f32], density: &mut [f32]) {
        let given = self.mean.iter().zip(self.unbounded).zip(self.noise);
        let made = action.iter_mut().zip(spread).zip(density);
        for (((mean, unbounded), n), ((action, spread), density)) in given.zip(made) {
            let log_std = bounds.apply(*unbounded);
            *spread = exp(log_std) * n;
            let u = mean + *spread;
            let decay = decay(u);
            *action = tanh_of(u, decay);
            let squashing = 2.0 * (u.abs() + ln_1p(decay) - LN_2 as f32);
            *density = -0.5 * n * n - log_std - 0.5 * LN_2PI as f32 + squashing;
        }
    }
}

impl HeadTape for Drawn {
    fn backward(&self, of_action: &[f32], scale: f32, of_log_prob: &[f32]) -> Vec<f32> {
        let width = self.action_dim;
        let rows = of_action.len() / width;
        let mut gradient = vec![0.0; 2 * of_action.len()];
        let row_by_row = gradient
            .chunks_exact_mut(2 * width)
            .zip(of_action.chunks_exact(width))
            .zip(numbers(&self.action).chunks_exact(width))
            .zip(self.spread.chunks_exact(width))
            .zip(self.unbounded.chunks_exact(width));
        let rows_each = rows / of_log_prob.len();
        for (row, ((((gradient, of_action), action), spread), unbounded)) in row_by_row.enumerate() {
            let of_log_prob = of_log_prob[row / rows_each];
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
    use crate::{
        nn::{ParamLayout, Params},
        noise::Stream,
        policy::{PolicyHead, SquashedGaussian, SquashedGaussianSpec},
    };

    /// Wide enough for vectors and a rest, and for both ends of the bounds.
    #[test]
    fn draws_and_gradients_are_those_of_autograd() {
        for kind in [LogStdBounds::Clamp, LogStdBounds::Tanh] {
            let spec = SquashedGaussianSpec {
                log_std_bounds: kind,
                log_std_min: -3.0,
                log_std_max: 1.0,
                ..SquashedGaussianSpec::default()
            };
            let head = SquashedGaussian::new(&spec, 3, &mut ParamLayout::default());
            let mut stream = Stream::derive(1, "test", 0);
            let inputs = (stream.normal(&[37, 6], Device::Cpu) * 2.0).set_requires_grad(true);
            let noise = stream.normal(&[37, 3], Device::Cpu);
            let of_action = stream.normal(&[37, 3], Device::Cpu);
            let of_log_prob = 0.3;

            let oracle = head.draw(&Params::default(), &inputs, &noise);
            let loss = (oracle.sampled() * &of_action).sum(Kind::Float)
                + oracle.log_prob.sum(Kind::Float) * f64::from(of_log_prob);
            let gradient = Tensor::run_backward(&[loss], &[&inputs], false, false).remove(0);

            let (draw, tape) = head.draw_by_hand(&inputs, &noise).expect("it can");
            let found = tape.backward(numbers(&(&of_action * 0.5)), 2.0, &[of_log_prob]);
            let found = Tensor::from_slice(&found).view_as(&gradient);
            let apart = |a: &Tensor, b: &Tensor| ((a - b).abs() / (b.abs() + 1.0)).max().double_value(&[]);
            let apart = [
                apart(draw.sampled(), oracle.sampled()),
                apart(&draw.log_prob, &oracle.log_prob),
                apart(&found, &gradient),
            ];
            assert!(apart.iter().all(|apart| *apart < 2e-6), "{kind:?}: {apart:?}");
            assert!(!draw.log_prob.requires_grad() && !draw.sampled().requires_grad());
        }
    }

    #[test]
    fn actions_are_those_of_libtorch() {
        let head = SquashedGaussian::new(&SquashedGaussianSpec::default(), 3, &mut ParamLayout::default());
        let mut stream = Stream::derive(1, "test", 0);
        let inputs = stream.normal(&[7, 6], Device::Cpu) * 2.0;
        let noise = stream.normal(&[7, 3], Device::Cpu);
        let params = Params::default();
        let oracles = [head.explore(&params, &inputs, &noise), head.mode(&params, &inputs)];
        for (noise, oracle) in [Some(numbers(&noise)), None].into_iter().zip(oracles) {
            let mut actions = vec![0.0; 21];
            assert!(head.act_by_hand(numbers(&inputs), noise, &mut actions));
            let apart = (Tensor::from_slice(&actions).view([7, 3]) - oracle).abs().max();
            assert!(apart.double_value(&[]) < 5e-7, "{apart:?}");
        }
    }

    #[test]
    fn a_diverged_network_shows() {
        let inputs = Tensor::full([16, 2], f64::NAN, (Kind::Float, Device::Cpu));
        let noise = Tensor::zeros([16, 1], (Kind::Float, Device::Cpu));
        for kind in [LogStdBounds::Clamp, LogStdBounds::Tanh] {
            let bounds = Bounds {
                kind,
                low: -20.0,
                high: 2.0,
            };
            let (draw, tape) = super::draw(&inputs, &noise, bounds);
            let gradient = tape.backward(numbers(draw.sampled()), 1.0, &[1.0]);
            let found = [numbers(draw.sampled()), numbers(&draw.log_prob), &gradient];
            assert!(found.iter().all(|numbers| numbers.iter().all(|number| number.is_nan())));
        }
    }
}
