//! Uniform random numbers.

use resnet_network::random::Random;

/// A uniform number in a range.
pub(super) fn between(random: &mut Random, [low, high]: [f64; 2]) -> f64 {
    low + (high - low) * f64::from(random.uniform())
}
