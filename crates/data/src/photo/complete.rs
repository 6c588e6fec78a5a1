//! Detects truncated and unsupported files that the decoders would accept.

use image::ImageFormat;

use super::{PhotoError, tiff};

pub(super) fn check(bytes: &[u8], format: ImageFormat) -> Result<(), PhotoError> {
    match format {
        ImageFormat::Jpeg => jpeg(bytes),
        ImageFormat::WebP => webp(bytes),
        ImageFormat::Tiff => tiff::check(bytes),
        ImageFormat::Pnm => pnm(bytes),
        ImageFormat::Png if bytes.get(12..16) == Some(b"CgBI") => {
            Err(PhotoError::UnsupportedFeature("CgBI, a PNG for iPhones only".into()))
        }
        _ => Ok(()),
    }
}

/// A WebP states its length. Its orientation follows the image: without this check, a truncated
/// file would be decoded with the wrong orientation.
fn webp(bytes: &[u8]) -> Result<(), PhotoError> {
    let len = bytes.get(4..8).and_then(|len| len.try_into().ok()).map(u32::from_le_bytes);
    let is_whole = |len: u32| bytes.len() as u64 >= 8 + u64::from(len);
    len.is_some_and(is_whole).then_some(()).ok_or(PhotoError::Truncated)
}

/// Decoders scale other maxima differently.
fn pnm(bytes: &[u8]) -> Result<(), PhotoError> {
    let text = bytes.split(|&byte| byte == b'\n').map(|line| line.split(|&b| b == b'#').next());
    let mut words = text.flatten().flat_map(|line| line.split(u8::is_ascii_whitespace));
    let mut words = words.by_ref().filter(|word| !word.is_empty());
    let has_maximum = !matches!(words.next(), Some(b"P1" | b"P4"));
    match words.nth(2) {
        Some(maximum) if has_maximum && !matches!(maximum, b"255" | b"65535") => {
            let maximum = String::from_utf8_lossy(&maximum[..maximum.len().min(10)]);
            Err(PhotoError::UnsupportedFeature(format!("PPM or PGM with values up to {maximum}")))
        }
        _ => Ok(()),
    }
}

/// Walks through a JPEG's segments. Unsupported variants are reported by name, and an end-of-image
/// marker must follow the start of the first scan, and restart markers be complete. Decoders fill
/// missing data with grey, as browsers do; Pillow rejects it.
fn jpeg(bytes: &[u8]) -> Result<(), PhotoError> {
    let other = |kind: &str| Err(PhotoError::UnsupportedFeature(kind.into()));
    let (mut rest, mut has_scan) = (bytes.get(2..).unwrap_or_default(), false);
    // A segment is 0xFF, a marker and, except for a few markers, a length that includes itself.
    // Thumbnails inside segments have their own end-of-image markers.
    while let [0xFF, marker, after @ ..] = rest {
        rest = match (marker, after) {
            (0xFF, _) => &rest[1..], // fill
            (0x01 | 0xD0..=0xD8, _) => after,
            (0xDA, _) => {
                has_scan = true;
                scan(after)?
            }
            (0xD9, _) if has_scan => return Ok(()),
            (0xC3, _) => return other("lossless JPEG"),
            (0xC5..=0xC7, _) => return other("hierarchical JPEG"),
            (0xCB, _) => return other("lossless JPEG"),
            (0xCD..=0xCF, _) => return other("hierarchical JPEG"),
            (0xC0..=0xC2 | 0xC9 | 0xCA, [_, _, bits, ..]) if *bits != 8 => {
                return other(&format!("{bits} bits per channel"));
            }
            (_, [high, low, ..]) => {
                let len = usize::from(u16::from_be_bytes([*high, *low]));
                after.get(len.max(2)..).unwrap_or_default()
            }
            _ => return Err(PhotoError::Truncated),
        };
    }
    // A segment is missing: the decoder searches for the next one.
    ends(bytes)
}

/// Skips a scan. Its restart markers are numbered in turn: where one is lost, the decoder puts the
/// pixels after it in wrong places.
fn scan(bytes: &[u8]) -> Result<&[u8], PhotoError> {
    let (mut count, mut last) = (0_u8, 0);
    for (at, pair) in bytes.windows(2).enumerate() {
        match *pair {
            [0xFF, 0x00 | 0xFF] => {}
            [0xFF, number @ 0xD0..=0xD7] => (count, last) = (count.wrapping_add(1), number & 7),
            [0xFF, _] if count != 0 && last != count.wrapping_sub(1) & 7 => {
                return Err(PhotoError::Damaged("a restart marker is missing".into()));
            }
            [0xFF, _] => return Ok(&bytes[at..]),
            _ => {}
        }
    }
    Err(PhotoError::Truncated)
}

/// Whether there is an end-of-image marker. Its bytes cannot occur within a scan.
fn ends(bytes: &[u8]) -> Result<(), PhotoError> {
    let is_end = |pair: &[u8]| pair == [0xFF, 0xD9];
    bytes.windows(2).any(is_end).then_some(()).ok_or(PhotoError::Truncated)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_a_ppm_are_bytes_or_words() {
        for file in ["P6\n# 7\n2 3\n255\n", "P2 2 3 65535\n", "P4\n9 9\nabc", "P1 1 1 1"] {
            assert!(pnm(file.as_bytes()).is_ok(), "{file}");
        }
        for file in ["P6\n2 3\n100\n", "P5 2 # width\n 3\n4095 "] {
            assert!(pnm(file.as_bytes()).is_err(), "{file}");
        }
    }

    #[test]
    fn a_lost_restart_marker_is_an_error() {
        let scan = |numbers: &[u8]| {
            let parts: Vec<u8> =
                numbers.iter().flat_map(|n| [1, 0xFF, 0, 0xFF, 0xD0 + n]).collect();
            [&[0xFF, 0xDA, 0, 2][..], &parts, &[1]].concat()
        };
        let file = |scans: &[&[u8]]| {
            let scans: Vec<u8> = scans.iter().flat_map(|numbers| scan(numbers)).collect();
            jpeg(&[&[0xFF, 0xD8][..], &scans, &[0xFF, 0xD9]].concat())
        };
        assert!(file(&[&[]]).is_ok() && file(&[&[0, 1, 2, 3, 4, 5, 6, 7, 0], &[0, 1]]).is_ok());
        // Decoders do not heed the number of a single marker.
        assert!(file(&[&[0, 5, 2]]).is_ok());
        for lost in [&[&[0, 2, 3][..]][..], &[&[1]], &[&[0, 1], &[1]]] {
            assert!(matches!(file(lost), Err(PhotoError::Damaged(_))), "{lost:?}");
        }
    }
}
