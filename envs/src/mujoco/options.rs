//! What the options of the tasks mean, for their manual pages. An option means the same in every task that has it.

/// Option and explanation.
const EXPLAINED: [(&str, &str); 25] = [
    (
        "xml_file",
        "the model: the name of one of Gymnasium's model files, or a path that begins with `.`, `/` or `~/`",
    ),
    ("frame_skip", "steps of the simulation per control step"),
    ("forward_reward_weight", "reward per m/s"),
    ("ctrl_cost_weight", "cost of |a|²"),
    (
        "contact_cost_weight",
        "cost of |f|², f being all contact forces and torques",
    ),
    (
        "contact_cost_range",
        "[low, high] that the cost of contacts is clipped to",
    ),
    (
        "contact_force_range",
        "[low, high] that contact forces are clipped to, in N and N m",
    ),
    (
        "impact_cost_weight",
        "cost of |f|², f being all contact forces and torques",
    ),
    (
        "impact_cost_range",
        "[low, high] that the cost of contacts is clipped to",
    ),
    (
        "uph_cost_weight",
        "no effect: Gymnasium 1.4.0 takes this weight of the height and never uses it",
    ),
    (
        "reward_dist_weight",
        "cost per m between what shall meet: tip and target, or cylinder and goal",
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
        "[low, high] for the pitch of the torso, in rad, outside which it is not healthy",
    ),
    (
        "healthy_state_range",
        "[low, high] for every position and velocity but the first two, outside which it is not healthy",
    ),
    (
        "terminate_when_unhealthy",
        "whether the episode ends when the robot is not healthy",
    ),
    ("main_body", "name or number of the body whose speed is rewarded"),
    ("reset_noise_scale", "scale of the noise on the start state"),
    (
        "exclude_current_positions_from_observation",
        "whether the place along the track or in the plane stays out of the observation",
    ),
    (
        "include_cinert_in_observation",
        "whether mass and inertia of each body are observed",
    ),
    (
        "include_cvel_in_observation",
        "whether the velocity of each body is observed",
    ),
    (
        "include_qfrc_actuator_in_observation",
        "whether the motors' torques on each joint are observed",
    ),
    (
        "include_cfrc_ext_in_observation",
        "whether the contact forces on each body are observed",
    ),
];

/// A paragraph on these options.
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
