//! `EntityTag-v0`: keep away from the marked entities, which hunt the agent.

use std::f64::consts::TAU;

use serde::{Deserialize, Serialize};

use super::arena::{Arena, ArenaState, HALF_SIDE_M, Habit, Sight, average, closeness, difference, norm, sights};
use crate::manual::Row;
use crate::render::Scene;
use crate::{Dynamics, EnvEntry, Manual, NumpyRng, Space, Transition};

/// The task `EntityTag-v0`: a point mass keeps away from the nearest marked entity. A new waypoint of a marked entity
/// is the position of the agent at that moment; those of the others are random.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EntityTag(pub Arena);

impl Default for EntityTag {
    fn default() -> Self {
        EntityTag(Arena {
            entities: 8,
            signal_fraction: 0.125,
            radius_m: 0.2,
            agent_speed: 1.0,
            entity_speed: 0.8,
        })
    }
}

/// Time for which the policies predict the motion.
const HORIZON_S: f64 = 1.2;
/// Number of steps of the prediction.
const PREDICTED_STEPS: usize = 6;
/// Number of directions that the policies compare.
const HEADINGS: usize = 16;

impl EntityTag {
    /// The policy that flees from the marked tokens. `obs`: `[entities + 1, TOKEN_WIDTH]`, `action`: `[2]`.
    pub fn oracle(&self, obs: &[f32], action: &mut [f32]) {
        let marked = || sights(obs).filter_map(|(sight, marked)| marked.then_some(sight));
        self.flee(obs, marked, action);
    }

    /// The policy that flees from the average of all tokens, as one without attention must.
    pub fn averaging(&self, obs: &[f32], action: &mut [f32]) {
        let mean = average(sights(obs).map(|(sight, _)| sight));
        self.flee(obs, || std::iter::once(mean), action);
    }

    /// Chooses the direction with the lowest predicted cost.
    fn flee<I: Iterator<Item = Sight>>(&self, obs: &[f32], hunters: impl Fn() -> I, action: &mut [f32]) {
        let position = [f64::from(obs[0]), f64::from(obs[1])];
        let mut best = (f64::INFINITY, [0.0; 2]);
        for i in 0..HEADINGS {
            let angle = TAU * i as f64 / HEADINGS as f64;
            let heading = [angle.cos(), angle.sin()];
            let cost = hunters().map(|hunter| self.chase(position, hunter, heading)).sum();
            if cost < best.0 {
                best = (cost, heading);
            }
        }
        action.copy_from_slice(&best.1.map(|x| x as f32));
    }

    /// The predicted cost: the sum of closenesses while the agent moves straight ahead and the hunter pursues it.
    fn chase(&self, start_m: [f64; 2], hunter: Sight, heading: [f64; 2]) -> f64 {
        let dt_s = HORIZON_S / PREDICTED_STEPS as f64;
        let mut own = start_m;
        let mut other = [start_m[0] + hunter.offset_m[0], start_m[1] + hunter.offset_m[1]];
        let mut cost = 0.0;
        for _ in 0..PREDICTED_STEPS {
            let way = difference(own, other);
            let stride = self.0.entity_speed * dt_s / norm(way).max(1e-6);
            for i in 0..2 {
                own[i] = (own[i] + self.0.agent_speed * dt_s * heading[i]).clamp(-HALF_SIDE_M, HALF_SIDE_M);
                other[i] += way[i] * stride.min(1.0);
            }
            // The second term decides at large distances, where the closeness is nearly constant.
            let distance = norm(difference(own, other));
            cost += closeness(distance, self.0.radius_m) + 0.01 * (2.0 * HALF_SIDE_M - distance);
        }
        cost
    }

    /// Distance from the agent to the nearest marked entity.
    fn distance_m(&self, state: &ArenaState) -> f64 {
        let marked = state.entities.iter().filter(|entity| entity.marked);
        marked
            .map(|entity| norm(difference(entity.body.position_m, state.agent.position_m)))
            .fold(f64::INFINITY, f64::min)
    }
}

impl Dynamics for EntityTag {
    type State = ArenaState;

    fn observation_space(&self) -> Space {
        self.0.observation_space()
    }

    fn action_space(&self) -> Space {
        Arena::action_space()
    }

    fn initial(&self, rng: &mut NumpyRng) -> ArenaState {
        let mut state = ArenaState::default();
        self.0.start(&mut state, rng);
        state
    }

    fn restart(&self, state: &mut ArenaState, rng: &mut NumpyRng) {
        self.0.start(state, rng);
    }

    fn step(&self, state: &mut ArenaState, action: &[f32], rng: &mut NumpyRng) -> Transition {
        self.0.advance(state, action, Habit::Hunt, rng);
        Transition {
            reward: -closeness(self.distance_m(state), self.0.radius_m),
            terminated: false,
        }
    }

    fn observe(&self, state: &ArenaState, obs: &mut [f32]) {
        self.0.observe(state, obs);
    }

    fn scene(&self, state: &ArenaState) -> Option<Scene> {
        Some(self.0.scene(state))
    }
}

pub(super) fn entry() -> EnvEntry {
    EnvEntry::with_options::<EntityTag>(
        "EntityTag-v0",
        "Keep away from the marked one of several moving entities (a set of tokens)",
    )
    .with_time_limit(200)
    .with_manual(Manual {
        description:
            "A point mass, the agent, moves in a square of 2 m and must keep away from the marked entity. The \
            marked entity is slower, but hunts the agent: each of its waypoints is the position of the agent at the \
            moment when it is chosen. All others move to random waypoints by the same law of motion. The marked entity \
            differs only by a flag, and its position in the set changes with every episode. Token 0 is the agent. \
            Options: `entities`, number of entities without the agent (1 to 128); `signal_fraction`, fraction of them \
            that is marked (at least one is); `radius_m`, distance at which the agent counts as caught; `agent_speed` \
            and `entity_speed`, top speeds in m/s. Mean return of 1000 episodes: oracle -6.9, averaging all tokens \
            -137.3, random -173.6."
                .into(),
        observation: EntityTag::default().0.manual_rows(),
        action: vec![
            Row::new("target velocity x, relative to the top speed", "1", -1.0, 1.0),
            Row::new("target velocity y, relative to the top speed", "1", -1.0, 1.0),
        ],
        reward_range: [-1.0, 0.0],
        reward: "-1 within `radius_m` of the nearest marked entity, otherwise -0.1^((d / 0.5 m)²) with the distance d \
            from that circle."
            .into(),
        start: "All positions uniform in the square, all at rest; a random choice of entities is marked.".into(),
        end: "Truncated after 200 steps of 0.05 s. Never terminated.".into(),
        source: "Our own. Velocities approach their target with a time constant of 0.2 s; walls stop every body. \
            Distractors as a measure of pooling: G. Brothers (2025, arXiv 2506.09215)."
            .into(),
    })
}
