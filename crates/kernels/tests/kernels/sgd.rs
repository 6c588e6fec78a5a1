use resnet_kernels::sgd::{Update, update};

use crate::testing::{narrow, on_every_isa, random};

#[test]
fn follows_pytorch() {
    on_every_isa(|cpu| {
        for nesterov in [false, true] {
            // More than a part of a kernel's work.
            let n = 16 * 1024 + 21;
            let (mut w, mut buffer) = (narrow(&random(n, 1)), vec![0.0; n]);
            let (mut w64, mut b64) = (random(n, 1), vec![0.0f64; n]);
            let u = Update { lr: 0.1, momentum: 0.9, weight_decay: 0.01, nesterov };
            for step in 0..3 {
                let g = random(n, 10 + step);
                let g32 = narrow(&g);
                update(cpu, u, &mut w, &mut buffer, &g32);
                for i in 0..n {
                    let d = g[i] + 0.01 * w64[i];
                    b64[i] = if step == 0 { d } else { 0.9 * b64[i] + d };
                    w64[i] -= 0.1 * if nesterov { d + 0.9 * b64[i] } else { b64[i] };
                }
            }
            assert!(w.iter().zip(&w64).all(|(a, b)| (f64::from(*a) - b).abs() < 1e-6));
        }
    });
}
