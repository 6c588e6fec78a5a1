//! The transforms of weights into planes, which pack the right operand of the products, and the
//! transform of their gradients back.

mod equalise;
mod gram;
mod pack;
mod packed;
mod quant_scales;
mod raw;
mod taps;
mod unpack;

pub(super) use equalise::equalise_by_weights;
pub(super) use gram::Gram;
pub(super) use pack::pack;
pub(super) use packed::Packed;
pub(super) use quant_scales::{OutputScales, QuantScales};
pub(super) use raw::RawWeights;
pub(super) use taps::{LINES, MOST_LINES, Taps};
pub(super) use unpack::{Strides, unpack, unpack_row};
