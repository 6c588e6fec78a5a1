//! A model as an ONNX file holds it.

use crate::tensor::{Metadata, NamedTensors, Tensor};

/// A model: a graph, and who made it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Model {
    /// Name of the program that wrote it.
    pub producer: String,
    /// Its version.
    pub producer_version: String,
    /// Free-form strings by key.
    pub metadata: Metadata,
    /// What it computes.
    pub graph: Graph,
}

/// Operators in topological order, connected by the names of values.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Graph {
    /// Its name.
    pub name: String,
    /// The operators.
    pub nodes: Vec<Node>,
    /// Values that are there from the start.
    pub initializers: NamedTensors,
    /// What it takes: tensors of 32-bit floating point.
    pub inputs: Vec<Value>,
    /// What it gives: tensors of 32-bit floating point.
    pub outputs: Vec<Value>,
}

/// An operator's use.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// The operator, such as `Conv`.
    pub op: String,
    /// Names of the values it reads; an empty name stands for an optional one that is absent.
    pub inputs: Vec<String>,
    /// Names of the values it makes.
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
    /// What a reader of the file should know of it.
    pub doc: String,
    /// Extent of each dimension.
    pub shape: Vec<Dimension>,
}

/// Extent of a dimension.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dimension {
    /// So many.
    Fixed(i64),
    /// Any number; the same one wherever the name is the same.
    Dynamic(String),
}
