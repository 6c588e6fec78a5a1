//! Memory of plans: all of it is allocated when a plan is built, and bf16 needs half of it.

use resnet::{
    Arch, Cpu, Dtype, Network,
    data::Normalisation,
    engine::{EvalPlan, Input, TrainPlan},
    network::Init,
    optim::{Optimizer, SgdConfig},
};

use resnet_kernels::conv::{Conv, ConvConfig, ConvShape, Mode, Source};

use crate::common;

const DTYPES: [Dtype; 2] = [Dtype::Fp32, Dtype::Bf16];

#[test]
fn a_step_allocates_nothing() {
    let cases = [("resnet8", 32), ("resnet18", 40), ("resnet50-cifar", 8)];
    for ((arch, size), dtype) in cases.into_iter().flat_map(|case| DTYPES.map(|d| (case, d))) {
        let graph = arch.parse::<Arch>().unwrap().graph_with(3, 10, 8);
        // One thread: the count is that of this thread, which then does all the work.
        let cpu = Cpu::new(1).unwrap();
        let mut net = Network::new(graph.clone(), Init::PyTorch, 0);
        let config = SgdConfig {
            momentum: 0.9,
            weight_decay: 1e-4,
            nesterov: true,
            decay_norm_and_bias: false,
            ..SgdConfig::default()
        };
        let mut sgd = Optimizer::new(&net, config);
        let mut plan = TrainPlan::new(&graph, dtype, 4, size, size, &cpu).unwrap();
        let mut eval = EvalPlan::new(&graph, dtype, 4, size, size, &cpu).unwrap();
        let mut gradients = vec![0.0; net.values().len()];
        let pixels: Vec<u8> = (0..4 * size * size * 3).map(|i| (i % 251) as u8).collect();
        let normalisation = Normalisation::new(vec![0.5; 3], vec![0.25; 3]);
        eval.load(&net);
        let mut step = || {
            let input = Input::Bytes(&pixels, &normalisation);
            common::step(&mut plan, &mut net, &mut gradients, input, &[1, 2, 3, 4], 0.1);
            sgd.step(&cpu, &mut net, &gradients, 0.01);
            eval.forward(input, 4)[0]
        };
        step(); // The first step makes the table of the normalisation.
        let count = allocation_counter::measure(|| {
            step();
        });
        assert_eq!(count.count_total, 0, "{arch} {dtype}: {count:?}");
    }
}

#[test]
fn bf16_halves_activations() {
    let graph = "resnet20".parse::<Arch>().unwrap().graph(10);
    let cpu = Cpu::new(1).unwrap();
    // What a further 100 images need: weights and scratch are left out.
    let bytes = |dtype, train: bool| {
        let [few, many] = [100, 200].map(|batch| {
            let count = allocation_counter::measure(|| {
                if train {
                    drop(TrainPlan::new(&graph, dtype, batch, 32, 32, &cpu).unwrap());
                } else {
                    drop(EvalPlan::new(&graph, dtype, batch, 32, 32, &cpu).unwrap());
                }
            });
            count.bytes_max
        });
        (many - few) as f64
    };
    for train in [true, false] {
        let ratio = bytes(Dtype::Bf16, train) / bytes(Dtype::Fp32, train);
        // The images themselves stay f32.
        println!("train {train}: {ratio:.3}");
        assert!(ratio < 0.56, "train {train}: {ratio}");
    }
}

/// What is said of tables beforehand is an upper bound, and no more than a few times too much.
#[test]
fn tables_take_what_is_said() {
    let cpu = Cpu::new(1).unwrap();
    for (kernel, stride, padding, side, source) in [
        (3, 1, 1, 32, Source::Activation),
        (3, 2, 1, 33, Source::Activation),
        (1, 2, 0, 70, Source::Activation),
        (5, 3, 2, 200, Source::Activation),
        (3, 1, 1, 8, Source::Activation),
        (7, 2, 3, 224, Source::Image),
        (3, 1, 1, 32, Source::Image),
    ] {
        let (in_channels, out_channels, height, width) = (3, 8, side, side);
        let shape = ConvShape {
            in_channels,
            out_channels,
            height,
            width,
            kernel,
            stride,
            padding,
            groups: 1,
        };
        for mode in [Mode::Inference, Mode::TrainFirst, Mode::Train] {
            if mode == Mode::Train && source == Source::Image {
                continue;
            }
            let config = ConvConfig { shape, dtype: Dtype::Fp32, source, mode, batch: 2 };
            let most = Conv::table_bytes(config, &cpu) as u64;
            let make = || Conv::new(config, &cpu);
            let mut conv = None;
            let taken = allocation_counter::measure(|| conv = Some(make())).bytes_current;
            println!("{shape:?} {source:?} {mode:?}: {taken} of {most}");
            // A few short lists are no tables.
            assert!(taken as u64 <= most + 4096, "{shape:?} {mode:?}: {taken}, {most}");
            assert!(most < 4 * taken as u64 + 4096, "{shape:?} {mode:?}: {taken}, {most}");
        }
    }
}
