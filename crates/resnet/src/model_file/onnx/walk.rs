//! An ONNX graph, node by node, to a [`Graph`] and the tensors of its layers.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
};

use resnet_formats::{
    Tensor,
    onnx::{Attribute, Dimension, Model, Node},
};

use super::{
    attributes::{Result, int, ints},
    constant::{self, Constant},
    part::Part,
};
use crate::graph::{Epsilon, Graph, NodeId, Op};

/// What a file computes.
#[derive(Debug)]
pub(super) struct Walked<'a> {
    /// The network, with nodes called as in the file.
    pub(super) graph: Graph,
    /// The parameters of its layers: of a convolution the weight, of a batch norm and of a linear
    /// layer what PyTorch has, in its order.
    pub(super) parameters: HashMap<NodeId, Vec<Cow<'a, Tensor>>>,
    /// Batch norms that stand for what is left of folded ones, where nothing is: they change nothing.
    pub(super) idle: HashSet<NodeId>,
    /// What the graph makes of its input before the network: `x * scale + shift` for each channel.
    pub(super) input: Option<Affine>,
    /// The window of an average pool, if the graph states one: the whole image, if the network is
    /// one of the family.
    pub(super) pool: Option<usize>,
    /// Rows and columns of its input, if the file states them.
    pub(super) image_size: Option<usize>,
    /// What follows the logits and changes no class, for a note.
    pub(super) after: Option<&'a str>,
}

/// `x * scale + shift`, of each channel.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Affine {
    pub(super) scale: Vec<f64>,
    pub(super) shift: Vec<f64>,
}

/// A value of the graph.
#[derive(Clone, Debug)]
pub(super) enum Value<'a> {
    /// The input before the network.
    Input,
    /// An activation.
    Activation(NodeId),
    /// Every so many pixels of an activation: rows, columns.
    Strided(NodeId, [usize; 2]),
    /// A linear layer without its bias.
    Product(NodeId, Cow<'a, Tensor>),
    /// A part of an activation function.
    Part(Part),
    /// Numbers that depend on no image.
    Constant(Constant<'a>),
    /// A shape, or what is computed from one.
    Shape,
    /// The logits after a softmax and the like, by its operator.
    After(&'a str),
}

/// Walks through a model.
///
/// # Errors
/// What the graph does that no network of the family does, by the name of the node.
pub(super) fn walk(model: &Model) -> Result<Walked<'_>, String> {
    let graph = &model.graph;
    let held: HashSet<&str> = graph.initializers.iter().map(|(name, _)| name.as_str()).collect();
    // Files of old list the tensors that they hold as inputs as well.
    let mut inputs = graph.inputs.iter().filter(|input| !held.contains(input.name.as_str()));
    let (Some(input), None) = (inputs.next(), inputs.next()) else {
        return Err("has no input, or several: a network of this family takes images alone".into());
    };
    let fixed = |i: usize| match input.shape.get(i) {
        Some(Dimension::Fixed(n)) => usize::try_from(*n).ok().filter(|&n| n > 0),
        _ => None,
    };
    let read_by = |op: &str| -> HashSet<&str> {
        let nodes = graph.nodes.iter().filter(|node| node.op == op);
        nodes.flat_map(|node| &node.inputs).map(String::as_str).collect()
    };
    let mut walk = Walk {
        values: HashMap::from([(input.name.as_str(), Value::Input)]),
        normed: read_by("BatchNormalization"),
        added: read_by("Add"),
        graph: None,
        epsilon: None,
        walked: HashMap::new(),
        idle: HashSet::new(),
        input: None,
        pool: None,
        left: 0,
    };
    for (name, tensor) in &graph.initializers {
        walk.left += 8 * tensor.data.len();
        walk.values.insert(name, Value::Constant(Constant::of(tensor)));
    }
    for (_, attribute) in graph.nodes.iter().flat_map(|node| &node.attributes) {
        walk.left += 8 * match attribute {
            Attribute::Tensor(tensor) => tensor.data.len(),
            Attribute::Ints(values) => values.len(),
            Attribute::Floats(values) => values.len(),
            _ => 0,
        };
    }
    for node in &graph.nodes {
        let value = walk.node(node).map_err(|why| format!("{}: {why}", described(node)))?;
        // Of a node with several outputs the family uses the first.
        let Some(output) = node.outputs.first() else { continue };
        if walk.values.insert(output, value).is_some() {
            return Err(format!("{}: its output has the name of another value", described(node)));
        }
    }
    let output = graph.outputs.first().filter(|_| graph.outputs.len() == 1);
    let output = output.ok_or("has no output, or several: a network of this family has one")?;
    let (last, after) = match walk.values.get(output.name.as_str()) {
        Some(Value::Activation(id)) => (Some(*id), None),
        Some(Value::After(op)) => {
            (walk.graph.as_ref().map(|graph| graph.nodes().len() - 1), Some(*op))
        }
        _ => (None, None),
    };
    let graph = walk.graph.take().ok_or("has no layer with parameters")?;
    if last != Some(graph.nodes().len() - 1) {
        return Err(format!("does not end with its last layer: its output is '{}'", output.name));
    }
    let epsilon = walk.epsilon.unwrap_or_default();
    for (id, parameters) in &mut walk.walked {
        // The root of this variance and the epsilon is 1 in f32.
        if let (Op::BatchNorm2d, 3) = (graph.nodes()[*id].op, parameters.len()) {
            let channels = graph.nodes()[*id].channels;
            let variance = (1.0 - epsilon.value()) as f32;
            parameters.push(Cow::Owned(constant::filled(channels, variance)));
        }
    }
    let graph = graph.with_epsilon(epsilon);
    Ok(Walked {
        graph,
        parameters: walk.walked,
        idle: walk.idle,
        input: walk.input,
        pool: walk.pool,
        image_size: fixed(2).filter(|&rows| fixed(3) == Some(rows)),
        after,
    })
}

/// A node, for people.
fn described(node: &Node) -> String {
    let output = node.outputs.first().map_or("", String::as_str);
    let name = if node.name.is_empty() { output } else { &node.name };
    format!("has a node '{name}' ({}) that is not understood", node.op)
}

pub(super) struct Walk<'a> {
    pub(super) values: HashMap<&'a str, Value<'a>>,
    /// Values that a batch norm reads, and that something is added to.
    pub(super) normed: HashSet<&'a str>,
    pub(super) added: HashSet<&'a str>,
    /// From the first convolution on.
    pub(super) graph: Option<Graph>,
    pub(super) epsilon: Option<Epsilon>,
    pub(super) walked: HashMap<NodeId, Vec<Cow<'a, Tensor>>>,
    pub(super) idle: HashSet<NodeId>,
    pub(super) input: Option<Affine>,
    pub(super) pool: Option<usize>,
    /// How many values more the file can justify: nodes can share tensors.
    pub(super) left: usize,
}

impl<'a> Walk<'a> {
    pub(super) fn node(&mut self, node: &'a Node) -> Result<Value<'a>> {
        if let Some(value) = self.after_logits(node)? {
            return Ok(value);
        }
        if let Some(value) = self.of_integers(node)? {
            return Ok(value);
        }
        match node.op.as_str() {
            "Identity" | "Dropout" | "Cast" | "CastLike" => self.unchanged(node),
            "Constant" => Ok(Value::Constant(Constant::of_node(node)?)),
            "Expand" => self.expand(node),
            "Shape" | "Gather" | "Concat" | "Unsqueeze" | "Size" | "ConstantOfShape" => {
                self.of_shape(node)
            }
            "Sub" | "Div" | "Mul" | "Add" if self.is_input(node) => self.arithmetic(node),
            "Conv" => self.conv(node),
            "BatchNormalization" => self.batch_norm(node),
            "Relu" => {
                let x = self.activation(node, 0)?;
                Ok(self.push(node, Op::Relu, &[x], None))
            }
            "Gelu" | "Mul" | "Div" | "Pow" | "Erf" | "Tanh" | "Sigmoid" => self.smooth(node),
            "Add" if self.reads_part(node) => self.smooth(node),
            "Add" => self.add(node),
            "MaxPool" => self.max_pool(node),
            "GlobalMaxPool" | "ReduceMax" => self.global_max_pool(node),
            "GlobalAveragePool" | "ReduceMean" | "AveragePool" => self.average_pool(node),
            "Flatten" | "Reshape" | "Squeeze" => self.flatten(node),
            "Slice" => self.slice(node),
            "Pad" => self.pad(node),
            "Transpose" if ints(node, "perm").is_some_and(|perm| perm != [1, 0]) => {
                Err("it transposes other dimensions than rows and columns of a matrix".into())
            }
            "Transpose" => match self.value(node, 0)? {
                Value::Constant(_) => Ok(Value::Constant(self.constant(node, 0)?.transposed()?)),
                _ => Err("activations are not transposed in this family".into()),
            },
            "Gemm" => self.gemm(node),
            "MatMul" => self.matmul(node),
            _ => Err("no network of this family has it".into()),
        }
    }

    /// What may follow the logits: it changes no class.
    fn after_logits(&self, node: &'a Node) -> Result<Option<Value<'a>>> {
        let is_last = |id: NodeId| {
            let graph = self.graph.as_ref();
            graph.is_some_and(|g| g.nodes()[id].op == Op::Linear && id + 1 == g.nodes().len())
        };
        let before = match node.inputs.first().and_then(|name| self.values.get(name.as_str())) {
            Some(Value::Activation(id)) if is_last(*id) => None,
            Some(Value::After(op)) => Some(*op),
            _ => return Ok(None),
        };
        let classes = self.graph.as_ref().map_or(0, Graph::classes);
        match node.op.as_str() {
            "Softmax" | "LogSoftmax" => {
                let axis = int(node, "axis").unwrap_or(-1);
                if !matches!(axis, 1 | -1) {
                    return Err(format!("its axis is {axis}, not that of the classes"));
                }
            }
            // Of one output, the probability of the class.
            "Sigmoid" if classes == 1 => {}
            _ => return Ok(None),
        }
        match (before, node.op.as_str()) {
            // The softmax of logarithms of probabilities is these probabilities.
            (None, _) | (Some("LogSoftmax"), "Softmax") => Ok(Some(Value::After(&node.op))),
            (Some(before), _) => {
                Err(format!("after the {before} before it, probabilities would be others"))
            }
        }
    }

    /// The value of its first input.
    pub(super) fn unchanged(&self, node: &Node) -> Result<Value<'a>> {
        match self.value(node, 0)? {
            Value::Product(..) => Err("a linear layer's bias comes right after it".into()),
            value => Ok(value.clone()),
        }
    }

    pub(super) fn value(&self, node: &Node, index: usize) -> Result<&Value<'a>> {
        let name = node.inputs.get(index).map_or("", String::as_str);
        self.values.get(name).ok_or_else(|| format!("no node before it makes its input '{name}'"))
    }

    /// A tensor of the file, paid for.
    pub(super) fn constant(&mut self, node: &Node, index: usize) -> Result<Constant<'a>> {
        let Value::Constant(constant) = self.value(node, index)? else {
            let name = &node.inputs[index];
            let computed = format!("its input '{name}' is computed");
            return Err(format!("{computed}, and should be a tensor of the file"));
        };
        let constant = constant.clone();
        self.reserve(constant.len())?;
        Ok(constant)
    }

    /// A tensor for a layer, paid for.
    pub(super) fn tensor(&mut self, node: &Node, index: usize) -> Result<Cow<'a, Tensor>> {
        self.constant(node, index)?.tensor()
    }

    pub(super) fn reserve(&mut self, values: usize) -> Result<()> {
        self.left =
            self.left.checked_sub(values).ok_or("the same tensors are used over and over")?;
        Ok(())
    }

    pub(super) fn activation(&self, node: &Node, index: usize) -> Result<NodeId> {
        match self.value(node, index)? {
            Value::Activation(id) => Ok(*id),
            Value::Input => Err("it comes before the first convolution".into()),
            _ => Err(format!("its input '{}' is no activation", node.inputs[index])),
        }
    }

    pub(super) fn is_input(&self, node: &Node) -> bool {
        (0..2).any(|i| matches!(self.value(node, i), Ok(Value::Input)))
    }

    pub(super) fn push(
        &mut self,
        node: &Node,
        op: Op,
        inputs: &[NodeId],
        channels: Option<usize>,
    ) -> Value<'a> {
        let graph = self.graph.as_mut().expect("activations come from a convolution");
        let channels = channels.unwrap_or(graph.nodes()[inputs[0]].channels);
        let name = node.outputs.first().cloned().unwrap_or_default();
        Value::Activation(graph.push(name, op, inputs, channels))
    }

    pub(super) fn channels(&self, id: NodeId) -> usize {
        self.graph.as_ref().map_or(0, |graph| graph.nodes()[id].channels)
    }
}
