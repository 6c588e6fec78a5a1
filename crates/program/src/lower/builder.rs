//! Builds a program: what the lowering of training and of inference share.

use resnet_kernels::{
    Activation, Dtype,
    batch_norm::BatchNormShape,
    conv::Mode,
    elementwise::PadShortcut,
    linear::Linear,
    pooling::{AvgPool, GlobalAvgPool, GlobalMaxPool, MaxPool},
};
use resnet_network::graph::{Graph, NodeId, Op};

use super::{
    cost::Costs,
    fusion::{FusionGroup, activation, fusion_groups_around, producer},
    sizes::Sizes,
};
use crate::{
    error::PlanError,
    program::{Compute, FusedLayer, Kind, Operation, Parameterless, Pass, Program, Span},
};

/// A graph, and what to lower it for.
#[derive(Clone, Copy, Debug)]
pub struct Lowering<'a> {
    /// The graph.
    pub graph: &'a Graph,
    /// Storage type of values and gradients.
    pub dtype: Dtype,
    /// Images of the largest batch.
    pub batch: usize,
    /// Rows of an image.
    pub height: usize,
    /// Columns of an image.
    pub width: usize,
    /// Nodes whose parameters are not trained. No gradient is computed that only they need.
    pub frozen: &'a [NodeId],
    /// Batch norms that normalise with their running statistics in training too, and do not move them:
    /// PyTorch's `.eval()`.
    pub eval: &'a [NodeId],
}

/// The program so far.
pub(super) struct ProgramBuilder<'a> {
    pub(super) graph: &'a Graph,
    pub(super) dtype: Dtype,
    pub(super) sizes: Sizes,
    pub(super) groups: Vec<FusionGroup>,
    pub(super) operations: Vec<Operation>,
}

impl<'a> ProgramBuilder<'a> {
    /// An empty program. `fold` folds batch norms into the convolutions before them; the values of
    /// `probes` are stored.
    pub(super) fn new(
        lowering: Lowering<'a>,
        fold: bool,
        probes: &[NodeId],
    ) -> Result<Self, PlanError> {
        let Lowering { graph, dtype, batch, height, width, .. } = lowering;
        let sizes = Sizes::new(graph, batch, height, width)?;
        let groups = fusion_groups_around(graph, fold, probes)?;
        Ok(ProgramBuilder { graph, dtype, sizes, groups, operations: Vec::new() })
    }

    pub(super) fn costs(&self) -> Costs<'_> {
        Costs { graph: self.graph, sizes: &self.sizes, element: self.dtype.size() }
    }

    pub(super) fn op(&self, group: usize) -> Op {
        self.graph.nodes()[self.groups[group].head].op
    }

    /// The group that computes a group's input; none for the images.
    pub(super) fn input(&self, group: usize) -> Option<usize> {
        producer(&self.groups, self.graph.nodes()[self.groups[group].head].inputs[0])
    }

    /// Adds an operation that belongs to no fused layer.
    pub(super) fn add(&mut self, kind: Kind, pass: Pass, compute: Compute, bytes: u64) {
        let (names, flops) = (Vec::new(), 0);
        self.operations.push(Operation { layer: None, names, kind, pass, compute, flops, bytes });
    }

    /// Adds the conversion of the images.
    pub(super) fn add_images(&mut self) {
        self.add(Kind::Input, Pass::Forward, Compute::Images, self.costs().images());
        let images = self.operations.last_mut().expect("just added");
        images.names.push(self.graph.nodes()[Graph::INPUT].name.clone());
    }

    /// Adds the packing of a convolution's weights for a pass.
    pub(super) fn add_pack(&mut self, layer: usize, pass: Pass) {
        let names = vec![self.graph.nodes()[self.groups[layer].head].name.clone()];
        let (kind, compute) = (Kind::Packing, Compute::Pack);
        let layer = Some(layer);
        self.operations.push(Operation { layer, names, kind, pass, compute, flops: 0, bytes: 0 });
    }

    /// Adds a pass of a group: how many products with its weights it takes, and its memory traffic.
    pub(super) fn add_pass(
        &mut self,
        layer: usize,
        pass: Pass,
        compute: Compute,
        products: u64,
        bytes: u64,
    ) {
        let group = &self.groups[layer];
        self.operations.push(Operation {
            layer: Some(layer),
            names: self.names(group),
            kind: Kind::new(self.graph, group.head),
            pass,
            compute,
            flops: products * self.costs().flops(group),
            bytes,
        });
    }

    fn names(&self, group: &FusionGroup) -> Vec<String> {
        let name = |id: NodeId| self.graph.nodes()[id].name.clone();
        group.nodes(self.graph).into_iter().map(name).collect()
    }

    /// A fusion group as a layer of the program.
    pub(super) fn layer(
        &self,
        index: usize,
        mode: Mode,
        value: Option<Span>,
        gradient: Span,
    ) -> FusedLayer {
        let group = &self.groups[index];
        let node = &self.graph.nodes()[group.head];
        let is_conv = matches!(node.op, Op::Conv2d { .. });
        let conv = is_conv.then(|| self.sizes.conv(group.head, node, mode));
        FusedLayer {
            head: group.head,
            names: self.names(group),
            kind: Kind::new(self.graph, group.head),
            output: self.sizes.shapes[group.output],
            conv,
            value,
            gradient,
            parameter_bytes: self.costs().parameters(group.head),
        }
    }

    /// The batch norm of a group, for one image.
    pub(super) fn batch_norm(&self, group: usize) -> BatchNormShape {
        let head = self.groups[group].head;
        BatchNormShape {
            epsilon: self.graph.epsilon().value(),
            image_pixels: self.sizes.pixels(head),
            channels: self.sizes.shapes[head].channels,
        }
    }

    /// The linear layer of a group.
    pub(super) fn linear(&self, group: usize) -> Linear {
        let node = &self.graph.nodes()[self.groups[group].head];
        let inputs = self.sizes.shapes[node.inputs[0]].channels;
        Linear { inputs, outputs: node.channels }
    }

    /// The parameterless operation of a group.
    pub(super) fn parameterless(&self, group: usize) -> Parameterless {
        let id = self.groups[group].head;
        let node = &self.graph.nodes()[id];
        let input = self.sizes.shapes[node.inputs[0]];
        let (channels, height, width) = (input.channels, input.height, input.width);
        match node.op {
            Op::Relu | Op::Add => Parameterless::AddRelu { image_len: self.sizes.image_len(id) },
            Op::Gelu { .. } | Op::Silu => {
                let Some(Activation::Smooth(function)) = activation(node.op) else {
                    unreachable!("{:?} is smooth", node.op)
                };
                Parameterless::Smooth { function, image_len: self.sizes.image_len(id) }
            }
            Op::MaxPool2d { kernel, stride, padding } => {
                Parameterless::MaxPool(MaxPool { channels, height, width, kernel, stride, padding })
            }
            Op::AvgPool2d { kernel } => {
                Parameterless::AvgPool(AvgPool { channels, height, width, kernel })
            }
            Op::GlobalAvgPool => {
                Parameterless::GlobalAvgPool(GlobalAvgPool { channels, pixels: height * width })
            }
            Op::GlobalMaxPool => {
                Parameterless::GlobalMaxPool(GlobalMaxPool { channels, pixels: height * width })
            }
            Op::PadShortcut { stride } => Parameterless::PadShortcut(PadShortcut {
                in_channels: channels,
                out_channels: node.channels,
                height,
                width,
                stride,
            }),
            Op::Input | Op::Conv2d { .. } | Op::BatchNorm2d | Op::Linear => {
                unreachable!("has parameters, or is the input")
            }
        }
    }

    /// The finished program. `[values, gradients, saved]` are the lengths of its buffers.
    pub(super) fn program(
        self,
        layers: Vec<FusedLayer>,
        [values, gradients, saved]: [usize; 3],
    ) -> Program {
        Program {
            layers,
            operations: self.operations,
            batch: self.sizes.batch,
            classes: self.graph.classes(),
            dtype: self.dtype,
            image: self.sizes.image(self.graph),
            values_len: values,
            gradients_len: gradients,
            saved_len: saved,
            probes: Vec::new(),
        }
    }
}
