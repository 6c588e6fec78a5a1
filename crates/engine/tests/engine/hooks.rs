//! Hooks: when they are called, and with what.

use std::ops::Range;

use resnet_engine::{Hooks, Input, MicroBatch, Targets, TrainPlan};
use resnet_kernels::{Cpu, Dtype};

use crate::graphs::{SIDES, labels, nets, noise};

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

#[test]
fn gradients_are_final_when_hooks_get_them() {
    let (x, labels) = (noise(BATCH, 5), labels(BATCH));
    for (name, mut net) in nets() {
        let cpu = Cpu::new(1).unwrap();
        let [height, width] = SIDES;
        let mut plan =
            TrainPlan::new(net.graph(), Dtype::Fp32, BATCH, height, width, &cpu).unwrap();
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
