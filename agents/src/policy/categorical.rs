//! The categorical policy, a softmax over enumerated actions: [`Categorical`].
//!
//! Source: Christodoulou 2019, "Soft Actor-Critic for Discrete Action Settings" (arXiv 1910.07207), section 3. Critics
//! have one value per action, so expectations over actions are exact sums. Actions are sampled for exploration only.

use sac_policy::{Distribution, Op, Value};
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
};

/// Settings of a categorical policy.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CategoricalSpec {
    /// Optimiser of the policy network.
    pub optimizer: AdamSpec,
}

/// The distribution `π(a) = softmax(l)_a` over all combinations of a discrete space.
pub struct Categorical {
    positions: Positions,
    count: i64,
}

impl Categorical {
    /// A head for a space with at most [`super::discrete::MAX_ENUMERATED`] combinations; `None` for a larger space.
    pub fn new(positions: Positions) -> Option<Self> {
        let count = positions.combinations()?;
        Some(Categorical { positions, count })
    }
}

impl PolicyHead for Categorical {
    fn inputs(&self) -> i64 {
        self.count
    }

    fn actions(&self) -> ActionKind {
        ActionKind::Enumerated { count: self.count }
    }

    /// Uniform noise, `[rows, 1]`, used by [`PolicyHead::explore`] only.
    fn noise(&self, rows: i64, stream: &mut Stream, device: Device) -> Tensor {
        stream.uniform(&[rows, 1], device)
    }

    fn draw(&self, _params: &Params, inputs: &Tensor, _noise: &Tensor) -> ActionDraw {
        let log_probability = inputs.log_softmax(-1, Kind::Float); // [B, n]
        let probability = log_probability.exp(); // [B, n]
        ActionDraw {
            log_prob: expectation(&probability, &log_probability), // −entropy
            actions: Actions::Weighted(probability),
        }
    }

    /// Inverse transform sampling: the first action whose cumulative probability exceeds the noise.
    fn explore(&self, _params: &Params, inputs: &Tensor, noise: &Tensor) -> Tensor {
        let cumulative = inputs.softmax(-1, Kind::Float).cumsum(-1, Kind::Float); // [B, n]
        let below = cumulative
            .le_tensor(noise)
            .sum_dim_intlist([-1i64].as_slice(), false, Kind::Int64); // [B]
        // Rounding may make the last cumulative probability slightly less than 1.
        self.positions.tuples(&below.clamp_max(self.count - 1))
    }

    fn mode(&self, _params: &Params, inputs: &Tensor) -> Tensor {
        self.positions.tuples(&inputs.argmax(-1, false))
    }

    fn trace(&self, tracer: &mut Tracer, inputs: Value, is_drawn: bool) -> Result<Value> {
        let joint = match is_drawn {
            true => {
                let (len, distribution) = (1, Distribution::Uniform);
                let noise = tracer.add(Op::Noise { len, distribution }, &[])?;
                tracer.add(Op::DrawIndex, &[inputs, noise])?
            }
            false => {
                let sizes = vec![self.count as usize];
                tracer.add(Op::Greatest { sizes }, &[inputs])?
            }
        };
        match self.positions.sizes() {
            sizes if sizes.len() == 1 => Ok(joint),
            sizes => tracer.add(Op::Unravel { sizes }, &[joint]),
        }
    }

    fn encode(&self, actions: &Tensor) -> Tensor {
        self.positions.joint(actions)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sac_envs::Space;

    fn head(n: usize) -> Categorical {
        Categorical::new(Positions::of(&Space::Discrete { n }).expect("discrete")).expect("few")
    }

    fn weighted(draw: ActionDraw) -> (Tensor, Tensor) {
        match draw.actions {
            Actions::Weighted(probability) => (probability, draw.log_prob),
            Actions::Sampled(_) => panic!("a categorical policy gives probabilities"),
        }
    }

    #[test]
    fn probabilities_sum_to_one_and_the_log_probability_is_minus_the_entropy() {
        // exp() of the last row's logits overflows.
        let inputs = Tensor::from_slice(&[0.0f32, 0.0, 0.0, 1.0, -2.0, 0.5, 300.0, -500.0, 299.0]).view([3, 3]);
        let draw = head(3).draw(
            &Params::default(),
            &inputs,
            &Tensor::zeros([3, 1], (Kind::Float, Device::Cpu)),
        );
        let (probability, log_prob) = weighted(draw);
        for (row, logits) in [[0.0, 0.0, 0.0], [1.0, -2.0, 0.5], [300.0, -500.0, 299.0]]
            .iter()
            .enumerate()
        {
            let largest = logits.iter().copied().fold(f64::MIN, f64::max);
            let total: f64 = logits.iter().map(|l| (l - largest).exp()).sum();
            let log_pi = logits.map(|l| l - largest - total.ln());
            let row = row as i64;
            let sum: f64 = (0..3).map(|action| probability.double_value(&[row, action])).sum();
            assert!((sum - 1.0).abs() < 1e-6, "{sum}");
            let expected: f64 = log_pi.iter().map(|l| l.exp() * l).sum();
            let actual = log_prob.double_value(&[row]);
            assert!((actual - expected).abs() < 1e-6, "row {row}: {actual} {expected}");
        }
    }

    #[test]
    fn inverse_transform_sampling_gives_each_action_its_part_of_the_unit_interval() {
        let inputs = Tensor::from_slice(&[0.5f32.ln(), 0.2f32.ln(), 0.3f32.ln()])
            .view([1, 3])
            .expand([6, 3], false);
        let noise = Tensor::from_slice(&[0.0f32, 0.499, 0.501, 0.699, 0.701, 1.0 - f32::EPSILON / 2.0]).view([6, 1]);
        let actions: Vec<f32> = head(3)
            .explore(&Params::default(), &inputs, &noise)
            .flatten(0, -1)
            .try_into()
            .expect("numbers");
        assert_eq!(actions, [0.0, 0.0, 1.0, 1.0, 2.0, 2.0]);
    }
}
