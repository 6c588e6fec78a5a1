//! Zip archives, as PyTorch writes them.
//!
//! A file of a stranger has to mean one thing to every reader. The zip crate takes the last of two
//! entries of one name without a word, and both it and rawzip take bytes before and behind the
//! archive, and a directory of another length than it says. Here an entry that is stored is a slice
//! of the file, and archives are written without seeking back.

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
