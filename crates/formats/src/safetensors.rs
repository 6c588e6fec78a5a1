//! The safetensors format: the length of a JSON header, the header, and the bytes of the tensors.

use std::{
    collections::HashSet,
    fs::File,
    io::{self, Read as _},
    path::Path,
};

use safetensors::{SafeTensorError, SafeTensors, tensor::TensorInfo};
use serde::{
    Deserialize, Deserializer,
    de::{Error as _, IgnoredAny, MapAccess, Visitor},
    ser::{SerializeMap, Serializer},
};

use crate::{
    Data, Destination, FormatError, FormatErrorKind, NamedTensors, Tensor, atomic_write,
    budget::Budget, element_type::ElementType, file,
};

pub use crate::tensor::Metadata;

/// Reads the tensors of a file, in file order, and its metadata.
///
/// # Errors
/// If the file cannot be read, is malformed, or holds other types than floating point numbers of 16 to
/// 64 bits, integers and booleans.
pub fn read(path: &Path) -> Result<(NamedTensors, Metadata), FormatError> {
    file::read(path, look, from_bytes)
}

/// Checks that a large file ends where its last tensor ends.
fn look(file: &mut File, size: u64) -> Result<(), FormatErrorKind> {
    let mut length = [0; 8];
    file.read_exact(&mut length).map_err(FormatErrorKind::from_read)?;
    let length = u64::from_le_bytes(length);
    if length > MAX_HEADER {
        return Err(FormatErrorKind::HeaderTooLarge);
    }
    if length > size.saturating_sub(8) {
        return Err(FormatErrorKind::TruncatedHeader { size: size as usize });
    }
    let mut header = Vec::new();
    file.take(length).read_to_end(&mut header).map_err(FormatErrorKind::from_read)?;
    let DataEnd(end) = serde_json::from_slice(&header)
        .map_err(|error| FormatErrorKind::Header(error.to_string()))?;
    if end.checked_add(8 + length) == Some(size) {
        return Ok(());
    }
    Err(FormatErrorKind::Size { size: size as usize })
}

/// The limit of the `safetensors` crate.
const MAX_HEADER: u64 = 100_000_000;

/// Where the last tensor of a header ends.
struct DataEnd(u64);

impl<'de> Deserialize<'de> for DataEnd {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(DataEnd(0))
    }
}

impl<'de> Visitor<'de> for DataEnd {
    type Value = Self;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Self, A::Error> {
        #[derive(Deserialize)]
        struct Entry {
            data_offsets: (u64, u64),
        }
        while let Some(key) = map.next_key::<String>()? {
            if key == METADATA {
                map.next_value::<IgnoredAny>()?;
            } else {
                self.0 = self.0.max(map.next_value::<Entry>()?.data_offsets.1);
            }
        }
        Ok(self)
    }
}

/// The entry of a header for metadata.
const METADATA: &str = "__metadata__";

/// Reads a file's bytes; see [`read`]. Memory is at most eight times the number of bytes,
/// themselves included, plus 16 MiB.
///
/// # Errors
/// If the bytes are malformed, or hold other types than floating point numbers of 16 to 64 bits,
/// integers and booleans.
pub fn from_bytes(bytes: &[u8]) -> Result<(NamedTensors, Metadata), FormatErrorKind> {
    let mut budget = Budget::for_file_of(bytes.len());
    charge_header(&mut budget, bytes)?;
    let malformed = |error| malformation(error, bytes.len());
    let (header, metadata) = SafeTensors::read_metadata(bytes).map_err(malformed)?;
    let (header, data) = bytes[size_of::<u64>()..].split_at(header);
    refuse_duplicates(header)?;
    let mut infos: Vec<(String, &TensorInfo)> = metadata.tensors().into_iter().collect();
    infos.sort_by(|(a_name, a), (b_name, b)| {
        (a.data_offsets, a_name).cmp(&(b.data_offsets, b_name))
    });
    let tensors = infos.into_iter().map(|(name, info)| {
        let bytes = &data[info.data_offsets.0..info.data_offsets.1];
        let Some(dtype) = ElementType::of_safetensors(info.dtype) else {
            let (tensor, dtype) = (name, info.dtype.to_string());
            let read = "floating point numbers of 16 to 64 bits, integers and booleans";
            return Err(FormatErrorKind::Dtype { tensor, dtype, read });
        };
        budget.take(bytes.len() / dtype.size() * dtype.kept_size())?;
        let data = dtype.values(bytes).expect("a type that is read");
        Ok((name, Tensor { shape: info.shape.clone(), data }))
    });
    let tensors = tensors.collect::<Result<_, _>>()?;
    Ok((tensors, metadata.metadata().clone().unwrap_or_default().into_iter().collect()))
}

/// Memory of the crate's parser for a value of the header, at most.
const PER_VALUE: usize = 256;

/// Takes from the budget what the crate's parser needs for the header, which may have a value in
/// every two bytes.
fn charge_header(budget: &mut Budget, bytes: &[u8]) -> Result<(), FormatErrorKind> {
    let Some((length, rest)) = bytes.split_first_chunk() else { return Ok(()) };
    let length = usize::try_from(u64::from_le_bytes(*length)).unwrap_or(usize::MAX);
    let header = rest.get(..length).unwrap_or(rest);
    // Each value but the first follows a comma.
    let values = header.iter().filter(|&&byte| byte == b',').count();
    budget.take(values * PER_VALUE)
}

fn malformation(error: SafeTensorError, size: usize) -> FormatErrorKind {
    use SafeTensorError as E;
    match error {
        E::HeaderTooLarge => FormatErrorKind::HeaderTooLarge,
        E::HeaderTooSmall | E::InvalidHeaderLength => FormatErrorKind::TruncatedHeader { size },
        E::InvalidOffset(name) => FormatErrorKind::Offset(name),
        E::TensorInvalidInfo => FormatErrorKind::ShapeAndSize,
        E::ValidationOverflow => FormatErrorKind::ImpossibleShape,
        E::MetadataIncompleteBuffer => FormatErrorKind::Size { size },
        other => FormatErrorKind::Header(other.to_string()),
    }
}

/// Refuses duplicate names. The crate would keep the last entry, other readers may keep the first.
fn refuse_duplicates(header: &[u8]) -> Result<(), FormatErrorKind> {
    serde_json::from_slice::<UniqueKeys>(header).map(drop).map_err(|error| {
        let message = error.to_string();
        let name = message.strip_prefix(DUPLICATE).and_then(|m| m.rsplit_once('\'')).map(|m| m.0);
        match name {
            Some(name) => FormatErrorKind::DuplicateName(name.to_owned()),
            None => FormatErrorKind::Header(message),
        }
    })
}

const DUPLICATE: &str = "two entries named '";

/// A JSON object without duplicate keys, also in its `__metadata__`.
struct UniqueKeys;

impl<'de> Deserialize<'de> for UniqueKeys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(UniqueKeys)
    }
}

impl<'de> Visitor<'de> for UniqueKeys {
    type Value = Self;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self, A::Error> {
        let mut seen = HashSet::new();
        while let Some(key) = map.next_key::<String>()? {
            if key == METADATA {
                map.next_value::<Option<UniqueKeys>>()?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
            if let Some(key) = seen.replace(key) {
                return Err(A::Error::custom(format_args!("{DUPLICATE}{key}'")));
            }
        }
        Ok(self)
    }
}

/// Writes a file atomically. Equal input gives equal bytes: integers come first, so that every
/// tensor is aligned to its type, and otherwise the order is kept; metadata is sorted.
///
/// # Errors
/// As [`atomic_write`].
///
/// # Panics
/// If two tensors have one name.
pub fn write<'p>(
    destination: impl Into<Destination<'p>>,
    tensors: &NamedTensors,
    metadata: &Metadata,
) -> io::Result<()> {
    // The crate's writer would write metadata in the random order of a hash map.
    let mut ordered: Vec<&(String, Tensor)> = tensors.iter().collect();
    ordered.sort_by_key(|(_, tensor)| matches!(tensor.data, Data::F32(_)));
    let header = header(&ordered, metadata);
    atomic_write(destination, |file| {
        file.write_all(&(header.len() as u64).to_le_bytes())?;
        file.write_all(&header)?;
        ordered.iter().try_for_each(|(_, tensor)| tensor.data.write(file))
    })
}

/// The header, padded to a multiple of 8 bytes.
fn header(tensors: &[&(String, Tensor)], metadata: &Metadata) -> Vec<u8> {
    let mut header = Vec::new();
    let mut json = serde_json::Serializer::new(&mut header);
    let mut names = HashSet::new();
    let mut write = || {
        let mut map = json.serialize_map(None)?;
        if !metadata.is_empty() {
            map.serialize_entry(METADATA, metadata)?;
        }
        let mut offset = 0;
        for (name, tensor) in tensors {
            assert!(names.insert(name), "two tensors named '{name}'");
            let (dtype, size) = match &tensor.data {
                Data::F32(values) => (safetensors::Dtype::F32, size_of_val(&values[..])),
                Data::I64(values) => (safetensors::Dtype::I64, size_of_val(&values[..])),
            };
            let data_offsets = (offset, offset + size);
            map.serialize_entry(
                name,
                &TensorInfo { dtype, shape: tensor.shape.clone(), data_offsets },
            )?;
            offset += size;
        }
        map.end()
    };
    write().expect("strings and integers are always JSON");
    header.resize(header.len().next_multiple_of(8), b' ');
    header
}

#[cfg(test)]
mod tests;
