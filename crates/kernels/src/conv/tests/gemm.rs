use super::*;

/// Products over pixels: channels around the panels and tiles of all sets, runs around the blocks of
/// the depth and of what is copied, pixels around blocks, with strides; parts of the pixels.
const GEMM: [(ConvShape, usize); 11] = [
    (shape(16, 16, (1, 1), 1, 1, 0), 1),
    (shape(16, 48, (3, 3), 1, 1, 0), 1),
    (shape(48, 80, (5, 7), 1, 1, 0), 4),
    (shape(80, 32, (9, 9), 1, 2, 0), 3),
    (shape(32, 96, (8, 6), 1, 2, 0), 9),
    (shape(64, 16, (10, 7), 1, 3, 0), 2),
    (shape(208, 64, (11, 12), 1, 1, 0), 2),
    (shape(64, 272, (16, 17), 1, 1, 0), 4),
    (shape(544, 32, (6, 7), 1, 1, 0), 7),
    (shape(1040, 48, (5, 5), 1, 2, 0), 16),
    (shape(16, 1056, (4, 9), 1, 1, 0), 5),
];

fn check_gemm<E: Element, X: Element>(tolerance: f64) {
    for (s, batch) in &GEMM {
        let conv = Conv::<E, X>::new(*s, Source::Activation, Mode::Train, 1, &Cpu::new(1).unwrap());
        assert_eq!(conv.algorithm(Direction::Forward), Some(Algorithm::Gemm));
        check::<E, X>(Algorithms::Direct, s, Source::Activation, *batch, (tolerance, 1e-5));
    }
}

#[test]
fn gemm_equals_the_reference() {
    check_gemm::<f32, f32>(1e-5);
    check_gemm::<f32, Bf16>(1e-5);
    check_gemm::<Bf16, Bf16>(5e-3);
}
