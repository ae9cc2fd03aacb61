//! Columns of a fixed number of rows, written round and round.

use sac_envs::{Dtype, Space};

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

/// All columns, a cursor, and how much is filled.
pub(super) struct Storage {
    pub(super) obs: Column,
    pub(super) action: Column,
    pub(super) reward: Column,
    pub(super) discount: Column,
    pub(super) next_obs: Column,
    capacity: usize,
    cursor: usize,
    len: usize,
}

fn dtype(space: &Space) -> Dtype {
    match space {
        Space::Box { dtype, .. } => *dtype,
        Space::Discrete { .. } | Space::MultiDiscrete { .. } => Dtype::F32,
    }
}

impl Storage {
    /// Bytes per transition.
    pub(super) fn row_bytes(observation: &Space, action: &Space) -> usize {
        let per_number = if dtype(observation) == Dtype::U8 { 1 } else { 4 };
        2 * observation.len() * per_number + 4 * action.len() + 8
    }

    pub(super) fn new(capacity: usize, observation: &Space, action: &Space) -> Self {
        Storage {
            obs: Column::new("obs", observation.len(), capacity, dtype(observation)),
            action: Column::new("action", action.len(), capacity, Dtype::F32),
            reward: Column::new("reward", 1, capacity, Dtype::F32),
            discount: Column::new("discount", 1, capacity, Dtype::F32),
            next_obs: Column::new("next_obs", observation.len(), capacity, dtype(observation)),
            capacity,
            cursor: 0,
            len: 0,
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

    /// Writes a row, over the oldest one when full, and says where.
    pub(super) fn push(&mut self, obs: &[f32], action: &[f32], reward: f64, discount: f64, next_obs: &[f32]) -> usize {
        let row = self.cursor;
        self.obs.write(self.cursor, obs);
        self.action.write(self.cursor, action);
        self.reward.write(self.cursor, &[reward as f32]);
        self.discount.write(self.cursor, &[discount as f32]);
        self.next_obs.write(self.cursor, next_obs);
        self.cursor = (self.cursor + 1) % self.capacity;
        self.len = (self.len + 1).min(self.capacity);
        row
    }

    pub(super) fn save<'a>(&'a self, section: &mut Section<'a>) {
        for column in [&self.obs, &self.action, &self.reward, &self.discount, &self.next_obs] {
            column.save(self.len, section);
        }
    }

    pub(super) fn load(&mut self, section: &Section, len: usize, cursor: usize) -> Result<()> {
        if len > self.capacity || cursor >= self.capacity || (len < self.capacity && cursor != len) {
            let problem = format!(
                "{len} rows with cursor {cursor} do not fit a capacity of {}",
                self.capacity
            );
            return Err(Error::section("replay", problem));
        }
        for column in [
            &mut self.obs,
            &mut self.action,
            &mut self.reward,
            &mut self.discount,
            &mut self.next_obs,
        ] {
            column.load(len, section)?;
        }
        (self.len, self.cursor) = (len, cursor);
        Ok(())
    }
}
