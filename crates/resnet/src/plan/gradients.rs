//! Where values and their gradients live in a training plan.

use std::ops::Range;

use super::{
    Sizes,
    memory::{Lifetime, lay_out},
    units::{Unit, producer},
};
use crate::graph::{Graph, NodeId, Op};

/// A value of the network, the output of a unit, and its gradient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Value {
    pub(super) out: Range<usize>,
    pub(super) gradient: Range<usize>,
}

/// A value that a unit reads, and whether a later unit has written its gradient already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Read {
    pub(super) value: Value,
    pub(super) accumulate: bool,
}

/// The memory of a training plan.
#[derive(Debug)]
pub(super) struct Layout {
    /// For each unit: its input (none for the images), residual and output.
    pub(super) steps: Vec<(Option<Read>, Option<Read>, Value)>,
    pub(super) values_len: usize,
    pub(super) gradients_len: usize,
}

impl Layout {
    /// `unstored` are batch norms whose readers apply them to their input, which stands for their
    /// output.
    pub(super) fn new(graph: &Graph, units: &[Unit], unstored: &[bool], sizes: &Sizes) -> Self {
        let op = |unit: &Unit| graph.nodes()[unit.head].op;
        let producer = |id: NodeId| producer(units, id);
        let x: Vec<Option<usize>> =
            units.iter().map(|unit| producer(graph.nodes()[unit.head].inputs[0])).collect();
        let residual: Vec<Option<usize>> =
            units.iter().map(|unit| unit.residual.and_then(producer)).collect();
        let mut readers: Vec<Vec<usize>> = vec![Vec::new(); units.len()];
        for (unit, read) in x.iter().chain(&residual).enumerate() {
            read.iter().for_each(|&value| readers[value].push(unit % units.len()));
        }
        let len = |unit: &Unit| match op(unit) {
            Op::Linear => 0, // The logits have buffers of their own.
            _ => sizes.batch * sizes.image_len(unit.output),
        };

        // Backward visits the units in reverse: unit `i` at moment `units.len() - 1 - i`. A
        // gradient lives from its value's last reader to the value's producer.
        let moment = |unit: usize| units.len() - 1 - unit;
        let mut slots: Vec<usize> = (0..units.len()).collect();
        let mut lifetimes: Vec<Lifetime> = (0..units.len())
            .map(|unit| Lifetime {
                first: moment(readers[unit].iter().copied().max().unwrap_or(unit)),
                last: moment(unit),
                len: len(&units[unit]),
            })
            .collect();
        // A batch norm turns the gradient of its output into that of its input in place, where
        // nothing else reads the input: the two share a slot.
        for unit in (0..units.len()).rev() {
            if let Some(input) = x[unit]
                && op(&units[unit]) == Op::BatchNorm2d
                && readers[input].len() == 1
            {
                slots[input] = slots[unit];
                lifetimes[slots[unit]].last = lifetimes[input].last;
                lifetimes[input].len = 0;
            }
        }
        let (places, gradients_len) = lay_out(&lifetimes);
        let mut start = 0;
        let mut values: Vec<Value> = Vec::new();
        for (index, unit) in units.iter().enumerate() {
            let out = match x[index].filter(|_| unstored[index]) {
                Some(input) => values[input].out.clone(),
                None => start..start + len(unit),
            };
            start = start.max(out.end.next_multiple_of(16));
            values.push(Value { out, gradient: places[slots[index]].clone() });
        }

        let mut written = vec![false; units.len()];
        let mut steps: Vec<_> = (0..units.len())
            .rev()
            .map(|unit| {
                let mut read = |value: Option<usize>| {
                    value.map(|value| {
                        let accumulate = std::mem::replace(&mut written[value], true);
                        Read { value: values[value].clone(), accumulate }
                    })
                };
                // In the order in which the backward of a batch norm writes them.
                let residual = read(residual[unit]);
                (read(x[unit]), residual, values[unit].clone())
            })
            .collect();
        steps.reverse();
        Layout { steps, values_len: start, gradients_len }
    }

    /// For each unit, the batch norm that it may apply as it reads: one with a ReLU, without a
    /// residual, that nothing else reads.
    pub(super) fn read_through(graph: &Graph, units: &[Unit]) -> Vec<Option<usize>> {
        let reads = |unit: &Unit, id: NodeId| {
            graph.nodes()[unit.head].inputs.contains(&id) || unit.residual == Some(id)
        };
        let norm = |unit: &Unit| {
            let id = graph.nodes()[unit.head].inputs[0];
            let norm = producer(units, id)?;
            let n = &units[norm];
            let fits =
                graph.nodes()[n.head].op == Op::BatchNorm2d && n.relu && n.residual.is_none();
            let readers = units.iter().filter(|unit| reads(unit, id)).count();
            (fits && readers == 1).then_some(norm)
        };
        units.iter().map(norm).collect()
    }
}
