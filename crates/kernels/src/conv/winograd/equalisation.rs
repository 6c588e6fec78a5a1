//! Channel equalisation: factors that move range from one operand of a product to the other.
//!
//! Channels of the depth share a quantisation scale, so a large channel would leave few bits to the
//! others. Multiplying each channel of the tiles by a factor, and its weights by the inverse,
//! leaves the products as they are (Nagel et al. 2019, for weights of consecutive layers; Xiao et
//! al. 2023, for activations and weights).

/// A factor for each channel of the depth: of tiles, and of weights, which is its inverse.
#[derive(Clone, Copy, Debug)]
pub(in crate::conv) struct Equalisation<'a> {
    pub(super) tiles: &'a [f32],
    pub(super) weights: &'a [f32],
}

impl Equalisation<'_> {
    /// For values that are not quantised.
    pub(super) const NONE: Equalisation<'static> = Equalisation { tiles: &[], weights: &[] };

    /// The factors of `depth` channels, from both halves of a slice.
    pub(super) fn of(both: &[f32], depth: usize) -> Equalisation<'_> {
        Equalisation { tiles: &both[..depth], weights: &both[depth..2 * depth] }
    }
}

/// The largest norm of channels after equalisation. Their norms before are at least 2^-53, so factors
/// are at most 2^53 times this, and their squares fit in f32.
const MOST: f32 = (1 << 10) as f32;

/// Computes factors that give every channel of the tiles the same sum of squares, from the
/// channels' sums of squares `|x_c|^2`. They go to both halves of a slice.
///
/// The rounding error of output `o` is bounded by the product of `sum_c b_c^2 |x_c|^2` and
/// `sum_c |w_oc|^2 / b_c^2`. With `b_c = 1 / |x_c|` the former is the number of channels, and the
/// latter is `sum_c |x_c|^2 |w_oc|^2`, the squared norm of the output. So the relative error
/// depends on the number of channels alone.
pub(super) fn equalise_by_inputs(squares: &[f32], both: &mut [f32]) {
    let (tiles, weights) = both.split_at_mut(squares.len());
    let most = squares.iter().fold(0.0f32, |most, x| most.max(*x)).sqrt().min(MOST);
    for ((x, tile), weight) in squares.iter().zip(tiles).zip(weights) {
        let norm = x.sqrt() / most;
        // A channel of zeros contributes nothing.
        (*tile, *weight) = if *x > 0.0 { (1.0 / norm, norm) } else { (0.0, 0.0) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_out_equal() {
        let squares = [4.0, 1e-20, 0.0, 1e20, 9.0];
        let mut both = [f32::NAN; 10];
        equalise_by_inputs(&squares, &mut both);
        let Equalisation { tiles, weights } = Equalisation::of(&both, 5);
        for (i, x) in squares.iter().enumerate() {
            if *x > 0.0 {
                assert!((x * tiles[i] * tiles[i] / (MOST * MOST) - 1.0).abs() < 1e-5);
                assert!((tiles[i] * weights[i] - 1.0).abs() < 1e-6);
            } else {
                assert_eq!((tiles[i], weights[i]), (0.0, 0.0));
            }
        }
        let mut none = [f32::NAN; 4];
        equalise_by_inputs(&[0.0; 2], &mut none);
        assert_eq!(none, [0.0; 4]);
    }
}
