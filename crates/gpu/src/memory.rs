//! The buffers of a plan.

use resnet_kernels::{Bf16, Dtype, conv::Source};
use resnet_network::Network;
use resnet_program::program::{Compute, FusedLayer, Operation, Program, Span};

use crate::{
    Gpu, GpuError,
    buffer::Allocator,
    chunks::Chunks,
    ops::{Buffers, TrainingBuffers, conv::Conv, norm::Norm, vectors},
};

/// Images of a batch are rounded up to a multiple of this, so that every activation starts at a multiple of the 256
/// bytes that bindings need: 8 images of 16 channels of 2 bytes.
pub(crate) const IMAGES: usize = 8;

/// The batch that a program is lowered for.
pub(crate) fn rounded(batch: usize) -> usize {
    batch.next_multiple_of(IMAGES)
}

/// The buffers of a plan, each as large as a program needs or larger.
#[derive(Debug)]
pub(crate) struct Memory {
    /// Images, four channels at a time, in f32.
    pub(crate) images: wgpu::Buffer,
    pub(crate) values: Chunks,
    pub(crate) logits: wgpu::Buffer,
    /// The packed weight of one convolution at a time, in training.
    pub(crate) packed: wgpu::Buffer,
    /// Parts of sums.
    pub(crate) parts: wgpu::Buffer,
    /// Gradients of values.
    pub(crate) gradients: Chunks,
    /// Rows of the batch norms.
    pub(crate) saved: wgpu::Buffer,
    /// The gradient sums of one batch norm at a time.
    pub(crate) sums: wgpu::Buffer,
    pub(crate) d_logits: wgpu::Buffer,
    /// Bytes that the program needs of them.
    pub(crate) bytes: usize,
}

/// The parameters and running statistics that a plan reads and writes, and the gradients of the former.
#[derive(Debug)]
pub(crate) struct Arenas {
    pub(crate) parameters: wgpu::Buffer,
    pub(crate) running: wgpu::Buffer,
    /// In training.
    pub(crate) gradients: Option<wgpu::Buffer>,
}

impl Arenas {
    pub(crate) fn new(
        gpu: &Gpu,
        net: &Network,
        batch: usize,
        train: bool,
    ) -> Result<Self, GpuError> {
        let allocator = Allocator::new(gpu, batch);
        let parameters = size_of_val(net.values());
        let running = size_of_val(net.running_values());
        let gradients = train.then(|| allocator.zeros("gradients", parameters));
        Ok(Arenas {
            parameters: allocator.zeros("parameters", parameters)?,
            running: allocator.zeros("running statistics", running)?,
            gradients: gradients.transpose()?,
        })
    }

    /// Takes the values of a network.
    pub(crate) fn write(&self, gpu: &Gpu, net: &Network) {
        gpu.write(&self.parameters, 0, net.values());
        gpu.write(&self.running, 0, net.running_values());
    }

    /// Takes the values of other arenas.
    pub(crate) fn copy_from(&self, gpu: &Gpu, from: &Arenas) {
        let mut encoder = gpu.device().create_command_encoder(&Default::default());
        for (from, to) in [(&from.parameters, &self.parameters), (&from.running, &self.running)] {
            encoder.copy_buffer_to_buffer(from, 0, to, 0, from.size());
        }
        gpu.queue().submit([encoder.finish()]);
    }
}

/// Bytes that the operations of a program share.
#[derive(Clone, Copy, Default)]
struct Shared {
    packed: usize,
    parts: usize,
    sums: usize,
}

impl Shared {
    fn of(program: &Program, buffers: Buffers<'_>) -> Shared {
        let mut most = Shared::default();
        for operation in &program.operations {
            // Inference has a packed weight for each convolution.
            let train = program.gradients_len > 0;
            if let Some(conv) = conv_of(program, operation, buffers).filter(|_| train) {
                most.packed = conv.packed_bytes().max(most.packed);
                most.parts = conv.parts_bytes().max(most.parts);
            }
            if let Some(norm) = norm_of(program, operation, buffers).filter(|_| train) {
                most.parts = norm.parts_bytes().max(most.parts);
                most.sums = (vectors(norm.shape.channels) * 32).max(most.sums);
            }
        }
        most
    }
}

/// The convolution of an operation.
pub(crate) fn conv_of<'a>(
    program: &Program,
    operation: &Operation,
    buffers: Buffers<'a>,
) -> Option<Conv<'a>> {
    let layer = &program.layers[operation.layer?];
    let (shape, source, _) = layer.conv?;
    let of_images = source == Source::Image;
    Some(Conv { buffers, node: layer.head, shape, of_images })
}

/// The batch norm of an operation.
pub(crate) fn norm_of<'a>(
    program: &Program,
    operation: &Operation,
    buffers: Buffers<'a>,
) -> Option<Norm<'a>> {
    let shape = match operation.compute {
        Compute::BatchNorm { norm, .. } | Compute::BatchNormBackward { norm, .. } => norm,
        _ => return None,
    };
    Some(Norm { buffers, node: program.layers[operation.layer?].head, shape })
}

impl Memory {
    /// Buffers for a program, those of `kept` where they are large enough. `images` is the batch as the user knows
    /// it.
    pub(crate) fn new(
        gpu: &Gpu,
        network: &Network,
        program: &Program,
        images: usize,
        kept: Option<Memory>,
    ) -> Result<Memory, GpuError> {
        let allocator = Allocator::new(gpu, images);
        let (value, word, image) = (program.dtype.size(), size_of::<f32>(), program.image);
        let logits = program.batch * program.classes * word;
        let pixels = program.batch * image.height * image.width;
        let image_bytes = pixels * image.channels.div_ceil(4) * 16;
        let places = |of: fn(&FusedLayer) -> Option<Span>| -> Vec<Span> {
            program.layers.iter().filter_map(of).filter(|place| !place.is_empty()).collect()
        };
        let values = places(|layer| layer.value.clone());
        let gradients = places(|layer| Some(layer.gradient.clone()));
        let largest = values.iter().chain(&gradients).map(|place| place.len()).max();
        allocator.check_reach("activations", largest.unwrap_or(0) * value)?;
        let any = allocator.zeros("nothing", 0)?;
        let none = Chunks::one(any.clone(), 1);
        let shared = Shared::of(program, buffers_of(gpu, network, program, (&any, &none)));
        let saved = program.saved_len * word;
        let activations = (program.values_len + program.gradients_len) * value;
        let sums = shared.packed + shared.parts + shared.sums + saved;
        let bytes = activations + image_bytes + logits + sums;
        if kept.is_none() {
            allocator.check(bytes)?;
        } else {
            // Buffers that are dropped are free once the device is done with them.
            gpu.idle()?;
        }
        let mut kept = kept.map(Kept::from).unwrap_or_default();
        let most = gpu.chunk_bytes();
        let mut chunks = |index: usize, label: &str, places: Vec<Span>, len: usize| {
            let kept = kept.chunks[index].take();
            Chunks::new(&allocator, label, places, (len, value), most, kept)
        };
        let (values, gradients) = (
            chunks(0, "activations", values, program.values_len)?,
            chunks(1, "gradients of activations", gradients, program.gradients_len)?,
        );
        let mut buffer = |index: usize, label: &str, bytes: usize| match kept.buffers[index].take()
        {
            Some(buffer) if buffer.size() >= bytes as u64 => Ok(buffer),
            _ => allocator.zeros(label, bytes),
        };
        let train = program.gradients_len > 0;
        Ok(Memory {
            images: buffer(0, "images", image_bytes)?,
            values,
            logits: buffer(1, "logits", logits)?,
            packed: buffer(2, "packed weights", shared.packed)?,
            parts: buffer(3, "parts of sums", shared.parts)?,
            gradients,
            saved: buffer(4, "statistics", saved)?,
            sums: buffer(5, "sums", shared.sums)?,
            d_logits: buffer(6, "gradients of logits", if train { logits } else { 0 })?,
            bytes,
        })
    }

    /// The buffers, as operations take them. Those of training go with gradients of parameters.
    pub(crate) fn buffers<'a>(
        &'a self,
        gpu: &'a Gpu,
        network: &'a Network,
        program: &Program,
        arenas: &'a Arenas,
    ) -> Buffers<'a> {
        let training = arenas.gradients.as_ref().map(|of_parameters| TrainingBuffers {
            gradients: &self.gradients,
            of_parameters,
            saved: &self.saved,
            sums: &self.sums,
            d_logits: &self.d_logits,
        });
        let Program { dtype, batch, .. } = *program;
        Buffers {
            gpu,
            network,
            dtype,
            batch,
            parameters: &arenas.parameters,
            running: &arenas.running,
            images: &self.images,
            values: &self.values,
            logits: &self.logits,
            packed: &self.packed,
            parts: &self.parts,
            training,
        }
    }
}

/// What the loss of a batch reads and writes.
pub(crate) fn targets_and_results(
    allocator: &Allocator<'_>,
    classes: usize,
    batch: usize,
) -> Result<[wgpu::Buffer; 2], GpuError> {
    let word = size_of::<f32>();
    Ok([
        allocator.zeros("targets", batch * classes * word)?,
        allocator.zeros("results", 2 * batch * word)?,
    ])
}

/// The buffers of an earlier plan.
#[derive(Default)]
struct Kept {
    chunks: [Option<Chunks>; 2],
    buffers: [Option<wgpu::Buffer>; 7],
}

impl From<Memory> for Kept {
    fn from(memory: Memory) -> Kept {
        let Memory {
            images, values, logits, packed, parts, gradients, saved, sums, d_logits, ..
        } = memory;
        Kept {
            chunks: [values, gradients].map(Some),
            buffers: [images, logits, packed, parts, saved, sums, d_logits].map(Some),
        }
    }
}

/// Operations on one buffer, whose sizes alone are of interest.
fn buffers_of<'a>(
    gpu: &'a Gpu,
    network: &'a Network,
    program: &Program,
    (any, values): (&'a wgpu::Buffer, &'a Chunks),
) -> Buffers<'a> {
    Buffers {
        gpu,
        network,
        dtype: program.dtype,
        batch: program.batch,
        parameters: any,
        running: any,
        images: any,
        values,
        logits: any,
        packed: any,
        parts: any,
        training: None,
    }
}

/// f32 values as a dtype stores them.
pub(crate) fn stored(dtype: Dtype, values: &[f32]) -> Vec<u8> {
    match dtype {
        Dtype::Fp32 => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        Dtype::Bf16 => values
            .iter()
            .map(|&value| (Bf16::from_f32(value).to_f32().to_bits() >> 16) as u16)
            .flat_map(u16::to_le_bytes)
            .collect(),
    }
}

/// What a dtype stores, as f32 values.
pub(crate) fn loaded(dtype: Dtype, bytes: &[u8]) -> Vec<f32> {
    match dtype {
        Dtype::Fp32 => {
            bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
        }
        Dtype::Bf16 => bytes
            .chunks_exact(2)
            .map(|b| f32::from_bits(u32::from(u16::from_le_bytes([b[0], b[1]])) << 16))
            .collect(),
    }
}
