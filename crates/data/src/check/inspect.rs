//! Reads and decodes every photo once.

use std::{
    ops::ControlFlow,
    path::{Path, PathBuf},
    sync::{
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc,
    },
    thread,
};

use sha2::{Digest, Sha256};

use super::{
    result::SINGLE_COLOUR,
    similar::{COLUMNS, GREY, ROWS, SIDE, difference_hash},
};
use crate::{
    DataError, PhotoSetError,
    photo::{Axis, Interpolation, MemoryBudget, Photo, PhotoError, luma, resize, with_photo},
};

/// What is kept of a photo.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    /// The first half of the SHA-256 of its file.
    pub(super) digest: [u8; 16],
    pub(super) width: u32,
    pub(super) height: u32,
    /// Its difference hash.
    pub(super) hash: u64,
    /// The photo in 16x16 grey pixels, row by row.
    pub(super) grey: [u8; GREY],
    /// Whether it is of a single colour.
    pub(super) is_plain: bool,
}

impl Facts {
    pub(super) fn shorter(&self) -> u32 {
        self.width.min(self.height)
    }
}

/// Photos by index, none for those that cannot be used; and these, with the reasons.
type Inspected = (Vec<Option<Facts>>, Vec<(usize, String)>);

/// Inspects `n` photos on several threads.
pub(super) fn inspect_all(
    n: usize,
    path: &(dyn Fn(usize) -> PathBuf + Sync),
    threads: usize,
    progress: &mut dyn FnMut(usize) -> ControlFlow<()>,
) -> Result<Inspected, DataError> {
    assert!(threads > 0, "at least one thread");
    let (next, stop, budget) =
        (AtomicUsize::new(0), AtomicBool::new(false), MemoryBudget::default());
    let (sender, results) = mpsc::sync_channel(256);
    let work = |sender: mpsc::SyncSender<_>| {
        while !stop.load(Ordering::Relaxed) {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= n || sender.send((index, inspect(&path(index), &budget))).is_err() {
                return;
            }
        }
    };
    let (mut facts, mut errors) = (vec![None; n], Vec::new());
    thread::scope(|scope| {
        for _ in 0..threads.min(n) {
            let sender = sender.clone();
            scope.spawn(|| work(sender));
        }
        drop(sender);
        for (done, (index, result)) in (1..).zip(results) {
            match result {
                Ok(found) => facts[index] = Some(found),
                Err(error) => errors.push((index, error.to_string())),
            }
            if progress(done).is_break() {
                stop.store(true, Ordering::Relaxed);
                return Err(DataError::from(PhotoSetError::Stopped));
            }
        }
        Ok(())
    })?;
    Ok((facts, errors))
}

fn inspect(path: &Path, budget: &MemoryBudget) -> Result<Facts, PhotoError> {
    with_photo(path, false, budget, |bytes, photo| {
        let digest = Sha256::digest(bytes);
        Ok(Facts {
            digest: std::array::from_fn(|i| digest[i]),
            width: photo.width as u32,
            height: photo.height as u32,
            hash: difference_hash(&grey(photo, COLUMNS, ROWS)?),
            grey: grey(photo, SIDE, SIDE)?,
            is_plain: is_plain(photo),
        })
    })
}

/// The photo in few grey pixels: the means of areas.
fn grey<const N: usize>(photo: &Photo, columns: usize, rows: usize) -> Result<[u8; N], PhotoError> {
    let axis =
        |len, resized: usize| Axis::new(Interpolation::Box, len, resized as u64, 0..resized as u64);
    let (rows, columns) = (axis(photo.height, rows), axis(photo.width, columns));
    let small = resize(&photo.pixels, photo.width, photo.channels, &rows, &columns)?;
    Ok(std::array::from_fn(|i| match small[i * photo.channels..][..photo.channels] {
        [r, g, b] => luma([r, g, b]),
        _ => small[i],
    }))
}

/// Whether no channel varies by more than [`SINGLE_COLOUR`].
fn is_plain(photo: &Photo) -> bool {
    let (mut low, mut high) = ([u8::MAX; 3], [0; 3]);
    for pixel in photo.pixels.chunks_exact(photo.channels) {
        for (i, &value) in pixel.iter().enumerate() {
            low[i] = low[i].min(value);
            high[i] = high[i].max(value);
        }
    }
    (0..photo.channels).all(|i| high[i] - low[i] <= SINGLE_COLOUR)
}
