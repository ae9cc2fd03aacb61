//! The manual pages of the Fetch tasks.

use super::reward::{RewardType, TOLERANCE_M};
use super::robot::REACH_M;
use super::variant::{APART_M, BASE_Y_M, IN_THE_AIR_M, Layout};
use crate::Manual;
use crate::manual::Row;
use crate::mujoco::{rows, task};

const AXES: [&str; 3] = ["x", "y", "z"];

fn along(what: &str, unit: &str) -> Vec<Row> {
    AXES.map(|axis| rows::free(format!("{what} {axis}"), unit)).into()
}

/// The page of a task with this layout and reward.
pub(super) fn page(layout: &Layout, reward: RewardType) -> Manual {
    let moved = layout.object.map_or("gripper", |object| object.name);
    Manual {
        description: format!(
            "{} Success: the {moved} is within {TOLERANCE_M} m of the goal.",
            layout.description
        ),
        observation: observation(layout, moved),
        action: action(layout),
        reward_range: match reward {
            RewardType::Sparse => [-1.0, 0.0],
            RewardType::Dense => task::costs_only(&[1.0]),
        },
        reward: match reward {
            RewardType::Sparse => format!("0 if the {moved} is within {TOLERANCE_M} m of the goal, otherwise -1."),
            RewardType::Dense => format!("-(distance from the {moved} to the goal, in m)."),
        },
        start: start(layout),
        end: "Truncated after 50 steps of 0.04 s. Never terminated.".into(),
        source: "Gymnasium-Robotics 1.4.2, envs/fetch; M. Plappert et al. (2018, arXiv 1802.09464).".into(),
    }
}

fn observation(layout: &Layout, moved: &str) -> Vec<Row> {
    let goals = [
        along(&format!("achieved goal: position of the {moved}"), "m"),
        along("desired goal", "m"),
    ];
    let fingers = |what: &str, unit: &str| -> Vec<Row> {
        ["right", "left"]
            .map(|side| rows::free(format!("{what}: {side} finger"), unit))
            .into()
    };
    let [mut place, mut motion] = [Vec::new(), Vec::new()];
    if layout.object.is_some() {
        place = [
            along(&format!("position of the {moved}"), "m"),
            along(&format!("from the gripper to the {moved}:"), "m"),
        ]
        .concat();
        motion = [
            along(&format!("orientation of the {moved}: Euler angle"), "rad"),
            along(
                &format!("velocity of the {moved} relative to the gripper's"),
                "m per step",
            ),
            along(&format!("angular velocity of the {moved}"), "rad per step"),
        ]
        .concat();
    }
    [
        goals.concat(),
        along("position of the gripper", "m"),
        place,
        fingers("position", "m"),
        motion,
        along("velocity of the gripper", "m per step"),
        fingers("velocity", "m per step"),
    ]
    .concat()
}

fn action(layout: &Layout) -> Vec<Row> {
    let gripper = AXES.map(|axis| format!("displacement of the gripper {axis}, in units of {REACH_M} m"));
    let fingers = if layout.blocks_gripper {
        "no effect: the fingers stay closed".to_string()
    } else {
        "displacement of each finger, outward, in m; no finger moves beyond its range of 0.05 m".to_string()
    };
    let row = |(name, unit): (String, &str)| Row::new(name, unit, -1.0, 1.0);
    let unit = if layout.blocks_gripper { "1" } else { "m" };
    let gripper = gripper.into_iter().map(|name| (name, "1"));
    gripper.chain([(fingers, unit)]).map(row).collect()
}

fn start(layout: &Layout) -> String {
    let range = layout.target_range_m;
    let base = format!(
        "The robot's base at x = {} m, y = {BASE_Y_M} m; the gripper at rest above the table, pointing down.",
        layout.base_x_m
    );
    let Some(object) = layout.object else {
        return format!("{base} The goal uniform within ±{range} m of the gripper along each axis.");
    };
    let name = object.name;
    let offset = match layout.target_offset_m {
        0.0 => String::new(),
        offset => format!(", moved by {offset} m along x"),
    };
    let height = if layout.target_in_the_air {
        format!("every other time up to {IN_THE_AIR_M} m above the table, otherwise on it")
    } else {
        "on the table".to_string()
    };
    format!(
        "{base} The {name} on the table, uniform within ±{} m of the gripper along x and y, at least {APART_M} m from it. \
         The goal uniform within ±{range} m of the gripper along x and y{offset}, {height}.",
        object.range_m
    )
}
