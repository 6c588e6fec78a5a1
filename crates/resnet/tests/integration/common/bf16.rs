//! Compares bf16 gradients with those of fp32, which other tests compare with finite differences
//! and PyTorch. Rounding can flip a ReLU, which changes the gradients of one batch by a large and
//! random amount. So the gradients of several batches are compared as one long vector per tensor.

use std::ops::RangeInclusive;

use resnet::{
    Cpu, Dtype, Graph, Network,
    engine::{Input, TrainPlan},
    network::Param,
    random::{Purpose, Random},
};
use resnet_kernels::Algorithms;

use super::{
    mutation::{Mutation, prove},
    step,
};

/// A network, and fp32 gradients of batches of noise.
pub(crate) struct Batches {
    net: Network,
    /// Images, rows and columns.
    size: [usize; 3],
    /// Images `[n][channels][height][width]` and labels.
    batches: Vec<(Vec<f32>, Vec<u32>)>,
    want: Vec<Vec<f32>>,
}

/// How far a tensor's gradients may be from those of fp32.
pub(crate) struct Limits {
    /// `|got - want| / |want|`, at most.
    pub(crate) error: f64,
    /// `<got, want> / |want|²`: 1 where `got` is `want` and noise.
    pub(crate) scale: RangeInclusive<f64>,
}

impl Batches {
    pub(crate) fn new(net: Network, size: [usize; 3], batches: u64) -> Self {
        let graph = net.graph();
        let [images, height, width] = size;
        let batch = |key| {
            let mut random = Random::new(7, Purpose::Synthetic, &[key]);
            let values = images * graph.in_channels() * height * width;
            let values = (0..values).map(|_| random.normal()).collect();
            let labels = (0..images).map(|_| random.below(graph.classes() as u64) as u32).collect();
            (values, labels)
        };
        let batches = (0..batches).map(batch).collect();
        let mut found = Batches { net, size, batches, want: Vec::new() };
        let direct = Cpu::new(2).unwrap().with_algorithms(Algorithms::Direct);
        found.want = found.gradients(Dtype::Fp32, &direct);
        found
    }

    fn graph(&self) -> &Graph {
        self.net.graph()
    }

    /// Of each batch.
    fn gradients(&self, dtype: Dtype, cpu: &Cpu) -> Vec<Vec<f32>> {
        let [images, height, width] = self.size;
        let mut plan = TrainPlan::new(self.graph(), dtype, images, height, width, cpu).unwrap();
        let each = self.batches.iter().map(|(values, labels)| {
            let mut gradients = vec![f32::NAN; self.net.values().len()];
            let input = Input::Nchw(values);
            step(&mut plan, &mut self.net.clone(), &mut gradients, input, labels, 0.0);
            gradients
        });
        each.collect()
    }

    /// Error and scale of a tensor.
    fn compare(&self, got: &[Vec<f32>], param: &Param) -> (f64, f64) {
        let (mut apart, mut along, mut square) = (0.0, 0.0, 0.0);
        for (got, want) in got.iter().zip(&self.want) {
            for index in param.range.clone() {
                let (got, want) = (f64::from(got[index]), f64::from(want[index]));
                apart += (got - want).powi(2);
                along += got * want;
                square += want * want;
            }
        }
        ((apart / square).sqrt(), along / square)
    }

    /// Holds bf16 gradients to limits for each tensor, and shows that these refuse mistakes.
    pub(crate) fn hold(&self, what: &str, cpu: &Cpu, limits: impl Fn(&str) -> Limits) {
        let got = self.gradients(Dtype::Bf16, cpu);
        let nearest = self.net.params().iter().map(|param| {
            let (error, scale) = self.compare(&got, param);
            (error / limits(&param.name).error, error, scale, &param.name)
        });
        let (of, error, scale, name) = nearest.max_by(|a, b| a.0.total_cmp(&b.0)).unwrap();
        println!("{what}: {of:.2} of a limit: {name}, error {error:.3}, scale {scale:.3}");
        let check = |got: &[Vec<f32>], param: &Param| {
            let ((error, scale), limits) = (self.compare(got, param), limits(&param.name));
            let fine = error <= limits.error && limits.scale.contains(&scale);
            let Limits { error: most, scale: range } = limits;
            let why =
                || format!("error {error:.3}, scale {scale:.3}; allowed {most:.3} and {range:.3?}");
            fine.then_some(()).ok_or_else(why)
        };
        let halved = Mutation::Scaled(0.5);
        let mutations = [Mutation::Zeroed, halved, Mutation::Masked, Mutation::Permuted];
        prove(what, self.net.params(), &got, &mutations, check);
    }
}
