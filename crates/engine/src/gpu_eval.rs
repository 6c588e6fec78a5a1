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
    /// The nodes whose outputs are kept.
    probes: Vec<(NodeId, Shape)>,
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
        Ok(GpuPlan {
            plan,
            graph: graph.clone(),
            batch,
            memory: batch.saturating_mul(image_bytes(lowering)?),
            probes: probes.iter().map(|&node| (node, shapes[node])).collect(),
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
        Ok(self.plan.forward(input, images)?)
    }

    pub(crate) fn probed(&self, node: NodeId, image: usize) -> (Shape, Vec<f32>) {
        let probe = self.probes.iter().find(|(of, _)| *of == node);
        let (_, shape) = *probe.expect("the plan has a probe on the node");
        let values = self.plan.probed(node);
        (shape, values[image * shape.len()..][..shape.len()].to_vec())
    }
}
