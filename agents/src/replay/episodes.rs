//! Which rows of a replay belong to the same episode: [`Episodes`].
//!
//! Environments take turns, so the rows of one environment are `num_envs` apart. An environment that steps out of turn
//! cuts all running episodes in two: what is found in a piece is right, and less than the whole.

use sac_envs::Status;

use super::column::touched;
use crate::{
    checkpoint::Section,
    error::{Error, Result},
};

/// Rows of a ring buffer as steps of episodes. Every step is one row.
pub(super) struct Episodes {
    num_envs: usize,
    /// `[capacity]`: the steps before the row in its episode.
    position: Vec<u32>,
    /// `[capacity]`: the steps of the row's episode; 0 while it runs.
    length: Vec<u32>,
    /// `[num_envs]`: the steps of the running episodes.
    running: Vec<u32>,
    /// The environment whose turn it is; `None` at the beginning.
    turn: Option<usize>,
    /// Index of the next row.
    cursor: usize,
    /// Number of rows.
    len: usize,
}

/// The rows of an episode around one of its rows that are still there.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Neighbours {
    /// Number of rows before it.
    pub(super) earlier: usize,
    /// Number of rows after it. Those of a running episode are the ones so far.
    pub(super) later: usize,
}

const POSITION: &str = "episode_position";
const LENGTH: &str = "episode_length";

impl Episodes {
    pub(super) fn new(capacity: usize, num_envs: usize) -> Self {
        Episodes {
            num_envs,
            position: touched(capacity, 0),
            length: touched(capacity, 0),
            running: vec![0; num_envs],
            turn: None,
            cursor: 0,
            len: 0,
        }
    }

    /// Size for so many rows, bytes.
    pub(super) fn bytes(capacity: u64) -> u64 {
        capacity.saturating_mul(8)
    }

    fn capacity(&self) -> usize {
        self.position.len()
    }

    /// Adds the next row of the ring buffer, a step of environment `env`.
    pub(super) fn push(&mut self, env: usize, status: Status) {
        if self.turn.is_some_and(|turn| turn != env) {
            self.cut();
        }
        let row = self.cursor;
        self.position[row] = self.running[env];
        self.length[row] = 0;
        self.running[env] = self.running[env].saturating_add(1);
        self.cursor = (row + 1) % self.capacity();
        self.len = (self.len + 1).min(self.capacity());
        self.turn = Some((env + 1) % self.num_envs);
        if status.is_over() {
            self.end(env, row);
        }
    }

    /// Ends all running episodes where they are.
    pub(super) fn cut(&mut self) {
        let Some(turn) = self.turn else {
            return;
        };
        for env in 0..self.num_envs {
            match self.newest_row(env, turn) {
                Some(row) if self.running[env] > 0 => self.end(env, row),
                _ => self.running[env] = 0,
            }
        }
    }

    /// The newest row of an environment since the last cut, if it is still there; `turn` is the next to step.
    fn newest_row(&self, env: usize, turn: usize) -> Option<usize> {
        let age = (turn + self.num_envs - 1 - env) % self.num_envs;
        (age < self.len).then(|| self.back(self.cursor, age + 1))
    }

    /// The index of the row so many rows before `row`.
    fn back(&self, row: usize, rows: usize) -> usize {
        (row + self.capacity() - rows) % self.capacity()
    }

    /// Ends the episode of an environment, whose last row is `last`.
    fn end(&mut self, env: usize, last: usize) {
        let length = std::mem::take(&mut self.running[env]);
        // The older rows of a long episode were overwritten.
        let stored = (self.len - 1 - self.age(last)) / self.num_envs + 1;
        for k in 0..stored.min(length as usize) {
            let row = self.back(last, k * self.num_envs);
            self.length[row] = length;
        }
    }

    /// Number of rows after `row`, of all environments.
    fn age(&self, row: usize) -> usize {
        self.back(self.cursor, row + 1)
    }

    /// The rows of the same episode around `row`.
    pub(super) fn neighbours(&self, row: usize) -> Neighbours {
        let (position, age) = (self.position[row] as usize, self.age(row));
        Neighbours {
            earlier: position.min((self.len - 1 - age) / self.num_envs),
            later: match self.length[row] {
                0 => age / self.num_envs,
                length => length as usize - 1 - position,
            },
        }
    }

    /// The row of the same episode `steps` steps after `row`.
    pub(super) fn after(&self, row: usize, steps: usize) -> usize {
        (row + steps * self.num_envs) % self.capacity()
    }

    /// The row of the same episode `steps` steps before `row`.
    pub(super) fn before(&self, row: usize, steps: usize) -> usize {
        self.back(row, steps * self.num_envs)
    }

    /// The environment whose turn it is.
    pub(super) fn turn(&self) -> Option<usize> {
        self.turn
    }

    pub(super) fn save<'a>(&'a self, section: &mut Section<'a>) {
        for (name, values) in [(POSITION, &self.position), (LENGTH, &self.length)] {
            section.put_rows(name, &[self.len, 1], &values[..self.len]);
        }
    }

    /// Restores what [`Episodes::save`] wrote of `len` rows, the next of which goes to `cursor`.
    pub(super) fn load(&mut self, section: &Section, len: usize, cursor: usize, turn: Option<usize>) -> Result<()> {
        for (name, values) in [(POSITION, &mut self.position), (LENGTH, &mut self.length)] {
            let count = section.copy_to(name, values)?;
            if count != len {
                let problem = format!("column `{name}` holds {count} numbers, expected {len}");
                return Err(Error::section("replay", problem));
            }
        }
        (self.len, self.cursor, self.turn) = (len, cursor, turn);
        let is_possible = turn.map_or(len == 0, |turn| turn < self.num_envs && len > 0);
        if !is_possible || !self.are_chains() {
            return Err(Error::section("replay", "its rows cannot belong to episodes"));
        }
        for env in 0..self.num_envs {
            let newest = turn.and_then(|turn| self.newest_row(env, turn));
            let running = newest.filter(|row| self.length[*row] == 0);
            self.running[env] = running.map_or(0, |row| self.position[row].saturating_add(1));
        }
        Ok(())
    }

    /// Whether every row is followed by the next step of its episode, as far as that has gone.
    fn are_chains(&self) -> bool {
        (0..self.len).all(|age| {
            let row = self.back(self.cursor, age + 1);
            let (position, length) = (self.position[row], self.length[row]);
            let is_last = match length {
                0 => age < self.num_envs,
                length if position >= length => return false,
                length => position + 1 == length,
            };
            let next = self.after(row, 1);
            is_last
                || (age >= self.num_envs
                    && self.length[next] == length
                    && self.position[next] == position.saturating_add(1))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Status::{Running, Terminated, Truncated};

    fn pushed(capacity: usize, num_envs: usize, steps: &[(usize, Status)]) -> Episodes {
        let mut episodes = Episodes::new(capacity, num_envs);
        steps.iter().for_each(|(env, status)| episodes.push(*env, *status));
        episodes
    }

    fn around(episodes: &Episodes, row: usize) -> (usize, usize) {
        let Neighbours { earlier, later } = episodes.neighbours(row);
        (earlier, later)
    }

    #[test]
    fn rows_of_two_environments_know_their_own_episode() {
        let steps = [
            (0, Running),
            (1, Running),
            (0, Running),
            (1, Terminated),
            (0, Truncated),
            (1, Running),
            (0, Running),
        ];
        let episodes = pushed(10, 2, &steps);
        let found: Vec<_> = (0..7).map(|row| around(&episodes, row)).collect();
        assert_eq!(found, [(0, 2), (0, 1), (1, 1), (1, 0), (2, 0), (0, 0), (0, 0)]);
        assert_eq!((episodes.after(0, 2), episodes.before(4, 1)), (4, 2));
    }

    #[test]
    fn rows_that_were_overwritten_are_no_neighbours() {
        let episodes = pushed(4, 1, &[(0, Running); 6]);
        // Rows 4 and 5 of the history took the places 0 and 1.
        assert_eq!(around(&episodes, 2), (0, 3));
        assert_eq!(around(&episodes, 1), (3, 0));
        let mut ended = pushed(4, 1, &[(0, Running); 5]);
        ended.push(0, Terminated);
        assert_eq!(around(&ended, 2), (0, 3), "an episode longer than the replay");
        assert!(ended.are_chains());
    }

    #[test]
    fn a_step_out_of_turn_cuts_episodes_and_pairs_no_strangers() {
        let steps = [
            (0, Running),
            (1, Running),
            (0, Running),
            (0, Running),
            (1, Running),
            (0, Running),
        ];
        let episodes = pushed(10, 2, &steps);
        let found: Vec<_> = (0..6).map(|row| around(&episodes, row)).collect();
        assert_eq!(found, [(0, 1), (0, 0), (1, 0), (0, 1), (0, 0), (1, 0)]);
        assert!(episodes.are_chains());
    }
}
