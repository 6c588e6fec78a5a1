//! The batches of an epoch, as a thread makes them.

use std::{
    io, panic,
    sync::mpsc::{self, Receiver, Sender, SyncSender},
    thread::{self, JoinHandle},
};

use crate::{Batch, DataError};

/// Prefetched batches.
pub(crate) const PREFETCH: usize = 2;

/// Batches of one epoch, in order. Dropping it ends its threads.
#[derive(Debug)]
pub struct Epoch {
    /// None while dropping, which wakes a worker blocked in `send`.
    receiver: Option<Receiver<Result<Batch, DataError>>>,
    recycler: Sender<Batch>,
    worker: Option<JoinHandle<()>>,
    left: usize,
    error: Option<DataError>,
}

/// Where the thread of an epoch puts its batches.
pub(crate) struct Output {
    batches: SyncSender<Result<Batch, DataError>>,
    used: Receiver<Batch>,
}

impl Output {
    /// A batch whose memory may be reused.
    pub(crate) fn batch(&self) -> Batch {
        self.used.try_recv().unwrap_or_default()
    }

    /// Delivers a batch. False if nobody waits for it.
    #[must_use]
    pub(crate) fn send(&self, batch: Batch) -> bool {
        self.batches.send(Ok(batch)).is_ok()
    }

    /// Ends the epoch early.
    pub(crate) fn fail(&self, error: DataError) {
        // The epoch may have been dropped.
        let _ = self.batches.send(Err(error));
    }
}

impl Epoch {
    /// Starts a thread that makes `batches` batches.
    ///
    /// # Errors
    /// If the thread cannot be started.
    pub(crate) fn start(
        batches: usize,
        work: impl FnOnce(&Output) + Send + 'static,
    ) -> io::Result<Epoch> {
        let (sender, receiver) = mpsc::sync_channel(PREFETCH);
        let (recycler, used) = mpsc::channel();
        let output = Output { batches: sender, used };
        let thread = thread::Builder::new().name("loader".to_owned());
        let worker = thread.spawn(move || work(&output))?;
        let (receiver, worker) = (Some(receiver), Some(worker));
        Ok(Epoch { receiver, recycler, worker, left: batches, error: None })
    }

    /// Returns a used batch, so that its memory is reused.
    pub fn recycle(&self, batch: Batch) {
        // The worker may have exited already.
        let _ = self.recycler.send(batch);
    }

    /// Why there are no more batches, if that is not the end of the epoch.
    pub fn take_error(&mut self) -> Option<DataError> {
        self.error.take()
    }
}

impl Iterator for Epoch {
    type Item = Batch;

    fn next(&mut self) -> Option<Batch> {
        match self.receiver.as_ref().and_then(|receiver| receiver.recv().ok()) {
            Some(Ok(batch)) => {
                self.left -= 1;
                Some(batch)
            }
            Some(Err(error)) => {
                (self.error, self.left) = (Some(error), 0);
                None
            }
            None => {
                if let Some(Err(cause)) = self.worker.take().map(JoinHandle::join) {
                    panic::resume_unwind(cause);
                }
                None
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Epoch {}

impl Drop for Epoch {
    fn drop(&mut self) {
        drop(self.receiver.take());
        if let Some(worker) = self.worker.take() {
            // A panic matters only to a caller that waits for a batch.
            let _ = worker.join();
        }
    }
}
