//! The cache of prepared photos: what it saves, what damages it, and how large it becomes.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    time::{Duration, SystemTime},
};

use resnet_data::{Batch, CacheOptions, DataError};

use crate::folder::{Folder, MEMORY, epoch, loader};

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
    let open: Vec<std::path::PathBuf> =
        open.filter_map(|fd| fs::read_link(fd.path()).ok()).collect();
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
