//! Reads a model from bytes.

use std::collections::HashSet;

use super::{
    external::External,
    model::{Attribute, Dimension, Graph, Model, Node, Value},
    numbers::{dtype, kind},
};
use crate::{
    element_type::ElementType,
    error::{FormatErrorKind, Malformed},
    protobuf::{FieldValue, Fields, varint},
    tensor::{Data, Metadata, NamedTensors, Tensor},
};

/// The most items of a repeated field.
const MOST: usize = 1 << 16;

/// The most dimensions of a tensor.
const MOST_DIMENSIONS: usize = 8;

pub(super) fn model(bytes: &[u8], external: &mut External<'_>) -> Result<Model, FormatErrorKind> {
    let model = Fields(bytes);
    // Readers differ in what a second graph means.
    let mut graphs = numbered(model, 7);
    let (Some(found), None) = (graphs.next().transpose()?, graphs.next().transpose()?) else {
        return Err(Malformed::Graph.into());
    };
    Ok(Model {
        producer: text(model, 2)?,
        producer_version: text(model, 3)?,
        metadata: metadata(model)?,
        graph: graph(found.message()?, external)?,
    })
}

fn metadata(model: Fields<'_>) -> Result<Metadata, FormatErrorKind> {
    let mut metadata = Metadata::new();
    for entry in repeated(model, 14, "metadata entries", FieldValue::message)? {
        let key = text(entry, 1)?;
        match metadata.entry(key) {
            std::collections::btree_map::Entry::Occupied(entry) => {
                return Err(FormatErrorKind::DuplicateName(entry.key().clone()));
            }
            std::collections::btree_map::Entry::Vacant(place) => place.insert(text(entry, 2)?),
        };
    }
    Ok(metadata)
}

fn graph(graph: Fields<'_>, external: &mut External<'_>) -> Result<Graph, FormatErrorKind> {
    let initializers: NamedTensors =
        repeated(graph, 5, "tensors", |value| tensor(value.message()?, external))?;
    let mut names = HashSet::new();
    if let Some((name, _)) = initializers.iter().find(|(name, _)| !names.insert(name)) {
        return Err(FormatErrorKind::DuplicateName(name.clone()));
    }
    Ok(Graph {
        name: text(graph, 2)?,
        nodes: repeated(graph, 1, "nodes", |value| node(value.message()?))?,
        initializers,
        inputs: repeated(graph, 11, "inputs", |value| value_info(value.message()?))?,
        outputs: repeated(graph, 12, "outputs", |value| value_info(value.message()?))?,
    })
}

fn node(node: Fields<'_>) -> Result<Node, FormatErrorKind> {
    let op = text(node, 4)?;
    if op.is_empty() {
        return Err(Malformed::Incomplete { what: "node", lacks: "an operator" }.into());
    }
    Ok(Node {
        name: text(node, 3)?,
        op,
        inputs: repeated(node, 1, "inputs", FieldValue::string)?,
        outputs: repeated(node, 2, "outputs", FieldValue::string)?,
        attributes: repeated(node, 5, "attributes", |value| attribute(value.message()?))?,
    })
}

fn attribute(attribute: Fields<'_>) -> Result<(String, Attribute), FormatErrorKind> {
    let name = text(attribute, 1)?;
    if name.is_empty() {
        return Err(Malformed::Incomplete { what: "attribute", lacks: "a name" }.into());
    }
    let value = match int(attribute, 20)? {
        kind::FLOAT => {
            let value = last(attribute, 2)?.map(FieldValue::float).transpose()?;
            Attribute::Float(value.unwrap_or_default())
        }
        kind::INT => Attribute::Int(int(attribute, 3)?),
        kind::INTS => Attribute::Ints(ints(attribute, 8)?),
        kind::FLOATS => Attribute::Floats(floats(attribute, 7, &name)?),
        kind::TEXT => Attribute::Text(text(attribute, 4)?),
        kind::TENSOR => {
            Attribute::Tensor(values_of(message(attribute, 5)?, &name, &mut External::default())?)
        }
        _ => Attribute::Other,
    };
    Ok((name, value))
}

fn value_info(value: Fields<'_>) -> Result<Value, Malformed> {
    let name = text(value, 1)?;
    if name.is_empty() {
        return Err(Malformed::Incomplete { what: "value", lacks: "a name" });
    }
    let shape = message(message(message(value, 2)?, 1)?, 2)?;
    Ok(Value {
        name,
        doc: text(value, 3)?,
        shape: repeated(shape, 1, "dimensions", |value| dimension(value.message()?))?,
    })
}

fn dimension(dimension: Fields<'_>) -> Result<Dimension, Malformed> {
    Ok(match last(dimension, 1)? {
        Some(extent) => Dimension::Fixed(extent.int()?),
        None => Dimension::Dynamic(text(dimension, 2)?),
    })
}

fn tensor(
    tensor: Fields<'_>,
    external: &mut External<'_>,
) -> Result<(String, Tensor), FormatErrorKind> {
    let name = text(tensor, 8)?;
    if name.is_empty() {
        return Err(Malformed::Incomplete { what: "tensor", lacks: "a name" }.into());
    }
    let tensor = values_of(tensor, &name, external)?;
    Ok((name, tensor))
}

/// A tensor; `name` is for errors.
fn values_of(
    tensor: Fields<'_>,
    name: &str,
    external: &mut External<'_>,
) -> Result<Tensor, FormatErrorKind> {
    const EXTERNAL: i64 = 1;
    let dimensions = ints(tensor, 1)?;
    let shape: Option<Vec<usize>> = dimensions.iter().map(|&d| d.try_into().ok()).collect();
    let shape = shape.filter(|shape| shape.len() <= MOST_DIMENSIONS);
    let length = |shape: &Vec<usize>| shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
    let Some((shape, length)) = shape.and_then(|shape| length(&shape).map(|n| (shape, n))) else {
        return Err(Malformed::Shape(name.to_owned()).into());
    };
    let number = int(tensor, 2)?;
    let Some(dtype) = ElementType::of_onnx(number) else {
        let (tensor, dtype) = (name.to_owned(), dtype::name(number));
        let read = "floating point numbers, integers and booleans";
        return Err(FormatErrorKind::Dtype { tensor, dtype, read });
    };
    let data = if int(tensor, 14)? == EXTERNAL || last(tensor, 13)?.is_some() {
        let entries = repeated(tensor, 13, "places", |value| {
            let entry = value.message()?;
            Ok::<_, Malformed>((text(entry, 1)?, text(entry, 2)?))
        })?;
        dtype.values(&external.bytes(name, &entries, length.checked_mul(dtype.size()))?)
    } else if let Some(raw) = last(tensor, 9)? {
        let raw = raw.bytes()?;
        if raw.len() % dtype.size() != 0 {
            return Err(Malformed::Values(name.to_owned()).into());
        }
        dtype.values(raw)
    } else {
        match dtype {
            ElementType::F32 => Some(Data::F32(floats(tensor, 4, name)?)),
            ElementType::F64 => Some(Data::F32(doubles(tensor, name)?)),
            ElementType::I64 => Some(Data::I64(ints(tensor, 7)?)),
            ElementType::U32 => Some(Data::I64(ints(tensor, 11)?)),
            // Narrow types have a number each, halves as their bits.
            ElementType::F16 | ElementType::Bf16 => {
                let bits = ints(tensor, 5)?.into_iter();
                dtype.values(&bits.flat_map(|bits| (bits as u16).to_le_bytes()).collect::<Vec<_>>())
            }
            _ => Some(Data::I64(ints(tensor, 5)?)),
        }
    };
    let data = data.expect("types by number are read");
    if data.len() != length {
        return Err(Malformed::Values(name.to_owned()).into());
    }
    Ok(Tensor { shape, data })
}

/// Values of a field that are not in raw bytes: one by one, or packed.
fn floats(fields: Fields<'_>, number: u64, name: &str) -> Result<Vec<f32>, Malformed> {
    let mut bytes = Vec::new();
    for value in numbered(fields, number) {
        match value? {
            FieldValue::Fixed32(value) => bytes.extend(value),
            value => bytes.extend(value.bytes()?),
        }
    }
    match bytes.as_chunks() {
        (chunks, []) => Ok(chunks.iter().map(|&chunk| f32::from_le_bytes(chunk)).collect()),
        _ => Err(Malformed::Values(name.to_owned())),
    }
}

/// The same of 64 bits, rounded.
fn doubles(tensor: Fields<'_>, name: &str) -> Result<Vec<f32>, Malformed> {
    let mut doubles = Vec::new();
    for value in numbered(tensor, 10) {
        match value? {
            FieldValue::Fixed64(value) => doubles.push(f64::from_le_bytes(value) as f32),
            value => match value.bytes()?.as_chunks() {
                (chunks, []) => {
                    doubles.extend(chunks.iter().map(|&c| f64::from_le_bytes(c) as f32))
                }
                _ => return Err(Malformed::Values(name.to_owned())),
            },
        }
    }
    Ok(doubles)
}

/// Integer values: one by one, or packed.
fn ints(fields: Fields<'_>, number: u64) -> Result<Vec<i64>, Malformed> {
    let mut length = 0;
    for value in numbered(fields, number) {
        // The last byte of each number is the one without the high bit.
        length += match value? {
            FieldValue::Bytes(packed) => packed.iter().filter(|&&byte| byte < 0x80).count(),
            _ => 1,
        };
    }
    let mut ints = Vec::with_capacity(length);
    for value in numbered(fields, number) {
        match value? {
            FieldValue::Bytes(mut packed) => {
                while !packed.is_empty() {
                    ints.push(varint(&mut packed)? as i64);
                }
            }
            value => ints.push(value.int()?),
        }
    }
    Ok(ints)
}

/// The values of a field.
fn numbered<'a>(
    fields: Fields<'a>,
    number: u64,
) -> impl Iterator<Item = Result<FieldValue<'a>, Malformed>> {
    fields.filter_map(move |field| match field {
        Ok((found, value)) => (found == number).then_some(Ok(value)),
        Err(error) => Some(Err(error)),
    })
}

/// The value of a field that is not repeated; the last one counts.
fn last(fields: Fields<'_>, number: u64) -> Result<Option<FieldValue<'_>>, Malformed> {
    numbered(fields, number).try_fold(None, |_, value| value.map(Some))
}

fn text(fields: Fields<'_>, number: u64) -> Result<String, Malformed> {
    Ok(last(fields, number)?.map(FieldValue::string).transpose()?.unwrap_or_default())
}

/// A nested message; an absent one has no fields.
fn message(fields: Fields<'_>, number: u64) -> Result<Fields<'_>, Malformed> {
    last(fields, number)?.map_or(Ok(Fields(&[])), FieldValue::message)
}

fn int(fields: Fields<'_>, number: u64) -> Result<i64, Malformed> {
    Ok(last(fields, number)?.map(FieldValue::int).transpose()?.unwrap_or_default())
}

/// The values of a repeated field. They are counted first, so that no more is allocated than
/// needed.
fn repeated<'a, T, E: From<Malformed>>(
    fields: Fields<'a>,
    number: u64,
    what: &'static str,
    mut read: impl FnMut(FieldValue<'a>) -> Result<T, E>,
) -> Result<Vec<T>, E> {
    let mut count = 0;
    for value in numbered(fields, number) {
        value?;
        count += 1;
    }
    if count > MOST {
        return Err(Malformed::TooMany { what, most: MOST }.into());
    }
    let mut list = Vec::with_capacity(count);
    for value in numbered(fields, number) {
        list.push(read(value?)?);
    }
    Ok(list)
}
