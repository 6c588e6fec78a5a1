//! The legacy format of PyTorch before 1.6: pickles of a magic number, a version, the machine's
//! byte order and sizes, the object, and the storages' keys; then the storages, one after the
//! other.

use std::collections::HashMap;

use super::{
    Result,
    storages::{StorageId, Storages},
};
use crate::{
    FormatErrorKind,
    budget::Budget,
    element_type::ElementType,
    pickle::{self, Pickle, Value},
};

/// 0x1950a86a20f9469cfc6c, little-endian.
const MAGIC: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];
const VERSION: i64 = 1001;

const PER_STORAGE: usize = 256;

/// Reads the pickles and locates the storages.
pub(super) fn open<'a>(bytes: &'a [u8], budget: &mut Budget) -> Result<(Pickle<'a>, Storages<'a>)> {
    let not_torch = |what: &str| FormatErrorKind::NotTorch(what.into());
    let mut rest = bytes;
    let mut next = |budget: &mut Budget| -> Result<Pickle<'a>> {
        let pickle = pickle::load(rest, budget)?;
        rest = &rest[pickle.length..];
        Ok(pickle)
    };
    let magic = match bytes.first() {
        // Protocol 2 and later, which PyTorch has always used.
        Some(0x80) => next(budget)?,
        Some(_) if bytes.get(257..262) == Some(b"ustar") => {
            return Err(not_torch("a tar archive (which PyTorch before 0.1.10 wrote)"));
        }
        Some(_) => return Err(not_torch("neither a zip archive nor a pickle")),
        None => return Err(not_torch("empty")),
    };
    if *magic.get(magic.root) != Value::Long(&MAGIC) {
        return Err(not_torch("a pickle, but not of PyTorch"));
    }
    let version = next(budget)?;
    if version.int(version.root) != Some(VERSION) {
        return Err(not_torch("a PyTorch file of an unknown version"));
    }
    next(budget)?;
    let object = next(budget)?;
    let keys = next(budget)?;

    let mut sizes = HashMap::new();
    for value in object.values() {
        if let Value::Persistent(id) = value
            && let Some(storage) = StorageId::parse(&object, *id)
        {
            budget.take(PER_STORAGE + storage.key.len())?;
            let size = storage.dtype.map_or(1, ElementType::size);
            if *sizes.entry(storage.key).or_insert(size) != size {
                return Err(FormatErrorKind::Pickle("a storage is of two types".into()));
            }
        }
    }
    let truncated = || FormatErrorKind::Size { size: bytes.len() };
    let mut found = HashMap::new();
    let damaged = |why: &str| FormatErrorKind::Pickle(why.into());
    for &key in keys.items(keys.root).ok_or_else(|| damaged("it lists no storages"))? {
        let key = keys.text(key).ok_or_else(|| damaged("a storage has no name"))?;
        let size = sizes.get(key).ok_or_else(|| damaged("a storage is in no tensor"))?;
        budget.take(PER_STORAGE + key.len())?;
        let (count, data) = rest.split_first_chunk().ok_or_else(truncated)?;
        let count = usize::try_from(i64::from_le_bytes(*count)).map_err(|_| truncated())?;
        let length = count.checked_mul(*size).ok_or_else(truncated)?;
        let (data, tail) = data.split_at_checked(length).ok_or_else(truncated)?;
        rest = tail;
        if found.insert(key.to_owned(), data).is_some() {
            return Err(damaged("two storages have one name"));
        }
    }
    if !rest.is_empty() {
        return Err(truncated());
    }
    Ok((object, Storages::of_legacy(found)))
}
