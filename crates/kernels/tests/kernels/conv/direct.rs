use super::*;

/// Sizes around every block and tile: channels around 16, 32 and 64, images around the tiles of 4,
/// 6 and 8 pixels and the small-image rule, runs longer than a block of the depth.
const SHAPES: [ConvShape; 26] = [
    shape(1, 1, (1, 1), 1, 1, 0),
    shape(1, 1, (1, 1), 3, 1, 1),
    shape(8, 8, (5, 7), 3, 1, 1),
    shape(16, 16, (9, 9), 3, 1, 1),
    shape(17, 33, (4, 4), 3, 1, 1),
    shape(16, 48, (8, 8), 3, 1, 1),
    shape(64, 64, (6, 5), 3, 1, 1),
    shape(48, 80, (5, 6), 3, 1, 1),
    shape(48, 80, (5, 6), 3, 2, 1),
    shape(15, 65, (3, 11), 3, 2, 1),
    shape(16, 32, (8, 8), 3, 2, 1),
    shape(33, 20, (7, 9), 3, 2, 1),
    shape(16, 24, (9, 9), 1, 2, 0),
    shape(24, 16, (8, 6), 1, 2, 0),
    shape(270, 70, (2, 3), 1, 1, 0),
    shape(300, 18, (2, 2), 3, 1, 1),
    shape(4, 6, (13, 12), 7, 2, 3),
    shape(5, 3, (10, 10), 5, 3, 2),
    shape(12, 12, (40, 37), 3, 1, 1),
    shape(3, 9, (12, 9), 2, 1, 0),
    shape(20, 70, (17, 16), 3, 2, 1),
    shape(34, 66, (1, 9), 1, 1, 0),
    shape(9, 10, (3, 3), 3, 1, 0),
    shape(330, 20, (2, 2), 3, 1, 1),
    shape(20, 340, (3, 2), 3, 2, 1),
    shape(650, 17, (1, 2), 1, 1, 0),
];

pub(super) const DIRECT: (Algorithm, Algorithms) = (Algorithm::Direct, Algorithms::Direct);

fn check_direct(dtype: Dtype, source: Source, tolerance: f64) {
    for s in &SHAPES {
        for batch in [1, 3, 9] {
            check(DIRECT, s, dtype, source, batch, (tolerance, 1e-5));
        }
    }
}

#[test]
fn equals_the_reference() {
    check_direct(Dtype::Fp32, Source::Activation, 1e-5);
    check_direct(Dtype::Fp32, Source::Image, 1e-5);
}

#[test]
fn stores_bf16() {
    check_direct(Dtype::Bf16, Source::Activation, 5e-3);
    check_direct(Dtype::Bf16, Source::Image, 5e-3);
}

#[test]
fn products_of_bf16_are_exact() {
    for s in &SHAPES {
        for batch in [1, 3, 9] {
            check_sums(DIRECT, s, batch, 1e-5);
        }
    }
}
