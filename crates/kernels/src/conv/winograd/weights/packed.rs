//! Where transformed weights lie.

use crate::conv::winograd::grid::BLOCK;

/// Where transformed weights lie: `[element][panel of outputs][k word][2 vectors]`, and what those
/// are worth, if they are integers: `[output]` after each element. [Factors] of the depth come last.
///
/// [Factors]: crate::conv::winograd::factors
#[derive(Clone, Copy, Debug)]
pub(in crate::conv::winograd) struct Packed {
    /// Outputs of the product: output channels forward, input channels backward.
    pub(in crate::conv::winograd) outputs: usize,
    /// Words of the depth.
    pub(in crate::conv::winograd) depth: usize,
}

impl Packed {
    /// Words from one element to the next.
    pub(in crate::conv::winograd) fn stride(&self) -> usize {
        self.outputs * (self.depth + 1) + BLOCK
    }

    /// Where an element's units start.
    pub(in crate::conv::winograd) fn units(&self) -> usize {
        self.outputs * self.depth
    }

    /// Where factors of the depth start: two for each of two values in a word.
    pub(in crate::conv::winograd) fn factors(&self, elements: usize) -> usize {
        elements * self.stride()
    }

    pub(in crate::conv::winograd) fn len(&self, elements: usize) -> usize {
        self.factors(elements) + 4 * self.depth
    }
}
