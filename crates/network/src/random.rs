//! Random numbers by key. Every random choice (initial weights, order, crop, flip) depends only on
//! the run's seed, a [purpose](Purpose) and indices, so a resumed run draws the same numbers as an
//! uninterrupted one.

/// SplitMix64 (Steele, Lea and Flood 2014), keyed by a seed and a path of integers.
#[derive(Clone, Debug)]
pub struct Random {
    state: u64,
}

/// The purpose of a stream of random numbers. Streams with equal seeds and different purposes are
/// independent.
#[derive(Clone, Copy, Debug)]
#[repr(u64)]
pub enum Purpose {
    /// Initial parameters.
    Init = 1,
    /// Order of the training images in an epoch.
    Order = 2,
    /// Crop and flip of one image in one epoch.
    Augment = 3,
    /// Images of the synthetic data set.
    Synthetic = 4,
    /// Which training images are the validation set.
    Split = 5,
    /// Choice of images for pictures.
    Show = 6,
    /// Whether an image is mirrored in the first epoch of alternating flips.
    Flip = 7,
    /// Augmentation of one photo in one epoch; each operation has a stream of its own.
    Transform = 8,
    /// Mixture of the images of one batch in one epoch.
    Mix = 9,
}

const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

impl Random {
    /// The stream for a purpose and the indices under it (epoch, image, ...).
    ///
    /// ```
    /// use resnet_network::random::{Purpose, Random};
    /// let draw = |epoch| Random::new(0, Purpose::Order, &[epoch]).next_u64();
    /// assert_eq!(draw(1), draw(1));
    /// assert_ne!(draw(1), draw(2));
    /// ```
    pub fn new(seed: u64, purpose: Purpose, path: &[u64]) -> Self {
        let mut state = mix(seed.wrapping_add(GOLDEN)) ^ mix(GOLDEN.wrapping_mul(purpose as u64));
        for &step in path {
            state = mix(state.wrapping_add(GOLDEN) ^ mix(step.wrapping_add(GOLDEN)));
        }
        Random { state }
    }

    /// 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(GOLDEN);
        mix(self.state)
    }

    /// A number from 0 to `n - 1`, without bias (Lemire's method).
    ///
    /// # Panics
    /// If `n` is 0.
    pub fn below(&mut self, n: u64) -> u64 {
        assert!(n > 0, "an empty range has no numbers");
        loop {
            let wide = u128::from(self.next_u64()) * u128::from(n);
            if (wide as u64) >= n.wrapping_neg() % n {
                return (wide >> 64) as u64;
            }
        }
    }

    /// A number in [0, 1), with 24 random bits.
    pub fn uniform(&mut self) -> f32 {
        (self.next_u64() >> 40) as f32 / (1u64 << 24) as f32
    }

    /// A number from the standard normal distribution (Box and Muller).
    pub fn normal(&mut self) -> f32 {
        let radius = (-2.0 * (1.0 - f64::from(self.uniform())).ln()).sqrt();
        (radius * (std::f64::consts::TAU * f64::from(self.uniform())).cos()) as f32
    }

    /// Shuffles a slice (Fisher and Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i as u64 + 1) as usize);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_right() {
        let mut r = Random::new(7, Purpose::Init, &[]);
        let n = 100_000;
        let (mut sum, mut squares, mut mean) = (0.0, 0.0, 0.0);
        for _ in 0..n {
            let x = f64::from(r.normal());
            sum += x;
            squares += x * x;
            mean += f64::from(r.uniform());
        }
        let n = f64::from(n);
        assert!((sum / n).abs() < 0.02, "{}", sum / n);
        assert!((squares / n - 1.0).abs() < 0.02);
        assert!((mean / n - 0.5).abs() < 0.01);
    }

    #[test]
    fn shuffle_keeps_every_item() {
        let mut items: Vec<usize> = (0..100).collect();
        Random::new(0, Purpose::Order, &[3]).shuffle(&mut items);
        assert_ne!(items, (0..100).collect::<Vec<_>>());
        items.sort_unstable();
        assert_eq!(items, (0..100).collect::<Vec<_>>());
    }

    /// Both orders of two items are equally likely.
    #[test]
    fn shuffle_is_uniform() {
        let swapped = |seed: &u64| {
            let mut pair = [0, 1];
            Random::new(*seed, Purpose::Order, &[]).shuffle(&mut pair);
            pair == [1, 0]
        };
        let swaps = (0..1000).filter(swapped).count();
        assert!((450..550).contains(&swaps), "{swaps} of 1000");
    }
}
