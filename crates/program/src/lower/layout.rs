//! Places of values and gradients in the buffers of training and inference.

use std::ops::Range;

use resnet_network::graph::{Graph, NodeId, Op};

use super::{
    fusion::{FusionGroup, producer},
    memory::{Lifetime, lay_out},
    sizes::Sizes,
};

/// The places of a group's output and of its gradient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Value {
    pub(super) out: Range<usize>,
    pub(super) gradient: Range<usize>,
}

/// A value that a group reads, and whether a later group has already written its gradient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Read {
    pub(super) value: Value,
    pub(super) accumulate: bool,
}

/// The places of all values and gradients in training.
#[derive(Debug)]
pub(super) struct Layout {
    /// For each group: its input (none for the images), residual and output.
    pub(super) steps: Vec<(Option<Read>, Option<Read>, Value)>,
    pub(super) values_len: usize,
    pub(super) gradients_len: usize,
}

impl Layout {
    /// `unstored` are the batch norms that are fused into the next convolution's load. The place of
    /// their output is that of their input.
    pub(super) fn new(
        graph: &Graph,
        groups: &[FusionGroup],
        unstored: &[bool],
        sizes: &Sizes,
    ) -> Self {
        let op = |group: &FusionGroup| graph.nodes()[group.head].op;
        let producer = |id: NodeId| producer(groups, id);
        let x: Vec<Option<usize>> =
            groups.iter().map(|group| producer(graph.nodes()[group.head].inputs[0])).collect();
        let residual: Vec<Option<usize>> =
            groups.iter().map(|group| group.residual.and_then(producer)).collect();
        let mut readers: Vec<Vec<usize>> = vec![Vec::new(); groups.len()];
        for (group, read) in x.iter().chain(&residual).enumerate() {
            read.iter().for_each(|&value| readers[value].push(group % groups.len()));
        }
        let len = |group: &FusionGroup| match op(group) {
            Op::Linear => 0, // The logits have their own buffers.
            _ => sizes.batch * sizes.image_len(group.output),
        };

        // Backward visits the groups in reverse: group `i` at moment `groups.len() - 1 - i`. A
        // gradient lives from its value's last reader to the value's producer.
        let moment = |group: usize| groups.len() - 1 - group;
        let mut slots: Vec<usize> = (0..groups.len()).collect();
        let mut lifetimes: Vec<Lifetime> = (0..groups.len())
            .map(|group| Lifetime {
                first: moment(readers[group].iter().copied().max().unwrap_or(group)),
                last: moment(group),
                len: len(&groups[group]),
            })
            .collect();
        // A batch norm turns the gradient of its output into that of its input in place, where
        // nothing else reads the input: the two share a slot.
        for group in (0..groups.len()).rev() {
            if let Some(input) = x[group]
                && op(&groups[group]) == Op::BatchNorm2d
                && readers[input].len() == 1
            {
                slots[input] = slots[group];
                lifetimes[slots[group]].last = lifetimes[input].last;
                lifetimes[input].len = 0;
            }
        }
        let (places, gradients_len) = lay_out(&lifetimes);
        let mut start = 0;
        let mut values: Vec<Value> = Vec::new();
        for (index, group) in groups.iter().enumerate() {
            let out = match x[index].filter(|_| unstored[index]) {
                Some(input) => values[input].out.clone(),
                None => start..start + len(group),
            };
            start = start.max(out.end.next_multiple_of(16));
            values.push(Value { out, gradient: places[slots[index]].clone() });
        }

        let mut written = vec![false; groups.len()];
        let mut steps: Vec<_> = (0..groups.len())
            .rev()
            .map(|group| {
                let mut read = |value: Option<usize>| {
                    value.map(|value| {
                        let accumulate = std::mem::replace(&mut written[value], true);
                        Read { value: values[value].clone(), accumulate }
                    })
                };
                // In the order in which the backward pass of a batch norm writes them.
                let residual = read(residual[group]);
                (read(x[group]), residual, values[group].clone())
            })
            .collect();
        steps.reverse();
        Layout { steps, values_len: start, gradients_len }
    }

    /// For each group, the batch norm that it may fuse into its load: one with a ReLU, without a
    /// residual, and with no other reader.
    pub(super) fn fusable_norms(graph: &Graph, groups: &[FusionGroup]) -> Vec<Option<usize>> {
        let mut readers = vec![0; graph.nodes().len()];
        for group in groups {
            let inputs = &graph.nodes()[group.head].inputs;
            let residual = group.residual.filter(|id| !inputs.contains(id));
            inputs.iter().copied().chain(residual).for_each(|id| readers[id] += 1);
        }
        let norm = |group: &FusionGroup| {
            let id = graph.nodes()[group.head].inputs[0];
            let norm = producer(groups, id)?;
            let n = &groups[norm];
            let fits =
                graph.nodes()[n.head].op == Op::BatchNorm2d && n.relu() && n.residual.is_none();
            (fits && readers[id] == 1).then_some(norm)
        };
        groups.iter().map(norm).collect()
    }
}

/// The place of each group's output in inference, and the buffer's length. An output lives from its
/// group to its last reader, a probed one to the end.
pub(super) fn places(
    graph: &Graph,
    groups: &[FusionGroup],
    sizes: &Sizes,
    probes: &[NodeId],
) -> (Vec<Range<usize>>, usize) {
    let mut last_reader: Vec<usize> = (0..groups.len()).collect();
    for (index, group) in groups.iter().enumerate() {
        let read = [Some(graph.nodes()[group.head].inputs[0]), group.residual];
        let read = read.into_iter().flatten().filter_map(|id| producer(groups, id));
        read.for_each(|value| last_reader[value] = index);
    }
    let lifetime = |(index, group): (usize, &FusionGroup)| {
        let is_probed = probes.contains(&group.output);
        let last = if is_probed { groups.len() } else { last_reader[index] };
        // The logits have their own buffer.
        let linear = graph.nodes()[group.head].op == Op::Linear;
        let len = if linear { 0 } else { sizes.batch * sizes.image_len(group.output) };
        Lifetime { first: index, last, len }
    };
    lay_out(&groups.iter().enumerate().map(lifetime).collect::<Vec<_>>())
}
