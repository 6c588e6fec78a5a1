//! What to train or evaluate on, and how photos are read.

use std::{
    fmt::{self, Display},
    path::{Path, PathBuf},
    str::FromStr,
};

use clap::{
    Args,
    builder::{PathBufValueParser, TypedValueParser},
};
use resnet::{
    config::DataConfig,
    data::{DataError, DataSource},
};
use resnet_formats::Shown;

use super::values;

/// A data set with a name, or a folder of photos.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum DataArg {
    Named(DataSource),
    Folder(PathBuf),
}

impl DataArg {
    /// A parser of the argument.
    pub(crate) fn parser() -> impl TypedValueParser<Value = DataArg> {
        PathBufValueParser::new().try_map(DataArg::new)
    }

    /// A name, else a folder.
    pub(crate) fn new(path: PathBuf) -> Result<DataArg, DataError> {
        match path.to_string_lossy().parse() {
            Ok(source) => Ok(DataArg::Named(source)),
            // What looks like a path is one: the error names what is not there.
            Err(_)
                if path.exists() || path.components().count() > 1 || ends_in_separator(&path) =>
            {
                Ok(DataArg::Folder(path))
            }
            Err(DataError::UnknownName { name, similar, known }) => {
                let known = format!("{known}, and there is no folder of this name");
                Err(DataError::UnknownName { name, similar, known })
            }
            Err(other) => Err(other),
        }
    }

    /// Whether a mirrored image shows the same class. Of photos only their owner knows: they are mirrored
    /// by `--augment crop` and the usual recipe.
    pub(crate) fn may_be_mirrored(&self) -> bool {
        match self {
            DataArg::Named(source) => source.may_be_mirrored(),
            DataArg::Folder(_) => true,
        }
    }

    /// What it is called in the name of a folder: the data set's name, or that of the folder of photos.
    pub(crate) fn in_a_name(&self) -> String {
        match self {
            DataArg::Named(source) => source.name().to_owned(),
            DataArg::Folder(root) => {
                let root = root.canonicalize().unwrap_or_else(|_| root.clone());
                let name = root.file_name().unwrap_or_default().to_string_lossy();
                name.chars().map(|c| if c.is_alphanumeric() { c } else { '-' }).take(40).collect()
            }
        }
    }

    /// Whether a configuration's data are these.
    pub(crate) fn is_that_of(&self, config: &DataConfig) -> bool {
        match self {
            DataArg::Named(source) => config.photos.is_none() && source.name() == config.name,
            DataArg::Folder(root) => {
                let real = |path: &Path| path.canonicalize().ok();
                let root = real(root).filter(|_| config.photos.is_some());
                root.is_some() && root == real(Path::new(&config.name))
            }
        }
    }

    pub(crate) fn is_folder(&self) -> bool {
        matches!(self, DataArg::Folder(_))
    }
}

fn ends_in_separator(path: &Path) -> bool {
    path.as_os_str().to_string_lossy().ends_with(std::path::is_separator)
}

impl Display for DataArg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DataArg::Named(source) => source.fmt(f),
            DataArg::Folder(path) => path.shown().fmt(f),
        }
    }
}

/// How many images to hold out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Share {
    Images(usize),
    Fraction(f64),
}

impl Share {
    /// Of this many images.
    pub(crate) fn of(self, images: usize) -> usize {
        match self {
            Share::Images(n) => n,
            Share::Fraction(share) => ((images as f64 * share).round() as usize).max(1),
        }
    }
}

impl Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Share::Images(n) => n.fmt(f),
            Share::Fraction(share) => share.fmt(f),
        }
    }
}

impl FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> Result<Share, String> {
        let fraction = |x: &f64| *x > 0.0 && *x < 1.0;
        values::count(text).map(Share::Images).or_else(|_| {
            let x = text.parse().ok().filter(fraction).map(Share::Fraction);
            x.ok_or_else(|| {
                "expected a whole number from 1 to 1000000000, or a fraction between 0 and 1".into()
            })
        })
    }
}

/// Where prepared photos are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum CachePlace {
    #[default]
    Auto,
    Memory,
    Disk,
    Nowhere,
    Folder(PathBuf),
}

impl CachePlace {
    fn parser() -> impl TypedValueParser<Value = CachePlace> {
        PathBufValueParser::new().map(|path| match path.to_str() {
            Some("auto") => CachePlace::Auto,
            Some("ram") => CachePlace::Memory,
            Some("disk") => CachePlace::Disk,
            Some("none") => CachePlace::Nowhere,
            _ => CachePlace::Folder(path),
        })
    }
}

/// How a folder of photos is read. None of it changes what is trained.
#[derive(Clone, Debug, Args)]
pub(crate) struct PhotoReadingArgs {
    /// Threads that read and augment photos [default: as many as --threads]
    #[arg(long, value_name = "N", value_parser = values::threads)]
    pub(crate) workers: Option<usize>,
    /// Where shrunk photos are kept, so that later epochs need not decode them: `ram`, `disk` (in
    /// `photos` of the folder for data), `none` or a folder of your own [default: ram if a quarter of the
    /// memory holds them, else disk]
    #[arg(long, value_name = "ram|disk|none|DIR", value_parser = CachePlace::parser())]
    pub(crate) cache: Option<CachePlace>,
    /// The most that the cache may take, such as 20G or 500M [default: a quarter of the memory, or 32G
    /// on disk]
    #[arg(long, value_name = "SIZE", value_parser = values::bytes)]
    pub(crate) cache_size: Option<u64>,
}

impl PhotoReadingArgs {
    /// What is wrong with these options for photos, or for other data.
    pub(crate) fn misuse(&self, are_photos: bool) -> Option<String> {
        let given = [
            ("--workers", self.workers.is_some()),
            ("--cache", self.cache.is_some()),
            ("--cache-size", self.cache_size.is_some()),
        ];
        let option = given.into_iter().find_map(|(option, is_given)| is_given.then_some(option));
        if !are_photos {
            return option.map(|option| format!("{option} is for folders of photos"));
        }
        let keeps_nothing = self.cache == Some(CachePlace::Nowhere);
        (keeps_nothing && self.cache_size.is_some())
            .then(|| "--cache none keeps no photos: leave out --cache-size".to_owned())
    }
}
