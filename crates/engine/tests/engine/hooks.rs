//! Hooks: when they are called, and with what.

use std::{
    ops::Range,
    sync::mpsc::{Receiver, Sender, channel},
};

use resnet_engine::{Hooks, Input, MicroBatch, Targets, TrainPlan, hooks::Statistics};
use resnet_kernels::{Cpu, Dtype};
use resnet_network::{Network, graph::NodeId};

use crate::graphs::{CHANNELS, CLASSES, SIDES, distance, labels, nets, noise};

const BATCH: usize = 8;

#[derive(Default)]
struct Seen {
    operations: Vec<usize>,
    gradients: Vec<(Range<usize>, Vec<f32>)>,
}

impl Hooks for Seen {
    fn done(&mut self, operation: usize) {
        self.operations.push(operation);
    }

    fn gradients(&mut self, range: Range<usize>, gradients: &mut [f32]) {
        self.gradients.push((range, gradients.to_vec()));
    }
}

/// A GPU takes only these: it calls none.
#[test]
fn hooks_say_whether_they_do_nothing() {
    assert!(().is_noop());
    assert!(None::<Seen>.is_noop());
    assert!(!Seen::default().is_noop());
    assert!(!Some(Seen::default()).is_noop());
}

fn plan(net: &Network, batch: usize) -> TrainPlan {
    let cpu = Cpu::new(1).unwrap();
    TrainPlan::new(net.graph(), Dtype::Fp32, batch, SIDES[0], SIDES[1], &cpu).unwrap()
}

#[test]
fn gradients_are_final_when_hooks_get_them() {
    let (x, labels) = (noise(BATCH, 5), labels(BATCH));
    for (name, mut net) in nets() {
        let mut plan = plan(&net, BATCH);
        let mut gradients = vec![f32::NAN; net.values().len()];
        let mut seen = Seen::default();
        let targets = Targets::labels(&labels, 0.0);
        let micro_batch = MicroBatch::whole(Input::Nchw(&x), targets);
        // The second time they are sums.
        plan.step(&mut net, &mut gradients, false, micro_batch, &mut ());
        let first = gradients.clone();
        plan.step(&mut net, &mut gradients, true, micro_batch, &mut seen);
        assert!(gradients != first && gradients.iter().all(|g| g.is_finite()), "{name}");
        // All but the update, which the optimiser does.
        assert!(seen.operations.iter().copied().eq(0..plan.program().operations.len() - 1));
        let mut covered = vec![0; gradients.len()];
        for (range, values) in seen.gradients {
            covered[range.clone()].iter_mut().for_each(|times| *times += 1);
            assert_eq!(values, gradients[range], "{name}");
        }
        assert!(covered.iter().all(|&times| times == 1), "{name}: each once");
    }
}

/// One of two ranks that sum statistics and gradients (all-reduce).
struct Rank {
    rank: usize,
    to: Sender<Vec<f64>>,
    from: Receiver<Vec<f64>>,
}

impl Rank {
    fn pair() -> [Rank; 2] {
        let ((to_b, from_a), (to_a, from_b)) = (channel(), channel());
        [Rank { rank: 0, to: to_b, from: from_b }, Rank { rank: 1, to: to_a, from: from_a }]
    }

    /// The values of both ranks, in their order.
    fn exchange(&self, own: Vec<f64>) -> [Vec<f64>; 2] {
        self.to.send(own.clone()).expect("the other rank runs");
        let other = self.from.recv().expect("the other rank runs");
        if self.rank == 0 { [own, other] } else { [other, own] }
    }
}

impl Hooks for Rank {
    fn statistics(&mut self, _: NodeId, statistics: &mut Statistics<'_>) {
        let mut own = vec![statistics.count];
        own.extend_from_slice(statistics.moments);
        let [a, b] = self.exchange(own);
        // Chan et al. 1979.
        let (n, channels) = (a[0] + b[0], statistics.moments.len() / 2);
        let (means, squares) = statistics.moments.split_at_mut(channels);
        for c in 0..channels {
            let (mean_a, mean_b) = (a[1 + c], b[1 + c]);
            means[c] = (a[0] * mean_a + b[0] * mean_b) / n;
            squares[c] = a[1 + channels + c]
                + b[1 + channels + c]
                + (mean_a - mean_b).powi(2) * a[0] * b[0] / n;
        }
        statistics.count = n;
    }

    fn gradient_sums(&mut self, _: NodeId, sums: &mut [f64]) {
        let [a, b] = self.exchange(sums.to_vec());
        sums.iter_mut().zip(a.iter().zip(&b)).for_each(|(sum, (a, b))| *sum = a + b);
    }
}

/// Batch norm over all ranks (`torch.nn.SyncBatchNorm`): two micro-batches, one of them possibly
/// empty, give the result of the whole batch.
#[test]
fn statistics_of_micro_batches_can_be_combined() {
    let (x, labels) = (noise(BATCH, 6), labels(BATCH));
    let image = CHANNELS * SIDES[0] * SIDES[1];
    let micro_batch = |range: Range<usize>| MicroBatch {
        input: Input::Nchw(&x[range.start * image..range.end * image]),
        targets: Targets::labels(&labels[range], 0.0),
        batch_size: BATCH,
        batch_weight: None,
    };
    for (name, net) in nets() {
        let mut whole = net.clone();
        let mut want = vec![0.0; net.values().len()];
        let loss = plan(&net, BATCH)
            .step(&mut whole, &mut want, false, micro_batch(0..BATCH), &mut ())
            .loss;
        for cut in [5, BATCH] {
            let run = |mut hooks: Rank, range: Range<usize>| {
                let (mut net, mut gradients) = (net.clone(), vec![0.0; net.values().len()]);
                let mut plan = plan(&net, BATCH);
                let result =
                    plan.step(&mut net, &mut gradients, false, micro_batch(range), &mut hooks);
                (net, gradients, result)
            };
            let [a, b] = std::thread::scope(|scope| {
                let [first, second] = Rank::pair();
                let a = scope.spawn(|| run(first, 0..cut));
                let b = run(second, cut..BATCH);
                [a.join().unwrap(), b]
            });
            assert!((a.2.loss + b.2.loss - loss).abs() < 1e-4, "{name}");
            let sums: Vec<f32> = a.1.iter().zip(&b.1).map(|(a, b)| a + b).collect();
            for param in net.params() {
                let at = param.range.clone();
                let truth: Vec<f64> = want[at.clone()].iter().map(|&g| g.into()).collect();
                let error = distance(&sums[at], &truth);
                assert!(error < 2e-2, "{name} cut at {cut}: {} {error:e}", param.name);
            }
            assert_eq!(a.0.state_dict(), b.0.state_dict(), "{name}: both have the same weights");
            for (id, _) in net
                .graph()
                .nodes()
                .iter()
                .enumerate()
                .filter(|(_, node)| node.op == resnet_network::graph::Op::BatchNorm2d)
            {
                let [mine, theirs] = [&a.0, &whole].map(|net| net.running(id));
                let truth: Vec<f64> = theirs.1.iter().map(|&v| v.into()).collect();
                assert!(distance(mine.1, &truth) < 1e-4, "{name}: running variance");
            }
        }
        assert_eq!(net.graph().classes(), CLASSES);
    }
}
