//! The dispatches of each operation of a program.

pub(crate) mod conv;
pub(crate) mod head;
pub(crate) mod norm;
pub(crate) mod parameterless;
mod tile;

use resnet_kernels::{Activation, Dtype, Smooth};
use resnet_network::Network;
use resnet_program::program::{Sink, Span};

use crate::{Gpu, buffer::View, chunks::Chunks, kernel::Element};

/// Vectors of four that hold so many channels: those of an activation.
pub(crate) fn vectors(channels: usize) -> usize {
    resnet_kernels::layout::padded(channels) / 4
}

/// The text of activations and slopes.
pub(crate) const ACTIVATIONS: &str = include_str!("../shaders/activations.wgsl");

/// The number of an activation in [`ACTIVATIONS`].
pub(crate) fn activation(function: Option<Activation>) -> usize {
    match function {
        None => 0,
        Some(Activation::Relu) => 1,
        Some(Activation::Smooth(Smooth::Gelu)) => 2,
        Some(Activation::Smooth(Smooth::GeluTanh)) => 3,
        Some(Activation::Smooth(Smooth::Silu)) => 4,
    }
}

/// The buffers that operations work on.
#[derive(Clone, Copy)]
pub(crate) struct Buffers<'a> {
    pub(crate) gpu: &'a Gpu,
    /// Names the places of parameters; its values are not read.
    pub(crate) network: &'a Network,
    pub(crate) dtype: Dtype,
    /// Images of the largest batch.
    pub(crate) batch: usize,
    pub(crate) parameters: &'a wgpu::Buffer,
    pub(crate) running: &'a wgpu::Buffer,
    /// Images, four channels at a time, in f32.
    pub(crate) images: &'a wgpu::Buffer,
    pub(crate) values: &'a Chunks,
    pub(crate) logits: &'a wgpu::Buffer,
    /// The packed weight of one convolution at a time, in training.
    pub(crate) packed: &'a wgpu::Buffer,
    /// Parts of sums.
    pub(crate) parts: &'a wgpu::Buffer,
    /// What training has in addition.
    pub(crate) training: Option<TrainingBuffers<'a>>,
}

/// The buffers of training.
#[derive(Clone, Copy)]
pub(crate) struct TrainingBuffers<'a> {
    /// Gradients of values.
    pub(crate) gradients: &'a Chunks,
    /// Gradients of parameters.
    pub(crate) of_parameters: &'a wgpu::Buffer,
    /// Rows of the batch norms.
    pub(crate) saved: &'a wgpu::Buffer,
    /// The gradient sums of one batch norm at a time.
    pub(crate) sums: &'a wgpu::Buffer,
    pub(crate) d_logits: &'a wgpu::Buffer,
}

impl<'a> Buffers<'a> {
    /// The element of activations.
    pub(crate) fn element(&self) -> Element {
        Element::Values(self.dtype)
    }

    pub(crate) fn value(&self, at: &Span) -> View {
        self.values.view(at)
    }

    pub(crate) fn training(&self) -> TrainingBuffers<'a> {
        self.training.expect("an operation of training")
    }

    pub(crate) fn gradient(&self, at: &Span) -> View {
        self.training().gradients.view(at)
    }

    pub(crate) fn saved(&self, at: &Span) -> View {
        View::part(self.training().saved, at, size_of::<f32>())
    }

    pub(crate) fn parameters_view(&self) -> View {
        View::whole(self.parameters)
    }
}

/// How a gradient is stored: 0 not at all, 1 over what was there, 2 added to it.
pub(crate) fn store(sink: Option<&Sink>) -> usize {
    sink.map_or(0, |sink| if sink.accumulate { 2 } else { 1 })
}

/// Parts of a sum over so many values of a batch, if `tiles` workgroups do a part: enough for a large device, and
/// never by what the device is.
pub(crate) fn parts(values: usize, tiles: usize, least: usize) -> usize {
    512_usize.div_ceil(tiles).min(values.div_ceil(least)).clamp(1, 128)
}
