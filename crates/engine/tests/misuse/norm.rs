//! Batch norm.

use resnet_kernels::{
    Activation, Cpu, Dtype, Smooth,
    batch_norm::{
        ActivationSlope, BatchNorm, EPSILON, MOMENTUM, NormParameters, ResidualGradient, merge,
    },
    conv::ScaleShift,
};

use super::caller::{Caller, Slice, Stored};

struct Case {
    norm: BatchNorm,
    right: BatchNorm,
    dtype: Dtype,
    stored: usize,
    all: usize,
}

impl Case {
    fn choose(c: &mut Caller<'_>) -> Self {
        let (channels, pixels) = (c.one_of(&[1usize, 16, 20, 64, 70]), c.one_of(&[2, 9, 130, 600]));
        let (dtype, stored) = (c.dtype(), channels.next_multiple_of(16));
        let right = BatchNorm { batch_pixels: pixels, channels, epsilon: EPSILON };
        // What the slices are not long enough for.
        let pixels = c.site("pixels", pixels, &[pixels + 1, 1 << 32, 1 << 60, usize::MAX]);
        let channels = c.channels(channels);
        let norm = BatchNorm { batch_pixels: pixels, channels, epsilon: EPSILON };
        Case { norm, right, dtype, stored, all: right.batch_pixels * stored }
    }

    fn tensor(&self, c: &mut Caller<'_>, name: &str) -> Stored {
        let (len, dtype) = (c.at_least(name, self.all), c.same(name, self.dtype));
        c.stored(dtype, len, (self.right.channels, self.stored))
    }

    /// The first, whose dtype the others must have.
    fn first(&self, c: &mut Caller<'_>, name: &str) -> Stored {
        let len = c.at_least(name, self.all);
        c.stored(self.dtype, len, (self.right.channels, self.stored))
    }

    fn channels(&self, c: &mut Caller<'_>, name: &str) -> Slice {
        let len = c.exactly(name, self.right.channels);
        c.slice(len)
    }

    fn words(&self, c: &mut Caller<'_>, name: &str, len: usize) -> Slice {
        let len = c.at_least(name, len);
        c.slice(len)
    }

    fn sums(&self, c: &mut Caller<'_>) -> Vec<f64> {
        let len = c.at_least("sums", 2 * self.stored);
        vec![1.0; len]
    }
}

/// The parameters of a batch norm.
struct Held([Slice; 4]);

impl Held {
    fn choose(c: &mut Caller<'_>, case: &Case) -> Self {
        Held(["weight", "bias", "running mean", "running variance"].map(|n| case.channels(c, n)))
    }

    fn parameters(&mut self) -> NormParameters<'_> {
        let [weight, bias, running_mean, running_var] = &mut self.0;
        NormParameters { weight, bias, running_mean, running_var, momentum: MOMENTUM }
    }
}

fn activation(c: &mut Caller<'_>) -> Option<Activation> {
    let smooth = [Smooth::Gelu, Smooth::GeluTanh, Smooth::Silu].map(Activation::Smooth);
    [None, Some(Activation::Relu), Some(smooth[0]), Some(smooth[1]), Some(smooth[2])][c.choose(5)]
}

pub(crate) fn forward(c: &mut Caller<'_>, cpu: &Cpu) {
    let case = Case::choose(c);
    let x = case.first(c, "input");
    let mut held = Held::choose(c, &case);
    let mut saved = case.words(c, "saved", case.right.saved_len());
    let mut scratch = case.words(c, "scratch", case.right.scratch_len());
    let residual = c.flip().then(|| case.tensor(c, "residual"));
    let mut out = case.tensor(c, "output");
    let residual = residual.as_ref().map(Stored::values);
    let activation = activation(c);
    let parameters = held.parameters();
    let (x, y) = (x.values(), out.values_mut());
    case.norm.forward(cpu, x, parameters, residual, activation, y, &mut saved, &mut scratch);
    c.finite(&out.to_f32());
    for values in &held.0 {
        c.finite(values);
    }
}

pub(crate) fn halves(c: &mut Caller<'_>, cpu: &Cpu) {
    let case = Case::choose(c);
    let x = case.first(c, "input");
    let mut moments = case.sums(c);
    let mut scratch = case.words(c, "scratch", case.right.scratch_len());
    // Half a pass takes less.
    let (short, norm) = (scratch.len() < case.right.scratch_len(), case.norm);
    let scratch = if short { &mut scratch[..0] } else { &mut scratch };
    norm.moments(cpu, x.values(), &mut moments, scratch);
    let part = (norm.batch_pixels as f64, moments[0], moments[case.stored]);
    let (count, mean, squares) = merge([part, part].into_iter());
    assert!(
        count == 2.0 * norm.batch_pixels as f64
            && (mean - moments[0]).abs() < 1e-9
            && squares >= 0.0
    );
    let mut held = Held::choose(c, &case);
    let mut saved = case.words(c, "saved", case.right.saved_len());
    norm.finish_statistics(count, &moments, held.parameters(), &mut saved);
    c.finite(norm.scale_shift(&saved).scale);
    let mut out = case.tensor(c, "output");
    let bias = case.channels(c, "bias");
    norm.normalize(
        cpu,
        x.values(),
        &bias,
        None,
        Some(Activation::Relu),
        out.values_mut(),
        &saved,
        scratch,
    );
    c.finite(&out.to_f32());
}

pub(crate) fn apply(c: &mut Caller<'_>, cpu: &Cpu) {
    let case = Case::choose(c);
    let x = case.first(c, "input");
    let [mean, scale, shift] = ["mean", "scale", "shift"].map(|name| {
        let len = c.exactly(name, case.stored);
        c.slice(len)
    });
    let residual = c.flip().then(|| case.tensor(c, "residual"));
    let mut out = case.tensor(c, "output");
    let residual = residual.as_ref().map(Stored::values);
    let activation = activation(c);
    let out_values = out.values_mut();
    case.norm.apply(cpu, x.values(), &mean, &scale, &shift, residual, activation, out_values);
    c.finite(&out.to_f32());
}

pub(crate) fn backward(c: &mut Caller<'_>, cpu: &Cpu) {
    let case = Case::choose(c);
    let norm = case.norm;
    let x = case.first(c, "input");
    let kind = c.choose(4);
    let out = (kind == 0).then(|| case.tensor(c, "output"));
    let factors = matches!(kind, 1 | 3).then(|| {
        ["scale", "shift"].map(|name| {
            let len = c.exactly(name, case.stored);
            c.slice(len)
        })
    });
    let residual = (kind == 3).then(|| case.tensor(c, "residual"));
    let mask = match (&out, &factors) {
        (Some(out), _) => ActivationSlope::Output(out.values()),
        (None, Some([scale, shift])) => match &residual {
            None => ActivationSlope::Recomputed(ScaleShift { scale, shift }),
            Some(residual) => ActivationSlope::Smooth {
                function: Smooth::Gelu,
                norm: ScaleShift { scale, shift },
                residual: Some(residual.values()),
            },
        },
        (None, None) => ActivationSlope::None,
    };
    let weight = case.channels(c, "weight");
    let saved = case.words(c, "saved", case.right.saved_len());
    let mut gradient = case.tensor(c, "gradient");
    let mut residual = c.flip().then(|| case.tensor(c, "gradient of the residual"));
    let [mut d_weight, mut d_bias] = ["weight", "bias"].map(|name| case.channels(c, name));
    let mut scratch = case.words(c, "scratch", case.right.scratch_len());
    let accumulate = c.flip();
    let to = residual.as_mut().map(|r| ResidualGradient { gradient: r.values_mut(), accumulate });
    let (x, dy) = (x.values(), gradient.values_mut());
    if c.flip() {
        let sums = (&mut d_weight, &mut d_bias);
        norm.backward(cpu, x, mask, &weight, &saved, dy, to, sums.0, sums.1, &mut scratch);
    } else {
        let mut sums = case.sums(c);
        let short = scratch.len() < case.right.scratch_len();
        let scratch = if short { &mut scratch[..0] } else { &mut scratch };
        let read = dy.as_values();
        norm.gradient_sums(
            cpu,
            x,
            mask,
            &saved,
            read,
            &mut d_weight,
            &mut d_bias,
            &mut sums,
            scratch,
        );
        let count = norm.batch_pixels as f64;
        norm.backward_data(cpu, count, &sums, x, mask, &weight, &saved, dy, to, scratch);
    }
    c.answer(&gradient.to_f32());
    c.answer(&[&d_weight[..], &d_bias].concat());
}
