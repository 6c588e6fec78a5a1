//! Writes a model.

use std::io;

use super::{
    model::{Attribute, Dimension, Model, Node, Value},
    numbers::{dtype, kind},
};
use crate::{Data, Destination, Tensor, atomic_write, protobuf::Message};

/// Version of the format, and of the operator set. Both are of 2022, and all current readers
/// support them.
const IR_VERSION: i64 = 8;
const OPERATORS: i64 = 17;

/// The largest message that all readers accept.
const MOST_BYTES: usize = i32::MAX as usize;

/// The error of a model that is too large for a file.
pub const TOO_LARGE: &str = "an ONNX file holds at most 2 GiB";

/// Writes a file atomically. Equal input gives equal bytes.
///
/// # Errors
/// As [`atomic_write`], and [`TOO_LARGE`].
///
/// # Panics
/// If an attribute is [`Attribute::Floats`], [`Attribute::Tensor`] or [`Attribute::Other`].
pub fn write<'p>(destination: impl Into<Destination<'p>>, model: &Model) -> io::Result<()> {
    let graph = &model.graph;
    // The tensors' values are most of the file, so they are not copied.
    let tensors: Vec<(Message, &Data)> = graph.initializers.iter().map(tensor).collect();
    let fields = Message::default()
        .each(&graph.nodes, |fields, n| fields.message(1, &node(n)))
        .text(2, &graph.name)
        .each(&graph.inputs, |fields, v| fields.message(11, &value_info(v)))
        .each(&graph.outputs, |fields, v| fields.message(12, &value_info(v)));
    let length = fields.0.len()
        + tensors.iter().map(|(start, data)| start.0.len() + bytes(data)).sum::<usize>();
    let operators = Message::default().text(1, "").int(2, OPERATORS);
    let start = Message::default()
        .int(1, IR_VERSION)
        .text(2, &model.producer)
        .text(3, &model.producer_version)
        .message(8, &operators)
        .each(&model.metadata, |fields, (key, value)| {
            fields.message(14, &Message::default().text(1, key).text(2, value))
        })
        .length(7, length);
    if start.0.len() + length > MOST_BYTES {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, TOO_LARGE));
    }
    atomic_write(destination, |file| {
        file.write_all(&start.0)?;
        file.write_all(&fields.0)?;
        tensors.iter().try_for_each(|(start, data)| {
            file.write_all(&start.0)?;
            data.write(file)
        })
    })
}

/// The field of a tensor, without its values.
fn tensor((name, tensor): &(String, Tensor)) -> (Message, &Data) {
    let dtype = match &tensor.data {
        Data::F32(_) => dtype::FLOAT,
        Data::I64(_) => dtype::INT64,
    };
    let start = Message::default()
        .each(&tensor.shape, |fields, &extent| fields.int(1, extent as i64))
        .int(2, dtype)
        .text(8, name)
        .length(9, bytes(&tensor.data));
    let mut field = Message::default().length(5, start.0.len() + bytes(&tensor.data));
    field.0.extend(start.0);
    (field, &tensor.data)
}

fn bytes(data: &Data) -> usize {
    match data {
        Data::F32(values) => size_of_val(&values[..]),
        Data::I64(values) => size_of_val(&values[..]),
    }
}

fn node(node: &Node) -> Message {
    Message::default()
        .each(&node.inputs, |fields, name| fields.text(1, name))
        .each(&node.outputs, |fields, name| fields.text(2, name))
        .text(3, &node.name)
        .text(4, &node.op)
        .each(&node.attributes, |fields, a| fields.message(5, &attribute(a)))
}

fn attribute((name, value): &(String, Attribute)) -> Message {
    let fields = Message::default().text(1, name);
    match value {
        Attribute::Float(value) => fields.float(2, *value).int(20, kind::FLOAT),
        Attribute::Int(value) => fields.int(3, *value).int(20, kind::INT),
        Attribute::Ints(values) => {
            fields.each(values, |fields, &value| fields.int(8, value)).int(20, kind::INTS)
        }
        Attribute::Text(text) => fields.text(4, text).int(20, kind::TEXT),
        Attribute::Floats(_) | Attribute::Tensor(_) | Attribute::Other => {
            panic!("attribute '{name}' has no value that can be written")
        }
    }
}

fn value_info(value: &Value) -> Message {
    let shape = Message::default().each(&value.shape, |fields, extent| {
        let extent = match extent {
            Dimension::Fixed(extent) => Message::default().int(1, *extent),
            Dimension::Dynamic(name) => Message::default().text(2, name),
        };
        fields.message(1, &extent)
    });
    let tensor = Message::default().int(1, dtype::FLOAT).message(2, &shape);
    Message::default()
        .text(1, &value.name)
        .message(2, &Message::default().message(1, &tensor))
        .text(3, &value.doc)
}
