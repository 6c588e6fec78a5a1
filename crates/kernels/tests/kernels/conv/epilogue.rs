use super::*;

fn check_epilogue(algorithm: Algorithm, dtype: Dtype, s: ConvShape, batch: usize, tolerance: f64) {
    let (outputs, pixels) = (s.out_channels, s.out_pixels());
    let [x, mut w, _] = inputs(&s, batch);
    // Of a filter of zeros only the bias is left.
    w[..s.group_inputs() * s.kernel * s.kernel].fill(0.0);
    let (bias, factors) = (random(outputs, 4), random(outputs, 5));
    let residual = random(batch * outputs * pixels, 6);
    let channel = |i: usize| i / pixels % outputs;
    let plain = reference::forward(&s, batch, &x, &w);
    let want: Vec<f64> = (0..plain.len())
        .map(|i| (plain[i] * factors[channel(i)] + bias[channel(i)] + residual[i]).max(0.0))
        .collect();
    let (plain, factors, mut bias) = (permuted(&w, &s), narrow(&factors), narrow(&bias));
    bias.resize(outputs.next_multiple_of(16), 0.0);
    let residual = to_stored(dtype, &residual, batch, outputs);
    let x = to_stored(dtype, &x, batch, s.in_channels);
    on_every_isa(|cpu| {
        let conv = conv(algorithm, &s, dtype, Source::Activation, Mode::Inference, batch, cpu);
        let mut packed = vec![0.0; conv.packed_len()];
        let mut scratch = vec![0.0; conv.scratch_len()];
        let weights = conv.pack_forward(&plain, Some(&factors), &mut packed);
        let mut y = Storage::zeroed(dtype, batch * s.out_len()).unwrap();
        let epilogue = Epilogue {
            bias: Some(&bias),
            residual: Some(residual.as_values()),
            accumulate: false,
            relu: true,
        };
        let out = y.as_values_mut();
        conv.forward(batch, x.as_values(), weights, out, epilogue, &mut scratch);
        let e = closeness(&from_stored(y.as_values(), batch, outputs), &want);
        assert!(e < tolerance, "{} {s:?}: {e}", cpu.isa());
    });
}

#[test]
fn epilogue_adds_and_cuts() {
    let direct = shape(16, 40, (5, 5), 3, 1, 1);
    check_epilogue(Algorithm::Direct, Dtype::Fp32, direct, 2, 1e-5);
    for groups in [32, 16, 8, 4, 2] {
        let s = ConvShape { groups, ..shape(64, 64, (5, 5), 3, 1, 1) };
        check_epilogue(Algorithm::Direct, Dtype::Fp32, s, 2, 1e-5);
        check_epilogue(Algorithm::Direct, Dtype::Bf16, s, 9, 2e-2);
    }
    for inputs in [64, 528] {
        let (strided, plain) =
            (shape(inputs, 48, (9, 9), 1, 2, 0), shape(inputs, 48, (5, 5), 1, 1, 0));
        check_epilogue(Algorithm::Gemm, Dtype::Fp32, strided, 5, 1e-5);
        check_epilogue(Algorithm::Gemm, Dtype::Bf16, plain, 5, 2e-2);
    }
    for (algorithm, stride, batch) in [(WINOGRAD, 1, 2), (STRIDED, 2, 33)] {
        let s = shape(64, 64, (5, 5), 3, stride, 1);
        check_epilogue(algorithm, Dtype::Fp32, s, batch, 1e-4);
        check_epilogue(algorithm, Dtype::Bf16, s, batch, 2e-2);
    }
}
