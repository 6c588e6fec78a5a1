//! How large a photo may be.

/// The most pixels of a photo: 134 megapixels. With the decoders' own needs they take up to 1.5
/// GiB.
pub const MAX_PIXELS: u64 = 1 << 27;
/// The most bytes of a file: 128 MiB.
pub const MAX_FILE: u64 = 128 << 20;
/// The most that decoding takes for each pixel: a progressive JPEG keeps 16-bit coefficients of
/// up to four channels besides its pixels, a PNG may have 16-bit channels.
pub(super) const BYTES_PER_PIXEL: u64 = 12;
/// The most that a PNG's compressed profile and the decoder's own buffers take.
pub(super) const METADATA: u64 = 16 << 20;
