//! Size limits of photos.

/// Maximum pixels of a photo: 134 megapixels, or fewer of a JPEG of CMYK (100) or a TIFF with alpha of 16
/// bits (100). With the decoders' buffers they need up to 1.5 GiB.
pub const MAX_PIXELS: u64 = 1 << 27;
/// Maximum bytes of a file: 128 MiB.
pub const MAX_FILE: u64 = 128 << 20;
/// Maximum bytes of a photo that is resized and used whole: 64 MiB.
pub(super) const MAX_WHOLE: u64 = 64 << 20;
/// Maximum bytes per pixel while decoding: a progressive JPEG keeps 16-bit coefficients of
/// three channels in addition to its pixels, and a PNG may have 16-bit channels.
pub(super) const BYTES_PER_PIXEL: u64 = 12;
/// The same of a JPEG with four channels, which the decoder converts behind itself.
pub(super) const CMYK_BYTES_PER_PIXEL: u64 = 16;
/// Maximum bytes of a PNG's decompressed profile and the decoder's own buffers.
pub(super) const METADATA: u64 = 16 << 20;
