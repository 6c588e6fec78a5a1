//! Checksums in hexadecimal.

use std::{io::Read, path::Path};

use md5::Digest;

use crate::DataError;

/// Bytes read or written at a time.
pub(crate) const CHUNK: usize = 1 << 16;

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
