//! The data loader: shuffled, augmented batches, prefetched by a thread.

use std::{collections::HashSet, io, sync::Arc};

use resnet_network::preprocess::Normalisation;

use crate::{
    Augment, Batch, Epoch, Images, Sampling,
    augment::Size,
    photos::{Augmentation, Photos, Plan},
    shrink::Shrink,
    transform::Transform,
};

/// Makes the training batches of every epoch. Their content depends only on the seed, the epoch and
/// the batch index.
#[derive(Clone, Debug)]
pub struct Loader {
    source: Source,
    batch_size: usize,
    sampling: Sampling,
    seed: u64,
    mean: [u8; 3],
}

/// The images, and how they are augmented.
#[derive(Clone, Debug)]
enum Source {
    Memory(InMemory),
    Photos(Photos, Box<Transform>),
}

#[derive(Clone, Debug)]
struct InMemory {
    images: Arc<Images>,
    augment: Augment,
    /// Those that are left out of their batches.
    missing: Arc<HashSet<usize>>,
}

impl Loader {
    /// A loader with `batch_size` images per batch. The last batch of an epoch may be smaller.
    ///
    /// # Panics
    /// If `batch_size` is 0.
    pub fn new(images: Arc<Images>, batch_size: usize, augment: Augment, seed: u64) -> Self {
        assert!(batch_size > 0, "a batch has at least one image");
        let source = Source::Memory(InMemory { images, augment, missing: Arc::default() });
        Loader { source, batch_size, sampling: Sampling::Shuffle, seed, mean: [0; 3] }
    }

    /// The same with other images in memory, which are not augmented, in place of its own, of which they have
    /// the labels and the order. Some of them are `missing` in their batches.
    #[must_use]
    pub fn with_images(self, images: Images, missing: HashSet<usize>) -> Loader {
        let (images, missing) = (Arc::new(images), Arc::new(missing));
        let source = Source::Memory(InMemory { images, augment: Augment::NONE, missing });
        Loader { source, ..self }
    }

    /// The same for photos on disk, which several threads read and augment. The photos that cannot be
    /// used are missing in their batches.
    ///
    /// # Panics
    /// If `batch_size` is 0.
    pub fn of_photos(photos: Photos, batch_size: usize, transform: Transform, seed: u64) -> Self {
        assert!(batch_size > 0, "a batch has at least one image");
        let source = Source::Photos(photos, Box::new(transform));
        Loader { source, batch_size, sampling: Sampling::Shuffle, seed, mean: [0; 3] }
    }

    /// The same with hidden parts in the mean colour, which is 0 after normalisation. Otherwise they are
    /// black.
    #[must_use]
    pub fn with_mean(self, normalisation: &Normalisation) -> Self {
        Loader { mean: normalisation.mean_bytes(), ..self }
    }

    /// The same with the images of an epoch chosen in another way than each once.
    #[must_use]
    pub fn with_sampling(self, sampling: Sampling) -> Self {
        Loader { sampling, ..self }
    }

    /// The images of the data set, if they are in memory.
    pub fn images(&self) -> Option<&Images> {
        match &self.source {
            Source::Memory(memory) => Some(&memory.images),
            Source::Photos(..) => None,
        }
    }

    /// Number of images of the data set.
    pub fn len(&self) -> usize {
        match &self.source {
            Source::Memory(memory) => memory.images.len(),
            Source::Photos(photos, _) => photos.len(),
        }
    }

    /// Messages about photos since the last call.
    pub fn take_notes(&self) -> Vec<String> {
        match &self.source {
            Source::Memory(_) => Vec::new(),
            Source::Photos(photos, _) => photos.take_notes(),
        }
    }

    /// Whether the data set has no images.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Batches per epoch.
    pub fn batches(&self) -> usize {
        self.len().div_ceil(self.batch_size)
    }

    /// The batches of an epoch from index `first_batch` (from 0) on, prefetched by threads. They
    /// are bit-identical to those of the whole epoch.
    ///
    /// # Errors
    /// If the thread cannot be started.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use resnet_data::{Augment, LoadOptions, Loader};
    /// let options = LoadOptions { limit_train: Some(10), ..LoadOptions::default() };
    /// let train = Arc::new(resnet_data::load("synthetic", &options)?.train);
    /// let loader = Loader::new(train, 4, Augment::default(), 0);
    /// let mut epoch = loader.epoch(1, 0)?;
    /// let mut sizes = Vec::new();
    /// while let Some(batch) = epoch.next() {
    ///     sizes.push(batch.labels.len());
    ///     epoch.recycle(batch);
    /// }
    /// assert_eq!(sizes, [4, 4, 2]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn epoch(&self, epoch: u64, first_batch: usize) -> io::Result<Epoch> {
        self.epoch_in_sizes(epoch, first_batch, Vec::new())
    }

    /// The same with the images of batch i (of the whole epoch) shrunk, after their augmentation, to
    /// `sizes[i]` rows and columns (`torch.nn.functional.interpolate(mode="bilinear",
    /// antialias=True)` on bytes). Batches beyond the list have the images' own size.
    ///
    /// # Errors
    /// If the thread cannot be started.
    pub fn epoch_in_sizes(
        &self,
        epoch: u64,
        first_batch: usize,
        sizes: Vec<usize>,
    ) -> io::Result<Epoch> {
        self.start(self.order(epoch), epoch, first_batch, sizes)
    }

    /// All images once, in their own order, augmented as in the first epoch.
    ///
    /// # Errors
    /// If the thread cannot be started.
    pub fn in_order(&self) -> io::Result<Epoch> {
        self.start((0..self.len()).collect(), 1, 0, Vec::new())
    }

    fn start(
        &self,
        order: Vec<usize>,
        epoch: u64,
        first_batch: usize,
        sizes: Vec<usize>,
    ) -> io::Result<Epoch> {
        let Loader { batch_size, seed, mean, .. } = *self;
        let memory = match &self.source {
            Source::Memory(memory) => memory.clone(),
            Source::Photos(photos, transform) => {
                let plan = Plan { order, batch_size, first_batch, sizes };
                let transform = (**transform).clone();
                let augmentation = Augmentation { transform, seed, mean };
                return photos.augmented(plan, augmentation, epoch);
            }
        };
        Epoch::start(self.batches().saturating_sub(first_batch), move |output| {
            let size = [memory.images.height, memory.images.width];
            let mut shrink = None; // of the batch before
            let of_epoch = order.chunks(batch_size).enumerate();
            for (index, indices) in of_epoch.skip(first_batch) {
                let mut batch = output.batch();
                let side = sizes.get(index).copied().filter(|&side| [side; 2] != size);
                if shrink.as_ref().map(Shrink::side) != side {
                    shrink = side.map(|side| Shrink::new(memory.size(), side));
                }
                memory.fill(&mut batch, [seed, epoch], indices, shrink.as_ref(), &mean);
                if !output.send(batch) {
                    break; // the epoch was dropped
                }
            }
        })
    }

    /// The draws of an epoch.
    fn order(&self, epoch: u64) -> Vec<usize> {
        self.sampling.draws(self.labels(), self.seed, epoch)
    }

    /// The class of each image.
    pub fn labels(&self) -> &[u32] {
        match &self.source {
            Source::Memory(memory) => &memory.images.labels,
            Source::Photos(photos, _) => photos.labels(),
        }
    }
}

impl InMemory {
    fn size(&self) -> Size {
        let Images { height, width, channels, .. } = *self.images;
        Size { height, width, channels }
    }

    fn fill(
        &self,
        batch: &mut Batch,
        [seed, epoch]: [u64; 2],
        draws: &[usize],
        shrink: Option<&Shrink>,
        mean: &[u8],
    ) {
        let (images, size) = (&*self.images, self.size());
        (batch.height, batch.width) =
            shrink.map_or((size.height, size.width), |shrink| (shrink.side(), shrink.side()));
        let len = batch.height * batch.width * size.channels;
        batch.draws.clear();
        let is_there = |&draw: &usize| !self.missing.contains(&(draw % images.len()));
        batch.draws.extend(draws.iter().copied().filter(is_there));
        batch.pixels.resize(batch.draws.len() * len, 0);
        batch.labels.clear();
        let mut whole = vec![0; shrink.map_or(0, |_| images.image_len())];
        for (&draw, out) in batch.draws.iter().zip(batch.pixels.chunks_exact_mut(len)) {
            let index = draw % images.len();
            let choice = self.augment.choose(seed, epoch, draw as u64, size);
            match shrink {
                None => choice.write(images.image(index), size, mean, out),
                Some(shrink) => {
                    choice.write(images.image(index), size, mean, &mut whole);
                    shrink.write(&whole, out);
                }
            }
            batch.labels.push(images.labels[index]);
        }
    }
}

#[cfg(test)]
mod tests {
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
        let in_order = loader(23, 5, 3).in_order().unwrap();
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
}
