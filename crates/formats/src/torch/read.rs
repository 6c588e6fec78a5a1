//! Reads a file's pickle and storages.

use std::path::Path;

use super::{
    Checkpoint, Result, Weights, checkpoint::extract, legacy, storages::Storages, tensors::Reader,
};
use crate::{FormatError, FormatErrorKind, budget::Budget, file, pickle, zip, zip::Archive};

/// Reads a PyTorch file of the zip or the legacy format.
///
/// # Errors
/// If the file cannot be read, is malformed, has no model or several, or calls a function that a
/// file of weights does not need.
pub fn read(path: &Path) -> std::result::Result<Checkpoint, FormatError> {
    read_weights(path, &Weights::Usual)
}

/// Reads a PyTorch file, and of several models in it the chosen one.
///
/// # Errors
/// As [`read`], and if the file has no such weights. A [key](Weights::Key) that a file does not have is
/// no error here, since it may be part of the tensors' names.
pub fn read_weights(
    path: &Path,
    weights: &Weights,
) -> std::result::Result<Checkpoint, FormatError> {
    file::read(path, zip::look, |bytes| parse(bytes, weights))
}

/// Reads a file's bytes; see [`read`]. Memory is at most eight times the number of bytes,
/// themselves included, plus 16 MiB.
///
/// # Errors
/// As [`read`], except for those of the system.
pub fn from_bytes(bytes: &[u8]) -> Result<Checkpoint> {
    parse(bytes, &Weights::Usual)
}

pub(super) fn parse(bytes: &[u8], weights: &Weights) -> Result<Checkpoint> {
    let mut budget = Budget::for_file_of(bytes.len());
    let budget = &mut budget;
    if !bytes.starts_with(b"PK") {
        let (pickle, storages) = legacy::open(bytes, budget)?;
        return extract(Reader { pickle: &pickle, storages, budget }, weights);
    }
    let archive = Archive::new(bytes, budget)?;
    let folder = folder(&archive)?;
    let order = archive.read(&format!("{folder}byteorder"), budget)?;
    let big_endian = match order.as_deref().map(<[u8]>::trim_ascii) {
        None | Some(b"little") => false,
        Some(b"big") => true,
        Some(_) => return Err(FormatErrorKind::Zip("its byte order is unknown".into())),
    };
    let data = archive.read(&format!("{folder}data.pkl"), budget)?.unwrap_or_default();
    let pickle = pickle::load(&data, budget)?;
    let storages = Storages::of_archive(archive, folder, big_endian);
    extract(Reader { pickle: &pickle, storages, budget }, weights)
}

/// The folder of pickle and storages: empty, or a name with a slash.
fn folder<'a>(archive: &Archive<'a>) -> Result<&'a str> {
    let folder = |name: &'a str| {
        let folder = name.strip_suffix("data.pkl")?;
        (folder.is_empty() || folder.ends_with('/')).then_some(folder)
    };
    let mut folders = archive.names().filter_map(folder);
    let not_torch = |what: &str| FormatErrorKind::NotTorch(what.into());
    let found = folders.next().ok_or_else(|| not_torch("a zip archive without a data.pkl"))?;
    if folders.next().is_some() {
        return Err(not_torch("a zip archive with several data.pkl"));
    }
    if archive.names().any(|name| name.strip_prefix(found) == Some("constants.pkl")) {
        return Err(not_torch("a TorchScript program"));
    }
    Ok(found)
}
