use resnet_kernels::adamw::{Update, update};

use crate::testing::{narrow, on_every_isa, random};

#[test]
fn follows_pytorch() {
    on_every_isa(|cpu| {
        // More than a part of a kernel's work.
        let n = 16 * 1024 + 21;
        let (betas, eps) = ([0.9, 0.999], 1e-3);
        let (mut w, mut m, mut v) = (narrow(&random(n, 1)), vec![0.0; n], vec![0.0; n]);
        let (mut w64, mut m64, mut v64) = (random(n, 1), vec![0.0f64; n], vec![0.0f64; n]);
        for step in 1..=3 {
            let g = random(n, 10 + step);
            let u = Update { lr: 0.125, betas, eps, weight_decay: 0.25, step };
            update(cpu, u, &mut w, &mut m, &mut v, &narrow(&g));
            let correction = betas.map(|beta: f64| 1.0 - beta.powi(step as i32));
            for i in 0..n {
                w64[i] *= 1.0 - 0.125 * 0.25;
                m64[i] = 0.9 * m64[i] + 0.1 * g[i];
                v64[i] = 0.999 * v64[i] + 0.001 * g[i] * g[i];
                let root = v64[i].sqrt() / correction[1].sqrt() + eps;
                w64[i] -= 0.125 / correction[0] * m64[i] / root;
            }
        }
        for (found, expected) in [(&w, &w64), (&m, &m64), (&v, &v64)] {
            assert!(found.iter().zip(expected).all(|(a, b)| (f64::from(*a) - b).abs() < 2e-6));
        }
    });
}

#[test]
#[should_panic(expected = "steps count from 1")]
fn the_first_step_is_1() {
    let cpu = resnet_kernels::Cpu::new(1).unwrap();
    let u = Update { lr: 0.1, betas: [0.9, 0.999], eps: 1e-8, weight_decay: 0.0, step: 0 };
    update(&cpu, u, &mut [0.0], &mut [0.0], &mut [0.0], &[0.0]);
}
