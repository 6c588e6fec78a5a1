//! Epochs over photos on disk: whatever happens to the files, the threads or the cache, a batch holds the
//! same bits.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use image::RgbImage;
use resnet_data::{
    Batch, CacheOptions, DataError, Loader, PhotoList, PhotoOptions, Photos,
    photo::{self, Preparation},
    transform::Transform,
};

const CLASSES: usize = 3;
const OF_CLASS: usize = 7;
const SIDE: usize = 16;

/// A folder of photos: some smaller than an image, some larger than the form they are kept in.
struct Folder {
    root: tempfile::TempDir,
    list: PhotoList,
}

impl Folder {
    fn new() -> Folder {
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

    fn path(&self, index: usize) -> PathBuf {
        self.list.path(index)
    }

    fn photos(&self, workers: usize, cache: CacheOptions) -> Photos {
        let preparation = Preparation::new(SIDE, Some(18), 3);
        Photos::new(self.list.clone(), preparation, PhotoOptions { workers, cache })
    }

    fn on_disk(&self) -> CacheOptions {
        CacheOptions::Disk { folder: self.root.path().join("cache"), bytes: 1 << 30 }
    }

    /// The files of the cache.
    fn files(&self) -> Vec<PathBuf> {
        let files = fs::read_dir(self.root.path().join("cache")).unwrap();
        files.map(|file| file.unwrap().path()).collect()
    }

    /// Makes them two hours old.
    fn age_files(&self) {
        self.files().iter().for_each(|file| age(file));
    }
}

/// Makes a file two hours old.
fn age(path: &Path) {
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

fn loader(photos: &Photos) -> Loader {
    Loader::of_photos(photos.clone(), 4, Transform::default(), 3)
}

fn epoch(photos: &Photos, epoch: u64, first: usize) -> Vec<Batch> {
    let mut batches = loader(photos).epoch(epoch, first).unwrap();
    let all = batches.by_ref().collect();
    assert!(batches.take_error().is_none());
    all
}

/// The labels of the images in a batch, all batches one after the other.
fn labels(batches: &[Batch]) -> Vec<u32> {
    batches.iter().flat_map(|batch| batch.labels.clone()).collect()
}

const MEMORY: CacheOptions = CacheOptions::Memory { bytes: 1 << 30 };

#[test]
fn bits_depend_neither_on_threads_nor_on_the_cache() {
    let folder = Folder::new();
    let plain = folder.photos(1, CacheOptions::None);
    let expected = [1, 2].map(|n| epoch(&plain, n, 0));
    assert_ne!(expected[0], expected[1]);
    let sizes: Vec<usize> = expected[0].iter().map(|batch| batch.labels.len()).collect();
    assert_eq!(sizes, [4, 4, 4, 4, 4, 1]);
    assert!(expected[0].iter().all(|b| b.pixels.len() == b.labels.len() * SIDE * SIDE * 3));
    let small = CacheOptions::Memory { bytes: 10_000 };
    for workers in [1, 2, 7] {
        for cache in [CacheOptions::None, MEMORY, small.clone(), folder.on_disk()] {
            let photos = folder.photos(workers, cache.clone());
            for n in [1, 2, 1] {
                let expected = &expected[n as usize - 1];
                assert_eq!(epoch(&photos, n, 0), *expected, "{workers} {cache:?} {n}");
            }
            // As a resumed run reads it.
            for first in [1, 4, 5, 6] {
                assert_eq!(epoch(&photos, 2, first), expected[1][first..], "{workers} {first}");
            }
            assert_eq!(photos.take_notes(), [""; 0]);
        }
    }
}

#[test]
fn later_epochs_do_not_decode() {
    let folder = Folder::new();
    let caches = [MEMORY, folder.on_disk()];
    let photos = caches.map(|cache| folder.photos(2, cache));
    let expected = photos.each_ref().map(|photos| epoch(photos, 1, 0));
    assert_eq!(expected[0], expected[1]);
    // The same length and time, but no photo.
    for index in 0..folder.list.len() {
        let path = folder.path(index);
        let metadata = fs::metadata(&path).unwrap();
        fs::write(&path, vec![0; metadata.len() as usize]).unwrap();
        let file = File::options().write(true).open(&path).unwrap();
        file.set_modified(metadata.modified().unwrap()).unwrap();
    }
    for photos in &photos {
        assert_eq!(epoch(photos, 1, 0), expected[0]);
    }
    // Another run finds them on the disk.
    let other = folder.photos(2, folder.on_disk());
    assert_eq!(epoch(&other, 1, 0), expected[0]);
    let mut none = loader(&folder.photos(2, CacheOptions::None)).epoch(1, 0).unwrap();
    assert!(none.by_ref().all(|batch| batch.labels.is_empty()));
    assert!(matches!(none.take_error(), Some(DataError::NoneUsable { photos: 21 })));
}

#[test]
fn photos_that_cannot_be_used_are_missing_and_named_once() {
    let bits: Vec<Vec<Batch>> = [CacheOptions::None, MEMORY]
        .into_iter()
        .map(|cache| {
            let folder = Folder::new();
            let photos = folder.photos(3, cache);
            let whole = epoch(&photos, 1, 0);
            fs::remove_file(folder.path(2)).unwrap();
            let bytes = fs::read(folder.path(9)).unwrap();
            fs::write(folder.path(9), &bytes[..bytes.len() / 2]).unwrap();
            fs::write(folder.path(20), "no photo").unwrap();
            let mut batches = epoch(&photos, 2, 0);
            let mut notes = photos.take_notes();
            notes.sort();
            assert_eq!(notes.len(), 5, "{notes:?}");
            for (note, what) in notes.iter().zip([
                "0/2.png cannot be read: ",
                "1/2.png has changed since the run began",
                "1/2.png is truncated",
                "2/6.png has changed since the run began",
                "2/6.png is not an image",
            ]) {
                assert!(note.contains(what), "{note}");
            }
            assert_eq!(batches.len(), whole.len());
            assert_eq!(labels(&batches).len(), labels(&whole).len() - 3);
            // The same from any batch, by another process, and in later epochs; nothing is named again.
            assert_eq!(epoch(&photos, 2, 3), batches[3..]);
            assert_eq!(epoch(&folder.photos(1, CacheOptions::None), 2, 0), batches);
            batches.extend(epoch(&photos, 3, 0));
            assert_eq!(photos.take_notes(), [""; 0]);
            batches
        })
        .collect();
    assert_eq!(bits[0], bits[1]);
}

#[test]
fn the_other_photos_keep_their_bits() {
    let folder = Folder::new();
    let whole = epoch(&folder.photos(2, CacheOptions::None), 1, 0);
    fs::remove_file(folder.path(5)).unwrap();
    let less = epoch(&folder.photos(2, CacheOptions::None), 1, 0);
    let images = |batches: &[Batch]| {
        let images = batches.iter().flat_map(|batch| batch.pixels.chunks(SIDE * SIDE * 3));
        images.map(<[u8]>::to_vec).collect::<Vec<_>>()
    };
    let (whole, less) = (images(&whole), images(&less));
    let missing: Vec<_> = whole.iter().filter(|image| !less.contains(image)).collect();
    assert_eq!((missing.len(), less.len()), (1, whole.len() - 1));
}

#[test]
fn many_unusable_photos_are_counted() {
    let folder = Folder::new();
    // One is left, so that the folder is not lost.
    (1..folder.list.len()).for_each(|index| fs::write(folder.path(index), "").unwrap());
    let mut doubled = folder.list.clone();
    for index in 0..10 {
        let name = format!("0/more-{index}.jpg");
        fs::write(folder.root.path().join(&name), "").unwrap();
        doubled.push(name.as_bytes(), 0);
    }
    let preparation = Preparation::new(SIDE, None, 3);
    let options = PhotoOptions { workers: 2, cache: CacheOptions::None };
    let photos = Photos::new(doubled, preparation, options);
    assert_eq!(labels(&epoch(&photos, 1, 0)), [0]);
    let notes = photos.take_notes();
    assert_eq!(notes.len(), 21);
    assert_eq!(notes[20], "10 more photos cannot be used and are left out, 30 in all");
    assert_eq!(photos.usable().len(), 1);
}

#[test]
fn many_changed_photos_are_counted() {
    let folder = Folder::new();
    let photos = folder.photos(2, CacheOptions::None);
    epoch(&photos, 1, 0);
    (0..folder.list.len()).for_each(|index| age(&folder.path(index)));
    epoch(&photos, 2, 0);
    let notes = photos.take_notes();
    assert_eq!(notes.len(), 21);
    assert_eq!(notes[20], "1 more photos have changed, 21 in all");
    epoch(&photos, 3, 0);
    assert_eq!(photos.take_notes(), [""; 0]);
}

#[test]
fn a_folder_that_is_gone_ends_the_epoch() {
    let folder = Folder::new();
    for cache in [CacheOptions::None, MEMORY] {
        let photos = folder.photos(2, cache);
        let whole = epoch(&photos, 1, 0);
        let away = folder.root.path().with_extension("away");
        fs::rename(folder.root.path(), &away).unwrap();
        let mut batches = loader(&photos).epoch(2, 0).unwrap();
        assert_eq!(batches.by_ref().count(), 0);
        let error = batches.take_error().unwrap();
        assert!(matches!(error, DataError::PhotosLost { .. }), "{error}");
        assert!(error.to_string().contains("can be read any more"), "{error}");
        let mut evaluated = photos.batches(4).unwrap();
        assert!(evaluated.next().is_none() && evaluated.take_error().is_some());
        fs::rename(&away, folder.root.path()).unwrap();
        // It is back.
        assert_eq!(epoch(&photos, 1, 0), whole);
        assert_eq!(photos.take_notes(), [""; 0]);
    }
}

#[test]
fn evaluation_prepares_photos_as_predictions_do() {
    let folder = Folder::new();
    let paths: Vec<PathBuf> = (0..folder.list.len()).map(|index| folder.path(index)).collect();
    for cache in [CacheOptions::None, MEMORY, folder.on_disk()] {
        let photos = folder.photos(2, cache);
        let expected = photo::prepare(&paths, photos.preparation(), 1);
        let expected: Vec<u8> = expected.into_iter().flat_map(Result::unwrap).collect();
        for _ in 0..2 {
            let batches: Vec<Batch> = photos.batches(5).unwrap().collect();
            let pixels: Vec<u8> = batches.iter().flat_map(|batch| batch.pixels.clone()).collect();
            assert!(pixels == expected);
            assert_eq!(labels(&batches), photos.labels());
        }
    }
}

#[test]
fn a_damaged_cache_is_not_used() {
    let folder = Folder::new();
    let expected = epoch(&folder.photos(2, CacheOptions::None), 1, 0);
    let whole = folder.photos(2, folder.on_disk());
    assert_eq!(epoch(&whole, 1, 0), expected);
    let [file] = &folder.files()[..] else { panic!("one file") };
    let bytes = fs::read(file).unwrap();
    let holds = |bytes: &[u8], what: &str| {
        folder.files().iter().for_each(|file| fs::remove_file(file).unwrap());
        fs::write(file, bytes).unwrap();
        assert_eq!(epoch(&folder.photos(2, folder.on_disk()), 1, 0), expected, "{what}");
    };
    // Cut off anywhere, as a killed process leaves it.
    for len in (0..60).chain((60..bytes.len()).step_by(997)) {
        holds(&bytes[..len], &format!("{len} bytes"));
    }
    // Any byte that is another one.
    for at in (0..60).chain((60..bytes.len()).step_by(1499)) {
        let mut changed = bytes.clone();
        changed[at] ^= 0x41;
        holds(&changed, &format!("byte {at}"));
    }
    // As a file system may leave it after a power failure.
    let mut zeros = bytes.clone();
    zeros[bytes.len() / 2..].fill(0);
    holds(&zeros, "zeros");
}

#[test]
fn damage_of_the_cache_is_named_once() {
    let folder = Folder::new();
    epoch(&folder.photos(1, folder.on_disk()), 1, 0);
    let [file] = &folder.files()[..] else { panic!("one file") };
    let mut bytes = fs::read(file).unwrap();
    let len = bytes.len();
    bytes[100] ^= 1; // of the first entry's pixels
    bytes[len - 1] ^= 1;
    fs::write(file, bytes).unwrap();
    let photos = folder.photos(2, folder.on_disk());
    epoch(&photos, 1, 0);
    let notes = photos.take_notes();
    assert_eq!(notes.len(), 1, "{notes:?}");
    assert!(notes[0].contains("is damaged"), "{notes:?}");
}

#[test]
fn files_of_another_version_are_removed_and_those_of_others_stay() {
    let folder = Folder::new();
    let cache = folder.root.path().join("cache");
    fs::create_dir(&cache).unwrap();
    let long_ago = SystemTime::now() - Duration::from_secs(7200);
    let write = |name: &str, bytes: &[u8], changed: SystemTime| {
        fs::write(cache.join(name), bytes).unwrap();
        let file = File::options().write(true).open(cache.join(name)).unwrap();
        file.set_modified(changed).unwrap();
    };
    write("old.photos", b"resnet photos \x00\x00and more", long_ago);
    write("being-written.photos", b"resnet ph", SystemTime::now());
    write("mine.photos", b"a diary, not a cache", long_ago);
    write("mine.txt", b"", long_ago);
    let photos = folder.photos(1, folder.on_disk());
    assert_eq!(epoch(&photos, 1, 0).len(), 6);
    let there = |name: &str| cache.join(name).exists();
    assert!(!there("old.photos") && there("being-written.photos"));
    assert!(there("mine.photos") && there("mine.txt"));
}

#[test]
fn a_cache_has_a_bound_and_old_files_make_room() {
    let folder = Folder::new();
    let bounded = |bytes| CacheOptions::Disk { folder: folder.root.path().join("cache"), bytes };
    let size = || folder.files().iter().map(|f| fs::metadata(f).unwrap().len()).sum::<u64>();
    let expected = epoch(&folder.photos(1, CacheOptions::None), 1, 0);
    let bound = 20_000;
    let photos = folder.photos(1, bounded(bound));
    assert_eq!(epoch(&photos, 1, 0), expected);
    let notes = photos.take_notes();
    assert!(notes.len() == 1 && notes[0].contains("is full"), "{notes:?}");
    let full = size();
    // A file may exceed its share by an entry.
    assert!(full > bound / 2 && full < bound + bound / 2, "{full}");
    // Another run may use these files: they are new.
    let names = || folder.files().into_iter().collect::<BTreeSet<_>>();
    let before = names();
    let others = || {
        let photos = folder.photos(1, bounded(bound));
        let batches: Vec<Batch> = photos.batches(4).unwrap().collect();
        assert_eq!(batches.len(), 6);
    };
    others();
    assert_eq!(names(), before);
    folder.age_files();
    others();
    assert!(names().is_disjoint(&before));
    assert!(size() < bound + bound / 2);
}

#[test]
fn files_that_another_run_reads_stay() {
    let folder = Folder::new();
    let expected = epoch(&folder.photos(1, folder.on_disk()), 1, 0);
    let before = folder.files();
    folder.age_files();
    let reader = folder.photos(1, folder.on_disk());
    assert_eq!(epoch(&reader, 1, 0), expected);
    let cache = folder.root.path().join("cache");
    let other = folder.photos(1, CacheOptions::Disk { folder: cache, bytes: 20_000 });
    assert_eq!(other.batches(4).unwrap().count(), 6);
    assert_eq!(folder.files(), before);
    let notes = other.take_notes();
    assert!(notes.len() == 1 && notes[0].contains("is full"), "{notes:?}");
}

/// There may be more of them than a process may open.
#[cfg(target_os = "linux")]
#[test]
fn files_of_the_cache_are_closed_after_use() {
    let folder = Folder::new();
    let cache = folder.root.path().join("cache");
    let bounded = || CacheOptions::Disk { folder: cache.clone(), bytes: 20_000 };
    epoch(&folder.photos(1, bounded()), 1, 0);
    folder.age_files();
    let before = folder.files();
    let photos = folder.photos(1, bounded());
    assert_eq!(photos.batches(4).unwrap().count(), 6);
    assert!(before.iter().all(|file| !file.exists()));
    assert!(folder.files().len() > 2);
    // The system adds a word to the name of an open file that is removed.
    let open = fs::read_dir("/proc/self/fd").unwrap().flatten();
    let open: Vec<PathBuf> = open.filter_map(|fd| fs::read_link(fd.path()).ok()).collect();
    let of_cache = || open.iter().filter(|path| path.starts_with(&cache));
    // The one that is written.
    assert!(of_cache().count() <= 1 && of_cache().all(|path| path.exists()), "{open:?}");
    drop(photos);
}

#[test]
fn where_there_can_be_no_cache_there_is_none() {
    let folder = Folder::new();
    let expected = epoch(&folder.photos(1, CacheOptions::None), 1, 0);
    fs::write(folder.root.path().join("cache"), "a file").unwrap();
    let photos = folder.photos(2, folder.on_disk());
    assert_eq!(epoch(&photos, 1, 0), expected);
    let notes = photos.take_notes();
    assert!(notes.len() == 1 && notes[0].contains("cannot be used"), "{notes:?}");
}

#[test]
fn an_epoch_can_be_left_early() {
    let folder = Folder::new();
    for taken in [0, 1, 3] {
        let photos = folder.photos(3, CacheOptions::None);
        let mut batches = loader(&photos).epoch(1, 0).unwrap();
        assert_eq!(batches.by_ref().take(taken).count(), taken);
        assert_eq!(batches.len(), 6 - taken);
        drop(batches); // returns only once the threads have ended
    }
}
