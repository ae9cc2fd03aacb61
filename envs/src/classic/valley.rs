//! The valley of both mountain car tasks: its constants and its picture.

use crate::render::turned;
use crate::render::{Colour, Scene, Shape, View};

pub(super) const MIN_POSITION_M: f64 = -1.2;
pub(super) const MAX_POSITION_M: f64 = 0.6;
/// Per step.
pub(super) const MAX_SPEED_M: f64 = 0.07;
/// In m per step².
pub(super) const GRAVITY: f64 = 0.0025;

/// Gymnasium's picture of 600 × 400: the valley, a car of 40 × 20 pixels, and the flag at the goal.
pub(super) fn scene(position_m: f64, goal_m: f64) -> Scene {
    const PIXEL_M: f64 = (MAX_POSITION_M - MIN_POSITION_M) / 600.0;
    const FLAG: Colour = Colour::rgb(204, 204, 0);
    const WHEEL: Colour = Colour::rgb(128, 128, 128);
    let height_m = |x: f64| 0.45 * (3.0 * x).sin() + 0.55;
    let pixels = |x: f64, y: f64| [x * PIXEL_M, y * PIXEL_M];

    let floor: Vec<[f64; 2]> = (0..100)
        .map(|i| MIN_POSITION_M + f64::from(i) / 99.0 * (MAX_POSITION_M - MIN_POSITION_M))
        .map(|x| [x, height_m(x)])
        .collect();
    // The car is a little above the floor and tilted by cos 3x radians, as in Gymnasium.
    let place = [position_m, height_m(position_m) + 10.0 * PIXEL_M];
    let tilt_rad = (3.0 * position_m).cos();
    let wheel = |x: f64| Shape::Disc {
        centre: turned(pixels(x, 0.0), tilt_rad, place),
        radius: 8.0 * PIXEL_M,
        colour: WHEEL,
    };
    let foot = [goal_m, height_m(goal_m)];
    let on_pole = |x: f64, y: f64| turned(pixels(x, y), 0.0, foot);
    let shapes = vec![
        Shape::Line {
            points: floor,
            width: PIXEL_M,
            colour: Colour::BLACK,
        },
        Shape::turned_rectangle([pixels(-20.0, 0.0), pixels(20.0, 20.0)], tilt_rad, place, Colour::BLACK),
        wheel(10.0),
        wheel(-10.0),
        Shape::Line {
            points: vec![foot, on_pole(0.0, 50.0)],
            width: PIXEL_M,
            colour: Colour::BLACK,
        },
        Shape::Polygon {
            points: vec![on_pole(0.0, 50.0), on_pole(0.0, 40.0), on_pole(25.0, 45.0)],
            colour: FLAG,
        },
    ];
    let view = View {
        centre: [(MIN_POSITION_M + MAX_POSITION_M) / 2.0, 200.0 * PIXEL_M],
        width: 600.0 * PIXEL_M,
        height: 400.0 * PIXEL_M,
    };
    Scene::on_white(view, shapes)
}
