//! The caller of a function: chooses its arguments, and gets one of them wrong on demand.

use resnet_kernels::{Bf16, Dtype, Storage, Values, ValuesMut};

/// Which argument of a call is wrong, and in which way.
#[derive(Clone, Copy)]
pub(crate) struct Wrong {
    pub(crate) site: usize,
    pub(crate) way: u8,
}

/// Makes the choices of a call: the same bytes give the same choices.
pub(crate) struct Caller<'a> {
    choices: &'a [u8],
    wrong: Option<Wrong>,
    sites: usize,
    wronged: Option<String>,
    result: u64,
    numbers: u64,
}

impl<'a> Caller<'a> {
    pub(crate) fn new(choices: &'a [u8], wrong: Option<Wrong>) -> Self {
        Caller { choices, wrong, sites: 0, wronged: None, result: 0, numbers: 1 }
    }

    /// Number of arguments that can be wrong.
    pub(crate) fn sites(&self) -> usize {
        self.sites
    }

    /// The wrong argument, if there is one.
    pub(crate) fn wronged(&self) -> Option<&str> {
        self.wronged.as_deref()
    }

    /// Checksum of the results of valid calls.
    pub(crate) fn result(&self) -> u64 {
        self.result
    }

    /// A number below `of`.
    pub(crate) fn choose(&mut self, of: usize) -> usize {
        let (first, rest) = self.choices.split_first().unwrap_or((&0, &[]));
        self.choices = rest;
        usize::from(*first) % of
    }

    /// One of these.
    pub(crate) fn one_of<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.choose(of.len())]
    }

    pub(crate) fn flip(&mut self) -> bool {
        self.choose(2) == 1
    }

    pub(crate) fn dtype(&mut self) -> Dtype {
        self.one_of(&Dtype::ALL)
    }

    /// `right`, or one of `others` if this argument is to be wrong.
    pub(crate) fn site<T: Copy + std::fmt::Debug>(
        &mut self,
        name: &str,
        right: T,
        others: &[T],
    ) -> T {
        let site = self.sites;
        self.sites += 1;
        match self.wrong {
            Some(wrong) if wrong.site == site && !others.is_empty() => {
                let other = others[usize::from(wrong.way) % others.len()];
                self.wronged = Some(format!("{name} {other:?} in place of {right:?}"));
                other
            }
            _ => right,
        }
    }

    /// The length of a slice that may be longer, and at times is.
    pub(crate) fn at_least(&mut self, name: &str, right: usize) -> usize {
        let others = [right.wrapping_sub(1), right / 2, 0];
        let longer = right + if self.choose(6) == 0 { 8 } else { 0 };
        self.site(name, longer, if right == 0 { &[] } else { &others })
    }

    /// The length of a slice that may not.
    pub(crate) fn exactly(&mut self, name: &str, right: usize) -> usize {
        let others = [right + 1, 2 * right + 16, right.wrapping_sub(1), 0];
        self.site(name, right, &others[..if right == 0 { 2 } else { 4 }])
    }

    /// A number of images, of at least one.
    pub(crate) fn images(&mut self, name: &str, right: usize) -> usize {
        self.site(name, right, &[right + 1, 1 << 32, 1 << 51, (1 << 60) + 1, usize::MAX])
    }

    /// A size, of at least one, that the lengths of slices and what they mean fix.
    pub(crate) fn size(&mut self, name: &str, right: usize) -> usize {
        self.site(name, right, &[right + 16, 1 << 31, 1 << 32, 1 << 60, usize::MAX])
    }

    /// A number of channels: some.
    pub(crate) fn channels(&mut self, right: usize) -> usize {
        self.site("channels", right, &[0, right + 16, 1 << 32, 1 << 60, usize::MAX])
    }

    /// The dtype of a slice, of which another is known.
    pub(crate) fn same(&mut self, name: &str, right: Dtype) -> Dtype {
        let other = if right == Dtype::Fp32 { Dtype::Bf16 } else { Dtype::Fp32 };
        self.site(name, right, &[other])
    }

    /// So many numbers in [-1, 1).
    pub(crate) fn numbers(&mut self, len: usize) -> Vec<f32> {
        let mut state = self.numbers.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        self.numbers += 1;
        let next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            f32::from((state >> 56) as i8) / 128.0
        };
        std::iter::repeat_with(next).take(len).collect()
    }

    /// So many numbers that start at any word, and end where their memory does.
    pub(crate) fn slice(&mut self, len: usize) -> Slice {
        let skip = self.choose(3);
        let mut numbers = vec![BEFORE; skip];
        numbers.extend(self.numbers(len));
        Slice { numbers: numbers.into_boxed_slice(), skip }
    }

    /// The same, stored, in pixels of which `real` of `stored` values are not padding.
    pub(crate) fn stored(
        &mut self,
        dtype: Dtype,
        len: usize,
        (real, stored): (usize, usize),
    ) -> Stored {
        let skip = self.choose(3);
        let mut numbers = vec![0.0; skip];
        numbers.extend(self.numbers(len));
        let padding = |i: usize| stored > 0 && i % stored >= real;
        for (i, number) in numbers[skip..].iter_mut().enumerate() {
            if padding(i) {
                *number = 0.0;
            }
        }
        let storage = match dtype {
            Dtype::Fp32 => Boxed::Fp32(numbers.into()),
            Dtype::Bf16 => Boxed::Bf16(numbers.into_iter().map(Bf16::from_f32).collect()),
        };
        Stored { storage, skip }
    }

    /// Takes an answer down.
    pub(crate) fn answer(&mut self, values: &[f32]) {
        for value in values {
            self.result = (self.result ^ u64::from(value.to_bits())).wrapping_mul(0x100_0000_01B3);
        }
    }

    /// The same, of numbers that must be finite.
    pub(crate) fn finite(&mut self, values: &[f32]) {
        assert!(values.iter().all(|x| x.is_finite()), "a result is not finite");
        self.answer(values);
    }
}

/// Value of the memory before a slice, which must not change.
const BEFORE: f32 = 12345.0;

/// Numbers whose memory ends with them.
pub(crate) struct Slice {
    numbers: Box<[f32]>,
    skip: usize,
}

impl Drop for Slice {
    fn drop(&mut self) {
        assert!(self.numbers[..self.skip].iter().all(|x| *x == BEFORE), "written before a slice");
    }
}

impl std::ops::Deref for Slice {
    type Target = [f32];
    fn deref(&self) -> &[f32] {
        &self.numbers[self.skip..]
    }
}

impl std::ops::DerefMut for Slice {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.numbers[self.skip..]
    }
}

/// Stored values whose memory ends with them.
pub(crate) struct Stored {
    storage: Boxed,
    skip: usize,
}

enum Boxed {
    Fp32(Box<[f32]>),
    Bf16(Box<[Bf16]>),
}

impl Stored {
    pub(crate) fn values(&self) -> Values<'_> {
        match &self.storage {
            Boxed::Fp32(values) => values[self.skip..].into(),
            Boxed::Bf16(values) => values[self.skip..].into(),
        }
    }

    pub(crate) fn values_mut(&mut self) -> ValuesMut<'_> {
        match &mut self.storage {
            Boxed::Fp32(values) => (&mut values[self.skip..]).into(),
            Boxed::Bf16(values) => (&mut values[self.skip..]).into(),
        }
    }

    pub(crate) fn to_f32(&self) -> Vec<f32> {
        self.values().to_f32()
    }
}

/// Memory of the kernels, whose ranges are checked.
pub(crate) fn storage(dtype: Dtype, len: usize) -> Storage {
    Storage::zeroed(dtype, len).unwrap()
}
