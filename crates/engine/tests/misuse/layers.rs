//! All layers except convolutions and batch norms; input, loss, optimisers and memory.

use resnet_kernels::{
    Buffer, Cpu, Dtype, Isa, adamw,
    elementwise::{PadShortcut, add_relu, add_relu_backward},
    input::{ByteTable, from_bytes, from_nchw, subtract},
    layout::{ImageLayout, padded},
    linear::Linear,
    loss::{Target, cross_entropy, total_weight},
    norm::{scale, scratch_len, sum_of_squares},
    pooling::{AvgPool, GlobalAvgPool, GlobalMaxPool, MaxPool},
    sgd::{self, Update},
};

use super::caller::{Caller, Stored, storage};

/// Activations of `len` values, or of fewer if the caller gets this argument wrong.
fn tensor(c: &mut Caller<'_>, name: &str, dtype: Dtype, len: usize, channels: usize) -> Stored {
    let (len, dtype) = (c.at_least(name, len), c.same(name, dtype));
    c.stored(dtype, len, (channels, padded(channels)))
}

/// The first of a call, whose dtype the others must have.
fn first(c: &mut Caller<'_>, name: &str, dtype: Dtype, len: usize, channels: usize) -> Stored {
    let len = c.at_least(name, len);
    c.stored(dtype, len, (channels, padded(channels)))
}

pub(crate) fn linear(c: &mut Caller<'_>, cpu: &Cpu) {
    let (dtype, images) = (c.dtype(), 1 + c.choose(5));
    let (inputs, outputs) = (c.one_of(&[1, 16, 64, 100]), c.one_of(&[1, 10, 70]));
    let x = first(c, "input", dtype, images * padded(inputs), inputs);
    let linear = Linear { inputs: c.size("inputs", inputs), outputs: c.size("outputs", outputs) };
    let weight = c.exactly("weight", inputs * outputs);
    let weight = c.slice(weight);
    let logits = c.at_least("logits", images * outputs);
    let mut y = c.slice(logits);
    let n = c.images("images", images);
    if c.flip() {
        let bias = c.exactly("bias", outputs);
        let bias = c.slice(bias);
        linear.forward(cpu, n, x.values(), &weight, &bias, &mut y);
        c.finite(&y);
        return;
    }
    let mut dx = tensor(c, "gradient", dtype, images * padded(inputs), inputs);
    let (dw, db) = (c.exactly("dw", inputs * outputs), c.exactly("db", outputs));
    let (mut dw, mut db) = (c.slice(dw), c.slice(db));
    let scratch = c.at_least("scratch", Linear { inputs, outputs }.scratch_len(cpu));
    let mut scratch = c.slice(scratch);
    let to = dx.values_mut();
    linear.backward(cpu, n, x.values(), &weight, &y, to, &mut dw, &mut db, &mut scratch);
    c.finite(&[&dx.to_f32()[..], &dw, &db].concat());
}

pub(crate) fn max_pool(c: &mut Caller<'_>, cpu: &Cpu) {
    let (dtype, images, channels) = (c.dtype(), 1 + c.choose(3), c.one_of(&[3, 16, 40]));
    let (kernel, stride) = (1 + c.choose(3), 1 + c.choose(3));
    let (height, width) = (kernel + c.choose(6), kernel + c.choose(6));
    let padding = c.choose(kernel / 2 + 1);
    let out = |side: usize| (side + 2 * padding - kernel) / stride + 1;
    let outputs = images * out(height) * out(width) * padded(channels);
    let inputs = images * height * width * padded(channels);
    let most = usize::MAX;
    let pool = MaxPool {
        channels: c.channels(channels),
        height: c.size("height", height),
        width: c.size("width", width),
        kernel: c.site("kernel", kernel, &[0, height.min(width) + 2 * padding + 1, most]),
        stride: c.site("stride", stride, &[0]),
        padding: c.site("padding", padding, &[kernel / 2 + 1, 1 << 62, most]),
    };
    let x = first(c, "input", dtype, inputs, channels);
    let mut y = tensor(c, "output", dtype, outputs, channels);
    let n = c.images("images", images);
    pool.forward(cpu, n, x.values(), y.values_mut());
    if c.flip() {
        let dy = tensor(c, "gradient of the output", dtype, outputs, channels);
        let mut dx = tensor(c, "gradient of the input", dtype, inputs, channels);
        let accumulate = c.flip();
        let to = dx.values_mut();
        pool.backward(cpu, n, x.values(), y.values(), dy.values(), to, accumulate);
        c.finite(&dx.to_f32());
    }
    c.finite(&y.to_f32());
}

pub(crate) fn average_of_windows(c: &mut Caller<'_>, cpu: &Cpu) {
    let (dtype, images, channels) = (c.dtype(), 1 + c.choose(3), c.one_of(&[3, 16, 40]));
    let (kernel, height, width) = (1 + c.choose(4), 1 + c.choose(7), 1 + c.choose(7));
    let pixels = height.div_ceil(kernel) * width.div_ceil(kernel);
    let (inputs, outputs) = (height * width * padded(channels), pixels * padded(channels));
    let (inputs, outputs) = (images * inputs, images * outputs);
    let pool = AvgPool {
        channels: c.channels(channels),
        height: c.size("height", height),
        width: c.size("width", width),
        kernel: c.site("kernel", kernel, &[0]),
    };
    let n = c.images("images", images);
    let (forward, accumulate) = (c.flip(), c.flip());
    if forward {
        let x = first(c, "input", dtype, inputs, channels);
        let mut y = tensor(c, "output", dtype, outputs, channels);
        pool.forward(cpu, n, x.values(), y.values_mut());
        c.finite(&y.to_f32());
    } else {
        let dy = first(c, "gradient of the output", dtype, outputs, channels);
        let mut dx = tensor(c, "gradient of the input", dtype, inputs, channels);
        pool.backward(cpu, n, dy.values(), dx.values_mut(), accumulate);
        c.finite(&dx.to_f32());
    }
}

pub(crate) fn average_pool(c: &mut Caller<'_>, cpu: &Cpu) {
    let (dtype, images) = (c.dtype(), 1 + c.choose(3));
    let (channels, pixels) = (c.one_of(&[3, 16, 40]), c.one_of(&[1, 16, 49]));
    let pool = GlobalAvgPool {
        channels: c.channels(channels),
        pixels: c.site("pixels", pixels, &[0, pixels + 1, 1 << 32, 1 << 60, usize::MAX]),
    };
    let (inputs, outputs) = (images * pixels * padded(channels), images * padded(channels));
    let n = c.images("images", images);
    let (forward, accumulate) = (c.flip(), c.flip());
    if forward {
        let x = first(c, "input", dtype, inputs, channels);
        let mut y = tensor(c, "output", dtype, outputs, channels);
        pool.forward(cpu, n, x.values(), y.values_mut());
        c.finite(&y.to_f32());
    } else {
        let dy = first(c, "gradient of the output", dtype, outputs, channels);
        let mut dx = tensor(c, "gradient of the input", dtype, inputs, channels);
        pool.backward(cpu, n, dy.values(), dx.values_mut(), accumulate);
        c.finite(&dx.to_f32());
    }
}

pub(crate) fn global_max_pool(c: &mut Caller<'_>, cpu: &Cpu) {
    let (dtype, images) = (c.dtype(), 1 + c.choose(3));
    let (channels, pixels) = (c.one_of(&[3, 16, 40]), c.one_of(&[1, 16, 49]));
    let pool = GlobalMaxPool {
        channels: c.channels(channels),
        pixels: c.site("pixels", pixels, &[0, pixels + 1, 1 << 32, 1 << 60, usize::MAX]),
    };
    let (inputs, outputs) = (images * pixels * padded(channels), images * padded(channels));
    let n = c.images("images", images);
    let x = first(c, "input", dtype, inputs, channels);
    let mut y = tensor(c, "output", dtype, outputs, channels);
    pool.forward(cpu, n, x.values(), y.values_mut());
    if c.flip() {
        let dy = tensor(c, "gradient of the output", dtype, outputs, channels);
        let mut dx = tensor(c, "gradient of the input", dtype, inputs, channels);
        let accumulate = c.flip();
        pool.backward(cpu, n, (x.values(), y.values()), dy.values(), dx.values_mut(), accumulate);
        c.finite(&dx.to_f32());
    }
    c.finite(&y.to_f32());
}

pub(crate) fn sum_and_relu(c: &mut Caller<'_>, cpu: &Cpu) {
    let (dtype, len) = (c.dtype(), c.one_of(&[16, 48, 16 * 1024 + 32]));
    let a = first(c, "input", dtype, len, 16);
    let b = c.flip().then(|| tensor(c, "residual", dtype, len, 16));
    let out = c.site("values", len, &[len - 1, len - 15, len + 16]);
    let out_dtype = c.same("output", dtype);
    let mut out = c.stored(out_dtype, out, (16, 16));
    let (forward, relu) = (c.flip(), c.flip());
    let b = b.as_ref().map(Stored::values);
    if forward {
        add_relu(cpu, a.values(), b, relu, out.values_mut());
    } else {
        add_relu_backward(cpu, a.values(), b, out.values_mut(), relu);
    }
    c.finite(&out.to_f32());
}

pub(crate) fn shortcut(c: &mut Caller<'_>, cpu: &Cpu) {
    let (dtype, images, stride) = (c.dtype(), 1 + c.choose(3), 1 + c.choose(3));
    let (inputs, more) = (c.one_of(&[3, 16, 40]), c.choose(40));
    let (height, width) = (1 + c.choose(7), 1 + c.choose(7));
    let outputs = inputs + more;
    let shortcut = PadShortcut {
        in_channels: c.site("input channels", inputs, &[outputs + 1, 1 << 60, usize::MAX]),
        out_channels: c.size("output channels", outputs),
        height: c.size("height", height),
        width: c.size("width", width),
        stride: c.site("stride", stride, &[0]),
    };
    let pixels = height.div_ceil(stride) * width.div_ceil(stride);
    let (x_len, y_len) = (height * width * padded(inputs), pixels * padded(outputs));
    let n = c.images("images", images);
    if c.flip() {
        let x = first(c, "input", dtype, images * x_len, inputs);
        let mut y = tensor(c, "output", dtype, images * y_len, outputs);
        shortcut.forward(cpu, n, x.values(), y.values_mut());
        c.finite(&y.to_f32());
    } else {
        let dy = first(c, "gradient of the output", dtype, images * y_len, outputs);
        let mut dx = tensor(c, "gradient of the input", dtype, images * x_len, inputs);
        let accumulate = c.flip();
        shortcut.backward(cpu, n, dy.values(), dx.values_mut(), accumulate);
        c.finite(&dx.to_f32());
    }
}

pub(crate) fn update(c: &mut Caller<'_>, cpu: &Cpu) {
    let len = c.one_of(&[1, 17, 16 * 1024 + 5]);
    let update = Update { lr: 0.1, momentum: 0.9, weight_decay: 5e-4, nesterov: c.flip() };
    let mut w = c.slice(len);
    let (buffer, gradient) = (c.exactly("momentum", len), c.exactly("gradient", len));
    let (mut buffer, gradient) = (c.slice(buffer), c.slice(gradient));
    sgd::update(cpu, update, &mut w, &mut buffer, &gradient);
    c.finite(&[&w[..], &buffer].concat());
}

pub(crate) fn adamw(c: &mut Caller<'_>, cpu: &Cpu) {
    let len = c.one_of(&[1, 17, 16 * 1024 + 5]);
    let update = adamw::Update {
        lr: 0.1,
        betas: [0.9, 0.999],
        eps: 1e-8,
        weight_decay: 0.01,
        step: c.site("step", 1, &[0]),
    };
    let mut w = c.slice(len);
    let averages = ["average gradient", "average square"].map(|name| c.exactly(name, len));
    let [mut exp_avg, mut exp_avg_sq] = averages.map(|len| c.slice(len));
    exp_avg_sq.iter_mut().for_each(|square| *square = square.abs());
    let gradient = c.exactly("gradient", len);
    let gradient = c.slice(gradient);
    adamw::update(cpu, update, &mut w, &mut exp_avg, &mut exp_avg_sq, &gradient);
    c.finite(&[&w[..], &exp_avg, &exp_avg_sq].concat());
}

pub(crate) fn norm(c: &mut Caller<'_>, cpu: &Cpu) {
    let len = c.one_of(&[1, 17, 16 * 1024 + 5]);
    let mut x = c.slice(len);
    let scratch = c.exactly("scratch", scratch_len(len));
    let mut scratch = c.slice(scratch);
    let sum = sum_of_squares(cpu, &x, &mut scratch);
    scale(cpu, 0.5, &mut x);
    c.finite(&[sum as f32]);
    c.finite(&x);
}

pub(crate) fn loss(c: &mut Caller<'_>, _: &Cpu) {
    let (images, classes) = (1 + c.choose(5), 1 + c.choose(12));
    let mut labels: Vec<u32> = (0..images).map(|_| c.choose(classes) as u32).collect();
    let soft = c.flip().then(|| {
        let len = c.exactly("probabilities", images * classes);
        c.slice(len)
    });
    if soft.is_none() {
        let last = labels[images - 1];
        labels[images - 1] = c.site("label", last, &[classes as u32, u32::MAX]);
    }
    let logits = c.exactly("logits", images * classes);
    let logits = c.slice(logits);
    let mut gradient = c.flip().then(|| {
        let len = c.at_least("gradient", images * classes);
        c.slice(len)
    });
    let rows = classes;
    let classes = c.site("classes", classes, &[0, classes + 1, usize::MAX]);
    let to = gradient.as_deref_mut();
    let target = match &soft {
        Some(values) => Target::Probabilities { values, classes: rows },
        None => Target::Labels(&labels),
    };
    let weights = c.flip().then(|| {
        let len = c.exactly("class weights", rows);
        vec![0.5; len]
    });
    let of = total_weight(target, None);
    let loss = cross_entropy(&logits, target, classes, 0.1, weights.as_deref(), of, to);
    c.finite(&[loss.mean as f32, loss.correct as f32]);
    c.finite(gradient.as_deref().unwrap_or_default());
}

pub(crate) fn images(c: &mut Caller<'_>, cpu: &Cpu) {
    let (images, channels, border) = (1 + c.choose(3), 1 + c.choose(4), c.choose(4));
    let (height, width) = (1 + c.choose(9), 1 + c.choose(9));
    let values = images * channels * height * width;
    let right = ImageLayout { channels, height, width, border };
    let all = images * right.image_len();
    let out = c.at_least("images", all);
    let mut out = c.slice(out);
    let layout = ImageLayout {
        channels: c.channels(channels),
        height: c.size("height", height),
        width: c.size("width", width),
        border: c.site("border", border, &[border + 5, 1 << 62, usize::MAX / 2, usize::MAX]),
    };
    let n = c.images("images", images);
    if c.flip() {
        let from = c.at_least("values", values);
        let from = c.slice(from);
        from_nchw(cpu, &layout, n, &from, &mut out);
    } else {
        let len = c.at_least("bytes", values);
        let bytes = vec![7; len].into_boxed_slice();
        let [means, stds] = ["means", "deviations"].map(|name| c.exactly(name, channels));
        // If both were wrong in the same way, the table would be valid for other images.
        let table = ByteTable::new(&vec![0.5; means], &vec![0.25; stds]);
        from_bytes(cpu, &layout, n, &bytes, &table, &mut out);
    }
    if c.flip() {
        let mean = c.exactly("mean image", channels * height * width);
        let mean = c.slice(mean);
        subtract(cpu, &layout, n, &mean, &mut out);
    }
    c.finite(&out);
}

/// Memory and threads: too much of either is an error, storage of another length a panic.
pub(crate) fn memory(c: &mut Caller<'_>, cpu: &Cpu) {
    let (dtype, len) = (c.dtype(), 1 + c.choose(40));
    let mut held = storage(dtype, len);
    for bytes in [1 << 60, usize::MAX / 4, usize::MAX] {
        assert!(resnet_kernels::Storage::zeroed(dtype, bytes).is_err());
        assert!(Buffer::<f32>::zeroed(bytes).is_err());
    }
    assert!(held.disjoint_mut([0..len, len - 1..len]).is_none());
    assert!(held.disjoint_mut([0..1, len..len + 1]).is_none());
    assert!(Cpu::with_isa(1 << 40, cpu.isa()).is_err());
    assert!(Isa::available().contains(&cpu.isa()));
    assert_eq!(held.values(0..len).slice(0..1).len(), held.values_mut(len - 1..len).len());
    c.answer(&held.to_f32(0..len));
}
