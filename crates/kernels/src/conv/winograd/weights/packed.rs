//! The layout of transformed weights.

use crate::conv::winograd::grid::BLOCK;

/// The layout of transformed weights:
/// `[coefficient][panel of outputs][word of the depth][2 vectors]`. Where they are integers, each
/// coefficient is followed by its dequantisation scales, `[output]`, and the [factors] of the depth
/// come last.
///
/// [factors]: crate::conv::winograd::equalisation
#[derive(Clone, Copy, Debug)]
pub(in crate::conv) struct Packed {
    /// Outputs of the product: output channels forward, input channels backward.
    pub(in crate::conv::winograd) outputs: usize,
    /// Words of the depth.
    pub(in crate::conv::winograd) depth: usize,
}

impl Packed {
    /// Words from one coefficient to the next.
    pub(in crate::conv::winograd) fn stride(&self) -> usize {
        self.outputs * (self.depth + 1) + BLOCK
    }

    /// Where a coefficient's dequantisation scales start.
    pub(in crate::conv::winograd) fn dequant(&self) -> usize {
        self.outputs * self.depth
    }

    /// Where the equalisation starts: two factors for each of two values in a word.
    pub(in crate::conv::winograd) fn equalisation(&self, coefficients: usize) -> usize {
        coefficients * self.stride()
    }

    /// Words of all.
    pub(in crate::conv::winograd) fn len(&self, coefficients: usize) -> usize {
        self.equalisation(coefficients) + 4 * self.depth
    }
}
