//! Inference.

use resnet_kernels::Dtype;
use resnet_network::{
    Network,
    graph::{Graph, NodeId},
};
use resnet_program::{
    Input,
    lower::{Lowering, image_bytes, inference},
    program::{Compute, Program},
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
/// some at once.
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
}

impl GpuEvalPlan {
    /// A plan for up to `batch` images of `height` x `width`. Nothing is fused across the nodes `probes`, whose values
    /// can be read; with probes all images run at once.
    ///
    /// # Errors
    /// If the graph does not fit the images, or the device has too little memory.
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
        let reach = gpu.device().limits().max_storage_buffer_binding_size as usize;
        let reach = reach / largest.unwrap_or(1).max(1) / IMAGES * IMAGES;
        let most = (AT_ONCE / image_bytes(lowering)?.max(1)).min(reach);
        let at_once = if probes.is_empty() { batch.min(most.max(1)) } else { batch };
        let program = inference(Lowering { batch: rounded(at_once), ..lowering }, probes)?;
        let network = Network::zeros(graph.clone());
        let arenas = Arenas::new(gpu, &network, at_once, false)?;
        let memory = Memory::new(gpu, &network, &program, at_once, None)?;
        let (prepare, steps) = dispatches(gpu, &network, &program, &arenas, &memory, at_once)?;
        let image = program.image;
        Ok(GpuEvalPlan {
            gpu: gpu.clone(),
            images: Images::new([image.height, image.width, image.channels], program.batch),
            image_len: image.height * image.width * image.channels,
            logits: Vec::new(),
            batch: [batch, at_once],
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
        for first in (0..images).step_by(at_once) {
            let n = at_once.min(images - first);
            self.run(skip(input, first, self.image_len, self.program.head().features), n, false)?;
            let place = 0..n * self.program.classes;
            let view = View::part(&self.memory.logits, &place, size_of::<f32>());
            logits.extend(self.gpu.read_f32(&view)?);
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

    /// The values of a probed node for the last images, `[images][height][width][channels]`.
    ///
    /// # Errors
    /// If the device was lost.
    ///
    /// # Panics
    /// If the plan has no such probe.
    pub fn probed(&self, node: NodeId, images: usize) -> Result<Vec<f32>, GpuError> {
        let probe = self.program.probes.iter().find(|probe| probe.node == node);
        let probe = probe.expect("the plan has a probe on the node");
        let (dtype, shape) = (self.program.dtype, probe.shape);
        let stored = resnet_kernels::layout::padded(shape.channels);
        let pixels = shape.height * shape.width;
        let start = probe.place.start;
        let place = start..start + images * pixels * stored;
        let view = self.memory.values.view(&place);
        let values = loaded(dtype, &self.gpu.read(&view)?);
        // Without the padding of channels.
        let pixels = values.chunks_exact(stored).map(|pixel| &pixel[..shape.channels]);
        Ok(pixels.flatten().copied().collect())
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
