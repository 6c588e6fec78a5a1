//! What the shards of a batch say and add up, in this process and over all.
//!
//! A step whose batch is cut into shards is in `shard_step.rs`.

use std::{
    collections::VecDeque,
    ops::Range,
    time::{Duration, Instant},
};

use resnet_comm::{Buckets, CommError, Group, Wire, tree::Branches};

use crate::{
    data::{Batch, Epoch},
    engine::{
        StepResult,
        hooks::{Hooks, Statistics},
    },
    graph::NodeId,
};

/// Where a process takes its shards of the batches from, in order, one by one: while it computes one, a loader makes
/// the next.
pub(super) trait ShardSource {
    /// The next shard, if there is one.
    fn next_shard(&mut self) -> Option<Batch>;

    /// Takes a shard back that was computed.
    fn give_back(&mut self, shard: Batch);
}

impl ShardSource for Epoch {
    fn next_shard(&mut self) -> Option<Batch> {
        self.next()
    }

    fn give_back(&mut self, shard: Batch) {
        self.recycle(shard);
    }
}

/// The shards of one batch, again and again.
pub(super) struct Repeated(pub(super) VecDeque<Batch>);

impl ShardSource for Repeated {
    fn next_shard(&mut self) -> Option<Batch> {
        self.0.pop_front()
    }

    fn give_back(&mut self, shard: Batch) {
        self.0.push_back(shard);
    }
}

/// A step that was begun.
pub(super) struct Begun {
    /// None if the engine gives it later.
    pub(super) result: Option<StepResult>,
    pub(super) images: usize,
    pub(super) stop: usize,
    pub(super) waited: Duration,
}

/// A step, over all shards of its batch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Stepped {
    /// Mean loss per image, and the number of correct images.
    pub(super) result: StepResult,
    /// Images that could be used.
    pub(super) images: usize,
    /// The largest of the processes' stop flags.
    pub(super) stop: usize,
    /// How long this process waited for others, and took in what they sent.
    pub(super) waited: Duration,
}

/// Memory that is kept from step to step.
#[derive(Debug, Default)]
pub(super) struct ShardSums {
    pub(super) gradients: Branches,
    pub(super) running: Branches,
    /// For the gradients of a shard that is not the last.
    pub(super) spare: Vec<f32>,
}

/// What a process says of one shard: loss, weight, images, correct images.
pub(super) type Said = [f64; 4];

/// What happens during the passes of a shard.
pub(super) struct ShardHooks<'g, 'a> {
    pub(super) group: &'g Group,
    /// Where batch norms share their statistics: the first error of it.
    pub(super) sync: Option<Result<(), CommError>>,
    /// How long it waited for the statistics of others.
    pub(super) waited: Duration,
    /// In the last shard of this process: what the others came to, and where the sums go.
    pub(super) last: Option<(Wire, &'a Branches, Buckets<'g>)>,
}

impl Hooks for ShardHooks<'_, '_> {
    fn statistics(&mut self, _: NodeId, statistics: &mut Statistics<'_>) {
        let Some(Ok(())) = self.sync else { return };
        let own = [&[statistics.count], &*statistics.moments].concat();
        let start = Instant::now();
        let all = match self.group.exchange(bytes_of(&own)) {
            Ok(all) => all,
            Err(error) => return self.sync = Some(Err(error)),
        };
        self.waited += start.elapsed();
        let all = all.iter().map(|bytes| f64s(bytes));
        let combined = all.reduce(|mut sum, part| {
            combine_moments(&mut sum, &part);
            sum
        });
        let combined = combined.unwrap_or(own);
        statistics.count = combined[0];
        statistics.moments.copy_from_slice(&combined[1..]);
    }

    fn gradient_sums(&mut self, _: NodeId, sums: &mut [f64]) {
        let Some(Ok(())) = self.sync else { return };
        let start = Instant::now();
        let all = self.group.exchange(bytes_of(sums));
        self.waited += start.elapsed();
        match all {
            Ok(all) => {
                sums.fill(0.0);
                for part in &all {
                    sums.iter_mut().zip(f64s(part)).for_each(|(sum, value)| *sum += value);
                }
            }
            Err(error) => self.sync = Some(Err(error)),
        }
    }

    fn gradients(&mut self, range: Range<usize>, gradients: &mut [f32]) {
        if let Some((wire, branches, buckets)) = &mut self.last {
            branches.complete(*wire, range.start, gradients);
            buckets.add(range, gradients);
        }
    }
}

/// Adds a part to the statistics `[count, means, sums of squared deviations]` (Chan et al. 1979).
fn combine_moments(sum: &mut [f64], part: &[f64]) {
    let (count, other) = (sum[0], part[0]);
    let both = count + other;
    if other == 0.0 {
        return;
    }
    let channels = (sum.len() - 1) / 2;
    for channel in 1..=channels {
        let difference = part[channel] - sum[channel];
        sum[channel] += difference * other / both;
        let squares = channel + channels;
        sum[squares] += part[squares] + difference * difference * count * other / both;
    }
    sum[0] = both;
}

fn bytes_of(values: &[f64]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn f64s(bytes: &[u8]) -> Vec<f64> {
    let value = |bytes: &[u8]| f64::from_le_bytes(bytes.try_into().expect("eight bytes"));
    bytes.chunks_exact(size_of::<f64>()).map(value).collect()
}

/// The largest of the processes' stop flags.
pub(super) fn agree(group: &Group, stop: usize) -> Result<usize, CommError> {
    let all = group.gather((stop as u64).to_le_bytes().to_vec())?;
    let flags =
        all.iter().map(|bytes| u64::from_le_bytes(bytes[..].try_into().expect("eight bytes")));
    let most = flags.max().unwrap_or(0);
    let agreed = group.broadcast(most.to_le_bytes().to_vec())?;
    Ok(u64::from_le_bytes(agreed[..].try_into().expect("eight bytes")) as usize)
}

/// What all shards of the batch come to, added in their order, and the largest stop flag.
pub(super) fn exchange(
    group: &Group,
    own: &[Said],
    stop: usize,
) -> Result<(Said, usize), CommError> {
    let own: Vec<f64> = own.concat();
    let own = [&[stop as f64], &own[..]].concat();
    let all = group.gather(bytes_of(&own))?;
    let (mut sums, mut stop) = ([0.0; 4], 0.0);
    for process in &all {
        let said = f64s(process);
        stop = f64::max(stop, said[0]);
        for shard in said[1..].chunks_exact(sums.len()) {
            sums.iter_mut().zip(shard).for_each(|(sum, value)| *sum += value);
        }
    }
    let total = group.broadcast(bytes_of(&[&sums[..], &[stop]].concat()))?;
    let total = f64s(&total);
    Ok(([total[0], total[1], total[2], total[3]], total[4] as usize))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_of_parts_are_those_of_all() {
        let values: Vec<f64> = (0..11).map(|i| (i * i % 7) as f64 - 2.5).collect();
        let moments = |values: &[f64]| {
            let count = values.len() as f64;
            let mean = values.iter().sum::<f64>() / count.max(1.0);
            vec![count, mean, values.iter().map(|x| (x - mean).powi(2)).sum()]
        };
        for cut in 0..=values.len() {
            let (left, right) = values.split_at(cut);
            let mut sum = moments(left);
            combine_moments(&mut sum, &moments(right));
            for (found, expected) in sum.iter().zip(moments(&values)) {
                assert!((found - expected).abs() < 1e-12, "{found} for {expected} at {cut}");
            }
        }
    }
}
