//! Memory: summaries state what plans allocate, and micro-batches need less.

use resnet_engine::{
    Engine, EngineConfig, EvalPlan, Input, MICRO_BATCH_BYTES, PlanError, TrainPlan,
};
use resnet_kernels::{Cpu, Dtype, Isa};
use resnet_network::{Arch, Network, graph::Graph, network::Init, optim::SgdConfig};

fn network(arch: &str, width: usize) -> Network {
    let arch: Arch = arch.parse().unwrap();
    Network::new(arch.graph_with(3, 10, width), Init::PyTorch, 7)
}

/// Images of a side, with values that differ.
fn images(count: usize, side: usize) -> Vec<f32> {
    (0..count * 3 * side * side).map(|i| (i % 1009) as f32 / 500.0 - 1.0).collect()
}

/// Strided Winograd needs many tiles: a plan for a single image would not choose it.
#[test]
fn micro_batches_are_bit_identical() {
    let algorithms = |plan: &EvalPlan| -> Vec<_> {
        plan.summary().layers.into_iter().map(|layer| layer.algorithms).collect()
    };
    let mut differ = false;
    for (arch, width, side) in
        [("resnet18", 64, 40), ("resnet18-cifar", 32, 16), ("resnet20", 16, 24)]
    {
        let net = network(arch, width);
        let all = images(5, side);
        let one = 3 * side * side;
        for (isa, dtype) in Isa::to_test().into_iter().flat_map(|isa| Dtype::ALL.map(|d| (isa, d)))
        {
            let cpu = Cpu::with_isa(2, isa).unwrap();
            let mut whole = EvalPlan::new(net.graph(), dtype, 32, side, side, &cpu).unwrap();
            whole.load(&net);
            let expected = whole.forward(Input::Nchw(&all), 5).to_vec();
            for at_once in [1, 2] {
                let graph = net.graph();
                let plan = EvalPlan::micro_batched(at_once, graph, dtype, 32, side, side, &cpu);
                let mut plan = plan.unwrap();
                assert_eq!(plan.batch(), at_once);
                plan.load(&net);
                let mut found: Vec<f32> = Vec::new();
                for some in all.chunks(at_once * one) {
                    found.extend(plan.forward(Input::Nchw(some), some.len() / one));
                }
                assert_eq!(found, expected, "{arch} {isa} {dtype}, {at_once} at once");
                assert_eq!(algorithms(&plan), algorithms(&whole));
            }
            let alone = EvalPlan::new(net.graph(), dtype, 1, side, side, &cpu).unwrap();
            differ |= algorithms(&alone) != algorithms(&whole);
        }
    }
    assert!(differ, "a plan for one image takes other algorithms");
}

#[test]
fn an_engine_evaluates_large_images_in_micro_batches() {
    let net = network("resnet8", 16);
    let (cpu, side, batch) = (Cpu::new(2).unwrap(), 256, 48);
    let sgd = SgdConfig {
        momentum: 0.9,
        weight_decay: 0.0,
        nesterov: false,
        decay_norm_and_bias: true,
        ..SgdConfig::default()
    };
    let config = EngineConfig {
        dtype: Dtype::Fp32,
        batch: 1,
        eval_batch: batch,
        height: side,
        width: side,
        optimizer: sgd.into(),
        ..EngineConfig::default()
    };
    let graph = net.graph();
    let plan = EvalPlan::micro_batched(batch, graph, Dtype::Fp32, batch, side, side, &cpu).unwrap();
    assert!(plan.batch() < batch, "{} at once", plan.batch());
    let memory = plan.summary().memory;
    assert!(memory.images + memory.activations + memory.tables <= MICRO_BATCH_BYTES, "{memory:?}");
    drop(plan);
    let mut engine = Engine::new(net.clone(), &config, &cpu).unwrap();
    let all = images(batch, side);
    let found = engine.evaluate(Input::Nchw(&all), batch).unwrap().to_vec();
    let mut whole = EvalPlan::new(graph, Dtype::Fp32, batch, side, side, &cpu).unwrap();
    whole.load(&net);
    assert_eq!(found, whole.forward(Input::Nchw(&all), batch));
}

#[test]
fn a_summary_is_that_of_the_built_plan() {
    let cpu = Cpu::new(2).unwrap();
    for dtype in Dtype::ALL {
        let graph = network("resnet18", 16).graph().clone();
        let train = TrainPlan::new(&graph, dtype, 3, 40, 40, &cpu).unwrap().summary();
        assert_eq!(TrainPlan::summarise(&graph, dtype, 3, 40, 40, &cpu).unwrap(), train);
        let eval = EvalPlan::new(&graph, dtype, 3, 40, 40, &cpu).unwrap().summary();
        assert_eq!(EvalPlan::summarise(&graph, dtype, 3, 40, 40, &cpu).unwrap(), eval);
        assert!(train.memory.tables > eval.memory.tables && eval.memory.tables > 0);
    }
}

#[test]
fn a_plan_beyond_any_memory_is_refused() {
    let cpu = Cpu::new(1).unwrap();
    let graph = network("resnet20", 16).graph().clone();
    let refused = |batch: usize, side: usize| {
        let (dtype, graph) = (Dtype::Fp32, &graph);
        let train = TrainPlan::new(graph, dtype, batch, side, side, &cpu).unwrap_err();
        let eval = EvalPlan::new(graph, dtype, batch, side, side, &cpu).unwrap_err();
        [train, eval]
    };
    for error in refused(1 << 20, 512) {
        assert!(matches!(error, PlanError::Memory { .. }), "{error}");
        assert!(error.to_string().contains("GiB of memory"), "{error}");
    }
    for error in refused(1 << 20, 4096) {
        assert!(matches!(error, PlanError::Memory { available: None, .. }), "{error}");
    }
    for error in refused(1, 8192) {
        assert!(matches!(error, PlanError::TooLarge { .. }), "{error}");
    }
    for side in [1 << 32, usize::MAX / 4, usize::MAX] {
        for error in refused(1, side) {
            assert!(matches!(error, PlanError::Graph(_)), "{error}");
        }
    }
    // The image would fit, its border does not.
    let mut bordered = Graph::new(3);
    let conv = bordered.conv2d("conv1", Graph::INPUT, 8, 1 << 20, 1 << 20, 1 << 30);
    let pool = bordered.global_avg_pool("avgpool", conv);
    bordered.linear("fc", pool, 2);
    let error = EvalPlan::new(&bordered, Dtype::Fp32, 1, 8, 8, &cpu).unwrap_err();
    assert!(matches!(error, PlanError::TooLarge { .. } | PlanError::Graph(_)), "{error}");
}
