//! Checksums in hexadecimal.

use std::{io::Read, path::Path};

use md5::{Digest, Md5};
use sha2::Sha256;

use crate::DataError;

/// Bytes read or written at a time.
pub(crate) const CHUNK: usize = 1 << 16;

/// A published checksum, in hexadecimal.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Checksum<'a> {
    /// The MD5.
    Md5(&'a str),
    /// The SHA-256, or its first digits.
    Sha256(&'a str),
}

impl Checksum<'_> {
    /// Compares it with that of the first `limit` bytes of a file, and returns how they differ, if they do.
    /// `tick` as in [`file_digest`].
    pub(crate) fn difference(
        self,
        path: &Path,
        limit: u64,
        tick: impl FnMut(u64) -> Result<(), DataError>,
    ) -> Result<Option<String>, DataError> {
        let (what, expected, mut got) = match self {
            Checksum::Md5(expected) => ("MD5", expected, file_digest::<Md5>(path, limit, tick)?),
            Checksum::Sha256(expected) => {
                ("SHA-256", expected, file_digest::<Sha256>(path, limit, tick)?)
            }
        };
        got.truncate(expected.len());
        Ok((got != expected).then(|| format!("expected {what} {expected}, got {got}")))
    }
}

/// The checksum of the first `limit` bytes of a file. `tick` gets the number of bytes done, and its
/// error stops the computation.
pub(crate) fn file_digest<D: Digest>(
    path: &Path,
    limit: u64,
    mut tick: impl FnMut(u64) -> Result<(), DataError>,
) -> Result<String, DataError> {
    let mut file = resnet_formats::open(path).map_err(DataError::io("read", path))?.take(limit);
    let (mut hasher, mut chunk, mut done) = (D::new(), vec![0; CHUNK], 0);
    loop {
        let n = file.read(&mut chunk).map_err(DataError::io("read", path))?;
        if n == 0 {
            return Ok(hex(&hasher.finalize()));
        }
        hasher.update(&chunk[..n]);
        done += n as u64;
        tick(done)?;
    }
}

/// The checksum of bytes in memory.
pub(crate) fn digest<D: Digest>(bytes: &[u8]) -> String {
    hex(&D::digest(bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
