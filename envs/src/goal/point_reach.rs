//! `PointReach-v0`: steer a point to a goal in the plane.

use serde::{Deserialize, Serialize};

use super::layout::GoalLayout;
use crate::manual::Row;
use crate::render::{Colour, Scene, Shape, View};
use crate::{Dynamics, EnvEntry, Manual, NumpyRng, Space, Transition};

/// The task `PointReach-v0`: a point mass in a square reaches a goal that is drawn anew for every episode.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PointReach {
    /// Whether two walls stand in the square, so that many ways are detours.
    pub obstacles: bool,
}

/// What changes in an episode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PointState {
    /// Position of the point.
    pub position_m: [f64; 2],
    /// Its velocity.
    pub velocity_m_s: [f64; 2],
    /// The position to reach.
    pub goal_m: [f64; 2],
}

const HALF_SIDE_M: f64 = 1.0;
const DT_S: f64 = 0.05;
const TOP_SPEED_M_S: f64 = 1.0;
/// Time constant with which the velocity follows the action.
const TIME_CONSTANT_S: f64 = 0.1;
/// Distance at which a goal counts as reached.
const TOLERANCE_M: f64 = 0.05;
const TIME_LIMIT: u64 = 100;

/// An axis-aligned rectangle that no point may be in. It is thicker than a step is long.
struct Wall {
    low_m: [f64; 2],
    high_m: [f64; 2],
}

/// Two walls without a connection to the border, the upper one further to the left.
const WALLS: [Wall; 2] = [
    Wall {
        low_m: [-0.6, 0.28],
        high_m: [0.2, 0.38],
    },
    Wall {
        low_m: [-0.2, -0.38],
        high_m: [0.6, -0.28],
    },
];

impl Wall {
    fn contains(&self, position_m: [f64; 2]) -> bool {
        (0..2).all(|axis| (self.low_m[axis]..=self.high_m[axis]).contains(&position_m[axis]))
    }
}

impl PointReach {
    fn walls(&self) -> &'static [Wall] {
        match self.obstacles {
            true => &WALLS,
            false => &[],
        }
    }

    /// A position outside of all walls, uniformly.
    fn free_position(&self, rng: &mut NumpyRng) -> [f64; 2] {
        loop {
            let position = [0; 2].map(|_| rng.uniform(-HALF_SIDE_M, HALF_SIDE_M));
            if !self.walls().iter().any(|wall| wall.contains(position)) {
                return position;
            }
        }
    }

    /// Moves along one axis. A wall stops the point where it is.
    fn advance(&self, state: &mut PointState, axis: usize) {
        let free = state.position_m[axis] + state.velocity_m_s[axis] * DT_S;
        let mut moved = state.position_m;
        moved[axis] = free.clamp(-HALF_SIDE_M, HALF_SIDE_M);
        let is_blocked = self.walls().iter().any(|wall| wall.contains(moved));
        if !is_blocked {
            state.position_m = moved;
        }
        if is_blocked || moved[axis] != free {
            state.velocity_m_s[axis] = 0.0;
        }
    }
}

/// Whether the achieved goal is near enough to the desired one, in the precision of observations.
fn is_reached(achieved: [f32; 2], desired: [f32; 2]) -> bool {
    let [x, y] = [0, 1].map(|axis| f64::from(achieved[axis]) - f64::from(desired[axis]));
    x.hypot(y) <= TOLERANCE_M
}

impl PointState {
    fn is_at_goal(&self) -> bool {
        is_reached(self.position_m.map(|x| x as f32), self.goal_m.map(|x| x as f32))
    }
}

/// The step after which a goal is reached or not.
fn outcome(is_reached: bool) -> Transition {
    Transition {
        reward: if is_reached { 0.0 } else { -1.0 },
        terminated: false,
    }
}

impl Dynamics for PointReach {
    type State = PointState;

    fn observation_space(&self) -> Space {
        let high = [HALF_SIDE_M, HALF_SIDE_M, TOP_SPEED_M_S]
            .map(|high| [high as f32; 2])
            .concat();
        Space::vector(high.iter().map(|high| -high).collect(), high)
    }

    fn action_space(&self) -> Space {
        Space::boxed(2, -1.0, 1.0)
    }

    fn initial(&self, rng: &mut NumpyRng) -> PointState {
        PointState {
            position_m: self.free_position(rng),
            velocity_m_s: [0.0; 2],
            goal_m: self.free_position(rng),
        }
    }

    fn step(&self, state: &mut PointState, action: &[f32], _rng: &mut NumpyRng) -> Transition {
        for (axis, action) in action.iter().enumerate() {
            let wanted = f64::from(action.clamp(-1.0, 1.0)) * TOP_SPEED_M_S;
            state.velocity_m_s[axis] += (wanted - state.velocity_m_s[axis]) * (DT_S / TIME_CONSTANT_S);
            self.advance(state, axis);
        }
        outcome(state.is_at_goal())
    }

    fn observe(&self, state: &PointState, obs: &mut [f32]) {
        let parts = [state.position_m, state.goal_m, state.velocity_m_s];
        for (x, value) in obs.iter_mut().zip(parts.as_flattened()) {
            *x = *value as f32;
        }
    }

    fn goals(&self) -> Option<GoalLayout> {
        Some(GoalLayout::sorted(2, 2))
    }

    fn goal_outcome(&self, achieved: &[f32], desired: &[f32], _info: &[f32]) -> Option<Transition> {
        Some(outcome(is_reached(
            [achieved[0], achieved[1]],
            [desired[0], desired[1]],
        )))
    }

    fn success(&self, state: &PointState) -> Option<bool> {
        Some(state.is_at_goal())
    }

    fn scene(&self, state: &PointState) -> Option<Scene> {
        let walls = self.walls().iter().map(|wall| {
            let ([left, bottom], [right, top]) = (wall.low_m, wall.high_m);
            Shape::Polygon {
                points: vec![[left, bottom], [right, bottom], [right, top], [left, top]],
                colour: Colour::rgb(120, 120, 120),
            }
        });
        let [left, right] = [-HALF_SIDE_M, HALF_SIDE_M];
        let border = Shape::Line {
            points: vec![[left, left], [right, left], [right, right], [left, right], [left, left]],
            width: 0.02,
            colour: Colour::BLACK,
        };
        let goal = Shape::Ring {
            centre: state.goal_m,
            radius: TOLERANCE_M,
            width: 0.01,
            colour: Colour::rgb(210, 50, 40),
        };
        let point = Shape::Disc {
            centre: state.position_m,
            radius: 0.03,
            colour: Colour::rgb(40, 100, 200),
        };
        let view = View {
            centre: [0.0, 0.0],
            width: 2.0 * HALF_SIDE_M + 0.1,
            height: 2.0 * HALF_SIDE_M + 0.1,
        };
        Some(Scene::on_white(view, walls.chain([border, goal, point]).collect()))
    }
}

pub(super) fn entry() -> EnvEntry {
    let row = |name: &str, unit: &str, high: f64| Row::new(name, unit, -high, high);
    EnvEntry::with_options::<PointReach>(
        "PointReach-v0",
        "Steer a point to a goal in the plane, with a reward at the goal only (a task with goals)",
    )
    .with_time_limit(TIME_LIMIT)
    .with_manual(Manual {
        description: "A point in a square of 2 m must reach a goal and stay there. The reward says only whether it is \
            there, so that without hindsight replay there is hardly anything to learn from. With `obstacles`, two walls \
            stand in the square: one with x from -0.6 m to 0.2 m and y from 0.28 m to 0.38 m, the other with x from \
            -0.2 m to 0.6 m and y from -0.38 m to -0.28 m. Success: the point is within 0.05 m of the goal."
            .into(),
        observation: vec![
            row("achieved goal: position x", "m", HALF_SIDE_M),
            row("achieved goal: position y", "m", HALF_SIDE_M),
            row("desired goal x", "m", HALF_SIDE_M),
            row("desired goal y", "m", HALF_SIDE_M),
            row("velocity x", "m/s", TOP_SPEED_M_S),
            row("velocity y", "m/s", TOP_SPEED_M_S),
        ],
        action: vec![
            row("target velocity x, relative to 1 m/s", "1", 1.0),
            row("target velocity y, relative to 1 m/s", "1", 1.0),
        ],
        reward_range: [-1.0, 0.0],
        reward: "0 within 0.05 m of the goal, otherwise -1.".into(),
        start: "Position and goal uniform in the square outside of walls, at rest.".into(),
        end: "Truncated after 100 steps of 0.05 s. Never terminated.".into(),
        source: "Our own. The velocity follows its target with a time constant of 0.1 s; walls and the border stop the \
            point. Reward and success as in the Fetch tasks of M. Plappert et al. (2018, arXiv 1802.09464)."
            .into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rolled(task: &PointReach, start_m: [f64; 2], action: [f32; 2], steps: usize) -> PointState {
        let mut state = PointState {
            position_m: start_m,
            ..PointState::default()
        };
        for _ in 0..steps {
            task.step(&mut state, &action, &mut NumpyRng::new(0));
        }
        state
    }

    #[test]
    fn walls_stop_the_point_and_their_gaps_do_not() {
        let (open, walled) = (PointReach::default(), PointReach { obstacles: true });
        let fell = |task: &PointReach, x: f64| rolled(task, [x, 0.9], [0.0, -1.0], 60).position_m[1];
        assert_eq!(fell(&open, 0.0), -1.0);
        assert!((0.38..0.44).contains(&fell(&walled, 0.0)), "on top of the upper wall");
        assert!(
            (-0.28..-0.22).contains(&fell(&walled, 0.4)),
            "past it, onto the lower wall"
        );
        assert_eq!(fell(&walled, 0.7), -1.0, "past both");
        let slid = rolled(&walled, [-0.3, 0.45], [0.5, -1.0], 60).position_m;
        assert!(
            slid[0] > 0.2 && slid[1] < 0.28,
            "along the wall and past its end: {slid:?}"
        );
    }

    #[test]
    fn starts_and_goals_are_outside_of_walls() {
        let (task, mut rng) = (PointReach { obstacles: true }, NumpyRng::new(1));
        for _ in 0..2000 {
            let state = task.initial(&mut rng);
            for wall in &WALLS {
                assert!(
                    !wall.contains(state.position_m) && !wall.contains(state.goal_m),
                    "{state:?}"
                );
            }
        }
    }

    #[test]
    fn the_reward_and_success_are_those_of_the_goal() {
        let task = PointReach::default();
        for (goal_m, reward) in [([0.04, 0.0], 0.0), ([0.06, 0.0], -1.0)] {
            let mut state = PointState {
                goal_m,
                ..PointState::default()
            };
            let made = task.step(&mut state, &[0.0, 0.0], &mut NumpyRng::new(0));
            let asked = task.goal_outcome(&[0.0, 0.0], &goal_m.map(|x| x as f32), &[0.0, 0.0]);
            assert_eq!((made.reward, asked), (reward, Some(made)), "{goal_m:?}");
            assert_eq!(task.success(&state), Some(reward == 0.0));
        }
    }
}
