//! Erased rectangles: torchvision's RandomErasing, on bytes.

use std::ops::Range;

use resnet_network::random::Random;

use super::{
    settings::{ErasedValue, RandomErasing},
    stream::between,
};

/// A rectangle that is hidden.
#[derive(Clone, Debug)]
pub struct Erased {
    /// Its rows and columns.
    pub part: [Range<usize>; 2],
    /// The random numbers of its bytes; none: it has the mean colour.
    pub random: Option<Random>,
}

/// Attempts at a rectangle that fits, before there is none.
const ATTEMPTS: usize = 10;

impl RandomErasing {
    /// Draws a rectangle in an image of `[height, width]` pixels, or none.
    pub(super) fn draw(&self, [height, width]: [usize; 2], mut random: Random) -> Option<Erased> {
        if f64::from(random.uniform()) >= self.probability {
            return None;
        }
        let area = (height * width) as f64;
        for _ in 0..ATTEMPTS {
            let target = area * between(&mut random, self.scale);
            let ratio = between(&mut random, self.ratio.map(f64::ln)).exp();
            let [h, w] = [target * ratio, target / ratio]
                .map(|square| square.sqrt().round_ties_even() as usize);
            if h < height && w < width {
                let top = random.below((height - h + 1) as u64) as usize;
                let left = random.below((width - w + 1) as u64) as usize;
                let random = (self.value == ErasedValue::Random).then_some(random);
                return Some(Erased { part: [top..top + h, left..left + w], random });
            }
        }
        None
    }
}

impl Erased {
    /// Hides the rectangle of an image `[height][width][3]`.
    pub(super) fn apply(&self, image: &mut [u8], width: usize, mean: [u8; 3]) {
        let [rows, columns] = self.part.clone();
        let mut random = self.random.clone();
        let lines = image.chunks_exact_mut(3 * width).skip(rows.start).take(rows.len());
        for line in lines {
            for pixel in &mut line.as_chunks_mut::<3>().0[columns.clone()] {
                *pixel = match &mut random {
                    None => mean,
                    Some(random) => {
                        let [r, g, b, ..] = random.next_u64().to_le_bytes();
                        [r, g, b]
                    }
                };
            }
        }
    }
}
