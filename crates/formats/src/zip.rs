//! Zip archives, as PyTorch writes them.
//!
//! An untrusted file must have one meaning for all readers. The zip crate silently takes the last
//! of two entries with one name. Both it and rawzip accept bytes before and after the archive, and
//! a directory of another length than stated. Here all of these are errors. A stored entry is a
//! slice of the file, and archives are written without seeking.

mod read;
mod write;

pub(crate) use read::{Archive, look};
pub(crate) use write::Writer;

const LOCAL: u32 = 0x0403_4b50;
const CENTRAL: u32 = 0x0201_4b50;
const END: u32 = 0x0605_4b50;
const END_64: u32 = 0x0606_4b50;
const LOCATOR_64: u32 = 0x0706_4b50;

const STORED: u16 = 0;
const DEFLATED: u16 = 8;

#[cfg(test)]
mod tests;
