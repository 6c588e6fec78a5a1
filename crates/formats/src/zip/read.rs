//! Reads untrusted archives.

use std::{
    borrow::Cow,
    fs::File,
    io::{self, Read as _, Seek as _, SeekFrom},
    ops::Range,
};

use super::{CENTRAL, DEFLATED, END, END_64, LOCAL, LOCATOR_64, STORED};
use crate::{FormatErrorKind, budget::Budget};

const END_LENGTH: usize = 22;
const END_64_LENGTH: usize = 56;
const LOCATOR_64_LENGTH: usize = 20;
const CENTRAL_LENGTH: usize = 46;
const LOCAL_LENGTH: usize = 30;

/// Memory of the inflater, without its result.
const INFLATER: usize = 64 << 10;

type Result<T> = std::result::Result<T, FormatErrorKind>;

/// An archive with a valid directory: names are unique and entries do not overlap.
pub(crate) struct Archive<'a> {
    bytes: &'a [u8],
    /// Sorted by name.
    entries: Vec<Entry<'a>>,
    /// False if every checksum is 0: `torch.serialization.set_crc32_options(False)` writes none.
    has_checksums: bool,
}

struct Entry<'a> {
    name: &'a str,
    deflated: bool,
    crc: u32,
    data: Range<usize>,
    size: usize,
    header: usize,
}

impl<'a> Archive<'a> {
    /// Reads the directory.
    pub(crate) fn new(bytes: &'a [u8], budget: &mut Budget) -> Result<Self> {
        let directory = directory(bytes)?;
        let mut fields = Fields { bytes, position: directory.bytes.start };
        // An entry takes more bytes in the file than in memory.
        if directory.count > directory.bytes.len() / CENTRAL_LENGTH {
            return Err(damaged("its directory is shorter than its number of entries"));
        }
        budget.take(directory.count * size_of::<Entry>())?;
        let mut entries = Vec::with_capacity(directory.count);
        for _ in 0..directory.count {
            entries.push(entry(&mut fields, directory.bytes.start)?);
        }
        if fields.position != directory.bytes.end {
            return Err(damaged("its directory does not end where it should"));
        }
        entries.sort_unstable_by_key(|entry| entry.header);
        if entries.windows(2).any(|pair| pair[0].data.end > pair[1].header) {
            return Err(damaged("two of its entries overlap"));
        }
        entries.sort_unstable_by_key(|entry| entry.name);
        if let Some(pair) = entries.windows(2).find(|pair| pair[0].name == pair[1].name) {
            return Err(FormatErrorKind::DuplicateName(pair[0].name.to_owned()));
        }
        let has_checksums = entries.iter().any(|entry| entry.crc != 0);
        Ok(Archive { bytes, entries, has_checksums })
    }

    /// Names of the entries, sorted.
    pub(crate) fn names(&self) -> impl Iterator<Item = &'a str> {
        self.entries.iter().map(|entry| entry.name)
    }

    /// The bytes of an entry, with their checksum checked; none if there is no such entry.
    pub(crate) fn read(&self, name: &str, budget: &mut Budget) -> Result<Option<Cow<'a, [u8]>>> {
        let Ok(found) = self.entries.binary_search_by_key(&name, |entry| entry.name) else {
            return Ok(None);
        };
        let entry = &self.entries[found];
        let data = &self.bytes[entry.data.clone()];
        let data = if entry.deflated {
            budget.take(entry.size.saturating_add(INFLATER))?;
            let mut inflated = Vec::with_capacity(entry.size);
            // No more bytes than were taken from the budget.
            let mut reader = flate2::read::DeflateDecoder::new(data).take(entry.size as u64);
            let read = reader.read_to_end(&mut inflated);
            read.map_err(|_| damaged(&format!("'{name}' does not inflate")))?;
            Cow::Owned(inflated)
        } else {
            Cow::Borrowed(data)
        };
        if data.len() != entry.size {
            return Err(damaged(&format!("'{name}' is not as long as it should be")));
        }
        if self.has_checksums && crc32fast::hash(&data) != entry.crc {
            return Err(damaged(&format!("the checksum of '{name}' is wrong")));
        }
        Ok(Some(data))
    }
}

struct Directory {
    bytes: Range<usize>,
    count: usize,
}

/// Checks that a large file that starts as an archive ends as one.
pub(crate) fn look(file: &mut File, size: u64) -> Result<()> {
    let read = |file: &mut File, from, most| {
        let mut bytes = Vec::new();
        file.seek(from)?;
        file.take(most).read_to_end(&mut bytes)?;
        io::Result::Ok(bytes)
    };
    let start = read(file, SeekFrom::Start(0), 2).map_err(FormatErrorKind::from_read)?;
    if start != b"PK" {
        return Ok(());
    }
    let most = (END_LENGTH as u64 + u64::from(u16::MAX)).min(size);
    let tail = read(file, SeekFrom::Start(size - most), most);
    let tail = tail.map_err(FormatErrorKind::from_read)?;
    find_end(&tail).map(drop)
}

/// The offset of the end-of-central-directory record.
fn find_end(bytes: &[u8]) -> Result<usize> {
    let no_end = || damaged("it has no directory: it is truncated, or has trailing data");
    let last = bytes.len().checked_sub(END_LENGTH).ok_or_else(no_end)?;
    // A comment follows, whose length must fit.
    let is_end = |&at: &usize| {
        let comment = bytes.len() - at - END_LENGTH;
        bytes[at..].starts_with(&END.to_le_bytes())
            && bytes[at + 20..at + 22] == (comment as u16).to_le_bytes()
    };
    let first = last.saturating_sub(u16::MAX.into());
    (first..=last).rev().find(is_end).ok_or_else(no_end)
}

/// Finds the directory from the end of the file.
fn directory(bytes: &[u8]) -> Result<Directory> {
    let at = find_end(bytes)?;
    let mut end = Fields { bytes, position: at + 4 };
    let disks = [end.u16()?, end.u16()?];
    let mut counts = [u64::from(end.u16()?), u64::from(end.u16()?)];
    let (mut length, mut start) = (u64::from(end.u32()?), u64::from(end.u32()?));
    let mut end_of_directory = at;
    let locator = at.checked_sub(LOCATOR_64_LENGTH);
    let locator = locator.filter(|&l| bytes[l..].starts_with(&LOCATOR_64.to_le_bytes()));
    if let Some(locator) = locator {
        let mut fields = Fields { bytes, position: locator + 8 };
        end_of_directory = usize::try_from(fields.u64()?).unwrap_or(usize::MAX);
        if end_of_directory.checked_add(END_64_LENGTH).is_none_or(|end| end > locator) {
            return Err(damaged("its directory lies outside the file"));
        }
        let mut fields = Fields { bytes, position: end_of_directory };
        if fields.u32()? != END_64 {
            return Err(damaged("its directory is not where it should be"));
        }
        fields.skip(8 + 2 + 2 + 4 + 4)?;
        counts = [fields.u64()?, fields.u64()?];
        (length, start) = (fields.u64()?, fields.u64()?);
    }
    if disks != [0, 0] || counts[0] != counts[1] {
        return Err(damaged("it is one of several volumes"));
    }
    if start.checked_add(length) != Some(end_of_directory as u64) {
        return Err(damaged("its directory is not where it should be"));
    }
    let count = usize::try_from(counts[0]).unwrap_or(usize::MAX);
    Ok(Directory { bytes: start as usize..end_of_directory, count })
}

/// Reads an entry of the directory and its local header.
fn entry<'a>(fields: &mut Fields<'a>, directory: usize) -> Result<Entry<'a>> {
    if fields.u32()? != CENTRAL {
        return Err(damaged("its directory is malformed"));
    }
    fields.skip(4)?;
    let (flags, method) = (fields.u16()?, fields.u16()?);
    fields.skip(4)?;
    let crc = fields.u32()?;
    let (mut packed, mut size) = (u64::from(fields.u32()?), u64::from(fields.u32()?));
    let [name, extra, comment] = [fields.u16()?, fields.u16()?, fields.u16()?].map(usize::from);
    fields.skip(8)?;
    let mut header = u64::from(fields.u32()?);
    let raw_name = fields.slice(name)?;
    let name = str::from_utf8(raw_name).map_err(|_| damaged("a name is not UTF-8"))?;
    let mut extra = Fields { bytes: fields.slice(extra)?, position: 0 };
    fields.skip(comment)?;
    while extra.position < extra.bytes.len() {
        let (id, length) = (extra.u16()?, extra.u16()?);
        let mut field = Fields { bytes: extra.slice(length.into())?, position: 0 };
        if id == 1 {
            // Only the values that do not fit above, in this order.
            for value in [&mut size, &mut packed, &mut header] {
                if *value == u64::from(u32::MAX) {
                    *value = field.u64()?;
                }
            }
        }
    }
    if flags & 1 != 0 {
        return Err(damaged("it is encrypted"));
    }
    let deflated = match method {
        STORED => false,
        DEFLATED => true,
        _ => return Err(damaged("it is compressed by another method than deflate")),
    };
    let outside = || damaged(&format!("'{name}' lies outside the file"));
    let header = usize::try_from(header).ok().filter(|&h| h < directory).ok_or_else(outside)?;
    let mut local = Fields { bytes: &fields.bytes[..directory], position: header };
    let differs = || damaged(&format!("'{name}' has two different headers"));
    if local.u32()? != LOCAL {
        return Err(differs());
    }
    local.skip(4)?;
    let local_method = local.u16()?;
    local.position = header + LOCAL_LENGTH - 4;
    let (local_name, local_extra) = (local.u16()?, local.u16()?);
    if local_method != method || local.slice(local_name.into())? != raw_name {
        return Err(differs());
    }
    local.skip(local_extra.into())?;
    let start = local.position;
    let packed = usize::try_from(packed).map_err(|_| outside())?;
    let end = start.checked_add(packed).filter(|&end| end <= directory).ok_or_else(outside)?;
    let size = usize::try_from(size).map_err(|_| outside())?;
    Ok(Entry { name, deflated, crc, data: start..end, size, header })
}

/// Reads little-endian fields.
struct Fields<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Fields<'a> {
    fn slice(&mut self, length: usize) -> Result<&'a [u8]> {
        let slice = self.bytes.get(self.position..).and_then(|rest| rest.get(..length));
        self.position += length;
        slice.ok_or_else(|| damaged("it ends too early"))
    }

    fn skip(&mut self, length: usize) -> Result<()> {
        self.slice(length).map(drop)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        Ok(self.slice(N)?.try_into().expect("as many bytes as were asked for"))
    }

    fn u16(&mut self) -> Result<u16> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Result<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64> {
        self.array().map(u64::from_le_bytes)
    }
}

fn damaged(why: &str) -> FormatErrorKind {
    FormatErrorKind::Zip(why.to_owned())
}
