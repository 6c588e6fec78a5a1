//! GFLOP/s of every convolution of the CIFAR ResNet-18, of the 1x1 convolutions of the ImageNet
//! ResNet-50, or of the convolutions with groups of the ResNeXt-50. Each is verified before it is
//! timed.
//!
//! `cargo bench -p resnet-kernels --bench conv -- [batch] [threads] [fp32|bf16] [layer]`. The layer
//! `resnet50` or `resnext50` stands for those of that net. `RESNET_ISA` picks the instruction set. A batch of one
//! is verified against the f64 reference. Then the result of every image of the timed batch must be
//! bit-identical to it, and the gradient of the weights its sum.

use std::{collections::HashSet, time::Instant};

use resnet_kernels::{
    Buffer, Cpu, Dtype, Storage, Values,
    conv::{Conv, ConvConfig, ConvShape, Epilogue, Mode, Source, reference},
};

/// Channels in and out, side of the image, kernel, stride, groups.
type Layer = (usize, usize, usize, usize, usize, usize);

/// Layers of the net.
const LAYERS: [Layer; 11] = [
    (3, 64, 32, 3, 1, 1),
    (64, 64, 32, 3, 1, 1),
    (64, 128, 32, 3, 2, 1),
    (64, 128, 32, 1, 2, 1),
    (128, 128, 16, 3, 1, 1),
    (128, 256, 16, 3, 2, 1),
    (128, 256, 16, 1, 2, 1),
    (256, 256, 8, 3, 1, 1),
    (256, 512, 8, 3, 2, 1),
    (256, 512, 8, 1, 2, 1),
    (512, 512, 4, 3, 1, 1),
];

/// 1x1 layers of the ResNet-50 at 224x224.
const BOTTLENECKS: [Layer; 12] = [
    (64, 64, 56, 1, 1, 1),
    (64, 256, 56, 1, 1, 1),
    (256, 64, 56, 1, 1, 1),
    (256, 512, 56, 1, 2, 1),
    (256, 128, 56, 1, 1, 1),
    (128, 512, 28, 1, 1, 1),
    (512, 128, 28, 1, 1, 1),
    (512, 1024, 28, 1, 2, 1),
    (256, 1024, 14, 1, 1, 1),
    (1024, 256, 14, 1, 1, 1),
    (512, 2048, 7, 1, 1, 1),
    (2048, 512, 7, 1, 1, 1),
];

/// 3x3 layers of the ResNeXt-50 (32x4d) at 224x224.
const GROUPS: [Layer; 7] = [
    (128, 128, 56, 3, 1, 32),
    (256, 256, 56, 3, 2, 32),
    (256, 256, 28, 3, 1, 32),
    (512, 512, 28, 3, 2, 32),
    (512, 512, 14, 3, 1, 32),
    (1024, 1024, 14, 3, 2, 32),
    (1024, 1024, 7, 3, 1, 32),
];

/// Values that fit in few bits, so that sums differ from f64 by rounding only.
fn values(len: usize, seed: usize) -> Vec<f32> {
    (0..len).map(|i| ((((i + seed) * 2_654_435_761) >> 7) % 255) as f32 / 128.0 - 1.0).collect()
}

fn median_seconds(mut work: impl FnMut()) -> f64 {
    work();
    let (start, mut times) = (Instant::now(), Vec::new());
    while times.len() < 5 || start.elapsed().as_secs_f64() < 0.5 {
        let t = Instant::now();
        work();
        times.push(t.elapsed().as_secs_f64());
    }
    times.sort_by(f64::total_cmp);
    times[0]
}

/// The values `times` times, aligned as activations are.
fn stored(dtype: Dtype, values: &[f32], times: usize) -> Storage {
    let mut out = Storage::zeroed(dtype, values.len() * times).expect("memory");
    out.as_values_mut().set_f32(&values.repeat(times));
    out
}

fn nchw(v: Values<'_>, c: usize) -> Vec<f64> {
    let (pixels, v) = (v.len() / c, v.to_f32());
    (0..v.len()).map(|i| v[i % pixels * c + i / pixels].into()).collect()
}

fn assert_close(what: &str, got: &[f64], want: &[f64], tolerance: f64) {
    let rms = (want.iter().map(|w| w * w).sum::<f64>() / want.len() as f64).sqrt();
    for (g, w) in got.iter().zip(want) {
        assert!((g - w).abs() < tolerance * rms, "{what}: {g} for {w}");
    }
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let mut numbers = words.iter().filter_map(|a| a.parse().ok());
    let batch: usize = numbers.next().unwrap_or(32);
    let threads = numbers
        .next()
        .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    let cpu = Cpu::new(threads).expect("RESNET_ISA");
    let half = words.iter().any(|word| word == "bf16");
    let dtype = if half { Dtype::Bf16 } else { Dtype::Fp32 };
    println!("batch {batch}, {threads} threads, {}, {dtype}, GFLOP/s", cpu.isa());
    println!("{:24} {:>9} {:>9} {:>9}", "layer", "forward", "data", "weight");
    let only = words.get(3).map_or("", String::as_str);
    let layers = match only {
        "resnet50" => &BOTTLENECKS[..],
        "resnext50" => &GROUPS,
        _ => &LAYERS,
    };
    let all = only.starts_with("resne");
    for &layer in layers.iter().filter(|&&layer| all || label(layer).contains(only)) {
        let tolerance = match (half, layer.0 == 3) {
            (false, _) => 2e-4,
            // Images are f32, and so is what is computed from them.
            (true, true) => 3e-2,
            (true, false) => 6e-2,
        };
        time(&cpu, batch, layer, dtype, tolerance);
    }
}

fn label((ci, co, side, kernel, stride, groups): Layer) -> String {
    let groups = if groups > 1 { format!(" g{groups}") } else { String::new() };
    format!("{ci}->{co} {kernel}x{kernel}/{stride} {side}x{side}{groups}")
}

/// A line of the table; `tolerance` covers how the dtype stores results.
fn time(cpu: &Cpu, batch: usize, layer: Layer, dtype: Dtype, tolerance: f64) {
    let (ci, co, side, kernel, stride, groups) = layer;
    let shape = ConvShape {
        in_channels: ci,
        out_channels: co,
        height: side,
        width: side,
        kernel,
        stride,
        padding: kernel / 2,
        groups,
    };
    let first = ci == 3;
    let (source, mode) =
        if first { (Source::Image, Mode::TrainFirst) } else { (Source::Activation, Mode::Train) };
    let conv = Conv::new(ConvConfig { shape, dtype, source, mode, batch }, cpu).unwrap();
    let (in_len, out_len) = (shape.in_len(source), shape.out_len());
    // All images are the same: the results of the timed batch must be bit-identical to the verified
    // ones.
    let (mut one_x, one_dy) = (values(in_len, 1), values(out_len, 2));
    let image = shape.image();
    let pixel = |y: usize, x: usize| match source {
        Source::Activation => y * side + x,
        Source::Image => (y + image.border) * image.columns() + x + image.border,
    };
    if first {
        let inside: HashSet<usize> = (0..side * side).map(|i| pixel(i / side, i % side)).collect();
        for (i, pixel) in one_x.chunks_exact_mut(ci).enumerate() {
            if !inside.contains(&i) {
                pixel.fill(0.0);
            }
        }
    }
    let read = if first { Dtype::Fp32 } else { dtype };
    let (x, dy) = (stored(read, &one_x, batch), stored(dtype, &one_dy, batch));
    let (x, dy) = (x.as_values(), dy.as_values());
    let (one_x, one_dy) = (x.slice(0..in_len), dy.slice(0..out_len));
    let w = values(shape.weight_len(), 3);
    let mut packed = Buffer::zeroed(conv.packed_len()).expect("memory");
    let mut scratch = Buffer::zeroed(conv.scratch_len()).expect("memory");
    let activations = |len| Storage::zeroed(dtype, len).expect("memory");
    let (mut y, mut dx) = (activations(out_len * batch), activations(in_len * batch));
    let mut dw = vec![0.0; w.len()];
    let label = label(layer);
    let x32 = one_x.to_f32();
    let x64: Vec<f64> = (0..ci * side * side)
        .map(|i| x32[pixel(i / side % side, i % side) * ci + i / (side * side)].into())
        .collect();
    let (dy64, kk) = (nchw(one_dy, co), kernel * kernel);
    let oihw = |w: &[f32]| -> Vec<f64> {
        let own = ci / groups;
        let at = |i: usize| (i / (own * kk) * kk + i % kk) * own + i / kk % own;
        (0..w.len()).map(|i| f64::from(w[at(i)])).collect()
    };
    let weights = conv.pack_forward(&w, None, &mut packed);
    conv.forward(1, one_x, weights, y.as_values_mut(), Epilogue::STORE, &mut scratch);
    let one_y = y.to_f32(0..out_len);
    assert_close(
        &label,
        &nchw(y.values(0..out_len), co),
        &reference::forward(&shape, 1, &x64, &oihw(&w)),
        tolerance,
    );
    conv.backward_weight(1, one_x, one_dy, &mut dw, &mut scratch);
    let want_dw = reference::backward_weight(&shape, 1, &x64, &dy64);
    assert_close(&label, &oihw(&dw), &want_dw, tolerance);

    let forward = median_seconds(|| {
        conv.forward(batch, x, weights, y.as_values_mut(), Epilogue::STORE, &mut scratch);
    });
    let all = y.as_values().to_f32();
    assert!(all.chunks(out_len).all(|image| image == one_y), "{label}: images differ");
    let data = (!first).then(|| {
        let weights = conv.pack_backward_data(&w, &mut packed);
        conv.backward_data(1, one_dy, weights, dx.as_values_mut(), false, &mut scratch);
        let one_dx = dx.to_f32(0..in_len);
        let want = reference::backward_data(&shape, 1, &dy64, &oihw(&w));
        assert_close(&label, &nchw(dx.values(0..in_len), ci), &want, tolerance);
        let seconds = median_seconds(|| {
            conv.backward_data(batch, dy, weights, dx.as_values_mut(), false, &mut scratch);
        });
        let all = dx.as_values().to_f32();
        assert!(all.chunks(in_len).all(|image| image == one_dx), "{label}: images differ");
        seconds
    });
    let weight = median_seconds(|| conv.backward_weight(batch, x, dy, &mut dw, &mut scratch));
    let want_dw: Vec<f64> = want_dw.iter().map(|d| d * batch as f64).collect();
    assert_close(&label, &oihw(&dw), &want_dw, tolerance);
    let rate = |seconds: f64| (2 * shape.macs() * batch) as f64 / seconds / 1e9;
    let data = data.map_or("-".into(), |d| format!("{:.0}", rate(d)));
    println!("{label:24} {:>9.0} {data:>9} {:>9.0}", rate(forward), rate(weight));
}
