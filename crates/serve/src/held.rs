//! Memory that clients fill: bodies of requests, and answers that they have not read.

use std::sync::Arc;

use axum::{body::Bytes, http::StatusCode};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::problem::Problem;

/// Bytes, and their share of the memory of all bodies, which has a permit for each KiB.
pub(crate) struct Held {
    bytes: Vec<u8>,
    share: Option<OwnedSemaphorePermit>,
}

impl Held {
    /// Nothing yet, with room for so many bytes.
    pub(crate) fn new(capacity: usize) -> Held {
        Held { bytes: Vec::with_capacity(capacity), share: None }
    }

    /// Bytes that are there already.
    ///
    /// # Errors
    /// If all memory is taken.
    pub(crate) fn of(bytes: Vec<u8>, memory: &Arc<Semaphore>) -> Result<Held, Problem> {
        let share = take(memory, 0, bytes.len())?;
        Ok(Held { bytes, share: Some(share) })
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Appends bytes.
    ///
    /// # Errors
    /// If all memory is taken.
    pub(crate) fn extend(&mut self, data: &[u8], memory: &Arc<Semaphore>) -> Result<(), Problem> {
        let more = take(memory, self.len(), self.len() + data.len())?;
        match &mut self.share {
            Some(share) => share.merge(more),
            none => *none = Some(more),
        }
        self.bytes.extend_from_slice(data);
        Ok(())
    }

    /// The bytes. Their memory is given back when the last part of them is dropped.
    pub(crate) fn freeze(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// The share of bytes that grow from one length to another.
fn take(memory: &Arc<Semaphore>, from: usize, to: usize) -> Result<OwnedSemaphorePermit, Problem> {
    let kib = |bytes: usize| bytes.div_ceil(1 << 10) as u32;
    Arc::clone(memory).try_acquire_many_owned(kib(to) - kib(from)).map_err(|_| {
        let detail = "the service holds as many requests and answers as it may: try again";
        let status = StatusCode::TOO_MANY_REQUESTS;
        Problem { retry_after: Some(1), ..Problem::new(status, "bodies_full", detail) }
    })
}
