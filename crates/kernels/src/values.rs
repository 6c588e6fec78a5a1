//! Slices of activations, of one of two dtypes.

use std::{fmt, ops::Range, str::FromStr};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::bf16::Bf16;

/// How activations and their gradients are stored; sums are always f32 or wider.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dtype {
    /// 32-bit floating point.
    #[default]
    Fp32,
    /// bfloat16.
    Bf16,
}

/// A name that no dtype has.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("unknown dtype '{0}': expected fp32 or bf16")]
pub struct UnknownDtype(String);

impl Dtype {
    /// Every dtype.
    pub const ALL: [Dtype; 2] = [Dtype::Fp32, Dtype::Bf16];

    /// Bytes of a value.
    pub const fn size(self) -> usize {
        match self {
            Dtype::Fp32 => size_of::<f32>(),
            Dtype::Bf16 => size_of::<Bf16>(),
        }
    }

    /// `fp32` or `bf16`.
    pub const fn name(self) -> &'static str {
        match self {
            Dtype::Fp32 => "fp32",
            Dtype::Bf16 => "bf16",
        }
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Dtype {
    type Err = UnknownDtype;

    fn from_str(name: &str) -> Result<Self, UnknownDtype> {
        let found = Dtype::ALL.into_iter().find(|dtype| dtype.name() == name);
        found.ok_or_else(|| UnknownDtype(name.into()))
    }
}

/// Stored values, shared.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Values<'a> {
    /// Of [`Dtype::Fp32`].
    Fp32(&'a [f32]),
    /// Of [`Dtype::Bf16`].
    Bf16(&'a [Bf16]),
}

/// Stored values, borrowed to be written.
#[derive(Debug)]
pub enum ValuesMut<'a> {
    /// Of [`Dtype::Fp32`].
    Fp32(&'a mut [f32]),
    /// Of [`Dtype::Bf16`].
    Bf16(&'a mut [Bf16]),
}

impl<'a> Values<'a> {
    /// The number of values.
    pub fn len(&self) -> usize {
        match self {
            Values::Fp32(values) => values.len(),
            Values::Bf16(values) => values.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The dtype of the values.
    pub fn dtype(&self) -> Dtype {
        match self {
            Values::Fp32(_) => Dtype::Fp32,
            Values::Bf16(_) => Dtype::Bf16,
        }
    }

    /// Some of them.
    ///
    /// # Panics
    /// If the range is not within them.
    #[must_use]
    pub fn slice(self, range: Range<usize>) -> Values<'a> {
        match self {
            Values::Fp32(values) => Values::Fp32(&values[range]),
            Values::Bf16(values) => Values::Bf16(&values[range]),
        }
    }

    /// The same numbers in f32.
    pub fn to_f32(self) -> Vec<f32> {
        match self {
            Values::Fp32(values) => values.to_vec(),
            Values::Bf16(values) => values.iter().map(|v| v.to_f32()).collect(),
        }
    }
}

impl<'a> ValuesMut<'a> {
    /// The number of values.
    pub fn len(&self) -> usize {
        self.as_values().len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The dtype of the values.
    pub fn dtype(&self) -> Dtype {
        self.as_values().dtype()
    }

    /// To read them.
    pub fn as_values(&self) -> Values<'_> {
        match self {
            ValuesMut::Fp32(values) => Values::Fp32(values),
            ValuesMut::Bf16(values) => Values::Bf16(values),
        }
    }

    /// To read them from now on.
    pub fn into_values(self) -> Values<'a> {
        match self {
            ValuesMut::Fp32(values) => Values::Fp32(values),
            ValuesMut::Bf16(values) => Values::Bf16(values),
        }
    }

    /// To write them, for a shorter time.
    pub fn reborrow(&mut self) -> ValuesMut<'_> {
        match self {
            ValuesMut::Fp32(values) => ValuesMut::Fp32(values),
            ValuesMut::Bf16(values) => ValuesMut::Bf16(values),
        }
    }

    /// Some of them.
    ///
    /// # Panics
    /// If the range is not within them.
    #[must_use]
    pub fn slice(self, range: Range<usize>) -> ValuesMut<'a> {
        match self {
            ValuesMut::Fp32(values) => ValuesMut::Fp32(&mut values[range]),
            ValuesMut::Bf16(values) => ValuesMut::Bf16(&mut values[range]),
        }
    }

    /// Writes these numbers, rounded to the dtype.
    ///
    /// # Panics
    /// If there are more or fewer.
    pub fn set_f32(&mut self, numbers: &[f32]) {
        match self {
            ValuesMut::Fp32(values) => values.copy_from_slice(numbers),
            ValuesMut::Bf16(values) => {
                assert_eq!(values.len(), numbers.len(), "as many numbers as values");
                values.iter_mut().zip(numbers).for_each(|(v, &x)| *v = Bf16::from_f32(x));
            }
        }
    }
}

impl<'a> From<&'a [f32]> for Values<'a> {
    fn from(values: &'a [f32]) -> Self {
        Values::Fp32(values)
    }
}

impl<'a> From<&'a [Bf16]> for Values<'a> {
    fn from(values: &'a [Bf16]) -> Self {
        Values::Bf16(values)
    }
}

impl<'a> From<&'a mut [f32]> for ValuesMut<'a> {
    fn from(values: &'a mut [f32]) -> Self {
        ValuesMut::Fp32(values)
    }
}

impl<'a> From<&'a mut [Bf16]> for ValuesMut<'a> {
    fn from(values: &'a mut [Bf16]) -> Self {
        ValuesMut::Bf16(values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dtypes_have_names_and_sizes() {
        for (dtype, name, size) in [(Dtype::Fp32, "fp32", 4), (Dtype::Bf16, "bf16", 2)] {
            assert_eq!((dtype.to_string().as_str(), dtype.size()), (name, size));
            assert_eq!(name.parse(), Ok(dtype));
        }
        assert_eq!(Dtype::default(), Dtype::Fp32);
        let error = "f16".parse::<Dtype>().unwrap_err();
        assert_eq!(error.to_string(), "unknown dtype 'f16': expected fp32 or bf16");
    }

    #[test]
    fn slices_are_of_the_same_values() {
        let mut values = [0.0, 1.0, 2.0, 3.0].map(Bf16::from_f32);
        let all = Values::from(&values[..]);
        assert_eq!((all.len(), all.dtype(), all.is_empty()), (4, Dtype::Bf16, false));
        assert_eq!(all.slice(1..3).to_f32(), [1.0, 2.0]);
        let mut all = ValuesMut::from(&mut values[..]);
        all.reborrow().slice(2..3).set_f32(&[9.0]);
        assert_eq!((all.len(), all.dtype(), all.is_empty()), (4, Dtype::Bf16, false));
        assert_eq!(all.as_values().to_f32(), [0.0, 1.0, 9.0, 3.0]);
    }
}
