//! Shape inference, and the rules that a graph must keep.

use super::{Graph, GraphError, Node, NodeId, Op, Shape};

impl Graph {
    /// The output shape of every node for images of `height` x `width`.
    ///
    /// # Errors
    /// If a window does not fit, the shapes of an addition differ, a rule is broken (a linear layer
    /// needs a 1x1 image, and so on), or a number of values, weights or products is above 2^44. So
    /// sums and products of these numbers do not overflow.
    pub fn shapes(&self, height: usize, width: usize) -> Result<Vec<Shape>, GraphError> {
        let mut shapes: Vec<Shape> = Vec::with_capacity(self.nodes().len());
        for node in self.nodes() {
            let of = |i: usize| shapes[node.inputs[i]];
            let rule = |rule| GraphError::Structure { node: node.name.clone(), rule };
            let arity = match node.op {
                Op::Input => 0,
                Op::Add => 2,
                _ => 1,
            };
            if node.inputs.len() != arity {
                return Err(rule("has the wrong number of inputs"));
            }
            if node.channels == 0 {
                return Err(rule("needs at least one channel"));
            }
            let window = |kernel: usize, stride: usize, padding: usize| {
                if kernel == 0 || stride == 0 {
                    return Err(rule("needs a window and a stride of at least 1"));
                }
                let input = of(0);
                let side = |n: usize| {
                    let padded = padding.checked_mul(2).and_then(|both| both.checked_add(n))?;
                    Some(padded.checked_sub(kernel)? / stride + 1)
                };
                match (side(input.height), side(input.width)) {
                    (Some(height), Some(width)) => {
                        Ok(Shape { channels: node.channels, height, width })
                    }
                    _ => Err(GraphError::TooSmall {
                        node: node.name.clone(),
                        kernel,
                        padding,
                        input,
                    }),
                }
            };
            let shape = match node.op {
                Op::Input => {
                    if height == 0 || width == 0 {
                        return Err(rule("needs images of at least 1x1"));
                    }
                    Shape { channels: node.channels, height, width }
                }
                Op::Conv2d { kernel, stride, padding, groups } => {
                    let divides = |channels: usize| channels.checked_rem(groups) == Some(0);
                    if !divides(of(0).channels) || !divides(node.channels) {
                        return Err(rule("needs channels that its groups divide"));
                    }
                    window(kernel, stride, padding)?
                }
                Op::AvgPool2d { kernel } => {
                    if kernel == 0 {
                        return Err(rule("needs a window of at least 1"));
                    }
                    let input = of(0);
                    let [height, width] = [input.height, input.width].map(|n| n.div_ceil(kernel));
                    Shape { channels: input.channels, height, width }
                }
                Op::MaxPool2d { kernel, stride, padding } => {
                    if padding > kernel / 2 {
                        return Err(rule("needs padding of at most half its window"));
                    }
                    window(kernel, stride, padding)?
                }
                Op::BatchNorm2d | Op::Relu | Op::Gelu { .. } | Op::Silu => of(0),
                Op::Add => {
                    if of(0) != of(1) {
                        return Err(GraphError::Mismatch {
                            node: node.name.clone(),
                            left: of(0),
                            right: of(1),
                        });
                    }
                    of(0)
                }
                Op::GlobalAvgPool | Op::GlobalMaxPool => {
                    Shape { channels: of(0).channels, height: 1, width: 1 }
                }
                Op::Linear => {
                    if (of(0).height, of(0).width) != (1, 1) {
                        return Err(rule("reads a 1x1 image: put a global pool before it"));
                    }
                    Shape { channels: node.channels, height: 1, width: 1 }
                }
                Op::PadShortcut { stride } => {
                    if stride == 0 {
                        return Err(rule("needs a stride of at least 1"));
                    }
                    if node.channels < of(0).channels {
                        return Err(rule("can only add channels"));
                    }
                    Shape {
                        channels: node.channels,
                        height: of(0).height.div_ceil(stride),
                        width: of(0).width.div_ceil(stride),
                    }
                }
            };
            if shape.channels != node.channels {
                return Err(rule("must keep the channels of its input"));
            }
            let inputs = node.inputs.first().map_or(0, |&input| shapes[input].channels);
            if !is_countable(node, inputs, shape) {
                return Err(rule("has more values, weights or products than can be counted"));
            }
            shapes.push(shape);
        }
        Ok(shapes)
    }

    /// Checks the rules that plans rely on, beyond [`Graph::shapes`]: a single convolution reads
    /// the images, the only linear layer is the last node, and every value is read.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn check(&self) -> Result<(), GraphError> {
        let (nodes, consumers) = (self.nodes(), self.consumers());
        let rule =
            |id: NodeId, rule| Err(GraphError::Structure { node: nodes[id].name.clone(), rule });
        let is_conv = |id: NodeId| matches!(nodes[id].op, Op::Conv2d { .. });
        if !matches!(consumers[Self::INPUT][..], [only] if is_conv(only)) {
            return rule(Self::INPUT, "must be read by one convolution and by nothing else");
        }
        let last = nodes.len() - 1;
        for (id, node) in nodes.iter().enumerate() {
            if (node.op == Op::Linear) != (id == last) {
                return rule(id, "a network ends in a linear layer, its only one");
            }
            if id != last && consumers[id].is_empty() {
                return rule(id, "is read by nothing");
            }
            if node.op == Op::Input && id != Self::INPUT {
                return rule(id, "is a second input");
            }
            if node.op == Op::Add && node.inputs[0] == node.inputs[1] {
                return rule(id, "cannot add a value to itself");
            }
        }
        Ok(())
    }
}

/// Values, weights and products of a node, at most. The sum over a million nodes does not overflow.
const MOST: usize = 1 << 44;

/// Whether a node with `inputs` input channels keeps within [`MOST`].
fn is_countable(node: &Node, inputs: usize, output: Shape) -> bool {
    let pixels = output.height.checked_mul(output.width);
    let count = |channels: usize| pixels?.checked_mul(channels).filter(|&n| n <= MOST);
    let weights = match node.op {
        Op::Conv2d { kernel, .. } => kernel.checked_mul(kernel),
        Op::Linear => Some(1),
        _ => return count(output.channels).is_some(),
    };
    let weights = weights.and_then(|n| n.checked_mul(inputs)?.checked_mul(node.channels));
    count(output.channels).is_some() && weights.and_then(count).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_many_values_are_refused() {
        let refused = |channels: usize, kernel: usize, side: usize| {
            let mut g = Graph::new(channels);
            g.conv2d("conv1", Graph::INPUT, channels, kernel, 1, kernel / 2);
            g.shapes(side, side).is_err_and(|e| e.to_string().contains("than can be counted"))
        };
        assert!(!refused(64, 3, 8192));
        for (channels, kernel, side) in [
            (3, 1, 1 << 32),
            (3, 1, usize::MAX / 4),
            (1 << 40, 1, 1),
            (1, 1 << 31, 4),
            (1 << 12, 1 << 11, 64),
            (usize::MAX, 1, 1),
        ] {
            assert!(refused(channels, kernel, side), "{channels} {kernel} {side}");
        }
        let mut g = Graph::new(3);
        g.max_pool2d("pool", Graph::INPUT, 3, 1, usize::MAX / 2 + 2);
        assert!(g.shapes(8, 8).is_err());
    }

    #[test]
    fn shapes_follow_pytorch() {
        let mut g = Graph::new(3);
        let c = g.conv2d("conv1", Graph::INPUT, 64, 7, 2, 3);
        let p = g.max_pool2d("maxpool", c, 3, 2, 1);
        let a = g.global_avg_pool("avgpool", p);
        g.linear("fc", a, 1000);
        let s = g.shapes(224, 224).unwrap();
        assert_eq!(s[c], Shape { channels: 64, height: 112, width: 112 });
        assert_eq!(s[p], Shape { channels: 64, height: 56, width: 56 });
        assert_eq!(s[4], Shape { channels: 1000, height: 1, width: 1 });
    }

    #[test]
    fn errors_name_node_and_shapes() {
        let mut g = Graph::new(3);
        let c = g.conv2d("conv1", Graph::INPUT, 8, 3, 2, 1);
        g.add("sum", c, Graph::INPUT);
        assert_eq!(g.shapes(8, 8).unwrap_err().to_string(), "sum: cannot add 8x4x4 and 3x8x8");
        let mut g = Graph::new(3);
        g.conv2d("conv1", Graph::INPUT, 8, 7, 2, 0);
        assert!(g.shapes(4, 4).unwrap_err().to_string().contains("does not fit in 3x4x4"));
    }
}
