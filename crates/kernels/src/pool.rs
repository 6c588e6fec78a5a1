//! A pool of threads that runs numbered items of work.
//!
//! Each thread begins with its own share of consecutive items. The share of the batch is the same
//! in every kernel, so that what a thread wrote in one kernel is in its cache for the next. A
//! thread that is done takes items from others (work stealing). Which thread runs an item changes
//! no bit: every item writes its own part of the output, and sums over items are cut by shape alone
//! and added in order.

use std::{
    cell::UnsafeCell,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle, Thread},
};

use crate::chunks::{DisjointChunks, Lend};

/// Polls before a waiting thread yields, some tens of microseconds: longer than the gap between two
/// kernels of a network, short enough that a busy machine does not lose a core to waiting.
const SPINS: usize = 4000;
/// Yields before it sleeps: to be woken takes as long as an item, and threads often end a kernel an
/// item apart. On an idle machine these are polls, on a busy one they leave the core to others.
const YIELDS: usize = 300;

/// The most threads, more than machines have processors.
pub(crate) const MOST_THREADS: usize = 4096;

type Work<'a> = dyn Fn(usize, usize) + Sync + 'a;

/// The job in hand.
#[derive(Clone)]
struct Job {
    work: *const Work<'static>,
    caller: Option<Thread>,
}

struct Shared {
    /// Counts jobs; a worker that sees it change reads `job`.
    epoch: AtomicUsize,
    job: UnsafeCell<Job>,
    /// What is left of each thread's share.
    shares: Box<[Share]>,
    /// Workers that have not finished the job in hand.
    busy: AtomicUsize,
    panicked: AtomicBool,
    quit: AtomicBool,
}

// SAFETY: `job` is written only by the thread that holds the pool's lock while no worker is busy,
// and read by workers only between the epoch's release and their own release of `busy`.
unsafe impl Sync for Shared {}
// SAFETY: the pointer in `job` is used only while the caller of `run` keeps its target alive.
unsafe impl Send for Shared {}

/// A fixed number of threads, the caller's among them.
pub(crate) struct Pool {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
    /// One job at a time.
    lock: Mutex<()>,
}

impl Pool {
    /// A pool of `threads` threads, at least one: the caller's, and others that wait.
    ///
    /// # Errors
    /// If the system refuses a thread, or they are more than [`MOST_THREADS`].
    pub(crate) fn new(threads: usize) -> io::Result<Self> {
        fn nothing(_: usize, _: usize) {}
        if threads > MOST_THREADS {
            return Err(io::Error::other(format!("{MOST_THREADS} at most")));
        }
        let shared = Arc::new(Shared {
            epoch: AtomicUsize::new(0),
            job: UnsafeCell::new(Job { work: &nothing, caller: None }),
            shares: (0..threads.max(1)).map(|_| Share::default()).collect(),
            busy: AtomicUsize::new(0),
            panicked: AtomicBool::new(false),
            quit: AtomicBool::new(false),
        });
        // Dropped on failure, which ends the threads that did start.
        let mut pool = Pool { shared, workers: Vec::new(), lock: Mutex::new(()) };
        for index in 1..threads {
            let shared = Arc::clone(&pool.shared);
            let thread = thread::Builder::new().name(format!("resnet-{index}"));
            pool.workers.push(thread.spawn(move || shared.serve(index))?);
        }
        Ok(pool)
    }

    /// Number of threads.
    pub(crate) fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Runs `work(thread, item)` for every item from 0 to `items - 1`, each once, and returns
    /// when all are done. Threads are numbered from 0 to `threads - 1`; two items that run at the
    /// same time have different ones. `work` must not call `run` of the same pool.
    ///
    /// # Panics
    /// If an item panics, or there are 2^32 items or more.
    pub(crate) fn run(&self, items: usize, work: &(dyn Fn(usize, usize) + Sync)) {
        assert!(items <= u32::MAX as usize, "too many items");
        if self.workers.is_empty() || items <= 1 {
            (0..items).for_each(|item| work(0, item));
            return;
        }
        let guard = self.lock.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let shared = &*self.shared;
        // SAFETY: only the lifetime changes; this function returns after the last use.
        let work: &'static Work<'static> = unsafe { std::mem::transmute(work) };
        // SAFETY: no worker is busy, so none reads the job.
        unsafe { *shared.job.get() = Job { work, caller: Some(thread::current()) } };
        let threads = self.threads();
        for (i, share) in shared.shares.iter().enumerate() {
            share.set(i * items / threads, (i + 1) * items / threads);
        }
        shared.busy.store(self.workers.len(), Ordering::Relaxed);
        shared.epoch.fetch_add(1, Ordering::Release);
        self.workers.iter().for_each(|worker| worker.thread().unpark());
        let mine = catch_unwind(AssertUnwindSafe(|| shared.take_items(0, work)));
        wait_until(|| shared.busy.load(Ordering::Acquire) == 0);
        let failed = shared.panicked.swap(false, Ordering::Relaxed);
        drop(guard);
        if let Err(panic) = mine {
            std::panic::resume_unwind(panic);
        }
        assert!(!failed, "a worker thread panicked");
    }

    /// [`Pool::run`] that lends each item its chunk.
    pub(crate) fn run_chunks<L: Lend>(
        &self,
        items: usize,
        chunks: L,
        work: impl Fn(usize, L::Chunk) + Sync,
    ) {
        // SAFETY: each item runs once.
        self.run(items, &|_, item| work(item, unsafe { chunks.lend(item) }));
    }

    /// [`Pool::run_chunks`] that also lends `each` values of scratch, those of the thread. They are
    /// fewer where `scratch` is too short for all threads.
    pub(crate) fn run_scratch<L: Lend>(
        &self,
        items: usize,
        chunks: L,
        (scratch, each): (&mut [f32], usize),
        work: impl Fn(usize, L::Chunk, &mut [f32]) + Sync,
    ) {
        let scratch = DisjointChunks::new(scratch, each);
        self.run(items, &|thread, item| {
            // SAFETY: each item runs once, and items that run at the same time have different
            // threads; none can keep the scratch.
            let (chunk, own) = unsafe { (chunks.lend(item), scratch.get(thread)) };
            work(item, chunk, own);
        });
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.quit.store(true, Ordering::Relaxed);
        self.shared.epoch.fetch_add(1, Ordering::Release);
        for worker in self.workers.drain(..) {
            worker.thread().unpark();
            // A worker's panic was reported by `run`.
            let _ = worker.join();
        }
    }
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Pool({} threads)", self.threads())
    }
}

impl Shared {
    fn serve(&self, index: usize) {
        let mut seen = 0;
        loop {
            wait_until(|| self.epoch.load(Ordering::Acquire) != seen);
            seen += 1;
            if self.quit.load(Ordering::Relaxed) {
                return;
            }
            // SAFETY: the job was written before the epoch was released, and stays until this
            // worker releases `busy`.
            let job = unsafe { (*self.job.get()).clone() };
            // SAFETY: the caller of `run` keeps the closure alive until `busy` is zero.
            let work = unsafe { &*job.work };
            let done = catch_unwind(AssertUnwindSafe(|| self.take_items(index, work)));
            if done.is_err() {
                self.panicked.store(true, Ordering::Relaxed);
            }
            if self.busy.fetch_sub(1, Ordering::AcqRel) == 1
                && let Some(caller) = job.caller
            {
                caller.unpark();
            }
        }
    }

    fn take_items(&self, index: usize, work: &Work<'_>) {
        while let Some(item) = self.shares[index].first() {
            work(index, item);
        }
        let (before, after) = self.shares.split_at(index);
        for share in after.iter().chain(before) {
            while let Some(item) = share.last() {
                work(index, item);
            }
        }
    }
}

/// A range of items, taken one by one: from the front by its owner, from the back by others. On a
/// line of its own, with the one that the machine fetches along.
#[derive(Default)]
#[repr(align(128))]
struct Share(AtomicU64);

impl Share {
    fn set(&self, start: usize, end: usize) {
        debug_assert!(end <= u32::MAX as usize);
        self.0.store((start as u64) << 32 | end as u64, Ordering::Relaxed);
    }

    fn first(&self) -> Option<usize> {
        self.take(|start, end| (start + 1, end)).map(|(start, _)| start)
    }

    fn last(&self) -> Option<usize> {
        self.take(|start, end| (start, end - 1)).map(|(_, end)| end - 1)
    }

    /// Shrinks the range and returns what it was before, unless it was empty.
    fn take(&self, shrink: impl Fn(usize, usize) -> (usize, usize)) -> Option<(usize, usize)> {
        let split = |range: u64| ((range >> 32) as usize, range as u32 as usize);
        self.0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |range| {
                let (start, end) = split(range);
                (start < end).then(|| {
                    let (start, end) = shrink(start, end);
                    (start as u64) << 32 | end as u64
                })
            })
            .ok()
            .map(split)
    }
}

/// Polls for a while, yields for a while, then sleeps between wake-ups.
fn wait_until(ready: impl Fn() -> bool) {
    for _ in 0..SPINS {
        if ready() {
            return;
        }
        std::hint::spin_loop();
    }
    for _ in 0..YIELDS {
        if ready() {
            return;
        }
        thread::yield_now();
    }
    while !ready() {
        thread::park();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_runs_once() {
        for threads in [1, 2, 7] {
            let pool = Pool::new(threads).unwrap();
            for items in [0, 1, 2, 3, 100] {
                let counts: Vec<AtomicUsize> = (0..items).map(|_| AtomicUsize::new(0)).collect();
                pool.run(items, &|thread, item| {
                    assert!(thread < threads);
                    counts[item].fetch_add(1, Ordering::Relaxed);
                });
                assert!(counts.iter().all(|c| c.load(Ordering::Relaxed) == 1));
            }
        }
    }

    #[test]
    fn survives_thousands_of_jobs_and_sleep() {
        let pool = Pool::new(3).unwrap();
        let sum = AtomicUsize::new(0);
        for job in 0..5000 {
            pool.run(4, &|_, item| {
                sum.fetch_add(item, Ordering::Relaxed);
            });
            if job % 1000 == 0 {
                thread::sleep(std::time::Duration::from_millis(5));
            }
        }
        assert_eq!(sum.load(Ordering::Relaxed), 5000 * 6);
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_pool_lives_on() {
        let pool = Pool::new(2).unwrap();
        let run = || pool.run(8, &|_, item| assert_ne!(item, 5, "as planned"));
        assert!(catch_unwind(AssertUnwindSafe(run)).is_err());
        pool.run(8, &|_, _| {});
    }
}
