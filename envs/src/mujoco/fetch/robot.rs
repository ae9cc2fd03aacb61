//! [`FetchParts`]: the robot and the object in the model, and the movement to the start.

use mujoco_rs::wrappers::mj_model::{MjModel, MjtBias, MjtObjBase};

use super::variant::{BASE_Y_M, Layout};
use crate::mujoco::engine::{self, Call, Data};
use crate::mujoco::task::{self, BadOption, Needs};

/// Parts of the model, and where they are at the start.
pub struct FetchParts {
    /// Number of the mocap body among all of them.
    pub(super) mocap: usize,
    /// Number of the body that follows the mocap body.
    pub(super) hand: usize,
    /// The point between the fingers, a site.
    pub(super) grip: usize,
    /// The right and the left finger.
    pub(super) fingers: [Finger; 2],
    /// For each actuator, the address of the position of its joint.
    pub(super) servos: Vec<usize>,
    pub(super) object: Option<Object>,
    /// Duration of a control step.
    pub(super) dt_s: f64,
    /// Position of the point between the fingers at the start.
    pub(super) grip_m: [f64; 3],
    /// The joints of the base along x, y and z.
    slides: [usize; 3],
}

/// Addresses of a finger's position and velocity.
#[derive(Clone, Copy)]
pub(super) struct Finger {
    pub(super) position: usize,
    pub(super) velocity: usize,
}

/// The object to move.
pub(super) struct Object {
    /// Its centre, a site.
    pub(super) site: usize,
    /// Address of its position.
    pub(super) position: usize,
    /// Height of its centre at the start.
    pub(super) height_m: f64,
}

/// Numbers of an action: a displacement of the gripper along three axes, and of both fingers.
pub(super) const ACTION: usize = 4;
/// Displacement of the gripper by an action of 1.
pub(super) const REACH_M: f32 = 0.05;
/// Simulation steps per control step.
pub(super) const FRAME_SKIP: u32 = 20;
/// Orientation of the mocap body at the start. Every action adds it, too, and MuJoCo normalises the sum.
pub(super) const TURN: [f64; 4] = [1.0, 0.0, 1.0, 0.0];

/// Positions and velocities of a model with and without an object, which is free.
const ROBOT: usize = 15;
pub(super) const VELOCITIES: [usize; 2] = [ROBOT, ROBOT + 6];
const POSITIONS: [usize; 2] = [ROBOT, ROBOT + 7];
/// From the gripper of the compiled model to that at the start of a task without extra height.
const TO_START_M: [f64; 3] = [-0.498, 0.005, -0.431];
/// Control steps of the movement to the start.
const STEPS_TO_START: u32 = 10;

impl FetchParts {
    /// Finds the parts of a task with this layout.
    pub(super) fn find(layout: &Layout, model: &MjModel) -> Result<Self, BadOption> {
        let has_object = usize::from(layout.object.is_some());
        task::check_model(
            model,
            Needs::Exactly(POSITIONS[has_object]),
            Needs::Exactly(VELOCITIES[has_object]),
        )?;
        let joint = |name: &str| named(model, MjtObjBase::mjOBJ_JOINT, "joint", name);
        let site = |name: &str| named(model, MjtObjBase::mjOBJ_SITE, "site", name);
        let position_of = |joint: usize| model.jnt_qposadr()[joint] as usize;
        let finger = |name: &str| {
            let joint = joint(name)?;
            Ok(Finger {
                position: position_of(joint),
                velocity: model.jnt_dofadr()[joint] as usize,
            })
        };
        let slide = |name: &str| joint(name).map(position_of);
        let object = match layout.object {
            None => None,
            Some(_) => Some(Object {
                site: site("object0")?,
                position: position_of(joint("object0:joint")?),
                height_m: 0.0,
            }),
        };
        let mocap = model.body_mocapid()[task::body(model, "robot0:mocap")?];
        Ok(FetchParts {
            mocap: usize::try_from(mocap)
                .map_err(|_| task::unsuitable("the body `robot0:mocap` is no mocap body".to_string()))?,
            hand: task::body(model, "robot0:gripper_link")?,
            grip: site("robot0:grip")?,
            fingers: [
                finger("robot0:r_gripper_finger_joint")?,
                finger("robot0:l_gripper_finger_joint")?,
            ],
            servos: servos(model)?,
            object,
            dt_s: f64::from(FRAME_SKIP) * model.ffi().opt.timestep,
            grip_m: [0.0; 3],
            slides: [
                slide("robot0:slide0")?,
                slide("robot0:slide1")?,
                slide("robot0:slide2")?,
            ],
        })
    }

    /// Moves the gripper of a new simulation to its start, with the object aside.
    pub(super) fn prepare(&mut self, layout: &Layout, data: &mut Data) -> Result<(), String> {
        let position = data.qpos_mut();
        for (slide, place) in self.slides.into_iter().zip([layout.base_x_m, BASE_Y_M, 0.0]) {
            position[slide] = place;
        }
        if let (Some(object), Some(layout)) = (&self.object, layout.object) {
            let [x, y, z] = layout.aside_m;
            let pose = [x, y, z, 1.0, 0.0, 0.0, 0.0];
            position[object.position..][..pose.len()].copy_from_slice(&pose);
        }
        // Twice, as Gymnasium-Robotics does: the solver of the next step begins from the last result.
        engine::run(data, &[Call::Forward, Call::Forward])?;
        let grip_m = data.site_xpos()[self.grip];
        let [x, y, z] = TO_START_M;
        let way_m = [x, y, z + layout.gripper_height_m];
        data.mocap_pos_mut()[self.mocap] = std::array::from_fn(|axis| way_m[axis] + grip_m[axis]);
        data.mocap_quat_mut()[self.mocap] = TURN;
        engine::run(data, &[Call::Step(STEPS_TO_START * FRAME_SKIP)])?;
        self.grip_m = data.site_xpos()[self.grip];
        if let Some(object) = &mut self.object {
            object.height_m = data.site_xpos()[object.site][2];
        }
        Ok(())
    }

    /// The position that a goal asks for: of the object, or without one of the gripper.
    pub(super) fn achieved_m(&self, data: &Data) -> [f64; 3] {
        let site = self.object.as_ref().map_or(self.grip, |object| object.site);
        data.site_xpos()[site]
    }
}

/// For each actuator, the address of the position of its joint.
fn servos(model: &MjModel) -> Result<Vec<usize>, BadOption> {
    let kinds = model.actuator_biastype();
    let is_servo = |kind: &MjtBias| *kind == MjtBias::mjBIAS_AFFINE;
    if kinds.len() > 2 || !kinds.iter().all(is_servo) {
        return Err(task::unsuitable(
            "this task needs a model with two actuators or none, which control positions".to_string(),
        ));
    }
    let joints = model.actuator_trnid().iter().map(|[joint, _]| *joint as usize);
    Ok(joints.map(|joint| model.jnt_qposadr()[joint] as usize).collect())
}

/// The number of the joint or site with this name.
fn named(model: &MjModel, kind: MjtObjBase, what: &str, name: &str) -> Result<usize, BadOption> {
    model
        .name_to_id(kind, name)
        .ok_or_else(|| task::unsuitable(format!("this task needs a {what} `{name}`, the model has none")))
}
