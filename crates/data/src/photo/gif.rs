//! The first frame of a GIF on Pillow's canvas: it covers screen and frame, and around the frame it has
//! the transparent colour, or else the first one of the palette.

use std::io::Cursor;

use gif::{ColorOutput, DecodeOptions, Decoder, DecodingError};
use image::{ColorType, ImageDecoder, ImageError, ImageFormat, ImageResult, error};

use super::{PhotoError, memory::with_capacity};

/// A GIF before its pixels are decoded.
pub(super) struct GifFrame<'a> {
    decoder: Decoder<Cursor<&'a [u8]>>,
    /// Columns and rows of the canvas.
    size: [u32; 2],
    /// Left, top, width and height of the frame.
    place: [usize; 4],
    /// The palette index around the frame.
    around: u8,
    colours: Vec<[u8; 3]>,
}

impl<'a> GifFrame<'a> {
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, PhotoError> {
        let mut options = DecodeOptions::new();
        options.set_color_output(ColorOutput::Indexed);
        let mut decoder = options.read_info(Cursor::new(bytes)).map_err(from_gif)?;
        let screen = [decoder.width(), decoder.height()].map(u32::from);
        let frame = decoder.next_frame_info().map_err(from_gif)?.ok_or(PhotoError::Truncated)?;
        let place = [frame.left, frame.top, frame.width, frame.height];
        let [left, top, width, height] = place.map(u32::from);
        let (around, local) = (frame.transparent.unwrap_or(0), frame.palette.clone());
        let palettes = [local.as_deref(), decoder.global_palette()];
        let colours = colours(palettes.into_iter().flatten());
        let size = [screen[0].max(left + width), screen[1].max(top + height)];
        Ok(GifFrame { decoder, size, place: place.map(usize::from), around, colours })
    }
}

/// The colour of every index. As in Pillow, a palette of greys in order counts as none, and an index
/// beyond a palette is black.
fn colours<'p>(palettes: impl Iterator<Item = &'p [u8]>) -> Vec<[u8; 3]> {
    let greys = (0..=255).map(|grey| [grey; 3]);
    let of = |palette: &[u8]| palette.as_chunks::<3>().0.to_vec();
    let mut palettes = palettes.map(of);
    let is_used = |palette: &Vec<[u8; 3]>| palette.iter().zip(greys.clone()).any(|(a, b)| *a != b);
    let Some(mut colours) = palettes.find(is_used) else { return greys.collect() };
    colours.resize(256, [0; 3]);
    colours
}

impl ImageDecoder for GifFrame<'_> {
    fn dimensions(&self) -> (u32, u32) {
        self.size.into()
    }

    fn color_type(&self) -> ColorType {
        ColorType::Rgb8
    }

    fn read_image(mut self, pixels: &mut [u8]) -> ImageResult<()> {
        let [left, top, width, height] = self.place;
        let mut indices = with_capacity(width * height).map_err(|_| no_memory())?;
        indices.resize(width * height, 0);
        self.decoder.read_into_buffer(&mut indices).map_err(to_image)?;
        let (columns, colours) = (self.size[0] as usize, &self.colours);
        pixels.as_chunks_mut::<3>().0.fill(colours[usize::from(self.around)]);
        let rows = pixels.chunks_exact_mut(3 * columns).skip(top);
        for (row, indices) in rows.zip(indices.chunks_exact(width.max(1))) {
            for (pixel, &index) in row.as_chunks_mut::<3>().0[left..].iter_mut().zip(indices) {
                *pixel = colours[usize::from(index)];
            }
        }
        Ok(())
    }

    fn read_image_boxed(self: Box<Self>, pixels: &mut [u8]) -> ImageResult<()> {
        (*self).read_image(pixels)
    }
}

fn no_memory() -> ImageError {
    ImageError::Limits(error::LimitError::from_kind(error::LimitErrorKind::InsufficientMemory))
}

fn to_image(error: DecodingError) -> ImageError {
    match error {
        DecodingError::Io(error) => ImageError::IoError(error),
        DecodingError::UnexpectedEof => {
            ImageError::IoError(std::io::ErrorKind::UnexpectedEof.into())
        }
        other => ImageError::Decoding(error::DecodingError::new(ImageFormat::Gif.into(), other)),
    }
}

fn from_gif(error: DecodingError) -> PhotoError {
    to_image(error).into()
}

#[cfg(test)]
mod tests {
    use super::super::Photo;

    const PALETTE: [u8; 12] = [9, 8, 7, 10, 20, 30, 40, 50, 60, 70, 80, 90];
    const GREYS: [u8; 12] = [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3];

    /// A GIF of one frame: screen, place of the frame, palettes, transparent index, indices.
    fn gif(
        screen: [u16; 2],
        place: [u16; 4],
        [global, local]: [&[u8]; 2],
        transparent: Option<u8>,
        indices: &[u8],
    ) -> Vec<u8> {
        let words = |words: &[u16]| words.iter().flat_map(|w| w.to_le_bytes()).collect::<Vec<_>>();
        // Palettes here have four colours.
        let flag = |palette: &[u8]| if palette.is_empty() { 0 } else { 0x81 };
        let mut out = [b"GIF89a", &words(&screen)[..], &[flag(global), 3, 0], global].concat();
        if let Some(index) = transparent {
            out.extend([0x21, 0xF9, 4, 1, 0, 0, index, 0]);
        }
        out.extend([&[0x2C][..], &words(&place), &[flag(local)], local, &[8]].concat());
        // Codes of 9 bits: clear, the indices, end.
        let codes = std::iter::once(256).chain(indices.iter().map(|&i| u32::from(i))).chain([257]);
        let (mut bits, mut count, mut data) = (0_u32, 0, Vec::new());
        for code in codes {
            bits |= code << count;
            count += 9;
            while count >= 8 {
                data.push(bits as u8);
                (bits, count) = (bits >> 8, count - 8);
            }
        }
        data.push(bits as u8);
        [&out[..], &[data.len() as u8], &data, &[0, 0x3B]].concat()
    }

    /// Pillow 13's canvases.
    #[test]
    fn the_canvas_is_pillows() {
        let [o, a, b, c] = [[9, 8, 7], [10, 20, 30], [40, 50, 60], [70, 80, 90]];
        let (global, both) = ([&PALETTE[..], &[]], [&PALETTE[..], &GREYS]);
        let check = |gif: Vec<u8>, width: usize, height: usize, expected: &[[u8; 3]]| {
            let photo = Photo::decode(&gif, false).unwrap();
            assert_eq!((photo.width, photo.height), (width, height));
            assert_eq!(photo.pixels.as_chunks::<3>().0, expected);
        };
        let inside = |clear| gif([3, 2], [1, 1, 2, 1], global, clear, &[1, 2]);
        check(inside(None), 3, 2, &[o, o, o, o, a, b]);
        check(inside(Some(2)), 3, 2, &[b, b, b, b, a, b]);
        check(inside(Some(99)), 3, 2, &[[0; 3], [0; 3], [0; 3], [0; 3], a, b]);
        let larger = gif([2, 1], [0, 0, 3, 2], global, None, &[1, 2, 3, 0, 1, 2]);
        check(larger, 3, 2, &[a, b, c, o, a, b]);
        check(gif([2, 1], [1, 1, 2, 1], global, None, &[1, 2]), 3, 2, &[o, o, o, o, a, b]);
        check(gif([2, 1], [0, 0, 2, 1], global, None, &[1, 77]), 2, 1, &[a, [0; 3]]);
        check(gif([2, 1], [0, 0, 2, 1], both, None, &[1, 77]), 2, 1, &[a, [0; 3]]);
        let greys = gif([2, 1], [0, 0, 2, 1], [&GREYS, &[]], None, &[1, 77]);
        check(greys, 2, 1, &[[1; 3], [77; 3]]);
        let local = gif([2, 1], [0, 0, 2, 1], [&GREYS, &PALETTE], None, &[1, 2]);
        check(local, 2, 1, &[a, b]);
    }

    #[test]
    fn a_canvas_is_limited_by_its_frame_as_well() {
        let gif = gif([2, 1], [60_000, 60_000, 2, 1], [&PALETTE, &[]], None, &[1, 2]);
        let error = Photo::decode(&gif, false).unwrap_err().to_string();
        assert!(error.contains("60002x60001 pixels"), "{error}");
    }
}
