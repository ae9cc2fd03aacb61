//! Spaces that several probes share.

use crate::Space;

/// The observation space of a probe without a state. The observation never varies, so a network can only learn a
/// constant.
pub(super) fn constant_observation() -> Space {
    Space::boxed(1, 1.0, 1.0)
}

/// The action space [-1, 1], which needs no rescaling.
pub(super) fn unit_action() -> Space {
    Space::boxed(1, -1.0, 1.0)
}
