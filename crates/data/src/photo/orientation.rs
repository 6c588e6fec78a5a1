//! The orientation that a photo's metadata states, by the rules of Pillow's `Image.getexif` and
//! `ImageOps.exif_transpose`: the EXIF tag if there is one, of any numeric type; otherwise XMP's
//! `tiff:Orientation`, as attribute or element.

use std::io::Read;

use flate2::read::ZlibDecoder;
use image::{ImageDecoder, ImageFormat, metadata::Orientation};

use super::tiff::number;

const TAG: u64 = 0x112;
/// Bytes that a compressed text of a PNG may have, as in Pillow.
const MAX_TEXT: u64 = 1 << 20;
const EXIF: &[u8] = b"Exif\0\0";
const XMP: &[u8] = b"http://ns.adobe.com/xap/1.0/\0";

/// A file's metadata.
#[derive(Default)]
struct Metadata {
    exif: Option<Vec<u8>>,
    xmp: Option<Vec<u8>>,
}

/// The orientation of a photo. Damaged metadata do not make its pixels unusable.
pub(super) fn orientation(
    bytes: &[u8],
    format: ImageFormat,
    decoder: &mut impl ImageDecoder,
) -> Orientation {
    if format == ImageFormat::Tiff {
        return tiff(bytes, decoder).unwrap_or(Orientation::NoTransforms);
    }
    let metadata = match format {
        ImageFormat::Jpeg => jpeg(bytes),
        ImageFormat::Png => png(bytes),
        ImageFormat::WebP => Metadata {
            exif: decoder.exif_metadata().ok().flatten(),
            xmp: decoder.xmp_metadata().ok().flatten(),
        },
        _ => Metadata::default(),
    };
    metadata.orientation().unwrap_or(Orientation::NoTransforms)
}

/// A TIFF's directory is EXIF.
fn tiff(bytes: &[u8], decoder: &mut impl ImageDecoder) -> Option<Orientation> {
    match exif(bytes) {
        Entry::Number(number) => Orientation::from_exif(number),
        Entry::Absent => Orientation::from_exif(xmp(&decoder.xmp_metadata().ok()??)?),
        Entry::Other => decoder.orientation().ok(), // BigTIFF
    }
}

impl Metadata {
    fn orientation(&self) -> Option<Orientation> {
        let number = match exif(self.exif.as_deref().unwrap_or_default()) {
            Entry::Number(number) => number,
            Entry::Other => return None,
            Entry::Absent => xmp(self.xmp.as_deref()?)?,
        };
        Orientation::from_exif(number)
    }
}

/// What EXIF says of the orientation.
#[derive(Debug, PartialEq, Eq)]
enum Entry {
    Number(u8),
    /// It is none of 1 to 8, or the block is no EXIF.
    Other,
    Absent,
}

/// The first entry of the orientation in EXIF's first directory.
fn exif(mut data: &[u8]) -> Entry {
    for _ in 0..2 {
        data = data.strip_prefix(EXIF).unwrap_or(data);
    }
    let is_big_endian = match data.get(..4) {
        Some(b"II*\0" | b"II\0*") => false,
        Some(b"MM\0*" | b"MM*\0") => true,
        _ if data.is_empty() => return Entry::Absent,
        _ => return Entry::Other,
    };
    let number = |at: usize, size: usize| number(data, at, size, is_big_endian);
    let entries = || {
        let start = usize::try_from(number(4, 4)?).ok()?;
        Some((start, number(start, 2)? as usize))
    };
    let Some((start, count)) = entries() else { return Entry::Absent };
    for at in (0..count).map(|index| start + 2 + 12 * index) {
        let (Some(tag), Some(kind), Some(count), Some(offset)) =
            (number(at, 2), number(at + 2, 2), number(at + 4, 4), number(at + 8, 4))
        else {
            break;
        };
        let Some(size) = size(kind).filter(|_| tag == TAG) else { continue };
        let len = size as u64 * count;
        let value_at = if len <= 4 { at + 8 } else { offset as usize };
        if count > 0 && value_at as u64 + len <= data.len() as u64 {
            let first = |size| number(value_at, size);
            let value = match kind {
                3 | 4 | 6 | 8 | 9 | 13 | 16 => first(size).map(|whole| whole as f64),
                5 | 10 => first(4).zip(number(value_at + 4, 4)).map(|(a, b)| a as f64 / b as f64),
                11 => first(4).map(|bits| f64::from(f32::from_bits(bits as u32))),
                12 => first(8).map(f64::from_bits),
                // Pillow takes BYTE, ASCII and UNDEFINED for text.
                _ => None,
            };
            let whole = value.and_then(|value| (1..=8).find(|&n| f64::from(n) == value));
            return whole.map_or(Entry::Other, Entry::Number);
        }
    }
    Entry::Absent
}

/// Bytes of a value of one of TIFF's types.
fn size(kind: u64) -> Option<usize> {
    Some(match kind {
        1 | 2 | 6 | 7 => 1,
        3 | 8 => 2,
        4 | 9 | 11 | 13 => 4,
        5 | 10 | 12 | 16 => 8,
        _ => return None,
    })
}

/// The digit of the first `tiff:Orientation="6"` or `<tiff:Orientation>6`.
fn xmp(text: &[u8]) -> Option<u8> {
    const NAME: &[u8] = b"tiff:Orientation";
    let found = text.windows(NAME.len()).enumerate().filter(|(_, name)| *name == NAME);
    let values = found.filter_map(|(at, _)| match &text[at + NAME.len()..] {
        [b'=', b'"', digit, ..] | [b'>', digit, ..] => Some(*digit),
        _ => None,
    });
    values.filter(u8::is_ascii_digit).map(|digit| digit - b'0').next()
}

/// EXIF blocks of a JPEG are one, cut into segments. The last XMP block counts.
fn jpeg(bytes: &[u8]) -> Metadata {
    let mut metadata = Metadata::default();
    let mut rest = bytes.get(2..).unwrap_or_default();
    loop {
        rest = match rest {
            [0xFF, 0xDA | 0xD9, ..] | [] => return metadata,
            [0xFF, 0x00 | 0x01 | 0xD0..=0xD8, after @ ..] => after,
            [0xFF, marker, high, low, ..] if *marker != 0xFF => {
                let len = usize::from(u16::from_be_bytes([*high, *low])).max(2);
                let Some(segment) = rest.get(4..2 + len) else { return metadata };
                match (marker, segment) {
                    (0xE1, segment) if segment.starts_with(EXIF) => match &mut metadata.exif {
                        Some(exif) => exif.extend(&segment[EXIF.len()..]),
                        none => *none = Some(segment.to_vec()),
                    },
                    (0xE1, segment) if segment.starts_with(XMP) => {
                        metadata.xmp = Some(segment[XMP.len()..].to_vec());
                    }
                    _ => {}
                }
                &rest[2 + len..]
            }
            // Bytes between segments.
            _ => &rest[1..],
        };
    }
}

/// The last chunk of each kind counts, wherever it is. ImageMagick writes EXIF as text.
fn png(bytes: &[u8]) -> Metadata {
    let mut metadata = Metadata::default();
    let (mut raw, mut xmp) = (None, None);
    let mut rest = bytes.get(8..).unwrap_or_default();
    while let Some((head, after)) = rest.split_at_checked(8) {
        let len = u32::from_be_bytes([head[0], head[1], head[2], head[3]]) as usize;
        let Some((data, after)) = after.split_at_checked(len) else { break };
        match &head[4..] {
            b"eXIf" => metadata.exif = Some(data.to_vec()),
            kind @ (b"tEXt" | b"zTXt" | b"iTXt") => match keyword(data) {
                (b"XML:com.adobe.xmp", text) => xmp = Some((kind, text)),
                (b"Raw profile type exif", text) => raw = Some((kind, text)),
                _ => {}
            },
            _ => {}
        }
        rest = after.get(4..).unwrap_or_default();
    }
    metadata.xmp = xmp.and_then(|(kind, text)| png_text(kind, text));
    let raw = || raw.and_then(|(kind, text)| hexadecimal(&png_text(kind, text)?));
    metadata.exif = metadata.exif.or_else(raw);
    metadata
}

/// A text up to its first NUL, and the rest.
fn keyword(data: &[u8]) -> (&[u8], &[u8]) {
    let end = data.iter().position(|&byte| byte == 0).unwrap_or(data.len());
    (&data[..end], data.get(end + 1..).unwrap_or_default())
}

/// The text of a `tEXt`, `zTXt` or `iTXt` chunk without its keyword.
fn png_text(kind: &[u8], data: &[u8]) -> Option<Vec<u8>> {
    let (is_compressed, text) = match (kind, data) {
        (b"tEXt", text) => (false, text),
        (b"zTXt", [0, text @ ..]) => (true, text),
        // Language and translated keyword precede the text.
        (b"iTXt", [compressed, 0, rest @ ..]) => (*compressed != 0, keyword(keyword(rest).1).1),
        _ => return None,
    };
    if !is_compressed {
        return Some(text.to_vec());
    }
    let mut inflated = Vec::new();
    ZlibDecoder::new(text).take(MAX_TEXT).read_to_end(&mut inflated).ok()?;
    Some(inflated)
}

/// The bytes of a raw profile: a name, a length and hexadecimal digits, on lines of their own.
fn hexadecimal(text: &[u8]) -> Option<Vec<u8>> {
    let lines = text.split(|&byte| byte == b'\n').skip(3).flatten();
    let digits: Option<Vec<u8>> = lines
        .filter(|byte| !byte.is_ascii_whitespace())
        .map(|&digit| char::from(digit).to_digit(16).map(|digit| digit as u8))
        .collect();
    Some(digits?.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn short(value: u16) -> Vec<u8> {
        tiff(&[(TAG as u16, 3, 1, &value.to_le_bytes())])
    }

    /// A directory of little-endian entries: tag, type, count, value.
    fn tiff(entries: &[(u16, u16, u32, &[u8])]) -> Vec<u8> {
        let mut out = b"II*\0\x08\0\0\0".to_vec();
        out.extend((entries.len() as u16).to_le_bytes());
        let (mut extra, end) = (Vec::new(), 14 + 12 * entries.len());
        for &(tag, kind, count, value) in entries {
            out.extend([tag, kind].iter().flat_map(|x| x.to_le_bytes()));
            out.extend(count.to_le_bytes());
            if value.len() <= 4 {
                out.extend([value, &[0; 4][value.len()..]].concat());
            } else {
                out.extend(((end + extra.len()) as u32).to_le_bytes());
                extra.extend(value);
            }
        }
        [out, vec![0; 4], extra].concat()
    }

    /// Pillow 13's answers.
    #[test]
    fn the_tag_may_have_any_numeric_type() {
        let six = |kind, value: &[u8]| exif(&tiff(&[(TAG as u16, kind, 1, value)]));
        let ratio = [6, 0, 0, 0, 1, 0, 0, 0];
        for (kind, value) in [
            (3, &[6, 0][..]),
            (4, &[6, 0, 0, 0]),
            (5, &ratio),
            (6, &[6]),
            (8, &[6, 0]),
            (9, &[6, 0, 0, 0]),
            (10, &ratio),
            (11, &6_f32.to_le_bytes()),
            (12, &6_f64.to_le_bytes()),
            (13, &[6, 0, 0, 0]),
            (16, &[6, 0, 0, 0, 0, 0, 0, 0]),
        ] {
            assert_eq!(six(kind, value), Entry::Number(6), "{kind}");
        }
        for (kind, value) in [(1, &[6][..]), (2, b"6\0"), (7, &[6]), (11, &6.5_f32.to_le_bytes())] {
            assert_eq!(six(kind, value), Entry::Other, "{kind}");
        }
        assert_eq!(exif(&tiff(&[(TAG as u16, 3, 2, &[6, 0, 1, 0])])), Entry::Number(6));
        assert_eq!(
            exif(b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0"),
            Entry::Number(6)
        );
    }

    #[test]
    fn the_first_whole_entry_counts() {
        let of = |entries: &[(u16, u16, u32, &[u8])]| exif(&tiff(entries));
        assert_eq!(
            of(&[(TAG as u16, 3, 1, &[1, 0]), (TAG as u16, 3, 1, &[6, 0])]),
            Entry::Number(1)
        );
        assert_eq!(of(&[(TAG as u16, 3, 0, &[]), (TAG as u16, 3, 1, &[6, 0])]), Entry::Number(6));
        assert_eq!(of(&[(TAG as u16, 99, 1, &[]), (TAG as u16, 3, 1, &[6, 0])]), Entry::Number(6));
        assert_eq!(
            of(&[(TAG as u16, 16, u32::MAX, &[6; 8]), (TAG as u16, 3, 1, &[6, 0])]),
            Entry::Number(6)
        );
        assert_eq!(of(&[(0x10F, 3, 1, &[6, 0])]), Entry::Absent);
        assert_eq!(exif(&[EXIF, EXIF, &short(6)].concat()), Entry::Number(6));
        assert_eq!(exif(b"garbage!"), Entry::Other);
        for len in 0..short(6).len() - 6 {
            assert_ne!(exif(&short(6)[..len]), Entry::Number(6), "{len}");
        }
    }

    #[test]
    fn xmp_counts_where_exif_has_no_orientation() {
        assert_eq!(xmp(b"<a tiff:Orientation=\"6\"/>"), Some(6));
        assert_eq!(xmp(b"tiff:Orientation=\"x\" <tiff:Orientation>8</tiff:Orientation>"), Some(8));
        assert_eq!(xmp(b"tiff:Orientation='6'"), None);
        let of = |exif: Option<Vec<u8>>| {
            let xmp = Some(b"tiff:Orientation=\"6\"".to_vec());
            Metadata { exif, xmp }.orientation()
        };
        assert_eq!(of(None), Some(Orientation::Rotate90));
        assert_eq!(of(Some(tiff(&[]))), Some(Orientation::Rotate90));
        assert_eq!(of(Some(EXIF.to_vec())), Some(Orientation::Rotate90));
        assert_eq!(of(Some(short(3))), Some(Orientation::Rotate180));
        for other in [short(0), tiff(&[(TAG as u16, 1, 1, &[6])]), b"garbage!".to_vec()] {
            assert_eq!(of(Some(other)), None);
        }
    }

    #[test]
    fn the_segments_of_a_jpeg_are_searched() {
        let segment = |head: &[u8], data: &[u8]| {
            let len = (head.len() + data.len() + 2) as u16;
            [&[0xFF, 0xE1][..], &len.to_be_bytes(), head, data].concat()
        };
        let of = |segments: &[Vec<u8>]| {
            let file = [&[0xFF, 0xD8][..], &segments.concat(), &[0xFF, 0xDA, 0, 2]].concat();
            jpeg(&file).orientation().map(Orientation::to_exif)
        };
        let text = |n: u8| segment(XMP, &[b"tiff:Orientation=\"", &[b'0' + n][..]].concat());
        assert_eq!(of(&[text(6)]), Some(6));
        assert_eq!(of(&[text(6), text(8)]), Some(8));
        assert_eq!(of(&[text(6), segment(EXIF, &short(3))]), Some(3));
        // The second block continues the first.
        assert_eq!(of(&[segment(EXIF, &short(6)), segment(EXIF, &short(1))]), Some(6));
        assert_eq!(of(&[segment(EXIF, &tiff(&[])), segment(EXIF, &short(6))]), None);
        let halves = short(6);
        let (first, second) = halves.split_at(11);
        assert_eq!(of(&[segment(EXIF, first), segment(EXIF, second)]), Some(6));
        assert_eq!(of(&[vec![0xFF, 0xFF, 0, 7], text(6)]), Some(6));
    }

    #[test]
    fn the_chunks_of_a_png_are_searched() {
        let chunk = |kind: &[u8], data: &[&[u8]]| {
            let data = data.concat();
            [&(data.len() as u32).to_be_bytes()[..], kind, &data, &[0; 4]].concat()
        };
        let of = |chunks: &[Vec<u8>]| {
            let file = [&[0; 8][..], &chunks.concat()].concat();
            png(&file).orientation().map(Orientation::to_exif)
        };
        let deflated = |data: &[u8]| {
            let mut out = Vec::new();
            let level = flate2::Compression::fast();
            flate2::read::ZlibEncoder::new(data, level).read_to_end(&mut out).unwrap();
            out
        };
        let (name, six) = (b"XML:com.adobe.xmp\0", b"tiff:Orientation=\"6\"");
        let raw = short(8).iter().fold("\nexif\n      26\n".to_owned(), |text, byte| {
            text + &format!("{byte:02x}{}", if byte % 2 == 0 { "\n" } else { "" })
        });
        assert_eq!(of(&[chunk(b"iTXt", &[name, b"\0\0en\0x\0", six])]), Some(6));
        assert_eq!(of(&[chunk(b"iTXt", &[name, b"\x01\0\0\0", &deflated(six)])]), Some(6));
        assert_eq!(of(&[chunk(b"tEXt", &[name, six])]), Some(6));
        assert_eq!(of(&[chunk(b"zTXt", &[name, b"\0", &deflated(six)])]), Some(6));
        let raw = chunk(b"tEXt", &[b"Raw profile type exif\0", raw.as_bytes()]);
        assert_eq!(of(std::slice::from_ref(&raw)), Some(8));
        assert_eq!(of(&[chunk(b"eXIf", &[&short(3)]), raw]), Some(3));
        assert_eq!(of(&[chunk(b"eXIf", &[&short(3)]), chunk(b"eXIf", &[&short(6)])]), Some(6));
        assert_eq!(of(&[chunk(b"zTXt", &[name, b"\0no zlib"])]), None);
    }
}
