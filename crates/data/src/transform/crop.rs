//! Crops: which part of a photo is used, and how it is resized.

use std::ops::Range;

use resnet_network::random::Random;

use super::{
    settings::{CenterCrop, Crop, RandomCrop, RandomResizedCrop, Shorter},
    stream::between,
};
use crate::photo::scaled_len;

/// A part of a photo that is resized, and the part of the result that is used. What lies outside of
/// the result is black.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// Rows and columns of the photo that are resized.
    pub part: [Range<usize>; 2],
    /// Rows and columns that they are resized to.
    pub resized: [usize; 2],
    /// Row and column of the result that are the first of the image; negative if the image begins
    /// outside.
    pub first: [isize; 2],
}

/// Attempts at a part that fits, before a fixed one is taken.
const ATTEMPTS: usize = 10;

impl Crop {
    /// Draws a window of an image of `size` in a photo of `source` pixels, both `[height, width]`.
    pub(super) fn draw(&self, source: [usize; 2], size: [usize; 2], random: &mut Random) -> Window {
        let whole = source.map(|len| 0..len);
        match *self {
            Crop::RandomResized(crop) => {
                Window { part: crop.draw(source, random), resized: size, first: [0; 2] }
            }
            Crop::Whole => Window { part: whole, resized: size, first: [0; 2] },
            Crop::Center(CenterCrop { resize }) => {
                let resized = resized(source, resize);
                // Half of what is too much, ties to even; half of what is missing, rounded down.
                let first = [0, 1].map(|side| match resized[side].checked_sub(size[side]) {
                    Some(more) => (more as f64 / 2.0).round_ties_even() as isize,
                    None => -(((size[side] - resized[side]) / 2) as isize),
                });
                Window { part: whole, resized, first }
            }
            Crop::Random(RandomCrop { resize, padding }) => {
                let shorter = resize.map(|resize| match resize {
                    Shorter::To(side) => side,
                    Shorter::Between([least, most]) => {
                        least + random.below((most - least + 1) as u64) as usize
                    }
                });
                let resized = resized(source, shorter);
                let first = [0, 1].map(|side| {
                    let padded = resized[side] + 2 * padding;
                    // Too small an image gets what is missing on both of its sides.
                    let missing = size[side].saturating_sub(padded);
                    let places = padded + 2 * missing - size[side] + 1;
                    random.below(places as u64) as isize - (padding + missing) as isize
                });
                Window { part: whole, resized, first }
            }
        }
    }
}

/// A photo's size after its shorter side was resized (torchvision's `Resize(int)`).
fn resized(source: [usize; 2], shorter: Option<usize>) -> [usize; 2] {
    let Some(to) = shorter else { return source };
    let least = source[0].min(source[1]);
    source.map(|len| scaled_len(len, least, to).min(isize::MAX as u64) as usize)
}

impl RandomResizedCrop {
    fn draw(&self, [height, width]: [usize; 2], random: &mut Random) -> [Range<usize>; 2] {
        let area = (height * width) as f64;
        for _ in 0..ATTEMPTS {
            let target = area * between(random, self.scale);
            let ratio = between(random, self.ratio.map(f64::ln)).exp();
            let [h, w] = [target / ratio, target * ratio]
                .map(|square| square.sqrt().round_ties_even() as usize);
            if (1..=height).contains(&h) && (1..=width).contains(&w) {
                let top = random.below((height - h + 1) as u64) as usize;
                let left = random.below((width - w + 1) as u64) as usize;
                return [top..top + h, left..left + w];
            }
        }
        // The largest part in the middle, with a ratio in range.
        let ratio = (width as f64 / height as f64).clamp(self.ratio[0], self.ratio[1]);
        let of = |len: f64, most: usize| (len.round_ties_even() as usize).clamp(1, most);
        let h = of(width as f64 / ratio, height);
        let w = of(height as f64 * ratio, width);
        let (top, left) = ((height - h) / 2, (width - w) / 2);
        [top..top + h, left..left + w]
    }
}
