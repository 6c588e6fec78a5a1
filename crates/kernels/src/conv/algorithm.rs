//! What a convolution computes, and by which algorithm.

use std::fmt;

/// A direction of a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// The output.
    Forward,
    /// The gradient of the input.
    BackwardData,
    /// The gradient of the weights.
    BackwardWeight,
}

impl Direction {
    /// Every direction.
    pub const ALL: [Direction; 3] =
        [Direction::Forward, Direction::BackwardData, Direction::BackwardWeight];
}

/// How a direction is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Algorithm {
    /// A product for every weight and pixel.
    Direct,
    /// The same, of a 1x1 window: a matrix product over pixels.
    Gemm,
    /// Winograd's, for 3x3 windows.
    Winograd {
        /// Side of a tile of outputs.
        side: usize,
        /// Step between outputs.
        stride: usize,
    },
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Algorithm::Direct => f.pad("direct"),
            Algorithm::Gemm => f.pad("GEMM"),
            Algorithm::Winograd { side, stride: 1 } => f.pad(&format!("F({side}x{side},3x3)")),
            Algorithm::Winograd { side, stride } => {
                f.pad(&format!("F({side}x{side},3x3)/{stride}"))
            }
        }
    }
}
