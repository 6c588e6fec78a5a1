use super::*;

/// Groups of each width, side of the window, stride and padding.
fn check_groups(dtype: Dtype, tolerance: f64) {
    // Inputs and outputs of a group, groups.
    let widths = [
        // Depthwise.
        (1, 1, 40),
        (2, 2, 17),
        (3, 3, 11),
        (4, 4, 13),
        (4, 4, 32),
        (5, 5, 7),
        (8, 8, 6),
        (8, 8, 3),
        (16, 16, 5),
        (32, 32, 3),
        (48, 48, 2),
        // As many channels, and not.
        (1, 3, 11),
        (4, 2, 9),
        (6, 10, 5),
        (24, 8, 4),
        (40, 72, 2),
        // Runs longer than a block of the depth.
        (350, 20, 2),
        (20, 340, 2),
    ];
    for (i, (inputs, outputs, groups)) in widths.into_iter().enumerate() {
        // Every window with every width, and every batch with some.
        for (kernel, stride, size) in
            [(3, 1, (5, 7)), (3, 2, (6, 9)), (1, 1, (4, 3)), (1, 2, (7, 5)), (5, 3, (8, 3))]
        {
            let padding = kernel / 2;
            let s = shape(inputs * groups, outputs * groups, size, kernel, stride, padding);
            let s = ConvShape { groups, ..s };
            let batch = [1, 3, 9][(i + kernel + stride) % 3];
            let source = Source::Activation;
            check(direct::DIRECT, &s, dtype, source, batch, (tolerance, 1e-5));
        }
    }
}

#[test]
fn equal_the_reference() {
    check_groups(Dtype::Fp32, 1e-5);
}

#[test]
fn store_bf16() {
    check_groups(Dtype::Bf16, 5e-3);
}

#[test]
fn of_dense_images() {
    for (inputs, outputs, groups) in [(1, 1, 3), (2, 8, 2), (1, 10, 4)] {
        for (kernel, stride, padding) in [(3, 1, 1), (7, 2, 3), (2, 1, 0)] {
            let s = shape(inputs * groups, outputs * groups, (9, 12), kernel, stride, padding);
            let s = ConvShape { groups, ..s };
            check(direct::DIRECT, &s, Dtype::Fp32, Source::Image, 3, (1e-5, 1e-5));
            check(direct::DIRECT, &s, Dtype::Bf16, Source::Image, 2, (5e-3, 1e-5));
        }
    }
}

#[test]
fn products_of_bf16_are_exact() {
    for width in [1, 4, 5, 8, 16, 32, 48] {
        for (kernel, stride) in [(3, 1), (3, 2), (1, 1)] {
            let s =
                shape(96 / width * width, 96 / width * width, (5, 6), kernel, stride, kernel / 2);
            check_sums(direct::DIRECT, &ConvShape { groups: 96 / width, ..s }, 3, 1e-5);
        }
    }
}

/// A group's channels are zero in images and gradients: others must not see them.
#[test]
fn do_not_mix() {
    for width in [1, 4, 8, 12, 16, 32] {
        let channels = 3 * width;
        let s = ConvShape { groups: 3, ..shape(channels, channels, (4, 5), 3, 1, 1) };
        let [x, w, _] = inputs(&s, 1);
        let pixels = s.height * s.width;
        let middle = width * pixels..2 * width * pixels;
        let mut poisoned = x.clone();
        poisoned[middle.clone()].fill(1e30);
        let w = permuted(&w, &s);
        for dtype in Dtype::ALL {
            on_every_isa(|cpu| {
                let source = Source::Activation;
                let conv = conv(Algorithm::Direct, &s, dtype, source, Mode::Inference, 1, cpu);
                let outputs = [&x, &poisoned].map(|x| {
                    let x = to_stored(dtype, x, 1, channels);
                    let mut packed = vec![f32::NAN; conv.packed_len()];
                    let mut scratch = vec![f32::NAN; conv.scratch_len()];
                    let mut y = Storage::zeroed(dtype, s.out_len()).unwrap();
                    let weights = conv.pack_forward(&w, None, &mut packed);
                    let (x, out) = (x.as_values(), y.as_values_mut());
                    conv.forward(1, x, weights, out, Epilogue::STORE, &mut scratch);
                    from_stored(y.as_values(), 1, channels)
                });
                let [clean, poisoned] = outputs;
                for (i, (clean, poisoned)) in clean.iter().zip(&poisoned).enumerate() {
                    assert_eq!(clean == poisoned, !middle.contains(&i), "{} {s:?} {i}", cpu.isa());
                }
            });
        }
    }
}

#[test]
#[should_panic(expected = "the groups do not divide the channels")]
fn divide_the_channels() {
    let shape = ConvShape { groups: 3, ..shape(12, 16, (4, 4), 3, 1, 1) };
    let (dtype, source, mode) = (Dtype::Fp32, Source::Activation, Mode::Inference);
    let _ = Conv::new(ConvConfig { shape, dtype, source, mode, batch: 1 }, &Cpu::new(1).unwrap());
}
