//! Acting for a few observations without libtorch: [`Acting`].
//!
//! For a single row libtorch takes ten times as long. Most of this time is spent on cache misses in libtorch's own code
//! after an update.

use std::cell::RefCell;

use super::{
    dense::Dense,
    squashed_gaussian::{self, Bounds},
};
use crate::{nn::Params, noise::Stream};

/// Number of rows from which products over panels are faster.
pub(super) const MIN_PANEL_ROWS: i64 = 16;

/// A policy with the identity encoder, a multi-layer perceptron and a squashed Gaussian.
pub(crate) struct Acting {
    pub(super) dense: Dense,
    pub(super) bounds: Bounds,
    pub(super) action_dim: usize,
}

impl Acting {
    /// Whether this path is the fastest for `rows` rows.
    pub(crate) fn serves(&self, rows: usize) -> bool {
        (rows as i64) < MIN_PANEL_ROWS
    }

    /// Writes actions `[rows, A]` for `obs [rows, O]`: drawn with noise from `stream`, or the mode if there is none.
    pub(crate) fn act(&self, params: &Params, obs: &[f32], stream: Option<&mut Stream>, actions: &mut [f32]) {
        thread_local! {
            static NOISE: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
        }
        NOISE.with_borrow_mut(|drawn| {
            drawn.resize(actions.len(), 0.0);
            let noise = stream.map(|stream| {
                stream.normal_into(drawn);
                &drawn[..]
            });
            self.dense.at_few_rows(params, obs, |inputs| {
                squashed_gaussian::act(inputs, noise, self.bounds, self.action_dim, actions);
            });
        });
    }
}
