//! A picture of an environment at the size that was asked for.

use crate::render::{Colour, Frame, FrameSize};

/// `frame` as large as fits into `size`, in the middle of a black picture of that size. Each pixel is the mean of those
/// that it covers.
pub(super) fn fitted(frame: &Frame, size: FrameSize) -> Frame {
    let (from, to) = (frame.size, size);
    let scale = |side: u32| {
        let limits = [(to.width, from.width), (to.height, from.height)];
        // The smaller ratio, as a fraction.
        let (num, den) =
            if u64::from(limits[0].0) * u64::from(limits[1].1) <= u64::from(limits[1].0) * u64::from(limits[0].1) {
                limits[0]
            } else {
                limits[1]
            };
        ((u64::from(side) * u64::from(num) / u64::from(den)) as u32).max(1)
    };
    let (width, height) = (scale(from.width).min(to.width), scale(from.height).min(to.height));
    let (left, top) = ((to.width - width) / 2, (to.height - height) / 2);
    let mut picture = Frame::filled(size, Colour::rgb(0, 0, 0));
    let covered = |i: u32, sides: (u32, u32)| {
        let at = |i: u32| (u64::from(i) * u64::from(sides.0) / u64::from(sides.1)) as u32;
        at(i)..at(i + 1).max(at(i) + 1)
    };
    for y in 0..height {
        for x in 0..width {
            let (mut sums, mut count) = ([0u32; 3], 0);
            for from_y in covered(y, (from.height, height)) {
                for from_x in covered(x, (from.width, width)) {
                    let Colour { red, green, blue } = frame.pixel(from_x, from_y);
                    for (sum, level) in sums.iter_mut().zip([red, green, blue]) {
                        *sum += u32::from(level);
                    }
                    count += 1;
                }
            }
            let [red, green, blue] = sums.map(|sum| ((sum + count / 2) / count) as u8);
            picture.set_pixel(left + x, top + y, Colour::rgb(red, green, blue));
        }
    }
    picture
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_keeps_its_shape_and_is_averaged() {
        let size = |width, height| FrameSize { width, height };
        let mut frame = Frame::filled(size(4, 2), Colour::rgb(100, 0, 0));
        frame.set_pixel(0, 0, Colour::rgb(200, 0, 0));
        let small = fitted(&frame, size(2, 2));
        // Two columns and one row, at the top of the middle.
        assert_eq!(small.pixel(0, 0), Colour::rgb(125, 0, 0));
        assert_eq!(small.pixel(1, 0), Colour::rgb(100, 0, 0));
        assert_eq!(small.pixel(0, 1), Colour::rgb(0, 0, 0));
        let large = fitted(&frame, size(8, 8));
        assert_eq!(large.pixel(1, 3), Colour::rgb(200, 0, 0));
        assert_eq!(large.pixel(0, 1), Colour::rgb(0, 0, 0));
        assert_eq!(large.pixel(7, 5), Colour::rgb(100, 0, 0));
    }
}
