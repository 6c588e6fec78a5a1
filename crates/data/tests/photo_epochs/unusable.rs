//! Photos that are gone, damaged or changed.

use std::fs;

use resnet_data::{Batch, CacheOptions, DataError, PhotoOptions, Photos, photo::Preparation};

use crate::folder::{Folder, MEMORY, SIDE, age, epoch, labels, loader};

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
