//! `InvertedDoublePendulum-v5`: balance two poles, one on the other, on a cart.

use mujoco_rs::wrappers::mj_model::MjModel;
use serde::{Deserialize, Serialize};

use super::engine::Data;
use super::entry;
use super::numpy;
use super::rows;
use super::scene::Camera;
use super::task::{self, BadOption, ModelChoice, Needs, Observation, Step, Task};
use crate::manual::Row;
use crate::{EnvEntry, Manual, NumpyRng, Transition};

/// The task `InvertedDoublePendulum-v5` with its options.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct InvertedDoublePendulum {
    /// Name or path of the model file.
    pub xml_file: String,
    /// Number of simulation steps per control step.
    pub frame_skip: u32,
    /// Reward per step while the poles stand.
    pub healthy_reward: f64,
    /// Half the width of the uniform noise on start positions, and the standard deviation of the normal noise on
    /// velocities.
    pub reset_noise_scale: f64,
}

impl Default for InvertedDoublePendulum {
    fn default() -> Self {
        InvertedDoublePendulum {
            xml_file: "inverted_double_pendulum.xml".into(),
            frame_skip: 5,
            healthy_reward: 10.0,
            reset_noise_scale: 0.1,
        }
    }
}

/// Height of the upper tip at or below which the poles count as fallen.
const FALLEN_M: f64 = 1.0;
/// Limit to which velocities and the force on the cart are clipped in the observation.
const LIMIT: f64 = 10.0;

impl Task for InvertedDoublePendulum {
    const ID: &'static str = "InvertedDoublePendulum-v5";
    type Parts = ();

    fn model(&self) -> ModelChoice<'_> {
        ModelChoice {
            xml_file: &self.xml_file,
            frame_skip: self.frame_skip,
        }
    }

    fn check(&self) -> Result<(), BadOption> {
        task::check_finite("healthy_reward", self.healthy_reward)?;
        task::check_scale("reset_noise_scale", self.reset_noise_scale)
    }

    fn find_parts(&self, model: &MjModel) -> Result<(), BadOption> {
        task::check_model(model, Needs::Exactly(3), Needs::Exactly(3))?;
        if model.ffi().nsite == 0 {
            return Err(task::unsuitable(
                "this task needs a site at the upper tip, the model has none".into(),
            ));
        }
        Ok(())
    }

    fn start(&self, _: &(), rng: &mut NumpyRng, position: &mut [f64], velocity: &mut [f64]) {
        task::add_uniform(rng, self.reset_noise_scale, position);
        task::add_normal(rng, self.reset_noise_scale, velocity);
    }

    fn transition(&self, _: &(), step: &Step<'_>) -> Transition {
        let [x, _, y] = step.data.site_xpos()[0];
        let velocity = step.data.qvel();
        let terminated = y <= FALLEN_M;
        let alive = if terminated { 0.0 } else { self.healthy_reward };
        let far = 0.01 * numpy::pow_2(x) + numpy::pow_2(y - 2.0);
        let fast = 0.001 * numpy::pow_2(velocity[1]) + 0.005 * numpy::pow_2(velocity[2]);
        Transition {
            reward: alive - far - fast,
            terminated,
        }
    }

    fn camera(&self) -> Camera {
        Camera {
            elevation_deg: 0.0,
            ..Camera::side(0.55, 2.8).fixed()
        }
    }

    fn observe(&self, _: &(), data: &Data, obs: &mut Observation<'_>) {
        let position = data.qpos();
        obs.push(position[0]);
        obs.extend(&[position[1].sin(), position[2].sin()]);
        obs.extend(&[position[1].cos(), position[2].cos()]);
        obs.extend_clipped(data.qvel(), -LIMIT, LIMIT);
        obs.extend_clipped(&data.qfrc_constraint()[..1], -LIMIT, LIMIT);
    }

    fn manual(&self) -> Manual {
        let clipped = vec![
            rows::free("velocity: cart along the rail", "m/s"),
            rows::free("angular velocity: lower pole", "rad/s"),
            rows::free("angular velocity: between the poles", "rad/s"),
            rows::free("force of the rail's stops on the cart", "N"),
        ];
        Manual {
            description: "A pole stands on a cart, and a second pole on the first. Pushing the cart along its rail \
                keeps both upright."
                .into(),
            observation: vec![
                rows::free("position: cart along the rail", "m"),
                rows::ratio("sine of the lower pole's angle from upright"),
                rows::ratio("sine of the angle between the poles"),
                rows::ratio("cosine of the lower pole's angle from upright"),
                rows::ratio("cosine of the angle between the poles"),
            ]
            .into_iter()
            .chain(rows::clipped(clipped, -LIMIT, LIMIT))
            .collect(),
            action: vec![Row::new("force on the cart, in units of 500 N", "1", -1.0, 1.0)],
            reward_range: [f64::NEG_INFINITY, self.healthy_reward.max(0.0)],
            reward: format!(
                "{} while the poles stand - 0.01 x² - (y - 2)² - 0.001 ω₁² - 0.005 ω₂², with the position (x, y) of the \
                 upper tip in m and the two angular velocities in rad/s.",
                self.healthy_reward
            ),
            start: format!(
                "Position and angles uniform within ±{0} of the upright poles, velocities normal with standard \
                 deviation {0}.",
                self.reset_noise_scale
            ),
            end: format!("Terminated when the upper tip is at {FALLEN_M} m or lower. Truncated after 1000 steps."),
            source: "Gymnasium 1.4.0, mujoco/inverted_double_pendulum_v5.py.".into(),
        }
    }
}

pub(super) fn entry() -> EnvEntry {
    entry::entry::<InvertedDoublePendulum>("Balance two poles on a cart, one upon the other", 1000)
}
