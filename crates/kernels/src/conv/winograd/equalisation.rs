//! Equalisation between both sides of a product of integers.

/// What values of the depth are multiplied with: those of tiles, and those of weights by the inverse, so
/// that their products are what they were.
#[derive(Clone, Copy, Debug)]
pub(in crate::conv) struct Equalisation<'a> {
    pub(super) tiles: &'a [f32],
    pub(super) weights: &'a [f32],
}

impl Equalisation<'_> {
    /// Of values that are not integers.
    pub(super) const NONE: Equalisation<'static> = Equalisation { tiles: &[], weights: &[] };

    /// Of so many values of the depth, from the halves of a slice.
    pub(super) fn of(both: &[f32], depth: usize) -> Equalisation<'_> {
        Equalisation { tiles: &both[..depth], weights: &both[depth..2 * depth] }
    }
}

/// The largest factor of tiles is at most 2^53 times this, so that its square is an f32.
const MOST: f32 = (1 << 10) as f32;

/// Equalisation, to both halves of a slice, by which tiles of values of these squares come out with the same
/// energy of each value.
///
/// Rounding then costs every output the same share of `sum_c |x_c|^2 |w_oc|^2`, whatever the weights are:
/// of the two factors of its bound, `sum_c b_c^2 |x_c|^2` is the number of values, and
/// `sum_c |w_oc|^2 / b_c^2` that sum itself.
pub(super) fn equalise_by_inputs(squares: &[f32], both: &mut [f32]) {
    let (tiles, weights) = both.split_at_mut(squares.len());
    let most = squares.iter().fold(0.0f32, |most, x| most.max(*x)).sqrt().min(MOST);
    for ((x, tile), weight) in squares.iter().zip(tiles).zip(weights) {
        let norm = x.sqrt() / most;
        // Values that are all zero have no weight.
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
