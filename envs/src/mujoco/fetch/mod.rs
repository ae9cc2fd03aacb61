//! The eight tasks of the Fetch robot, bit for bit as in Gymnasium-Robotics 1.4.2.
//!
//! An arm with seven joints and two fingers reaches, pushes, slides or picks things up. The gripper is not moved by
//! motors: it is welded to a *mocap* body, which an action displaces, and the constraint pulls the arm after it. The
//! files: what differs between the tasks (`variant.rs`), the robot in the model and its first movement (`robot.rs`), what
//! is observed (`observation.rs`), the rewards (`reward.rs`), the manual pages (`manual.rs`), and here the task itself.

mod manual;
mod observation;
mod reward;
mod robot;
mod variant;

use std::marker::PhantomData;

use mujoco_rs::wrappers::mj_model::MjModel;
use serde::{Deserialize, Serialize};

use super::assets::ModelFiles;
use super::engine::Data;
use super::entry;
use super::model::Welds;
use super::numpy;
use super::scene::Camera;
use super::task::{BadOption, ModelChoice, Observation, Step, Task};
use crate::{EnvEntry, GoalLayout, Manual, NumpyRng, Space, Transition};

use reward::{TOLERANCE_M, distance_m};
use robot::{ACTION, FRAME_SKIP, REACH_M, TURN};
use variant::{APART_M, IN_THE_AIR_M, IN_THE_AIR_SHARE};

pub use reward::RewardType;
pub use robot::FetchParts;
pub use variant::{Layout, PickAndPlace, Push, Reach, Slide, Variant};

/// A task of the Fetch robot with its options. `DENSE` selects the id and the default of `reward_type`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, bound = "")]
pub struct Fetch<V: Variant, const DENSE: bool> {
    /// Name or path of the model file.
    pub xml_file: String,
    /// How a step is rewarded.
    pub reward_type: RewardType,
    #[serde(skip)]
    variant: PhantomData<V>,
}

impl<V: Variant, const DENSE: bool> Default for Fetch<V, DENSE> {
    fn default() -> Self {
        Fetch {
            xml_file: V::LAYOUT.xml_file.into(),
            reward_type: if DENSE { RewardType::Dense } else { RewardType::Sparse },
            variant: PhantomData,
        }
    }
}

/// Numbers of a goal, a position.
const GOAL: usize = 3;

fn point<T: Copy + Into<f64>>(goal: &[T]) -> [f64; GOAL] {
    std::array::from_fn(|axis| goal[axis].into())
}

impl<V: Variant, const DENSE: bool> Task for Fetch<V, DENSE> {
    const ID: &'static str = V::IDS[DENSE as usize];
    const MODEL_FILES: ModelFiles = ModelFiles::Robotics;
    const WELDS: Welds = Welds::Coincident;
    type Parts = FetchParts;

    fn model(&self) -> ModelChoice<'_> {
        ModelChoice {
            xml_file: &self.xml_file,
            frame_skip: FRAME_SKIP,
        }
    }

    fn check(&self) -> Result<(), BadOption> {
        Ok(())
    }

    fn find_parts(&self, model: &MjModel) -> Result<FetchParts, BadOption> {
        FetchParts::find(&V::LAYOUT, model)
    }

    fn action_space(&self, _model: &MjModel) -> Option<Space> {
        Some(Space::boxed(ACTION, -1.0, 1.0))
    }

    fn prepare(&self, parts: &mut FetchParts, data: &mut Data) -> Result<(), String> {
        parts.prepare(&V::LAYOUT, data)
    }

    fn start(&self, parts: &FetchParts, rng: &mut NumpyRng, position: &mut [f64], _velocity: &mut [f64]) {
        let (Some(layout), Some(object)) = (&V::LAYOUT.object, &parts.object) else {
            return;
        };
        let [x, y, _] = parts.grip_m;
        let place = loop {
            let place = [x, y].map(|centre| centre + rng.uniform(-layout.range_m, layout.range_m));
            if numpy::norm(&[place[0] - x, place[1] - y]) >= APART_M {
                break place;
            }
        };
        position[object.position..][..place.len()].copy_from_slice(&place);
    }

    fn goals(&self) -> Option<GoalLayout> {
        Some(GoalLayout::sorted(GOAL, observation::len(V::LAYOUT.object.is_some())))
    }

    fn draw_goal(&self, parts: &FetchParts, rng: &mut NumpyRng, goal: &mut [f64]) {
        let layout = &V::LAYOUT;
        for (goal, centre) in goal.iter_mut().zip(parts.grip_m) {
            *goal = centre + rng.uniform(-layout.target_range_m, layout.target_range_m);
        }
        let Some(object) = &parts.object else { return };
        goal[0] += layout.target_offset_m;
        goal[2] = object.height_m;
        if layout.target_in_the_air && rng.random() < IN_THE_AIR_SHARE {
            goal[2] += rng.uniform(0.0, IN_THE_AIR_M);
        }
    }

    fn act(&self, parts: &FetchParts, action: &[f32], data: &mut Data) {
        let action: [f32; ACTION] = std::array::from_fn(|i| action[i].clamp(-1.0, 1.0));
        for (position, action) in data.mocap_pos_mut()[parts.mocap].iter_mut().zip(action) {
            *position += f64::from(action * REACH_M);
        }
        for (part, turn) in data.mocap_quat_mut()[parts.mocap].iter_mut().zip(TURN) {
            *part += turn;
        }
        let fingers = if V::LAYOUT.blocks_gripper {
            0.0
        } else {
            f64::from(action[3])
        };
        for (i, joint) in parts.servos.iter().enumerate() {
            let target = data.qpos()[*joint] + fingers;
            data.ctrl_mut()[i] = target;
        }
    }

    fn correct(&self, parts: &FetchParts, data: &mut Data) -> bool {
        if V::LAYOUT.blocks_gripper {
            for finger in parts.fingers {
                data.qpos_mut()[finger.position] = 0.0;
            }
        }
        V::LAYOUT.blocks_gripper
    }

    fn keep(&self, parts: &FetchParts, data: &mut Data) {
        let (position, turn) = (data.xpos()[parts.hand], data.xquat()[parts.hand]);
        data.mocap_pos_mut()[parts.mocap] = position;
        data.mocap_quat_mut()[parts.mocap] = turn;
    }

    fn transition(&self, parts: &FetchParts, step: &Step<'_>) -> Transition {
        Transition {
            reward: self
                .reward_type
                .of(distance_m(parts.achieved_m(step.data), point(step.goal))),
            terminated: false,
        }
    }

    fn success(&self, parts: &FetchParts, step: &Step<'_>) -> Option<bool> {
        Some(distance_m(parts.achieved_m(step.data), point(step.goal)) < TOLERANCE_M)
    }

    fn goal_outcome(&self, achieved: &[f32], desired: &[f32]) -> Option<Transition> {
        Some(Transition {
            reward: self.reward_type.of(distance_m(point(achieved), point(desired))),
            terminated: false,
        })
    }

    fn camera(&self) -> Camera {
        Camera {
            azimuth_deg: 95.0,
            elevation_deg: -25.0,
            ..Camera::above([1.05, 0.75, 0.6], 2.0)
        }
    }

    fn target(&self, goal: &[f64]) -> Option<[f64; 3]> {
        Some(point(goal))
    }

    fn observe(&self, parts: &FetchParts, data: &Data, obs: &mut Observation<'_>) {
        obs.extend(&parts.achieved_m(data));
        obs.push_goal();
        observation::write(parts, data, obs);
    }

    fn manual(&self) -> Manual {
        manual::page(&V::LAYOUT, self.reward_type)
    }
}

const TIME_LIMIT: u64 = 50;

fn pair<V: Variant>() -> [EnvEntry; 2] {
    let dense = format!("{}, rewarded by distance", V::LAYOUT.summary);
    [
        entry::entry::<Fetch<V, false>>(V::LAYOUT.summary, TIME_LIMIT),
        entry::entry::<Fetch<V, true>>(&dense, TIME_LIMIT),
    ]
    .map(|entry| entry.with_family("fetch"))
}

/// The tasks of this family.
pub(super) fn entries() -> Vec<EnvEntry> {
    [pair::<Reach>(), pair::<Push>(), pair::<Slide>(), pair::<PickAndPlace>()].concat()
}
