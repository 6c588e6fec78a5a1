//! Winograd convolution of 3x3 windows, with fewer products than weights and pixels.
//!
//! Images are cut into tiles of M x M outputs. A tile's pixels are transformed to N x N
//! coefficients (N = M + 2), and so are the weights. The convolution then is N² matrix products,
//! one for each coefficient, of `[tiles][channels]` with `[channels][outputs]`. Their results are
//! transformed back (Lavin and Gray 2016). F(4x4, 3x3) takes a quarter of the products of the
//! direct method.
//!
//! As an example, a layer of 256 channels on 8x8 pixels, with a batch of 128, in f32 on AVX-512.
//! Its 512 tiles come in four blocks:
//!
//! | stage | of a block | shape | size |
//! |---|---|---|---|
//! | | input, 32 images | `[32][8][8][256]` | 2.1 MB |
//! | transform | `V`, shared by all threads | `[36][16][128 tiles][16]` | 4.7 MB |
//! | | `U`, all weights | `[36][8 panels][256][32]` | 9.5 MB |
//! | product | a panel of `U`, of one coefficient | `[256][32]` | 32 KB |
//! | | `M` of a panel, one per thread | `[36][2][128 tiles][16]` | 0.6 MB |
//! | inverse | output, 32 images | `[32][8][8][256]` | 2.1 MB |
//!
//! A block takes 36 products of `[128][256]` with `[256][256]`. The batch takes 1.2 G
//! multiply-adds; the direct method takes 4.8 G.

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
