//! How large a photo may be.

use super::PhotoError;

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

/// Room for so many, if the system has memory for them.
pub(super) fn room<T>(len: usize) -> Result<Vec<T>, PhotoError> {
    let mut room = Vec::new();
    let bytes = len.saturating_mul(size_of::<T>()) as u64;
    room.try_reserve_exact(len).map_err(|_| PhotoError::Memory(bytes))?;
    Ok(room)
}
