//! `Pusher-v5`: an arm pushes a cylinder to a goal.

use mujoco_rs::wrappers::mj_model::MjModel;
use serde::{Deserialize, Serialize};

use super::engine::Data;
use super::entry;
use super::numpy;
use super::rows::{self, Joint, Kind};
use super::scene::Camera;
use super::task::{self, BadOption, ModelChoice, Needs, Observation, Step, Task};
use crate::{EnvEntry, Manual, NumpyRng, Transition};

/// The task `Pusher-v5` with its options.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Pusher {
    /// Name or path of the model file.
    pub xml_file: String,
    /// Number of simulation steps per control step.
    pub frame_skip: u32,
    /// Cost per m between fingertip and cylinder.
    pub reward_near_weight: f64,
    /// Cost per m between cylinder and goal.
    pub reward_dist_weight: f64,
    /// Weight of the cost |a|².
    pub reward_control_weight: f64,
}

impl Default for Pusher {
    fn default() -> Self {
        Pusher {
            xml_file: "pusher_v5.xml".into(),
            frame_skip: 5,
            reward_near_weight: 0.5,
            reward_dist_weight: 1.0,
            reward_control_weight: 0.1,
        }
    }
}

/// Bodies of the model.
pub struct PusherParts {
    tip: usize,
    object: usize,
    goal: usize,
}

/// The arm's joints come first; the cylinder's two and the goal's two come last.
const ARM: usize = 7;
/// Minimum start distance from the cylinder to the goal.
const APART_M: f64 = 0.17;
const START_SPEED_RAD_S: f64 = 0.005;

const JOINTS: [Joint; ARM] = [
    (Kind::Hinge, "shoulder, panning"),
    (Kind::Hinge, "shoulder, lifting"),
    (Kind::Hinge, "upper arm, rolling"),
    (Kind::Hinge, "elbow, flexing"),
    (Kind::Hinge, "forearm, rolling"),
    (Kind::Hinge, "wrist, flexing"),
    (Kind::Hinge, "wrist, rolling"),
];

const MOTORS: [(&str, f64); ARM] = [
    ("shoulder, panning", 1.0),
    ("shoulder, lifting", 1.0),
    ("upper arm, rolling", 1.0),
    ("elbow, flexing", 1.0),
    ("forearm, rolling", 1.0),
    ("wrist, flexing", 1.0),
    ("wrist, rolling", 1.0),
];

fn distance(data: &Data, from: usize, to: usize) -> f64 {
    let (from, to) = (data.xpos()[from], data.xpos()[to]);
    numpy::norm(&[from[0] - to[0], from[1] - to[1], from[2] - to[2]])
}

impl Task for Pusher {
    const ID: &'static str = "Pusher-v5";
    type Parts = PusherParts;

    fn model(&self) -> ModelChoice<'_> {
        ModelChoice {
            xml_file: &self.xml_file,
            frame_skip: self.frame_skip,
        }
    }

    fn check(&self) -> Result<(), BadOption> {
        task::check_finite("reward_near_weight", self.reward_near_weight)?;
        task::check_finite("reward_dist_weight", self.reward_dist_weight)?;
        task::check_finite("reward_control_weight", self.reward_control_weight)
    }

    fn find_parts(&self, model: &MjModel) -> Result<PusherParts, BadOption> {
        task::check_model(model, Needs::AtLeast(ARM), Needs::AtLeast(ARM))?;
        Ok(PusherParts {
            tip: task::body(model, "tips_arm")?,
            object: task::body(model, "object")?,
            goal: task::body(model, "goal")?,
        })
    }

    fn start(&self, _: &PusherParts, rng: &mut NumpyRng, position: &mut [f64], velocity: &mut [f64]) {
        let cylinder = loop {
            let place = [rng.uniform(-0.3, 0.0), rng.uniform(-0.2, 0.2)];
            if numpy::norm(&place) > APART_M {
                break place;
            }
        };
        let movable = position.len() - 4;
        position[movable..movable + 2].copy_from_slice(&cylinder);
        position[movable + 2..].fill(0.0);
        task::add_uniform(rng, START_SPEED_RAD_S, velocity);
        let movable = velocity.len() - 4;
        velocity[movable..].fill(0.0);
    }

    fn transition(&self, parts: &PusherParts, step: &Step<'_>) -> Transition {
        let near = -distance(step.data, parts.object, parts.tip) * self.reward_near_weight;
        let done = -distance(step.data, parts.object, parts.goal) * self.reward_dist_weight;
        let control = numpy::control_cost(self.reward_control_weight, step.action);
        Transition {
            reward: done - control + near,
            terminated: false,
        }
    }

    fn camera(&self) -> Camera {
        Camera {
            azimuth_deg: 115.0,
            elevation_deg: -55.0,
            ..Camera::above([0.3, -0.15, -0.15], 2.0)
        }
    }

    fn observe(&self, parts: &PusherParts, data: &Data, obs: &mut Observation<'_>) {
        obs.extend(&data.qpos()[..ARM]);
        obs.extend(&data.qvel()[..ARM]);
        for body in [parts.tip, parts.object, parts.goal] {
            obs.extend(&data.xpos()[body]);
        }
    }

    fn manual(&self) -> Manual {
        let places = ["fingertip", "cylinder", "goal"]
            .iter()
            .flat_map(|body| ["x", "y", "z"].map(|axis| rows::free(format!("position of the {body}: {axis}"), "m")));
        Manual {
            description:
                "A robot arm with shoulder, elbow, forearm and wrist must push a cylinder on a table to a goal.".into(),
            observation: [rows::positions(&JOINTS), rows::velocities(&JOINTS)]
                .concat()
                .into_iter()
                .chain(places)
                .collect(),
            action: rows::motors(&MOTORS, 2.0),
            reward_range: task::costs_only(&[
                self.reward_near_weight,
                self.reward_dist_weight,
                self.reward_control_weight,
            ]),
            reward: format!(
                "-{} × (distance from fingertip to cylinder, in m) - {} × (distance from cylinder to goal, in m) - {} × \
                 |a|².",
                self.reward_near_weight, self.reward_dist_weight, self.reward_control_weight
            ),
            start: format!(
                "The arm in the pose of the model, with angular velocities uniform within ±{START_SPEED_RAD_S} rad/s; the \
                 cylinder at rest, uniform in a rectangle of 0.3 m by 0.4 m beside the goal, more than {APART_M} m from it."
            ),
            end: "Truncated after 100 steps. Never terminated.".into(),
            source: "Gymnasium 1.4.0, mujoco/pusher_v5.py.".into(),
        }
    }
}

pub(super) fn entry() -> EnvEntry {
    entry::entry::<Pusher>("Push a cylinder to a goal with an arm of seven joints", 100)
}
