//! [`Frame`]: one picture.

use std::io::{self, Write};

use super::Colour;
use crate::EnvError;

/// Size of a picture in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct FrameSize {
    /// Number of columns.
    pub width: u32,
    /// Number of rows.
    pub height: u32,
}

impl FrameSize {
    /// The longest side that is drawn.
    pub const MAX_SIDE: u32 = 4096;

    /// Checks that both sides are between 1 and [`FrameSize::MAX_SIDE`]. `env` names the environment for the error.
    ///
    /// # Errors
    /// [`EnvError::Unsupported`].
    pub fn check(self, env: impl FnOnce() -> String) -> Result<(), EnvError> {
        let FrameSize { width, height } = self;
        let sensible = 1..=Self::MAX_SIDE;
        if sensible.contains(&width) && sensible.contains(&height) {
            return Ok(());
        }
        let problem = format!(
            "a picture of {width} × {height} pixels cannot be drawn; sides are 1 to {}",
            Self::MAX_SIDE
        );
        Err(EnvError::Unsupported { env: env(), problem })
    }
}

/// A picture with 8 bits each for red, green and blue, row by row from the top left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Width and height.
    pub size: FrameSize,
    /// `[height, width, 3]`.
    pub rgb: Vec<u8>,
}

impl Frame {
    /// A picture in one colour.
    pub fn filled(size: FrameSize, colour: Colour) -> Self {
        let pixels = size.width as usize * size.height as usize;
        Frame {
            size,
            rgb: [colour.red, colour.green, colour.blue].repeat(pixels),
        }
    }

    /// Checks that the number of bytes matches the size.
    ///
    /// # Errors
    /// When it does not.
    pub(crate) fn check(&self) -> io::Result<()> {
        let FrameSize { width, height } = self.size;
        let expected = 3 * u128::from(width) * u128::from(height);
        if self.rgb.len() as u128 == expected {
            return Ok(());
        }
        let found = self.rgb.len();
        Err(io::Error::other(format!(
            "a picture of {width} × {height} pixels has {found} bytes, expected {expected}"
        )))
    }

    /// The colour of a pixel.
    ///
    /// # Panics
    /// When the pixel is outside of the picture.
    pub fn pixel(&self, x: u32, y: u32) -> Colour {
        let at = self.index(x, y);
        Colour::rgb(self.rgb[at], self.rgb[at + 1], self.rgb[at + 2])
    }

    /// Sets the colour of a pixel. Does nothing outside of the picture.
    pub fn set_pixel(&mut self, x: u32, y: u32, colour: Colour) {
        if x < self.size.width && y < self.size.height {
            let at = self.index(x, y);
            self.rgb[at..at + 3].copy_from_slice(&[colour.red, colour.green, colour.blue]);
        }
    }

    fn index(&self, x: u32, y: u32) -> usize {
        3 * (y as usize * self.size.width as usize + x as usize)
    }

    /// Copies `other` into this picture with its top left corner at `(left, top)`. The part that does not fit is cut
    /// off.
    pub fn paste(&mut self, other: &Frame, left: u32, top: u32) {
        for y in 0..other.size.height {
            for x in 0..other.size.width {
                self.set_pixel(left + x, top + y, other.pixel(x, y));
            }
        }
    }

    /// Brightness of every pixel, `[height, width]`: 0.299 red + 0.587 green + 0.114 blue (ITU-R BT.601), rounded.
    pub fn grey(&self) -> impl Iterator<Item = u8> + '_ {
        self.rgb.chunks_exact(3).map(|pixel| {
            let [red, green, blue] = [0, 1, 2].map(|i| u32::from(pixel[i]));
            ((299 * red + 587 * green + 114 * blue + 500) / 1000) as u8
        })
    }

    /// Writes the picture as PNG.
    ///
    /// # Errors
    /// When writing to `out` fails, or the picture has no pixels.
    pub fn write_png(&self, out: impl Write) -> io::Result<()> {
        let mut encoder = png::Encoder::new(out, self.size.width, self.size.height);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        let mut writer = encoder.write_header()?;
        writer.write_image_data(&self.rgb)?;
        writer.finish()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brightness_weighs_the_colours() {
        let size = FrameSize { width: 2, height: 1 };
        let mut frame = Frame::filled(size, Colour::WHITE);
        frame.set_pixel(1, 0, Colour::rgb(255, 0, 0));
        frame.set_pixel(2, 0, Colour::BLACK);
        assert_eq!(frame.grey().collect::<Vec<_>>(), [255, 76]);
    }

    #[test]
    fn a_png_reads_back() {
        let size = FrameSize { width: 5, height: 3 };
        let mut frame = Frame::filled(size, Colour::rgb(1, 2, 3));
        frame.set_pixel(4, 2, Colour::rgb(200, 100, 50));
        let mut file = Vec::new();
        frame.write_png(&mut file).expect("memory takes everything");
        let mut reader = png::Decoder::new(io::Cursor::new(file)).read_info().expect("a PNG");
        let mut rgb = vec![0; reader.output_buffer_size().expect("small")];
        let info = reader.next_frame(&mut rgb).expect("a picture");
        assert_eq!((info.width, info.height, rgb), (5, 3, frame.rgb));
    }

    #[test]
    fn a_picture_without_pixels_is_no_png() {
        let size = FrameSize { width: 0, height: 2 };
        assert!(Frame::filled(size, Colour::BLACK).write_png(io::sink()).is_err());
    }

    #[test]
    fn sizes_without_pixels_or_beyond_reason_are_refused() {
        for (width, height) in [(0, 10), (10, 0), (4097, 10)] {
            let refused = FrameSize { width, height }.check(|| "A-v0".to_string());
            assert!(refused.is_err(), "{width} × {height}");
        }
        assert!(
            FrameSize { width: 4096, height: 1 }
                .check(|| "A-v0".to_string())
                .is_ok()
        );
    }
}
