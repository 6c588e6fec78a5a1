//! The sum of a bucket over all processes.

use std::{ops::Range, sync::Arc};

use crate::{Wire, pool::Pool, tree::Branches};

/// A sum that is under way. Each process adds up one piece of the bucket and sends it to all others: the
/// traffic of a ring, in two steps.
#[derive(Debug)]
pub(crate) struct Reduction {
    rank: usize,
    wire: Wire,
    /// This process's values, as they travel.
    bucket: Arc<Vec<u8>>,
    /// This process's piece as the others have it, by their rank.
    parts: Vec<Option<Vec<u8>>>,
    missing_parts: usize,
    /// The sum of each process's piece.
    sums: Vec<Option<Arc<Vec<u8>>>>,
    missing_sums: usize,
}

/// Memory for additions.
#[derive(Debug, Default)]
pub(crate) struct Adder {
    branches: Branches,
    leaf: Vec<f32>,
}

impl Reduction {
    /// Of these values, at this rank of `size`.
    pub(crate) fn new(rank: usize, size: usize, wire: Wire, bucket: Vec<u8>) -> Reduction {
        let (bucket, missing) = (Arc::new(bucket), size - 1);
        let (parts, sums) = (vec![None; size], vec![None; size]);
        Reduction { rank, wire, bucket, parts, missing_parts: missing, sums, missing_sums: missing }
    }

    /// The piece that a process adds up, in bytes of the bucket.
    pub(crate) fn piece(&self, rank: usize) -> Range<usize> {
        let values = self.bucket.len() / self.wire.size();
        let at = |rank: usize| rank * values / self.parts.len() * self.wire.size();
        at(rank)..at(rank + 1)
    }

    /// All values, of which each process gets its piece.
    pub(crate) fn bucket(&self) -> &Arc<Vec<u8>> {
        &self.bucket
    }

    /// Takes this process's piece as another has it. After the last one: their sum, for all others.
    pub(crate) fn add_part(
        &mut self,
        from: usize,
        bytes: Vec<u8>,
        adder: &mut Adder,
        pool: &Pool,
    ) -> Option<Arc<Vec<u8>>> {
        self.parts[from] = Some(bytes);
        self.missing_parts -= 1;
        if self.missing_parts > 0 {
            return None;
        }
        let (own, wire, last) = (self.piece(self.rank), self.wire, self.parts.len() - 1);
        let Adder { branches, leaf } = adder;
        for (rank, part) in self.parts.iter_mut().enumerate() {
            leaf.resize(own.len() / wire.size(), 0.0);
            match part.take() {
                None => wire.decode(&self.bucket[own.clone()], leaf),
                Some(part) => {
                    wire.decode(&part, leaf);
                    pool.give(Arc::new(part));
                }
            }
            match rank == last {
                false => branches.push(wire, leaf),
                true => branches.complete(wire, 0, leaf),
            }
        }
        branches.clear();
        let mut sum = pool.empty(own.len());
        wire.encode(leaf, &mut sum);
        let sum = Arc::new(sum);
        self.sums[self.rank] = Some(Arc::clone(&sum));
        Some(sum)
    }

    /// Takes the sum of another process's piece.
    pub(crate) fn set_sum(&mut self, from: usize, bytes: Vec<u8>) {
        self.sums[from] = Some(Arc::new(bytes));
        self.missing_sums -= 1;
    }

    /// Whether every sum is there.
    pub(crate) fn is_complete(&self) -> bool {
        self.missing_parts == 0 && self.missing_sums == 0
    }

    /// The sums of all pieces, in order. The bucket's memory goes back.
    pub(crate) fn into_sums(self, pool: &Pool) -> Vec<Arc<Vec<u8>>> {
        pool.give(self.bucket);
        self.sums.into_iter().map(|sum| sum.expect("a sum of every piece")).collect()
    }
}
