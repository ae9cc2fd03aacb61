//! The rows of a replay as a ring buffer: [`Storage`].

use sac_envs::{Dtype, Space};
use serde::{Deserialize, Serialize};

use super::{
    column::Column,
    frames::{Frames, FramesShape, FramesState},
    n_step::Folded,
};
use crate::{
    checkpoint::Section,
    error::{Error, Result},
};

/// Observations and their successors.
enum Observations {
    /// Complete observations.
    Whole { obs: Column, next_obs: Column },
    /// Stacked frames of bytes, which rows share.
    Stacked(Frames),
}

/// The dimensions of a storage.
#[derive(Clone, Copy)]
pub(super) struct Layout<'a> {
    pub(super) observation: &'a Space,
    pub(super) action: &'a Space,
    /// Number of frames per observation; 1 without frame stacking.
    pub(super) stacked_frames: usize,
    pub(super) num_envs: usize,
    pub(super) n_step: usize,
    /// Whether rows have entropies.
    pub(super) soft: bool,
    pub(super) capacity: usize,
}

impl Layout<'_> {
    /// The dimensions of the shared frames, if observations stack several frames of bytes.
    pub(super) fn frames(&self) -> Option<FramesShape> {
        let (stack, width) = (self.stacked_frames, self.observation.len());
        let is_stack = stack > 1 && width.is_multiple_of(stack) && dtype(self.observation) == Dtype::U8;
        let shape = FramesShape {
            stack,
            width: width / stack.max(1),
            capacity: self.capacity,
            num_envs: self.num_envs,
            n_step: self.n_step,
        };
        (is_stack && shape.slots_fit_u32()).then_some(shape)
    }

    /// Size of all rows, bytes.
    pub(super) fn bytes(&self) -> u64 {
        let per_number = if dtype(self.observation) == Dtype::U8 { 1 } else { 4 };
        let whole = (2 * self.observation.len() * per_number) as u64;
        let rest = (4 * self.action.len() + if self.soft { 12 } else { 8 }) as u64;
        let rows = self.capacity as u64;
        match self.frames() {
            None => rows.saturating_mul(whole + rest),
            Some(frames) => rows.saturating_mul(rest).saturating_add(frames.bytes()),
        }
    }
}

/// The memory layout of rows.
enum Rows {
    /// For observations of `f32`, a row is contiguous: observation, action, reward, discount, next observation. Rows of
    /// a large replay are not in the cache, and this layout touches the fewest cache lines.
    Contiguous(Column),
    /// For observations of bytes, each quantity has a column of its own.
    Columns(Box<Columns>),
}

/// The quantities of rows in separate columns.
struct Columns {
    observations: Observations,
    action: Column,
    reward: Column,
    discount: Column,
}

impl Columns {
    /// All columns, without shared frames.
    fn all(&self) -> Vec<&Column> {
        let mut columns = vec![&self.action, &self.reward, &self.discount];
        if let Observations::Whole { obs, next_obs } = &self.observations {
            columns.extend([obs, next_obs]);
        }
        columns
    }

    /// Shared frames and all columns, for loading.
    fn parts_mut(&mut self) -> (Option<&mut Frames>, Vec<&mut Column>) {
        let mut columns = vec![&mut self.action, &mut self.reward, &mut self.discount];
        match &mut self.observations {
            Observations::Whole { obs, next_obs } => {
                columns.extend([obs, next_obs]);
                (None, columns)
            }
            Observations::Stacked(frames) => (Some(frames), columns),
        }
    }
}

/// A ring buffer of rows.
pub(super) struct Storage {
    rows: Rows,
    /// Discounted sums of entropies, if rows have them.
    entropy: Option<Column>,
    /// Numbers per observation, and per action.
    widths: (usize, usize),
    capacity: usize,
    /// Index of the next row to write.
    cursor: usize,
    /// Number of valid rows, the newest ones.
    len: usize,
    /// Number of rows that have been written. Larger than `len` if frames of the oldest rows were overwritten.
    filled: usize,
}

/// The buffers of a batch.
pub(super) struct Gathered<'a> {
    pub(super) obs: &'a mut [f32],
    pub(super) action: &'a mut [f32],
    pub(super) reward: &'a mut [f32],
    pub(super) discount: &'a mut [f32],
    pub(super) entropy: &'a mut [f32],
    pub(super) next_obs: &'a mut [f32],
}

/// The state of a storage with shared frames in a checkpoint, besides its tensors.
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
        let widths = (observation.len(), action.len());
        let column = |name, width, dtype| Column::new(name, width, capacity, dtype);
        let whole = |name| column(name, observation.len(), Dtype::U8);
        let rows = match (dtype(observation), layout.frames()) {
            (Dtype::F32 | Dtype::I32, _) => Rows::Contiguous(column("rows", 2 * widths.0 + widths.1 + 2, Dtype::F32)),
            (Dtype::U8, frames) => Rows::Columns(Box::new(Columns {
                observations: match frames {
                    None => Observations::Whole {
                        obs: whole("obs"),
                        next_obs: whole("next_obs"),
                    },
                    Some(shape) => Observations::Stacked(Frames::new(shape)),
                },
                action: column("action", widths.1, Dtype::F32),
                reward: column("reward", 1, Dtype::F32),
                discount: column("discount", 1, Dtype::F32),
            })),
        };
        Storage {
            rows,
            entropy: layout.soft.then(|| column("entropy", 1, Dtype::F32)),
            widths,
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

    /// Number of rows that have been written, and that a checkpoint holds.
    pub(super) fn filled(&self) -> usize {
        self.filled
    }

    /// Index of the oldest valid row.
    fn oldest(&self) -> usize {
        (self.cursor + self.capacity - self.len) % self.capacity
    }

    /// Index of the valid row `nth`, in `0..len`, counted from the oldest, or from index 0 if the storage is full.
    pub(super) fn index_of(&self, nth: usize) -> usize {
        match self.len == self.capacity {
            true => nth,
            false => (self.oldest() + nth) % self.capacity,
        }
    }

    /// Whether the row at index `index` is valid.
    pub(super) fn is_valid(&self, index: usize) -> bool {
        (index + self.capacity - self.oldest()) % self.capacity < self.len
    }

    /// Writes a row of environment `env`, and returns its index. A full storage overwrites the oldest row.
    pub(super) fn push(&mut self, env: usize, folded: &Folded, next_obs: &[f32]) -> usize {
        let Folded { obs, action, .. } = *folded;
        let row = self.cursor;
        let rest = [folded.reward as f32, folded.discount as f32];
        if let Some(column) = &mut self.entropy {
            column.write(row, &[folded.entropy as f32]);
        }
        match &mut self.rows {
            Rows::Contiguous(rows) => {
                let mut to = rows.row_mut(row);
                for part in [obs, action, &rest, next_obs] {
                    let (span, later) = to.split_at_mut(part.len());
                    span.copy_from_slice(part);
                    to = later;
                }
            }
            Rows::Columns(columns) => {
                match &mut columns.observations {
                    Observations::Whole {
                        obs: obs_column,
                        next_obs: next_obs_column,
                    } => {
                        obs_column.write(row, obs);
                        next_obs_column.write(row, next_obs);
                    }
                    Observations::Stacked(frames) => frames.write(row, env, obs, next_obs),
                }
                columns.action.write(row, action);
                columns.reward.write(row, &rest[..1]);
                columns.discount.write(row, &rest[1..]);
            }
        }
        self.cursor = (self.cursor + 1) % self.capacity;
        self.len = (self.len + 1).min(self.capacity);
        self.filled = (self.filled + 1).min(self.capacity);
        row
    }

    /// Removes the oldest row if its frames were overwritten, and returns its index.
    pub(super) fn pop_incomplete(&mut self) -> Option<usize> {
        let frames = self.frames()?;
        let oldest = self.oldest();
        if self.len == 0 || frames.has_all(oldest) {
            return None;
        }
        self.len -= 1;
        Some(oldest)
    }

    /// The shared frames, if there are any.
    fn frames(&self) -> Option<&Frames> {
        match &self.rows {
            Rows::Contiguous(_) => None,
            Rows::Columns(columns) => match &columns.observations {
                Observations::Whole { .. } => None,
                Observations::Stacked(frames) => Some(frames),
            },
        }
    }

    /// Prefetches a row that will be gathered soon. The latencies of several prefetches overlap.
    #[inline(always)]
    pub(super) fn prefetch(&self, row: usize) {
        if let Rows::Contiguous(rows) = &self.rows {
            rows.prefetch(row);
        }
    }

    /// The successor observation of a row of `f32`.
    pub(super) fn next_obs(&self, row: usize) -> &[f32] {
        match &self.rows {
            Rows::Contiguous(rows) => &rows.row(row)[self.widths.0 + self.widths.1 + 2..],
            Rows::Columns(_) => unreachable!("hindsight is refused for observations of bytes"),
        }
    }

    /// Copies rows into the buffers of a batch.
    pub(super) fn gather(&self, indices: &[usize], into: &mut Gathered) {
        if let Some(column) = &self.entropy {
            column.gather(indices, into.entropy);
        }
        match &self.rows {
            Rows::Contiguous(rows) => {
                let (width, action_width) = self.widths;
                let to = into
                    .obs
                    .chunks_exact_mut(width)
                    .zip(into.next_obs.chunks_exact_mut(width))
                    .zip(into.action.chunks_exact_mut(action_width))
                    .zip(into.reward.iter_mut())
                    .zip(into.discount.iter_mut());
                for (index, ((((obs, next_obs), action), reward), discount)) in indices.iter().zip(to) {
                    let (stored_obs, rest) = rows.row(*index).split_at(width);
                    let (stored_action, rest) = rest.split_at(action_width);
                    obs.copy_from_slice(stored_obs);
                    action.copy_from_slice(stored_action);
                    (*reward, *discount) = (rest[0], rest[1]);
                    next_obs.copy_from_slice(&rest[2..]);
                }
            }
            Rows::Columns(columns) => {
                match &columns.observations {
                    Observations::Whole { obs, next_obs } => {
                        obs.gather(indices, into.obs);
                        next_obs.gather(indices, into.next_obs);
                    }
                    Observations::Stacked(frames) => {
                        frames.gather(indices, false, into.obs);
                        frames.gather(indices, true, into.next_obs);
                    }
                }
                columns.action.gather(indices, into.action);
                columns.reward.gather(indices, into.reward);
                columns.discount.gather(indices, into.discount);
            }
        }
    }

    pub(super) fn save<'a>(&'a self, section: &mut Section<'a>) {
        let filled = self.filled;
        if let Some(frames) = self.frames() {
            frames.save(filled, section);
        }
        let columns = match &self.rows {
            Rows::Contiguous(rows) => vec![rows],
            Rows::Columns(columns) => columns.all(),
        };
        let columns = columns.into_iter().chain(&self.entropy);
        columns.for_each(|column| column.save(filled, section));
    }

    /// The state of shared frames; `None` if there are none.
    pub(super) fn stacked_state(&self) -> Option<StackedState> {
        self.frames().map(|frames| StackedState {
            filled_rows: self.filled,
            frames: frames.state(),
        })
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
        let (frames, columns) = match &mut self.rows {
            Rows::Contiguous(rows) => (None, vec![rows]),
            Rows::Columns(columns) => columns.parts_mut(),
        };
        match (frames, stacked) {
            (None, None) => {}
            (Some(frames), Some(state)) => frames.load(section, filled, &state.frames)?,
            (None, Some(_)) => {
                return Err(Error::section(
                    "replay",
                    "holds stacked frames, expected whole observations",
                ));
            }
            (Some(_), None) => {
                return Err(Error::section(
                    "replay",
                    "holds whole observations, expected stacked frames",
                ));
            }
        }
        for column in columns.into_iter().chain(&mut self.entropy) {
            column.load(filled, section)?;
        }
        (self.len, self.cursor, self.filled) = (len, cursor, filled);
        match self.frames() {
            Some(frames) if (0..len).any(|nth| !frames.has_all(self.index_of(nth))) => {
                Err(Error::section("replay", "frames of a row are missing"))
            }
            _ => Ok(()),
        }
    }
}
