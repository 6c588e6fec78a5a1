//! Prepared photos of earlier epochs, so that they are not decoded again.

mod disk;
mod key;
mod memory;
mod segment;

use std::{path::PathBuf, sync::Arc};

use resnet_formats::Shown;

use crate::photo::Photo;

use disk::Disk;
pub(super) use key::Key;
use memory::Memory;

/// Where prepared photos are kept, and how many bytes of them at most.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CacheOptions {
    /// Nowhere: every epoch decodes every photo.
    None,
    /// In memory, while the program runs.
    Memory {
        /// The most bytes.
        bytes: u64,
    },
    /// In a folder, for later runs too.
    Disk {
        /// The folder.
        folder: PathBuf,
        /// The most bytes of all files in it.
        bytes: u64,
    },
}

/// A cache of prepared photos. It never fails: what it cannot keep is decoded again.
#[derive(Debug)]
pub(crate) enum Cache {
    None,
    Memory(Memory),
    Disk(Disk),
}

impl Cache {
    pub(super) fn open(options: &CacheOptions, note: &mut dyn FnMut(String)) -> Cache {
        match options {
            CacheOptions::None => Cache::None,
            CacheOptions::Disk { folder, bytes } => {
                Disk::open(folder, *bytes).map_or_else(
                    |error| {
                        note(format!(
                            "the cache in {} cannot be used ({error}): photos are decoded in every epoch \
                             (--cache)",
                            folder.shown()
                        ));
                        Cache::None
                    },
                    Cache::Disk,
                )
            }
            CacheOptions::Memory { bytes } => Cache::Memory(Memory::new(*bytes)),
        }
    }

    pub(super) fn get(&self, key: &Key) -> Option<Arc<Photo>> {
        match self {
            Cache::None => None,
            Cache::Memory(memory) => memory.get(key),
            Cache::Disk(disk) => disk.get(key),
        }
    }

    pub(super) fn put(&self, key: &Key, photo: &Arc<Photo>) {
        match self {
            Cache::None => {}
            Cache::Memory(memory) => memory.put(key, photo),
            Cache::Disk(disk) => disk.put(key, photo),
        }
    }

    /// Messages since the last call.
    pub(super) fn take_notes(&self) -> Vec<String> {
        match self {
            Cache::None | Cache::Memory(_) => Vec::new(),
            Cache::Disk(disk) => disk.take_notes(),
        }
    }
}
