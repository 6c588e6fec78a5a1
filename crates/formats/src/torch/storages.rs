//! Storages: the bytes of which tensors are views.

use std::{borrow::Cow, collections::HashMap};

use super::Result;
use crate::{
    FormatErrorKind,
    budget::Budget,
    element_type::ElementType,
    pickle::{Id, Pickle},
    zip::Archive,
};

const PER_STORAGE: usize = 256;

/// A pickle's reference to a storage.
pub(super) struct StorageId<'p> {
    /// None if it is bytes, whose type is the tensor's.
    pub(super) dtype: Option<ElementType>,
    pub(super) key: &'p str,
    /// Number of elements.
    pub(super) count: usize,
    /// A part of the storage: start and length, in elements.
    pub(super) part: Option<(usize, usize)>,
}

impl<'p> StorageId<'p> {
    /// Reads `("storage", type, key, location, count[, (key, offset, count)])`. The location may be
    /// any device.
    pub(super) fn parse(pickle: &'p Pickle, id: Id) -> Option<Self> {
        let [tag, kind, key, _location, count, rest @ ..] = pickle.items(id)? else {
            return None;
        };
        if pickle.text(*tag) != Some("storage") {
            return None;
        }
        let dtype = match pickle.global(*kind)? {
            "torch.storage.UntypedStorage" | "torch.UntypedStorage" => None,
            name => Some(ElementType::of_storage(name)?),
        };
        let unsigned = |id| pickle.int(id).and_then(|value| usize::try_from(value).ok());
        let part = match rest.first().and_then(|&part| pickle.items(part)) {
            Some([_key, start, count]) => Some((unsigned(*start)?, unsigned(*count)?)),
            Some(_) => return None,
            None => None,
        };
        Some(StorageId { dtype, key: pickle.text(*key)?, count: unsigned(*count)?, part })
    }
}

/// All storages of a file.
pub(super) struct Storages<'a> {
    archive: Option<(Archive<'a>, &'a str)>,
    read: HashMap<String, Cow<'a, [u8]>>,
    pub(super) big_endian: bool,
}

impl<'a> Storages<'a> {
    pub(super) fn of_archive(archive: Archive<'a>, folder: &'a str, big_endian: bool) -> Self {
        Storages { archive: Some((archive, folder)), read: HashMap::new(), big_endian }
    }

    pub(super) fn of_legacy(storages: HashMap<String, &'a [u8]>) -> Self {
        let read = storages.into_iter().map(|(key, bytes)| (key, Cow::Borrowed(bytes))).collect();
        Storages { archive: None, read, big_endian: false }
    }

    /// The bytes of a storage.
    pub(super) fn get(&mut self, key: &str, budget: &mut Budget) -> Result<&[u8]> {
        // Many tensors may share a storage with a long name.
        budget.take(key.len())?;
        if let Some((archive, folder)) = &self.archive
            && !self.read.contains_key(key)
        {
            budget.take(PER_STORAGE + 2 * key.len())?;
            if let Some(bytes) = archive.read(&format!("{folder}data/{key}"), budget)? {
                self.read.insert(key.to_owned(), bytes);
            }
        }
        let missing =
            || FormatErrorKind::Pickle(format!("it refers to a missing storage {key:.50}"));
        self.read.get(key).map(|bytes| &**bytes).ok_or_else(missing)
    }
}
