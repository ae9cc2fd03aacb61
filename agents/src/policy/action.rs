//! Actions as policies give them and critics take them: [`ActionDraw`], [`ActionKind`].

use tch::{Kind, Tensor};

/// How critics see actions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActionKind {
    /// As numbers that they take as input: a box, or one-hot vectors through which gradients pass.
    Vector {
        /// W.
        width: i64,
    },
    /// As one of several, each with an output of its own.
    Enumerated {
        /// n.
        count: i64,
    },
}

/// What a policy would do: drawn actions, or the probability of each.
pub enum Actions {
    /// `[B, W]`: one action per row, in the coordinates that critics take.
    Sampled(Tensor),
    /// `[B, n]`: the probability of every action; expectations are exact.
    Weighted(Tensor),
}

/// Actions of a policy, with their density.
pub struct ActionDraw {
    /// Drawn or weighted.
    pub actions: Actions,
    /// `[B]`, nats: of the drawn action, with respect to the normalised box; for discrete actions its expectation.
    pub log_prob: Tensor,
}

impl ActionDraw {
    /// Given actions `[B, W]`, as if there were no others: for asking a critic about them.
    pub fn given(action: Tensor) -> Self {
        ActionDraw {
            log_prob: Tensor::zeros(action.size()[0], (Kind::Float, action.device())),
            actions: Actions::Sampled(action),
        }
    }

    /// The drawn actions `[B, W]`.
    ///
    /// # Panics
    /// When the policy enumerates: configurations in which that could happen are refused before anything is built.
    pub fn sampled(&self) -> &Tensor {
        match &self.actions {
            Actions::Sampled(action) => action,
            Actions::Weighted(_) => panic!("this critic needs drawn actions; the specification's checks refuse others"),
        }
    }
}

/// `Σ_a π(a)·x(a)` per row: `probability` and `values` are `[B, n]`, the result `[B]`.
pub fn expectation(probability: &Tensor, values: &Tensor) -> Tensor {
    (probability * values).sum_dim_intlist([-1i64].as_slice(), false, Kind::Float)
}
