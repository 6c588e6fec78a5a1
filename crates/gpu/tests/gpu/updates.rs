//! Optimisers, averages, clipping and accumulation, compared with the processor's.

use resnet_gpu::{Gpu, GpuEngine, Rule, Settings, UpdateRange};
use resnet_kernels::{
    Cpu, Dtype, adamw, average,
    muon::{self, Shape},
    sgd,
};
use resnet_network::{Arch, Network, network::Init, optim::Muon};
use resnet_program::{Input, MicroBatch, Targets};

use crate::device;

const BATCH: usize = 6;

fn network() -> Network {
    let arch: Arch = "resnet8".parse().unwrap();
    Network::new(arch.graph_with(3, 10, 4), Init::PyTorch, 1)
}

fn engine(gpu: &Gpu, net: &Network, buffers: usize) -> GpuEngine {
    let settings = Settings {
        dtype: Dtype::Fp32,
        batch: BATCH,
        eval_batch: BATCH,
        height: 8,
        width: 8,
        buffers,
        muon: buffers == 1,
        norm_momentum: 0.4,
        average: true,
    };
    GpuEngine::new(gpu, net, &settings).unwrap()
}

fn images(n: usize, key: u64) -> Vec<f32> {
    use resnet_network::random::{Purpose, Random};
    let mut random = Random::new(5, Purpose::Synthetic, &[key]);
    (0..n * 3 * 8 * 8).map(|_| random.normal()).collect()
}

fn backward(engine: &mut GpuEngine, x: &[f32], labels: &[u32], of: usize, accumulate: bool) {
    let targets = Targets::labels(labels, 0.0);
    let input = Input::Nchw(x);
    let part = MicroBatch { input, targets, batch_size: of, batch_weight: None };
    engine.backward(part, accumulate).unwrap();
    engine.result().unwrap();
}

fn close(got: &[f32], want: &[f32], most: f32, what: &str) {
    assert_eq!(got.len(), want.len(), "{what}");
    for (i, (got, want)) in got.iter().zip(want).enumerate() {
        assert!((got - want).abs() <= most * want.abs().max(1e-2), "{what} {i}: {got} {want}");
    }
}

/// Two ranges at different rates; what is between and after them is frozen.
fn ranges(net: &Network, step: u64) -> Vec<UpdateRange> {
    let params = net.params();
    let range = |i: usize| params[i].range.clone();
    vec![
        UpdateRange { range: range(0), lr: 0.1, weight_decay: 5e-3, step },
        UpdateRange { range: range(3).start..range(5).end, lr: 0.02, weight_decay: 0.0, step },
    ]
}

#[test]
fn sgd_equals_the_processor() {
    let Some(gpu) = device() else { return };
    let (net, cpu) = (network(), Cpu::new(1).unwrap());
    for nesterov in [false, true] {
        let mut engine = engine(&gpu, &net, 1);
        let (mut want, mut momentum) = (net.values().to_vec(), vec![0.0; net.values().len()]);
        for step in 1..=3 {
            backward(&mut engine, &images(4, step), &[1, 2, 3, 4], 4, false);
            let gradients = engine.gradients().unwrap();
            engine.update(Rule::Sgd { momentum: 0.9, nesterov }, &ranges(&net, step)).unwrap();
            for UpdateRange { range, lr, weight_decay, .. } in ranges(&net, step) {
                let update = sgd::Update { lr, momentum: 0.9, weight_decay, nesterov };
                let (w, m) = (&mut want[range.clone()], &mut momentum[range.clone()]);
                sgd::update(&cpu, update, w, m, &gradients[range]);
            }
        }
        let (mut got, mut buffers) = (net.clone(), [vec![0.0; net.values().len()]]);
        engine.download(&mut got, &mut buffers, None).unwrap();
        close(got.values(), &want, 1e-5, "weights");
        close(&buffers[0], &momentum, 1e-5, "momentum");
        assert_eq!(got.all_batches_tracked()[0], 3);
    }
}

#[test]
fn adamw_equals_the_processor() {
    let Some(gpu) = device() else { return };
    let (net, cpu) = (network(), Cpu::new(1).unwrap());
    let (betas, eps, len) = ([0.9, 0.999], 1e-8, net.values().len());
    let mut engine = engine(&gpu, &net, 2);
    let (mut want, mut kept) = (net.values().to_vec(), [vec![0.0; len], vec![0.0; len]]);
    for step in 1..=3 {
        backward(&mut engine, &images(4, step), &[1, 2, 3, 4], 4, false);
        let gradients = engine.gradients().unwrap();
        engine.update(Rule::AdamW { betas, eps }, &ranges(&net, step)).unwrap();
        for UpdateRange { range, lr, weight_decay, step } in ranges(&net, step) {
            let update = adamw::Update { lr, betas, eps, weight_decay, step };
            let [average, square] = &mut kept;
            let (w, average, square) =
                (&mut want[range.clone()], &mut average[range.clone()], &mut square[range.clone()]);
            adamw::update(&cpu, update, w, average, square, &gradients[range]);
        }
    }
    let (mut got, mut buffers) = (net.clone(), [vec![0.0; len], vec![0.0; len]]);
    engine.download(&mut got, &mut buffers, None).unwrap();
    close(got.values(), &want, 1e-4, "weights");
    close(&buffers[0], &kept[0], 1e-5, "average");
    close(&buffers[1], &kept[1], 1e-5, "square");
}

/// Square weights, wide and tall ones, of other sides than a workgroup has; one iteration, and more than run on one Gram
/// matrix.
#[test]
fn muon_equals_the_processor() {
    let Some(gpu) = device() else { return };
    let cpu = Cpu::new(1).unwrap();
    for (name, width) in [("resnet20-b", 4), ("resnet26-bottleneck", 20)] {
        let arch: Arch = name.parse().unwrap();
        let net = Network::new(arch.graph_with(3, 10, width), Init::PyTorch, 1);
        let mut engine = engine(&gpu, &net, 1);
        let trained = net.params().iter().filter(|param| Muon::trains(net.graph(), param.node));
        let trained: Vec<_> = trained.collect();
        let (mut want, mut momentum) = (net.values().to_vec(), vec![0.0; net.values().len()]);
        for (step, steps, rescale) in [(0, 1, true), (1, 2, false), (2, 3, true), (3, 5, true)] {
            backward(&mut engine, &images(4, step), &[1, 2, 3, 4], 4, false);
            let gradients = engine.gradients().unwrap();
            let (lr, weight_decay) = (0.05, 0.1);
            let update = muon::Update { lr, momentum: 0.6, weight_decay, steps, rescale };
            for param in &trained {
                let (range, rows) = (param.range.clone(), param.shape[0]);
                engine.update_by_muon(&range, update).unwrap();
                let shape = Shape { rows, columns: range.len() / rows };
                let mut scratch = vec![0.0; shape.scratch_len(&cpu)];
                let (w, m) = (&mut want[range.clone()], &mut momentum[range.clone()]);
                muon::update(&cpu, update, shape, w, m, &gradients[range], &mut scratch);
            }
            let (mut got, mut buffers) = (net.clone(), [vec![0.0; net.values().len()]]);
            engine.download(&mut got, &mut buffers, None).unwrap();
            for param in net.params() {
                let what = format!("{name}, {steps} iterations: {}", param.name);
                let range = param.range.clone();
                let norm = |values: &[f32]| values.iter().map(|x| x * x).sum::<f32>().sqrt();
                let pairs = got.values()[range.clone()].iter().zip(&want[range.clone()]);
                let errors: Vec<f32> = pairs.map(|(a, b)| a - b).collect();
                let error = norm(&errors) / norm(&want[range.clone()]).max(1e-6);
                assert!(error < 1e-4, "{what}: {error}");
                close(&buffers[0][range.clone()], &momentum[range], 1e-4, &what);
            }
            // The next step begins with the same weights.
            engine.load(&with_values(&net, &want), &[momentum.clone()]);
        }
    }
}

fn with_values(net: &Network, values: &[f32]) -> Network {
    let mut net = net.clone();
    net.values_mut().copy_from_slice(values);
    net
}

#[test]
fn averages_equal_the_processor() {
    let Some(gpu) = device() else { return };
    let (net, cpu) = (network(), Cpu::new(1).unwrap());
    for back in [false, true] {
        let mut engine = engine(&gpu, &net, 1);
        backward(&mut engine, &images(4, 1), &[1, 2, 3, 4], 4, false);
        let all = 0..net.values().len();
        let range = UpdateRange { range: all.clone(), lr: 0.1, weight_decay: 0.0, step: 1 };
        engine.update(Rule::Sgd { momentum: 0.9, nesterov: true }, &[range]).unwrap();
        let (mut before, mut buffers) = (net.clone(), [vec![0.0; all.len()]]);
        engine.download(&mut before, &mut buffers, None).unwrap();
        engine.update_average(0.7, back).unwrap();
        let mut want = [net.values().to_vec(), net.running_values().to_vec()];
        average::update(&cpu, 0.7, &mut want[0], before.values());
        average::update(&cpu, 0.7, &mut want[1], before.running_values());
        let (mut after, mut moved) = (net.clone(), net.clone());
        engine.download(&mut after, &mut buffers, Some(&mut moved)).unwrap();
        close(moved.values(), &want[0], 1e-6, "average");
        close(moved.running_values(), &want[1], 1e-6, "running statistics");
        let network = if back { &moved } else { &before };
        assert_eq!(after.values(), network.values());
        assert_eq!(moved.batches_tracked(), Some(if back { 0 } else { 1 }));
        // The average is evaluated, and the network.
        let x = images(2, 9);
        let of_average = engine.evaluate(true, Input::Nchw(&x), 2).unwrap().to_vec();
        let of_network = engine.evaluate(false, Input::Nchw(&x), 2).unwrap().to_vec();
        assert_eq!(of_average == of_network, back);
    }
}

#[test]
fn parts_of_a_batch_add_up_and_are_clipped() {
    let Some(gpu) = device() else { return };
    let net = network();
    let mut engine = engine(&gpu, &net, 1);
    let (x, labels) = (images(6, 2), [1, 2, 3, 4, 5, 6]);
    let one = 3 * 8 * 8;
    let part = |engine: &mut GpuEngine, from: usize, to: usize, accumulate: bool| {
        backward(engine, &x[from * one..to * one], &labels[from..to], 6, accumulate);
        engine.gradients().unwrap()
    };
    let first = part(&mut engine, 0, 2, false);
    let second = part(&mut engine, 2, 6, false);
    part(&mut engine, 0, 2, false);
    let both = part(&mut engine, 2, 6, true);
    let sum: Vec<f32> = first.iter().zip(&second).map(|(a, b)| a + b).collect();
    assert_eq!(both, sum);
    // Of two ranges: the rest stays.
    let ranges: Vec<_> = ranges(&net, 1).into_iter().map(|range| range.range).collect();
    let of = |values: &[f32]| {
        let squares = ranges.iter().flat_map(|range| &values[range.clone()]);
        squares.map(|&g| f64::from(g).powi(2)).sum::<f64>().sqrt()
    };
    let norm = engine.clip_grad_norm(&ranges, 0.01).unwrap();
    assert!((norm - of(&sum)).abs() < 1e-5 * norm, "{norm}");
    let clipped = engine.gradients().unwrap();
    assert!((of(&clipped) - 0.01).abs() < 1e-6, "{}", of(&clipped));
    let last = ranges[1].end;
    assert_eq!(clipped[last..], sum[last..]);
    engine.scale_gradients(2.0).unwrap();
    assert_eq!(engine.gradients().unwrap()[last], 2.0 * sum[last]);
}

/// Bytes are normalised as on the processor, with a mean of channels or of pixels.
#[test]
fn bytes_are_normalised() {
    use resnet_network::preprocess::Normalisation;
    let Some(gpu) = device() else { return };
    let net = network();
    let bytes: Vec<u8> = (0..2 * 8 * 8 * 3).map(|i| (i * 37 % 256) as u8).collect();
    let mean_image: Vec<f32> = (0..8 * 8 * 3).map(|i| (i % 90) as f32 / 255.0).collect();
    for mean_image in [None, Some(mean_image)] {
        let (mean, std) = (vec![0.5, 0.4, 0.3], vec![0.2, 0.25, 0.3]);
        let normalisation = Normalisation { mean, std, mean_image };
        let mut nchw = vec![0.0; bytes.len()];
        for (i, &byte) in bytes.iter().enumerate() {
            let (c, pixel, image) = (i % 3, i / 3 % 64, i / 192);
            let mean = match &normalisation.mean_image {
                Some(image) => image[pixel * 3 + c],
                None => normalisation.mean[c],
            };
            nchw[(image * 3 + c) * 64 + pixel] =
                (f32::from(byte) / 255.0 - mean) / normalisation.std[c];
        }
        let mut engine = engine(&gpu, &net, 1);
        let of_bytes = engine.evaluate(false, Input::Bytes(&bytes, &normalisation), 2).unwrap();
        let of_bytes = of_bytes.to_vec();
        close(&of_bytes, engine.evaluate(false, Input::Nchw(&nchw), 2).unwrap(), 1e-5, "logits");
    }
}

/// Features in place of images: those of a frozen network, in training and evaluation.
#[test]
fn features_enter_the_head() {
    let Some(gpu) = device() else { return };
    let net = network();
    let graph = net.graph();
    let head = graph.nodes().len() - 1;
    let frozen: Vec<_> = (0..head).collect();
    let norms: Vec<_> = net.norms().collect();
    let mut engine = engine(&gpu, &net, 1);
    engine.replan(8, 8, &frozen, &norms).unwrap();
    let (x, labels) = (images(4, 3), [0, 1, 2, 3]);
    backward(&mut engine, &x, &labels, 4, false);
    let want = engine.gradients().unwrap();
    let features = engine.features(Input::Nchw(&x), 4).unwrap();
    let micro_batch = MicroBatch::whole(Input::Features(&features), Targets::labels(&labels, 0.0));
    engine.backward(micro_batch, false).unwrap();
    engine.result().unwrap();
    assert_eq!(engine.gradients().unwrap(), want);
    let logits = engine.evaluate(false, Input::Nchw(&x), 4).unwrap().to_vec();
    let features = engine.evaluated_features(false, Input::Nchw(&x), 4).unwrap();
    assert_eq!(engine.evaluate(false, Input::Features(&features), 4).unwrap(), logits);
    let (mut after, mut buffers) = (net.clone(), [vec![0.0; net.values().len()]]);
    engine.download(&mut after, &mut buffers, None).unwrap();
    assert_eq!(after.running_values(), net.running_values());
    assert_eq!(after.batches_tracked(), Some(0));
}

/// A batch that does not fit is refused, and the largest that does is named.
#[test]
fn too_large_a_batch_names_one_that_fits() {
    use resnet_gpu::GpuError;
    let Some(gpu) = device() else { return };
    let net = network();
    let settings = |batch| Settings {
        dtype: Dtype::Fp32,
        batch,
        eval_batch: 1,
        height: 224,
        width: 224,
        buffers: 1,
        muon: false,
        norm_momentum: 0.1,
        average: false,
    };
    let error = GpuEngine::new(&gpu, &net, &settings(1 << 16)).unwrap_err();
    eprintln!("{error}");
    let GpuError::Memory { fits: Some(fits), .. } = error else { panic!("{error}") };
    assert!(fits > 0 && fits < 1 << 16);
    assert!(error.to_string().contains(&format!("--batch-size {fits}")), "{error}");
}

/// Training in bfloat16 rounds, to the same bits twice. `golden` says how much.
#[test]
fn bf16_rounds_to_the_same_bits() {
    let Some(gpu) = device() else { return };
    let net = network();
    let run = |dtype| {
        let settings = Settings {
            dtype,
            batch: BATCH,
            eval_batch: 1,
            height: 16,
            width: 16,
            buffers: 1,
            muon: false,
            norm_momentum: 0.1,
            average: false,
        };
        let mut engine = GpuEngine::new(&gpu, &net, &settings).unwrap();
        use resnet_network::random::{Purpose, Random};
        let mut random = Random::new(5, Purpose::Synthetic, &[4]);
        let x: Vec<f32> = (0..BATCH * 3 * 16 * 16).map(|_| random.normal()).collect();
        backward(&mut engine, &x, &[0, 1, 2, 3, 4, 5], BATCH, false);
        engine.gradients().unwrap()
    };
    let (exact, rounded) = (run(Dtype::Fp32), run(Dtype::Bf16));
    assert_eq!(run(Dtype::Bf16), rounded);
    assert_ne!(exact, rounded);
}

/// The device's clock has a time for each operation, and a step by it has the same bits.
#[test]
fn operations_are_timed() {
    use std::time::{Duration, Instant};
    let Some(gpu) = device() else { return };
    let net = network();
    let mut engine = engine(&gpu, &net, 1);
    let (x, labels) = (images(6, 2), [1, 2, 3, 4, 5, 6]);
    backward(&mut engine, &x, &labels, 6, false);
    let want = engine.gradients().unwrap();
    let batch = MicroBatch::whole(Input::Nchw(&x), Targets::labels(&labels, 0.0));
    let start = Instant::now();
    let times = engine.timed_backward(batch).unwrap();
    let all: Duration = times.iter().sum();
    assert_eq!(times.len(), engine.program().operations.len());
    assert!(all > Duration::ZERO && all < start.elapsed(), "{all:?}");
    engine.result().unwrap();
    assert_eq!(engine.gradients().unwrap(), want);
}

#[test]
fn peaks_are_measured() {
    let Some(gpu) = device() else { return };
    let resnet_gpu::GpuPeaks { flops, copy, read } = gpu.peaks().unwrap();
    // From a renderer in software to any card.
    assert!((1e7..1e16).contains(&flops) && [copy, read].iter().all(|b| (1e7..1e14).contains(b)));
}
