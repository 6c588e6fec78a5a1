//! Threads that make the images of an epoch, in order.

use std::{
    any::Any,
    collections::HashMap,
    io,
    panic::{self, AssertUnwindSafe, catch_unwind},
    sync::{Condvar, Mutex, MutexGuard, mpsc},
    thread,
};

use crate::{
    DataError, Epoch,
    epoch::Output,
    plan::{Plan, PlannedBatch},
};

/// Why there is no image.
pub(super) enum Unusable {
    /// The photo was reported.
    Skipped,
    /// There is no use in going on.
    Lost(DataError),
}

/// Makes images on several threads.
pub(super) trait Work: Send + Sync + 'static {
    /// Memory that a thread keeps from image to image.
    type Scratch: Default;

    /// Writes the image of this draw, `[side][side][channels]`.
    fn make(
        &self,
        draw: usize,
        side: usize,
        scratch: &mut Self::Scratch,
        out: &mut Vec<u8>,
    ) -> Result<(), Unusable>;

    /// The class of a draw's image.
    fn label(&self, draw: usize) -> u32;
}

/// Starts an epoch whose images `workers` threads make. What they make does not depend on how many they
/// are. Images that cannot be made are missing in their batch, which may be empty. An epoch without any
/// ends in [`DataError::NoneUsable`].
///
/// # Errors
/// If no thread can be started.
pub(super) fn start(
    plan: Plan,
    usual_side: usize,
    workers: usize,
    work: impl Work,
) -> io::Result<Epoch> {
    Epoch::start(plan.len(), move |output| run(&plan, usual_side, workers, &work, output))
}

type Made = thread::Result<Result<Vec<u8>, Unusable>>;

fn run(plan: &Plan, usual_side: usize, workers: usize, work: &impl Work, output: &Output) {
    let order = plan.order();
    let queue = Queue::new(order.len(), 4 * workers);
    let (done, made) = mpsc::channel();
    let make = |done: mpsc::Sender<(usize, Made)>| {
        let mut scratch = Default::default();
        while let Some((position, mut pixels)) = queue.take() {
            let side = plan.side_at(position).unwrap_or(usual_side);
            let attempt = || {
                pixels.clear();
                work.make(order[position], side, &mut scratch, &mut pixels).map(|()| pixels)
            };
            if done.send((position, catch_unwind(AssertUnwindSafe(attempt)))).is_err() {
                break;
            }
        }
    };
    thread::scope(|scope| {
        // However this ends, the threads must.
        let _end = EndOf(&queue);
        let threads: Vec<_> = (0..workers)
            .map(|_| {
                let (done, make) = (done.clone(), &make);
                let thread = thread::Builder::new().name("photos".to_owned());
                thread.spawn_scoped(scope, move || make(done))
            })
            .collect();
        drop(done);
        // Fewer threads than asked for are slower, but enough.
        if threads.iter().all(Result::is_err) {
            let error = threads.into_iter().find_map(Result::err);
            return error.into_iter().for_each(|error| output.fail(DataError::Threads(error)));
        }
        let mut early = HashMap::new();
        let mut next = |position: usize| -> Option<Made> {
            while !early.contains_key(&position) {
                let (position, made) = made.recv().ok()?;
                early.insert(position, made);
            }
            early.remove(&position)
        };
        let mut images = 0;
        for PlannedBatch { positions, side, whole } in plan.batches() {
            let mut batch = output.batch();
            batch.whole = whole;
            (batch.height, batch.width) = (side.unwrap_or(usual_side), side.unwrap_or(usual_side));
            batch.pixels.clear();
            batch.labels.clear();
            batch.draws.clear();
            for position in positions.clone() {
                let image = order[position];
                let Some(made) = next(position) else { return };
                queue.advance(position + 1);
                match made.unwrap_or_else(|cause: Box<dyn Any + Send>| panic::resume_unwind(cause))
                {
                    Ok(pixels) => {
                        batch.pixels.extend_from_slice(&pixels);
                        batch.labels.push(work.label(image));
                        batch.draws.push(image);
                        queue.recycle(pixels);
                    }
                    Err(Unusable::Skipped) => {}
                    Err(Unusable::Lost(error)) => return output.fail(error),
                }
            }
            images += batch.labels.len();
            // The rest of an epoch may be few photos, all of it is not.
            if images == 0 && plan.is_whole() && positions.end == order.len() {
                return output.fail(DataError::NoneUsable { photos: order.len() });
            }
            if !output.send(batch) {
                return; // the epoch was dropped
            }
        }
    });
}

/// Positions to make, handed out in order and not far ahead of the batches.
struct Queue {
    state: Mutex<State>,
    changed: Condvar,
    end: usize,
    /// How far the threads may be ahead.
    window: usize,
}

struct State {
    next: usize,
    done: usize,
    ended: bool,
    /// Memory for images.
    spare: Vec<Vec<u8>>,
}

/// Ends a queue when it is dropped.
struct EndOf<'a>(&'a Queue);

impl Queue {
    fn new(end: usize, window: usize) -> Queue {
        let state = State { next: 0, done: 0, ended: false, spare: Vec::new() };
        Queue { state: Mutex::new(state), changed: Condvar::new(), end, window }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics while it holds the lock")
    }

    /// The next position, and memory for its image. None at the end.
    fn take(&self) -> Option<(usize, Vec<u8>)> {
        let must_wait =
            |s: &mut State| !s.ended && s.next < self.end && s.next >= s.done + self.window;
        let waited = self.changed.wait_while(self.lock(), must_wait);
        let mut state = waited.expect("nothing panics while it holds the lock");
        if state.ended || state.next >= self.end {
            return None;
        }
        state.next += 1;
        Some((state.next - 1, state.spare.pop().unwrap_or_default()))
    }

    /// The images before `done` are in their batches.
    fn advance(&self, done: usize) {
        self.lock().done = done;
        self.changed.notify_one();
    }

    fn recycle(&self, pixels: Vec<u8>) {
        self.lock().spare.push(pixels);
    }
}

impl Drop for EndOf<'_> {
    fn drop(&mut self) {
        self.0.lock().ended = true;
        self.0.changed.notify_all();
    }
}
