//! Classic control tasks, bit for bit as in Gymnasium 1.4.0 from the same seed and actions, and one of our own.
//!
//! Gymnasium's numbers are Python's, so each file says which operations run in single precision. In NumPy 2 an
//! operation on a `float32` scalar and a Python number gives a `float32`; one on a `float32` and a `float64` scalar
//! gives a `float64`.

mod acrobot;
mod cart_pole;
mod cart_pole_swing_up;
mod mountain_car;
mod mountain_car_continuous;
mod numpy_math;
mod pendulum;
mod runge_kutta;
mod valley;

use crate::EnvEntry;

pub use acrobot::{Acrobot, AcrobotState};
pub use cart_pole::{CartPole, CartPoleState};
pub use cart_pole_swing_up::CartPoleSwingUp;
pub use mountain_car::{DiscreteCarState, MountainCar};
pub use mountain_car_continuous::MountainCarContinuous;
pub use pendulum::Pendulum;

/// The tasks of this family.
pub(crate) fn entries() -> Vec<EnvEntry> {
    [
        pendulum::entry(),
        mountain_car_continuous::entry(),
        cart_pole::entry(),
        mountain_car::entry(),
        acrobot::entry(),
        cart_pole_swing_up::entry(),
    ]
    .map(|entry| entry.with_family("classic"))
    .into()
}
