//! Memory for activations of either dtype.

use std::ops::Range;

use crate::{
    bf16::Bf16,
    memory::{Buffer, OutOfMemory},
    values::{Dtype, Values, ValuesMut},
};

/// A [`Buffer`] of either dtype.
#[derive(Debug)]
pub enum Storage {
    /// Of [`Dtype::Fp32`].
    Fp32(Buffer<f32>),
    /// Of [`Dtype::Bf16`].
    Bf16(Buffer<Bf16>),
}

impl Storage {
    /// Storage of `len` zeros.
    ///
    /// # Errors
    /// If the system refuses the memory.
    pub fn zeroed(dtype: Dtype, len: usize) -> Result<Storage, OutOfMemory> {
        Ok(match dtype {
            Dtype::Fp32 => Storage::Fp32(Buffer::zeroed(len)?),
            Dtype::Bf16 => Storage::Bf16(Buffer::zeroed(len)?),
        })
    }

    /// The dtype of the values.
    pub fn dtype(&self) -> Dtype {
        match self {
            Storage::Fp32(_) => Dtype::Fp32,
            Storage::Bf16(_) => Dtype::Bf16,
        }
    }

    /// The number of values.
    pub fn len(&self) -> usize {
        match self {
            Storage::Fp32(values) => values.len(),
            Storage::Bf16(values) => values.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All of them.
    pub fn as_values(&self) -> Values<'_> {
        self.values(0..self.len())
    }

    /// All of them, to be written.
    pub fn as_values_mut(&mut self) -> ValuesMut<'_> {
        self.values_mut(0..self.len())
    }

    /// Some of them.
    ///
    /// # Panics
    /// If the range is not within them.
    pub fn values(&self, range: Range<usize>) -> Values<'_> {
        match self {
            Storage::Fp32(values) => Values::Fp32(&values[range]),
            Storage::Bf16(values) => Values::Bf16(&values[range]),
        }
    }

    /// Some of them, to be written.
    ///
    /// # Panics
    /// If the range is not within them.
    pub fn values_mut(&mut self, range: Range<usize>) -> ValuesMut<'_> {
        match self {
            Storage::Fp32(values) => ValuesMut::Fp32(&mut values[range]),
            Storage::Bf16(values) => ValuesMut::Bf16(&mut values[range]),
        }
    }

    /// Several ranges at once; none if they overlap or are not within the values.
    pub fn disjoint_mut<const N: usize>(
        &mut self,
        ranges: [Range<usize>; N],
    ) -> Option<[ValuesMut<'_>; N]> {
        Some(match self {
            Storage::Fp32(values) => values.get_disjoint_mut(ranges).ok()?.map(ValuesMut::Fp32),
            Storage::Bf16(values) => values.get_disjoint_mut(ranges).ok()?.map(ValuesMut::Bf16),
        })
    }

    /// Some of the values in f32, for probes and tests.
    ///
    /// # Panics
    /// If the range is not within them.
    pub fn to_f32(&self, range: Range<usize>) -> Vec<f32> {
        self.values(range).to_f32()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_disjoint_and_of_the_dtype() {
        for dtype in Dtype::ALL {
            let mut storage = Storage::zeroed(dtype, 10).unwrap();
            assert_eq!((storage.dtype(), storage.len(), storage.is_empty()), (dtype, 10, false));
            let [mut a, b] = storage.disjoint_mut([6..10, 0..5]).unwrap();
            assert_eq!((a.len(), b.len(), a.dtype()), (4, 5, dtype));
            a.set_f32(&[2.0; 4]);
            assert_eq!(storage.to_f32(4..8), [0.0, 0.0, 2.0, 2.0]);
            assert_eq!(storage.values_mut(0..3).len(), storage.values(2..5).len());
            assert!(storage.disjoint_mut([0..6, 5..7]).is_none());
            assert!(storage.disjoint_mut([0..6, 6..11]).is_none());
        }
        assert!(Storage::zeroed(Dtype::Bf16, usize::MAX).is_err());
    }
}
