//! Images as plain pixels.

use base64::{Engine, prelude::BASE64_STANDARD};

/// An image of 8-bit RGB pixels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Red, green and blue of each pixel, row by row.
    pub rgb: Vec<u8>,
}

impl Picture {
    /// An image of `width` x `height` pixels, row by row.
    ///
    /// # Panics
    /// If it has no pixels, or `rgb` does not have three bytes per pixel.
    pub fn new(width: usize, height: usize, rgb: Vec<u8>) -> Picture {
        assert!(width > 0 && height > 0, "a picture has pixels");
        assert_eq!(rgb.len(), 3 * width * height, "three bytes per pixel");
        Picture { width, height, rgb }
    }

    /// An image with any number of channels, `[height][width][channels]`: one is grey, three are
    /// RGB; other numbers become their mean in grey.
    ///
    /// # Panics
    /// If it has no pixels, or the number of bytes does not match.
    pub fn from_channels(width: usize, height: usize, channels: usize, bytes: &[u8]) -> Picture {
        assert_eq!(bytes.len(), channels * width * height, "a byte for each channel of a pixel");
        if channels == 3 {
            return Picture::new(width, height, bytes.to_vec());
        }
        let grey = |pixel: &[u8]| {
            let sum: usize = pixel.iter().map(|&byte| usize::from(byte)).sum();
            [((sum + channels / 2) / channels) as u8; 3]
        };
        Picture::new(width, height, bytes.chunks_exact(channels).flat_map(grey).collect())
    }

    /// The image downscaled to at most `side` pixels on its longer side, by area averaging.
    pub fn shrunk(self, side: usize) -> Picture {
        let longer = self.width.max(self.height);
        if longer <= side.max(1) {
            return self;
        }
        let scaled = |n: usize| ((n * side + longer / 2) / longer).max(1);
        let (width, height) = (scaled(self.width), scaled(self.height));
        let mut rgb = Vec::with_capacity(3 * width * height);
        for y in 0..height {
            let rows = y * self.height / height..((y + 1) * self.height).div_ceil(height);
            for x in 0..width {
                let columns = x * self.width / width..((x + 1) * self.width).div_ceil(width);
                let mut sums = [0usize; 3];
                for row in rows.clone() {
                    let pixels = &self.rgb[3 * (row * self.width + columns.start)..];
                    for pixel in pixels.chunks_exact(3).take(columns.len()) {
                        sums.iter_mut().zip(pixel).for_each(|(s, &b)| *s += usize::from(b));
                    }
                }
                let pixels = rows.len() * columns.len();
                rgb.extend(sums.map(|sum| ((sum + pixels / 2) / pixels) as u8));
            }
        }
        Picture { width, height, rgb }
    }

    /// The colour of a pixel.
    pub(crate) fn at(&self, x: usize, y: usize) -> [u8; 3] {
        let start = 3 * (y * self.width + x);
        std::array::from_fn(|i| self.rgb[start + i])
    }

    /// As a PNG in a `data:` URI.
    pub(crate) fn data_uri(&self) -> String {
        let bytes = encoded(self.width, self.height, png::ColorType::Rgb, &self.rgb);
        format!("data:image/png;base64,{}", BASE64_STANDARD.encode(bytes))
    }
}

/// A PNG of 8-bit samples, row by row.
pub(crate) fn encoded(
    width: usize,
    height: usize,
    colour: png::ColorType,
    samples: &[u8],
) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width as u32, height as u32);
    encoder.set_color(colour);
    encoder.set_depth(png::BitDepth::Eight);
    encoder
        .write_header()
        .and_then(|mut writer| writer.write_image_data(samples))
        .expect("writing to memory does not fail");
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_channel_is_grey() {
        let grey = Picture::from_channels(2, 1, 1, &[7, 9]);
        assert_eq!(grey.rgb, [7, 7, 7, 9, 9, 9]);
        assert_eq!(Picture::from_channels(1, 1, 4, &[1, 2, 3, 5]).rgb, [3, 3, 3]);
        assert_eq!(Picture::from_channels(1, 1, 3, &[1, 2, 3]).rgb, [1, 2, 3]);
    }

    #[test]
    fn shrinking_averages_areas() {
        let picture = Picture::new(4, 2, [0, 0, 0, 10, 10, 10].repeat(4));
        let small = picture.clone().shrunk(2);
        assert_eq!((small.width, small.height, small.rgb), (2, 1, vec![5; 6]));
        assert_eq!(picture.clone().shrunk(4), picture);
        let line = Picture::new(300, 1, vec![9; 900]).shrunk(7);
        assert_eq!((line.width, line.height, line.rgb), (7, 1, vec![9; 21]));
    }
}
