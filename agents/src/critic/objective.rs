//! The actor's objective: [`ActorObjective`].

use tch::{Kind, Tensor};

use super::{combination::Combination, support::Support, value_function::ValueFunction};
use crate::{
    noise::Stream,
    policy::{ActionDraw, Actions, expectation},
};

/// The actor's objective: a value of each member, reduced over members by minimum or mean.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ActorObjective {
    /// Reduction over members.
    pub combination: Combination,
    /// The value of a member.
    pub value: MemberValue,
}

/// The value of a member, from its outputs `[…, K]`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum MemberValue {
    /// The mean of the first outputs, at least one.
    Mean {
        /// Number of outputs that are averaged.
        outputs: usize,
    },
    /// The expectation over a support, with the outputs as logits.
    Expectation(Support),
}

impl MemberValue {
    /// The values `[…]` of outputs `[…, K]`.
    pub fn of(self, out: &Tensor) -> Tensor {
        match self {
            MemberValue::Mean { outputs: 1 } => out.select(-1, 0),
            MemberValue::Mean { outputs } => {
                let first = out.narrow(-1, 0, outputs as i64); // […, outputs]
                first.mean_dim([-1i64].as_slice(), false, Kind::Float)
            }
            MemberValue::Expectation(support) => support.expectation(&out.softmax(-1, Kind::Float)),
        }
    }
}

impl ActorObjective {
    /// The first output, reduced over members.
    pub fn first(combination: Combination) -> Self {
        ActorObjective {
            combination,
            value: MemberValue::Mean { outputs: 1 },
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

    /// Middle and `optimism []` half-widths of the members' interval, for outputs `[E, B, K]`: `[B]`, averaged over the
    /// outputs that are averaged anyway.
    pub(super) fn optimistic(self, out: &Tensor, optimism: &Tensor) -> Tensor {
        let values = match self.value {
            MemberValue::Mean { outputs } => out.narrow(-1, 0, outputs as i64), // [E, B, outputs]
            MemberValue::Expectation(_) => self.value.of(out).unsqueeze(-1),    // [E, B, 1]
        };
        let (high, low) = (values.max_dim(0, false).0, values.min_dim(0, false).0);
        let upper = (&high + &low) * 0.5 + (high - low) * 0.5 * optimism;
        upper.mean_dim([-1i64].as_slice(), false, Kind::Float)
    }

    /// Reduces outputs `[E, B, K]` to the objective `[B]`.
    fn reduce(self, out: &Tensor) -> Tensor {
        match (self.combination, self.value) {
            // One mean over both dimensions.
            (Combination::Mean, MemberValue::Mean { outputs }) if outputs > 1 => {
                let first = out.narrow(-1, 0, outputs as i64); // [E, B, outputs]
                first.mean_dim([0i64, 2].as_slice(), false, Kind::Float)
            }
            (combination, value) => combination.apply(&value.of(out)),
        }
    }
}
