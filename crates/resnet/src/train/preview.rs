//! What a network gets to see in training.

use super::{TrainError, check_data::checked, trainer::loader};
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
    /// Messages about photos that cannot be used, and about images of another size.
    pub notes: Vec<String>,
}

/// The first images of an epoch (from 1 on) of a run on this data, at most `count`, all of the size of
/// the first one.
///
/// # Errors
/// If the configuration is invalid, the data is not that of it, or photos cannot be read.
pub fn preview(
    config: &TrainConfig,
    data: impl Into<Parts>,
    epoch: u64,
    count: usize,
) -> Result<Preview, TrainError> {
    let Parts { train, classes, .. } = checked(config, data.into())?;
    let (mix, batch_size) = (config.recipe.mix, config.recipe.batch_size.min(train.len()));
    // Images are mixed with others of their batch, all of which is needed then.
    let loaded = if mix.is_some() { batch_size } else { batch_size.min(count).max(1) };
    let mut loader = loader(config, train, loaded);
    let mut shards = 1;
    if mix.is_some() {
        // Images are mixed within a shard.
        shards = config.recipe.parallel.shards;
        loader = loader.with_shards(Shards::of_process(shards, 0, 1));
    }
    let (first, _) = config.steps_of_epoch(epoch);
    let step = |batch: usize| first + (batch * loaded / batch_size) as u64;
    let sizes = (0..loader.batches()).map(|batch| config.image_size_at(step(batch))).collect();
    let mut batches = loader.epoch_in_sizes(epoch, 0, sizes).map_err(TrainError::Loader)?;
    let (mut seen, mut image_len, mut other_size) = (Preview::default(), 0, None);
    for (part, mut batch) in batches.by_ref().enumerate() {
        let size = [batch.height, batch.width];
        if batch.labels.is_empty() {
            continue;
        }
        if seen.classes.is_empty() {
            [seen.height, seen.width] = size;
            image_len = batch.pixels.len() / batch.labels.len();
        }
        if size != [seen.height, seen.width] {
            other_size = Some(size);
            break;
        }
        let index = (part / shards) as u64;
        match mix.and_then(|mix| mix.choose(config.seed, epoch, index, size)) {
            Some(mixed) => {
                let (channels, mut targets) = (image_len / (size[0] * size[1]), Vec::new());
                mixed.write(&mut batch.pixels, size, channels, &mut Vec::new());
                mixed.targets(&batch.labels, classes.len(), &mut targets);
                seen.classes.extend(targets.chunks(classes.len()).map(shares));
            }
            None => seen.classes.extend(batch.labels.iter().map(|&label| vec![(label, 1.0)])),
        }
        seen.pixels.append(&mut batch.pixels);
        if seen.classes.len() >= count {
            break;
        }
    }
    if let Some(error) = batches.take_error() {
        return Err(error.into());
    }
    seen.pixels.truncate(count.saturating_mul(image_len));
    seen.classes.truncate(count);
    seen.notes = loader.take_notes();
    if let Some([height, width]) = other_size {
        let shown = seen.classes.len();
        seen.notes.push(format!(
            "images of the epoch after the first {shown} are of {width}x{height} pixels, and not shown"
        ));
    }
    Ok(seen)
}

/// The classes of a mixed image, the largest share first.
fn shares(target: &[f32]) -> Vec<(u32, f32)> {
    let shares = (0..).zip(target.iter().copied()).filter(|&(_, share)| share > 0.0);
    let mut shares: Vec<(u32, f32)> = shares.collect();
    shares.sort_by(|a, b| b.1.total_cmp(&a.1));
    shares
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::tests::sample,
        data::{Augment, LoadOptions, load, transform::Mix},
        recipe::SizePhase,
    };

    fn synthetic(config: &mut TrainConfig) -> crate::data::Dataset {
        let options =
            LoadOptions { limit_train: Some(60), limit_test: Some(4), ..Default::default() };
        config.recipe.augment = Augment::NONE;
        config.recipe.batch_size = 8;
        config.data.validation = 20;
        config.data.train_images = 40;
        let set = load("synthetic", &options).unwrap();
        config.data.classes.clone_from(&set.classes);
        set
    }

    #[test]
    fn it_shows_training_images_and_their_mixtures() {
        let mut config = sample();
        let data = synthetic(&mut config);
        let plain = preview(&config, data.clone(), 1, 100).unwrap();
        assert_eq!([plain.height, plain.width, plain.classes.len()], [32, 32, 40]);
        let mut train = data.train.clone();
        let validation = train.random_split(20, config.seed).unwrap();
        for (pixels, classes) in plain.pixels.chunks(32 * 32 * 3).zip(&plain.classes) {
            let is = |images: &crate::data::Images| {
                (0..images.len())
                    .any(|i| images.image(i) == pixels && classes[..] == [(images.labels[i], 1.0)])
            };
            assert!(is(&train) && !is(&validation));
        }
        for count in [3, 20] {
            let few = preview(&config, data.clone(), 1, count).unwrap();
            assert_eq!(
                (&few.pixels[..], &few.classes[..]),
                (&plain.pixels[..count * 3072], &plain.classes[..count])
            );
        }
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
        // Each batch has its own share.
        let least = |batch: &[Vec<(u32, f32)>]| {
            batch.iter().map(|classes| classes[0].1).fold(1.0, f32::min)
        };
        assert_ne!(least(&mixed.classes[..8]), least(&mixed.classes[8..16]));
    }

    #[test]
    fn a_wrong_configuration_and_other_data_are_refused() {
        let mut config = sample();
        let data = synthetic(&mut config);
        let refused = |config: &TrainConfig, data: &crate::data::Dataset| {
            preview(config, data.clone(), 1, 4).unwrap_err().to_string()
        };
        let mut other = data.clone();
        other.train.pixels.pop();
        assert!(refused(&config, &other).contains("60 images of 32x32x3 cannot have"));
        other = data.clone();
        other.classes.pop();
        assert!(refused(&config, &other).contains("its classes"));
        config.recipe.batch_size = 0;
        assert!(refused(&config, &data).contains("--batch-size"));
    }

    #[test]
    fn all_images_have_one_size() {
        let mut config = sample();
        let data = synthetic(&mut config);
        // Of the 8 steps of the run the first two.
        config.recipe.image_sizes = vec![SizePhase { until: 0.25, size: 16 }];
        let seen = preview(&config, data.clone(), 1, 100).unwrap();
        assert_eq!([seen.height, seen.width, seen.classes.len()], [16, 16, 16]);
        assert_eq!(seen.pixels.len(), 16 * 16 * 16 * 3);
        let note = &seen.notes[0];
        assert!(note.contains("after the first 16 are of 32x32 pixels"), "{note}");
        let few = preview(&config, data, 1, 16).unwrap();
        assert_eq!((few.classes, few.notes.len()), (seen.classes, 0));
    }
}
