//! `Ant-v5`: a four-legged robot runs forward.

use mujoco_rs::wrappers::mj_model::MjModel;
use serde::{Deserialize, Serialize};

use super::engine::Data;
use super::entry;
use super::numpy;
use super::rows::{self, Joint, Kind};
use super::scene::Camera;
use super::task::{self, BadOption, ModelChoice, Needs, Observation, Step, Task};
use crate::{EnvEntry, Manual, NumpyRng, Transition};

/// The task `Ant-v5` with its options.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Ant {
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
    /// Reward per healthy step.
    pub healthy_reward: f64,
    /// The body whose speed is rewarded, by its name or its number in the model.
    pub main_body: BodyRef,
    /// Whether an episode ends when the robot is not healthy.
    pub terminate_when_unhealthy: bool,
    /// Range of healthy heights of the torso, in m.
    pub healthy_z_range: [f64; 2],
    /// Bounds to which contact forces are clipped, in N and N m.
    pub contact_force_range: [f64; 2],
    /// Half the width of the uniform noise on start positions, and the standard deviation of the normal noise on
    /// velocities.
    pub reset_noise_scale: f64,
    /// Whether the observation omits the position in the plane.
    pub exclude_current_positions_from_observation: bool,
    /// Whether the observation includes the contact forces on each body.
    pub include_cfrc_ext_in_observation: bool,
}

impl Default for Ant {
    fn default() -> Self {
        Ant {
            xml_file: "ant.xml".into(),
            frame_skip: 5,
            forward_reward_weight: 1.0,
            ctrl_cost_weight: 0.5,
            contact_cost_weight: 0.0005,
            healthy_reward: 1.0,
            main_body: BodyRef::Number(1),
            terminate_when_unhealthy: true,
            healthy_z_range: [0.2, 1.0],
            contact_force_range: [-1.0, 1.0],
            reset_noise_scale: 0.1,
            exclude_current_positions_from_observation: true,
            include_cfrc_ext_in_observation: true,
        }
    }
}

/// Reference to a body of a model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged, expecting = "expected a body's name or number")]
pub enum BodyRef {
    /// Its number; 0 is the world.
    Number(u32),
    /// Its name.
    Name(String),
}

/// The parts of the model that the task uses.
pub struct AntParts {
    main_body: usize,
}

const JOINTS: [Joint; 8] = [
    (Kind::Hinge, "front left hip"),
    (Kind::Hinge, "front left ankle"),
    (Kind::Hinge, "front right hip"),
    (Kind::Hinge, "front right ankle"),
    (Kind::Hinge, "back left hip"),
    (Kind::Hinge, "back left ankle"),
    (Kind::Hinge, "back right hip"),
    (Kind::Hinge, "back right ankle"),
];

const MOTORS: [(&str, f64); 8] = [
    ("back right hip", 150.0),
    ("back right ankle", 150.0),
    ("front left hip", 150.0),
    ("front left ankle", 150.0),
    ("front right hip", 150.0),
    ("front right ankle", 150.0),
    ("back left hip", 150.0),
    ("back left ankle", 150.0),
];

const BODIES: [&str; 13] = [
    "torso",
    "front left stump",
    "front left thigh",
    "front left shin",
    "front right stump",
    "front right thigh",
    "front right shin",
    "back left stump",
    "back left thigh",
    "back left shin",
    "back right stump",
    "back right thigh",
    "back right shin",
];

impl Ant {
    /// Number of positions that the observation omits.
    fn skipped(&self) -> usize {
        if self.exclude_current_positions_from_observation {
            2
        } else {
            0
        }
    }

    fn is_healthy(&self, data: &Data) -> bool {
        let [low, high] = self.healthy_z_range;
        let z = data.qpos()[2];
        data.qpos().iter().chain(data.qvel()).all(|x| x.is_finite()) && low <= z && z <= high
    }

    fn contact_cost(&self, data: &Data) -> f64 {
        let [low, high] = self.contact_force_range;
        let square = |force: f64| {
            let force = task::clip(force, low, high);
            force * force
        };
        self.contact_cost_weight * numpy::pairwise_sum(data.cfrc_ext().as_flattened(), &square)
    }
}

impl Task for Ant {
    const ID: &'static str = "Ant-v5";
    type Parts = AntParts;

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
        task::check_finite("healthy_reward", self.healthy_reward)?;
        task::check_range("healthy_z_range", self.healthy_z_range)?;
        task::check_range("contact_force_range", self.contact_force_range)?;
        task::check_scale("reset_noise_scale", self.reset_noise_scale)
    }

    fn find_parts(&self, model: &MjModel) -> Result<AntParts, BadOption> {
        task::check_model(model, Needs::AtLeast(3), Needs::AtLeast(1))?;
        let bad = |problem: String| BadOption {
            option: "main_body",
            problem,
        };
        let bodies = model.ffi().nbody as usize;
        let main_body = match &self.main_body {
            BodyRef::Name(name) => {
                task::body(model, name).map_err(|_| bad(format!("the model has no body `{name}`")))?
            }
            BodyRef::Number(number) if (*number as usize) < bodies => *number as usize,
            BodyRef::Number(number) => {
                return Err(bad(format!(
                    "the model has bodies 0 to {}, but not {number}",
                    bodies - 1
                )));
            }
        };
        Ok(AntParts { main_body })
    }

    fn uses_contact_forces(&self) -> bool {
        true
    }

    fn start(&self, _: &AntParts, rng: &mut NumpyRng, position: &mut [f64], velocity: &mut [f64]) {
        task::add_uniform(rng, self.reset_noise_scale, position);
        task::add_normal(rng, self.reset_noise_scale, velocity);
    }

    fn tracked(&self, parts: &AntParts, data: &Data) -> [f64; 2] {
        let [x, y, _] = data.xpos()[parts.main_body];
        [x, y]
    }

    fn transition(&self, _: &AntParts, step: &Step<'_>) -> Transition {
        let healthy = self.is_healthy(step.data);
        let forward = step.x_velocity() * self.forward_reward_weight;
        let survived = if healthy { self.healthy_reward } else { 0.0 };
        let costs = numpy::control_cost(self.ctrl_cost_weight, step.action) + self.contact_cost(step.data);
        Transition {
            reward: forward + survived - costs,
            terminated: !healthy && self.terminate_when_unhealthy,
        }
    }

    fn camera(&self) -> Camera {
        Camera::oblique(0.4, 3.6)
    }

    fn observe(&self, _: &AntParts, data: &Data, obs: &mut Observation<'_>) {
        obs.extend(&data.qpos()[self.skipped()..]);
        obs.extend(data.qvel());
        if self.include_cfrc_ext_in_observation {
            let [low, high] = self.contact_force_range;
            obs.extend_clipped(data.cfrc_ext()[1..].as_flattened(), low, high);
        }
    }

    fn manual(&self) -> Manual {
        let mut observation = rows::free_position("torso").split_off(self.skipped());
        observation.extend(rows::positions(&JOINTS));
        observation.extend(rows::free_velocity("torso"));
        observation.extend(rows::velocities(&JOINTS));
        if self.include_cfrc_ext_in_observation {
            let [low, high] = self.contact_force_range;
            observation.extend(rows::clipped(
                rows::per_body(&BODIES, "contact", &rows::WRENCH),
                low,
                high,
            ));
        }
        let fallen = if self.terminate_when_unhealthy {
            "Terminated when it is not healthy. "
        } else {
            "Never terminated. "
        };
        Manual {
            description: "A torso on four legs of two links each runs along x. It can fall over and get stuck on its \
                back. The default limits on its height do not always detect that."
                .into(),
            observation,
            action: rows::motors(&MOTORS, 1.0),
            reward_range: task::ANY_REWARD,
            reward: format!(
                "{} × (speed of the main body along x, in m/s) + {} while healthy - {} × |a|² - {} × |f|², with all \
                 contact forces f clipped to {:?}. Healthy: height within {:?} m.",
                self.forward_reward_weight,
                self.healthy_reward,
                self.ctrl_cost_weight,
                self.contact_cost_weight,
                self.contact_force_range,
                self.healthy_z_range
            ),
            start: format!(
                "Positions, angles and orientation uniform within ±{0} of the standing robot, velocities normal with \
                 standard deviation {0}.",
                self.reset_noise_scale
            ),
            end: format!("{fallen}Truncated after 1000 steps."),
            source: "Gymnasium 1.4.0, mujoco/ant_v5.py; after J. Schulman et al. (2015).".into(),
        }
    }
}

pub(super) fn entry() -> EnvEntry {
    entry::entry::<Ant>("Run forward on four legs in space", 1000)
}
