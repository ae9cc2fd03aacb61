//! The actor's objective: [`ActorObjective`].

use tch::{Kind, Tensor};

use super::{combination::Combination, value_function::ValueFunction};
use crate::{
    noise::Stream,
    policy::{ActionDraw, Actions, expectation},
};

/// The actor's objective: the mean of each member's first outputs, reduced over members by minimum or mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ActorObjective {
    /// Reduction over members.
    pub combination: Combination,
    /// Number of outputs of each member that are averaged, at least 1.
    pub outputs: usize,
}

impl ActorObjective {
    /// The first output, reduced over members.
    pub fn first(combination: Combination) -> Self {
        ActorObjective {
            combination,
            outputs: 1,
        }
    }

    /// The objective `[B]` for `draw` at `obs [B, …]`. Gradients reach the draw but not the parameters of `q`.
    pub fn value(self, q: &ValueFunction, obs: &Tensor, draw: &ActionDraw, stream: &mut Stream) -> Tensor {
        match &draw.actions {
            Actions::Sampled(action) => q.value(obs, action, stream, &|out| self.reduce(out)),
            Actions::Weighted(probability) => {
                let all = q.of_all_actions(obs, stream).select(-1, 0); // [E, B, n]
                expectation(probability, &self.combination.apply(&all))
            }
        }
    }

    /// Reduces outputs `[E, B, K]` to the objective `[B]`.
    fn reduce(self, out: &Tensor) -> Tensor {
        if self.outputs == 1 {
            return self.combination.apply(&out.select(-1, 0));
        }
        let first = out.narrow(-1, 0, self.outputs as i64); // [E, B, outputs]
        let mean_over = |dims: &[i64]| first.mean_dim(dims, false, Kind::Float);
        match self.combination {
            Combination::Mean => mean_over(&[0, 2]),
            Combination::Min => self.combination.apply(&mean_over(&[2])),
        }
    }
}
