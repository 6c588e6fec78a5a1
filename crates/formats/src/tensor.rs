//! Tensors (a shape and values in PyTorch's layout) and metadata of files.

use std::{
    collections::BTreeMap,
    io::{self, Write},
};

/// Values of a tensor, in row-major order.
#[derive(Clone, Debug, PartialEq)]
pub enum Data {
    /// 32-bit floating point.
    F32(Vec<f32>),
    /// 64-bit integers (`num_batches_tracked`).
    I64(Vec<i64>),
}

impl Data {
    /// Number of values.
    pub fn len(&self) -> usize {
        match self {
            Data::F32(v) => v.len(),
            Data::I64(v) => v.len(),
        }
    }

    /// Whether there are no values.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Writes the values, little-endian.
    pub(crate) fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        match self {
            Data::F32(values) => write_values(out, values, f32::to_le_bytes),
            Data::I64(values) => write_values(out, values, i64::to_le_bytes),
        }
    }
}

fn write_values<T: Copy, const N: usize>(
    out: &mut dyn Write,
    values: &[T],
    to_le_bytes: fn(T) -> [u8; N],
) -> io::Result<()> {
    let mut bytes = Vec::with_capacity(4096 * N);
    for chunk in values.chunks(4096) {
        bytes.clear();
        bytes.extend(chunk.iter().flat_map(|&value| to_le_bytes(value)));
        out.write_all(&bytes)?;
    }
    Ok(())
}

/// A dense tensor.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// Size of each dimension; empty for a scalar.
    pub shape: Vec<usize>,
    /// The values; as many as the product of the shape.
    pub data: Data,
}

impl Tensor {
    /// A tensor of 32-bit floating point values.
    ///
    /// # Panics
    /// If the shape does not fit the number of values.
    pub fn f32(shape: &[usize], values: Vec<f32>) -> Self {
        assert_eq!(shape.iter().product::<usize>(), values.len(), "shape and values disagree");
        Tensor { shape: shape.to_vec(), data: Data::F32(values) }
    }

    /// A scalar integer.
    pub fn scalar_i64(value: i64) -> Self {
        Tensor { shape: vec![], data: Data::I64(vec![value]) }
    }

    /// The values, if they are 32-bit floating point.
    pub fn as_f32(&self) -> Option<&[f32]> {
        match &self.data {
            Data::F32(v) => Some(v),
            Data::I64(_) => None,
        }
    }
}

/// Tensors by name, in file order (a PyTorch state dict).
pub type NamedTensors = Vec<(String, Tensor)>;

/// Metadata of a file: strings by key.
pub type Metadata = BTreeMap<String, String>;
