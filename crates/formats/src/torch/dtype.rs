//! Types of elements.

/// What a storage's elements are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dtype {
    F16,
    Bf16,
    F32,
    F64,
    U8,
    I8,
    I16,
    I32,
    I64,
    Bool,
    /// A type that is not read, of so many bytes.
    Other(&'static str, usize),
}

impl Dtype {
    /// By the name of a storage's class; `torch.cuda.FloatStorage` is `torch.FloatStorage`.
    pub(super) fn of_storage(class: &str) -> Option<Self> {
        let name = class.strip_prefix("torch.")?;
        let name = name.strip_prefix("cuda.").unwrap_or(name);
        Some(match name.strip_suffix("Storage")? {
            "Half" => Dtype::F16,
            "BFloat16" => Dtype::Bf16,
            "Float" => Dtype::F32,
            "Double" => Dtype::F64,
            "Byte" => Dtype::U8,
            "Char" => Dtype::I8,
            "Short" => Dtype::I16,
            "Int" => Dtype::I32,
            "Long" => Dtype::I64,
            "Bool" => Dtype::Bool,
            "ComplexFloat" => Dtype::Other("complex64", 8),
            "ComplexDouble" => Dtype::Other("complex128", 16),
            "QInt8" => Dtype::Other("qint8", 1),
            "QUInt8" => Dtype::Other("quint8", 1),
            "QInt32" => Dtype::Other("qint32", 4),
            _ => return None,
        })
    }

    /// By the name of a `torch.dtype`.
    pub(super) fn of_name(name: &str) -> Option<Self> {
        Some(match name.strip_prefix("torch.")? {
            "float16" | "half" => Dtype::F16,
            "bfloat16" => Dtype::Bf16,
            "float32" | "float" => Dtype::F32,
            "float64" | "double" => Dtype::F64,
            "uint8" => Dtype::U8,
            "int8" => Dtype::I8,
            "int16" | "short" => Dtype::I16,
            "int32" | "int" => Dtype::I32,
            "int64" | "long" => Dtype::I64,
            "bool" => Dtype::Bool,
            _ => return None,
        })
    }

    /// Bytes of an element.
    pub(super) fn size(self) -> usize {
        match self {
            Dtype::U8 | Dtype::I8 | Dtype::Bool => 1,
            Dtype::F16 | Dtype::Bf16 | Dtype::I16 => 2,
            Dtype::F32 | Dtype::I32 => 4,
            Dtype::F64 | Dtype::I64 => 8,
            Dtype::Other(_, size) => size,
        }
    }
}

/// A half as a float, exactly.
pub(super) fn from_half(bits: u16) -> f32 {
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
pub(super) fn from_bfloat16(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}
