//! What a file is that is no model file, and what to do about it.

use std::path::Path;

use resnet_formats::FormatErrorKind;

use super::error::ANOTHER;

/// A kind of file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kind {
    pub(super) what: &'static str,
    pub(super) remedy: &'static str,
}

/// Bytes to look at.
pub(super) const START: u64 = 512;

const EXPORT_ONNX: &str = "export it to ONNX, or save its state dict with PyTorch";
const CONVERT: &str = "convert its weights to safetensors or to a PyTorch state dict first";
const UNPACK: &str = "unpack it, and give the file inside";
const FETCH: &str = "download the file itself again";
const DATA: &str = "give the .onnx file next to it";

impl Kind {
    pub(super) const UNKNOWN: Kind = Kind { what: "has an unknown format", remedy: ANOTHER };

    const fn new(what: &'static str, remedy: &'static str) -> Kind {
        Kind { what, remedy }
    }
}

/// The kind of a file by its first bytes, and where these say little, by its name. None if it may be
/// a model file.
pub(super) fn of_start(path: &Path, start: &[u8]) -> Option<Kind> {
    let text = start.trim_ascii_start();
    let starts =
        |with: &[u8]| text.len() >= with.len() && text[..with.len()].eq_ignore_ascii_case(with);
    let at = |offset: usize, bytes: &[u8]| start.get(offset..offset + bytes.len()) == Some(bytes);
    let suffix = path.extension().and_then(|suffix| suffix.to_str()).unwrap_or_default();
    let suffix = suffix.to_ascii_lowercase();
    let page = [&b"<!doctype"[..], b"<html", b"<head"].iter().any(|with| starts(with));
    let within = |word: &[u8]| start.windows(word.len()).any(|window| window == word);
    Some(if start.is_empty() {
        Kind::new("is empty", ANOTHER)
    } else if starts(b"version https://git-lfs") {
        Kind::new(
            "is a pointer of Git LFS, not the file itself",
            "run `git lfs pull` in its repository",
        )
    } else if page {
        Kind::new("is a web page, not the file that was to be downloaded", FETCH)
    } else if starts(b"<?xml") && within(b"<net") {
        Kind::new("is a network of OpenVINO", EXPORT_ONNX)
    } else if starts(b"<?xml") || starts(b"<error") {
        Kind::new("is an XML document, such as the error message of a download", FETCH)
    } else if starts(b"{") && !at(8, b"{") && std::str::from_utf8(start).is_ok() {
        Kind::new("is a JSON text, such as the error message of a download", FETCH)
    } else if at(0, &[0x1f, 0x8b]) {
        Kind::new("is compressed with gzip", UNPACK)
    } else if at(0, b"7z\xbc\xaf\x27\x1c") || at(0, b"Rar!") || at(0, b"BZh") || at(0, b"\xfd7zXZ")
    {
        Kind::new("is a compressed archive", UNPACK)
    } else if at(0, &[0x28, 0xb5, 0x2f, 0xfd]) {
        Kind::new("is compressed with zstd", UNPACK)
    } else if at(257, b"ustar") {
        Kind::new("is a tar archive", UNPACK)
    } else if at(0, b"\x89HDF") {
        Kind::new("is an HDF5 file, such as Keras writes", EXPORT_ONNX)
    } else if at(4, b"TFL3") {
        Kind::new(
            "is a network of TensorFlow Lite",
            "export the network that it was made of to ONNX",
        )
    } else if at(0, b"GGUF") {
        Kind::new("is a GGUF file", CONVERT)
    } else if at(0, b"\x93NUMPY") {
        Kind::new("is a NumPy array", CONVERT)
    } else {
        return of_name(&suffix, path, start);
    })
}

/// The kind of a file whose bytes say little.
fn of_name(suffix: &str, path: &Path, start: &[u8]) -> Option<Kind> {
    let zip_or_pickle = start.starts_with(b"PK") || start.starts_with(&[0x80]);
    Some(match suffix {
        "data" if path.file_stem().is_some_and(|stem| Path::new(stem).extension().is_some()) => {
            Kind::new("has the tensors of an ONNX file", DATA)
        }
        "caffemodel" => Kind::new("is a network of Caffe", EXPORT_ONNX),
        "weights" if !zip_or_pickle => Kind::new("is a weights file of Darknet", EXPORT_ONNX),
        "msgpack" => Kind::new("is a MessagePack file, such as Flax writes", CONVERT),
        "params" if !zip_or_pickle => Kind::new("is a parameter file of MXNet", EXPORT_ONNX),
        "pb" => Kind::new("is a graph of TensorFlow", EXPORT_ONNX),
        "pdparams" => Kind::new("is a parameter file of Paddle", CONVERT),
        "mlmodel" => Kind::new("is a network of Core ML", EXPORT_ONNX),
        "txt" | "md" | "py" | "yaml" | "yml" | "toml" if std::str::from_utf8(start).is_ok() => {
            Kind::new("is a text file", "give the checkpoint itself")
        }
        _ => return None,
    })
}

/// The kind of a zip archive or pickle that is not of `torch.save`.
pub(super) fn of_not_torch(path: &Path, error: &FormatErrorKind) -> Option<Kind> {
    let FormatErrorKind::NotTorch(what) = error else { return None };
    let suffix = path.extension().and_then(|suffix| suffix.to_str()).unwrap_or_default();
    Some(match (what.as_str(), suffix.to_ascii_lowercase().as_str()) {
        (_, "npz") => Kind::new("is an archive of NumPy arrays", CONVERT),
        (_, "keras") => Kind::new("is a network of Keras", EXPORT_ONNX),
        (_, "pt2") => {
            Kind::new("is an exported program of torch.export", "save its state dict instead")
        }
        ("a TorchScript program", _) => Kind::new(
            "is a TorchScript program",
            "save the state dict of torch.jit.load(file) with torch.save",
        ),
        ("a pickle, but not of PyTorch", _) => Kind::new(
            "is a pickle, but not of torch.save",
            "save the tensors as a state dict with torch.save",
        ),
        (what, _) if what.starts_with("a zip archive without") => {
            Kind::new("is a zip archive, but not of torch.save", UNPACK)
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_named_for_what_they_are() {
        let kind =
            |name: &str, bytes: &[u8]| of_start(Path::new(name), bytes).map(|kind| kind.what);
        for (name, bytes, what) in [
            ("a.pth", &b"version https://git-lfs.github.com/spec/v1\noid"[..], "Git LFS"),
            ("a.pth", b"\n<!DOCTYPE html><html>", "web page"),
            ("a.pth", b"<?xml version=\"1.0\"?>\n<Error>", "XML"),
            ("a.xml", b"<?xml version=\"1.0\"?><net name=\"a\">", "OpenVINO"),
            ("a.pth", b"{\"error\":\"Repository not found\"}", "JSON"),
            ("a.gz", b"\x1f\x8b\x08", "gzip"),
            ("a.7z", b"7z\xbc\xaf\x27\x1c", "compressed archive"),
            ("a.h5", b"\x89HDF\r\n\x1a\n", "HDF5"),
            ("a.tflite", b"\x1c\0\0\0TFL3", "TensorFlow Lite"),
            ("a.gguf", b"GGUF\x03", "GGUF"),
            ("a.npy", b"\x93NUMPY\x01", "NumPy"),
            ("a.onnx.data", &[0; 64], "ONNX"),
            ("a.caffemodel", b"\x0a\x08", "Caffe"),
            ("a.weights", &[0, 0, 0, 0, 2], "Darknet"),
            ("a.msgpack", b"\x82\xa6params", "MessagePack"),
            ("a.params", &[0x12, 1], "MXNet"),
            ("a.pb", b"\x0a\x1a", "TensorFlow"),
            ("a.pth", b"", "empty"),
        ] {
            let found = kind(name, bytes).unwrap_or_default();
            assert!(found.contains(what), "{name}: {found}");
        }
        for bytes in [&b"PK\x03\x04"[..], b"\x80\x02", b"\x08\x08", b"\x08\0\0\0\0\0\0\0{}      "] {
            assert_eq!(kind("a.pt", bytes), None);
        }
    }
}
