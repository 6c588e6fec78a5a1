//! Convolutions: every algorithm, in all directions. A check names its algorithm, and fails if
//! another one runs.

mod choice;
mod direct;
mod epilogue;
mod gemm;
mod groups;
mod int16;
mod threads;
mod winograd;

use resnet_kernels::{
    Algorithms, Cpu, Dtype, Storage, Values,
    conv::{Algorithm, Conv, ConvConfig, ConvShape, Direction, Epilogue, Mode, Source, reference},
};

use crate::testing::{
    closeness, from_stored, narrow, on_every_isa, random, rounded, stored, to_stored,
};

const WINOGRAD: Algorithm = Algorithm::Winograd { side: 4, stride: 1 };
const STRIDED: Algorithm = Algorithm::Winograd { side: 4, stride: 2 };

const fn shape(
    in_channels: usize,
    out_channels: usize,
    (height, width): (usize, usize),
    kernel: usize,
    stride: usize,
    padding: usize,
) -> ConvShape {
    ConvShape { in_channels, out_channels, height, width, kernel, stride, padding, groups: 1 }
}

/// A convolution, of which every direction takes this algorithm.
fn conv(
    algorithm: Algorithm,
    s: &ConvShape,
    dtype: Dtype,
    source: Source,
    mode: Mode,
    batch: usize,
    cpu: &Cpu,
) -> Conv {
    let conv = Conv::new(ConvConfig { shape: *s, dtype, source, mode, batch }, cpu).unwrap();
    for direction in Direction::ALL {
        let want = mode.has(direction).then_some(algorithm);
        assert_eq!(conv.algorithm(direction), want, "{s:?} {dtype} {source:?} {direction:?}");
    }
    conv
}

/// From PyTorch's layout to that of the kernels.
fn permuted(w: &[f64], s: &ConvShape) -> Vec<f32> {
    let (i, kk) = (s.group_inputs(), s.kernel * s.kernel);
    let at = |n: usize| (n / (kk * i), n / i % kk, n % i);
    (0..w.len())
        .map(|n| {
            let (out, window, channel) = at(n);
            w[(out * i + channel) * kk + window] as f32
        })
        .collect()
}

/// The reverse of [`permuted`].
fn unpermuted(w: &[f32], s: &ConvShape) -> Vec<f64> {
    let (i, kk) = (s.group_inputs(), s.kernel * s.kernel);
    let at = |n: usize| (n / (kk * i), n / kk % i, n % kk);
    (0..w.len())
        .map(|n| {
            let (out, channel, window) = at(n);
            f64::from(w[(out * kk + window) * i + channel])
        })
        .collect()
}

/// Dense images with their border.
fn images(dense: &[f64], batch: usize, s: &ConvShape) -> Storage {
    let layout = s.image();
    let mut out = vec![0.0; batch * layout.image_len()];
    for (i, &value) in dense.iter().enumerate() {
        let (x, y) = (i % s.width, i / s.width % s.height);
        let (c, n) =
            (i / (s.width * s.height) % s.in_channels, i / (s.width * s.height * s.in_channels));
        let (y, x) = (y + s.padding, x + s.padding);
        let pixel = (n * layout.rows() + y) * layout.columns() + x;
        out[pixel * s.in_channels + c] = value as f32;
    }
    stored(Dtype::Fp32, &out)
}

/// Random `x`, `w` and `dy` of PyTorch's layout.
fn inputs(s: &ConvShape, batch: usize) -> [Vec<f64>; 3] {
    [
        random(batch * s.in_channels * s.height * s.width, 1),
        random(s.weight_len(), 2),
        random(batch * s.out_channels * s.out_pixels(), 3),
    ]
}

/// All passes of one batch on every instruction set, against plain loops in f64. Tolerances bound
/// [`closeness`], for `y` and `dx`, which are rounded to the dtype, and for `dw`, which is not.
fn check(
    (algorithm, algorithms): (Algorithm, Algorithms),
    s: &ConvShape,
    dtype: Dtype,
    source: Source,
    batch: usize,
    (tolerance, dw_tolerance): (f64, f64),
) {
    let [x, w, dy] = inputs(s, batch);
    let w: Vec<f64> = w.iter().map(|w| w * 1.1).collect();
    let read = if source == Source::Image { Dtype::Fp32 } else { dtype };
    let want_y = reference::forward(s, batch, &x, &rounded(read, &w));
    let want_dx = reference::backward_data(s, batch, &dy, &rounded(dtype, &w));
    let want_dw = reference::backward_weight(s, batch, &x, &dy);
    let stored_x = match source {
        Source::Activation => to_stored(dtype, &x, batch, s.in_channels),
        Source::Image => images(&x, batch, s),
    };
    let stored_dy = to_stored(dtype, &dy, batch, s.out_channels);
    let (x_values, dy_values) = (stored_x.as_values(), stored_dy.as_values());
    let w = permuted(&w, s);
    on_every_isa(|cpu| {
        let cpu = cpu.clone().with_algorithms(algorithms);
        let conv = conv(algorithm, s, dtype, source, Mode::Train, batch, &cpu);
        let mut packed = vec![f32::NAN; conv.packed_len()];
        let mut scratch = vec![f32::NAN; conv.scratch_len()];
        let label = format!("{} {dtype} {s:?} {source:?} batch {batch}", cpu.isa());

        let mut y = stored(dtype, &vec![9.0; batch * s.out_len()]);
        let weights = conv.pack_forward(&w, None, &mut packed);
        let out = y.as_values_mut();
        conv.forward(batch, x_values, weights, out, Epilogue::STORE, &mut scratch);
        let e = closeness(&from_stored(y.as_values(), batch, s.out_channels), &want_y);
        assert!(e < tolerance, "forward {label}: {e}");

        let mut dw = vec![f32::NAN; s.weight_len()];
        conv.backward_weight(batch, x_values, dy_values, &mut dw, &mut scratch);
        let e = closeness(&unpermuted(&dw, s), &want_dw);
        assert!(e < dw_tolerance, "backward weight {label}: {e}");

        for accumulate in [false, true] {
            let mut dx = to_stored(dtype, &x, batch, s.in_channels);
            let weights = conv.pack_backward_data(&w, &mut packed);
            let out = dx.as_values_mut();
            conv.backward_data(batch, dy_values, weights, out, accumulate, &mut scratch);
            let base = if accumulate { 1.0 } else { 0.0 };
            let want: Vec<f64> = want_dx.iter().zip(&x).map(|(d, x)| d + base * x).collect();
            let e = closeness(&from_stored(dx.as_values(), batch, s.in_channels), &want);
            assert!(e < tolerance, "backward data {label} accumulate {accumulate}: {e}");
        }
    });
}

/// Checks sums of products of bfloat16 before they are rounded: the rounded reference is subtracted
/// from them, so that only the difference is stored.
fn check_sums(
    (algorithm, algorithms): (Algorithm, Algorithms),
    s: &ConvShape,
    batch: usize,
    tolerance: f64,
) {
    let dtype = Dtype::Bf16;
    let [x, w, dy] = inputs(s, batch);
    let w = rounded(dtype, &w.iter().map(|w| w * 1.1).collect::<Vec<_>>());
    let want_y = reference::forward(s, batch, &x, &w);
    let want_dx = reference::backward_data(s, batch, &dy, &w);
    let x = to_stored(dtype, &x, batch, s.in_channels);
    let dy = to_stored(dtype, &dy, batch, s.out_channels);
    let w = permuted(&w, s);
    let near = |want: &[f64]| -> Vec<f64> { rounded(dtype, want).iter().map(|v| -v).collect() };
    let (near_y, near_dx) = (near(&want_y), near(&want_dx));
    let residual = to_stored(dtype, &near_y, batch, s.out_channels);
    let sums = |rest: Values<'_>, channels: usize, near: &[f64]| -> Vec<f64> {
        from_stored(rest, batch, channels).iter().zip(near).map(|(a, b)| a - b).collect()
    };
    on_every_isa(|cpu| {
        let cpu = cpu.clone().with_algorithms(algorithms);
        let conv = conv(algorithm, s, dtype, Source::Activation, Mode::Train, batch, &cpu);
        let mut packed = vec![f32::NAN; conv.packed_len()];
        let mut scratch = vec![f32::NAN; conv.scratch_len()];
        let label = format!("{} {s:?} batch {batch}", cpu.isa());
        let mut y = Storage::zeroed(dtype, batch * s.out_len()).unwrap();
        let weights = conv.pack_forward(&w, None, &mut packed);
        let epilogue = Epilogue { residual: Some(residual.as_values()), ..Epilogue::STORE };
        let out = y.as_values_mut();
        conv.forward(batch, x.as_values(), weights, out, epilogue, &mut scratch);
        let e = closeness(&sums(y.as_values(), s.out_channels, &near_y), &want_y);
        assert!(e < tolerance, "forward {label}: {e}");
        let mut dx = to_stored(dtype, &near_dx, batch, s.in_channels);
        let weights = conv.pack_backward_data(&w, &mut packed);
        let out = dx.as_values_mut();
        conv.backward_data(batch, dy.as_values(), weights, out, true, &mut scratch);
        let e = closeness(&sums(dx.as_values(), s.in_channels, &near_dx), &want_dx);
        assert!(e < tolerance, "backward data {label}: {e}");
    });
}

/// `y`, `dx` and `dw`.
fn all_passes(
    conv: &Conv,
    s: &ConvShape,
    batch: usize,
    x: Values<'_>,
    w: &[f32],
    dy: Values<'_>,
) -> (Storage, Storage, Vec<f32>) {
    let mut packed = vec![f32::NAN; conv.packed_len()];
    let mut scratch = vec![f32::NAN; conv.scratch_len()];
    let mut y = Storage::zeroed(x.dtype(), batch * s.out_len()).unwrap();
    let mut dx = Storage::zeroed(x.dtype(), x.len()).unwrap();
    let mut dw = vec![f32::NAN; w.len()];
    let weights = conv.pack_forward(w, None, &mut packed);
    conv.forward(batch, x, weights, y.as_values_mut(), Epilogue::STORE, &mut scratch);
    conv.backward_weight(batch, x, dy, &mut dw, &mut scratch);
    let weights = conv.pack_backward_data(w, &mut packed);
    conv.backward_data(batch, dy, weights, dx.as_values_mut(), false, &mut scratch);
    (y, dx, dw)
}
