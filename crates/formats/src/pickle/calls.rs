//! The functions that a pickle may call.

/// Whether a pickle may call a function. None is executed: the machine creates containers and bytes
/// itself, and a record of everything else.
pub(super) fn is_listed(name: &str) -> bool {
    is_container(name) || RECORDS.contains(&name)
}

/// Whether the result is one of the machine's own values.
pub(super) fn is_container(name: &str) -> bool {
    MAPPINGS.contains(&name) || SETS.contains(&name) || ENCODE == name
}

/// Functions that return a dict.
pub(super) const MAPPINGS: &[&str] = &[
    "collections.OrderedDict",
    "collections.defaultdict",
    "collections.Counter",
    "builtins.dict",
    "__builtin__.dict",
];

/// Functions that return a set.
pub(super) const SETS: &[&str] =
    &["builtins.set", "builtins.frozenset", "__builtin__.set", "__builtin__.frozenset"];

/// The function that protocol 2 uses for bytes, from a string in Latin 1.
pub(super) const ENCODE: &str = "_codecs.encode";

/// The functions that protocols 0 and 1 use to create an object.
pub(super) const RECONSTRUCTORS: &[&str] = &["copyreg._reconstructor", "copy_reg._reconstructor"];

const RECORDS: &[&str] = &[
    "__builtin__.bytearray",
    "__builtin__.complex",
    "__builtin__.slice",
    "argparse.Namespace",
    "builtins.bytearray",
    "builtins.complex",
    "builtins.slice",
    "copy_reg._reconstructor",
    "copyreg._reconstructor",
    "datetime.date",
    "datetime.datetime",
    "datetime.timedelta",
    "numpy._core.multiarray._reconstruct",
    "numpy._core.multiarray.scalar",
    "numpy.core.multiarray._reconstruct",
    "numpy.core.multiarray.scalar",
    "numpy.dtype",
    "pathlib.PosixPath",
    "pathlib.PurePosixPath",
    "pathlib.WindowsPath",
    "pathlib._local.PosixPath",
    "torch.Size",
    "torch._tensor._rebuild_from_type_v2",
    "torch._utils._rebuild_device_tensor_from_cpu_tensor",
    "torch._utils._rebuild_device_tensor_from_numpy",
    "torch._utils._rebuild_meta_tensor_no_storage",
    "torch._utils._rebuild_parameter",
    "torch._utils._rebuild_parameter_with_state",
    "torch._utils._rebuild_qtensor",
    "torch._utils._rebuild_sparse_tensor",
    "torch._utils._rebuild_tensor",
    "torch._utils._rebuild_tensor_v2",
    "torch._utils._rebuild_tensor_v3",
    "torch.device",
    "torch.nn.parameter.Parameter",
    "torch.serialization._get_layout",
];
