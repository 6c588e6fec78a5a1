//! A step allocates nothing: all memory is laid out when the plans are built.

use resnet::{
    Arch, Cpu, Network,
    data::Normalisation,
    network::Init,
    optim::{Sgd, SgdConfig},
    plan::{EvalPlan, Input, TrainPlan},
};

#[test]
fn a_step_allocates_nothing() {
    for (arch, size) in [("resnet8", 32), ("resnet18", 40), ("resnet50-cifar", 8)] {
        let graph = arch.parse::<Arch>().unwrap().graph_with(3, 10, 8);
        // One thread: the count is that of this thread, which then does all the work.
        let cpu = Cpu::new(1).unwrap();
        let mut net = Network::new(graph.clone(), Init::PyTorch, 0);
        let config = SgdConfig {
            momentum: 0.9,
            weight_decay: 1e-4,
            nesterov: true,
            decay_norm_and_bias: false,
        };
        let mut sgd = Sgd::new(&net, config);
        let mut plan = TrainPlan::new(&graph, 4, size, size, &cpu).unwrap();
        let mut eval = EvalPlan::new(&graph, 4, size, size, &cpu).unwrap();
        let mut gradients = vec![0.0; net.values().len()];
        let pixels: Vec<u8> = (0..4 * size * size * 3).map(|i| (i % 251) as u8).collect();
        let normalisation = Normalisation { mean: vec![0.5; 3], std: vec![0.25; 3] };
        eval.load(&net);
        let mut step = || {
            let input = Input::Bytes(&pixels, &normalisation);
            plan.step(&mut net, &mut gradients, input, &[1, 2, 3, 4], 0.1);
            sgd.step(&cpu, &mut net, &gradients, 0.01);
            eval.forward(input, 4)[0]
        };
        step(); // The first step makes the table of the normalisation.
        let count = allocation_counter::measure(|| {
            step();
        });
        assert_eq!(count.count_total, 0, "{arch}: {count:?}");
    }
}
