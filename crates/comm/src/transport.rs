//! What moves bytes between the processes of a group.

use std::{ops::Range, sync::Arc};

use crate::CommError;

/// A message that is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket(pub u64);

/// A message that has arrived, or has left.
#[derive(Debug)]
pub struct Completed {
    /// What [`Transport::send`] or [`Transport::receive`] returned.
    pub ticket: Ticket,
    /// The buffer of a message that was received.
    pub received: Option<Vec<u8>>,
}

/// Moves bytes between the processes of a group. Nothing waits: [`Transport::poll`] says what has arrived.
///
/// Two messages from one process to another with one tag arrive in the order in which they were sent, and
/// fill the receives with that tag in the order in which these were started. No process sends to itself.
/// One thread makes all calls.
pub trait Transport {
    /// The number of this process, from 0.
    fn rank(&self) -> usize;

    /// Number of processes.
    fn size(&self) -> usize;

    /// Starts to send a part of `bytes`, which may be empty, to process `to`. `tag` is below 32,768, which every
    /// MPI allows. At most [`MOST_BYTES`] at a time.
    ///
    /// # Errors
    /// If the library refuses.
    fn send(
        &mut self,
        to: usize,
        tag: u16,
        bytes: &Arc<Vec<u8>>,
        range: Range<usize>,
    ) -> Result<Ticket, CommError>;

    /// Starts to receive a message of exactly `buffer.len()` bytes from process `from`.
    ///
    /// # Errors
    /// If the library refuses.
    fn receive(&mut self, from: usize, tag: u16, buffer: Vec<u8>) -> Result<Ticket, CommError>;

    /// Moves on what is under way, and adds to `completed` what is complete since the last call.
    ///
    /// # Errors
    /// If a process is gone, a message has another length than expected, or the library reports an error.
    fn poll(&mut self, completed: &mut Vec<Completed>) -> Result<(), CommError>;

    /// Ends the group in order: every process calls it, after its last message. If that does not come back, the
    /// process exits with `code`.
    ///
    /// # Errors
    /// If the library reports one.
    fn finish(&mut self, code: i32) -> Result<(), CommError>;

    /// Ends the processes of the group, as far as the transport can; this one exits with `code`.
    fn abort(&mut self, code: i32);
}

/// The most bytes of a message: MPI counts them in an `int`.
pub const MOST_BYTES: usize = 1 << 28;
