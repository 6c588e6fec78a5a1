use resnet_kernels::Isa;

use super::*;

/// The bits of `y`, `dx` and `dw`, with `threads` threads.
fn passes(
    isa: Isa,
    algorithm: Algorithm,
    dtype: Dtype,
    s: ConvShape,
    threads: usize,
) -> [Vec<u32>; 3] {
    let batch = 17;
    let cpu = Cpu::with_isa(threads, isa).unwrap();
    let conv = conv(algorithm, &s, dtype, Source::Activation, Mode::Train, batch, &cpu);
    let [x, w, dy] = inputs(&s, batch);
    let x = to_stored(dtype, &x, batch, s.in_channels);
    let dy = to_stored(dtype, &dy, batch, s.out_channels);
    let w: Vec<f32> = w.iter().map(|&w| w as f32 * 1.1).collect();
    let (y, dx, dw) = all_passes(&conv, &s, batch, x.as_values(), &w, dy.as_values());
    let bits = |v: Vec<f32>| v.into_iter().map(f32::to_bits).collect();
    [bits(y.as_values().to_f32()), bits(dx.as_values().to_f32()), bits(dw)]
}

#[test]
fn threads_change_no_bit() {
    for isa in Isa::to_test() {
        for (algorithm, s) in [
            (Algorithm::Direct, shape(40, 70, (9, 7), 3, 2, 1)),
            (Algorithm::Direct, ConvShape { groups: 32, ..shape(128, 128, (9, 7), 3, 1, 1) }),
            (Algorithm::Direct, ConvShape { groups: 3, ..shape(72, 96, (4, 5), 3, 2, 1) }),
            (WINOGRAD, shape(64, 64, (4, 4), 3, 1, 1)),
            (WINOGRAD, shape(32, 64, (20, 18), 3, 1, 1)),
            (WINOGRAD, shape(256, 256, (8, 8), 3, 1, 1)),
            (STRIDED, shape(64, 32, (32, 32), 3, 2, 1)),
            (STRIDED, shape(224, 96, (16, 16), 3, 2, 1)),
            (Algorithm::Gemm, shape(544, 96, (15, 16), 1, 2, 0)),
            (Algorithm::Gemm, shape(64, 256, (20, 18), 1, 1, 0)),
        ] {
            for dtype in Dtype::ALL {
                let one = passes(isa, algorithm, dtype, s, 1);
                for threads in [2, 7] {
                    assert!(one == passes(isa, algorithm, dtype, s, threads), "{isa} {dtype}");
                }
            }
        }
    }
}
