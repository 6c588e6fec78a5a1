//! What a file must have before it is decoded, where decoders are content with less.

use image::ImageFormat;

use super::PhotoError;

pub(super) fn check(bytes: &[u8], format: ImageFormat) -> Result<(), PhotoError> {
    match format {
        ImageFormat::Jpeg => jpeg(bytes),
        ImageFormat::WebP => webp(bytes),
        _ => Ok(()),
    }
}

/// A WebP says how long it is. The orientation lies behind the image: without this, a file that
/// is cut off would lie on its side.
fn webp(bytes: &[u8]) -> Result<(), PhotoError> {
    let len = bytes.get(4..8).and_then(|len| len.try_into().ok()).map(u32::from_le_bytes);
    let is_whole = |len: u32| bytes.len() as u64 >= 8 + u64::from(len);
    len.is_some_and(is_whole).then_some(()).ok_or(PhotoError::Truncated)
}

/// Looks through a JPEG's segments: kinds that the decoder does not know are told by name, and
/// there must be an end-of-image marker behind the start of the first scan. Decoders fill what is
/// missing with grey, as browsers do; Pillow refuses it.
fn jpeg(bytes: &[u8]) -> Result<(), PhotoError> {
    let other = |kind: &str| Err(PhotoError::OtherKind(kind.into()));
    let mut rest = bytes.get(2..).unwrap_or_default();
    // Segments: 0xFF, a marker, and but for a few a length that counts itself. Thumbnails in them
    // have ends of their own.
    while let [0xFF, marker, after @ ..] = rest {
        rest = match (marker, after) {
            (0xFF, _) => &rest[1..], // fill
            (0x01 | 0xD0..=0xD8, _) => after,
            (0xDA, _) => return ends(after),
            (0xC3, _) => return other("lossless JPEG"),
            (0xC5..=0xC7, _) => return other("hierarchical JPEG"),
            (0xC9..=0xCF, _) if *marker != 0xCC => return other("arithmetic coding"),
            (0xC0..=0xC2, [_, _, bits, ..]) if *bits != 8 => {
                return other(&format!("{bits} bits a channel"));
            }
            (_, [high, low, ..]) => {
                let len = usize::from(u16::from_be_bytes([*high, *low]));
                after.get(len.max(2)..).unwrap_or_default()
            }
            _ => return Err(PhotoError::Truncated),
        };
    }
    // No segment where one should be: the decoder looks for the next.
    ends(bytes)
}

/// Within a scan the bytes of a marker cannot occur.
fn ends(bytes: &[u8]) -> Result<(), PhotoError> {
    let is_end = |pair: &[u8]| pair == [0xFF, 0xD9];
    bytes.windows(2).any(is_end).then_some(()).ok_or(PhotoError::Truncated)
}
