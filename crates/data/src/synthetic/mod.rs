//! A generated data set of drawn shapes in ten classes, without files.
//!
//! Position, size, rotation, colours and shading are random, lines are drawn under and over the
//! shape, and noise is added, so that neither the colour nor any single pixel reveals the class.

mod canvas;
mod shapes;

use resnet_network::{
    preprocess::Normalisation,
    random::{Purpose, Random},
};

use self::canvas::{Canvas, Colour, Gradient, between, direction};
pub(crate) use self::{canvas::SIDE, shapes::CLASSES};
use crate::{Dataset, Images, LoadOptions};

pub(crate) const NAME: &str = "synthetic";

/// Training images.
pub(crate) const TRAIN: usize = 10_000;
/// Test images.
pub(crate) const TEST: usize = 2_000;

/// The images are part of the data set, not of a run, so their seed is fixed.
const SEED: u64 = 0;

/// Mean and standard deviation of the training images.
pub(crate) fn normalisation() -> Normalisation {
    Normalisation::new(vec![0.4944, 0.4995, 0.4972], vec![0.2947, 0.2929, 0.2922])
}

pub(crate) fn load(options: &LoadOptions) -> Dataset {
    let limit = |n: usize, limit: Option<usize>| n.min(limit.unwrap_or(n));
    Dataset {
        name: NAME.to_owned(),
        classes: CLASSES.map(str::to_owned).to_vec(),
        normalisation: normalisation(),
        train: draw(0, limit(TRAIN, options.limit_train)),
        test: draw(1, limit(TEST, options.limit_test)),
    }
}

/// The first `n` images of a split (0 training, 1 test); classes alternate.
fn draw(part: u64, n: usize) -> Images {
    let mut pixels = Vec::with_capacity(n * SIDE * SIDE * 3);
    let labels: Vec<u32> = (0..n).map(|i| (i % CLASSES.len()) as u32).collect();
    for (i, &label) in labels.iter().enumerate() {
        let mut random = Random::new(SEED, Purpose::Synthetic, &[part, i as u64]);
        let (canvas, noise) = picture(label as usize, &mut random);
        pixels.extend(canvas.bytes(noise, &mut random));
    }
    Images { height: SIDE, width: SIDE, channels: 3, pixels, labels }
}

/// An image, and the standard deviation of its noise.
fn picture(class: usize, random: &mut Random) -> (Canvas, f32) {
    let side = SIDE as f32;
    let (background, foreground) = contrasting_colours(random);
    let mut canvas = Canvas::new(&Gradient::new(background, 0.4, random));
    for _ in 0..1 + random.below(4) {
        stroke(&mut canvas, random);
    }

    let size = between(random, 8.0, 13.0);
    let centre = (between(random, size, side - size), between(random, size, side - size));
    let (cos, sin) = direction(random);
    let gradient = Gradient::new(foreground, 0.4, random);
    canvas.paint(centre, size, &gradient, |x, y| {
        shapes::contains(class, (cos * x + sin * y) / size, (cos * y - sin * x) / size)
    });

    for _ in 0..random.below(3) {
        stroke(&mut canvas, random);
    }
    (canvas, between(random, 0.0, 0.08))
}

/// A straight line of random colour and position.
fn stroke(canvas: &mut Canvas, random: &mut Random) {
    let centre = (between(random, 0.0, SIDE as f32), between(random, 0.0, SIDE as f32));
    let (half_length, half_width) = (between(random, 2.0, 7.0), between(random, 0.4, 1.2));
    let (cos, sin) = direction(random);
    let gradient = Gradient::new(colour(random), 0.0, random);
    canvas.paint(centre, half_length + half_width, &gradient, |x, y| {
        (cos * x + sin * y).abs() < half_length && (cos * y - sin * x).abs() < half_width
    });
}

fn colour(random: &mut Random) -> Colour {
    std::array::from_fn(|_| random.uniform())
}

/// Two colours with enough contrast.
fn contrasting_colours(random: &mut Random) -> (Colour, Colour) {
    loop {
        let (a, b) = (colour(random), colour(random));
        let distance: f32 = (0..3).map(|c| (a[c] - b[c]) * (a[c] - b[c])).sum();
        if distance > 0.2 {
            return (a, b);
        }
    }
}

#[cfg(test)]
mod tests {
    use md5::Md5;

    use super::*;
    use crate::digest::digest;

    fn scaled(pixel: u8, channel: usize) -> f32 {
        let Normalisation { mean, std, .. } = normalisation();
        (f32::from(pixel) / 255.0 - mean[channel]) / std[channel]
    }

    #[test]
    fn the_images_never_change() {
        let dataset = load(&LoadOptions::default());
        assert_eq!((dataset.train.len(), dataset.test.len()), (TRAIN, TEST));
        assert_eq!(digest::<Md5>(&dataset.train.pixels), "fa0a32c62af850cbd5a4261f724cf2ec");
        assert_eq!(digest::<Md5>(&dataset.test.pixels), "a2e4131f3400ec5878e7231be5050f6c");
        for class in 0..10 {
            let count = dataset.train.labels.iter().filter(|&&label| label == class).count();
            assert_eq!(count, TRAIN / 10);
        }
    }

    #[test]
    fn a_limit_draws_the_first_images_only() {
        let options = LoadOptions { limit_train: Some(15), ..LoadOptions::default() };
        let few = load(&options);
        let mut more = draw(0, 20);
        more.limit(15);
        assert_eq!(few.train, more);
        assert_eq!(few.test.len(), TEST);
    }

    #[test]
    fn the_normalisation_is_that_of_the_training_images() {
        let (mut sums, mut squares) = ([0.0; 3], [0.0; 3]);
        let pixels = draw(0, TRAIN).pixels;
        for (i, &pixel) in pixels.iter().enumerate() {
            let value = f64::from(pixel) / 255.0;
            sums[i % 3] += value;
            squares[i % 3] += value * value;
        }
        let n = (pixels.len() / 3) as f64;
        let Normalisation { mean, std, .. } = normalisation();
        for c in 0..3 {
            let measured = sums[c] / n;
            let deviation = (squares[c] / n - measured * measured).sqrt();
            assert!((measured - f64::from(mean[c])).abs() < 1e-4, "{c}: mean {measured}");
            assert!((deviation - f64::from(std[c])).abs() < 1e-4, "{c}: std {deviation}");
        }
    }

    #[test]
    fn mirrored_shapes_keep_their_class() {
        for class in 0..CLASSES.len() {
            for i in 0..41 * 41 {
                let at = |i: usize| (i as f32 - 20.0) / 20.5;
                let (x, y) = (at(i % 41), at(i / 41));
                let inside = shapes::contains(class, x, y);
                assert_eq!(inside, shapes::contains(class, x, -y), "{} {x} {y}", CLASSES[class]);
                // `paint` samples only within this radius.
                assert!(!inside || x * x + y * y < 1.0, "{} {x} {y}", CLASSES[class]);
            }
        }
    }

    /// Multinomial logistic regression on the pixels.
    #[test]
    fn a_linear_model_does_not_generalise() {
        let (train, test) = (draw(0, 2000), draw(1, 1000));
        let values = |images: &Images, i: usize| -> Vec<f32> {
            images.image(i).iter().enumerate().map(|(at, &pixel)| scaled(pixel, at % 3)).collect()
        };
        let mut weights = vec![[0f32; 10]; train.image_len()];
        let logits = |weights: &[[f32; 10]], x: &[f32]| {
            let mut logits = [0f32; 10];
            for (x, row) in x.iter().zip(weights) {
                (0..10).for_each(|k| logits[k] += x * row[k]);
            }
            logits
        };
        for epoch in 0..5 {
            let mut order: Vec<usize> = (0..train.len()).collect();
            Random::new(0, Purpose::Order, &[epoch]).shuffle(&mut order);
            for i in order {
                let x = values(&train, i);
                let exps = logits(&weights, &x).map(f32::exp);
                let sum: f32 = exps.iter().sum();
                let mut gradient = exps.map(|e| e / sum);
                gradient[train.labels[i] as usize] -= 1.0;
                for (x, row) in x.iter().zip(&mut weights) {
                    (0..10).for_each(|k| row[k] -= 5e-4 * x * gradient[k]);
                }
            }
        }
        let accuracy = |images: &Images| {
            let correct = (0..images.len()).filter(|&i| {
                let logits = logits(&weights, &values(images, i));
                (0..10).max_by(|&a, &b| logits[a].total_cmp(&logits[b]))
                    == Some(images.labels[i] as usize)
            });
            correct.count() as f64 / images.len() as f64
        };
        let (seen, unseen) = (accuracy(&train), accuracy(&test));
        assert!(seen > 0.3, "it overfits its training images: {seen}");
        assert!(unseen < 0.2, "it must not generalise: {unseen}");
    }
}
