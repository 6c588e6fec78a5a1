//! A folder of photos, and epochs over it.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use image::RgbImage;
use resnet_data::{
    Batch, CacheOptions, Loader, PhotoList, PhotoOptions, Photos, photo::Preparation,
    transform::Transform,
};

const CLASSES: usize = 3;
const OF_CLASS: usize = 7;
pub(crate) const SIDE: usize = 16;

/// A folder of photos: some smaller than an image, some larger than the form they are kept in.
pub(crate) struct Folder {
    pub(crate) root: tempfile::TempDir,
    pub(crate) list: PhotoList,
}

impl Folder {
    pub(crate) fn new() -> Folder {
        let root = tempfile::tempdir().unwrap();
        let mut list = PhotoList::new(root.path());
        for class in 0..CLASSES {
            fs::create_dir(root.path().join(class.to_string())).unwrap();
            for index in 0..OF_CLASS {
                let name = format!("{class}/{index}.png");
                draw(&root.path().join(&name), class * OF_CLASS + index);
                list.push(name.as_bytes(), class as u32);
            }
        }
        Folder { root, list }
    }

    pub(crate) fn path(&self, index: usize) -> PathBuf {
        self.list.path(index)
    }

    pub(crate) fn photos(&self, workers: usize, cache: CacheOptions) -> Photos {
        let preparation = Preparation::new(SIDE, Some(18), 3);
        Photos::new(self.list.clone(), preparation, PhotoOptions { workers, cache })
    }

    pub(crate) fn on_disk(&self) -> CacheOptions {
        CacheOptions::Disk { folder: self.root.path().join("cache"), bytes: 1 << 30 }
    }

    /// The files of the cache.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        let files = fs::read_dir(self.root.path().join("cache")).unwrap();
        files.map(|file| file.unwrap().path()).collect()
    }

    /// Makes them two hours old.
    pub(crate) fn age_files(&self) {
        self.files().iter().for_each(|file| age(file));
    }
}

/// Makes a file two hours old.
pub(crate) fn age(path: &Path) {
    let file = File::options().write(true).open(path).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(7200)).unwrap();
}

/// Writes a photo of its own size and pixels.
fn draw(path: &Path, number: usize) {
    let (width, height) = (10 + 7 * (number as u32 % 9), 12 + 5 * (number as u32 % 11));
    let pixel = |x: u32, y: u32| {
        let n = number as u32;
        image::Rgb([(x * 5 + n * 11) as u8, (y * 3 + n * 7) as u8, (x * y + n) as u8])
    };
    RgbImage::from_fn(width, height, pixel).save(path).unwrap();
}

pub(crate) fn loader(photos: &Photos) -> Loader {
    Loader::of_photos(photos.clone(), 4, Transform::default(), 3)
}

pub(crate) fn epoch(photos: &Photos, epoch: u64, first: usize) -> Vec<Batch> {
    let mut batches = loader(photos).epoch(epoch, first).unwrap();
    let all = batches.by_ref().collect();
    assert!(batches.take_error().is_none());
    all
}

/// The labels of the images in a batch, all batches one after the other.
pub(crate) fn labels(batches: &[Batch]) -> Vec<u32> {
    batches.iter().flat_map(|batch| batch.labels.clone()).collect()
}

pub(crate) const MEMORY: CacheOptions = CacheOptions::Memory { bytes: 1 << 30 };
