//! Observations that stack pictures, each picture kept once.
//!
//! A stack of k frames shares k − 1 of them with the observation before it, and at a reset all k are one picture. So
//! pictures lie in a ring of their own, in the order in which they came, and a row of the replay names the k of its
//! observation and the k of its successor. What is kept once is found by its content among the latest frames of its own
//! environment: resets, truncations, n-step rows and whatever an environment does come out right without being told.
//!
//! The ring is as large as the memory that was promised and no larger. When a frame is overwritten, the rows that could
//! need it go: always the oldest ones. A row names no frame that was older than `reach` frames when the row was made; an
//! environment that rested for longer has its frames written again. So the age of a row's frames is known from the
//! row's own age, and rows go in the order in which they came.
//!
//! One env step gives one frame, and an episode one more, its first. The ring has room for `capacity` of the former,
//! one in [`STEPS_PER_SPARE_FRAME`] more for the latter, and what rows reach back. Episodes of at least so many env steps
//! leave the replay its full capacity; shorter ones make it hold fewer rows.

use serde::{Deserialize, Serialize};

use super::column::touched;
use crate::{
    checkpoint::Section,
    error::{Error, Result},
};

/// One frame is spared for so many env steps: 1.6 % more memory than the steps alone would take. Episodes of the tasks
/// that are learned from pixels have 100 to 1000 env steps.
const STEPS_PER_SPARE_FRAME: u64 = 64;

/// What a ring of frames is laid out for.
#[derive(Clone, Copy, Debug)]
pub(super) struct FramesShape {
    /// k, at least 2.
    pub(super) stack: usize,
    /// Bytes of a frame.
    pub(super) width: usize,
    /// Rows of the replay.
    pub(super) capacity: usize,
    pub(super) num_envs: usize,
    pub(super) n_step: usize,
}

impl FramesShape {
    /// Frames of one environment that rows to come may still name: those from the oldest of an observation that waits in
    /// its n-step window to the newest.
    fn open(&self) -> usize {
        self.n_step.saturating_add(self.stack)
    }

    /// How many frames ago the oldest frame of a new row may have been written. Environments that are stepped in turn
    /// write at most two frames each in one round, one of them the first of an episode.
    fn reach(&self) -> u64 {
        (self.num_envs as u64)
            .saturating_mul(self.open() as u64)
            .saturating_mul(2)
    }

    /// Whether rows can name every frame.
    pub(super) fn are_nameable(&self) -> bool {
        self.slots() <= u64::from(u32::MAX)
    }

    /// Frames that fit.
    fn slots(&self) -> u64 {
        let capacity = self.capacity as u64;
        let own = 2 * self.stack as u64; // a row writes so many at most
        capacity
            .saturating_add(capacity.div_ceil(STEPS_PER_SPARE_FRAME))
            .saturating_add(self.reach())
            .saturating_add(own)
    }

    /// Bytes of the frames and of what names them.
    pub(super) fn bytes(&self) -> u64 {
        let row = (2 * self.stack * size_of::<u32>() + size_of::<i64>()) as u64;
        let frames = self.slots().saturating_mul(self.width as u64);
        frames.saturating_add((self.capacity as u64).saturating_mul(row))
    }
}

/// See the module.
pub(super) struct Frames {
    shape: FramesShape,
    slots: u64,
    /// `[slots, width]`
    pictures: Vec<u8>,
    /// Frames written so far: the number of the next one. It lies in the slot of its number modulo `slots`.
    written: u64,
    /// Numbers of the latest frames of each environment, oldest first.
    latest: Vec<Vec<u64>>,
    /// `[capacity, 2 k]`: slots of the observation, then of its successor.
    places: Vec<u32>,
    /// `[capacity]`: no frame of the row has a smaller number.
    floor: Vec<i64>,
    /// One frame on its way in.
    incoming: Vec<u8>,
}

/// What a checkpoint holds besides the tensors.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FramesState {
    written: u64,
    latest: Vec<Vec<u64>>,
}

impl Frames {
    /// Empty; every page is touched.
    pub(super) fn new(shape: FramesShape) -> Self {
        let slots = shape.slots();
        Frames {
            pictures: touched(slots as usize * shape.width, 0),
            written: 0,
            latest: vec![Vec::with_capacity(2 * shape.open() + 1); shape.num_envs],
            places: touched(shape.capacity * 2 * shape.stack, 0),
            floor: touched(shape.capacity, 0),
            incoming: vec![0; shape.width],
            slots,
            shape,
        }
    }

    /// The number of the oldest frame that is still there.
    fn oldest(&self) -> u64 {
        self.written.saturating_sub(self.slots)
    }

    fn picture(&self, slot: usize) -> &[u8] {
        &self.pictures[slot * self.shape.width..][..self.shape.width]
    }

    /// Writes row `row`: an observation of environment `env` and its successor.
    pub(super) fn write(&mut self, row: usize, env: usize, obs: &[f32], next_obs: &[f32]) {
        let floor = self.written.saturating_sub(self.shape.reach());
        self.floor[row] = floor as i64;
        let width = self.shape.width;
        let frames = obs.chunks_exact(width).chain(next_obs.chunks_exact(width));
        for (place, frame) in frames.enumerate() {
            // A space of bytes promises whole numbers from 0 to 255.
            self.incoming
                .iter_mut()
                .zip(frame)
                .for_each(|(byte, value)| *byte = *value as u8);
            let number = self.find(env, floor).unwrap_or_else(|| self.append(env));
            self.places[row * 2 * self.shape.stack + place] = (number % self.slots) as u32;
        }
    }

    /// The latest frame of an environment that equals the incoming one and is not below `floor`.
    fn find(&self, env: usize, floor: u64) -> Option<u64> {
        let is_it = |number: &&u64| {
            **number >= floor && self.picture((**number % self.slots) as usize) == self.incoming.as_slice()
        };
        self.latest[env].iter().rev().find(is_it).copied()
    }

    /// Writes the incoming frame, over the oldest one when full.
    fn append(&mut self, env: usize) -> u64 {
        let number = self.written;
        let start = (number % self.slots) as usize * self.shape.width;
        self.pictures[start..start + self.shape.width].copy_from_slice(&self.incoming);
        self.written += 1;
        let latest = &mut self.latest[env];
        latest.push(number);
        // Rows at an episode's start write frames in another order than the episode's: twice as many are remembered as
        // are open, so that none is written twice.
        if latest.len() > 2 * self.shape.open() {
            latest.remove(0);
        }
        number
    }

    /// Whether all frames of a row are there for sure.
    pub(super) fn holds(&self, row: usize) -> bool {
        self.floor[row] as u64 >= self.oldest()
    }

    /// Copies observations, or their successors, of rows into `out` `[rows.len(), k · width]`.
    pub(super) fn gather(&self, rows: &[usize], successors: bool, out: &mut [f32]) {
        let (stack, width) = (self.shape.stack, self.shape.width);
        assert_eq!(
            out.len(),
            rows.len() * stack * width,
            "the buffer has room for the batch"
        );
        for (out, row) in out.chunks_exact_mut(stack * width).zip(rows) {
            let first = row * 2 * stack + if successors { stack } else { 0 };
            let places = &self.places[first..first + stack];
            for (out, place) in out.chunks_exact_mut(width).zip(places) {
                let picture = self.picture(*place as usize);
                out.iter_mut()
                    .zip(picture)
                    .for_each(|(out, byte)| *out = f32::from(*byte));
            }
        }
    }

    /// The frames, and what the first `rows` rows name.
    pub(super) fn save<'a>(&'a self, rows: usize, section: &mut Section<'a>) {
        let held = self.written.min(self.slots) as usize;
        let (width, names) = (self.shape.width, 2 * self.shape.stack);
        section.put_slice("frames", &[held, width], &self.pictures[..held * width]);
        section.put_slice("frames_of_row", &[rows, names], &self.places[..rows * names]);
        section.put_slice("oldest_frame_of_row", &[rows], &self.floor[..rows]);
    }

    pub(super) fn state(&self) -> FramesState {
        FramesState {
            written: self.written,
            latest: self.latest.clone(),
        }
    }

    /// Takes back what [`Frames::save`] and [`Frames::state`] wrote, for so many rows.
    pub(super) fn load(&mut self, section: &Section, rows: usize, state: &FramesState) -> Result<()> {
        let held = state.written.min(self.slots) as usize;
        let counts = [
            section.copy_to("frames", &mut self.pictures)?,
            section.copy_to("frames_of_row", &mut self.places)?,
            section.copy_to("oldest_frame_of_row", &mut self.floor)?,
        ];
        let names = rows * 2 * self.shape.stack;
        let fits = counts == [held * self.shape.width, names, rows]
            && state.latest.len() == self.shape.num_envs
            && state.latest.iter().all(|latest| {
                latest.len() <= 2 * self.shape.open() && latest.iter().all(|number| *number < state.written)
            })
            && self.places[..names].iter().all(|place| (*place as usize) < held)
            && self.floor[..rows]
                .iter()
                .all(|floor| u64::try_from(*floor).is_ok_and(|floor| floor <= state.written));
        if !fits {
            let problem = format!(
                "its frames do not fit stacks of {} in {} slots",
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
