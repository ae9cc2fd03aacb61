//! The Gumbel-Softmax policy, with one-hot samples through which gradients pass: [`Gumbel`].
//!
//! Source: Jang et al. 2016, "Categorical Reparameterization with Gumbel-Softmax" (arXiv 1611.01144), sections 2 and
//! 2.2. The positions of an action are sampled independently, so that combinations need not be enumerated.
//!
//! | Paper | Code | Shape · unit |
//! |---|---|---|
//! | log π | `log_probability` | `[B, nᵢ]`, nats |
//! | g | `noise` | `[B, nᵢ]` |
//! | y (eq 2) | `soft` | `[B, nᵢ]` |
//! | z, one-hot (eq 1) | `hard` | `[B, nᵢ]` |
//! | τ | `softmax_temperature` | – |

use sac_policy::{Arithmetic, Distribution, Op, Value};
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

use super::{
    action::{ActionDraw, ActionKind, Actions, expectation},
    discrete::Positions,
    head::PolicyHead,
};
use crate::{
    error::Result,
    nn::{AdamSpec, Params, Tracer},
    noise::Stream,
    schedule::GradSteps,
    spec_problems::SpecProblems,
};

/// Lower limit of uniform numbers, because the logarithm of 0 is infinite. It is half the smallest positive number that
/// a stream draws.
const MIN_UNIFORM: f64 = 1.0 / (1u64 << 25) as f64;

/// Settings of a Gumbel-Softmax policy. The default is that of the preset `sac-gumbel`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GumbelSpec {
    /// τ, the temperature of the softmax that gives the gradient, before the first update. Unrelated to the temperature
    /// α.
    pub softmax_temperature: f64,
    /// Annealing of τ, if it changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub anneal: Option<SoftmaxAnnealSpec>,
    /// Optimiser of the policy network.
    pub optimizer: AdamSpec,
}

impl Default for GumbelSpec {
    fn default() -> Self {
        GumbelSpec {
            softmax_temperature: 1.0,
            anneal: None,
            optimizer: AdamSpec::default(),
        }
    }
}

/// Annealing of τ from the first update on.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SoftmaxAnnealSpec {
    /// Final value, above 0.
    pub to: f64,
    /// Length of the annealing, gradient steps, at least 1.
    pub over_grad_steps: u64,
    /// Interpolation between initial and final value.
    pub curve: Curve,
}

/// An interpolation between two values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Curve {
    /// Equal differences per step.
    Linear,
    /// Equal factors per step (Jang et al. 2016, section 4.1: max(0.5, e^(−rt))).
    Exponential,
}

/// The range of τ. In single precision the softmax is one-hot below it, without a gradient, and uniform above it.
const SOFTMAX_TEMPERATURES: std::ops::RangeInclusive<f64> = 1e-3..=1e3;

impl GumbelSpec {
    pub(super) fn check(&self, p: &mut SpecProblems) {
        let mut temperature = |name: &str, value: f64| {
            p.require(
                SOFTMAX_TEMPERATURES.contains(&value),
                &format!("agent.policy.{name}"),
                value,
                "between 0.001 and 1000",
            );
        };
        temperature("softmax_temperature", self.softmax_temperature);
        if let Some(SoftmaxAnnealSpec {
            to, over_grad_steps, ..
        }) = self.anneal
        {
            temperature("anneal.to", to);
            let key = "agent.policy.anneal.over_grad_steps";
            p.require(over_grad_steps > 0, key, over_grad_steps, "at least 1");
        }
    }

    /// τ after `at` gradient steps.
    pub fn softmax_temperature_at(&self, at: GradSteps) -> f64 {
        let start = self.softmax_temperature;
        match self.anneal {
            None => start,
            Some(SoftmaxAnnealSpec {
                to, over_grad_steps, ..
            }) if at.0 >= over_grad_steps => to,
            Some(SoftmaxAnnealSpec {
                to,
                over_grad_steps,
                curve,
            }) => {
                let progress = at.0 as f64 / over_grad_steps as f64;
                match curve {
                    Curve::Linear => start + progress * (to - start),
                    Curve::Exponential => start * (to / start).powf(progress),
                }
            }
        }
    }
}

/// A softmax per position of a discrete space. A sample is the concatenation of a one-hot vector per position.
pub struct Gumbel {
    spec: GumbelSpec,
    positions: Positions,
    softmax_temperature: f64,
}

impl Gumbel {
    /// A head for a discrete space of any size.
    pub fn new(spec: &GumbelSpec, positions: Positions) -> Self {
        Gumbel {
            softmax_temperature: spec.softmax_temperature_at(GradSteps(0)),
            spec: spec.clone(),
            positions,
        }
    }
}

impl PolicyHead for Gumbel {
    fn inputs(&self) -> i64 {
        self.positions.choices()
    }

    fn actions(&self) -> ActionKind {
        ActionKind::Vector {
            width: self.positions.choices(),
        }
    }

    /// Standard Gumbel noise, `[rows, Σ nᵢ]`: −ln(−ln u) with u uniform.
    fn noise(&self, rows: i64, stream: &mut Stream, device: Device) -> Tensor {
        let uniform = stream.uniform(&[rows, self.positions.choices()], device);
        -(-uniform.clamp_min(MIN_UNIFORM).log()).log()
    }

    /// The log-probability is its expectation Σᵢ Σ_a π log π, which has a lower variance than that of the sampled
    /// action.
    fn draw(&self, _params: &Params, inputs: &Tensor, noise: &Tensor) -> ActionDraw {
        let mut vectors = Vec::new();
        let mut log_prob: Option<Tensor> = None;
        for (logits, noise) in self.positions.split(inputs).zip(self.positions.split(noise)) {
            let log_probability = logits.log_softmax(-1, Kind::Float); // [B, nᵢ]
            vectors.push(straight_through(&log_probability, &noise, self.softmax_temperature));
            let negative_entropy = expectation(&log_probability.exp(), &log_probability); // [B]
            log_prob = Some(match log_prob {
                None => negative_entropy,
                Some(sum) => sum + negative_entropy,
            });
        }
        ActionDraw {
            actions: Actions::Sampled(Tensor::cat(&vectors, 1)),
            log_prob: log_prob.expect("a space has at least one position"),
        }
    }

    /// Gumbel-max sampling: exact samples of π for any τ.
    fn explore(&self, _params: &Params, inputs: &Tensor, noise: &Tensor) -> Tensor {
        self.positions.greatest(&(inputs + noise))
    }

    fn mode(&self, _params: &Params, inputs: &Tensor) -> Tensor {
        self.positions.greatest(inputs)
    }

    fn trace(&self, tracer: &mut Tracer, inputs: Value, is_drawn: bool) -> Result<Value> {
        let mut scores = inputs;
        if is_drawn {
            let (len, distribution) = (self.positions.choices() as usize, Distribution::Gumbel);
            let noise = tracer.add(Op::Noise { len, distribution }, &[])?;
            scores = tracer.add(Op::Combine(Arithmetic::Add), &[inputs, noise])?;
        }
        let sizes = self.positions.sizes();
        tracer.add(Op::Greatest { sizes }, &[scores])
    }

    fn encode(&self, actions: &Tensor) -> Tensor {
        self.positions.one_hot(actions)
    }

    fn anneal(&mut self, at: GradSteps) {
        self.softmax_temperature = self.spec.softmax_temperature_at(at);
    }
}

/// The straight-through estimator: a one-hot sample `[B, n]` with the gradient of its softmax relaxation, from
/// log-probabilities and Gumbel noise `[B, n]`.
///
/// ```text
/// z = one-hot( argmax (log π + g) )
/// y = softmax( (log π + g) / τ )
/// z + (y − sg[y])                      the bracket is exactly 0, so the value is exactly z
/// ```
///
/// Source: Jang et al. 2016 (arXiv 1611.01144), equations 1 and 2, and section 2.2.
fn straight_through(log_probability: &Tensor, noise: &Tensor, softmax_temperature: f64) -> Tensor {
    let perturbed = log_probability + noise;
    let index = perturbed.argmax(-1, true); // [B, 1]
    let hard = perturbed.zeros_like().scatter_value(-1, &index, 1.0);
    let soft = (perturbed / softmax_temperature).softmax(-1, Kind::Float);
    hard + (&soft - soft.detach())
}

#[cfg(test)]
mod tests {
    use super::*;
    use sac_envs::Space;

    fn head(n: &[usize]) -> Gumbel {
        let positions = Positions::of(&Space::MultiDiscrete { n: n.to_vec() }).expect("discrete");
        Gumbel::new(&GumbelSpec::default(), positions)
    }

    fn logits(rows: i64, seed: u64, width: i64) -> Tensor {
        Stream::derive(seed, "logits", 0).normal(&[rows, width], Device::Cpu) * 2.0
    }

    #[test]
    fn a_draw_is_exactly_one_hot_and_equals_the_explored_action() {
        let head = head(&[2, 4]);
        let inputs = logits(500, 1, 6).set_requires_grad(true);
        let noise = head.noise(500, &mut Stream::derive(2, "noise", 0), Device::Cpu);
        let draw = head.draw(&Params::default(), &inputs, &noise);
        let tried = head.explore(&Params::default(), &inputs, &noise);
        assert_eq!(draw.sampled().detach(), head.encode(&tried));
        let values: Vec<f32> = draw.sampled().detach().flatten(0, -1).try_into().expect("numbers");
        assert!(values.iter().all(|value| *value == 0.0 || *value == 1.0));
        assert_eq!(values.iter().sum::<f32>(), 1000.0, "one per position");
    }

    #[test]
    fn the_gradient_of_a_draw_is_that_of_the_softmax_relaxation() {
        let (noise, weight) = (logits(7, 3, 4), logits(7, 4, 4));
        for temperature in [0.3, 1.0, 5.0] {
            let gradient = |value: &dyn Fn(&Tensor) -> Tensor| {
                let log_probability = logits(7, 5, 4).set_requires_grad(true);
                let loss = (value(&log_probability) * &weight).sum(Kind::Float);
                Tensor::run_backward(&[loss], &[&log_probability], false, false).remove(0)
            };
            let hard = gradient(&|log_probability| straight_through(log_probability, &noise, temperature));
            let soft = gradient(&|log_probability| ((log_probability + &noise) / temperature).softmax(-1, Kind::Float));
            assert_eq!(hard, soft, "τ = {temperature}");
            assert!(soft.abs().max().double_value(&[]) > 1e-2, "there is a gradient");
        }
    }

    #[test]
    fn the_softmax_relaxation_approaches_the_draw_as_its_temperature_falls() {
        let (log_probability, noise) = (logits(200, 6, 3).log_softmax(-1, Kind::Float), logits(200, 7, 3));
        let hard = straight_through(&log_probability, &noise, 1.0);
        let distance = |temperature: f64| {
            let soft = ((&log_probability + &noise) / temperature).softmax(-1, Kind::Float);
            (soft - &hard).abs().mean(Kind::Float).double_value(&[])
        };
        let distances = [10.0, 1.0, 0.1, 0.001].map(distance);
        assert!(distances.windows(2).all(|pair| pair[0] > pair[1]), "{distances:?}");
        assert!(distances[0] > 0.3 && distances[3] < 0.005, "{distances:?}");
    }

    #[test]
    fn draws_follow_the_probabilities_and_log_prob_is_an_expectation() {
        const ROWS: i64 = 40_000;
        let head = head(&[3, 2]);
        let row = [0.2f64.ln(), 0.5f64.ln(), 0.3f64.ln(), 0.9f64.ln(), 0.1f64.ln()];
        let inputs = Tensor::from_slice(&row).to_kind(Kind::Float).expand([ROWS, 5], false);
        let noise = head.noise(ROWS, &mut Stream::derive(8, "noise", 0), Device::Cpu);
        let draw = head.draw(&Params::default(), &inputs, &noise);
        let frequencies: Vec<f64> = draw
            .sampled()
            .mean_dim([0i64].as_slice(), false, Kind::Double)
            .try_into()
            .expect("numbers");
        for (actual, expected) in frequencies.iter().zip(row.map(f64::exp)) {
            let tolerance = 4.5 * (expected * (1.0 - expected) / ROWS as f64).sqrt();
            assert!((actual - expected).abs() < tolerance, "{frequencies:?}");
        }
        let exact: f64 = row.iter().map(|log_pi| log_pi.exp() * log_pi).sum();
        assert!((draw.log_prob.double_value(&[0]) - exact).abs() < 1e-6);
        // The mean of log π over the sampled actions.
        let drawn = (draw.sampled() * &inputs).sum(Kind::Double).double_value(&[]) / ROWS as f64;
        assert!((drawn - exact).abs() < 0.02, "{drawn} {exact}");
    }

    #[test]
    fn noise_is_finite_where_the_uniform_number_is_zero_or_nearly_one() {
        let noise = head(&[2]).noise(1, &mut Stream::scripted([0.0, 1.0 - f32::EPSILON / 2.0]), Device::Cpu);
        let actual: Vec<f32> = noise.flatten(0, -1).try_into().expect("numbers");
        assert!(
            actual[0] > -3.0 && actual[0] < -2.0 && actual[1] > 16.0 && actual[1] < 17.0,
            "{actual:?}"
        );
    }

    #[test]
    fn the_softmax_temperature_follows_its_curve_and_stays_at_the_final_value() {
        let spec = |curve| GumbelSpec {
            softmax_temperature: 2.0,
            anneal: Some(SoftmaxAnnealSpec {
                to: 0.5,
                over_grad_steps: 100,
                curve,
            }),
            ..GumbelSpec::default()
        };
        let at = |curve, steps| spec(curve).softmax_temperature_at(GradSteps(steps));
        assert_eq!([0, 50, 100, 1000].map(|t| at(Curve::Linear, t)), [2.0, 1.25, 0.5, 0.5]);
        assert_eq!(
            [0, 50, 100, 1000].map(|t| at(Curve::Exponential, t)),
            [2.0, 1.0, 0.5, 0.5]
        );
    }
}
