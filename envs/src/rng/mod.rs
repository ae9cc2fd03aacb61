//! [`NumpyRng`]: the draws of NumPy's `default_rng(seed)`, bit for bit.
//!
//! Three layers, each a published algorithm:
//!
//! 1. *Seeding* spreads the seed over 256 bits (M. O'Neill's alternative to `seed_seq`, as in NumPy's `SeedSequence`).
//! 2. *The generator* is PCG64: a 128-bit linear congruential generator whose output xors its halves and rotates
//!    (XSL-RR 128/64; M. O'Neill 2014, "PCG: A Family of Simple Fast Space-Efficient Statistically Good Algorithms").
//! 3. *Distributions*: 53-bit doubles, unbiased integers (D. Lemire 2019, arXiv 1805.10941), and ziggurats of 256
//!    layers (G. Marsaglia and W. W. Tsang 2000) in `ziggurat.rs`.
//!
//! `docs/parity.md` describes the comparison with NumPy.

mod tables;
mod ziggurat;

use std::convert::Infallible;

/// NumPy's default generator: `NumpyRng::new(s)` is `numpy.random.default_rng(s)`.
///
/// It is also a [`rand::Rng`], so that all distributions of `rand_distr` can use it. Their draws differ from NumPy's;
/// those of the methods of this type agree. A cloned or deserialised generator continues at the same place in the
/// stream.
///
/// ```
/// let mut rng = sac_envs::NumpyRng::new(42);
/// assert_eq!(rng.random(), 0.773_956_048_555_963_3); // numpy.random.default_rng(42).random()
/// ```
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct NumpyRng {
    state: u128,
    /// Odd; selects the stream.
    increment: u128,
    /// The upper half of a 64-bit word whose lower half [`NumpyRng::next_u32`] has returned.
    half: Option<u32>,
}

/// Multiplier of PCG's 128-bit linear congruential generator.
const MULTIPLIER: u128 = 0x2360_ed05_1fc6_5da4_4385_df64_9fcc_f645;

impl NumpyRng {
    /// The generator `numpy.random.default_rng(seed)`.
    pub fn new(seed: u64) -> Self {
        let [state_high, state_low, stream_high, stream_low] = spread(seed);
        let join = |high: u64, low: u64| u128::from(high) << 64 | u128::from(low);
        let mut rng = NumpyRng {
            state: 0,
            increment: join(stream_high, stream_low) << 1 | 1,
            half: None,
        };
        rng.advance();
        rng.state = rng.state.wrapping_add(join(state_high, state_low));
        rng.advance();
        rng
    }

    fn advance(&mut self) {
        self.state = self.state.wrapping_mul(MULTIPLIER).wrapping_add(self.increment);
    }

    /// 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        self.advance();
        let folded = (self.state >> 64) as u64 ^ self.state as u64;
        folded.rotate_right((self.state >> 122) as u32)
    }

    /// 32 random bits: the lower half of a new word, and in the next call its upper half, also if there are other draws
    /// in between.
    pub fn next_u32(&mut self) -> u32 {
        if let Some(half) = self.half.take() {
            return half;
        }
        let word = self.next_u64();
        self.half = Some((word >> 32) as u32);
        word as u32
    }

    /// Uniform on [0, 1), a multiple of 2⁻⁵³: `Generator.random()`.
    pub fn random(&mut self) -> f64 {
        const ULP: f64 = 1.0 / (1u64 << 53) as f64;
        (self.next_u64() >> 11) as f64 * ULP
    }

    /// Uniform on [low, high): `Generator.uniform(low, high)`.
    pub fn uniform(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.random()
    }

    /// Fills `out` with uniform draws: `Generator.uniform(low, high, size)`.
    pub fn uniform_into(&mut self, low: f64, high: f64, out: &mut [f64]) {
        out.fill_with(|| self.uniform(low, high));
    }

    /// Uniform on the whole numbers `0..n`: `Generator.integers(n)`.
    ///
    /// # Panics
    /// When `n` is 0.
    pub fn integers(&mut self, n: u64) -> u64 {
        assert!(n > 0, "integers are drawn from a non-empty range");
        // Lemire: the upper half of the product word·n is the draw. Products with a small lower half are rejected, so
        // that the draw is unbiased. NumPy uses 32-bit words where they suffice; powers of two need no special case.
        match u32::try_from(n) {
            Ok(1) => 0,
            Ok(n) => loop {
                let product = u64::from(self.next_u32()) * u64::from(n);
                if product as u32 >= n.wrapping_neg() % n {
                    return product >> 32;
                }
            },
            Err(_) if n == 1 << 32 => u64::from(self.next_u32()),
            Err(_) => loop {
                let product = u128::from(self.next_u64()) * u128::from(n);
                if product as u64 >= n.wrapping_neg() % n {
                    return (product >> 64) as u64;
                }
            },
        }
    }
}

impl rand::TryRng for NumpyRng {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(NumpyRng::next_u32(self))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(NumpyRng::next_u64(self))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&NumpyRng::next_u64(self).to_le_bytes()[..chunk.len()]);
        }
        Ok(())
    }
}

/// Spreads a seed over four words, as `SeedSequence(seed).generate_state(4, uint64)` does.
///
/// The halves of the seed are hashed into a pool of four 32-bit numbers, every number of the pool is mixed into every
/// other, and the pool is read cyclically through a second hash.
fn spread(seed: u64) -> [u64; 4] {
    const POOL: usize = 4;
    let mut absorb = Hash {
        key: 0x43b0_d7e5,
        multiplier: 0x931e_8875,
    };
    let entropy = [seed as u32, (seed >> 32) as u32];
    let mut pool: [u32; POOL] = std::array::from_fn(|i| absorb.next(entropy.get(i).copied().unwrap_or(0)));
    for from in 0..POOL {
        for to in (0..POOL).filter(|to| *to != from) {
            pool[to] = mix(pool[to], absorb.next(pool[from]));
        }
    }
    let mut emit = Hash {
        key: 0x8b51_f9dd,
        multiplier: 0x58f3_8ded,
    };
    let mut words = pool.iter().cycle().map(|number| u64::from(emit.next(*number)));
    std::array::from_fn(|_| {
        let low = words.next().unwrap_or(0);
        words.next().unwrap_or(0) << 32 | low
    })
}

/// A multiplicative hash whose key changes with every number.
struct Hash {
    key: u32,
    multiplier: u32,
}

impl Hash {
    fn next(&mut self, number: u32) -> u32 {
        let keyed = number ^ self.key;
        self.key = self.key.wrapping_mul(self.multiplier);
        let product = keyed.wrapping_mul(self.key);
        product ^ product >> 16
    }
}

fn mix(x: u32, y: u32) -> u32 {
    let difference = x.wrapping_mul(0xca01_f9dd).wrapping_sub(y.wrapping_mul(0x4973_f715));
    difference ^ difference >> 16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_halves_of_a_word_come_low_first_and_survive_other_draws() {
        let (mut halves, mut words) = (NumpyRng::new(3), NumpyRng::new(3));
        let word = words.next_u64();
        assert_eq!(halves.next_u32(), word as u32);
        assert_eq!(halves.random(), words.random());
        assert_eq!(halves.next_u32(), (word >> 32) as u32);
    }

    #[test]
    fn a_serialised_generator_goes_on_where_it_stood() {
        let mut rng = NumpyRng::new(11);
        rng.next_u32();
        let bytes = postcard::to_allocvec(&rng).expect("plain data");
        let mut copy: NumpyRng = postcard::from_bytes(&bytes).expect("written just now");
        assert_eq!(copy, rng);
        assert_eq!(
            (copy.next_u32(), copy.standard_normal()),
            (rng.next_u32(), rng.standard_normal())
        );
    }

    #[test]
    fn rand_distr_draws_from_it() {
        use rand_distr::{Distribution, Poisson};
        let mut rng = NumpyRng::new(0);
        let poisson = Poisson::new(3.0).expect("a positive rate");
        let mean = (0..4000).map(|_| poisson.sample(&mut rng)).sum::<f64>() / 4000.0;
        assert!(
            (mean - 3.0).abs() < 0.15,
            "five standard errors of the mean are 0.14, found {mean}"
        );
    }
}
