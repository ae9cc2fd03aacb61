//! The picture of an arena from above.

use super::arena::{Arena, ArenaState, Body, HALF_SIDE_M};
use crate::render::{Colour, Scene, Shape, View};

const AGENT: Colour = Colour::rgb(40, 100, 200);
const MARKED: Colour = Colour::rgb(210, 50, 40);
const OTHER: Colour = Colour::rgb(170, 170, 170);
const RADIUS_M: f64 = 0.045;

impl Arena {
    /// The drawing of the walls, the entities (marked ones in red, with a circle of `radius_m`) and the agent in blue.
    /// Tails show the distance that each moves in a fifth of a second.
    pub(super) fn scene(&self, state: &ArenaState) -> Scene {
        let wall = HALF_SIDE_M + RADIUS_M;
        let corners = [
            [-wall, -wall],
            [wall, -wall],
            [wall, wall],
            [-wall, wall],
            [-wall, -wall],
        ];
        let mut shapes = vec![Shape::Line {
            points: corners.into(),
            width: 0.02,
            colour: Colour::BLACK,
        }];
        // Marked entities are drawn last, on top of the others.
        for marked in [false, true] {
            for entity in state.entities.iter().filter(|entity| entity.marked == marked) {
                if marked {
                    shapes.push(Shape::Ring {
                        centre: entity.body.position_m,
                        radius: self.radius_m,
                        width: 0.008,
                        colour: MARKED,
                    });
                }
                shapes.extend(entity.body.shapes(if marked { MARKED } else { OTHER }));
            }
        }
        shapes.extend(state.agent.shapes(AGENT));
        let view = View {
            centre: [0.0, 0.0],
            width: 2.0 * wall + 0.1,
            height: 2.0 * wall + 0.1,
        };
        Scene::on_white(view, shapes)
    }
}

impl Body {
    fn shapes(&self, colour: Colour) -> [Shape; 2] {
        const TAIL_S: f64 = 0.2;
        let [[x, y], [v_x, v_y]] = [self.position_m, self.velocity_m_s];
        [
            Shape::Line {
                points: vec![[x, y], [x - TAIL_S * v_x, y - TAIL_S * v_y]],
                width: RADIUS_M / 2.0,
                colour,
            },
            Shape::Disc {
                centre: [x, y],
                radius: RADIUS_M,
                colour,
            },
        ]
    }
}
