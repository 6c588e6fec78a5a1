//! JPEG, with the pixels of libjpeg-turbo, which Pillow and torchvision use.

use image::{
    ColorType, ExtendedColorType, ImageDecoder, ImageError, ImageFormat, ImageResult,
    error::{DecodingError, ImageFormatHint, UnsupportedError, UnsupportedErrorKind},
};
use libjpeg_turbo_rs::{DecodeLimits, Decoder, JpegError, PixelFormat, ScalingFactor};

use super::{PhotoError, limits::MAX_PIXELS};

/// Far more than a progressive file has. Each scan passes over the whole image.
const MAX_SCANS: usize = 100;

/// A JPEG before its pixels are decoded.
pub(super) struct Jpeg<'a> {
    decoder: Decoder<'a>,
    is_grey: bool,
    /// How many pixels of a side become one: 1, 2, 4 or 8.
    reduction: u32,
}

impl<'a> Jpeg<'a> {
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, PhotoError> {
        let limits = DecodeLimits {
            max_pixels: MAX_PIXELS,
            max_scans: MAX_SCANS,
            ..DecodeLimits::default()
        };
        let mut decoder = Decoder::new_with_limits(bytes, limits).map_err(to_image)?;
        let is_grey = match decoder.header().components.len() {
            1 => true,
            3 | 4 => false,
            count => return Err(PhotoError::UnsupportedFeature(format!("{count} channels"))),
        };
        let sampling = decoder.header().components.iter();
        let sampling: Vec<[u8; 2]> =
            sampling.map(|c| [c.horizontal_sampling, c.vertical_sampling]).collect();
        // The decoder panics at others.
        if let [first, second, third, fourth] = sampling[..]
            && (first != fourth
                || second != third
                || first.iter().zip(second).any(|(a, b)| a.checked_rem(b) != Some(0)))
        {
            let what = "four channels with unusual subsampling".to_owned();
            return Err(PhotoError::UnsupportedFeature(what));
        }
        decoder.set_output_format(if is_grey { PixelFormat::Grayscale } else { PixelFormat::Rgb });
        Ok(Jpeg { decoder, is_grey, reduction: 1 })
    }

    /// Decodes a half, a quarter or an eighth of the rows and columns, the fewest that leave both sides
    /// with at least `side` pixels (Pillow's `Image.draft`). Four channels are decoded whole.
    pub(super) fn reduced(mut self, side: usize) -> Self {
        let header = self.decoder.header();
        let shorter = usize::from(header.width.min(header.height));
        let fits = |&reduction: &u32| shorter / reduction as usize >= side;
        if header.components.len() < 4
            && let Some(reduction) = [8, 4, 2].into_iter().find(fits)
        {
            self.reduction = reduction;
            self.decoder.set_scale(ScalingFactor::new(1, reduction));
        }
        self
    }
}

impl ImageDecoder for Jpeg<'_> {
    fn dimensions(&self) -> (u32, u32) {
        let header = self.decoder.header();
        let side = |pixels: u16| u32::from(pixels).div_ceil(self.reduction);
        (side(header.width), side(header.height))
    }

    fn color_type(&self) -> ColorType {
        if self.is_grey { ColorType::L8 } else { ColorType::Rgb8 }
    }

    fn original_color_type(&self) -> ExtendedColorType {
        match self.decoder.header().components.len() {
            4 => ExtendedColorType::Cmyk8,
            _ => self.color_type().into(),
        }
    }

    fn read_image(self, pixels: &mut [u8]) -> ImageResult<()> {
        let decode = || self.decoder.decode_image_into(pixels).map(drop);
        // One file that the decoder cannot bear must not end a run over many.
        resnet_formats::caught(decode)
            .unwrap_or_else(|| Err(JpegError::CorruptData("the decoder panics".into())))
            .map_err(to_image)
    }

    fn read_image_boxed(self: Box<Self>, pixels: &mut [u8]) -> ImageResult<()> {
        (*self).read_image(pixels)
    }
}

fn to_image(error: JpegError) -> ImageError {
    let format = || ImageFormatHint::Exact(ImageFormat::Jpeg);
    match error {
        JpegError::Io(error) => ImageError::IoError(error),
        JpegError::UnexpectedEof => ImageError::IoError(std::io::ErrorKind::UnexpectedEof.into()),
        JpegError::Unsupported(what) => {
            let kind = UnsupportedErrorKind::GenericFeature(what);
            ImageError::Unsupported(UnsupportedError::from_format_and_kind(format(), kind))
        }
        error => ImageError::Decoding(DecodingError::new(format(), error)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Photo;

    #[test]
    fn of_four_channels_the_second_and_third_may_be_smaller() {
        let decode = |sampling: [u8; 4]| {
            let mut file = include_bytes!("../../tests/photos/cmyk.jpg").to_vec();
            let frame = file.windows(3).position(|bytes| bytes == [0xFF, 0xC0, 0]).unwrap();
            for (channel, factors) in sampling.into_iter().enumerate() {
                file[frame + 11 + 3 * channel] = factors;
            }
            Photo::decode(&file, false)
        };
        assert!(decode([0x11; 4]).is_ok());
        for sampling in
            [[0x11, 0x11, 0x11, 0x31], [0x22, 0x11, 0x11, 0x11], [0x22, 0x22, 0x11, 0x22]]
        {
            let error = decode(sampling).unwrap_err().to_string();
            assert!(error.contains("four channels"), "{error}");
        }
    }
}
