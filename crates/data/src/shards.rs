//! Parts of batches.

use std::ops::Range;

/// The parts into which batches are cut, and which of them to make.
///
/// Each shard has a forward and a backward pass of its own, in this process or another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shards {
    count: usize,
    own: Range<usize>,
}

impl Default for Shards {
    /// Batches that are not cut.
    fn default() -> Shards {
        Shards { count: 1, own: 0..1 }
    }
}

impl Shards {
    /// The shards of process `rank` of `size`, which have equally many.
    ///
    /// # Panics
    /// If there is no such process, or the shards cannot be shared.
    pub fn of_process(count: usize, rank: usize, size: usize) -> Shards {
        assert!(
            rank < size && count > 0 && count.is_multiple_of(size),
            "{count} shards for {size}"
        );
        let each = count / size;
        Shards { count, own: rank * each..(rank + 1) * each }
    }

    /// Shards of a batch.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The numbers of those to make.
    pub fn own(&self) -> Range<usize> {
        self.own.clone()
    }

    /// The images of a shard, of a batch with `images`: shard s of S has those from s n / S to (s + 1) n / S.
    /// It may be empty.
    pub fn images(&self, shard: usize, images: usize) -> Range<usize> {
        let at = |shard: usize| (shard as u128 * images as u128 / self.count as u128) as usize;
        at(shard)..at(shard + 1)
    }

    /// The most images of a shard, of batches of up to `images`.
    pub fn most(&self, images: usize) -> usize {
        images.div_ceil(self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_cover_a_batch_once() {
        for count in 1..10 {
            for images in 0..40 {
                let shards = Shards::of_process(count, 0, 1);
                let all = shards.own().flat_map(|shard| shards.images(shard, images));
                assert!(all.eq(0..images));
                let most = shards.own().map(|shard| shards.images(shard, images).len()).max();
                assert_eq!(most, Some(shards.most(images)), "{images} images in {count}");
            }
        }
        assert_eq!(Shards::of_process(8, 1, 2).own(), 4..8);
        assert_eq!(Shards::of_process(1, 0, 1), Shards::default());
    }
}
