//! A baseline for the speed of updates: [`Products`], the matrix products of one SAC update with two critics, in
//! libtorch, without biases, activations, losses and optimisers.

use sac_agents::{noise::Stream, policy::ActionKind};
use tch::{Device, Tensor};

use super::rate::rate;

/// Duration of the measurement of the yardstick, seconds.
const YARDSTICK_S: f64 = 0.5;

/// A speed by which figures of different machines can be compared: how often per second this one does the products of
/// an update of SAC on one thread, with a batch of 256, two hidden layers of 256, 17 numbers per observation and 6 per
/// action.
pub fn yardstick() -> f64 {
    tch::set_num_threads(1);
    let mut stream = Stream::derive(0, "bench.yardstick", 0);
    let (act_dim, numbers) = (6, 12);
    let actions = ActionKind::Vector { width: act_dim };
    let mut products = Products::new(&[256, 256], (256, 17), (actions, numbers), &mut stream);
    rate(YARDSTICK_S, || products.update())
}

/// The matrix products of an update.
pub struct Products {
    batch: i64,
    /// Layer widths of a critic and of the policy.
    critic: Vec<Tensor>,
    policy: Vec<Tensor>,
    activations: Vec<Tensor>,
    /// Whether the policy's gradient passes through the critics.
    through_critics: bool,
}

impl Products {
    /// For a batch of `b` observations of `o` numbers; the policy's last layer has `numbers` outputs for `actions`.
    pub fn new(hidden: &[i64], (b, o): (i64, i64), (actions, numbers): (ActionKind, i64), stream: &mut Stream) -> Self {
        let weights = |inputs: i64, outputs: i64, stream: &mut Stream| {
            let widths: Vec<i64> = [inputs]
                .into_iter()
                .chain(hidden.iter().copied())
                .chain([outputs])
                .collect();
            widths
                .windows(2)
                .map(|pair| stream.normal(&[pair[0], pair[1]], Device::Cpu))
                .collect::<Vec<_>>()
        };
        let through_critics = matches!(actions, ActionKind::Vector { .. });
        let critic = match actions {
            ActionKind::Vector { width } => weights(o + width, 1, stream),
            ActionKind::Enumerated { count } => weights(o, count, stream),
        };
        let policy = weights(o, numbers, stream);
        let mut widths: Vec<i64> = critic.iter().chain(&policy).flat_map(Tensor::size).collect();
        widths.sort_unstable();
        widths.dedup();
        let activations = widths
            .iter()
            .map(|width| stream.normal(&[b, *width], Device::Cpu))
            .collect();
        Products {
            batch: b,
            critic,
            policy,
            activations,
            through_critics,
        }
    }

    fn activation(&self, width: i64) -> &Tensor {
        let found = self
            .activations
            .iter()
            .find(|tensor| tensor.size() == [self.batch, width]);
        found.expect("there is an activation for every width of a layer")
    }

    fn forward(&self, weights: &[Tensor]) {
        weights
            .iter()
            .for_each(|weight| drop(self.activation(weight.size()[0]).matmul(weight)));
    }

    /// Gradients of weights, of the layers' inputs, or both; the input of the first layer only where `to_input`.
    fn backward(&self, weights: &[Tensor], of_weights: bool, to_input: bool) {
        for (index, weight) in weights.iter().enumerate() {
            let size = weight.size();
            let (input, gradient) = (self.activation(size[0]), self.activation(size[1]));
            if of_weights {
                drop(input.tr().matmul(gradient));
            }
            if index > 0 || to_input {
                drop(gradient.matmul(&weight.tr()));
            }
        }
    }

    /// Does all products of an update once.
    pub fn update(&mut self) {
        let _guard = tch::no_grad_guard();
        self.forward(&self.policy); // a' at s'
        for _ in 0..2 {
            self.forward(&self.critic); // targets
            self.forward(&self.critic); // values
            self.backward(&self.critic, true, false);
        }
        self.forward(&self.policy); // a at s
        for _ in 0..2 {
            self.forward(&self.critic);
            if self.through_critics {
                self.backward(&self.critic, false, true);
            }
        }
        self.backward(&self.policy, true, false);
    }
}
