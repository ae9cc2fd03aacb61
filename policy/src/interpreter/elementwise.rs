//! Functions of each number, and softmax.

use sac_kernels::{Activation, elementary::softplus};

use super::input::Input;
use crate::op::Function;

pub fn each(x: Input, out: &mut [f32], function: impl Fn(f32) -> f32) {
    out.iter_mut().zip(x.data).for_each(|(out, x)| *out = function(*x));
}

pub fn activate(activation: Activation, x: Input, out: &mut [f32], scratch: &mut Vec<f32>) {
    // The input of an activation is overwritten, and other operations may need it.
    scratch.clear();
    scratch.extend_from_slice(x.data);
    activation.apply(scratch, out);
}

pub fn map(function: Function, x: Input, out: &mut [f32]) {
    match function {
        Function::Exp => each(x, out, f32::exp),
        Function::Ln => each(x, out, f32::ln),
        Function::Softplus => each(x, out, softplus),
    }
}

/// NaN stays NaN.
pub fn clamp(x: Input, low: f32, high: f32, out: &mut [f32]) {
    each(x, out, |x| {
        let x = if x < low { low } else { x };
        if x > high { high } else { x }
    });
}

/// Combines `x` and `y`, which is repeated over the leading dimensions of x that it lacks.
pub fn combine(x: Input, y: Input, rows: usize, out: &mut [f32], function: impl Fn(f32, f32) -> f32) {
    let (of_x, of_y) = (x.len(), y.len());
    for row in 0..rows {
        let (x, y) = (&x.data[row * of_x..][..of_x], &y.data[row * of_y..][..of_y]);
        let out = &mut out[row * of_x..][..of_x];
        for (x, out) in x.chunks_exact(of_y).zip(out.chunks_exact_mut(of_y)) {
            for ((out, x), y) in out.iter_mut().zip(x).zip(y) {
                *out = function(*x, *y);
            }
        }
    }
}

pub fn softmax(x: Input, axis: usize, out: &mut [f32]) {
    let extent = x.shape[axis];
    let inner: usize = x.shape[axis + 1..].iter().product();
    let blocks = x
        .data
        .chunks_exact(extent * inner)
        .zip(out.chunks_exact_mut(extent * inner));
    for (x, out) in blocks {
        for at in 0..inner {
            let places = || (0..extent).map(|index| index * inner + at);
            let most = places().fold(f32::NEG_INFINITY, |most, place| most.max(x[place]));
            let mut total = 0.0;
            for place in places() {
                out[place] = (x[place] - most).exp();
                total += out[place];
            }
            places().for_each(|place| out[place] /= total);
        }
    }
}

/// From [-1, 1] to intervals. As `sac_envs::RescaleAction` does.
pub fn rescale(x: Input, low: &[f32], high: &[f32], out: &mut [f32]) {
    let n = low.len();
    for (x, out) in x.data.chunks_exact(n).zip(out.chunks_exact_mut(n)) {
        for ((x, out), (low, high)) in x.iter().zip(out).zip(low.iter().zip(high)) {
            let (wide_low, wide_high) = (f64::from(*low), f64::from(*high));
            let scaled = (wide_low + wide_high) / 2.0 + f64::from(*x) * ((wide_high - wide_low) / 2.0);
            *out = match *x {
                x if x >= 1.0 => *high,
                x if x <= -1.0 => *low,
                _ => (scaled as f32).max(*low).min(*high),
            };
        }
    }
}
