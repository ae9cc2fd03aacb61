//! `EntityReach-v0`: follow the mean position of the marked entities.

use serde::{Deserialize, Serialize};

use super::arena::{Arena, ArenaState, Habit, Sight, average, closeness, difference, norm, sights, within_unit_disc};
use crate::manual::Row;
use crate::render::Scene;
use crate::{Dynamics, EnvEntry, Manual, NumpyRng, Space, Transition};

/// The task `EntityReach-v0`: a point mass follows the mean position of the marked entities, which wander like all
/// others.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EntityReach(pub Arena);

impl Default for EntityReach {
    fn default() -> Self {
        EntityReach(Arena {
            entities: 8,
            signal_fraction: 0.125,
            radius_m: 0.1,
            agent_speed: 1.0,
            entity_speed: 0.4,
        })
    }
}

/// Gain of the policies: velocity per distance, in 1/s.
const GAIN_PER_S: f64 = 4.0;

impl EntityReach {
    /// The policy that steers to the average of the marked tokens. `obs`: `[entities + 1, TOKEN_WIDTH]`, `action`:
    /// `[2]`.
    pub fn oracle(&self, obs: &[f32], action: &mut [f32]) {
        let marked = sights(obs).filter_map(|(sight, marked)| marked.then_some(sight));
        self.steer(average(marked), action);
    }

    /// The policy that steers to the average of all tokens, as one without attention must.
    pub fn averaging(&self, obs: &[f32], action: &mut [f32]) {
        self.steer(average(sights(obs).map(|(sight, _)| sight)), action);
    }

    fn steer(&self, target: Sight, action: &mut [f32]) {
        let wanted = |i: usize| (target.velocity_m_s[i] + GAIN_PER_S * target.offset_m[i]) / self.0.agent_speed;
        let [x, y] = within_unit_disc([wanted(0), wanted(1)]);
        action.copy_from_slice(&[x as f32, y as f32]);
    }

    /// Distance from the agent to the mean position of the marked entities.
    fn distance_m(&self, state: &ArenaState) -> f64 {
        let marked = state.entities.iter().filter(|entity| entity.marked);
        let target = average(marked.map(|entity| Sight {
            offset_m: difference(entity.body.position_m, state.agent.position_m),
            velocity_m_s: [0.0; 2],
        }));
        norm(target.offset_m)
    }
}

impl Dynamics for EntityReach {
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
        self.0.advance(state, action, Habit::Wander, rng);
        Transition {
            reward: closeness(self.distance_m(state), self.0.radius_m),
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
    EnvEntry::with_options::<EntityReach>(
        "EntityReach-v0",
        "Follow the marked one of several entities that all move alike (a set of tokens)",
    )
    .with_time_limit(200)
    .with_manual(Manual {
        description: "A point mass, the agent, moves in a square of 2 m and must follow the mean position of the marked \
            entities. All entities wander in the same way; marked ones differ only by a flag, and their positions in \
            the set change with every episode. Token 0 is the agent. Options: `entities`, number of entities without \
            the agent (1 to 128); `signal_fraction`, fraction of them that is marked (at least one is; with 1, averaging \
            all tokens is optimal); `radius_m`, distance at which the goal counts as reached; `agent_speed` and \
            `entity_speed`, top speeds in m/s. Mean return of 1000 episodes: oracle 186.6, averaging all tokens 84.0, \
            random 27.0."
            .into(),
        observation: EntityReach::default().0.manual_rows(),
        action: vec![
            Row::new("target velocity x, relative to the top speed", "1", -1.0, 1.0),
            Row::new("target velocity y, relative to the top speed", "1", -1.0, 1.0),
        ],
        reward_range: [0.0, 1.0],
        reward: "1 within `radius_m` of the mean position of the marked entities, otherwise 0.1^((d / 0.5 m)²) with the \
            distance d from that circle."
            .into(),
        start: "All positions uniform in the square, all at rest; a random choice of entities is marked.".into(),
        end: "Truncated after 200 steps of 0.05 s. Never terminated.".into(),
        source: "Our own. Velocities approach their target with a time constant of 0.2 s; walls stop every body. \
            Distractors as a measure of pooling: G. Brothers (2025, arXiv 2506.09215)."
            .into(),
    })
}
