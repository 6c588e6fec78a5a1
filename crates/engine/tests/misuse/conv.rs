//! Convolutions.

use resnet_kernels::{
    Algorithms, Cpu, Dtype,
    conv::{
        Conv, ConvConfig, ConvInput, ConvShape, Direction, Epilogue, Mode, ScaleShift, Source,
        Weights, reference,
    },
    layout::padded,
};

use super::caller::{Caller, Slice, Stored};

/// A shape that may take any algorithm.
fn shape(c: &mut Caller<'_>) -> ConvShape {
    let kernel = c.one_of(&[3, 3, 3, 1, 1, 2, 5]);
    let channels: &[usize] = if kernel == 5 { &[3, 16, 20] } else { &[32, 64, 32, 16, 48, 3, 128] };
    let (in_channels, out_channels) = (c.one_of(channels), c.one_of(channels));
    let stride = c.one_of(&[1, 1, 2, 3]);
    let padding = if c.choose(4) == 0 { c.choose(kernel + 1) } else { kernel / 2 };
    // Weights that outweigh their tiles are transformed by the call itself.
    let wide = kernel == 3 && c.choose(4) == 0;
    let (in_channels, out_channels) = if wide { (256, 288) } else { (in_channels, out_channels) };
    let side = |c: &mut Caller<'_>| kernel + c.choose(if wide { 3 } else { 9 });
    let (height, width) = (side(c), side(c));
    // 1x1 windows: so many channels that pixels are copied, so many pixels that they are split.
    let (in_channels, out_channels, height) = match (kernel, c.choose(4)) {
        (1, 0) => (1040, 16, height.min(3)),
        (1, 1) => (16, 1040, height.min(3)),
        (1, 2) => (in_channels, out_channels, 8 * height),
        _ => (in_channels, out_channels, height),
    };
    let divides = |n: &usize| in_channels.is_multiple_of(*n) && out_channels.is_multiple_of(*n);
    let divisors: Vec<usize> = [1, 2, 3, 4, 8, 16, 32].into_iter().filter(divides).collect();
    let groups = if c.choose(3) == 0 { c.one_of(&divisors) } else { 1 };
    ConvShape { in_channels, out_channels, height, width, kernel, stride, padding, groups }
}

/// How a convolution is prepared.
struct Prepared {
    s: ConvShape,
    dtype: Dtype,
    source: Source,
    mode: Mode,
    most: usize,
    cpu: Cpu,
}

impl Prepared {
    fn choose(c: &mut Caller<'_>, cpu: &Cpu) -> Self {
        let (s, dtype) = (shape(c), c.dtype());
        let source = if c.choose(6) == 0 { Source::Image } else { Source::Activation };
        let mode = match source {
            Source::Image => c.one_of(&[Mode::Inference, Mode::TrainFirst]),
            Source::Activation => {
                c.one_of(&[Mode::Train, Mode::Train, Mode::Inference, Mode::TrainFirst])
            }
        };
        // Many tiles, few, and more images than there will ever be.
        let most = c.one_of(&[1, 2, 9, 40, 1 << 20]);
        let algorithms = c.one_of(&[Algorithms::Fastest, Algorithms::Fastest, Algorithms::Direct]);
        let cpu = cpu.clone().with_algorithms(algorithms);
        Prepared { s, dtype, source, mode, most, cpu }
    }

    fn conv(&self) -> Conv {
        Conv::new(self.config(self.most), &self.cpu).unwrap()
    }

    fn config(&self, batch: usize) -> ConvConfig {
        let Prepared { s: shape, dtype, source, mode, .. } = *self;
        ConvConfig { shape, dtype, source, mode, batch }
    }

    /// The dtype of what is read.
    fn read(&self) -> Dtype {
        if self.source == Source::Image { Dtype::Fp32 } else { self.dtype }
    }
}

/// All directions that a convolution has.
pub(crate) fn convolution(c: &mut Caller<'_>, cpu: &Cpu) {
    let p = Prepared::choose(c, cpu);
    let (conv, s) = (p.conv(), p.s);
    // A batch of no images is allowed.
    let images = p.most.min(c.one_of(&[0, 1, 2, 3, 5, 8, 9]));
    // Scratch for a million images is more than a test should take.
    let conv = if conv.scratch_len() > 1 << 24 {
        Conv::new(p.config(images.max(1)), &p.cpu).unwrap()
    } else {
        conv
    };
    let w = c.numbers(s.weight_len());
    match (p.mode, c.choose(3)) {
        (Mode::Train, 1) => backward_data(c, &p, &conv, images, &w),
        (Mode::Train | Mode::TrainFirst, 2) => backward_weight(c, &p, &conv, images),
        _ => forward(c, &p, &conv, images, &w),
    }
    let (mode, direction) = (p.mode, c.one_of(&Direction::ALL));
    assert_eq!(conv.algorithm(direction).is_some(), mode.has(direction));
    if !mode.has(Direction::BackwardData) && c.site("a direction", false, &[true]) {
        let mut packed = vec![0.0; conv.packed_len()];
        match c.choose(2) {
            0 => _ = conv.weights(Direction::BackwardData, &w, &packed),
            _ => _ = conv.pack_backward_data(&w, &mut packed),
        }
    }
    if mode != Mode::Inference && c.site("factors in training", false, &[true]) {
        let (factors, mut packed) = (vec![1.0; s.out_channels], vec![0.0; conv.packed_len()]);
        conv.pack_forward(&w, Some(&factors), &mut packed);
    }
}

fn input(c: &mut Caller<'_>, p: &Prepared, images: usize) -> Stored {
    let len = c.at_least("input", images * p.s.in_len(p.source));
    let pixel = match p.source {
        Source::Activation => (p.s.in_channels, padded(p.s.in_channels)),
        Source::Image => (1, 1),
    };
    let dtype = c.same("dtype of the input", p.read());
    c.stored(dtype, len, pixel)
}

/// A scale and a shift, for a convolution that can take them.
fn norm(c: &mut Caller<'_>, p: &Prepared, conv: &Conv) -> Option<(Slice, Slice)> {
    let reads = conv.algorithm(Direction::Forward).is_some_and(|a| a.fuses_input_norm());
    let wrongly = !reads && c.site("a norm", false, &[true]);
    if !(wrongly || reads && p.mode == Mode::Train && c.flip()) {
        return None;
    }
    let stored = padded(p.s.in_channels);
    let (scale, shift) = (c.exactly("scale", stored), c.exactly("shift", stored));
    Some((c.slice(scale), c.slice(shift)))
}

fn activation<'a>(x: &'a Stored, norm: &'a Option<(Slice, Slice)>) -> ConvInput<'a> {
    let norm = norm.as_ref().map(|(scale, shift)| ScaleShift { scale, shift });
    ConvInput { values: x.values(), norm }
}

fn scratch(c: &mut Caller<'_>, conv: &Conv) -> Slice {
    let len = c.at_least("scratch", conv.scratch_len());
    c.slice(len)
}

/// Weights of this direction: or of the other one, or of another convolution.
fn weights<'a>(
    c: &mut Caller<'_>,
    (p, conv): (&Prepared, &Conv),
    direction: Direction,
    w: &'a [f32],
    packed: &'a mut [f32],
    short: &'a [f32],
) -> Weights<'a> {
    let at = match direction {
        Direction::Forward => "weights",
        _ => "rotated weights",
    };
    let len = c.exactly(at, w.len());
    let from = if len <= w.len() { w[..len].to_vec() } else { vec![0.0; len] };
    match direction {
        Direction::Forward => {
            let wrong = p.s.out_channels.wrapping_sub(1);
            let factors = c.site("factors", None, &[Some(wrong), Some(0)]);
            let factors = match factors {
                Some(wrong) => Some(vec![1.0; wrong]),
                None if p.mode == Mode::Inference => Some(vec![0.5; p.s.out_channels]),
                None => None,
            };
            conv.pack_forward(&from, factors.as_deref(), packed);
        }
        _ => _ = conv.pack_backward_data(&from, packed),
    }
    let other =
        if direction == Direction::Forward { Direction::BackwardData } else { Direction::Forward };
    match c.site("weights", 0, &[1, 2, 3]) {
        0 => conv.weights(direction, w, packed),
        // Whichever it takes.
        3 => conv.weights(direction, short, &[]),
        1 if p.mode.has(other) => conv.weights(other, w, packed),
        _ => {
            let another = Conv::new(p.config(p.most + 1), &p.cpu).unwrap();
            another.weights(direction, w, packed)
        }
    }
}

fn forward(c: &mut Caller<'_>, p: &Prepared, conv: &Conv, images: usize, w: &[f32]) {
    let x = input(c, p, images);
    let (s, outputs) = (&p.s, padded(p.s.out_channels));
    let packed = c.at_least("packed", conv.packed_len());
    let mut packed = c.slice(packed);
    let short = w[..w.len().min(16)].to_vec();
    let weights = weights(c, (p, conv), Direction::Forward, w, &mut packed, &short);
    let all = images * s.out_len();
    let (len, dtype) = (c.at_least("output", all), c.same("dtype of the output", p.dtype));
    let mut y = c.stored(dtype, len, (s.out_channels, outputs));
    let residual = c.flip().then(|| {
        let (len, dtype) = (c.at_least("residual", all), c.same("dtype of it", p.dtype));
        c.stored(dtype, len, (s.out_channels, outputs))
    });
    let bias = c.flip().then(|| {
        let len = c.at_least("bias", outputs);
        c.stored(Dtype::Fp32, len, (s.out_channels, outputs)).to_f32()
    });
    let norm = norm(c, p, conv);
    let mut scratch = scratch(c, conv);
    let epilogue = Epilogue {
        bias: bias.as_deref(),
        residual: residual.as_ref().map(Stored::values),
        accumulate: c.flip(),
        relu: c.flip(),
    };
    let is_plain = bias.is_none() && residual.is_none() && !epilogue.accumulate && !epilogue.relu;
    let x_of = activation(&x, &norm);
    let n = c.images("images", images);
    conv.forward(n, x_of, weights, y.values_mut(), epilogue, &mut scratch);
    let got = y.to_f32();
    c.finite(&got);
    if is_plain && norm.is_none() && p.source == Source::Activation && s.padding <= s.kernel {
        let factor = if p.mode == Mode::Inference { 0.5 } else { 1.0 };
        compare(p, images, (w, factor), &x.to_f32(), &got);
    }
}

/// Against plain loops in f64.
fn compare(p: &Prepared, images: usize, (w, factor): (&[f32], f64), x: &[f32], got: &[f32]) {
    let s = &p.s;
    let dense = |stored: &[f32], channels: usize, pixels: usize| -> Vec<f64> {
        let wide = padded(channels);
        let at = |i: usize| {
            let (image, channel, pixel) =
                (i / pixels / channels, i / pixels % channels, i % pixels);
            f64::from(stored[(image * pixels + pixel) * wide + channel])
        };
        (0..images * channels * pixels).map(at).collect()
    };
    let window = s.kernel * s.kernel;
    let plain = |i: usize| {
        let own = s.group_inputs();
        let (out, channel, at) = (i / (own * window), i / window % own, i % window);
        f64::from(w[(out * window + at) * own + channel]) * factor
    };
    let w: Vec<f64> = (0..s.weight_len()).map(plain).collect();
    let want = reference::forward(s, images, &dense(x, s.in_channels, s.height * s.width), &w);
    let got = dense(got, s.out_channels, s.out_pixels());
    let rms = (want.iter().map(|x| x * x).sum::<f64>() / want.len() as f64).sqrt();
    let bar = if p.dtype == Dtype::Fp32 { 1e-4 } else { 3e-2 };
    for (got, want) in got.iter().zip(&want) {
        assert!((got - want).abs() <= bar * rms.max(want.abs()), "{s:?}: {got} for {want}");
    }
}

fn backward_data(c: &mut Caller<'_>, p: &Prepared, conv: &Conv, images: usize, w: &[f32]) {
    let s = &p.s;
    let packed = c.at_least("packed", conv.packed_len());
    let mut packed = c.slice(packed);
    let short = w[..w.len().min(16)].to_vec();
    let weights = weights(c, (p, conv), Direction::BackwardData, w, &mut packed, &short);
    let dy = output_gradient(c, p, images);
    let len = c.at_least("gradient of the input", images * s.in_len(Source::Activation));
    let dtype = c.same("dtype of it", p.dtype);
    let mut dx = c.stored(dtype, len, (s.in_channels, padded(s.in_channels)));
    let mut scratch = scratch(c, conv);
    let (n, accumulate) = (c.images("images", images), c.flip());
    conv.backward_data(n, dy.values(), weights, dx.values_mut(), accumulate, &mut scratch);
    c.finite(&dx.to_f32());
}

fn output_gradient(c: &mut Caller<'_>, p: &Prepared, images: usize) -> Stored {
    let len = c.at_least("gradient of the output", images * p.s.out_len());
    let dtype = c.same("dtype of it", p.dtype);
    c.stored(dtype, len, (p.s.out_channels, padded(p.s.out_channels)))
}

fn backward_weight(c: &mut Caller<'_>, p: &Prepared, conv: &Conv, images: usize) {
    let x = input(c, p, images);
    let dy = output_gradient(c, p, images);
    let norm = norm(c, p, conv);
    let len = c.exactly("gradient of the weights", p.s.weight_len());
    let (mut dw, mut scratch) = (c.slice(len), scratch(c, conv));
    let n = c.images("images", images);
    conv.backward_weight(n, activation(&x, &norm), dy.values(), &mut dw, &mut scratch);
    c.finite(&dw);
}

/// Sizes that mean nothing, or whose products wrap.
pub(crate) fn sizes(c: &mut Caller<'_>, cpu: &Cpu) {
    let p = Prepared::choose(c, cpu);
    let mut s = p.s;
    let most = usize::MAX;
    let large = [0, 1 << 30, 1 << 32, 1 << 62, most, most - 15];
    s.in_channels = c.site("input channels", s.in_channels, &large);
    s.out_channels = c.site("output channels", s.out_channels, &large);
    s.height = c.site("height", s.height, &large);
    s.width = c.site("width", s.width, &large);
    s.padding = c.site("padding", s.padding, &large[1..]);
    s.stride = c.site("stride", s.stride, &[0, 1 << 32, most]);
    s.groups = c.site("groups", s.groups, &[0, 2 * s.in_channels.min(1 << 40) + 1, most]);
    let side = p.s.height.min(p.s.width) + 2 * p.s.padding;
    s.kernel = c.site("kernel", s.kernel, &[0, side + 1, 1 << 30, 1 << 32, most]);
    let batch = c.site("batch", p.most, &[0, 1 << 60, most]);
    let config = ConvConfig { shape: s, ..p.config(batch) };
    let bytes = Conv::table_bytes(config, &p.cpu);
    assert!(bytes < 1 << 24);
    let algorithm = Conv::algorithm_of(config, &p.cpu);
    let conv = Conv::new(config, &p.cpu).unwrap();
    assert_eq!(conv.algorithm(Direction::Forward), Some(algorithm));
}
