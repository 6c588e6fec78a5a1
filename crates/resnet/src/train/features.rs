//! Features of a frozen backbone. Where nothing before the head trains and no image is augmented, what enters
//! the head is the same in every epoch: it is computed once, and takes the place of the images.

use std::{
    collections::HashSet,
    hash::{DefaultHasher, Hash, Hasher},
    ops::ControlFlow::{Break, Continue},
    sync::atomic::Ordering::Relaxed,
    time::{Duration, Instant},
};

use super::{
    Event, StopFlag, TrainError, feature_bytes::to_bytes, kept_images::images_of,
    member::other_than_first, shards::agree, trainer::Trainer,
};
use crate::{
    config::TrainConfig,
    data::{Augment, DataError, ImageSet, Images},
    engine::{Input, memory},
    evaluate,
    graph::Graph,
    recipe::Recipe,
};

/// Whether what enters the head is the same in every epoch of a run.
fn are_constant(config: &TrainConfig, graph: &Graph) -> bool {
    let Recipe { augment, transform, mix, image_sizes, .. } = &config.recipe;
    let is_augmented = match config.data.photos {
        Some(_) => !transform.as_ref().is_some_and(|transform| transform.is_fixed()),
        None => *augment != Augment::NONE,
    };
    let is_plain = !is_augmented && mix.is_none() && image_sizes.is_empty();
    is_plain && config.recipe.trains_only_the_head(graph)
}

impl Trainer<'_> {
    /// Whether a run of so many images keeps features: they are the same in every epoch, and memory holds them in each
    /// process (a quarter of what is free). Then the engine is planned for them.
    fn keeps_features(&mut self, images: usize) -> bool {
        let needed = images.saturating_mul(self.engine.features_len() * size_of::<f32>());
        // Those of the other processes of this machine are in the same memory.
        let needed = needed.saturating_mul(self.group.local_size());
        let has_room = memory::available().is_none_or(|free| needed <= free / 4);
        if !are_constant(self.config, self.engine.graph()) || self.has_features {
            return false;
        }
        // The layers that train are the same in every step. Without memory for it, the first step says so.
        let size = [self.config.data.image_size; 2];
        let can = has_room && self.plan.update(&mut self.engine, self.config, size, 0).is_ok();
        // All processes have features, or none has. An error is seen again in the first step.
        matches!(agree(self.group, usize::from(!can)), Ok(0))
    }

    /// Images to train and to evaluate on.
    fn images(&self) -> usize {
        let sets = [&self.validation, &self.test];
        let evaluated: usize = sets.iter().map(|set| set.as_ref().map_or(0, ImageSet::len)).sum();
        self.loader.len() + evaluated
    }

    /// Puts features in the place of the images.
    fn take_features(
        &mut self,
        train: Images,
        missing: HashSet<usize>,
        [validation, test]: [Option<ImageSet>; 2],
    ) {
        self.loader = self.loader.clone().with_images(train, missing);
        [self.validation, self.test] = [validation, test];
        self.has_features = true;
    }

    /// The time of an image's features, seconds, if a run of so many images keeps them. It is measured for about `time`,
    /// or until stopped. From then on the trainer has zeros for features, with which steps take as long.
    ///
    /// # Errors
    /// As [`Trainer::keep_features`].
    pub(super) fn time_features(
        &mut self,
        time: Duration,
        stop: &StopFlag,
        images: usize,
    ) -> Result<Option<f64>, TrainError> {
        if !self.keeps_features(images) {
            return Ok(None);
        }
        let (group, start) = (self.group, Instant::now());
        let mut done = 0;
        let mut goes_on = |more: usize| {
            done += more;
            let is_over = stop.load(Relaxed) != 0 || start.elapsed() >= time;
            matches!(agree(group, usize::from(is_over)), Ok(0))
        };
        self.training_features(&mut goes_on)?;
        let seconds = start.elapsed().as_secs_f64() / done.max(1) as f64;
        let channels = size_of::<f32>() * self.engine.features_len();
        let zeros = |labels: &[u32]| Images {
            height: 1,
            width: 1,
            channels,
            pixels: vec![0; labels.len() * channels],
            labels: labels.to_vec(),
        };
        let sets = [&self.validation, &self.test]
            .map(|set| set.as_ref().map(|set| ImageSet::Memory(zeros(set.labels()))));
        self.take_features(zeros(self.loader.labels()), HashSet::new(), sets);
        Ok(Some(seconds))
    }

    /// Computes the features of all images, if they are the same in every epoch and memory holds them (a quarter
    /// of what is free). From then on the trainer has them in place of the images. In fp32 the run is, bit for
    /// bit, the one without this; in bf16 an image's features depend on the images that they are computed with,
    /// which are those before and after it. If stopped, or if not all processes can use the same photos, it leaves the
    /// images as they are.
    ///
    /// # Errors
    /// If photos cannot be read, or the GPU was lost.
    pub(super) fn keep_features(
        &mut self,
        stop: &StopFlag,
        listen: &mut dyn FnMut(&Event),
    ) -> Result<(), TrainError> {
        let (group, images) = (self.group, self.images());
        if !self.keeps_features(images) {
            return Ok(());
        }
        if group.is_first() {
            listen(&Event::Note(format!(
                "only the classifier trains, and images are not augmented: what enters it is computed once, for \
                 {images} images"
            )));
        }
        let mut done = 0;
        let mut goes_on = |more: usize| {
            done += more;
            listen(&Event::Evaluating { done, images });
            // All have the same batches: they stop after the same one, and hear of each other meanwhile.
            matches!(agree(group, stop.load(Relaxed)), Ok(0))
        };
        let Some((train, missing)) = self.training_features(&mut goes_on)? else {
            return Ok(());
        };
        let mut sets = [self.validation.clone(), self.test.clone()];
        for set in sets.iter_mut().flatten() {
            let Some(features) = self.evaluated_features(set, &mut goes_on)? else {
                return Ok(());
            };
            *set = ImageSet::Memory(features);
        }
        // Without a photo that only some can use, they would have other batches to evaluate.
        let mut hasher = DefaultHasher::new();
        sets.iter().flatten().for_each(|set| set.labels().hash(&mut hasher));
        if let Some(process) = other_than_first(group, hasher.finish())? {
            if group.is_first() {
                listen(&Event::Note(format!(
                    "process {process} cannot use the same photos as process 0: what enters the classifier is \
                     computed in every epoch"
                )));
            }
            return Ok(());
        }
        // Those of photos would go with the loader.
        let notes = self.loader.take_notes();
        notes.into_iter().for_each(|note| listen(&Event::Note(note)));
        self.take_features(train, missing, sets);
        Ok(())
    }

    /// The features of the training images, and which images are missing; none if `goes_on` ends it.
    fn training_features(
        &mut self,
        goes_on: &mut dyn FnMut(usize) -> bool,
    ) -> Result<Option<(Images, HashSet<usize>)>, TrainError> {
        let data = &self.config.data;
        let one = size_of::<f32>() * self.engine.features_len();
        let mut found = Images {
            height: 1,
            width: 1,
            channels: one,
            pixels: vec![0; self.loader.len() * one],
            labels: self.loader.labels().to_vec(),
        };
        let mut missing: HashSet<usize> = (0..self.loader.len()).collect();
        let mut batches =
            self.loader.in_order(self.batch_of_engine()).map_err(DataError::Threads)?;
        while let Some(batch) = batches.next() {
            let images = batch.labels.len();
            let input = images_of(&batch, &data.normalisation);
            if images > 0 {
                let features = to_bytes(&self.engine.features(input, images)?);
                for (&image, features) in batch.draws.iter().zip(features.chunks_exact(one)) {
                    found.pixels[image * one..][..one].copy_from_slice(features);
                    missing.remove(&image);
                }
            }
            batches.recycle(batch);
            if !goes_on(images) {
                return Ok(None);
            }
        }
        batches.take_error().map_or(Ok(Some((found, missing))), |error| Err(error.into()))
    }

    /// The features of images for evaluation, without those that cannot be used; none if `goes_on` ends it.
    fn evaluated_features(
        &mut self,
        set: &ImageSet,
        goes_on: &mut dyn FnMut(usize) -> bool,
    ) -> Result<Option<Images>, TrainError> {
        let channels = size_of::<f32>() * self.engine.features_len();
        let mut found = Images { height: 1, width: 1, channels, ..Images::default() };
        let (mut ended, mut failed) = (false, None);
        set.visit(evaluate::BATCH, |pixels, labels| {
            if !labels.is_empty() {
                let input = Input::Bytes(pixels, &self.config.data.normalisation);
                match self.engine.evaluated_features(input, labels.len()) {
                    Ok(features) => found.pixels.extend(to_bytes(&features)),
                    Err(error) => failed = Some(error),
                }
                found.labels.extend(labels);
            }
            ended = !goes_on(labels.len());
            if ended || failed.is_some() { Break(()) } else { Continue(()) }
        })?;
        failed.map_or(Ok(()), Err)?;
        Ok((!ended).then_some(found))
    }
}
