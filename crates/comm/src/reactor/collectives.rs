//! Brings bytes of any number from process to process.

use std::sync::Arc;

use super::{Reactor, Step};
use crate::{CommError, MOST_BYTES, transport::Transport};

impl<T: Transport> Reactor<T> {
    /// Sends bytes of any number: their length, then pieces.
    fn send_all(&mut self, to: usize, tag: u16, bytes: &Arc<Vec<u8>>) -> Result<(), CommError> {
        let len = Arc::new((bytes.len() as u64).to_le_bytes().to_vec());
        self.send(to, tag, &len, 0..len.len(), None)?;
        for start in (0..bytes.len()).step_by(MOST_BYTES) {
            self.send(to, tag, bytes, start..bytes.len().min(start + MOST_BYTES), None)?;
        }
        Ok(())
    }

    /// Receives what [`Reactor::send_all`] sends.
    fn receive_all(&mut self, from: usize, tag: u16) -> Result<Vec<u8>, CommError> {
        let len = self.receive(from, tag, size_of::<u64>(), None)?;
        let len = self.take(len)?.try_into().map(u64::from_le_bytes).expect("eight bytes") as usize;
        let mut all = Vec::new();
        while all.len() < len {
            let piece = self.receive(from, tag, MOST_BYTES.min(len - all.len()), None)?;
            let piece = self.take(piece)?;
            // Nearly always there is one piece.
            if all.is_empty() { all = piece } else { all.extend_from_slice(&piece) }
        }
        Ok(all)
    }

    /// Along a binomial tree: process r has its bytes from r without its highest bit.
    pub(super) fn broadcast(&mut self, mut bytes: Vec<u8>) -> Result<Vec<u8>, CommError> {
        let (rank, size, number) = (self.transport.rank(), self.transport.size(), self.number());
        let tag = Self::tag(number, Step::Part);
        let mut bit = 1;
        if rank > 0 {
            bit = 1 << rank.ilog2();
            bytes = self.receive_all(rank - bit, tag)?;
            bit *= 2;
        }
        let bytes = Arc::new(bytes);
        while rank + bit < size {
            self.send_all(rank + bit, tag, &bytes)?;
            bit *= 2;
        }
        self.own(bytes)
    }

    pub(super) fn gather(&mut self, bytes: Vec<u8>) -> Result<Vec<Vec<u8>>, CommError> {
        let (rank, size, number) = (self.transport.rank(), self.transport.size(), self.number());
        let tag = Self::tag(number, Step::Part);
        if rank > 0 {
            self.send_all(0, tag, &Arc::new(bytes))?;
            return Ok(Vec::new());
        }
        let mut all = vec![bytes];
        for from in 1..size {
            all.push(self.receive_all(from, tag)?);
        }
        Ok(all)
    }

    pub(super) fn exchange(&mut self, bytes: Vec<u8>) -> Result<Vec<Vec<u8>>, CommError> {
        let (rank, size, number) = (self.transport.rank(), self.transport.size(), self.number());
        let tag = Self::tag(number, Step::Part);
        let bytes = Arc::new(bytes);
        for to in self.others() {
            self.send_all(to, tag, &bytes)?;
        }
        let mut all = vec![Vec::new(); size];
        for from in self.others() {
            all[from] = self.receive_all(from, tag)?;
        }
        all[rank] = self.own(bytes)?;
        Ok(all)
    }

    /// Bytes that are ours again once they were sent.
    fn own(&mut self, mut bytes: Arc<Vec<u8>>) -> Result<Vec<u8>, CommError> {
        loop {
            match Arc::try_unwrap(bytes) {
                Ok(own) => return Ok(own),
                Err(shared) => bytes = shared,
            }
            self.wait()?;
        }
    }
}
