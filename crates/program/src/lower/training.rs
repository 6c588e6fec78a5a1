//! A training step: forward, loss, and backward as the forward list in reverse.

use resnet_kernels::{Activation, batch_norm::BatchNormShape, conv::Mode};
use resnet_network::graph::{NodeId, Op};

use super::{
    builder::{Lowering, ProgramBuilder},
    fusion::producer,
    layout::{Layout, Read},
};
use crate::{
    error::PlanError,
    program::{
        Compute, ConvOperand, FusedLayer, FusedNorm, Kind, Pass, Program, Sink, Slope, Span,
    },
};

/// Lowers a graph for training. `fuses_norm` states of each layer, in order, whether it can fuse a
/// batch norm and ReLU into its load.
///
/// # Errors
/// If the graph does not fit the images, or breaks a rule.
pub fn training(
    lowering: Lowering<'_>,
    fuses_norm: &mut dyn FnMut(&FusedLayer) -> bool,
) -> Result<Program, PlanError> {
    let builder = ProgramBuilder::new(lowering, false, &[])?;
    let count = builder.groups.len();
    // For each group, the batch norm that is fused into its load.
    let mut fused_norms = Layout::fusable_norms(builder.graph, &builder.groups);
    let mut unstored = vec![false; count];
    for (index, norm) in fused_norms.iter_mut().enumerate() {
        let layer = builder.layer(index, Mode::Train, None, 0..0);
        let fuses = fuses_norm(&layer);
        *norm = norm.filter(|_| fuses);
        norm.iter().for_each(|&norm| unstored[norm] = true);
    }
    let mut saved = Vec::new();
    let mut saved_len = 0;
    for index in 0..count {
        let start = saved_len;
        if builder.op(index) == Op::BatchNorm2d {
            saved_len += builder.batch_norm(index).batch(1).saved_len();
        }
        saved.push(start..saved_len);
    }
    let layout = Layout::new(builder.graph, &builder.groups, &unstored, &builder.sizes);
    let needed = needed_gradients(&builder, lowering.frozen);
    let eval = lowering.eval;
    let mut step = Step { builder, layout, fused_norms, unstored, saved, needed, eval };
    step.builder.add_images();
    (0..count).for_each(|index| step.forward(index));
    let loss = step.builder.costs().loss();
    step.builder.add(Kind::Loss, Pass::Forward, Compute::Loss, loss);
    let backward: Vec<usize> = (0..count).rev().filter(|&index| step.needed[index]).collect();
    backward.into_iter().for_each(|index| step.backward(index, lowering.frozen));
    step.update();
    Ok(step.program(saved_len))
}

struct Step<'a> {
    builder: ProgramBuilder<'a>,
    layout: Layout,
    /// For each group, the batch norm that is fused into its load.
    fused_norms: Vec<Option<usize>>,
    /// Whether a group is a batch norm that is fused into the next convolution's load.
    unstored: Vec<bool>,
    /// Places of the batch norms' statistics.
    saved: Vec<Span>,
    /// Whether the gradient of a group's output is needed.
    needed: Vec<bool>,
    /// Batch norms that use their running statistics.
    eval: &'a [NodeId],
}

/// For each group, whether trained parameters are in it or before it: only then is the gradient of its
/// output needed.
fn needed_gradients(builder: &ProgramBuilder<'_>, frozen: &[NodeId]) -> Vec<bool> {
    let mut needed: Vec<bool> = Vec::with_capacity(builder.groups.len());
    for (index, group) in builder.groups.iter().enumerate() {
        let node = &builder.graph.nodes()[group.head];
        let trained = node.has_parameters() && !frozen.contains(&group.head);
        let residual = group.residual.and_then(|id| producer(&builder.groups, id));
        let reads = [builder.input(index), residual];
        let before = reads.into_iter().flatten().any(|read| needed[read]);
        needed.push(trained || before);
    }
    needed
}

fn sink(read: &Read) -> Sink {
    Sink { at: read.value.gradient.clone(), accumulate: read.accumulate }
}

impl Step<'_> {
    fn norm(&self, index: usize) -> (BatchNormShape, Span) {
        (self.builder.batch_norm(index), self.saved[index].clone())
    }

    /// The input of a convolution.
    fn conv_input(&self, index: usize) -> ConvOperand {
        let Some(read) = &self.layout.steps[index].0 else { return ConvOperand::Images };
        let fused_norm = self.fused_norms[index].map(|norm| {
            let (norm, saved) = self.norm(norm);
            FusedNorm { norm, saved }
        });
        ConvOperand::Value { at: read.value.out.clone(), fused_norm }
    }

    /// The place of any other operation's input.
    fn x(&self, index: usize) -> Span {
        let read = self.layout.steps[index].0.as_ref();
        read.expect("only convolutions read the images").value.out.clone()
    }

    fn forward(&mut self, index: usize) {
        let group = self.builder.groups[index].clone();
        let (_, residual, value) = &self.layout.steps[index];
        let residual = residual.as_ref().map(|read| read.value.out.clone());
        let (relu, y) = (group.relu(), value.out.clone());
        let compute = match self.builder.op(index) {
            Op::Conv2d { .. } => {
                self.builder.add_pack(index, Pass::Forward);
                Compute::Conv { x: self.conv_input(index), norm: None, residual, relu, y }
            }
            Op::BatchNorm2d => {
                let ((norm, saved), x) = (self.norm(index), self.x(index));
                let running = self.eval.contains(&group.head);
                if self.unstored[index] {
                    Compute::BatchNormStatistics { norm, x, saved, running }
                } else {
                    let (saved, activation) = (Some(saved), group.activation);
                    Compute::BatchNorm { norm, x, saved, running, residual, activation, y }
                }
            }
            Op::Linear => Compute::Linear { linear: self.builder.linear(index), x: self.x(index) },
            _ => {
                let (op, x) = (self.builder.parameterless(index), self.x(index));
                Compute::Parameterless { op, x, residual, relu, y }
            }
        };
        let bytes = self.builder.costs().forward(&group, !self.unstored[index]);
        self.builder.add_pass(index, Pass::Forward, compute, 1, bytes);
    }

    fn backward(&mut self, index: usize, frozen: &[NodeId]) {
        let group = self.builder.groups[index].clone();
        let (x, residual, value) = self.layout.steps[index].clone();
        // Those whose gradients are needed.
        let needed = |read: Option<usize>| read.is_some_and(|read| self.needed[read]);
        let x = x.filter(|_| needed(self.builder.input(index)));
        let of_residual = group.residual.and_then(|id| producer(&self.builder.groups, id));
        let residual = residual.filter(|_| needed(of_residual));
        let accumulate = [&x, &residual].map(|read| read.as_ref().is_some_and(|r| r.accumulate));
        let dy = value.gradient.clone();
        let compute = match self.builder.op(index) {
            Op::Conv2d { .. } => {
                if x.is_some() {
                    self.builder.add_pack(index, Pass::BackwardData);
                }
                if !frozen.contains(&group.head) {
                    let of_weight =
                        Compute::ConvBackwardWeight { x: self.conv_input(index), dy: dy.clone() };
                    let bytes = self.builder.costs().backward_weight(&group);
                    self.builder.add_pass(index, Pass::BackwardWeight, of_weight, 1, bytes);
                }
                if let Some(read) = &x {
                    let bytes = self.builder.costs().backward_data(&group, read.accumulate);
                    let of_data = Compute::ConvBackwardData { dy, dx: sink(read) };
                    self.builder.add_pass(index, Pass::BackwardData, of_data, 1, bytes);
                }
                return;
            }
            Op::BatchNorm2d => {
                let (norm, saved) = self.norm(index);
                let slope = match (group.activation, self.unstored[index]) {
                    (None, _) => Slope::None,
                    (Some(Activation::Relu), false) => Slope::Output(value.out.clone()),
                    (Some(Activation::Relu), true) => Slope::Recomputed,
                    (Some(Activation::Smooth(function)), _) => {
                        // Its value, whether or not its gradient is needed.
                        let residual = self.layout.steps[index].1.as_ref();
                        let residual = residual.map(|read| read.value.out.clone());
                        Slope::Smooth { function, residual }
                    }
                };
                // Mostly the input's gradient has the place of the output's.
                let dx = x.as_ref().filter(|x| x.value.gradient != dy).map(sink);
                let d_residual = residual.as_ref().map(sink);
                let x = self.x(index);
                let running = self.eval.contains(&group.head);
                Compute::BatchNormBackward { norm, x, slope, saved, running, dy, d_residual, dx }
            }
            Op::Linear => {
                let (linear, of) = (self.builder.linear(index), self.x(index));
                // Also where it is not needed.
                let read = self.layout.steps[index].0.as_ref();
                let dx = read.map(sink).expect("only convolutions read the images").at;
                Compute::LinearBackward { linear, x: of, dx }
            }
            _ => Compute::ParameterlessBackward {
                op: self.builder.parameterless(index),
                x: self.x(index),
                y: value.out.clone(),
                relu: group.relu(),
                dy,
                to: x.iter().chain(&residual).map(sink).collect(),
            },
        };
        let bytes = self.builder.costs().backward(&group, !self.unstored[index], accumulate);
        self.builder.add_pass(index, Pass::Backward, compute, 2, bytes);
    }

    /// SGD reads gradients, and reads and writes parameters and momentum.
    fn update(&mut self) {
        let costs = self.builder.costs();
        let parameters: usize =
            self.builder.groups.iter().map(|group| costs.parameters(group.head)).sum();
        self.builder.add(Kind::Update, Pass::Update, Compute::Update, 5 * parameters as u64);
    }

    fn program(self, saved_len: usize) -> Program {
        let layer = |index: usize| {
            let value = &self.layout.steps[index].2;
            let stored = (!self.unstored[index]).then(|| value.out.clone());
            self.builder.layer(index, Mode::Train, stored, value.gradient.clone())
        };
        let layers = (0..self.builder.groups.len()).map(layer).collect();
        let lengths = [self.layout.values_len, self.layout.gradients_len, saved_len];
        self.builder.program(layers, lengths)
    }
}
