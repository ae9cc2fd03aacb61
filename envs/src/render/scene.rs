//! [`Scene`]: a drawing as data, in the coordinates of the task.

/// A colour without transparency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Colour {
    /// 0 to 255.
    pub red: u8,
    /// 0 to 255.
    pub green: u8,
    /// 0 to 255.
    pub blue: u8,
}

impl Colour {
    /// Everything.
    pub const WHITE: Colour = Colour::rgb(255, 255, 255);
    /// Nothing.
    pub const BLACK: Colour = Colour::rgb(0, 0, 0);

    /// From its parts.
    pub const fn rgb(red: u8, green: u8, blue: u8) -> Self {
        Colour { red, green, blue }
    }
}

/// Which part of the world is seen. It is fitted into the picture without being stretched; what is left over at the
/// sides shows more of the world.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct View {
    /// The middle of the picture.
    pub centre: [f64; 2],
    /// At least this much is seen to the right and left together.
    pub width: f64,
    /// At least this much is seen above and below together.
    pub height: f64,
}

/// Something to draw. x points right, y points up; lengths are in the task's own units.
#[derive(Clone, Debug, PartialEq)]
pub enum Shape {
    /// A filled area.
    Polygon {
        /// Its corners, in order.
        points: Vec<[f64; 2]>,
        /// What fills it.
        colour: Colour,
    },
    /// A filled circle.
    Disc {
        /// Its middle.
        centre: [f64; 2],
        /// Its radius.
        radius: f64,
        /// What fills it.
        colour: Colour,
    },
    /// The outline of a circle.
    Ring {
        /// Its middle.
        centre: [f64; 2],
        /// Its radius, to the middle of the line.
        radius: f64,
        /// Of the line; drawn at least one pixel wide.
        width: f64,
        /// Of the line.
        colour: Colour,
    },
    /// A line through points with round ends and corners; a thick one between two points is a capsule.
    Line {
        /// In order.
        points: Vec<[f64; 2]>,
        /// Drawn at least one pixel wide.
        width: f64,
        /// Of the line.
        colour: Colour,
    },
}

impl Shape {
    /// A rectangle between two opposite corners, turned by `angle_rad` counter-clockwise about the origin and then moved
    /// by `offset`.
    pub fn turned_rectangle(corners: [[f64; 2]; 2], angle_rad: f64, offset: [f64; 2], colour: Colour) -> Self {
        let [[left, bottom], [right, top]] = corners;
        let corners = [[left, bottom], [left, top], [right, top], [right, bottom]];
        Shape::Polygon {
            points: corners.map(|corner| turned(corner, angle_rad, offset)).into(),
            colour,
        }
    }
}

/// `point`, turned by `angle_rad` counter-clockwise about the origin and then moved by `offset`.
pub(crate) fn turned([x, y]: [f64; 2], angle_rad: f64, offset: [f64; 2]) -> [f64; 2] {
    let (sin, cos) = angle_rad.sin_cos();
    [x * cos - y * sin + offset[0], x * sin + y * cos + offset[1]]
}

/// A drawing.
#[derive(Clone, Debug, PartialEq)]
pub struct Scene {
    /// What part of the world is seen.
    pub view: View,
    /// Behind everything.
    pub background: Colour,
    /// In the order of drawing.
    pub shapes: Vec<Shape>,
}

impl Scene {
    /// On a white ground.
    pub fn on_white(view: View, shapes: Vec<Shape>) -> Self {
        Scene {
            view,
            background: Colour::WHITE,
            shapes,
        }
    }

    /// Numbers as bars, each between its bounds; what has no bounds is squeezed between -1 and 1. For tasks that do not
    /// say how they look.
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
        // Bars keep their shape however many there are: the world is as high as it is wide.
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
