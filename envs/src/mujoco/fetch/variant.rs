//! [`Variant`]: what differs between the four tasks, with the numbers of Gymnasium-Robotics.

/// One of the four tasks, with either reward.
pub trait Variant: Clone + std::fmt::Debug + PartialEq + Send + Sync + 'static {
    /// Its ids, with the sparse and with the dense reward.
    const IDS: [&'static str; 2];
    /// What distinguishes it from the other tasks.
    const LAYOUT: Layout;
}

/// What distinguishes a task from the others.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    /// The task in one line.
    pub(super) summary: &'static str,
    /// The task in a sentence, for the manual page.
    pub(super) description: &'static str,
    /// Its model.
    pub(super) xml_file: &'static str,
    /// Position of the robot's base along x.
    pub(super) base_x_m: f64,
    /// Height of the gripper at the start, above that in which it touches the table.
    pub(super) gripper_height_m: f64,
    /// Whether the fingers stay closed.
    pub(super) blocks_gripper: bool,
    /// The object to move; `None` if the gripper itself must reach the goal.
    pub(super) object: Option<ObjectLayout>,
    /// Greatest distance of the target from the gripper's start along each axis.
    pub(super) target_range_m: f64,
    /// Added to the target's position along x.
    pub(super) target_offset_m: f64,
    /// Whether every other target is above the table.
    pub(super) target_in_the_air: bool,
}

/// The object of a task.
#[derive(Clone, Copy, Debug)]
pub(super) struct ObjectLayout {
    /// What it is.
    pub(super) name: &'static str,
    /// Where it lies while the gripper moves to its start.
    pub(super) aside_m: [f64; 3],
    /// Greatest distance of its start from the gripper's along x and y.
    pub(super) range_m: f64,
}

/// Position of the robot's base along y, in all tasks.
pub(super) const BASE_Y_M: f64 = 0.48;

/// Lowest distance of an object from the gripper at the start, in the plane.
pub(super) const APART_M: f64 = 0.1;
/// Greatest height above the table of a target in the air, and how often there is one.
pub(super) const IN_THE_AIR_M: f64 = 0.45;
pub(super) const IN_THE_AIR_SHARE: f64 = 0.5;

/// The block of two tasks.
const BLOCK: ObjectLayout = ObjectLayout {
    name: "block",
    aside_m: [1.25, 0.53, 0.4],
    range_m: 0.15,
};

/// Move the gripper to a goal.
#[derive(Clone, Debug, PartialEq)]
pub enum Reach {}

impl Variant for Reach {
    const IDS: [&'static str; 2] = ["FetchReach-v4", "FetchReachDense-v4"];
    const LAYOUT: Layout = Layout {
        summary: "Move the gripper of a robot arm to a goal (a task with goals)",
        description: "A robot arm with seven joints must move its gripper to a goal in the air and hold it there.",
        xml_file: "fetch/reach.xml",
        base_x_m: 0.4049,
        gripper_height_m: 0.2,
        blocks_gripper: true,
        object: None,
        target_range_m: 0.15,
        target_offset_m: 0.0,
        target_in_the_air: true,
    };
}

/// Push a block to a goal on the table.
#[derive(Clone, Debug, PartialEq)]
pub enum Push {}

impl Variant for Push {
    const IDS: [&'static str; 2] = ["FetchPush-v4", "FetchPushDense-v4"];
    const LAYOUT: Layout = Layout {
        summary: "Push a block to a goal on a table with a robot arm (a task with goals)",
        description: "A robot arm with seven joints must push a block to a goal on the table. Its fingers stay closed.",
        xml_file: "fetch/push.xml",
        base_x_m: 0.405,
        gripper_height_m: 0.0,
        blocks_gripper: true,
        object: Some(BLOCK),
        target_range_m: 0.15,
        target_offset_m: 0.0,
        target_in_the_air: false,
    };
}

/// Hit a puck so that it slides to a goal out of reach.
#[derive(Clone, Debug, PartialEq)]
pub enum Slide {}

impl Variant for Slide {
    const IDS: [&'static str; 2] = ["FetchSlide-v4", "FetchSlideDense-v4"];
    const LAYOUT: Layout = Layout {
        summary: "Hit a puck so that it slides to a goal out of reach (a task with goals)",
        description: "A robot arm with seven joints must hit a puck so that it slides over a smooth table and comes to \
            rest at a goal, which is often out of reach. Its fingers stay closed.",
        xml_file: "fetch/slide.xml",
        base_x_m: 0.05,
        gripper_height_m: -0.02,
        blocks_gripper: true,
        object: Some(ObjectLayout {
            name: "puck",
            aside_m: [1.7, 1.1, 0.41],
            range_m: 0.1,
        }),
        target_range_m: 0.3,
        target_offset_m: 0.4,
        target_in_the_air: false,
    };
}

/// Bring a block to a goal on the table or above it.
#[derive(Clone, Debug, PartialEq)]
pub enum PickAndPlace {}

impl Variant for PickAndPlace {
    const IDS: [&'static str; 2] = ["FetchPickAndPlace-v4", "FetchPickAndPlaceDense-v4"];
    const LAYOUT: Layout = Layout {
        summary: "Bring a block to a goal on a table or above it with a robot arm (a task with goals)",
        description: "A robot arm with seven joints and two fingers must bring a block to a goal, which is on the table \
            or in the air above it.",
        xml_file: "fetch/pick_and_place.xml",
        base_x_m: 0.405,
        gripper_height_m: 0.2,
        blocks_gripper: false,
        object: Some(BLOCK),
        target_range_m: 0.15,
        target_offset_m: 0.0,
        target_in_the_air: true,
    };
}
