//! The model of an ONNX file.

use crate::tensor::{Metadata, NamedTensors, Tensor};

/// A model: a graph, its producer and metadata.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Model {
    /// Name of the program that wrote the file.
    pub producer: String,
    /// Version of that program.
    pub producer_version: String,
    /// Metadata: strings by key.
    pub metadata: Metadata,
    /// The graph.
    pub graph: Graph,
}

/// Operators in topological order, connected by the names of values.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Graph {
    /// Its name.
    pub name: String,
    /// The operators.
    pub nodes: Vec<Node>,
    /// Initialisers: tensors of parameters, by name.
    pub initializers: NamedTensors,
    /// Inputs: float32 tensors.
    pub inputs: Vec<Value>,
    /// Outputs: float32 tensors.
    pub outputs: Vec<Value>,
}

/// A node: the use of an operator.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// The operator, such as `Conv`.
    pub op: String,
    /// Names of its inputs; empty for an absent optional input.
    pub inputs: Vec<String>,
    /// Names of its outputs.
    pub outputs: Vec<String>,
    /// Its attributes by name.
    pub attributes: Vec<(String, Attribute)>,
}

/// Value of an attribute.
#[derive(Clone, Debug, PartialEq)]
pub enum Attribute {
    /// A floating-point number.
    Float(f32),
    /// An integer.
    Int(i64),
    /// Integers.
    Ints(Vec<i64>),
    /// Floating-point numbers.
    Floats(Vec<f32>),
    /// A text.
    Text(String),
    /// A tensor.
    Tensor(Tensor),
    /// Something else, which is not read and cannot be written.
    Other,
}

/// An input or output of a graph.
#[derive(Clone, Debug, PartialEq)]
pub struct Value {
    /// Its name.
    pub name: String,
    /// Documentation of the value.
    pub doc: String,
    /// Its dimensions.
    pub shape: Vec<Dimension>,
}

/// A dimension.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dimension {
    /// A fixed size.
    Fixed(i64),
    /// A dynamic size; dimensions of the same name have the same size.
    Dynamic(String),
}
