//! Weights to coefficients, and gradients of coefficients to those of weights.

mod balance;
mod norms;
mod pack;
mod packed;
mod raw;
mod taps;
mod times;
mod unpack;

pub(super) use balance::balance;
pub(super) use norms::Gram;
pub(super) use pack::pack;
pub(super) use packed::Packed;
pub(super) use raw::RawWeights;
pub(super) use taps::{LINES, MOST_LINES, Taps};
pub(super) use times::{Lanes, Times};
pub(super) use unpack::{Strides, unpack, unpack_row};
