use super::*;

/// Products over pixels: channels around the panels and tiles of all sets, runs around the blocks
/// of the depth and of what is copied, pixels around blocks, with strides; parts of the pixels.
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

const PRODUCT: (Algorithm, Algorithms) = (Algorithm::Gemm, Algorithms::Direct);

#[test]
fn gemm_equals_the_reference() {
    for (s, batch) in &GEMM {
        let source = Source::Activation;
        check(PRODUCT, s, Dtype::Fp32, source, *batch, (1e-5, 1e-5));
        check(PRODUCT, s, Dtype::Bf16, source, *batch, (5e-3, 1e-5));
    }
}

#[test]
fn products_of_bf16_are_exact() {
    for (s, batch) in &GEMM {
        check_sums(PRODUCT, s, *batch, 1e-5);
    }
}
