//! The order of additions.
//!
//! Neighbours are added in pairs, then these sums, and so on; the last of an odd number goes up as it is:
//! `((0 + 1) + (2 + 3)) + 4`. If a process adds up 2^k neighbours, these are a whole branch of the tree. So
//! the result depends on the values alone, and not on who added them.

use crate::Wire;

/// Adds a branch to its left neighbour: `sum = round(sum + branch)`.
///
/// # Panics
/// If the lengths differ.
pub fn add(wire: Wire, sum: &mut [f32], branch: &[f32]) {
    assert_eq!(sum.len(), branch.len(), "branches of one length");
    sum.iter_mut().zip(branch).for_each(|(sum, value)| *sum += value);
    wire.round(sum);
}

/// The sum of all branches; empty without any.
///
/// # Panics
/// If their lengths differ.
pub fn sum(wire: Wire, mut branches: Vec<Vec<f32>>) -> Vec<f32> {
    while branches.len() > 1 {
        let mut above = Vec::with_capacity(branches.len().div_ceil(2));
        let mut pairs = branches.into_iter();
        while let Some(mut left) = pairs.next() {
            if let Some(right) = pairs.next() {
                add(wire, &mut left, &right);
            }
            above.push(left);
        }
        branches = above;
    }
    branches.pop().unwrap_or_default()
}

/// Whether `processes` can share `leaves`: one, or a divisor that gives each a power of two, so that each adds
/// up a whole branch.
pub fn allows(leaves: usize, processes: usize) -> bool {
    match processes {
        0 => false,
        1 => leaves > 0,
        _ => leaves.is_multiple_of(processes) && (leaves / processes).is_power_of_two(),
    }
}

/// The numbers of processes that can share `leaves`, in order.
pub fn processes(leaves: usize) -> Vec<usize> {
    (1..=leaves).filter(|&processes| allows(leaves, processes)).collect()
}

/// The branches of leaves that come one after another, as few as the tree allows: one for each bit of their
/// number.
#[derive(Debug, Default)]
pub struct Branches {
    /// With their number of leaves, which falls from one to the next.
    branches: Vec<(usize, Vec<f32>)>,
    /// Memory for others.
    spare: Vec<Vec<f32>>,
}

impl Branches {
    /// Adds a leaf. In exchange `leaf` gets other memory of the same length, with any values.
    pub fn push(&mut self, wire: Wire, leaf: &mut Vec<f32>) {
        let len = leaf.len();
        let mut sum = std::mem::replace(leaf, self.spare.pop().unwrap_or_default());
        leaf.resize(len, 0.0);
        wire.round(&mut sum);
        let mut leaves = 1;
        while let Some((of_left, mut left)) = self.branches.pop_if(|left| left.0 == leaves) {
            add(wire, &mut left, &sum);
            self.spare.push(std::mem::replace(&mut sum, left));
            leaves += of_left;
        }
        self.branches.push((leaves, sum));
    }

    /// Makes the sum of all leaves from a part of the last one, which was not pushed, and the same part of
    /// the branches.
    ///
    /// # Panics
    /// If a branch ends before `start` + the part's length.
    pub fn complete(&self, wire: Wire, start: usize, last: &mut [f32]) {
        wire.round(last);
        for (_, branch) in self.branches.iter().rev() {
            add(wire, last, &branch[start..][..last.len()]);
        }
    }

    /// Forgets the leaves.
    pub fn clear(&mut self) {
        self.spare.extend(self.branches.drain(..).map(|(_, branch)| branch));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers whose sum depends on the order.
    fn leaves(count: usize) -> Vec<Vec<f32>> {
        let value = |leaf: usize, i: usize| {
            let bits = (leaf * 2_654_435_761 + i * 40_503 + 17) % 1_000_003;
            (bits as f32 - 500_000.0) * [1e-6, 1.0, 1e3][(leaf + i) % 3]
        };
        (0..count).map(|leaf| (0..7).map(|i| value(leaf, i)).collect()).collect()
    }

    #[test]
    fn neighbours_are_added_in_pairs() {
        let l = leaves(5);
        let sum =
            |a: &[f32], b: &[f32]| -> Vec<f32> { a.iter().zip(b).map(|(a, b)| a + b).collect() };
        let expected = sum(&sum(&sum(&l[0], &l[1]), &sum(&l[2], &l[3])), &l[4]);
        assert_eq!(super::sum(Wire::Fp32, l), expected);
        assert_eq!(super::sum(Wire::Fp32, Vec::new()), Vec::<f32>::new());
    }

    #[test]
    fn leaves_one_after_another_have_the_same_sum() {
        let mut in_order_differs = false;
        for wire in [Wire::Fp32, Wire::Bf16] {
            for count in 1..=40 {
                let mut leaves = leaves(count);
                leaves.iter_mut().for_each(|leaf| wire.round(leaf));
                let expected = sum(wire, leaves.clone());
                let mut branches = Branches::default();
                let (last, others) = leaves.split_last_mut().unwrap();
                others.iter_mut().for_each(|leaf| branches.push(wire, leaf));
                // In two parts.
                let (one, two) = last.split_at_mut(3);
                branches.complete(wire, 0, one);
                branches.complete(wire, 3, two);
                assert_eq!(*last, expected, "{count} leaves, {wire:?}");
                let in_order = self::leaves(count).into_iter().reduce(|mut sum, leaf| {
                    add(Wire::Fp32, &mut sum, &leaf);
                    sum
                });
                in_order_differs |= in_order.unwrap() != expected;
            }
        }
        assert!(in_order_differs, "the values do not show the order");
    }

    #[test]
    fn processes_share_whole_branches() {
        assert_eq!(processes(1), [1]);
        assert_eq!(processes(4), [1, 2, 4]);
        assert_eq!(processes(6), [1, 3, 6]);
        assert_eq!(processes(24), [1, 3, 6, 12, 24]);
        assert!(!allows(4, 0) && !allows(0, 1) && !allows(4, 8));
    }

    #[test]
    fn branches_of_powers_of_two_are_the_same_tree() {
        for (leaves_of_all, of_each) in [(4, 2), (4, 4), (6, 2), (12, 4), (24, 8), (8, 1), (3, 1)] {
            for wire in [Wire::Fp32, Wire::Bf16] {
                let mut leaves = leaves(leaves_of_all);
                leaves.iter_mut().for_each(|leaf| wire.round(leaf));
                let branches = leaves.chunks(of_each).map(|own| sum(wire, own.to_vec())).collect();
                assert_eq!(sum(wire, branches), sum(wire, leaves.clone()));
            }
        }
    }
}
