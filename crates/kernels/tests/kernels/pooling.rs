use resnet_kernels::{
    Dtype, Values, ValuesMut,
    pooling::{AvgPool, GlobalAvgPool, GlobalMaxPool, MaxPool},
};

use crate::testing::{error, from_stored, on_every_isa, random, stored, to_stored};

fn check_max(dtype: Dtype, tolerance: f64) {
    on_every_isa(|cpu| {
        for (kernel, stride, padding) in [(3, 2, 1), (2, 2, 0), (3, 1, 1), (2, 3, 0), (3, 3, 0)] {
            let s = MaxPool { channels: 20, height: 7, width: 6, kernel, stride, padding };
            let side = |size: usize| (size + 2 * padding - kernel) / stride + 1;
            let (n, columns) = (3, side(6));
            let pixels = side(7) * columns;
            // Few levels: ties are common.
            let x: Vec<f64> = random(n * 20 * 42, 1).iter().map(|v| (v * 3.0).round()).collect();
            let g = random(n * 20 * pixels, 2);
            let before = random(x.len(), 3);
            let (mut want, mut want_dx) = (vec![f64::MIN; g.len()], before.clone());
            for i in 0..g.len() {
                let (plane, y, x0) = (i / pixels, i % pixels / columns, i % columns);
                let mut first = 0;
                for (ky, kx) in (0..kernel).flat_map(|a| (0..kernel).map(move |b| (a, b))) {
                    let (iy, ix) = (y * stride + ky, x0 * stride + kx);
                    if (padding..7 + padding).contains(&iy) && (padding..6 + padding).contains(&ix)
                    {
                        let at = plane * 42 + (iy - padding) * 6 + ix - padding;
                        if x[at] > want[i] {
                            (want[i], first) = (x[at], at);
                        }
                    }
                }
                want_dx[first] += g[i];
            }
            let x = to_stored(dtype, &x, n, 20);
            let mut out = stored(dtype, &vec![0.0; n * pixels * 32]);
            s.forward(cpu, n, x.as_values(), out.as_values_mut());
            assert_eq!(from_stored(out.as_values(), n, 20), want);
            let (g, out) = (to_stored(dtype, &g, n, 20), out.as_values());
            for accumulate in [true, false] {
                let mut dx = to_stored(dtype, &before, n, 20);
                let to = dx.as_values_mut();
                s.backward(cpu, n, x.as_values(), out, g.as_values(), to, accumulate);
                // Without accumulation the gradients alone; both are measured by the same sums.
                let base = if accumulate { 0.0 } else { 1.0 };
                let dx = from_stored(dx.as_values(), n, 20);
                let sums: Vec<f64> = dx.iter().zip(&before).map(|(dx, b)| dx + base * b).collect();
                let error = error(&sums, &want_dx);
                assert!(error < tolerance, "{kernel} {stride} {padding} {accumulate}: {error:.1e}");
            }
        }
    });
}

#[test]
fn max_equals_the_reference() {
    check_max(Dtype::Fp32, 1e-6);
    check_max(Dtype::Bf16, 3e-2); // sums of up to nine, each rounded
}

#[test]
fn max_keeps_nan() {
    on_every_isa(|cpu| {
        let s = MaxPool { channels: 16, height: 2, width: 2, kernel: 2, stride: 2, padding: 0 };
        for place in 0..4 {
            let mut x = vec![1.0f32; 4 * 16];
            x[place * 16..][..16].fill(f32::NAN);
            let mut out = vec![0.0f32; 16];
            s.forward(cpu, 1, Values::Fp32(&x), ValuesMut::Fp32(&mut out));
            assert!(out.iter().all(|v| v.is_nan()), "NaN at {place}");
        }
    });
}

fn check_windows(dtype: Dtype, tolerance: f64) {
    on_every_isa(|cpu| {
        for (kernel, height, width) in [(2, 6, 8), (2, 7, 5), (3, 7, 8), (1, 3, 2), (9, 4, 5)] {
            let s = AvgPool { channels: 20, height, width, kernel };
            let (n, columns) = (3, width.div_ceil(kernel));
            let (pixels, outs) = (height * width, height.div_ceil(kernel) * columns);
            let x = random(n * 20 * pixels, 1);
            let g = random(n * 20 * outs, 2);
            // Of each input value, its output value.
            let to = |i: usize| {
                let (y, x) = (i % pixels / width / kernel, i % width / kernel);
                i / pixels * outs + y * columns + x
            };
            let (mut sums, mut counts) = (vec![0.0; g.len()], vec![0.0; g.len()]);
            for (i, value) in x.iter().enumerate() {
                sums[to(i)] += value;
                counts[to(i)] += 1.0;
            }
            let want: Vec<f64> = sums.iter().zip(&counts).map(|(sum, n)| sum / n).collect();
            let stored_x = to_stored(dtype, &x, n, 20);
            let mut out = stored(dtype, &vec![9.0; n * outs * 32]);
            s.forward(cpu, n, stored_x.as_values(), out.as_values_mut());
            assert!(error(&from_stored(out.as_values(), n, 20), &want) < tolerance);
            let stored_g = to_stored(dtype, &g, n, 20);
            for accumulate in [false, true] {
                let mut dx = to_stored(dtype, &x, n, 20);
                s.backward(cpu, n, stored_g.as_values(), dx.as_values_mut(), accumulate);
                let base = if accumulate { 1.0 } else { 0.0 };
                let want = x.iter().enumerate().map(|(i, x)| base * x + g[to(i)] / counts[to(i)]);
                let want: Vec<f64> = want.collect();
                assert!(error(&from_stored(dx.as_values(), n, 20), &want) < tolerance);
            }
        }
    });
}

#[test]
fn average_of_windows_equals_the_reference() {
    check_windows(Dtype::Fp32, 1e-6);
    check_windows(Dtype::Bf16, 2e-2);
}

fn check_average(dtype: Dtype, tolerance: f64) {
    on_every_isa(|cpu| {
        let s = GlobalAvgPool { channels: 19, pixels: 35 };
        let x = random(2 * 19 * 35, 1);
        let want: Vec<f64> = x.chunks(35).map(|p| p.iter().sum::<f64>() / 35.0).collect();
        let mut out = stored(dtype, &[0.0; 2 * 32]);
        s.forward(cpu, 2, to_stored(dtype, &x, 2, 19).as_values(), out.as_values_mut());
        assert!(error(&from_stored(out.as_values(), 2, 19), &want) < tolerance);
        let g = random(2 * 19, 2);
        let mut dx = to_stored(dtype, &x, 2, 19);
        s.backward(cpu, 2, to_stored(dtype, &g, 2, 19).as_values(), dx.as_values_mut(), true);
        let want: Vec<f64> = (0..x.len()).map(|i| x[i] + g[i / 35] / 35.0).collect();
        assert!(error(&from_stored(dx.as_values(), 2, 19), &want) < tolerance);
    });
}

#[test]
fn average_equals_the_reference() {
    check_average(Dtype::Fp32, 1e-6);
    check_average(Dtype::Bf16, 2e-2);
}

fn check_global_max(dtype: Dtype, tolerance: f64) {
    on_every_isa(|cpu| {
        let s = GlobalMaxPool { channels: 19, pixels: 35 };
        // Few levels: ties are common.
        let x: Vec<f64> = random(2 * 19 * 35, 1).iter().map(|v| (v * 3.0).round()).collect();
        let g = random(2 * 19, 2);
        let (mut want, mut firsts) = (vec![f64::MIN; g.len()], vec![0; g.len()]);
        for (at, &value) in x.iter().enumerate() {
            if value > want[at / 35] {
                (want[at / 35], firsts[at / 35]) = (value, at);
            }
        }
        let stored_x = to_stored(dtype, &x, 2, 19);
        let mut out = stored(dtype, &[9.0; 2 * 32]);
        s.forward(cpu, 2, stored_x.as_values(), out.as_values_mut());
        assert_eq!(from_stored(out.as_values(), 2, 19), want);
        let before = random(x.len(), 3);
        for accumulate in [false, true] {
            let mut dx = to_stored(dtype, &before, 2, 19);
            let (xy, g_stored) =
                ((stored_x.as_values(), out.as_values()), to_stored(dtype, &g, 2, 19));
            s.backward(cpu, 2, xy, g_stored.as_values(), dx.as_values_mut(), accumulate);
            let base = if accumulate { 1.0 } else { 0.0 };
            let mut want: Vec<f64> = before.iter().map(|b| base * b).collect();
            firsts.iter().zip(&g).for_each(|(&at, g)| want[at] += g);
            assert!(error(&from_stored(dx.as_values(), 2, 19), &want) < tolerance);
        }
    });
}

#[test]
fn global_max_equals_the_reference() {
    check_global_max(Dtype::Fp32, 1e-6);
    check_global_max(Dtype::Bf16, 1e-2);
}
