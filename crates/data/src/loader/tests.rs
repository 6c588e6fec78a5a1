use std::{collections::BTreeSet, thread, time::Duration};

use super::*;
use crate::{epoch::PREFETCH, images::tests::numbered};

fn loader(n: usize, batch_size: usize, seed: u64) -> Loader {
    Loader::new(Arc::new(numbered(n)), batch_size, Augment::default(), seed)
}

fn all(loader: &Loader, epoch: u64, first_batch: usize) -> Vec<Batch> {
    loader.epoch(epoch, first_batch).unwrap().collect()
}

#[test]
fn an_epoch_has_every_image_once() {
    let loader = loader(23, 5, 0);
    let batches = all(&loader, 1, 0);
    let sizes: Vec<_> = batches.iter().map(|batch| batch.labels.len()).collect();
    assert_eq!(sizes, [5, 5, 5, 5, 3]);
    assert_eq!(loader.batches(), 5);
    let labels: Vec<u32> = batches.iter().flat_map(|batch| batch.labels.clone()).collect();
    assert!(!labels.is_sorted());
    assert_eq!(BTreeSet::from_iter(labels).len(), 23);
    assert!(batches.iter().all(|batch| batch.pixels.len() == batch.labels.len() * 18));
}

#[test]
fn without_augmentation_pixels_are_those_of_the_labels() {
    let images = Arc::new(numbered(23));
    let loader = Loader::new(images.clone(), 4, Augment::NONE, 0);
    for batch in loader.epoch(3, 0).unwrap() {
        for (pixels, &label) in batch.pixels.chunks(18).zip(&batch.labels) {
            assert_eq!(pixels, images.image(label as usize));
        }
    }
}

#[test]
fn shards_are_the_parts_of_the_batches() {
    let whole = all(&loader(23, 8, 3), 2, 1);
    for size in [1, 2, 4] {
        let of = |rank| loader(23, 8, 3).with_shards(Shards::of_process(4, rank, size));
        let parts: Vec<Vec<Batch>> = (0..size).map(|rank| all(&of(rank), 2, 1)).collect();
        for (index, batch) in whole.iter().enumerate() {
            let own = index * 4 / size..(index + 1) * 4 / size;
            let shards: Vec<&Batch> = parts.iter().flat_map(|p| &p[own.clone()]).collect();
            assert_eq!(shards.len(), 4);
            let pixels: Vec<u8> = shards.iter().flat_map(|s| s.pixels.clone()).collect();
            let labels: Vec<u32> = shards.iter().flat_map(|s| s.labels.clone()).collect();
            assert_eq!((&pixels, &labels), (&batch.pixels, &batch.labels));
        }
    }
}

#[test]
fn starting_at_a_later_batch_yields_the_rest_of_the_epoch() {
    let loader = loader(23, 5, 7);
    let whole = all(&loader, 2, 0);
    for first in 0..=6 {
        assert_eq!(all(&loader, 2, first), whole[first.min(5)..], "from batch {first}");
    }
}

#[test]
fn batches_depend_on_seed_and_epoch_but_not_on_timing_or_recycling() {
    let whole = all(&loader(40, 3, 1), 1, 0);
    assert_ne!(all(&loader(40, 3, 2), 1, 0), whole);
    assert_ne!(all(&loader(40, 3, 1), 2, 0), whole);
    let loader = loader(40, 3, 1);
    let mut epoch = loader.epoch(1, 0).unwrap();
    for expected in whole {
        thread::sleep(Duration::from_millis(u64::from(expected.labels[0] % 3)));
        let batch = epoch.next().unwrap();
        assert_eq!(batch, expected);
        epoch.recycle(batch);
    }
    assert_eq!(epoch.next(), None);
    assert_eq!(epoch.next(), None);
}

#[test]
fn augmentation_depends_on_the_epoch_but_not_on_the_position() {
    let images = Arc::new(numbered(60));
    let views = |batch_size, epoch| {
        let loader = Loader::new(images.clone(), batch_size, Augment::default(), 0);
        let mut views = vec![Vec::new(); images.len()];
        for batch in loader.epoch(epoch, 0).unwrap() {
            for (pixels, &label) in batch.pixels.chunks(18).zip(&batch.labels) {
                views[label as usize] = pixels.to_vec();
            }
        }
        views
    };
    assert_eq!(views(7, 1), views(16, 1));
    assert_ne!(views(7, 1), views(7, 2));
}

#[test]
fn other_images_come_in_the_same_batches() {
    let other = Images { height: 1, width: 1, channels: 2, ..numbered(23) };
    let pixels: Vec<u8> = (0..23).flat_map(|i| [i, 2 * i]).collect();
    let other = Images { pixels, ..other };
    for sampling in [Sampling::Shuffle, Sampling::Balanced] {
        let loader = loader(23, 5, 3).with_sampling(sampling);
        let before = all(&loader, 2, 1);
        let missing = HashSet::from([4, 9]);
        let batches = all(&loader.clone().with_images(other.clone(), missing.clone()), 2, 1);
        assert_eq!(batches.len(), before.len());
        for (batch, before) in batches.iter().zip(&before) {
            let mut expected = before.draws.clone();
            expected.retain(|draw| !missing.contains(&(draw % 23)));
            assert_eq!(batch.draws, expected);
            let of = |draw: &usize| (*draw % 23) as u8;
            let pixels: Vec<u8> = expected.iter().flat_map(|d| [of(d), 2 * of(d)]).collect();
            assert_eq!(batch.pixels, pixels);
            assert!(expected.iter().map(|d| (d % 23) as u32).eq(batch.labels.iter().copied()));
        }
    }
    let in_order = loader(23, 5, 3).in_order(4).unwrap();
    let draws: Vec<usize> = in_order.flat_map(|batch| batch.draws).collect();
    assert_eq!(draws, Vec::from_iter(0..23));
}

#[test]
fn batches_have_their_sizes() {
    let images = Arc::new(square());
    let sizes = vec![4, 4, 6, 8];
    let of = |augment| Loader::new(images.clone(), 3, augment, 5);
    let epoch = |loader: &Loader, first, sizes| {
        loader.epoch_in_sizes(1, first, sizes).unwrap().collect::<Vec<_>>()
    };
    let loader = of(Augment::default());
    let whole = epoch(&loader, 0, sizes.clone());
    let found: Vec<_> = whole.iter().map(|b| (b.height, b.width, b.pixels.len())).collect();
    assert_eq!(found, [4, 4, 6, 8, 8].map(|n| (n, n, 3 * n * n * 3)));
    // Resumed within a phase, and from its end on.
    for first in 0..=6 {
        assert_eq!(epoch(&loader, first, sizes.clone()), whole[first.min(5)..], "{first}");
    }
    // The same images as in full size, shrunk after their augmentation.
    for (small, full) in whole.iter().zip(all(&loader, 1, 0)) {
        assert_eq!(small.labels, full.labels);
        if small.height == full.height {
            assert_eq!(*small, full);
            continue;
        }
        let size = Size { height: 8, width: 8, channels: 3 };
        let shrink = Shrink::new(size, small.height);
        let mut out = vec![0; small.pixels.len() / 3];
        for (pixels, small) in full.pixels.chunks(192).zip(small.pixels.chunks(out.len())) {
            shrink.write(pixels, &mut out);
            assert_eq!(small, out);
        }
    }
}

#[test]
fn crops_are_the_choices_that_pixels_are_made_of() {
    let augment = Augment { pad: 0, cutout: 3, ..Augment::default() };
    let images = Arc::new(square());
    let loader = Loader::new(images.clone(), 4, augment, 5).with_sampling(Sampling::Balanced);
    let epoch = |loader: &Loader| loader.epoch_in_sizes(1, 0, vec![4]).unwrap();
    for (pixels, crops) in epoch(&loader).zip(epoch(&loader.clone().with_crops())) {
        assert_eq!((&pixels.draws, &pixels.labels), (&crops.draws, &crops.labels));
        assert_eq!((pixels.height, pixels.width), (crops.height, crops.width));
        assert!(pixels.crops.is_none() && crops.pixels.is_empty());
        let Crops { crops, resampling } = crops.crops.unwrap();
        assert_eq!(crops.len(), pixels.labels.len());
        assert_eq!(resampling.as_ref().map_or(8, |r| r.side()), pixels.height);
        for (crop, &draw) in crops.iter().zip(&pixels.draws) {
            assert_eq!((crop.image as usize, crop.top, crop.left), (draw % 15, 0, 0));
        }
        for (crop, seen) in crops.iter().zip(pixels.pixels.chunks(192)) {
            let [top, left] = crop.cutout.map(|at| at as usize);
            let x = if crop.mirrored { 0 } else { 7 };
            let hidden = (top..top + 3).contains(&0) && (left..left + 3).contains(&7);
            let pixel = images.image(crop.image as usize)[3 * x..][..3].to_vec();
            let expected = if hidden { vec![0; 3] } else { pixel };
            // At the end of the first row.
            assert!(resampling.is_some() || seen[21..24] == expected, "{crop:?}");
        }
    }
    let kept = loader.to_keep().unwrap();
    assert_eq!((kept.settings.side, kept.settings.cutout), (8, 3));
    assert!(self::loader(4, 2, 0).to_keep().is_none(), "images that are not square");
}

/// 15 images of 8 x 8 pixels.
fn square() -> Images {
    let pixels = (0..15 * 192).map(|i| (i * i / 7 % 251) as u8).collect();
    Images { height: 8, width: 8, channels: 3, pixels, labels: (0..15).collect() }
}

#[test]
fn a_set_smaller_than_a_batch_is_one_batch() {
    let loader = loader(3, 128, 0);
    assert_eq!(loader.epoch(0, 0).unwrap().len(), 1);
    assert_eq!(all(&loader, 0, 0)[0].labels.len(), 3);
}

#[test]
fn an_epoch_can_be_left_early() {
    let images = Arc::new(numbered(1000));
    let loader = Loader::new(images.clone(), 2, Augment::default(), 0);
    for taken in [0, 1, 5] {
        let mut epoch = loader.epoch(0, 0).unwrap();
        assert_eq!(epoch.by_ref().take(taken).count(), taken);
        assert_eq!(epoch.len(), 500 - taken);
        drop(epoch); // returns only once the thread has ended
    }
    assert_eq!(Arc::strong_count(&images), 2);
}

#[test]
fn recycled_memory_is_reused() {
    let loader = loader(100, 2, 0);
    let mut epoch = loader.epoch(0, 0).unwrap();
    let mut buffers = BTreeSet::new();
    while let Some(batch) = epoch.next() {
        buffers.insert(batch.pixels.as_ptr() as usize);
        epoch.recycle(batch);
    }
    // One in use, one being made, the prefetched ones and one being recycled.
    assert!(buffers.len() <= PREFETCH + 3, "{} buffers for 50 batches", buffers.len());
}

#[test]
#[should_panic(expected = "range end index")]
fn a_panic_of_the_worker_reaches_the_reader() {
    let mut images = numbered(4);
    images.pixels.truncate(18);
    let _ = Loader::new(Arc::new(images), 2, Augment::NONE, 0).epoch(0, 0).unwrap().count();
}
