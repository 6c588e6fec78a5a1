//! The plan of a training step.

use std::ops::Range;

use resnet_network::{Network, crops::KeptImages};
use resnet_program::{
    Input,
    lower::{Lowering, training},
    program::{Compute, Kind, Pass, Program},
};

use crate::{
    Gpu, GpuError,
    buffer::{Allocator, View},
    input::Images,
    kept::Kept,
    kernel::Dispatch,
    memory::{Arenas, Memory, conv_of, loaded, norm_of, rounded, stored},
    ops::{conv::Fused, head, norm::Backward, parameterless},
};

/// The dispatches of a program's operations, and the buffers that they work on.
#[derive(Debug)]
pub(crate) struct TrainPlan {
    pub(crate) program: Program,
    steps: Vec<Step>,
    /// Operations that are submitted together.
    submissions: Vec<Range<usize>>,
    memory: Memory,
    images: Images,
    /// The loss by labels and by soft targets.
    losses: [Dispatch; 2],
}

/// What an operation takes.
#[derive(Debug)]
enum Step {
    Images,
    Loss,
    Run(Vec<Dispatch>),
}

/// What the loss reads and writes.
#[derive(Clone, Copy)]
pub(crate) struct LossBuffers<'a> {
    /// Labels, or probabilities as bits.
    pub(crate) targets: &'a wgpu::Buffer,
    pub(crate) class_weights: &'a wgpu::Buffer,
    /// Loss of each image, and 1 where it is right.
    pub(crate) results: &'a wgpu::Buffer,
}

/// What a step needs of its batch: all but its kernels.
pub(crate) struct Allocated {
    program: Program,
    memory: Memory,
    images: Images,
}

/// Lowers a step, and takes its memory, that of an earlier one where it is large enough.
pub(crate) fn allocate(
    gpu: &Gpu,
    network: &Network,
    lowering: Lowering<'_>,
    earlier: Option<Memory>,
) -> Result<Allocated, GpuError> {
    let batch = lowering.batch;
    // No kernel applies a batch norm as it loads.
    let lowering = Lowering { batch: rounded(batch), ..lowering };
    let program = training(lowering, &mut |_| false)?;
    let memory = Memory::new(gpu, network, &program, batch, earlier)?;
    let (image, allocator) = (program.image, Allocator::new(gpu, batch));
    let size = [image.height, image.width, image.channels];
    let images = Images::new(&allocator, size, program.batch)?;
    // Of floats; or of bytes, for the next four batches.
    allocator.check_room(images.bytes())?;
    Ok(Allocated { program, memory, images })
}

impl Allocated {
    pub(crate) fn bytes(&self) -> usize {
        self.memory.bytes + self.images.bytes()
    }
}

/// The settings of the loss of a micro-batch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Loss {
    pub(crate) soft: bool,
    pub(crate) smoothing: f32,
    /// What gradients are divided by.
    pub(crate) divisor: f64,
}

impl TrainPlan {
    /// A plan, in the buffers of an earlier one where they are large enough.
    pub(crate) fn new(
        gpu: &Gpu,
        network: &Network,
        arenas: &Arenas,
        lowering: Lowering<'_>,
        momentum: f64,
        loss: LossBuffers<'_>,
        earlier: Option<TrainPlan>,
    ) -> Result<Self, GpuError> {
        let (earlier, kept) = earlier.map(|plan| (plan.memory, plan.images.kept)).unzip();
        let Allocated { program, memory, mut images } = allocate(gpu, network, lowering, earlier)?;
        images.keep(kept.flatten());
        let buffers = memory.buffers(gpu, network, &program, arenas);
        let packed = |bytes: usize| View::part(buffers.packed, &(0..bytes), 1);
        let mut steps = Vec::with_capacity(program.operations.len());
        for operation in &program.operations {
            let conv = || conv_of(&program, operation, buffers).expect("a convolution");
            let norm = || norm_of(&program, operation, buffers).expect("a batch norm");
            let node = || program.layers[operation.layer.expect("a layer")].head;
            let dispatches = match &operation.compute {
                Compute::Images => {
                    steps.push(Step::Images);
                    continue;
                }
                Compute::Loss => {
                    steps.push(Step::Loss);
                    continue;
                }
                Compute::Update => Vec::new(),
                Compute::Pack => {
                    let backward = operation.pass == Pass::BackwardData;
                    let to = packed(conv().packed_bytes());
                    conv().pack(backward, None, &to)?.into_iter().collect()
                }
                Compute::Conv { x, norm: _, residual: _, relu: _, y } => {
                    let weight = packed(conv().packed_bytes());
                    vec![conv().forward(x, &weight, Fused::default(), y)?]
                }
                Compute::ConvBackwardWeight { x, dy } => conv().backward_weight(x, dy)?.into(),
                Compute::ConvBackwardData { dy, dx } => {
                    vec![conv().backward_data(dy, &packed(conv().packed_bytes()), dx)?]
                }
                Compute::BatchNorm { x, saved, running, residual, activation, y, .. } => {
                    let saved = saved.as_ref().expect("training saves statistics");
                    let rows = buffers.saved(saved);
                    let mut all = norm().rows((!running).then_some(x), &rows, momentum)?;
                    all.push(norm().apply(x, &rows, residual.as_ref(), *activation, y)?);
                    all
                }
                Compute::BatchNormBackward {
                    x, slope, saved, running, dy, d_residual, dx, ..
                } => {
                    let backward = Backward {
                        x,
                        slope,
                        saved,
                        running: *running,
                        dy,
                        d_residual: d_residual.as_ref(),
                        dx: dx.as_ref(),
                    };
                    norm().backward(&backward)?.into()
                }
                Compute::Parameterless { op, x, residual, relu, y } => {
                    vec![parameterless::forward(buffers, op, x, residual.as_ref(), *relu, y)?]
                }
                Compute::ParameterlessBackward { op, x, y, relu, dy, to } => to
                    .iter()
                    .map(|to| parameterless::backward(buffers, op, (x, y, *relu), dy, to))
                    .collect::<Result<_, _>>()?,
                Compute::Linear { linear, x } => vec![head::forward(buffers, node(), linear, x)?],
                Compute::LinearBackward { linear, x, dx } => {
                    head::backward(buffers, node(), linear, x, dx)?.into()
                }
                Compute::BatchNormStatistics { .. } => unreachable!("no batch norm is fused"),
            };
            steps.push(Step::Run(dispatches));
        }
        let LossBuffers { targets, class_weights, results } = loss;
        let loss_of =
            |soft| head::loss(buffers, program.classes, soft, [targets, class_weights, results]);
        let losses = [loss_of(false)?, loss_of(true)?];
        let submissions = submissions(&program, gpu.portions.submission);
        Ok(TrainPlan { program, steps, submissions, memory, images, losses })
    }

    /// Keeps the images that the crops of the next steps are of, in this plan and later ones, where there is memory for
    /// them, for their crops of batches of up to `batch` images, and then for `sent` bytes on their way.
    pub(crate) fn keep(
        &mut self,
        gpu: &Gpu,
        images: &KeptImages<'_>,
        batch: usize,
        sent: usize,
    ) -> Result<(), GpuError> {
        // Where the memory is the machine's, that of a step counts as available before the first.
        Allocator::new(gpu, 0).check(self.memory.bytes + images.pixels.len())?;
        let kept = Kept::new(gpu, images, batch, sent.max(self.images.bytes()))?;
        self.images.keep(Some(kept));
        Ok(())
    }

    /// Submits a step: forward, loss and backward of `n` images, then what `last` adds. The device's clock is read before
    /// the first operation and after each, where `times` has room for it.
    ///
    /// # Panics
    /// If the input has fewer images, or has features and anything before the head trains.
    pub(crate) fn run(
        &mut self,
        gpu: &Gpu,
        input: Input<'_>,
        n: usize,
        (loss, accumulate): (Loss, bool),
        times: Option<&wgpu::QuerySet>,
        last: impl FnOnce(&mut wgpu::CommandEncoder),
    ) -> Result<wgpu::SubmissionIndex, GpuError> {
        let (first, images) = match input {
            Input::Features(features) => {
                assert!(self.program.trains_only_its_head(), "features of layers that train");
                (set_features(gpu, &self.program, &self.memory, features, n), &[] as &[Dispatch])
            }
            Input::Bytes(..) | Input::Crops(..) | Input::Nchw(_) => {
                (0, self.images.write(gpu, input, n, &self.memory.images)?)
            }
        };
        let mut encoder = gpu.device().create_command_encoder(&Default::default());
        for (index, operations) in self.submissions.iter().enumerate() {
            let mut pass = encoder.begin_compute_pass(&Default::default());
            if let (0, Some(times)) = (index, times) {
                pass.write_timestamp(times, 0);
            }
            for operation in operations.clone().filter(|operation| *operation >= first) {
                match &self.steps[operation] {
                    Step::Images => {
                        images.iter().for_each(|one| one.encode(&mut pass, n, false));
                    }
                    Step::Loss => {
                        let mut dispatch = self.losses[usize::from(loss.soft)].clone();
                        dispatch.set_float(0, loss.smoothing);
                        dispatch.set_float(1, (1.0 / loss.divisor) as f32);
                        dispatch.encode(&mut pass, n, false);
                    }
                    Step::Run(dispatches) => {
                        dispatches.iter().for_each(|one| one.encode(&mut pass, n, accumulate));
                    }
                }
                if let Some(times) = times {
                    pass.write_timestamp(times, operation as u32 + 1);
                }
            }
            drop(pass);
            if index + 1 < self.submissions.len() {
                let next = gpu.device().create_command_encoder(&Default::default());
                gpu.queue().submit([std::mem::replace(&mut encoder, next).finish()]);
            }
        }
        last(&mut encoder);
        Ok(gpu.queue().submit([encoder.finish()]))
    }

    /// What enters the head for `n` images, as a step computes it.
    pub(crate) fn features(
        &mut self,
        gpu: &Gpu,
        input: Input<'_>,
        n: usize,
    ) -> Result<Vec<f32>, GpuError> {
        let head = self.program.head();
        let images = self.images.write(gpu, input, n, &self.memory.images)?;
        let mut encoder = gpu.device().create_command_encoder(&Default::default());
        let mut pass = encoder.begin_compute_pass(&Default::default());
        for step in &self.steps[..head.operation] {
            match step {
                Step::Images => images.iter().for_each(|one| one.encode(&mut pass, n, false)),
                Step::Run(dispatches) => {
                    dispatches.iter().for_each(|one| one.encode(&mut pass, n, false));
                }
                Step::Loss => {}
            }
        }
        drop(pass);
        gpu.queue().submit([encoder.finish()]);
        read_features(gpu, &self.program, &self.memory, n)
    }
}

/// Parts of a program that are submitted together.
fn submissions(program: &Program, most: [u64; 2]) -> Vec<Range<usize>> {
    let (mut all, mut start, mut sum) = (Vec::new(), 0, [0, 0]);
    for (index, operation) in program.operations.iter().enumerate() {
        // Kernels of groups are slow.
        let slow = if matches!(operation.kind, Kind::Conv { groups: true, .. }) { 16 } else { 1 };
        sum = [sum[0] + slow * operation.flops, sum[1] + operation.bytes];
        if sum.iter().zip(most).any(|(sum, most)| *sum > most) {
            all.push(start..index + 1);
            (start, sum) = (index + 1, [0, 0]);
        }
    }
    if start < program.operations.len() {
        all.push(start..program.operations.len());
    }
    all
}

/// Writes what enters the head of a program for `n` images. Returns the index of the head's operation.
pub(crate) fn set_features(
    gpu: &Gpu,
    program: &Program,
    memory: &Memory,
    features: &[f32],
    n: usize,
) -> usize {
    let (head, dtype) = (program.head(), program.dtype);
    let place = head.input(n);
    let bytes = stored(dtype, &features[..place.len()]);
    let view = memory.values.view(&place);
    gpu.write(&view.buffer, view.range.start, &bytes);
    head.operation
}

/// Reads what enters the head of a program for `n` images.
pub(crate) fn read_features(
    gpu: &Gpu,
    program: &Program,
    memory: &Memory,
    n: usize,
) -> Result<Vec<f32>, GpuError> {
    let view = memory.values.view(&program.head().input(n));
    Ok(loaded(program.dtype, &gpu.read(&view)?))
}
