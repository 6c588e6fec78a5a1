//! The linear layer and the loss.

use resnet_kernels::linear::Linear;
use resnet_network::graph::NodeId;
use resnet_program::program::Span;

use super::{Buffers, vectors};
use crate::{
    GpuError,
    buffer::View,
    kernel::{Dispatch, Element, Kernel, Work},
    workgroup,
};

const LINEAR: &str = include_str!("../shaders/linear.wgsl");
const LOSS: &str = include_str!("../shaders/loss.wgsl");

/// A pass of the linear layer: `threads` threads for an image, or in all.
fn pass(
    buffers: Buffers<'_>,
    node: NodeId,
    linear: &Linear,
    (name, count): (&str, &str),
    logits: &wgpu::Buffer,
    (x, gradients): (&View, Option<&View>),
) -> Kernel<'static> {
    let [weight, bias] = buffers.network.weight_and_bias(node);
    let kernel = Kernel::new("linear", LINEAR)
        .insert("PASS", &format!("if i < {count} {{ {name}(i); }}"))
        .constants(&[("INPUTS", linear.inputs), ("OUTPUTS", linear.outputs)])
        .constant("IN4", vectors(linear.inputs))
        .bind("x", buffers.element(), x)
        .bind("parameters", Element::F32, &buffers.parameters_view())
        .bind("logits", Element::F32, &View::whole(logits))
        .word(0, weight.start)
        .word(1, bias.start);
    match gradients {
        Some(gradients) => kernel.bind("gradients", Element::F32, gradients),
        None => kernel.with("var<private> gradients: array<f32, 1>;\n"),
    }
}

/// The logits.
pub(crate) fn forward(
    buffers: Buffers<'_>,
    node: NodeId,
    linear: &Linear,
    x: &Span,
) -> Result<Dispatch, GpuError> {
    let x = buffers.value(x);
    let name = ("forward", "words.n * OUTPUTS");
    let kernel = pass(buffers, node, linear, name, buffers.logits, (&x, None));
    kernel.build(buffers.gpu, Work::values(linear.outputs))
}

/// The gradients of weight and bias, and of the input.
pub(crate) fn backward(
    buffers: Buffers<'_>,
    node: NodeId,
    linear: &Linear,
    x: &Span,
    dx: &Span,
) -> Result<[Dispatch; 2], GpuError> {
    let (gpu, training) = (buffers.gpu, buffers.training());
    let (value, to) = (buffers.value(x), buffers.gradient(dx));
    let gradients = View::whole(training.of_parameters);
    let name = ("backward_weight", "OUTPUTS * (INPUTS + 1u)");
    let of_weight =
        pass(buffers, node, linear, name, training.d_logits, (&value, Some(&gradients)));
    let name = ("backward", "words.n * IN4");
    let of_input = pass(buffers, node, linear, name, training.d_logits, (&to, None));
    Ok([
        of_weight.build(gpu, Work::fixed(linear.outputs * (linear.inputs + 1)))?,
        of_input.build(gpu, Work::values(vectors(linear.inputs)))?,
    ])
}

/// The loss of each image and the gradient of the logits, for labels or soft targets.
pub(crate) fn loss(
    buffers: Buffers<'_>,
    classes: usize,
    soft: bool,
    [targets, class_weights, results]: [&wgpu::Buffer; 3],
) -> Result<Dispatch, GpuError> {
    let kernel = Kernel::new("loss", LOSS)
        .with(workgroup::SUM)
        .constants(&[("CLASSES", classes), ("SOFT", soft.into())])
        .bind("logits", Element::F32, &View::whole(buffers.logits))
        .bind("targets", Element::U32, &View::whole(targets))
        .bind("class_weights", Element::F32, &View::whole(class_weights))
        .bind("d_logits", Element::F32, &View::whole(buffers.training().d_logits))
        .bind("results", Element::F32, &View::whole(results));
    // A workgroup for an image.
    kernel.build(buffers.gpu, Work::rows(1, 1, 1))
}
