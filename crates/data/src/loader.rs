//! The data loader: shuffled, augmented batches, prefetched by a thread.

use std::{collections::HashSet, io, sync::Arc};

use resnet_network::{
    crops::{CropSettings, Crops, KeptImages},
    preprocess::Normalisation,
};

use crate::{
    Augment, Batch, Epoch, Images, PaddingMode, Sampling, Shards,
    augment::Size,
    photos::{Augmentation, Photos},
    plan::{Plan, PlannedBatch},
    shrink::Shrink,
    transform::Transform,
};

/// Makes the training batches of every epoch. Their content depends only on the seed, the epoch and
/// the batch index.
#[derive(Clone, Debug)]
pub struct Loader {
    source: Source,
    batch_size: usize,
    shards: Shards,
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
    /// Whether batches have crops in place of pixels.
    gives_crops: bool,
}

impl Loader {
    /// A loader with `batch_size` images per batch. The last batch of an epoch may be smaller.
    ///
    /// # Panics
    /// If `batch_size` is 0.
    pub fn new(images: Arc<Images>, batch_size: usize, augment: Augment, seed: u64) -> Self {
        let missing = Arc::default();
        let memory = InMemory { images, augment, missing, gives_crops: false };
        Loader::of(Source::Memory(memory), batch_size, seed)
    }

    fn of(source: Source, batch_size: usize, seed: u64) -> Loader {
        assert!(batch_size > 0, "a batch has at least one image");
        let (shards, sampling, mean) = (Shards::default(), Sampling::Shuffle, [0; 3]);
        Loader { source, batch_size, shards, sampling, seed, mean }
    }

    /// The same with other images in memory, which are not augmented, in place of its own, of which they have
    /// the labels and the order. Some of them are `missing` in their batches.
    #[must_use]
    pub fn with_images(self, images: Images, missing: HashSet<usize>) -> Loader {
        let (images, missing) = (Arc::new(images), Arc::new(missing));
        let memory = InMemory { images, augment: Augment::NONE, missing, gives_crops: false };
        Loader { source: Source::Memory(memory), ..self }
    }

    /// The same for photos on disk, which several threads read and augment. The photos that cannot be
    /// used are missing in their batches.
    ///
    /// # Panics
    /// If `batch_size` is 0.
    pub fn of_photos(photos: Photos, batch_size: usize, transform: Transform, seed: u64) -> Self {
        Loader::of(Source::Photos(photos, Box::new(transform)), batch_size, seed)
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

    /// The same with parts of batches in place of whole ones: an epoch has those of the first batch, then those
    /// of the second, and so on.
    #[must_use]
    pub fn with_shards(self, shards: Shards) -> Self {
        Loader { shards, ..self }
    }

    /// The images for a device to keep, if they are in memory, square, and of at most three channels.
    pub fn to_keep(&self) -> Option<KeptImages<'_>> {
        let Source::Memory(InMemory { images, augment, .. }) = &self.source else { return None };
        let settings = CropSettings {
            side: images.height,
            channels: images.channels,
            reflects: augment.padding_mode == PaddingMode::Reflect,
            cutout: augment.cutout,
            colour: self.mean,
        };
        let can_keep = images.height == images.width && images.channels <= 3;
        can_keep.then_some(KeptImages { pixels: &images.pixels, settings })
    }

    /// The same with [`Crops`] in place of pixels, for a device that keeps [the images](Loader::to_keep). Photos on
    /// disk stay pixels.
    #[must_use]
    pub fn with_crops(mut self) -> Loader {
        if let Source::Memory(memory) = &mut self.source {
            memory.gives_crops = true;
        }
        self
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

    /// Batches per epoch, as they are before they are cut into shards.
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
        let order = self.order(epoch);
        let plan = Plan::new(&order, self.batch_size, first_batch, &sizes, &self.shards);
        self.start(plan, epoch)
    }

    /// All images once, in their own order, augmented as in the first epoch, in batches of `batch_size`.
    ///
    /// # Errors
    /// If the thread cannot be started.
    pub fn in_order(&self, batch_size: usize) -> io::Result<Epoch> {
        self.start(Plan::in_order(self.len(), batch_size, |_| true), 1)
    }

    fn start(&self, plan: Plan, epoch: u64) -> io::Result<Epoch> {
        let Loader { seed, mean, .. } = *self;
        let memory = match &self.source {
            Source::Memory(memory) => memory.clone(),
            Source::Photos(photos, transform) => {
                let transform = (**transform).clone();
                let augmentation = Augmentation { transform, seed, mean };
                return photos.augmented(plan, augmentation, epoch);
            }
        };
        Epoch::start(plan.len(), move |output| {
            let size = [memory.images.height, memory.images.width];
            let mut shrink = None; // of the batch before
            for PlannedBatch { positions, side, whole } in plan.batches() {
                let mut batch = output.batch();
                batch.whole = whole;
                let side = side.filter(|&side| [side; 2] != size);
                if shrink.as_ref().map(Shrink::side) != side {
                    shrink = side.map(|side| Shrink::new(memory.size(), side));
                }
                let draws = &plan.order()[positions];
                memory.fill(&mut batch, [seed, epoch], draws, shrink.as_ref(), &mean);
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
        batch.labels.clear();
        batch.labels.extend(batch.draws.iter().map(|draw| images.labels[draw % images.len()]));
        let choice = |draw: usize| self.augment.choose(seed, epoch, draw as u64, size);
        if self.gives_crops {
            let crop = |&draw: &usize| choice(draw).crop(draw % images.len());
            let crops = batch.draws.iter().map(crop).collect();
            batch.crops = Some(Crops { crops, resampling: shrink.map(Shrink::resampling) });
            return;
        }
        batch.pixels.resize(batch.draws.len() * len, 0);
        let mut whole = vec![0; shrink.map_or(0, |_| images.image_len())];
        for (&draw, out) in batch.draws.iter().zip(batch.pixels.chunks_exact_mut(len)) {
            let image = images.image(draw % images.len());
            match shrink {
                None => choice(draw).write(image, size, mean, out),
                Some(shrink) => {
                    choice(draw).write(image, size, mean, &mut whole);
                    shrink.write(&whole, out);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
