//! Writes archives as PyTorch does: entries are stored and aligned.

use std::io::{self, Write};

use super::{CENTRAL, END, LOCAL, STORED};

/// `torch.load(mmap=True)` maps storages in place.
const ALIGNMENT: u64 = 64;
/// The extra field that PyTorch pads with.
const PADDING_ID: [u8; 2] = *b"FB";
const VERSION: u16 = 20;
const UTF8: u16 = 1 << 11;
/// 1 January 1980, so that equal input gives equal bytes.
const TIME_AND_DATE: u32 = 0x0021_0000;

/// Writes the contents of an entry. It is called twice, first to measure.
type Entry<'a> = dyn Fn(&mut dyn Write) -> io::Result<()> + 'a;

/// Writes an archive, front to back.
pub(crate) struct Writer<'a> {
    out: &'a mut dyn Write,
    position: u64,
    directory: Vec<u8>,
    entries: u16,
    /// The checksum of all entries' checksums.
    pub(crate) checksum: crc32fast::Hasher,
}

impl<'a> Writer<'a> {
    pub(crate) fn new(out: &'a mut dyn Write) -> Self {
        Writer {
            out,
            position: 0,
            directory: Vec::new(),
            entries: 0,
            checksum: crc32fast::Hasher::new(),
        }
    }

    /// Adds an entry.
    pub(crate) fn add(&mut self, name: &str, entry: &Entry<'_>) -> io::Result<()> {
        let mut meter = Meter::default();
        entry(&mut meter)?;
        let crc = meter.crc.finalize();
        self.checksum.update(&crc.to_le_bytes());
        let size = u32::try_from(meter.length).map_err(|_| too_large())?;
        let offset = u32::try_from(self.position).map_err(|_| too_large())?;
        self.entries = self.entries.checked_add(1).ok_or_else(too_large)?;

        // The fields that the local header and the directory share.
        let mut common = Vec::new();
        for field in [VERSION, UTF8, STORED] {
            common.extend(field.to_le_bytes());
        }
        for field in [TIME_AND_DATE, crc, size, size] {
            common.extend(field.to_le_bytes());
        }
        common.extend((name.len() as u16).to_le_bytes());

        let mut header = LOCAL.to_le_bytes().to_vec();
        header.extend(&common);
        let unpadded = self.position + (header.len() + 2 + name.len() + 4) as u64;
        let padding = (unpadded.next_multiple_of(ALIGNMENT) - unpadded) as u16;
        header.extend((padding + 4).to_le_bytes());
        header.extend(name.as_bytes());
        header.extend(PADDING_ID);
        header.extend(padding.to_le_bytes());
        header.resize(header.len() + usize::from(padding), b'Z');
        self.out.write_all(&header)?;
        entry(self.out)?;
        self.position += header.len() as u64 + u64::from(size);

        self.directory.extend(CENTRAL.to_le_bytes());
        self.directory.extend(VERSION.to_le_bytes());
        self.directory.extend(&common);
        // No extra field, no comment, first disk, no attributes.
        self.directory.extend([0; 2 + 2 + 2 + 2 + 4]);
        self.directory.extend(offset.to_le_bytes());
        self.directory.extend(name.as_bytes());
        Ok(())
    }

    /// Adds an entry of these bytes.
    pub(crate) fn add_bytes(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.add(name, &|out| out.write_all(bytes))
    }

    /// Writes the directory.
    pub(crate) fn finish(self) -> io::Result<()> {
        let start = u32::try_from(self.position).map_err(|_| too_large())?;
        self.out.write_all(&self.directory)?;
        let mut end = END.to_le_bytes().to_vec();
        for field in [0, 0, self.entries, self.entries] {
            end.extend(field.to_le_bytes());
        }
        end.extend((self.directory.len() as u32).to_le_bytes());
        end.extend(start.to_le_bytes());
        end.extend([0; 2]);
        self.out.write_all(&end)
    }
}

fn too_large() -> io::Error {
    io::Error::new(io::ErrorKind::FileTooLarge, "more than 4 GB, or 65,535 tensors")
}

/// Measures the length and the checksum of its input.
#[derive(Default)]
struct Meter {
    crc: crc32fast::Hasher,
    length: u64,
}

impl Write for Meter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.crc.update(bytes);
        self.length += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
