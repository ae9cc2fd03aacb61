//! The drawing of a simulation: a parallel projection of the model's visible geoms, drawn from back to front.
//!
//! Planes are drawn as ground with fixed tiles, so that motion is visible. Geoms that MuJoCo's viewer hides by default
//! (groups from 3 on, colours without opacity) are not drawn, nor are nearly transparent ones, height fields and signed
//! distance fields. Meshes are drawn as their convex outline.

use mujoco_rs::wrappers::mj_model::{MjModel, MjtGeomBase};

use super::engine::Data;
use crate::render::{Colour, Scene, Shape, View};

/// The camera of a task. Directions are MuJoCo's: azimuth 90° looks along y, elevation -90° looks down.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Camera {
    /// Rotation about the vertical axis, in degrees.
    pub azimuth_deg: f64,
    /// Angle of the line of sight above the horizontal, in degrees.
    pub elevation_deg: f64,
    /// The point in the middle of the picture, in m, relative to the coordinates that the camera follows.
    pub centre: [f64; 3],
    /// Minimum width of the visible part, in m.
    pub width: f64,
    /// Minimum height of the visible part, in m.
    pub height: f64,
    /// The coordinates that the camera follows.
    pub follows: Follow,
}

/// The coordinates of the model's first body that a [`Camera`] follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Follow {
    /// None; the camera does not move.
    Nothing,
    /// The position along the track.
    X,
    /// The position in the plane.
    Xy,
}

impl Camera {
    /// A camera that looks from the side, slightly down, and follows the first body along x. `height` is that of its
    /// centre above the ground, in m.
    pub const fn side(height: f64, width: f64) -> Self {
        Camera {
            azimuth_deg: 90.0,
            elevation_deg: -8.0,
            centre: [0.0, 0.0, height],
            width,
            height: width * 0.62,
            follows: Follow::X,
        }
    }

    /// A camera that looks straight down and does not move.
    pub const fn above(centre: [f64; 3], width: f64) -> Self {
        Camera {
            azimuth_deg: 90.0,
            elevation_deg: -90.0,
            centre,
            width,
            height: width * 0.62,
            follows: Follow::Nothing,
        }
    }

    /// A camera that looks down from a corner and follows the first body in the plane. `height` is that of its centre
    /// above the ground, in m.
    pub const fn oblique(height: f64, width: f64) -> Self {
        Camera {
            azimuth_deg: 125.0,
            elevation_deg: -22.0,
            centre: [0.0, 0.0, height],
            width,
            height: width * 0.62,
            follows: Follow::Xy,
        }
    }

    /// The same camera without motion.
    #[must_use]
    pub const fn fixed(self) -> Self {
        Camera {
            follows: Follow::Nothing,
            ..self
        }
    }
}

type Point = [f64; 3];

/// The projection of a camera; right, up and forward are unit vectors.
struct Projection {
    right: Point,
    up: Point,
    forward: Point,
    focus: Point,
}

fn dot(a: Point, b: Point) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

/// `a + k·b`
fn along(a: Point, k: f64, b: Point) -> Point {
    [a[0] + k * b[0], a[1] + k * b[1], a[2] + k * b[2]]
}

impl Projection {
    fn new(camera: &Camera, data: &Data) -> Self {
        let (azimuth, elevation) = (camera.azimuth_deg.to_radians(), camera.elevation_deg.to_radians());
        let ((sin_a, cos_a), (sin_e, cos_e)) = (azimuth.sin_cos(), elevation.sin_cos());
        let followed = data.xpos().get(1).copied().unwrap_or_default();
        let follows = match camera.follows {
            Follow::Nothing => [0.0, 0.0],
            Follow::X => [followed[0], 0.0],
            Follow::Xy => [followed[0], followed[1]],
        };
        Projection {
            right: [sin_a, -cos_a, 0.0],
            up: [-sin_e * cos_a, -sin_e * sin_a, cos_e],
            forward: [cos_e * cos_a, cos_e * sin_a, sin_e],
            focus: along(camera.centre, 1.0, [follows[0], follows[1], 0.0]),
        }
    }

    fn flat(&self, point: Point) -> [f64; 2] {
        [dot(point, self.right), dot(point, self.up)]
    }

    /// Distance along the line of sight, relative to the focus.
    fn depth(&self, point: Point) -> f64 {
        dot(point, self.forward) - dot(self.focus, self.forward)
    }
}

const SKY: Colour = Colour::rgb(233, 240, 247);
const TILES: [Colour; 2] = [Colour::rgb(203, 214, 207), Colour::rgb(189, 202, 195)];
const SHADOW: Colour = Colour::rgb(168, 180, 174);

/// The colour between `a` (`part` = 0) and `b` (`part` = 1).
fn mix(a: Colour, b: Colour, part: f64) -> Colour {
    let channel = |a: u8, b: u8| (f64::from(a) + part * (f64::from(b) - f64::from(a))).round() as u8;
    Colour::rgb(
        channel(a.red, b.red),
        channel(a.green, b.green),
        channel(a.blue, b.blue),
    )
}

/// Colour and radius of the mark of a target.
const TARGET: Colour = Colour::rgb(210, 50, 40);
const TARGET_RADIUS_M: f64 = 0.02;
/// Geoms with less opacity are not drawn, because a drawing has no translucent colours.
const VISIBLE: f32 = 0.2;

/// The drawing of a simulation, with a mark at the target. Its kinematics must be up to date.
pub(super) fn scene(model: &MjModel, data: &Data, camera: &Camera, target: Option<Point>) -> Scene {
    let projection = Projection::new(camera, data);
    let mut shapes = Vec::new();
    let mut solids: Vec<usize> = Vec::new();
    let mut ground = None;
    for geom in 0..model.geom_type().len() {
        if model.geom_group()[geom] > 2 || opacity(model, geom) < VISIBLE {
            continue;
        }
        if model.geom_type()[geom] != MjtGeomBase::mjGEOM_PLANE {
            solids.push(geom);
        } else if data.geom_xmat()[geom][8] > 0.999 && ground.is_none() {
            ground = Some(geom);
            tile(
                &mut shapes,
                &projection,
                camera,
                data.geom_xpos()[geom],
                model.geom_size()[geom],
            );
        }
    }
    if let Some(ground) = ground {
        let height = data.geom_xpos()[ground][2];
        for geom in &solids {
            shapes.extend(outline(
                model,
                data,
                *geom,
                |p| projection.flat([p[0], p[1], height]),
                SHADOW,
            ));
        }
    }
    solids.sort_by(|a, b| {
        let depth = |geom: usize| sorted_depth(model, data, geom, &projection);
        depth(*b).total_cmp(&depth(*a))
    });
    for geom in solids {
        solid(&mut shapes, model, data, geom, &projection, camera);
    }
    shapes.extend(target.map(|target| Shape::Disc {
        centre: projection.flat(target),
        radius: TARGET_RADIUS_M,
        colour: TARGET,
    }));
    Scene {
        view: View {
            centre: projection.flat(projection.focus),
            width: camera.width,
            height: camera.height,
        },
        background: SKY,
        shapes,
    }
}

/// The depth by which geoms are sorted: of the centre, or for a box of its farthest corner, so that what stands on a table is
/// drawn after it.
fn sorted_depth(model: &MjModel, data: &Data, geom: usize, projection: &Projection) -> f64 {
    let (centre, axes) = frame(data, geom);
    let size = model.geom_size()[geom];
    let extent = match model.geom_type()[geom] {
        MjtGeomBase::mjGEOM_BOX => (0..3).map(|i| size[i] * dot(axes[i], projection.forward).abs()).sum(),
        _ => 0.0,
    };
    projection.depth(centre) + extent
}

/// Adds the ground around the focus.
fn tile(shapes: &mut Vec<Shape>, projection: &Projection, camera: &Camera, at: Point, size: Point) {
    let tile = camera.width / 6.0;
    // From the side, the ground ends a little behind the focus, where the sky begins; otherwise it fills the picture.
    let is_side = camera.elevation_deg.abs() < 15.0;
    let (before, behind) = if is_side { (4.0, 0.5) } else { (1.3, 1.3) };
    let bounds = |axis: usize, before: f64, behind: f64| -> [f64; 2] {
        // An extent of 0 means an infinite plane.
        let extent = if size[axis] > 0.0 { size[axis] } else { f64::INFINITY };
        let focus = projection.focus[axis];
        [
            (focus - before * camera.width).max(at[axis] - extent),
            (focus + behind * camera.width).min(at[axis] + extent),
        ]
    };
    let ([left, right], [near, far]) = (bounds(0, 1.3, 1.3), bounds(1, before, behind));
    let cells = |low: f64, high: f64| (low / tile).floor() as i64..(high / tile).ceil() as i64;
    for column in cells(left, right) {
        for row in cells(near, far) {
            let (x, y) = (column as f64 * tile, row as f64 * tile);
            let (x0, x1) = (x.max(left), (x + tile).min(right));
            let (y0, y1) = (y.max(near), (y + tile).min(far));
            let corners = [[x0, y0], [x1, y0], [x1, y1], [x0, y1]];
            shapes.push(Shape::Polygon {
                points: corners.map(|[x, y]| projection.flat([x, y, at[2]])).into(),
                colour: TILES[(column + row).rem_euclid(2) as usize],
            });
        }
    }
}

fn opacity(model: &MjModel, geom: usize) -> f32 {
    rgba(model, geom)[3]
}

/// The colour of a geom. If it is MuJoCo's default colour, that of the material is used.
fn rgba(model: &MjModel, geom: usize) -> [f32; 4] {
    const DEFAULT: [f32; 4] = [0.5, 0.5, 0.5, 1.0];
    let own = model.geom_rgba()[geom];
    match usize::try_from(model.geom_matid()[geom]) {
        Ok(material) if own == DEFAULT => model.mat_rgba()[material],
        _ => own,
    }
}

/// The centre and the axes of a geom.
fn frame(data: &Data, geom: usize) -> (Point, [Point; 3]) {
    let m = data.geom_xmat()[geom];
    (
        data.geom_xpos()[geom],
        [[m[0], m[3], m[6]], [m[1], m[4], m[7]], [m[2], m[5], m[8]]],
    )
}

/// The filled outline of a geom, with its points projected by `flat`. `None` for a geom that is not drawn.
fn outline(
    model: &MjModel,
    data: &Data,
    geom: usize,
    flat: impl Fn(Point) -> [f64; 2],
    colour: Colour,
) -> Option<Shape> {
    let (centre, [x, y, z]) = frame(data, geom);
    let size = model.geom_size()[geom];
    let points: Vec<Point> = match model.geom_type()[geom] {
        MjtGeomBase::mjGEOM_SPHERE => {
            return Some(Shape::Disc {
                centre: flat(centre),
                radius: size[0],
                colour,
            });
        }
        MjtGeomBase::mjGEOM_CAPSULE => {
            let ends = [-size[1], size[1]].map(|end| flat(along(centre, end, z)));
            return Some(
                if (ends[0][0] - ends[1][0]).hypot(ends[0][1] - ends[1][1]) < 0.01 * size[0] {
                    Shape::Disc {
                        centre: ends[0],
                        radius: size[0],
                        colour,
                    }
                } else {
                    Shape::Line {
                        points: ends.into(),
                        width: 2.0 * size[0],
                        colour,
                    }
                },
            );
        }
        MjtGeomBase::mjGEOM_CYLINDER => circle(24)
            .flat_map(|(cos, sin)| {
                let rim = along(along(centre, size[0] * cos, x), size[0] * sin, y);
                [along(rim, -size[1], z), along(rim, size[1], z)]
            })
            .collect(),
        MjtGeomBase::mjGEOM_BOX => (0..8)
            .map(|corner| {
                let sign = |bit: usize| if corner >> bit & 1 == 0 { -1.0 } else { 1.0 };
                let p = along(along(centre, sign(0) * size[0], x), sign(1) * size[1], y);
                along(p, sign(2) * size[2], z)
            })
            .collect(),
        MjtGeomBase::mjGEOM_ELLIPSOID => circle(16)
            .flat_map(|(cos_a, sin_a)| {
                circle(16).map(move |(cos_b, sin_b)| {
                    let p = along(along(centre, size[0] * cos_a * cos_b, x), size[1] * sin_a * cos_b, y);
                    along(p, size[2] * sin_b, z)
                })
            })
            .collect(),
        MjtGeomBase::mjGEOM_MESH => {
            let mesh = usize::try_from(model.geom_dataid()[geom]).ok()?;
            let (first, count) = (model.mesh_vertadr()[mesh], model.mesh_vertnum()[mesh]);
            let vertices = model.mesh_vert().get(first as usize..(first + count) as usize)?;
            vertices
                .iter()
                .map(|v| {
                    let p = along(along(centre, f64::from(v[0]), x), f64::from(v[1]), y);
                    along(p, f64::from(v[2]), z)
                })
                .collect()
        }
        _ => return None,
    };
    Some(Shape::Polygon {
        points: hull(points.into_iter().map(flat).collect()),
        colour,
    })
}

/// Cosine and sine of `count` evenly spaced angles.
fn circle(count: u32) -> impl Iterator<Item = (f64, f64)> {
    (0..count).map(move |i| {
        let (sin, cos) = (std::f64::consts::TAU * f64::from(i) / f64::from(count)).sin_cos();
        (cos, sin)
    })
}

/// The corners of the convex hull in order (A. M. Andrew 1979, monotone chain).
fn hull(mut points: Vec<[f64; 2]>) -> Vec<[f64; 2]> {
    points.sort_by(|a, b| a[0].total_cmp(&b[0]).then(a[1].total_cmp(&b[1])));
    let half = |points: &mut dyn Iterator<Item = [f64; 2]>| {
        let mut chain: Vec<[f64; 2]> = Vec::new();
        for p in points {
            while let [.., a, b] = chain[..]
                && (b[0] - a[0]) * (p[1] - a[1]) <= (b[1] - a[1]) * (p[0] - a[0])
            {
                chain.pop();
            }
            chain.push(p);
        }
        chain.pop();
        chain
    };
    let mut corners = half(&mut points.iter().copied());
    corners.extend(half(&mut points.iter().rev().copied()));
    corners
}

/// Adds a geom with an edge and a highlight. The colour is paler with distance.
fn solid(shapes: &mut Vec<Shape>, model: &MjModel, data: &Data, geom: usize, projection: &Projection, camera: &Camera) {
    let [red, green, blue, _] = rgba(model, geom).map(|channel| (channel.clamp(0.0, 1.0) * 255.0).round() as u8);
    let paleness = (projection.depth(data.geom_xpos()[geom]) / camera.width).clamp(0.0, 0.4);
    let colour = mix(Colour::rgb(red, green, blue), SKY, paleness);
    let (edge, light) = (mix(colour, Colour::BLACK, 0.45), mix(colour, Colour::WHITE, 0.35));
    let Some(body) = outline(model, data, geom, |p| projection.flat(p), colour) else {
        return;
    };
    let rim = camera.width * 0.004;
    let lit = |[x, y]: [f64; 2], radius: f64| [x - 0.25 * radius, y + 0.3 * radius];
    match &body {
        Shape::Disc { centre, radius, .. } => {
            let disc = |centre, radius, colour| Shape::Disc { centre, radius, colour };
            shapes.push(disc(*centre, radius + rim, edge));
            shapes.push(body.clone());
            shapes.push(disc(lit(*centre, *radius), radius * 0.4, light));
        }
        Shape::Line { points, width, .. } => {
            let line = |points, width, colour| Shape::Line { points, width, colour };
            shapes.push(line(points.clone(), width + 2.0 * rim, edge));
            shapes.push(body.clone());
            let raised = points.iter().map(|p| lit(*p, width / 2.0)).collect();
            shapes.push(line(raised, width * 0.22, light));
        }
        Shape::Polygon { points, .. } => {
            shapes.push(body.clone());
            let around = points.iter().chain(points.first()).copied().collect();
            shapes.push(Shape::Line {
                points: around,
                width: rim,
                colour: edge,
            });
        }
        Shape::Ring { .. } => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hull_keeps_the_corners_and_nothing_within() {
        let mut found = hull(vec![
            [0.0, 0.0],
            [2.0, 0.0],
            [1.0, 0.5],
            [2.0, 2.0],
            [1.0, 0.0],
            [0.0, 2.0],
        ]);
        found.sort_by(|a, b| a.partial_cmp(b).expect("numbers"));
        assert_eq!(found, [[0.0, 0.0], [0.0, 2.0], [2.0, 0.0], [2.0, 2.0]]);
    }
}
