use super::*;

/// The algorithm follows from the shape, the dtype, the mode and the batch.
#[test]
fn algorithms_follow_the_shape() {
    let cpu = Cpu::new(1).unwrap();
    let direct = cpu.clone().with_algorithms(Algorithms::Direct);
    // Fails if a direction takes another one, or if there is one that the mode does not have.
    let takes = |algorithm, s, dtype, source, mode, batch, cpu: &Cpu| {
        let through = conv(algorithm, &s, dtype, source, mode, batch, cpu)
            .algorithm(Direction::Forward)
            .unwrap()
            .fuses_input_norm();
        assert_eq!(through, matches!(algorithm, Algorithm::Winograd { .. }));
    };
    let (activation, train) = (Source::Activation, Mode::Train);
    let wide = shape(64, 64, (8, 8), 3, 1, 1);
    takes(WINOGRAD, wide, Dtype::Fp32, activation, train, 2, &cpu);
    takes(WINOGRAD, wide, Dtype::Bf16, activation, train, 1, &cpu);
    takes(WINOGRAD, wide, Dtype::Fp32, activation, Mode::Inference, 2, &cpu);
    takes(Algorithm::Direct, wide, Dtype::Fp32, activation, train, 2, &direct);
    // A word holds two channels, and integers have at most 512.
    for odd in [shape(48, 80, (8, 8), 3, 1, 1), shape(544, 64, (8, 8), 3, 1, 1)] {
        takes(WINOGRAD, odd, Dtype::Fp32, activation, train, 1, &cpu);
        takes(Algorithm::Direct, odd, Dtype::Bf16, activation, train, 1, &cpu);
    }
    // Of 2x2 pixels the direct method skips most products.
    takes(
        Algorithm::Direct,
        shape(64, 64, (2, 2), 3, 1, 1),
        Dtype::Bf16,
        activation,
        train,
        9,
        &cpu,
    );
    takes(WINOGRAD, shape(64, 64, (3, 2), 3, 1, 1), Dtype::Bf16, activation, train, 9, &cpu);
    let strided = shape(32, 64, (8, 8), 3, 2, 1);
    takes(Algorithm::Direct, strided, Dtype::Fp32, activation, train, 2, &cpu);
    takes(STRIDED, strided, Dtype::Fp32, activation, train, 32, &cpu);
    let one = shape(64, 64, (8, 8), 1, 1, 0);
    for s in [wide, strided, one] {
        let grouped = ConvShape { groups: 2, ..s };
        takes(Algorithm::Direct, grouped, Dtype::Fp32, activation, train, 32, &cpu);
    }
    for cpu in [&cpu, &direct] {
        takes(Algorithm::Gemm, one, Dtype::Bf16, activation, train, 2, cpu);
    }
    takes(
        Algorithm::Direct,
        shape(60, 64, (8, 8), 1, 1, 0),
        Dtype::Fp32,
        activation,
        train,
        2,
        &cpu,
    );
    for (stem, mode) in [(shape(3, 64, (8, 8), 3, 1, 1), Mode::TrainFirst), (one, Mode::Inference)]
    {
        takes(Algorithm::Direct, stem, Dtype::Bf16, Source::Image, mode, 2, &cpu);
    }
    assert_eq!(STRIDED.to_string(), "F(4x4,3x3)/2");
    assert_eq!(WINOGRAD.to_string(), "F(4x4,3x3)");
}
