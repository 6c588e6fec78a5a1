//! Derives an outline from a graph and what a plan has made of its units.

use resnet_kernels::{
    Element,
    conv::{Algorithm, Conv, Direction},
};

use super::{Kind, Memory, Operation, Outline, Part, Pass, UnitOutline};
use crate::{
    graph::{Graph, Node, NodeId, Op},
    plan::{Sizes, units::Unit},
};

/// What a plan has made of a unit.
#[derive(Debug)]
pub(in crate::plan) struct Prepared {
    pub(in crate::plan) unit: Unit,
    pub(in crate::plan) algorithms: Vec<(Pass, Algorithm)>,
    /// Words of packed weights.
    pub(in crate::plan) packed: usize,
    /// Words of scratch.
    pub(in crate::plan) scratch: usize,
    /// Values of the output's gradient.
    pub(in crate::plan) gradient: usize,
    /// False for a batch norm whose reader applies it to its input.
    pub(in crate::plan) stored: bool,
    /// Whether the gradients of input and residual are added to.
    pub(in crate::plan) accumulate: [bool; 2],
}

impl Prepared {
    fn algorithm(&self, pass: Pass) -> Option<Algorithm> {
        self.algorithms.iter().find(|a| a.0 == pass).map(|a| a.1)
    }
}

/// How a convolution computes the passes that it is prepared for.
pub(in crate::plan) fn algorithms<E: Element, X: Element>(
    conv: &Conv<E, X>,
) -> Vec<(Pass, Algorithm)> {
    let of = |direction| Some((Pass::from(direction), conv.algorithm(direction)?));
    Direction::ALL.into_iter().filter_map(of).collect()
}

/// The source of an outline.
pub(in crate::plan) struct Sketch<'a> {
    pub(in crate::plan) graph: &'a Graph,
    pub(in crate::plan) sizes: Sizes,
    /// Bytes of a stored value.
    pub(in crate::plan) element: usize,
    pub(in crate::plan) training: bool,
    pub(in crate::plan) units: Vec<Prepared>,
}

impl Sketch<'_> {
    pub(in crate::plan) fn outline(&self, memory: Memory) -> Outline {
        Outline {
            units: self.units.iter().map(|p| self.unit(p)).collect(),
            operations: self.operations(),
            memory,
        }
    }

    fn unit(&self, p: &Prepared) -> UnitOutline {
        let word = size_of::<f32>();
        UnitOutline {
            nodes: self.names(&p.unit),
            kind: Kind::new(self.graph, p.unit.head),
            output: self.sizes.shapes[p.unit.output],
            algorithms: p.algorithms.clone(),
            activation_bytes: if p.stored { self.value(p.unit.output) } else { 0 },
            gradient_bytes: p.gradient * self.element,
            packed_bytes: p.packed * word,
            scratch_bytes: p.scratch * word,
        }
    }

    fn names(&self, unit: &Unit) -> Vec<String> {
        let name = |id: NodeId| self.graph.nodes()[id].name.clone();
        unit.nodes(self.graph).into_iter().map(name).collect()
    }

    fn operations(&self) -> Vec<Operation> {
        let own = |part, kind, pass, bytes: usize| {
            let nodes = Vec::new();
            Operation { part, nodes, kind, pass, algorithm: None, flops: 0, bytes: bytes as u64 }
        };
        let pixels = self.sizes.batch * self.sizes.shapes[Graph::INPUT].len();
        let input = pixels + self.value(Graph::INPUT);
        let mut list = vec![Operation {
            nodes: vec![self.graph.nodes()[Graph::INPUT].name.clone()],
            ..own(Part::Input, Kind::Input, Pass::Forward, input)
        }];
        for (index, p) in self.units.iter().enumerate() {
            // In inference weights are packed when they are loaded.
            if self.training {
                list.extend(self.packing(index, p, Pass::Forward));
            }
            list.push(self.pass(index, p, Pass::Forward));
        }
        if !self.training {
            return list;
        }
        let logits = self.value(self.graph.nodes().len() - 1);
        list.push(own(Part::Loss, Kind::Loss, Pass::Forward, 2 * logits));
        for (index, p) in self.units.iter().enumerate().rev() {
            if p.algorithms.is_empty() {
                list.push(self.pass(index, p, Pass::Backward));
                continue;
            }
            let packing = self.packing(index, p, Pass::BackwardData);
            let data = packing.is_some().then(|| self.pass(index, p, Pass::BackwardData));
            list.extend(packing);
            list.push(self.pass(index, p, Pass::BackwardWeight));
            list.extend(data);
        }
        list
    }

    /// Of a convolution's weights, for a pass that it is prepared for.
    fn packing(&self, index: usize, p: &Prepared, pass: Pass) -> Option<Operation> {
        let algorithm = Some(p.algorithm(pass)?);
        let packed = p.packed * size_of::<f32>();
        // Where nothing is packed, the convolution itself reads the weights.
        let read = if packed > 0 { self.parameters(p.unit.head) } else { 0 };
        Some(Operation {
            part: Part::Packing(index, pass),
            nodes: vec![self.graph.nodes()[p.unit.head].name.clone()],
            kind: Kind::Packing,
            pass,
            algorithm,
            flops: 0,
            bytes: (read + packed) as u64,
        })
    }

    fn pass(&self, index: usize, p: &Prepared, pass: Pass) -> Operation {
        let unit = &p.unit;
        let node = &self.graph.nodes()[unit.head];
        let (x, out) = (self.read(node, unit.head), self.value(unit.output));
        let parameters = self.parameters(unit.head);
        let residual = unit.residual.map_or(0, |r| self.value(r));
        let gradient = |bytes: usize, accumulate: bool| bytes * (1 + usize::from(accumulate));
        let d_inputs = gradient(self.value(node.inputs[0]), p.accumulate[0])
            + gradient(residual, p.accumulate[1]);
        let max_pool = matches!(node.op, Op::MaxPool2d { .. });
        let (bytes, products) = match pass {
            Pass::Forward if !p.stored => (x + parameters, 1),
            Pass::Forward => (x + residual + out + parameters, 1),
            Pass::BackwardWeight => (x + out + parameters, 1),
            Pass::BackwardData => (out + d_inputs + parameters, 1),
            Pass::Backward | Pass::Update => {
                let reads_x = max_pool || matches!(node.op, Op::BatchNorm2d | Op::Linear);
                let x = if reads_x { x } else { 0 };
                // Where the output is not stored, the input decides what passes the ReLU.
                let gate = if unit.relu && p.stored || max_pool { out } else { 0 };
                (x + out + gate + d_inputs + 2 * parameters, 2)
            }
        };
        Operation {
            part: Part::Unit(index, pass),
            nodes: self.names(unit),
            kind: Kind::new(self.graph, unit.head),
            pass,
            algorithm: p.algorithm(pass),
            flops: 2 * (products * self.macs(unit.head)) as u64,
            bytes: bytes as u64,
        }
    }

    /// Bytes of a node's output, as it is stored.
    fn value(&self, id: NodeId) -> usize {
        let batch = self.sizes.batch;
        match self.graph.nodes()[id].op {
            Op::Input => batch * self.sizes.image(self.graph).image_len() * size_of::<f32>(),
            Op::Linear => batch * self.graph.classes() * size_of::<f32>(),
            _ => batch * self.sizes.image_len(id) * self.element,
        }
    }

    /// Bytes of a node's input that it reads: a window smaller than its stride skips pixels.
    fn read(&self, node: &Node, out: NodeId) -> usize {
        let x = node.inputs[0];
        let window = match node.op {
            Op::Conv2d { kernel, .. } | Op::MaxPool2d { kernel, .. } => kernel * kernel,
            Op::PadShortcut { .. } => 1,
            _ => return self.value(x),
        };
        let pixels = self.sizes.pixels(x);
        self.value(x) / pixels * pixels.min(window * self.sizes.pixels(out))
    }

    /// Bytes of the weights and biases of a node.
    fn parameters(&self, id: NodeId) -> usize {
        let (weights, biases) = self.graph.nodes()[id].parameters(self.inputs(id));
        (weights + biases) * size_of::<f32>()
    }

    /// Multiply-accumulates of a batch.
    fn macs(&self, id: NodeId) -> usize {
        self.sizes.batch * self.graph.nodes()[id].macs(self.inputs(id), self.sizes.shapes[id])
    }

    /// Channels that a node reads.
    fn inputs(&self, id: NodeId) -> usize {
        self.sizes.shapes[self.graph.nodes()[id].inputs[0]].channels
    }
}
