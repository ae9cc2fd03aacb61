//! `Walker2d-v5`: a planar biped walks forward.

use mujoco_rs::wrappers::mj_model::MjModel;
use serde::{Deserialize, Serialize};

use super::engine::Data;
use super::entry;
use super::numpy;
use super::rows::{self, Joint, Kind};
use super::scene::Camera;
use super::task::{self, BadOption, ModelChoice, Needs, Observation, Step, Task};
use crate::{EnvEntry, Manual, NumpyRng, Transition};

/// The task `Walker2d-v5` with its options.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Walker2d {
    /// Name or path of the model file.
    pub xml_file: String,
    /// Number of simulation steps per control step.
    pub frame_skip: u32,
    /// Reward per m/s of speed.
    pub forward_reward_weight: f64,
    /// Weight of the cost |a|².
    pub ctrl_cost_weight: f64,
    /// Reward per healthy step.
    pub healthy_reward: f64,
    /// Whether an episode ends when the robot is not healthy.
    pub terminate_when_unhealthy: bool,
    /// Range of healthy heights of the torso, in m.
    pub healthy_z_range: [f64; 2],
    /// Range of healthy pitch angles of the torso, in rad.
    pub healthy_angle_range: [f64; 2],
    /// Half the width of the uniform noise on the start state.
    pub reset_noise_scale: f64,
    /// Whether the observation omits the position along the track.
    pub exclude_current_positions_from_observation: bool,
}

impl Default for Walker2d {
    fn default() -> Self {
        Walker2d {
            xml_file: "walker2d_v5.xml".into(),
            frame_skip: 4,
            forward_reward_weight: 1.0,
            ctrl_cost_weight: 0.001,
            healthy_reward: 1.0,
            terminate_when_unhealthy: true,
            healthy_z_range: [0.8, 2.0],
            healthy_angle_range: [-1.0, 1.0],
            reset_noise_scale: 0.005,
            exclude_current_positions_from_observation: true,
        }
    }
}

const JOINTS: [Joint; 9] = [
    (Kind::Slide, "torso along the track"),
    (Kind::Slide, "torso upwards"),
    (Kind::Hinge, "torso (pitch)"),
    (Kind::Hinge, "right hip"),
    (Kind::Hinge, "right knee"),
    (Kind::Hinge, "right ankle"),
    (Kind::Hinge, "left hip"),
    (Kind::Hinge, "left knee"),
    (Kind::Hinge, "left ankle"),
];

const MOTORS: [(&str, f64); 6] = [
    ("right hip", 100.0),
    ("right knee", 100.0),
    ("right ankle", 100.0),
    ("left hip", 100.0),
    ("left knee", 100.0),
    ("left ankle", 100.0),
];

/// Limit to which velocities are clipped in the observation, in m/s and rad/s.
const VELOCITY_LIMIT: f64 = 10.0;

impl Walker2d {
    /// Number of positions that the observation omits.
    fn skipped(&self) -> usize {
        usize::from(self.exclude_current_positions_from_observation)
    }

    fn is_healthy(&self, data: &Data) -> bool {
        let inside = |x: f64, [low, high]: [f64; 2]| low < x && x < high;
        inside(data.qpos()[1], self.healthy_z_range) && inside(data.qpos()[2], self.healthy_angle_range)
    }
}

impl Task for Walker2d {
    const ID: &'static str = "Walker2d-v5";
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
        task::check_finite("healthy_reward", self.healthy_reward)?;
        task::check_range("healthy_z_range", self.healthy_z_range)?;
        task::check_range("healthy_angle_range", self.healthy_angle_range)?;
        task::check_scale("reset_noise_scale", self.reset_noise_scale)
    }

    fn find_parts(&self, model: &MjModel) -> Result<(), BadOption> {
        task::check_model(model, Needs::AtLeast(3), Needs::AtLeast(1))
    }

    fn start(&self, _: &(), rng: &mut NumpyRng, position: &mut [f64], velocity: &mut [f64]) {
        task::add_uniform(rng, self.reset_noise_scale, position);
        task::add_uniform(rng, self.reset_noise_scale, velocity);
    }

    fn tracked(&self, _: &(), data: &Data) -> [f64; 2] {
        [data.qpos()[0], 0.0]
    }

    fn transition(&self, _: &(), step: &Step<'_>) -> Transition {
        let healthy = self.is_healthy(step.data);
        let forward = self.forward_reward_weight * step.x_velocity();
        let survived = if healthy { self.healthy_reward } else { 0.0 };
        Transition {
            reward: forward + survived - numpy::control_cost(self.ctrl_cost_weight, step.action),
            terminated: !healthy && self.terminate_when_unhealthy,
        }
    }

    fn camera(&self) -> Camera {
        Camera::side(0.8, 3.0)
    }

    fn observe(&self, _: &(), data: &Data, obs: &mut Observation<'_>) {
        obs.extend(&data.qpos()[self.skipped()..]);
        obs.extend_clipped(data.qvel(), -VELOCITY_LIMIT, VELOCITY_LIMIT);
    }

    fn manual(&self) -> Manual {
        let fallen = if self.terminate_when_unhealthy {
            "Terminated when it is not healthy. "
        } else {
            "Never terminated. "
        };
        Manual {
            description: "Two legs with hip, knee and ankle each, under a torso, walk along a track.".into(),
            observation: [
                rows::positions(&JOINTS[self.skipped()..]),
                rows::clipped(rows::velocities(&JOINTS), -VELOCITY_LIMIT, VELOCITY_LIMIT),
            ]
            .concat(),
            action: rows::motors(&MOTORS, 1.0),
            reward_range: task::ANY_REWARD,
            reward: format!(
                "{} × (speed along the track, in m/s) + {} while healthy - {} × |a|². Healthy: height within {:?} m, pitch within \
                 {:?} rad.",
                self.forward_reward_weight,
                self.healthy_reward,
                self.ctrl_cost_weight,
                self.healthy_z_range,
                self.healthy_angle_range
            ),
            start: format!(
                "Positions, angles and velocities uniform within ±{} of both legs standing straight at 1.25 m, at rest.",
                self.reset_noise_scale
            ),
            end: format!("{fallen}Truncated after 1000 steps."),
            source: "Gymnasium 1.4.0, mujoco/walker2d_v5.py; after T. Erez, Y. Tassa and E. Todorov (2011).".into(),
        }
    }
}

pub(super) fn entry() -> EnvEntry {
    entry::entry::<Walker2d>("Walk forward on two legs in a plane", 1000)
}
