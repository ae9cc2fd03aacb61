use proptest::prelude::*;
use rand::RngExt;
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};

use super::{unpacked::few_rows_plain, *};

pub(crate) fn stream(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed)
}

/// `count` values in [−1, 1).
pub(crate) fn values(count: usize, stream: &mut ChaCha8Rng) -> Vec<f32> {
    (0..count).map(|_| stream.random_range(-1.0..1.0)).collect()
}

/// The definition of a finished product, in `f64`, of factors to which `round` is applied first.
pub(crate) fn exact(a: Matrix, b: Matrix, finish: Finish, round: impl Fn(f32) -> f32) -> Vec<f32> {
    let mut out = Vec::new();
    for i in 0..a.rows {
        for j in 0..b.cols {
            let term = |k: usize| {
                let x = f64::from(round(a.data[i * a.row_stride + k * a.col_stride]));
                x * f64::from(round(b.data[k * b.row_stride + j * b.col_stride]))
            };
            let sum: f64 = (0..a.cols).map(term).sum();
            let finished = match finish {
                Finish::Plain => sum,
                Finish::Bias { bias, relu } => {
                    let sum = sum + f64::from(bias[j]);
                    if relu { sum.max(0.0) } else { sum }
                }
                Finish::WherePositive(mask) if mask[out.len()] > 0.0 => sum,
                Finish::WherePositive(_) => 0.0,
                Finish::Times(factors) => sum * f64::from(factors[out.len()]),
            };
            out.push(finished as f32);
        }
    }
    out
}

/// `data` as `[rows, cols]`, as it lies or as the transposed of a matrix `[cols, rows]`.
pub(crate) fn matrix(data: &[f32], rows: usize, cols: usize, is_transposed: bool) -> Matrix<'_> {
    match is_transposed {
        false => Matrix::new(data, rows, cols),
        true => Matrix::new(data, cols, rows).transposed(),
    }
}

/// Calls `check` with factors of one shape in every layout, and with every finish.
fn with_shape(m: usize, k: usize, n: usize, stream: &mut ChaCha8Rng, check: &mut impl FnMut(Matrix, Matrix, Finish)) {
    // From the second value on: factors and finishes lie at odd places.
    let (a, b) = (values(m * k + 1, stream), values(k * n + 1, stream));
    let (bias, mask) = (values(n + 1, stream), values(m * n + 1, stream));
    let (a, b, bias, mask) = (&a[1..], &b[1..], &bias[1..], &mask[1..]);
    for finish in [
        Finish::Plain,
        Finish::Bias { bias, relu: false },
        Finish::Bias { bias, relu: true },
        Finish::WherePositive(mask),
        Finish::Times(mask),
    ] {
        for layout in 0..4 {
            check(
                matrix(a, m, k, layout & 1 != 0),
                matrix(b, k, n, layout & 2 != 0),
                finish,
            );
        }
    }
}

/// The same with shapes that leave every remainder of the kernels' blocks and panels, and empty ones.
pub(crate) fn with_every_form(mut check: impl FnMut(Matrix, Matrix, Finish)) {
    let mut stream = stream(1);
    for m in [0, 1, 3, 4, 11, 12, 13, 29] {
        for k in [0, 1, 2, 17, 32, 39, 521] {
            for n in [0, 1, 5, 15, 16, 17, 31, 32, 33, 50] {
                with_shape(m, k, n, &mut stream, &mut check);
            }
        }
    }
}

pub(crate) fn assert_near(found: &[f32], expected: &[f32], (a, b): (Matrix, Matrix)) {
    let shape = (a.rows, a.cols, b.cols);
    assert_eq!(found.len(), expected.len(), "{shape:?}");
    for (found, expected) in found.iter().zip(expected) {
        let tolerance = 1e-5_f32.max(1e-7 * a.cols as f32); // each term adds a rounding
        assert!(
            (found - expected).abs() < tolerance,
            "{shape:?}: {found}, not {expected}"
        );
    }
}

/// The product, written to the second value on of memory full of NaN.
fn product_of(a: Matrix, b: Matrix, finish: Finish, product: impl Fn(Matrix, Matrix, &mut [f32], Finish)) -> Vec<f32> {
    let mut out = vec![f32::NAN; a.rows * b.cols + 2];
    let end = out.len() - 1;
    product(a, b, &mut out[1..end], finish);
    assert!(
        out[0].is_nan() && out[end].is_nan(),
        "nothing beside the result is written"
    );
    out[1..end].to_vec()
}

#[test]
fn every_form_equals_the_definition_at_every_remainder() {
    with_every_form(|a, b, finish| {
        let expected = exact(a, b, finish, |x| x);
        assert_near(&product_of(a, b, finish, product), &expected, (a, b));
        assert_near(&product_of(a, b, finish, portable), &expected, (a, b));
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_shape_equals_the_definition(m in 0usize..40, k in 0usize..300, n in 0usize..70, seed: u64) {
        with_shape(m, k, n, &mut stream(seed), &mut |a, b, finish| {
            assert_near(&product_of(a, b, finish, product), &exact(a, b, finish, |x| x), (a, b));
        });
    }

    #[test]
    fn few_rows_equal_the_definition_and_vectors_change_no_bit(
        m in 0usize..5, k in 0usize..40, n in 0usize..300, seed: u64,
    ) {
        let mut stream = stream(seed);
        let (a, b) = (values(m * k + 1, &mut stream), values(k * n + 1, &mut stream));
        let (a, b) = (&a[1..], &b[1..]);
        let mut out = vec![f32::NAN; if k == 0 { 0 } else { m * n }];
        few_rows(a, b, k, &mut out);
        if !out.is_empty() {
            let (a_matrix, b_matrix) = (Matrix::new(a, m, k), Matrix::new(b, k, n));
            let expected = exact(a_matrix, b_matrix, Finish::Plain, |x| x);
            assert_near(&out, &expected, (a_matrix, b_matrix));
            let mut narrow = vec![f32::NAN; m * n];
            few_rows_plain(a, b, k, &mut narrow);
            prop_assert_eq!(&out, &narrow);
            // Term by term, without fusing: the bits do not depend on the processor.
            let in_order = |i: usize, j: usize| (0..k).fold(0.0f32, |sum, term| sum + a[i * k + term] * b[term * n + j]);
            let expected: Vec<f32> = (0..m * n).map(|index| in_order(index / n, index % n)).collect();
            prop_assert_eq!(&out, &expected);
        }
    }

    #[test]
    fn sums_of_rows_are_taken_in_order(m in 0usize..9, n in 0usize..70, seed: u64) {
        let rows = values(m * n + 1, &mut stream(seed));
        let mut sums = vec![f32::NAN; n];
        sum_rows(&rows[1..], &mut sums);
        let expected: Vec<f32> = (0..n).map(|j| (0..m).fold(0.0, |sum, i| sum + rows[1 + i * n + j])).collect();
        prop_assert_eq!(sums, expected);
    }
}

#[test]
fn a_row_depends_on_no_other_row() {
    let mut stream = stream(2);
    let (m, k, n) = (29, 39, 50);
    let (a, b) = (values(m * k, &mut stream), values(k * n, &mut stream));
    for n in [1, 17, n] {
        for layout in 0..4 {
            let a = matrix(&a, m, k, layout & 1 != 0);
            let b = matrix(&b[..k * n], k, n, layout & 2 != 0);
            let whole = product_of(a, b, Finish::Plain, product);
            for (first, count) in [(0, 1), (5, 13), (12, 12), (28, 1), (29, 0)] {
                let part = product_of(a.rows(first, count), b, Finish::Plain, product);
                let expected = &whole[first * n..(first + count) * n];
                assert_eq!(
                    part, expected,
                    "{count} rows from {first}, {n} columns, layout {layout}"
                );
            }
        }
    }
}

#[test]
fn nan_in_a_factor_shows_in_its_row_or_column_whatever_the_finish() {
    let (m, k, n) = (13, 17, 33);
    let mut a = vec![1.0; m * k];
    a[5 * k + 3] = f32::NAN;
    let (b, bias, ones) = (vec![1.0; k * n], vec![0.0; n], vec![1.0; m * n]);
    for finish in [
        Finish::Plain,
        Finish::Bias {
            bias: &bias,
            relu: true,
        },
        Finish::WherePositive(&ones),
        Finish::Times(&ones),
    ] {
        for columns in [1, n] {
            let finish = match finish {
                Finish::Bias { relu, .. } => Finish::Bias {
                    bias: &bias[..columns],
                    relu,
                },
                Finish::WherePositive(_) => Finish::WherePositive(&ones[..m * columns]),
                Finish::Times(_) => Finish::Times(&ones[..m * columns]),
                Finish::Plain => Finish::Plain,
            };
            let b = Matrix::new(&b[..k * columns], k, columns);
            let out = product_of(Matrix::new(&a, m, k), b, finish, product);
            for (index, x) in out.iter().enumerate() {
                assert_eq!(
                    x.is_nan(),
                    index / columns == 5,
                    "{index} of {columns} columns: {x}, {finish:?}"
                );
            }
        }
    }
}

#[test]
fn subnormal_factors_and_results_are_kept() {
    let tiny = f32::from_bits(3);
    for n in [1, 5, 40] {
        let (a, b) = (vec![tiny; 2], vec![1.0; 2 * n]);
        let out = product_of(Matrix::new(&a, 1, 2), Matrix::new(&b, 2, n), Finish::Plain, product);
        assert_eq!(out, vec![f32::from_bits(6); n]);
        let mut out = vec![f32::NAN; n];
        few_rows(&a, &b, 2, &mut out);
        assert_eq!(out, vec![f32::from_bits(6); n]);
    }
}

#[test]
fn an_empty_sum_is_finished_too() {
    let bias = [1.0, -2.0];
    let finish = Finish::Bias {
        bias: &bias,
        relu: true,
    };
    let (a, b) = (Matrix::new(&[], 3, 0), Matrix::new(&[], 0, 2));
    for kernel in [product, portable] {
        assert_eq!(product_of(a, b, finish, kernel), [1.0, 0.0, 1.0, 0.0, 1.0, 0.0]);
    }
    let mut out = [f32::NAN; 6];
    few_rows(&[], &[], 0, &mut out);
    assert_eq!(out, [0.0; 6]);
}

#[test]
fn shapes_that_do_not_agree_are_refused() {
    let values = [0.0f32; 12];
    let (two_by_six, bias) = (Matrix::new(&values, 2, 6), [0.0; 3]);
    let calls: [(&str, &dyn Fn()); 10] = [
        ("a matrix of too few values", &|| {
            Matrix::new(&values, 3, 5);
        }),
        ("a matrix whose size overflows to 0", &|| {
            Matrix::new(&[], 1 << 40, 1 << 40);
        }),
        ("rows beyond the last", &|| {
            two_by_six.rows(1, 2);
        }),
        ("rows whose end overflows", &|| {
            two_by_six.rows(1, usize::MAX);
        }),
        ("factors of other depths", &|| {
            product(two_by_six, two_by_six, &mut [0.0; 12], Finish::Plain);
        }),
        ("a result whose size overflows", &|| {
            let (a, b) = (Matrix::new(&[], 1 << 40, 0), Matrix::new(&[], 0, 1 << 40));
            product(a, b, &mut [], Finish::Plain);
        }),
        ("a bias of another length", &|| {
            let finish = Finish::Bias {
                bias: &bias,
                relu: false,
            };
            product(two_by_six, two_by_six.transposed(), &mut [0.0; 4], finish);
        }),
        ("a mask of another length", &|| {
            Finish::WherePositive(&bias).apply(&mut [0.0; 4], 2);
        }),
        ("few rows into too short a result", &|| {
            few_rows(&values, &values, 6, &mut [0.0; 3])
        }),
        ("sums of rows of another length", &|| sum_rows(&values, &mut [0.0; 5])),
    ];
    for (what, call) in calls {
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(call));
        assert!(outcome.is_err(), "{what}");
    }
}
