//! The data loader: shuffled, augmented batches, prefetched by a thread.

use std::{
    io, panic,
    sync::{
        Arc,
        mpsc::{self, Receiver, Sender},
    },
    thread::{self, JoinHandle},
};

use resnet_network::{
    preprocess::Normalisation,
    random::{Purpose, Random},
};

use crate::{Augment, Batch, Images, augment::Size};

/// Prefetched batches. Making one takes well under a hundredth of its training step.
const PREFETCH: usize = 2;

/// Makes the training batches of every epoch. Their content depends only on the seed, the epoch and
/// the batch index.
#[derive(Clone, Debug)]
pub struct Loader {
    images: Arc<Images>,
    batch_size: usize,
    augment: Augment,
    seed: u64,
    mean: [u8; 3],
}

impl Loader {
    /// A loader with `batch_size` images per batch. The last batch of an epoch may be smaller.
    ///
    /// # Panics
    /// If `batch_size` is 0.
    pub fn new(images: Arc<Images>, batch_size: usize, augment: Augment, seed: u64) -> Self {
        assert!(batch_size > 0, "a batch has at least one image");
        Loader { images, batch_size, augment, seed, mean: [0; 3] }
    }

    /// The same with cutouts in the mean colour, which is 0 after normalisation. Otherwise they are
    /// black.
    #[must_use]
    pub fn with_mean(self, normalisation: &Normalisation) -> Self {
        Loader { mean: normalisation.mean_bytes(), ..self }
    }

    /// The images of the data set.
    pub fn images(&self) -> &Images {
        &self.images
    }

    /// Batches per epoch.
    pub fn batches(&self) -> usize {
        self.images.len().div_ceil(self.batch_size)
    }

    /// The batches of an epoch from index `first_batch` (from 0) on, prefetched by a thread. They
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
        let (batches, receiver) = mpsc::sync_channel(PREFETCH);
        let (recycler, used) = mpsc::channel();
        let loader = self.clone();
        let worker = thread::Builder::new().name("loader".to_owned()).spawn(move || {
            let order = loader.order(epoch);
            for indices in order.chunks(loader.batch_size).skip(first_batch) {
                let mut batch = used.try_recv().unwrap_or_default();
                loader.fill(&mut batch, epoch, indices);
                if batches.send(batch).is_err() {
                    break; // the epoch was dropped
                }
            }
        })?;
        Ok(Epoch {
            receiver: Some(receiver),
            recycler,
            worker: Some(worker),
            left: self.batches().saturating_sub(first_batch),
        })
    }

    /// The shuffled order of the images.
    fn order(&self, epoch: u64) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.images.len()).collect();
        Random::new(self.seed, Purpose::Order, &[epoch]).shuffle(&mut order);
        order
    }

    fn fill(&self, batch: &mut Batch, epoch: u64, indices: &[usize]) {
        let images = &*self.images;
        let size = Size { height: images.height, width: images.width, channels: images.channels };
        batch.pixels.resize(indices.len() * images.image_len(), 0);
        batch.labels.clear();
        for (&index, out) in indices.iter().zip(batch.pixels.chunks_exact_mut(images.image_len())) {
            let choice = self.augment.choose(self.seed, epoch, index as u64, size);
            choice.write(images.image(index), size, &self.mean, out);
            batch.labels.push(images.labels[index]);
        }
    }
}

/// Batches of one epoch, in order. Dropping it ends its thread.
#[derive(Debug)]
pub struct Epoch {
    /// None while dropping, which wakes a worker blocked in `send`.
    receiver: Option<Receiver<Batch>>,
    recycler: Sender<Batch>,
    worker: Option<JoinHandle<()>>,
    left: usize,
}

impl Epoch {
    /// Returns a used batch, so that its memory is reused.
    pub fn recycle(&self, batch: Batch) {
        // The worker may have exited already.
        let _ = self.recycler.send(batch);
    }
}

impl Iterator for Epoch {
    type Item = Batch;

    fn next(&mut self) -> Option<Batch> {
        let batch = self.receiver.as_ref().and_then(|receiver| receiver.recv().ok());
        match batch {
            Some(_) => self.left -= 1,
            None => {
                if let Some(Err(cause)) = self.worker.take().map(JoinHandle::join) {
                    panic::resume_unwind(cause);
                }
            }
        }
        batch
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Epoch {}

impl Drop for Epoch {
    fn drop(&mut self) {
        drop(self.receiver.take());
        if let Some(worker) = self.worker.take() {
            // A panic matters only to a caller that waits for a batch.
            let _ = worker.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, time::Duration};

    use super::*;
    use crate::images::tests::numbered;

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
    fn a_set_smaller_than_a_batch_is_one_batch() {
        let loader = loader(3, 128, 0);
        assert_eq!(loader.epoch(0, 0).unwrap().len(), 1);
        assert_eq!(all(&loader, 0, 0)[0].labels.len(), 3);
    }

    #[test]
    fn an_epoch_can_be_left_early() {
        let loader = loader(1000, 2, 0);
        for taken in [0, 1, 5] {
            let mut epoch = loader.epoch(0, 0).unwrap();
            assert_eq!(epoch.by_ref().take(taken).count(), taken);
            assert_eq!(epoch.len(), 500 - taken);
            drop(epoch); // returns only once the thread has ended
        }
        assert_eq!(Arc::strong_count(&loader.images), 1);
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
