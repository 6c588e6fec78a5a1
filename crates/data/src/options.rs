//! Where data sets are kept, and how much of one is loaded.

use std::{env, ffi::OsString, path::PathBuf};

use crate::DataError;

/// Where data sets are kept if nothing else is said: the environment's `RESNET_DATA`, else
/// `resnet` in the user's cache folder (on Linux `$XDG_CACHE_HOME` or `~/.cache`).
///
/// # Errors
/// [`DataError::NoDataDir`] for a user without such a folder.
pub fn default_data_dir() -> Result<PathBuf, DataError> {
    data_dir(env::var_os("RESNET_DATA"), dirs::cache_dir()).ok_or(DataError::NoDataDir)
}

fn data_dir(resnet_data: Option<OsString>, cache: Option<PathBuf>) -> Option<PathBuf> {
    resnet_data
        .filter(|folder| !folder.is_empty())
        .map(PathBuf::from)
        .or_else(|| cache.map(|cache| cache.join("resnet")))
}

/// How a data set is loaded.
#[derive(Clone, Debug, Default)]
pub struct LoadOptions {
    /// Where data sets are kept (see [`default_data_dir`]).
    pub data_dir: PathBuf,
    /// The first so many training images only.
    pub limit_train: Option<usize>,
    /// The first so many test images only.
    pub limit_test: Option<usize>,
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_environment_comes_before_the_cache_folder() {
        let cache = || Some(PathBuf::from("cache"));
        assert_eq!(data_dir(Some("mine".into()), cache()), Some("mine".into()));
        assert_eq!(data_dir(Some("".into()), cache()), Some(Path::new("cache").join("resnet")));
        assert_eq!(data_dir(None, None), None);
    }
}
