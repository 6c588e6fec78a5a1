//! Drawn shapes of ten kinds: a data set that needs no file.
//!
//! Place, size, rotation, colours and shading are random, strokes lie under and over the shape,
//! and there is noise, so that neither colour nor any single pixel tells the class.

mod canvas;
mod shapes;

use self::canvas::{Canvas, Colour, Ramp, between, direction};
pub(super) use self::shapes::CLASSES;
use super::{Dataset, Images, LoadOptions, Normalisation};
use crate::random::{Purpose, Random};

pub(super) const NAME: &str = "synthetic";

/// Training images.
pub(super) const TRAIN: usize = 10_000;
/// Test images.
pub(super) const TEST: usize = 2_000;
/// Rows and columns of an image.
pub(super) const SIDE: usize = 32;

/// The pictures are part of the data set, not of a run: their seed is fixed.
const SEED: u64 = 0;

/// Statistics of the training images.
pub(super) fn normalisation() -> Normalisation {
    Normalisation { mean: vec![0.5, 0.5, 0.5], std: vec![0.25, 0.25, 0.25] }
}

pub(super) fn load(options: &LoadOptions) -> Dataset {
    let limit = |n: usize, limit: Option<usize>| n.min(limit.unwrap_or(n));
    Dataset {
        name: NAME.to_owned(),
        classes: CLASSES.map(str::to_owned).to_vec(),
        normalisation: normalisation(),
        train: draw(0, limit(TRAIN, options.limit_train)),
        test: draw(1, limit(TEST, options.limit_test)),
    }
}

/// The first `n` images of a part of the data set; classes take turns.
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

/// A picture, and how noisy it is to be.
fn picture(class: usize, random: &mut Random) -> (Canvas, f32) {
    let side = SIDE as f32;
    let (background, foreground) = contrasting_colours(random);
    let mut canvas = Canvas::new(&Ramp::new(background, 0.6, random));
    for _ in 0..2 + random.below(5) {
        stroke(&mut canvas, random);
    }

    let size = between(random, 6.0, 12.0);
    let centre = (between(random, size, side - size), between(random, size, side - size));
    let (cos, sin) = direction(random);
    let ramp = Ramp::new(foreground, 0.6, random);
    canvas.paint(centre, size, &ramp, |x, y| {
        shapes::contains(class, (cos * x + sin * y) / size, (cos * y - sin * x) / size)
    });

    for _ in 0..1 + random.below(3) {
        stroke(&mut canvas, random);
    }
    (canvas, between(random, 0.0, 0.15))
}

/// A straight line of any colour anywhere.
fn stroke(canvas: &mut Canvas, random: &mut Random) {
    let centre = (between(random, 0.0, SIDE as f32), between(random, 0.0, SIDE as f32));
    let (half_length, half_width) = (between(random, 2.0, 7.0), between(random, 0.4, 1.2));
    let (cos, sin) = direction(random);
    let ramp = Ramp::new(colour(random), 0.0, random);
    canvas.paint(centre, half_length + half_width, &ramp, |x, y| {
        (cos * x + sin * y).abs() < half_length && (cos * y - sin * x).abs() < half_width
    });
}

fn colour(random: &mut Random) -> Colour {
    std::array::from_fn(|_| random.uniform())
}

/// Two colours that can be told apart.
fn contrasting_colours(random: &mut Random) -> (Colour, Colour) {
    loop {
        let (a, b) = (colour(random), colour(random));
        let distance: f32 = (0..3).map(|c| (a[c] - b[c]) * (a[c] - b[c])).sum();
        if distance > 0.1 {
            return (a, b);
        }
    }
}
