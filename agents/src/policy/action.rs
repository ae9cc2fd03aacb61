//! The actions that policies give to critics: [`ActionDraw`], [`ActionKind`].

use tch::{Kind, Tensor};

/// The representation of actions for critics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActionKind {
    /// A vector that is an input of the critic: the coordinates of a box, or one-hot vectors through which gradients
    /// pass.
    Vector {
        /// W, numbers per action.
        width: i64,
    },
    /// One of n actions; the critic has an output for each.
    Enumerated {
        /// n, the number of actions.
        count: i64,
    },
}

/// Actions of a policy: drawn actions, or the probability of every action.
pub enum Actions {
    /// `[B, W]`: one drawn action per row, encoded for critics.
    Sampled(Tensor),
    /// `[B, n]`: the probability of every action, from which expectations are computed exactly.
    Weighted(Tensor),
}

/// Actions of a policy with their log-probability.
pub struct ActionDraw {
    /// The actions.
    pub actions: Actions,
    /// `[B]`, nats: the log-density of the drawn action with respect to the normalised box; for discrete actions the
    /// expected log-probability.
    pub log_prob: Tensor,
}

impl ActionDraw {
    /// The given actions `[B, W]` with log-probability 0, for evaluating a critic at them.
    pub fn given(action: Tensor) -> Self {
        ActionDraw {
            log_prob: Tensor::zeros(action.size()[0], (Kind::Float, action.device())),
            actions: Actions::Sampled(action),
        }
    }

    /// The drawn actions `[B, W]`; `None` if the policy enumerates its actions.
    pub fn drawn(&self) -> Option<&Tensor> {
        match &self.actions {
            Actions::Sampled(action) => Some(action),
            Actions::Weighted(_) => None,
        }
    }

    /// The drawn actions `[B, W]`.
    ///
    /// # Panics
    /// When the policy enumerates its actions. The checks of [`crate::AgentSpec`] reject configurations in which a
    /// critic that needs drawn actions meets such a policy.
    pub fn sampled(&self) -> &Tensor {
        match &self.actions {
            Actions::Sampled(action) => action,
            Actions::Weighted(_) => panic!("this critic needs drawn actions: checked in the specification"),
        }
    }
}

/// The expectation `Σ_a π(a)·x(a)` of every row. `probability` and `values` are `[B, n]`, the result is `[B]`.
pub fn expectation(probability: &Tensor, values: &Tensor) -> Tensor {
    (probability * values).sum_dim_intlist([-1i64].as_slice(), false, Kind::Float)
}
