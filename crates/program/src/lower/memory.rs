//! Places values in one buffer by lifetime.

use std::ops::Range;

/// The moments from which and to which a value must exist, both included, and its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lifetime {
    pub(super) first: usize,
    pub(super) last: usize,
    pub(super) len: usize,
}

/// The place of each value, and the length of the buffer. Places of values whose lifetimes overlap
/// do not overlap. Large values are placed first, each as low as possible; lengths are rounded up
/// to whole cache lines.
pub(super) fn lay_out(values: &[Lifetime]) -> (Vec<Range<usize>>, usize) {
    const LINE: usize = 16;
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by_key(|&i| (std::cmp::Reverse(values[i].len), i));
    let mut places = vec![0..0; values.len()];
    let mut placed: Vec<usize> = Vec::new();
    for i in order {
        let value = values[i];
        let overlaps =
            |&&j: &&usize| values[j].first <= value.last && value.first <= values[j].last;
        let mut busy: Vec<&Range<usize>> =
            placed.iter().filter(overlaps).map(|&j| &places[j]).collect();
        busy.sort_by_key(|range| range.start);
        let room = value.len.next_multiple_of(LINE);
        let mut start = 0;
        for range in busy {
            if range.start >= start + room {
                break;
            }
            start = start.max(range.end.next_multiple_of(LINE));
        }
        places[i] = start..start + value.len;
        placed.push(i);
    }
    let total = places.iter().map(|p| p.end.next_multiple_of(LINE)).max().unwrap_or(0);
    (places, total)
}

#[cfg(test)]
mod tests {
    use super::*;
    use resnet_network::random::{Purpose, Random};

    #[test]
    fn overlapping_lifetimes_never_share() {
        let mut random = Random::new(1, Purpose::Init, &[]);
        let values: Vec<Lifetime> = (0..200)
            .map(|_| {
                let first = random.below(100) as usize;
                let last = first + random.below(8) as usize;
                Lifetime { first, last, len: 1 + random.below(1000) as usize }
            })
            .collect();
        let (places, total) = lay_out(&values);
        for (i, a) in values.iter().enumerate() {
            assert!(
                places[i].end <= total && places[i].len() == a.len && places[i].start % 16 == 0
            );
            for (j, b) in values.iter().enumerate().skip(i + 1) {
                let together = a.first <= b.last && b.first <= a.last;
                let apart = places[i].end <= places[j].start || places[j].end <= places[i].start;
                assert!(!together || apart, "{i} and {j}");
            }
        }
        let peak = (0..120)
            .map(|t| {
                values.iter().filter(|v| v.first <= t && t <= v.last).map(|v| v.len).sum::<usize>()
            })
            .max();
        assert!(total < peak.unwrap() * 5 / 4, "{total} for a peak of {peak:?}");
    }

    #[test]
    fn a_chain_needs_two_buffers() {
        let chain: Vec<Lifetime> =
            (0..10).map(|t| Lifetime { first: t, last: t + 1, len: 64 }).collect();
        assert_eq!(lay_out(&chain).1, 128);
    }
}
