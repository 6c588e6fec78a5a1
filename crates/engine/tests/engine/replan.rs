//! Plans for other sizes and with frozen layers.

use resnet_engine::{
    Engine, EngineConfig, Input, MicroBatch, Targets, optim::OptimizerBuffers,
    plan_summary::PlannedOperation, program::Pass,
};
use resnet_kernels::{Cpu, Dtype};
use resnet_network::{
    Network,
    graph::{NodeId, Op},
    optim::SgdConfig,
};

use crate::graphs::{CHANNELS, labels, nets};

const BATCH: usize = 5;
const LARGE: [usize; 2] = [20, 16];
const SMALL: [usize; 2] = [12, 8];

fn engine(net: &Network, dtype: Dtype, [height, width]: [usize; 2]) -> Engine {
    let sgd =
        SgdConfig { momentum: 0.9, weight_decay: 1e-3, nesterov: true, ..SgdConfig::default() };
    let config = EngineConfig {
        dtype,
        batch: BATCH,
        eval_batch: BATCH,
        height,
        width,
        optimizer: sgd.into(),
        muon: None,
        batch_norm_momentum: 0.1,
        average: None,
    };
    Engine::new(net.clone(), &config, &Cpu::new(2).unwrap()).unwrap()
}

/// Gradients of a batch, and the running statistics after it.
fn backward(engine: &mut Engine, [height, width]: [usize; 2]) -> (Vec<f32>, Vec<f32>) {
    let images: Vec<f32> =
        (0..BATCH * CHANNELS * height * width).map(|i| (i as f32 * 0.7).sin()).collect();
    let labels = labels(BATCH);
    let targets = Targets::labels(&labels, 0.1);
    engine.backward(MicroBatch::whole(Input::Nchw(&images), targets), &mut ()).unwrap();
    let statistics = engine.store().unwrap().0.state_dict();
    let statistics = statistics.iter().filter(|(name, _)| name.contains("running"));
    let statistics = statistics.flat_map(|(_, tensor)| tensor.as_f32().unwrap().to_vec()).collect();
    (engine.gradients().unwrap().to_vec(), statistics)
}

#[test]
fn a_plan_for_other_images_equals_a_new_engine() {
    for ((name, net), dtype) in nets().into_iter().flat_map(|n| Dtype::ALL.map(|d| (n.clone(), d)))
    {
        // From large to small buffers are used again, from small to large they grow.
        for [first, then] in [[LARGE, SMALL], [SMALL, LARGE]] {
            let expected = backward(&mut engine(&net, dtype, then), then);
            let mut changed = engine(&net, dtype, first);
            backward(&mut changed, first);
            changed.apply(0.0).unwrap();
            changed.load(net.clone(), OptimizerBuffers::new(&net, &SgdConfig::default().into()));
            changed.replan(then[0], then[1], &[], &[]).unwrap();
            assert!(backward(&mut changed, then) == expected, "{name} {dtype}");
        }
    }
}

#[test]
fn frozen_nodes_take_no_gradient_and_change_no_other() {
    for (name, net) in nets() {
        let mut whole = engine(&net, Dtype::Fp32, SMALL);
        let (expected, statistics) = backward(&mut whole, SMALL);
        let count = whole.plan_summary().unwrap().operations.len();
        let nodes = net.graph().nodes();
        let last = nodes.len() - 1;
        let convs: Vec<NodeId> =
            (0..last).filter(|&id| matches!(nodes[id].op, Op::Conv2d { .. })).collect();
        let first = convs[0];
        // One convolution in the middle, the first half, and all but the head.
        for frozen in [vec![convs[convs.len() / 2]], (0..=last / 2).collect(), (0..last).collect()]
        {
            let mut part = engine(&net, Dtype::Fp32, SMALL);
            part.replan(SMALL[0], SMALL[1], &frozen, &[]).unwrap();
            let (gradients, same) = backward(&mut part, SMALL);
            assert!(same == statistics, "{name}: batch norms see the same batch");
            for param in net.params() {
                let range = param.range.clone();
                // A batch norm's gradient is computed on the way to the layers before it.
                if frozen.contains(&param.node) && matches!(nodes[param.node].op, Op::Conv2d { .. })
                {
                    assert!(gradients[range].iter().all(|&g| g == 0.0), "{name} {}", param.name);
                } else if !frozen.contains(&param.node) {
                    assert!(gradients[range.clone()] == expected[range], "{name} {}", param.name);
                }
            }
            let operations = part.plan_summary().unwrap().operations;
            assert!(operations.len() < count, "{name}: less to compute");
            let backward_of_first = |o: &&PlannedOperation| {
                o.operation.pass != Pass::Forward
                    && o.operation.names.first() == Some(&nodes[first].name)
            };
            if frozen.len() > 1 {
                assert_eq!(operations.iter().filter(backward_of_first).count(), 0, "{name}");
            }
        }
    }
}

#[test]
#[should_panic(expected = "a batch is under way")]
fn a_batch_keeps_its_plan() {
    let (_, net) = nets().remove(0);
    let mut engine = engine(&net, Dtype::Fp32, SMALL);
    backward(&mut engine, SMALL);
    let _ = engine.replan(LARGE[0], LARGE[1], &[], &[]);
}
