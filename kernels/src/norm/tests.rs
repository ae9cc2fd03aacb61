use super::{
    columns::{self, Statistics},
    rows::RowNorm,
};

const ROWS: usize = 11;
const WIDTH: usize = 19;
const EPS: f64 = 1e-3;

/// Values around 0, the same ones for the same phase.
fn values(count: usize, phase: f32) -> Vec<f32> {
    (0..count).map(|index| (index as f32 * 1.7 + phase).sin()).collect()
}

/// In `f64`: mean and variance of some values.
fn exact_moments(x: &[f64]) -> (f64, f64) {
    let mean = x.iter().sum::<f64>() / x.len() as f64;
    (mean, x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / x.len() as f64)
}

/// In `f64`: a normalisation of columns without parameters.
fn normed_columns(x: &[f64]) -> Vec<f64> {
    let mut y = x.to_vec();
    for column in 0..WIDTH {
        let of_column: Vec<f64> = x.iter().skip(column).step_by(WIDTH).copied().collect();
        let (mean, variance) = exact_moments(&of_column);
        let column = y.iter_mut().skip(column).step_by(WIDTH);
        column.for_each(|y| *y = (*y - mean) / (variance + EPS).sqrt());
    }
    y
}

/// In `f64`: a normalisation of rows.
fn normed_rows(x: &[f64], gain: &[f32], shift: Option<&[f32]>) -> Vec<f64> {
    let of_row = |x: &[f64]| {
        let (mean, mean_square) = match shift {
            Some(_) => exact_moments(x),
            None => (0.0, x.iter().map(|x| x * x).sum::<f64>() / x.len() as f64),
        };
        let std = (mean_square + EPS).sqrt();
        let units = x.iter().zip(gain).enumerate();
        let unit = |(unit, (x, gain)): (usize, (&f64, &f32))| {
            (x - mean) / std * f64::from(*gain) + shift.map_or(0.0, |shift| f64::from(shift[unit]))
        };
        units.map(unit).collect::<Vec<f64>>()
    };
    x.chunks_exact(WIDTH).flat_map(of_row).collect()
}

/// By finite differences: the gradient of Σ of·y with respect to every x.
fn gradient(x: &[f32], of: &[f32], y: impl Fn(&[f64]) -> Vec<f64>) -> Vec<f64> {
    const STEP: f64 = 1e-5;
    let x: Vec<f64> = x.iter().map(|x| f64::from(*x)).collect();
    let loss = |x: &[f64]| y(x).iter().zip(of).map(|(y, of)| y * f64::from(*of)).sum::<f64>();
    let difference = |index: usize| {
        let moved = |by: f64| {
            let mut x = x.clone();
            x[index] += by;
            loss(&x)
        };
        (moved(STEP) - moved(-STEP)) / (2.0 * STEP)
    };
    (0..x.len()).map(difference).collect()
}

fn largest_error(actual: &[f32], expected: &[f64]) -> f64 {
    assert_eq!(actual.len(), expected.len());
    let errors = actual.iter().zip(expected).map(|(a, b)| (f64::from(*a) - b).abs());
    errors.fold(0.0, f64::max)
}

#[test]
fn moments_of_columns_are_exact_far_from_zero_too() {
    for offset in [0.0, 1000.0] {
        let x: Vec<f32> = values(ROWS * WIDTH, 0.3).iter().map(|x| x + offset).collect();
        let (mut mean, mut variance) = (vec![0.0; WIDTH], vec![0.0; WIDTH]);
        columns::moments(&x, &mut mean, &mut variance);
        for column in 0..WIDTH {
            let of_column = x.iter().skip(column).step_by(WIDTH);
            let (m, v) = exact_moments(&of_column.map(|x| f64::from(*x)).collect::<Vec<_>>());
            assert!((f64::from(mean[column]) - m).abs() < 1e-6 * (1.0 + m.abs()), "{column}");
            assert!((f64::from(variance[column]) - v).abs() < 2e-6, "{column}");
        }
    }
    let (mut mean, mut variance) = ([0.0], [1.0]);
    columns::moments(&[0.1; 7], &mut mean, &mut variance);
    assert_eq!((mean, variance), ([0.1], [0.0]), "what is constant has no variance");
}

#[test]
fn columns_are_normalised_and_their_gradient_is_that_of_finite_differences() {
    let (x, of) = (values(ROWS * WIDTH, 0.3), values(ROWS * WIDTH, 2.0));
    let (mut mean, mut variance) = (vec![0.0; WIDTH], vec![0.0; WIDTH]);
    columns::moments(&x, &mut mean, &mut variance);
    let inverse_std: Vec<f32> = variance.iter().map(|v| 1.0 / (v + EPS as f32).sqrt()).collect();
    let mut y = vec![0.0; x.len()];
    columns::apply(&x, &mean, (&inverse_std, &[0.0; WIDTH]), false, &mut y);
    let exact: Vec<f64> = x.iter().map(|x| f64::from(*x)).collect();
    let expected = normed_columns(&exact);
    assert!(largest_error(&y, &expected) < 3e-6);

    let statistics = Statistics {
        mean: &mean,
        inverse_std: &inverse_std,
    };
    let (mut of_shift, mut of_normed) = (vec![0.0; WIDTH], vec![0.0; WIDTH]);
    statistics.gradient_sums(&x, &of, &mut of_shift, &mut of_normed);
    for column in 0..WIDTH {
        let sum = |value: &dyn Fn(usize) -> f64| (column..x.len()).step_by(WIDTH).map(value).sum::<f64>();
        let shift = sum(&|index| f64::from(of[index]));
        let normed = sum(&|index| f64::from(of[index]) * expected[index]);
        assert!((f64::from(of_shift[column]) - shift).abs() < 3e-6, "{column}");
        assert!((f64::from(of_normed[column]) - normed).abs() < 1e-5, "{column}");
    }
    let mut g = of.clone();
    statistics.backward(&x, (&of_shift, &of_normed), &inverse_std, &mut g);
    let error = largest_error(&g, &gradient(&x, &of, normed_columns));
    assert!(error < 1e-5, "{error}");
}

#[test]
fn columns_are_scaled_and_have_norm_one_unless_they_are_shorter_than_the_least() {
    let mut g = [1.0, 2.0, 3.0, 4.0];
    columns::scale(&[2.0, -1.0], &mut g);
    assert_eq!(g, [2.0, -2.0, 6.0, -4.0]);
    let mut matrix = [3.0, 0.0, 1e-3, 4.0, 0.0, 0.0];
    columns::to_unit_norm(&mut matrix, 3, 1e-2);
    let error = largest_error(&matrix, &[0.6, 0.0, 0.1, 0.8, 0.0, 0.0]);
    assert!(error < 1e-6, "{matrix:?}");
}

#[test]
fn rows_are_normalised_and_their_gradient_is_that_of_finite_differences() {
    let (x, of) = (values(ROWS * WIDTH, 0.3), values(ROWS * WIDTH, 2.0));
    let (gain, shift) = (values(WIDTH, 1.0), values(WIDTH, 4.0));
    for shift in [Some(&shift[..]), None] {
        let norm = RowNorm {
            gain: &gain,
            shift,
            eps: EPS as f32,
        };
        let (mut y, mut moments) = (vec![0.0; x.len()], vec![(0.0, 0.0); ROWS]);
        norm.forward(&x, false, &mut y, &mut moments);
        let exact: Vec<f64> = x.iter().map(|x| f64::from(*x)).collect();
        assert!(largest_error(&y, &normed_rows(&exact, &gain, shift)) < 3e-6);

        let (mut g, mut of_gain, mut of_shift) = (of.clone(), vec![0.0; WIDTH], vec![0.0; WIDTH]);
        let with_shift = shift.is_some().then_some(&mut of_shift[..]);
        norm.backward(&x, &moments, &mut g, &mut of_gain, with_shift);
        let error = largest_error(&g, &gradient(&x, &of, |x| normed_rows(x, &gain, shift)));
        assert!(error < 1e-5, "{shift:?}: {error}");
        let unit = normed_rows(&exact, &[1.0; WIDTH], shift.map(|_| &[0.0; WIDTH][..]));
        for column in 0..WIDTH {
            let indices = || (column..x.len()).step_by(WIDTH);
            let expected: f64 = indices().map(|index| f64::from(of[index]) * unit[index]).sum();
            assert!((f64::from(of_gain[column]) - expected).abs() < 1e-5, "{column}");
            let expected: f64 = indices().map(|index| f64::from(of[index])).sum();
            let expected = if shift.is_some() { expected } else { 0.0 };
            assert!((f64::from(of_shift[column]) - expected).abs() < 1e-5, "{column}");
        }
    }
}

#[test]
fn a_relu_after_a_normalisation_keeps_what_is_positive_and_nan() {
    let x = [1.0, f32::NAN, -2.0, -1.0, 3.0, 2.0];
    let mut y = [0.0; 6];
    columns::apply(&x, &[0.0; 3], (&[1.0; 3], &[0.5; 3]), true, &mut y);
    assert!(y[1].is_nan());
    assert_eq!([y[0], y[2], y[3], y[4], y[5]], [1.5, 0.0, 0.0, 3.5, 2.5]);
    let norm = RowNorm {
        gain: &[1.0; 3],
        shift: Some(&[0.0; 3]),
        eps: 0.0,
    };
    let mut moments = [(0.0, 0.0); 2];
    norm.forward(&x, true, &mut y, &mut moments);
    assert!(y[..3].iter().all(|y| y.is_nan()));
    assert!(y[3] == 0.0 && y[4] > 0.0 && y[5] > 0.0, "{y:?}");
}
