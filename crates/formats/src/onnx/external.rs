//! Values that a file keeps in another one next to it.

use std::{
    collections::HashMap,
    fs::File,
    io::{Read as _, Seek as _, SeekFrom},
    path::{Component, Path},
};

use crate::{FormatErrorKind, error::Malformed, file};

/// Files that a model keeps values in; the default is that there are none.
#[derive(Default)]
pub(super) struct External<'a> {
    /// Where they may lie.
    folder: Option<&'a Path>,
    files: HashMap<String, Opened>,
}

struct Opened {
    file: File,
    /// Bytes that it justifies still: tensors do not share theirs.
    left: u64,
}

impl<'a> External<'a> {
    /// Beside a file.
    pub(super) fn of(path: &'a Path) -> Self {
        External { folder: path.parent(), files: HashMap::new() }
    }

    /// The `length` bytes of a tensor's values, whose place has these entries.
    pub(super) fn bytes(
        &mut self,
        tensor: &str,
        entries: &[(String, String)],
        length: Option<usize>,
    ) -> Result<Vec<u8>, FormatErrorKind> {
        let wrong = |why: String| Malformed::ExternalData { tensor: tensor.to_owned(), why };
        let entry = |key| entries.iter().find(|(found, _)| found == key).map(|(_, value)| value);
        let number = |key| match entry(key).map(|text| text.parse::<u64>()) {
            None => Ok(None),
            Some(Ok(number)) => Ok(Some(number)),
            Some(Err(_)) => Err(wrong(format!("whose {key} is no number"))),
        };
        let name = entry("location").ok_or_else(|| wrong("which it does not name".into()))?;
        let (offset, stated) = (number("offset")?.unwrap_or(0), number("length")?);
        let length = length.map(|length| length as u64);
        let Some(length) = length.filter(|&length| stated.is_none_or(|stated| stated == length))
        else {
            return Err(Malformed::Values(tensor.to_owned()).into());
        };
        let folder = self.folder.ok_or_else(|| wrong(format!("'{name}', which is not here")))?;
        let mut parts = Path::new(name).components();
        let (Some(Component::Normal(_)), None) = (parts.next(), parts.next()) else {
            return Err(wrong(format!("'{name}', which is none of its own folder")).into());
        };
        if !self.files.contains_key(name) {
            let (file, left) = file::open(&folder.join(name))
                .map_err(|error| wrong(format!("'{name}': {error}")))?;
            self.files.insert(name.clone(), Opened { file, left });
        }
        let opened = self.files.get_mut(name).expect("it is there now");
        opened.left = opened
            .left
            .checked_sub(length)
            .ok_or_else(|| wrong(format!("'{name}', which is too short")))?;
        let mut bytes = Vec::new();
        let mut read = || {
            opened.file.seek(SeekFrom::Start(offset))?;
            bytes.try_reserve_exact(length as usize)?;
            (&mut opened.file).take(length).read_to_end(&mut bytes)
        };
        let read = read().map_err(|error| wrong(format!("'{name}': {error}")))?;
        if read as u64 != length {
            return Err(wrong(format!("'{name}', which is too short")).into());
        }
        Ok(bytes)
    }
}
