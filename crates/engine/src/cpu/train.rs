//! Training: forward with batch statistics, loss, and the gradients of all parameters.

use std::{ops::Range, sync::Arc};

use resnet_kernels::{
    Buffer, Cpu, Dtype, Storage,
    batch_norm::MOMENTUM,
    conv::{Conv, Mode},
    layout::padded,
    loss::cross_entropy,
};
use resnet_network::{Network, graph::Graph};
use resnet_program::{
    Input, MicroBatch, PlanError, StepResult, Targets,
    lower::{Lowering, convolutions, training},
    memory::{check, zeros},
    program::{Compute, FusedLayer, Operation, Pass, Program},
};

use super::{
    buffers::Buffers,
    input_buffer::InputBuffer,
    layer::LayerContext,
    prepare::{Kernels, Prepared, most_scratch, summary},
};
use crate::{
    hooks::Hooks,
    plan_summary::{PlanMemory, PlanSummary},
};

/// A plan for training steps of up to one batch size: forward, loss and backward.
///
/// Activations and their gradients are stored in the plan's dtype. Weights, their gradients,
/// statistics, logits, loss and all sums are f32.
#[derive(Debug)]
pub struct TrainPlan {
    cpu: Cpu,
    graph: Graph,
    program: Program,
    /// Sizes of the buffers.
    memory: PlanMemory,
    images: InputBuffer,
    /// By layer.
    convs: Vec<Option<Arc<Conv>>>,
    buffers: Buffers,
    /// Weight of a batch in the running statistics (`torch.nn.BatchNorm2d.momentum`), in [0, 1].
    pub norm_momentum: f64,
}

impl TrainPlan {
    /// Plans training steps of up to `batch` images of `height` x `width`.
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
        TrainPlan::build(graph, TrainPlan::prepare(lowering, cpu)?, cpu)
    }

    /// Everything for [`TrainPlan::build`], before the buffers are allocated.
    pub(crate) fn prepare(lowering: Lowering<'_>, cpu: &Cpu) -> Result<Prepared, PlanError> {
        let Lowering { dtype, batch, .. } = lowering;
        let mut kernels = Kernels::new(dtype, batch, cpu);
        let tables = kernels.table_bytes(convolutions(lowering, Mode::Train)?);
        check(tables)?;
        let program =
            training(lowering, &mut |layer: &FusedLayer| kernels.fuses_input_norm(layer))?;
        let convs = kernels.of_layers(&program.layers)?;
        let packed = convs.iter().flatten().map(|conv| conv.packed_len()).max().unwrap_or(0);
        let (word, value) = (size_of::<f32>(), dtype.size());
        let memory = PlanMemory {
            images: word * program.images_len(),
            activations: value * program.values_len,
            gradients: value * program.gradients_len,
            statistics: word * program.saved_len,
            packed: word * packed,
            scratch: word * most_scratch(&program, &convs, cpu),
            logits: 2 * word * program.logits_len(),
            tables,
        };
        Ok(Prepared { program, convs, memory })
    }

    pub(crate) fn build(
        graph: &Graph,
        prepared: Prepared,
        cpu: &Cpu,
    ) -> Result<TrainPlan, PlanError> {
        let Prepared { program, convs, memory } = prepared;
        check(memory.without_tables())?;
        let words = |bytes: usize| bytes / size_of::<f32>();
        let channels = program.layers.iter().map(|layer| padded(layer.output.channels)).max();
        Ok(TrainPlan {
            cpu: cpu.clone(),
            graph: graph.clone(),
            images: InputBuffer::new(&program)?,
            buffers: Buffers {
                values: Storage::zeroed(program.dtype, program.values_len)?,
                gradients: Storage::zeroed(program.dtype, program.gradients_len)?,
                saved: Buffer::zeroed(program.saved_len)?,
                counts: vec![0.0; program.layers.len()],
                sums: vec![0.0; 2 * channels.unwrap_or(0)],
                packed: Buffer::zeroed(words(memory.packed))?,
                scratch: Buffer::zeroed(words(memory.scratch))?,
                logits: zeros(program.logits_len())?,
                d_logits: zeros(program.logits_len())?,
                micro_gradients: Vec::new(),
            },
            memory,
            convs,
            program,
            norm_momentum: MOMENTUM,
        })
    }

    /// Plans steps of the same network and dtype for other images or fewer trained parameters. Buffers
    /// that are large enough are kept: a plan for smaller images takes no new ones.
    ///
    /// # Errors
    /// If there is no memory. The plan can then not be used.
    pub(crate) fn replan(&mut self, prepared: Prepared) -> Result<(), PlanError> {
        check(self.growth(&prepared))?;
        let Prepared { program, convs, memory } = prepared;
        let words = |bytes: usize| bytes / size_of::<f32>();
        let b = &mut self.buffers;
        for (storage, len) in
            [(&mut b.values, program.values_len), (&mut b.gradients, program.gradients_len)]
        {
            if storage.len() < len {
                // The old one goes first.
                *storage = Storage::zeroed(program.dtype, 0)?;
                *storage = Storage::zeroed(program.dtype, len)?;
            }
        }
        for (buffer, len) in [
            (&mut b.saved, program.saved_len),
            (&mut b.packed, words(memory.packed)),
            (&mut b.scratch, words(memory.scratch)),
        ] {
            if buffer.len() < len {
                *buffer = Buffer::zeroed(0)?;
                *buffer = Buffer::zeroed(len)?;
            }
        }
        self.images.replan(&program)?;
        (self.program, self.convs, self.memory) = (program, convs, memory);
        Ok(())
    }

    /// Bytes that the buffers lack for another plan. They may be larger than the present one needs.
    fn growth(&self, prepared: &Prepared) -> usize {
        let (needed, b) = (&prepared.memory, &self.buffers);
        let (word, value) = (size_of::<f32>(), self.program.dtype.size());
        let buffers = [
            (needed.images, word * self.images.values.len()),
            (needed.activations, value * b.values.len()),
            (needed.gradients, value * b.gradients.len()),
            (needed.statistics, word * b.saved.len()),
            (needed.packed, word * b.packed.len()),
            (needed.scratch, word * b.scratch.len()),
        ];
        let lacking = buffers.into_iter().map(|(needed, there)| needed.saturating_sub(there));
        lacking.fold(0, usize::saturating_add)
    }

    /// The program that the plan runs.
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// Forward, loss and backward of a micro-batch. The gradients are written to `gradients`, in
    /// the order of [`Network::values`], or added to them with `accumulate` (the first time
    /// allocates as many values again). The batch statistics update the running statistics.
    ///
    /// # Panics
    /// If the micro-batch has more images than the plan's batch, than the whole batch or than its
    /// input; if a target does not fit the classes; if `net` has another graph; if there is not a gradient
    /// for each of its parameters; or if it has features, and anything before the head trains.
    pub fn step(
        &mut self,
        net: &mut Network,
        gradients: &mut [f32],
        accumulate: bool,
        micro_batch: MicroBatch<'_>,
        hooks: &mut dyn Hooks,
    ) -> StepResult {
        let (n, batch) = (micro_batch.targets.len(), self.program.batch);
        assert!(n <= batch, "{n} images in a plan for {batch}");
        assert!(n <= micro_batch.batch_size, "{n} images of a batch of {}", micro_batch.batch_size);
        assert!(*net.graph() == self.graph, "a network of another graph");
        let (parameters, classes) = (net.values().len(), self.program.classes);
        assert_eq!(gradients.len(), parameters, "gradients of another network");
        assert!(micro_batch.targets.target.fits(classes), "a target is none of {classes} classes");
        let weights = micro_batch.targets.class_weights.map_or(classes, <[f32]>::len);
        assert_eq!(weights, classes, "class weights of other classes");
        if accumulate {
            self.buffers.micro_gradients.resize(gradients.len(), 0.0);
        }
        let first = match micro_batch.input {
            Input::Features(features) => self.set_features(features, n),
            Input::Bytes(..) | Input::Crops(..) | Input::Nchw(_) => 0,
        };
        let operations = first..self.program.operations.len();
        self.run(operations, net, gradients, accumulate, micro_batch, hooks)
    }

    /// What enters the head for some images, `[images][features]`, as a step computes it. If the batch norms
    /// use the running statistics, and in fp32, it does not depend on the other images of the batch.
    ///
    /// # Panics
    /// As [`TrainPlan::step`].
    pub fn features(&mut self, net: &mut Network, input: Input<'_>, images: usize) -> Vec<f32> {
        assert!(images <= self.program.batch, "{images} images in a plan for fewer");
        assert!(*net.graph() == self.graph, "a network of another graph");
        let (head, labels) = (self.program.head(), vec![0; images]);
        let all = MicroBatch::whole(input, Targets::labels(&labels, 0.0));
        self.run(0..head.operation, net, &mut [], false, all, &mut ());
        self.buffers.values.to_f32(head.input(images))
    }

    /// Takes the input of the head, whose operation it returns.
    fn set_features(&mut self, features: &[f32], images: usize) -> usize {
        assert!(self.program.trains_only_its_head(), "features of layers that train");
        let head = self.program.head();
        let place = head.input(images);
        self.buffers.values.values_mut(place.clone()).set_f32(&features[..place.len()]);
        head.operation
    }

    /// Runs some of the operations.
    fn run(
        &mut self,
        operations: Range<usize>,
        net: &mut Network,
        gradients: &mut [f32],
        accumulate: bool,
        micro_batch: MicroBatch<'_>,
        hooks: &mut dyn Hooks,
    ) -> StepResult {
        let n = micro_batch.targets.len();
        let mut result = StepResult { loss: 0.0, correct: 0 };
        for index in operations {
            let Operation { layer, compute, pass, .. } = &self.program.operations[index];
            match compute {
                // The optimiser does the update.
                Compute::Update => continue,
                Compute::Images if n > 0 => self.images.fill(&self.cpu, micro_batch.input, n),
                Compute::Loss if n > 0 => result = self.loss(micro_batch),
                Compute::Images | Compute::Loss => {}
                compute => {
                    let layer = layer.expect("every other operation belongs to a layer");
                    let own = LayerContext {
                        cpu: &self.cpu,
                        n,
                        layer,
                        head: self.program.layers[layer].head,
                        conv: self.convs[layer].as_deref(),
                        images: &self.images.values,
                        norm_momentum: self.norm_momentum,
                    };
                    let b = &mut self.buffers;
                    if *pass == Pass::Forward {
                        own.forward(compute, net, b, hooks);
                    } else if accumulate {
                        let mut part = std::mem::take(&mut b.micro_gradients);
                        if own.backward(compute, *pass, net, &mut part, b, hooks) {
                            let range = own.parameters(net);
                            let sums = gradients[range.clone()].iter_mut();
                            sums.zip(&part[range]).for_each(|(sum, part)| *sum += part);
                        }
                        b.micro_gradients = part;
                    } else {
                        own.backward(compute, *pass, net, gradients, b, hooks);
                    }
                    let last = matches!(
                        compute,
                        Compute::ConvBackwardWeight { .. }
                            | Compute::BatchNormBackward { .. }
                            | Compute::LinearBackward { .. }
                    );
                    if last {
                        let range = own.parameters(net);
                        hooks.gradients(range.clone(), &mut gradients[range]);
                    }
                }
            }
            hooks.done(index);
        }
        result
    }

    fn loss(&mut self, micro_batch: MicroBatch<'_>) -> StepResult {
        let (classes, targets) = (self.program.classes, micro_batch.targets);
        let used = targets.len() * classes;
        let logits = &self.buffers.logits[..used];
        let d_logits = Some(&mut self.buffers.d_logits[..used]);
        let loss = cross_entropy(
            logits,
            targets.target,
            classes,
            targets.label_smoothing,
            targets.class_weights,
            micro_batch.divisor(),
            d_logits,
        );
        StepResult { loss: loss.mean, correct: loss.correct }
    }

    /// Logits `[batch][classes]` of the last step. A smaller batch fills the first rows.
    pub fn logits(&self) -> &[f32] {
        &self.buffers.logits
    }

    /// The summary of the plan.
    pub fn summary(&self) -> PlanSummary {
        summary(&self.program, &self.convs, self.memory, &self.cpu)
    }

    /// The summary that [`TrainPlan::new`] would have. Only the indirection buffers are allocated.
    ///
    /// # Errors
    /// As [`TrainPlan::new`], except for memory that is not allocated.
    pub fn summarise(
        graph: &Graph,
        dtype: Dtype,
        batch: usize,
        height: usize,
        width: usize,
        cpu: &Cpu,
    ) -> Result<PlanSummary, PlanError> {
        let lowering = Lowering { graph, dtype, batch, height, width, frozen: &[], eval: &[] };
        let Prepared { program, convs, memory } = TrainPlan::prepare(lowering, cpu)?;
        Ok(summary(&program, &convs, memory, cpu))
    }
}

#[cfg(test)]
mod tests {
    use resnet_network::Arch;

    use super::*;

    #[test]
    fn images_of_an_earlier_size_need_no_more_memory() {
        let cpu = Cpu::new(2).unwrap();
        let graph = "resnet8".parse::<Arch>().unwrap().graph(10);
        for dtype in Dtype::ALL {
            let prepare = |side: usize| {
                let size = Lowering {
                    graph: &graph,
                    dtype,
                    batch: 4,
                    height: side,
                    width: side,
                    frozen: &[],
                    eval: &[],
                };
                TrainPlan::prepare(size, &cpu).unwrap()
            };
            let mut plan = TrainPlan::build(&graph, prepare(32), &cpu).unwrap();
            plan.replan(prepare(16)).unwrap();
            assert_eq!(plan.growth(&prepare(32)), 0, "{dtype}");
            let larger = prepare(48);
            let growth = plan.growth(&larger);
            assert!(growth > 0 && growth < larger.memory.without_tables(), "{dtype}: {growth}");
        }
    }
}
