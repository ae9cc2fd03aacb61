//! A baseline for the speed of updates: [`Products`], the matrix products of an update in libtorch, without biases,
//! activations, normalisation, losses and optimisers.

use sac_agents::{
    AgentSpec, Compute, SoftActorCritic,
    critic::{CriticSpec, ScalarSpec, scalar::TargetMembers},
    nn::MemberLinear,
    noise::Stream,
    policy::ActionKind,
};
use sac_envs::Space;
use tch::{Device, Tensor};

use super::rate::rate;
use crate::error::Result;

/// Duration of the measurement of the yardstick, seconds.
const YARDSTICK_S: f64 = 0.5;

/// A speed by which figures of different machines can be compared: how often per second this one does the products of
/// an update of SAC on one thread, with a batch of 256, two hidden layers of 256, 17 numbers per observation and 6 per
/// action.
pub fn yardstick() -> Result<f64> {
    tch::set_num_threads(1);
    let (observation, action) = (Space::unbounded(17), Space::boxed(6, -1.0, 1.0));
    let (spec, compute) = (AgentSpec::default(), Compute::with_threads(1));
    let agent = SoftActorCritic::new(&spec, "bench", (&observation, &action), 0, compute)?;
    let mut stream = Stream::derive(0, "bench.yardstick", 0);
    let mut products = Products::of(&agent, &spec, 256, &mut stream).expect("SAC's networks are linear layers");
    Ok(rate(YARDSTICK_S, || products.update()))
}

/// The matrix products of an update.
pub struct Products {
    /// Passes of every update.
    of_update: Vec<Pass>,
    /// Passes of a step of the policy.
    of_policy: Vec<Pass>,
    /// Updates per step of the policy.
    policy_every: u64,
    updates: u64,
    /// Inputs and gradients of layers, a tensor `[rows, width]` of every size.
    tensors: Vec<Tensor>,
}

/// The weights `[in, out]` of a network's linear layers, in the order of a pass.
type Weights = Vec<Tensor>;

/// A pass of `rows` rows through a network, and the gradients that follow it.
struct Pass {
    weights: Weights,
    rows: i64,
    of_weights: bool,
    of_input: bool,
}

impl Products {
    /// The products of an update of `agent`, which was built from `spec`, with batches of `rows`; `None` if it has an
    /// encoder with products of its own. An optimistic policy is left out.
    pub fn of(agent: &SoftActorCritic, spec: &AgentSpec, rows: i64, stream: &mut Stream) -> Option<Self> {
        let (encoding, _) = agent.policy().multiply_adds();
        if encoding > 0 {
            return None;
        }
        let policy = weights(&agent.policy().linear_layers(), stream).remove(0);
        let functions = &agent.critic().functions;
        let members: Vec<Vec<Weights>> = functions
            .iter()
            .map(|function| weights(&function.network.linear_layers(), stream))
            .collect();

        let mut of_update = Vec::new();
        // Targets are a state value, if there is one, and else the value of an action that the policy draws.
        let target = functions.len() - 1;
        if target == 0 {
            of_update.push(Pass::forward(&policy, rows));
        }
        let in_target = match &spec.critic {
            CriticSpec::Scalar(ScalarSpec {
                target_members: TargetMembers::Random(count),
                ..
            }) => *count as usize,
            _ => members[target].len(),
        };
        for (function, members) in functions.iter().zip(&members) {
            // Batch normalisation takes (s, a) and (s', a') in one pass; without target parameters, in the same.
            let is_joint = function.network.normalizes_by_batch();
            let rows = if is_joint { 2 * rows } else { rows };
            let is_target = std::ptr::eq(function, &functions[target]) && !(is_joint && function.target.is_none());
            let targets = members.iter().take(if is_target { in_target } else { 0 });
            of_update.extend(targets.map(|weights| Pass::forward(weights, rows)));
            of_update.extend(members.iter().map(|weights| Pass::forward(weights, rows).learning()));
        }
        // Of enumerated actions, the objective needs all values, and no gradient of them.
        let through_critics = matches!(agent.policy().actions(), ActionKind::Vector { .. });
        let mut of_policy = vec![Pass::forward(&policy, rows).learning()];
        of_policy.extend(members[0].iter().map(|weights| Pass {
            of_input: through_critics,
            ..Pass::forward(weights, rows)
        }));

        let mut sizes: Vec<[i64; 2]> = of_update.iter().chain(&of_policy).flat_map(Pass::sizes).collect();
        sizes.sort_unstable();
        sizes.dedup();
        Some(Products {
            of_update,
            of_policy,
            policy_every: spec.delay.policy,
            updates: 0,
            tensors: sizes.iter().map(|size| stream.normal(size, Device::Cpu)).collect(),
        })
    }

    /// Does the products of an update once.
    pub fn update(&mut self) {
        let _guard = tch::no_grad_guard();
        self.of_update.iter().for_each(|pass| pass.run(&self.tensors));
        self.updates += 1;
        if self.updates.is_multiple_of(self.policy_every) {
            self.of_policy.iter().for_each(|pass| pass.run(&self.tensors));
        }
    }
}

/// Weights of every member of a network.
fn weights(layers: &[&MemberLinear], stream: &mut Stream) -> Vec<Weights> {
    let of_member = |_| {
        let sizes = layers.iter().map(|layer| layer.extents());
        sizes
            .map(|(inputs, outputs)| stream.normal(&[inputs, outputs], Device::Cpu))
            .collect()
    };
    (0..layers[0].members()).map(of_member).collect()
}

impl Pass {
    /// A pass without gradients.
    fn forward(weights: &Weights, rows: i64) -> Self {
        Pass {
            weights: weights.iter().map(Tensor::shallow_clone).collect(),
            rows,
            of_weights: false,
            of_input: false,
        }
    }

    /// The same pass followed by the gradients of the weights.
    fn learning(self) -> Self {
        Pass {
            of_weights: true,
            ..self
        }
    }

    /// The sizes of the inputs and outputs of its layers.
    fn sizes(&self) -> Vec<[i64; 2]> {
        self.weights
            .iter()
            .flat_map(Tensor::size)
            .map(|width| [self.rows, width])
            .collect()
    }

    fn run(&self, tensors: &[Tensor]) {
        let sized = |width: i64| {
            let found = tensors.iter().find(|tensor| tensor.size() == [self.rows, width]);
            found.expect("there is a tensor of every size")
        };
        for weight in &self.weights {
            drop(sized(weight.size()[0]).matmul(weight));
        }
        for (index, weight) in self.weights.iter().enumerate() {
            let size = weight.size();
            let (input, gradient) = (sized(size[0]), sized(size[1]));
            if self.of_weights {
                drop(input.tr().matmul(gradient));
            }
            // Gradients of hidden units lead to the weights before them, or to the input.
            if self.of_input || (self.of_weights && index > 0) {
                drop(gradient.matmul(&weight.tr()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::preset_layers, registry::Catalog};

    /// Multiply-adds of passes per row of the batch.
    fn multiply_adds(passes: &[Pass], rows: i64) -> i64 {
        let of_pass = |pass: &Pass| -> i64 {
            let layers = pass.weights.iter().map(Tensor::numel).enumerate();
            let of_layer = |(index, weights): (usize, usize)| {
                let to_input = pass.of_input || (pass.of_weights && index > 0);
                weights as i64 * (1 + i64::from(pass.of_weights) + i64::from(to_input)) * pass.rows / rows
            };
            layers.map(of_layer).sum()
        };
        passes.iter().map(of_pass).sum()
    }

    /// Multiply-adds of an update and of a step of the policy, per row, for 3 numbers per observation and 1 per action.
    fn of_preset(algo: &str, sets: &[&str]) -> (i64, i64, u64) {
        let mut layers = preset_layers(algo).expect("a preset");
        for setting in sets {
            layers.set_text(setting).expect("a setting");
        }
        let (settings, issues) = layers.read(&Catalog::default());
        assert!(issues.is_empty(), "{issues:?}");
        let spaces = (Space::unbounded(3), Space::boxed(1, -1.0, 1.0));
        let spec = settings.agent;
        let agent = SoftActorCritic::new(&spec, "bench", (&spaces.0, &spaces.1), 0, Compute::with_threads(1));
        let mut stream = Stream::derive(0, "bench", 0);
        let agent = agent.expect("an agent");
        let mut products = Products::of(&agent, &spec, 8, &mut stream).expect("linear layers");
        (0..2 * products.policy_every).for_each(|_| products.update());
        let update = multiply_adds(&products.of_update, 8);
        (update, multiply_adds(&products.of_policy, 8), products.policy_every)
    }

    #[test]
    fn products_of_an_update_are_those_of_its_passes() {
        let narrow = ["agent.body.hidden=[5]"];
        // A critic has 4·5 + 5·1 weights and the policy 3·5 + 5·2. Gradients of weights cost as much as a pass, and those
        // of hidden units as much as the layer after them.
        let (critic, policy) = (25, 25);
        let (learn_critic, learn_policy) = (2 * critic + 5, 2 * policy + 10);
        let expected = (policy + 2 * (critic + learn_critic), learn_policy + 2 * 2 * critic, 1);
        assert_eq!(of_preset("sac", &narrow), expected);

        // A state value of 3·5 + 5·1 weights gives the targets, so no next action is drawn.
        let (value, learn_value) = (20, 2 * 20 + 5);
        let expected = (value + learn_value + 2 * learn_critic, learn_policy + 2 * 2 * critic, 1);
        assert_eq!(of_preset("sac-v1", &narrow), expected);
    }

    #[test]
    fn targets_use_the_members_and_parameters_that_the_settings_name() {
        let narrow = ["agent.body.hidden=[5]", "agent.critic.members=4"];
        let (critic, policy) = (25, 25);
        let (update, _, policy_every) = of_preset("redq", &narrow);
        assert_eq!(update, policy + 2 * critic + 4 * (2 * critic + 5), "two random members");
        assert_eq!(policy_every, 20);

        // One pass of both halves of a joint batch, and no target parameters.
        let narrow = ["agent.body.hidden=[5]", "agent.critic_body.hidden=[5]"];
        let (update, ..) = of_preset("crossq", &narrow);
        assert_eq!(update, policy + 2 * 2 * (2 * critic + 5));
    }
}
