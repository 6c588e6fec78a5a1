//! Formats of images, by a file's first bytes and by its name.

use std::path::Path;

use image::ImageFormat;

use super::{PhotoError, tga::is_tga};

/// How many of a file's first bytes tell its format.
pub(super) const FIRST_BYTES: u64 = 64;

/// Suffixes of the formats that are read. The format is detected from the content.
#[rustfmt::skip]
const READ: [&str; 20] = [
    "jpg", "jpeg", "jpe", "jfif", "mpo", "png", "apng", "webp", "gif", "bmp", "dib", "tif", "tiff",
    "ico", "ppm", "pgm", "pbm", "pnm", "tga", "qoi",
];

/// Suffixes of other formats, which a folder of photos must not leave out without a word.
#[rustfmt::skip]
const OTHERS: [&str; 33] = [
    "heic", "heif", "hif", "avif", "jxl", "jp2", "j2k", "j2c", "jpx", "jpf", "jxr", "pam", "psd", "exr",
    "hdr", "dds", "pcx",
    // Raw formats of cameras.
    "dng", "cr2", "cr3", "crw", "nef", "nrw", "arw", "sr2", "orf", "rw2", "raf", "pef", "srw", "x3f",
    "iiq", "3fr",
];

/// What a file is called like, if it is called like an image.
pub(super) fn by_suffix(path: &Path) -> Option<Kind> {
    let suffix = path.extension()?.to_str()?;
    let among = |suffixes: &[&str]| suffixes.iter().any(|s| s.eq_ignore_ascii_case(suffix));
    if among(&READ) { Some(Kind::Photo) } else { among(&OTHERS).then_some(Kind::Unsupported) }
}

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An image of a format that is read.
    Photo,
    /// An image of another format.
    Unsupported,
    /// Anything else.
    Other,
}

/// The format of a file of `len` bytes that begins so, if it is read.
pub(super) fn format(bytes: &[u8], len: u64) -> Result<ImageFormat, PhotoError> {
    use ImageFormat::{Bmp, Gif, Ico, Jpeg, Png, Pnm, Qoi, Tga, Tiff, WebP};
    match image::guess_format(bytes) {
        Ok(format @ (Jpeg | Png | WebP | Gif | Bmp | Tiff | Qoi)) => return Ok(format),
        Ok(Ico) if is_ico(bytes) => return Ok(Ico),
        Ok(Pnm) if is_pnm(bytes) => return Ok(Pnm),
        _ => {}
    }
    if let Some(name) = other(bytes) {
        return Err(PhotoError::UnsupportedFormat(name));
    }
    match bytes {
        [b'I', b'I', 43, 0, ..] | [b'M', b'M', 0, 43, ..] => Ok(Tiff), // BigTIFF
        _ if is_dib(bytes) => Ok(Bmp),
        _ if is_tga(bytes, len) => Ok(Tga),
        _ => Err(PhotoError::NotAnImage),
    }
}

fn is_pnm(bytes: &[u8]) -> bool {
    matches!(bytes, [b'P', b'1'..=b'6', b'\n' | b' ' | b'\r' | b'\t', b'0'..=b'9' | b'#', ..])
}

/// Reserved, type, a count of images; then width and height, colours, and a zero.
fn is_ico(bytes: &[u8]) -> bool {
    matches!(bytes, [0, 0, 1, 0, count, 0, _, _, _, 0, ..] if *count > 0)
}

/// Whether a file is a BMP without its file header, as Windows has it in memory.
fn is_dib(bytes: &[u8]) -> bool {
    let header = bytes.get(..4).map(|len| u32::from_le_bytes([len[0], len[1], len[2], len[3]]));
    let at = match header {
        Some(12) => 8,
        Some(40 | 52 | 56 | 64 | 108 | 124) => 12,
        _ => return false,
    };
    matches!(bytes.get(at..at + 4), Some([1, 0, 1 | 4 | 8 | 16 | 24 | 32, 0]))
}

/// The name of an image format that is not read.
fn other(bytes: &[u8]) -> Option<&'static str> {
    const STARTS: [(&[u8], &str); 10] = [
        (b"\xFF\x0A", "JPEG XL"),
        (b"\0\0\0\x0CJXL \r\n\x87\n", "JPEG XL"),
        (b"\xFF\x4F\xFF\x51", "JPEG 2000"),
        (b"\0\0\0\x0CjP  \r\n\x87\n", "JPEG 2000"),
        (b"8BPS", "a Photoshop document"),
        (b"\x76\x2F\x31\x01", "OpenEXR"),
        (b"#?RADIANCE", "Radiance HDR"),
        (b"DDS \x7C", "DDS"),
        (b"IIU\0", "a camera's raw format"),
        (b"FUJIFILMCCD-RAW", "a camera's raw format"),
    ];
    let by_start = STARTS.iter().find(|(start, _)| bytes.starts_with(start));
    let by_pattern = match bytes {
        [b'P', b'7', b'\n' | b' ' | b'\r', b'#' | b'W', ..] => Some("PAM"),
        [0, 0, 2, 0, count, 0, _, _, _, 0, ..] if *count > 0 => Some("a cursor of Windows"),
        _ => None,
    };
    by_start.map(|&(_, name)| name).or_else(|| in_boxes(bytes)).or(by_pattern)
}

/// Formats in ISO's boxes: the first box lists the brands that can read the file.
fn in_boxes(bytes: &[u8]) -> Option<&'static str> {
    if bytes.get(4..8)? != b"ftyp" {
        return None;
    }
    let len = u32::from_be_bytes(bytes[..4].try_into().ok()?) as usize;
    let brands = &bytes[8..bytes.len().min(len.max(12))];
    let has = |names: &[&[u8; 4]]| brands.chunks_exact(4).any(|b| names.iter().any(|n| *n == b));
    if has(&[b"avif", b"avis"]) {
        return Some("AVIF");
    }
    if has(&[b"crx "]) {
        return Some("a camera's raw format");
    }
    // HEIC is the default format of iPhones.
    let heif = [b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"mif1", b"msf1"];
    has(&heif).then_some("HEIC")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_told_by_their_first_bytes() {
        let format = |bytes: &[u8]| format(bytes, bytes.len() as u64);
        let boxes = |brands: &[u8]| {
            [&(8 + brands.len() as u32).to_be_bytes()[..], b"ftyp", brands, &[0; 20]].concat()
        };
        for (bytes, name) in [
            (boxes(b"heic\0\0\0\0mif1heic"), "HEIC"),
            (boxes(b"mif1\0\0\0\0mif1heic"), "HEIC"),
            (boxes(b"mif1\0\0\0\0mif1avif"), "AVIF"),
            (boxes(b"crx \0\0\0\x01crx isom"), "raw"),
            (b"\xFF\x0A\xFA\x00".to_vec(), "JPEG XL"),
            (b"P7\nWIDTH 2\n".to_vec(), "PAM"),
            (vec![0, 0, 2, 0, 1, 0, 16, 16, 0, 0, 1, 0], "cursor"),
        ] {
            let error = format(&bytes).unwrap_err().to_string();
            assert!(error.contains(name) && error.contains("not supported"), "{error}");
        }
        for bytes in [&boxes(b"isom\0\0\x02\0isommp42")[..], b"P6 is a node", &[0; 64], b"", b"II"]
        {
            assert!(matches!(format(bytes), Err(PhotoError::NotAnImage)), "{bytes:?}");
        }
        let dib = [&[40, 0, 0, 0, 5, 0, 0, 0, 7, 0, 0, 0, 1, 0, 24, 0][..], &[0; 40]].concat();
        for (bytes, expected) in [
            (&b"\xFF\xD8\xFF\xE1"[..], ImageFormat::Jpeg),
            (b"II*\0\x08\0\0\0", ImageFormat::Tiff),
            (b"MM\0+\0\x08\0\0", ImageFormat::Tiff),
            (b"P6\n2 2\n255\n", ImageFormat::Pnm),
            (b"qoif\0\0", ImageFormat::Qoi),
            (&[0, 0, 1, 0, 1, 0, 16, 16, 0, 0, 1, 0], ImageFormat::Ico),
            (&dib, ImageFormat::Bmp),
        ] {
            assert_eq!(format(bytes).unwrap(), expected);
        }
    }

    #[test]
    fn suffixes_have_any_case() {
        let of = |name| by_suffix(Path::new(name));
        assert_eq!([of("a.JPG"), of("a.b.Heic")], [Some(Kind::Photo), Some(Kind::Unsupported)]);
        assert_eq!([of("jpg"), of("a.jpg.txt")], [None; 2]);
    }
}
