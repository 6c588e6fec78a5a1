//! The directions, modes and algorithms of convolutions.

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

/// The directions that a convolution is prepared for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Forward only.
    Inference,
    /// Forward, and the gradient of the weights: the first layer needs no gradient of its input.
    TrainFirst,
    /// Forward and both gradients.
    Train,
}

impl Mode {
    /// Whether it has a direction.
    pub const fn has(self, direction: Direction) -> bool {
        match direction {
            Direction::Forward => true,
            Direction::BackwardData => matches!(self, Mode::Train),
            Direction::BackwardWeight => !matches!(self, Mode::Inference),
        }
    }
}

/// Why there is no [`Direction::BackwardData`].
pub(super) const NO_DATA: &str = "prepared without the gradient of the input";
/// Why there is no [`Direction::BackwardWeight`].
pub(super) const NO_WEIGHT: &str = "prepared for inference";

/// The algorithm of a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Algorithm {
    /// The direct method, as an indirect GEMM: a product for every weight and pixel.
    Direct,
    /// A matrix product over pixels, for 1x1 windows.
    Gemm,
    /// Winograd's algorithm, for 3x3 windows.
    Winograd {
        /// Side of a tile of outputs.
        side: usize,
        /// Step between outputs.
        stride: usize,
    },
}

impl Algorithm {
    /// Whether it can apply a batch norm and a ReLU as it loads its input. The batch norm then need
    /// not store its output.
    pub fn fuses_input_norm(self) -> bool {
        matches!(self, Algorithm::Winograd { .. })
    }
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
