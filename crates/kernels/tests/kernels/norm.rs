use resnet_kernels::{
    Cpu, Isa,
    norm::{scale, scratch_len, sum_of_squares},
};

use crate::testing::{narrow, on_every_isa, random, wide};

#[test]
fn sums_and_scales() {
    on_every_isa(|cpu| {
        for n in [0, 1, 63, 64, 65, 3 * 16 * 1024 + 21] {
            let mut x = narrow(&random(n, 1));
            let expected: f64 = wide(&x).iter().map(|x| x * x).sum();
            let found = sum_of_squares(cpu, &x, &mut vec![f32::NAN; scratch_len(n)]);
            assert!((found - expected).abs() <= 1e-6 * expected, "{n}: {found}, {expected}");
            let before = x.clone();
            scale(cpu, 0.3, &mut x);
            assert!(x.iter().zip(&before).all(|(x, before)| *x == 0.3 * before));
        }
    });
}

#[test]
fn sums_do_not_depend_on_the_threads() {
    let x = narrow(&random(5 * 16 * 1024 + 3, 7));
    for isa in Isa::to_test() {
        let sum = |threads| {
            let cpu = Cpu::with_isa(threads, isa).unwrap();
            sum_of_squares(&cpu, &x, &mut vec![0.0; scratch_len(x.len())])
        };
        assert!([2, 3, 7].iter().all(|&threads| sum(threads) == sum(1)));
    }
}
