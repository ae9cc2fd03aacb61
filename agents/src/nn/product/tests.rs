use super::*;
use crate::noise::Stream;

fn numbers(count: usize, stream: &mut Stream) -> Vec<f32> {
    let mut numbers = vec![0.0; count];
    stream.uniform_into(-1.0, 1.0, &mut numbers);
    numbers
}

/// The definition, in double precision, of factors that `read` makes of the numbers.
fn plain(a: Matrix, b: Matrix, finish: Finish, read: impl Fn(f32) -> f32) -> Vec<f32> {
    let mut out = Vec::new();
    for i in 0..a.rows {
        for j in 0..b.cols {
            let at = |k: usize| {
                let x = f64::from(read(a.data[i * a.row_stride + k * a.col_stride]));
                x * f64::from(read(b.data[k * b.row_stride + j * b.col_stride]))
            };
            let sum: f64 = (0..a.cols).map(at).sum();
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

/// The nearest number with eight binary digits, of two equally near the one whose last digit is 0.
fn rounded(x: f32) -> f32 {
    let bits = x.to_bits();
    f32::from_bits((bits + 0x7fff + (bits >> 16 & 1)) & 0xffff_0000)
}

/// Every way that the processor has.
fn bfloat16s() -> Vec<Bfloat16> {
    match Bfloat16::detect() {
        None => Vec::new(),
        Some(Bfloat16(By::Vectors)) => vec![Bfloat16(By::Vectors)],
        Some(Bfloat16(By::Tiles)) => vec![Bfloat16(By::Vectors), Bfloat16(By::Tiles)],
    }
}

/// The product in bfloat16.
fn in_bfloat16(processor: Bfloat16, a: Matrix, b: Matrix, finish: Finish) -> Vec<f32> {
    let mut room = vec![u32::MAX; 7];
    let right = Right::lay_out(processor, b, &mut room);
    let mut out = vec![f32::NAN; a.rows * b.cols];
    product_of(a, right, &mut out, finish);
    out
}

/// Calls `check` with factors and finishes of all shapes and strides.
fn with_every_form(mut check: impl FnMut(Matrix, Matrix, Finish)) {
    let mut stream = Stream::derive(1, "product", 0);
    for m in [1, 3, 4, 11, 12, 13, 29] {
        for k in [1, 2, 17, 32, 39, 521] {
            for n in [1, 5, 15, 16, 17, 31, 32, 33, 50] {
                let (a, b) = (numbers(m * k, &mut stream), numbers(k * n, &mut stream));
                let (bias, mask) = (numbers(n, &mut stream), numbers(m * n, &mut stream));
                let with_bias = |relu| Finish::Bias { bias: &bias, relu };
                for finish in [
                    Finish::Plain,
                    with_bias(false),
                    with_bias(true),
                    Finish::WherePositive(&mask),
                    Finish::Times(&mask),
                ] {
                    for (a_turned, b_turned) in [(false, false), (true, false), (false, true), (true, true)] {
                        let matrix = |data, rows, cols, turned| match turned {
                            false => Matrix::new(data, rows, cols),
                            true => Matrix::new(data, cols, rows).transposed(),
                        };
                        check(matrix(&a, m, k, a_turned), matrix(&b, k, n, b_turned), finish);
                    }
                }
            }
        }
    }
}

fn assert_near(found: &[f32], expected: &[f32], (a, b): (Matrix, Matrix)) {
    for (found, expected) in found.iter().zip(expected) {
        let shape = (a.rows, a.cols, b.cols);
        let tolerance = 1e-5_f32.max(1e-7 * a.cols as f32); // each term adds a rounding
        assert!((found - expected).abs() < tolerance, "{shape:?}: {found} {expected}");
    }
}

const RELU: Finish = Finish::Bias {
    bias: &[0.0],
    relu: true,
};

#[test]
fn every_form_equals_the_definition_at_every_remainder() {
    let (diverged, one) = (Matrix::new(&[f32::NAN], 1, 1), Matrix::new(&[1.0], 1, 1));
    let mut nan = [0.0];
    product(diverged, one, &mut nan, RELU);
    assert!(nan[0].is_nan(), "what diverged is not hidden");
    with_every_form(|a, b, finish| {
        let expected = plain(a, b, finish, |x| x);
        let mut out = vec![f32::NAN; expected.len()];
        product(a, b, &mut out, finish);
        assert_near(&out, &expected, (a, b));
        out.fill(f32::NAN);
        portable(a, b, &mut out, finish);
        assert_near(&out, &expected, (a, b));
    });
}

#[test]
fn few_rows_equal_the_definition_and_wide_vectors_change_no_bit() {
    let mut stream = Stream::derive(3, "product", 0);
    for (m, k, n) in [(1, 17, 256), (3, 256, 12), (15, 5, 131), (2, 1, 1), (4, 256, 256)] {
        let (a, b) = (numbers(m * k, &mut stream), numbers(k * n, &mut stream));
        let mut out = vec![f32::NAN; m * n];
        few_rows(&a, &b, k, &mut out);
        let (a_matrix, b_matrix) = (Matrix::new(&a, m, k), Matrix::new(&b, k, n));
        assert_near(
            &out,
            &plain(a_matrix, b_matrix, Finish::Plain, |x| x),
            (a_matrix, b_matrix),
        );
        let mut narrow = vec![f32::NAN; m * n];
        few_rows_plain(&a, &b, k, &mut narrow);
        assert_eq!(out, narrow);
    }
}

#[test]
fn bfloat16_equals_the_definition_with_rounded_factors() {
    for processor in bfloat16s() {
        let (diverged, one) = (Matrix::new(&[f32::NAN], 1, 1), Matrix::new(&[1.0], 1, 1));
        let nan = in_bfloat16(processor, diverged, one, RELU);
        assert!(nan[0].is_nan(), "what diverged is not hidden: {processor:?}");
        let mut largest = 0.0f32;
        with_every_form(|a, b, finish| {
            let found = in_bfloat16(processor, a, b, finish);
            assert_near(&found, &plain(a, b, finish, rounded), (a, b));
            let exact = plain(a, b, finish, |x| x);
            let differences = found.iter().zip(&exact).map(|(found, exact)| (found - exact).abs());
            largest = differences.fold(largest, f32::max);
        });
        assert!(largest > 1e-3, "rounding can be seen: {largest}, {processor:?}");
    }
}

#[test]
fn bfloat16_rounds_to_the_nearest_and_ties_to_even() {
    let step = 2f32.powi(-7); // from 1 to the next bfloat16
    let ties = [
        1.0 + 0.5 * step,
        1.0 + 1.5 * step,
        -1.0 - 0.5 * step,
        1.0 + 0.501 * step,
    ];
    let expected = [1.0, 1.0 + 2.0 * step, -1.0, 1.0 + step];
    assert_eq!(ties.map(rounded), expected);
    let one = Matrix::new(&[1.0, 1.0], 1, 2);
    for processor in bfloat16s() {
        let left = in_bfloat16(processor, Matrix::new(&ties, 4, 1), one, Finish::Plain);
        let rows = Matrix::new(&ties, 1, 4);
        let right = in_bfloat16(processor, Matrix::new(&[1.0], 1, 1), rows, Finish::Plain);
        for (found, twice) in [(left, 2), (right, 1)] {
            let expected: Vec<f32> = expected.iter().flat_map(|x| std::iter::repeat_n(*x, twice)).collect();
            assert_eq!(found, expected, "{processor:?}");
        }
    }
}

#[test]
fn a_row_does_not_depend_on_the_others() {
    let mut stream = Stream::derive(2, "product", 0);
    let (m, k, n) = (29, 39, 50);
    let (a, b) = (numbers(m * k, &mut stream), numbers(k * n, &mut stream));
    let b = Matrix::new(&b, k, n);
    for processor in bfloat16s() {
        for a in [Matrix::new(&a, m, k), Matrix::new(&a, k, m).transposed()] {
            let whole = in_bfloat16(processor, a, b, Finish::Plain);
            for (first, count) in [(0, 1), (5, 13), (12, 12), (28, 1)] {
                let part = in_bfloat16(processor, a.rows(first, count), b, Finish::Plain);
                let expected = &whole[first * n..(first + count) * n];
                assert_eq!(part, expected, "{count} rows from {first}, {processor:?}");
            }
        }
    }
}
