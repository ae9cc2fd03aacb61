//! [`Scene::draw`]: the pixels of a scene.

use tiny_skia::{Color, FillRule, LineCap, LineJoin, Paint, Path, PathBuilder, Pixmap, Stroke, Transform};

use super::{Colour, Frame, FrameSize, Scene, Shape, View};
use crate::EnvError;

impl Scene {
    /// The picture of this scene. `env` names its environment.
    ///
    /// # Errors
    /// [`EnvError::Unsupported`] for a size that [`FrameSize::check`] refuses.
    pub fn draw(&self, size: FrameSize, env: impl FnOnce() -> String) -> Result<Frame, EnvError> {
        size.check(env)?;
        Ok(draw(self, size))
    }
}

fn draw(scene: &Scene, size: FrameSize) -> Frame {
    let mut pixmap = Pixmap::new(size.width, size.height).expect("no side of a checked size is 0");
    let Colour { red, green, blue } = scene.background;
    pixmap.fill(Color::from_rgba8(red, green, blue, 255));
    let map = Map::new(scene.view, size);
    for shape in &scene.shapes {
        match shape {
            Shape::Polygon { points, colour } => {
                if let Some(path) = map.path(points, true) {
                    fill(&mut pixmap, &path, *colour);
                }
            }
            Shape::Disc { centre, radius, colour } => {
                if let Some(path) = map.circle(*centre, *radius) {
                    fill(&mut pixmap, &path, *colour);
                }
            }
            Shape::Ring {
                centre,
                radius,
                width,
                colour,
            } => {
                if let Some(path) = map.circle(*centre, *radius) {
                    stroke(&mut pixmap, &path, map.length(*width), *colour);
                }
            }
            Shape::Line { points, width, colour } => {
                if let Some(path) = map.path(points, false) {
                    stroke(&mut pixmap, &path, map.length(*width), *colour);
                }
            }
        }
    }
    // The background is opaque, so the premultiplied colours are the colours.
    let rgb = pixmap.data().chunks_exact(4).flat_map(|p| [p[0], p[1], p[2]]).collect();
    Frame { size, rgb }
}

/// Map from the scene's coordinates to pixels.
struct Map {
    view: View,
    size: FrameSize,
    pixels_per_unit: f64,
}

impl Map {
    fn new(view: View, size: FrameSize) -> Self {
        let across = f64::from(size.width) / view.width;
        let upright = f64::from(size.height) / view.height;
        Map {
            view,
            size,
            pixels_per_unit: across.min(upright),
        }
    }

    fn length(&self, world: f64) -> f32 {
        (world * self.pixels_per_unit) as f32
    }

    fn point(&self, [x, y]: [f64; 2]) -> (f32, f32) {
        let (right, up) = (x - self.view.centre[0], y - self.view.centre[1]);
        (
            (f64::from(self.size.width) / 2.0 + right * self.pixels_per_unit) as f32,
            (f64::from(self.size.height) / 2.0 - up * self.pixels_per_unit) as f32,
        )
    }

    /// `None` if the path has no extent or its points are not finite.
    fn path(&self, points: &[[f64; 2]], closed: bool) -> Option<Path> {
        let mut builder = PathBuilder::new();
        for (i, point) in points.iter().enumerate() {
            let (x, y) = self.point(*point);
            if i == 0 {
                builder.move_to(x, y);
            } else {
                builder.line_to(x, y);
            }
        }
        if closed {
            builder.close();
        }
        builder.finish()
    }

    fn circle(&self, centre: [f64; 2], radius: f64) -> Option<Path> {
        let (x, y) = self.point(centre);
        PathBuilder::from_circle(x, y, self.length(radius))
    }
}

fn paint(Colour { red, green, blue }: Colour) -> Paint<'static> {
    let mut paint = Paint::default();
    paint.set_color_rgba8(red, green, blue, 255);
    paint.anti_alias = true;
    paint
}

fn fill(pixmap: &mut Pixmap, path: &Path, colour: Colour) {
    pixmap.fill_path(path, &paint(colour), FillRule::Winding, Transform::identity(), None);
}

fn stroke(pixmap: &mut Pixmap, path: &Path, width_px: f32, colour: Colour) {
    let stroke = Stroke {
        width: width_px.max(1.0),
        line_cap: LineCap::Round,
        line_join: LineJoin::Round,
        ..Stroke::default()
    };
    pixmap.stroke_path(path, &paint(colour), &stroke, Transform::identity(), None);
}

#[cfg(test)]
mod tests {
    use super::*;

    const RED: Colour = Colour::rgb(200, 0, 0);

    fn picture(shapes: Vec<Shape>, width: u32, height: u32) -> Frame {
        let view = View {
            centre: [1.0, 2.0],
            width: 4.0,
            height: 2.0,
        };
        draw(&Scene::on_white(view, shapes), FrameSize { width, height })
    }

    #[test]
    fn x_points_right_and_y_up_about_the_centre_of_the_view() {
        let disc = |centre| Shape::Disc {
            centre,
            radius: 0.2,
            colour: RED,
        };
        let frame = picture(vec![disc([2.0, 2.5])], 80, 40);
        assert_eq!(frame.pixel(60, 10), RED);
        assert_eq!(frame.pixel(60, 30), Colour::WHITE);
        // A square picture of the same view sees more above and below, at the same scale.
        let frame = picture(vec![disc([2.0, 3.5])], 80, 80);
        assert_eq!(frame.pixel(60, 10), RED);
    }

    #[test]
    fn every_shape_leaves_its_mark_and_numbers_that_are_not_finite_leave_none() {
        let bad = f64::NAN;
        let shapes = |x: f64| {
            [
                Shape::turned_rectangle([[-0.5, -0.5], [0.5, 0.5]], 0.3, [x, 2.0], RED),
                Shape::Disc {
                    centre: [x, 2.0],
                    radius: 0.3,
                    colour: RED,
                },
                Shape::Ring {
                    centre: [x, 2.0],
                    radius: 0.3,
                    width: 0.0,
                    colour: RED,
                },
                Shape::Line {
                    points: vec![[x, 2.0], [2.0, 2.0]],
                    width: 0.1,
                    colour: RED,
                },
            ]
        };
        let white = picture(vec![], 40, 20);
        for (good, bad) in shapes(1.0).into_iter().zip(shapes(bad)) {
            assert_ne!(picture(vec![good.clone()], 40, 20), white, "{good:?}");
            assert_eq!(picture(vec![bad.clone()], 40, 20), white, "{bad:?}");
        }
    }
}
