//! Layers over the last dimension, and products.

use sac_kernels::product::{Finish, Matrix, few_rows, product};

use super::input::Input;

/// Number of rows from which products over panels are faster.
const MIN_PANEL_ROWS: usize = 16;

/// `out [m, n] = x [m, k] · weight [k, n] + bias [n]`.
fn affine(x: &[f32], weight: &[f32], k: usize, bias: Option<&[f32]>, out: &mut [f32]) {
    let (rows, n) = (x.len() / k, weight.len() / k);
    let finish = match bias {
        None => Finish::Plain,
        Some(bias) => Finish::Bias { bias, relu: false },
    };
    if rows < MIN_PANEL_ROWS {
        few_rows(x, weight, k, out);
        finish.apply(out, n);
    } else {
        product(Matrix::new(x, rows, k), Matrix::new(weight, k, n), out, finish);
    }
}

pub fn linear(x: Input, weight: &[f32], bias: Option<&[f32]>, out: &mut [f32]) {
    affine(x.data, weight, x.last(), bias, out);
}

pub fn experts(x: Input, weight: &[f32], bias: &[f32], out: &mut [f32]) {
    let [experts, slots, fan_in] = x.shape else {
        unreachable!("the shape of experts is checked when the graph is made")
    };
    let (of_weight, of_bias) = (weight.len() / experts, bias.len() / experts);
    let (of_x, of_out) = (slots * fan_in, slots * of_bias);
    for (index, (x, out)) in x.data.chunks_exact(of_x).zip(out.chunks_exact_mut(of_out)).enumerate() {
        let expert = index % experts;
        let weight = &weight[expert * of_weight..][..of_weight];
        affine(x, weight, *fan_in, Some(&bias[expert * of_bias..][..of_bias]), out);
    }
}

pub fn mat_mul(a: Input, b: Input, out: &mut [f32]) {
    let [.., m, k] = a.shape else {
        unreachable!("the shape of a product is checked when the graph is made")
    };
    let n = b.last();
    let factors = a.data.chunks_exact(m * k).zip(b.data.chunks_exact(k * n));
    for ((a, b), out) in factors.zip(out.chunks_exact_mut(m * n)) {
        affine(a, b, *k, None, out);
    }
}

/// The mean and the variance of numbers, summed in double precision.
pub fn moments(x: &[f32]) -> (f64, f64) {
    let count = x.len() as f64;
    let mean = x.iter().map(|x| f64::from(*x)).sum::<f64>() / count;
    let scatter: f64 = x.iter().map(|x| (f64::from(*x) - mean) * (f64::from(*x) - mean)).sum();
    (mean, scatter / count)
}

pub fn layer_norm(x: Input, gain: &[f32], shift: &[f32], eps: f32, out: &mut [f32]) {
    let n = x.last();
    for (x, out) in x.data.chunks_exact(n).zip(out.chunks_exact_mut(n)) {
        let (mean, variance) = moments(x);
        let scale = 1.0 / (variance + f64::from(eps)).sqrt();
        for ((out, x), (gain, shift)) in out.iter_mut().zip(x).zip(gain.iter().zip(shift)) {
            *out = ((f64::from(*x) - mean) * scale) as f32 * gain + shift;
        }
    }
}

pub fn unit_norm(x: Input, eps: f32, out: &mut [f32]) {
    let n = x.last();
    for (x, out) in x.data.chunks_exact(n).zip(out.chunks_exact_mut(n)) {
        let squares: f64 = x.iter().map(|x| f64::from(*x) * f64::from(*x)).sum();
        let length = (squares + f64::from(eps)).sqrt() as f32;
        out.iter_mut().zip(x).for_each(|(out, x)| *out = x / length);
    }
}
