//! Initial weights: [`linear`], [`glorot`], [`orthogonal`].

use crate::noise::Stream;

/// Draws weights or biases of a linear layer with `fan_in` inputs: `U(±1/√fan_in)`, PyTorch's default for `nn.Linear`.
///
/// The SAC papers do not state their initialisation, and their codes draw [`glorot`]; the implementations whose results we
/// compare with use this one.
pub fn linear(fan_in: i64, stream: &mut Stream, out: &mut [f32]) {
    let bound = 1.0 / (fan_in as f32).sqrt();
    stream.uniform_into(-bound, bound, out);
}

/// Draws matrices `[.., in, out]`: `U(±√(6 / (in + out)))`.
///
/// Source: Glorot and Bengio 2010, "Understanding the difficulty of training deep feedforward neural networks", equation
/// 16.
pub fn glorot(shape: &[i64], stream: &mut Stream, out: &mut [f32]) {
    let fans: i64 = shape.iter().rev().take(2).sum();
    let bound = (6.0 / fans as f32).sqrt();
    stream.uniform_into(-bound, bound, out);
}

/// Draws weights of a layer with `fan_in` inputs: `N(0, 2 / fan_in)`.
///
/// Source: He et al. 2015 (arXiv 1502.01852), equation 10.
pub fn he(fan_in: i64, stream: &mut Stream, out: &mut [f32]) {
    let std = (2.0 / fan_in as f32).sqrt();
    stream.normal_into(out);
    out.iter_mut().for_each(|x| *x *= std);
}

/// Draws orthogonal matrices, stored one after the other, times `gain`. Rows or columns are orthonormal, whichever are
/// fewer. `shape` is one of those of [`super::Init::Orthogonal`].
///
/// Gram-Schmidt on standard normal vectors in `f64`, which gives the uniform distribution over such matrices. Saxe et
/// al. 2014 (arXiv 1312.6120) use them for deep networks.
pub fn orthogonal(shape: &[i64], gain: f32, stream: &mut Stream, out: &mut [f32]) {
    let (rows, cols) = match *shape {
        [out, inputs, height, width] => (out, inputs * height * width),
        [.., rows, cols] => (rows, cols),
        _ => (1, out.len() as i64),
    };
    let (rows, cols) = (rows as usize, cols as usize);
    let (count, length) = (rows.min(cols), rows.max(cols));
    for matrix in out.chunks_exact_mut(rows * cols) {
        let vectors = orthonormal(count, length, stream);
        for (index, x) in matrix.iter_mut().enumerate() {
            let (row, col) = (index / cols, index % cols);
            let (vector, position) = if rows <= cols { (row, col) } else { (col, row) };
            *x = gain * vectors[vector * length + position] as f32;
        }
    }
}

/// `count` orthonormal vectors of `length` numbers each, by modified Gram-Schmidt. `count` is at most `length`.
fn orthonormal(count: usize, length: usize, stream: &mut Stream) -> Vec<f64> {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let mut vectors: Vec<f64> = Vec::with_capacity(count * length);
    let mut drawn = vec![0.0f32; length];
    for _ in 0..count {
        stream.normal_into(&mut drawn);
        let mut vector: Vec<f64> = drawn.iter().map(|x| f64::from(*x)).collect();
        for earlier in vectors.chunks_exact(length) {
            let along = dot(&vector, earlier);
            vector.iter_mut().zip(earlier).for_each(|(x, e)| *x -= along * e);
        }
        let norm = dot(&vector, &vector).sqrt();
        vectors.extend(vector.iter().map(|x| x / norm));
    }
    vectors
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn glorot_weights_fill_their_interval() {
        let mut values = vec![0.0f32; 3 * 20 * 10];
        glorot(&[3, 20, 10], &mut Stream::derive(0, "test", 0), &mut values);
        let bound = (6.0f32 / 30.0).sqrt();
        let largest = values.iter().fold(0.0f32, |largest, x| largest.max(x.abs()));
        assert!(largest <= bound && largest > 0.98 * bound, "{largest} {bound}");
        let variance = values.iter().map(|x| x * x).sum::<f32>() / values.len() as f32;
        assert!((variance / (bound * bound / 3.0) - 1.0).abs() < 0.15, "{variance}");
    }

    #[test]
    fn rows_or_columns_are_orthonormal_and_matrices_differ() {
        let gain = std::f32::consts::SQRT_2;
        for (shape, matrices, rows, cols) in [
            (&[5i64, 9][..], 1, 5, 9),
            (&[9, 5], 1, 9, 5),
            (&[3, 6, 6], 3, 6, 6),
            (&[8, 3, 2, 2], 1, 8, 12),
            (&[32, 3, 3, 3], 1, 32, 27),
        ] {
            let mut values = vec![0.0f32; matrices * rows * cols];
            orthogonal(shape, gain, &mut Stream::derive(0, "test", 0), &mut values);
            for matrix in values.chunks_exact(rows * cols) {
                let at = |vector: usize, position: usize| match rows <= cols {
                    true => matrix[vector * cols + position],
                    false => matrix[position * cols + vector],
                };
                let (count, length) = (rows.min(cols), rows.max(cols));
                for (one, other) in (0..count).flat_map(|one| (0..count).map(move |other| (one, other))) {
                    let product: f32 = (0..length)
                        .map(|position| at(one, position) * at(other, position))
                        .sum();
                    let expected = if one == other { gain * gain } else { 0.0 };
                    assert!(
                        (product - expected).abs() < 1e-5,
                        "{shape:?}: {one} and {other} have {product}"
                    );
                }
            }
            let first = &values[..rows * cols];
            assert!(
                values[rows * cols..]
                    .chunks_exact(rows * cols)
                    .all(|matrix| matrix != first)
            );
        }
    }
}
