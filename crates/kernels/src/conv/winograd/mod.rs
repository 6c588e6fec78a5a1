//! Winograd convolution: 3x3, with fewer products than weights and pixels.
//!
//! Images are cut into tiles of M x M outputs; N x N coefficients of a transformed tile (N = M + 2) and
//! of transformed weights are multiplied as N² matrix products and transformed back (Lavin and Gray
//! 2016). F(4x4, 3x3) has a quarter of the products of the direct method.

mod backward_weight;
mod equalisation;
mod forward;
mod grid;
mod inference;
mod inverse;
mod multiply;
mod pass;
mod patch;
mod plain;
mod planes;
mod prefetch;
mod quantise;
mod strided;
mod sums_of_squares;
mod transform;
mod variant;
mod weights;

pub(super) use plain::Winograd;
pub(super) use strided::Strided;
