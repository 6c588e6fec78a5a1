use resnet_kernels::average::update;

use crate::testing::{narrow, on_every_isa, random};

#[test]
fn follows_the_formula_and_is_exact_at_both_ends() {
    on_every_isa(|cpu| {
        // More than a part of a kernel's work.
        let n = 16 * 1024 + 21;
        let (start, w) = (random(n, 1), random(n, 2));
        let w32 = narrow(&w);
        for decay in [0.0, 0.1, 0.5, 0.75, 0.99, 1.0] {
            let mut average = narrow(&start);
            update(cpu, decay, &mut average, &w32);
            for i in 0..n {
                let expected = decay * start[i] + (1.0 - decay) * w[i];
                assert!((f64::from(average[i]) - expected).abs() < 1e-6, "{decay}, {i}");
            }
            if decay == 0.0 {
                assert_eq!(average, w32);
            }
            if decay == 1.0 {
                assert_eq!(average, narrow(&start));
            }
        }
    });
}
