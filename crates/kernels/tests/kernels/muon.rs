use resnet_kernels::{
    Cpu, Isa,
    muon::{Shape, Update, update},
};

use crate::testing::{error, narrow, on_every_isa, random, wide};

fn step(cpu: &Cpu, u: Update, shape: Shape, w: &mut [f32], buffer: &mut [f32], gradient: &[f64]) {
    let mut scratch = vec![f32::NAN; shape.scratch_len(cpu)];
    update(cpu, u, shape, w, buffer, &narrow(gradient), &mut scratch);
}

/// `a b` of an `n x m` and an `m x k` matrix.
fn product(a: &[f64], b: &[f64], (n, m, k): (usize, usize, usize)) -> Vec<f64> {
    let of = |i: usize| (0..m).map(|j| a[i / k * m + j] * b[j * k + i % k]).sum();
    (0..n * k).map(of).collect()
}

fn transposed(x: &[f64], rows: usize, columns: usize) -> Vec<f64> {
    (0..rows * columns).map(|i| x[i % rows * columns + i / rows]).collect()
}

/// Keller Jordan's `zeropower_via_newtonschulz5`, in its plain form.
fn orthogonalised(g: &[f64], rows: usize, columns: usize, steps: usize) -> Vec<f64> {
    if rows > columns {
        let x = orthogonalised(&transposed(g, rows, columns), columns, rows, steps);
        return transposed(&x, columns, rows);
    }
    let norm = g.iter().map(|g| g * g).sum::<f64>().sqrt() + 1e-7;
    let mut x: Vec<f64> = g.iter().map(|g| g / norm).collect();
    for _ in 0..steps {
        let a = product(&x, &transposed(&x, rows, columns), (rows, columns, rows));
        let squares = product(&a, &a, (rows, rows, rows));
        let b: Vec<f64> =
            a.iter().zip(&squares).map(|(a, square)| -4.7750 * a + 2.0315 * square).collect();
        let more = product(&b, &x, (rows, rows, columns));
        x.iter_mut().zip(more).for_each(|(x, more)| *x = 3.4445 * *x + more);
    }
    x
}

/// Columns of a gradient have very different sizes, and so have its singular values.
fn gradient(shape: Shape, seed: u64) -> Vec<f64> {
    let g = random(shape.rows * shape.columns, seed).into_iter().enumerate();
    g.map(|(i, g)| g * 0.5_f64.powi((i % shape.columns % 12) as i32)).collect()
}

#[test]
fn follows_the_plain_iteration() {
    on_every_isa(|cpu| {
        for (rows, columns, steps, rescale) in [
            (1, 9, 3, true),
            (16, 16, 1, true),
            (20, 36, 2, false),
            (36, 20, 3, true),
            (64, 290, 3, true),
            (40, 100, 5, false),
            (50, 30, 9, true),
        ] {
            let (lr, momentum, weight_decay) = (0.5, 0.75, 0.125);
            let shape = Shape { rows, columns };
            let u = Update { lr, momentum, weight_decay, steps, rescale };
            let mut expected = random(rows * columns, 1);
            let (mut w, mut buffer) = (narrow(&expected), vec![0.0; rows * columns]);
            let mut b64 = vec![0.0; rows * columns];
            for seed in 2..5 {
                let g = gradient(shape, seed);
                step(cpu, u, shape, &mut w, &mut buffer, &g);
                let norm = expected.iter().map(|w| w * w).sum::<f64>().sqrt();
                let factor = if rescale { (rows as f64).sqrt() / norm } else { 1.0 };
                b64.iter_mut().zip(&g).for_each(|(b, g)| *b = 0.75 * *b + g);
                let x: Vec<f64> = g.iter().zip(&b64).map(|(g, b)| g + 0.75 * b).collect();
                let scale = (rows as f64 / columns as f64).max(1.0).sqrt();
                let x = orthogonalised(&x, rows, columns, steps);
                for (w, x) in expected.iter_mut().zip(x) {
                    *w = (1.0 - 0.5 * 0.125) * factor * *w - 0.5 * scale * x;
                }
            }
            let (error, buffers) = (error(&wide(&w), &expected), error(&wide(&buffer), &b64));
            println!("{rows} x {columns}, {steps} steps, {}: {error:.1e}", cpu.isa());
            assert!(error < 1e-4 && buffers < 1e-6, "{rows} x {columns}, {steps}: {error}");
        }
    });
}

/// Three steps of `torch.optim.Muon(lr=0.25, momentum=0.6, weight_decay=0.125, ns_steps=3)` on
/// matrices of f64, with `torch.bfloat16 = torch.float64`, which it else rounds to.
#[test]
fn follows_pytorch() {
    let cases: [(usize, usize, [f64; 15]); 2] = [
        (
            3,
            5,
            [
                -0.575787433,
                0.267419177,
                -0.309415042,
                0.542668457,
                0.080265109,
                -0.264768192,
                0.274913482,
                0.008370728,
                -0.418871432,
                0.278030257,
                -0.012251541,
                -0.571461958,
                0.123541397,
                -0.126682975,
                0.617982236,
            ],
        ),
        (
            5,
            3,
            [
                -0.293979937,
                0.347867763,
                -0.17111344,
                0.533375571,
                0.001032383,
                -0.254248315,
                0.341540829,
                -0.130268571,
                -0.514558424,
                0.433061099,
                0.148393079,
                -0.665543209,
                0.038265887,
                -0.115359425,
                0.684928437,
            ],
        ),
    ];
    on_every_isa(|cpu| {
        for (rows, columns, expected) in cases {
            let shape = Shape { rows, columns };
            let (lr, momentum, weight_decay) = (0.25, 0.6, 0.125);
            let u = Update { lr, momentum, weight_decay, steps: 3, rescale: false };
            let mut w: Vec<f32> = (0..15).map(|i| (i * 7 % 11 - 5) as f32 / 8.0).collect();
            let mut buffer = vec![0.0; 15];
            for s in 0..3 {
                let g: Vec<f64> =
                    (0..15).map(|i| f64::from((i * i + 3 * i + 5 * s) % 13 - 6) / 16.0).collect();
                step(cpu, u, shape, &mut w, &mut buffer, &g);
            }
            assert!(error(&wide(&w), &expected) < 1e-5, "{rows} x {columns}: {w:?}");
        }
    });
}

#[test]
fn zero_gradients_and_weights_stay_finite() {
    let (cpu, shape) = (Cpu::new(2).unwrap(), Shape { rows: 8, columns: 9 });
    let u = Update { lr: 0.5, momentum: 0.5, weight_decay: 0.0, steps: 3, rescale: true };
    let (mut w, mut buffer) = (vec![0.0; 72], vec![0.0; 72]);
    step(&cpu, u, shape, &mut w, &mut buffer, &[0.0; 72]);
    assert_eq!(w, [0.0; 72]);
    step(&cpu, u, shape, &mut w, &mut buffer, &random(72, 1));
    assert!(w.iter().all(|w| w.is_finite()) && w != [0.0; 72]);
}

/// Nor do instruction sets, if all of them fuse or none does.
#[test]
fn the_number_of_threads_changes_no_bit() {
    let shape = Shape { rows: 100, columns: 230 };
    let of = |isa, threads| {
        let cpu = Cpu::with_isa(threads, isa).unwrap();
        let u = Update { lr: 0.5, momentum: 0.5, weight_decay: 0.25, steps: 4, rescale: true };
        let (mut w, mut buffer) = (narrow(&random(23_000, 1)), vec![0.0; 23_000]);
        for seed in 2..4 {
            step(&cpu, u, shape, &mut w, &mut buffer, &random(23_000, seed));
        }
        (w, buffer)
    };
    let mut fused = None;
    for isa in Isa::to_test() {
        let one = of(isa, 1);
        assert!([2, 7].into_iter().all(|threads| of(isa, threads) == one), "{isa}");
        if isa.name() != "portable" {
            assert!(*fused.get_or_insert_with(|| one.clone()) == one, "{isa}");
        }
    }
}
