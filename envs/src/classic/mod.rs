//! Classic control tasks, bit for bit as in Gymnasium 1.4.0 from the same seed and actions.
//!
//! Gymnasium's numbers are Python's, so each file says which of its operations run in single precision: a `float32`
//! scalar and a Python number make a `float32`, a `float32` and a `float64` scalar make a `float64` (NumPy 2).

mod mountain_car_continuous;
mod pendulum;

use crate::EnvEntry;

pub use mountain_car_continuous::MountainCarContinuous;
pub use pendulum::Pendulum;

/// The tasks of this family.
pub(crate) fn entries() -> Vec<EnvEntry> {
    [pendulum::entry(), mountain_car_continuous::entry()]
        .map(|entry| entry.with_family("classic"))
        .into()
}
