//! fp32 gradients compared with finite differences of a loss in f64, along random directions.

use std::ops::Range;

use resnet::{
    Cpu, Dtype, Network,
    engine::{Input, TrainPlan},
    network::Param,
    random::{Purpose, Random},
};
use resnet_kernels::{Algorithms, Isa};

use super::{cases, noise};
use crate::common::{
    mutation::{Mutation, prove},
    reference::Reference,
    step,
};

const ALGORITHMS: [Algorithms; 2] = [Algorithms::Direct, Algorithms::Fastest];
/// Label smoothing.
const SMOOTHING: f64 = 0.125;
/// Largest allowed error of a tensor's slopes. Measured: 3e-6, or 4e-5 where the last layers have
/// one pixel, and more where rounding flips a ReLU.
const TOLERANCE: f64 = 2e-3;

/// Number of directions for each tensor, and for all parameters together.
const DIRECTIONS: u64 = 8;
/// Seed of the directions.
const SEED: u64 = 2015;
/// Step along a direction of length 1. It is so small that it flips few ReLUs.
const STEP: f64 = 1e-6;

/// Slopes of the loss along directions in one range of the parameters.
struct Slopes {
    range: Range<usize>,
    /// Each direction and the slope along it.
    along: Vec<(Vec<f64>, f64)>,
}

impl Slopes {
    /// Whether a gradient predicts the slopes.
    fn check(&self, gradients: &[f32]) -> Result<(), String> {
        let error = self.error(gradients);
        let fine = error <= TOLERANCE;
        fine.then_some(()).ok_or_else(|| format!("slopes are {error:.2e} from those predicted"))
    }

    /// The error of the slopes that a gradient predicts, by norm over the directions.
    fn error(&self, gradients: &[f32]) -> f64 {
        let (mut apart, mut total) = (0.0, 0.0);
        for (direction, slope) in &self.along {
            let gradient = &gradients[self.range.clone()];
            let predicted: f64 =
                direction.iter().zip(gradient).map(|(d, g)| d * f64::from(*g)).sum();
            apart += (predicted - slope).powi(2);
            total += slope.powi(2);
        }
        (apart / total).sqrt()
    }
}

/// What a step must find.
struct Oracle {
    loss: f64,
    /// Along directions in each tensor.
    each: Vec<Slopes>,
    /// Along directions in all tensors.
    all: Slopes,
}

impl Oracle {
    fn new(reference: &Reference, net: &Network) -> Self {
        let values: Vec<f64> = net.values().iter().map(|&v| f64::from(v)).collect();
        let outputs = reference.outputs(&values, &[]);
        let tensors = net.params().iter().map(|p| (p.name.clone(), p.range.clone(), p.node));
        let all = ("all tensors".to_owned(), 0..values.len(), 1);
        let slopes = |(index, (name, range, node)): (usize, (String, Range<usize>, usize))| {
            let slope = |direction: &[f64], step: f64| {
                let loss = |step: f64| {
                    let mut moved = values.clone();
                    let to = moved[range.clone()].iter_mut().zip(direction);
                    to.for_each(|(v, d)| *v += step * d);
                    reference.loss(reference.outputs(&moved, &outputs[..node]).last().unwrap())
                };
                (loss(step) - loss(-step)) / (2.0 * step)
            };
            let along = (0..DIRECTIONS).map(|key| {
                let path = [index as u64, key];
                let mut random = Random::new(SEED, Purpose::Synthetic, &path);
                let raw: Vec<f64> = range.clone().map(|_| f64::from(random.normal())).collect();
                let length = raw.iter().map(|d| d * d).sum::<f64>().sqrt();
                let direction: Vec<f64> = raw.iter().map(|d| d / length).collect();
                let [slope, nearer] = [STEP, STEP / 4.0].map(|step| slope(&direction, step));
                let certain = (slope - nearer).abs() < 1e-3 * slope.abs() + 1e-8;
                assert!(certain, "{name}: a slope of {slope:e} or {nearer:e}");
                (direction, slope)
            });
            Slopes { along: along.collect(), range: range.clone() }
        };
        let mut each: Vec<Slopes> = tensors.chain([all]).enumerate().map(slopes).collect();
        let loss = reference.loss(outputs.last().unwrap());
        Oracle { loss, all: each.pop().unwrap(), each }
    }
}

#[test]
fn fp32_is_the_slope() {
    for case in cases() {
        let [images, height, width] = case.size;
        let graph = case.net.graph();
        let values = noise(images * graph.in_channels() * height * width, 1);
        let labels: Vec<u32> = (0..images as u32).map(|i| i % 3).collect();
        let reference = Reference::new(&case.net, &values, [height, width], &labels, SMOOTHING);
        let oracle = Oracle::new(&reference, &case.net);
        let isas = Isa::to_test().into_iter();
        for (isa, algorithms) in isas.flat_map(|isa| ALGORITHMS.map(|a| (isa, a))) {
            let cpu = Cpu::with_isa(2, isa).unwrap().with_algorithms(algorithms);
            let mut plan = TrainPlan::new(graph, Dtype::Fp32, images, height, width, &cpu).unwrap();
            let mut gradients = vec![f32::NAN; case.net.values().len()];
            let (mut net, input) = (case.net.clone(), Input::Nchw(&values));
            let found = step(&mut plan, &mut net, &mut gradients, input, &labels, SMOOTHING as f32);
            let what = format!("{} {isa} {algorithms:?}", case.name);
            let error = (found.loss / oracle.loss - 1.0).abs();
            assert!(error < 1e-5, "{what}: a loss of {} for {}", found.loss, oracle.loss);
            let worst = oracle.each.iter().map(|s| s.error(&gradients)).fold(0.0, f64::max);
            println!("{what}: loss {error:.1e}, slopes {worst:.1e}");
            let mutations =
                [Mutation::Zeroed, Mutation::Scaled(1.01), Mutation::Masked, Mutation::Permuted];
            oracle.all.check(&gradients).unwrap_or_else(|why| panic!("{what}: {why}"));
            let check = |gradients: &[Vec<f32>], param: &Param| {
                let found = oracle.each.iter().find(|slopes| slopes.range == param.range);
                found.unwrap().check(&gradients[0])
            };
            prove(&what, case.net.params(), &[gradients], &mutations, check);
        }
    }
}
