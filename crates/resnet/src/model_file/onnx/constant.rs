//! Tensors of an ONNX graph that depend on no image.

use std::{borrow::Cow, rc::Rc};

use resnet_formats::{
    Data, Tensor,
    onnx::{Attribute, Node},
};

use super::integers::Integers;

/// A tensor of the file. A clone is the same tensor.
#[derive(Clone, Debug)]
pub(super) struct Constant<'a>(Rc<Cow<'a, Tensor>>);

impl<'a> Constant<'a> {
    pub(super) fn of(tensor: &'a Tensor) -> Self {
        Constant(Rc::new(Cow::Borrowed(tensor)))
    }

    pub(super) fn owned(tensor: Tensor) -> Self {
        Constant(Rc::new(Cow::Owned(tensor)))
    }

    /// What a `Constant` node holds.
    pub(super) fn of_node(node: &'a Node) -> Result<Self, String> {
        let vector = |data: Data| Tensor { shape: vec![data.len()], data };
        let scalar = |data: Data| Tensor { shape: vec![], data };
        let tensor = match node.attributes.iter().find(|(name, _)| name.starts_with("value")) {
            Some((_, Attribute::Tensor(tensor))) => return Ok(Constant::of(tensor)),
            Some((_, Attribute::Int(value))) => scalar(Data::I64(vec![*value])),
            Some((_, Attribute::Float(value))) => scalar(Data::F32(vec![*value])),
            Some((_, Attribute::Ints(values))) => vector(Data::I64(values.clone())),
            Some((_, Attribute::Floats(values))) => vector(Data::F32(values.clone())),
            _ => return Err("its value is of no type that is read".into()),
        };
        Ok(Constant::owned(tensor))
    }

    /// The number of its values.
    pub(super) fn len(&self) -> usize {
        self.0.data.len()
    }

    /// The tensor, if it is floating point: a layer's parameter.
    pub(super) fn tensor(&self) -> Result<Cow<'a, Tensor>, String> {
        match self.0.data {
            // Its shape could be of any size.
            Data::F32(ref values) if values.is_empty() => {
                Err(format!("its tensor is {:?}, without values", self.0.shape))
            }
            Data::F32(_) => Ok((*self.0).clone()),
            Data::I64(_) => {
                Err("it reads integers for parameters: quantised networks are not read; \
                                 export the one that it was made from"
                    .into())
            }
        }
    }

    /// Its values, if they are integers.
    pub(super) fn integers(&self) -> Result<&[i64], String> {
        match &self.0.data {
            Data::I64(values) => Ok(values),
            Data::F32(_) => Err("it reads floating point for integers".into()),
        }
    }

    /// Its values with its shape, if they are few integers.
    pub(super) fn small_integers(&self) -> Option<Integers<'_>> {
        Integers::of(&self.0)
    }

    /// A number, or one for each channel of images `[batch, channels, rows, columns]`.
    pub(super) fn of_channels(&self) -> Result<Vec<f64>, String> {
        let Tensor { shape, data } = &**self.0;
        // Dimensions are aligned at their end.
        let extent = |from_end: usize| shape.len().checked_sub(from_end).map_or(1, |i| shape[i]);
        if data.len() != extent(3) || data.is_empty() {
            return Err(format!("its tensor is {shape:?}, not a number for each channel"));
        }
        Ok(match data {
            Data::F32(values) => values.iter().map(|&x| x.into()).collect(),
            Data::I64(values) => values.iter().map(|&x| x as f64).collect(),
        })
    }

    /// Its shape from one dimension to another, as a `Shape` node gives it.
    pub(super) fn shape(&self, start: i64, end: Option<i64>) -> Constant<'static> {
        let rank = self.0.shape.len() as i64;
        let place =
            |i: i64| (if i < 0 { i.saturating_add(rank) } else { i }).clamp(0, rank) as usize;
        let (start, end) = (place(start), place(end.unwrap_or(rank)));
        let part = self.0.shape.get(start..end).unwrap_or_default();
        let data = Data::I64(part.iter().map(|&n| n as i64).collect());
        Constant::owned(Tensor { shape: vec![data.len()], data })
    }

    /// Its one number, as a tensor of this shape, for which there must be memory.
    pub(super) fn expanded(&self, shape: &[usize]) -> Result<Constant<'static>, String> {
        let count = shape.iter().product();
        let data = match &self.0.data {
            Data::F32(values) if values.len() == 1 => Data::F32(vec![values[0]; count]),
            Data::I64(values) if values.len() == 1 => Data::I64(vec![values[0]; count]),
            _ => return Err("it repeats more than one number".into()),
        };
        Ok(Constant::owned(Tensor { shape: shape.to_vec(), data }))
    }

    /// A matrix the other way round.
    pub(super) fn transposed(&self) -> Result<Constant<'static>, String> {
        Ok(Constant::owned(transposed(&*self.tensor()?)?))
    }
}

/// A tensor of one value for each channel.
pub(super) fn filled(channels: usize, value: f32) -> Tensor {
    Tensor::f32(&[channels], vec![value; channels])
}

/// A matrix the other way round.
pub(super) fn transposed(tensor: &Tensor) -> Result<Tensor, String> {
    let (&[rows, columns], Data::F32(values)) = (&tensor.shape[..], &tensor.data) else {
        return Err(format!("its weight is {:?}, no matrix", tensor.shape));
    };
    let mut other = Vec::with_capacity(values.len());
    for column in 0..columns {
        other.extend((0..rows).map(|row| values[row * columns + column]));
    }
    Ok(Tensor::f32(&[columns, rows], other))
}
