//! Training: forward with batch statistics, loss, and the gradients of all parameters.

use std::sync::Arc;

use resnet_kernels::{
    Buffer, Cpu, Dtype, Storage,
    conv::{Conv, Mode},
    layout::padded,
    loss::cross_entropy,
};
use resnet_network::{Network, graph::Graph};

use super::{
    buffers::Buffers,
    images::Images,
    prepare::{Kernels, Prepared, most_scratch, outline},
    unit::Own,
};
use crate::{
    batch::{Part, StepResult},
    error::PlanError,
    hooks::Hooks,
    lower::{Lowering, convolutions, training},
    memory::{check, zeros},
    outline::{Memory, Outline},
    program::{Compute, Operation, Pass, Program, Unit},
};

/// Forward and backward of up to one batch size.
///
/// Activations and their gradients are stored as the plan's dtype says. Weights, their gradients,
/// statistics, logits and loss are f32, whichever it is, and so are all sums.
#[derive(Debug)]
pub struct TrainPlan {
    cpu: Cpu,
    graph: Graph,
    program: Program,
    /// What the buffers take.
    memory: Memory,
    images: Images,
    /// By unit.
    convs: Vec<Option<Arc<Conv>>>,
    buffers: Buffers,
}

impl TrainPlan {
    /// Plans training steps of up to `batch` images of `height` x `width`.
    ///
    /// # Errors
    /// If the graph does not fit the images, breaks a rule, or needs more memory than there is.
    pub fn new(
        graph: &Graph,
        dtype: Dtype,
        batch: usize,
        height: usize,
        width: usize,
        cpu: &Cpu,
    ) -> Result<Self, PlanError> {
        let lowering = Lowering { graph, dtype, batch, height, width };
        TrainPlan::build(graph, TrainPlan::prepare(lowering, cpu)?, cpu)
    }

    /// What [`TrainPlan::build`] builds a plan of.
    pub(crate) fn prepare(lowering: Lowering<'_>, cpu: &Cpu) -> Result<Prepared, PlanError> {
        let Lowering { dtype, batch, .. } = lowering;
        let mut kernels = Kernels::new(dtype, batch, cpu);
        let tables = kernels.table_bytes(convolutions(lowering, Mode::Train)?);
        check(tables)?;
        let program = training(lowering, &mut |unit: &Unit| kernels.fuses_input_norm(unit))?;
        let convs = kernels.of_units(&program.units)?;
        let packed = convs.iter().flatten().map(|conv| conv.packed_len()).max().unwrap_or(0);
        let (word, value) = (size_of::<f32>(), dtype.size());
        let memory = Memory {
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
        let channels = program.units.iter().map(|unit| padded(unit.output.channels)).max();
        Ok(TrainPlan {
            cpu: cpu.clone(),
            graph: graph.clone(),
            images: Images::new(&program)?,
            buffers: Buffers {
                values: Storage::zeroed(program.dtype, program.values_len)?,
                gradients: Storage::zeroed(program.dtype, program.gradients_len)?,
                saved: Buffer::zeroed(program.saved_len)?,
                counts: vec![0.0; program.units.len()],
                sums: vec![0.0; 2 * channels.unwrap_or(0)],
                packed: Buffer::zeroed(words(memory.packed))?,
                scratch: Buffer::zeroed(words(memory.scratch))?,
                logits: zeros(program.logits_len())?,
                d_logits: zeros(program.logits_len())?,
                part: Vec::new(),
            },
            memory,
            convs,
            program,
        })
    }

    /// What the plan runs.
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// Forward, loss and backward of a part of a batch. The gradients go to `gradients`, an arena
    /// like [`Network::values`], or are added to it (the first time that takes as much memory again);
    /// running statistics learn the part's.
    ///
    /// # Panics
    /// If there are more images than the plan's batch or than the whole batch, or fewer values than
    /// they need; if a label is not a class; if `net` has another graph; or if `gradients` has not a
    /// value for each of its parameters.
    pub fn step(
        &mut self,
        net: &mut Network,
        gradients: &mut [f32],
        accumulate: bool,
        part: Part<'_>,
        hooks: &mut dyn Hooks,
    ) -> StepResult {
        let (n, batch) = (part.targets.len(), self.program.batch);
        assert!(n <= batch, "{n} images in a plan for {batch}");
        assert!(n <= part.of, "{n} images of a batch of {}", part.of);
        assert!(*net.graph() == self.graph, "a network of another graph");
        let (parameters, classes) = (net.values().len(), self.program.classes);
        assert_eq!(gradients.len(), parameters, "gradients of another network");
        let is_class = |label: &u32| (*label as usize) < classes;
        assert!(part.targets.labels.iter().all(is_class), "a label is none of {classes} classes");
        if accumulate {
            self.buffers.part.resize(gradients.len(), 0.0);
        }
        let mut result = StepResult { loss: 0.0, correct: 0 };
        for index in 0..self.program.operations.len() {
            let Operation { unit, compute, pass, .. } = &self.program.operations[index];
            match compute {
                // That is the optimiser's.
                Compute::Update => continue,
                Compute::Images if n > 0 => self.images.fill(&self.cpu, part.input, n),
                Compute::Loss if n > 0 => result = self.loss(part),
                Compute::Images | Compute::Loss => {}
                compute => {
                    let unit = unit.expect("all else is of a unit");
                    let own = Own {
                        cpu: &self.cpu,
                        n,
                        unit,
                        head: self.program.units[unit].head,
                        conv: self.convs[unit].as_deref(),
                        images: &self.images.values,
                    };
                    let b = &mut self.buffers;
                    if *pass == Pass::Forward {
                        own.forward(compute, net, b, hooks);
                    } else if accumulate {
                        let mut part = std::mem::take(&mut b.part);
                        if own.backward(compute, *pass, net, &mut part, b, hooks) {
                            let range = own.parameters(net);
                            let sums = gradients[range.clone()].iter_mut();
                            sums.zip(&part[range]).for_each(|(sum, part)| *sum += part);
                        }
                        b.part = part;
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

    fn loss(&mut self, part: Part<'_>) -> StepResult {
        let (classes, targets) = (self.program.classes, part.targets);
        let used = targets.len() * classes;
        let logits = &self.buffers.logits[..used];
        let d_logits = Some(&mut self.buffers.d_logits[..used]);
        let smoothing = targets.label_smoothing;
        let loss = cross_entropy(logits, targets.labels, classes, smoothing, part.of, d_logits);
        StepResult { loss: loss.mean, correct: loss.correct }
    }

    /// Logits `[batch][classes]` of the last step, of which a smaller batch fills the first rows.
    pub fn logits(&self) -> &[f32] {
        &self.buffers.logits
    }

    /// What the plan consists of.
    pub fn outline(&self) -> Outline {
        outline(&self.program, &self.convs, self.memory, &self.cpu)
    }

    /// What [`TrainPlan::new`] would consist of. Of all that, only the tables are made.
    ///
    /// # Errors
    /// As [`TrainPlan::new`], but for the memory of what is not made.
    pub fn describe(
        graph: &Graph,
        dtype: Dtype,
        batch: usize,
        height: usize,
        width: usize,
        cpu: &Cpu,
    ) -> Result<Outline, PlanError> {
        let lowering = Lowering { graph, dtype, batch, height, width };
        let Prepared { program, convs, memory } = TrainPlan::prepare(lowering, cpu)?;
        Ok(outline(&program, &convs, memory, cpu))
    }
}
