//! Icons: the image that Pillow takes of those in the file.

use std::io::Cursor;

use image::{ImageDecoder, codecs::ico::IcoDecoder};

use super::PhotoError;

const PNG: &[u8] = b"\x89PNG";
const HEADER: usize = 6;
const ENTRY: usize = 16;

/// The image that is taken.
pub(super) enum Icon<'a> {
    Png(&'a [u8]),
    Bitmap(Box<dyn ImageDecoder>),
}

/// The largest image, of several that large the one with the fewest colours.
pub(super) fn icon(bytes: &[u8]) -> Result<Icon<'_>, PhotoError> {
    let count = bytes.get(4..HEADER).ok_or(PhotoError::Truncated)?;
    let count = usize::from(u16::from_le_bytes([count[0], count[1]]));
    let entries = bytes[HEADER..].as_chunks::<ENTRY>().0;
    let entry = entries.iter().take(count).min_by_key(|entry| {
        let [width, height] = [entry[0], entry[1]].map(|side| i32::from(side.wrapping_sub(1)) + 1);
        let bits = match (u16::from_le_bytes([entry[6], entry[7]]), entry[2]) {
            (0, 0) => 256,
            (0, colours) => u32::from(colours).next_power_of_two().ilog2(),
            (bits, _) => bits.into(),
        };
        (-width * height, bits)
    });
    let entry = entry.ok_or(PhotoError::Truncated)?;
    let word = |at: usize| u32::from_le_bytes([0, 1, 2, 3].map(|i| entry[at + i])) as usize;
    let (len, at) = (word(8), word(12));
    let image = at.checked_add(len).and_then(|end| bytes.get(at..end));
    let image = image.ok_or(PhotoError::Truncated)?;
    if image.starts_with(PNG) {
        return Ok(Icon::Png(image));
    }
    if let Some([1..=16, 0]) = image.get(14..16) {
        return Err(PhotoError::UnsupportedFeature("an icon with a palette".into()));
    }
    let mut entry = *entry;
    entry[12..].copy_from_slice(&((HEADER + ENTRY) as u32).to_le_bytes());
    let alone = [&[0, 0, 1, 0, 1, 0][..], &entry, image].concat();
    Ok(Icon::Bitmap(Box::new(IcoDecoder::new(Cursor::new(alone))?)))
}
