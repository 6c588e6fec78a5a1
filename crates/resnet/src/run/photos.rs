//! The photos of a run, whose names are in its `photos.tsv`.

use std::{
    io,
    path::{Path, PathBuf},
};

use super::{PHOTOS, RunError, RunFolder};
use crate::{
    config::DataConfig,
    data::{
        DataError, NamedPhotos, Parts, PhotoOptions, Photos, missing_photos, read_photo_names,
        resize_for, unread_photos, write_photo_names,
    },
};

/// Opens the photos of a run to resume it: those that it began with.
///
/// ```no_run
/// use resnet::data::{CacheOptions, PhotoOptions};
/// use resnet::run::{RunFolder, open_photos};
///
/// let run = RunFolder::resume("runs/mine".as_ref())?;
/// let cache = CacheOptions::Memory { bytes: 4 << 30 };
/// let data = open_photos(&run, PhotoOptions { workers: 8, cache })?;
/// # Ok::<(), resnet::run::RunError>(())
/// ```
///
/// # Errors
/// If the run is on a data set, or the file with their names cannot be read or is damaged.
///
/// # Panics
/// If there are no workers.
pub fn open_photos(run: &RunFolder, options: PhotoOptions) -> Result<Parts, RunError> {
    let data = &run.config().data;
    if data.photos.is_none() {
        let message = "it is a data set, not a folder of photos: DataConfig::load loads it";
        let (name, message) = (data.name.clone(), message.to_owned());
        return Err(DataError::Unsuitable { name, message }.into());
    }
    named_photos(photo_names(run.path(), Path::new(&data.name))?, data, options)
}

/// The photos of a run to train on, for validation and to test on, below a folder `root`.
///
/// # Errors
/// If the file with their names cannot be read or is damaged.
pub fn photo_names(run: &Path, root: &Path) -> Result<[Option<NamedPhotos>; 3], RunError> {
    let file = run.join(PHOTOS);
    read_photo_names(&file, root).map_err(RunError::io("read", &file))
}

/// Such photos as the data of a run with this configuration.
///
/// # Errors
/// If there are none to train on.
///
/// # Panics
/// If there are no workers.
pub fn named_photos(
    named: [Option<NamedPhotos>; 3],
    data: &DataConfig,
    options: PhotoOptions,
) -> Result<Parts, RunError> {
    let (size, stated) = (data.image_size, data.photos.as_ref());
    let sizes = [size, stated.map_or(resize_for(size), |photos| photos.resize)];
    let root = Path::new(&data.name);
    let parts = Parts::of_photos(root, data.classes.clone(), named, sizes, options)?;
    let own_validation = stated.is_some_and(|photos| photos.own_validation);
    Ok(Parts { own_validation, ..parts })
}

impl RunFolder {
    /// Writes the names of the photos of a new run, with which it can be resumed; nothing if its data are no photos.
    /// [`train`](crate::train::train()) does so too.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn save_photos(&self, data: &Parts) -> Result<(), RunError> {
        RunPhotos::of(self, data).map_or(Ok(()), |photos| photos.save())
    }

    /// Takes the photos of the run from another folder from now on. They must have the same names there.
    ///
    /// # Errors
    /// If some are not there, or a file of the run cannot be read or written.
    pub fn move_photos(&mut self, root: &Path) -> Result<(), RunError> {
        let root = std::path::absolute(root).map_err(RunError::io("find", root))?;
        let named = unread_photos(photo_names(self.path(), &root)?);
        if let Some((first, more)) = missing_photos(&named) {
            return Err(RunError::PhotosMissing { first, more, root });
        }
        let Some(name) = root.to_str() else {
            let error = io::Error::other("its path is not UTF-8");
            return Err(RunError::io("record", &root)(error));
        };
        if name == self.config().data.name {
            return Ok(());
        }
        write_names(&self.path().join(PHOTOS), &named)?;
        self.move_data(name)
    }
}

fn write_names(file: &Path, named: &[Option<NamedPhotos>; 3]) -> Result<(), RunError> {
    write_photo_names(file, named).map_err(RunError::io("write", file))
}

/// The file with the photos of a run.
pub(crate) struct RunPhotos {
    path: PathBuf,
    parts: [Option<Photos>; 3],
    /// What the photos are known by in the file.
    saved: [Option<Vec<u64>>; 3],
}

impl RunPhotos {
    /// Those of a run, known by what its file has; none if its data are no photos.
    pub(crate) fn of(run: &RunFolder, data: &Parts) -> Option<RunPhotos> {
        let parts = data.photos().map(|photos| photos.cloned());
        parts[0].is_some().then(|| RunPhotos::new(run.path().join(PHOTOS), parts))
    }

    fn new(path: PathBuf, parts: [Option<Photos>; 3]) -> RunPhotos {
        let saved = identities(&parts);
        RunPhotos { path, parts, saved }
    }

    /// Writes the file again if photos were read for the first time since, or have changed.
    pub(crate) fn update(&mut self) -> Result<(), RunError> {
        let now = identities(&self.parts);
        if now != self.saved {
            self.save()?;
            self.saved = now;
        }
        Ok(())
    }

    /// Writes their names, and of those that were read what they are known by.
    fn save(&self) -> Result<(), RunError> {
        let named = |photos: &Photos| (photos.list().clone(), photos.identities());
        let parts = self.parts.each_ref().map(|photos| photos.as_ref().map(named));
        write_names(&self.path, &parts)
    }
}

fn identities(parts: &[Option<Photos>; 3]) -> [Option<Vec<u64>>; 3] {
    parts.each_ref().map(|photos| photos.as_ref().map(Photos::identities))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::data::{CacheOptions, PhotoList, photo::Preparation};

    #[test]
    fn the_file_of_a_run_follows_its_photos() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let write = |content: &str| fs::write(root.join("a.jpg"), content).unwrap();
        write("a photo");
        let mut list = PhotoList::new(root);
        ["a.jpg", "b.jpg"].iter().for_each(|name| list.push(name.as_bytes(), 0));
        let options = PhotoOptions { workers: 1, cache: CacheOptions::None };
        let photos = Photos::new(list, Preparation::new(8, None, 3), options);
        let path = root.join(PHOTOS);
        let mut file = RunPhotos::new(path.clone(), [Some(photos.clone()), None, None]);
        let saved = || {
            let [train, ..] = read_photo_names(&path, root).unwrap();
            train.unwrap().1
        };
        file.update().unwrap();
        assert!(!path.exists(), "nothing was read");
        let mut known = Vec::new();
        for content in ["a photo", "another photo"] {
            write(content);
            photos.prepared(0);
            file.update().unwrap();
            assert_eq!(saved(), photos.identities());
            known.push(saved()[0]);
        }
        assert!(known[0] != 0 && known[0] != known[1] && saved()[1] == 0, "{known:?}");
    }
}
