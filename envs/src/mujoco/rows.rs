//! Rows of manual pages, from lists of joints and bodies.

use crate::manual::Row;

const INF: f64 = f64::INFINITY;

/// Type of a joint with one degree of freedom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Moves along a line: m and m/s.
    Slide,
    /// Rotates about an axis: rad and rad/s.
    Hinge,
}

/// A joint: its type, and the part that it moves.
pub(super) type Joint = (Kind, &'static str);

/// One row per joint for its position.
pub(super) fn positions(joints: &[Joint]) -> Vec<Row> {
    let row = |(kind, what): &Joint| match kind {
        Kind::Slide => Row::new(format!("position: {what}"), "m", -INF, INF),
        Kind::Hinge => Row::new(format!("angle: {what}"), "rad", -INF, INF),
    };
    joints.iter().map(row).collect()
}

/// One row per joint for its velocity.
pub(super) fn velocities(joints: &[Joint]) -> Vec<Row> {
    let row = |(kind, what): &Joint| match kind {
        Kind::Slide => Row::new(format!("velocity: {what}"), "m/s", -INF, INF),
        Kind::Hinge => Row::new(format!("angular velocity: {what}"), "rad/s", -INF, INF),
    };
    joints.iter().map(row).collect()
}

/// Rows for position and orientation of a free body.
pub(super) fn free_position(body: &str) -> Vec<Row> {
    let place = ["x", "y", "z"].map(|axis| Row::new(format!("position of the {body}: {axis}"), "m", -INF, INF));
    let turn = ["w", "x", "y", "z"].map(|part| {
        Row::new(
            format!("orientation of the {body}: {part} of the quaternion"),
            "1",
            -INF,
            INF,
        )
    });
    place.into_iter().chain(turn).collect()
}

/// Rows for velocity and angular velocity of a free body.
pub(super) fn free_velocity(body: &str) -> Vec<Row> {
    let along = ["x", "y", "z"].map(|axis| Row::new(format!("velocity of the {body}: {axis}"), "m/s", -INF, INF));
    let about =
        ["x", "y", "z"].map(|axis| Row::new(format!("angular velocity of the {body}: {axis}"), "rad/s", -INF, INF));
    along.into_iter().chain(about).collect()
}

/// One row for each of `parts` (name and unit) of each body.
pub(super) fn per_body(bodies: &[&str], what: &str, parts: &[(&str, &str)]) -> Vec<Row> {
    let rows = |body: &&str| {
        let body = body.to_string();
        parts
            .iter()
            .map(move |(part, unit)| Row::new(format!("{what} of the {body}: {part}"), *unit, -INF, INF))
    };
    bodies.iter().flat_map(rows).collect()
}

/// The same rows for clipped numbers. The bounds are added to the names, because the space has none, like Gymnasium's.
pub(super) fn clipped(rows: Vec<Row>, low: f64, high: f64) -> Vec<Row> {
    let clipped = |row: Row| Row {
        name: format!("{}, clipped to [{low}, {high}]", row.name),
        ..row
    };
    rows.into_iter().map(clipped).collect()
}

/// The parts of a torque and a force on a body.
pub(super) const WRENCH: [(&str, &str); 6] = [
    ("torque x", "N m"),
    ("torque y", "N m"),
    ("torque z", "N m"),
    ("force x", "N"),
    ("force y", "N"),
    ("force z", "N"),
];

/// One row per motor: the joint, and the torque in N m that corresponds to an action of 1.
pub(super) fn motors(motors: &[(&str, f64)], limit: f64) -> Vec<Row> {
    let row = |(what, strength): &(&str, f64)| {
        let strength = if *strength == 1.0 {
            String::new()
        } else {
            format!(", in units of {strength} N m")
        };
        let unit = if strength.is_empty() { "N m" } else { "1" };
        Row::new(format!("torque: {what}{strength}"), unit, -limit, limit)
    };
    motors.iter().map(row).collect()
}

/// A row for a number without unit and bounds.
pub(super) fn ratio(name: impl Into<String>) -> Row {
    free(name, "1")
}

/// A row without bounds.
pub(super) fn free(name: impl Into<String>, unit: &str) -> Row {
    Row::new(name, unit, -INF, INF)
}
