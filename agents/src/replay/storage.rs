//! Columns of a fixed number of rows, written round and round.

use sac_envs::{Dtype, Space};
use serde::{Deserialize, Serialize};

use super::frames::{Frames, FramesShape, FramesState};
use crate::{
    checkpoint::Section,
    error::{Error, Result},
};

/// One quantity, `width` numbers per row.
pub(super) struct Column {
    name: &'static str,
    width: usize,
    data: Data,
}

enum Data {
    F32(Vec<f32>),
    U8(Vec<u8>),
}

/// Zeros whose pages are all touched: `vec![0; n]` alone would leave them to the operating system until first use.
pub(super) fn touched<T: Copy>(count: usize, zero: T) -> Vec<T> {
    let mut data = Vec::with_capacity(count);
    data.resize(count, std::hint::black_box(zero));
    data
}

impl Column {
    fn new(name: &'static str, width: usize, capacity: usize, dtype: Dtype) -> Self {
        let data = match dtype {
            Dtype::F32 => Data::F32(touched(width * capacity, 0.0)),
            Dtype::U8 => Data::U8(touched(width * capacity, 0)),
        };
        Column { name, width, data }
    }

    fn write(&mut self, row: usize, values: &[f32]) {
        let span = row * self.width..(row + 1) * self.width;
        match &mut self.data {
            Data::F32(data) => data[span].copy_from_slice(values),
            // A space of bytes promises whole numbers from 0 to 255.
            Data::U8(data) => data[span]
                .iter_mut()
                .zip(values)
                .for_each(|(byte, value)| *byte = *value as u8),
        }
    }

    /// Copies rows into `out` `[indices.len(), width]`.
    pub(super) fn gather(&self, indices: &[usize], out: &mut [f32]) {
        assert_eq!(
            out.len(),
            indices.len() * self.width,
            "the buffer has room for the batch"
        );
        for (out, row) in out.chunks_exact_mut(self.width).zip(indices) {
            let span = row * self.width..(row + 1) * self.width;
            match &self.data {
                Data::F32(data) => out.copy_from_slice(&data[span]),
                Data::U8(data) => out
                    .iter_mut()
                    .zip(&data[span])
                    .for_each(|(out, byte)| *out = f32::from(*byte)),
            }
        }
    }

    fn save<'a>(&'a self, rows: usize, section: &mut Section<'a>) {
        let shape = [rows, self.width];
        match &self.data {
            Data::F32(data) => section.put_slice(self.name, &shape, &data[..rows * self.width]),
            Data::U8(data) => section.put_slice(self.name, &shape, &data[..rows * self.width]),
        }
    }

    fn load(&mut self, rows: usize, section: &Section) -> Result<()> {
        let count = match &mut self.data {
            Data::F32(data) => section.copy_to(self.name, data)?,
            Data::U8(data) => section.copy_to(self.name, data)?,
        };
        if count != rows * self.width {
            let problem = format!(
                "column `{}` holds {count} numbers, expected {rows} × {}",
                self.name, self.width
            );
            return Err(Error::section("replay", problem));
        }
        Ok(())
    }
}

/// Observations and their successors.
enum Observations {
    /// Every one for itself.
    Whole { obs: Column, next_obs: Column },
    /// Stacks of bytes, whose frames are shared.
    Stacked(Frames),
}

/// What rows are laid out for.
#[derive(Clone, Copy)]
pub(super) struct Layout<'a> {
    pub(super) observation: &'a Space,
    pub(super) action: &'a Space,
    /// Frames that an observation stacks; 1 where it stacks none.
    pub(super) stacked_frames: usize,
    pub(super) num_envs: usize,
    pub(super) n_step: usize,
    pub(super) capacity: usize,
}

impl Layout<'_> {
    /// Frames are shared where observations stack several, of bytes.
    fn frames(&self) -> Option<FramesShape> {
        let (stack, numbers) = (self.stacked_frames, self.observation.len());
        let is_stack = stack > 1 && numbers.is_multiple_of(stack) && dtype(self.observation) == Dtype::U8;
        let shape = FramesShape {
            stack,
            width: numbers / stack.max(1),
            capacity: self.capacity,
            num_envs: self.num_envs,
            n_step: self.n_step,
        };
        (is_stack && shape.are_nameable()).then_some(shape)
    }

    /// Bytes of all rows.
    pub(super) fn bytes(&self) -> u64 {
        let per_number = if dtype(self.observation) == Dtype::U8 { 1 } else { 4 };
        let whole = (2 * self.observation.len() * per_number) as u64;
        let rest = (4 * self.action.len() + 8) as u64;
        let rows = self.capacity as u64;
        match self.frames() {
            None => rows.saturating_mul(whole + rest),
            Some(frames) => rows.saturating_mul(rest).saturating_add(frames.bytes()),
        }
    }
}

/// All columns, a cursor, and how much is filled.
pub(super) struct Storage {
    observations: Observations,
    action: Column,
    reward: Column,
    discount: Column,
    capacity: usize,
    cursor: usize,
    /// Rows held: the newest ones.
    len: usize,
    /// Rows ever filled: more than are held where the frames of the oldest are gone.
    filled: usize,
}

/// Where a batch is gathered into.
pub(super) struct Gathered<'a> {
    pub(super) obs: &'a mut [f32],
    pub(super) action: &'a mut [f32],
    pub(super) reward: &'a mut [f32],
    pub(super) discount: &'a mut [f32],
    pub(super) next_obs: &'a mut [f32],
}

/// What a checkpoint holds of a storage with shared frames, besides the tensors.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StackedState {
    filled_rows: usize,
    frames: FramesState,
}

fn dtype(space: &Space) -> Dtype {
    match space {
        Space::Box { dtype, .. } => *dtype,
        Space::Discrete { .. } | Space::MultiDiscrete { .. } => Dtype::F32,
    }
}

impl Storage {
    pub(super) fn new(layout: &Layout) -> Self {
        let Layout {
            observation,
            action,
            capacity,
            ..
        } = *layout;
        let whole = |name| Column::new(name, observation.len(), capacity, dtype(observation));
        Storage {
            observations: match layout.frames() {
                None => Observations::Whole {
                    obs: whole("obs"),
                    next_obs: whole("next_obs"),
                },
                Some(shape) => Observations::Stacked(Frames::new(shape)),
            },
            action: Column::new("action", action.len(), capacity, Dtype::F32),
            reward: Column::new("reward", 1, capacity, Dtype::F32),
            discount: Column::new("discount", 1, capacity, Dtype::F32),
            capacity,
            cursor: 0,
            len: 0,
            filled: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn capacity(&self) -> usize {
        self.capacity
    }

    pub(super) fn cursor(&self) -> usize {
        self.cursor
    }

    /// Rows ever filled, as many as there is something to save of.
    pub(super) fn filled(&self) -> usize {
        self.filled
    }

    /// The place of the oldest row.
    fn oldest(&self) -> usize {
        (self.cursor + self.capacity - self.len) % self.capacity
    }

    /// The place of one of the rows held, `nth` in `0..len`. A full storage counts from its first place.
    pub(super) fn place(&self, nth: usize) -> usize {
        match self.len == self.capacity {
            true => nth,
            false => (self.oldest() + nth) % self.capacity,
        }
    }

    /// Whether there is a row at a place.
    pub(super) fn is_held(&self, place: usize) -> bool {
        (place + self.capacity - self.oldest()) % self.capacity < self.len
    }

    /// Writes a row of environment `env`, over the oldest one when full, and says where.
    pub(super) fn push(
        &mut self,
        env: usize,
        obs: &[f32],
        action: &[f32],
        reward: f64,
        discount: f64,
        next_obs: &[f32],
    ) -> usize {
        let row = self.cursor;
        match &mut self.observations {
            Observations::Whole {
                obs: now,
                next_obs: next,
            } => {
                now.write(row, obs);
                next.write(row, next_obs);
            }
            Observations::Stacked(frames) => frames.write(row, env, obs, next_obs),
        }
        self.action.write(row, action);
        self.reward.write(row, &[reward as f32]);
        self.discount.write(row, &[discount as f32]);
        self.cursor = (self.cursor + 1) % self.capacity;
        self.len = (self.len + 1).min(self.capacity);
        self.filled = (self.filled + 1).min(self.capacity);
        row
    }

    /// Lets the oldest row go if its frames were overwritten, and says where it was.
    pub(super) fn pop_incomplete(&mut self) -> Option<usize> {
        let Observations::Stacked(frames) = &self.observations else {
            return None;
        };
        let oldest = self.oldest();
        if self.len == 0 || frames.holds(oldest) {
            return None;
        }
        self.len -= 1;
        Some(oldest)
    }

    /// Copies rows.
    pub(super) fn gather(&self, rows: &[usize], into: Gathered) {
        match &self.observations {
            Observations::Whole { obs, next_obs } => {
                obs.gather(rows, into.obs);
                next_obs.gather(rows, into.next_obs);
            }
            Observations::Stacked(frames) => {
                frames.gather(rows, false, into.obs);
                frames.gather(rows, true, into.next_obs);
            }
        }
        self.action.gather(rows, into.action);
        self.reward.gather(rows, into.reward);
        self.discount.gather(rows, into.discount);
    }

    pub(super) fn save<'a>(&'a self, section: &mut Section<'a>) {
        let rows = self.filled;
        let whole = match &self.observations {
            Observations::Whole { obs, next_obs } => Some((obs, next_obs)),
            Observations::Stacked(frames) => {
                frames.save(rows, section);
                None
            }
        };
        let (obs, next_obs) = whole.unzip();
        let columns = [
            obs,
            Some(&self.action),
            Some(&self.reward),
            Some(&self.discount),
            next_obs,
        ];
        columns
            .into_iter()
            .flatten()
            .for_each(|column| column.save(rows, section));
    }

    /// `None` where nothing is shared.
    pub(super) fn stacked_state(&self) -> Option<StackedState> {
        match &self.observations {
            Observations::Whole { .. } => None,
            Observations::Stacked(frames) => Some(StackedState {
                filled_rows: self.filled,
                frames: frames.state(),
            }),
        }
    }

    pub(super) fn load(
        &mut self,
        section: &Section,
        len: usize,
        cursor: usize,
        stacked: Option<&StackedState>,
    ) -> Result<()> {
        let filled = stacked.map_or(len, |state| state.filled_rows);
        let fits = len <= filled && filled <= self.capacity && cursor < self.capacity;
        if !fits || (filled < self.capacity && cursor != filled) {
            let problem = format!(
                "{len} rows with cursor {cursor} do not fit a capacity of {}",
                self.capacity
            );
            return Err(Error::section("replay", problem));
        }
        match (&mut self.observations, stacked) {
            (Observations::Whole { obs, next_obs }, None) => {
                obs.load(filled, section)?;
                next_obs.load(filled, section)?;
            }
            (Observations::Stacked(frames), Some(state)) => frames.load(section, filled, &state.frames)?,
            (Observations::Whole { .. }, Some(_)) => {
                return Err(Error::section(
                    "replay",
                    "holds stacked frames, expected whole observations",
                ));
            }
            (Observations::Stacked(_), None) => {
                return Err(Error::section(
                    "replay",
                    "holds whole observations, expected stacked frames",
                ));
            }
        }
        for column in [&mut self.action, &mut self.reward, &mut self.discount] {
            column.load(filled, section)?;
        }
        (self.len, self.cursor, self.filled) = (len, cursor, filled);
        let incomplete = |frames: &Frames| (0..len).any(|nth| !frames.holds(self.place(nth)));
        match &self.observations {
            Observations::Stacked(frames) if incomplete(frames) => {
                Err(Error::section("replay", "a row's frames are gone"))
            }
            _ => Ok(()),
        }
    }
}
