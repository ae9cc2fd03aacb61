//! A small picture: [`Image`].

use std::io;

/// Colours, row by row from the top left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    width: usize,
    height: usize,
    /// Three bytes per pixel.
    rgb: Vec<u8>,
}

impl Image {
    /// All of one colour.
    pub fn filled(width: usize, height: usize, colour: [u8; 3]) -> Self {
        Image {
            width,
            height,
            rgb: colour.repeat(width * height),
        }
    }

    /// Pixels from left to right.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Pixels from top to bottom.
    pub fn height(&self) -> usize {
        self.height
    }

    /// The colour of a pixel, if there is such a one.
    pub fn pixel(&self, x: usize, y: usize) -> Option<[u8; 3]> {
        let place = self.place(x, y)?;
        Some([self.rgb[place], self.rgb[place + 1], self.rgb[place + 2]])
    }

    fn place(&self, x: usize, y: usize) -> Option<usize> {
        (x < self.width && y < self.height).then_some(3 * (y * self.width + x))
    }

    /// Fills the rectangle of `extent` (width, height) from `corner` (x, y); what lies outside of the picture is left out.
    /// `colour` is asked about every place within it.
    pub fn paint(&mut self, corner: (usize, usize), extent: (usize, usize), colour: impl Fn(usize, usize) -> [u8; 3]) {
        for y in 0..extent.1 {
            for x in 0..extent.0 {
                if let Some(place) = self.place(corner.0 + x, corner.1 + y) {
                    self.rgb[place..place + 3].copy_from_slice(&colour(x, y));
                }
            }
        }
    }

    /// As a PNG file.
    ///
    /// # Errors
    /// When there are no pixels, or more than a PNG can hold.
    pub fn to_png(&self) -> io::Result<Vec<u8>> {
        let extent = |pixels: usize| u32::try_from(pixels).map_err(io::Error::other);
        let mut file = Vec::new();
        let mut encoder = png::Encoder::new(&mut file, extent(self.width)?, extent(self.height)?);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        let mut writer = encoder.write_header()?;
        writer.write_image_data(&self.rgb)?;
        writer.finish()?;
        Ok(file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_painted_reads_back_from_the_png() {
        let mut image = Image::filled(3, 2, [9, 8, 7]);
        image.paint((1, 1), (5, 5), |x, _| [x as u8, 100, 200]);
        let file = image.to_png().expect("small");
        let mut reader = png::Decoder::new(io::Cursor::new(file)).read_info().expect("a PNG");
        let mut rgb = vec![0; reader.output_buffer_size().expect("small")];
        let info = reader.next_frame(&mut rgb).expect("a picture");
        assert_eq!((info.width, info.height), (3, 2));
        let dark = [9, 8, 7];
        assert_eq!(rgb, [dark, dark, dark, dark, [0, 100, 200], [1, 100, 200]].concat());
        assert_eq!(image.pixel(2, 1), Some([1, 100, 200]));
        assert_eq!(image.pixel(3, 1), None);
    }

    #[test]
    fn a_picture_without_pixels_is_refused() {
        assert!(Image::filled(0, 2, [0; 3]).to_png().is_err());
    }
}
