//! `Humanoid-v5`: a robot of human shape walks forward.

use mujoco_rs::wrappers::mj_model::MjModel;
use serde::{Deserialize, Serialize};

use super::engine::Data;
use super::entry;
use super::humanoid_body::{MOTOR_RANGE, MOTORS, Seen};
use super::numpy;
use super::rows;
use super::scene::Camera;
use super::task::{self, BadOption, ModelChoice, Needs, Observation, Step, Task};
use crate::{EnvEntry, Manual, NumpyRng, Transition};

/// The task `Humanoid-v5` with its options.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Humanoid {
    /// Name or path of the model file.
    pub xml_file: String,
    /// Number of simulation steps per control step.
    pub frame_skip: u32,
    /// Reward per m/s of speed.
    pub forward_reward_weight: f64,
    /// Weight of the cost |a|².
    pub ctrl_cost_weight: f64,
    /// Weight of the cost |f|² of all contact forces.
    pub contact_cost_weight: f64,
    /// Bounds to which the cost of contacts is clipped.
    pub contact_cost_range: [f64; 2],
    /// Reward per healthy step.
    pub healthy_reward: f64,
    /// Whether an episode ends when the robot is not healthy.
    pub terminate_when_unhealthy: bool,
    /// Range of healthy heights of the torso, in m.
    pub healthy_z_range: [f64; 2],
    /// Half the width of the uniform noise on the start state.
    pub reset_noise_scale: f64,
    /// Whether the observation omits the position in the plane.
    pub exclude_current_positions_from_observation: bool,
    /// Whether the observation includes mass and inertia of each body.
    pub include_cinert_in_observation: bool,
    /// Whether the observation includes the velocity of each body.
    pub include_cvel_in_observation: bool,
    /// Whether the observation includes the motors' forces on each joint.
    pub include_qfrc_actuator_in_observation: bool,
    /// Whether the observation includes the contact forces on each body.
    pub include_cfrc_ext_in_observation: bool,
}

impl Default for Humanoid {
    fn default() -> Self {
        Humanoid {
            xml_file: "humanoid.xml".into(),
            frame_skip: 5,
            forward_reward_weight: 1.25,
            ctrl_cost_weight: 0.1,
            contact_cost_weight: 5e-7,
            contact_cost_range: [f64::NEG_INFINITY, 10.0],
            healthy_reward: 5.0,
            terminate_when_unhealthy: true,
            healthy_z_range: [1.0, 2.0],
            reset_noise_scale: 0.01,
            exclude_current_positions_from_observation: true,
            include_cinert_in_observation: true,
            include_cvel_in_observation: true,
            include_qfrc_actuator_in_observation: true,
            include_cfrc_ext_in_observation: true,
        }
    }
}

/// The parts of the model that the task uses.
pub struct HumanoidParts {
    mass_kg: Vec<f64>,
    total_mass_kg: f64,
}

impl Humanoid {
    fn seen(&self) -> Seen {
        Seen {
            plane: !self.exclude_current_positions_from_observation,
            cinert: self.include_cinert_in_observation,
            cvel: self.include_cvel_in_observation,
            qfrc_actuator: self.include_qfrc_actuator_in_observation,
            cfrc_ext: self.include_cfrc_ext_in_observation,
        }
    }

    fn is_healthy(&self, data: &Data) -> bool {
        let [low, high] = self.healthy_z_range;
        let z = data.qpos()[2];
        low < z && z < high
    }
}

impl Task for Humanoid {
    const ID: &'static str = "Humanoid-v5";
    type Parts = HumanoidParts;

    fn model(&self) -> ModelChoice<'_> {
        ModelChoice {
            xml_file: &self.xml_file,
            frame_skip: self.frame_skip,
        }
    }

    fn check(&self) -> Result<(), BadOption> {
        task::check_finite("forward_reward_weight", self.forward_reward_weight)?;
        task::check_finite("ctrl_cost_weight", self.ctrl_cost_weight)?;
        task::check_finite("contact_cost_weight", self.contact_cost_weight)?;
        task::check_range("contact_cost_range", self.contact_cost_range)?;
        task::check_finite("healthy_reward", self.healthy_reward)?;
        task::check_range("healthy_z_range", self.healthy_z_range)?;
        task::check_scale("reset_noise_scale", self.reset_noise_scale)
    }

    fn find_parts(&self, model: &MjModel) -> Result<HumanoidParts, BadOption> {
        task::check_model(model, Needs::AtLeast(3), Needs::AtLeast(6))?;
        Ok(HumanoidParts {
            mass_kg: model.body_mass().to_vec(),
            total_mass_kg: numpy::sum(model.body_mass()),
        })
    }

    fn uses_contact_forces(&self) -> bool {
        true
    }

    fn start(&self, _: &HumanoidParts, rng: &mut NumpyRng, position: &mut [f64], velocity: &mut [f64]) {
        task::add_uniform(rng, self.reset_noise_scale, position);
        task::add_uniform(rng, self.reset_noise_scale, velocity);
    }

    /// The centre of mass. Bodies are summed one after the other, as in `np.einsum`.
    fn tracked(&self, parts: &HumanoidParts, data: &Data) -> [f64; 2] {
        let mut moment = [0.0; 2];
        for (mass, place) in parts.mass_kg.iter().zip(data.xipos()) {
            moment[0] += mass * place[0];
            moment[1] += mass * place[1];
        }
        moment.map(|x| x / parts.total_mass_kg)
    }

    fn transition(&self, _: &HumanoidParts, step: &Step<'_>) -> Transition {
        let healthy = self.is_healthy(step.data);
        let forward = self.forward_reward_weight * step.x_velocity();
        let survived = if healthy { self.healthy_reward } else { 0.0 };
        // Unlike in the other tasks, the control cost is computed in double precision.
        let control = self.ctrl_cost_weight * numpy::sum_of_squares(step.data.ctrl());
        let contact = self.contact_cost_weight * numpy::sum_of_squares(step.data.cfrc_ext().as_flattened());
        let [low, high] = self.contact_cost_range;
        Transition {
            reward: forward + survived - (control + task::clip(contact, low, high)),
            terminated: !healthy && self.terminate_when_unhealthy,
        }
    }

    fn camera(&self) -> Camera {
        Camera::oblique(0.8, 3.0)
    }

    fn observe(&self, _: &HumanoidParts, data: &Data, obs: &mut Observation<'_>) {
        self.seen().observe(data, obs);
    }

    fn manual(&self) -> Manual {
        let fallen = if self.terminate_when_unhealthy {
            "Terminated when it is not healthy. "
        } else {
            "Never terminated. "
        };
        Manual {
            description: "A body of human shape, with 17 motors in waist, hips, knees, shoulders and elbows, walks \
                along x without falling."
                .into(),
            observation: self.seen().rows(),
            action: rows::motors(&MOTORS, MOTOR_RANGE),
            reward_range: task::ANY_REWARD,
            reward: format!(
                "{} × (speed of the centre of mass along x, in m/s) + {} while healthy - {} × |a|² - {} × |f|², the last \
                 term clipped to {:?}; f are all contact forces. Healthy: height within {:?} m.",
                self.forward_reward_weight,
                self.healthy_reward,
                self.ctrl_cost_weight,
                self.contact_cost_weight,
                self.contact_cost_range,
                self.healthy_z_range
            ),
            start: format!(
                "Positions, angles, orientation and velocities uniform within ±{} of the robot standing at 1.4 m, at rest.",
                self.reset_noise_scale
            ),
            end: format!("{fallen}Truncated after 1000 steps."),
            source: "Gymnasium 1.4.0, mujoco/humanoid_v5.py; after Y. Tassa, T. Erez and E. Todorov (2012).".into(),
        }
    }
}

pub(super) fn entry() -> EnvEntry {
    entry::entry::<Humanoid>("Walk forward with a body of human shape", 1000)
}
