//! Winograd convolution of 3x3 windows, with fewer products than weights and pixels.
//!
//! Images are cut into tiles of M x M outputs. A tile's pixels are transformed to N x N
//! coefficients (N = M + 2), and so are the weights. The convolution then is N² matrix products,
//! one for each coefficient, of `[tiles][channels]` with `[channels][outputs]`. Their results are
//! transformed back (Lavin and Gray 2016). F(4x4, 3x3) takes a quarter of the products of the
//! direct method.

mod backward_weight;
mod conv;
mod equalisation;
mod grid;
mod inference;
mod inverse;
mod multiply;
mod pass;
mod patch;
mod planes;
mod prefetch;
mod quantise;
mod strided;
mod sums_of_squares;
mod transform;
mod unit_stride;
mod variant;
mod weights;

pub(super) use conv::Winograd;
pub(super) use strided::StridedPass;
pub(super) use unit_stride::UnitStridePass;
