//! Types of a tensor's elements in files, and their values as they are kept here: floating point
//! numbers as f32, integers as i64.

use crate::Data;

/// The type of an element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ElementType {
    F16,
    Bf16,
    F32,
    F64,
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    I64,
    Bool,
    /// A type that is not read, of so many bytes.
    Other(&'static str, usize),
}

impl ElementType {
    /// By the name of PyTorch's class of a storage; `torch.cuda.FloatStorage` is `torch.FloatStorage`.
    pub(crate) fn of_storage(class: &str) -> Option<Self> {
        let name = class.strip_prefix("torch.")?;
        let name = name.strip_prefix("cuda.").unwrap_or(name);
        Some(match name.strip_suffix("Storage")? {
            "Half" => ElementType::F16,
            "BFloat16" => ElementType::Bf16,
            "Float" => ElementType::F32,
            "Double" => ElementType::F64,
            "Byte" => ElementType::U8,
            "Char" => ElementType::I8,
            "Short" => ElementType::I16,
            "Int" => ElementType::I32,
            "Long" => ElementType::I64,
            "Bool" => ElementType::Bool,
            "ComplexFloat" => ElementType::Other("complex64", 8),
            "ComplexDouble" => ElementType::Other("complex128", 16),
            "QInt8" => ElementType::Other("qint8", 1),
            "QUInt8" => ElementType::Other("quint8", 1),
            "QInt32" => ElementType::Other("qint32", 4),
            _ => return None,
        })
    }

    /// By the name of a `torch.dtype`.
    pub(crate) fn of_name(name: &str) -> Option<Self> {
        Some(match name.strip_prefix("torch.")? {
            "float16" | "half" => ElementType::F16,
            "bfloat16" => ElementType::Bf16,
            "float32" | "float" => ElementType::F32,
            "float64" | "double" => ElementType::F64,
            "uint8" => ElementType::U8,
            "int8" => ElementType::I8,
            "int16" | "short" => ElementType::I16,
            "int32" | "int" => ElementType::I32,
            "int64" | "long" => ElementType::I64,
            "uint16" => ElementType::U16,
            "uint32" => ElementType::U32,
            "bool" => ElementType::Bool,
            _ => return None,
        })
    }

    /// By its name in safetensors.
    pub(crate) fn of_safetensors(dtype: safetensors::Dtype) -> Option<Self> {
        use safetensors::Dtype as D;
        Some(match dtype {
            D::F16 => ElementType::F16,
            D::BF16 => ElementType::Bf16,
            D::F32 => ElementType::F32,
            D::F64 => ElementType::F64,
            D::U8 => ElementType::U8,
            D::I8 => ElementType::I8,
            D::U16 => ElementType::U16,
            D::I16 => ElementType::I16,
            D::U32 => ElementType::U32,
            D::I32 => ElementType::I32,
            D::I64 => ElementType::I64,
            D::BOOL => ElementType::Bool,
            _ => return None,
        })
    }

    /// By its number in ONNX (`TensorProto.DataType`).
    pub(crate) fn of_onnx(number: i64) -> Option<Self> {
        Some(match number {
            1 => ElementType::F32,
            2 => ElementType::U8,
            3 => ElementType::I8,
            4 => ElementType::U16,
            5 => ElementType::I16,
            6 => ElementType::I32,
            7 => ElementType::I64,
            9 => ElementType::Bool,
            10 => ElementType::F16,
            11 => ElementType::F64,
            12 => ElementType::U32,
            16 => ElementType::Bf16,
            _ => return None,
        })
    }

    /// Whether it is floating point.
    pub(crate) fn is_float(self) -> bool {
        matches!(self, ElementType::F16 | ElementType::Bf16 | ElementType::F32 | ElementType::F64)
    }

    /// Bytes of an element as it is kept here.
    pub(crate) fn kept_size(self) -> usize {
        if self.is_float() { size_of::<f32>() } else { size_of::<i64>() }
    }

    /// The values of consecutive little-endian elements; none of a type that is not read. Bytes
    /// after the last whole element are left out.
    pub(crate) fn values(self, bytes: &[u8]) -> Option<Data> {
        fn map<T, const N: usize>(bytes: &[u8], convert: impl Fn([u8; N]) -> T) -> Vec<T> {
            bytes.as_chunks::<N>().0.iter().map(|&element| convert(element)).collect()
        }
        Some(match self {
            ElementType::F16 => Data::F32(map(bytes, |b| from_half(u16::from_le_bytes(b)))),
            ElementType::Bf16 => Data::F32(map(bytes, |b| from_bfloat16(u16::from_le_bytes(b)))),
            ElementType::F32 => Data::F32(map(bytes, f32::from_le_bytes)),
            ElementType::F64 => Data::F32(map(bytes, |b| f64::from_le_bytes(b) as f32)),
            ElementType::U8 => Data::I64(map(bytes, |b| u8::from_le_bytes(b).into())),
            ElementType::I8 => Data::I64(map(bytes, |b| i8::from_le_bytes(b).into())),
            ElementType::U16 => Data::I64(map(bytes, |b| u16::from_le_bytes(b).into())),
            ElementType::I16 => Data::I64(map(bytes, |b| i16::from_le_bytes(b).into())),
            ElementType::U32 => Data::I64(map(bytes, |b| u32::from_le_bytes(b).into())),
            ElementType::I32 => Data::I64(map(bytes, |b| i32::from_le_bytes(b).into())),
            ElementType::I64 => Data::I64(map(bytes, i64::from_le_bytes)),
            ElementType::Bool => Data::I64(map(bytes, |[b]| i64::from(b != 0))),
            ElementType::Other(..) => return None,
        })
    }

    /// Bytes of an element.
    pub(crate) fn size(self) -> usize {
        match self {
            ElementType::U8 | ElementType::I8 | ElementType::Bool => 1,
            ElementType::F16 | ElementType::Bf16 | ElementType::U16 | ElementType::I16 => 2,
            ElementType::F32 | ElementType::U32 | ElementType::I32 => 4,
            ElementType::F64 | ElementType::I64 => 8,
            ElementType::Other(_, size) => size,
        }
    }
}

/// A half as a float, exactly.
pub(crate) fn from_half(bits: u16) -> f32 {
    let sign = u32::from(bits >> 15) << 31;
    let exponent = u32::from(bits >> 10 & 0x1f);
    let fraction = u32::from(bits & 0x3ff);
    let magnitude = match exponent {
        // Subnormal: a multiple of 2^-24.
        0 => (fraction as f32 * (-24f32).exp2()).to_bits(),
        0x1f => 0x7f80_0000 | fraction << 13,
        _ => (exponent + 112) << 23 | fraction << 13,
    };
    f32::from_bits(sign | magnitude)
}

/// A bfloat16 as a float, exactly.
pub(crate) fn from_bfloat16(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}
