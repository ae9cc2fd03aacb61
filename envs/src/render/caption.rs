//! Text on pictures, in the public-domain 8 × 8 bitmap font of the crate `font8x8`.

use font8x8::legacy::BASIC_LEGACY;

use super::{Colour, Frame};

/// Width and height of a character in pixels, before scaling.
const SIDE: u32 = 8;
const INK: Colour = Colour::rgb(30, 30, 30);
const PLATE: Colour = Colour::rgb(240, 240, 240);

impl Frame {
    /// Writes `text` on a light background into the top left corner. Larger pictures get larger letters. Characters
    /// other than ASCII become question marks; text that does not fit is cut off.
    pub fn caption(&mut self, text: &str) {
        let scale = (self.size.height / 200).max(1);
        let margin = 4 * scale;
        let width = SIDE * scale * text.chars().count() as u32;
        for y in 0..(SIDE * scale + margin).min(self.size.height) {
            for x in 0..(width + margin).min(self.size.width) {
                self.set_pixel(x, y, PLATE);
            }
        }
        self.write_text(text, margin / 2, margin / 2, scale, INK);
    }

    /// Writes `text` with its top left corner at `(left, top)`. Each dot of the font is `scale` pixels wide.
    pub fn write_text(&mut self, text: &str, left: u32, top: u32, scale: u32, ink: Colour) {
        for (i, letter) in text.chars().enumerate() {
            let code = if letter.is_ascii() {
                letter as usize
            } else {
                '?' as usize
            };
            for (row, bits) in BASIC_LEGACY[code].iter().enumerate() {
                for column in (0..SIDE).filter(|column| bits >> column & 1 == 1) {
                    let (x, y) = (left + (i as u32 * SIDE + column) * scale, top + row as u32 * scale);
                    (0..scale * scale).for_each(|dot| self.set_pixel(x + dot % scale, y + dot / scale, ink));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::FrameSize;

    #[test]
    fn letters_stand_upright_and_read_from_left_to_right() {
        let mut frame = Frame::filled(FrameSize { width: 17, height: 8 }, Colour::WHITE);
        frame.write_text("Lé", 0, 0, 1, Colour::BLACK);
        let dark = |x: std::ops::Range<u32>, y: std::ops::Range<u32>| {
            x.flat_map(|x| y.clone().map(move |y| (x, y)))
                .filter(|(x, y)| frame.pixel(*x, *y) == Colour::BLACK)
                .count()
        };
        assert!(dark(0..4, 0..8) > dark(4..8, 0..8), "an L has its stem on the left");
        assert!(dark(0..8, 4..8) > dark(0..8, 0..4), "and its foot below");
        assert!(dark(8..16, 0..8) > 0, "a question mark follows");
    }

    #[test]
    fn a_caption_stays_inside_the_smallest_picture() {
        let mut frame = Frame::filled(FrameSize { width: 3, height: 2 }, Colour::WHITE);
        frame.caption("a long caption");
        assert_eq!(frame.rgb.len(), 18);
    }
}
