//! TIFF files that the decoder would read otherwise than Pillow, or that are a camera's raw format, whose
//! first image is a thumbnail.

use super::PhotoError;

const NEW_SUBFILE_TYPE: u64 = 254;
const COMPRESSION: u64 = 259;
const PHOTOMETRIC: u64 = 262;
const SUB_IFDS: u64 = 330;
const EXTRA_SAMPLES: u64 = 338;
const SAMPLE_FORMAT: u64 = 339;
const DNG_VERSION: u64 = 50706;

pub(super) fn check(bytes: &[u8]) -> Result<(), PhotoError> {
    let Some(directory) = Directory::first(bytes) else {
        return Err(PhotoError::Truncated);
    };
    let value = |tag| directory.value(tag);
    let is_thumbnail = value(NEW_SUBFILE_TYPE) == Some(1) && value(SUB_IFDS).is_some();
    if value(DNG_VERSION).is_some() || is_thumbnail || bytes.get(8..10) == Some(b"CR") {
        return Err(PhotoError::UnsupportedFormat("a camera's raw format"));
    }
    let feature = match (value(COMPRESSION), value(PHOTOMETRIC)) {
        (Some(6 | 7), _) => "JPEG in a TIFF",
        (_, Some(3)) => "a TIFF with a palette",
        (_, Some(5)) => "a TIFF of CMYK",
        (_, Some(6)) => "a TIFF of YCbCr",
        (_, Some(8..=10)) => "a TIFF of CIELAB",
        _ if value(EXTRA_SAMPLES) == Some(1) => "a TIFF whose colours are multiplied by alpha",
        _ if value(SAMPLE_FORMAT) == Some(3) => "a TIFF of floats",
        _ => return Ok(()),
    };
    Err(PhotoError::UnsupportedFeature(feature.into()))
}

/// The first directory of a TIFF or BigTIFF.
struct Directory<'a> {
    bytes: &'a [u8],
    is_big_endian: bool,
    /// Bytes of an offset: 4, or 8 in a BigTIFF.
    word: usize,
    entries: std::ops::Range<usize>,
}

impl<'a> Directory<'a> {
    fn first(bytes: &'a [u8]) -> Option<Self> {
        let is_big_endian = bytes.starts_with(b"MM");
        let mut directory = Directory { bytes, is_big_endian, word: 4, entries: 0..0 };
        if directory.number(2, 2)? == 43 {
            directory.word = 8;
        }
        let word = directory.word;
        let start = usize::try_from(directory.number(word, word)?).ok()?;
        let count_len = if word == 8 { 8 } else { 2 };
        let count = usize::try_from(directory.number(start, count_len)?).ok()?;
        let entries = start.checked_add(count_len)?;
        let end = count.checked_mul(directory.entry_len())?.checked_add(entries)?;
        directory.entries = entries..end.min(bytes.len());
        Some(directory)
    }

    fn entry_len(&self) -> usize {
        4 + 2 * self.word
    }

    /// The first of a tag's whole numbers.
    fn value(&self, tag: u64) -> Option<u64> {
        let mut places = self.entries.clone().step_by(self.entry_len());
        let at = places.find(|&at| self.number(at, 2) == Some(tag))?;
        let size = match self.number(at + 2, 2)? {
            1 => 1,
            3 => 2,
            4 => 4,
            _ => self.word,
        };
        let (count, place) = (self.number(at + 4, self.word)?, at + 4 + self.word);
        // Values that take more than a word are elsewhere.
        let is_here = count.saturating_mul(size as u64) <= self.word as u64;
        let elsewhere = || usize::try_from(self.number(place, self.word)?).ok();
        self.number(if is_here { place } else { elsewhere()? }, size)
    }

    fn number(&self, at: usize, size: usize) -> Option<u64> {
        number(self.bytes, at, size, self.is_big_endian)
    }
}

/// A whole number of `size` bytes in a TIFF or in EXIF.
pub(super) fn number(bytes: &[u8], at: usize, size: usize, is_big_endian: bool) -> Option<u64> {
    let bytes = bytes.get(at..at.checked_add(size)?)?;
    let add = |sum: u64, byte: &u8| sum << 8 | u64::from(*byte);
    Some(match is_big_endian {
        true => bytes.iter().fold(0, add),
        false => bytes.iter().rev().fold(0, add),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The start of a TIFF: one directory with entries of tag, type and value.
    fn tiff(is_big: bool, is_big_endian: bool, entries: &[(u16, u16, u16)]) -> Vec<u8> {
        let word = if is_big { 8 } else { 4 };
        let mut out = if is_big_endian { b"MM".to_vec() } else { b"II".to_vec() };
        let mut put = |number: usize, size: usize| {
            let bytes = number.to_le_bytes();
            let bytes = &bytes[..size];
            match is_big_endian {
                true => out.extend(bytes.iter().rev()),
                false => out.extend(bytes),
            }
        };
        put(if is_big { 43 } else { 42 }, 2);
        if is_big {
            put(8, 2);
            put(0, 2);
        }
        put(2 * word, word);
        put(entries.len(), if is_big { 8 } else { 2 });
        for &(tag, kind, value) in entries {
            put(tag.into(), 2);
            put(kind.into(), 2);
            put(1, word);
            let size = if kind == 3 { 2 } else { 4 };
            put(value.into(), size);
            put(0, word - size);
        }
        out
    }

    #[test]
    fn what_is_not_read_is_named() {
        for (is_big, is_big_endian) in [(false, false), (false, true), (true, false), (true, true)]
        {
            let check = |entries: &[(u16, u16, u16)]| {
                check(&tiff(is_big, is_big_endian, entries)).map_err(|error| error.to_string())
            };
            assert_eq!(check(&[(254, 4, 0), (259, 3, 5), (262, 3, 2), (338, 3, 2)]), Ok(()));
            for (entries, part) in [
                (&[(259, 3, 7)][..], "JPEG in a TIFF"),
                (&[(259, 3, 1), (262, 3, 3)], "palette"),
                (&[(262, 3, 5)], "CMYK"),
                (&[(262, 3, 6)], "YCbCr"),
                (&[(262, 3, 8)], "CIELAB"),
                (&[(262, 3, 1), (339, 3, 3)], "floats"),
                (&[(262, 3, 2), (338, 3, 1)], "alpha"),
                (&[(50706, 4, 1)], "raw"),
                (&[(254, 4, 1), (330, 4, 99)], "raw"),
            ] {
                let error = check(entries).unwrap_err();
                assert!(error.contains(part), "{error}");
            }
        }
        // Three values, which are behind the directory.
        let mut rgb = tiff(false, false, &[(339, 3, 0)]);
        rgb[14] = 3;
        rgb[18] = rgb.len() as u8;
        rgb.extend([3, 0, 3, 0, 3, 0]);
        assert!(check(&rgb).unwrap_err().to_string().contains("floats"));
        assert!(check(b"II*\0\x08\0\0\0\x10\0CR\x02\0").is_ok(), "CR elsewhere");
        assert!(check(b"II*\0\x10\0\0\0CR\x02\0\0\0\0\0\0\0").is_err());
        assert!(check(b"II*\0\xFF\xFF\xFF\xFF").is_err() && check(b"II*\0").is_err());
    }
}
