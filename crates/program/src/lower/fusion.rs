//! Fuses nodes into groups that one pass over memory computes.

use resnet_kernels::{Activation, Smooth};
use resnet_network::graph::{self, Graph, GraphError, NodeId, Op};

/// A node (the head) with the nodes after it that are computed in the same pass over memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FusionGroup {
    /// The first node.
    pub(super) head: NodeId,
    /// In inference, the batch norm that is folded into the head, a convolution.
    pub(super) norm: Option<NodeId>,
    /// The value that is added before the activation: the output of another group.
    pub(super) residual: Option<NodeId>,
    /// The activation that follows.
    pub(super) activation: Option<Activation>,
    /// The last node, whose value the group computes.
    pub(super) output: NodeId,
}

/// The activation that an operation is.
pub(super) fn activation(op: Op) -> Option<Activation> {
    Some(match op.activation()? {
        graph::Activation::Relu => Activation::Relu,
        graph::Activation::Gelu => Activation::Smooth(Smooth::Gelu),
        graph::Activation::GeluTanh => Activation::Smooth(Smooth::GeluTanh),
        graph::Activation::Silu => Activation::Smooth(Smooth::Silu),
    })
}

impl FusionGroup {
    /// Whether a ReLU follows.
    pub(super) fn relu(&self) -> bool {
        self.activation == Some(Activation::Relu)
    }

    /// The nodes of the group, from head to output.
    pub(super) fn nodes(&self, graph: &Graph) -> Vec<NodeId> {
        let before = |&id: &NodeId| {
            let mut inputs = graph.nodes()[id].inputs.iter().copied();
            (id != self.head).then(|| inputs.find(|&input| Some(input) != self.residual)).flatten()
        };
        let mut nodes: Vec<NodeId> = std::iter::successors(Some(self.output), before).collect();
        nodes.reverse();
        nodes
    }
}

/// The fusion groups of a graph, in the order of their outputs. `fold` folds batch norms into the
/// convolutions before them.
///
/// # Errors
/// If the graph breaks a rule of the plans.
pub(super) fn fusion_groups(graph: &Graph, fold: bool) -> Result<Vec<FusionGroup>, GraphError> {
    fusion_groups_around(graph, fold, &[])
}

/// [`fusion_groups`] where a group ends in each of the nodes `probes`, so that their values are stored.
pub(super) fn fusion_groups_around(
    graph: &Graph,
    fold: bool,
    probes: &[NodeId],
) -> Result<Vec<FusionGroup>, GraphError> {
    graph.check()?;
    let nodes = graph.nodes();
    let consumers = graph.consumers();
    // The only reader of a node.
    let only = |id: NodeId| match consumers[id][..] {
        [next] if !probes.contains(&id) => Some(next),
        _ => None,
    };
    let sole = |id: NodeId, op: Op| only(id).filter(|&next| nodes[next].op == op);
    let mut taken = vec![false; nodes.len()];
    let mut groups = Vec::new();
    for (id, node) in nodes.iter().enumerate().skip(1) {
        if std::mem::replace(&mut taken[id], true) {
            continue;
        }
        let mut group =
            FusionGroup { head: id, norm: None, residual: None, activation: None, output: id };
        if fold && matches!(node.op, Op::Conv2d { .. }) {
            group.norm = sole(id, Op::BatchNorm2d);
            group.output = group.norm.unwrap_or(id);
        }
        let mut sum = None;
        let normed = node.op == Op::BatchNorm2d || group.norm.is_some();
        if normed && let Some(add) = sole(group.output, Op::Add).filter(|&add| !taken[add]) {
            group.residual = nodes[add].inputs.iter().copied().find(|&i| i != group.output);
            group.output = add;
            sum = Some(add);
        }
        if node.op == Op::Add {
            group.residual = Some(node.inputs[1]);
        }
        let inferred = fold && matches!(node.op, Op::Conv2d { .. });
        if (normed || inferred || node.op == Op::Add)
            && let Some(next) = only(group.output)
            && let Some(activation) = activation(nodes[next].op)
            // Only batch norms apply smooth ones.
            && (activation == Activation::Relu || node.op == Op::BatchNorm2d)
        {
            group.activation = Some(activation);
            group.output = next;
        }
        if node.op == Op::Relu {
            group.activation = Some(Activation::Relu);
        }
        for member in [group.norm, sum, Some(group.output)].into_iter().flatten() {
            taken[member] = true;
        }
        groups.push(group);
    }
    groups.sort_by_key(|group| group.output);
    Ok(groups)
}

/// Index of the group that computes a node's value; none for the images.
pub(super) fn producer(groups: &[FusionGroup], id: NodeId) -> Option<usize> {
    // Groups are in the order of their outputs.
    let found = groups.binary_search_by_key(&id, |group| group.output).ok();
    assert!(found.is_some() || id == Graph::INPUT, "every value that is read is computed");
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use resnet_network::Arch;

    fn graph(name: &str) -> Graph {
        name.parse::<Arch>().unwrap().graph(10)
    }

    #[test]
    fn a_block_becomes_four_groups_or_two() {
        let g = graph("resnet18-cifar");
        let named = |groups: &[FusionGroup]| -> Vec<String> {
            let of = |group: &FusionGroup| {
                format!(
                    "{} -> {}{}",
                    g.nodes()[group.head].name,
                    g.nodes()[group.output].name,
                    group.residual.map_or(String::new(), |r| format!(" + {}", g.nodes()[r].name))
                )
            };
            groups.iter().map(of).filter(|n| n.starts_with("layer2.0")).collect()
        };
        let train = [
            "layer2.0.conv1 -> layer2.0.conv1",
            "layer2.0.bn1 -> layer2.0.relu1",
            "layer2.0.conv2 -> layer2.0.conv2",
            "layer2.0.shortcut.0 -> layer2.0.shortcut.0",
            "layer2.0.shortcut.1 -> layer2.0.shortcut.1",
            "layer2.0.bn2 -> layer2.0.relu2 + layer2.0.shortcut.1",
        ];
        assert_eq!(named(&fusion_groups(&g, false).unwrap()), train);
        let eval = [
            "layer2.0.conv1 -> layer2.0.relu1",
            "layer2.0.shortcut.0 -> layer2.0.shortcut.1",
            "layer2.0.conv2 -> layer2.0.relu2 + layer2.0.shortcut.1",
        ];
        assert_eq!(named(&fusion_groups(&g, true).unwrap()), eval);
    }

    #[test]
    fn every_node_is_computed_once() {
        for arch in Arch::all().filter(|a| a.depth < 200) {
            let g = arch.graph(10);
            let middle = g.nodes().len() / 2;
            let some = [middle, middle / 2, middle + 1];
            for (fold, probes) in
                [(false, &[][..]), (true, &[]), (false, &some[..1]), (true, &some)]
            {
                let groups = fusion_groups_around(&g, fold, probes).unwrap();
                let mut members: Vec<NodeId> = groups.iter().flat_map(|u| u.nodes(&g)).collect();
                members.sort_unstable();
                assert!(members.into_iter().eq(1..g.nodes().len()), "{arch} fold {fold}");
                assert!(probes.iter().all(|&id| groups.iter().any(|u| u.output == id)), "{arch}");
            }
        }
    }

    #[test]
    fn an_addition_between_another_and_its_relu_is_a_group_of_its_own() {
        let mut g = Graph::new(3);
        let x = g.conv2d("a", Graph::INPUT, 8, 3, 1, 1);
        let n = g.batch_norm2d("n", x);
        let y = g.conv2d("b", x, 8, 3, 1, 1);
        let first = g.add("first", n, y);
        let second = g.add("second", y, first);
        let r = g.relu("r", first);
        let third = g.add("third", r, second);
        let p = g.global_avg_pool("p", third);
        g.linear("fc", p, 2);
        let groups = fusion_groups(&g, false).unwrap();
        let outputs: Vec<NodeId> = groups.iter().map(|u| u.output).collect();
        // `first` is read twice, so its ReLU stands alone.
        assert_eq!(outputs, [x, y, first, second, r, third, p, p + 1]);
    }

    #[test]
    fn refuses_graphs_it_cannot_run() {
        let mut g = Graph::new(3);
        let c = g.conv2d("conv1", Graph::INPUT, 8, 3, 1, 1);
        assert!(
            fusion_groups(&g, false).unwrap_err().to_string().contains("ends in a linear layer")
        );
        let p = g.global_avg_pool("pool", c);
        g.relu("unused", c);
        g.linear("fc", p, 2);
        assert!(
            fusion_groups(&g, false)
                .unwrap_err()
                .to_string()
                .contains("unused: is read by nothing")
        );
    }
}
