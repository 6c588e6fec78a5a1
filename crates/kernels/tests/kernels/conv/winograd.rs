use resnet_kernels::conv::{ConvInput, ScaleShift};

use super::*;

/// Images around the tile of 4, channels around the panels and blocks.
const SHAPES: [ConvShape; 7] = [
    shape(32, 32, (8, 8), 3, 1, 1),
    shape(64, 32, (7, 9), 3, 1, 1),
    shape(32, 96, (4, 4), 3, 1, 1),
    shape(64, 64, (1, 5), 3, 1, 1),
    shape(32, 96, (14, 13), 3, 1, 1),
    shape(192, 64, (4, 6), 3, 1, 1),
    shape(160, 96, (2, 3), 3, 1, 1),
];

/// Outputs around the tile of 4, channels around the panels; batches of enough tiles, and of more
/// than a block of them.
const STRIDED_SHAPES: [(ConvShape, usize); 8] = [
    (shape(32, 32, (8, 8), 3, 2, 1), 33),
    (shape(64, 32, (7, 9), 3, 2, 1), 17),
    (shape(32, 96, (4, 4), 3, 2, 1), 40),
    (shape(64, 64, (1, 5), 3, 2, 1), 32),
    (shape(32, 96, (28, 26), 3, 2, 1), 3),
    (shape(256, 96, (2, 3), 3, 2, 1), 37),
    (shape(96, 208, (15, 16), 3, 2, 1), 18),
    (shape(32, 32, (72, 64), 3, 2, 1), 5),
];

/// Channels that are no whole number of pairs of blocks, which bfloat16 needs.
const HALF: ConvShape = shape(48, 80, (5, 6), 3, 1, 1);
const STRIDED_HALF: (ConvShape, usize) = (shape(48, 80, (5, 6), 3, 2, 1), 35);

/// Whether bfloat16 takes the same algorithm: its words hold two channels, and must fill blocks.
fn whole(s: &ConvShape) -> bool {
    [s.in_channels, s.out_channels].iter().all(|c| c % 32 == 0)
}

/// In bfloat16 `y`, `dx` and `dw` are all within 2e-2 by the measure of [`closeness`].
fn check_both(algorithm: Algorithm, s: &ConvShape, batch: usize) {
    let (what, source) = ((algorithm, Algorithms::Fastest), Source::Activation);
    check(what, s, Dtype::Fp32, source, batch, (1e-4, 1e-4));
    let of_pairs = if whole(s) { algorithm } else { Algorithm::Direct };
    check((of_pairs, Algorithms::Fastest), s, Dtype::Bf16, source, batch, (2e-2, 2e-2));
}

#[test]
fn winograd_equals_the_reference() {
    for batch in [1, 5] {
        SHAPES.iter().chain([&HALF]).for_each(|s| check_both(WINOGRAD, s, batch));
    }
    // Several parts of a batch, whose gradients of weights are added.
    check_both(WINOGRAD, &shape(32, 64, (33, 30), 3, 1, 1), 7);
    // Few tiles of many channels, then more tiles than a shared block has.
    for batch in [1, 16] {
        check_both(WINOGRAD, &shape(256, 256, (4, 4), 3, 1, 1), batch);
    }
    check_both(WINOGRAD, &shape(512, 32, (2, 3), 3, 1, 1), 130);
}

#[test]
fn strided_winograd_equals_the_reference() {
    for (s, batch) in STRIDED_SHAPES.iter().chain([&STRIDED_HALF]) {
        check_both(STRIDED, s, *batch);
    }
}

fn check_fused_norm(
    algorithm: Algorithm,
    s: &ConvShape,
    dtype: Dtype,
    batch: usize,
    tolerance: f64,
) {
    let [x, w, dy] = inputs(s, batch);
    let (scale, shift) = (random(s.in_channels, 4), random(s.in_channels, 5));
    let channel = |i: usize| i / (s.height * s.width) % s.in_channels;
    let read: Vec<f64> =
        (0..x.len()).map(|i| (x[i] * scale[channel(i)] + shift[channel(i)]).max(0.0)).collect();
    let want_y = reference::forward(s, batch, &read, &w);
    let want_dw = reference::backward_weight(s, batch, &read, &dy);
    let (scale, shift, plain) = (narrow(&scale), narrow(&shift), permuted(&w, s));
    let norm = Some(ScaleShift { scale: &scale, shift: &shift });
    let stored_x = to_stored(dtype, &x, batch, s.in_channels);
    let stored_dy = to_stored(dtype, &dy, batch, s.out_channels);
    let x = ConvInput { values: stored_x.as_values(), norm };
    on_every_isa(|cpu| {
        let conv = conv(algorithm, s, dtype, Source::Activation, Mode::Train, batch, cpu);
        assert!(conv.algorithm(Direction::Forward).unwrap().fuses_input_norm());
        let mut packed = vec![0.0; conv.packed_len()];
        let mut scratch = vec![f32::NAN; conv.scratch_len()];
        let mut y = Storage::zeroed(dtype, batch * s.out_len()).unwrap();
        let weights = conv.pack_forward(&plain, None, &mut packed);
        conv.forward(batch, x, weights, y.as_values_mut(), Epilogue::STORE, &mut scratch);
        let e = closeness(&from_stored(y.as_values(), batch, s.out_channels), &want_y);
        assert!(e < tolerance, "{} {s:?}: {e}", cpu.isa());
        let mut dw = vec![0.0; s.weight_len()];
        conv.backward_weight(batch, x, stored_dy.as_values(), &mut dw, &mut scratch);
        let e = closeness(&unpermuted(&dw, s), &want_dw);
        assert!(e < tolerance, "{} {s:?}: {e}", cpu.isa());
    });
}

#[test]
fn winograd_fuses_a_batch_norm() {
    let plain = SHAPES.into_iter().chain([HALF]).map(|s| (WINOGRAD, s, 3));
    let strided = STRIDED_SHAPES.into_iter().chain([STRIDED_HALF]);
    for (algorithm, s, batch) in plain.chain(strided.map(|(s, batch)| (STRIDED, s, batch))) {
        check_fused_norm(algorithm, &s, Dtype::Fp32, batch, 1e-4);
        if whole(&s) {
            // The worst of many thousand values; the tests of bounds check every channel.
            check_fused_norm(algorithm, &s, Dtype::Bf16, batch, 2.5e-2);
        }
    }
}
