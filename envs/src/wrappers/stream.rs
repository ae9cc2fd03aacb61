//! [`Stream`]: the random numbers of a wrapper.

use crate::NumpyRng;

/// A generator whose seeds derive from those of the environment, without drawing from the environment's generator.
///
/// A reset with seed `s` seeds it as `NumpyRng::new(mix(s + (number + 1) · 0x9e3779b97f4a7c15))`, with the sum modulo
/// 2⁶⁴ and SplitMix64's finaliser as `mix`. A reset without a seed continues the stream (from `s = 0` if it was never
/// seeded). Two wrappers of one environment must have different numbers; otherwise they draw the same noise.
#[derive(Clone, Debug)]
pub(super) struct Stream {
    number: u64,
    /// `None` until the first reset.
    pub(super) rng: Option<NumpyRng>,
}

impl Stream {
    pub(super) fn new(number: u64) -> Self {
        Stream { number, rng: None }
    }

    /// Seeds or continues the stream. Called at every reset.
    pub(super) fn reset(&mut self, seed: Option<u64>) {
        if seed.is_some() || self.rng.is_none() {
            self.rng = Some(NumpyRng::new(derived_seed(seed.unwrap_or(0), self.number)));
        }
    }
}

/// The seed of stream `number`, as [`Stream`] defines it.
fn derived_seed(seed: u64, number: u64) -> u64 {
    const GOLDEN_RATIO: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut z = seed.wrapping_add(number.wrapping_add(1).wrapping_mul(GOLDEN_RATIO));
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_those_of_splitmix64() {
        // Its first outputs from state 0, as published with the algorithm.
        assert_eq!(derived_seed(0, 0), 0xe220_a839_7b1d_cdaf);
        assert_eq!(derived_seed(0, 1), 0x6e78_9e6a_a1b9_65f4);
    }
}
