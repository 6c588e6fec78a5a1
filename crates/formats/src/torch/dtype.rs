//! PyTorch's dtypes, by name.

/// Dtype of a storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TorchDtype {
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
    /// An unsupported type, with its size in bytes.
    Other(&'static str, usize),
}

impl TorchDtype {
    /// By the name of a storage's class; `torch.cuda.FloatStorage` is `torch.FloatStorage`.
    pub(super) fn of_storage(class: &str) -> Option<Self> {
        let name = class.strip_prefix("torch.")?;
        let name = name.strip_prefix("cuda.").unwrap_or(name);
        Some(match name.strip_suffix("Storage")? {
            "Half" => TorchDtype::F16,
            "BFloat16" => TorchDtype::Bf16,
            "Float" => TorchDtype::F32,
            "Double" => TorchDtype::F64,
            "Byte" => TorchDtype::U8,
            "Char" => TorchDtype::I8,
            "Short" => TorchDtype::I16,
            "Int" => TorchDtype::I32,
            "Long" => TorchDtype::I64,
            "Bool" => TorchDtype::Bool,
            "ComplexFloat" => TorchDtype::Other("complex64", 8),
            "ComplexDouble" => TorchDtype::Other("complex128", 16),
            "QInt8" => TorchDtype::Other("qint8", 1),
            "QUInt8" => TorchDtype::Other("quint8", 1),
            "QInt32" => TorchDtype::Other("qint32", 4),
            _ => return None,
        })
    }

    /// By the name of a `torch.dtype`.
    pub(super) fn of_name(name: &str) -> Option<Self> {
        Some(match name.strip_prefix("torch.")? {
            "float16" | "half" => TorchDtype::F16,
            "bfloat16" => TorchDtype::Bf16,
            "float32" | "float" => TorchDtype::F32,
            "float64" | "double" => TorchDtype::F64,
            "uint8" => TorchDtype::U8,
            "int8" => TorchDtype::I8,
            "int16" | "short" => TorchDtype::I16,
            "int32" | "int" => TorchDtype::I32,
            "int64" | "long" => TorchDtype::I64,
            "bool" => TorchDtype::Bool,
            _ => return None,
        })
    }

    /// Bytes of an element.
    pub(super) fn size(self) -> usize {
        match self {
            TorchDtype::U8 | TorchDtype::I8 | TorchDtype::Bool => 1,
            TorchDtype::F16 | TorchDtype::Bf16 | TorchDtype::I16 => 2,
            TorchDtype::F32 | TorchDtype::I32 => 4,
            TorchDtype::F64 | TorchDtype::I64 => 8,
            TorchDtype::Other(_, size) => size,
        }
    }
}

/// Converts float16 to f32, exactly.
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

/// Converts bfloat16 to f32, exactly.
pub(super) fn from_bfloat16(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}
