//! The error bounds of results.

use resnet_kernels::conv::{ConvShape, Direction};

use crate::tensor::Tensor;

/// The bound, with `||.||` the Euclidean norm over all values of a channel of the result (over the
/// nine taps of a pair of channels for the gradient of the weights):
///
/// `||got - want|| <= products * max(N, ||want||) + rounding * (||want|| + ||added to||) + floor`
///
/// `N` is the norm of sums of products of these sizes, if their signs are random:
/// - forward, of output channel `o`: `N^2 = sum over c of X_c * W_oc`, with the sums of squares
///   `X_c` of an input channel (after a fused batch norm) and `W_oc` of a kernel;
/// - gradient of the input, of input channel `c`: `N^2 = sum over o of DY_o * W_oc`;
/// - gradient of the weights, of a pair: `N^2 = 9 * sum over s of X_cs * DY_os / P_s`. A band `s`
///   is [`BAND`] rows of outputs of one image, `X_cs` of the input rows that its windows touch,
///   `P_s` their number of pixels.
///
/// The floor covers underflow: every operand and every product may be off by `flushed`, all of them
/// to the same side, and every result by `least`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Of an output, or of the gradient of an input, in training.
    pub(crate) products: f64,
    /// The same in inference, where weights are transformed before any image is known, and of the
    /// direct method, whose weights are rounded to bfloat16, which may be by the same error for
    /// all.
    pub(crate) rough_products: f64,
    /// Of the gradient of a weight.
    pub(crate) weight_products: f64,
    /// To bfloat16.
    pub(crate) rounding: f64,
    /// The smallest normal f32: smaller numbers may be flushed to zero.
    pub(crate) flushed: f64,
    pub(crate) least: f64,
}

pub(crate) const LIMITS: Limits = Limits {
    products: 1.0 / 128.0,
    rough_products: 1.0 / 50.0,
    weight_products: 1.0 / 8.0,
    rounding: 1.0 / 256.0,
    flushed: f32::MIN_POSITIVE as f64,
    least: 1e-37,
};

/// Rows of outputs that may share a scale in the gradient of the weights.
const BAND: usize = 4;

/// The exact result of a case, and its error bounds.
pub(crate) struct Expected {
    direction: Direction,
    /// Channels of the result: `[pixel][channel]`, or `[out][tap][in]`.
    channels: usize,
    /// The result, with what it is added to.
    pub(crate) want: Vec<f64>,
    /// For each group of values, see [`Expected::group`].
    norms: Vec<f64>,
    bounds: Vec<f64>,
}

/// The worst group of a result.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Verdict {
    direction: Direction,
    /// The channel, or the pair `out * channels + in`.
    group: usize,
    channels: usize,
    error: f64,
    norm: f64,
    bound: f64,
}

impl Verdict {
    /// The ratio of the error and its bound; infinite if a result is not finite.
    pub(crate) fn ratio(&self) -> f64 {
        if self.error.is_finite() { self.error / self.bound } else { f64::INFINITY }
    }

    pub(crate) fn fails(&self) -> bool {
        self.ratio() > 1.0
    }

    /// The channel of the result, or its output and input channel.
    pub(crate) fn place(&self) -> String {
        match self.direction {
            Direction::Forward => format!("output channel {}", self.group),
            Direction::BackwardData => format!("input channel {}", self.group),
            Direction::BackwardWeight => {
                let (out, channel) = (self.group / self.channels, self.group % self.channels);
                format!("output channel {out} of input channel {channel}")
            }
        }
    }
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Verdict { error, norm, bound, .. } = self;
        let place = self.place();
        write!(f, "{place}: error {error:.3e}, bound {bound:.3e}, norm {norm:.3e}")
    }
}

impl Expected {
    /// From exact sums, and from what they are added to.
    pub(crate) fn new(
        (direction, is_rough): (Direction, bool),
        s: &ConvShape,
        tensors: [&Tensor; 3],
        sums: Vec<f64>,
        added_to: Option<&[f64]>,
    ) -> Self {
        let [x, w, dy] = tensors;
        let (norms, floors, channels) = match direction {
            Direction::Forward => {
                let (norms, floors) = natural(x, w, |out, channel| (out, channel));
                (norms, floors, s.out_channels)
            }
            Direction::BackwardData => {
                let (norms, floors) = natural(dy, w, |channel, out| (out, channel));
                (norms, floors, s.in_channels)
            }
            Direction::BackwardWeight => {
                let (norms, floors) = natural_of_pairs(s, x, dy);
                (norms, floors, s.in_channels)
            }
        };
        let groups = norms.len();
        let mut expected = Expected { direction, channels, want: sums, norms, bounds: Vec::new() };
        let products = match direction {
            Direction::BackwardWeight => LIMITS.weight_products,
            _ if is_rough => LIMITS.rough_products,
            _ => LIMITS.products,
        };
        let is_stored = direction != Direction::BackwardWeight;
        let rounding = if is_stored { LIMITS.rounding } else { 0.0 };
        let exact = expected.sizes(&expected.want);
        let added = added_to.map_or(vec![0.0; groups], |values| expected.sizes(values));
        let each = (expected.want.len() / groups) as f64;
        let depth = match direction {
            Direction::Forward => w.values.len() / s.out_channels,
            Direction::BackwardData => w.values.len() / s.in_channels,
            Direction::BackwardWeight => dy.values.len() / s.out_channels,
        };
        let least = LIMITS.least + depth as f64 * LIMITS.flushed;
        expected.bounds = (0..groups)
            .map(|g| {
                products * expected.norms[g].max(exact[g])
                    + rounding * (exact[g] + added[g])
                    + floors[g]
                    + least * each.sqrt()
            })
            .collect();
        for (want, added) in expected.want.iter_mut().zip(added_to.unwrap_or_default()) {
            *want += added;
        }
        expected
    }

    /// The group of a value: its channel, or its pair of channels.
    fn group(&self, at: usize) -> usize {
        match self.direction {
            Direction::BackwardWeight => {
                let taps = self.want.len() / self.norms.len();
                at / (taps * self.channels) * self.channels + at % self.channels
            }
            _ => at % self.channels,
        }
    }

    /// The norm of each group.
    fn sizes(&self, values: &[f64]) -> Vec<f64> {
        let mut sums = vec![0.0; self.norms.len()];
        for (i, v) in values.iter().enumerate() {
            sums[self.group(i)] += v * v;
        }
        sums.into_iter().map(f64::sqrt).collect()
    }

    /// The group with the largest ratio of error and bound.
    pub(crate) fn judge(&self, got: &[f32]) -> Verdict {
        assert_eq!(got.len(), self.want.len());
        let apart: Vec<f64> =
            got.iter().zip(&self.want).map(|(got, want)| f64::from(*got) - want).collect();
        let errors = self.sizes(&apart);
        let of = |group: usize| Verdict {
            direction: self.direction,
            group,
            channels: self.channels,
            error: errors[group],
            norm: self.norms[group],
            bound: self.bounds[group],
        };
        let verdicts = (0..errors.len()).map(of);
        verdicts.max_by(|a, b| a.ratio().total_cmp(&b.ratio())).expect("a channel at least")
    }
}

/// `N` and the floor of every channel of the result: sums over the channels of an activation, each
/// with the kernel that `kernel(channel of the result, channel of the activation)` has.
fn natural(
    activation: &Tensor,
    w: &Tensor,
    kernel: impl Fn(usize, usize) -> (usize, usize),
) -> (Vec<f64>, Vec<f64>) {
    let [outs, _, _, ins] = w.dims;
    let taps = w.dims[1] * w.dims[2];
    let mut kernels = vec![0.0; outs * ins];
    for (i, v) in w.values.iter().enumerate() {
        kernels[i / (taps * ins) * ins + i % ins] += v * v;
    }
    let squares = activation.sums_of_squares(3);
    let results = outs * ins / squares.len();
    let square = LIMITS.flushed * LIMITS.flushed;
    let flushed = (activation.values.len() / squares.len()) as f64 * square;
    let depth = (taps * squares.len()) as f64;
    let sums = |result: usize| {
        let (mut norm, mut floor) = (0.0, 0.0);
        for (channel, sum) in squares.iter().enumerate() {
            let (out, input) = kernel(result, channel);
            let kernel = kernels[out * ins + input];
            norm += sum * kernel;
            floor += depth * (flushed * kernel + sum * taps as f64 * square);
        }
        (f64::sqrt(norm), f64::sqrt(floor))
    };
    (0..results).map(sums).unzip()
}

/// The same for every pair of an output and an input channel.
fn natural_of_pairs(s: &ConvShape, x: &Tensor, dy: &Tensor) -> (Vec<f64>, Vec<f64>) {
    let taps = (s.kernel * s.kernel) as f64;
    let square = LIMITS.flushed * LIMITS.flushed;
    // Sums of squares of some rows of an image.
    let squares = |t: &Tensor, image: usize, rows: std::ops::Range<usize>| {
        let [_, height, width, channels] = t.dims;
        let row = width * channels;
        let of = (image * height + rows.start) * row..(image * height + rows.end) * row;
        let mut sums = vec![0.0; channels];
        for pixel in t.values[of].chunks_exact(channels) {
            sums.iter_mut().zip(pixel).for_each(|(sum, v)| *sum += v * v);
        }
        (sums, (rows.len() * width) as f64)
    };
    let depth = (dy.values.len() / s.out_channels) as f64;
    let mut sums = vec![(0.0, 0.0); s.out_channels * s.in_channels];
    for image in 0..x.dims[0] {
        for first in (0..s.out_height()).step_by(BAND) {
            let rows = first..(first + BAND).min(s.out_height());
            let start = (rows.start * s.stride).saturating_sub(s.padding).min(s.height);
            let end = ((rows.end - 1) * s.stride + s.kernel).saturating_sub(s.padding);
            let (dy, pixels) = squares(dy, image, rows);
            let (x, touched) = squares(x, image, start..end.min(s.height));
            for (sums, dy) in sums.chunks_exact_mut(s.in_channels).zip(&dy) {
                for ((norm, floor), x) in sums.iter_mut().zip(&x) {
                    *norm += taps * x * dy / touched;
                    *floor += depth * taps * square * (x + dy * touched / pixels);
                }
            }
        }
    }
    sums.into_iter().map(|(norm, floor)| (f64::sqrt(norm), f64::sqrt(floor))).unzip()
}
