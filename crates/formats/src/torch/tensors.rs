//! Reads tensors.

use super::{
    Result,
    storages::{StorageId, Storages},
};
use crate::{
    Data, FormatErrorKind, Tensor,
    budget::Budget,
    element_type::{ElementType, from_bfloat16, from_half},
    pickle::{Id, Pickle, Value},
};

/// The most wrappers of a tensor, such as a parameter of a subclass.
const WRAPPERS: usize = 8;

const PER_TENSOR: usize = 256;

/// The most dimensions of a tensor in PyTorch.
const MOST_DIMENSIONS: usize = 64;

/// The function that rebuilds a dense tensor, without its version.
const REBUILD: &str = "torch._utils._rebuild_tensor";

/// The types that are read, and what to do with others.
const READ: &str = "floating point numbers of 16 to 64 bits, integers and booleans: convert it \
                    in PyTorch, such as with float()";

/// A file with its budget.
pub(super) struct Reader<'p, 'a> {
    pub(super) pickle: &'p Pickle<'p>,
    pub(super) storages: Storages<'a>,
    pub(super) budget: &'p mut Budget,
}

/// A strided view of a storage.
struct View<'s> {
    shape: &'s [usize],
    strides: &'s [usize],
    /// First element.
    offset: usize,
    count: usize,
    big_endian: bool,
}

impl<'p> Reader<'p, '_> {
    /// Whether a value is a tensor or a parameter, supported or not.
    pub(super) fn is_tensor(&self, id: Id) -> bool {
        self.rebuild(id).is_some()
    }

    /// The function that rebuilds a tensor, without its wrappers, and its arguments.
    fn rebuild(&self, id: Id) -> Option<(&'p str, &'p [Id])> {
        let pickle: &'p Pickle = self.pickle;
        let call = |id| {
            let record = pickle.record(id)?;
            Some((pickle.class(record), pickle.items(record.args)?))
        };
        let (mut function, mut args) = call(id)?;
        for _ in 0..WRAPPERS {
            (function, args) = match (function, args) {
                (
                    "torch._utils._rebuild_parameter"
                    | "torch._utils._rebuild_parameter_with_state"
                    | "torch._utils._rebuild_device_tensor_from_cpu_tensor"
                    | "torch.nn.parameter.Parameter",
                    [inner, ..],
                ) => call(*inner)?,
                ("torch._tensor._rebuild_from_type_v2", [inner, _class, args, ..]) => {
                    (pickle.global(*inner)?, pickle.items(*args)?)
                }
                _ => break,
            }
        }
        function.starts_with("torch._utils._rebuild_").then_some((function, args))
    }

    /// Whether a value is a tensor without dimensions.
    pub(super) fn is_scalar(&self, id: Id) -> bool {
        let size = self.rebuild(id).and_then(|(_, args)| args.get(2));
        size.is_some_and(|&size| self.pickle.items(size).is_some_and(<[Id]>::is_empty))
    }

    /// Reads a tensor; `name` is for errors.
    pub(super) fn tensor(&mut self, id: Id, name: &str) -> Result<Tensor> {
        let short = || name.chars().take(200).collect::<String>();
        let wrong = |why: &str| FormatErrorKind::Tensor { tensor: short(), why: why.to_owned() };
        let other_type = |dtype: &str| {
            let dtype = dtype.strip_prefix("torch.").unwrap_or(dtype).to_owned();
            FormatErrorKind::Dtype { tensor: short(), dtype, read: READ }
        };
        let pickle = self.pickle;
        let (function, args) = self.rebuild(id).ok_or_else(|| wrong("that is not a tensor"))?;
        if !["", "_v2", "_v3"].iter().any(|v| function.strip_prefix(REBUILD) == Some(v)) {
            let (what, remedy) = unsupported(function);
            return Err(FormatErrorKind::Unsupported { tensor: short(), what, remedy });
        }
        let few = || wrong("with too few arguments");
        let ([storage, offset, size, stride], rest) = args.split_first_chunk().ok_or_else(few)?;
        let storage = match pickle.get(*storage) {
            Value::Persistent(id) => StorageId::parse(pickle, *id),
            _ => None,
        };
        let storage = storage.ok_or_else(|| wrong("whose storage is malformed"))?;
        let dtype = match storage.dtype {
            Some(dtype) => dtype,
            // _rebuild_tensor_v3 says its type after requires_grad and the hooks.
            None => {
                let dtype = rest.get(2).and_then(|&dtype| pickle.global(dtype));
                let dtype = dtype.ok_or_else(|| wrong("of an unknown type"))?;
                ElementType::of_name(dtype).ok_or_else(|| other_type(dtype))?
            }
        };
        let shape = self.sizes(*size)?.ok_or_else(|| wrong("whose shape is malformed"))?;
        let strides = self.sizes(*stride)?.ok_or_else(|| wrong("whose strides are malformed"))?;
        let offset = pickle.int(*offset).and_then(|offset| usize::try_from(offset).ok());
        let offset = offset.ok_or_else(|| wrong("whose offset is malformed"))?;
        if shape.len() > MOST_DIMENSIONS {
            return Err(wrong("of more than 64 dimensions"));
        }
        if strides.len() != shape.len() {
            return Err(wrong("whose shape and strides differ in length"));
        }

        // The product may overflow although one size is zero.
        let product = |n: usize, &s: &usize| n.checked_mul(s);
        let count = match shape.contains(&0) {
            true => Some(0),
            false => shape.iter().try_fold(1, product),
        };
        let count = count.ok_or_else(|| wrong("of an impossible shape"))?;
        let bytes = count.checked_mul(dtype.kept_size()).ok_or(FormatErrorKind::TooLarge)?;
        self.budget.take(bytes.saturating_add(PER_TENSOR))?;

        let big_endian = self.storages.big_endian;
        let bytes = self.storages.get(storage.key, self.budget)?;
        let whole = storage.count.saturating_mul(storage.dtype.map_or(1, ElementType::size));
        if whole != bytes.len() {
            return Err(wrong("whose storage is not as long as it should be"));
        }
        let elements = bytes.len() / dtype.size();
        let (start, elements) = storage.part.unwrap_or((0, elements));
        let part = start.checked_mul(dtype.size()).and_then(|from| {
            let to = from.checked_add(elements.checked_mul(dtype.size())?)?;
            bytes.get(from..to)
        });
        let bytes = part.ok_or_else(|| wrong("whose part of a storage does not exist"))?;
        let last = shape.iter().zip(&strides).try_fold(offset, |last, (&size, &stride)| {
            last.checked_add(size.saturating_sub(1).checked_mul(stride)?)
        });
        if count > 0 && last.is_none_or(|last| last >= elements) {
            return Err(wrong("that reaches beyond its storage"));
        }

        let view = View { shape: &shape, strides: &strides, offset, count, big_endian };
        let data = match dtype {
            ElementType::F16 => Data::F32(view.read(bytes, |b| from_half(u16::from_le_bytes(b)))),
            ElementType::Bf16 => {
                Data::F32(view.read(bytes, |b| from_bfloat16(u16::from_le_bytes(b))))
            }
            ElementType::F32 => Data::F32(view.read(bytes, f32::from_le_bytes)),
            ElementType::F64 => Data::F32(view.read(bytes, |b| f64::from_le_bytes(b) as f32)),
            ElementType::U8 => Data::I64(view.read(bytes, |b| u8::from_le_bytes(b).into())),
            ElementType::I8 => Data::I64(view.read(bytes, |b| i8::from_le_bytes(b).into())),
            ElementType::U16 => Data::I64(view.read(bytes, |b| u16::from_le_bytes(b).into())),
            ElementType::I16 => Data::I64(view.read(bytes, |b| i16::from_le_bytes(b).into())),
            ElementType::U32 => Data::I64(view.read(bytes, |b| u32::from_le_bytes(b).into())),
            ElementType::I32 => Data::I64(view.read(bytes, |b| i32::from_le_bytes(b).into())),
            ElementType::I64 => Data::I64(view.read(bytes, i64::from_le_bytes)),
            ElementType::Bool => Data::I64(view.read(bytes, |[b]| i64::from(b != 0))),
            ElementType::Other(dtype, _) => return Err(other_type(dtype)),
        };
        Ok(Tensor { shape, data })
    }

    /// A tuple of sizes, or a `torch.Size` of one.
    fn sizes(&mut self, id: Id) -> Result<Option<Vec<usize>>> {
        let pickle = self.pickle;
        let tuple = match pickle.record(id) {
            Some(record) if pickle.class(record) == "torch.Size" => {
                pickle.items(record.args).and_then(|args| args.first().copied())
            }
            _ => Some(id),
        };
        let Some(items) = tuple.and_then(|tuple| pickle.items(tuple)) else {
            return Ok(None);
        };
        self.budget.take(2 * size_of_val(items) + items.len() * size_of::<usize>())?;
        let size = |&id: &Id| usize::try_from(pickle.int(id)?).ok();
        Ok(items.iter().map(size).collect())
    }
}

/// What a tensor is that such a function makes, and what to do with it.
fn unsupported(function: &str) -> (String, &'static str) {
    let (what, remedy) = match function.strip_prefix("torch._utils._rebuild_") {
        Some("sparse_tensor" | "sparse_csr_tensor") => ("that is sparse", "save its to_dense()"),
        Some("qtensor") => ("that is quantised", "save its dequantize()"),
        Some("meta_tensor_no_storage") => {
            ("without values, on PyTorch's meta device", "load its weights before it is saved")
        }
        _ => return (format!("made by {function:.80}"), "save a dense tensor in its place"),
    };
    (what.to_owned(), remedy)
}

impl View<'_> {
    /// Copies the elements in row-major order. They are within `bytes`.
    fn read<T, const N: usize>(&self, bytes: &[u8], convert: impl Fn([u8; N]) -> T) -> Vec<T> {
        if self.count == 0 {
            return Vec::new();
        }
        let (elements, _) = bytes.as_chunks::<N>();
        let convert = |&element: &[u8; N]| {
            let mut element = element;
            if self.big_endian {
                element.reverse();
            }
            convert(element)
        };
        if self.is_contiguous() {
            return elements[self.offset..][..self.count].iter().map(convert).collect();
        }
        let mut values = Vec::with_capacity(self.count);
        let mut index = vec![0; self.shape.len()];
        let mut at = self.offset;
        loop {
            values.push(convert(&elements[at]));
            // The next index in row-major order.
            let mut dimension = self.shape.len();
            loop {
                let Some(d) = dimension.checked_sub(1) else {
                    return values;
                };
                dimension = d;
                index[d] += 1;
                if index[d] < self.shape[d] {
                    at += self.strides[d];
                    break;
                }
                at -= (index[d] - 1) * self.strides[d];
                index[d] = 0;
            }
        }
    }

    fn is_contiguous(&self) -> bool {
        let mut expected = 1;
        self.shape.iter().zip(self.strides).rev().all(|(&size, &stride)| {
            let fits = size == 1 || stride == expected;
            expected *= size;
            fits
        })
    }
}
