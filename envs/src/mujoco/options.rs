//! Explanations of the options of all tasks, for their manual pages. An option has the same meaning in every task.

/// Options with their explanations.
const EXPLAINED: [(&str, &str); 27] = [
    (
        "xml_file",
        "the model: the name of one of the package's model files, or a path that begins with `.`, `/` or `~/`",
    ),
    (
        "reward_type",
        "`sparse` for 0 at the goal and -1 elsewhere, `dense` for minus the distance to it",
    ),
    ("frame_skip", "number of simulation steps per control step"),
    ("forward_reward_weight", "reward per m/s"),
    ("ctrl_cost_weight", "weight of the cost |a|²"),
    (
        "contact_cost_weight",
        "weight of the cost |f|² of all contact forces and torques",
    ),
    (
        "contact_cost_range",
        "[low, high] to which the cost of contacts is clipped",
    ),
    (
        "contact_force_range",
        "[low, high] to which contact forces are clipped, in N and N m",
    ),
    (
        "impact_cost_weight",
        "weight of the cost |f|² of all contact forces and torques",
    ),
    (
        "impact_cost_range",
        "[low, high] to which the cost of contacts is clipped",
    ),
    (
        "uph_cost_weight",
        "weight of the height, without effect: Gymnasium 1.4.0 accepts it and does not use it",
    ),
    (
        "reward_dist_weight",
        "cost per m of distance from the tip to the target, or from the cylinder to the goal",
    ),
    (
        "reward_near_weight",
        "cost per m of distance from the fingertip to the cylinder",
    ),
    ("reward_control_weight", "weight of the cost |a|²"),
    (
        "healthy_reward",
        "reward per step on which the robot is healthy (the poles stand)",
    ),
    ("healthy_z_range", "[low, high] of healthy heights of the torso, in m"),
    (
        "healthy_angle_range",
        "[low, high] of healthy pitch angles of the torso, in rad",
    ),
    (
        "healthy_state_range",
        "[low, high] of healthy values of all positions and velocities except the first two",
    ),
    (
        "terminate_when_unhealthy",
        "whether the episode ends when the robot is not healthy",
    ),
    ("main_body", "name or number of the body whose speed is rewarded"),
    ("reset_noise_scale", "scale of the noise on the start state"),
    (
        "exclude_current_positions_from_observation",
        "whether the observation omits the position along the track or in the plane",
    ),
    (
        "include_cinert_in_observation",
        "whether the observation includes mass and inertia of each body",
    ),
    (
        "include_cvel_in_observation",
        "whether the observation includes the velocity of each body",
    ),
    (
        "include_qfrc_actuator_in_observation",
        "whether the observation includes the motors' torques on each joint",
    ),
    (
        "include_cfrc_ext_in_observation",
        "whether the observation includes the contact forces on each body",
    ),
    (
        "on_warning",
        "the effect of a warning of MuJoCo: `continue` as in Gymnasium, or `error`; Gymnasium has no such option",
    ),
];

/// The list of these options with their explanations, as Markdown.
pub(super) fn explain<'a>(keys: impl Iterator<Item = &'a String>) -> String {
    let lines = keys.map(|key| {
        let meaning = EXPLAINED
            .iter()
            .find(|(known, _)| known == key)
            .map(|(_, meaning)| *meaning);
        format!(
            "- `{key}`: {}.",
            meaning.expect("every option of a task is explained here")
        )
    });
    format!(
        "Options, as Gymnasium names them:\n\n{}",
        lines.collect::<Vec<_>>().join("\n")
    )
}
