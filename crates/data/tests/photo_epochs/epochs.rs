//! Epochs and evaluations: the same bits for any number of threads, with any cache.

use std::path::PathBuf;

use resnet_data::{Batch, CacheOptions, photo};

use crate::folder::{Folder, MEMORY, SIDE, epoch, labels, loader};

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
