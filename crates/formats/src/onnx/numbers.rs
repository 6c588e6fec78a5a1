//! The format's numbers of types.

/// Numbers of tensor types.
pub(super) mod dtype {
    pub(in crate::onnx) const FLOAT: i64 = 1;
    pub(in crate::onnx) const INT64: i64 = 7;

    /// The name of a tensor type.
    pub(in crate::onnx) fn name(number: i64) -> String {
        let names = [
            "FLOAT",
            "UINT8",
            "INT8",
            "UINT16",
            "INT16",
            "INT32",
            "INT64",
            "STRING",
            "BOOL",
            "FLOAT16",
            "DOUBLE",
            "UINT32",
            "UINT64",
            "COMPLEX64",
            "COMPLEX128",
            "BFLOAT16",
        ];
        let name = usize::try_from(number - 1).ok().and_then(|i| names.get(i));
        name.map_or_else(|| format!("number {number}"), |&name| name.to_owned())
    }
}

/// Numbers of attribute types.
pub(super) mod kind {
    pub(in crate::onnx) const FLOAT: i64 = 1;
    pub(in crate::onnx) const INT: i64 = 2;
    pub(in crate::onnx) const TEXT: i64 = 3;
    pub(in crate::onnx) const TENSOR: i64 = 4;
    pub(in crate::onnx) const FLOATS: i64 = 6;
    pub(in crate::onnx) const INTS: i64 = 7;
}
