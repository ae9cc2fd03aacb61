//! Matrix products with factors rounded to bfloat16: [`product_packed`], on processors with instructions for it
//! ([`Bfloat16`]).
//!
//! Factors are rounded to the nearest bfloat16, ties to even; numbers below 2⁻¹²⁶ count as 0. Sums are `f32`. The right
//! factor is rounded and laid out first ([`Packed`]), once for all products that share it.

#[cfg(target_arch = "x86_64")]
mod amx;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "x86_64")]
mod pack;

use crate::product::{Finish, Matrix, check_shapes};

/// Proof that the processor multiplies bfloat16, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bfloat16(Instructions);

/// Instructions that multiply bfloat16.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
enum Instructions {
    /// AVX512-BF16: vectors of sixteen sums, two terms at a time.
    Avx512,
    /// AMX: tiles of sixteen by sixteen sums, 32 terms at a time.
    Amx,
}

impl Bfloat16 {
    /// The fastest way that this processor and this system have, if there is one: AMX, or AVX512-BF16.
    pub fn detect() -> Option<Self> {
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx512bf16")
            && std::arch::is_x86_feature_detected!("avx512bw")
            && std::arch::is_x86_feature_detected!("avx512f")
        {
            // Where there are tiles, bfloat16 in vectors is no faster than `f32`.
            return Some(Bfloat16(match amx::detect() {
                true => Instructions::Amx,
                false => Instructions::Avx512,
            }));
        }
        None
    }

    /// The name of the instructions.
    pub fn instructions(self) -> &'static str {
        match self.0 {
            Instructions::Avx512 => "AVX512-BF16",
            Instructions::Amx => "AMX",
        }
    }

    /// Whether a product `[m, k] · [k, n]` gains from it. With a single column or a single term per sum it is limited
    /// by memory: rounding would lose digits and gain no time.
    pub fn serves(self, k: usize, n: usize) -> bool {
        k > 1 && n > 1
    }

    /// How many pairs of terms a sum over k takes, as its kernel lays them out.
    #[cfg(target_arch = "x86_64")]
    fn pairs(self, k: usize) -> usize {
        match self.0 {
            Instructions::Avx512 => k.div_ceil(2),
            Instructions::Amx => amx::pairs_of(k),
        }
    }
}

/// The right factor of a product, rounded to bfloat16 and laid out for a kernel.
#[derive(Clone, Copy, Debug)]
pub struct Packed<'a> {
    /// Two terms of a sum in each. The invariant that kernels rely on: it is what `pack::pack_right` made for a matrix
    /// `[depth, columns]`, with the pairs that `processor` wants.
    #[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
    pairs: &'a [u32],
    depth: usize,
    columns: usize,
    #[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
    processor: Bfloat16,
}

impl<'a> Packed<'a> {
    /// Rounds and lays out `b`, in `space`, whose contents are replaced.
    pub fn new(processor: Bfloat16, b: Matrix, space: &'a mut Vec<u32>) -> Self {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: a `Bfloat16` exists only where the processor has AVX-512F, BW and BF16. The matrix holds its
        // elements.
        unsafe {
            pack::pack_right(b, processor.pairs(b.rows), space);
        }
        Packed {
            pairs: space,
            depth: b.rows,
            columns: b.cols,
            processor,
        }
    }
}

#[cfg(target_arch = "x86_64")]
thread_local! {
    /// Space for a left factor for AVX512-BF16, kept between products.
    static LEFT: std::cell::RefCell<Vec<u32>> = const { std::cell::RefCell::new(Vec::new()) };
    /// The same for AMX.
    static TILES: std::cell::RefCell<amx::Scratch> = std::cell::RefCell::default();
}

/// `out [m, n] = a [m, k] · b [k, n]`, finished; the factors rounded to bfloat16, the sums `f32`.
///
/// Each sum over k is taken in the same order whatever m is: a row of the result depends on no other row of `a`. The
/// order differs between AMX and AVX512-BF16.
///
/// # Panics
/// When the shapes do not agree.
pub fn product_packed(a: Matrix, b: Packed, out: &mut [f32], finish: Finish) {
    check_shapes(a, (b.depth, b.columns), out, finish);
    if out.is_empty() {
        return;
    }
    if b.depth == 0 {
        out.fill(0.0);
        return finish.apply(out, b.columns);
    }
    #[cfg(target_arch = "x86_64")]
    // SAFETY: `Bfloat16` proves the instructions. Both factors hold their elements (`Matrix`, `Packed`), `check_shapes`
    // compared their shapes with each other and with `out` and `finish`, and k is not 0.
    match b.processor.0 {
        Instructions::Avx512 => LEFT.with_borrow_mut(|left| unsafe {
            avx512::product(a, b.pairs, out, b.columns, finish, left);
        }),
        Instructions::Amx => TILES.with_borrow_mut(|scratch| unsafe {
            amx::product(a, b.pairs, out, b.columns, finish, scratch);
        }),
    }
}

#[cfg(test)]
mod tests;
