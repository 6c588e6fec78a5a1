//! Shards of a batch whose batch norms have statistics over all of them (`torch.nn.SyncBatchNorm`): together
//! they are the batch.

use std::{
    ops::Range,
    sync::mpsc::{Receiver, Sender, channel},
    thread,
};

use resnet_engine::{
    Hooks, Input, MicroBatch, StepResult, Targets, TrainPlan, hooks::Statistics,
    interpret::Interpreter, program::Program,
};
use resnet_kernels::{Cpu, Dtype, batch_norm::merge};
use resnet_network::{Network, graph::NodeId};

use crate::graphs::{CHANNELS, SIDES, distance, labels, net, nets, noise};

const BATCH: usize = 8;

/// Shards of `BATCH` images: two equal ones, four, and an empty one between two others.
const CUTS: [&[usize]; 3] = [&[4, 4], &[2, 2, 2, 2], &[5, 0, 3]];

struct Batch {
    images: Vec<f32>,
    labels: Vec<u32>,
}

impl Batch {
    fn new() -> Self {
        Batch { images: noise(BATCH, 6), labels: labels(BATCH) }
    }

    fn shard(&self, range: Range<usize>) -> MicroBatch<'_> {
        let image = CHANNELS * SIDES[0] * SIDES[1];
        MicroBatch {
            input: Input::Nchw(&self.images[range.start * image..range.end * image]),
            targets: Targets::labels(&self.labels[range], 0.0),
            batch_size: BATCH,
            batch_weight: None,
        }
    }

    fn shards(&self, sizes: &[usize]) -> Vec<MicroBatch<'_>> {
        let mut start = 0;
        let shard = |&size: &usize| {
            start += size;
            self.shard(start - size..start)
        };
        sizes.iter().map(shard).collect()
    }
}

fn plan(net: &Network) -> TrainPlan {
    let cpu = Cpu::new(1).unwrap();
    TrainPlan::new(net.graph(), Dtype::Fp32, BATCH, SIDES[0], SIDES[1], &cpu).unwrap()
}

/// A step of all shards in f64.
fn interpreted<'p>(
    program: &'p Program,
    net: &Network,
    shards: &[MicroBatch<'_>],
) -> Vec<Interpreter<'p>> {
    let mut interpreters = vec![Interpreter::new(program); shards.len()];
    Interpreter::run_shards(&mut interpreters, net, shards);
    interpreters
}

/// One of several ranks, each of which sends every other its part of the statistics and sums.
struct Rank {
    to: Vec<Sender<Vec<f64>>>,
    from: Vec<Receiver<Vec<f64>>>,
}

impl Rank {
    fn all(count: usize) -> Vec<Rank> {
        let alone = || Rank { to: Vec::new(), from: Vec::new() };
        let mut ranks: Vec<Rank> = (0..count).map(|_| alone()).collect();
        for sender in 0..count {
            for receiver in 0..count {
                let (to, from) = channel();
                ranks[sender].to.push(to);
                ranks[receiver].from.push(from);
            }
        }
        ranks
    }

    /// The values of all ranks, in their order.
    fn exchange(&self, own: &[f64]) -> Vec<Vec<f64>> {
        self.to.iter().for_each(|to| to.send(own.to_vec()).expect("the other rank runs"));
        self.from.iter().map(|from| from.recv().expect("the other rank runs")).collect()
    }
}

impl Hooks for Rank {
    fn statistics(&mut self, _: NodeId, statistics: &mut Statistics<'_>) {
        let mut own = vec![statistics.count];
        own.extend_from_slice(statistics.moments);
        let all = self.exchange(&own);
        let channels = statistics.moments.len() / 2;
        let (means, squares) = statistics.moments.split_at_mut(channels);
        for (c, (mean, square)) in means.iter_mut().zip(squares).enumerate() {
            let parts = all.iter().map(|part| (part[0], part[1 + c], part[1 + channels + c]));
            (statistics.count, *mean, *square) = merge(parts);
        }
    }

    fn gradient_sums(&mut self, _: NodeId, sums: &mut [f64]) {
        let all = self.exchange(sums);
        sums.fill(0.0);
        for part in all {
            sums.iter_mut().zip(part).for_each(|(sum, value)| *sum += value);
        }
    }
}

/// A step of all shards by plans, each in a thread: networks with the updated running statistics, gradients
/// and results.
fn stepped(net: &Network, shards: &[MicroBatch<'_>]) -> Vec<(Network, Vec<f32>, StepResult)> {
    thread::scope(|scope| {
        let ranks = Rank::all(shards.len()).into_iter();
        let threads: Vec<_> = ranks
            .zip(shards)
            .map(|(mut rank, &shard)| {
                scope.spawn(move || {
                    let (mut net, mut gradients) = (net.clone(), vec![0.0; net.values().len()]);
                    let result = plan(&net).step(&mut net, &mut gradients, false, shard, &mut rank);
                    (net, gradients, result)
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

#[test]
fn shards_are_the_batch_in_f64() {
    let batch = Batch::new();
    let all = batch.shard(0..BATCH);
    for (name, net) in nets() {
        let program = plan(&net).program().clone();
        let mut whole = Interpreter::new(&program);
        whole.run(&net, &batch.images, [BATCH; 2], Some(all.targets));
        let sum = |shards: &[Interpreter<'_>], range: Range<usize>| -> Vec<f64> {
            range.map(|at| shards.iter().map(|shard| shard.d_parameters[at]).sum::<f64>()).collect()
        };
        for sizes in CUTS {
            let what = format!("{name} as {sizes:?}");
            let shards = interpreted(&program, &net, &batch.shards(sizes));
            let loss: f64 = shards.iter().map(|shard| shard.loss).sum();
            assert!((loss - whole.loss).abs() < 1e-10 * whole.loss, "{what}: loss {loss}");
            for param in net.params() {
                let at = param.range.clone();
                let error = distance(&sum(&shards, at.clone()), &whole.d_parameters[at]);
                assert!(error < 1e-10, "{what}: {} {error:e}", param.name);
            }
            for shard in &shards {
                assert_eq!(shard.running.len(), net.norms().count(), "{what}");
                for ((norm, moved), (other, want)) in shard.running.iter().zip(&whole.running) {
                    assert_eq!(norm, other, "{what}");
                    let errors = [0, 1].map(|i| distance(&moved[i], &want[i]));
                    assert!(errors.iter().all(|e| *e < 1e-10), "{what}: running {errors:?}");
                }
            }
        }
        // With statistics of its own each is another batch.
        let alone = |shard| interpreted(&program, &net, &[shard]).remove(0);
        let shards: Vec<_> = batch.shards(CUTS[0]).into_iter().map(alone).collect();
        let gradients = sum(&shards, 0..net.values().len());
        assert!(distance(&gradients, &whole.d_parameters) > 1e-3, "{name}");
    }
}

/// The figure that docs/cluster.md states. A ReLU that rounding flips would move the gradients further: see
/// ARCHITECTURE.md. With these images none is flipped.
#[test]
fn plans_of_shards_equal_the_interpreters_shards() {
    let batch = Batch::new();
    for (name, width) in [("resnet8", 4), ("resnet26-cifar", 2)] {
        let net = net(name, width);
        let program = plan(&net).program().clone();
        for sizes in CUTS {
            let shards = batch.shards(sizes);
            let truth = interpreted(&program, &net, &shards);
            for (rank, (found, truth)) in stepped(&net, &shards).iter().zip(&truth).enumerate() {
                let what = format!("{name}, shard {rank} of {sizes:?}");
                let (moved, gradients, result) = found;
                assert!((result.loss - truth.loss).abs() <= 1e-4 * truth.loss, "{what}: loss");
                for param in net.params() {
                    let at = param.range.clone();
                    let error = distance(&gradients[at.clone()], &truth.d_parameters[at]);
                    assert!(error < 1e-3, "{what}: {} {error:e}", param.name);
                }
                for (norm, [mean, var]) in &truth.running {
                    let (found_mean, found_var) = moved.running(*norm);
                    let errors = [distance(found_mean, mean), distance(found_var, var)];
                    assert!(errors.iter().all(|e| *e < 1e-3), "{what}: running {errors:?}");
                }
            }
        }
    }
}

/// The same for every network, also where rounding flips a ReLU.
#[test]
fn plans_of_shards_are_the_batch() {
    let batch = Batch::new();
    for (name, net) in nets() {
        let (mut whole, mut want) = (net.clone(), vec![0.0; net.values().len()]);
        let all = batch.shard(0..BATCH);
        let loss = plan(&net).step(&mut whole, &mut want, false, all, &mut ()).loss;
        let want: Vec<f64> = want.into_iter().map(f64::from).collect();
        for sizes in [[5, 3], [BATCH, 0]] {
            let what = format!("{name} as {sizes:?}");
            let shards = stepped(&net, &batch.shards(&sizes));
            let [a, b] = &shards[..] else { panic!("two shards") };
            assert!((a.2.loss + b.2.loss - loss).abs() < 1e-4, "{what}");
            let sums: Vec<f32> = a.1.iter().zip(&b.1).map(|(a, b)| a + b).collect();
            for param in net.params() {
                let at = param.range.clone();
                let error = distance(&sums[at.clone()], &want[at]);
                assert!(error < 2e-2, "{what}: {} {error:e}", param.name);
            }
            assert_eq!(a.0.state_dict(), b.0.state_dict(), "{what}: the same running statistics");
            for norm in net.norms() {
                let [found, want] = [&a.0, &whole].map(|net| net.running(norm).1);
                let want: Vec<f64> = want.iter().map(|&v| v.into()).collect();
                assert!(distance(found, &want) < 1e-4, "{what}: running variance");
            }
        }
    }
}
