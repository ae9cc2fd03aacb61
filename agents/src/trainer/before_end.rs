//! What the end of a run replaces: [`BeforeEnd`].

use serde::{Deserialize, Serialize};

use crate::schedule::EnvSteps;

/// What a last row and a last evaluation have replaced, which were made only because the run ended. If the run is made
/// longer, this holds again: it is then as if it had not ended there.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BeforeEnd {
    pub(super) best_mean_return: Option<f64>,
    pub(super) last_evaluation: Option<(EnvSteps, f64)>,
    pub(super) last_row: Option<EnvSteps>,
}
