//! [`Arena`], the common part of both tasks: bodies in a square, their motion, and their tokens.

use serde::{Deserialize, Deserializer, Serialize};

use crate::manual::Row;
use crate::{NumpyRng, Space};

/// Numbers per token: position or offset (2), velocity (2), whether it is the agent, whether it is marked.
pub const TOKEN_WIDTH: usize = 6;
/// Half the side of the arena.
pub(super) const HALF_SIDE_M: f64 = 1.0;
const DT_S: f64 = 0.05;
/// Time constant with which velocities approach the target velocity.
const RESPONSE_S: f64 = 0.2;
/// Distance from its waypoint at which an entity gets a new one.
const ARRIVED_M: f64 = 0.1;
/// Rate at which an entity gets a new waypoint before it has arrived.
const WAYPOINT_CHANGES_PER_S: f64 = 1.0;
const MAX_ENTITIES: usize = 128;

/// The options of an entity task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Arena {
    /// Number of entities, without the agent.
    #[serde(deserialize_with = "entity_count")]
    pub entities: usize,
    /// Fraction of the entities that is marked; at least one is.
    #[serde(deserialize_with = "fraction")]
    pub signal_fraction: f64,
    /// Distance at which the goal counts as reached, or the agent as caught.
    #[serde(deserialize_with = "positive")]
    pub radius_m: f64,
    /// Top speed of the agent, in m/s.
    #[serde(deserialize_with = "positive")]
    pub agent_speed: f64,
    /// Top speed of the entities, in m/s.
    #[serde(deserialize_with = "positive")]
    pub entity_speed: f64,
}

/// A point mass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Body {
    /// Position relative to the middle of the arena, in m.
    pub position_m: [f64; 2],
    /// Velocity in m/s.
    pub velocity_m_s: [f64; 2],
}

/// An entity of the arena.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Entity {
    /// Position and velocity.
    pub body: Body,
    /// The point to which it moves.
    pub waypoint_m: [f64; 2],
    /// Whether it matters for the reward.
    pub marked: bool,
}

/// State of an arena.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ArenaState {
    /// The agent.
    pub agent: Body,
    /// The entities, `[N]`.
    pub entities: Vec<Entity>,
}

/// The rule for new waypoints.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Habit {
    /// A random point for all entities.
    Wander,
    /// The current position of the agent for marked entities, a random point for all others.
    Hunt,
}

impl Arena {
    /// Number of marked entities.
    pub fn marked(&self) -> usize {
        let count = (self.signal_fraction * self.entities as f64).round() as usize;
        count.max(1).min(self.entities)
    }

    pub(super) fn observation_space(&self) -> Space {
        let high: Vec<f32> = (0..=self.entities)
            .flat_map(|token| self.token_bounds(token).1)
            .collect();
        let low = (0..=self.entities)
            .flat_map(|token| self.token_bounds(token).0)
            .collect();
        let space = Space::vector(low, high);
        space.reshaped(vec![self.entities + 1, TOKEN_WIDTH])
    }

    pub(super) fn action_space() -> Space {
        Space::boxed(2, -1.0, 1.0)
    }

    /// Lower and upper bounds of a token. Token 0 is the agent.
    fn token_bounds(&self, token: usize) -> ([f32; TOKEN_WIDTH], [f32; TOKEN_WIDTH]) {
        let (reach, speed, own) = match token {
            0 => (HALF_SIDE_M as f32, self.agent_speed as f32, 1.0),
            _ => (2.0 * HALF_SIDE_M as f32, self.entity_speed as f32, 0.0),
        };
        (
            [-reach, -reach, -speed, -speed, own, 0.0],
            [reach, reach, speed, speed, own, 1.0 - own],
        )
    }

    /// Draws all positions. Reuses the memory of `state`.
    pub(super) fn start(&self, state: &mut ArenaState, rng: &mut NumpyRng) {
        state.agent = Body {
            position_m: anywhere(rng),
            velocity_m_s: [0.0; 2],
        };
        state.entities.clear();
        let mut missing_marks = self.marked();
        for i in 0..self.entities {
            let body = Body {
                position_m: anywhere(rng),
                velocity_m_s: [0.0; 2],
            };
            // All ways to place the missing marks among the remaining entities are equally likely.
            let marked = rng.random() * ((self.entities - i) as f64) < missing_marks as f64;
            missing_marks -= usize::from(marked);
            state.entities.push(Entity {
                body,
                waypoint_m: anywhere(rng),
                marked,
            });
        }
    }

    /// Advances the agent and all entities by one control step.
    pub(super) fn advance(&self, state: &mut ArenaState, action: &[f32], habit: Habit, rng: &mut NumpyRng) {
        let direction = within_unit_disc([f64::from(action[0]), f64::from(action[1])]);
        state.agent.follow(direction.map(|x| x * self.agent_speed));
        for entity in &mut state.entities {
            let offset = difference(entity.waypoint_m, entity.body.position_m);
            let distance_m = norm(offset);
            // Always drawn, so that the draw itself does not depend on the distance.
            let changes = rng.random() < WAYPOINT_CHANGES_PER_S * DT_S;
            if changes || distance_m < ARRIVED_M {
                entity.waypoint_m = match (habit, entity.marked) {
                    (Habit::Hunt, true) => state.agent.position_m,
                    _ => anywhere(rng),
                };
            }
            let pace = self.entity_speed / distance_m.max(ARRIVED_M);
            entity.body.follow(offset.map(|x| x * pace));
        }
    }

    pub(super) fn observe(&self, state: &ArenaState, obs: &mut [f32]) {
        let (own, others) = obs.split_at_mut(TOKEN_WIDTH);
        write_token(own, state.agent.position_m, &state.agent, self.agent_speed, [1.0, 0.0]);
        for (entity, token) in state.entities.iter().zip(others.chunks_exact_mut(TOKEN_WIDTH)) {
            let offset = difference(entity.body.position_m, state.agent.position_m);
            let mark = if entity.marked { 1.0 } else { 0.0 };
            write_token(token, offset, &entity.body, self.entity_speed, [0.0, mark]);
        }
    }

    /// One row per number of the observation.
    pub(super) fn manual_rows(&self) -> Vec<Row> {
        let names = |token: usize| {
            let (who, place) = match token {
                0 => ("agent".to_string(), ["position x", "position y"]),
                _ => (format!("entity {token}"), ["offset x", "offset y"]),
            };
            let [x, y] = place;
            [x, y, "velocity x", "velocity y", "is the agent", "is marked"].map(|what| format!("{who}: {what}"))
        };
        let units = ["m", "m", "m/s", "m/s", "1", "1"];
        let rows = |token| {
            let (low, high) = self.token_bounds(token);
            let row = move |(i, name)| Row::new(name, units[i], f64::from(low[i]), f64::from(high[i]));
            names(token).into_iter().enumerate().map(row)
        };
        (0..=self.entities).flat_map(rows).collect()
    }
}

impl Body {
    /// Advances the body by one control step. Its velocity approaches the target velocity; walls stop it.
    fn follow(&mut self, target_m_s: [f64; 2]) {
        for (i, target) in target_m_s.into_iter().enumerate() {
            self.velocity_m_s[i] += DT_S / RESPONSE_S * (target - self.velocity_m_s[i]);
            let position = self.position_m[i] + DT_S * self.velocity_m_s[i];
            self.position_m[i] = position.clamp(-HALF_SIDE_M, HALF_SIDE_M);
            if self.position_m[i] != position {
                self.velocity_m_s[i] = 0.0;
            }
        }
    }
}

fn write_token(token: &mut [f32], place_m: [f64; 2], body: &Body, speed_m_s: f64, flags: [f32; 2]) {
    // Rounding may bring a top speed slightly above the bound.
    let velocity = body.velocity_m_s.map(|v| v.clamp(-speed_m_s, speed_m_s) as f32);
    let [x, y] = place_m.map(|x| x as f32);
    token.copy_from_slice(&[x, y, velocity[0], velocity[1], flags[0], flags[1]]);
}

fn anywhere(rng: &mut NumpyRng) -> [f64; 2] {
    let x = rng.uniform(-HALF_SIDE_M, HALF_SIDE_M);
    [x, rng.uniform(-HALF_SIDE_M, HALF_SIDE_M)]
}

pub(super) fn difference(a: [f64; 2], b: [f64; 2]) -> [f64; 2] {
    [a[0] - b[0], a[1] - b[1]]
}

pub(super) fn norm(x: [f64; 2]) -> f64 {
    x[0].hypot(x[1])
}

/// The vector, shortened to length 1 if it is longer.
pub(super) fn within_unit_disc(x: [f64; 2]) -> [f64; 2] {
    let length = norm(x).max(1.0);
    x.map(|x| x / length)
}

/// A Gaussian function of the distance: 1 within the radius, 0.1 at half a metre beyond it.
pub(super) fn closeness(distance_m: f64, radius_m: f64) -> f64 {
    const MARGIN_M: f64 = 0.5;
    let beyond = (distance_m - radius_m).max(0.0) / MARGIN_M;
    (-std::f64::consts::LN_10 * beyond * beyond).exp()
}

/// The part of a token that the policies use: offset and velocity.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Sight {
    pub(super) offset_m: [f64; 2],
    pub(super) velocity_m_s: [f64; 2],
}

/// The entities of an observation, and whether each is marked.
pub(super) fn sights(obs: &[f32]) -> impl Iterator<Item = (Sight, bool)> {
    obs.chunks_exact(TOKEN_WIDTH).skip(1).map(|token| {
        let number = |i: usize| f64::from(token[i]);
        let sight = Sight {
            offset_m: [number(0), number(1)],
            velocity_m_s: [number(2), number(3)],
        };
        (sight, token[5] == 1.0)
    })
}

/// The average; zero for no tokens.
pub(super) fn average(sights: impl Iterator<Item = Sight>) -> Sight {
    let (mut sum, mut count) = (Sight::default(), 0.0f64);
    for sight in sights {
        for i in 0..2 {
            sum.offset_m[i] += sight.offset_m[i];
            sum.velocity_m_s[i] += sight.velocity_m_s[i];
        }
        count += 1.0;
    }
    Sight {
        offset_m: sum.offset_m.map(|x| x / count.max(1.0)),
        velocity_m_s: sum.velocity_m_s.map(|x| x / count.max(1.0)),
    }
}

fn positive<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let value = f64::deserialize(deserializer)?;
    if value.is_finite() && value > 0.0 {
        return Ok(value);
    }
    Err(serde::de::Error::custom(format!(
        "expected a positive number, found {value}"
    )))
}

fn fraction<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let value = f64::deserialize(deserializer)?;
    if (0.0..=1.0).contains(&value) {
        return Ok(value);
    }
    Err(serde::de::Error::custom(format!(
        "expected a number from 0 to 1, found {value}"
    )))
}

fn entity_count<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    let value = i64::deserialize(deserializer)?;
    match usize::try_from(value) {
        Ok(count) if (1..=MAX_ENTITIES).contains(&count) => Ok(count),
        _ => Err(serde::de::Error::custom(format!(
            "expected a whole number from 1 to {MAX_ENTITIES}, found {value}"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{EntityReach, EntityTag};

    #[test]
    fn exactly_the_configured_fraction_is_marked_at_every_position_of_the_set() {
        for (entities, signal_fraction, expected) in [(8, 0.125, 1), (8, 0.0, 1), (9, 0.5, 5), (3, 1.0, 3)] {
            let arena = Arena {
                entities,
                signal_fraction,
                ..EntityReach::default().0
            };
            let (mut state, mut rng) = (ArenaState::default(), NumpyRng::new(0));
            let mut turns = vec![0; entities];
            for _ in 0..200 {
                arena.start(&mut state, &mut rng);
                assert_eq!(state.entities.iter().filter(|entity| entity.marked).count(), expected);
                for (turns, entity) in turns.iter_mut().zip(&state.entities) {
                    *turns += usize::from(entity.marked);
                }
            }
            assert!(turns.iter().all(|turns| *turns >= 10), "{turns:?}");
        }
    }

    #[test]
    fn the_motion_of_marked_entities_of_the_reaching_task_is_that_of_all_others() {
        let arena = EntityReach::default().0;
        let mut paths = [false, true].map(|marked| {
            let (mut state, mut rng) = (ArenaState::default(), NumpyRng::new(3));
            arena.start(&mut state, &mut rng);
            state.entities.iter_mut().for_each(|entity| entity.marked = marked);
            (0..100).for_each(|_| arena.advance(&mut state, &[0.5, -0.5], Habit::Wander, &mut rng));
            state.entities.iter_mut().for_each(|entity| entity.marked = false);
            state
        });
        assert_eq!(paths[0], paths[1]);
        let hunted = EntityTag::default().0;
        let (state, rng) = (&mut paths[0], &mut NumpyRng::new(3));
        state.entities[0].marked = true;
        (0..400).for_each(|_| hunted.advance(state, &[0.0, 0.0], Habit::Hunt, rng));
        let distance = norm(difference(state.entities[0].body.position_m, state.agent.position_m));
        assert!(
            distance < 0.2,
            "a hunter should reach an agent at rest, but is {distance} m away"
        );
    }

    #[test]
    fn a_body_reaches_its_speed_but_not_the_other_side_of_a_wall() {
        let mut body = Body::default();
        (0..15).for_each(|_| body.follow([1.0, 0.0]));
        assert!(body.velocity_m_s[0] > 0.98 && body.velocity_m_s[0] <= 1.0);
        (0..40).for_each(|_| body.follow([1.0, 0.0]));
        assert_eq!((body.position_m, body.velocity_m_s), ([HALF_SIDE_M, 0.0], [0.0, 0.0]));
    }
}
