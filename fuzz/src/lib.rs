//! Counts what readers allocate, and holds them to their bound.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

struct Counting;

static NOW: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

// SAFETY: the system's allocator does all the work. A block that grows is, as by default, a new
// one beside the old.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        MOST.fetch_max(NOW.fetch_add(layout.size(), Relaxed) + layout.size(), Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Relaxed);
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Runs a reader on a file of so many bytes. The file itself counts.
///
/// # Panics
/// If more than eight times the file and 16 MiB is allocated at any time.
pub fn bounded<T>(file: usize, read: impl FnOnce() -> T) {
    let before = NOW.load(Relaxed);
    MOST.store(before, Relaxed);
    drop(read());
    let most = MOST.load(Relaxed) - before + file;
    assert!(most <= 8 * file + (16 << 20), "{most} bytes for a file of {file}");
}
