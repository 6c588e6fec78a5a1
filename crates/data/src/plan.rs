//! Which images come in which batches.

use std::ops::Range;

use crate::Shards;

/// The images of an epoch, in batches.
#[derive(Clone, Debug, Default)]
pub(crate) struct Plan {
    /// Their draws ([`Sampling::draws`](crate::Sampling)), in order.
    order: Vec<usize>,
    batches: Vec<Planned>,
    /// Whether these are all images of the epoch.
    is_whole: bool,
}

#[derive(Clone, Debug)]
struct Planned {
    /// The draws before the next batch.
    end: usize,
    side: Option<usize>,
    whole: usize,
}

/// A batch, or a part of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PlannedBatch {
    /// Its positions in [`Plan::order`].
    pub(crate) positions: Range<usize>,
    /// Rows and columns of its images, if not the usual ones.
    pub(crate) side: Option<usize>,
    /// Images of the whole batch.
    pub(crate) whole: usize,
}

impl Plan {
    /// The own `shards` of batches of `batch_size`, of which the last may be smaller, from `first` on. Images
    /// of batch i have `sizes[i]` rows and columns; those beyond the list have the usual ones.
    pub(crate) fn new(
        order: &[usize],
        batch_size: usize,
        first: usize,
        sizes: &[usize],
        shards: &Shards,
    ) -> Plan {
        let mut plan =
            Plan { is_whole: first == 0 && *shards == Shards::default(), ..Plan::default() };
        for (index, draws) in order.chunks(batch_size).enumerate().skip(first) {
            for shard in shards.own() {
                let own = &draws[shards.images(shard, draws.len())];
                plan.add(own, sizes.get(index).copied(), draws.len());
            }
        }
        plan
    }

    /// Of `images` in order, in batches of `batch_size`, those that `of` chooses by their number.
    pub(crate) fn in_order(images: usize, batch_size: usize, of: impl Fn(usize) -> bool) -> Plan {
        let mut plan = Plan { is_whole: true, ..Plan::default() };
        let order: Vec<usize> = (0..images).collect();
        for (index, draws) in order.chunks(batch_size).enumerate() {
            match of(index) {
                true => plan.add(draws, None, draws.len()),
                false => plan.is_whole = false,
            }
        }
        plan
    }

    fn add(&mut self, draws: &[usize], side: Option<usize>, whole: usize) {
        self.order.extend(draws);
        self.batches.push(Planned { end: self.order.len(), side, whole });
    }

    /// The draws of all batches, in order.
    pub(crate) fn order(&self) -> &[usize] {
        &self.order
    }

    /// Number of batches.
    pub(crate) fn len(&self) -> usize {
        self.batches.len()
    }

    /// Whether these are all images of an epoch.
    pub(crate) fn is_whole(&self) -> bool {
        self.is_whole
    }

    /// The batches.
    pub(crate) fn batches(&self) -> impl Iterator<Item = PlannedBatch> {
        let mut start = 0;
        self.batches.iter().map(move |&Planned { end, side, whole }| {
            let positions = start..end;
            start = end;
            PlannedBatch { positions, side, whole }
        })
    }

    /// Rows and columns of the image at a position, if not the usual ones.
    pub(crate) fn side_at(&self, position: usize) -> Option<usize> {
        let batch = self.batches.partition_point(|batch| batch.end <= position);
        self.batches.get(batch)?.side
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(plan: &Plan) -> Vec<(Vec<usize>, Option<usize>)> {
        let of = |batch: PlannedBatch| (plan.order()[batch.positions].to_vec(), batch.side);
        plan.batches().map(of).collect()
    }

    #[test]
    fn shards_are_parts_of_the_batches() {
        let order: Vec<usize> = (0..11).rev().collect();
        let sizes = [8, 16];
        let whole = Plan::new(&order, 4, 0, &sizes, &Shards::default());
        assert!(whole.is_whole());
        let batches =
            [(vec![10, 9, 8, 7], Some(8)), (vec![6, 5, 4, 3], Some(16)), (vec![2, 1, 0], None)];
        assert_eq!(of(&whole), batches);
        assert_eq!(of(&Plan::new(&order, 4, 1, &sizes, &Shards::default())), batches[1..]);
        for size in [1, 2, 4] {
            let mut shards: Vec<Vec<usize>> = vec![Vec::new(); 3];
            for rank in 0..size {
                let plan = Plan::new(&order, 4, 0, &sizes, &Shards::of_process(4, rank, size));
                assert_eq!((plan.len(), plan.is_whole()), (12 / size, false));
                for (index, (draws, side)) in of(&plan).into_iter().enumerate() {
                    let batch = index / (4 / size);
                    assert_eq!(side, batches[batch].1);
                    shards[batch].extend(draws);
                }
                for (index, batch) in plan.batches().enumerate() {
                    assert_eq!(batch.whole, batches[index / (4 / size)].0.len());
                    assert!(batch.positions.clone().all(|at| plan.side_at(at) == batch.side));
                }
            }
            assert!(shards.iter().eq(batches.iter().map(|(draws, _)| draws)), "{size} processes");
        }
    }

    #[test]
    fn batches_in_order_are_shared_out() {
        let of_process = |rank| of(&Plan::in_order(7, 2, |batch| batch % 2 == rank));
        assert_eq!(of_process(0), [(vec![0, 1], None), (vec![4, 5], None)]);
        assert_eq!(of_process(1), [(vec![2, 3], None), (vec![6], None)]);
        assert!(Plan::in_order(7, 2, |_| true).is_whole());
    }
}
