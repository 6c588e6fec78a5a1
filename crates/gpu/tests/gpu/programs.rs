//! Steps and inference on a device, compared with the f64 interpreter of the same programs.

use resnet_gpu::{Gpu, GpuEngine, GpuEvalPlan, Settings};
use resnet_kernels::Dtype;
use resnet_network::Network;
use resnet_program::{
    Input, MicroBatch, Targets,
    interpret::Interpreter,
    lower::{Lowering, inference, training},
    program::Program,
};

use crate::{
    device,
    graphs::{CLASSES, SIDES, distance, labels, nets, noise},
};

const BATCH: usize = 16;

fn settings(dtype: Dtype) -> Settings {
    Settings {
        dtype,
        batch: BATCH,
        eval_batch: BATCH,
        height: SIDES[0],
        width: SIDES[1],
        buffers: 1,
        muon: false,
        norm_momentum: 0.1,
        average: false,
    }
}

fn lowering(net: &Network, dtype: Dtype) -> Lowering<'_> {
    let (graph, [height, width]) = (net.graph(), SIDES);
    Lowering { graph, dtype, batch: BATCH, height, width, frozen: &[], eval: &[] }
}

fn program(net: &Network) -> Program {
    training(lowering(net, Dtype::Fp32), &mut |_| false).unwrap()
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

/// Loss, gradients and the network after a step.
fn step(
    gpu: &Gpu,
    net: &Network,
    dtype: Dtype,
    micro_batch: MicroBatch<'_>,
) -> (f64, Vec<f32>, Network) {
    let mut engine = GpuEngine::new(gpu, net, &settings(dtype)).unwrap();
    engine.backward(micro_batch, false).unwrap();
    let loss = engine.result().unwrap().loss;
    let mut trained = net.clone();
    let mut buffers = [vec![0.0; net.values().len()]];
    engine.download(&mut trained, &mut buffers, None).unwrap();
    (loss, engine.gradients().unwrap(), trained)
}

#[test]
fn a_training_step_equals_its_program() {
    let Some(gpu) = device() else { return };
    for (name, net) in nets() {
        for (n, of) in [(BATCH, BATCH), (5, 9)] {
            let (x, labels) = (noise(n, 1), labels(n));
            let soft = soft(&labels);
            let targets = match n == of {
                true => Targets::labels(&labels, 0.1),
                false => Targets::probabilities(&soft, CLASSES, 0.1),
            };
            let input = Input::Nchw(&x);
            let micro_batch = MicroBatch { input, targets, batch_size: of, batch_weight: None };
            let (loss, gradients, trained) = step(&gpu, &net, Dtype::Fp32, micro_batch);
            let program = program(&net);
            let mut truth = Interpreter::new(&program);
            truth.run(&net, &x, [n, of], Some(targets));
            let what = format!("{name}, {n} images of {of}");
            assert!((loss - truth.loss).abs() < 1e-4 * truth.loss, "{what}: {loss} {}", truth.loss);
            for param in net.params() {
                let at = param.range.clone();
                let error = distance(&gradients[at.clone()], &truth.d_parameters[at]);
                // A change in rounding can flip a ReLU near 0.
                assert!(error < 5e-2, "{what}: {} {error:e}", param.name);
            }
            for (norm, [mean, var]) in &truth.running {
                let (got_mean, got_var) = trained.running(*norm);
                let errors = [distance(got_mean, mean), distance(got_var, var)];
                assert!(errors.iter().all(|e| *e < 1e-4), "{what}: running {errors:?}");
            }
            let again = step(&gpu, &net, Dtype::Fp32, micro_batch);
            let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(&again.1), bits(&gradients), "{what}: other bits");
        }
    }
}

#[test]
fn inference_equals_its_program() {
    let Some(gpu) = device() else { return };
    for (name, net) in nets() {
        let (x, all) = (noise(BATCH, 2), labels(BATCH));
        // A step makes the running statistics differ from those of a new network.
        let micro_batch = MicroBatch::whole(Input::Nchw(&x), Targets::labels(&all, 0.0));
        let (_, _, net) = step(&gpu, &net, Dtype::Fp32, micro_batch);
        let program = inference(lowering(&net, Dtype::Fp32), &[]).unwrap();
        let mut truth = Interpreter::new(&program);
        truth.run(&net, &x, [BATCH; 2], None);
        let graph = net.graph();
        for (dtype, most) in [(Dtype::Fp32, 1e-4), (Dtype::Bf16, 0.1)] {
            let mut plan = GpuEvalPlan::new(&gpu, graph, dtype, BATCH, SIDES, &[]).unwrap();
            plan.load(&net).unwrap();
            let logits = plan.forward(Input::Nchw(&x), BATCH).unwrap();
            let error = distance(logits, &truth.logits);
            assert!(error < most, "{name} {dtype}: {error:e}");
        }
    }
}
