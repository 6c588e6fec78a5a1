//! Decodes photos in parallel, within a memory budget.

use std::{
    io::Read,
    ops::Range,
    path::{Path, PathBuf},
    sync::{
        Condvar, Mutex, MutexGuard,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use resnet_network::preprocess::Preparation;

use crate::Images;

use super::{
    Photo, PhotoError, PhotoFileError,
    decode::{Header, all, open},
    limits::{BYTES_PER_PIXEL, MAX_PIXELS},
    memory::with_capacity,
};

/// Bytes that all photos together may need while they are decoded: those of the largest photo.
const BUDGET: u64 = BYTES_PER_PIXEL * MAX_PIXELS;
/// Of the files above this size, only one is in memory at a time.
const LARGE_FILE: u64 = 8 << 20;

/// Decodes and prepares photos on several threads. The results are in the order of `paths`.
///
/// Together the photos need at most 1.5 GiB for pixels, 256 MiB for a large file and 16 MiB per
/// thread for other files; the results need [`Preparation::image_len`] bytes each in addition.
///
/// # Panics
/// If `threads` is 0.
pub fn prepare(
    paths: &[PathBuf],
    preparation: Preparation,
    threads: usize,
) -> Vec<Result<Vec<u8>, PhotoFileError>> {
    let budget = MemoryBudget::default();
    map(0..paths.len(), threads, |index| {
        let path = &paths[index];
        let photo = one(path, preparation, &budget);
        photo.map_err(|error| PhotoFileError { path: path.clone(), error })
    })
}

/// What `work` makes of each number of a range, in order, on several threads.
///
/// # Panics
/// If `threads` is 0.
pub(crate) fn map<T: Send>(
    range: Range<usize>,
    threads: usize,
    work: impl Fn(usize) -> T + Sync,
) -> Vec<T> {
    assert!(threads > 0, "at least one thread");
    let next = AtomicUsize::new(range.start);
    let thread = || {
        let mut done = Vec::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= range.end {
                break done;
            }
            done.push((index, work(index)));
        }
    };
    let mut done = thread::scope(|scope| {
        let others: Vec<_> = (1..threads.min(range.len())).map(|_| scope.spawn(thread)).collect();
        let mut done = thread();
        for other in others {
            done.extend(other.join().expect("decoding does not panic"));
        }
        done
    });
    done.sort_by_key(|&(index, _)| index);
    done.into_iter().map(|(_, made)| made).collect()
}

/// Prepares `pixels` of some of the images of a data set as [`prepare`] prepares photos, on several
/// threads.
///
/// # Errors
/// If the memory cannot be allocated.
///
/// # Panics
/// If `threads` is 0, or the images are in colour and one channel is wanted.
pub fn prepare_images(
    images: &Images,
    pixels: &[u8],
    preparation: Preparation,
    threads: usize,
) -> Result<Vec<u8>, PhotoError> {
    let Images { height, width, channels, .. } = *images;
    let len = height * width * channels;
    let mut out = with_capacity(pixels.len() / len * preparation.image_len())?;
    out.resize(out.capacity(), 0);
    let share = (pixels.len() / len).div_ceil(threads).max(1);
    let ours = out.chunks_mut(share * preparation.image_len());
    thread::scope(|scope| {
        let work = |(pixels, out): (&[u8], &mut [u8])| {
            let images = pixels.chunks_exact(len);
            for (image, out) in images.zip(out.chunks_exact_mut(preparation.image_len())) {
                let photo = Photo { height, width, channels, pixels: image.to_vec() };
                out.copy_from_slice(&photo.prepare(preparation)?);
            }
            Ok::<(), PhotoError>(())
        };
        let parts = pixels.chunks(share * len).zip(ours);
        let threads: Vec<_> = parts.map(|part| scope.spawn(move || work(part))).collect();
        threads.into_iter().try_for_each(|t| t.join().expect("resizing does not panic"))
    })?;
    Ok(out)
}

/// The images of a data set with `side` rows and columns: enlarged or shrunk as Pillow's `resize(BILINEAR)`,
/// on several threads.
///
/// # Errors
/// If the memory cannot be allocated.
///
/// # Panics
/// If `threads` is 0.
pub fn resize_images(images: &Images, side: usize, threads: usize) -> Result<Images, PhotoError> {
    let preparation = Preparation::new(side, None, images.channels);
    let pixels = prepare_images(images, &images.pixels, preparation, threads)?;
    Ok(Images { height: side, width: side, pixels, labels: images.labels.clone(), ..*images })
}

fn one(
    path: &Path,
    preparation: Preparation,
    budget: &MemoryBudget,
) -> Result<Vec<u8>, PhotoError> {
    let grey = preparation.channels == 1;
    with_photo(path, grey, budget, |_, photo| photo.prepare(preparation))
}

/// Reads and decodes a file within the budget, and calls `work` with its bytes and the photo.
pub(crate) fn with_photo<T>(
    path: &Path,
    grey: bool,
    budget: &MemoryBudget,
    work: impl FnOnce(&[u8], &Photo) -> Result<T, PhotoError>,
) -> Result<T, PhotoError> {
    let (file, len) = open(path)?;
    budget.decode(file, len, grey, None, |bytes, photo| work(bytes, &photo))
}

/// Limits the memory of the photos that are decoded at the same time.
#[derive(Debug)]
pub(crate) struct MemoryBudget {
    /// Bytes that all photos together may need.
    most: u64,
    large: Mutex<()>,
    line: Mutex<Line>,
    /// Bytes were freed, or the next thread is the first in line.
    moved: Condvar,
}

/// Threads that wait for memory: it is given out in the order in which they came.
#[derive(Debug, Default)]
struct Line {
    /// Bytes that are given out.
    used: u64,
    /// The number of the next thread that comes.
    next: u64,
    /// The number of the thread that is first in line.
    first: u64,
}

/// Memory reserved from the budget until dropped.
pub(super) struct Reservation<'a> {
    budget: &'a MemoryBudget,
    cost: u64,
}

const NOT_POISONED: &str = "nothing panics while it holds the lock";

impl Default for MemoryBudget {
    fn default() -> Self {
        MemoryBudget::of(BUDGET)
    }
}

impl MemoryBudget {
    /// A budget of so many bytes.
    pub(super) fn of(most: u64) -> Self {
        MemoryBudget {
            most,
            large: Mutex::default(),
            line: Mutex::default(),
            moved: Condvar::new(),
        }
    }

    /// Decodes a file, whose length is known if it is a regular file, and makes something of its bytes and
    /// the photo.
    /// With `at_least`, a JPEG may be decoded in fewer pixels, if no side is below that many.
    pub(crate) fn decode<T>(
        &self,
        file: impl Read + 'static,
        len: Option<u64>,
        grey: bool,
        at_least: Option<usize>,
        then: impl FnOnce(&[u8], Photo) -> Result<T, PhotoError>,
    ) -> Result<T, PhotoError> {
        let _alone = len.is_none_or(|len| len > LARGE_FILE).then(|| self.large_file());
        let bytes = all(Box::new(file))?;
        let header = Header::read(&bytes, at_least, MAX_PIXELS)?;
        let _reservation = self.reserve(header.cost);
        then(&bytes, header.decode(grey)?)
    }

    fn large_file(&self) -> MutexGuard<'_, ()> {
        self.large.lock().expect(NOT_POISONED)
    }

    /// Waits until `cost` bytes are free, and nobody waits who came before: else a large photo would wait as
    /// long as small ones come.
    pub(super) fn reserve(&self, cost: u64) -> Reservation<'_> {
        let mut line = self.line.lock().expect(NOT_POISONED);
        let number = line.next;
        line.next += 1;
        let waits = |line: &mut Line| line.first != number || line.used + cost > self.most;
        let mut line = self.moved.wait_while(line, waits).expect(NOT_POISONED);
        line.first += 1;
        line.used += cost;
        // There may be room for the next one too.
        self.moved.notify_all();
        Reservation { budget: self, cost }
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        self.budget.line.lock().expect(NOT_POISONED).used -= self.cost;
        self.budget.moved.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn memory_is_given_out_in_order() {
        let budget = MemoryBudget::of(10);
        let first = budget.reserve(4);
        let (sender, order) = channel();
        thread::scope(|scope| {
            // The large one waits for the first, and the small one, for which there is room, for the large one.
            for (number, cost) in [(1, 10), (2, 4)] {
                let (budget, sender) = (&budget, sender.clone());
                scope.spawn(move || {
                    let _reservation = budget.reserve(cost);
                    sender.send(cost).unwrap();
                });
                while budget.line.lock().unwrap().next <= number {
                    thread::yield_now();
                }
            }
            assert!(order.try_recv().is_err(), "nobody goes before the large one");
            drop(first);
            assert_eq!([order.recv().unwrap(), order.recv().unwrap()], [10, 4]);
        });
        assert_eq!(budget.line.lock().unwrap().used, 0);
    }
}
