//! Photos as the data of a run.

use std::path::Path;

use resnet_network::preprocess::{Normalisation, Preparation};

use crate::{DataError, ImageSet, NamedPhotos, Parts, PhotoList, PhotoOptions, PhotoSet, Photos};

/// The shorter side before the centre crop of evaluation: 256 for images of 224.
pub fn resize_for(image_size: usize) -> usize {
    image_size.saturating_mul(256) / 224
}

impl PhotoSet {
    /// The data of a run on these photos, in images of `image_size` rows and columns, normalised as those of ImageNet.
    /// Of those to train on, `validation` are held out, of each class the same share, chosen by the seed; with none
    /// given a fifth, unless the folder has a part for validation or tests.
    ///
    /// # Errors
    /// If a class would keep no photo to train on, the folder has a part for validation and others should be held out, or
    /// its path is not UTF-8.
    ///
    /// # Panics
    /// If there are no workers.
    pub fn into_parts(
        self,
        image_size: usize,
        validation: Option<usize>,
        seed: u64,
        options: PhotoOptions,
    ) -> Result<Parts, DataError> {
        let PhotoSet { root, classes, mut train, validation: own, test, .. } = self;
        let root = std::path::absolute(&root).map_err(DataError::io("find", &root))?;
        let fifth = || ((train.len() as f64 * 0.2).round() as usize).max(1);
        let usual = if own.is_none() && test.is_none() { fifth() } else { 0 };
        let own_validation = own.is_some();
        let validation = match (own, validation.unwrap_or(usual)) {
            (own, 0) => own,
            (None, photos) => Some(train.stratified_split(photos, seed)?),
            (Some(_), _) => {
                let message = "it has a part for validation: no other photos can be held out";
                return Err(unsuitable(&root, message));
            }
        };
        let named = [Some(train), validation, test].map(|list| list.map(unread));
        let sizes = [image_size, resize_for(image_size)];
        let parts = Parts::of_photos(&root, classes, named, sizes, options)?;
        Ok(Parts { own_validation, ..parts })
    }
}

impl Parts {
    /// Photos of a folder to train on, for validation and to test on, in images of `image_size` rows and columns.
    /// Evaluation resizes the shorter side to `resize` and takes the centre.
    ///
    /// # Errors
    /// If there are none to train on, or the folder's path is not UTF-8.
    ///
    /// # Panics
    /// If there are no workers.
    pub fn of_photos(
        root: &Path,
        classes: Vec<String>,
        [train, validation, test]: [Option<NamedPhotos>; 3],
        [image_size, resize]: [usize; 2],
        options: PhotoOptions,
    ) -> Result<Parts, DataError> {
        let Some((train, identities)) = train else {
            return Err(unsuitable(root, "it has no photos to train on"));
        };
        let Some(name) = root.to_str().map(str::to_owned) else {
            return Err(unsuitable(root, "its path is not UTF-8: rename the folder"));
        };
        let preparation = Preparation::new(image_size, Some(resize), 3);
        let train = Photos::new(train, preparation, options).with_identities(identities);
        let other = |part: Option<NamedPhotos>| {
            part.map(|(list, identities)| {
                ImageSet::Photos(train.with_list(list).with_identities(identities))
            })
        };
        let (validation, test) = (other(validation), other(test));
        let normalisation = Normalisation::imagenet();
        let train = ImageSet::Photos(train);
        Ok(Parts { name, classes, normalisation, train, validation, own_validation: false, test })
    }

    /// The photos to train on, for validation and to test on; none of a data set in memory.
    pub fn photos(&self) -> [Option<&Photos>; 3] {
        [Some(&self.train), self.validation.as_ref(), self.test.as_ref()].map(|set| match set {
            Some(ImageSet::Photos(photos)) => Some(photos),
            _ => None,
        })
    }
}

fn unread(list: PhotoList) -> NamedPhotos {
    let identities = vec![0; list.len()];
    (list, identities)
}

fn unsuitable(root: &Path, message: &str) -> DataError {
    DataError::Unsuitable { name: root.to_string_lossy().into_owned(), message: message.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CacheOptions;

    fn list(photos: usize) -> PhotoList {
        let mut list = PhotoList::new(Path::new("root"));
        (0..photos).for_each(|i| list.push(format!("{i}").as_bytes(), (i % 2) as u32));
        list
    }

    fn parts(own: bool, test: bool, validation: Option<usize>) -> Result<Parts, DataError> {
        let set = PhotoSet {
            root: "root".into(),
            classes: ["cat", "dog"].map(str::to_owned).to_vec(),
            train: list(20),
            validation: own.then(|| list(6)),
            test: test.then(|| list(4)),
            notes: Vec::new(),
        };
        let options = PhotoOptions { workers: 1, cache: CacheOptions::None };
        set.into_parts(224, validation, 0, options)
    }

    #[test]
    fn a_fifth_is_held_out_unless_the_folder_has_parts() {
        let lens = |own, test, validation| {
            let parts = parts(own, test, validation).unwrap();
            assert_eq!(parts.own_validation, own);
            parts.photos().map(|photos| photos.map(Photos::len))
        };
        assert_eq!(lens(false, false, None), [Some(16), Some(4), None]);
        assert_eq!(lens(false, true, None), [Some(20), None, Some(4)]);
        assert_eq!(lens(false, true, Some(2)), [Some(18), Some(2), Some(4)]);
        assert_eq!(lens(true, false, None), [Some(20), Some(6), None]);
        let error = parts(true, false, Some(2)).unwrap_err().to_string();
        assert!(error.contains("root: it has a part for validation"), "{error}");
        assert!(matches!(parts(false, false, Some(20)), Err(DataError::ClassTooSmall { .. })));
    }

    #[test]
    fn photos_are_prepared_as_usual() {
        let parts = parts(false, false, None).unwrap();
        assert!(Path::new(&parts.name).is_absolute());
        let preparation = parts.photos()[0].unwrap().preparation();
        assert_eq!((preparation.image_size, preparation.resize), (224, Some(256)));
        assert_eq!(parts.normalisation, Normalisation::imagenet());
    }
}
