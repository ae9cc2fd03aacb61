//! Probes: tasks so small that the right answer is known on paper.
//!
//! An agent that fails one of them has a defect, and the probe says where to look. Each file gives the closed form.
//! Observations are one number, actions of P1 to P9 one number, those of D1 to D3 discrete; γ is the discount and α the
//! temperature (0 unless said otherwise).
//!
//! | | id | what must come out | what it catches |
//! |---|---|---|---|
//! | P1 | `ProbeConstant-v0` | Q = 1 | the wiring of the loss, learning rates |
//! | P2 | `ProbeTwoStep-v0` | Q(start) = γ | discount, successor |
//! | P3 | `ProbeSign-v0` | Q = observation | encoder, normaliser |
//! | P4 | `ProbeTarget-v0` | mode = 0.3 | the actor's gradient, action scale |
//! | P5 | `ProbeEndless-v0`, `ProbeEnding-v0` | Q = 1/(1 − γ) and 1/(1 − 0.8 γ) | truncated taken for terminated |
//! | P6 | `ProbeQuadratic-v0` | std = √(α / 2k) | entropy's sign, log-density, log-std taken for std |
//! | P7 | `ProbeNoisy-v0` | returns ~ N(1, 0.5²) | distributional losses |
//! | P8 | `ProbeFlat-v0` | entropy = ln 2, learned α → 0; with P6's reward: entropy = target, α = 2kσ² | the temperature's sign and units |
//! | P9 | `ProbeTorque-v0` | mode = 0.3, normalised | rescaling, stored units |
//! | D1 | `ProbeChoice-v0` | policy = softmax(reward / α) | log-probabilities, expectations over actions |
//! | D2 | `ProbeFork-v0` | Q(start) = γ α ln Σ exp(reward / α) | entropy of the next action, indices |
//! | D3 | `ProbePair-v0` | policy = product of two softmaxes | joint indices, entropies of positions |

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
