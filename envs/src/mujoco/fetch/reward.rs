//! [`RewardType`]: how the Fetch tasks reward.

use serde::{Deserialize, Serialize};

use crate::mujoco::numpy;

/// How a step is rewarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RewardType {
    /// 0 at the goal and -1 elsewhere.
    Sparse,
    /// Minus the distance to the goal in m.
    Dense,
}

/// Distance at which a goal counts as reached.
pub(super) const TOLERANCE_M: f64 = 0.05;

impl RewardType {
    /// The reward at this distance from the goal. The sparse one at the goal is -0.0, as in Gymnasium-Robotics.
    pub(super) fn of(self, distance_m: f64) -> f64 {
        match self {
            RewardType::Sparse => -f64::from(u8::from(distance_m > TOLERANCE_M)),
            RewardType::Dense => -distance_m,
        }
    }
}

/// The distance of two points.
pub(super) fn distance_m(a: [f64; 3], b: [f64; 3]) -> f64 {
    numpy::norm_along_axis(&[a[0] - b[0], a[1] - b[1], a[2] - b[2]])
}
