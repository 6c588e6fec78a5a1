//! How the images of an epoch are chosen.

use resnet_network::random::{Purpose, Random};
use serde::{Deserialize, Serialize};

/// How the images of an epoch are chosen, and in which order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sampling {
    /// Each image once, in random order.
    #[default]
    Shuffle,
    /// As many images as there are, each of a random class: all classes alike, and with replacement. This
    /// is `torch.utils.data.WeightedRandomSampler` with the inverse of a class's number of images as the
    /// weight of its images.
    Balanced,
}

impl Sampling {
    /// The draws of an epoch, from images of these labels. A draw is the number of its image, plus that of
    /// all images for each draw of it before, so that every draw is augmented on its own.
    pub(crate) fn draws(self, labels: &[u32], seed: u64, epoch: u64) -> Vec<usize> {
        let mut random = Random::new(seed, Purpose::Order, &[epoch]);
        if self == Sampling::Shuffle {
            let mut order: Vec<usize> = (0..labels.len()).collect();
            random.shuffle(&mut order);
            return order;
        }
        let most = labels.iter().max().map_or(0, |&most| most as usize + 1);
        let mut classes: Vec<Vec<usize>> = vec![Vec::new(); most];
        for (image, &label) in labels.iter().enumerate() {
            classes[label as usize].push(image);
        }
        classes.retain(|images| !images.is_empty());
        let mut draw = vec![0; labels.len()];
        let one = |_| {
            let class = &classes[random.below(classes.len() as u64) as usize];
            let image = class[random.below(class.len() as u64) as usize];
            draw[image] += 1;
            image + (draw[image] - 1) * labels.len()
        };
        (0..labels.len()).map(one).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_drawn_alike_and_images_within_them() {
        // 900 images of class 0, 90 of class 1, none of class 2, and 10 of class 3.
        let labels: Vec<u32> = [vec![0; 900], vec![1; 90], vec![3; 10]].concat();
        let mut counts = vec![0_usize; labels.len()];
        let (epochs, images) = (60, labels.len());
        for epoch in 1..=epochs {
            let draws = Sampling::Balanced.draws(&labels, 5, epoch);
            assert_eq!(draws.len(), images);
            let mut of_epoch = vec![0; images];
            for draw in draws {
                assert_eq!(draw / images, of_epoch[draw % images], "draws of an image count up");
                of_epoch[draw % images] += 1;
                counts[draw % images] += 1;
            }
        }
        let third = epochs as usize * images / 3;
        for class in [0..900, 900..990, 990..1000] {
            let drawn: usize = counts[class.clone()].iter().sum();
            // Within four standard deviations.
            let deviation = (third as f64 * 2.0 / 3.0).sqrt();
            assert!((drawn as f64 - third as f64).abs() < 4.0 * deviation, "{class:?}: {drawn}");
            let expected = third as f64 / class.len() as f64;
            for &count in &counts[class] {
                assert!((count as f64 - expected).abs() < 5.0 * expected.sqrt() + 1.0);
            }
        }
    }

    #[test]
    fn draws_depend_on_seed_and_epoch_alone() {
        let labels = [0, 0, 0, 1];
        for sampling in [Sampling::Shuffle, Sampling::Balanced] {
            let draws = |seed, epoch| sampling.draws(&labels.repeat(9), seed, epoch);
            assert_eq!(draws(1, 2), draws(1, 2));
            assert_ne!(draws(1, 2), draws(1, 3));
            assert_ne!(draws(1, 2), draws(2, 2));
            assert!(sampling.draws(&[], 1, 1).is_empty());
        }
    }
}
