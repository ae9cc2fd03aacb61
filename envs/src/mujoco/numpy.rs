//! NumPy's sums, in NumPy's order of operations.

use std::hint::black_box;
use std::ops::{Add, Mul};

/// NumPy sums shorter arrays one number after the other.
const UNROLLED: usize = 8;
/// NumPy splits longer arrays in half.
const BLOCK: usize = 128;

/// `np.sum(np.square(x))` of a contiguous array; for `f32` the sum is an `f32`.
pub(super) fn sum_of_squares<T>(x: &[T]) -> T
where
    T: Copy + Add<Output = T> + Mul<Output = T> + From<f32>,
{
    pairwise_sum(x, &|x| x * x)
}

/// `np.sum(x)` of a contiguous array.
pub(super) fn sum(x: &[f64]) -> f64 {
    pairwise_sum(x, &|x| x)
}

/// NumPy's pairwise sum of `term(x)`: eight running sums within a block, halves of about equal size above it.
pub(super) fn pairwise_sum<T>(x: &[T], term: &impl Fn(T) -> T) -> T
where
    T: Copy + Add<Output = T> + From<f32>,
{
    if x.len() < UNROLLED {
        return x.iter().fold(T::from(-0.0), |sum, x| sum + term(*x));
    }
    if x.len() > BLOCK {
        let half = x.len() / 2;
        let (left, right) = x.split_at(half - half % UNROLLED);
        return pairwise_sum(left, term) + pairwise_sum(right, term);
    }
    let mut groups = x.chunks_exact(UNROLLED);
    let mut sums: [T; UNROLLED] = [T::from(0.0); UNROLLED];
    if let Some(first) = groups.next() {
        sums = std::array::from_fn(|i| term(first[i]));
    }
    for group in &mut groups {
        for (sum, x) in sums.iter_mut().zip(group) {
            *sum = *sum + term(*x);
        }
    }
    let [a, b, c, d, e, f, g, h] = sums;
    let sum = ((a + b) + (c + d)) + ((e + f) + (g + h));
    groups.remainder().iter().fold(sum, |sum, x| sum + term(*x))
}

/// `weight * np.sum(np.square(action))`. The sum is a float32 scalar, so the product with a Python float is one too.
pub(super) fn control_cost(weight: f64, action: &[f32]) -> f64 {
    f64::from(weight as f32 * sum_of_squares(action))
}

/// `np.linalg.norm` of a short vector: the root of a dot product. OpenBLAS sums it with fused multiply-adds in its
/// kernels for AVX-512 and without in those for other processors. This always uses them, so that a seed gives the same
/// rewards on all processors.
pub(super) fn norm(x: &[f64]) -> f64 {
    x.iter().fold(0.0, |sum: f64, x| x.mul_add(*x, sum)).sqrt()
}

/// `np.linalg.norm(x, axis=-1)` of a short vector. With an axis, NumPy squares and sums without OpenBLAS.
pub(super) fn norm_along_axis(x: &[f64]) -> f64 {
    sum_of_squares(x).sqrt()
}

/// `matrix @ x` with three rows of `x.len()` numbers, in the order of OpenBLAS's kernels for x86-64 since Haswell. They sum
/// the first two rows in two running sums each and the third in four; up to three numbers that are left over come last,
/// with fused multiply-adds.
pub(super) fn three_rows_times(matrix: &[f64], x: &[f64]) -> [f64; 3] {
    let whole = x.len() - x.len() % 4;
    std::array::from_fn(|row| {
        let row_of = &matrix[row * x.len()..][..x.len()];
        let mut sums = [0.0; 4];
        let lanes = if row < 2 { 2 } else { 4 };
        for (i, (a, x)) in row_of.iter().zip(x).take(whole).enumerate() {
            sums[i % lanes] += a * x;
        }
        let sum = (sums[0] + sums[2]) + (sums[1] + sums[3]);
        match (&row_of[whole..], &x[whole..]) {
            ([a], [x]) => a.mul_add(*x, sum),
            ([a, b], [x, y]) => sum + a.mul_add(*x, b * y),
            ([a, b, c], [x, y, z]) => sum + c.mul_add(*z, a.mul_add(*x, b * y)),
            _ => sum,
        }
    })
}

/// `x ** 2` of a float64 scalar: the C library's `pow`, which is not always `x * x`. `black_box` keeps the compiler
/// from replacing it by `x * x`.
pub(super) fn pow_2(x: f64) -> f64 {
    x.powf(black_box(2.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_is_added_up_in_numpys_order() {
        // Small numbers survive beside a large one only where the order of additions lets them meet first.
        let tiny = 1.1e-16;
        let mut x = vec![tiny; 9];
        x[0] = 1.0;
        assert_eq!(sum(&x[..7]), 1.0, "one after the other: each is lost");
        // ((1 + t) + (t + t)) + ((t + t) + (t + t)) and then one more t
        assert_eq!(sum(&x), ((1.0 + 2.0 * tiny) + 4.0 * tiny) + tiny);
        let x: Vec<f64> = (0..300).map(f64::from).collect();
        assert_eq!(sum(&x), 44_850.0, "every number of a halved array is added once");
    }

    #[test]
    fn the_control_cost_is_single_precision() {
        assert_eq!(control_cost(0.1, &[0.3]), f64::from(0.1f32 * (0.3f32 * 0.3f32)));
    }

    #[test]
    fn a_product_with_three_rows_is_added_up_in_openblas_order() {
        // NumPy 2.4.6 on these numbers. One sum per row, one product after the other, misses a bit in each case.
        let number = |i: usize| ((i * 7919 + 13) % 1009) as f64 / 1009.0 - 0.4;
        for (len, expected) in [
            (
                8,
                [0xbfc7_c6ab_0509_c847, 0xbfd0_d321_c586_32e4, 0x3fca_3fc9_1a53_aed4_u64],
            ),
            (9, [0xbfd1_e9d0_bfd4_a1c3, 0xbfc1_c808_4590_4931, 0x3fd3_8a91_6bce_1d34]),
            (
                10,
                [0xbfd8_0fd0_3b5c_f66c, 0x3fd2_34d9_f50e_803e, 0xbfd9_654c_34a4_c932],
            ),
            (
                11,
                [0xbfd5_3651_3e73_a7bf, 0x3fe3_ff75_da33_87f3, 0xbfca_5167_252e_4be4],
            ),
        ] {
            let matrix: Vec<f64> = (0..3 * len).map(number).collect();
            let x: Vec<f64> = (1000..1000 + len).map(number).collect();
            assert_eq!(three_rows_times(&matrix, &x).map(f64::to_bits), expected, "{len}");
            let plain = |row: &[f64]| row.iter().zip(&x).fold(0.0, |sum, (a, x)| sum + a * x).to_bits();
            assert!(matrix.chunks_exact(len).map(plain).ne(expected), "{len}");
        }
    }
}
