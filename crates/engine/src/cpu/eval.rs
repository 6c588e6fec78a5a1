//! Inference: batch norms folded into convolutions, buffers reused.

use std::sync::Arc;

use resnet_kernels::{
    Buffer, Cpu, Dtype, Storage,
    conv::{Conv, Direction, Epilogue, Mode},
    layout::padded,
};
use resnet_network::{
    Network,
    graph::{Graph, NodeId, Shape},
};
use resnet_program::{
    Input, PlanError,
    lower::{Lowering, convolutions, image_bytes, inference},
    memory::{check, zeros},
    program::{Compute, ConvOperand, Operation, Probe, Program},
};

use super::{
    arena::borrow,
    inference_parameters::InferenceParameters,
    input_buffer::InputBuffer,
    parameterless,
    prepare::{Kernels, Prepared, most_scratch, summary},
};
use crate::{
    hooks::Hooks,
    plan_summary::{PlanMemory, PlanSummary},
};

/// A plan for inference of up to one batch size, with running statistics (PyTorch's `net.eval()`).
///
/// Activations are stored in the plan's dtype; logits are f32. Call [`EvalPlan::load`] before the
/// first [`EvalPlan::forward`].
///
/// ```
/// use resnet_engine::{EvalPlan, Input};
/// use resnet_kernels::{Cpu, Dtype};
/// use resnet_network::{Arch, Network, network::Init};
///
/// let net = Network::new("resnet20".parse::<Arch>()?.graph(10), Init::PyTorch, 0);
/// let mut plan = EvalPlan::new(net.graph(), Dtype::Fp32, 8, 32, 32, &Cpu::new(2)?)?;
/// plan.load(&net);
/// let images = vec![0.5; 2 * 3 * 32 * 32]; // [images][channels][height][width], normalised
/// let logits = plan.forward(Input::Nchw(&images), 2); // [images][classes]
/// assert_eq!(logits.len(), 2 * 10);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct EvalPlan {
    cpu: Cpu,
    graph: Graph,
    program: Program,
    /// Sizes of the buffers.
    memory: PlanMemory,
    /// Whether a network is loaded.
    is_loaded: bool,
    images: InputBuffer,
    /// By layer.
    convs: Vec<Option<Arc<Conv>>>,
    /// By layer, from [`EvalPlan::load`].
    parameters: Vec<InferenceParameters>,
    values: Storage,
    scratch: Buffer,
    logits: Vec<f32>,
}

/// Memory for images, values and indirection buffers of [`EvalPlan::micro_batched`], if one image
/// fits into it: 512 MiB, about 40 images of 224x224 pixels for any ImageNet network.
pub const MICRO_BATCH_BYTES: usize = 512 << 20;

impl EvalPlan {
    /// Plans inference of up to `batch` images of `height` x `width`.
    ///
    /// # Errors
    /// If the graph does not fit the image size, breaks a rule, or needs more memory than is
    /// available.
    pub fn new(
        graph: &Graph,
        dtype: Dtype,
        batch: usize,
        height: usize,
        width: usize,
        cpu: &Cpu,
    ) -> Result<Self, PlanError> {
        let lowering = Lowering { graph, dtype, batch, height, width, frozen: &[], eval: &[] };
        EvalPlan::build(graph, EvalPlan::prepare_for(lowering, batch, &[], cpu)?, cpu)
    }

    /// [`EvalPlan::new`] for micro-batches of a batch: up to `images` images at a time, or as many
    /// as [`MICRO_BATCH_BYTES`] hold, but at least one. [`EvalPlan::batch`] returns how many. The
    /// logits are bit-identical to those of a plan for the whole `batch`.
    ///
    /// # Errors
    /// As [`EvalPlan::new`].
    pub fn micro_batched(
        images: usize,
        graph: &Graph,
        dtype: Dtype,
        batch: usize,
        height: usize,
        width: usize,
        cpu: &Cpu,
    ) -> Result<Self, PlanError> {
        let lowering = Lowering { graph, dtype, batch, height, width, frozen: &[], eval: &[] };
        EvalPlan::micro_batched_with_probes(lowering, images, &[], cpu)
    }

    /// [`EvalPlan::micro_batched`] with the probes of [`EvalPlan::with_probes`]. Of `lowering` what is for training
    /// does not count.
    ///
    /// # Errors
    /// As [`EvalPlan::new`].
    ///
    /// # Panics
    /// As [`EvalPlan::with_probes`].
    pub fn micro_batched_with_probes(
        lowering: Lowering<'_>,
        images: usize,
        nodes: &[NodeId],
        cpu: &Cpu,
    ) -> Result<Self, PlanError> {
        let prepared = EvalPlan::prepare_micro_batched(lowering, images, nodes, cpu)?;
        EvalPlan::build(lowering.graph, prepared, cpu)
    }

    /// Everything for [`EvalPlan::build`] to build [`EvalPlan::micro_batched`].
    pub(crate) fn prepare_micro_batched(
        lowering: Lowering<'_>,
        images: usize,
        probes: &[NodeId],
        cpu: &Cpu,
    ) -> Result<Prepared, PlanError> {
        let (tables, image) = EvalPlan::bytes(lowering, cpu)?;
        let most = (MICRO_BATCH_BYTES.saturating_sub(tables) / image).min(images);
        EvalPlan::prepare_for(lowering, most.clamp(1, lowering.batch), probes, cpu)
    }

    /// Bytes of the indirection buffers, and bytes per image of input and values.
    ///
    /// # Errors
    /// As [`EvalPlan::new`], except for memory.
    pub fn bytes(lowering: Lowering<'_>, cpu: &Cpu) -> Result<(usize, usize), PlanError> {
        let kernels = Kernels::new(lowering.dtype, lowering.batch, cpu);
        let tables = kernels.table_bytes(convolutions(lowering, Mode::Inference)?);
        Ok((tables, image_bytes(lowering)?))
    }

    /// The summary that [`EvalPlan::new`] would have. Only the indirection buffers are allocated.
    ///
    /// # Errors
    /// As [`EvalPlan::new`], except for memory that is not allocated.
    pub fn summarise(
        graph: &Graph,
        dtype: Dtype,
        batch: usize,
        height: usize,
        width: usize,
        cpu: &Cpu,
    ) -> Result<PlanSummary, PlanError> {
        let lowering = Lowering { graph, dtype, batch, height, width, frozen: &[], eval: &[] };
        let Prepared { program, convs, memory } = EvalPlan::prepare(lowering, batch, &[], cpu)?;
        Ok(summary(&program, &convs, memory, cpu))
    }

    /// Images of the largest forward pass.
    pub fn batch(&self) -> usize {
        self.program.batch
    }

    /// [`EvalPlan::new`] with probes: [`EvalPlan::probed`] returns the outputs of `nodes`. Nothing
    /// is fused across them, and their memory is not reused.
    ///
    /// # Errors
    /// As [`EvalPlan::new`].
    ///
    /// # Panics
    /// If a node is the input or the last node.
    pub fn with_probes(
        graph: &Graph,
        dtype: Dtype,
        batch: usize,
        height: usize,
        width: usize,
        nodes: &[NodeId],
        cpu: &Cpu,
    ) -> Result<Self, PlanError> {
        let lowering = Lowering { graph, dtype, batch, height, width, frozen: &[], eval: &[] };
        EvalPlan::build(graph, EvalPlan::prepare_for(lowering, batch, nodes, cpu)?, cpu)
    }

    /// [`EvalPlan::prepare`], if there is memory for indirection buffers and values.
    fn prepare_for(
        lowering: Lowering<'_>,
        images: usize,
        probes: &[NodeId],
        cpu: &Cpu,
    ) -> Result<Prepared, PlanError> {
        let (tables, image) = EvalPlan::bytes(lowering, cpu)?;
        check(tables.saturating_add(images.saturating_mul(image)))?;
        EvalPlan::prepare(lowering, images, probes, cpu)
    }

    /// Prepares a plan for `images` at a time, with the algorithms for `lowering.batch`.
    fn prepare(
        lowering: Lowering<'_>,
        images: usize,
        probes: &[NodeId],
        cpu: &Cpu,
    ) -> Result<Prepared, PlanError> {
        let mut kernels = Kernels::new(lowering.dtype, lowering.batch, cpu);
        let tables = kernels.table_bytes(convolutions(lowering, Mode::Inference)?);
        check(tables)?;
        let program = inference(Lowering { batch: images, ..lowering }, probes)?;
        let convs = kernels.of_layers(&program.layers)?;
        let packed = convs.iter().flatten().map(|conv| conv.packed_len()).sum::<usize>();
        let (word, value) = (size_of::<f32>(), program.dtype.size());
        let memory = PlanMemory {
            images: word * program.images_len(),
            activations: value * program.values_len,
            gradients: 0,
            statistics: 0,
            packed: word * packed,
            scratch: word * most_scratch(&program, &convs, cpu),
            logits: word * program.logits_len(),
            tables,
        };
        Ok(Prepared { program, convs, memory })
    }

    pub(crate) fn build(
        graph: &Graph,
        prepared: Prepared,
        cpu: &Cpu,
    ) -> Result<EvalPlan, PlanError> {
        let Prepared { program, convs, memory } = prepared;
        check(memory.without_tables())?;
        let parameters = InferenceParameters::of_layers(&program, &convs)?;
        Ok(EvalPlan {
            cpu: cpu.clone(),
            graph: graph.clone(),
            is_loaded: false,
            images: InputBuffer::new(&program)?,
            convs,
            parameters,
            values: Storage::zeroed(program.dtype, program.values_len)?,
            scratch: Buffer::zeroed(memory.scratch / size_of::<f32>())?,
            logits: zeros(program.logits_len())?,
            memory,
            program,
        })
    }

    /// The program that the plan runs.
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// Loads the parameters and running statistics of a network: folds batch norms and packs
    /// weights.
    ///
    /// # Panics
    /// If the network has another graph than the plan.
    pub fn load(&mut self, net: &Network) {
        assert!(*net.graph() == self.graph, "a network of another graph");
        self.is_loaded = true;
        for Operation { layer, compute, .. } in &self.program.operations {
            let Some(layer) = *layer else { continue };
            let head = self.program.layers[layer].head;
            self.parameters[layer].load(net, head, compute, self.convs[layer].as_deref());
        }
    }

    /// The logits `[images][classes]` of the first `images` images of an input.
    ///
    /// # Panics
    /// If no network is loaded, `images` is 0 or above the plan's batch, or the input has fewer.
    pub fn forward(&mut self, input: Input<'_>, images: usize) -> &[f32] {
        self.forward_with(input, images, &mut ())
    }

    /// [`EvalPlan::forward`] with a call of [`Hooks::done`] after each operation.
    ///
    /// # Panics
    /// As [`EvalPlan::forward`].
    pub fn forward_with(
        &mut self,
        input: Input<'_>,
        images: usize,
        hooks: &mut dyn Hooks,
    ) -> &[f32] {
        assert!(self.is_loaded, "no network is loaded");
        let batch = self.program.batch;
        assert!((1..=batch).contains(&images), "{images} images in a plan for {batch}");
        let first = match input {
            Input::Features(features) => {
                let head = self.program.head();
                let place = head.input(images);
                self.values.values_mut(place.clone()).set_f32(&features[..place.len()]);
                head.operation
            }
            Input::Bytes(..) | Input::Crops(..) | Input::Nchw(_) => 0,
        };
        for index in first..self.program.operations.len() {
            self.run(index, input, images);
            hooks.done(index);
        }
        &self.logits[..images * self.program.classes]
    }

    /// What enters the head for the first `images` images of an input, `[images][features]`. It does not depend
    /// on the other images.
    ///
    /// # Panics
    /// As [`EvalPlan::forward`].
    pub fn features(&mut self, input: Input<'_>, images: usize) -> Vec<f32> {
        self.forward(input, images);
        self.values.to_f32(self.program.head().input(images))
    }

    fn run(&mut self, index: usize, input: Input<'_>, n: usize) {
        let (cpu, values, scratch) = (&self.cpu, &mut self.values, &mut self.scratch);
        let Operation { layer, compute, .. } = &self.program.operations[index];
        let parameters = layer.map(|layer| &self.parameters[layer]);
        match (compute, parameters) {
            (Compute::Images, _) => self.images.fill(cpu, input, n),
            (
                Compute::Conv { x, residual, relu, y, .. },
                Some(InferenceParameters::Conv { packed, bias }),
            ) => {
                let at = match x {
                    ConvOperand::Images => None,
                    ConvOperand::Value { at, .. } => Some(at),
                };
                let (x, residual, y) = borrow(values, at, residual.as_ref(), y);
                let x = x.unwrap_or_else(|| (&self.images.values[..]).into());
                let (bias, relu) = (Some(&bias[..]), *relu);
                let epilogue = Epilogue { bias, residual, accumulate: false, relu };
                let conv = layer.and_then(|layer| self.convs[layer].as_deref());
                let conv = conv.expect("every convolution is prepared");
                // Inference packs all weights.
                let weights = conv.weights(Direction::Forward, &[], packed);
                conv.forward(n, x, weights, y, epilogue, scratch);
            }
            (
                Compute::BatchNorm { norm, x, residual, activation, y, .. },
                Some(InferenceParameters::Norm([mean, scale, shift])),
            ) => {
                let (x, residual, y) = borrow(values, Some(x), residual.as_ref(), y);
                let x = x.expect("an input was given");
                norm.batch(n).apply(cpu, x, mean, scale, shift, residual, *activation, y);
            }
            (Compute::Parameterless { op, x, residual, relu, y }, _) => {
                let (x, residual, y) = borrow(values, Some(x), residual.as_ref(), y);
                parameterless::forward(
                    op,
                    cpu,
                    n,
                    x.expect("an input was given"),
                    residual,
                    *relu,
                    y,
                );
            }
            (Compute::Linear { linear, x }, Some(InferenceParameters::Linear { weight, bias })) => {
                linear.forward(cpu, n, values.values(x.clone()), weight, bias, &mut self.logits);
            }
            (other, _) => unreachable!("no operation of inference: {other:?}"),
        }
    }

    /// The output of a probed node for an image of the last forward pass: its shape, and values
    /// `[height][width][channels]`.
    ///
    /// # Panics
    /// If the plan has no such probe, or no such image.
    pub fn probed(&self, node: NodeId, image: usize) -> (Shape, Vec<f32>) {
        let probe = self.program.probes.iter().find(|probe| probe.node == node);
        let Probe { place, shape, .. } = probe.expect("the plan has a probe on the node");
        let batch = self.program.batch;
        assert!(image < batch, "image {image} of a plan for {batch}");
        let stored = padded(shape.channels);
        let len = shape.height * shape.width * stored;
        let start = place.start + image * len;
        let values = self.values.to_f32(start..start + len);
        let dense = values.chunks_exact(stored).flat_map(|pixel| &pixel[..shape.channels]);
        (*shape, dense.copied().collect())
    }

    /// The summary of the plan.
    pub fn summary(&self) -> PlanSummary {
        summary(&self.program, &self.convs, self.memory, &self.cpu)
    }
}
