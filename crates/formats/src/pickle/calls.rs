//! The functions that a pickle may call.
//!
//! None is ever executed: the machine creates containers and bytes itself, and an inert record of
//! everything else. So any class or function may be called, with one exception. A pickle that calls
//! something that starts programs, opens files or evaluates text is an attack, and is refused by name.

/// Whether a call is an error.
pub(super) fn is_refused(name: &str) -> bool {
    let is_name = |part: &str| {
        !part.is_empty()
            && part.chars().all(|c| c == '_' || c.is_alphanumeric() || "<>".contains(c))
    };
    if !name.split('.').all(is_name) {
        return true;
    }
    let (root, rest) = name.split_once('.').unwrap_or((name, ""));
    if matches!(root, "builtins" | "__builtin__") {
        return !BUILTINS.contains(&rest);
    }
    let within = |module: &&str| {
        name.strip_prefix(module).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    (MACHINE.contains(&root) || LOADERS.iter().any(within)) && !HARMLESS.contains(&name)
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

/// Python's own types whose values are in checkpoints. All other built-in functions are refused.
const BUILTINS: &[&str] = &[
    "Ellipsis",
    "bool",
    "bytearray",
    "bytes",
    "complex",
    "dict",
    "float",
    "frozenset",
    "int",
    "list",
    "object",
    "range",
    "set",
    "slice",
    "str",
    "tuple",
    "xrange",
];

/// Modules that reach the machine: programs, files, the network, the interpreter.
const MACHINE: &[&str] = &[
    "_io",
    "_pickle",
    "_posixsubprocess",
    "_thread",
    "asyncio",
    "bdb",
    "cProfile",
    "cloudpickle",
    "code",
    "codeop",
    "commands",
    "ctypes",
    "dill",
    "distutils",
    "ensurepip",
    "ftplib",
    "gc",
    "http",
    "imp",
    "importlib",
    "inspect",
    "io",
    "joblib",
    "linecache",
    "marshal",
    "multiprocessing",
    "nt",
    "operator",
    "os",
    "pdb",
    "pickle",
    "pip",
    "pkgutil",
    "platform",
    "popen2",
    "posix",
    "profile",
    "pty",
    "pydoc",
    "requests",
    "runpy",
    "setuptools",
    "shutil",
    "signal",
    "smtplib",
    "socket",
    "ssl",
    "subprocess",
    "sys",
    "telnetlib",
    "tempfile",
    "threading",
    "timeit",
    "trace",
    "urllib",
    "urllib2",
    "venv",
    "webbrowser",
];

/// Modules and functions that read files and run what is in them.
const LOADERS: &[&str] = &[
    "numpy.load",
    "pandas.read_pickle",
    "torch._dynamo",
    "torch.hub",
    "torch.jit",
    "torch.load",
    "torch.package",
    "torch.serialization",
    "torch.storage",
    "torch.utils.cpp_extension",
    "torch.utils.model_zoo",
    "types.CodeType",
    "types.FunctionType",
];

/// Functions of these modules that are in files of weights.
const HARMLESS: &[&str] = &["torch.serialization._get_layout"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_not_refused() {
        for name in [
            "__main__.Mode",
            "collections.deque",
            "decimal.Decimal",
            "functools.partial",
            "numpy.core.multiarray.scalar",
            "re._compile",
            "torch._utils._rebuild_tensor_v2",
            "torch.serialization._get_layout",
            "torchvision.transforms.functional.InterpolationMode",
            "types.SimpleNamespace",
            "__builtin__.xrange",
            "operators.Layer",
            "torch.hubs.A",
        ] {
            assert!(!is_refused(name), "{name}");
        }
        for name in ["os", "os.path.join", "torch.hub.load", "types.FunctionType", "a..b", ""] {
            assert!(is_refused(name), "{name}");
        }
    }
}
