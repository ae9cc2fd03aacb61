//! Images of the weights of tokens: [`weights`].
//!
//! If tokens are positions of an image's feature map, each observation is a row of the image: its newest frame,
//! followed by a map per query or slot. Otherwise each query or slot is a line of cells with a column per token, and
//! observations are below one another.

use sac_envs::render::{Colour, Frame, FrameSize};
use tch::{Device, Kind, Tensor};

use super::measures::elements;

/// Longer side of a frame and of a map, pixels.
const SIDE: usize = 128;
/// Maximum number of observations drawn as frames with maps.
const MAX_FRAMES: usize = 4;
/// Maximum number of lines of cells.
const MAX_LINES: usize = 32;
/// Maximum number of queries or slots per observation.
const MAX_MAPS: usize = 8;
/// Maximum number of tokens per line; further tokens are not drawn.
const MAX_TOKENS: usize = 512;
/// Maximum size of a cell, pixels.
const MAX_CELL: usize = 16;
/// Gap between parts of the image, pixels.
const GAP: usize = 4;
/// Colour of the gaps.
const BACKGROUND: Colour = Colour::rgb(64, 64, 96);

/// Draws `maps [B, q, m]`, q distributions over m tokens for each of `obs [B, …]`. `None` if there is nothing to draw.
///
/// With a `grid`, tokens are its positions in row-major order. With `has_cls`, a CLS token precedes them.
pub(super) fn weights(maps: &Tensor, grid: Option<[i64; 2]>, has_cls: bool, obs: &Tensor) -> Option<Frame> {
    let [batch, queries, tokens] = extents(&maps.size())?;
    let queries = queries.min(MAX_MAPS);
    if batch == 0 || queries == 0 || tokens == 0 {
        return None;
    }
    let (grid, shape) = match (grid, &obs.size()[1..]) {
        (Some(grid), [channels, height, width]) => (Some(grid), [*channels, *height, *width]),
        _ => (None, [0; 3]),
    };
    let chosen = match grid {
        Some(_) => spread(batch, MAX_FRAMES),
        None => spread(batch, MAX_LINES / queries),
    };
    let skipped = i64::from(has_cls && grid.is_some());
    let row = |index: usize| {
        let maps = maps.select(0, index as i64).narrow(0, 0, queries as i64); // [q, m]
        let maps = maps.narrow(1, skipped, tokens as i64 - skipped);
        elements(&maps).chunks(tokens - skipped as usize).map(scaled).collect()
    };
    let rows: Vec<Vec<Vec<f64>>> = chosen.iter().map(|index| row(*index)).collect();
    match grid {
        None => Some(lines(&rows)),
        Some(grid) => {
            let frames = chosen
                .iter()
                .map(|index| Observed::newest(&obs.select(0, *index as i64), shape));
            beside_frames(&frames.collect::<Vec<_>>(), &rows, grid)
        }
    }
}

fn extents(size: &[i64]) -> Option<[usize; 3]> {
    let [a, b, c] = *size else { return None };
    Some([a as usize, b as usize, c as usize])
}

/// At most `limit` indices below `count`, evenly spaced.
fn spread(count: usize, limit: usize) -> Vec<usize> {
    let chosen = count.min(limit.max(1));
    (0..chosen).map(|place| place * count / chosen).collect()
}

/// Divides weights by the largest, so that every map uses the whole colour range.
fn scaled(weights: &[f64]) -> Vec<f64> {
    let largest = weights.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
    weights.iter().map(|weight| weight / largest).collect()
}

/// A colour from black through red and yellow to white, for `part` from 0 to 1.
fn heat(part: f64) -> Colour {
    let ramp = |from: f64| ((3.0 * part - from).clamp(0.0, 1.0) * 255.0).round() as u8;
    Colour::rgb(ramp(0.0), ramp(1.0), ramp(2.0))
}

fn filled(width: usize, height: usize, colour: Colour) -> Frame {
    let (width, height) = (width as u32, height as u32);
    Frame::filled(FrameSize { width, height }, colour)
}

/// Fills the rectangle of `extent` (width, height) at `corner` (x, y). `colour` gives the colour of each of its pixels.
fn paint(image: &mut Frame, corner: (usize, usize), extent: (usize, usize), colour: impl Fn(usize, usize) -> Colour) {
    for y in 0..extent.1 {
        for x in 0..extent.0 {
            image.set_pixel((corner.0 + x) as u32, (corner.1 + y) as u32, colour(x, y));
        }
    }
}

/// Draws a line of cells per query or slot, below one another.
fn lines(rows: &[Vec<Vec<f64>>]) -> Frame {
    let maps = rows.first().map_or(0, Vec::len);
    let tokens = rows[0].first().map_or(0, Vec::len).min(MAX_TOKENS);
    let cell = (MAX_TOKENS / tokens.max(1)).clamp(1, MAX_CELL);
    // There is no gap between lines of the same observation.
    let pitch = maps * cell + GAP;
    let mut image = filled(tokens * cell, rows.len() * pitch - GAP, BACKGROUND);
    for (row, maps) in rows.iter().enumerate() {
        for (line, weights) in maps.iter().enumerate() {
            let corner = (0, row * pitch + line * cell);
            paint(&mut image, corner, (tokens * cell, cell), |x, _| {
                heat(weights[x / cell])
            });
        }
    }
    image
}

/// The newest frame of an observation, with its brightness stretched to the whole range.
struct Observed {
    /// Red, green and blue; three equal planes for grey.
    planes: [Vec<f64>; 3],
    height: usize,
    width: usize,
}

impl Observed {
    /// The newest frame of an observation `[C, H, W]`: the last three channels if C is a multiple of 3, otherwise the
    /// last.
    fn newest(obs: &Tensor, [channels, height, width]: [i64; 3]) -> Self {
        let obs = obs.to_device(Device::Cpu).to_kind(Kind::Double);
        let first = match channels % 3 {
            0 => channels - 3,
            _ => channels - 1,
        };
        let shown = obs.narrow(0, first, channels - first);
        let values = elements(&shown);
        let (low, high) = values
            .iter()
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
                (low.min(*value), high.max(*value))
            });
        let range = (high - low).max(f64::MIN_POSITIVE);
        let area = (height * width) as usize;
        let plane = |index: usize| {
            let from = index.min((channels - first) as usize - 1) * area;
            let plane = values[from..from + area].iter();
            plane.map(|value| (value - low) / range).collect()
        };
        Observed {
            planes: [plane(0), plane(1), plane(2)],
            height: height as usize,
            width: width as usize,
        }
    }

    /// Size (width, height) in the image: scaled by the largest integer factor for which the longer side has at most
    /// [`SIDE`] pixels, or scaled down to [`SIDE`].
    fn shown(&self) -> (usize, usize) {
        let longer = self.height.max(self.width).max(1);
        match SIDE / longer {
            0 => (self.width * SIDE / longer, self.height * SIDE / longer),
            factor => (self.width * factor, self.height * factor),
        }
    }

    fn colour(&self, x: usize, y: usize) -> Colour {
        let byte = |plane: &Vec<f64>| (plane[y * self.width + x] * 255.0).round() as u8;
        Colour::rgb(byte(&self.planes[0]), byte(&self.planes[1]), byte(&self.planes[2]))
    }
}

/// Index of the cell at `pixel`, if `cells` cells are scaled to `pixels` pixels.
fn nearest(pixel: usize, pixels: usize, cells: usize) -> usize {
    pixel * cells / pixels
}

/// Draws each frame with its maps to the right.
fn beside_frames(frames: &[Observed], rows: &[Vec<Vec<f64>>], [down, across]: [i64; 2]) -> Option<Frame> {
    let (width, height) = frames.first()?.shown();
    let (down, across) = (down as usize, across as usize);
    let maps = rows.first()?.len();
    if width == 0 || height == 0 || rows.iter().flatten().any(|map| map.len() != down * across) {
        return None;
    }
    let (pitch_x, pitch_y) = (width + GAP, height + GAP);
    let mut image = filled((maps + 1) * pitch_x - GAP, frames.len() * pitch_y - GAP, BACKGROUND);
    for (row, (frame, maps)) in frames.iter().zip(rows).enumerate() {
        paint(&mut image, (0, row * pitch_y), (width, height), |x, y| {
            frame.colour(nearest(x, width, frame.width), nearest(y, height, frame.height))
        });
        for (column, map) in maps.iter().enumerate() {
            let corner = ((column + 1) * pitch_x, row * pitch_y);
            paint(&mut image, corner, (width, height), |x, y| {
                heat(map[nearest(y, height, down) * across + nearest(x, width, across)])
            });
        }
    }
    Some(image)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHITE: Colour = Colour::WHITE;
    const BLACK: Colour = Colour::BLACK;

    fn extent(image: &Frame) -> (u32, u32) {
        (image.size.width, image.size.height)
    }

    #[test]
    fn tokens_without_a_grid_become_a_line_of_cells_per_observation() {
        let maps = Tensor::from_slice(&[0.0f32, 0.8, 0.2, 0.5, 0.0, 0.5]).reshape([2, 1, 3]);
        let image = weights(
            &maps,
            None,
            false,
            &Tensor::zeros([2, 3, 6], (Kind::Float, Device::Cpu)),
        )
        .expect("drawn");
        assert_eq!(extent(&image), (48, 36), "cells of 16, a gap of 4");
        assert_eq!(image.pixel(15, 15), BLACK);
        assert_eq!(image.pixel(16, 0), WHITE, "the largest of its line");
        assert_eq!(image.pixel(32, 0), Colour::rgb(191, 0, 0), "a quarter of the largest");
        assert_eq!(image.pixel(0, 17), BACKGROUND);
        assert_eq!(image.pixel(0, 20), WHITE);
        assert_eq!(image.pixel(16, 20), BLACK);
    }

    #[test]
    fn a_frame_is_drawn_beside_the_map_over_its_grid() {
        // The newest frame is the last of two channels. The tokens are a CLS token and a grid of 1 × 2 positions.
        let obs = Tensor::from_slice(&[9.0f32, 9.0, 9.0, 9.0, 0.0, 100.0, 100.0, 200.0]).reshape([1, 2, 2, 2]);
        let maps = Tensor::from_slice(&[0.9f32, 0.1, 0.0]).reshape([1, 1, 3]);
        let image = weights(&maps, Some([1, 2]), true, &obs).expect("drawn");
        assert_eq!(extent(&image), (128 + 4 + 128, 128));
        assert_eq!(image.pixel(0, 0), BLACK);
        assert_eq!(image.pixel(64, 0), Colour::rgb(128, 128, 128));
        assert_eq!(image.pixel(127, 127), WHITE);
        assert_eq!(image.pixel(130, 0), BACKGROUND);
        assert_eq!(image.pixel(132, 127), WHITE, "the left position has the largest weight");
        assert_eq!(image.pixel(259, 0), BLACK);
    }

    #[test]
    fn colours_are_the_last_three_channels_and_large_images_shrink() {
        let mut planes = vec![0.0f32; 6 * 2 * 256];
        planes[5 * 512..].fill(255.0); // blue of the newest frame
        let obs = Tensor::from_slice(&planes).reshape([1, 6, 2, 256]);
        let maps = Tensor::ones([1, 1, 1], (Kind::Float, Device::Cpu));
        let image = weights(&maps, Some([1, 1]), false, &obs).expect("drawn");
        assert_eq!(extent(&image), (128 + 4 + 128, 1));
        assert_eq!(image.pixel(0, 0), Colour::rgb(0, 0, 255));
    }

    #[test]
    fn the_size_of_an_image_is_limited() {
        let maps = Tensor::ones([256, 100, 2000], (Kind::Float, Device::Cpu));
        let obs = Tensor::zeros([256, 2000, 3], (Kind::Float, Device::Cpu));
        let image = weights(&maps, None, false, &obs).expect("drawn");
        assert_eq!(extent(&image).0 as usize, MAX_TOKENS);
        assert!(extent(&image).1 as usize <= 2 * MAX_LINES, "{}", extent(&image).1);
    }
}
