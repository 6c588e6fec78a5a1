//! Gradients that are added up while others are still computed.

use std::ops::Range;

use crate::{CommError, Group, Sum, Wire};

/// Bytes of a bucket, as they travel: large enough that latency does not matter, small enough that the
/// first leaves early.
pub const BUCKET_BYTES: usize = 4 << 20;

/// Adds up the values of an arena over all processes, in the order in which they become final. All processes
/// add the same ranges in the same order.
#[derive(Debug)]
pub struct Buckets<'a> {
    group: &'a Group,
    wire: Wire,
    /// Bytes of a bucket.
    len: usize,
    /// The bucket that is being filled.
    bucket: Vec<u8>,
    under_way: Vec<Sum>,
    /// Where the values are in the arena, in the order in which they were added.
    places: Vec<Range<usize>>,
}

impl<'a> Buckets<'a> {
    /// Buckets of `bytes` each, as they travel.
    ///
    /// # Panics
    /// If that is less than a value.
    pub fn new(group: &'a Group, wire: Wire, bytes: usize) -> Self {
        let len = bytes / wire.size() * wire.size();
        assert!(len > 0, "a bucket has at least one value");
        Buckets { group, wire, len, bucket: Vec::new(), under_way: Vec::new(), places: Vec::new() }
    }

    /// Adds the values of a part of the arena, which are [rounded](Wire::round). They are sent as soon as a
    /// bucket is full.
    ///
    /// # Panics
    /// If there are more or fewer values than the range has.
    pub fn add(&mut self, range: Range<usize>, mut values: &[f32]) {
        assert_eq!(range.len(), values.len(), "the values of a range");
        let Some(pool) = self.group.pool() else { return };
        self.places.push(range);
        while !values.is_empty() {
            if self.bucket.capacity() < self.len {
                self.bucket = pool.empty(self.len);
            }
            let room = (self.len - self.bucket.len()) / self.wire.size();
            let (now, later) = values.split_at(values.len().min(room));
            self.wire.encode(now, &mut self.bucket);
            values = later;
            if self.bucket.len() == self.len {
                self.send();
            }
        }
    }

    fn send(&mut self) {
        let bucket = std::mem::take(&mut self.bucket);
        self.under_way.push(self.group.sum_bytes(bucket, self.wire));
    }

    /// Waits for all sums and writes them into the arena. A process alone has them.
    ///
    /// # Errors
    /// If processes cannot go on together.
    ///
    /// # Panics
    /// If a range is not of this arena.
    pub fn finish(mut self, arena: &mut [f32]) -> Result<(), CommError> {
        if !self.bucket.is_empty() {
            self.send();
        }
        let size = self.wire.size();
        let mut places = self.places.into_iter();
        let mut place = 0..0;
        for sum in self.under_way {
            for piece in sum.wait_for_bytes()? {
                let mut bytes = &piece[..];
                while !bytes.is_empty() {
                    while place.is_empty() {
                        place = places.next().expect("a place for every value");
                    }
                    let count = place.len().min(bytes.len() / size);
                    let (now, later) = bytes.split_at(count * size);
                    self.wire.decode(now, &mut arena[place.start..][..count]);
                    (place.start, bytes) = (place.start + count, later);
                }
                if let Some(pool) = self.group.pool() {
                    pool.give(piece);
                }
            }
        }
        Ok(())
    }
}
