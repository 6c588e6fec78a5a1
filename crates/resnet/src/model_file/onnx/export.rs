//! Exports a network to ONNX.

use std::{
    collections::{HashMap, HashSet},
    io,
    path::PathBuf,
};

use resnet_formats::{
    Destination, NamedTensors, Shown,
    onnx::{self, Attribute, Dimension, Model, Value},
    safetensors::Metadata,
};
use thiserror::Error;

use super::fold::folded;
use crate::{
    graph::{Epsilon, Graph, GraphError, Node, NodeId, Op},
    model_file::key,
    network::Network,
};

/// Options of [`export`].
#[derive(Clone, Debug, Default)]
pub struct ExportOptions {
    /// Whether batch norms are folded into the convolutions before them. The file is then smaller
    /// and faster. Otherwise the initialisers are bit-identical to the state dict.
    pub fold: bool,
    /// The file's metadata: architecture, class names and preprocessing, under the keys of
    /// [`model_file::key`](crate::model_file::key).
    pub metadata: Metadata,
}

/// Why a network cannot be exported.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ExportError {
    /// The graph breaks a rule of the family.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// The file cannot be written.
    #[error("{} cannot be written: {source}", path.shown())]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
}

/// Writes a network to an ONNX file. Equal networks and options give equal bytes.
///
/// ```
/// # let dir = tempfile::tempdir()?;
/// use resnet::{Arch, Network, network::Init, onnx::{ExportOptions, export, import}};
/// let arch: Arch = "resnet8".parse()?;
/// let net = Network::new(arch.graph(10), Init::PyTorch, 0);
/// let path = dir.path().join("resnet8.onnx");
/// let metadata = [("arch".to_owned(), arch.to_string())].into();
/// export(&net, &path, &ExportOptions { fold: false, metadata })?;
/// let read = import(&path)?;
/// assert_eq!(read.arch, arch);
/// assert_eq!(read.state[0], net.state_dict()[0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// If the graph breaks a rule of the family, or the file cannot be written.
pub fn export<'p>(
    net: &Network,
    destination: impl Into<Destination<'p>>,
    options: &ExportOptions,
) -> Result<(), ExportError> {
    let (destination, model) = (destination.into(), model(net, options)?);
    let write = |source| ExportError::Write { path: destination.path().to_owned(), source };
    onnx::write(destination, &model).map_err(write)
}

/// The ONNX model that [`export`] writes.
///
/// # Errors
/// If the graph breaks a rule of the family.
pub fn model(net: &Network, options: &ExportOptions) -> Result<Model, GraphError> {
    let graph = net.graph();
    // Whether the rules hold does not depend on the image size.
    graph.shapes(LARGE, LARGE)?;
    graph.check()?;
    let dynamic = |name: &str| Dimension::Dynamic(name.to_owned());
    let fixed = |extent: usize| Dimension::Fixed(extent as i64);
    let input = [dynamic("batch"), fixed(graph.in_channels()), dynamic("height"), dynamic("width")];
    let norms = if options.fold { norms(graph) } else { vec![None; graph.nodes().len()] };
    Ok(Model {
        producer: env!("CARGO_PKG_NAME").to_owned(),
        producer_version: env!("CARGO_PKG_VERSION").to_owned(),
        metadata: options.metadata.clone(),
        graph: onnx::Graph {
            name: options.metadata.get(key::ARCH).map_or("network", String::as_str).to_owned(),
            nodes: nodes(graph, &norms),
            initializers: initializers(net, &norms),
            inputs: vec![Value {
                name: INPUT.to_owned(),
                doc: "images: (pixel / 255 - mean) / std for each channel".to_owned(),
                shape: input.to_vec(),
            }],
            outputs: vec![Value {
                name: LOGITS.to_owned(),
                doc: "scores before softmax, one for each class".to_owned(),
                shape: vec![dynamic("batch"), fixed(graph.classes())],
            }],
        },
    })
}

/// Rows and columns into which every window fits.
const LARGE: usize = 1 << 14;

const INPUT: &str = "input";
const LOGITS: &str = "logits";

/// For each convolution, the batch norm that can be folded into it: its only reader.
fn norms(graph: &Graph) -> Vec<Option<NodeId>> {
    let nodes = graph.nodes();
    let reader = |id: NodeId| {
        let mut readers = (0..nodes.len()).filter(|&reader| nodes[reader].inputs.contains(&id));
        match (readers.next(), readers.next()) {
            (Some(only), None) => Some(only),
            _ => None,
        }
    };
    let norm = |id: NodeId| match nodes[id].op {
        Op::Conv2d { .. } => reader(id).filter(|&reader| nodes[reader].op == Op::BatchNorm2d),
        _ => None,
    };
    (0..nodes.len()).map(norm).collect()
}

/// The state dict, without folded batch norms and `num_batches_tracked`.
fn initializers(net: &Network, norms: &[Option<NodeId>]) -> NamedTensors {
    let name = |id: NodeId| net.graph().nodes()[id].name.as_str();
    let folds = norms.iter().enumerate().filter_map(|(conv, norm)| Some((conv, (*norm)?)));
    let (convs, folded_norms): (HashMap<&str, NodeId>, HashSet<&str>) =
        folds.map(|(conv, norm)| ((name(conv), norm), name(norm))).unzip();
    let mut tensors = NamedTensors::new();
    for (name, mut tensor) in net.state_dict() {
        let (module, what) = name.rsplit_once('.').expect("a module and a tensor");
        if what == "num_batches_tracked" || folded_norms.contains(module) {
            continue;
        }
        let bias = convs.get(module).map(|&norm| folded(net, norm, &mut tensor));
        let bias = bias.map(|bias| (format!("{module}.bias"), bias));
        tensors.push((name, tensor));
        tensors.extend(bias);
    }
    tensors
}

/// The operators, in the graph's order.
fn nodes(graph: &Graph, norms: &[Option<NodeId>]) -> Vec<onnx::Node> {
    let last = graph.nodes().len() - 1;
    // The value of a folded batch norm is its convolution's.
    let value = |id: NodeId| {
        let id = norms.iter().position(|&norm| norm == Some(id)).unwrap_or(id);
        match id {
            Graph::INPUT => INPUT.to_owned(),
            _ if id == last => LOGITS.to_owned(),
            _ => graph.nodes()[id].name.clone(),
        }
    };
    let mut nodes = Vec::new();
    for (id, node) in graph.nodes().iter().enumerate().skip(1) {
        if norms.contains(&Some(id)) {
            continue;
        }
        let inputs = node.inputs.iter().map(|&input| value(input)).collect();
        let epsilon = graph.epsilon();
        let mut writer = Writer { node, epsilon, nodes: &mut nodes, output: value(id) };
        let channels = graph.nodes()[node.inputs[0]].channels;
        writer.write(inputs, channels, norms[id].is_some());
    }
    nodes
}

/// Writes the operators that compute one node.
struct Writer<'a> {
    node: &'a Node,
    epsilon: Epsilon,
    nodes: &'a mut Vec<onnx::Node>,
    output: String,
}

impl Writer<'_> {
    /// Writes the node. `channels` are those of its input; `bias`: whether a convolution has one.
    fn write(&mut self, mut inputs: Vec<String>, channels: usize, bias: bool) {
        let parameters = |names: &[&str]| -> Vec<String> {
            names.iter().map(|name| format!("{}.{name}", self.node.name)).collect()
        };
        match self.node.op {
            Op::Input => {}
            Op::Conv2d { kernel, stride, padding, groups } => {
                inputs.extend(parameters(if bias { &["weight", "bias"] } else { &["weight"] }));
                let mut attributes = window(kernel, stride, padding);
                if groups > 1 {
                    attributes.push(("group", Attribute::Int(groups as i64)));
                }
                self.operator("Conv", inputs, attributes);
            }
            Op::BatchNorm2d => {
                inputs.extend(parameters(&["weight", "bias", "running_mean", "running_var"]));
                let epsilon = Attribute::Float(self.epsilon.value() as f32);
                self.operator("BatchNormalization", inputs, vec![("epsilon", epsilon)]);
            }
            Op::Relu => self.operator("Relu", inputs, vec![]),
            Op::Gelu { tanh } => self.gelu(&inputs[0], tanh),
            Op::Silu => {
                let sigmoid = self.step("sigmoid", "Sigmoid", inputs.clone(), vec![]);
                inputs.push(sigmoid);
                self.operator("Mul", inputs, vec![]);
            }
            Op::Add => self.operator("Add", inputs, vec![]),
            Op::MaxPool2d { kernel, stride, padding } => {
                self.operator("MaxPool", inputs, window(kernel, stride, padding));
            }
            Op::AvgPool2d { kernel } => {
                let mut attributes = window(kernel, kernel, 0);
                attributes.push(("ceil_mode", Attribute::Int(1)));
                attributes.push(("count_include_pad", Attribute::Int(0)));
                self.operator("AveragePool", inputs, attributes);
            }
            Op::GlobalAvgPool => self.operator("GlobalAveragePool", inputs, vec![]),
            Op::GlobalMaxPool => self.operator("GlobalMaxPool", inputs, vec![]),
            Op::Linear => {
                let flat =
                    self.step("flatten", "Flatten", inputs, vec![("axis", Attribute::Int(1))]);
                let mut inputs = vec![flat];
                inputs.extend(parameters(&["weight", "bias"]));
                // The weight is [classes, channels].
                self.operator("Gemm", inputs, vec![("transB", Attribute::Int(1))]);
            }
            Op::PadShortcut { stride } => self.pad_shortcut(inputs, channels, stride),
        }
    }

    /// Its arithmetic, as files of this version have no operator: `x (1 + f(x)) / 2`.
    fn gelu(&mut self, x: &str, tanh: bool) {
        let x = || x.to_owned();
        let binary = |writer: &mut Self, name: &str, op: &str, a: String, b: String| {
            writer.step(name, op, vec![a, b], vec![])
        };
        let inner = if tanh {
            let root = (2.0 / std::f64::consts::PI).sqrt();
            let (root, cubic) = (self.number("root", root), self.number("cubic", 0.044_715));
            let square = binary(self, "square", "Mul", x(), x());
            let cube = binary(self, "cube", "Mul", square, x());
            let term = binary(self, "term", "Mul", cube, cubic);
            let sum = binary(self, "sum", "Add", x(), term);
            let scaled = binary(self, "scaled", "Mul", sum, root);
            self.step("tanh", "Tanh", vec![scaled], vec![])
        } else {
            let root = self.number("root", std::f64::consts::SQRT_2);
            let scaled = binary(self, "scaled", "Div", x(), root);
            self.step("erf", "Erf", vec![scaled], vec![])
        };
        let (one, half) = (self.number("one", 1.0), self.number("half", 0.5));
        let factor = binary(self, "factor", "Add", inner, one);
        let product = binary(self, "product", "Mul", x(), factor);
        self.operator("Mul", vec![product, half], vec![]);
    }

    fn number(&mut self, name: &str, value: f64) -> String {
        let value = vec![("value_float", Attribute::Float(value as f32))];
        self.step(name, "Constant", vec![], value)
    }

    /// Option A: every `stride`-th pixel, with half of the zero channels before and half after (one
    /// more after if their number is odd).
    fn pad_shortcut(&mut self, mut inputs: Vec<String>, channels: usize, stride: usize) {
        let (zeros, stride) = ((self.node.channels - channels) as i64, stride as i64);
        let (before, after) = (zeros / 2, zeros - zeros / 2);
        let slice: [(_, &[i64]); 4] = [
            ("starts", &[0, 0]),
            ("ends", &[i64::MAX, i64::MAX]),
            ("axes", &[2, 3]),
            ("steps", &[stride, stride]),
        ];
        inputs.extend(slice.map(|(name, values)| self.constant(name, values)));
        let sliced = self.step("slice", "Slice", inputs, vec![]);
        let pads = self.constant("pads", &[0, before, 0, 0, 0, after, 0, 0]);
        self.operator("Pad", vec![sliced, pads], vec![]);
    }

    fn constant(&mut self, name: &str, values: &[i64]) -> String {
        let values = vec![("value_ints", Attribute::Ints(values.to_vec()))];
        self.step(name, "Constant", vec![], values)
    }

    /// An intermediate operator; returns the name of its value.
    fn step(
        &mut self,
        name: &str,
        op: &str,
        inputs: Vec<String>,
        attributes: Vec<(&str, Attribute)>,
    ) -> String {
        let name = format!("{}.{name}", self.node.name);
        self.push(name.clone(), op, inputs, name.clone(), attributes);
        name
    }

    /// The operator that computes the node's value.
    fn operator(&mut self, op: &str, inputs: Vec<String>, attributes: Vec<(&str, Attribute)>) {
        self.push(self.node.name.clone(), op, inputs, self.output.clone(), attributes);
    }

    fn push(
        &mut self,
        name: String,
        op: &str,
        inputs: Vec<String>,
        output: String,
        attributes: Vec<(&str, Attribute)>,
    ) {
        let attributes = attributes.into_iter().map(|(name, value)| (name.to_owned(), value));
        self.nodes.push(onnx::Node {
            name,
            op: op.to_owned(),
            inputs,
            outputs: vec![output],
            attributes: attributes.collect(),
        });
    }
}

/// The attributes of a square window.
fn window(kernel: usize, stride: usize, padding: usize) -> Vec<(&'static str, Attribute)> {
    let ints = |value: usize, count: usize| Attribute::Ints(vec![value as i64; count]);
    vec![
        ("kernel_shape", ints(kernel, 2)),
        ("strides", ints(stride, 2)),
        ("pads", ints(padding, 4)),
    ]
}
