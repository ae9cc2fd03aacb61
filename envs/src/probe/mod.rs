//! Probes: tasks so small that the solution is known in closed form.
//!
//! An agent that does not find the solution of a probe has a defect; the table says where to look. Each file derives
//! the solution. An observation is one number. Actions of P1 to P9 are one number, those of D1 to D3 are discrete. γ is
//! the discount and α the temperature (0 unless stated).
//!
//! | | id | solution | defects that it shows |
//! |---|---|---|---|
//! | P1 | `ProbeConstant-v0` | Q = 1 | in the loss, learning rates |
//! | P2 | `ProbeTwoStep-v0` | Q(start) = γ | in the discount, the successor |
//! | P3 | `ProbeSign-v0` | Q = observation | in the encoder, the normaliser |
//! | P4 | `ProbeTarget-v0` | mode = 0.3 | in the actor's gradient, the action scale |
//! | P5 | `ProbeEndless-v0`, `ProbeEnding-v0` | Q = 1/(1 − γ) and 1/(1 − 0.8 γ) | truncation treated as termination |
//! | P6 | `ProbeQuadratic-v0` | std = √(α / 2k) | in the entropy's sign, the log-density; log-std used as std |
//! | P7 | `ProbeNoisy-v0` | returns ~ N(1, 0.5²) | in distributional losses |
//! | P8 | `ProbeFlat-v0` | entropy = ln 2, learned α → 0; with P6's reward: entropy = target, α = 2kσ² | in the temperature's sign and units |
//! | P9 | `ProbeTorque-v0` | mode = 0.3, normalised | in rescaling, stored units |
//! | D1 | `ProbeChoice-v0` | policy = softmax(reward / α) | in log-probabilities, expectations over actions |
//! | D2 | `ProbeFork-v0` | Q(start) = γ α ln Σ exp(reward / α) | in the entropy of the next action, indices |
//! | D3 | `ProbePair-v0` | policy = product of two softmaxes | in joint indices, entropies of positions |

mod bandit;
mod choice;
mod constant;
mod endless;
mod noisy;
mod sign;
mod spaces;
mod two_step;

use crate::EnvEntry;

pub use bandit::{Flat, Quadratic, Target, Torque};
pub use choice::{Choice, Fork, Pair, Place};
pub use constant::Constant;
pub use endless::{Ending, Endless};
pub use noisy::Noisy;
pub use sign::Sign;
pub use two_step::TwoStep;

/// The tasks of this family.
pub(crate) fn entries() -> Vec<EnvEntry> {
    let groups = [
        constant::entries(),
        two_step::entries(),
        sign::entries(),
        bandit::entries(),
        endless::entries(),
        noisy::entries(),
        choice::entries(),
    ];
    groups
        .into_iter()
        .flatten()
        .map(|entry| entry.with_family("probe"))
        .collect()
}
