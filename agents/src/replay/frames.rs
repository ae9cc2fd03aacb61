//! Observations with stacked frames, of which each frame is stored once: [`Frames`].
//!
//! A stack of k frames shares k − 1 frames with the previous observation, and after a reset all k frames are equal.
//! Frames are therefore stored in a ring buffer of their own, in the order of arrival, and a row of the replay holds
//! the indices of the k frames of its observation and of the k frames of its successor. A known frame is recognised by
//! comparing its content with the latest frames of the same environment. This needs no information about resets,
//! truncations or n-step windows.
//!
//! The ring buffer has a fixed size. When a frame is overwritten, all rows that may refer to it are removed; these are
//! always the oldest rows. A new row refers only to the last `reach` frames: if an environment was idle for longer, its
//! frames are stored again. A lower bound of a row's frame numbers is therefore known when it is written, and rows
//! become invalid in the order in which they were written.
//!
//! Each env step adds one frame, and each episode one more, its first. The ring buffer has room for `capacity` frames,
//! one more per [`STEPS_PER_SPARE_FRAME`], and those within reach. If episodes have at least that many env steps on
//! average, the replay holds `capacity` rows, otherwise fewer.

use serde::{Deserialize, Serialize};

use super::column::touched;
use crate::{
    checkpoint::Section,
    error::{Error, Result},
};

/// Number of env steps per spare frame for the first frames of episodes, 1.6 % of the memory. Episodes of our tasks
/// with pixels have 100 to 1000 env steps.
const STEPS_PER_SPARE_FRAME: u64 = 64;

/// The dimensions of a ring buffer of frames.
#[derive(Clone, Copy, Debug)]
pub(super) struct FramesShape {
    /// k, frames per observation, at least 2.
    pub(super) stack: usize,
    /// Size of a frame, bytes.
    pub(super) width: usize,
    /// Capacity of the replay, rows.
    pub(super) capacity: usize,
    pub(super) num_envs: usize,
    pub(super) n_step: usize,
}

impl FramesShape {
    /// Number of latest frames of one environment that future rows may refer to: from the oldest frame of the first
    /// observation in the n-step window to the newest frame.
    fn open(&self) -> usize {
        self.n_step.saturating_add(self.stack)
    }

    /// Number of last written frames that a new row may refer to. When environments are stepped in turn, each writes at
    /// most two frames per step, one of them the first of an episode.
    fn reach(&self) -> u64 {
        (self.num_envs as u64)
            .saturating_mul(self.open() as u64)
            .saturating_mul(2)
    }

    /// Whether the index of every slot fits into a `u32`.
    pub(super) fn slots_fit_u32(&self) -> bool {
        self.slots() <= u64::from(u32::MAX)
    }

    /// Number of frames in the ring buffer.
    fn slots(&self) -> u64 {
        let capacity = self.capacity as u64;
        let per_row = 2 * self.stack as u64; // frames that one row may write
        capacity
            .saturating_add(capacity.div_ceil(STEPS_PER_SPARE_FRAME))
            .saturating_add(self.reach())
            .saturating_add(per_row)
    }

    /// Size of the frames and of the rows' indices, bytes.
    pub(super) fn bytes(&self) -> u64 {
        let row = (2 * self.stack * size_of::<u32>() + size_of::<i64>()) as u64;
        let frames = self.slots().saturating_mul(self.width as u64);
        frames.saturating_add((self.capacity as u64).saturating_mul(row))
    }
}

/// A ring buffer of frames, with the indices of the frames of each row.
///
/// Frames are numbered in the order of writing. Frame number i is in slot i modulo `slots`.
pub(super) struct Frames {
    shape: FramesShape,
    slots: u64,
    /// The frames, `[slots, width]`.
    frames: Vec<u8>,
    /// Number of frames written so far, which is the number of the next frame.
    written: u64,
    /// Numbers of the latest frames of each environment, oldest first.
    latest: Vec<Vec<u64>>,
    /// `[capacity, 2 k]`: slots of the frames of the observation, then of its successor.
    frame_slots: Vec<u32>,
    /// `[capacity]`: a lower bound of the frame numbers of the row.
    floor: Vec<i64>,
    /// Buffer for a frame before it is stored.
    incoming: Vec<u8>,
}

/// The state of the frames in a checkpoint, besides their tensors.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FramesState {
    written: u64,
    latest: Vec<Vec<u64>>,
}

impl Frames {
    /// An empty ring buffer, with all pages touched.
    pub(super) fn new(shape: FramesShape) -> Self {
        let slots = shape.slots();
        Frames {
            frames: touched(slots as usize * shape.width, 0),
            written: 0,
            latest: vec![Vec::with_capacity(2 * shape.open() + 1); shape.num_envs],
            frame_slots: touched(shape.capacity * 2 * shape.stack, 0),
            floor: touched(shape.capacity, 0),
            incoming: vec![0; shape.width],
            slots,
            shape,
        }
    }

    /// The number of the oldest frame that has not been overwritten.
    fn oldest(&self) -> u64 {
        self.written.saturating_sub(self.slots)
    }

    fn frame(&self, slot: usize) -> &[u8] {
        &self.frames[slot * self.shape.width..][..self.shape.width]
    }

    /// Writes the observation of environment `env` and its successor as row `row`.
    pub(super) fn write(&mut self, row: usize, env: usize, obs: &[f32], next_obs: &[f32]) {
        let floor = self.written.saturating_sub(self.shape.reach());
        self.floor[row] = floor as i64;
        let width = self.shape.width;
        let frames = obs.chunks_exact(width).chain(next_obs.chunks_exact(width));
        for (position, frame) in frames.enumerate() {
            // Values of a space of bytes are integers from 0 to 255.
            self.incoming
                .iter_mut()
                .zip(frame)
                .for_each(|(byte, value)| *byte = *value as u8);
            let number = self.find(env, floor).unwrap_or_else(|| self.append(env));
            self.frame_slots[row * 2 * self.shape.stack + position] = (number % self.slots) as u32;
        }
    }

    /// The number of the latest frame of an environment that equals the incoming frame and is at least `floor`.
    fn find(&self, env: usize, floor: u64) -> Option<u64> {
        let matches = |number: &&u64| {
            **number >= floor && self.frame((**number % self.slots) as usize) == self.incoming.as_slice()
        };
        self.latest[env].iter().rev().find(matches).copied()
    }

    /// Stores the incoming frame, and returns its number. A full ring buffer overwrites the oldest frame.
    fn append(&mut self, env: usize) -> u64 {
        let number = self.written;
        let start = (number % self.slots) as usize * self.shape.width;
        self.frames[start..start + self.shape.width].copy_from_slice(&self.incoming);
        self.written += 1;
        let latest = &mut self.latest[env];
        latest.push(number);
        // At the start of an episode, rows write frames in another order than that of the episode. Keeping twice the
        // number of open frames makes sure that no frame is stored twice.
        if latest.len() > 2 * self.shape.open() {
            latest.remove(0);
        }
        number
    }

    /// Whether all frames of a row are certain to be stored.
    pub(super) fn has_all(&self, row: usize) -> bool {
        self.floor[row] as u64 >= self.oldest()
    }

    /// Copies the observations of rows, or their successors, to `out` `[rows.len(), k · width]`.
    pub(super) fn gather(&self, rows: &[usize], successors: bool, out: &mut [f32]) {
        let (stack, width) = (self.shape.stack, self.shape.width);
        assert_eq!(
            out.len(),
            rows.len() * stack * width,
            "the buffer has room for the batch"
        );
        for (out, row) in out.chunks_exact_mut(stack * width).zip(rows) {
            let first = row * 2 * stack + if successors { stack } else { 0 };
            let frame_slots = &self.frame_slots[first..first + stack];
            for (out, slot) in out.chunks_exact_mut(width).zip(frame_slots) {
                let frame = self.frame(*slot as usize);
                out.iter_mut()
                    .zip(frame)
                    .for_each(|(out, byte)| *out = f32::from(*byte));
            }
        }
    }

    /// Writes the frames, and the indices of the first `rows` rows, to `section`.
    pub(super) fn save<'a>(&'a self, rows: usize, section: &mut Section<'a>) {
        let stored = self.written.min(self.slots) as usize;
        let (width, slots_per_row) = (self.shape.width, 2 * self.shape.stack);
        section.put_rows("frames", &[stored, width], &self.frames[..stored * width]);
        section.put_rows(
            "frames_of_row",
            &[rows, slots_per_row],
            &self.frame_slots[..rows * slots_per_row],
        );
        section.put_rows("oldest_frame_of_row", &[rows], &self.floor[..rows]);
    }

    pub(super) fn state(&self) -> FramesState {
        FramesState {
            written: self.written,
            latest: self.latest.clone(),
        }
    }

    /// Restores the state written by [`Frames::save`] and [`Frames::state`], for `rows` rows.
    pub(super) fn load(&mut self, section: &Section, rows: usize, state: &FramesState) -> Result<()> {
        let stored = state.written.min(self.slots) as usize;
        let counts = [
            section.copy_to("frames", &mut self.frames)?,
            section.copy_to("frames_of_row", &mut self.frame_slots)?,
            section.copy_to("oldest_frame_of_row", &mut self.floor)?,
        ];
        let slot_count = rows * 2 * self.shape.stack;
        let fits = counts == [stored * self.shape.width, slot_count, rows]
            && state.latest.len() == self.shape.num_envs
            && state.latest.iter().all(|latest| {
                latest.len() <= 2 * self.shape.open() && latest.iter().all(|number| *number < state.written)
            })
            && self.frame_slots[..slot_count]
                .iter()
                .all(|slot| (*slot as usize) < stored)
            && self.floor[..rows]
                .iter()
                .all(|floor| u64::try_from(*floor).is_ok_and(|floor| floor <= state.written));
        if !fits {
            let problem = format!(
                "frames do not fit observations of {} frames and {} slots",
                self.shape.stack, self.slots
            );
            return Err(Error::section("replay", problem));
        }
        self.written = state.written;
        for (latest, saved) in self.latest.iter_mut().zip(&state.latest) {
            latest.clear();
            latest.extend_from_slice(saved);
        }
        Ok(())
    }
}
