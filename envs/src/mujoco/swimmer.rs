//! `Swimmer-v5`: three links swim by pushing a viscous fluid.

use mujoco_rs::wrappers::mj_model::MjModel;
use serde::{Deserialize, Serialize};

use super::engine::Data;
use super::entry;
use super::numpy;
use super::rows::{self, Joint, Kind};
use super::scene::{Camera, Follow};
use super::task::{self, BadOption, ModelChoice, Needs, Observation, Step, Task};
use crate::{EnvEntry, Manual, NumpyRng, Transition};

/// The task `Swimmer-v5` with its options.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Swimmer {
    /// Name or path of the model file.
    pub xml_file: String,
    /// Number of simulation steps per control step.
    pub frame_skip: u32,
    /// Reward per m/s of speed.
    pub forward_reward_weight: f64,
    /// Weight of the cost |a|².
    pub ctrl_cost_weight: f64,
    /// Half the width of the uniform noise on the start state.
    pub reset_noise_scale: f64,
    /// Whether the observation omits the position in the plane.
    pub exclude_current_positions_from_observation: bool,
}

impl Default for Swimmer {
    fn default() -> Self {
        Swimmer {
            xml_file: "swimmer.xml".into(),
            frame_skip: 4,
            forward_reward_weight: 1.0,
            ctrl_cost_weight: 0.0001,
            reset_noise_scale: 0.1,
            exclude_current_positions_from_observation: true,
        }
    }
}

const JOINTS: [Joint; 5] = [
    (Kind::Slide, "front tip along x"),
    (Kind::Slide, "front tip along y"),
    (Kind::Hinge, "front link"),
    (Kind::Hinge, "first motor"),
    (Kind::Hinge, "second motor"),
];

const MOTORS: [(&str, f64); 2] = [("first motor", 150.0), ("second motor", 150.0)];

impl Swimmer {
    /// Number of positions that the observation omits.
    fn skipped(&self) -> usize {
        if self.exclude_current_positions_from_observation {
            2
        } else {
            0
        }
    }
}

impl Task for Swimmer {
    const ID: &'static str = "Swimmer-v5";
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
        task::check_model(model, Needs::AtLeast(2), Needs::AtLeast(1))
    }

    fn start(&self, _: &(), rng: &mut NumpyRng, position: &mut [f64], velocity: &mut [f64]) {
        task::add_uniform(rng, self.reset_noise_scale, position);
        task::add_uniform(rng, self.reset_noise_scale, velocity);
    }

    fn tracked(&self, _: &(), data: &Data) -> [f64; 2] {
        [data.qpos()[0], data.qpos()[1]]
    }

    fn transition(&self, _: &(), step: &Step<'_>) -> Transition {
        let forward = self.forward_reward_weight * step.x_velocity();
        Transition {
            reward: forward - numpy::control_cost(self.ctrl_cost_weight, step.action),
            terminated: false,
        }
    }

    fn camera(&self) -> Camera {
        Camera {
            follows: Follow::Xy,
            ..Camera::above([-0.5, 0.0, 0.0], 5.0)
        }
    }

    fn observe(&self, _: &(), data: &Data, obs: &mut Observation<'_>) {
        obs.extend(&data.qpos()[self.skipped()..]);
        obs.extend(data.qvel());
    }

    fn manual(&self) -> Manual {
        Manual {
            description:
                "Three links in a row, joined by two motors, swim along x in a viscous fluid. Good policies need a \
                long horizon: with a discount of 0.99 most agents end up with a slow one."
                    .into(),
            observation: [rows::positions(&JOINTS[self.skipped()..]), rows::velocities(&JOINTS)].concat(),
            action: rows::motors(&MOTORS, 1.0),
            reward_range: task::ANY_REWARD,
            reward: format!(
                "{} × (speed of the front tip along x, in m/s) - {} × |a|².",
                self.forward_reward_weight, self.ctrl_cost_weight
            ),
            start: format!(
                "Positions, angles and velocities uniform within ±{} of the straight swimmer at rest.",
                self.reset_noise_scale
            ),
            end: "Truncated after 1000 steps. Never terminated.".into(),
            source: "Gymnasium 1.4.0, mujoco/swimmer_v5.py; after R. Coulom (2002).".into(),
        }
    }
}

pub(super) fn entry() -> EnvEntry {
    entry::entry::<Swimmer>("Swim forward with three links and two motors", 1000)
}
