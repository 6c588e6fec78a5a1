//! The Python version of CIFAR-10 (`cifar-10-python.tar.gz`, which torchvision downloads): the same
//! images and labels in the same order, as pickled dicts of NumPy arrays.

use std::path::Path;

use md5::Md5;
use resnet_formats::LabelledRows;

use super::files::{NAME, RECORD, images};
use crate::{DataError, digest::digest, published::PublishedFile};

/// Folder of the files, in the official archive and in torchvision's root.
pub(super) const FOLDER: &str = "cifar-10-batches-py";

/// Twice the size of an official file.
const MOST: u64 = 64 << 20;

/// The records of a file, as in the binary version, and their MD5. Whether it is the published one is
/// left to the caller.
pub(super) fn records(path: &Path, file: &PublishedFile) -> Result<(Vec<u8>, String), DataError> {
    let unreadable =
        |reason: String| DataError::NotPython { name: NAME, file: path.to_owned(), reason };
    let bytes =
        resnet_formats::read(path, MOST).map_err(|e| unreadable(format!("cannot be read: {e}")))?;
    let read = LabelledRows::from_pickle(&bytes, "labels", RECORD - 1);
    let LabelledRows { rows, labels } = read.map_err(|e| unreadable(e.to_string()))?;
    if labels.len() != images(file) {
        return Err(unreadable(format!("has {} images, not {}", labels.len(), images(file))));
    }
    let mut records = Vec::with_capacity(images(file) * RECORD);
    for (&label, row) in labels.iter().zip(rows.chunks_exact(RECORD - 1)) {
        records.push(label);
        records.extend_from_slice(row);
    }
    let md5 = digest::<Md5>(&records);
    Ok((records, md5))
}
