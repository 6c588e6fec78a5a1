//! Reads scalars next to the model.

use super::{Result, Scalar, tensors::Reader};
use crate::{
    Data,
    pickle::{Id, Value},
};

pub(super) const PER_SCALAR: usize = 256;

impl Reader<'_, '_> {
    /// All scalars of a dict, with `tensors` also those in tensors. None if it is not a dict.
    pub(super) fn scalars(&mut self, dict: Id, tensors: bool) -> Result<Vec<(String, Scalar)>> {
        let pickle = self.pickle;
        let mut scalars = Vec::new();
        // Of an object, only a module's class names are of use.
        let pairs = match pickle.get(dict) {
            Value::Dict(pairs) => &pairs[..],
            Value::Record(record) => {
                let attributes = record.state.and_then(|state| pickle.pairs(state));
                attributes.unwrap_or_default()
            }
            _ => &[],
        };
        let of_object = pickle.record(dict).is_some();
        for &(key, value) in pairs {
            let Some(name) = pickle.text(key) else { continue };
            if !tensors && self.is_tensor(value) || of_object && name.starts_with('_') {
                continue;
            }
            if let Some(scalar) = self.scalar(value)?
                && (!of_object || matches!(scalar, Scalar::TextList(_)))
            {
                self.budget.take(PER_SCALAR + name.len())?;
                scalars.push((name.to_owned(), scalar));
            }
        }
        scalars.extend(self.settings(dict)?);
        Ok(scalars)
    }

    pub(super) fn scalar(&mut self, id: Id) -> Result<Option<Scalar>> {
        let pickle = self.pickle;
        Ok(Some(match pickle.get(id) {
            Value::Bool(value) => Scalar::Bool(*value),
            Value::Int(value) => Scalar::Int(*value),
            Value::Float(value) => Scalar::Float(*value),
            Value::Text(text) => {
                self.budget.take(text.len())?;
                Scalar::Text(text.to_string())
            }
            Value::List(items) | Value::Tuple(items) if !items.is_empty() => {
                let mut texts = Vec::new();
                for &item in items {
                    let Some(text) = pickle.text(item) else { return Ok(None) };
                    self.budget.take(PER_SCALAR + text.len())?;
                    texts.push(text.to_owned());
                }
                Scalar::TextList(texts)
            }
            Value::Dict(_) => return self.labels(id),
            Value::Record(_) => return self.boxed_number(id),
            _ => return Ok(None),
        }))
    }

    /// A number of any kind.
    pub(super) fn number(&mut self, id: Id) -> Result<Option<f64>> {
        if let Some(value) = self.pickle.float(id) {
            return Ok(Some(value));
        }
        Ok(match self.boxed_number(id)? {
            Some(Scalar::Float(value)) => Some(value),
            Some(Scalar::Int(value)) => Some(value as f64),
            _ => None,
        })
    }

    /// A number in a tensor without dimensions, or in a NumPy scalar.
    fn boxed_number(&mut self, id: Id) -> Result<Option<Scalar>> {
        if !self.is_tensor(id) {
            return Ok(self.numpy_scalar(id));
        }
        if !self.is_scalar(id) {
            return Ok(None);
        }
        Ok(match self.tensor(id, "scalar")?.data {
            Data::F32(values) => values.first().map(|&value| Scalar::Float(value.into())),
            Data::I64(values) => values.first().map(|&value| Scalar::Int(value)),
        })
    }

    /// `numpy.core.multiarray.scalar(dtype, bytes)`.
    fn numpy_scalar(&self, id: Id) -> Option<Scalar> {
        let pickle = self.pickle;
        let record = pickle.record(id)?;
        if !pickle.class(record).ends_with(".multiarray.scalar") {
            return None;
        }
        let [dtype, value] = pickle.items(record.args)? else { return None };
        let bytes = match pickle.get(*value) {
            Value::Bytes(bytes) => &bytes[..],
            // Python 2 has one type for text and bytes.
            Value::Text(text) => text.as_bytes(),
            _ => return None,
        };
        if bytes.len() > size_of::<f64>() {
            return None;
        }
        let dtype = pickle.record(*dtype).filter(|r| pickle.class(r) == "numpy.dtype")?;
        // (version, byte order, ...)
        let order = dtype.state.and_then(|state| pickle.items(state)?.get(1).copied());
        let mut bytes = bytes.to_vec();
        if order.and_then(|order| pickle.text(order)) == Some(">") {
            bytes.reverse();
        }
        let kind = pickle.text(*pickle.items(dtype.args)?.first()?)?;
        Some(match (kind, &bytes[..]) {
            ("f8", b) => Scalar::Float(f64::from_le_bytes(b.try_into().ok()?)),
            ("f4", b) => Scalar::Float(f32::from_le_bytes(b.try_into().ok()?).into()),
            ("i8", b) => Scalar::Int(i64::from_le_bytes(b.try_into().ok()?)),
            ("i4", b) => Scalar::Int(i32::from_le_bytes(b.try_into().ok()?).into()),
            ("b1", [b]) => Scalar::Bool(*b != 0),
            _ => return None,
        })
    }
}
