use resnet_kernels::{Dtype, layout::padded, linear::Linear};

use crate::testing::{error, from_stored, narrow, on_every_isa, random, stored, to_stored, wide};

/// `tolerance` is that of what is rounded to storage.
fn check(dtype: Dtype, tolerance: f64) {
    on_every_isa(|cpu| {
        for (n, inputs, outputs) in [(1, 1, 1), (3, 70, 10), (5, 64, 130), (2, 515, 3)] {
            let s = Linear { inputs, outputs };
            let (x, w) = (random(n * inputs, 1), random(outputs * inputs, 2));
            let (b, dy) = (random(outputs, 3), random(n * outputs, 4));
            let mut dx = stored(dtype, &vec![9.0; n * padded(inputs)]);
            let (mut y, mut dw, mut db) =
                (vec![0.0; n * outputs], vec![9.0; w.len()], vec![9.0; outputs]);
            let mut scratch = vec![0.0; s.scratch_len(cpu)];
            let (xs, w32, dy32) = (to_stored(dtype, &x, n, inputs), narrow(&w), narrow(&dy));
            s.forward(cpu, n, xs.as_values(), &w32, &narrow(&b), &mut y);
            let (xs, d) = (xs.as_values(), dx.as_values_mut());
            s.backward(cpu, n, xs, &w32, &dy32, d, &mut dw, &mut db, &mut scratch);
            let (mut y64, mut dx64) = (vec![0.0; y.len()], vec![0.0; x.len()]);
            let (mut dw64, mut db64) = (vec![0.0; w.len()], vec![0.0; outputs]);
            for i in 0..n {
                for o in 0..outputs {
                    y64[i * outputs + o] += b[o];
                    db64[o] += dy[i * outputs + o];
                    for k in 0..inputs {
                        y64[i * outputs + o] += x[i * inputs + k] * w[o * inputs + k];
                        dx64[i * inputs + k] += dy[i * outputs + o] * w[o * inputs + k];
                        dw64[o * inputs + k] += dy[i * outputs + o] * x[i * inputs + k];
                    }
                }
            }
            assert!(error(&wide(&y), &y64) < 1e-5);
            assert!(error(&from_stored(dx.as_values(), n, inputs), &dx64) < tolerance);
            assert!(error(&wide(&dw), &dw64) < 1e-5);
            assert!(error(&wide(&db), &db64) < 1e-5);
        }
    });
}

#[test]
fn equals_the_reference() {
    check(Dtype::Fp32, 1e-5);
    check(Dtype::Bf16, 2e-2);
}
