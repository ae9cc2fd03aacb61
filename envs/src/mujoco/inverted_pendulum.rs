//! `InvertedPendulum-v5`: balance a pole on a cart.

use mujoco_rs::wrappers::mj_model::MjModel;
use serde::{Deserialize, Serialize};

use super::engine::Data;
use super::entry;
use super::rows::{self, Joint, Kind};
use super::scene::Camera;
use super::task::{self, BadOption, ModelChoice, Needs, Observation, Step, Task};
use crate::manual::Row;
use crate::{EnvEntry, Manual, NumpyRng, Transition};

/// The task `InvertedPendulum-v5` with its options.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct InvertedPendulum {
    /// Name or path of the model file.
    pub xml_file: String,
    /// Number of simulation steps per control step.
    pub frame_skip: u32,
    /// Half the width of the uniform noise on the start state.
    pub reset_noise_scale: f64,
}

impl Default for InvertedPendulum {
    fn default() -> Self {
        InvertedPendulum {
            xml_file: "inverted_pendulum.xml".into(),
            frame_skip: 2,
            reset_noise_scale: 0.01,
        }
    }
}

/// Angle from upright beyond which the pole counts as fallen.
const FALLEN_RAD: f64 = 0.2;

const JOINTS: [Joint; 2] = [(Kind::Slide, "cart along the rail"), (Kind::Hinge, "pole from upright")];

impl Task for InvertedPendulum {
    const ID: &'static str = "InvertedPendulum-v5";
    type Parts = ();

    fn model(&self) -> ModelChoice<'_> {
        ModelChoice {
            xml_file: &self.xml_file,
            frame_skip: self.frame_skip,
        }
    }

    fn check(&self) -> Result<(), BadOption> {
        task::check_scale("reset_noise_scale", self.reset_noise_scale)
    }

    fn find_parts(&self, model: &MjModel) -> Result<(), BadOption> {
        task::check_model(model, Needs::Exactly(2), Needs::Exactly(2))
    }

    fn start(&self, _: &(), rng: &mut NumpyRng, position: &mut [f64], velocity: &mut [f64]) {
        task::add_uniform(rng, self.reset_noise_scale, position);
        task::add_uniform(rng, self.reset_noise_scale, velocity);
    }

    fn transition(&self, _: &(), step: &Step<'_>) -> Transition {
        let terminated = step.data.qpos()[1].abs() > FALLEN_RAD;
        Transition {
            reward: if terminated { 0.0 } else { 1.0 },
            terminated,
        }
    }

    fn camera(&self) -> Camera {
        Camera {
            elevation_deg: 0.0,
            ..Camera::side(0.25, 2.4).fixed()
        }
    }

    fn observe(&self, _: &(), data: &Data, obs: &mut Observation<'_>) {
        obs.extend(data.qpos());
        obs.extend(data.qvel());
    }

    fn manual(&self) -> Manual {
        Manual {
            description: "A pole stands on a cart on a rail. Forces on the cart must keep the pole upright. This is the \
                simplest of the MuJoCo tasks: an agent should balance the pole for a whole episode after a few thousand \
                steps."
                .into(),
            observation: [rows::positions(&JOINTS), rows::velocities(&JOINTS)].concat(),
            action: vec![Row::new("force on the cart, in units of 100 N", "1", -3.0, 3.0)],
            reward_range: [0.0, 1.0],
            reward: "1 per step while the pole stands, 0 on the step that ends the episode.".into(),
            start: format!(
                "Position, angle and both velocities uniform within ±{} of the upright pole at rest.",
                self.reset_noise_scale
            ),
            end: format!("Terminated when the pole leans by more than {FALLEN_RAD} rad. Truncated after 1000 steps."),
            source:
                "Gymnasium 1.4.0, mujoco/inverted_pendulum_v5.py; after A. Barto, R. Sutton and C. Anderson (1983)."
                    .into(),
        }
    }
}

pub(super) fn entry() -> EnvEntry {
    entry::entry::<InvertedPendulum>("Balance a pole on a cart, simulated by MuJoCo", 1000)
}
