//! `HumanoidStandup-v5`: a robot of human shape stands up.

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

/// The task `HumanoidStandup-v5` with its options.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HumanoidStandup {
    /// Name or path of the model file.
    pub xml_file: String,
    /// Number of simulation steps per control step.
    pub frame_skip: u32,
    /// Weight of the height, without effect: Gymnasium 1.4.0 accepts it and does not use it.
    pub uph_cost_weight: f64,
    /// Weight of the cost |a|².
    pub ctrl_cost_weight: f64,
    /// Weight of the cost |f|² of all contact forces.
    pub impact_cost_weight: f64,
    /// Bounds to which the cost of contacts is clipped.
    pub impact_cost_range: [f64; 2],
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

impl Default for HumanoidStandup {
    fn default() -> Self {
        HumanoidStandup {
            xml_file: "humanoidstandup.xml".into(),
            frame_skip: 5,
            uph_cost_weight: 1.0,
            ctrl_cost_weight: 0.1,
            impact_cost_weight: 5e-7,
            impact_cost_range: [f64::NEG_INFINITY, 10.0],
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
pub struct StandupParts {
    timestep_s: f64,
}

impl HumanoidStandup {
    fn seen(&self) -> Seen {
        Seen {
            plane: !self.exclude_current_positions_from_observation,
            cinert: self.include_cinert_in_observation,
            cvel: self.include_cvel_in_observation,
            qfrc_actuator: self.include_qfrc_actuator_in_observation,
            cfrc_ext: self.include_cfrc_ext_in_observation,
        }
    }
}

impl Task for HumanoidStandup {
    const ID: &'static str = "HumanoidStandup-v5";
    type Parts = StandupParts;

    fn model(&self) -> ModelChoice<'_> {
        ModelChoice {
            xml_file: &self.xml_file,
            frame_skip: self.frame_skip,
        }
    }

    fn check(&self) -> Result<(), BadOption> {
        task::check_finite("uph_cost_weight", self.uph_cost_weight)?;
        task::check_finite("ctrl_cost_weight", self.ctrl_cost_weight)?;
        task::check_finite("impact_cost_weight", self.impact_cost_weight)?;
        task::check_range("impact_cost_range", self.impact_cost_range)?;
        task::check_scale("reset_noise_scale", self.reset_noise_scale)
    }

    fn find_parts(&self, model: &MjModel) -> Result<StandupParts, BadOption> {
        task::check_model(model, Needs::AtLeast(3), Needs::AtLeast(6))?;
        Ok(StandupParts {
            timestep_s: model.ffi().opt.timestep,
        })
    }

    fn uses_contact_forces(&self) -> bool {
        true
    }

    fn start(&self, _: &StandupParts, rng: &mut NumpyRng, position: &mut [f64], velocity: &mut [f64]) {
        task::add_uniform(rng, self.reset_noise_scale, position);
        task::add_uniform(rng, self.reset_noise_scale, velocity);
    }

    fn transition(&self, parts: &StandupParts, step: &Step<'_>) -> Transition {
        // The height divided by the time step of the simulation, as in Gymnasium; this is not a speed.
        let up = step.data.qpos()[2] / parts.timestep_s;
        let control = self.ctrl_cost_weight * numpy::sum_of_squares(step.data.ctrl());
        let impact = self.impact_cost_weight * numpy::sum_of_squares(step.data.cfrc_ext().as_flattened());
        let [low, high] = self.impact_cost_range;
        Transition {
            reward: up - control - task::clip(impact, low, high) + 1.0,
            terminated: false,
        }
    }

    fn camera(&self) -> Camera {
        Camera::oblique(0.6, 3.2)
    }

    fn observe(&self, _: &StandupParts, data: &Data, obs: &mut Observation<'_>) {
        self.seen().observe(data, obs);
    }

    fn manual(&self) -> Manual {
        Manual {
            description: "A body of human shape, with 17 motors in waist, hips, knees, shoulders and elbows, lies on \
                its back and must stand up."
                .into(),
            observation: self.seen().rows(),
            action: rows::motors(&MOTORS, MOTOR_RANGE),
            reward_range: task::ANY_REWARD,
            reward: format!(
                "(height of the torso, in m) / (time step of the simulation, in s) - {} × |a|² - {} × |f|² + 1, the \
                 third term clipped to {:?}; f are all contact forces.",
                self.ctrl_cost_weight, self.impact_cost_weight, self.impact_cost_range
            ),
            start: format!(
                "Positions, angles, orientation and velocities uniform within ±{} of the robot lying on its back, at \
                 rest.",
                self.reset_noise_scale
            ),
            end: "Truncated after 1000 steps. Never terminated.".into(),
            source: "Gymnasium 1.4.0, mujoco/humanoidstandup_v5.py; after Y. Tassa, T. Erez and E. Todorov (2012)."
                .into(),
        }
    }
}

pub(super) fn entry() -> EnvEntry {
    entry::entry::<HumanoidStandup>("Stand up from the ground with a body of human shape", 1000)
}
