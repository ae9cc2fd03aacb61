//! Operations that move numbers, and reductions.

use super::input::Input;
use crate::op::Reduction;

/// The same numbers for every row.
pub fn repeat(data: &[f32], out: &mut [f32]) {
    out.chunks_exact_mut(data.len())
        .for_each(|row| row.copy_from_slice(data));
}

pub fn reduce(x: Input, axis: usize, by: Reduction, out: &mut [f32]) {
    let extent = x.shape[axis];
    let inner: usize = x.shape[axis + 1..].iter().product();
    for (x, out) in x.data.chunks_exact(extent * inner).zip(out.chunks_exact_mut(inner)) {
        for (at, out) in out.iter_mut().enumerate() {
            let numbers = (0..extent).map(|index| x[index * inner + at]);
            *out = match by {
                Reduction::Mean => (numbers.map(f64::from).sum::<f64>() / extent as f64) as f32,
                Reduction::Max => numbers.fold(f32::NEG_INFINITY, f32::max),
            };
        }
    }
}

pub fn transpose(x: Input, first: usize, second: usize, out: &mut [f32]) {
    let (first, second) = (first.min(second), first.max(second));
    if first == second {
        return out.copy_from_slice(x.data);
    }
    let (a, b) = (x.shape[first], x.shape[second]);
    let middle: usize = x.shape[first + 1..second].iter().product();
    let inner: usize = x.shape[second + 1..].iter().product();
    let block = a * middle * b * inner;
    for (x, out) in x.data.chunks_exact(block).zip(out.chunks_exact_mut(block)) {
        for i in 0..a {
            for m in 0..middle {
                for j in 0..b {
                    let from = ((i * middle + m) * b + j) * inner;
                    let to = ((j * middle + m) * a + i) * inner;
                    out[to..to + inner].copy_from_slice(&x[from..from + inner]);
                }
            }
        }
    }
}

pub fn slice(x: Input, axis: usize, start: usize, len: usize, out: &mut [f32]) {
    let inner: usize = x.shape[axis + 1..].iter().product();
    let (of_x, of_out) = (x.shape[axis] * inner, len * inner);
    for (x, out) in x.data.chunks_exact(of_x).zip(out.chunks_exact_mut(of_out)) {
        out.copy_from_slice(&x[start * inner..][..of_out]);
    }
}

pub fn concatenate(x: Input, y: Input, axis: usize, out: &mut [f32]) {
    let inner: usize = x.shape[axis + 1..].iter().product();
    let (of_x, of_y) = (x.shape[axis] * inner, y.shape[axis] * inner);
    let parts = x.data.chunks_exact(of_x).zip(y.data.chunks_exact(of_y));
    for ((x, y), out) in parts.zip(out.chunks_exact_mut(of_x + of_y)) {
        out[..of_x].copy_from_slice(x);
        out[of_x..].copy_from_slice(y);
    }
}
