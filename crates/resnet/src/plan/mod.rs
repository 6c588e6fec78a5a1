//! Plans: how a graph runs on a batch.

use resnet_kernels::Cpu;
use thiserror::Error;

use crate::{
    data::Normalisation,
    graph::{Graph, GraphError},
    network::Network,
};

/// Images as a plan takes them.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// Bytes `[n][height][width][channels]`, scaled to [0, 1] and normalised on the way in.
    Bytes(&'a [u8], &'a Normalisation),
    /// Ready values `[n][channels][height][width]`, as PyTorch has them.
    Nchw(&'a [f32]),
}

/// What a training step found, before its update.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepResult {
    /// Mean loss an image.
    pub loss: f64,
    /// Images whose largest logit was the label's.
    pub correct: usize,
}

/// Why a plan cannot be built.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PlanError {
    /// The graph does not fit the images.
    #[error(transparent)]
    Graph(#[from] GraphError),
}

/// Forward and backward of one batch size.
#[derive(Debug)]
pub struct TrainPlan {}

impl TrainPlan {
    /// Plans training steps of up to `batch` images of `height` x `width`.
    pub fn new(
        _graph: &Graph,
        _batch: usize,
        _height: usize,
        _width: usize,
        _cpu: &Cpu,
    ) -> Result<Self, PlanError> {
        Ok(TrainPlan {})
    }
    /// Forward, loss and backward of `labels.len()` images (at most the plan's batch). Leaves the
    /// gradients in `gradients` (an arena as long as [`Network::values`]), and updates the running
    /// statistics.
    pub fn step(
        &mut self,
        _net: &mut Network,
        _gradients: &mut [f32],
        _input: Input<'_>,
        _labels: &[u32],
        _label_smoothing: f32,
    ) -> StepResult {
        todo!()
    }
    /// Bytes the plan holds.
    pub fn memory_bytes(&self) -> usize {
        0
    }
}

/// Inference of up to one batch size: batch norm folded into the convolutions.
#[derive(Debug)]
pub struct EvalPlan {}

impl EvalPlan {
    /// Plans inference of up to `batch` images.
    pub fn new(
        _graph: &Graph,
        _batch: usize,
        _height: usize,
        _width: usize,
        _cpu: &Cpu,
    ) -> Result<Self, PlanError> {
        Ok(EvalPlan {})
    }
    /// Takes the parameters and running statistics of a network.
    pub fn load(&mut self, _net: &Network) {}
    /// Logits `[n][classes]` of so many images.
    pub fn forward(&mut self, _input: Input<'_>, _images: usize) -> &[f32] {
        todo!()
    }
}
