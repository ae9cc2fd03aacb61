//! The reduction of an ensemble to one value: [`Combination`].

use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

/// A reduction over the members of an ensemble.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Combination {
    /// The minimum (SAC 2018b, section 4.2).
    Min,
    /// The mean (REDQ, algorithm 1).
    Mean,
}

impl Combination {
    /// Reduces `[E, …]` to `[…]`.
    pub fn apply(self, members: &Tensor) -> Tensor {
        match self {
            Combination::Min => members.min_dim(0, false).0,
            Combination::Mean => members.mean_dim([0i64].as_slice(), false, Kind::Float),
        }
    }
}
