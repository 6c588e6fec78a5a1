//! The tensors of a case, as a convolution takes them, and the expected result.

use resnet_kernels::{
    Algorithms, Cpu, Dtype, Storage,
    conv::{Algorithm, Conv, ConvConfig, ConvInput, Direction, Epilogue, Mode, ScaleShift, Source},
};

use crate::{
    case::{Case, Norm, is_winograd},
    judge::Expected,
    random::Rng,
    reference,
    tensor::{Part, Tensor, narrow, to_bf16},
};

/// The largest value, also after a fused batch norm.
const LARGEST: f64 = 1e36;
/// The largest sum of absolute products.
const LARGEST_SUM: f64 = 1e37;
/// The largest weight: products of coefficients are multiplied by the dequantisation scales of both
/// sides one after the other.
const LARGEST_WEIGHT: f64 = 1e30;

/// Values that a case's random numbers are drawn for, after those of its tensors.
const NORM: u64 = 20;
const ADDED_TO: u64 = 21;
const FACTORS: u64 = 22;

pub(crate) struct Problem {
    x: Storage,
    w: Vec<f32>,
    dy: Storage,
    /// The scale of each channel of `y`.
    factors: Option<Vec<f32>>,
    /// For each channel of `x`.
    norm: Option<[Vec<f32>; 2]>,
    /// What the result is added to.
    added_to: Option<Vec<f32>>,
    pub(crate) expected: Expected,
}

fn stored(values: &[f32]) -> Storage {
    let mut storage = Storage::zeroed(Dtype::Bf16, values.len()).unwrap();
    storage.as_values_mut().set_f32(values);
    storage
}

impl Problem {
    pub(crate) fn new(case: &Case) -> Self {
        let (s, direction) = (&case.shape, case.direction);
        let mut tensors = Part::ALL.map(|part| {
            let dims = part.dims(s, case.batch);
            let rng = &mut Rng::new(case.seed, 10 + part as u64);
            match case.reads(part) {
                true => case.bases[part as usize].tensor(dims, rng),
                false => Tensor { dims, values: Vec::new() },
            }
        });
        for perturbation in &case.perturbations {
            perturbation.apply(&mut tensors);
        }
        let [mut x, mut w, mut dy] = tensors;
        for (tensor, largest) in [(&mut x, LARGEST), (&mut w, LARGEST_WEIGHT), (&mut dy, LARGEST)] {
            tensor.limit(largest);
        }
        x.round_to_bf16();
        let mut read = x.clone();
        let norm = case.norm.map(|norm| apply_norm(norm, &mut read));
        // Sums of absolute values must fit.
        let depth = match direction {
            Direction::Forward => 9 * s.in_channels,
            Direction::BackwardData => 9 * s.out_channels,
            Direction::BackwardWeight => case.batch * s.out_pixels(),
        };
        let most = |other: &Tensor| LARGEST_SUM / depth as f64 / other.largest().max(1e-300);
        match direction {
            Direction::Forward => w.limit(most(&read)),
            Direction::BackwardData => w.limit(most(&dy)),
            Direction::BackwardWeight => dy.limit(most(&read)),
        }
        dy.round_to_bf16();
        // Each output's weights are multiplied by its factor when they are packed.
        let rng = &mut Rng::new(case.seed, FACTORS);
        let factor = |_| f64::from(10f64.powf(rng.normal()) as f32);
        let factors: Option<Vec<f64>> =
            case.has_factors.then(|| (0..s.out_channels).map(factor).collect());
        let mut packed = w.clone();
        if let Some(factors) = &factors {
            packed.multiply(|[out, ..]| 1.0 / factors[out]);
            packed.limit(LARGEST_WEIGHT);
        }
        packed.round_to_f32();
        w = packed.clone();
        if let Some(factors) = &factors {
            w.multiply(|[out, ..]| factors[out]);
        }
        let sums = reference::compute(direction, s, [&read, &w, &dy]);
        let added_to = case.accumulate.then(|| {
            let rng = &mut Rng::new(case.seed, ADDED_TO);
            of_similar_size(&sums, s.in_channels, rng)
        });
        let is_rough = case.mode == Mode::Inference || !is_winograd(s);
        let expected =
            Expected::new((direction, is_rough), s, [&read, &w, &dy], sums, added_to.as_deref());
        Problem {
            x: stored(&narrow(&x.values)),
            w: narrow(&packed.values),
            factors: factors.map(|values| narrow(&values)),
            dy: stored(&narrow(&dy.values)),
            norm: norm.map(|values| values.map(|v| narrow(&v))),
            added_to: added_to.map(|values| narrow(&values)),
            expected,
        }
    }

    /// The result of a convolution.
    pub(crate) fn run(&self, case: &Case, cpu: &Cpu) -> Vec<f32> {
        let (s, batch, direction) = (case.shape, case.batch, case.direction);
        let source = Source::Activation;
        let (mode, most) = (case.mode, case.most);
        let config = ConvConfig { shape: s, dtype: Dtype::Bf16, source, mode, batch: most };
        let conv = Conv::new(config, cpu).unwrap();
        let algorithm = conv.algorithm(direction).expect("a mode with this direction");
        let by_tiles = matches!(algorithm, Algorithm::Winograd { .. });
        let may = cpu.algorithms() == Algorithms::Fastest;
        assert_eq!(by_tiles, may && is_winograd(&s), "{algorithm}");
        let norm = self.norm.as_ref().map(|[scale, shift]| ScaleShift { scale, shift });
        let x = ConvInput { values: self.x.as_values(), norm };
        let dy = self.dy.as_values();
        let mut packed = vec![f32::NAN; conv.packed_len()];
        let mut scratch = vec![f32::NAN; conv.scratch_len()];
        match direction {
            Direction::Forward => {
                let mut y = stored(&vec![9.0; batch * s.out_len()]);
                let weights = conv.pack_forward(&self.w, self.factors.as_deref(), &mut packed);
                let out = y.as_values_mut();
                conv.forward(batch, x, weights, out, Epilogue::STORE, &mut scratch);
                y.as_values().to_f32()
            }
            Direction::BackwardData => {
                let mut dx = match &self.added_to {
                    Some(values) => stored(values),
                    None => stored(&vec![9.0; batch * s.in_len(source)]),
                };
                let weights = conv.pack_backward_data(&self.w, &mut packed);
                let (out, accumulate) = (dx.as_values_mut(), self.added_to.is_some());
                conv.backward_data(batch, dy, weights, out, accumulate, &mut scratch);
                dx.as_values().to_f32()
            }
            Direction::BackwardWeight => {
                let mut dw = vec![f32::NAN; s.weight_len()];
                conv.backward_weight(batch, x, dy, &mut dw, &mut scratch);
                dw
            }
        }
    }

    /// What an exact convolution would store.
    pub(crate) fn exact(&self, case: &Case) -> Vec<f32> {
        let want = &self.expected.want;
        match case.direction {
            Direction::BackwardWeight => narrow(want),
            _ => want.iter().map(|&v| to_bf16(v) as f32).collect(),
        }
    }
}

/// Applies a batch norm and a ReLU to `x`. Returns its scale and shift for each channel, which are
/// bfloat16, so that f32 is exact where they cancel.
fn apply_norm(norm: Norm, x: &mut Tensor) -> [Vec<f64>; 2] {
    let rng = &mut Rng::new(norm.seed, NORM);
    let squares = x.sums_of_squares(3);
    let each = (x.values.len() / squares.len()) as f64;
    let of_channel = |sum: f64| {
        let deviation = (sum / each).sqrt();
        let deviation = if deviation > 0.0 { deviation } else { 1.0 };
        let sign = if rng.chance(0.3) { -1.0 } else { 1.0 };
        let size = sign * 10f64.powf(rng.normal() / 2.0);
        let scale = if norm.evens { (size / deviation).clamp(-1e30, 1e30) } else { size };
        let shift = rng.normal() * norm.shift * scale * deviation;
        (scale, shift)
    };
    let (mut scales, mut shifts): (Vec<f64>, Vec<f64>) =
        squares.into_iter().map(of_channel).unzip();
    let most = x.largest() * scales.iter().fold(0.0, |most, s| s.abs().max(most))
        + shifts.iter().fold(0.0, |most, s| s.abs().max(most));
    let less = if most > LARGEST { (LARGEST / most).log2().floor().exp2() } else { 1.0 };
    for values in [&mut scales, &mut shifts] {
        values.iter_mut().for_each(|v| *v = to_bf16(*v * less));
    }
    let channels = scales.len();
    for (i, v) in x.values.iter_mut().enumerate() {
        *v = (*v * scales[i % channels] + shifts[i % channels]).max(0.0);
    }
    [scales, shifts]
}

/// Random numbers of about the size of each channel of these.
fn of_similar_size(sums: &[f64], channels: usize, rng: &mut Rng) -> Vec<f64> {
    let mut sizes = vec![0.0; channels];
    for (i, v) in sums.iter().enumerate() {
        sizes[i % channels] += v * v;
    }
    let each = (sums.len() / channels) as f64;
    let sizes: Vec<f64> =
        sizes.into_iter().map(|sum| (sum / each).sqrt() * rng.power(-1.0, 0.5)).collect();
    (0..sums.len()).map(|i| to_bf16(sizes[i % channels] * rng.normal())).collect()
}
