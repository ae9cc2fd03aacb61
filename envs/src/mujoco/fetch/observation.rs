//! What the Fetch tasks observe besides goals.

use super::robot::{FetchParts, Object, VELOCITIES};
use crate::mujoco::engine::{self, Data};
use crate::mujoco::numpy;
use crate::mujoco::task::Observation;

/// Numbers of an observation besides goals.
pub(super) const fn len(has_object: bool) -> usize {
    if has_object { 25 } else { 10 }
}

/// Numbers of a Jacobian of the largest model.
const JACOBIAN: usize = 3 * VELOCITIES[1];

/// Displacement and rotation of a site in a control step at its present velocity.
struct Motion {
    along_m: [f64; 3],
    about_rad: [f64; 3],
}

impl Motion {
    fn of(site: usize, parts: &FetchParts, data: &Data) -> Motion {
        let velocity = data.qvel();
        let len = 3 * velocity.len();
        let [mut along, mut about] = [[0.0; JACOBIAN]; 2];
        let (along, about) = (&mut along[..len], &mut about[..len]);
        engine::site_jacobians(data, site, along, about);
        let per_step = |jacobian: &[f64]| numpy::three_rows_times(jacobian, velocity).map(|speed| speed * parts.dt_s);
        Motion {
            along_m: per_step(along),
            about_rad: per_step(about),
        }
    }
}

fn difference(a: [f64; 3], b: [f64; 3]) -> [f64; 3] {
    std::array::from_fn(|axis| a[axis] - b[axis])
}

/// Writes the observation.
pub(super) fn write(parts: &FetchParts, data: &Data, obs: &mut Observation<'_>) {
    let fingers = parts.fingers;
    let grip_m = data.site_xpos()[parts.grip];
    let grip = Motion::of(parts.grip, parts, data);
    let seen = parts.object.as_ref().map(|object| Seen::new(object, parts, data));
    obs.extend(&grip_m);
    if let Some(seen) = &seen {
        obs.extend(&seen.place_m);
        obs.extend(&difference(seen.place_m, grip_m));
    }
    obs.extend(&fingers.map(|finger| data.qpos()[finger.position]));
    if let Some(seen) = &seen {
        obs.extend(&seen.angles_rad);
        obs.extend(&difference(seen.motion.along_m, grip.along_m));
        obs.extend(&seen.motion.about_rad);
    }
    obs.extend(&grip.along_m);
    obs.extend(&fingers.map(|finger| data.qvel()[finger.velocity] * parts.dt_s));
}

/// What is seen of the object.
struct Seen {
    place_m: [f64; 3],
    angles_rad: [f64; 3],
    motion: Motion,
}

impl Seen {
    fn new(object: &Object, parts: &FetchParts, data: &Data) -> Self {
        Seen {
            place_m: data.site_xpos()[object.site],
            angles_rad: euler_angles_rad(&data.site_xmat()[object.site]),
            motion: Motion::of(object.site, parts, data),
        }
    }
}

/// Below this cosine of the second angle, the other two cannot be told apart: `4 * np.finfo(np.float64).eps`.
const GIMBAL_LOCK: f64 = 4.0 * f64::EPSILON;

/// The angles of successive rotations about the fixed axes x, y and z that give this matrix, `[3, 3]` in row-major order:
/// Gymnasium-Robotics' `mat2euler`.
fn euler_angles_rad(m: &[f64; 9]) -> [f64; 3] {
    let cosine = (m[8] * m[8] + m[5] * m[5]).sqrt();
    let second = -(-m[2]).atan2(cosine);
    if cosine > GIMBAL_LOCK {
        [-m[5].atan2(m[8]), second, -m[1].atan2(m[0])]
    } else {
        [0.0, second, -(-m[3]).atan2(m[4])]
    }
}

#[cfg(test)]
mod tests {
    use std::f64::consts::FRAC_PI_2;

    use super::*;

    #[test]
    fn euler_angles_turn_about_fixed_axes_and_the_first_is_zero_in_a_gimbal_lock() {
        let turned = euler_angles_rad(&[0.36, 0.48, -0.8, -0.8, 0.6, 0.0, 0.48, 0.64, 0.6]);
        assert_eq!(turned, [0.0, -(0.8_f64.atan2(0.6)), -(0.48_f64.atan2(0.36))]);
        let locked = euler_angles_rad(&[0.0, 0.0, 1.0, 0.6, 0.8, 0.0, -0.8, 0.6, 0.0]);
        assert_eq!(locked, [0.0, FRAC_PI_2, 0.6_f64.atan2(0.8)]);
    }
}
