//! Weights of tokens as pictures.
//!
//! Where tokens are places of an image's feature map: a row per observation, its newest frame, then a map per query or
//! slot. Otherwise a line of cells per query or slot, a column per token, observations below one another.

use sac_envs::render::{Colour, Frame, FrameSize};
use tch::{Device, Kind, Tensor};

use super::measures::numbers;

/// The longer side of a frame, and of a map, pixels.
const SIDE: usize = 128;
/// Observations with maps.
const MOST_FRAMES: usize = 4;
/// Lines of cells.
const MOST_LINES: usize = 32;
/// Queries or slots of one observation.
const MOST_MAPS: usize = 8;
/// Tokens of a line; those behind it are left out.
const MOST_TOKENS: usize = 512;
/// Extent of a cell, pixels.
const LARGEST_CELL: usize = 16;
/// Between parts, pixels.
const GAP: usize = 4;
/// Between parts.
const BACKGROUND: Colour = Colour::rgb(64, 64, 96);

/// `maps [B, q, m]`: q distributions over m tokens at each of `obs [B, …]`. With a `grid` tokens are its places, row by
/// row; with `has_cls` another one is before them. None when there is nothing to draw.
pub(super) fn weights(maps: &Tensor, grid: Option<[i64; 2]>, has_cls: bool, obs: &Tensor) -> Option<Frame> {
    let [batch, queries, tokens] = extents(&maps.size())?;
    let queries = queries.min(MOST_MAPS);
    if batch == 0 || queries == 0 || tokens == 0 {
        return None;
    }
    let (grid, shape) = match (grid, &obs.size()[1..]) {
        (Some(grid), [channels, height, width]) => (Some(grid), [*channels, *height, *width]),
        _ => (None, [0; 3]),
    };
    let chosen = match grid {
        Some(_) => spread(batch, MOST_FRAMES),
        None => spread(batch, MOST_LINES / queries),
    };
    let skipped = i64::from(has_cls && grid.is_some());
    let row = |index: usize| {
        let maps = maps.select(0, index as i64).narrow(0, 0, queries as i64); // [q, m]
        let maps = maps.narrow(1, skipped, tokens as i64 - skipped);
        numbers(&maps).chunks(tokens - skipped as usize).map(scaled).collect()
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

/// At most `most` of so many, evenly.
fn spread(count: usize, most: usize) -> Vec<usize> {
    let chosen = count.min(most.max(1));
    (0..chosen).map(|place| place * count / chosen).collect()
}

/// Divided by the largest, so that every map uses all colours.
fn scaled(weights: &[f64]) -> Vec<f64> {
    let largest = weights.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
    weights.iter().map(|weight| weight / largest).collect()
}

/// Black, red, yellow, white from 0 to 1.
fn heat(part: f64) -> Colour {
    let ramp = |from: f64| ((3.0 * part - from).clamp(0.0, 1.0) * 255.0).round() as u8;
    Colour::rgb(ramp(0.0), ramp(1.0), ramp(2.0))
}

fn filled(width: usize, height: usize, colour: Colour) -> Frame {
    let (width, height) = (width as u32, height as u32);
    Frame::filled(FrameSize { width, height }, colour)
}

/// Fills the rectangle of `extent` (width, height) from `corner` (x, y). `colour` is asked about every place within it.
fn paint(image: &mut Frame, corner: (usize, usize), extent: (usize, usize), colour: impl Fn(usize, usize) -> Colour) {
    for y in 0..extent.1 {
        for x in 0..extent.0 {
            image.set_pixel((corner.0 + x) as u32, (corner.1 + y) as u32, colour(x, y));
        }
    }
}

fn lines(rows: &[Vec<Vec<f64>>]) -> Frame {
    let maps = rows.first().map_or(0, Vec::len);
    let tokens = rows[0].first().map_or(0, Vec::len).min(MOST_TOKENS);
    let cell = (MOST_TOKENS / tokens.max(1)).clamp(1, LARGEST_CELL);
    // Lines of one observation touch each other.
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

/// The newest frame of an observation, stretched over all brightnesses.
struct Observed {
    /// Red, green and blue, or three times grey.
    planes: [Vec<f64>; 3],
    height: usize,
    width: usize,
}

impl Observed {
    /// Of an observation `[C, H, W]`: its last three channels if their number suits colours, else its last.
    fn newest(obs: &Tensor, [channels, height, width]: [i64; 3]) -> Self {
        let obs = obs.to_device(Device::Cpu).to_kind(Kind::Double);
        let first = match channels % 3 {
            0 => channels - 3,
            _ => channels - 1,
        };
        let shown = obs.narrow(0, first, channels - first);
        let values = numbers(&shown);
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

    /// Extents (width, height) when its longer side has [`SIDE`] pixels, or as many as a whole factor gives.
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

/// The nearest of so many cells.
fn nearest(pixel: usize, pixels: usize, cells: usize) -> usize {
    pixel * cells / pixels
}

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
    fn a_set_of_tokens_becomes_a_line_of_cells_per_observation() {
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
    fn an_image_stands_beside_the_map_over_its_grid() {
        // Newest frame: the last channel of 2; its grid of 1 × 2 places, behind a CLS token.
        let obs = Tensor::from_slice(&[9.0f32, 9.0, 9.0, 9.0, 0.0, 100.0, 100.0, 200.0]).reshape([1, 2, 2, 2]);
        let maps = Tensor::from_slice(&[0.9f32, 0.1, 0.0]).reshape([1, 1, 3]);
        let image = weights(&maps, Some([1, 2]), true, &obs).expect("drawn");
        assert_eq!(extent(&image), (128 + 4 + 128, 128));
        assert_eq!(image.pixel(0, 0), BLACK);
        assert_eq!(image.pixel(64, 0), Colour::rgb(128, 128, 128));
        assert_eq!(image.pixel(127, 127), WHITE);
        assert_eq!(image.pixel(130, 0), BACKGROUND);
        assert_eq!(image.pixel(132, 127), WHITE, "the left place has the most");
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
    fn a_picture_stays_small_whatever_is_drawn() {
        let maps = Tensor::ones([256, 100, 2000], (Kind::Float, Device::Cpu));
        let obs = Tensor::zeros([256, 2000, 3], (Kind::Float, Device::Cpu));
        let image = weights(&maps, None, false, &obs).expect("drawn");
        assert_eq!(extent(&image).0 as usize, MOST_TOKENS);
        assert!(extent(&image).1 as usize <= 2 * MOST_LINES, "{}", extent(&image).1);
    }
}
