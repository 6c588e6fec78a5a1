//! Converts a photo of any size to a network input.

use resnet_network::preprocess::{CropMode, Interpolation, Preparation};

use super::{
    Photo, PhotoError,
    limits::MAX_WHOLE,
    memory::with_capacity,
    resize::{Axis, resize},
};

/// The part of a photo that a network sees, in fractions of the photo's width and height. With
/// [`CropMode::Border`] it is larger than the photo: a side begins below 0, and is longer than 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Region {
    /// Its left side.
    pub left: f64,
    /// Its upper side.
    pub top: f64,
    /// Its width.
    pub width: f64,
    /// Its height.
    pub height: f64,
}

impl Photo {
    /// Resizes and crops a photo to pixels `[image_size][image_size][channels]`. They equal those
    /// of torchvision's `Resize` and `CenterCrop` on a PIL image, or of timm's transforms of the other
    /// crop modes.
    ///
    /// # Errors
    /// If the memory cannot be allocated.
    ///
    /// # Panics
    /// If the photo is in colour and one channel is wanted: decode it as grey instead.
    pub fn prepare(&self, preparation: Preparation) -> Result<Vec<u8>, PhotoError> {
        let axis = |len| axis(preparation, len, [self.height, self.width]);
        let (rows, columns) = (axis(self.height), axis(self.width));
        let resized = resize(&self.pixels, self.width, self.channels, &rows, &columns)?;
        let pixels = self.coloured(resized, preparation.channels)?;
        padded(pixels, preparation, rows.len(), columns.len())
    }

    /// The part of the photo that [`Photo::prepare`] makes an input of.
    pub fn region(&self, preparation: Preparation) -> Region {
        let along = |len| {
            let (side, resized) = (
                preparation.image_size as u64,
                resized_len(preparation, len, [self.height, self.width]),
            );
            let before =
                border(preparation, resized) as f64 - (side.saturating_sub(resized) / 2) as f64;
            [before / resized as f64, side as f64 / resized as f64]
        };
        let ([left, width], [top, height]) = (along(self.width), along(self.height));
        Region { left, top, width, height }
    }

    /// Resizes a photo as [`Photo::prepare`] does, without the crop: rows and columns are those of the whole
    /// photo. [`CropMode::Border`] adds no border.
    ///
    /// # Errors
    /// If the result has more than 64 MiB, or the memory cannot be allocated.
    ///
    /// # Panics
    /// As [`Photo::prepare`].
    pub fn resized(&self, preparation: Preparation) -> Result<Photo, PhotoError> {
        let sides = [self.height, self.width];
        let [height, width] = sides.map(|len| resized_len(preparation, len, sides));
        let bytes = height.saturating_mul(width).saturating_mul(preparation.channels as u64);
        if bytes > MAX_WHOLE {
            return Err(PhotoError::WholeTooLarge { height, width });
        }
        let axis =
            |len, resized: u64| Axis::new(preparation.interpolation, len, resized, 0..resized);
        let (rows, columns) = (axis(self.height, height), axis(self.width, width));
        let pixels = resize(&self.pixels, self.width, self.channels, &rows, &columns)?;
        let channels = preparation.channels;
        let pixels = self.coloured(pixels, channels)?;
        Ok(Photo { height: rows.len(), width: columns.len(), channels, pixels })
    }

    /// The photo in RGB, with its shorter side shrunk to `shorter` pixels if it is longer
    /// (torchvision's `Resize(shorter)` on a PIL image).
    pub(crate) fn shrunk(self, shorter: usize, filter: Interpolation) -> Result<Photo, PhotoError> {
        let Photo { height, width, channels, .. } = self;
        let least = height.min(width);
        if least <= shorter {
            let pixels =
                if channels == 3 { self.pixels } else { self.coloured(self.pixels.clone(), 3)? };
            return Ok(Photo { height, width, channels: 3, pixels });
        }
        let [rows, columns] = [height, width].map(|len| scaled_len(len, least, shorter));
        let axis = |len, resized| Axis::new(filter, len, resized, 0..resized);
        let (of_rows, of_columns) = (axis(height, rows), axis(width, columns));
        let resized = resize(&self.pixels, width, channels, &of_rows, &of_columns)?;
        let pixels = self.coloured(resized, 3)?;
        Ok(Photo { height: rows as usize, width: columns as usize, channels: 3, pixels })
    }

    /// Copies grey pixels to all channels, if there are to be three.
    fn coloured(&self, square: Vec<u8>, channels: usize) -> Result<Vec<u8>, PhotoError> {
        match (self.channels, channels) {
            (1, 3) => {
                let mut pixels = with_capacity(3 * square.len())?;
                pixels.extend(square.into_iter().flat_map(|grey| [grey; 3]));
                Ok(pixels)
            }
            (have, want) => {
                assert_eq!(have, want, "channels of a photo");
                Ok(square)
            }
        }
    }
}

/// The resampling of one side of a photo. Only the cropped part is resized: the rest of a long
/// strip may be thousands of times as large.
fn axis(preparation: Preparation, len: usize, sides: [usize; 2]) -> Axis {
    let (side, resized) = (preparation.image_size as u64, resized_len(preparation, len, sides));
    let border = border(preparation, resized);
    Axis::new(preparation.interpolation, len, resized, border..border + side.min(resized))
}

/// What is cut off before the crop of a side that is resized to `resized` pixels.
fn border(preparation: Preparation, resized: u64) -> u64 {
    let margin = resized.saturating_sub(preparation.image_size as u64);
    match preparation.crop_mode {
        CropMode::CenterFloor => margin / 2,
        // The border is rounded to the nearest integer, ties to even.
        _ => (margin as f64 / 2.0).round_ties_even() as u64,
    }
}

/// The length that a side of a photo is resized to, before the crop.
fn resized_len(preparation: Preparation, len: usize, sides: [usize; 2]) -> u64 {
    let side = preparation.image_size as u64;
    let Some(resize) = preparation.resize else { return side };
    let (shorter, longer) = (sides[0].min(sides[1]), sides[0].max(sides[1]));
    match preparation.crop_mode {
        // The crop must lie within the resized photo.
        CropMode::Center | CropMode::CenterFloor => {
            scaled_len(len, shorter, resize.max(preparation.image_size))
        }
        CropMode::Squash => (resize as u64).max(side),
        // timm rounds to the nearest integer, ties to even.
        CropMode::Border => {
            let ratio = longer as f64 / resize as f64;
            (len as f64 / ratio).round_ties_even().max(1.0) as u64
        }
    }
}

/// The length of a side of a photo whose shorter side is resized from `shorter` to `to` pixels. torchvision's
/// `Resize(to)` rounds down.
pub(crate) fn scaled_len(len: usize, shorter: usize, to: usize) -> u64 {
    to as u64 * len as u64 / shorter as u64
}

/// Pixels `[rows][columns][channels]` in the middle of a square, if they are fewer.
fn padded(
    pixels: Vec<u8>,
    preparation: Preparation,
    rows: usize,
    columns: usize,
) -> Result<Vec<u8>, PhotoError> {
    let Preparation { image_size: side, channels, fill, .. } = preparation;
    if [rows, columns] == [side; 2] {
        return Ok(pixels);
    }
    let mut square = with_capacity(preparation.image_len())?;
    square.extend(fill[..channels].iter().cycle().take(preparation.image_len()));
    let (top, left) = ((side - rows) / 2, (side - columns) / 2);
    for (index, row) in pixels.chunks_exact(columns * channels).enumerate() {
        let at = ((top + index) * side + left) * channels;
        square[at..at + row.len()].copy_from_slice(row);
    }
    Ok(square)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of 9 columns 2 are left: margins of 3.5, 4 for torchvision and 3 for transformers.
    #[test]
    fn half_of_an_odd_margin_is_rounded() {
        let (height, width, channels) = (6, 9, 1);
        let pixels = (0..height * width).map(|i| (i % width) as u8).collect();
        let photo = Photo { height, width, channels, pixels };
        for (crop_mode, row) in [(CropMode::Center, [4, 5]), (CropMode::CenterFloor, [3, 4])] {
            let preparation = Preparation { crop_mode, ..Preparation::new(2, Some(6), 1) };
            assert_eq!(photo.prepare(preparation).unwrap(), [row, row].concat(), "{crop_mode:?}");
        }
    }

    #[test]
    fn a_region_is_what_the_network_sees() {
        // 40 x 80 pixels: of 8 x 16 the middle 4 x 4, all of it, or 2 x 4 in a square of 4 x 4.
        let photo = Photo { height: 40, width: 80, channels: 1, pixels: vec![0; 3200] };
        let region = |crop_mode, resize| {
            let Region { left, top, width, height } =
                photo.region(Preparation { crop_mode, ..Preparation::new(4, resize, 1) });
            [left, top, width, height]
        };
        assert_eq!(region(CropMode::Center, Some(8)), [6.0 / 16.0, 2.0 / 8.0, 0.25, 0.5]);
        assert_eq!(region(CropMode::Center, None), [0.0, 0.0, 1.0, 1.0]);
        assert_eq!(region(CropMode::Border, Some(4)), [0.0, -0.5, 1.0, 2.0]);
    }
}
