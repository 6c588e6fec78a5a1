//! Which architecture a graph is of.

use std::collections::HashMap;

use resnet_formats::brief;

use super::{
    Arch, Block, Family, StrideAt,
    arch::{PAPER_MOST, STAGES},
};
use crate::graph::{Graph, Node, NodeId, Op};

/// The architecture that computes what a graph does, whatever its nodes are called and in which
/// order they stand; and for each node of the architecture's own graph, of the same width, channels
/// and classes, the one of `graph` that it is.
pub fn match_arch(graph: &Graph) -> Option<(Arch, Vec<NodeId>)> {
    candidates(graph).into_iter().find_map(|arch| {
        let width = graph.nodes().get(1)?.channels;
        let own = arch.graph_with(graph.in_channels(), graph.classes(), width);
        Some((arch, matching(&own, graph)?))
    })
}

/// Where a graph that is of no architecture differs from the nearest one, for people.
pub fn nearest_arch(graph: &Graph) -> String {
    let count = |is: fn(&Op) -> bool| graph.nodes().iter().filter(|n| is(&n.op)).count();
    let width = graph.nodes().get(1).map_or(0, |node| node.channels);
    let mut best: Option<(usize, String)> = None;
    for arch in candidates(graph) {
        let own = arch.graph_with(graph.in_channels(), graph.classes(), width.max(1));
        if own.nodes().len() != graph.nodes().len() {
            continue;
        }
        let differs = |(a, b): &(&Node, &Node)| (a.op, a.channels) != (b.op, b.channels);
        let pairs = || own.nodes().iter().zip(graph.nodes());
        let differences = pairs().filter(differs).count();
        let Some((expected, found)) = pairs().find(differs) else {
            continue;
        };
        if best.as_ref().is_none_or(|(fewest, _)| differences < *fewest) {
            let text = format!(
                "its node '{}' is {} of {} channels, where a {arch} has {} of {}",
                brief(&found.name),
                described(found.op),
                found.channels,
                described(expected.op),
                expected.channels
            );
            best = Some((differences, text));
        }
    }
    best.map_or_else(
        || {
            let convs = count(|op| matches!(op, Op::Conv2d { .. }));
            let sums = count(|op| *op == Op::Add);
            format!("it has {convs} convolutions and {sums} additions, as no architecture here")
        },
        |(_, text)| text,
    )
}

fn described(op: Op) -> String {
    match op {
        Op::Conv2d { kernel, stride, padding, groups } => {
            let groups = if groups > 1 { format!(" in {groups} groups") } else { String::new() };
            format!(
                "a {kernel}x{kernel} convolution{groups} with a stride of {stride} and a padding of \
                 {padding}"
            )
        }
        Op::MaxPool2d { kernel, stride, padding } => format!(
            "a {kernel}x{kernel} max pool with a stride of {stride} and a padding of {padding}"
        ),
        Op::Input => "the input".into(),
        Op::BatchNorm2d => "a batch norm".into(),
        Op::Relu => "a ReLU".into(),
        Op::Add => "an addition".into(),
        Op::AvgPool2d { kernel } => format!("a {kernel}x{kernel} average pool"),
        Op::GlobalAvgPool => "a global average pool".into(),
        Op::Linear => "a linear layer".into(),
        Op::PadShortcut { stride } => format!("a shortcut of option A with a stride of {stride}"),
    }
}

/// Every architecture that a graph of so many convolutions might be of.
fn candidates(graph: &Graph) -> Vec<Arch> {
    let mut found = Vec::new();
    for (depth, _, block) in STAGES {
        for family in [Family::ImageNet, Family::Cifar] {
            for residual in [true, false] {
                let usual = Arch::new(family, depth, residual);
                for max_pool in [usual.max_pool, !usual.max_pool] {
                    found.push(Arch { max_pool, ..usual });
                    if block == Block::Bottleneck {
                        let stride_at = StrideAt::Conv1x1;
                        found.push(Arch { max_pool, stride_at, ..usual });
                    }
                }
            }
        }
    }
    let convs = graph.nodes().iter().filter(|n| matches!(n.op, Op::Conv2d { .. })).count();
    // The paper's shortcuts have no convolutions.
    let depth = convs + 1;
    if depth % 6 == 2 && (8..PAPER_MOST).contains(&depth) {
        found.extend([true, false].map(|residual| Arch::new(Family::Paper, depth, residual)));
    }
    found.iter_mut().for_each(|arch| arch.epsilon = graph.epsilon());
    found
}

/// For each node of `a` that its last one depends on the node of `b` that computes the same, if
/// their last nodes do.
fn matching(a: &Graph, b: &Graph) -> Option<Vec<NodeId>> {
    if a.nodes().len() != b.nodes().len() || a.epsilon() != b.epsilon() {
        return None;
    }
    // Nodes that compute the same of the input get the same number.
    let mut numbers = HashMap::new();
    let a_numbers = number(a, &mut numbers);
    let b_numbers = number(b, &mut numbers);
    let last = a.nodes().len() - 1;
    let mut found: Vec<Option<NodeId>> = vec![None; a.nodes().len()];
    let mut taken = vec![false; b.nodes().len()];
    let mut open = vec![(last, last)];
    while let Some((x, y)) = open.pop() {
        if found[x] == Some(y) {
            continue;
        }
        if a_numbers[x] != b_numbers[y] || found[x].is_some() || taken[y] {
            return None;
        }
        found[x] = Some(y);
        taken[y] = true;
        let (xs, ys) = (&a.nodes()[x].inputs, &b.nodes()[y].inputs);
        let turned = xs.len() == 2 && a_numbers[xs[0]] != b_numbers[ys[0]];
        for (i, &input) in xs.iter().enumerate() {
            open.push((input, ys[if turned { 1 - i } else { i }]));
        }
    }
    found.into_iter().collect()
}

/// What a node computes: its operation, channels, and the numbers of its inputs.
type Key = (Op, usize, Vec<usize>);

fn number(graph: &Graph, numbers: &mut HashMap<Key, usize>) -> Vec<usize> {
    let mut own: Vec<usize> = Vec::with_capacity(graph.nodes().len());
    for node in graph.nodes() {
        let mut inputs: Vec<usize> = node.inputs.iter().map(|&input| own[input]).collect();
        if node.op == Op::Add {
            inputs.sort_unstable();
        }
        let next = numbers.len();
        own.push(*numbers.entry((node.op, node.channels, inputs)).or_insert(next));
    }
    own
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arch(name: &str) -> Arch {
        name.parse().unwrap()
    }

    /// The same graph with other names, its additions turned, and shortcuts before the blocks.
    fn disguised(graph: &Graph) -> Graph {
        let nodes = graph.nodes();
        let mut place = vec![0; nodes.len()];
        let mut other = Graph::new(graph.in_channels()).with_epsilon(graph.epsilon());
        let mut order: Vec<NodeId> = (1..nodes.len()).collect();
        // Projections as early as can be.
        let early = |name: &str| name.contains("shortcut") || name.contains("downsample");
        order.sort_by_key(|&id| {
            // The block's input.
            let mut after = id;
            while early(&nodes[after].name) {
                after = nodes[after].inputs[0];
            }
            (after, id)
        });
        for id in order {
            let node = &nodes[id];
            let mut inputs: Vec<NodeId> = node.inputs.iter().map(|&i| place[i]).collect();
            inputs.reverse();
            place[id] = other.push(format!("n{id}"), node.op, &inputs, node.channels);
        }
        other
    }

    #[test]
    fn every_architecture_is_found_by_its_graph() {
        let options = [
            "resnet18-cifar+maxpool",
            "resnet18+nopool",
            "resnet50+stride1x1",
            "plain50-cifar+maxpool+stride1x1+eps0.001",
            "resnet8",
        ];
        for arch in Arch::all().filter(|a| a.depth < 1000).chain(options.map(arch)) {
            let own = arch.graph_with(3, 7, 4);
            let other = disguised(&own);
            let (found, places) = match_arch(&other).unwrap_or_else(|| panic!("{arch}"));
            assert_eq!(found, arch);
            for (node, &place) in own.nodes().iter().zip(&places) {
                assert_eq!(node.op, other.nodes()[place].op, "{arch}");
                if node.op != Op::Input {
                    assert_eq!(other.nodes()[place].name, format!("n{}", id(&own, &node.name)));
                }
            }
        }
    }

    fn id(graph: &Graph, name: &str) -> NodeId {
        graph.nodes().iter().position(|node| node.name == name).unwrap()
    }

    #[test]
    fn another_graph_is_none() {
        let mut g = arch("resnet18-cifar").graph_with(3, 7, 4);
        let last = g.nodes().len() - 1;
        g.relu("more", last);
        assert_eq!(match_arch(&g), None);
        // One stride elsewhere.
        let own = arch("resnet50").graph_with(3, 7, 4);
        let mut other = Graph::new(3);
        for node in &own.nodes()[1..] {
            let op = match node.op {
                Op::Conv2d { kernel, padding, groups, .. } if node.name == "layer3.0.conv2" => {
                    Op::Conv2d { kernel, stride: 1, padding, groups }
                }
                op => op,
            };
            other.push(node.name.clone(), op, &node.inputs, node.channels);
        }
        assert_eq!(match_arch(&other), None);
        assert_eq!(
            nearest_arch(&other),
            "its node 'layer3.0.conv2' is a 3x3 convolution with a stride of 1 and a padding of 1 of \
             16 channels, where a resnet50 has a 3x3 convolution with a stride of 2 and a padding of \
             1 of 16"
        );
        let nearest = nearest_arch(&g);
        assert!(nearest.contains("where a resnet18-cifar+maxpool has a 3x3 max pool"), "{nearest}");
    }
}
