//! 16-bit integers in bfloat16 convolutions: no value hides another, NaN shows, no sum overflows.

use super::*;

/// A stride of 1 and of 2, of enough tiles for either.
const SHAPES: [(ConvShape, usize); 2] =
    [(shape(64, 32, (9, 8), 3, 1, 1), 33), (shape(32, 64, (9, 8), 3, 2, 1), 33)];

/// `y`, `dx` and `dw` of PyTorch's layout.
fn passes(cpu: &Cpu, s: &ConvShape, x: &[f64], w: &[f64], dy: &[f64]) -> [Vec<f64>; 3] {
    let (batch, dtype) = (x.len() / (s.in_channels * s.height * s.width), Dtype::Bf16);
    let algorithm = if s.stride == 1 { WINOGRAD } else { STRIDED };
    let conv = conv(algorithm, s, dtype, Source::Activation, Mode::Train, batch, cpu);
    let x = to_stored(dtype, x, batch, s.in_channels);
    let dy = to_stored(dtype, dy, batch, s.out_channels);
    let w = permuted(w, s);
    let (y, dx, dw) = all_passes(&conv, s, batch, x.as_values(), &w, dy.as_values());
    [
        from_stored(y.as_values(), batch, s.out_channels),
        from_stored(dx.as_values(), batch, s.in_channels),
        unpermuted(&dw, s),
    ]
}

/// Images, and outputs, may differ by any factor. None is quantised with the scale of another.
#[test]
fn every_image_has_its_own_scale() {
    let factor = |i: usize| [1.0, 2f64.powi(-40), 2f64.powi(30), 0.0][i % 4];
    on_every_isa(|cpu| {
        for (s, batch) in &SHAPES {
            let [mut x, mut w, mut dy] = inputs(s, *batch);
            for values in [&mut x, &mut dy] {
                let image = values.len() / batch;
                values.iter_mut().enumerate().for_each(|(i, v)| *v *= factor(i / image));
            }
            let row = s.in_channels * 9;
            w.iter_mut().enumerate().for_each(|(i, w)| *w *= 2f64.powi((i / row % 5) as i32 * 9));
            let [y, dx, _] = passes(cpu, s, &x, &w, &dy);
            let want_y = reference::forward(s, *batch, &x, &rounded(Dtype::Bf16, &w));
            for (got, want) in y.chunks(s.out_pixels()).zip(want_y.chunks(s.out_pixels())) {
                assert!(closeness(got, want) < 2e-2, "{} {s:?}", cpu.isa());
            }
            let want_dx = reference::backward_data(s, *batch, &dy, &rounded(Dtype::Bf16, &w));
            let image = dx.len() / batch;
            for (got, want) in dx.chunks(image).zip(want_dx.chunks(image)) {
                assert!(closeness(got, want) < 2e-2, "{} {s:?}", cpu.isa());
            }
        }
    });
}

/// Channels may be large where their weights are small. The error follows from what they
/// contribute.
#[test]
fn every_channel_counts_by_what_it_contributes() {
    let factor = |channel: usize| 2f64.powi((channel * 7 % 13) as i32 - 6);
    on_every_isa(|cpu| {
        for (s, batch) in &SHAPES {
            let [mut x, mut w, mut dy] = inputs(s, *batch);
            for (values, channels, pixels) in [
                (&mut x, s.in_channels, s.height * s.width),
                (&mut dy, s.out_channels, s.out_pixels()),
            ] {
                let channel = |i: usize| i / pixels % channels;
                values.iter_mut().enumerate().for_each(|(i, v)| *v *= factor(channel(i)));
            }
            for (i, w) in w.iter_mut().enumerate() {
                *w /= factor(i / 9 % s.in_channels) * factor(i / 9 / s.in_channels);
            }
            let [y, dx, dw] = passes(cpu, s, &x, &w, &dy);
            let w16 = rounded(Dtype::Bf16, &w);
            // Results of a channel have a scale of their own.
            let near = |got: &[f64], want: &[f64], channels: usize, each: usize| {
                for channel in 0..channels {
                    let of = |v: &[f64]| -> Vec<f64> {
                        v.chunks(each).skip(channel).step_by(channels).flatten().copied().collect()
                    };
                    let e = closeness(&of(got), &of(want));
                    assert!(e < 2e-2, "{} {s:?} channel {channel} of {channels}: {e}", cpu.isa());
                }
            };
            near(&y, &reference::forward(s, *batch, &x, &w16), s.out_channels, s.out_pixels());
            let want = reference::backward_data(s, *batch, &dy, &w16);
            near(&dx, &want, s.in_channels, s.height * s.width);
            let want = reference::backward_weight(s, *batch, &x, &dy);
            let even = |v: &[f64]| -> Vec<f64> {
                let by = |i: usize| factor(i / 9 % s.in_channels) * factor(i / 9 / s.in_channels);
                v.iter().enumerate().map(|(i, v)| v / by(i)).collect()
            };
            let e = closeness(&even(&dw), &even(&want));
            assert!(e < 2e-2, "{} {s:?}: {e}", cpu.isa());
        }
    });
}

/// Values whose squares underflow may count as zero, but give no wrong results.
#[test]
fn tiny_values_vanish() {
    on_every_isa(|cpu| {
        for (s, batch) in &SHAPES {
            let [mut x, w, mut dy] = inputs(s, *batch);
            for values in [&mut x, &mut dy] {
                values.iter_mut().enumerate().for_each(|(i, v)| {
                    *v = if i % 97 == 5 { 1.2e-19 } else { 1e-19 * v.signum() };
                });
            }
            for values in passes(cpu, s, &x, &w, &dy) {
                assert!(values.iter().all(|v| v.abs() < 1e-15), "{} {s:?}", cpu.isa());
            }
        }
    });
}

/// NaN and infinity show, as in a diverged net.
#[test]
fn nan_and_infinity_show_in_results() {
    on_every_isa(|cpu| {
        for (s, batch) in &SHAPES {
            for bad in [f64::NAN, f64::INFINITY] {
                let [mut x, w, mut dy] = inputs(s, *batch);
                // A pixel in the middle of the second image, of channel 3.
                let pixels = s.height * s.width;
                x[(s.in_channels + 3) * pixels + 4 * s.width + 4] = bad;
                let at = (s.out_channels + 3) * s.out_pixels() + s.out_width() + 1;
                dy[at] = bad;
                let [y, dx, dw] = passes(cpu, s, &x, &w, &dy);
                for (values, image) in [(&y, y.len() / batch), (&dx, dx.len() / batch)] {
                    let finite =
                        |i: usize| values[i * image..][..image].iter().all(|v| v.is_finite());
                    assert!(
                        finite(0) && !finite(1) && (2..*batch).all(finite),
                        "{} {s:?}",
                        cpu.isa()
                    );
                }
                // Gradients of output 3 and of input 3, at the taps of the pixel.
                for (i, g) in dw.chunks(9).enumerate() {
                    let touched = i % s.in_channels == 3 || i / s.in_channels == 3;
                    let finite = g.iter().all(|g| g.is_finite());
                    assert_eq!(finite, !touched, "{} {s:?}", cpu.isa());
                }
            }
        }
    });
}

/// NaN and infinity of weights show. Weights whose squares overflow f32 are numbers.
#[test]
fn nan_and_infinity_of_weights_show() {
    on_every_isa(|cpu| {
        for (s, batch) in &SHAPES {
            for bad in [f64::NAN, f64::NEG_INFINITY, 1e30, 2e19] {
                let [x, mut w, dy] = inputs(s, *batch);
                // Of output 3 and of input 5, four taps that share pairs.
                for (window, sign) in [(0, 1.0), (2, -1.0), (6, 1.0), (8, 1.0)] {
                    w[(3 * s.in_channels + 5) * 9 + window] = bad * sign;
                }
                let [y, dx, _] = passes(cpu, s, &x, &w, &dy);
                let want = [
                    reference::forward(s, *batch, &x, &w),
                    reference::backward_data(s, *batch, &dy, &w),
                ];
                let pixels = s.height * s.width;
                for (got, want, channels, each, touched) in [
                    (&y, &want[0], s.out_channels, s.out_pixels(), 3),
                    (&dx, &want[1], s.in_channels, pixels, 5),
                ] {
                    for (i, (got, want)) in got.chunks(each).zip(want.chunks(each)).enumerate() {
                        let label = format!("{} {s:?} {bad} channel {}", cpu.isa(), i % channels);
                        if i % channels != touched || bad.is_finite() {
                            assert!(closeness(got, want) < 2e-2, "{label}");
                        } else {
                            assert!(got.iter().any(|v| !v.is_finite()), "{label}");
                        }
                    }
                }
            }
        }
    });
}

/// Patches and windows that are all on one coefficient of the transform reach the largest sums.
#[test]
fn the_largest_sums_fit() {
    // Rows of the transforms of an input, over the roots of their squares' sums.
    let (a, b) = (4.0 / 9.0, 9.0 / 4.0);
    let even = |p: f64, q: f64| [0.0, -p * q, -q, p, 1.0, 0.0];
    let rows = [
        [1.0, 0.0, -a - b, 0.0, 1.0, 0.0],
        even(2.0 / 3.0, b),
        even(-2.0 / 3.0, b),
        even(1.5, a),
        even(-1.5, a),
        [0.0, 1.0, 0.0, -a - b, 0.0, 1.0],
    ];
    // All channels and images are the same, so one gives the sums of all.
    let (s, one) = (shape(64, 32, (12, 12), 3, 1, 1), shape(1, 1, (12, 12), 3, 1, 1));
    let (batch, times) = (8, [64.0, 32.0, 8.0]);
    let dy: Vec<f64> = (0..144).map(|n| if n % 12 > 3 { 1.0 } else { 0.0 }).collect();
    let tap = [1.0, -0.5, 0.25];
    let w: Vec<f64> = (0..9).map(|n| tap[n / 3] * tap[n % 3]).collect();
    let of = |x: &[f64], w: &[f64]| {
        [
            reference::forward(&one, 1, x, w),
            reference::backward_data(&one, 1, &dy, w),
            reference::backward_weight(&one, 1, x, &dy),
        ]
    };
    let without_signs = |v: &[f64]| v.iter().map(|v| v.abs()).collect::<Vec<_>>();
    for (i, row) in rows.iter().enumerate() {
        for column in &rows[i..] {
            // The patch of the tile in the middle.
            let pixel = |n: usize| {
                let (y, x) = ((n / 12).wrapping_sub(3), (n % 12).wrapping_sub(3));
                if y < 6 && x < 6 { row[y] * column[x] } else { 0.0 }
            };
            let x = rounded(Dtype::Bf16, &(0..144).map(pixel).collect::<Vec<_>>());
            let want = of(&x, &w);
            let most = of(&without_signs(&x), &without_signs(&w));
            on_every_isa(|cpu| {
                let (images, weights) = (x.repeat(batch * 64), w.repeat(64 * 32));
                let got = passes(cpu, &s, &images, &weights, &dy.repeat(batch * 32));
                for pass in 0..3 {
                    let most = most[pass].iter().copied().fold(0.0, f64::max);
                    for (i, got) in got[pass].iter().enumerate() {
                        let (got, want) = (got / times[pass], want[pass][i % want[pass].len()]);
                        let label = format!("{} {row:?} {column:?} pass {pass}", cpu.isa());
                        assert!((got - want).abs() < 1e-2 * most, "{label}: {got} for {want}");
                    }
                }
            });
        }
    }
}

/// Deep sums, and values of which few are large.
#[test]
fn deep_sums_of_uneven_values_are_close() {
    let s = shape(512, 32, (4, 4), 3, 1, 1);
    let [x, w, dy] = inputs(&s, 3).map(|v| v.into_iter().map(|v| v.powi(9)).collect::<Vec<_>>());
    let (x, dy) = (rounded(Dtype::Bf16, &x), rounded(Dtype::Bf16, &dy));
    let want = [
        reference::forward(&s, 3, &x, &w),
        reference::backward_data(&s, 3, &dy, &w),
        reference::backward_weight(&s, 3, &x, &dy),
    ];
    on_every_isa(|cpu| {
        for (got, want) in passes(cpu, &s, &x, &w, &dy).iter().zip(&want) {
            let e = closeness(got, want);
            assert!(e < 2e-2, "{}: {e}", cpu.isa());
        }
    });
}

/// Windows of which the transform leaves little: sums of squares cancel, but must not come out too
/// small.
#[test]
fn windows_that_cancel_keep_their_results() {
    let shapes = [shape(512, 32, (4, 4), 3, 1, 1), shape(64, 128, (8, 8), 3, 2, 1)];
    for (s, p) in shapes.iter().flat_map(|s| [(s, 2.0 / 3.0), (s, -1.5), (s, -1.0)]) {
        let batch = 33;
        let [x, w, dy] = inputs(s, batch);
        // Columns c with c0 + p c1 + p^2 c2 next to zero, and rows likewise.
        let near = |a: f64, b: f64| [p * a, p * b - a, -b];
        let window = |w: &[f64]| {
            let (column, row) = (near(w[0], w[1]), near(w[2], w[3]));
            (0..9).map(move |n| column[n / 3] * row[n % 3] + 1e-7 * row[n / 3])
        };
        let w: Vec<f64> = w.chunks(9).flat_map(window).collect();
        let (x, dy) = (rounded(Dtype::Bf16, &x), rounded(Dtype::Bf16, &dy));
        let want =
            [reference::forward(s, batch, &x, &w), reference::backward_data(s, batch, &dy, &w)];
        on_every_isa(|cpu| {
            for (got, want) in passes(cpu, s, &x, &w, &dy).iter().zip(&want) {
                let e = closeness(got, want);
                assert!(e < 3e-2, "{} {s:?} {p}: {e}", cpu.isa());
            }
        });
    }
}

/// A pair whose channels are rarely nonzero together is recomputed in f32. Where many are, all are.
#[test]
fn pairs_that_rarely_coincide_are_exact() {
    for (s, batch) in &SHAPES {
        for many in [false, true] {
            let [mut x, w, mut dy] = inputs(s, *batch);
            // Where one has its values, those of the other are small.
            let place = |i: usize, channels: usize, pixels: usize| {
                (i / pixels % channels, i / pixels / channels)
            };
            for (i, x) in x.iter_mut().enumerate() {
                let (channel, image) = place(i, s.in_channels, s.height * s.width);
                let is_there =
                    if many { channel % 2 == image % 2 } else { channel != 5 || image == 0 };
                *x *= f64::from(u8::from(is_there));
            }
            for (i, dy) in dy.iter_mut().enumerate() {
                let (channel, image) = place(i, s.out_channels, s.out_pixels());
                let is_small =
                    if many { channel % 2 == image % 2 } else { channel == 7 && image == 0 };
                *dy *= if is_small { 2f64.powi(-14) } else { 1.0 };
            }
            let want = reference::backward_weight(s, *batch, &x, &dy);
            let meets = |output: usize, channel: usize| {
                if many { output % 2 != channel % 2 } else { (output, channel) != (7, 5) }
            };
            on_every_isa(|cpu| {
                let [_, _, dw] = passes(cpu, s, &x, &w, &dy);
                for (pair, (got, want)) in dw.chunks(9).zip(want.chunks(9)).enumerate() {
                    let (output, channel) = (pair / s.in_channels, pair % s.in_channels);
                    if !meets(output, channel) {
                        let e = closeness(got, want);
                        assert!(e < 1e-5, "{} {s:?} {many} {output} {channel}: {e}", cpu.isa());
                    }
                }
            });
        }
    }
}

/// In inference one image may take the fallback and the next not. No image changes another's
/// result.
#[test]
fn uneven_images_change_no_other() {
    let shapes = [(shape(64, 32, (9, 8), 3, 1, 1), 6), (shape(32, 64, (9, 8), 3, 2, 1), 36)];
    for (s, batch) in &shapes {
        let [mut x, mut w, _] = inputs(s, *batch);
        let (pixels, dtype) = (s.height * s.width, Dtype::Bf16);
        let image = s.in_channels * pixels;
        // Every third image has a large channel that half of the outputs do not read.
        for (i, w) in w.iter_mut().enumerate() {
            if i / 9 % s.in_channels == 5 && i / 9 / s.in_channels % 2 == 1 {
                *w = 0.0;
            }
        }
        for i in (0..x.len()).filter(|i| i / pixels % s.in_channels == 5 && i / image % 3 == 1) {
            x[i] *= 1e4;
        }
        let want = reference::forward(s, *batch, &x, &w);
        let plain = permuted(&w, s);
        on_every_isa(|cpu| {
            let algorithm = if s.stride == 1 { WINOGRAD } else { STRIDED };
            let source = Source::Activation;
            let conv = conv(algorithm, s, dtype, source, Mode::Inference, *batch, cpu);
            let mut packed = vec![f32::NAN; conv.packed_len()];
            let mut scratch = vec![f32::NAN; conv.scratch_len()];
            let weights = conv.pack_forward(&plain, None, &mut packed);
            let mut run = |x: &[f64]| -> Vec<f64> {
                let images = x.len() / image;
                let x = to_stored(dtype, x, images, s.in_channels);
                let mut y = Storage::zeroed(dtype, images * s.out_len()).unwrap();
                let out = y.as_values_mut();
                conv.forward(images, x.as_values(), weights, out, Epilogue::STORE, &mut scratch);
                from_stored(y.as_values(), images, s.out_channels)
            };
            let all = run(&x);
            let each = all.len() / batch;
            for (n, (y, want)) in all.chunks(each).zip(want.chunks(each)).enumerate() {
                let label = format!("{} {s:?} image {n}", cpu.isa());
                assert_eq!(y, run(&x[n * image..][..image]), "{label}");
                for (y, want) in y.chunks(s.out_pixels()).zip(want.chunks(s.out_pixels())) {
                    let e = closeness(y, want);
                    assert!(e < 2e-2, "{label}: {e}");
                }
            }
        });
    }
}
