//! Normal and exponential draws by the ziggurat method, with exactly NumPy's use of the generator.
//!
//! One word of 64 bits gives a layer (8 bits), a sign (normal only) and an integer for the position of the point within
//! the width of the layer. Nearly always this suffices to know that the point is under the curve. Otherwise it lies in
//! the wedge between two layers, where a second number decides, or in the tail beyond the last layer, which is drawn
//! separately.

use super::{NumpyRng, tables::*};

impl NumpyRng {
    /// Normal with mean 0 and variance 1: `Generator.standard_normal()`.
    pub fn standard_normal(&mut self) -> f64 {
        standard_normal(self)
    }

    /// Exponential with mean 1: `Generator.standard_exponential()`.
    pub fn standard_exponential(&mut self) -> f64 {
        standard_exponential(self)
    }
}

fn standard_normal(rng: &mut NumpyRng) -> f64 {
    loop {
        let word = rng.next_u64();
        let layer = (word & 0xff) as usize;
        let negative = word >> 8 & 1 == 1;
        let place = word >> 9 & ((1 << 52) - 1);
        let distance = place as f64 * NORMAL_WIDTH[layer];
        let draw = if negative { -distance } else { distance };
        if place < NORMAL_INSIDE[layer] {
            return draw;
        }
        if layer == 0 {
            let tail = normal_tail(rng);
            // The sign of the tail comes from another bit of the same word.
            return if place >> 8 & 1 == 1 { -tail } else { tail };
        }
        if wedge_height(&NORMAL_HEIGHT, layer, rng) < (-0.5 * draw * draw).exp() {
            return draw;
        }
    }
}

/// A draw beyond the last layer: Marsaglia's method of two exponentials, with ln(1 - u) because u may be zero.
fn normal_tail(rng: &mut NumpyRng) -> f64 {
    loop {
        let beyond = -NORMAL_TAIL_INVERSE * (-rng.random()).ln_1p();
        let trial = -(-rng.random()).ln_1p();
        if trial + trial > beyond * beyond {
            return NORMAL_TAIL + beyond;
        }
    }
}

fn standard_exponential(rng: &mut NumpyRng) -> f64 {
    loop {
        let word = rng.next_u64() >> 3;
        let layer = (word & 0xff) as usize;
        let place = word >> 8;
        let draw = place as f64 * EXPONENTIAL_WIDTH[layer];
        if place < EXPONENTIAL_INSIDE[layer] {
            return draw;
        }
        if layer == 0 {
            return EXPONENTIAL_TAIL - (-rng.random()).ln_1p();
        }
        if wedge_height(&EXPONENTIAL_HEIGHT, layer, rng) < (-draw).exp() {
            return draw;
        }
    }
}

/// A height drawn uniformly between the two edges of a layer.
fn wedge_height(heights: &[f64; 256], layer: usize, rng: &mut NumpyRng) -> f64 {
    (heights[layer - 1] - heights[layer]) * rng.random() + heights[layer]
}
