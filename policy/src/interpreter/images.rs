//! Operations on images `[C, H, W]`.

use sac_kernels::product::{Finish, Matrix, product};

use super::{input::Input, layers::moments};
use crate::graph::Tensor;

/// A convolution's parameters.
#[derive(Clone, Copy)]
pub struct Kernel<'a> {
    pub weight: &'a Tensor,
    pub bias: &'a [f32],
    pub stride: usize,
    pub padding: usize,
}

fn extents(shape: &[usize]) -> [usize; 3] {
    shape
        .try_into()
        .expect("the shape of an image is checked when the graph is made")
}

/// A product of the weights `[C', C·k·k]` and the windows `[C·k·k, H'·W']`.
pub fn convolution(x: Input, kernel: Kernel, shape: &[usize], out: &mut [f32], scratch: &mut Vec<f32>) {
    let [channels, height, width] = extents(x.shape);
    let [filters, rows, columns] = extents(shape);
    let side = kernel.weight.shape[3];
    let (depth, area) = (channels * side * side, rows * columns);
    scratch.resize(depth * area, 0.0);
    let images = x.data.chunks_exact(x.len()).zip(out.chunks_exact_mut(filters * area));
    for (image, out) in images {
        for (index, windows) in scratch.chunks_exact_mut(area).enumerate() {
            let (channel, dy, dx) = (index / (side * side), index / side % side, index % side);
            let plane = &image[channel * height * width..][..height * width];
            for (row, windows) in windows.chunks_exact_mut(columns).enumerate() {
                // Positions in the padding wrap around to numbers beyond the image.
                let y = (row * kernel.stride + dy).wrapping_sub(kernel.padding);
                for (column, number) in windows.iter_mut().enumerate() {
                    let x = (column * kernel.stride + dx).wrapping_sub(kernel.padding);
                    *number = if y < height && x < width {
                        plane[y * width + x]
                    } else {
                        0.0
                    };
                }
            }
        }
        let weight = Matrix::new(&kernel.weight.data, filters, depth);
        product(weight, Matrix::new(scratch, depth, area), out, Finish::Plain);
        for (out, bias) in out.chunks_exact_mut(area).zip(kernel.bias) {
            out.iter_mut().for_each(|out| *out += bias);
        }
    }
}

pub fn max_pool(x: Input, (extent, stride, padding): (usize, usize, usize), shape: &[usize], out: &mut [f32]) {
    let [_, height, width] = extents(x.shape);
    let [_, rows, columns] = extents(shape);
    let planes = x.data.chunks_exact(height * width);
    for (plane, out) in planes.zip(out.chunks_exact_mut(rows * columns)) {
        for (place, out) in out.iter_mut().enumerate() {
            let range = |at: usize, length: usize| {
                let start = at * stride;
                start.saturating_sub(padding)..(start + extent - padding).min(length)
            };
            let mut most = f32::NEG_INFINITY;
            for y in range(place / columns, height) {
                for x in range(place % columns, width) {
                    most = most.max(plane[y * width + x]);
                }
            }
            *out = most;
        }
    }
}

pub fn patch_mean(x: Input, size: usize, shape: &[usize], out: &mut [f32]) {
    let [_, height, width] = extents(x.shape);
    let [_, rows, columns] = extents(shape);
    let planes = x.data.chunks_exact(height * width);
    for (plane, out) in planes.zip(out.chunks_exact_mut(rows * columns)) {
        for (place, out) in out.iter_mut().enumerate() {
            let (y, x) = (place / columns * size, place % columns * size);
            let (bottom, right) = ((y + size).min(height), (x + size).min(width));
            let sum: f64 = (y..bottom)
                .flat_map(|y| &plane[y * width + x..y * width + right])
                .map(|x| f64::from(*x))
                .sum();
            *out = (sum / ((bottom - y) * (right - x)) as f64) as f32;
        }
    }
}

pub fn image_norm(x: Input, gain: &[f32], shift: &[f32], eps: f32, out: &mut [f32]) {
    let [_, height, width] = extents(x.shape);
    let (of_image, area) = (x.len(), height * width);
    for (image, out) in x.data.chunks_exact(of_image).zip(out.chunks_exact_mut(of_image)) {
        let (mean, variance) = moments(image);
        let scale = 1.0 / (variance + f64::from(eps)).sqrt();
        let planes = image.chunks_exact(area).zip(out.chunks_exact_mut(area));
        for ((plane, out), (gain, shift)) in planes.zip(gain.iter().zip(shift)) {
            for (x, out) in plane.iter().zip(out) {
                *out = ((f64::from(*x) - mean) * scale) as f32 * gain + shift;
            }
        }
    }
}
