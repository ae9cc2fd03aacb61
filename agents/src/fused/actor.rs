//! The actor's step over slices: forward and backward through policy and critic.

use tch::Tensor;

use super::{
    layers::Layers,
    squashed_gaussian::{self, Bounds},
};
use crate::{
    critic::{ActorObjective, Combination, LearnedCritic, MemberValue, Support},
    noise::Stream,
    policy::Policy,
    report::MetricValue,
    slices::as_slice,
};

/// The fused actor's step: the layers of policy and critic, and the bounds of log σ.
pub(super) struct FusedActor {
    pub(super) policy: Layers,
    pub(super) critic: Layers,
    pub(super) bounds: Bounds,
}

impl FusedActor {
    /// Makes one step of the policy on the mean of α·log π − v. Returns the loss, and the log-probabilities `[B]`.
    pub(super) fn learn(
        &self,
        policy: &mut Policy,
        critic: &LearnedCritic,
        obs: &Tensor,
        alpha: f32,
        stream: &mut Stream,
    ) -> (MetricValue, Tensor) {
        let _guard = tch::no_grad_guard();
        let rows = obs.size()[0];
        let noise = policy.noise(rows, stream);
        let params = policy.trainable.constants();
        let features = policy.features(&params, obs);
        let (inputs, body_tape) = self.policy.forward_taped(&params, &features, None);
        let (draw, head_tape) = squashed_gaussian::draw(&inputs, &noise, self.bounds);
        let (value, of_action) = self.value_with_gradient(critic, obs, draw.sampled(), stream);
        let losses = as_slice(&draw.log_prob)
            .iter()
            .zip(&value)
            .map(|(log_prob, value)| f64::from(alpha * log_prob - value));
        let loss = (losses.sum::<f64>() / rows as f64) as f32;

        let rows = rows as f32;
        let of_inputs = head_tape.backward(&of_action, -1.0 / rows, alpha / rows);
        policy
            .trainable
            .step_with(|gradient| body_tape.to_params(&params, &of_inputs, gradient));
        (loss.into(), draw.log_prob)
    }

    /// The actor's objective `[B]` at `action` `[B, A]`, and its gradient `[B, A]` with respect to `action`.
    fn value_with_gradient(
        &self,
        critic: &LearnedCritic,
        obs: &Tensor,
        action: &Tensor,
        stream: &mut Stream,
    ) -> (Vec<f32>, Vec<f32>) {
        let q = critic.q();
        let params = q.online.params.frozen();
        let x = q.network.input(params, obs, action, None);
        let (out, tape) = self.critic.forward_taped(params, &x, Some(stream)); // [E, B, K]
        let (value, of_out) = reduce_with_gradient(critic.actor_objective(), &out);
        let features = q.network.features() as usize;
        let of_action = tape.to_input(params, &of_out, features..self.critic.inputs());
        (value, of_action)
    }
}

/// The objective `[B]` of outputs `[E, B, K]`, and its gradient `[E, B, K]` with respect to them.
fn reduce_with_gradient(objective: ActorObjective, out: &Tensor) -> (Vec<f32>, Vec<f32>) {
    let (members, rows, each) = out.size3().expect("outputs are [E, B, K]");
    let (members, rows, each) = (members as usize, rows as usize, each as usize);
    let out = as_slice(out);
    let (mut value, mut gradient) = (vec![0.0; rows], vec![0.0; out.len()]);
    let of_row = |start: usize| &out[start..start + each];
    for (row, value) in value.iter_mut().enumerate() {
        let starts = (0..members).map(|member| (member * rows + row) * each);
        let mut set_gradient = |start: usize, of_value: f32| {
            member_gradient(
                objective.value,
                of_row(start),
                of_value,
                &mut gradient[start..start + each],
            );
        };
        match objective.combination {
            Combination::Min => {
                let mut lowest = (f32::INFINITY, row * each);
                for start in starts {
                    let q = member_value(objective.value, of_row(start));
                    // NaN counts as the smallest, as in libtorch.
                    if q < lowest.0 || (q.is_nan() && !lowest.0.is_nan()) {
                        lowest = (q, start);
                    }
                }
                *value = lowest.0;
                set_gradient(lowest.1, 1.0);
            }
            Combination::Mean => {
                let of_each = 1.0 / members as f32;
                let values = starts.clone().map(|start| member_value(objective.value, of_row(start)));
                *value = values.sum::<f32>() * of_each;
                starts.for_each(|start| set_gradient(start, of_each));
            }
        }
    }
    (value, gradient)
}

/// The value of a member with outputs `out` `[K]` in a row.
fn member_value(value: MemberValue, out: &[f32]) -> f32 {
    match value {
        MemberValue::Mean { outputs } => out[..outputs].iter().sum::<f32>() * (1.0 / outputs as f32),
        MemberValue::Expectation(support) => expectation(support, out).0,
    }
}

/// Writes `of_value` times the gradient of [`member_value`] with respect to `out` `[K]` to `gradient` `[K]`.
fn member_gradient(value: MemberValue, out: &[f32], of_value: f32, gradient: &mut [f32]) {
    match value {
        MemberValue::Mean { outputs } => gradient[..outputs].fill(1.0 / outputs as f32 * of_value),
        // ∂v/∂x_k = p_k (z_k − v)
        MemberValue::Expectation(support) => {
            let (mean, total, largest) = expectation(support, out);
            for ((gradient, x), z) in gradient.iter_mut().zip(out).zip(support.iter()) {
                *gradient = of_value * (x - largest).exp() / total * (z - mean);
            }
        }
    }
}

/// The expectation over `support` with the logits `out`, the sum of exp(x − largest), and the largest logit.
fn expectation(support: Support, out: &[f32]) -> (f32, f32, f32) {
    let largest = out.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let (mut total, mut sum) = (0.0f32, 0.0f32);
    for (x, z) in out.iter().zip(support.iter()) {
        let weight = (x - largest).exp();
        total += weight;
        sum += weight * z;
    }
    (sum / total, total, largest)
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;

    #[test]
    fn values_and_gradients_equal_those_of_autograd() {
        let mut stream = Stream::derive(1, "test", 0);
        let mean = |outputs| MemberValue::Mean { outputs };
        let support = MemberValue::Expectation(Support {
            min: -2.0,
            max: 3.0,
            atoms: 7,
        });
        for (combination, members, each, value_of) in [
            (Combination::Min, 2, 1, mean(1)),
            (Combination::Min, 3, 2, mean(1)),
            (Combination::Mean, 10, 1, mean(1)),
            (Combination::Mean, 5, 7, mean(7)),
            (Combination::Min, 2, 7, support),
            (Combination::Mean, 3, 7, support),
        ] {
            let out = stream.normal(&[members, 9, each], Device::Cpu).set_requires_grad(true);
            let expected = combination.apply(&value_of.of(&out));
            let expected_gradient = Tensor::run_backward(&[expected.sum(Kind::Float)], &[&out], false, false).remove(0);
            let objective = ActorObjective {
                combination,
                value: value_of,
            };
            let (value, gradient) = reduce_with_gradient(objective, &out.detach());
            let error = |actual: &[f32], expected: &Tensor| {
                let error = Tensor::from_slice(actual).view_as(expected) - expected;
                error.abs().max().double_value(&[])
            };
            assert!(error(&value, &expected) < 1e-6);
            assert!(error(&gradient, &expected_gradient) < 1e-6);
        }
    }

    #[test]
    fn nan_is_the_smallest() {
        for column in [[1.0f32, f32::NAN], [f32::NAN, 1.0]] {
            let out = Tensor::from_slice(&column).view([2, 1, 1]);
            let objective = ActorObjective::first(Combination::Min);
            assert!(reduce_with_gradient(objective, &out).0[0].is_nan());
        }
    }
}
