//! A training step: forward, loss, and backward as the forward list in reverse.

use resnet_kernels::{batch_norm::BatchNormShape, conv::Mode};
use resnet_network::graph::Op;

use super::{
    layout::{Layout, Read},
    list::{List, Lowering},
};
use crate::{
    error::PlanError,
    program::{Compute, Gate, Input, Kind, Pass, Program, Sink, Span, Through, Unit},
};

/// Lowers a graph for training. `applies_norm` is asked of each unit, in order, whether it can apply a
/// batch norm as it reads.
///
/// # Errors
/// If the graph does not fit the images, or breaks a rule.
pub fn training(
    lowering: Lowering<'_>,
    applies_norm: &mut dyn FnMut(&Unit) -> bool,
) -> Result<Program, PlanError> {
    let list = List::new(lowering, false, None)?;
    let count = list.groups.len();
    // Batch norms that the convolution after them applies as it reads.
    let mut through = Layout::read_through(list.graph, &list.groups);
    let mut unstored = vec![false; count];
    for (index, norm) in through.iter_mut().enumerate() {
        let unit = list.unit(index, Mode::Train, None, 0..0);
        let applies = applies_norm(&unit);
        *norm = norm.filter(|_| applies);
        norm.iter().for_each(|&norm| unstored[norm] = true);
    }
    let mut saved = Vec::new();
    let mut saved_len = 0;
    for index in 0..count {
        let start = saved_len;
        if list.op(index) == Op::BatchNorm2d {
            saved_len += list.batch_norm(index).batch(1).saved_len();
        }
        saved.push(start..saved_len);
    }
    let layout = Layout::new(list.graph, &list.groups, &unstored, &list.sizes);
    let mut step = Step { list, layout, through, unstored, saved };
    step.list.add_images();
    (0..count).for_each(|index| step.forward(index));
    let loss = step.list.costs().loss();
    step.list.add(Kind::Loss, Pass::Forward, Compute::Loss, loss);
    (0..count).rev().for_each(|index| step.backward(index));
    step.update();
    Ok(step.program(saved_len))
}

struct Step<'a> {
    list: List<'a>,
    layout: Layout,
    /// For each group, the batch norm that it applies as it reads.
    through: Vec<Option<usize>>,
    /// Batch norms that their reader applies.
    unstored: Vec<bool>,
    /// Where the statistics of batch norms are kept.
    saved: Vec<Span>,
}

fn sink(read: &Read) -> Sink {
    Sink { at: read.value.gradient.clone(), accumulate: read.accumulate }
}

impl Step<'_> {
    fn norm(&self, index: usize) -> (BatchNormShape, Span) {
        (self.list.batch_norm(index), self.saved[index].clone())
    }

    /// What a convolution reads.
    fn conv_input(&self, index: usize) -> Input {
        let Some(read) = &self.layout.steps[index].0 else { return Input::Images };
        let through = self.through[index].map(|norm| {
            let (norm, saved) = self.norm(norm);
            Through { norm, saved }
        });
        Input::Value { at: read.value.out.clone(), through }
    }

    /// The place of what any other operation reads.
    fn x(&self, index: usize) -> Span {
        let read = self.layout.steps[index].0.as_ref();
        read.expect("only convolutions read the images").value.out.clone()
    }

    fn forward(&mut self, index: usize) {
        let group = self.list.groups[index].clone();
        let (_, residual, value) = &self.layout.steps[index];
        let residual = residual.as_ref().map(|read| read.value.out.clone());
        let (relu, y) = (group.relu, value.out.clone());
        let compute = match self.list.op(index) {
            Op::Conv2d { .. } => {
                self.list.add_pack(index, Pass::Forward);
                Compute::Conv { x: self.conv_input(index), norm: None, residual, relu, y }
            }
            Op::BatchNorm2d => {
                let ((norm, saved), x) = (self.norm(index), self.x(index));
                if self.unstored[index] {
                    Compute::BatchNormStatistics { norm, x, saved }
                } else {
                    Compute::BatchNorm { norm, x, saved: Some(saved), residual, relu, y }
                }
            }
            Op::Linear => Compute::Linear { linear: self.list.linear(index), x: self.x(index) },
            _ => {
                let (plain, x) = (self.list.plain(index), self.x(index));
                Compute::Plain { plain, x, residual, relu, y }
            }
        };
        let bytes = self.list.costs().forward(&group, !self.unstored[index]);
        self.list.add_pass(index, Pass::Forward, compute, 1, bytes);
    }

    fn backward(&mut self, index: usize) {
        let group = self.list.groups[index].clone();
        let (x, residual, value) = self.layout.steps[index].clone();
        let accumulate = [&x, &residual].map(|read| read.as_ref().is_some_and(|r| r.accumulate));
        let dy = value.gradient.clone();
        let compute = match self.list.op(index) {
            Op::Conv2d { .. } => {
                if x.is_some() {
                    self.list.add_pack(index, Pass::BackwardData);
                }
                let of_weight =
                    Compute::ConvBackwardWeight { x: self.conv_input(index), dy: dy.clone() };
                let bytes = self.list.costs().backward_weight(&group);
                self.list.add_pass(index, Pass::BackwardWeight, of_weight, 1, bytes);
                if let Some(read) = &x {
                    let bytes = self.list.costs().backward_data(&group, read.accumulate);
                    let of_data = Compute::ConvBackwardData { dy, dx: sink(read) };
                    self.list.add_pass(index, Pass::BackwardData, of_data, 1, bytes);
                }
                return;
            }
            Op::BatchNorm2d => {
                let (norm, saved) = self.norm(index);
                let gate = match (group.relu, self.unstored[index]) {
                    (false, _) => Gate::Open,
                    (true, false) => Gate::Output(value.out.clone()),
                    (true, true) => Gate::Input,
                };
                // The gradient of the input mostly shares the place of the output's.
                let dx = x.as_ref().filter(|x| x.value.gradient != dy).map(sink);
                let d_residual = residual.as_ref().map(sink);
                let x = self.x(index);
                Compute::BatchNormBackward { norm, x, gate, saved, dy, d_residual, dx }
            }
            Op::Linear => {
                let (linear, of) = (self.list.linear(index), self.x(index));
                let dx = x.as_ref().map(sink).expect("only convolutions read the images").at;
                Compute::LinearBackward { linear, x: of, dx }
            }
            _ => Compute::PlainBackward {
                plain: self.list.plain(index),
                x: self.x(index),
                y: value.out.clone(),
                relu: group.relu,
                dy,
                to: x.iter().chain(&residual).map(sink).collect(),
            },
        };
        let bytes = self.list.costs().backward(&group, !self.unstored[index], accumulate);
        self.list.add_pass(index, Pass::Backward, compute, 2, bytes);
    }

    /// The update by stochastic gradient descent reads gradients, and reads and writes parameters
    /// and momentum.
    fn update(&mut self) {
        let costs = self.list.costs();
        let parameters: usize =
            self.list.groups.iter().map(|group| costs.parameters(group.head)).sum();
        self.list.add(Kind::Update, Pass::Update, Compute::Update, 5 * parameters as u64);
    }

    fn program(self, saved_len: usize) -> Program {
        let unit = |index: usize| {
            let value = &self.layout.steps[index].2;
            let stored = (!self.unstored[index]).then(|| value.out.clone());
            self.list.unit(index, Mode::Train, stored, value.gradient.clone())
        };
        let units = (0..self.list.groups.len()).map(unit).collect();
        let lengths = [self.layout.values_len, self.layout.gradients_len, saved_len];
        self.list.program(units, lengths)
    }
}
