//! Plans compared with the f64 interpreter of their own programs.

use resnet_engine::{
    EvalPlan, Input, MicroBatch, Targets, TrainPlan,
    interpret::Interpreter,
    plan_summary::{Algorithm, PlanSummary},
    program::{Compute, Program},
};
use resnet_kernels::{Algorithms, Cpu, Dtype, Isa};
use resnet_network::Network;

use crate::graphs::{CLASSES, SIDES, distance, labels, nets, noise};

/// Enough images that strided Winograd is chosen.
const BATCH: usize = 16;

fn train_plan(net: &Network, cpu: &Cpu) -> TrainPlan {
    TrainPlan::new(net.graph(), Dtype::Fp32, BATCH, SIDES[0], SIDES[1], cpu).unwrap()
}

/// Probabilities `[n][CLASSES]` of each label and, less, of the next one.
fn soft(labels: &[u32]) -> Vec<f32> {
    let row = |&label: &u32| {
        let mut row = [0.0; CLASSES];
        row[label as usize] = 0.7;
        row[(label as usize + 1) % CLASSES] = 0.25;
        row
    };
    labels.iter().flat_map(row).collect()
}

/// Every instruction set, with direct convolution only and with the fastest algorithms.
fn cpus() -> impl Iterator<Item = Cpu> {
    Isa::to_test().into_iter().flat_map(|isa| {
        let cpu = Cpu::with_isa(2, isa).unwrap();
        [cpu.clone().with_algorithms(Algorithms::Direct), cpu]
    })
}

#[test]
fn a_training_step_equals_its_program() {
    for (name, net) in nets() {
        for cpu in cpus() {
            for (n, of) in [(BATCH, BATCH), (4, 4), (4, 9)] {
                let (x, labels) = (noise(n, 1), labels(n));
                let soft = soft(&labels);
                let targets = match n == of {
                    true => Targets::labels(&labels, 0.1),
                    false => Targets::probabilities(&soft, CLASSES, 0.1),
                };
                let mut plan = train_plan(&net, &cpu);
                let (mut trained, mut gradients) =
                    (net.clone(), vec![f32::NAN; net.values().len()]);
                let micro_batch = MicroBatch {
                    input: Input::Nchw(&x),
                    targets,
                    batch_size: of,
                    batch_weight: None,
                };
                let result = plan.step(&mut trained, &mut gradients, false, micro_batch, &mut ());
                let mut truth = Interpreter::new(plan.program());
                truth.run(&net, &x, [n, of], Some(targets));
                let what =
                    format!("{name} {} {:?}, {n} images of {of}", cpu.isa(), cpu.algorithms());
                assert!((result.loss - truth.loss).abs() < 1e-4 * truth.loss, "{what}");
                let used = n * CLASSES;
                let logits = distance(&plan.logits()[..used], &truth.logits[..used]);
                assert!(logits < 1e-4, "{what}: logits {logits:e}");
                for param in net.params() {
                    let at = param.range.clone();
                    let error = distance(&gradients[at.clone()], &truth.d_parameters[at]);
                    // A change in rounding can flip a ReLU near 0: see ARCHITECTURE.md.
                    assert!(error < 5e-2, "{what}: {} {error:e}", param.name);
                }
                for (norm, [mean, var]) in &truth.running {
                    let (got_mean, got_var) = trained.running(*norm);
                    let errors = [distance(got_mean, mean), distance(got_var, var)];
                    assert!(errors.iter().all(|e| *e < 1e-4), "{what}: running {errors:?}");
                }
            }
        }
    }
}

#[test]
fn inference_equals_its_program() {
    for (name, mut net) in nets() {
        let x = noise(BATCH, 2);
        // A step makes the running statistics differ from those of a new network.
        let mut plan = train_plan(&net, &Cpu::new(1).unwrap());
        let all = labels(BATCH);
        let targets = Targets::labels(&all, 0.0);
        let micro_batch = MicroBatch::whole(Input::Nchw(&x), targets);
        let mut gradients = vec![0.0; net.values().len()];
        plan.step(&mut net, &mut gradients, false, micro_batch, &mut ());
        for cpu in cpus() {
            let graph = net.graph();
            let mut plan =
                EvalPlan::new(graph, Dtype::Fp32, BATCH, SIDES[0], SIDES[1], &cpu).unwrap();
            plan.load(&net);
            let mut truth = Interpreter::new(plan.program());
            truth.run(&net, &x, [BATCH; 2], None);
            let want = truth.logits.clone();
            let error = distance(plan.forward(Input::Nchw(&x), BATCH), &want);
            assert!(error < 1e-4, "{name} {} {:?}: {error:e}", cpu.isa(), cpu.algorithms());
        }
    }
}

/// The tests above cover every algorithm, and batch norms that are fused into a convolution's load.
#[test]
fn the_networks_reach_every_algorithm() {
    let found = |cpu: &Cpu| -> Vec<Algorithm> {
        let summary = |(_, net): (_, Network)| -> PlanSummary { train_plan(&net, cpu).summary() };
        let layers = nets().into_iter().map(summary).flat_map(|summary| summary.layers);
        layers.flat_map(|layer| layer.algorithms).map(|a| a.1).collect()
    };
    for isa in Isa::to_test() {
        let cpu = Cpu::with_isa(1, isa).unwrap();
        let fastest = found(&cpu);
        let winograd = [1, 2].map(|stride| Algorithm::Winograd { side: 4, stride });
        for wanted in [winograd[0], winograd[1], Algorithm::Gemm, Algorithm::Direct] {
            assert!(fastest.contains(&wanted), "{isa}: no {wanted}");
        }
        let direct = found(&cpu.with_algorithms(Algorithms::Direct));
        assert!(direct.iter().all(|a| matches!(a, Algorithm::Direct | Algorithm::Gemm)), "{isa}");
    }
    let (_, wide) = nets().remove(1);
    let plan = train_plan(&wide, &Cpu::new(1).unwrap());
    let operations = &plan.program().operations;
    let unstored = |compute: &Compute| matches!(compute, Compute::BatchNormStatistics { .. });
    assert!(operations.iter().any(|operation| unstored(&operation.compute)));
}

/// The interpreter detects a wrong order and overlapping memory.
#[test]
fn a_broken_program_is_detected() {
    let (_, net) = nets().remove(0);
    let (x, labels) = (noise(BATCH, 1), labels(BATCH));
    let targets = Targets::labels(&labels, 0.0);
    let sound = train_plan(&net, &Cpu::new(1).unwrap()).program().clone();
    let gradients = |program: &Program| {
        let mut interpreter = Interpreter::new(program);
        interpreter.run(&net, &x, [BATCH; 2], Some(targets));
        interpreter.d_parameters
    };
    let truth = gradients(&sound);
    assert!(truth.iter().all(|g| g.is_finite()));
    let differs = |program: &Program| {
        let got = gradients(program);
        got.iter()
            .zip(&truth)
            .any(|(got, want)| (got - want).abs().is_nan() || (got - want).abs() > 1e-9)
    };
    assert!(!differs(&sound));

    // An operation before what it reads.
    let mut shuffled = 0;
    for index in 1..sound.operations.len() - 2 {
        let mut program = sound.clone();
        program.operations.swap(index, index + 1);
        shuffled += usize::from(differs(&program));
    }
    assert!(shuffled > sound.operations.len() / 3, "{shuffled} swaps show");

    // A value in the place of another that is still to be read, and gradients likewise.
    let (mut values, mut sums) = (0, 0);
    for index in 0..sound.operations.len() {
        let mut program = sound.clone();
        match &mut program.operations[index].compute {
            Compute::Conv { y, .. } | Compute::Parameterless { y, .. } if y.start >= 16 => {
                *y = y.start - 16..y.end - 16;
                assert!(differs(&program), "the output of operation {index}");
                values += 1;
            }
            Compute::ConvBackwardData { dx, .. } => {
                dx.accumulate = !dx.accumulate;
                assert!(differs(&program), "the sum of operation {index}");
                sums += 1;
            }
            _ => {}
        }
    }
    assert!(values > 3 && sums > 2, "{values} values, {sums} sums");
}

#[test]
#[should_panic(expected = "between the images and the logits")]
fn a_probe_of_the_logits_is_refused() {
    let (_, net) = nets().remove(0);
    let last = net.graph().nodes().len() - 1;
    let cpu = Cpu::new(1).unwrap();
    let [height, width] = SIDES;
    let _ = EvalPlan::with_probes(net.graph(), Dtype::Fp32, 1, height, width, &[last], &cpu);
}

#[test]
#[should_panic(expected = "no network is loaded")]
fn a_plan_without_a_network_does_not_answer() {
    let (_, net) = nets().remove(0);
    let cpu = Cpu::new(1).unwrap();
    let [height, width] = SIDES;
    let mut plan = EvalPlan::new(net.graph(), Dtype::Fp32, 1, height, width, &cpu).unwrap();
    plan.forward(Input::Nchw(&noise(1, 1)), 1);
}
