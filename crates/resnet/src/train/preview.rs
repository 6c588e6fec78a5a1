//! What a network gets to see in training.

use super::{TrainError, check_data::hold_out, trainer::loader};
use crate::{
    config::TrainConfig,
    data::{Parts, Shards},
};

/// The first images of an epoch as the network gets them: shuffled, augmented and mixed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Preview {
    /// Rows of an image.
    pub height: usize,
    /// Columns of an image.
    pub width: usize,
    /// Pixels: `[images][height][width][channels]`.
    pub pixels: Vec<u8>,
    /// The classes of each image and their shares, the largest first.
    pub classes: Vec<Vec<(u32, f32)>>,
    /// Messages about photos that cannot be used.
    pub notes: Vec<String>,
}

/// The first images of an epoch (from 1 on) of a run on this data, at most `count` and a batch.
///
/// # Errors
/// If the data is too small for the validation set, or photos cannot be read.
pub fn preview(
    config: &TrainConfig,
    data: impl Into<Parts>,
    epoch: u64,
    count: usize,
) -> Result<Preview, TrainError> {
    let Parts { mut train, mut validation, classes, .. } = data.into();
    hold_out(config, &mut train, &mut validation)?;
    let batch = config.recipe.batch_size.min(train.len());
    // Images are mixed with others of their batch, all of which is needed then.
    let loaded = if config.recipe.mix.is_some() { batch } else { batch.min(count).max(1) };
    let mut loader = loader(config, train, loaded);
    if config.recipe.mix.is_some() {
        // Images are mixed within a shard.
        loader = loader.with_shards(Shards::of_process(config.recipe.parallel.shards, 0, 1));
    }
    let sizes = vec![config.image_size_at(config.steps_of_epoch(epoch).0)];
    let mut batches = loader.epoch_in_sizes(epoch, 0, sizes).map_err(TrainError::Loader)?;
    let Some(mut batch) = batches.next() else {
        return batches.take_error().map_or(Ok(Preview::default()), |error| Err(error.into()));
    };
    let (size, mut targets) = ([batch.height, batch.width], Vec::new());
    let mixed = config.recipe.mix.and_then(|mix| mix.choose(config.seed, epoch, 0, size));
    if let Some(mixed) = mixed.filter(|_| !batch.labels.is_empty()) {
        let channels = batch.pixels.len() / (batch.labels.len() * size[0] * size[1]);
        mixed.write(&mut batch.pixels, size, channels, &mut Vec::new());
        mixed.targets(&batch.labels, classes.len(), &mut targets);
    }
    let of_mixed = targets.chunks(classes.len().max(1)).map(|shares| {
        let shares = (0..).zip(shares.iter().copied()).filter(|&(_, share)| share > 0.0);
        let mut shares: Vec<(u32, f32)> = shares.collect();
        shares.sort_by(|a, b| b.1.total_cmp(&a.1));
        shares
    });
    let mut classes: Vec<_> = match targets.is_empty() {
        true => batch.labels.iter().map(|&label| vec![(label, 1.0)]).collect(),
        false => of_mixed.collect(),
    };
    if let Some(len) = batch.pixels.len().checked_div(classes.len()) {
        batch.pixels.truncate(count.saturating_mul(len));
        classes.truncate(count);
    }
    let [height, width] = size;
    Ok(Preview { height, width, pixels: batch.pixels, classes, notes: loader.take_notes() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::tests::sample,
        data::{Augment, LoadOptions, load, transform::Mix},
    };

    fn synthetic(config: &mut TrainConfig) -> crate::data::Dataset {
        let options =
            LoadOptions { limit_train: Some(60), limit_test: Some(4), ..Default::default() };
        config.recipe.augment = Augment::NONE;
        config.recipe.batch_size = 8;
        config.data.validation = 20;
        config.data.train_images = 40;
        load("synthetic", &options).unwrap()
    }

    #[test]
    fn it_shows_training_images_and_their_mixtures() {
        let mut config = sample();
        let data = synthetic(&mut config);
        let plain = preview(&config, data.clone(), 1, 100).unwrap();
        assert_eq!([plain.height, plain.width, plain.classes.len()], [32, 32, 8]);
        let mut train = data.train.clone();
        let validation = train.random_split(20, config.seed).unwrap();
        for (pixels, classes) in plain.pixels.chunks(32 * 32 * 3).zip(&plain.classes) {
            let is = |images: &crate::data::Images| {
                (0..images.len())
                    .any(|i| images.image(i) == pixels && classes[..] == [(images.labels[i], 1.0)])
            };
            assert!(is(&train) && !is(&validation));
        }
        let few = preview(&config, data.clone(), 1, 3).unwrap();
        assert_eq!(
            (&few.pixels[..], &few.classes[..]),
            (&plain.pixels[..9216], &plain.classes[..3])
        );
        assert_ne!(preview(&config, data.clone(), 2, 100).unwrap(), plain);

        config.recipe.mix = Some(Mix { mixup: 1.0, cutmix: 0.0 });
        let mixed = preview(&config, data, 1, 100).unwrap();
        assert_ne!(mixed.pixels, plain.pixels);
        for (image, classes) in mixed.classes.iter().enumerate() {
            let sum: f32 = classes.iter().map(|&(_, share)| share).sum();
            assert!((sum - 1.0).abs() < 1e-6 && classes.is_sorted_by(|a, b| a.1 >= b.1));
            let own = plain.classes[image][0].0;
            assert!(classes.iter().any(|&(class, _)| class == own));
        }
        assert!(mixed.classes.iter().any(|classes| classes.len() == 2));
    }
}
