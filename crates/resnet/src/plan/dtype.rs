//! Plans as the rest of the library has them: one type for every dtype.

use resnet_kernels::{Bf16, Cpu};

use super::{
    Input, PlanError, StepResult, eval,
    outline::{Outline, Part},
    train,
};
use crate::{
    graph::{Graph, NodeId, Shape},
    network::Network,
    recipe::Dtype,
};

/// Forward and backward of up to one batch size.
///
/// Activations and their gradients are stored as the plan's dtype says. Weights, their gradients,
/// statistics, logits and loss are f32, whichever it is, and so are all sums.
#[derive(Debug)]
pub struct TrainPlan(Train);

#[derive(Debug)]
enum Train {
    Fp32(train::Plan<f32>),
    Bf16(train::Plan<Bf16>),
}

impl TrainPlan {
    /// Plans training steps of up to `batch` images of `height` x `width`.
    ///
    /// # Errors
    /// If the graph does not fit the images, breaks a rule of the plans, or needs more memory than
    /// there is.
    pub fn new(
        graph: &Graph,
        dtype: Dtype,
        batch: usize,
        height: usize,
        width: usize,
        cpu: &Cpu,
    ) -> Result<Self, PlanError> {
        Ok(TrainPlan(match dtype {
            Dtype::Fp32 => Train::Fp32(train::Plan::new(graph, batch, height, width, cpu)?),
            Dtype::Bf16 => Train::Bf16(train::Plan::new(graph, batch, height, width, cpu)?),
        }))
    }

    /// Forward, loss and backward of `labels.len()` images. Stores the gradients of the mean loss
    /// in `gradients`, an arena like [`Network::values`], and updates the running statistics.
    ///
    /// # Panics
    /// If there are no images, more than the plan's batch, or fewer values than they need; if a
    /// label is not a class; or if `net` has another graph.
    pub fn step(
        &mut self,
        net: &mut Network,
        gradients: &mut [f32],
        input: Input<'_>,
        labels: &[u32],
        label_smoothing: f32,
    ) -> StepResult {
        self.step_observed(net, gradients, input, labels, label_smoothing, |_| ())
    }

    /// [`TrainPlan::step`] that reports each of the [`Outline::operations`] when it is done.
    ///
    /// # Panics
    /// As [`TrainPlan::step`].
    pub fn step_observed(
        &mut self,
        net: &mut Network,
        gradients: &mut [f32],
        input: Input<'_>,
        labels: &[u32],
        label_smoothing: f32,
        done: impl FnMut(Part),
    ) -> StepResult {
        match &mut self.0 {
            Train::Fp32(plan) => plan.step(net, gradients, input, labels, label_smoothing, done),
            Train::Bf16(plan) => plan.step(net, gradients, input, labels, label_smoothing, done),
        }
    }

    /// What the plan consists of. `graph` is the one that it was built for.
    ///
    /// # Panics
    /// If it is another that does not fit the images.
    pub fn outline(&self, graph: &Graph) -> Outline {
        match &self.0 {
            Train::Fp32(plan) => plan.outline(graph),
            Train::Bf16(plan) => plan.outline(graph),
        }
    }

    /// Logits `[batch][classes]` of the last step, of which a smaller batch fills the first rows.
    pub fn logits(&self) -> &[f32] {
        match &self.0 {
            Train::Fp32(plan) => plan.logits(),
            Train::Bf16(plan) => plan.logits(),
        }
    }
}

/// Inference of up to one batch size, with running statistics.
///
/// Activations are stored as the plan's dtype says; logits are f32.
#[derive(Debug)]
pub struct EvalPlan(Eval);

#[derive(Debug)]
enum Eval {
    Fp32(eval::Plan<f32>),
    Bf16(eval::Plan<Bf16>),
}

impl EvalPlan {
    /// Plans inference of up to `batch` images of `height` x `width`. Call [`EvalPlan::load`]
    /// before the first forward pass.
    ///
    /// # Errors
    /// If the graph does not fit the images, breaks a rule of the plans, or needs more memory than
    /// there is.
    pub fn new(
        graph: &Graph,
        dtype: Dtype,
        batch: usize,
        height: usize,
        width: usize,
        cpu: &Cpu,
    ) -> Result<Self, PlanError> {
        Self::build(graph, dtype, batch, height, width, None, cpu)
    }

    /// [`EvalPlan::new`] with a probe: [`EvalPlan::probed`] reads what `node` computed. Nothing is
    /// fused across the probe, and its memory is not reused.
    ///
    /// # Errors
    /// As [`EvalPlan::new`].
    ///
    /// # Panics
    /// If the node is not one between the images and the logits.
    pub fn with_probe(
        graph: &Graph,
        dtype: Dtype,
        batch: usize,
        height: usize,
        width: usize,
        node: NodeId,
        cpu: &Cpu,
    ) -> Result<Self, PlanError> {
        Self::build(graph, dtype, batch, height, width, Some(node), cpu)
    }

    fn build(
        graph: &Graph,
        dtype: Dtype,
        batch: usize,
        height: usize,
        width: usize,
        probe: Option<NodeId>,
        cpu: &Cpu,
    ) -> Result<Self, PlanError> {
        Ok(EvalPlan(match dtype {
            Dtype::Fp32 => Eval::Fp32(eval::Plan::new(graph, batch, height, width, probe, cpu)?),
            Dtype::Bf16 => Eval::Bf16(eval::Plan::new(graph, batch, height, width, probe, cpu)?),
        }))
    }

    /// What the probe's node computed for an image of the last forward pass: its shape, and values
    /// `[height][width][channels]`.
    ///
    /// # Panics
    /// If the plan has no probe, or no such image.
    pub fn probed(&self, image: usize) -> (Shape, Vec<f32>) {
        match &self.0 {
            Eval::Fp32(plan) => plan.probed(image),
            Eval::Bf16(plan) => plan.probed(image),
        }
    }

    /// Takes the parameters and running statistics of a network of the same graph.
    pub fn load(&mut self, net: &Network) {
        match &mut self.0 {
            Eval::Fp32(plan) => plan.load(net),
            Eval::Bf16(plan) => plan.load(net),
        }
    }

    /// Logits `[images][classes]`.
    ///
    /// # Panics
    /// If there are no images, more than the plan's batch, or fewer values than they need.
    pub fn forward(&mut self, input: Input<'_>, images: usize) -> &[f32] {
        self.forward_observed(input, images, |_| ())
    }

    /// [`EvalPlan::forward`] that reports each of the [`Outline::operations`] when it is done.
    ///
    /// # Panics
    /// As [`EvalPlan::forward`].
    pub fn forward_observed(
        &mut self,
        input: Input<'_>,
        images: usize,
        done: impl FnMut(Part),
    ) -> &[f32] {
        match &mut self.0 {
            Eval::Fp32(plan) => plan.forward(input, images, done),
            Eval::Bf16(plan) => plan.forward(input, images, done),
        }
    }

    /// What the plan consists of. `graph` is the one that it was built for.
    ///
    /// # Panics
    /// If it is another that does not fit the images.
    pub fn outline(&self, graph: &Graph) -> Outline {
        match &self.0 {
            Eval::Fp32(plan) => plan.outline(graph),
            Eval::Bf16(plan) => plan.outline(graph),
        }
    }
}
