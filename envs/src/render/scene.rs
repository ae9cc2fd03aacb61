//! [`Scene`]: a drawing as data, in the coordinates of the task.

/// A colour without transparency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Colour {
    /// Red, from 0 to 255.
    pub red: u8,
    /// Green, from 0 to 255.
    pub green: u8,
    /// Blue, from 0 to 255.
    pub blue: u8,
}

impl Colour {
    /// White.
    pub const WHITE: Colour = Colour::rgb(255, 255, 255);
    /// Black.
    pub const BLACK: Colour = Colour::rgb(0, 0, 0);

    /// A colour from its red, green and blue parts.
    pub const fn rgb(red: u8, green: u8, blue: u8) -> Self {
        Colour { red, green, blue }
    }
}

/// The visible part of a scene. It is not stretched: a picture with other proportions shows more of the scene.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct View {
    /// The point in the middle of the picture.
    pub centre: [f64; 2],
    /// Minimum width of the visible part.
    pub width: f64,
    /// Minimum height of the visible part.
    pub height: f64,
}

/// A shape to draw. x points right, y points up; lengths are in the task's own units.
#[derive(Clone, Debug, PartialEq)]
pub enum Shape {
    /// A filled area.
    Polygon {
        /// The corners in order.
        points: Vec<[f64; 2]>,
        /// Colour of the area.
        colour: Colour,
    },
    /// A filled circle.
    Disc {
        /// The centre.
        centre: [f64; 2],
        /// The radius.
        radius: f64,
        /// Colour of the area.
        colour: Colour,
    },
    /// The outline of a circle.
    Ring {
        /// The centre.
        centre: [f64; 2],
        /// The radius, up to the middle of the line.
        radius: f64,
        /// Width of the line; at least one pixel is drawn.
        width: f64,
        /// Colour of the line.
        colour: Colour,
    },
    /// A line through points, with round ends and corners. A thick line between two points is a capsule.
    Line {
        /// The points in order.
        points: Vec<[f64; 2]>,
        /// Width of the line; at least one pixel is drawn.
        width: f64,
        /// Colour of the line.
        colour: Colour,
    },
}

impl Shape {
    /// A rectangle between two opposite corners, rotated by `angle_rad` counter-clockwise about the origin and then
    /// translated by `offset`.
    pub fn turned_rectangle(corners: [[f64; 2]; 2], angle_rad: f64, offset: [f64; 2], colour: Colour) -> Self {
        let [[left, bottom], [right, top]] = corners;
        let corners = [[left, bottom], [left, top], [right, top], [right, bottom]];
        Shape::Polygon {
            points: corners.map(|corner| turned(corner, angle_rad, offset)).into(),
            colour,
        }
    }
}

/// A point, rotated by `angle_rad` counter-clockwise about the origin and then translated by `offset`.
pub(crate) fn turned([x, y]: [f64; 2], angle_rad: f64, offset: [f64; 2]) -> [f64; 2] {
    let (sin, cos) = angle_rad.sin_cos();
    [x * cos - y * sin + offset[0], x * sin + y * cos + offset[1]]
}

/// A drawing as a list of shapes.
#[derive(Clone, Debug, PartialEq)]
pub struct Scene {
    /// The visible part.
    pub view: View,
    /// Colour of the background.
    pub background: Colour,
    /// The shapes in the order of drawing; later ones cover earlier ones.
    pub shapes: Vec<Shape>,
}

impl Scene {
    /// A scene on a white background.
    pub fn on_white(view: View, shapes: Vec<Shape>) -> Self {
        Scene {
            view,
            background: Colour::WHITE,
            shapes,
        }
    }

    /// Numbers as bars, each between its bounds. A number without finite bounds is mapped to (-1, 1) by x / (1 + |x|).
    /// Tasks without a drawing of their own are shown like this.
    pub fn bars(numbers: &[f32], low: &[f32], high: &[f32]) -> Self {
        const BAR: Colour = Colour::rgb(70, 110, 180);
        const GROUND: Colour = Colour::rgb(225, 225, 225);
        let level = |i: usize| -> f64 {
            let bound = |bounds: &[f32]| bounds.get(i).map_or(f64::NAN, |bound| f64::from(*bound));
            let (x, low, high) = (f64::from(numbers[i]), bound(low), bound(high));
            if low.is_finite() && high.is_finite() && high > low {
                2.0 * (x - low) / (high - low) - 1.0
            } else {
                x / (1.0 + x.abs())
            }
        };
        let rectangle = |i: usize, bottom: f64, top: f64, colour| {
            let (left, right) = (i as f64 + 0.1, i as f64 + 0.9);
            Shape::turned_rectangle([[left, bottom], [right, top]], 0.0, [0.0, 0.0], colour)
        };
        let count = numbers.len() as f64;
        // The scene is as high as it is wide, so that the picture looks alike for any number of bars.
        let shapes = (0..numbers.len())
            .flat_map(|i| {
                let half = count / 2.0;
                [
                    rectangle(i, -half, half, GROUND),
                    rectangle(i, 0.0, half * level(i).clamp(-1.0, 1.0), BAR),
                ]
            })
            .collect();
        let view = View {
            centre: [count / 2.0, 0.0],
            width: count * 1.1,
            height: count * 1.1,
        };
        Scene::on_white(view, shapes)
    }
}
