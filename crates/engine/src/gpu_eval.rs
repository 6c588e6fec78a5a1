//! Inference on a GPU.

use resnet_gpu::{Gpu, GpuEvalPlan};
use resnet_kernels::Dtype;
use resnet_network::{
    Network,
    graph::{Graph, NodeId, Shape},
};
use resnet_program::{
    Input,
    lower::{Lowering, image_bytes},
};

use crate::{EngineError, MICRO_BATCH_BYTES};

/// What [`DeviceEvalPlan`](crate::DeviceEvalPlan) does on a GPU.
#[derive(Debug)]
pub(crate) struct GpuPlan {
    plan: GpuEvalPlan,
    graph: Graph,
    batch: usize,
    memory: usize,
    /// Of the last forward pass.
    logits: Vec<f32>,
    probes: Vec<Probe>,
}

/// The output of a node in the last forward pass.
#[derive(Debug)]
struct Probe {
    node: NodeId,
    shape: Shape,
    /// `[images][height][width][channels]`
    values: Vec<f32>,
}

impl GpuPlan {
    pub(crate) fn new(
        gpu: &Gpu,
        graph: &Graph,
        dtype: Dtype,
        batch: usize,
        [height, width]: [usize; 2],
        probes: &[NodeId],
    ) -> Result<Self, EngineError> {
        let plan = GpuEvalPlan::new(gpu, graph, dtype, batch, [height, width], probes)?;
        let lowering = Lowering { graph, dtype, batch, height, width, frozen: &[], eval: &[] };
        let shapes = graph.shapes(height, width).map_err(resnet_program::PlanError::from)?;
        let probe = |&node| Probe { node, shape: shapes[node], values: Vec::new() };
        Ok(GpuPlan {
            plan,
            graph: graph.clone(),
            batch,
            memory: batch.saturating_mul(image_bytes(lowering)?),
            logits: Vec::new(),
            probes: probes.iter().map(probe).collect(),
        })
    }

    /// A plan for as many images of the batch as [`MICRO_BATCH_BYTES`] hold, but at least one.
    pub(crate) fn micro_batched(
        gpu: &Gpu,
        lowering: Lowering<'_>,
        probes: &[NodeId],
    ) -> Result<Self, EngineError> {
        let Lowering { graph, dtype, batch, height, width, .. } = lowering;
        let most = MICRO_BATCH_BYTES / image_bytes(lowering)?.max(1);
        GpuPlan::new(gpu, graph, dtype, batch.min(most).max(1), [height, width], probes)
    }

    pub(crate) fn batch(&self) -> usize {
        self.batch
    }

    pub(crate) fn memory(&self) -> usize {
        self.memory
    }

    pub(crate) fn load(&mut self, net: &Network) -> Result<(), EngineError> {
        assert!(*net.graph() == self.graph, "a network of another graph");
        Ok(self.plan.load(net)?)
    }

    pub(crate) fn forward(
        &mut self,
        input: Input<'_>,
        images: usize,
    ) -> Result<&[f32], EngineError> {
        let batch = self.batch;
        assert!((1..=batch).contains(&images), "{images} images in a plan for {batch}");
        self.logits.clear();
        self.logits.extend_from_slice(self.plan.forward(input, images)?);
        for probe in &mut self.probes {
            probe.values = self.plan.probed(probe.node, images)?;
        }
        Ok(&self.logits)
    }

    pub(crate) fn probed(&self, node: NodeId, image: usize) -> (Shape, Vec<f32>) {
        let probe = self.probes.iter().find(|probe| probe.node == node);
        let Probe { shape, values, .. } = probe.expect("the plan has a probe on the node");
        (*shape, values[image * shape.len()..][..shape.len()].to_vec())
    }
}
