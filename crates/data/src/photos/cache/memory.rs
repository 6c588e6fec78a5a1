//! The cache in memory.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard},
};

use super::Key;
use crate::photo::Photo;

/// Prepared photos in memory, the first ones up to a number of bytes. Nothing is dropped for others:
/// an epoch reads every photo once, so that what is kept longest is as good as anything.
#[derive(Debug)]
pub(crate) struct Memory {
    most: u64,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    photos: HashMap<Key, Arc<Photo>>,
    bytes: u64,
}

impl Memory {
    pub(super) fn new(most: u64) -> Memory {
        Memory { most, kept: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().expect("nothing panics while it holds the lock")
    }

    pub(super) fn get(&self, key: &Key) -> Option<Arc<Photo>> {
        self.lock().photos.get(key).cloned()
    }

    pub(super) fn put(&self, key: &Key, photo: &Arc<Photo>) {
        let mut kept = self.lock();
        let bytes = kept.bytes + photo.pixels.len() as u64;
        if bytes <= self.most && kept.photos.insert(*key, photo.clone()).is_none() {
            kept.bytes = bytes;
        }
    }
}
