//! Random streams, and tensors filled from them: [`Stream`], [`Streams`].
//!
//! libtorch's own generator is shared by the whole process, and its state cannot be saved. Agents therefore draw every
//! random number from a ChaCha stream that is passed in as an argument. A checkpoint stores its key and position.
//! A stream's key is a hash of `(seed, name, index)`, so that runs with neighbouring seeds share no numbers.

mod plan;

use std::collections::VecDeque;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tch::{Device, Kind, Tensor};

use crate::{
    error::{Error, Result},
    slices::as_slice_mut,
};
pub use plan::Plan;
use plan::{Draw, Planned};

/// A seed for a component with its own generator, such as an environment. `name` and `index` identify the component.
pub fn derived_seed(root: u64, name: &str, index: u64) -> u64 {
    let hash = derived_key(root, name, index);
    u64::from_le_bytes(hash[..8].try_into().expect("a digest has 32 bytes"))
}

fn derived_key(root: u64, name: &str, index: u64) -> [u8; 32] {
    let mut hasher = Sha256::new();
    hasher.update(root.to_le_bytes());
    hasher.update((name.len() as u64).to_le_bytes());
    hasher.update(name.as_bytes());
    hasher.update(index.to_le_bytes());
    hasher.finalize().into()
}

const SCRIPT_IS_LONG_ENOUGH: &str = "a scripted stream holds all numbers that are drawn";

/// Moves a tensor to a device. Returns it unchanged if it is already there, because this runs at every env step. Copies
/// to a GPU go through pinned memory and do not block the host.
pub(crate) fn on(device: Device, tensor: Tensor) -> Tensor {
    if tensor.device() == device {
        return tensor;
    }
    match device {
        Device::Cuda(_) => {
            // The allocator of pinned memory does not reuse a block before its copy is complete.
            let pinned = tensor.pin_memory(device);
            pinned.to_dtype_layout((tensor.kind(), device), true, false)
        }
        _ => tensor.to_device(device),
    }
}

/// Number of elements of a shape.
fn count(shape: &[i64]) -> usize {
    shape.iter().product::<i64>() as usize
}

/// The factor of the units that dropout keeps, so that the expectation stays.
pub(crate) fn kept_factor(dropout: f64) -> f32 {
    (1.0 / (1.0 - dropout)) as f32
}

/// One stream of random numbers.
pub struct Stream {
    rng: ChaCha8Rng,
    script: Option<VecDeque<f32>>,
    /// The requests since [`Stream::start_plan`]; the inner `None` says that they cannot be planned.
    plan: Option<Option<Plan>>,
    /// Numbers drawn in advance, which are returned instead of new ones.
    planned: Option<Planned>,
}

/// The position of a stream. Streams at equal positions return the same numbers from then on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StreamPosition {
    key: String,
    word: String,
}

impl Stream {
    /// The stream `name` of a run with root seed `root`; `index` distinguishes several streams of one name.
    pub fn derive(root: u64, name: &str, index: u64) -> Self {
        Stream {
            rng: ChaCha8Rng::from_seed(derived_key(root, name, index)),
            script: None,
            plan: None,
            planned: None,
        }
    }

    /// A stream that returns `numbers` `[plan.len()]`, on any device, in answer to the requests of `plan` and no
    /// others.
    pub fn planned(plan: &Plan, numbers: &Tensor) -> Self {
        Stream {
            planned: Some(Planned::new(plan, numbers)),
            ..Stream::derive(0, "planned", 0)
        }
    }

    /// Draws the numbers of all requests of `plan` into `out`, which has [`Plan::len`] elements.
    pub fn draw_planned(&mut self, plan: &Plan, out: &mut [f32]) {
        let mut rest = out;
        for (draw, count) in plan.draws() {
            let (now, later) = rest.split_at_mut(*count);
            self.fill(*draw, now);
            rest = later;
        }
    }

    /// Starts to record requests as a plan.
    pub fn start_plan(&mut self) {
        self.plan = Some(Some(Plan::default()));
    }

    /// Stops recording, and returns the requests since [`Stream::start_plan`]. `None` if the host used one of the
    /// numbers, for example as an index: such requests cannot be planned.
    pub fn take_plan(&mut self) -> Option<Plan> {
        self.plan.take().flatten()
    }

    /// Draws a tensor of `shape`.
    fn draw_tensor(&mut self, draw: Draw, shape: &[i64], device: Device) -> Tensor {
        let count = count(shape);
        if let Some(Some(plan)) = &mut self.plan {
            plan.add(draw, count);
        }
        if let Some(planned) = &mut self.planned {
            return planned.take(draw, count).reshape(shape);
        }
        let mut drawn = Tensor::empty(shape, (Kind::Float, Device::Cpu));
        self.fill(draw, as_slice_mut(&mut drawn));
        on(device, drawn)
    }

    /// Fills `out` with the numbers of one request.
    fn fill(&mut self, draw: Draw, out: &mut [f32]) {
        match draw {
            Draw::Normal | Draw::Uniform => out.iter_mut().for_each(|value| {
                *value = match &mut self.script {
                    Some(script) => script.pop_front().expect(SCRIPT_IS_LONG_ENOUGH),
                    None if draw == Draw::Normal => StandardNormal.sample(&mut self.rng),
                    None => self.rng.random::<f32>(),
                }
            }),
            Draw::DropoutMask { dropout } => {
                out.fill(kept_factor(dropout));
                self.drop_units(dropout, out.len(), |unit| out[unit] = 0.0);
            }
            Draw::Subset { n } => {
                let mut left: Vec<i64> = (0..n).collect();
                for chosen in out {
                    *chosen = left.swap_remove(self.drawn_index(left.len())) as f32;
                }
            }
        }
    }

    /// Calls `drop` with every unit below `count` that dropout drops, in ascending order.
    fn drop_units(&mut self, dropout: f64, count: usize, mut drop: impl FnMut(usize)) {
        let log_kept = (-dropout).ln_1p();
        let mut unit = 0usize;
        loop {
            let gap = (-self.drawn_fraction()).ln_1p() / log_kept;
            unit = unit.saturating_add(gap as usize);
            if unit >= count {
                break;
            }
            drop(unit);
            unit += 1;
        }
    }

    /// Marks a request whose numbers the host uses, so that the requests cannot be planned.
    fn forbid_plan(&mut self) {
        assert!(self.planned.is_none(), "a planned stream has no numbers for the host");
        if let Some(plan) = &mut self.plan {
            *plan = None;
        }
    }

    /// A stream that returns the given numbers in this order, for tests against an independent implementation.
    ///
    /// Normal and uniform draws return the next number unchanged. A draw of an index below n returns ⌊n·u⌋ for the next
    /// number u.
    ///
    /// # Panics
    /// When more numbers are drawn than were given.
    pub fn scripted(draws: impl IntoIterator<Item = f32>) -> Self {
        Stream {
            script: Some(draws.into_iter().collect()),
            ..Stream::derive(0, "scripted", 0)
        }
    }

    /// Draws a tensor of `shape` of independent standard normal numbers.
    pub fn normal(&mut self, shape: &[i64], device: Device) -> Tensor {
        self.draw_tensor(Draw::Normal, shape, device)
    }

    /// Draws a tensor of `shape` of independent numbers, uniform in `[0, 1)`.
    pub fn uniform(&mut self, shape: &[i64], device: Device) -> Tensor {
        self.draw_tensor(Draw::Uniform, shape, device)
    }

    /// Draws a dropout mask of `shape`: each element is 0 with probability `dropout`, in (0, 1), and otherwise
    /// 1 / (1 − dropout), so that the expectation is 1.
    ///
    /// The number of kept units before the next dropped one is geometric, `⌊ln(1 − u) / ln(1 − dropout)⌋` with u
    /// uniform. This takes one draw per dropped unit instead of one per unit.
    pub fn dropout_mask(&mut self, shape: &[i64], dropout: f64, device: Device) -> Tensor {
        let draw = Draw::DropoutMask { dropout };
        self.draw_tensor(draw, shape, device)
    }

    /// Draws the units of `count` that [`Stream::dropout_mask`] would drop, in ascending order.
    pub fn dropped_units(&mut self, count: usize, dropout: f64) -> Vec<usize> {
        self.forbid_plan();
        let mut dropped = Vec::new();
        self.drop_units(dropout, count, |unit| dropped.push(unit));
        dropped
    }

    /// Fills `out` with numbers uniform in `[low, high)`.
    pub fn uniform_into(&mut self, low: f32, high: f32, out: &mut [f32]) {
        self.forbid_plan();
        for value in out {
            *value = low + (high - low) * self.rng.random::<f32>();
        }
    }

    /// Fills `out` with standard normal numbers.
    pub fn normal_into(&mut self, out: &mut [f32]) {
        self.forbid_plan();
        self.fill(Draw::Normal, out);
    }

    /// Draws a number uniform in `[0, 1)`, in double precision.
    pub fn fraction(&mut self) -> f64 {
        self.forbid_plan();
        self.drawn_fraction()
    }

    fn drawn_fraction(&mut self) -> f64 {
        match &mut self.script {
            None => self.rng.random::<f64>(),
            Some(script) => f64::from(script.pop_front().expect(SCRIPT_IS_LONG_ENOUGH)),
        }
    }

    /// Draws `count` distinct integers from `0..n`, every subset equally likely: `[count]` of `i64`.
    pub fn subset(&mut self, n: i64, count: i64, device: Device) -> Tensor {
        self.draw_tensor(Draw::Subset { n }, &[count], device)
            .to_kind(Kind::Int64)
    }

    /// Draws an integer uniformly from `0..n`. `n` is at least 1.
    pub fn index(&mut self, n: usize) -> usize {
        self.forbid_plan();
        self.drawn_index(n)
    }

    fn drawn_index(&mut self, n: usize) -> usize {
        match &mut self.script {
            None => self.rng.random_range(0..n as u64) as usize,
            Some(_) => (self.drawn_fraction() * n as f64) as usize,
        }
    }

    /// The underlying generator, for [`sac_envs::Space::sample`].
    pub fn rng(&mut self) -> &mut impl rand::Rng {
        self.forbid_plan();
        &mut self.rng
    }

    /// The current position.
    pub fn position(&self) -> StreamPosition {
        StreamPosition {
            key: self.rng.get_seed().iter().map(|byte| format!("{byte:02x}")).collect(),
            word: self.rng.get_word_pos().to_string(),
        }
    }

    /// Moves to a position returned by [`Stream::position`].
    ///
    /// # Errors
    /// When `position` is malformed.
    pub fn seek(&mut self, position: &StreamPosition) -> Result<()> {
        let malformed = || Error::section("streams", format!("`{position:?}` is not a stream position"));
        let mut seed = [0u8; 32];
        if position.key.len() != 64 || !position.key.is_ascii() {
            return Err(malformed());
        }
        for (index, byte) in seed.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&position.key[2 * index..2 * index + 2], 16).map_err(|_| malformed())?;
        }
        let word: u128 = position.word.parse().map_err(|_| malformed())?;
        self.rng = ChaCha8Rng::from_seed(seed);
        self.rng.set_word_pos(word);
        Ok(())
    }
}

/// The streams of one run, one per purpose, so that more draws for one purpose do not change the numbers of another.
pub struct Streams {
    /// Actions of warm-up and exploration.
    pub explore: Stream,
    /// Actions whose densities estimate the policy's entropy, for soft n-step returns.
    pub entropy: Stream,
    /// Random numbers of updates.
    pub update: Stream,
    /// Indices of sampled transitions.
    pub replay: Stream,
}

impl Streams {
    /// The streams of a root seed.
    pub fn new(root: u64) -> Self {
        Streams {
            explore: Stream::derive(root, "explore", 0),
            entropy: Stream::derive(root, "entropy", 0),
            update: Stream::derive(root, "update", 0),
            replay: Stream::derive(root, "replay", 0),
        }
    }

    /// Names and positions of all streams.
    pub fn positions(&self) -> [(&'static str, StreamPosition); 4] {
        [
            ("explore", self.explore.position()),
            ("entropy", self.entropy.position()),
            ("update", self.update.position()),
            ("replay", self.replay.position()),
        ]
    }

    /// The stream called `name`.
    pub fn by_name(&mut self, name: &str) -> Option<&mut Stream> {
        match name {
            "explore" => Some(&mut self.explore),
            "entropy" => Some(&mut self.entropy),
            "update" => Some(&mut self.update),
            "replay" => Some(&mut self.replay),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_continues_from_a_restored_position() {
        let mut stream = Stream::derive(7, "update", 0);
        let _ = stream.normal(&[13], Device::Cpu);
        let position = stream.position();
        let ahead = stream.normal(&[100], Device::Cpu);
        let mut other = Stream::derive(8, "explore", 3);
        other.seek(&position).unwrap();
        assert_eq!(ahead, other.normal(&[100], Device::Cpu));
        assert!(
            other
                .seek(&StreamPosition {
                    key: "zz".repeat(32),
                    word: "0".into()
                })
                .is_err()
        );
    }

    #[test]
    fn units_are_dropped_independently_with_the_given_probability() {
        const COUNT: usize = 200_000;
        for dropout in [0.01, 0.3, 0.9] {
            let mut stream = Stream::derive(1, "update", 0);
            let kept: Vec<f32> = stream
                .dropout_mask(&[COUNT as i64], dropout, Device::Cpu)
                .try_into()
                .unwrap();
            assert!(kept.iter().all(|k| *k == 0.0 || *k == (1.0 / (1.0 - dropout)) as f32));
            let is_dropped = |unit: usize| f64::from(u8::from(kept[unit] == 0.0));
            let near = |what: &str, actual: f64, probability: f64| {
                let tolerance = 4.5 * (probability * (1.0 - probability) / COUNT as f64).sqrt();
                assert!(
                    (actual - probability).abs() < tolerance,
                    "{what}, {dropout}: {actual} {probability}"
                );
            };
            near("units", (0..COUNT).map(is_dropped).sum::<f64>() / COUNT as f64, dropout);
            let pairs = (1..COUNT)
                .map(|unit| is_dropped(unit) * is_dropped(unit - 1))
                .sum::<f64>();
            near("neighbours", pairs / COUNT as f64, dropout * dropout);
        }
    }

    #[test]
    fn neighbouring_seeds_and_names_share_no_stream() {
        let first = |root, name, index| Stream::derive(root, name, index).index(usize::MAX >> 1);
        let draws = [
            first(1, "env", 1),
            first(2, "env", 0),
            first(1, "eval", 1),
            first(1, "env", 0),
        ];
        for (i, a) in draws.iter().enumerate() {
            assert!(draws[i + 1..].iter().all(|b| a != b));
        }
    }

    /// Pins exact values, so that the generator cannot change unnoticed.
    #[test]
    fn draws_are_stable_across_releases() {
        let mut stream = Stream::derive(1, "explore", 0);
        let mut uniform = [0.0; 2];
        stream.uniform_into(-1.0, 1.0, &mut uniform);
        let normal: Vec<f32> = stream.normal(&[2], Device::Cpu).try_into().unwrap();
        assert_eq!((derived_seed(1, "env", 0), uniform, normal.as_slice()), PINNED);
    }

    const PINNED: (u64, [f32; 2], &[f32]) = (
        6_013_019_888_194_012_573,
        [0.988_927_7, -0.066_560_39],
        &[-1.183_160_3, -0.817_694_4],
    );
}
