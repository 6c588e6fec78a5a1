//! Inference.

use resnet_kernels::Dtype;
use resnet_network::{
    Network,
    graph::{Graph, NodeId},
};
use resnet_program::{
    Input,
    lower::{Lowering, image_bytes, inference},
    program::{Compute, Probe, Program},
};

use crate::{
    Gpu, GpuError,
    buffer::{Allocator, View},
    input::Images,
    kernel::Dispatch,
    memory::{Arenas, IMAGES, Memory, conv_of, loaded, norm_of, rounded},
    ops::{
        conv::{Conv, Fused},
        head,
        norm::Norm,
        parameterless,
    },
    train::{read_features, set_features},
};

/// Memory for the images that run at once.
const AT_ONCE: usize = 1 << 29;

/// A plan for inference with running statistics (PyTorch's `net.eval()`), on a device. It runs up to `batch` images,
/// some at once: as many as there is memory for. Results do not depend on it.
#[derive(Debug)]
pub struct GpuEvalPlan {
    gpu: Gpu,
    program: Program,
    /// Parameters and running statistics of the network that is loaded.
    arenas: Arenas,
    /// Folds batch norms and packs weights.
    prepare: Vec<Dispatch>,
    /// The dispatch of each operation; none for the images.
    steps: Vec<Option<Dispatch>>,
    memory: Memory,
    images: Images,
    /// Images at most, and at once.
    batch: [usize; 2],
    /// Values of an image.
    image_len: usize,
    logits: Vec<f32>,
    /// The values of each probe for the last images.
    probed: Vec<Vec<f32>>,
}

impl GpuEvalPlan {
    /// A plan for up to `batch` images of `height` x `width`. Nothing is fused across the nodes `probes`, whose values
    /// can be read.
    ///
    /// # Errors
    /// If the graph does not fit the images, or the device has too little memory for a few of them.
    pub fn new(
        gpu: &Gpu,
        graph: &Graph,
        dtype: Dtype,
        batch: usize,
        [height, width]: [usize; 2],
        probes: &[NodeId],
    ) -> Result<Self, GpuError> {
        let lowering = Lowering { graph, dtype, batch, height, width, frozen: &[], eval: &[] };
        // As many as fit, and as kernels reach.
        let one = inference(Lowering { batch: rounded(1), ..lowering }, probes)?;
        let places = one.layers.iter().filter_map(|layer| layer.value.as_ref());
        let largest = places.map(|place| place.len() / one.batch * dtype.size()).max();
        let reach = gpu.reach() as usize / largest.unwrap_or(1).max(1) / IMAGES * IMAGES;
        let most = (AT_ONCE / image_bytes(lowering)?.max(1)).min(reach);
        let wanted = batch.min(most.max(1));
        let mut at_once = wanted;
        loop {
            match GpuEvalPlan::of(gpu, lowering, at_once, probes) {
                // Fewer than that take as much.
                Err(GpuError::Memory { .. }) if at_once > IMAGES => {
                    at_once = rounded(at_once / 2);
                }
                Err(GpuError::Memory { device, reason, .. }) => {
                    return Err(GpuError::Memory { device, batch: 1, reason, fits: Some(0) });
                }
                Ok(plan) if at_once < wanted => {
                    gpu.note(&format!(
                        "{} has memory for {at_once} images at once, not for {wanted}: it computes {at_once} at a time, \
                         with the same results",
                        gpu.info().name
                    ));
                    return Ok(plan);
                }
                made => return made,
            }
        }
    }

    /// A plan for the images of a lowering, `at_once` of them at once.
    fn of(
        gpu: &Gpu,
        lowering: Lowering<'_>,
        at_once: usize,
        probes: &[NodeId],
    ) -> Result<Self, GpuError> {
        let program = inference(Lowering { batch: rounded(at_once), ..lowering }, probes)?;
        let network = Network::zeros(lowering.graph.clone());
        let arenas = Arenas::new(gpu, &network, at_once, false)?;
        let memory = Memory::new(gpu, &network, &program, at_once, None)?;
        let (prepare, steps) = dispatches(gpu, &network, &program, &arenas, &memory, at_once)?;
        let (image, allocator) = (program.image, Allocator::new(gpu, at_once));
        let size = [image.height, image.width, image.channels];
        let images = Images::new(&allocator, size, program.batch)?;
        allocator.check_room(images.bytes().max(size_of_val(network.values())))?;
        Ok(GpuEvalPlan {
            gpu: gpu.clone(),
            image_len: size.iter().product(),
            images,
            logits: Vec::new(),
            probed: vec![Vec::new(); program.probes.len()],
            batch: [lowering.batch, at_once],
            program,
            arenas,
            prepare,
            steps,
            memory,
        })
    }

    /// Loads a network of the plan's graph.
    ///
    /// # Errors
    /// If the device was lost.
    pub fn load(&mut self, network: &Network) -> Result<(), GpuError> {
        self.arenas.write(&self.gpu, network);
        self.prepare()
    }

    /// Loads what other arenas hold.
    pub(crate) fn load_from(&mut self, arenas: &Arenas) -> Result<(), GpuError> {
        self.arenas.copy_from(&self.gpu, arenas);
        self.prepare()
    }

    fn prepare(&self) -> Result<(), GpuError> {
        let mut encoder = self.gpu.device().create_command_encoder(&Default::default());
        let mut pass = encoder.begin_compute_pass(&Default::default());
        self.prepare.iter().for_each(|one| one.encode(&mut pass, 1, false));
        drop(pass);
        self.gpu.queue().submit([encoder.finish()]);
        self.gpu.check()
    }

    /// The logits `[images][classes]` of the first images of an input.
    ///
    /// # Errors
    /// If the device was lost.
    ///
    /// # Panics
    /// If `images` is 0 or above the plan's batch, or the input has fewer.
    pub fn forward(&mut self, input: Input<'_>, images: usize) -> Result<&[f32], GpuError> {
        let [batch, at_once] = self.batch;
        assert!((1..=batch).contains(&images), "{images} images in a plan for {batch}");
        let mut logits = std::mem::take(&mut self.logits);
        logits.clear();
        self.probed.iter_mut().for_each(Vec::clear);
        for first in (0..images).step_by(at_once) {
            let n = at_once.min(images - first);
            self.run(skip(input, first, self.image_len, self.program.head().features), n, false)?;
            let place = 0..n * self.program.classes;
            let view = View::part(&self.memory.logits, &place, size_of::<f32>());
            logits.extend(self.gpu.read_f32(&view)?);
            for (probe, probed) in self.program.probes.iter().zip(&mut self.probed) {
                probed.extend(read_probe(&self.gpu, &self.program, &self.memory, probe, n)?);
            }
        }
        self.logits = logits;
        Ok(&self.logits)
    }

    /// What enters the head for the first images of an input, `[images][features]`.
    ///
    /// # Errors
    /// If the device was lost.
    pub fn features(&mut self, input: Input<'_>, images: usize) -> Result<Vec<f32>, GpuError> {
        let at_once = self.batch[1];
        let mut features = Vec::new();
        for first in (0..images).step_by(at_once) {
            let n = at_once.min(images - first);
            self.run(skip(input, first, self.image_len, 0), n, true)?;
            features.extend(read_features(&self.gpu, &self.program, &self.memory, n)?);
        }
        Ok(features)
    }

    /// The values of a probed node for the images of the last forward pass, `[images][height][width][channels]`.
    ///
    /// # Panics
    /// If the plan has no such probe.
    pub fn probed(&self, node: NodeId) -> &[f32] {
        let index = self.program.probes.iter().position(|probe| probe.node == node);
        &self.probed[index.expect("the plan has a probe on the node")]
    }

    /// Runs `n` images, up to the head if `only_features`.
    fn run(&mut self, input: Input<'_>, n: usize, only_features: bool) -> Result<(), GpuError> {
        let (gpu, head) = (&self.gpu, self.program.head().operation);
        let (first, images) = match input {
            Input::Features(features) => {
                (set_features(gpu, &self.program, &self.memory, features, n), &[] as &[Dispatch])
            }
            Input::Bytes(..) | Input::Crops(..) | Input::Nchw(_) => {
                (0, self.images.write(gpu, input, n, &self.memory.images)?)
            }
        };
        let end = if only_features { head } else { self.steps.len() };
        let mut encoder = gpu.device().create_command_encoder(&Default::default());
        let mut pass = encoder.begin_compute_pass(&Default::default());
        for step in &self.steps[first..end] {
            let dispatches = step.as_ref().map_or(images, std::slice::from_ref);
            dispatches.iter().for_each(|one| one.encode(&mut pass, n, false));
        }
        drop(pass);
        gpu.queue().submit([encoder.finish()]);
        gpu.check()
    }
}

/// Reads the values of a probe for `n` images, without the padding of channels.
fn read_probe(
    gpu: &Gpu,
    program: &Program,
    memory: &Memory,
    probe: &Probe,
    n: usize,
) -> Result<Vec<f32>, GpuError> {
    let (shape, start) = (probe.shape, probe.place.start);
    let stored = resnet_kernels::layout::padded(shape.channels);
    let view = memory.values.view(&(start..start + n * shape.height * shape.width * stored));
    let values = loaded(program.dtype, &gpu.read(&view)?);
    let pixels = values.chunks_exact(stored).map(|pixel| &pixel[..shape.channels]);
    Ok(pixels.flatten().copied().collect())
}

/// The input without its first images.
fn skip(input: Input<'_>, images: usize, image_len: usize, features: usize) -> Input<'_> {
    match input {
        Input::Features(_) => input.skip(images * features),
        Input::Bytes(..) | Input::Crops(..) | Input::Nchw(_) => input.skip(images * image_len),
    }
}

/// What prepares weights, and the dispatch of each operation.
fn dispatches(
    gpu: &Gpu,
    network: &Network,
    program: &Program,
    arenas: &Arenas,
    memory: &Memory,
    batch: usize,
) -> Result<(Vec<Dispatch>, Vec<Option<Dispatch>>), GpuError> {
    let buffers = memory.buffers(gpu, network, program, arenas);
    let allocator = Allocator::new(gpu, batch);
    let (mut prepare, mut steps) = (Vec::new(), Vec::with_capacity(program.operations.len()));
    let rows_of = |norm: Norm<'_>, prepare: &mut Vec<Dispatch>| -> Result<View, GpuError> {
        let rows = View::whole(&allocator.zeros("rows of batch norms", norm.rows_bytes())?);
        prepare.extend(norm.rows(None, &rows, 0.0)?);
        Ok(rows)
    };
    for operation in &program.operations {
        let node = operation.layer.map(|layer| program.layers[layer].head);
        let dispatch = match &operation.compute {
            Compute::Images => None,
            Compute::Conv { x, norm, residual, relu, y } => {
                let conv: Conv<'_> = conv_of(program, operation, buffers).expect("a convolution");
                let shape = |channels| resnet_kernels::batch_norm::BatchNormShape {
                    image_pixels: conv.shape.out_pixels(),
                    channels,
                    epsilon: network.graph().epsilon().value(),
                };
                let rows = norm
                    .map(|node| {
                        let shape = shape(conv.shape.out_channels);
                        rows_of(Norm { buffers, node, shape }, &mut prepare)
                    })
                    .transpose()?;
                let packed = allocator.zeros("packed weights", conv.packed_bytes())?;
                let packed = View::whole(&packed);
                prepare.extend(conv.pack(false, rows.as_ref(), &packed)?);
                let fused = Fused { norm: rows.as_ref(), residual: residual.as_ref(), relu: *relu };
                Some(conv.forward(x, &packed, fused, y)?)
            }
            Compute::BatchNorm { x, residual, activation, y, .. } => {
                let norm = norm_of(program, operation, buffers).expect("a batch norm");
                let rows = rows_of(norm, &mut prepare)?;
                Some(norm.apply(x, &rows, residual.as_ref(), *activation, y)?)
            }
            Compute::Parameterless { op, x, residual, relu, y } => {
                Some(parameterless::forward(buffers, op, x, residual.as_ref(), *relu, y)?)
            }
            Compute::Linear { linear, x } => {
                Some(head::forward(buffers, node.expect("a layer"), linear, x)?)
            }
            other => unreachable!("no operation of inference: {other:?}"),
        };
        steps.push(dispatch);
    }
    Ok((prepare, steps))
}
