//! Options for loading a data set: its folder, and limits on its size.

use std::{env, ffi::OsString, path::PathBuf};

use crate::DataError;

/// The default folder of the data sets: the environment variable `RESNET_DATA`, else `resnet` in
/// the user's cache folder (on Linux `$XDG_CACHE_HOME` or `~/.cache`).
///
/// # Errors
/// [`DataError::NoDataDir`] if the user has no cache folder.
pub fn default_data_dir() -> Result<PathBuf, DataError> {
    data_dir(env::var_os("RESNET_DATA"), dirs::cache_dir()).ok_or(DataError::NoDataDir)
}

fn data_dir(resnet_data: Option<OsString>, cache: Option<PathBuf>) -> Option<PathBuf> {
    resnet_data
        .filter(|folder| !folder.is_empty())
        .map(PathBuf::from)
        .or_else(|| cache.map(|cache| cache.join("resnet")))
}

/// Options for loading a data set.
#[derive(Clone, Debug, Default)]
pub struct LoadOptions {
    /// Folder of the data sets; none for the [default](default_data_dir) one.
    pub data_dir: Option<PathBuf>,
    /// Maximum number of training images; the first ones are used.
    pub limit_train: Option<usize>,
    /// Maximum number of test images; the first ones are used.
    pub limit_test: Option<usize>,
}

impl LoadOptions {
    /// The folder of the data sets.
    pub(crate) fn folder(&self) -> Result<PathBuf, DataError> {
        self.data_dir.clone().map_or_else(default_data_dir, Ok)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_environment_variable_overrides_the_cache_folder() {
        let cache = || Some(PathBuf::from("cache"));
        assert_eq!(data_dir(Some("mine".into()), cache()), Some("mine".into()));
        assert_eq!(data_dir(Some("".into()), cache()), Some(Path::new("cache").join("resnet")));
        assert_eq!(data_dir(None, None), None);
    }

    #[test]
    fn data_sets_are_in_the_default_folder_unless_another_is_given() {
        let folder = |data_dir| LoadOptions { data_dir, ..LoadOptions::default() }.folder().ok();
        assert_eq!(folder(None), default_data_dir().ok());
        assert_eq!(folder(Some("mine".into())), Some("mine".into()));
    }
}
