//! The body of `Humanoid-v5` and `HumanoidStandup-v5`: its joints and its observation.

use super::engine::Data;
use super::rows::{self, Joint, Kind};
use super::task::Observation;
use crate::manual::Row;

const JOINTS: [Joint; 17] = [
    (Kind::Hinge, "waist about z"),
    (Kind::Hinge, "waist about y"),
    (Kind::Hinge, "waist about x"),
    (Kind::Hinge, "right hip about x"),
    (Kind::Hinge, "right hip about z"),
    (Kind::Hinge, "right hip about y"),
    (Kind::Hinge, "right knee"),
    (Kind::Hinge, "left hip about x"),
    (Kind::Hinge, "left hip about z"),
    (Kind::Hinge, "left hip about y"),
    (Kind::Hinge, "left knee"),
    (Kind::Hinge, "right shoulder, first axis"),
    (Kind::Hinge, "right shoulder, second axis"),
    (Kind::Hinge, "right elbow"),
    (Kind::Hinge, "left shoulder, first axis"),
    (Kind::Hinge, "left shoulder, second axis"),
    (Kind::Hinge, "left elbow"),
];

/// In the order of the actions, whose first three differ from the order of the joints.
pub(super) const MOTORS: [(&str, f64); 17] = [
    ("waist about y", 100.0),
    ("waist about z", 100.0),
    ("waist about x", 100.0),
    ("right hip about x", 100.0),
    ("right hip about z", 100.0),
    ("right hip about y", 300.0),
    ("right knee", 200.0),
    ("left hip about x", 100.0),
    ("left hip about z", 100.0),
    ("left hip about y", 300.0),
    ("left knee", 200.0),
    ("right shoulder, first axis", 25.0),
    ("right shoulder, second axis", 25.0),
    ("right elbow", 25.0),
    ("left shoulder, first axis", 25.0),
    ("left shoulder, second axis", 25.0),
    ("left elbow", 25.0),
];

/// Upper bound of the actions; the lower bound is its negative.
pub(super) const MOTOR_RANGE: f64 = 0.4;

const BODIES: [&str; 13] = [
    "torso",
    "waist",
    "pelvis",
    "right thigh",
    "right shin",
    "right foot",
    "left thigh",
    "left shin",
    "left foot",
    "right upper arm",
    "right lower arm",
    "left upper arm",
    "left lower arm",
];

/// The parts of MuJoCo's `cinert`, relative to the centre of mass of the whole robot.
const INERTIA: [(&str, &str); 10] = [
    ("xx", "kg m²"),
    ("yy", "kg m²"),
    ("zz", "kg m²"),
    ("xy", "kg m²"),
    ("xz", "kg m²"),
    ("yz", "kg m²"),
    ("mass × x", "kg m"),
    ("mass × y", "kg m"),
    ("mass × z", "kg m"),
    ("mass", "kg"),
];

/// The parts of MuJoCo's `cvel`.
const TWIST: [(&str, &str); 6] = [
    ("about x", "rad/s"),
    ("about y", "rad/s"),
    ("about z", "rad/s"),
    ("along x", "m/s"),
    ("along y", "m/s"),
    ("along z", "m/s"),
];

/// Number of degrees of freedom of the torso, which has no motors.
const FREE: usize = 6;

/// The parts of the observation besides joint positions and velocities.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    /// The position in the plane.
    pub plane: bool,
    /// Mass and inertia of each body.
    pub cinert: bool,
    /// Velocity of each body.
    pub cvel: bool,
    /// The motors' forces on each joint.
    pub qfrc_actuator: bool,
    /// Contact forces on each body.
    pub cfrc_ext: bool,
}

impl Seen {
    fn skipped(&self) -> usize {
        if self.plane { 0 } else { 2 }
    }

    /// Writes the observation. It omits the world, which is the first body.
    pub(super) fn observe(&self, data: &Data, obs: &mut Observation<'_>) {
        obs.extend(&data.qpos()[self.skipped()..]);
        obs.extend(data.qvel());
        if self.cinert {
            obs.extend(data.cinert()[1..].as_flattened());
        }
        if self.cvel {
            obs.extend(data.cvel()[1..].as_flattened());
        }
        if self.qfrc_actuator {
            obs.extend(&data.qfrc_actuator()[FREE..]);
        }
        if self.cfrc_ext {
            obs.extend(data.cfrc_ext()[1..].as_flattened());
        }
    }

    /// The rows of [`Seen::observe`].
    pub(super) fn rows(&self) -> Vec<Row> {
        let mut all = rows::free_position("torso").split_off(self.skipped());
        all.extend(rows::positions(&JOINTS));
        all.extend(rows::free_velocity("torso"));
        all.extend(rows::velocities(&JOINTS));
        if self.cinert {
            all.extend(rows::per_body(&BODIES, "inertia", &INERTIA));
        }
        if self.cvel {
            all.extend(rows::per_body(&BODIES, "velocity", &TWIST));
        }
        if self.qfrc_actuator {
            let torque = |(_, what): &Joint| rows::free(format!("motor's torque: {what}"), "N m");
            all.extend(JOINTS.iter().map(torque));
        }
        if self.cfrc_ext {
            all.extend(rows::per_body(&BODIES, "contact", &rows::WRENCH));
        }
        all
    }
}
