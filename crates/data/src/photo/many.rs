//! Many photos at once, within a bound on memory.

use std::{
    path::{Path, PathBuf},
    sync::{
        Condvar, Mutex, MutexGuard,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use resnet_network::preprocess::Preparation;

use super::{
    PhotoError, PhotoFileError,
    decode::{Header, all, open},
    limits::{BYTES_PER_PIXEL, MAX_PIXELS},
};

/// What all photos may take together while they are decoded: as much as the largest one.
const BUDGET: u64 = BYTES_PER_PIXEL * MAX_PIXELS;
/// Of files with more bytes only one is in memory at a time.
const LARGE_FILE: u64 = 8 << 20;

/// Decodes and prepares photos on so many threads, in order.
///
/// Together they take at most 1.5 GiB for pixels, 256 MiB for a large file and 16 MiB a thread for
/// others; the results, [`Preparation::image_len`] bytes each, come on top.
///
/// # Panics
/// If `threads` is 0.
pub fn prepare(
    paths: &[PathBuf],
    preparation: Preparation,
    threads: usize,
) -> Vec<Result<Vec<u8>, PhotoFileError>> {
    assert!(threads > 0, "at least one thread");
    let (next, gate) = (AtomicUsize::new(0), Gate::default());
    let work = || {
        let mut done = Vec::new();
        while let Some((index, path)) = {
            let index = next.fetch_add(1, Ordering::Relaxed);
            paths.get(index).map(|path| (index, path))
        } {
            let photo = one(path, preparation, &gate);
            done.push((index, photo.map_err(|error| PhotoFileError { path: path.clone(), error })));
        }
        done
    };
    let mut done = thread::scope(|scope| {
        let others: Vec<_> = (1..threads.min(paths.len())).map(|_| scope.spawn(work)).collect();
        let mut done = work();
        for other in others {
            done.extend(other.join().expect("a thread that decodes does not panic"));
        }
        done
    });
    done.sort_by_key(|&(index, _)| index);
    done.into_iter().map(|(_, photo)| photo).collect()
}

fn one(path: &Path, preparation: Preparation, gate: &Gate) -> Result<Vec<u8>, PhotoError> {
    let (file, len) = open(path)?;
    let _alone = len.is_none_or(|len| len > LARGE_FILE).then(|| gate.large_file());
    let bytes = all(file)?;
    let header = Header::read(&bytes)?;
    let _pass = gate.enter(header.cost());
    let photo = header.decode(preparation.channels == 1)?;
    photo.prepare(preparation)
}

/// Lets photos in while there is memory for them.
#[derive(Default)]
struct Gate {
    large: Mutex<()>,
    used: Mutex<u64>,
    freed: Condvar,
}

/// A place within the budget.
struct Pass<'a> {
    gate: &'a Gate,
    cost: u64,
}

const HEALTHY: &str = "nothing panics while it holds the lock";

impl Gate {
    fn large_file(&self) -> MutexGuard<'_, ()> {
        self.large.lock().expect(HEALTHY)
    }

    /// Waits until the budget has room.
    fn enter(&self, cost: u64) -> Pass<'_> {
        let used = self.used.lock().expect(HEALTHY);
        let full = |used: &mut u64| *used + cost > BUDGET;
        let mut used = self.freed.wait_while(used, full).expect(HEALTHY);
        *used += cost;
        Pass { gate: self, cost }
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        *self.gate.used.lock().expect(HEALTHY) -= self.cost;
        self.gate.freed.notify_all();
    }
}
