//! CIFAR-100 (Krizhevsky 2009): 32x32 photographs of 100 classes, of which each is in one of 20 groups.
//! The classes (fine labels) are used. Read in its Python version, which torchvision downloads, for its
//! files have published MD5s: pickled dicts of NumPy arrays.

use std::path::{Path, PathBuf};

use resnet_formats::LabelledRows;
use resnet_network::preprocess::Normalisation;

use crate::{
    DataError, Dataset, Images, LoadOptions,
    cifar10::{RECORD, append, empty},
    published::PublishedFile,
};

pub(crate) const NAME: &str = "cifar100";

/// Folder of the files, in the official archive and in torchvision's root.
pub(crate) const FOLDER: &str = "cifar-100-python";

/// MD5s as in torchvision's `CIFAR100`.
pub(crate) const FILES: [PublishedFile; 2] = [
    file("train", "16019d7e3df5f24257cddd939b257f8d"),
    file("test", "f0ef6b0ae62326f3e7ffdfab6717acfc"),
];

const fn file(name: &'static str, md5: &'static str) -> PublishedFile {
    PublishedFile { name, bytes: None, md5 }
}

/// The fine labels, sorted.
#[rustfmt::skip]
pub(crate) const CLASSES: [&str; 100] = [
    "apple", "aquarium_fish", "baby", "bear", "beaver", "bed", "bee", "beetle", "bicycle", "bottle",
    "bowl", "boy", "bridge", "bus", "butterfly", "camel", "can", "castle", "caterpillar", "cattle",
    "chair", "chimpanzee", "clock", "cloud", "cockroach", "couch", "crab", "crocodile", "cup", "dinosaur",
    "dolphin", "elephant", "flatfish", "forest", "fox", "girl", "hamster", "house", "kangaroo", "keyboard",
    "lamp", "lawn_mower", "leopard", "lion", "lizard", "lobster", "man", "maple_tree", "motorcycle",
    "mountain", "mouse", "mushroom", "oak_tree", "orange", "orchid", "otter", "palm_tree", "pear",
    "pickup_truck", "pine_tree", "plain", "plate", "poppy", "porcupine", "possum", "rabbit", "raccoon",
    "ray", "road", "rocket", "rose", "sea", "seal", "shark", "shrew", "skunk", "skyscraper", "snail",
    "snake", "spider", "squirrel", "streetcar", "sunflower", "sweet_pepper", "table", "tank", "telephone",
    "television", "tiger", "tractor", "train", "trout", "tulip", "turtle", "wardrobe", "whale",
    "willow_tree", "wolf", "woman", "worm",
];

/// The customary statistics of the training images, as weiaicunzai/pytorch-cifar100 has them.
pub(crate) fn normalisation() -> Normalisation {
    Normalisation::new(vec![0.5071, 0.4865, 0.4409], vec![0.2673, 0.2564, 0.2762])
}

/// The folder of the files: `data_dir` itself if it has both, else [`FOLDER`] in it.
pub(crate) fn folder(data_dir: &Path) -> PathBuf {
    if is_complete(data_dir) { data_dir.to_owned() } else { data_dir.join(FOLDER) }
}

/// Whether all files exist.
pub(crate) fn is_complete(folder: &Path) -> bool {
    FILES.iter().all(|file| folder.join(file.name).is_file())
}

pub(crate) fn load(options: &LoadOptions) -> Result<Dataset, DataError> {
    let folder = folder(&options.folder()?);
    let [train, test] = [(&FILES[0], options.limit_train), (&FILES[1], options.limit_test)]
        .map(|(file, limit)| read(&folder, file, limit));
    Ok(Dataset {
        name: NAME.to_owned(),
        classes: CLASSES.map(str::to_owned).to_vec(),
        normalisation: normalisation(),
        train: train?,
        test: test?,
    })
}

fn read(folder: &Path, file: &PublishedFile, limit: Option<usize>) -> Result<Images, DataError> {
    let path = folder.join(file.name);
    let bytes = file.read(NAME, &path)?;
    let rows = LabelledRows::from_pickle(&bytes, "fine_labels", RECORD - 1);
    let LabelledRows { rows, labels } = rows.map_err(|error| DataError::Unreadable {
        name: NAME,
        file: path,
        reason: error.to_string(),
    })?;
    let wanted = labels.len().min(limit.unwrap_or(usize::MAX));
    let mut images = empty(wanted);
    for (&label, planes) in labels.iter().zip(rows.chunks_exact(RECORD - 1)).take(wanted) {
        append(&mut images, label, planes);
    }
    Ok(images)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use md5::Md5;

    use super::*;
    use crate::digest::digest;

    #[test]
    fn there_are_a_hundred_classes_in_order() {
        assert!(CLASSES.is_sorted());
        assert_eq!(CLASSES.into_iter().collect::<std::collections::BTreeSet<_>>().len(), 100);
    }

    /// A file of two images as Python 2 pickles it: both kinds of labels, names and images.
    fn pickled() -> Vec<u8> {
        let mut bytes = b"\x80\x02}(U\x09filenames](U\x01aU\x01beU\x0bbatch_labelU\x01x".to_vec();
        bytes.extend(b"U\x0bfine_labels](K\x13KceU\x0dcoarse_labels](K\x0bK\x0feU\x04data");
        bytes
            .extend(b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R");
        bytes.extend(b"(K\x01K\x02M\x00\x0c\x86cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R");
        bytes.extend(
            b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T\x00\x18\x00\x00",
        );
        bytes.extend((0..6144).map(|i| (i / 1024 * 40 + i % 7) as u8));
        bytes.extend(b"tbu.");
        bytes
    }

    #[test]
    fn fine_labels_and_pixels_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let file =
            PublishedFile { name: "two", bytes: None, md5: digest::<Md5>(&pickled()).leak() };
        fs::write(folder.path().join("two"), pickled()).unwrap();
        let images = read(folder.path(), &file, None).unwrap();
        assert_eq!((images.len(), &images.labels[..]), (2, &[19, 99][..]));
        assert_eq!([images.height, images.width, images.channels], [32, 32, 3]);
        // 6 planes of 1024 bytes, at the second pixel of each image.
        let at = |plane: usize| (plane * 40 + (plane * 1024 + 1) % 7) as u8;
        assert_eq!(images.image(0)[3..6], [at(0), at(1), at(2)]);
        assert_eq!(images.image(1)[3..6], [at(3), at(4), at(5)]);
        assert_eq!(read(folder.path(), &file, Some(1)).unwrap(), images.first(1));

        let other = pickled().iter().map(|&b| if b == b'K' { b'L' } else { b }).collect::<Vec<_>>();
        fs::write(folder.path().join("two"), other).unwrap();
        let error = read(folder.path(), &file, None).unwrap_err().to_string();
        assert!(error.contains("two is damaged or a different file: expected MD5"), "{error}");
        assert!(error.contains("resnet data fetch cifar100"), "{error}");
        let data_dir = Some(folder.path().into());
        let missing = load(&LoadOptions { data_dir, ..Default::default() });
        assert!(matches!(missing, Err(DataError::Missing { name: "cifar100", .. })));
    }
}
