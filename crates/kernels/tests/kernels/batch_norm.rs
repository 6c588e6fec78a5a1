use resnet_kernels::{
    Activation, Cpu, Dtype, Isa, Smooth, Storage, Values, ValuesMut,
    batch_norm::{ActivationSlope, BatchNorm, MOMENTUM, NormParameters, ResidualGradient, merge},
};

use crate::testing::{error, from_stored, narrow, on_every_isa, random, stored, to_stored, wide};

struct Case {
    n: usize,
    channels: usize,
    pixels: usize,
}

/// Another one than PyTorch's default, so that it counts.
const EPSILON: f64 = 1e-3;

const RELU: Option<Activation> = Some(Activation::Relu);

/// Channels around the vectors, pixels around a chunk.
const CASES: [Case; 5] = [
    Case { n: 1, channels: 1, pixels: 2 },
    Case { n: 3, channels: 8, pixels: 35 },
    Case { n: 2, channels: 33, pixels: 700 },
    Case { n: 5, channels: 64, pixels: 103 },
    Case { n: 2, channels: 130, pixels: 500 },
];

/// The specification, in f64 on `[n][channels][pixels]`.
struct Reference {
    out: Vec<f64>,
    mean: Vec<f64>,
    var: Vec<f64>,
    d_x: Vec<f64>,
    d_residual: Vec<f64>,
    d_weight: Vec<f64>,
    d_bias: Vec<f64>,
}

fn reference(
    c: &Case,
    activation: Activation,
    x: &[f64],
    [w, b]: [&[f64]; 2],
    residual: &[f64],
    g: &[f64],
) -> Reference {
    let m = (c.n * c.pixels) as f64;
    let channel = |i: usize| i / c.pixels % c.channels;
    let sum = |f: &dyn Fn(usize) -> f64| {
        let mut out = vec![0.0; c.channels];
        (0..x.len()).for_each(|i| out[channel(i)] += f(i));
        out
    };
    let mean: Vec<f64> = sum(&|i| x[i]).iter().map(|s| s / m).collect();
    let var: Vec<f64> = sum(&|i| (x[i] - mean[channel(i)]).powi(2)).iter().map(|s| s / m).collect();
    let std = |i: usize| (var[channel(i)] + EPSILON).sqrt();
    let hat = |i: usize| (x[i] - mean[channel(i)]) / std(i);
    let sums: Vec<f64> =
        (0..x.len()).map(|i| w[channel(i)] * hat(i) + b[channel(i)] + residual[i]).collect();
    let value = |x: f64| match activation {
        Activation::Relu => x.max(0.0),
        Activation::Smooth(function) => function.value(x),
    };
    let slope = |x: f64| match activation {
        Activation::Relu => f64::from(x > 0.0),
        Activation::Smooth(function) => function.slope(x),
    };
    let out: Vec<f64> = sums.iter().map(|&x| value(x)).collect();
    let d_residual: Vec<f64> = sums.iter().zip(g).map(|(&x, g)| g * slope(x)).collect();
    let d_bias = sum(&|i| d_residual[i]);
    let d_weight = sum(&|i| d_residual[i] * hat(i));
    let d_x = (0..x.len())
        .map(|i| {
            let k = channel(i);
            w[k] / std(i) * (d_residual[i] - d_bias[k] / m - hat(i) * d_weight[k] / m)
        })
        .collect();
    Reference { out, mean, var, d_x, d_residual, d_weight, d_bias }
}

/// `rounding` is that of the dtype: 2^-24 or 2^-9.
fn check(dtype: Dtype, rounding: f64, offset: f64, activation: Activation) {
    on_every_isa(|cpu| {
        for case in &CASES {
            let len = case.n * case.channels * case.pixels;
            let x: Vec<f64> = random(len, 1).iter().map(|v| v + offset).collect();
            let (residual, g) = (random(len, 2), random(len, 3));
            let (w, b) = (random(case.channels, 4), random(case.channels, 5));
            let want = reference(case, activation, &x, [&w, &b], &residual, &g);
            let stored = |v: &[f64]| to_stored(dtype, v, case.n, case.channels);
            let norm = BatchNorm {
                batch_pixels: case.n * case.pixels,
                channels: case.channels,
                epsilon: EPSILON,
            };
            let (mut mean, mut var) = (vec![0.0; case.channels], vec![1.0; case.channels]);
            let mut saved = vec![f32::NAN; norm.saved_len()];
            let mut scratch = vec![f32::NAN; norm.scratch_len()];
            let (x_stored, residual_stored) = (stored(&x), stored(&residual));
            let x_stored = x_stored.as_values();
            let mut out = Storage::zeroed(dtype, x_stored.len()).unwrap();
            let w32 = narrow(&w);
            let momentum = [MOMENTUM, 0.4, 1.0][case.channels % 3];
            let parameters = NormParameters {
                weight: &w32,
                bias: &narrow(&b),
                running_mean: &mut mean,
                running_var: &mut var,
                momentum,
            };
            norm.forward(
                cpu,
                x_stored,
                parameters,
                Some(residual_stored.as_values()),
                Some(activation),
                out.as_values_mut(),
                &mut saved,
                &mut scratch,
            );
            let dense = |stored: &Storage| from_stored(stored.as_values(), case.n, case.channels);
            assert!(error(&dense(&out), &want.out) < 300.0 * rounding);
            let m = (case.n * case.pixels) as f64;
            let running_mean: Vec<f64> = want.mean.iter().map(|m| momentum * m).collect();
            let running_var: Vec<f64> =
                want.var.iter().map(|v| 1.0 - momentum + momentum * v * m / (m - 1.0)).collect();
            assert!(error(&wide(&mean), &running_mean) < 1e-6);
            assert!(error(&wide(&var), &running_var) < 1e-5);

            let slope = match activation {
                Activation::Relu => ActivationSlope::Output(out.as_values()),
                Activation::Smooth(function) => ActivationSlope::Smooth {
                    function,
                    norm: norm.scale_shift(&saved),
                    residual: Some(residual_stored.as_values()),
                },
            };
            let mut gradient = stored(&g);
            let mut d_residual = stored(&residual);
            let (mut d_weight, mut d_bias) = (vec![0.0; case.channels], vec![0.0; case.channels]);
            norm.backward(
                cpu,
                x_stored,
                slope,
                &w32,
                &saved,
                gradient.as_values_mut(),
                Some(ResidualGradient { gradient: d_residual.as_values_mut(), accumulate: true }),
                &mut d_weight,
                &mut d_bias,
                &mut scratch,
            );
            let sum: Vec<f64> = want.d_residual.iter().zip(&residual).map(|(a, b)| a + b).collect();
            assert!(error(&dense(&d_residual), &sum) < 20.0 * rounding);
            assert!(error(&wide(&d_bias), &want.d_bias) < 200.0 * rounding);
            assert!(error(&wide(&d_weight), &want.d_weight) < 500.0 * rounding);
            // An absolute bound: two pixels leave a gradient that is all cancellation.
            let got = dense(&gradient);
            let scale = want.d_x.iter().fold(0.1f64, |a, d| a.max(d.abs()));
            let worst = got.iter().zip(&want.d_x).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            assert!(worst < (2000.0 * rounding).min(0.1) * scale, "{worst} of {scale}");
        }
    });
}

#[test]
fn equals_the_reference() {
    // An offset far from zero: a sum of squares in f32 would lose the variance.
    check(Dtype::Fp32, 2f64.powi(-24), 20.0, Activation::Relu);
}

#[test]
fn stores_bf16() {
    check(Dtype::Bf16, 2f64.powi(-9), 0.0, Activation::Relu);
}

#[test]
fn smooth_activations_equal_the_reference() {
    for function in [Smooth::Gelu, Smooth::GeluTanh, Smooth::Silu] {
        check(Dtype::Fp32, 2f64.powi(-24), 1.0, Activation::Smooth(function));
        check(Dtype::Bf16, 2f64.powi(-9), 0.0, Activation::Smooth(function));
    }
}

#[test]
fn a_single_value_moves_no_statistics() {
    on_every_isa(|cpu| {
        let norm = BatchNorm { batch_pixels: 1, channels: 3, epsilon: EPSILON };
        let (mut mean, mut var) = ([0.5; 3], [2.0; 3]);
        let (mut saved, mut scratch) = (vec![0.0; norm.saved_len()], vec![0.0; norm.scratch_len()]);
        let mut out = [9.0; 16];
        let parameters = NormParameters {
            weight: &[1.5; 3],
            bias: &[0.25; 3],
            running_mean: &mut mean,
            running_var: &mut var,
            momentum: MOMENTUM,
        };
        let (x, y) = (Values::Fp32(&[3.0; 16]), ValuesMut::Fp32(&mut out));
        norm.forward(cpu, x, parameters, None, None, y, &mut saved, &mut scratch);
        assert_eq!((mean, var, out[0]), ([0.5; 3], [2.0; 3], 0.25));
    });
}

#[test]
fn threads_change_no_bit() {
    let case = &CASES[2];
    let x = to_stored(Dtype::Fp32, &random(2 * 33 * 700, 1), 2, 33);
    let run = |threads| {
        let cpu = Cpu::with_isa(threads, Isa::available()[0]).unwrap();
        let norm = BatchNorm {
            batch_pixels: case.n * case.pixels,
            channels: case.channels,
            epsilon: EPSILON,
        };
        let (mut saved, mut scratch) = (vec![0.0; norm.saved_len()], vec![0.0; norm.scratch_len()]);
        let (mut mean, mut var) = (vec![0.0; 33], vec![1.0; 33]);
        let mut out = vec![0.0; x.len()];
        let parameters = NormParameters {
            weight: &[1.5; 33],
            bias: &[0.1; 33],
            running_mean: &mut mean,
            running_var: &mut var,
            momentum: MOMENTUM,
        };
        let (x, y) = (x.as_values(), ValuesMut::Fp32(&mut out));
        norm.forward(&cpu, x, parameters, None, None, y, &mut saved, &mut scratch);
        out.into_iter().chain(saved).map(f32::to_bits).collect::<Vec<_>>()
    };
    let one = run(1);
    assert!(one == run(2) && one == run(7));
}

#[test]
fn a_recomputed_mask_is_the_stored_one() {
    on_every_isa(|cpu| {
        let norm = BatchNorm { batch_pixels: 50, channels: 40, epsilon: EPSILON };
        let x = to_stored(Dtype::Fp32, &random(50 * 40, 1), 2, 40);
        let x = x.as_values();
        let (weight, bias) = (narrow(&random(40, 2)), narrow(&random(40, 3)));
        let gradient = to_stored(Dtype::Fp32, &random(50 * 40, 4), 2, 40).to_f32(0..50 * 48);
        let mut saved = vec![0.0; norm.saved_len()];
        let mut scratch = vec![0.0; norm.scratch_len()];
        let mut out = vec![0.0; x.len()];
        let (mut mean, mut var) = (vec![0.0; 40], vec![1.0; 40]);
        let parameters = NormParameters {
            weight: &weight,
            bias: &bias,
            running_mean: &mut mean,
            running_var: &mut var,
            momentum: MOMENTUM,
        };
        let y = ValuesMut::Fp32(&mut out);
        norm.forward(cpu, x, parameters, None, RELU, y, &mut saved, &mut scratch);
        let mut backward = |mask| {
            let (mut g, mut dw, mut db) = (gradient.clone(), vec![0.0; 40], vec![0.0; 40]);
            norm.backward(
                cpu,
                x,
                mask,
                &weight,
                &saved,
                ValuesMut::Fp32(&mut g),
                None,
                &mut dw,
                &mut db,
                &mut scratch,
            );
            (g, dw, db)
        };
        let open = backward(ActivationSlope::None);
        let stored = backward(ActivationSlope::Output(Values::Fp32(&out)));
        let again = backward(ActivationSlope::Recomputed(norm.scale_shift(&saved)));
        assert!(again == stored && stored != open);
    });
}

/// Two machines that combine what each has found between the passes give what one gives.
#[test]
fn halves_of_a_batch_combine() {
    for (dtype, tolerance) in [(Dtype::Fp32, 1e-5), (Dtype::Bf16, 2e-2)] {
        on_every_isa(|cpu| {
            let (channels, pixels) = (40, 900);
            let whole = BatchNorm { batch_pixels: pixels, channels, epsilon: EPSILON };
            let parts = [(0, 300), (300, 600)];
            let shifted: Vec<f64> = random(pixels * channels, 1).iter().map(|v| v + 0.5).collect();
            let x = to_stored(dtype, &shifted, 1, channels);
            let g = to_stored(dtype, &random(pixels * channels, 2), 1, channels);
            let (weight, bias) = (narrow(&random(channels, 3)), narrow(&random(channels, 4)));
            let zeros = || stored(dtype, &vec![0.0; whole.stored_len()]);
            let running = || (vec![0.0; channels], vec![1.0; channels]);
            let dense = |stored: &Storage| from_stored(stored.as_values(), 1, channels);

            let (mut mean, mut var) = running();
            let (mut saved, mut out) = (vec![0.0; whole.saved_len()], zeros());
            let mut scratch = vec![f32::NAN; whole.scratch_len()];
            let parameters = NormParameters {
                weight: &weight,
                bias: &bias,
                running_mean: &mut mean,
                running_var: &mut var,
                momentum: MOMENTUM,
            };
            let y = out.as_values_mut();
            whole.forward(cpu, x.as_values(), parameters, None, RELU, y, &mut saved, &mut scratch);
            let (mut dx, mut dw, mut db) =
                (stored(dtype, &g.as_values().to_f32()), vec![0.0; channels], vec![0.0; channels]);
            whole.backward(
                cpu,
                x.as_values(),
                ActivationSlope::Output(out.as_values()),
                &weight,
                &saved,
                dx.as_values_mut(),
                None,
                &mut dw,
                &mut db,
                &mut scratch,
            );

            let range = |(start, pixels): (usize, usize)| start * 48..(start + pixels) * 48;
            let found = parts.map(|part| {
                let norm = BatchNorm { batch_pixels: part.1, channels, epsilon: EPSILON };
                let mut moments = vec![f64::NAN; norm.sums_len()];
                norm.moments(cpu, x.values(range(part)), &mut moments, &mut scratch);
                moments
            });
            let mut moments = vec![0.0; whole.sums_len()];
            for channel in 0..48 {
                let part =
                    |i: usize| (parts[i].1 as f64, found[i][channel], found[i][48 + channel]);
                let (count, mean, squares) = merge((0..2).map(part));
                assert_eq!(count, 900.0);
                (moments[channel], moments[48 + channel]) = (mean, squares);
            }
            let (mut half_mean, mut half_var) = running();
            let mut half_saved = vec![0.0; whole.saved_len()];
            let parameters = NormParameters {
                weight: &weight,
                bias: &bias,
                running_mean: &mut half_mean,
                running_var: &mut half_var,
                momentum: MOMENTUM,
            };
            whole.finish_statistics(900.0, &moments, parameters, &mut half_saved);
            assert!(error(&wide(&half_saved), &wide(&saved)) < 1e-5);
            assert!(error(&wide(&half_mean), &wide(&mean)) < 1e-5);
            assert!(error(&wide(&half_var), &wide(&var)) < 1e-5);

            let (mut half_out, mut sums) = (zeros(), vec![0.0; whole.sums_len()]);
            let (mut half_dw, mut half_db) = (vec![0.0; channels], vec![0.0; channels]);
            for part in parts {
                let (norm, range) =
                    (BatchNorm { batch_pixels: part.1, channels, epsilon: EPSILON }, range(part));
                let (x, y) = (x.values(range.clone()), half_out.values_mut(range.clone()));
                norm.normalize(cpu, x, &bias, None, RELU, y, &half_saved, &mut scratch);
                let mask = ActivationSlope::Output(half_out.values(range.clone()));
                let mut own = vec![f64::NAN; norm.sums_len()];
                let (mut own_dw, mut own_db) = (vec![0.0; channels], vec![0.0; channels]);
                norm.gradient_sums(
                    cpu,
                    x,
                    mask,
                    &half_saved,
                    g.values(range),
                    &mut own_dw,
                    &mut own_db,
                    &mut own,
                    &mut scratch,
                );
                sums.iter_mut().zip(own).for_each(|(sum, own)| *sum += own);
                half_dw.iter_mut().zip(own_dw).for_each(|(sum, own)| *sum += own);
                half_db.iter_mut().zip(own_db).for_each(|(sum, own)| *sum += own);
            }
            assert!(error(&dense(&half_out), &dense(&out)) < tolerance);
            assert!(error(&wide(&half_dw), &wide(&dw)) < 1e-3);
            assert!(error(&wide(&half_db), &wide(&db)) < 1e-3);
            let mut half_dx = stored(dtype, &g.as_values().to_f32());
            for part in parts {
                let (norm, range) =
                    (BatchNorm { batch_pixels: part.1, channels, epsilon: EPSILON }, range(part));
                let mask = ActivationSlope::Output(half_out.values(range.clone()));
                norm.backward_data(
                    cpu,
                    900.0,
                    &sums,
                    x.values(range.clone()),
                    mask,
                    &weight,
                    &half_saved,
                    half_dx.values_mut(range),
                    None,
                    &mut scratch,
                );
            }
            assert!(error(&dense(&half_dx), &dense(&dx)) < tolerance);
        });
    }
}
