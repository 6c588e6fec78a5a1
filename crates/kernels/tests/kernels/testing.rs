//! What the tests of all kernels share.

use resnet_kernels::{Cpu, Dtype, Isa, Storage, Values, layout::padded};

/// Numbers in [-1, 1) that depend on the seed.
pub(crate) fn random(len: usize, seed: u64) -> Vec<f64> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    (0..len)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            // Exact in f32 and short in bf16, so that storage rounds nothing.
            f64::from((state >> 56) as i8) / 128.0
        })
        .collect()
}

/// The same values in f32.
pub(crate) fn narrow(values: &[f64]) -> Vec<f32> {
    values.iter().map(|&v| v as f32).collect()
}

/// The same values in f64.
pub(crate) fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&v| f64::from(v)).collect()
}

/// Runs a check with two threads on every instruction set that tests must cover.
pub(crate) fn on_every_isa(check: impl Fn(&Cpu)) {
    for isa in Isa::to_test() {
        check(&Cpu::with_isa(2, isa).unwrap());
    }
}

/// These values, stored.
pub(crate) fn stored(dtype: Dtype, values: &[f32]) -> Storage {
    let mut out = Storage::zeroed(dtype, values.len()).unwrap();
    out.as_values_mut().set_f32(values);
    out
}

/// What of these values storage keeps.
pub(crate) fn rounded(dtype: Dtype, values: &[f64]) -> Vec<f64> {
    wide(&stored(dtype, &narrow(values)).as_values().to_f32())
}

/// From `[n][channels][pixels]` to stored activations.
pub(crate) fn to_stored(dtype: Dtype, dense: &[f64], n: usize, channels: usize) -> Storage {
    let (pixels, wide) = (dense.len() / n / channels, padded(channels));
    let mut out = vec![0.0; n * pixels * wide];
    for (i, &value) in dense.iter().enumerate() {
        let (image, channel, pixel) = (i / pixels / channels, i / pixels % channels, i % pixels);
        out[(image * pixels + pixel) * wide + channel] = value as f32;
    }
    stored(dtype, &out)
}

/// The reverse of [`to_stored`]; the padding must be zero.
pub(crate) fn from_stored(stored: Values<'_>, n: usize, channels: usize) -> Vec<f64> {
    let wide = padded(channels);
    let pixels = stored.len() / n / wide;
    let mut out = vec![0.0; n * channels * pixels];
    for (i, value) in stored.to_f32().into_iter().enumerate() {
        let (image, pixel, channel) = (i / wide / pixels, i / wide % pixels, i % wide);
        if channel < channels {
            out[(image * channels + channel) * pixels + pixel] = f64::from(value);
        } else {
            assert_eq!(value, 0.0, "padding must stay zero");
        }
    }
    out
}

/// The least `t` with `|got - want| <= t * max(rms(want), |want|)` everywhere.
pub(crate) fn closeness(got: &[f64], want: &[f64]) -> f64 {
    assert_eq!(got.len(), want.len());
    assert!(got.iter().all(|g| g.is_finite()));
    let rms = rms(want);
    let apart = |(g, w): (&f64, &f64)| (g - w).abs() / rms.max(w.abs()).max(1e-30);
    got.iter().zip(want).map(apart).fold(0.0, f64::max)
}

/// Largest difference over the root mean square of what is wanted.
pub(crate) fn error(got: &[f64], want: &[f64]) -> f64 {
    assert_eq!(got.len(), want.len());
    let worst = got.iter().zip(want).map(|(g, w)| (g - w).abs()).fold(0.0, f64::max);
    assert!(got.iter().all(|g| g.is_finite()));
    worst / rms(want).max(1e-30)
}

fn rms(values: &[f64]) -> f64 {
    (values.iter().map(|v| v * v).sum::<f64>() / values.len().max(1) as f64).sqrt()
}
