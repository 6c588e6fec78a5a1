//! Writes NumPy's `.npy` format.

use std::io;

use crate::{Data, Destination, atomic_write};

/// Writes a float32 array in row-major order, atomically.
///
/// ```
/// # let dir = tempfile::tempdir().unwrap();
/// # let path = dir.path().join("x.npy");
/// resnet_formats::npy::write(&path, &[1, 2], &[0.5, 2.0]).unwrap();
/// let bytes = std::fs::read(&path).unwrap();
/// assert!(bytes.starts_with(b"\x93NUMPY\x01\x00"));
/// assert_eq!(bytes.len(), 128 + 2 * 4);
/// ```
///
/// # Errors
/// As [`atomic_write`].
///
/// # Panics
/// If the shape does not fit the number of values.
pub fn write<'p>(
    destination: impl Into<Destination<'p>>,
    shape: &[usize],
    values: &[f32],
) -> io::Result<()> {
    assert_eq!(shape.iter().product::<usize>(), values.len(), "shape and values disagree");
    let extents: String = shape.iter().map(|extent| format!("{extent}, ")).collect();
    let mut header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({extents}), }}");
    // The values start at a multiple of 64 bytes, behind a line feed.
    let length = (START.len() + 2 + header.len() + 1).next_multiple_of(64) - START.len() - 2;
    header += &" ".repeat(length - header.len() - 1);
    header.push('\n');
    let data = Data::F32(values.to_vec());
    atomic_write(destination, |file| {
        file.write_all(START)?;
        file.write_all(&(length as u16).to_le_bytes())?;
        file.write_all(header.as_bytes())?;
        data.write(file)
    })
}

/// The magic string and version 1.0.
const START: &[u8] = b"\x93NUMPY\x01\x00";
