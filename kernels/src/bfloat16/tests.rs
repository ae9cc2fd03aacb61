use super::*;
use crate::product::tests::{assert_near, exact, matrix, stream, values, with_every_form};

const RELU: Finish = Finish::Bias {
    bias: &[0.0],
    relu: true,
};

/// The nearest number with eight significant bits; of two equally near, the one whose last bit is 0.
fn rounded(x: f32) -> f32 {
    let bits = x.to_bits();
    f32::from_bits((bits + 0x7fff + (bits >> 16 & 1)) & 0xffff_0000)
}

/// Every way that this processor has.
fn processors() -> Vec<Bfloat16> {
    match Bfloat16::detect() {
        None => Vec::new(),
        Some(Bfloat16(Instructions::Avx512)) => vec![Bfloat16(Instructions::Avx512)],
        Some(Bfloat16(Instructions::Amx)) => vec![Bfloat16(Instructions::Avx512), Bfloat16(Instructions::Amx)],
    }
}

/// The product, written to the second value on of memory full of NaN.
fn in_bfloat16(processor: Bfloat16, a: Matrix, b: Matrix, finish: Finish) -> Vec<f32> {
    let mut space = vec![u32::MAX; 7];
    let packed = Packed::new(processor, b, &mut space);
    let mut out = vec![f32::NAN; a.rows * b.cols + 2];
    let end = out.len() - 1;
    product_packed(a, packed, &mut out[1..end], finish);
    assert!(
        out[0].is_nan() && out[end].is_nan(),
        "nothing beside the result is written"
    );
    out[1..end].to_vec()
}

#[test]
fn products_equal_the_definition_with_rounded_factors() {
    for processor in processors() {
        let (diverged, one) = (Matrix::new(&[f32::NAN], 1, 1), Matrix::new(&[1.0], 1, 1));
        let nan = in_bfloat16(processor, diverged, one, RELU);
        assert!(nan[0].is_nan(), "divergence shows: {processor:?}");
        let mut largest = 0.0f32;
        with_every_form(|a, b, finish| {
            let found = in_bfloat16(processor, a, b, finish);
            assert_near(&found, &exact(a, b, finish, rounded), (a, b));
            let exact = exact(a, b, finish, |x| x);
            let errors = found.iter().zip(&exact).map(|(found, exact)| (found - exact).abs());
            largest = errors.fold(largest, f32::max);
        });
        assert!(largest > 1e-3, "rounding shows: {largest}, {processor:?}");
    }
}

#[test]
fn factors_are_rounded_to_the_nearest_and_ties_to_even() {
    let step = 2f32.powi(-7); // from 1 to the next bfloat16
    let ties = [
        1.0 + 0.5 * step,
        1.0 + 1.5 * step,
        -1.0 - 0.5 * step,
        1.0 + 0.501 * step,
    ];
    let expected = [1.0, 1.0 + 2.0 * step, -1.0, 1.0 + step];
    assert_eq!(ties.map(rounded), expected);
    let ones = Matrix::new(&[1.0, 1.0], 1, 2);
    for processor in processors() {
        let left = in_bfloat16(processor, Matrix::new(&ties, 4, 1), ones, Finish::Plain);
        let rows = Matrix::new(&ties, 1, 4);
        let right = in_bfloat16(processor, Matrix::new(&[1.0], 1, 1), rows, Finish::Plain);
        for (found, times) in [(left, 2), (right, 1)] {
            let expected: Vec<f32> = expected.iter().flat_map(|x| std::iter::repeat_n(*x, times)).collect();
            assert_eq!(found, expected, "{processor:?}");
        }
    }
}

#[test]
fn subnormal_factors_count_as_zero() {
    for processor in processors() {
        let (tiny, large) = ([1e-40f32; 2], [1e30f32; 2]);
        let found = in_bfloat16(
            processor,
            Matrix::new(&tiny, 1, 2),
            Matrix::new(&large, 2, 1),
            Finish::Plain,
        );
        assert_eq!(found, [0.0], "{processor:?}");
    }
}

#[test]
fn a_row_depends_on_no_other_row() {
    let mut stream = stream(2);
    let (m, k, n) = (29, 39, 50);
    let (a, b) = (values(m * k, &mut stream), values(k * n, &mut stream));
    let b = Matrix::new(&b, k, n);
    for processor in processors() {
        for is_transposed in [false, true] {
            let a = matrix(&a, m, k, is_transposed);
            let whole = in_bfloat16(processor, a, b, Finish::Plain);
            for (first, count) in [(0, 1), (5, 13), (12, 12), (28, 1), (29, 0)] {
                let part = in_bfloat16(processor, a.rows(first, count), b, Finish::Plain);
                let expected = &whole[first * n..(first + count) * n];
                assert_eq!(part, expected, "{count} rows from {first}, {processor:?}");
            }
        }
    }
}

#[test]
fn space_can_be_used_again_for_another_factor() {
    let mut stream = stream(3);
    for processor in processors() {
        let mut space = Vec::new();
        for (k, n) in [(39, 50), (5, 3), (0, 4), (64, 33)] {
            let (a, b) = (values(2 * k, &mut stream), values(k * n, &mut stream));
            let (a, b) = (Matrix::new(&a, 2, k), Matrix::new(&b, k, n));
            let mut out = vec![f32::NAN; 2 * n];
            product_packed(a, Packed::new(processor, b, &mut space), &mut out, Finish::Plain);
            assert_near(&out, &exact(a, b, Finish::Plain, rounded), (a, b));
        }
    }
}

#[test]
fn only_products_with_several_terms_and_columns_gain_from_it() {
    for processor in processors() {
        let served = [(1, 5), (5, 1), (2, 2), (256, 256)].map(|(k, n)| processor.serves(k, n));
        assert_eq!(served, [false, false, true, true]);
        assert!(["AMX", "AVX512-BF16"].contains(&processor.instructions()));
    }
}
