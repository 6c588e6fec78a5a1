use resnet_kernels::{
    Dtype, Smooth, Storage,
    elementwise::{PadShortcut, activate, activate_backward, add_relu, add_relu_backward},
};

use crate::testing::{error, from_stored, narrow, on_every_isa, random, stored, to_stored, wide};

#[test]
fn add_relu_and_its_gradient() {
    for dtype in Dtype::ALL {
        on_every_isa(|cpu| {
            // Two parts of a kernel's work and a little more.
            let n = 2 * 16 * 1024 + 48;
            let noise = |seed| stored(dtype, &narrow(&random(n, seed)));
            let (a, b, g) = (noise(1), noise(2), noise(3));
            let (mut out, mut d, before) = (noise(5), noise(4), noise(4).to_f32(0..n));
            let (a, b, g) = (a.as_values(), b.as_values(), g.as_values());
            add_relu(cpu, a, Some(b), true, out.as_values_mut());
            add_relu_backward(cpu, g, Some(out.as_values()), d.as_values_mut(), true);
            let (a32, b32, g32) = (a.to_f32(), b.to_f32(), g.to_f32());
            let sums: Vec<f32> = (0..n).map(|i| (a32[i] + b32[i]).max(0.0)).collect();
            assert_eq!(out.as_values(), stored(dtype, &sums).as_values());
            let gated = |i: usize| if sums[i] > 0.0 { g32[i] } else { 0.0 };
            let sums: Vec<f32> = (0..n).map(|i| before[i] + gated(i)).collect();
            assert_eq!(d.as_values(), stored(dtype, &sums).as_values());
            add_relu(cpu, a, None, false, out.as_values_mut());
            add_relu_backward(cpu, g, None, d.as_values_mut(), false);
            assert!(out.as_values() == a && d.as_values() == g);
        });
    }
}

#[test]
fn shortcut_keeps_pixels_and_centres_channels() {
    for dtype in Dtype::ALL {
        on_every_isa(|cpu| {
            let s = PadShortcut { in_channels: 3, out_channels: 8, height: 5, width: 4, stride: 2 };
            let x = random(2 * 3 * 20, 1);
            let mut out = stored(dtype, &[9.0; 2 * 6 * 16]);
            s.forward(cpu, 2, to_stored(dtype, &x, 2, 3).as_values(), out.as_values_mut());
            let got = from_stored(out.as_values(), 2, 8);
            let g = random(2 * 8 * 6, 2);
            let gradient = to_stored(dtype, &g, 2, 8);
            let mut dx = stored(dtype, &[9.0; 2 * 20 * 16]);
            s.backward(cpu, 2, gradient.as_values(), dx.as_values_mut(), false);
            let mut want_dx = vec![0.0; x.len()];
            for (i, got) in got.into_iter().enumerate() {
                let (n, c, y, x0) = (i / 48, i / 6 % 8, i / 2 % 3, i % 2);
                // Three channels in the middle of eight: two zeros before, three after.
                if !(2..5).contains(&c) {
                    assert_eq!(got, 0.0);
                    continue;
                }
                let from = (n * 3 + c - 2) * 20 + 2 * y * 4 + 2 * x0;
                assert_eq!(got, x[from]);
                want_dx[from] = g[i];
            }
            assert_eq!(from_stored(dx.as_values(), 2, 3), want_dx);
            s.backward(cpu, 2, gradient.as_values(), dx.as_values_mut(), true);
            let twice: Vec<f64> = want_dx.iter().map(|d| 2.0 * d).collect();
            assert_eq!(from_stored(dx.as_values(), 2, 3), twice);
        });
    }
}

#[test]
#[should_panic(expected = "expected fp32 values, got bf16")]
fn dtypes_are_not_mixed() {
    let cpu = resnet_kernels::Cpu::new(1).unwrap();
    let (a, mut out) = (stored(Dtype::Fp32, &[1.0; 16]), stored(Dtype::Bf16, &[1.0; 16]));
    add_relu(&cpu, a.as_values(), None, true, out.as_values_mut());
}

fn check_smooth(dtype: Dtype, tolerance: f64) {
    on_every_isa(|cpu| {
        for function in [Smooth::Gelu, Smooth::GeluTanh, Smooth::Silu] {
            // More than one item of work.
            let n = 16 * 1024 + 48;
            let (x, g, before) = (random(n, 1), random(n, 2), random(n, 3));
            let x: Vec<f64> = x.iter().map(|x| 3.0 * x).collect();
            let [x, g, before] = [x, g, before].map(|values| stored(dtype, &narrow(&values)));
            let mut out = stored(dtype, &vec![9.0; n]);
            activate(cpu, x.as_values(), function, out.as_values_mut());
            let f64s = |of: &Storage| wide(&of.as_values().to_f32());
            let (xs, gs, befores) = (f64s(&x), f64s(&g), f64s(&before));
            let want: Vec<f64> = xs.iter().map(|&x| function.value(x)).collect();
            assert!(error(&f64s(&out), &want) < tolerance);
            for accumulate in [false, true] {
                let mut dx = stored(dtype, &before.as_values().to_f32());
                let (x, g, to) = (x.as_values(), g.as_values(), dx.as_values_mut());
                activate_backward(cpu, x, function, g, to, accumulate);
                let base = if accumulate { 1.0 } else { 0.0 };
                let gradient = |i: usize| base * befores[i] + gs[i] * function.slope(xs[i]);
                let want: Vec<f64> = (0..n).map(gradient).collect();
                assert!(error(&f64s(&dx), &want) < tolerance);
            }
        }
    });
}

#[test]
fn smooth_activations_and_their_gradients() {
    check_smooth(Dtype::Fp32, 1e-5);
    check_smooth(Dtype::Bf16, 4e-2);
}
