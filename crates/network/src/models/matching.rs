//! Which architecture a graph is of.

use std::collections::HashMap;

use resnet_formats::brief;

use super::{
    Arch, Block, Family, Shortcut, Stem, StrideAt,
    arch::{STAGES, USUAL_WIDTH},
    sprint,
};
use crate::graph::{Graph, Node, NodeId, Op};

/// The architecture that computes what a graph does, whatever its nodes are called and in which
/// order they stand; and for each node of the architecture's own graph, of the same width, channels
/// and classes, the one of `graph` that it is.
pub fn match_arch(graph: &Graph) -> Option<(Arch, Vec<NodeId>)> {
    candidates(graph).into_iter().find_map(|(arch, width)| {
        let own = arch.graph_with(graph.in_channels(), graph.classes(), width);
        Some((arch, matching(&own, graph)?))
    })
}

/// Where a graph that is of no architecture differs from the nearest one, for people.
pub fn nearest_arch(graph: &Graph) -> String {
    let count = |is: fn(&Op) -> bool| graph.nodes().iter().filter(|n| is(&n.op)).count();
    let mut best: Option<(usize, String)> = None;
    for (arch, width) in candidates(graph) {
        let own = arch.graph_with(graph.in_channels(), graph.classes(), width);
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
    let further = || {
        candidates(graph).into_iter().find_map(|(arch, width)| {
            let own = arch.graph_with(graph.in_channels(), graph.classes(), width);
            let alike = |(a, b): (&Node, &Node)| (a.op, a.channels) == (b.op, b.channels);
            let (own, nodes) = (own.nodes(), graph.nodes());
            let more = nodes.get(own.len()).filter(|_| own.iter().zip(nodes).all(alike))?;
            let (name, what) = (brief(&more.name), described(more.op));
            Some(format!("it is a {arch} with a further node '{name}', {what}"))
        })
    };
    best.map(|(_, text)| text).or_else(further).unwrap_or_else(|| {
        let convs = count(|op| matches!(op, Op::Conv2d { .. }));
        let sums = count(|op| *op == Op::Add);
        format!("it has {convs} convolutions and {sums} additions, as no architecture here")
    })
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
        Op::Gelu { tanh: false } => "a GELU".into(),
        Op::Gelu { tanh: true } => "a GELU in its tanh form".into(),
        Op::Silu => "a SiLU".into(),
        Op::Add => "an addition".into(),
        Op::AvgPool2d { kernel } => format!("a {kernel}x{kernel} average pool"),
        Op::GlobalAvgPool => "a global average pool".into(),
        Op::GlobalMaxPool => "a global max pool".into(),
        Op::Linear => "a linear layer".into(),
        Op::PadShortcut { stride } => format!("a shortcut of option A with a stride of {stride}"),
    }
}

/// Every architecture that a graph might be of, with its width.
fn candidates(graph: &Graph) -> Vec<(Arch, usize)> {
    let nodes = graph.nodes();
    let has = |is: fn(&Op) -> bool| nodes.iter().any(|node| is(&node.op));
    let convs = nodes.iter().filter_map(|node| match node.op {
        Op::Conv2d { kernel, groups, .. } => Some((kernel, groups, node.channels)),
        _ => None,
    });
    let convs: Vec<_> = convs.collect();
    let Some(&(kernel, _, first)) = convs.first().filter(|conv| conv.2 > 0) else {
        return Vec::new();
    };
    let is_d = has(|op| matches!(op, Op::AvgPool2d { .. }));
    // The stem's convolution is read by its batch norm only, or by that of the first block too.
    let stem = nodes.iter().position(|node| matches!(node.op, Op::Conv2d { .. }));
    let behind = nodes.iter().find(|node| node.inputs.first() == stem.as_ref());
    let stem_norm = behind.is_some_and(|node| node.op == Op::BatchNorm2d);
    let width = if is_d { 2 * first } else { first };
    let groups = convs.iter().map(|conv| conv.1).max().unwrap_or(1);
    // Of the 3x3 convolutions behind the stem, the narrowest are those of the first stage.
    let inner = convs.iter().skip(1).filter(|conv| conv.0 == 3 && conv.1 == groups);
    let inner = inner.map(|conv| conv.2).filter(|&inner| !is_d || inner != first).min();
    let inner = inner.unwrap_or(width);
    let group_width = inner.saturating_mul(USUAL_WIDTH) / width.saturating_mul(groups);
    let activation = nodes.iter().find_map(|node| node.op.activation()).unwrap_or_default();
    let mut found = Vec::new();
    let mut push = |mut arch: Arch, widths: &[usize]| {
        (arch.activation, arch.epsilon) = (activation, graph.epsilon());
        if arch.family != Family::Paper {
            arch.max_pool = has(|op| matches!(op, Op::MaxPool2d { .. }));
        }
        for &group_width in widths {
            let arch = Arch { group_width, ..arch };
            // What does not go together has no name.
            if arch.to_string().parse() == Ok(arch) {
                found.push((arch, width));
            }
        }
    };
    let residual = has(|op| *op == Op::Add);
    if sprint::is_sprint(graph) {
        let stages = sprint::convs(convs.len().max(1) + 1);
        let starts = [1, 1 + stages[0], 1 + stages[0] + stages[1]];
        let of = |conv: usize| convs.get(conv).map_or(0, |conv| conv.2);
        let usual = Arch::new(Family::Sprint, 8, residual);
        let usual = Arch { activation, epsilon: graph.epsilon(), ..usual };
        let arch = sprint::with_widths(usual, first, starts.map(of), stages);
        return arch.map(|arch| (arch, first)).into_iter().collect();
    }
    for (depth, _, block) in STAGES {
        let family = if kernel == 7 || is_d { Family::ImageNet } else { Family::Cifar };
        let mut arch = Arch { groups, ..Arch::new(family, depth, residual) };
        if is_d {
            (arch.stem, arch.shortcut) = (Stem::Deep, Shortcut::D);
        }
        for preactivation in [false, true] {
            let arch = Arch { preactivation, ..arch };
            if block == Block::Basic {
                for shortcut in [arch.shortcut, Shortcut::A, Shortcut::C] {
                    push(Arch { shortcut, ..arch }, &[USUAL_WIDTH]);
                }
                continue;
            }
            for stride_at in [StrideAt::Conv3x3, StrideAt::Conv1x1] {
                push(Arch { stride_at, ..arch }, &[group_width]);
            }
        }
    }
    // The stem and the head; without a shortcut's convolutions, with two, or with one for two.
    let layers = [
        (Shortcut::A, convs.len() + 1),
        (Shortcut::B, convs.len().saturating_sub(1)),
        (Shortcut::C, convs.len().saturating_sub(1) / 3 * 2 + 2),
    ];
    for (shortcut, depth) in layers {
        if Family::Paper.has_depth(depth) && kernel == 3 {
            for preactivation in [!stem_norm, stem_norm] {
                let arch = Arch::new(Family::Paper, depth, residual);
                push(Arch { shortcut, preactivation, ..arch }, &[USUAL_WIDTH]);
            }
        }
    }
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
            "plain14-sprint+w48-128-2048+gelu+eps0.001",
            "plain10-sprint",
            "resnet8-sprint+gelutanh",
            "resnet50d+gelu",
            "preresnet20+silu",
        ];
        for arch in Arch::all().filter(|a| a.depth < 1000).chain(options.map(arch)) {
            let own = arch.graph_with(3, 7, if arch.groups > 1 { 16 } else { 4 });
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
        let further = "it is a resnet18-cifar with a further node 'more', a ReLU";
        assert_eq!(nearest_arch(&g), further);
    }
}
