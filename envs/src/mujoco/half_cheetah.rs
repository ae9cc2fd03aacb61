//! `HalfCheetah-v5`: a planar runner with six motors.

use mujoco_rs::wrappers::mj_model::MjModel;
use serde::{Deserialize, Serialize};

use super::engine::Data;
use super::entry;
use super::numpy;
use super::rows::{self, Joint, Kind};
use super::scene::Camera;
use super::task::{self, BadOption, ModelChoice, Needs, Observation, Step, Task};
use crate::{EnvEntry, Manual, NumpyRng, Transition};

/// The task `HalfCheetah-v5` with its options.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HalfCheetah {
    /// Name or path of the model file.
    pub xml_file: String,
    /// Number of simulation steps per control step.
    pub frame_skip: u32,
    /// Reward per m/s of speed.
    pub forward_reward_weight: f64,
    /// Weight of the cost |a|².
    pub ctrl_cost_weight: f64,
    /// Half the width of the uniform noise on start positions, and the standard deviation of the normal noise on
    /// velocities.
    pub reset_noise_scale: f64,
    /// Whether the observation omits the position along the track.
    pub exclude_current_positions_from_observation: bool,
}

impl Default for HalfCheetah {
    fn default() -> Self {
        HalfCheetah {
            xml_file: "half_cheetah.xml".into(),
            frame_skip: 5,
            forward_reward_weight: 1.0,
            ctrl_cost_weight: 0.1,
            reset_noise_scale: 0.1,
            exclude_current_positions_from_observation: true,
        }
    }
}

const JOINTS: [Joint; 9] = [
    (Kind::Slide, "torso along the track"),
    (Kind::Slide, "torso upwards"),
    (Kind::Hinge, "torso (pitch)"),
    (Kind::Hinge, "back thigh"),
    (Kind::Hinge, "back shin"),
    (Kind::Hinge, "back foot"),
    (Kind::Hinge, "front thigh"),
    (Kind::Hinge, "front shin"),
    (Kind::Hinge, "front foot"),
];

const MOTORS: [(&str, f64); 6] = [
    ("back thigh", 120.0),
    ("back shin", 90.0),
    ("back foot", 60.0),
    ("front thigh", 120.0),
    ("front shin", 60.0),
    ("front foot", 30.0),
];

impl HalfCheetah {
    /// Number of positions that the observation omits.
    fn skipped(&self) -> usize {
        usize::from(self.exclude_current_positions_from_observation)
    }
}

impl Task for HalfCheetah {
    const ID: &'static str = "HalfCheetah-v5";
    type Parts = ();

    fn model(&self) -> ModelChoice<'_> {
        ModelChoice {
            xml_file: &self.xml_file,
            frame_skip: self.frame_skip,
        }
    }

    fn check(&self) -> Result<(), BadOption> {
        task::check_finite("forward_reward_weight", self.forward_reward_weight)?;
        task::check_finite("ctrl_cost_weight", self.ctrl_cost_weight)?;
        task::check_scale("reset_noise_scale", self.reset_noise_scale)
    }

    fn find_parts(&self, model: &MjModel) -> Result<(), BadOption> {
        task::check_model(model, Needs::AtLeast(1), Needs::AtLeast(1))
    }

    fn start(&self, _: &(), rng: &mut NumpyRng, position: &mut [f64], velocity: &mut [f64]) {
        task::add_uniform(rng, self.reset_noise_scale, position);
        task::add_normal(rng, self.reset_noise_scale, velocity);
    }

    fn tracked(&self, _: &(), data: &Data) -> [f64; 2] {
        [data.qpos()[0], 0.0]
    }

    fn transition(&self, _: &(), step: &Step<'_>) -> Transition {
        let forward = self.forward_reward_weight * step.x_velocity();
        Transition {
            reward: forward - numpy::control_cost(self.ctrl_cost_weight, step.action),
            terminated: false,
        }
    }

    fn camera(&self) -> Camera {
        Camera::side(0.45, 3.0)
    }

    fn observe(&self, _: &(), data: &Data, obs: &mut Observation<'_>) {
        obs.extend(&data.qpos()[self.skipped()..]);
        obs.extend(data.qvel());
    }

    fn manual(&self) -> Manual {
        Manual {
            description:
                "A planar two-legged animal with six motors, in the thighs, shins and feet, runs along a track. It \
                cannot fall to the side. Episodes continue when it lies on its back, and some agents learn to run like \
                that."
                    .into(),
            observation: [rows::positions(&JOINTS[self.skipped()..]), rows::velocities(&JOINTS)].concat(),
            action: rows::motors(&MOTORS, 1.0),
            reward_range: task::ANY_REWARD,
            reward: format!(
                "{} × (speed along the track, in m/s) - {} × |a|².",
                self.forward_reward_weight, self.ctrl_cost_weight
            ),
            start: format!(
                "Positions and angles uniform within ±{0} of the model's, velocities normal with standard deviation {0}.",
                self.reset_noise_scale
            ),
            end: "Truncated after 1000 steps. Never terminated.".into(),
            source: "Gymnasium 1.4.0, mujoco/half_cheetah_v5.py; after P. Wawrzyński (2009).".into(),
        }
    }
}

pub(super) fn entry() -> EnvEntry {
    entry::entry::<HalfCheetah>("Run forward with two legs in a plane", 1000)
}
