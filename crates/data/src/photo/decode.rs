//! Decodes photos. The format is detected from the content.

use std::{
    fs::File,
    io::{self, Cursor, Read},
    path::Path,
};

use image::{
    ColorType, DynamicImage, ExtendedColorType, GrayImage, ImageDecoder, ImageFormat, ImageReader,
    Limits, RgbImage, codecs::bmp::BmpDecoder, metadata::Orientation,
};

use resnet_formats::open as regular;

use super::{
    PhotoError, PhotoFileError, complete,
    error::of_bits,
    format::format,
    gif::GifFrame,
    ico::{Icon, icon},
    jpeg::Jpeg,
    limits::{BYTES_PER_PIXEL, CMYK_BYTES_PER_PIXEL, MAX_FILE, MAX_PIXELS, METADATA},
    memory::with_capacity,
    orientation::orientation,
};

/// A decoded photo, upright, in grey or RGB.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Photo {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// 1 (grey) or 3 (RGB).
    pub channels: usize,
    /// `[height][width][channels]`.
    pub pixels: Vec<u8>,
}

impl Photo {
    /// Reads a file; `-` is standard input. See [`Photo::decode`].
    ///
    /// # Errors
    /// If the file cannot be read or is not a photo.
    pub fn read(path: &Path, grey: bool) -> Result<Photo, PhotoFileError> {
        let photo = open(path).and_then(|(file, _)| Photo::decode(&all(file)?, grey));
        photo.map_err(|error| PhotoFileError { path: path.to_owned(), error })
    }

    /// Decodes JPEG, PNG, WebP, GIF, BMP, TIFF, PPM, TGA, QOI or ICO, detected from the content.
    ///
    /// An animation yields its first frame. Transparency is dropped, as by Pillow's
    /// `convert("RGB")`. 16-bit channels keep their upper byte. The orientation of EXIF or XMP is
    /// applied, colour profiles are not. With `grey`, colours become Pillow's luma; otherwise a grey file
    /// stays grey, and [`Photo::prepare`] copies it to all channels.
    ///
    /// # Errors
    /// If the file is not an image, or is damaged, truncated or larger than [`MAX_PIXELS`].
    pub fn decode(bytes: &[u8], grey: bool) -> Result<Photo, PhotoError> {
        Header::read(bytes, None, MAX_PIXELS)?.decode(grey)
    }
}

/// Opens a file, and returns its length if it is a regular file.
pub(super) fn open(path: &Path) -> Result<(Box<dyn Read>, Option<u64>), PhotoError> {
    if path == Path::new("-") {
        return Ok((Box::new(io::stdin()), None));
    }
    let file = if is_device(path) { device(path)? } else { regular(path)? };
    let metadata = file.metadata()?;
    let len = metadata.is_file().then_some(metadata.len());
    if len.is_some_and(|len| len > MAX_FILE) {
        return Err(PhotoError::FileTooLarge);
    }
    Ok((Box::new(file), len))
}

/// Whether the user must have named this path on purpose: the shell's `<(...)`, `/dev/stdin`.
fn is_device(path: &Path) -> bool {
    let descriptors = ["/dev/fd", "/proc/self/fd"].iter().any(|fd| path.starts_with(fd));
    descriptors || path.parent() == Some(Path::new("/dev"))
}

#[allow(clippy::disallowed_methods, reason = "the user named a pipe on purpose")]
fn device(path: &Path) -> io::Result<File> {
    File::open(path)
}

/// All bytes of a file, up to [`MAX_FILE`].
pub(super) fn all(file: Box<dyn Read>) -> Result<Vec<u8>, PhotoError> {
    let mut bytes = Vec::new();
    file.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(PhotoError::FileTooLarge);
    }
    Ok(bytes)
}

/// A photo before its pixels are decoded.
pub(super) struct Header<'a> {
    decoder: Box<dyn ImageDecoder + 'a>,
    orientation: Orientation,
    /// An upper bound on the bytes that decoding needs.
    pub(super) cost: u64,
}

impl<'a> Header<'a> {
    /// The header of a photo of at most `most` pixels. With `at_least`, a JPEG may be decoded in fewer
    /// pixels, if no side is below that many.
    pub(super) fn read(
        bytes: &'a [u8],
        at_least: Option<usize>,
        most: u64,
    ) -> Result<Self, PhotoError> {
        if bytes.is_empty() {
            return Err(PhotoError::Empty);
        }
        let format = format(bytes, bytes.len() as u64)?;
        complete::check(bytes, format)?;
        let mut of_file = None;
        let mut decoder: Box<dyn ImageDecoder> = match format {
            ImageFormat::Gif => Box::new(GifFrame::read(bytes)?),
            ImageFormat::Jpeg => {
                let jpeg = Jpeg::read(bytes)?;
                of_file = Some(jpeg.dimensions());
                Box::new(jpeg.reduced(at_least.unwrap_or(usize::MAX)))
            }
            ImageFormat::Bmp if !bytes.starts_with(b"BM") => {
                Box::new(BmpDecoder::new_without_file_header(Cursor::new(bytes))?)
            }
            ImageFormat::Ico => match icon(bytes)? {
                Icon::Png(bytes) => return Header::read(bytes, at_least, most),
                Icon::Bitmap(decoder) => decoder,
            },
            _ => {
                // The decoder refuses the largest sizes in words of its own. Longer sides are no PNG's.
                if let Some([width, height]) = sides_of_png(bytes, format)
                    && width.max(height) <= i32::MAX as u32
                    && u64::from(width) * u64::from(height) > most
                {
                    return Err(PhotoError::TooLarge { width, height, most });
                }
                let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
                let mut limits = Limits::no_limits();
                limits.max_alloc = Some(most_bytes(bytes, format, most));
                reader.limits(limits);
                Box::new(reader.into_decoder()?)
            }
        };
        let (width, height) = of_file.unwrap_or_else(|| decoder.dimensions());
        if width == 0 || height == 0 {
            return Err(PhotoError::Damaged("it has no pixels".into()));
        }
        let bytes_per_pixel = bytes_per_pixel(&*decoder, format);
        let most = BYTES_PER_PIXEL * most / bytes_per_pixel;
        if u64::from(width) * u64::from(height) > most {
            return Err(PhotoError::TooLarge { width, height, most });
        }
        // JPEG stores whole blocks of up to 32 x 32 pixels.
        let whole = |side: u32| u64::from(side.next_multiple_of(32));
        let cost = bytes_per_pixel * (whole(width) * whole(height)).min(most);
        let orientation = orientation(bytes, format, &mut decoder);
        Ok(Header { decoder, orientation, cost })
    }

    pub(super) fn decode(self, grey: bool) -> Result<Photo, PhotoError> {
        let Header { decoder, orientation, .. } = self;
        let ((width, height), colour) = (decoder.dimensions(), decoder.color_type());
        let total = decoder.total_bytes();
        let len = usize::try_from(total).map_err(|_| PhotoError::Memory(total))?;
        let mut pixels = with_capacity(len)?;
        pixels.resize(len, 0);
        decoder.read_image_boxed(&mut pixels)?;
        let channels = to_bytes(&mut pixels, colour, grey)?;
        let image = if channels == 1 {
            GrayImage::from_raw(width, height, pixels).map(DynamicImage::ImageLuma8)
        } else {
            RgbImage::from_raw(width, height, pixels).map(DynamicImage::ImageRgb8)
        };
        let mut image = image.expect("the buffer has the size of the image");
        image.apply_orientation(orientation);
        let (height, width) = (image.height() as usize, image.width() as usize);
        Ok(Photo { height, width, channels, pixels: image.into_bytes() })
    }
}

/// An upper bound on the bytes for each pixel while a photo is decoded.
fn bytes_per_pixel(decoder: &dyn ImageDecoder, format: ImageFormat) -> u64 {
    match (format, decoder.original_color_type()) {
        (ImageFormat::Jpeg, ExtendedColorType::Cmyk8) => CMYK_BYTES_PER_PIXEL,
        // The decoder has pixels of its own.
        (ImageFormat::Tiff, _) => {
            BYTES_PER_PIXEL.max(2 * u64::from(decoder.color_type().bytes_per_pixel()))
        }
        _ => BYTES_PER_PIXEL,
    }
}

/// The memory limit of a decoder for `pixels` pixels, in bytes. A PNG's compressed colour profile may inflate a
/// thousandfold before any pixel is decoded, so the limit of a PNG depends on the size in its
/// header.
fn most_bytes(bytes: &[u8], format: ImageFormat, pixels: u64) -> u64 {
    let most = BYTES_PER_PIXEL * pixels;
    match sides_of_png(bytes, format) {
        Some([width, height]) => {
            let pixels = (u64::from(width) * u64::from(height)).min(pixels);
            (BYTES_PER_PIXEL * pixels).saturating_add(METADATA).min(most)
        }
        None => most,
    }
}

/// Columns and rows by a PNG's header.
fn sides_of_png(bytes: &[u8], format: ImageFormat) -> Option<[u32; 2]> {
    let (sides, _) = bytes.get(16..24).filter(|_| format == ImageFormat::Png)?.as_chunks::<4>();
    Some([u32::from_be_bytes(sides[0]), u32::from_be_bytes(sides[1])])
}

/// Converts pixels of any colour type to grey or RGB bytes, in place. Returns the number of
/// channels.
fn to_bytes(pixels: &mut Vec<u8>, colour: ColorType, grey: bool) -> Result<usize, PhotoError> {
    // Samples per pixel, colour samples among them, bytes per sample.
    let (samples, colours, size) = match colour {
        ColorType::L8 => (1, 1, 1),
        ColorType::La8 => (2, 1, 1),
        ColorType::Rgb8 => (3, 3, 1),
        ColorType::Rgba8 => (4, 3, 1),
        ColorType::L16 => (1, 1, 2),
        ColorType::La16 => (2, 1, 2),
        ColorType::Rgb16 => (3, 3, 2),
        ColorType::Rgba16 => (4, 3, 2),
        other => return Err(PhotoError::UnsupportedFeature(of_bits(other.bits_per_pixel()))),
    };
    let channels = if grey { 1 } else { colours };
    // 16-bit samples have native byte order; the upper byte is kept.
    let upper = if size == 2 && cfg!(target_endian = "little") { 1 } else { 0 };
    let len = pixels.len() / (samples * size);
    for i in 0..len {
        let at = |colour: usize| (i * samples + colour) * size + upper;
        if channels == colours {
            for colour in 0..colours {
                pixels[i * channels + colour] = pixels[at(colour)];
            }
        } else {
            pixels[i] = luma([0, 1, 2].map(|colour| pixels[at(colour)]));
        }
    }
    pixels.truncate(len * channels);
    Ok(channels)
}

/// Pillow's `convert("L")`: ITU-R 601-2 luma.
pub(crate) fn luma([r, g, b]: [u8; 3]) -> u8 {
    ((u32::from(r) * 19_595 + u32::from(g) * 38_470 + u32::from(b) * 7_471 + 0x8000) >> 16) as u8
}
