//! Builds the graph of any architecture of the family: a stem, stages of blocks, a head.

use super::{Arch, Block, Family, StrideAt};
use crate::graph::{Graph, NodeId, Op};

/// How a block's shortcut adapts to a change of shape.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shortcut {
    /// 1x1 convolution and batch norm under this name (option B).
    Projection(&'static str),
    /// Subsampling and zero channels (option A).
    Pad,
    /// No shortcut: a plain net.
    Absent,
}

impl Arch {
    /// The graph for RGB images and `classes` classes.
    pub fn graph(&self, classes: usize) -> Graph {
        self.graph_with(3, classes, self.width())
    }

    /// The graph for images of `in_channels` channels, with `width` channels in the first stage.
    /// Each later stage doubles the width, as in the paper.
    ///
    /// ```
    /// let arch: resnet_network::Arch = "resnet20".parse().unwrap();
    /// let graph = arch.graph_with(1, 10, 8); // grey images, half as wide
    /// assert_eq!(graph.shapes(28, 28).unwrap().last().unwrap().channels, 10);
    /// ```
    pub fn graph_with(&self, in_channels: usize, classes: usize, width: usize) -> Graph {
        build(self, in_channels, classes, width)
    }
}

fn build(arch: &Arch, in_channels: usize, classes: usize, width: usize) -> Graph {
    let (stages, block) = arch.stages();
    let shortcut = match (arch.residual, arch.family) {
        (false, _) => Shortcut::Absent,
        (true, Family::Paper) => Shortcut::Pad,
        (true, family) => Shortcut::Projection(family.shortcut()),
    };
    let mut g = Graph::new(in_channels).with_epsilon(arch.epsilon);
    let (kernel, stride) = if arch.family == Family::ImageNet { (7, 2) } else { (3, 1) };
    let stem = Conv { channels: width, kernel, stride };
    let mut x = conv_bn_relu(&mut g, "", 1, Graph::INPUT, stem);
    if arch.max_pool {
        x = g.max_pool2d("maxpool", x, 3, 2, 1);
    }
    for (stage, &blocks) in stages.iter().enumerate() {
        let planes = width << stage;
        for index in 0..blocks {
            let stride = if stage > 0 && index == 0 { 2 } else { 1 };
            let prefix = format!("layer{}.{index}.", stage + 1);
            x = residual_block(
                &mut g,
                &prefix,
                (block, arch.stride_at),
                shortcut,
                x,
                planes,
                stride,
            );
        }
    }
    let pooled = g.global_avg_pool("avgpool", x);
    g.linear(arch.family.head(), pooled, classes);
    g
}

/// A convolution of the family: padding keeps the size at stride 1.
#[derive(Clone, Copy)]
struct Conv {
    channels: usize,
    kernel: usize,
    stride: usize,
}

fn conv_bn(g: &mut Graph, prefix: &str, i: usize, x: NodeId, c: Conv) -> NodeId {
    let y = g.conv2d(format!("{prefix}conv{i}"), x, c.channels, c.kernel, c.stride, c.kernel / 2);
    g.batch_norm2d(format!("{prefix}bn{i}"), y)
}

fn conv_bn_relu(g: &mut Graph, prefix: &str, i: usize, x: NodeId, c: Conv) -> NodeId {
    let y = conv_bn(g, prefix, i, x, c);
    g.relu(format!("{prefix}relu{i}"), y)
}

/// Paper, figure 5: left (basic) and right (bottleneck).
fn residual_block(
    g: &mut Graph,
    prefix: &str,
    (block, stride_at): (Block, StrideAt),
    shortcut: Shortcut,
    x: NodeId,
    planes: usize,
    stride: usize,
) -> NodeId {
    let c = |channels, kernel, stride| Conv { channels, kernel, stride };
    let (y, last) = match block {
        Block::Basic => {
            let y = conv_bn_relu(g, prefix, 1, x, c(planes, 3, stride));
            (conv_bn(g, prefix, 2, y, c(planes, 3, 1)), 2)
        }
        Block::Bottleneck => {
            let (first, second) = match stride_at {
                StrideAt::Conv3x3 => (1, stride),
                StrideAt::Conv1x1 => (stride, 1),
            };
            let y = conv_bn_relu(g, prefix, 1, x, c(planes, 1, first));
            let y = conv_bn_relu(g, prefix, 2, y, c(planes, 3, second));
            (conv_bn(g, prefix, 3, y, c(4 * planes, 1, 1)), 3)
        }
    };
    let channels = g.nodes()[y].channels;
    let same_shape = stride == 1 && g.nodes()[x].channels == channels;
    let out = match shortcut {
        Shortcut::Absent => y,
        _ if same_shape => g.add(format!("{prefix}add"), y, x),
        Shortcut::Projection(name) => {
            let s = g.conv2d(format!("{prefix}{name}.0"), x, channels, 1, stride, 0);
            let s = g.batch_norm2d(format!("{prefix}{name}.1"), s);
            g.add(format!("{prefix}add"), y, s)
        }
        Shortcut::Pad => {
            let name = format!("{prefix}shortcut");
            let s = g.push(name, Op::PadShortcut { stride }, &[x], channels);
            g.add(format!("{prefix}add"), y, s)
        }
    };
    g.relu(format!("{prefix}relu{last}"), out)
}
