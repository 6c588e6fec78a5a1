//! Builds the graph of any architecture of the family: a stem, stages of blocks, a head.

use super::{Arch, Block, Family, Shortcut, Stem, StrideAt, sprint};
use crate::graph::{Graph, NodeId, Op};

impl Arch {
    /// The graph for RGB images and `classes` classes.
    ///
    /// # Panics
    /// If [`Arch::depth`] was set to one that no name has, or [`Arch::groups`] to 0.
    pub fn graph(&self, classes: usize) -> Graph {
        self.graph_with(3, classes, self.width())
    }

    /// The graph for images of `in_channels` channels, with `width` channels behind the stem.
    /// Each later stage doubles the width, as in the paper; in [`Family::Sprint`] the widths of the
    /// stages grow in proportion.
    ///
    /// ```
    /// let arch: resnet_network::Arch = "resnet20".parse().unwrap();
    /// let graph = arch.graph_with(1, 10, 8); // grey images, half as wide
    /// assert_eq!(graph.shapes(28, 28).unwrap().last().unwrap().channels, 10);
    /// ```
    ///
    /// # Panics
    /// As [`Arch::graph`].
    pub fn graph_with(&self, in_channels: usize, classes: usize, width: usize) -> Graph {
        match self.family {
            Family::Sprint => sprint::build(self, in_channels, classes, width),
            _ => build(self, in_channels, classes, width),
        }
    }
}

fn build(arch: &Arch, in_channels: usize, classes: usize, width: usize) -> Graph {
    let mut g = Graph::new(in_channels).with_epsilon(arch.epsilon);
    let mut x = stem(&mut g, arch, width);
    if arch.max_pool {
        x = g.max_pool2d("maxpool", x, 3, 2, 1);
    }
    for (stage, &blocks) in arch.stages().0.iter().enumerate() {
        for index in 0..blocks {
            let stride = if stage > 0 && index == 0 { 2 } else { 1 };
            let name = format!("layer{}.{index}.", stage + 1);
            let block = ResidualBlock { arch, name, planes: width << stage, stride };
            x = block.build(&mut g, x);
        }
    }
    if arch.preactivation {
        x = norm_activation(&mut g, arch, "bn", arch.activation.module(), x);
    }
    let pooled = g.global_avg_pool("avgpool", x);
    g.linear(arch.family.head(), pooled, classes);
    g
}

/// The convolutions before the stages. With pre-activation, the first block's batch norm is theirs.
fn stem(g: &mut Graph, arch: &Arch, width: usize) -> NodeId {
    let (kernel, stride) = if arch.family == Family::ImageNet { (7, 2) } else { (3, 1) };
    let mut x = Graph::INPUT;
    if arch.stem == Stem::Single {
        x = g.conv2d("conv1", x, width, kernel, stride, kernel / 2);
    } else {
        // The names of an `nn.Sequential`, as in timm.
        let half = (width / 2).max(1);
        for (index, stride) in [(0, stride), (3, 1)] {
            x = g.conv2d(format!("conv1.{index}"), x, half, 3, stride, 1);
            let (norm, activation) =
                (format!("conv1.{}", index + 1), format!("conv1.{}", index + 2));
            x = norm_activation(g, arch, &norm, &activation, x);
        }
        x = g.conv2d("conv1.6", x, width, 3, 1, 1);
    }
    if arch.preactivation {
        return x;
    }
    let activation = format!("{}1", arch.activation.module());
    norm_activation(g, arch, "bn1", &activation, x)
}

fn norm_activation(g: &mut Graph, arch: &Arch, norm: &str, activation: &str, x: NodeId) -> NodeId {
    let x = g.batch_norm2d(norm, x);
    g.activation(activation, arch.activation, x)
}

/// A block (paper, figure 5): basic (left) or bottleneck (right).
struct ResidualBlock<'a> {
    arch: &'a Arch,
    /// The start of its layers' names.
    name: String,
    planes: usize,
    stride: usize,
}

/// A convolution of a block: output channels, kernel, stride and groups.
type Conv = (usize, usize, usize, usize);

impl ResidualBlock<'_> {
    fn build(&self, g: &mut Graph, x: NodeId) -> NodeId {
        let convs = self.convs();
        let out = convs.last().expect("a block has convolutions").0;
        let changes = self.stride > 1 || g.nodes()[x].channels != out;
        if self.arch.preactivation {
            let active = self.norm_activation(g, 1, x);
            let mut y = active;
            for (index, &conv) in convs.iter().enumerate() {
                if index > 0 {
                    y = self.norm_activation(g, index + 1, y);
                }
                y = self.conv(g, index + 1, y, conv);
            }
            // A shortcut that changes the shape starts behind the first activation.
            let from = if changes { active } else { x };
            return self.add(g, y, from, changes);
        }
        let mut y = x;
        for (index, &conv) in convs.iter().enumerate() {
            y = self.conv(g, index + 1, y, conv);
            y = match index + 1 == convs.len() {
                true => g.batch_norm2d(format!("{}bn{}", self.name, index + 1), y),
                false => self.norm_activation(g, index + 1, y),
            };
        }
        let sum = self.add(g, y, x, changes);
        g.activation(self.activation(convs.len()), self.arch.activation, sum)
    }

    fn convs(&self) -> Vec<Conv> {
        let (planes, stride) = (self.planes, self.stride);
        match self.arch.block() {
            Block::Basic => vec![(planes, 3, stride, 1), (planes, 3, 1, 1)],
            Block::Bottleneck => {
                let (first, second) = match self.arch.stride_at {
                    StrideAt::Conv3x3 => (1, stride),
                    StrideAt::Conv1x1 => (stride, 1),
                };
                let inner = self.arch.inner_width(planes);
                let groups = self.arch.groups;
                vec![(inner, 1, first, 1), (inner, 3, second, groups), (4 * planes, 1, 1, 1)]
            }
        }
    }

    /// Padding keeps the size at stride 1.
    fn conv(
        &self,
        g: &mut Graph,
        index: usize,
        x: NodeId,
        (channels, kernel, stride, groups): Conv,
    ) -> NodeId {
        let name = format!("{}conv{index}", self.name);
        g.grouped_conv2d(name, x, channels, [kernel, stride, kernel / 2], groups)
    }

    /// The name of an activation.
    fn activation(&self, index: usize) -> String {
        format!("{}{}{index}", self.name, self.arch.activation.module())
    }

    fn norm_activation(&self, g: &mut Graph, index: usize, x: NodeId) -> NodeId {
        let norm = format!("{}bn{index}", self.name);
        norm_activation(g, self.arch, &norm, &self.activation(index), x)
    }

    /// Adds the shortcut from `x`, if there is one.
    fn add(&self, g: &mut Graph, y: NodeId, x: NodeId, changes: bool) -> NodeId {
        let shortcut = match self.arch.shortcut {
            _ if !self.arch.residual => return y,
            Shortcut::C => self.projection(g, x, y),
            _ if !changes => x,
            Shortcut::A => {
                let (name, channels) = (format!("{}shortcut", self.name), g.nodes()[y].channels);
                g.push(name, Op::PadShortcut { stride: self.stride }, &[x], channels)
            }
            Shortcut::B | Shortcut::D => self.projection(g, x, y),
        };
        g.add(format!("{}add", self.name), y, shortcut)
    }

    /// A 1x1 convolution to the channels of `y`, and a batch norm unless the next block has it.
    fn projection(&self, g: &mut Graph, mut x: NodeId, y: NodeId) -> NodeId {
        let name = format!("{}{}", self.name, self.arch.family.shortcut());
        let (channels, mut stride, mut index) = (g.nodes()[y].channels, self.stride, 0);
        if self.arch.shortcut == Shortcut::D {
            // timm has the pool as layer 0, an `nn.Identity` where there is nothing to pool.
            if stride > 1 {
                x = g.avg_pool2d(format!("{name}.0"), x, stride);
            }
            (stride, index) = (1, 1);
        }
        let x = g.conv2d(format!("{name}.{index}"), x, channels, 1, stride, 0);
        if self.arch.preactivation {
            return x;
        }
        g.batch_norm2d(format!("{name}.{}", index + 1), x)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(name: &str, depth: usize) -> Graph {
        Arch { depth, ..name.parse().unwrap() }.graph(10)
    }

    #[test]
    #[should_panic(expected = "ImageNet has no network of 19 layers")]
    fn a_depth_without_stages_has_no_graph() {
        graph("resnet18", 19);
    }

    #[test]
    #[should_panic(expected = "Paper has no network of 1 layers")]
    fn a_depth_without_blocks_has_no_graph() {
        graph("resnet20", 1);
    }

    #[test]
    #[should_panic(expected = "Sprint has no network of 0 layers")]
    fn a_depth_without_convolutions_has_no_graph() {
        graph("resnet8-sprint", 0);
    }
}
