//! An ONNX graph, node by node, to a [`Graph`] and the tensors of its layers.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
};

use resnet_formats::{
    Tensor,
    onnx::{Attribute, Dimension, Model, Node},
};

use super::constant::{self, Constant};
use crate::graph::{Epsilon, Graph, NodeId, Op};

type Result<T, E = String> = std::result::Result<T, E>;

/// What a file computes.
#[derive(Debug)]
pub(super) struct Walked<'a> {
    /// The network, with nodes called as in the file.
    pub(super) graph: Graph,
    /// The parameters of its layers: of a convolution the weight, of a batch norm and of a linear
    /// layer what PyTorch has, in its order.
    pub(super) parameters: HashMap<NodeId, Vec<Cow<'a, Tensor>>>,
    /// What the graph makes of its input before the network: `x * scale + shift` for each channel.
    pub(super) input: Option<Affine>,
    /// The window of an average pool, if the graph states one: the whole image, if the network is
    /// one of the family.
    pub(super) pool: Option<usize>,
    /// Rows and columns of its input, if the file states them.
    pub(super) image_size: Option<usize>,
    /// What follows the logits and changes no class, for a note.
    pub(super) after: Option<String>,
}

/// `x * scale + shift`, of each channel.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Affine {
    pub(super) scale: Vec<f64>,
    pub(super) shift: Vec<f64>,
}

/// A value of the graph.
#[derive(Clone, Debug)]
enum Value<'a> {
    /// The input before the network.
    Input,
    /// An activation.
    Activation(NodeId),
    /// Every so many pixels of an activation: rows, columns.
    Strided(NodeId, [usize; 2]),
    /// A linear layer without its bias.
    Product(NodeId, Cow<'a, Tensor>),
    /// Numbers that depend on no image.
    Constant(Constant<'a>),
    /// A shape, or what is computed from one.
    Shape,
    /// The logits after a softmax and the like.
    After,
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
        input: None,
        pool: None,
        after: None,
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
    let last = match walk.values.get(output.name.as_str()) {
        Some(Value::Activation(id)) => Some(*id),
        Some(Value::After) => walk.graph.as_ref().map(|graph| graph.nodes().len() - 1),
        _ => None,
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
        input: walk.input,
        pool: walk.pool,
        image_size: fixed(2).filter(|&rows| fixed(3) == Some(rows)),
        after: walk.after,
    })
}

/// A node, for people.
fn described(node: &Node) -> String {
    let output = node.outputs.first().map_or("", String::as_str);
    let name = if node.name.is_empty() { output } else { &node.name };
    format!("has a node '{name}' ({}) that is not understood", node.op)
}

struct Walk<'a> {
    values: HashMap<&'a str, Value<'a>>,
    /// Values that a batch norm reads, and that something is added to.
    normed: HashSet<&'a str>,
    added: HashSet<&'a str>,
    /// From the first convolution on.
    graph: Option<Graph>,
    epsilon: Option<Epsilon>,
    walked: HashMap<NodeId, Vec<Cow<'a, Tensor>>>,
    input: Option<Affine>,
    pool: Option<usize>,
    after: Option<String>,
    /// How many values more the file can justify: nodes can share tensors.
    left: usize,
}

impl<'a> Walk<'a> {
    fn node(&mut self, node: &'a Node) -> Result<Value<'a>> {
        if let Some(value) = self.after_logits(node)? {
            return Ok(value);
        }
        match node.op.as_str() {
            "Identity" | "Dropout" | "Cast" | "CastLike" => match self.value(node, 0)? {
                Value::Product(..) => Err("a linear layer's bias comes right after it".into()),
                value => Ok(value.clone()),
            },
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
            "Add" => self.add(node),
            "MaxPool" => self.max_pool(node),
            "GlobalAveragePool" | "ReduceMean" | "AveragePool" => self.average_pool(node),
            "Flatten" | "Reshape" | "Squeeze" => self.flatten(node),
            "Slice" => self.slice(node),
            "Pad" => self.pad(node),
            "Transpose" => match self.value(node, 0)? {
                Value::Constant(_) => Ok(Value::Constant(self.constant(node, 0)?.transposed()?)),
                _ => Err("activations are not turned in this family".into()),
            },
            "Gemm" => self.gemm(node),
            "MatMul" => self.matmul(node),
            _ => Err("no network of this family has it".into()),
        }
    }

    /// What may follow the logits: it changes no class.
    fn after_logits(&mut self, node: &Node) -> Result<Option<Value<'a>>> {
        let is_last = |id: NodeId| {
            let graph = self.graph.as_ref();
            graph.is_some_and(|g| g.nodes()[id].op == Op::Linear && id + 1 == g.nodes().len())
        };
        let follows = match node.inputs.first().and_then(|name| self.values.get(name.as_str())) {
            Some(Value::Activation(id)) => is_last(*id),
            Some(Value::After) => true,
            _ => false,
        };
        let classes = self.graph.as_ref().map_or(0, Graph::classes);
        match node.op.as_str() {
            _ if !follows => Ok(None),
            "Softmax" | "LogSoftmax" => {
                let axis = int(node, "axis").unwrap_or(-1);
                if !matches!(axis, 1 | -1) {
                    return Err(format!("its axis is {axis}, not that of the classes"));
                }
                self.after = Some(node.op.clone());
                Ok(Some(Value::After))
            }
            // Of one output, the probability of the class.
            "Sigmoid" if classes == 1 => {
                self.after = Some(node.op.clone());
                Ok(Some(Value::After))
            }
            _ => Ok(None),
        }
    }

    fn value(&self, node: &Node, index: usize) -> Result<&Value<'a>> {
        let name = node.inputs.get(index).map_or("", String::as_str);
        self.values.get(name).ok_or_else(|| format!("no node before it makes its input '{name}'"))
    }

    /// A tensor of the file, paid for.
    fn constant(&mut self, node: &Node, index: usize) -> Result<Constant<'a>> {
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
    fn tensor(&mut self, node: &Node, index: usize) -> Result<Cow<'a, Tensor>> {
        self.constant(node, index)?.tensor()
    }

    fn reserve(&mut self, values: usize) -> Result<()> {
        self.left =
            self.left.checked_sub(values).ok_or("the same tensors are used over and over")?;
        Ok(())
    }

    fn activation(&self, node: &Node, index: usize) -> Result<NodeId> {
        match self.value(node, index)? {
            Value::Activation(id) => Ok(*id),
            Value::Input => Err("it comes before the first convolution".into()),
            _ => Err(format!("its input '{}' is no activation", node.inputs[index])),
        }
    }

    fn is_input(&self, node: &Node) -> bool {
        (0..2).any(|i| matches!(self.value(node, i), Ok(Value::Input)))
    }

    fn push(
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

    fn channels(&self, id: NodeId) -> usize {
        self.graph.as_ref().map_or(0, |graph| graph.nodes()[id].channels)
    }

    /// Of shapes a shape; of constants, which exporters leave unfolded, nothing else that is needed.
    fn of_shape(&self, node: &Node) -> Result<Value<'a>> {
        if let ("Shape", Value::Constant(constant)) = (node.op.as_str(), self.value(node, 0)?) {
            let start = int(node, "start").unwrap_or(0);
            return Ok(Value::Constant(constant.shape(start, int(node, "end"))));
        }
        let inputs = (0..node.inputs.len()).map(|i| self.value(node, i));
        for value in inputs {
            let fits = match value? {
                Value::Shape | Value::Constant(_) => true,
                Value::Activation(_) | Value::Input => node.op == "Shape",
                _ => false,
            };
            if !fits {
                return Err("it does more than to compute a shape".into());
            }
        }
        Ok(Value::Shape)
    }

    /// A bias of zeros, as exporters leave it unfolded.
    fn expand(&mut self, node: &Node) -> Result<Value<'a>> {
        let constant = self.constant(node, 0)?;
        let shape = self.constant(node, 1)?;
        let shape =
            shape.integers()?.iter().map(|&n| usize::try_from(n).ok()).collect::<Option<Vec<_>>>();
        let count = |shape: &Vec<usize>| shape.iter().try_fold(1, |n: usize, &m| n.checked_mul(m));
        let (shape, count) = shape
            .and_then(|shape| count(&shape).map(|count| (shape, count)))
            .ok_or("its shape is of no tensor")?;
        self.reserve(count)?;
        Ok(Value::Constant(constant.expanded(&shape)?))
    }

    /// Arithmetic on the images before the network.
    fn arithmetic(&mut self, node: &Node) -> Result<Value<'a>> {
        let turned = !matches!(self.value(node, 0)?, Value::Input);
        let other = self.constant(node, usize::from(!turned))?.of_channels()?;
        let count = other.len();
        let Affine { scale, shift } =
            self.input.take().unwrap_or(Affine { scale: vec![1.0], shift: vec![0.0] });
        let count = count.max(scale.len());
        if [other.len(), scale.len()].iter().any(|&n| n != 1 && n != count) {
            return Err("its numbers are not one for each channel".into());
        }
        let at = |values: &[f64], i: usize| values[if values.len() == 1 { 0 } else { i }];
        let pair = |i: usize| -> Result<(f64, f64)> {
            let (a, b, c) = (at(&scale, i), at(&shift, i), at(&other, i));
            Ok(match (node.op.as_str(), turned) {
                ("Add", _) => (a, b + c),
                ("Mul", _) => (a * c, b * c),
                ("Sub", false) => (a, b - c),
                ("Sub", true) => (-a, c - b),
                ("Div", false) => (a / c, b / c),
                _ => return Err("images are divided by, never the other way round".into()),
            })
        };
        let pairs = (0..count).map(pair).collect::<Result<Vec<_>>>()?;
        let (scale, shift): (Vec<f64>, Vec<f64>) = pairs.into_iter().unzip();
        if scale.iter().chain(&shift).any(|x| !x.is_finite()) || scale.contains(&0.0) {
            return Err("what it makes of images is not finite".into());
        }
        self.input = Some(Affine { scale, shift });
        Ok(Value::Input)
    }

    fn conv(&mut self, node: &'a Node) -> Result<Value<'a>> {
        let weight = self.tensor(node, 1)?;
        let &[channels, inputs, rows, columns] = &weight.shape[..] else {
            return Err(format!("its weight is {:?}, no convolution's", weight.shape));
        };
        let window = Window::of(node, Some([rows, columns]))?;
        let group = int(node, "group").unwrap_or(1);
        if group != 1 {
            return Err(format!("its channels are in {group} groups"));
        }
        let from = match self.value(node, 0)? {
            Value::Input if self.graph.is_none() => {
                if let Some(Affine { scale, .. }) = &self.input
                    && scale.len() != 1
                    && scale.len() != inputs
                {
                    return Err("it has other channels than the arithmetic before it".into());
                }
                self.graph = Some(Graph::new(inputs));
                Graph::INPUT
            }
            Value::Input => return Err("a second convolution reads the images".into()),
            _ => self.activation(node, 0)?,
        };
        if self.channels(from) != inputs {
            let has = self.channels(from);
            return Err(format!("its weight is for {inputs} channels, and its input has {has}"));
        }
        let Window { kernel, stride, padding } = window;
        let op = Op::Conv2d { kernel, stride, padding };
        let conv = self.push(node, op, &[from], Some(channels));
        let Value::Activation(id) = conv else { unreachable!("it was pushed") };
        self.walked.insert(id, vec![weight]);
        let has_bias = node.inputs.get(2).is_some_and(|name| !name.is_empty());
        let bias = if has_bias { Some(self.tensor(node, 2)?) } else { None };
        let output = node.outputs.first().map_or("", String::as_str);
        if self.normed.contains(output) {
            if let Some(bias) = bias {
                self.walked.entry(id).or_default().push(bias);
            }
            return Ok(conv);
        }
        // A batch norm that was folded: what is left of it adds a bias.
        self.reserve(4 * channels)?;
        let bias = bias.unwrap_or_else(|| Cow::Owned(constant::filled(channels, 0.0)));
        let norm = self.push(node, Op::BatchNorm2d, &[id], None);
        let Value::Activation(norm_id) = norm else { unreachable!("it was pushed") };
        let filled = |x| Cow::Owned(constant::filled(channels, x));
        // The variance is filled in when the epsilon is known.
        self.walked.insert(norm_id, vec![filled(1.0), bias, filled(0.0)]);
        Ok(norm)
    }

    fn batch_norm(&mut self, node: &'a Node) -> Result<Value<'a>> {
        let x = self.activation(node, 0)?;
        if int(node, "training_mode").unwrap_or(0) != 0 {
            return Err("it is in training mode: export the model with model.eval()".into());
        }
        let epsilon = float(node, "epsilon").unwrap_or(1e-5);
        // The format has 32 bits for what PyTorch has 64 for.
        let epsilon = epsilon.to_string().parse().ok().and_then(Epsilon::new);
        let epsilon = epsilon.ok_or("its epsilon is out of bounds")?;
        if *self.epsilon.get_or_insert(epsilon) != epsilon {
            return Err("batch norms have several epsilons".into());
        }
        let mut parameters = Vec::new();
        for index in 1..5 {
            let tensor = self.tensor(node, index)?;
            if tensor.shape != [self.channels(x)] || tensor.as_f32().is_none() {
                return Err(format!("its input {index} is not a number for each channel"));
            }
            parameters.push(tensor);
        }
        // A bias before it moves its mean.
        if let Some(own) = self.walked.get_mut(&x)
            && own.len() == 2
            && let Some(bias) = own.pop()
        {
            let (Some(bias), Some(mean)) = (bias.as_f32(), parameters[2].as_f32()) else {
                return Err("its mean is no floating point".into());
            };
            let moved: Vec<f32> = mean.iter().zip(bias).map(|(mean, bias)| mean - bias).collect();
            parameters[2] = Cow::Owned(Tensor::f32(&[moved.len()], moved));
        }
        let norm = self.push(node, Op::BatchNorm2d, &[x], None);
        let Value::Activation(id) = norm else { unreachable!("it was pushed") };
        self.walked.insert(id, parameters);
        Ok(norm)
    }

    fn add(&mut self, node: &'a Node) -> Result<Value<'a>> {
        let is_product = |i: &usize| matches!(self.value(node, *i), Ok(Value::Product(..)));
        if let Some(i) = [0, 1].into_iter().find(is_product)
            && let Some(Value::Product(x, weight)) = self.values.remove(&*node.inputs[i])
        {
            let bias = self.tensor(node, 1 - i)?;
            return self.linear(node, x, weight, Some(bias));
        }
        let inputs = [self.activation(node, 0)?, self.activation(node, 1)?];
        Ok(self.push(node, Op::Add, &inputs, None))
    }

    fn max_pool(&mut self, node: &Node) -> Result<Value<'a>> {
        let x = self.activation(node, 0)?;
        let Window { kernel, stride, padding } = Window::of(node, None)?;
        Ok(self.push(node, Op::MaxPool2d { kernel, stride, padding }, &[x], None))
    }

    /// Of the whole image.
    fn average_pool(&mut self, node: &Node) -> Result<Value<'a>> {
        let x = self.activation(node, 0)?;
        match node.op.as_str() {
            "AveragePool" => {
                let Window { kernel, padding, .. } = Window::of(node, None)?;
                if padding != 0 || self.pool.is_some() {
                    return Err("it is no average over the whole image".into());
                }
                self.pool = Some(kernel);
            }
            "ReduceMean" => {
                let axes = match node.inputs.get(1).filter(|name| !name.is_empty()) {
                    Some(_) => self.constant(node, 1)?.integers()?.to_vec(),
                    None => ints(node, "axes").unwrap_or_default().to_vec(),
                };
                let mut axes: Vec<i64> =
                    axes.iter().map(|&a| if a < 0 { a + 4 } else { a }).collect();
                axes.sort_unstable();
                if axes != [2, 3] {
                    return Err("it is no mean over rows and columns".into());
                }
            }
            _ => {}
        }
        Ok(self.push(node, Op::GlobalAvgPool, &[x], None))
    }

    /// A pooled image is a vector already.
    fn flatten(&mut self, node: &Node) -> Result<Value<'a>> {
        match self.value(node, 0)? {
            // A constant's new shape does not matter where one number is for each channel.
            Value::Shape => return Ok(Value::Shape),
            Value::Constant(constant) => {
                return Ok(Value::Constant(constant.clone()));
            }
            _ => {}
        }
        let x = self.activation(node, 0)?;
        let graph = self.graph.as_ref().expect("there are activations");
        let op = graph.nodes()[x].op;
        if !matches!(op, Op::GlobalAvgPool | Op::Linear) {
            return Err("it comes before an average over the whole image".into());
        }
        Ok(Value::Activation(x))
    }

    fn slice(&mut self, node: &Node) -> Result<Value<'a>> {
        let (x, mut strides) = match self.value(node, 0)? {
            Value::Strided(x, strides) => (*x, *strides),
            Value::Shape | Value::Constant(_) => return Ok(Value::Shape),
            _ => (self.activation(node, 0)?, [1, 1]),
        };
        let mut list = |index: usize| -> Result<Vec<i64>> {
            match node.inputs.get(index).filter(|name| !name.is_empty()) {
                Some(_) => Ok(self.constant(node, index)?.integers()?.to_vec()),
                None => Ok(Vec::new()),
            }
        };
        let (starts, ends, axes, steps) = (list(1)?, list(2)?, list(3)?, list(4)?);
        for (i, (&start, &end)) in starts.iter().zip(&ends).enumerate() {
            let axis = axes.get(i).copied().unwrap_or(i as i64);
            let step = steps.get(i).copied().unwrap_or(1);
            let axis = if axis < 0 { axis + 4 } else { axis };
            // Images are smaller than any end that stands for all.
            if start != 0 || end < 1 << 20 {
                return Err("it cuts a part out".into());
            }
            let step = usize::try_from(step).ok().filter(|&step| step > 0);
            match (axis, step) {
                (_, Some(1)) => {}
                (2 | 3, Some(step)) => {
                    let stride = &mut strides[axis as usize - 2];
                    let total = stride.checked_mul(step).filter(|&total| total <= 1 << 10);
                    *stride = total.ok_or("its steps are too large")?;
                }
                _ => return Err("it takes other steps than over pixels".into()),
            }
        }
        Ok(Value::Strided(x, strides))
    }

    fn pad(&mut self, node: &Node) -> Result<Value<'a>> {
        let (x, strides) = match self.value(node, 0)? {
            Value::Strided(x, strides) => (*x, *strides),
            _ => (self.activation(node, 0)?, [1, 1]),
        };
        let mode = node.attributes.iter().find(|(name, _)| name == "mode");
        if mode.is_some_and(|(_, mode)| *mode != Attribute::Text("constant".into())) {
            return Err("it pads with other values than zeros".into());
        }
        if node.inputs.get(2).is_some_and(|name| !name.is_empty())
            && self.constant(node, 2)?.of_channels()?.iter().any(|&value| value != 0.0)
        {
            return Err("it pads with other values than zeros".into());
        }
        let pads = self.constant(node, 1)?;
        let &[0, before, 0, 0, 0, after, 0, 0] = pads.integers()? else {
            return Err("it pads more than channels".into());
        };
        let [stride, columns] = strides;
        let pads = usize::try_from(before).ok().zip(usize::try_from(after).ok());
        let Some((before, after)) = pads.filter(|&(b, a)| stride == columns && b.max(a) < 1 << 20)
        else {
            return Err("it is no shortcut of option A".into());
        };
        if before != (before + after) / 2 {
            return Err("it has not as many zero channels before as after".into());
        }
        let channels = self.channels(x) + before + after;
        Ok(self.push(node, Op::PadShortcut { stride }, &[x], Some(channels)))
    }

    fn gemm(&mut self, node: &'a Node) -> Result<Value<'a>> {
        let x = self.activation(node, 0)?;
        let scale = |name| float(node, name).unwrap_or(1.0);
        if int(node, "transA").unwrap_or(0) != 0 || scale("alpha") != 1.0 || scale("beta") != 1.0 {
            return Err("its operands are turned or scaled".into());
        }
        let mut weight = self.tensor(node, 1)?;
        if int(node, "transB").unwrap_or(0) == 0 {
            weight = Cow::Owned(constant::transposed(&weight)?);
        }
        let has_bias = node.inputs.get(2).is_some_and(|name| !name.is_empty());
        let bias = if has_bias { Some(self.tensor(node, 2)?) } else { None };
        self.linear(node, x, weight, bias)
    }

    fn matmul(&mut self, node: &'a Node) -> Result<Value<'a>> {
        let x = self.activation(node, 0)?;
        let weight = Cow::Owned(constant::transposed(&*self.tensor(node, 1)?)?);
        let output = node.outputs.first().map_or("", String::as_str);
        if self.added.contains(output) {
            return Ok(Value::Product(x, weight));
        }
        self.linear(node, x, weight, None)
    }

    /// A linear layer of this weight `[classes, channels]`.
    fn linear(
        &mut self,
        node: &'a Node,
        x: NodeId,
        weight: Cow<'a, Tensor>,
        bias: Option<Cow<'a, Tensor>>,
    ) -> Result<Value<'a>> {
        let &[classes, channels] = &weight.shape[..] else {
            return Err(format!("its weight is {:?}, no matrix", weight.shape));
        };
        if self.channels(x) != channels {
            let has = self.channels(x);
            return Err(format!("its weight is for {channels} channels, and its input has {has}"));
        }
        let bias = bias.unwrap_or_else(|| Cow::Owned(constant::filled(classes, 0.0)));
        if bias.data.len() != classes {
            return Err("its bias is not a number for each class".into());
        }
        let bias = match bias.shape[..] {
            [_] => bias,
            _ => Cow::Owned(Tensor { shape: vec![classes], data: bias.into_owned().data }),
        };
        let value = self.push(node, Op::Linear, &[x], Some(classes));
        let Value::Activation(id) = value else { unreachable!("it was pushed") };
        self.walked.insert(id, vec![weight, bias]);
        Ok(value)
    }
}

/// A square window.
struct Window {
    kernel: usize,
    stride: usize,
    padding: usize,
}

impl Window {
    /// Of a convolution or a pool; the shape of a weight says the former's size.
    fn of(node: &Node, weight: Option<[usize; 2]>) -> Result<Window> {
        let all = |name: &str, default: i64| -> Result<usize> {
            let values = ints(node, name).unwrap_or(&[]);
            let first = values.first().copied().unwrap_or(default);
            let same = values.iter().all(|&value| value == first);
            let first = usize::try_from(first).ok().filter(|&n| same && n < 1 << 16);
            first.ok_or_else(|| format!("its {name} are {values:?}, which no window here has"))
        };
        let kernel = match weight {
            Some([rows, columns]) if rows == columns => rows,
            Some([rows, columns]) => return Err(format!("its window is {rows}x{columns}")),
            None => all("kernel_shape", 0)?,
        };
        if ints(node, "kernel_shape").is_some_and(|s| s.iter().any(|&side| side != kernel as i64)) {
            return Err("its window is not as large as its weight".into());
        }
        let dilation = all("dilations", 1)?;
        if dilation != 1 {
            return Err(format!("its window is dilated by {dilation}"));
        }
        if int(node, "ceil_mode").unwrap_or(0) != 0 {
            return Err("its window reaches beyond the image (ceil_mode)".into());
        }
        let auto = node.attributes.iter().find(|(name, _)| name == "auto_pad");
        if let Some((_, Attribute::Text(auto))) = auto
            && auto != "NOTSET"
        {
            return Err(format!("its padding is {auto}: export it with explicit pads"));
        }
        let (stride, padding) = (all("strides", 1)?, all("pads", 0)?);
        Ok(Window { kernel, stride, padding })
    }
}

fn attribute<'n>(node: &'n Node, name: &str) -> Option<&'n Attribute> {
    node.attributes.iter().find(|(found, _)| found == name).map(|(_, value)| value)
}

fn int(node: &Node, name: &str) -> Option<i64> {
    if let Some(Attribute::Int(value)) = attribute(node, name) { Some(*value) } else { None }
}

fn ints<'n>(node: &'n Node, name: &str) -> Option<&'n [i64]> {
    if let Some(Attribute::Ints(values)) = attribute(node, name) { Some(values) } else { None }
}

fn float(node: &Node, name: &str) -> Option<f32> {
    if let Some(Attribute::Float(value)) = attribute(node, name) { Some(*value) } else { None }
}
