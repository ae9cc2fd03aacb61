//! [`Memory`]: the numbers of a step, in memory that this process shares with a worker.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::AsRawFd;

use memmap2::MmapMut;
use rustix::fs::{MemfdFlags, memfd_create};
use serde::Serialize;

/// Memory for the environments of a worker.
pub(super) struct Memory {
    map: MmapMut,
    /// Kept open, so that the worker can open it by its path.
    file: File,
}

/// Where the numbers of one environment are, in bytes from the start. The worker reads it as JSON.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Layout {
    /// `[A]` f32.
    action: usize,
    actions: usize,
    /// `[O]`, f32 or bytes.
    observation: usize,
    observations: usize,
    /// Reward, and 1 for terminated plus 2 for truncated: two f64.
    end: usize,
    #[serde(skip)]
    is_bytes: bool,
}

/// Of every array, so that no two share a cache line.
const ALIGNMENT: usize = 64;

impl Layout {
    /// The layout of an environment that begins at `start`, and where the next one can begin.
    pub(super) fn at(start: usize, actions: usize, observations: usize, is_bytes: bool) -> (Self, usize) {
        let after = |start: usize, bytes: usize| (start + bytes).next_multiple_of(ALIGNMENT);
        let observation = after(start, 4 * actions);
        let end = after(observation, observations * if is_bytes { 1 } else { 4 });
        let layout = Layout {
            action: start,
            actions,
            observation,
            observations,
            end,
            is_bytes,
        };
        (layout, after(end, 16))
    }

    fn action(&self) -> Range<usize> {
        self.action..self.action + 4 * self.actions
    }

    fn observation(&self) -> Range<usize> {
        let bytes = self.observations * if self.is_bytes { 1 } else { 4 };
        self.observation..self.observation + bytes
    }
}

impl Memory {
    /// `size` zero bytes.
    ///
    /// # Errors
    /// When the system has no such memory.
    pub(super) fn new(size: usize) -> io::Result<Self> {
        let file = File::from(memfd_create("sac-python-env", MemfdFlags::CLOEXEC)?);
        file.set_len(size as u64)?;
        // SAFETY: the file has no name, so only the worker that is told its path changes it. It never makes it shorter,
        // and it writes only while this process waits for its answer, which it sends through a pipe.
        let map = unsafe { MmapMut::map_mut(&file)? };
        Ok(Memory { map, file })
    }

    /// Where another process of the same user can open it.
    pub(super) fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.file.as_raw_fd())
    }

    pub(super) fn size(&self) -> usize {
        self.map.len()
    }

    pub(super) fn write_action(&mut self, layout: &Layout, action: &[f32]) {
        let bytes = &mut self.map[layout.action()];
        for (bytes, x) in bytes.chunks_exact_mut(4).zip(action) {
            bytes.copy_from_slice(&x.to_ne_bytes());
        }
    }

    pub(super) fn read_observation(&self, layout: &Layout, obs: &mut [f32]) {
        let bytes = &self.map[layout.observation()];
        if layout.is_bytes {
            for (x, byte) in obs.iter_mut().zip(bytes) {
                *x = f32::from(*byte);
            }
            return;
        }
        for (x, bytes) in obs.iter_mut().zip(bytes.chunks_exact(4)) {
            *x = f32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        }
    }

    /// Reward, terminated, truncated.
    pub(super) fn read_end(&self, layout: &Layout) -> (f64, bool, bool) {
        let number = |at: usize| {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(&self.map[at..at + 8]);
            f64::from_ne_bytes(bytes)
        };
        let flags = number(layout.end + 8) as u8;
        (number(layout.end), flags & 1 != 0, flags & 2 != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn environments_do_not_overlap_and_numbers_are_read_back() {
        let (first, start) = Layout::at(0, 3, 5, false);
        let (second, size) = Layout::at(start, 1, 7, true);
        assert_eq!([first.observation, first.end, start], [64, 128, 192]);
        assert_eq!([second.observation, second.end, size], [256, 320, 384]);
        let mut memory = Memory::new(size).expect("a few bytes");
        memory.write_action(&first, &[1.0, -2.5, 3.0]);
        assert_eq!(memory.map[4..8], (-2.5f32).to_ne_bytes());
        memory.map[second.observation()].copy_from_slice(&[0, 1, 2, 3, 4, 5, 255]);
        let mut obs = [0.0; 7];
        memory.read_observation(&second, &mut obs);
        assert_eq!(obs, [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 255.0]);
        memory.map[second.end..second.end + 8].copy_from_slice(&0.1f64.to_ne_bytes());
        memory.map[second.end + 8..second.end + 16].copy_from_slice(&2.0f64.to_ne_bytes());
        assert_eq!(memory.read_end(&second), (0.1, false, true));
    }
}
