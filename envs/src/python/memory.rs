//! [`Memory`]: the numbers of a step and the words that announce it, in memory that this process shares with a worker.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicU64, Ordering, fence};

use memmap2::MmapRaw;
use rustix::fs::{MemfdFlags, memfd_create};
use serde::Serialize;

use crate::Outcome;

/// Memory for the environments of a worker: [`WORDS`] bytes of words, then rows of numbers.
pub(super) struct Memory {
    map: MmapRaw,
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
    /// Reward and flags: two f64. See [`Outcome::of_flags`].
    end: usize,
    #[serde(skip)]
    is_bytes: bool,
}

/// Bytes of the words: a cache line that this process writes, and one that the worker writes.
pub(super) const WORDS: usize = 128;
/// The number of requests, and in the low bits what the last one is: see [`Request`].
const REQUESTED: usize = 0;
/// 1 while this process sleeps and is to be woken through the pipe.
const TRAINER_SLEEPS: usize = 8;
/// The number of the request that was answered, and 1 in the low bits if it failed.
const ANSWERED: usize = 64;
const WORKER_SLEEPS: usize = 72;
/// Bits below the number of a request: 40 bits are enough for the requests of any run.
const LOW_BITS: u32 = 24;
const LOW: u64 = (1 << LOW_BITS) - 1;

/// A request. The number of an environment is in it where there is one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Request {
    Step(u16),
    /// A reset without a seed.
    Reset(u16),
    /// What the pipe says.
    InPipe,
}

impl Request {
    fn low_bits(self) -> u64 {
        match self {
            Request::Step(env) => u64::from(env),
            Request::Reset(env) => 1 << 16 | u64::from(env),
            Request::InPipe => LOW,
        }
    }
}

/// How a step or a reset ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Ended {
    Well,
    /// The reason is in the pipe.
    Badly,
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
        let map = MmapRaw::map_raw(&file)?;
        Ok(Memory { map, file })
    }

    fn word(&self, at: usize) -> &AtomicU64 {
        assert!(
            at.is_multiple_of(8) && at + 8 <= WORDS.min(self.size()),
            "a word lies among the words"
        );
        // SAFETY: the map begins at a page, lives as long as `self`, and is long enough, as was just checked. Both processes
        // change words as a whole.
        unsafe { AtomicU64::from_ptr(self.map.as_mut_ptr().add(at).cast()) }
    }

    fn bytes(&self, range: Range<usize>) -> &[u8] {
        assert!(
            WORDS <= range.start && range.start <= range.end && range.end <= self.size(),
            "rows lie in the memory"
        );
        // SAFETY: the range was just checked. The file has no name, so only the worker that is told its path changes it. It
        // never makes it shorter, and it writes rows only while this process waits for its answer.
        unsafe { std::slice::from_raw_parts(self.map.as_ptr().add(range.start), range.len()) }
    }

    fn bytes_mut(&mut self, range: Range<usize>) -> &mut [u8] {
        assert!(
            WORDS <= range.start && range.start <= range.end && range.end <= self.size(),
            "rows lie in the memory"
        );
        // SAFETY: as in `bytes`, and nothing else of this process has access.
        unsafe { std::slice::from_raw_parts_mut(self.map.as_mut_ptr().add(range.start), range.len()) }
    }

    /// Announces a request. Returns whether the worker has to be woken.
    pub(super) fn announce(&self, request: Request) -> bool {
        let count = self.word(REQUESTED).load(Ordering::Relaxed) >> LOW_BITS;
        let word = (count + 1) << LOW_BITS | request.low_bits();
        self.word(REQUESTED).store(word, Ordering::Release);
        fence(Ordering::SeqCst);
        self.word(WORKER_SLEEPS).load(Ordering::Relaxed) != 0
    }

    /// How the step or reset that was announced last ended, if it has.
    pub(super) fn ended(&self) -> Option<Ended> {
        let answer = self.word(ANSWERED).load(Ordering::Acquire);
        let is_answered = answer >> LOW_BITS == self.word(REQUESTED).load(Ordering::Relaxed) >> LOW_BITS;
        is_answered.then_some(if answer & LOW == 0 { Ended::Well } else { Ended::Badly })
    }

    /// Tells the worker whether an answer has to wake this process.
    pub(super) fn set_sleeping(&self, sleeps: bool) {
        self.word(TRAINER_SLEEPS).store(u64::from(sleeps), Ordering::Release);
        fence(Ordering::SeqCst);
    }

    /// Where another process of the same user can open it.
    pub(super) fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.file.as_raw_fd())
    }

    pub(super) fn size(&self) -> usize {
        self.map.len()
    }

    pub(super) fn write_action(&mut self, layout: &Layout, action: &[f32]) {
        let bytes = self.bytes_mut(layout.action());
        for (bytes, x) in bytes.chunks_exact_mut(4).zip(action) {
            bytes.copy_from_slice(&x.to_ne_bytes());
        }
    }

    pub(super) fn read_observation(&self, layout: &Layout, obs: &mut [f32]) {
        let bytes = self.bytes(layout.observation());
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

    /// How a step ended.
    pub(super) fn read_end(&self, layout: &Layout) -> Outcome {
        let number = |at: usize| {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(self.bytes(at..at + 8));
            f64::from_ne_bytes(bytes)
        };
        Outcome::of_flags(number(layout.end), number(layout.end + 8))
    }
}

impl Outcome {
    /// A reward, and the flags that `hosted.py` writes: 1 for terminated, 2 for truncated, 4 if the environment says
    /// whether it is solved, and 8 if it is.
    pub fn of_flags(reward: f64, flags: f64) -> Self {
        let flags = flags as u8;
        Outcome {
            reward,
            terminated: flags & 1 != 0,
            truncated: flags & 2 != 0,
            success: (flags & 4 != 0).then_some(flags & 8 != 0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn environments_do_not_overlap_and_numbers_are_read_back() {
        let (first, start) = Layout::at(WORDS, 3, 5, false);
        let (second, size) = Layout::at(start, 1, 7, true);
        assert_eq!([first.observation, first.end, start], [192, 256, 320]);
        assert_eq!([second.observation, second.end, size], [384, 448, 512]);
        let mut memory = Memory::new(size).expect("a few bytes");
        memory.write_action(&first, &[1.0, -2.5, 3.0]);
        assert_eq!(memory.bytes(WORDS + 4..WORDS + 8), (-2.5f32).to_ne_bytes());
        memory
            .bytes_mut(second.observation())
            .copy_from_slice(&[0, 1, 2, 3, 4, 5, 255]);
        let mut obs = [0.0; 7];
        memory.read_observation(&second, &mut obs);
        assert_eq!(obs, [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 255.0]);
        let (reward, flags) = (second.end..second.end + 8, second.end + 8..second.end + 16);
        memory.bytes_mut(reward).copy_from_slice(&0.1f64.to_ne_bytes());
        memory.bytes_mut(flags).copy_from_slice(&2.0f64.to_ne_bytes());
        let ended = memory.read_end(&second);
        assert_eq!((ended.reward, ended.terminated, ended.truncated), (0.1, false, true));
        assert_eq!(ended.success, None);
        let successes = [4.0, 12.0].map(|flags| Outcome::of_flags(0.0, flags).success);
        assert_eq!(successes, [Some(false), Some(true)]);
    }

    #[test]
    fn a_step_has_ended_when_its_own_number_is_answered() {
        let memory = Memory::new(WORDS).expect("a few bytes");
        assert!(!memory.announce(Request::Step(3)), "nobody sleeps");
        assert_eq!(memory.word(REQUESTED).load(Ordering::Relaxed), (1 << LOW_BITS) + 3);
        assert_eq!(memory.ended(), None);
        memory.word(ANSWERED).store(1 << LOW_BITS, Ordering::Relaxed);
        assert_eq!(memory.ended(), Some(Ended::Well));
        memory.word(WORKER_SLEEPS).store(1, Ordering::Relaxed);
        assert!(memory.announce(Request::Reset(3)), "the worker sleeps");
        assert_eq!(
            memory.word(REQUESTED).load(Ordering::Relaxed),
            (2 << LOW_BITS) + (1 << 16) + 3
        );
        assert_eq!(memory.ended(), None, "the answer is that of the step before");
        memory.word(ANSWERED).store((2 << LOW_BITS) + 1, Ordering::Relaxed);
        assert_eq!(memory.ended(), Some(Ended::Badly));
    }
}
