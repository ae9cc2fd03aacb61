//! tanh of a diagonal Gaussian.
//!
//! Source: Haarnoja et al. 2018 (arXiv 1801.01290), appendix C.

use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

use super::{ActionDraw, ActionKind, Actions, PolicyHead};
use crate::{
    nn::{AdamSpec, Params},
    noise::Stream,
    spec_check::SpecProblems,
};

const LN_2: f64 = std::f64::consts::LN_2;
const LN_2PI: f64 = 1.837_877_066_409_345_3; // ln(2π)

/// Settings of the policy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SquashedGaussianSpec {
    /// Lower bound of log σ; values beyond it are clamped. Reference code of SAC 2018a: −20.
    pub log_std_min: f64,
    /// Upper bound of log σ. Reference code of SAC 2018a: 2.
    pub log_std_max: f64,
    /// Of the policy network.
    pub optimizer: AdamSpec,
}

impl Default for SquashedGaussianSpec {
    fn default() -> Self {
        SquashedGaussianSpec {
            log_std_min: -20.0,
            log_std_max: 2.0,
            optimizer: AdamSpec::default(),
        }
    }
}

impl SquashedGaussianSpec {
    pub(super) fn check(&self, p: &mut SpecProblems) {
        let (min, max) = (self.log_std_min, self.log_std_max);
        p.require(
            min < max && min.is_finite() && max.is_finite(),
            "agent.policy.log_std_min",
            min,
            "finite and below agent.policy.log_std_max",
        );
    }
}

/// `a = tanh(u)`, `u ~ N(mean, std²)` per coordinate.
pub struct SquashedGaussian {
    action_dim: i64,
    log_std_min: f64,
    log_std_max: f64,
}

impl SquashedGaussian {
    /// For `action_dim` coordinates.
    pub fn new(spec: &SquashedGaussianSpec, action_dim: i64) -> Self {
        SquashedGaussian {
            action_dim,
            log_std_min: spec.log_std_min,
            log_std_max: spec.log_std_max,
        }
    }

    /// `inputs [B, 2A]` to `mean [B, A]` and `log_std [B, A]`.
    fn split(&self, inputs: &Tensor) -> (Tensor, Tensor) {
        let mean = inputs.narrow(1, 0, self.action_dim);
        let log_std = inputs.narrow(1, self.action_dim, self.action_dim);
        (mean, log_std.clamp(self.log_std_min, self.log_std_max))
    }
}

impl PolicyHead for SquashedGaussian {
    fn inputs(&self) -> i64 {
        2 * self.action_dim
    }

    fn actions(&self) -> ActionKind {
        ActionKind::Vector { width: self.action_dim }
    }

    /// Standard normal, `[rows, A]`.
    fn noise(&self, rows: i64, stream: &mut Stream, device: Device) -> Tensor {
        stream.normal(&[rows, self.action_dim], device)
    }

    fn draw(&self, _params: &Params, inputs: &Tensor, noise: &Tensor) -> ActionDraw {
        let (mean, log_std) = self.split(inputs);
        let u = &mean + log_std.exp() * noise; // [B, A]
        ActionDraw {
            actions: Actions::Sampled(u.tanh()),
            log_prob: log_prob(&u, noise, &log_std),
        }
    }

    fn explore(&self, _params: &Params, inputs: &Tensor, noise: &Tensor) -> Tensor {
        let (mean, log_std) = self.split(inputs);
        (mean + log_std.exp() * noise).tanh()
    }

    fn mode(&self, _params: &Params, inputs: &Tensor) -> Tensor {
        inputs.narrow(1, 0, self.action_dim).tanh()
    }
}

/// Log-density of a squashed Gaussian at its own sample.
///
/// `u`: `[B, A]`, the sample before squashing; `noise = (u − mean)/std`; `log_std`: `[B, A]`. Returns `[B]`, nats, with
/// respect to the normalised box. Per coordinate
///
/// ```text
/// log N(u) = −½ noise² − log σ − ½ ln 2π
/// log(1 − tanh²u) = 2 (ln 2 − u − softplus(−2u))        exact, finite for large |u|
/// ```
///
/// Given as a function of the noise, which no parameter moves, the first line needs no division by σ.
///
/// Source: Haarnoja et al. 2018 (arXiv 1801.01290), appendix C, equation 21.
pub fn log_prob(u: &Tensor, noise: &Tensor, log_std: &Tensor) -> Tensor {
    let gaussian = noise.square() * -0.5 - log_std - 0.5 * LN_2PI;
    let log_derivative = (u + (u * -2.0).softplus() - LN_2) * -2.0;
    (gaussian - log_derivative).sum_dim_intlist([-1i64].as_slice(), false, Kind::Float)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log_prob_of(mean: f64, log_std: f64, noise: f64) -> f64 {
        let head = SquashedGaussian::new(&SquashedGaussianSpec::default(), 1);
        let inputs = Tensor::from_slice(&[mean as f32, log_std as f32]).view([1, 2]);
        let draw = head.draw(
            &Params::default(),
            &inputs,
            &Tensor::from_slice(&[noise as f32]).view([1, 1]),
        );
        draw.log_prob.double_value(&[0])
    }

    /// algorithms: a = 0.7730…, log π = −0.2286…, computed in f64 from the definition.
    #[test]
    fn log_prob_equals_the_definition() {
        assert!((log_prob_of(0.3, -0.5, 1.2) - -0.228_655_332_141_999_5).abs() < 1e-6);
    }

    #[test]
    fn log_prob_stays_exact_in_the_far_tail() {
        assert!((log_prob_of(9.0, -20.0, 0.0) / 35.694_767_136_135_4 - 1.0).abs() < 1e-6);
        assert!(log_prob_of(-40.0, 2.0, -3.0).is_finite());
    }

    #[test]
    fn density_integrates_to_one_over_the_box() {
        // Substituting a = tanh(u), the integral over the box is that of exp(log π)·(1 − tanh²u) over u.
        let (mean, log_std, count) = (0.4f64, -0.3f64, 4_001);
        let step = 16.0 / f64::from(count - 1);
        let total: f64 = (0..count)
            .map(|index| -8.0 + step * f64::from(index))
            .map(|u| log_prob_of(mean, log_std, (u - mean) / log_std.exp()).exp() * (1.0 - u.tanh().powi(2)) * step)
            .sum();
        assert!((total - 1.0).abs() < 1e-3, "{total}");
    }
}
