//! Inference on a device.

use resnet_kernels::Dtype;
use resnet_network::{
    Network,
    graph::{Graph, NodeId, Shape},
};
use resnet_program::{Input, lower::Lowering};

#[cfg(feature = "gpu")]
use crate::gpu_eval::GpuPlan;
use crate::{Device, EngineError, EvalPlan};

/// A plan for inference of up to one batch size on a device: an [`EvalPlan`], or one of a GPU.
///
/// Call [`DeviceEvalPlan::load`] before the first [`DeviceEvalPlan::forward`].
///
/// ```
/// use resnet_engine::{DeviceEvalPlan, Input};
/// use resnet_kernels::{Cpu, Dtype};
/// use resnet_network::{Arch, Network, network::Init};
///
/// let net = Network::new("resnet20".parse::<Arch>()?.graph(10), Init::PyTorch, 0);
/// let cpu = Cpu::new(2)?;
/// let mut plan = DeviceEvalPlan::new(net.graph(), Dtype::Fp32, 8, 32, 32, &[], &cpu)?;
/// plan.load(&net)?;
/// let images = vec![0.5; 2 * 3 * 32 * 32]; // [images][channels][height][width], normalised
/// let logits = plan.forward(Input::Nchw(&images), 2)?; // [images][classes]
/// assert_eq!(logits.len(), 2 * 10);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct DeviceEvalPlan {
    on: On,
    classes: usize,
}

#[derive(Debug)]
enum On {
    Cpu(Box<EvalPlan>),
    #[cfg(feature = "gpu")]
    Gpu(Box<GpuPlan>),
}

impl DeviceEvalPlan {
    /// Plans inference of up to `batch` images of `height` x `width`. [`DeviceEvalPlan::probed`] returns the
    /// outputs of the nodes `probes`.
    ///
    /// # Errors
    /// As [`EvalPlan::with_probes`], and if the device cannot be used.
    ///
    /// # Panics
    /// As [`EvalPlan::with_probes`].
    pub fn new(
        graph: &Graph,
        dtype: Dtype,
        batch: usize,
        height: usize,
        width: usize,
        probes: &[NodeId],
        device: impl Into<Device>,
    ) -> Result<Self, EngineError> {
        let on = match device.into() {
            Device::Cpu(cpu) => {
                let plan = EvalPlan::with_probes(graph, dtype, batch, height, width, probes, &cpu)?;
                On::Cpu(plan.into())
            }
            #[cfg(feature = "gpu")]
            Device::Gpu(gpu, _) => {
                On::Gpu(GpuPlan::new(&gpu, graph, dtype, batch, [height, width], probes)?.into())
            }
        };
        Ok(DeviceEvalPlan { on, classes: graph.classes() })
    }

    /// The same for micro-batches of a batch, as [`EvalPlan::micro_batched_with_probes`]: up to `images` images
    /// at a time, or as many as [`MICRO_BATCH_BYTES`](crate::MICRO_BATCH_BYTES) hold. Of `lowering` what is for
    /// training does not count.
    ///
    /// # Errors
    /// As [`DeviceEvalPlan::new`].
    ///
    /// # Panics
    /// As [`DeviceEvalPlan::new`].
    pub fn micro_batched(
        lowering: Lowering<'_>,
        images: usize,
        probes: &[NodeId],
        device: impl Into<Device>,
    ) -> Result<Self, EngineError> {
        let on = match device.into() {
            Device::Cpu(cpu) => {
                let plan = EvalPlan::micro_batched_with_probes(lowering, images, probes, &cpu)?;
                On::Cpu(plan.into())
            }
            #[cfg(feature = "gpu")]
            Device::Gpu(gpu, _) => {
                let batch = images.min(lowering.batch);
                let lowering = Lowering { batch, ..lowering };
                On::Gpu(GpuPlan::micro_batched(&gpu, lowering, probes)?.into())
            }
        };
        Ok(DeviceEvalPlan { on, classes: lowering.graph.classes() })
    }

    /// Images of the largest forward pass.
    pub fn batch(&self) -> usize {
        match &self.on {
            On::Cpu(plan) => plan.batch(),
            #[cfg(feature = "gpu")]
            On::Gpu(plan) => plan.batch(),
        }
    }

    /// Classes of the network.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// Bytes of its buffers and packed weights; an estimate of those on a GPU.
    pub fn memory(&self) -> usize {
        match &self.on {
            On::Cpu(plan) => plan.summary().memory.total(),
            #[cfg(feature = "gpu")]
            On::Gpu(plan) => plan.memory(),
        }
    }

    /// Loads the parameters and running statistics of a network.
    ///
    /// # Errors
    /// If the GPU was lost.
    ///
    /// # Panics
    /// If the network has another graph than the plan.
    pub fn load(&mut self, net: &Network) -> Result<(), EngineError> {
        match &mut self.on {
            On::Cpu(plan) => plan.load(net),
            #[cfg(feature = "gpu")]
            On::Gpu(plan) => plan.load(net)?,
        }
        Ok(())
    }

    /// The logits `[images][classes]` of the first `images` images of an input.
    ///
    /// # Errors
    /// If the GPU was lost.
    ///
    /// # Panics
    /// As [`EvalPlan::forward`].
    pub fn forward(&mut self, input: Input<'_>, images: usize) -> Result<&[f32], EngineError> {
        match &mut self.on {
            On::Cpu(plan) => Ok(plan.forward(input, images)),
            #[cfg(feature = "gpu")]
            On::Gpu(plan) => plan.forward(input, images),
        }
    }

    /// The output of a probed node for an image of the last forward pass: its shape, and values
    /// `[height][width][channels]`.
    ///
    /// # Panics
    /// If the plan has no such probe, or no such image.
    pub fn probed(&self, node: NodeId, image: usize) -> (Shape, Vec<f32>) {
        match &self.on {
            On::Cpu(plan) => plan.probed(node, image),
            #[cfg(feature = "gpu")]
            On::Gpu(plan) => plan.probed(node, image),
        }
    }
}
