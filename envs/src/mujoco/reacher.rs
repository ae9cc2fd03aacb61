//! `Reacher-v5`: an arm of two links points at a target.

use mujoco_rs::wrappers::mj_model::MjModel;
use serde::{Deserialize, Serialize};

use super::engine::Data;
use super::entry;
use super::numpy;
use super::rows;
use super::scene::Camera;
use super::task::{self, BadOption, ModelChoice, Needs, Observation, Step, Task};
use crate::{EnvEntry, Manual, NumpyRng, Transition};

/// The task `Reacher-v5` with its options.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Reacher {
    /// Name or path of the model file.
    pub xml_file: String,
    /// Number of simulation steps per control step.
    pub frame_skip: u32,
    /// Cost per m between fingertip and target.
    pub reward_dist_weight: f64,
    /// Weight of the cost |a|². (The default is 0.1 in Gymnasium's documentation and 1 in its code.)
    pub reward_control_weight: f64,
}

impl Default for Reacher {
    fn default() -> Self {
        Reacher {
            xml_file: "reacher.xml".into(),
            frame_skip: 2,
            reward_dist_weight: 1.0,
            reward_control_weight: 1.0,
        }
    }
}

/// Bodies of the model.
pub struct ReacherParts {
    fingertip: usize,
    target: usize,
}

/// Radius of the disc around the shoulder in which targets lie.
const REACH_M: f64 = 0.2;
const START_ANGLE_RAD: f64 = 0.1;
const START_SPEED_RAD_S: f64 = 0.005;

const MOTORS: [(&str, f64); 2] = [("shoulder", 200.0), ("elbow", 200.0)];

/// From the target to the fingertip.
fn miss(parts: &ReacherParts, data: &Data) -> [f64; 3] {
    let (tip, target) = (data.xpos()[parts.fingertip], data.xpos()[parts.target]);
    std::array::from_fn(|axis| tip[axis] - target[axis])
}

impl Task for Reacher {
    const ID: &'static str = "Reacher-v5";
    type Parts = ReacherParts;

    fn model(&self) -> ModelChoice<'_> {
        ModelChoice {
            xml_file: &self.xml_file,
            frame_skip: self.frame_skip,
        }
    }

    fn check(&self) -> Result<(), BadOption> {
        task::check_finite("reward_dist_weight", self.reward_dist_weight)?;
        task::check_finite("reward_control_weight", self.reward_control_weight)
    }

    fn find_parts(&self, model: &MjModel) -> Result<ReacherParts, BadOption> {
        task::check_model(model, Needs::Exactly(4), Needs::Exactly(4))?;
        Ok(ReacherParts {
            fingertip: task::body(model, "fingertip")?,
            target: task::body(model, "target")?,
        })
    }

    fn start(&self, _: &ReacherParts, rng: &mut NumpyRng, position: &mut [f64], velocity: &mut [f64]) {
        task::add_uniform(rng, START_ANGLE_RAD, position);
        // The last two joints are the target's. It is drawn from a square until it is within reach.
        position[2..].copy_from_slice(&loop {
            let goal = [rng.uniform(-REACH_M, REACH_M), rng.uniform(-REACH_M, REACH_M)];
            if numpy::norm(&goal) < REACH_M {
                break goal;
            }
        });
        task::add_uniform(rng, START_SPEED_RAD_S, velocity);
        velocity[2..].fill(0.0);
    }

    fn transition(&self, parts: &ReacherParts, step: &Step<'_>) -> Transition {
        let distance = numpy::norm(&miss(parts, step.data));
        let control = numpy::control_cost(self.reward_control_weight, step.action);
        Transition {
            reward: -distance * self.reward_dist_weight - control,
            terminated: false,
        }
    }

    fn camera(&self) -> Camera {
        Camera::above([0.0; 3], 1.05)
    }

    fn observe(&self, parts: &ReacherParts, data: &Data, obs: &mut Observation<'_>) {
        let (position, velocity) = (data.qpos(), data.qvel());
        let [x, y, _] = miss(parts, data);
        obs.extend(&[
            position[0].cos(),
            position[1].cos(),
            position[0].sin(),
            position[1].sin(),
        ]);
        obs.extend(&position[2..]);
        obs.extend(&velocity[..2]);
        obs.extend(&[x, y]);
    }

    fn manual(&self) -> Manual {
        Manual {
            description: "An arm of two links, 0.1 m each, turns about a fixed shoulder in a plane and must bring its \
                tip to a target and hold it there."
                .into(),
            observation: vec![
                rows::ratio("cosine of the shoulder's angle"),
                rows::ratio("cosine of the elbow's angle"),
                rows::ratio("sine of the shoulder's angle"),
                rows::ratio("sine of the elbow's angle"),
                rows::free("position of the target: x", "m"),
                rows::free("position of the target: y", "m"),
                rows::free("angular velocity: shoulder", "rad/s"),
                rows::free("angular velocity: elbow", "rad/s"),
                rows::free("from the target to the tip: x", "m"),
                rows::free("from the target to the tip: y", "m"),
            ],
            action: rows::motors(&MOTORS, 1.0),
            reward_range: task::costs_only(&[self.reward_dist_weight, self.reward_control_weight]),
            reward: format!(
                "-{} × (distance from tip to target, in m) - {} × |a|².",
                self.reward_dist_weight, self.reward_control_weight
            ),
            start: format!(
                "Angles uniform within ±{START_ANGLE_RAD} rad, angular velocities within ±{START_SPEED_RAD_S} rad/s; the \
                 target uniform in a disc of {REACH_M} m around the shoulder, at rest."
            ),
            end: "Truncated after 50 steps. Never terminated.".into(),
            source: "Gymnasium 1.4.0, mujoco/reacher_v5.py.".into(),
        }
    }
}

pub(super) fn entry() -> EnvEntry {
    entry::entry::<Reacher>("Point at a target with an arm of two links", 50)
}
