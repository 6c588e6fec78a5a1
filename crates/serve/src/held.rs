//! Memory that clients fill: bodies of requests, and answers that they have not read.

use std::sync::Arc;

use axum::{body::Bytes, http::StatusCode};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::problem::Problem;

/// Bytes, and their share of the memory of all bodies, which has a permit for each KiB.
pub(crate) struct Held {
    bytes: Vec<u8>,
    /// How many there will be, at most.
    expected: usize,
    share: Option<OwnedSemaphorePermit>,
}

impl Held {
    /// Nothing yet, of so many bytes at most. They take memory as they come, whatever a client states.
    pub(crate) fn new(expected: usize) -> Held {
        Held { bytes: Vec::new(), expected, share: None }
    }

    /// Bytes that are there already.
    ///
    /// # Errors
    /// If all memory is taken.
    pub(crate) fn of(bytes: Vec<u8>, memory: &Arc<Semaphore>) -> Result<Held, Problem> {
        let share = take(memory, 0, bytes.len())?;
        Ok(Held { expected: bytes.len(), bytes, share: Some(share) })
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Appends bytes.
    ///
    /// # Errors
    /// If all memory is taken.
    pub(crate) fn extend(&mut self, data: &[u8], memory: &Arc<Semaphore>) -> Result<(), Problem> {
        let len = self.len() + data.len();
        let more = take(memory, self.len(), len)?;
        match &mut self.share {
            Some(share) => share.merge(more),
            none => *none = Some(more),
        }
        if len > self.bytes.capacity() {
            let capacity = (2 * self.bytes.capacity()).min(self.expected).max(len);
            self.bytes.reserve_exact(capacity - self.len());
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_taken_for_what_has_come() {
        let memory = Arc::new(Semaphore::new(100));
        let mut held = Held::new(100_000);
        assert_eq!(held.bytes.capacity(), 0);
        for _ in 0..100 {
            held.extend(&[1; 1000], &memory).unwrap();
            assert!(held.bytes.capacity() <= (2 * held.len()).min(100_000));
        }
        assert_eq!((held.len(), memory.available_permits()), (100_000, 2));
        let mut other = Held::new(100_000);
        other.extend(&[1; 1000], &memory).unwrap();
        assert_eq!(other.extend(&[1; 2000], &memory).unwrap_err().code, "bodies_full");
    }
}
