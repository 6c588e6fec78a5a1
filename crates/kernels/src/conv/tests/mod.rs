mod fixed;
mod gemm;

use super::*;
use crate::{
    Algorithms, Bf16,
    testing::{closeness, from_stored, narrow, on_every_isa, random, to_stored},
};

const fn shape(
    in_channels: usize,
    out_channels: usize,
    (height, width): (usize, usize),
    kernel: usize,
    stride: usize,
    padding: usize,
) -> ConvShape {
    ConvShape { in_channels, out_channels, height, width, kernel, stride, padding }
}

/// Sizes around every block and tile: channels around 16, 32 and 64, images around the tiles of 4,
/// 6 and 8 pixels and the small-image rule, runs longer than a block of the depth.
const SHAPES: [ConvShape; 24] = [
    shape(1, 1, (1, 1), 1, 1, 0),
    shape(1, 1, (1, 1), 3, 1, 1),
    shape(8, 8, (5, 7), 3, 1, 1),
    shape(16, 16, (9, 9), 3, 1, 1),
    shape(17, 33, (4, 4), 3, 1, 1),
    shape(16, 48, (8, 8), 3, 1, 1),
    shape(64, 64, (6, 5), 3, 1, 1),
    shape(15, 65, (3, 11), 3, 2, 1),
    shape(16, 32, (8, 8), 3, 2, 1),
    shape(33, 20, (7, 9), 3, 2, 1),
    shape(16, 24, (9, 9), 1, 2, 0),
    shape(24, 16, (8, 6), 1, 2, 0),
    shape(270, 70, (2, 3), 1, 1, 0),
    shape(300, 18, (2, 2), 3, 1, 1),
    shape(4, 6, (13, 12), 7, 2, 3),
    shape(5, 3, (10, 10), 5, 3, 2),
    shape(12, 12, (40, 37), 3, 1, 1),
    shape(3, 9, (12, 9), 2, 1, 0),
    shape(20, 70, (17, 16), 3, 2, 1),
    shape(34, 66, (1, 9), 1, 1, 0),
    shape(9, 10, (3, 3), 3, 1, 0),
    shape(330, 20, (2, 2), 3, 1, 1),
    shape(20, 340, (3, 2), 3, 2, 1),
    shape(650, 17, (1, 2), 1, 1, 0),
];

fn permuted(w: &[f64], s: &ConvShape) -> Vec<f32> {
    let (i, kk) = (s.in_channels, s.kernel * s.kernel);
    let at = |n: usize| (n / (kk * i), n / i % kk, n % i);
    (0..w.len())
        .map(|n| {
            let (out, window, channel) = at(n);
            w[(out * i + channel) * kk + window] as f32
        })
        .collect()
}

fn unpermuted(w: &[f32], s: &ConvShape) -> Vec<f64> {
    let (i, kk) = (s.in_channels, s.kernel * s.kernel);
    let at = |n: usize| (n / (kk * i), n / kk % i, n % kk);
    (0..w.len())
        .map(|n| {
            let (out, channel, window) = at(n);
            f64::from(w[(out * kk + window) * i + channel])
        })
        .collect()
}

fn images<E: Element>(dense: &[f64], batch: usize, s: &ConvShape) -> Vec<E> {
    let layout = s.image();
    let mut out = vec![E::default(); batch * layout.image_len()];
    for (i, &value) in dense.iter().enumerate() {
        let (x, y) = (i % s.width, i / s.width % s.height);
        let (c, n) =
            (i / (s.width * s.height) % s.in_channels, i / (s.width * s.height * s.in_channels));
        let (y, x) = (y + s.padding, x + s.padding);
        let pixel = (n * layout.rows() + y) * layout.columns() + x;
        out[pixel * s.in_channels + c] = E::from_f32(value as f32);
    }
    out
}

/// All passes of one batch on every instruction set, against plain loops in f64. Tolerances bound
/// [`closeness`], for `y` and `dx`, which are rounded to `E`, and for `dw`, which is not.
fn check<E: Element, X: Element>(
    algorithms: Algorithms,
    s: &ConvShape,
    source: Source,
    batch: usize,
    (tolerance, dw_tolerance): (f64, f64),
) {
    let x = random(batch * s.in_channels * s.height * s.width, 1);
    let w: Vec<f64> = random(s.weight_len(), 2).iter().map(|w| w * 1.1).collect();
    let dy = random(batch * s.out_channels * s.out_pixels(), 3);
    let want_y = reference::forward(s, batch, &x, &rounded::<X>(&w));
    let want_dx = reference::backward_data(s, batch, &dy, &rounded::<E>(&w));
    let want_dw = reference::backward_weight(s, batch, &x, &dy);
    let stored_x = match source {
        Source::Activation => to_stored::<X>(&x, batch, s.in_channels),
        Source::Image => images::<X>(&x, batch, s),
    };
    let stored_dy = to_stored::<E>(&dy, batch, s.out_channels);
    let w = permuted(&w, s);
    on_every_isa(|cpu| {
        let cpu = cpu.clone().with_algorithms(algorithms);
        let conv = Conv::<E, X>::new(*s, source, Mode::Train, batch, &cpu);
        let mut packed = vec![f32::NAN; conv.packed_len()];
        let mut scratch = vec![f32::NAN; conv.scratch_len()];
        let label = format!("{} {s:?} {source:?} batch {batch}", cpu.isa());

        let mut y = vec![E::from_f32(9.0); batch * s.out_len()];
        let weights = conv.pack_forward(&w, None, &mut packed);
        conv.forward(batch, &stored_x, weights, &mut y, Epilogue::STORE, &mut scratch);
        let e = closeness(&from_stored(&y, batch, s.out_channels), &want_y);
        assert!(e < tolerance, "forward {label}: {e}");

        let mut dw = vec![f32::NAN; s.weight_len()];
        conv.backward_weight(batch, &stored_x, &stored_dy, &mut dw, &mut scratch);
        let e = closeness(&unpermuted(&dw, s), &want_dw);
        assert!(e < dw_tolerance, "backward weight {label}: {e}");

        for accumulate in [false, true] {
            let mut dx = to_stored::<E>(&x, batch, s.in_channels);
            let weights = conv.pack_backward_data(&w, &mut packed);
            conv.backward_data(batch, &stored_dy, weights, &mut dx, accumulate, &mut scratch);
            let base = if accumulate { 1.0 } else { 0.0 };
            let want: Vec<f64> = want_dx.iter().zip(&x).map(|(d, x)| d + base * x).collect();
            let e = closeness(&from_stored(&dx, batch, s.in_channels), &want);
            assert!(e < tolerance, "backward data {label} accumulate {accumulate}: {e}");
        }
    });
}

/// Values as products of `X` take them.
fn rounded<X: Element>(values: &[f64]) -> Vec<f64> {
    values.iter().map(|&v| f64::from(X::from_f32(v as f32).to_f32())).collect()
}

fn check_direct<E: Element, X: Element>(source: Source, tolerance: f64) {
    for s in &SHAPES {
        for batch in [1, 3, 9] {
            check::<E, X>(Algorithms::Direct, s, source, batch, (tolerance, 1e-5));
        }
    }
}

fn check_through_a_norm<E: Element>(tolerance: f64) {
    let whole = |s: &ConvShape| [s.in_channels, s.out_channels].iter().all(|c| c % 32 == 0);
    on_every_isa(|cpu| {
        for (s, batch) in WINOGRAD.map(|s| (s, 3)).iter().chain(&STRIDED) {
            if E::PACK == 2 && !whole(s) {
                continue;
            }
            let (batch, pixels) = (*batch, s.height * s.width);
            let x = random(batch * s.in_channels * pixels, 1);
            let w = random(s.weight_len(), 2);
            let dy = random(batch * s.out_channels * s.out_pixels(), 3);
            let (scale, shift) = (random(s.in_channels, 4), random(s.in_channels, 5));
            let channel = |i: usize| i / pixels % s.in_channels;
            let read: Vec<f64> = (0..x.len())
                .map(|i| (x[i] * scale[channel(i)] + shift[channel(i)]).max(0.0))
                .collect();
            let conv = Conv::<E>::new(*s, Source::Activation, Mode::Train, batch, cpu);
            assert!(conv.reads_through_norm());
            let (scale, shift) = (narrow(&scale), narrow(&shift));
            let stored = to_stored::<E>(&x, batch, s.in_channels);
            let norm = Some(ScaleShift { scale: &scale, shift: &shift });
            let x = Activation { values: &stored, norm };
            let (mut packed, plain) = (vec![0.0; conv.packed_len()], permuted(&w, s));
            let mut scratch = vec![f32::NAN; conv.scratch_len()];
            let mut y = vec![E::default(); batch * s.out_len()];
            let weights = conv.pack_forward(&plain, None, &mut packed);
            conv.forward(batch, x, weights, &mut y, Epilogue::STORE, &mut scratch);
            let want = reference::forward(s, batch, &read, &w);
            let e = closeness(&from_stored(&y, batch, s.out_channels), &want);
            assert!(e < tolerance, "{} {s:?}: {e}", cpu.isa());
            let mut dw = vec![0.0; s.weight_len()];
            let dy_stored = to_stored::<E>(&dy, batch, s.out_channels);
            conv.backward_weight(batch, x, &dy_stored, &mut dw, &mut scratch);
            let want = reference::backward_weight(s, batch, &read, &dy);
            let e = closeness(&unpermuted(&dw, s), &want);
            assert!(e < tolerance, "{} {s:?}: {e}", cpu.isa());
        }
    });
}

#[test]
fn winograd_reads_through_a_norm() {
    check_through_a_norm::<f32>(1e-4);
    check_through_a_norm::<Bf16>(2e-2);
}

#[test]
fn equals_the_reference() {
    check_direct::<f32, f32>(Source::Activation, 1e-5);
    check_direct::<f32, f32>(Source::Image, 1e-5);
}

/// With f32 outputs, so that nothing hides how the products of pairs are summed.
#[test]
fn products_of_bf16_are_exact() {
    check_direct::<f32, Bf16>(Source::Activation, 1e-5);
}

#[test]
fn stores_bf16() {
    check_direct::<Bf16, Bf16>(Source::Activation, 5e-3);
    check_direct::<Bf16, f32>(Source::Image, 5e-3);
}

/// Images around the tile of 4, channels around the panels and blocks.
const WINOGRAD: [ConvShape; 8] = [
    shape(32, 32, (8, 8), 3, 1, 1),
    shape(64, 32, (7, 9), 3, 1, 1),
    shape(32, 96, (4, 4), 3, 1, 1),
    shape(64, 64, (1, 3), 3, 1, 1),
    shape(48, 80, (5, 6), 3, 1, 1),
    shape(32, 96, (14, 13), 3, 1, 1),
    shape(192, 64, (4, 6), 3, 1, 1),
    shape(160, 96, (2, 2), 3, 1, 1),
];

/// In bfloat16 `y`, `dx` and `dw` are all within 2e-2 by the measure of [`closeness`].
#[test]
fn winograd_equals_the_reference() {
    let (fastest, source) = (Algorithms::Fastest, Source::Activation);
    let both = |s: &ConvShape, batch: usize| {
        check::<f32, f32>(fastest, s, source, batch, (1e-4, 1e-4));
        check::<Bf16, Bf16>(fastest, s, source, batch, (2e-2, 2e-2));
    };
    for s in &WINOGRAD {
        for batch in [1, 5] {
            both(s, batch);
        }
    }
    // Parts of a batch, whose gradients of weights are added.
    both(&shape(32, 64, (33, 30), 3, 1, 1), 7);
    // Few tiles of many channels, and many; more than threads share at once.
    for batch in [1, 16] {
        both(&shape(256, 256, (4, 4), 3, 1, 1), batch);
    }
    both(&shape(512, 32, (2, 2), 3, 1, 1), 130);
}

/// Outputs around the tile of 4, channels around the panels; batches of enough tiles, and of more
/// than a block of them.
const STRIDED: [(ConvShape, usize); 9] = [
    (shape(32, 32, (8, 8), 3, 2, 1), 33),
    (shape(64, 32, (7, 9), 3, 2, 1), 17),
    (shape(32, 96, (4, 4), 3, 2, 1), 40),
    (shape(64, 64, (1, 3), 3, 2, 1), 32),
    (shape(48, 80, (5, 6), 3, 2, 1), 35),
    (shape(32, 96, (28, 26), 3, 2, 1), 3),
    (shape(256, 96, (2, 2), 3, 2, 1), 37),
    (shape(96, 208, (15, 16), 3, 2, 1), 18),
    (shape(32, 32, (72, 64), 3, 2, 1), 5),
];

#[test]
fn strided_winograd_equals_the_reference() {
    for (s, batch) in &STRIDED {
        let (fastest, source) = (Algorithms::Fastest, Source::Activation);
        check::<f32, f32>(fastest, s, source, *batch, (1e-4, 1e-4));
        check::<Bf16, Bf16>(fastest, s, source, *batch, (2e-2, 2e-2));
    }
}

fn check_epilogue<E: Element>(s: ConvShape, batch: usize, tolerance: f64) {
    on_every_isa(|cpu| {
        let (outputs, pixels) = (s.out_channels, s.out_pixels());
        let x = random(batch * s.in_channels * s.height * s.width, 1);
        let mut w = random(s.weight_len(), 2);
        // Of a filter of zeros only the bias is left.
        w[..s.in_channels * s.kernel * s.kernel].fill(0.0);
        let (bias, factors) = (random(outputs, 4), random(outputs, 5));
        let residual = random(batch * outputs * pixels, 6);
        let conv = Conv::<E>::new(s, Source::Activation, Mode::Inference, batch, cpu);
        let mut packed = vec![0.0; conv.packed_len()];
        let mut scratch = vec![0.0; conv.scratch_len()];
        let (plain, factors_f32) = (permuted(&w, &s), narrow(&factors));
        let weights = conv.pack_forward(&plain, Some(&factors_f32), &mut packed);
        let mut stored_bias = narrow(&bias);
        stored_bias.resize(outputs.next_multiple_of(16), 0.0);
        let stored_residual = to_stored::<E>(&residual, batch, outputs);
        let mut y = vec![E::default(); batch * s.out_len()];
        let epilogue = Epilogue {
            bias: Some(&stored_bias),
            residual: Some(&stored_residual),
            accumulate: false,
            relu: true,
        };
        let stored = to_stored::<E>(&x, batch, s.in_channels);
        conv.forward(batch, &stored, weights, &mut y, epilogue, &mut scratch);
        let plain = reference::forward(&s, batch, &x, &w);
        let channel = |i: usize| i / pixels % outputs;
        let want: Vec<f64> = (0..plain.len())
            .map(|i| (plain[i] * factors[channel(i)] + bias[channel(i)] + residual[i]).max(0.0))
            .collect();
        let e = closeness(&from_stored(&y, batch, outputs), &want);
        assert!(e < tolerance, "{} {s:?}: {e}", cpu.isa());
    });
}

#[test]
fn epilogue_adds_and_cuts() {
    check_epilogue::<f32>(shape(16, 40, (5, 5), 3, 1, 1), 2, 1e-5);
    for inputs in [64, 528] {
        check_epilogue::<f32>(shape(inputs, 48, (9, 9), 1, 2, 0), 5, 1e-5);
        check_epilogue::<Bf16>(shape(inputs, 48, (5, 5), 1, 1, 0), 5, 2e-2);
    }
    for (stride, batch) in [(1, 2), (2, 33)] {
        let s = shape(64, 64, (5, 5), 3, stride, 1);
        check_epilogue::<f32>(s, batch, 1e-4);
        check_epilogue::<Bf16>(s, batch, 2e-2);
    }
}

/// `y`, `dx` and `dw`.
fn all_passes<E: Element>(
    conv: &Conv<E>,
    batch: usize,
    x: &[E],
    w: &[f32],
    dy: &[E],
) -> (Vec<E>, Vec<E>, Vec<f32>) {
    let mut packed = vec![f32::NAN; conv.packed_len()];
    let mut scratch = vec![f32::NAN; conv.scratch_len()];
    let mut y = vec![E::default(); batch * conv.shape.out_len()];
    let mut dx = vec![E::default(); x.len()];
    let mut dw = vec![f32::NAN; w.len()];
    let weights = conv.pack_forward(w, None, &mut packed);
    conv.forward(batch, x, weights, &mut y, Epilogue::STORE, &mut scratch);
    conv.backward_weight(batch, x, dy, &mut dw, &mut scratch);
    let weights = conv.pack_backward_data(w, &mut packed);
    conv.backward_data(batch, dy, weights, &mut dx, false, &mut scratch);
    (y, dx, dw)
}

/// The bits of `y`, `dx` and `dw` with so many threads.
fn passes<E: Element>(isa: crate::Isa, s: ConvShape, threads: usize) -> [Vec<u32>; 3] {
    let batch = 17;
    let cpu = Cpu::with_isa(threads, isa).unwrap();
    let conv = Conv::<E>::new(s, Source::Activation, Mode::Train, batch, &cpu);
    let x = random(batch * s.in_channels * s.height * s.width, 1);
    let x = to_stored::<E>(&x, batch, s.in_channels);
    let dy = random(batch * s.out_channels * s.out_pixels(), 3);
    let dy = to_stored::<E>(&dy, batch, s.out_channels);
    let w: Vec<f32> = random(s.weight_len(), 2).iter().map(|&w| w as f32 * 1.1).collect();
    let (y, dx, dw) = all_passes(&conv, batch, &x, &w, &dy);
    let bits = |v: Vec<E>| v.into_iter().map(|v| v.to_f32().to_bits()).collect();
    [bits(y), bits(dx), dw.into_iter().map(f32::to_bits).collect()]
}

#[test]
fn threads_change_no_bit() {
    for isa in crate::Isa::to_test() {
        for s in [
            shape(40, 70, (9, 7), 3, 2, 1),
            shape(64, 64, (4, 4), 3, 1, 1),
            shape(32, 64, (20, 18), 3, 1, 1),
            shape(256, 256, (8, 8), 3, 1, 1),
            shape(64, 32, (32, 32), 3, 2, 1),
            shape(224, 96, (16, 16), 3, 2, 1),
            shape(544, 96, (15, 16), 1, 2, 0),
            shape(64, 256, (20, 18), 1, 1, 0),
        ] {
            let (one, half) = (passes::<f32>(isa, s, 1), passes::<Bf16>(isa, s, 1));
            for threads in [2, 7] {
                assert!(one == passes::<f32>(isa, s, threads), "{isa}");
                assert!(half == passes::<Bf16>(isa, s, threads), "{isa} bf16");
            }
        }
    }
}

/// What the shape, the element, the mode and the instruction set ask for.
#[test]
fn algorithms_follow_the_shape() {
    let cpu = Cpu::new(1).unwrap();
    let direct = cpu.clone().with_algorithms(Algorithms::Direct);
    let of = |conv: &dyn Fn(Direction) -> Option<Algorithm>| Direction::ALL.map(conv);
    let wide = shape(64, 64, (8, 8), 3, 1, 1);
    let tiles = [Some(Algorithm::Winograd { side: 4, stride: 1 }); 3];
    let conv = Conv::<f32>::new(wide, Source::Activation, Mode::Train, 2, &cpu);
    assert_eq!(of(&|d| conv.algorithm(d)), tiles);
    let conv = Conv::<Bf16>::new(wide, Source::Activation, Mode::Train, 1, &cpu);
    assert_eq!(of(&|d| conv.algorithm(d)), tiles);
    // A word holds two channels.
    let odd = shape(48, 80, (8, 8), 3, 1, 1);
    let conv = Conv::<Bf16>::new(odd, Source::Activation, Mode::Train, 1, &cpu);
    assert_eq!(of(&|d| conv.algorithm(d)), [Some(Algorithm::Direct); 3]);
    assert!(!conv.reads_through_norm());
    let conv = Conv::<f32>::new(wide, Source::Activation, Mode::Inference, 2, &cpu);
    assert_eq!(
        of(&|d| conv.algorithm(d)),
        [Some(Algorithm::Winograd { side: 4, stride: 1 }), None, None]
    );
    for (s, cpu) in [(wide, &direct), (shape(60, 64, (8, 8), 1, 1, 0), &cpu)] {
        let conv = Conv::<f32>::new(s, Source::Activation, Mode::Train, 2, cpu);
        assert_eq!(of(&|d| conv.algorithm(d)), [Some(Algorithm::Direct); 3]);
    }
    let strided = shape(32, 64, (8, 8), 3, 2, 1);
    let few = Conv::<f32>::new(strided, Source::Activation, Mode::Train, 2, &cpu);
    assert_eq!(of(&|d| few.algorithm(d)), [Some(Algorithm::Direct); 3]);
    let conv = Conv::<f32>::new(strided, Source::Activation, Mode::Train, 32, &cpu);
    assert_eq!(of(&|d| conv.algorithm(d)), [Some(Algorithm::Winograd { side: 4, stride: 2 }); 3]);
    assert_eq!(conv.algorithm(Direction::Forward).unwrap().to_string(), "F(4x4,3x3)/2");
    let stem = shape(3, 64, (8, 8), 3, 1, 1);
    let conv = Conv::<Bf16, f32>::new(stem, Source::Image, Mode::TrainFirst, 2, &cpu);
    let (one, none) = (Some(Algorithm::Direct), None);
    assert_eq!(of(&|d| conv.algorithm(d)), [one, none, one]);
    assert_eq!(Algorithm::Winograd { side: 4, stride: 1 }.to_string(), "F(4x4,3x3)");
}
