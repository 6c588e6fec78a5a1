//! Files of the cache on disk.
//!
//! A file starts with [`MAGIC`]; entries follow, each a header of 32 bytes and the pixels of a photo:
//!
//! ```text
//! key 16 | height 4 | width 4 | channels 4 | CRC-32 of all else of the entry 4 | pixels
//! ```
//!
//! Numbers are little-endian. Entries are only added, by the process that created the file, so a process
//! that is killed leaves at most one entry that is cut off, at the end.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use resnet_formats::open_own;

use super::Key;
use crate::photo::Photo;

/// The first bytes of a file; the last two are the version.
const MAGIC: [u8; 16] = *b"resnet photos \x01\0";
/// The part of it that does not depend on the version.
const NAME: usize = 13;
const HEADER: usize = 32;
/// The most pixels of an entry, bytes. Larger photos, which are long strips, are not kept.
pub(super) const MOST: usize = 64 << 20;
/// The suffix of a file.
pub(super) const SUFFIX: &str = "photos";

/// What a file is, by its first bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Of this version.
    Ours,
    /// Of another version, or empty.
    Old,
    /// No file of the cache.
    Foreign,
}

/// The kind of a file.
pub(super) fn kind(file: &mut File) -> io::Result<Kind> {
    let mut magic = Vec::new();
    file.seek(SeekFrom::Start(0))?;
    file.take(MAGIC.len() as u64).read_to_end(&mut magic)?;
    Ok(match magic.get(..NAME) {
        Some(name) if name != &MAGIC[..NAME] => Kind::Foreign,
        _ if magic == MAGIC => Kind::Ours,
        _ => Kind::Old,
    })
}

/// Key, place and length of each whole entry of a file.
pub(super) fn entries(file: &mut File) -> io::Result<Vec<(Key, u64)>> {
    let (mut entries, mut at) = (Vec::new(), MAGIC.len() as u64);
    let end = file.metadata()?.len();
    let mut header = [0; HEADER];
    while at + HEADER as u64 <= end {
        file.seek(SeekFrom::Start(at))?;
        file.read_exact(&mut header)?;
        let Some((key, len, _)) = Header::parse(&header).map(|header| header.key_len_size()) else {
            break;
        };
        let next = at + (HEADER + len) as u64;
        if next > end {
            break;
        }
        entries.push((key, at));
        at = next;
    }
    Ok(entries)
}

/// The photo of a key at a place of a file; none if it is damaged.
pub(super) fn read(file: &mut File, at: u64, key: &Key) -> Option<Photo> {
    let mut header = [0; HEADER];
    file.seek(SeekFrom::Start(at)).ok()?;
    file.read_exact(&mut header).ok()?;
    let parsed = Header::parse(&header)?;
    let (found, len, [height, width, channels]) = parsed.key_len_size();
    let mut pixels = vec![0; len];
    file.read_exact(&mut pixels).ok()?;
    let is_whole = found == *key && parsed.checksum == checksum(&header[..HEADER - 4], &pixels);
    is_whole.then_some(Photo { height, width, channels, pixels })
}

struct Header {
    key: Key,
    size: [usize; 3],
    checksum: u32,
}

impl Header {
    fn parse(bytes: &[u8; HEADER]) -> Option<Header> {
        let (key, numbers) = bytes.split_at(16);
        let mut key_bytes = [0; 16];
        key_bytes.copy_from_slice(key);
        let (numbers, _) = numbers.as_chunks::<4>();
        let [height, width, channels, checksum] =
            [0, 1, 2, 3].map(|i| u32::from_le_bytes(numbers[i]));
        let size = [height, width, channels].map(|n| n as usize);
        let len = size.iter().try_fold(1_usize, |len, &n| len.checked_mul(n))?;
        let is_possible = (1..=MOST).contains(&len) && matches!(channels, 1 | 3);
        is_possible.then_some(Header { key: Key(key_bytes), size, checksum })
    }

    fn key_len_size(&self) -> (Key, usize, [usize; 3]) {
        (self.key, self.size.iter().product(), self.size)
    }
}

fn checksum(header: &[u8], pixels: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(header);
    hasher.update(pixels);
    hasher.finalize()
}

/// A file that entries are added to.
#[derive(Debug)]
pub(super) struct Writer {
    file: File,
    pub(super) path: PathBuf,
    pub(super) len: u64,
}

impl Writer {
    /// Creates a file.
    pub(super) fn create(path: &Path) -> io::Result<Writer> {
        let mut file = open_own(path, File::options().write(true).create_new(true))?;
        file.write_all(&MAGIC)?;
        Ok(Writer { file, path: path.to_owned(), len: MAGIC.len() as u64 })
    }

    /// Adds an entry, and returns its place.
    pub(super) fn add(&mut self, key: &Key, photo: &Photo) -> io::Result<u64> {
        let mut entry = Vec::with_capacity(HEADER + photo.pixels.len());
        entry.extend_from_slice(&key.0);
        for side in [photo.height, photo.width, photo.channels] {
            entry.extend_from_slice(&(side as u32).to_le_bytes());
        }
        entry.extend_from_slice(&checksum(&entry, &photo.pixels).to_le_bytes());
        entry.extend_from_slice(&photo.pixels);
        self.file.write_all(&entry)?;
        let at = self.len;
        self.len += entry.len() as u64;
        Ok(at)
    }
}
